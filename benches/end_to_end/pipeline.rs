//! The loader without a database: Kafka → decode → encode → our server → segment clients that count and discard;
//! and what it is held against, librdkafka alone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::time::Duration;

use crossbeam_channel::bounded;
use gpkafka::budget::Budget;
use gpkafka::decode::{self, Column, CsvOptions, Format};
use gpkafka::gpfdist::{self, Scan, Server};
use gpkafka::job::hand::{BlockLimits, Hand, Lane, Told, Tools};
use gpkafka::job::schemas::Registries;
use gpkafka::job::threads::Threads;
use gpkafka::job::worker::Worker;
use gpkafka::kafka::{Consumer, Item, Settings, Start};
use gpkafka::metrics::Metrics;
use gpkafka::offset::Generation;

use crate::harness::executable;
use crate::scene::COLUMNS;

/// Long enough for any answer of a busy broker.
const WAIT: Duration = Duration::from_secs(30);
/// A poll's pause while there is nothing.
const POLL: Duration = Duration::from_millis(20);
const PATH: &str = "/v1/bench/all/token";
const XID: &str = "1-0000000001";
/// As a load has by default, see `job::launch`.
const WORKERS: usize = 2;
const QUEUE_BYTES: usize = 128 << 20;
const BLOCKS_BYTES: usize = 256 << 20;
pub const BLOCK_BYTES: usize = 128 << 10;

fn connect(brokers: &str, topic: &str, workers: usize) -> (Consumer, BTreeMap<i32, i64>) {
    let settings = Settings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        properties: BTreeMap::new(),
        queue_bytes: QUEUE_BYTES,
        workers,
    };
    let consumer = Consumer::connect(&settings).unwrap();
    let partitions = consumer.topic(WAIT).unwrap().partitions;
    let ends = consumer.ends(&partitions, WAIT).unwrap();
    (consumer, ends)
}

/// Reads every record of a topic and counts it.
pub fn consume(brokers: &str, topic: &str) {
    let (consumer, ends) = connect(brokers, topic, 1);
    let mut queue = consumer.queue();
    let starts: Vec<Start> =
        ends.keys().map(|&partition| Start { partition, next: 0, leader_epoch: None, queue: queue.id() }).collect();
    consumer.assign(Generation(1), &starts).unwrap();
    let (mut records, mut bytes) = (0, 0);
    let mut left = ends.clone();
    while !left.is_empty() {
        queue.poll(POLL, 1000, &mut |item| match item {
            Item::Record(record) => {
                records += 1;
                bytes += record.payload.map_or(0, <[u8]>::len);
            }
            Item::End { partition, .. } => drop(left.remove(&partition)),
            _ => {}
        });
        consumer.poll(Duration::ZERO);
    }
    assert_eq!(records, ends.values().sum::<i64>(), "records of {bytes} bytes");
}

/// Reads every record of a topic, makes rows of them and serves them to clients that act as segments.
pub fn discard(brokers: &str, topic: &str, segments: u64) {
    let settings = gpfdist::Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 0, ..gpfdist::Settings::default() };
    let metrics = Metrics::default();
    let server = Server::start(&settings, &metrics).unwrap();
    let scan = Scan { path: PATH.to_owned(), xid: Some(XID.to_owned()), file_prefix: topic.to_owned() };
    let session = server.open(scan);
    let readers: Vec<Child> = (0..segments).map(|segment| reader(server.port(), segment, segments)).collect();

    let (consumer, ends) = connect(brokers, topic, WORKERS);
    let workers = WORKERS.min(ends.len());
    let (told_in, told) = bounded(64);
    let mut threads = Threads::default();
    let budget = Budget::new(BLOCKS_BYTES);
    let mut starts = Vec::new();
    for number in 0..workers {
        let ours = ends.iter().enumerate().filter(|(at, _)| at % workers == number).map(|(_, end)| end);
        let lanes: BTreeMap<i32, Lane> =
            ours.map(|(&partition, &end)| (partition, Lane { next: 0, until: Some(end) })).collect();
        let queue = consumer.queue();
        starts.extend(lanes.keys().map(|&partition| Start {
            partition,
            next: 0,
            leader_epoch: None,
            queue: queue.id(),
        }));
        let tools = Tools {
            transform: None,
            decoder: decode::decoder(&csv()),
            sends_payloads: false,
            registries: Registries::default(),
            limits: BlockLimits { bytes: BLOCK_BYTES, rows_max: 0 },
            generation: Generation(1),
            budget: budget.clone(),
            copying: None,
            metrics: metrics.clone(),
            out: told_in.clone(),
            stop: threads.reading(),
        };
        let worker = Worker { queue, hand: Hand::new(tools, lanes), seconds: metrics.seconds.clone() };
        threads.start(&format!("worker-{number}"), move || worker.run()).unwrap();
    }
    consumer.assign(Generation(1), &starts).unwrap();
    let mut left = ends.len();
    while left > 0 {
        consumer.poll(Duration::ZERO);
        match told.recv_timeout(POLL) {
            Ok(Told::Block(block)) => session.push(&block.index, block.bytes),
            Ok(Told::End { .. }) => left -= 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {}
        }
    }
    session.seal();
    for mut reader in readers {
        assert!(reader.wait().unwrap().success(), "a segment ended in error");
    }
    let served: u64 = session.status().served_segments.values().sum();
    assert_eq!(i64::try_from(served).unwrap(), ends.values().sum::<i64>(), "rows");
}

pub fn csv() -> decode::Settings {
    let column = |(name, _): &(&str, &str)| Column::text(*name);
    decode::Settings::of_value(Format::Csv(CsvOptions::default()), COLUMNS.iter().map(column).collect())
}

fn reader(port: u16, segment: u64, segments: u64) -> Child {
    let mut command = Command::new(executable());
    command.arg("segment").arg(format!("gpfdist://127.0.0.1:{port}{PATH}")).args(["--xid", XID, "--discard"]);
    command.args(["--segment-id", &segment.to_string(), "--segment-count", &segments.to_string()]);
    command.stderr(std::process::Stdio::null()).spawn().unwrap()
}
