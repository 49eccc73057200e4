//! The newest records of a topic, read without a trace: nothing is committed anywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Exit;
use crate::kafka::{Consumer, Error, Item, Settings, Start, Watermarks};
use crate::offset::Generation;
use crate::record::Record;

/// How long the brokers may take to answer, and then to send what there is.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// How long one look at the queue takes.
const LOOK: Duration = Duration::from_millis(50);

/// Of all payloads together: enough to know a topic by, whatever its records weigh.
pub const BYTES_MAX: usize = 64 << 20;

/// Where a record is, for whoever wants to look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, offset {}", self.partition, self.offset)
    }
}

/// Values of records, those without one left out.
#[derive(Debug, Default)]
pub struct Sample {
    pub values: Vec<Vec<u8>>,
    /// Of each value.
    pub places: Vec<Place>,
    /// Of each value.
    pub keys: Vec<Option<Vec<u8>>>,
    pub has_keys: bool,
    /// Records without a value.
    pub tombstones: usize,
    /// Why a partition could not be read, where that does not pass.
    pub unread: Option<String>,
    bytes: usize,
}

impl Sample {
    fn add(&mut self, record: &Record<'_>) {
        self.has_keys |= record.key.is_some();
        match record.payload {
            None => self.tombstones += 1,
            Some(value) if self.bytes + record.bytes() <= BYTES_MAX => {
                self.bytes += record.bytes();
                self.values.push(value.to_vec());
                self.keys.push(record.key.map(<[u8]>::to_vec));
                self.places.push(Place { partition: record.partition, offset: record.offset });
            }
            Some(_) => {}
        }
    }

    /// Brokers answer in any order; what is made of the sample must not depend on it.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|&at| (self.places[at].partition, self.places[at].offset));
        self.places = order.iter().map(|&at| self.places[at]).collect();
        self.values = order.iter().map(|&at| std::mem::take(&mut self.values[at])).collect();
        self.keys = order.iter().map(|&at| self.keys[at].take()).collect();
    }

    /// Keys and values, each with its place.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let parts = self.places.iter().zip(&self.keys).zip(&self.values);
        parts.map(|((place, key), value)| Record {
            key: key.as_deref(),
            ..Record::new(place.partition, place.offset, Some(value))
        })
    }
}

/// Reads up to `count` records, the newest of every partition.
///
/// # Errors
/// What the brokers say, and a topic that has no values.
pub fn read(brokers: &str, topic: &str, count: u32) -> Result<Sample, Exit> {
    let settings = Settings {
        brokers: brokers.to_owned(),
        topic: topic.to_owned(),
        properties: BTreeMap::new(),
        queue_bytes: BYTES_MAX,
        workers: 1,
    };
    let sample = newest_of(&settings, count).map_err(Exit::failed)?;
    if sample.values.is_empty() {
        return Err(Exit::failed(format!(
            "topic {topic} has no records with a value yet; write some, so that there is something to go by"
        )));
    }
    Ok(sample)
}

fn newest_of(settings: &Settings, count: u32) -> Result<Sample, Error> {
    let consumer = Consumer::connect(settings)?;
    let topic = consumer.topic(KAFKA_WAIT)?;
    let marks = consumer.watermarks(&topic.partitions, KAFKA_WAIT)?;
    newest(&consumer, &marks, count)
}

/// Up to `count` records, the newest of these partitions. The consumer has nothing else to read.
///
/// # Errors
/// What the brokers say.
pub fn newest(consumer: &Consumer, marks: &BTreeMap<i32, Watermarks>, count: u32) -> Result<Sample, Error> {
    let mut queue = consumer.queue();
    let filled = marks.iter().filter(|(_, marks)| marks.high > marks.low);
    let share = i64::from(count) / i64::try_from(filled.clone().count().max(1)).unwrap_or(i64::MAX);
    let starts: Vec<Start> = filled
        .map(|(&partition, marks)| Start {
            partition,
            next: marks.low.max(marks.high - share.max(1)),
            leader_epoch: None,
            queue: queue.id(),
        })
        .collect();
    let mut left: BTreeMap<i32, i64> =
        starts.iter().map(|start| (start.partition, marks[&start.partition].high)).collect();
    consumer.assign(Generation(1), &starts)?;
    let (mut sample, until) = (Sample::default(), Instant::now() + KAFKA_WAIT);
    while !left.is_empty() && Instant::now() < until {
        // what is said there, of brokers that go and come, changes nothing here
        drop(consumer.poll(Duration::ZERO));
        queue.poll(LOOK, 1000, &mut |item| match item {
            Item::Record(record) => {
                let Some(&end) = left.get(&record.partition) else { return };
                if record.offset < end {
                    sample.add(&record);
                }
                if record.offset + 1 >= end {
                    left.remove(&record.partition);
                }
            }
            Item::Error { partition, text, is_passing } => {
                left.remove(&partition);
                if !is_passing {
                    sample.unread.get_or_insert_with(|| format!("partition {partition}: {text}"));
                }
            }
            Item::End { partition, .. } | Item::OutOfRange { partition, .. } | Item::CutOff { partition, .. } => {
                left.remove(&partition);
            }
            Item::Assigned { .. } | Item::Added { .. } => {}
        });
    }
    sample.sort();
    Ok(sample)
}
