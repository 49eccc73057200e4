//! The loader without a database: Kafka → decode → encode → our server → segment clients that count and discard;
//! and what it is held against, librdkafka alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gpkafka::config::{self, Job};
use gpkafka::decode::{self, Column, CsvOptions, Format};
use gpkafka::gpfdist;
use gpkafka::job::measure::{Sink, measure, ranges};
use gpkafka::job::report::{BatchReport, Level, Progress, Reporter};
use gpkafka::job::run::Options;
use gpkafka::job::totals::Sums;
use gpkafka::kafka::{Consumer, Item, Settings, Start};
use gpkafka::offset::Generation;
use gpkafka::shutdown::Shutdown;

use crate::scene::COLUMNS;

/// Long enough for any answer of a busy broker.
const WAIT: Duration = Duration::from_secs(30);
/// A poll's pause while there is nothing.
const POLL: Duration = Duration::from_millis(20);
const QUEUE_BYTES: usize = 128 << 20;
/// As a load has by default.
const MEMORY_BYTES: usize = 512 << 20;
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
pub fn discard(brokers: &str, topic: &str, segments: u32) {
    let job = job(brokers, topic);
    let options = Options {
        name: None,
        quit_at_eof: true,
        reset: None,
        skip_explain: true,
        gpfdist_host: None,
        gpfdist: gpfdist::Settings::default(),
        reuse_tables: false,
        segment_program: None,
        memory_bytes: MEMORY_BYTES,
    };
    let ranges = ranges(&job).unwrap();
    let records: i64 = ranges.values().map(|(low, high)| high - low).sum();
    let sink = Sink::Discard { segments };
    let measured = measure(&job, &options, &ranges, sink, &Silent, &Shutdown::default()).unwrap();
    assert_eq!(i64::try_from(measured.rows).unwrap(), records, "rows");
}

/// Into a database that nobody asks.
fn job(brokers: &str, topic: &str) -> Job {
    let named = |(name, sql_type): &(&str, &str)| format!("        - {{NAME: {name}, TYPE: '{sql_type}'}}\n");
    let columns: String = COLUMNS.iter().map(named).collect();
    let text = format!(
        "DATABASE: x\nUSER: x\nHOST: x\nPORT: 1\nVERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: {brokers}\n      \
         TOPIC: {topic}\n    VALUE:\n      COLUMNS:\n{columns}      FORMAT: csv\n  OUTPUT:\n    TABLE: t\n"
    );
    config::parse(Path::new("job.yaml"), text.into_bytes(), &config::Variables::new()).unwrap()
}

/// Nobody looks.
struct Silent;

impl Reporter for Silent {
    fn log(&self, _level: Level, _text: &str) {}

    fn batch(&self, _report: &BatchReport) {}

    fn sums(&self, _sums: &Sums) {}

    fn progress(&self, _progress: &Progress) {}
}

pub fn csv() -> decode::Settings {
    let column = |(name, _): &(&str, &str)| Column::text(*name);
    decode::Settings::of_value(Format::Csv(CsvOptions::default()), COLUMNS.iter().map(column).collect())
}
