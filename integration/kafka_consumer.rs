//! The Kafka stage against real brokers: what the mock cluster cannot show. Transactions, deleted records, partitions
//! that are added, topics made anew, brokers that are killed, and the oldest version.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gpkafka::kafka::{Consumer, Error, Event, Item, QueueId, RecordQueue, Settings, Start, Watermarks};
use gpkafka::offset::Generation;

use crate::harness::{Kafka, Topic, Version, kafka, wait_until};

const DEADLINE: Duration = Duration::from_secs(60);

fn settings(kafka: &Kafka, topic: &str) -> Settings {
    Settings {
        brokers: kafka.bootstrap.clone(),
        topic: topic.to_owned(),
        properties: kafka.version.properties().iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
        queue_bytes: 32 << 20,
        workers: 1,
    }
}

fn connect(topic: &Topic<'_>) -> Consumer {
    Consumer::connect(&settings(topic.kafka, &topic.name)).unwrap()
}

fn start(queue: QueueId, partition: i32, next: i64) -> Start {
    Start { partition, next, leader_epoch: None, queue }
}

#[derive(Debug, Default)]
struct Seen {
    /// Offset and payload of each record, by partition.
    records: BTreeMap<i32, Vec<(i64, Vec<u8>)>>,
    ends: BTreeMap<i32, i64>,
    out_of_range: Vec<(i32, i64)>,
    final_errors: Vec<String>,
    epochs: Vec<Option<i32>>,
}

impl Seen {
    fn offsets(&self, partition: i32) -> Vec<i64> {
        self.records.get(&partition).into_iter().flatten().map(|(offset, _)| *offset).collect()
    }

    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Record(record) => {
                let payload = record.payload.unwrap_or_default().to_vec();
                self.records.entry(record.partition).or_default().push((record.offset, payload));
                self.epochs.push(record.leader_epoch);
            }
            Item::End { partition, offset } => {
                self.ends.insert(partition, offset);
            }
            Item::OutOfRange { partition, offset } => self.out_of_range.push((partition, offset)),
            Item::CutOff { text, .. } => self.final_errors.push(text.to_owned()),
            Item::Error { text, is_passing, .. } => {
                if !is_passing {
                    self.final_errors.push(text.to_owned());
                }
            }
            Item::Assigned { .. } | Item::Added { .. } => {}
        }
    }
}

/// Reads until it has seen enough, adding to what has been seen.
fn read(consumer: &Consumer, queue: &mut RecordQueue, seen: &mut Seen, is_enough: impl Fn(&Seen) -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_enough(seen) {
        assert!(
            Instant::now() < until,
            "not within {DEADLINE:?}: ends {:?}, errors {:?}",
            seen.ends,
            seen.final_errors
        );
        queue.poll(Duration::from_millis(50), 1000, &mut |item| seen.take(item));
        if let Some(event @ Event::Final { .. }) = consumer.poll(Duration::ZERO) {
            panic!("{event:?}");
        }
    }
}

#[test]
fn only_committed_records_are_read_and_the_end_is_the_last_stable_offset() {
    let topic = kafka(Version::V4_1_1).topic("stable", 1);
    let (producer, other) = (topic.kafka.transactional_producer(), topic.kafka.transactional_producer());
    let send = |value: &str| producer.send(&topic.name, 0, None, Some(value.as_bytes()));
    producer.begin();
    ["a", "b"].iter().for_each(|value| send(value));
    producer.commit(); // 0 1 and a marker at 2
    producer.begin();
    ["x", "y", "z"].iter().for_each(|value| send(value));
    producer.abort(); // 3 4 5, marker 6
    other.begin();
    other.send(&topic.name, 0, None, Some(b"open")); // 7
    other.flush();
    producer.begin();
    send("behind");
    producer.commit(); // 8, marker 9

    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    assert_eq!(consumer.watermarks(&[0], DEADLINE).unwrap()[&0], Watermarks { low: 0, high: 7 });
    consumer.assign(Generation(1), &[start(queue.id(), 0, 0)]).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.contains_key(&0));
    assert_eq!((seen.offsets(0), seen.ends[&0]), (vec![0, 1], 7));
    assert!(seen.epochs.iter().all(Option::is_some), "{:?}", seen.epochs);

    other.abort(); // marker 10
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends[&0] == 11);
    assert_eq!(seen.offsets(0), [0, 1, 8]);
    assert_eq!(consumer.ends(&[0], DEADLINE).unwrap()[&0], 11);
    assert_eq!(consumer.cached_ends(&[0])[&0], 11);
}

