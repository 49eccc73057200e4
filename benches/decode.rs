//! Payload → rows, and payload → TEXT, on one thread. `cargo bench --bench decode`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::decode::{
    AvroFraming, AvroOptions, Column, ColumnKind, CsvOptions, Decoder, DelimitedOptions, Format, Part, Settings,
    decoder,
};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;
use gpkafka::schema::{Schema, SchemaKind};

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

/// The same as [`CSV`], with a schema's types.
const AVRO_SCHEMA: &str = r#"{"type":"record","name":"order","fields":[
    {"name":"id","type":"long"},
    {"name":"count","type":"int"},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
    {"name":"customer","type":"string"},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
    {"name":"note","type":["null","string"]}]}"#;

fn avro(c: &mut Criterion) {
    let schema = Schema::alone(SchemaKind::Avro, AVRO_SCHEMA);
    let datum = [
        // 1234567, 42, and 2024-11-22T18:56:50.123456Z
        &b"\x8e\xda\x96\x01\x54\x80\x8b\xca\xa0\x9e\xe1\x93\x06"[..],
        b"\x22customer-00012345",
        // 1234.56
        b"\x06\x01\xe2\x40",
        b"\x02\x3esome words about the order abcd",
    ]
    .concat();
    let payload = [&[0, 0, 0, 0, 7][..], &datum].concat();
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
