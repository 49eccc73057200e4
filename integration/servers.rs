//! The harness itself: every server starts, takes what tests need from it, and is gone afterwards.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::{
    Kafka, Output, Supervised, Topic, User, Version, directory, kafka, on_each_database, poll, unique, wait_until,
};

on_each_database! {
    fn a_database_runs_sql(db) {
        let schema = db.schema("servers");
        db.execute(&format!("CREATE TABLE {schema}.t (a int, b text) {}", db.distributed_by("a")));
        db.execute(&format!("INSERT INTO {schema}.t VALUES (1, 'x'), (2, NULL)"));
        assert_eq!(db.rows(&format!("SELECT * FROM {schema}.t ORDER BY a")), ["1|x", "2|\\N"]);
    }
}

#[test]
fn the_current_kafka_serves_topics() {
    let kafka = kafka(Version::V4_1_1);
    let topic = a_topic_takes_records(kafka);
    topic.delete_records_before(1, 2);
    assert_eq!(topic.watermarks(1), (2, 3));
    topic.grow_to(3);
    topic.produce(2, ["late"]);
    assert_eq!(topic.watermarks(2), (0, 1));
    topic.delete();
    an_abort_leaves_a_hole(kafka);
}

#[test]
fn the_middle_kafka_serves_topics() {
    let kafka = kafka(Version::V3_9_1);
    a_topic_takes_records(kafka);
    an_abort_leaves_a_hole(kafka);
}

#[test]
fn the_oldest_kafka_serves_topics() {
    a_topic_takes_records(kafka(Version::V0_10_0_1));
}

#[test]
fn a_killed_broker_comes_back_with_its_records() {
    let mut kafka = Kafka::start(Version::V4_1_1);
    let topic = kafka.topic("survivor", 1).name;
    Topic { kafka: &kafka, name: topic.clone() }.produce(0, ["kept"]);
    kafka.kill();
    kafka.start_server();
    assert_eq!(read(&Topic { kafka: &kafka, name: topic }, 0, 1), ["kept"]);
}

fn a_topic_takes_records(kafka: &Kafka) -> Topic<'_> {
    let topic = kafka.topic("servers", 2);
    topic.produce(1, ["one", "two", "three"]);
    assert_eq!(topic.watermarks(0), (0, 0));
    assert_eq!(topic.watermarks(1), (0, 3));
    assert_eq!(read(&topic, 1, 3), ["one", "two", "three"]);
    topic
}

fn an_abort_leaves_a_hole(kafka: &Kafka) {
    let topic = kafka.topic("transactions", 1);
    let producer = kafka.transactional_producer();
    producer.begin();
    producer.send(&topic.name, 0, None, Some(b"kept"));
    producer.commit();
    producer.begin();
    producer.send(&topic.name, 0, None, Some(b"dropped"));
    producer.abort();
    producer.begin();
    producer.send(&topic.name, 0, None, Some(b"kept too"));
    producer.commit();
    assert_eq!(read(&topic, 0, 2), ["kept", "kept too"]);
    assert_eq!(topic.watermarks(0).1, 6);
}

/// Reads `count` records of a partition from its beginning, as a client that honours transactions.
fn read(topic: &Topic<'_>, partition: i32, count: usize) -> Vec<String> {
    let mut config = topic.kafka.client();
    let consumer: BaseConsumer = config.set("group.id", unique("reader")).create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&topic.name, partition, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut values = Vec::new();
    wait_until(Duration::from_secs(60), "all records", || {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
        values.len() == count
    });
    values
}

#[test]
fn a_supervised_program_obeys_signals_and_never_outlives_its_owner() {
    let dir = directory("supervised", User::current());
    let output = Output { stdout: dir.join("out"), stderr: dir.join("err") };
    let start = |script: &str| {
        let mut command = std::process::Command::new("sh");
        Supervised::start(command.args(["-c", script]), User::current(), "TERM", &output)
    };
    let soon = Duration::from_secs(20);
    assert_eq!(start("echo said; exit 7").wait(soon), Some(7));
    assert_eq!(std::fs::read_to_string(&output.stdout).unwrap(), "said\n");

    let mut killed = start("exec tail -f /dev/null");
    killed.signal("KILL");
    assert_eq!(killed.wait(soon), Some(128 + 9));

    let interrupted = start("trap 'echo caught; exit 0' INT; echo ready; while :; do sleep 0.1; done");
    wait_until(soon, "the trap to be set", || std::fs::read_to_string(&output.stdout).unwrap().contains("ready"));
    interrupted.signal("INT");
    wait_until(soon, "the trap to run", || std::fs::read_to_string(&output.stdout).unwrap().contains("caught"));

    let stopped = start("exec tail -f /dev/null");
    stopped.signal("STOP");
    let pid = stopped.pid();
    drop(stopped);
    assert!(poll(soon, || (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())).is_some());
}
