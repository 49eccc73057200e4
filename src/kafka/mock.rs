//! A mock cluster in the process, for the tests of this module: librdkafka's own, with records whose payload says where
//! they belong.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use crate::offset::Generation;

use super::{Consumer, Item, RecordQueue, Settings, Start};

/// Long enough for a busy machine; a test that meets it has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A cluster with one topic.
pub struct Cluster {
    pub mock: MockCluster<'static, DefaultProducerContext>,
    pub topic: String,
}

impl Cluster {
    pub fn new(brokers: i32, partitions: i32) -> Self {
        let mock = MockCluster::new(brokers).unwrap();
        let topic = "orders".to_owned();
        mock.create_topic(&topic, partitions, 1).unwrap();
        Self { mock, topic }
    }

    pub fn settings(&self) -> Settings {
        Settings {
            brokers: self.mock.bootstrap_servers(),
            topic: self.topic.clone(),
            properties: BTreeMap::new(),
            queue_bytes: 16 << 20,
            workers: 1,
        }
    }

    pub fn connect(&self) -> Consumer {
        Consumer::connect(&self.settings()).unwrap()
    }

    pub fn producer(&self) -> BaseProducer {
        ClientConfig::new().set("bootstrap.servers", self.mock.bootstrap_servers()).create().unwrap()
    }

    /// Appends records of the offsets `first..next` to a partition.
    pub fn produce(&self, partition: i32, first: i64, next: i64) {
        let producer = self.producer();
        for offset in first..next {
            let payload = payload(partition, offset);
            let record = BaseRecord::<(), _>::to(&self.topic).partition(partition).payload(&payload);
            producer.send(record).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }
}

/// What the record at this place carries.
pub fn payload(partition: i32, offset: i64) -> String {
    format!("{partition}/{offset}")
}

/// An assignment of these positions to one queue.
pub fn starts(queue: &RecordQueue, positions: &[(i32, i64)]) -> Vec<Start> {
    positions
        .iter()
        .map(|&(partition, next)| Start { partition, next, leader_epoch: None, queue: queue.id() })
        .collect()
}

/// What came out of a queue, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    Assigned(Generation, Vec<(i32, i64)>),
    Added(Vec<(i32, i64)>),
    Record(i32, i64),
    End(i32, i64),
    OutOfRange { partition: i32, offset: i64 },
    CutOff { partition: i32, end: Option<i64> },
    Error { partition: i32, text: String, is_passing: bool },
}

impl Seen {
    pub fn new(item: &Item<'_>) -> Self {
        match item {
            Item::Assigned { generation, starts } => Self::Assigned(*generation, starts.iter().collect()),
            Item::Added { starts } => Self::Added(starts.iter().collect()),
            Item::Record(record) => {
                assert_eq!(record.payload.unwrap(), payload(record.partition, record.offset).as_bytes());
                assert!(record.timestamp_ms.is_some());
                Self::Record(record.partition, record.offset)
            }
            Item::End { partition, offset } => Self::End(*partition, *offset),
            Item::OutOfRange { partition, offset } => Self::OutOfRange { partition: *partition, offset: *offset },
            Item::CutOff { partition, end, .. } => Self::CutOff { partition: *partition, end: *end },
            Item::Error { partition, text, is_passing } => {
                Self::Error { partition: *partition, text: (*text).to_owned(), is_passing: *is_passing }
            }
        }
    }
}

/// Polls queue and main queue until an item is the last that was wanted.
pub fn read_until(consumer: &Consumer, queue: &mut RecordQueue, is_last: impl Fn(&Seen) -> bool) -> Vec<Seen> {
    let until = Instant::now() + DEADLINE;
    let mut seen = Vec::new();
    loop {
        let before = seen.len();
        queue.poll(Duration::from_millis(50), 1000, &mut |item| seen.push(Seen::new(&item)));
        if seen[before..].iter().any(&is_last) {
            return seen;
        }
        if let Some(event) = consumer.poll(Duration::ZERO) {
            assert!(event.is_passing(), "{event:?}");
        }
        let tail = &seen[seen.len().saturating_sub(5)..];
        assert!(Instant::now() < until, "no such item within {DEADLINE:?}; the last ones: {tail:?}");
    }
}

/// Waits for a condition.
pub fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_there() {
        assert!(Instant::now() < until, "waited {DEADLINE:?} for {what}");
        std::thread::yield_now();
    }
}
