//! Payload → rows, and payload → TEXT, on one thread. `cargo bench --bench decode`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::decode::{Column, CsvOptions, DelimitedOptions, Format, Settings, decoder};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;

/// What the end-to-end benchmark loads: 92 bytes in 6 columns.
const CSV: &str = "1234567,42,2024-11-22 18:56:50.123456,customer-00012345,1234.56,some words about the order abcd";
const QUOTED: &str = r#""1234567","42","2024-11-22 18:56:50","customer-00012345","1234.56","some ""words"", abc""#;
const JSON: &str = r#"{"id":1234567,"at":"2024-11-22T18:56:50.123456Z","customer":"customer-00012345","amount":1234.56,"note":"some words about the order, and \"some\" more","count":42,"ok":true,"tag":"abcdefgh"}"#;

fn formats(c: &mut Criterion) {
    let csv = || Format::Csv(CsvOptions::default());
    let lines = [JSON; 10].join("\n");
    let hundred_kilobytes = "x".repeat(100_000);
    let texts = || (0..6).map(|n| Column::text(format!("c{n}"))).collect::<Vec<_>>();
    let document = || vec![Column::document("c0")];
    let names = ["id", "at", "customer", "amount", "note", "tag"];
    for (name, format, columns, payload) in [
        ("csv", csv(), texts(), CSV),
        ("csv_quoted", csv(), texts(), QUOTED),
        ("delimited", Format::Delimited(DelimitedOptions::of_byte(b',')), texts(), CSV),
        ("json", Format::Json, document(), JSON),
        ("json_6_fields", Format::Json, names.map(Column::text).to_vec(), JSON),
        ("json_100_kb", Format::Json, document(), &hundred_kilobytes),
        ("jsonl_10_rows", Format::Jsonl { newline: "\n".to_owned() }, document(), &lines),
        ("binary", Format::Binary, document(), JSON),
    ] {
        bench(c, name, &Settings::of_value(format, columns), payload.as_bytes());
    }
}

fn bench(c: &mut Criterion, name: &str, settings: &Settings, payload: &[u8]) {
    let mut decoder = decoder(settings);
    let mut rows = Rows::default();
    let record = Record::new(0, 0, Some(payload));
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: payload.len() as u64 });
    group.bench_function("decode", |b| {
        b.iter(|| {
            rows.clear();
            decoder.decode(black_box(&record), &mut rows).expect("it is a row");
        });
    });
    let mut out = Vec::new();
    group.bench_function("decode_and_encode", |b| {
        b.iter(|| {
            rows.clear();
            decoder.decode(black_box(&record), &mut rows).expect("it is a row");
            out.clear();
            rows.iter().for_each(|row| text::encode(row, &mut out));
            black_box(out.len());
        });
    });
}

criterion_group!(benches, formats);
criterion_main!(benches);
