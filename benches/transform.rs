//! What a transformer of messages costs: each message, and the start of an instance. `cargo bench --bench transform`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::record::Record;
use gpkafka::transform::{Program, Settings, Verdict};

/// Lets everything pass: what the way in and out costs.
const IDENTITY: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "gpkafka_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "upper") (param i32 i32) (result i32) (i32.const 0)))"#;

/// Looks at each byte and changes some.
const UPPER: &str = include_str!("../src/transform/upper.wat");

/// As in the other benchmarks: 92 bytes.
const CSV: &str = "1234567,42,2024-11-22 18:56:50.123456,customer-00012345,1234.56,some words about the order abcd";

fn program(text: &str) -> Program {
    Program::new(text.as_bytes(), Settings::new("bench.wat", "upper")).expect("it is a module")
}

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("transform");
    let kilobytes = CSV.repeat(100);
    for (name, text, payload) in
        [("identity", IDENTITY, CSV), ("upper", UPPER, CSV), ("upper_9_kb", UPPER, kilobytes.as_str())]
    {
        let mut transform = program(text).start().expect("it starts");
        let record = Record::new(0, 0, Some(payload.as_bytes()));
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| match transform.apply(black_box(&record)) {
                Ok(Verdict::Changed(output)) => transform.give_back(output),
                verdict => drop(black_box(verdict)),
            });
        });
    }
    group.finish();
}

fn start(c: &mut Criterion) {
    let mut group = c.benchmark_group("transform_start");
    group.bench_function("read_and_check", |b| b.iter(|| program(black_box(UPPER))));
    let program = program(UPPER);
    group.bench_function("instance", |b| b.iter(|| black_box(&program).start()));
    group.finish();
}

criterion_group!(benches, messages, start);
criterion_main!(benches);