#[test]
fn partitions_that_are_added_are_found_and_read_from_their_beginning() {
    let topic = kafka(Version::V4_1_1).topic("growing", 1);
    topic.produce(0, ["old"]);
    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    let before = consumer.topic(DEADLINE).unwrap();
    assert_eq!(before.partitions, [0]);
    consumer.assign(Generation(1), &[start(queue.id(), 0, 0)]).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.get(&0) == Some(&1));

    topic.grow_to(3);
    topic.produce(2, ["new", "newer"]);
    let after = consumer.topic(DEADLINE).unwrap();
    assert_eq!((after.partitions, after.id), (vec![0, 1, 2], before.id));
    consumer.add(&[start(queue.id(), 1, 0), start(queue.id(), 2, 0)]).unwrap();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.len() == 3);
    assert_eq!(seen.offsets(2), [0, 1]);
    assert_eq!(seen.offsets(0), [0]);
}

#[test]
fn expired_records_are_an_event_and_the_watermarks_tell_how_many() {
    let topic = kafka(Version::V4_1_1).topic("expired", 1);
    topic.produce(0, (0..10).map(|n| n.to_string()));
    topic.delete_records_before(0, 4);
    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    for (generation, next) in [(1, 1), (2, 25)] {
        consumer.assign(Generation(generation), &[start(queue.id(), 0, next)]).unwrap();
        let mut seen = Seen::default();
        read(&consumer, &mut queue, &mut seen, |seen| !seen.out_of_range.is_empty());
        assert_eq!((seen.out_of_range.as_slice(), seen.records.len()), (&[(0, next)][..], 0));
    }
    let marks = consumer.watermarks(&[0], DEADLINE).unwrap()[&0];
    assert_eq!(marks, Watermarks { low: 4, high: 10 });
    consumer.assign(Generation(3), &[start(queue.id(), 0, marks.low)]).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.get(&0) == Some(&10));
    assert_eq!(seen.offsets(0), [4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_topic_made_anew_has_another_id_and_one_that_is_gone_is_final() {
    let kafka = kafka(Version::V4_1_1);
    let topic = kafka.topic("anew", 1);
    topic.produce(0, ["one"]);
    let mut settings = settings(kafka, &topic.name);
    // librdkafka otherwise believes for 30 s that the topic is on its way
    settings.properties.insert("topic.metadata.propagation.max.ms".to_owned(), "100".to_owned());
    let consumer = Consumer::connect(&settings).unwrap();
    let mut queue = consumer.queue();
    let first = consumer.topic(DEADLINE).unwrap().id.unwrap();
    consumer.assign(Generation(1), &[start(queue.id(), 0, 0)]).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.contains_key(&0));

    topic.delete();
    let error = consumer.topic(DEADLINE).unwrap_err();
    assert!(matches!(&error, Error::UnknownTopic { topic: name, .. } if *name == topic.name), "{error}");
    let until = Instant::now() + DEADLINE;
    while !matches!(consumer.poll(Duration::ZERO), Some(Event::TopicMissing { .. })) {
        assert!(Instant::now() < until, "a missing topic is told within {DEADLINE:?}");
        queue.poll(Duration::from_millis(50), 10, &mut |item| seen.take(item));
    }

    let anew = kafka.topic_named(&topic.name, 1, &[]);
    let second = consumer.topic(DEADLINE).unwrap().id.unwrap();
    assert_ne!(first, second);
    anew.produce(0, ["two"]);
}

#[test]
fn bytes_that_a_disk_has_changed_are_no_record() {
    let topic = kafka(Version::V4_1_1).topic("damaged", 1);
    topic.produce(0, ["good"]);
    topic.produce(0, ["ten euros"]);
    topic.kafka.damage(&topic.name, 0, "ten euros", "two euros");
    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    consumer.assign(Generation(1), &[start(queue.id(), 0, 0)]).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| !seen.final_errors.is_empty());
    assert_eq!(seen.records[&0], [(0, b"good".to_vec())]);
    assert!(seen.final_errors[0].starts_with("MessageSet at offset 1 "), "{:?}", seen.final_errors);
    assert!(seen.final_errors[0].contains("failed CRC32C check"), "{:?}", seen.final_errors);
}

#[test]
fn offsets_are_found_by_time() {
    let topic = kafka(Version::V4_1_1).topic("times", 2);
    topic.produce(0, ["one", "two"]);
    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    consumer.assign(Generation(1), &[start(queue.id(), 0, 0)]).unwrap();
    let mut stamps = Vec::new();
    let until = Instant::now() + DEADLINE;
    while stamps.len() < 2 {
        assert!(Instant::now() < until, "two records within {DEADLINE:?}");
        queue.poll(Duration::from_millis(50), 10, &mut |item| {
            if let Item::Record(record) = item {
                stamps.push(record.timestamp_ms.unwrap());
            }
        });
    }
    let at = |time| consumer.offsets_at(time, &[0, 1], DEADLINE).unwrap();
    assert_eq!(at(0), [(0, 0), (1, 0)].into_iter().collect());
    assert_eq!(at(stamps[0]), [(0, 0), (1, 0)].into_iter().collect());
    assert_eq!(at(stamps[1] + 1_000_000), [(0, 2), (1, 0)].into_iter().collect());
}

