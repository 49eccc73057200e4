//! librdkafka alone: what the loader's way through Kafka is held against.

use std::collections::BTreeMap;
use std::time::Duration;

use gpkafka::kafka::{Consumer, Item, Settings, Start};
use gpkafka::offset::Generation;

/// Long enough for any answer of a busy broker.
const WAIT: Duration = Duration::from_secs(30);
/// A poll's pause while there is nothing.
const POLL: Duration = Duration::from_millis(20);
const QUEUE_BYTES: usize = 128 << 20;

/// Reads every record of a topic and counts it.
pub fn all(brokers: &str, topic: &str) {
    let settings = Settings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        properties: BTreeMap::new(),
        queue_bytes: QUEUE_BYTES,
        workers: 1,
    };
    let consumer = Consumer::connect(&settings).unwrap();
    let partitions = consumer.topic(WAIT).unwrap().partitions;
    let ends = consumer.ends(&partitions, WAIT).unwrap();
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
