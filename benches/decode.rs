//! Payload → rows, and payload → TEXT, on one thread. `cargo bench --bench decode`.

use std::hint::black_box;

#[path = "payloads.rs"]
mod payloads;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::decode::{
    AvroFraming, AvroOptions, Column, ColumnKind, CsvOptions, Decoder, DelimitedOptions, Format, Part, Settings,
    decoder,
};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;
use gpkafka::schema::{Schema, SchemaKind};
use payloads::{AVRO_SCHEMA, CSV, JSON, QUOTED};

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

fn avro(c: &mut Criterion) {
    let schema = Schema::alone(SchemaKind::Avro, AVRO_SCHEMA);
    let payload = payloads::avro();
    let column = |name: &str, kind| Column { kind, ..Column::text(name) };
    let names = ["id", "count", "at", "customer", "amount", "note"];
    for (name, columns) in [
        ("avro_document", vec![column("order", ColumnKind::Json)]),
        ("avro_6_columns", names.map(|name| column(name, ColumnKind::Scalar)).to_vec()),
    ] {
        let format = Format::Avro(AvroOptions { framing: AvroFraming::Confluent, bytes_to_base64: false });
        let settings = Settings::of_value(format, columns);
        bench_with(c, name, &settings, &payload, |decoder| decoder.learn(Part::Value, 7, Ok(&schema)));
    }
}

fn bench(c: &mut Criterion, name: &str, settings: &Settings, payload: &[u8]) {
    bench_with(c, name, settings, payload, |_| {});
}

fn bench_with(
    c: &mut Criterion,
    name: &str,
    settings: &Settings,
    payload: &[u8],
    prepare: impl FnOnce(&mut dyn Decoder),
) {
    let mut decoder = decoder(settings);
    prepare(&mut *decoder);
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

criterion_group!(benches, formats, avro);
criterion_main!(benches);