#[test]
fn a_killed_broker_is_waited_for_and_nothing_is_lost() {
    let mut kafka = Kafka::start(Version::V4_1_1);
    let name = kafka.topic("killed", 2).name;
    let produce = |kafka: &Kafka, from: i64| {
        let topic = Topic { kafka, name: name.clone() };
        for partition in 0..2 {
            topic.produce(partition, (from..from + 100).map(|n| n.to_string()));
        }
    };
    produce(&kafka, 0);
    let consumer = Consumer::connect(&settings(&kafka, &name)).unwrap();
    let mut queue = consumer.queue();
    let starts = [0, 1].map(|partition| start(queue.id(), partition, 0));
    consumer.assign(Generation(1), &starts).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.len() == 2);

    kafka.kill();
    let until = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < until, "an outage is told within {DEADLINE:?}");
        match consumer.poll(Duration::from_millis(50)) {
            Some(Event::AllBrokersDown { .. }) => break,
            Some(event) => assert!(event.is_passing(), "{event:?}"),
            None => {}
        }
    }
    // the first answer may know of the broken connection only, not yet of one that was refused
    wait_until(DEADLINE, "the cause of the outage", || {
        let error = consumer.topic(Duration::from_secs(1)).unwrap_err();
        assert!(error.is_passing(), "{error}");
        error.to_string().contains("refused")
    });
    kafka.start_server();
    produce(&kafka, 100);
    read(&consumer, &mut queue, &mut seen, |seen| (0..2).all(|partition| seen.offsets(partition).len() >= 200));
    for partition in 0..2 {
        assert_eq!(seen.offsets(partition), (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn large_records_pass_through_small_queues() {
    let topic = kafka(Version::V4_1_1).topic("large", 2);
    let large = |n: usize| vec![b'a' + u8::try_from(n).unwrap(); if n < 10 { 100_000 } else { 3_000_000 }];
    for partition in 0..2 {
        topic.produce(partition, (0..14).map(large));
    }
    // far less than one response, and than one record
    let settings = Settings { queue_bytes: 1 << 20, ..settings(topic.kafka, &topic.name) };
    let consumer = Consumer::connect(&settings).unwrap();
    let mut queue = consumer.queue();
    let starts = [0, 1].map(|partition| start(queue.id(), partition, 0));
    consumer.assign(Generation(1), &starts).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.values().copied().eq([14, 14]));
    for records in seen.records.values() {
        assert!(records.iter().enumerate().all(|(n, (_, payload))| *payload == large(n)));
    }
}

#[test]
fn the_oldest_brokers_are_read() {
    let kafka = kafka(Version::V0_10_0_1);
    let topic = kafka.topic("oldest", 2);
    topic.produce(0, (0..500).map(|n| format!("record {n}")));
    let consumer = connect(&topic);
    let mut queue = consumer.queue();
    let described = consumer.topic(DEADLINE).unwrap();
    assert_eq!((described.partitions, described.id), (vec![0, 1], None));
    let marks = consumer.watermarks(&[0, 1], DEADLINE).unwrap();
    assert_eq!(marks[&0], Watermarks { low: 0, high: 500 });
    assert_eq!(marks[&1], Watermarks { low: 0, high: 0 });
    let error = consumer.offsets_at(1, &[0], DEADLINE).unwrap_err();
    assert!(error.to_string().starts_with("finding offsets by time: these brokers cannot"), "{error}");

    let starts = [start(queue.id(), 0, 490), start(queue.id(), 1, 0)];
    consumer.assign(Generation(1), &starts).unwrap();
    let mut seen = Seen::default();
    read(&consumer, &mut queue, &mut seen, |seen| seen.ends.len() == 2);
    assert_eq!((seen.offsets(0), seen.ends[&0]), ((490..500).collect(), 500));
    assert_eq!(seen.records[&0][9].1, b"record 499");
    assert!(seen.epochs.iter().all(Option::is_none));
    consumer.assign(Generation(2), &[start(queue.id(), 0, 700)]).unwrap();
    read(&consumer, &mut queue, &mut seen, |seen| seen.out_of_range == [(0, 700)]);

    let missing = Settings { topic: format!("{}x", topic.name), ..settings(kafka, &topic.name) };
    let error = Consumer::connect(&missing).unwrap().topic(DEADLINE).unwrap_err();
    assert!(error.to_string().ends_with(&format!("did you mean \"{}\"?", topic.name)), "{error}");
}
