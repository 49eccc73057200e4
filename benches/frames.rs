//! Framing by itself, and blocks from a session over loopback to segment clients that count and discard.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

use std::hint::black_box;
use std::net::Ipv4Addr;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gpkafka::block::BlockIndex;
use gpkafka::gpfdist::client::{Options, fetch};
use gpkafka::gpfdist::{Scan, Server, Settings, frame};
use gpkafka::metrics::Metrics;
use gpkafka::offset::Span;

const PATH: &str = "/v1/bench/all/token";

/// What a scan carries: long enough that connecting doesn't count.
const SCAN_BYTES: usize = 64 << 20;

fn framing(criterion: &mut Criterion) {
    let head = frame::block_head("orders", 3, 1_234_567_890, 131_072);
    criterion.bench_function("block head", |bench| {
        bench.iter(|| {
            frame::block_head(black_box("orders"), black_box(3), black_box(1_234_567_890), black_box(131_072))
        });
    });
    criterion.bench_function("parse a message's head", |bench| {
        let message = head[..frame::HEAD_BYTES].try_into().unwrap();
        bench.iter(|| frame::parse_head(black_box(message)));
    });
}

/// One scan of so many blocks, drained by so many segments.
fn scan(server: &Server, load: u64, block: &Bytes, segments: u32) {
    let xid = format!("1-{load:010}");
    let session = server.open(Scan { path: PATH.to_owned(), xid: Some(xid.clone()), file_prefix: "orders".to_owned() });
    let rows = u32::try_from(memchr::memchr_iter(b'\n', block).count()).unwrap();
    let blocks = i64::try_from(SCAN_BYTES / block.len()).unwrap();
    for first in (0..blocks).map(|at| at * i64::from(rows)) {
        let span = Span::new(first, first + i64::from(rows)).unwrap();
        session.push(&BlockIndex { partition: 0, span, rows, runs: Vec::new() }, block.clone());
    }
    session.seal();
    std::thread::scope(|scope| {
        for segment_id in 0..segments {
            let url = format!("gpfdist://127.0.0.1:{}{PATH}", server.port());
            let options = Options { segment_id, xid: xid.clone(), discard: true, ..Options::new(url) };
            scope.spawn(move || fetch(&options, &mut std::io::sink()).unwrap());
        }
    });
    assert_eq!(session.failure(), None);
    session.finish();
}

fn loopback(criterion: &mut Criterion) {
    let settings =
        Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 0, grace: std::time::Duration::ZERO, ..Settings::default() };
    let server = Server::start(&settings, &Metrics::default()).unwrap();
    let mut group = criterion.benchmark_group("loopback");
    group.sample_size(10).throughput(Throughput::Bytes(SCAN_BYTES as u64));
    let mut load = 0;
    for (block_bytes, segments) in [(32 << 10, 2), (128 << 10, 1), (128 << 10, 2), (128 << 10, 8), (256 << 10, 2)] {
        let row = [b"x".repeat(91), b"\n".to_vec()].concat();
        let block: Bytes = row.repeat(block_bytes / row.len()).into();
        let id = BenchmarkId::new(format!("{} KiB blocks", block_bytes >> 10), format!("{segments} segments"));
        group.bench_function(id, |bench| {
            bench.iter(|| {
                load += 1;
                scan(&server, load, &block, segments);
            });
        });
    }
}

criterion_group!(benches, framing, loopback);
criterion_main!(benches);
