//! Rows → TEXT, beside a plain copy of the same bytes, and rows → sealed block. `cargo bench --bench encode`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::budget::Budget;
use gpkafka::encode::{BlockBuilder, text};
use gpkafka::offset::Generation;
use gpkafka::record::Record;
use gpkafka::row::Rows;

/// As the job's workers ask for.
const BLOCK_BYTES: usize = 1 << 20;

fn row(fields: &[&str]) -> Rows {
    let mut rows = Rows::default();
    fields.iter().for_each(|field| rows.field(field.as_bytes()));
    rows.end_row();
    rows
}

fn rows(c: &mut Criterion) {
    let clean = "abcdefghij".repeat(20);
    let pretty = "{\n    \"key\": \"value\",\n    \"path\": \"a\\\\b\"\n}".repeat(5);
    let large = "x".repeat(100_000);
    for (name, fields) in [
        ("clean_200_bytes", vec![&*clean]),
        ("six_fields", vec!["1234567", "42", "2024-11-22 18:56:50.123456", "customer-00012345", "1234.56", "words"]),
        ("pretty_json", vec![&*pretty]),
        ("clean_100_kb", vec![&*large]),
    ] {
        let bytes = fields.concat().len();
        let rows = row(&fields);
        let mut out = Vec::with_capacity(2 * bytes + 100);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
        group.bench_function("encode", |b| {
            b.iter(|| {
                out.clear();
                black_box(&rows).iter().for_each(|row| text::encode(row, &mut out));
                black_box(out.len());
            });
        });
        let joined = fields.concat();
        group.bench_function("plain_copy", |b| {
            b.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(joined.as_bytes()));
                black_box(out.len());
            });
        });
    }
}

fn block(c: &mut Criterion) {
    let rows = row(&["1234567", "42", "2024-11-22 18:56:50.123456", "customer-00012345", "1234.56", "words"]);
    let record = Record::new(0, 0, Some(b"payload"));
    let budget = Budget::new(4 * BLOCK_BYTES);
    let mut group = c.benchmark_group("block");
    group.throughput(Throughput::Bytes(BLOCK_BYTES as u64));
    group.bench_function("of_1_mib", |b| {
        b.iter(|| {
            let permit = budget.try_acquire(BLOCK_BYTES).expect("nothing else is out");
            let mut block = BlockBuilder::new(0, 0, Generation(0), permit);
            while !block.is_full() {
                let record = Record { offset: block.next(), ..record };
                block.push(&record, &rows);
            }
            black_box(block.seal());
        });
    });
}

criterion_group!(benches, rows, block);
criterion_main!(benches);
