//! Records that cannot become rows: named, counted, and held against ERROR_LIMIT; nothing of a batch with too many.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::harness::{
    Database, Job, Kind, Loader, Outcome, Topic, Version, greenplum, kafka, on_each_database, postgres, unique,
    wait_until,
};

/// A topic, and a table `t (a int, b text)` in a schema of its own.
struct Place<'a> {
    db: &'a Database,
    topic: Topic<'a>,
    schema: String,
}

impl<'a> Place<'a> {
    fn new(db: &'a Database, name: &str, partitions: i32) -> Self {
        let topic = kafka(Version::V4_1_1).topic(name, partitions);
        let schema = db.schema(name);
        db.execute(&format!("CREATE TABLE {schema}.t (a int, b text) {}", db.distributed_by("a")));
        Self { db, topic, schema }
    }

    fn job(&self) -> Job {
        Job::new(self.db, &self.topic, &self.schema, "t", "a int, b text")
    }

    fn load(&self, job: &Job) -> Outcome {
        Loader::load(&job.text()).args(["--quit-at-eof"]).run()
    }

    fn rows(&self) -> Vec<String> {
        self.db.rows(&format!("SELECT a, b FROM {}.t ORDER BY a", self.schema))
    }

    /// Partition, inserted, rejected of every ledger row.
    fn ledger(&self) -> Vec<String> {
        let sql = "SELECT \"partition\", first, next, inserted, rejected + refused";
        self.db.rows(&format!("{sql} FROM {}.gpkafka_ledger ORDER BY \"partition\", seq", self.schema))
    }

    /// `topic[partition]@offset` as it stands in the log.
    fn name(&self, partition: i32, offset: i64) -> String {
        format!("rejected {}[{partition}]@{offset} ", self.topic.name)
    }

    /// Nothing was inserted, and no offset moved.
    fn expect_untouched(&self) {
        assert_eq!(self.rows(), [""; 0]);
        assert_eq!(self.ledger(), [""; 0]);
    }
}

/// The log lines that name rejects.
fn named(outcome: &Outcome) -> Vec<String> {
    outcome
        .text()
        .lines()
        .filter(|line| line.contains("]:-rejected ") && line.contains('@'))
        .map(str::to_owned)
        .collect()
}

on_each_database! {
    /// Too few columns, invalid UTF-8 and NUL bytes are never sent.
    fn what_the_decoder_refuses_is_named_and_the_rest_loads(db) {
        let place = Place::new(db, "decoder", 2);
        let long = format!("7{}", "x".repeat(500));
        place.topic.produce(0, [&b"1,x"[..], b"2", b"3,\xff\xfe", b"4,a\0b", b"5,\xc3\xa4"]);
        place.topic.produce(1, [long.as_bytes(), b"6,y"]);
        let outcome = place.load(&place.job().input("ERROR_LIMIT: 4")).expect_code(0);
        assert_eq!(place.rows(), ["1|x", "5|ä", "6|y"]);
        assert_eq!(place.ledger(), ["0|0|5|2|3", "1|0|2|1|1"]);
        let named = named(&outcome);
        assert_eq!(named.len(), 4, "{named:#?}");
        for (partition, offset) in [(0, 1), (0, 2), (0, 3), (1, 0)] {
            outcome.clone().expect_text(&place.name(partition, offset));
        }
        let cut = named.iter().find(|line| line.contains(&place.name(1, 0))).unwrap();
        assert!(cut.ends_with(&format!("payload {}", &long[..200])), "{cut}");
        outcome.expect_text("Inserted 3 rows").expect_text("Rejected 4 rows");
    }

    fn twenty_of_a_batch_are_named_and_the_rest_is_a_count_for_each_partition(db) {
        let place = Place::new(db, "twenty", 2);
        place.topic.produce(0, (0..40).map(|a| if a < 35 { a.to_string() } else { format!("{a},good") }));
        place.topic.produce(1, (50..54).map(|a| a.to_string()));
        let outcome = place.load(&place.job().input("ERROR_LIMIT: 39")).expect_code(0);
        assert_eq!(place.rows().len(), 5);
        assert_eq!(named(&outcome).len(), 20);
        let more: BTreeMap<String, u64> = counted(&outcome, &place.topic.name);
        assert_eq!(more.values().sum::<u64>(), 19, "{more:?}");
        outcome.expect_text("Rejected 39 rows");
    }

    fn the_limit_lets_so_many_pass_and_no_more(db) {
        let bad = |count: usize| (0..50).map(move |a| if a < count { a.to_string() } else { format!("{a},good") });
        // limit, rejects of 50 records, whether they pass
        let cases = [(None, 0, true), (None, 1, false), (Some("3"), 3, true), (Some("3"), 4, false),
            (Some("10%"), 5, true), (Some("10%"), 6, false)];
        for (limit, count, passes) in cases {
            let place = Place::new(db, "limits", 1);
            place.topic.produce(0, bad(count));
            let job = limit.map_or_else(|| place.job(), |limit| place.job().input(&format!("ERROR_LIMIT: {limit}")));
            let outcome = place.load(&job);
            if passes {
                outcome.expect_code(0);
                assert_eq!(place.rows().len(), 50 - count);
                assert_eq!(place.ledger(), [format!("0|0|50|{}|{count}", 50 - count)]);
                continue;
            }
            let outcome = outcome.expect_code(1).expect_text("more than ERROR_LIMIT allows");
            place.expect_untouched();
            assert_eq!(named(&outcome).len(), count, "{}", outcome.text());
            outcome.expect_text(&place.name(0, 0));
        }
    }

    /// A batch of rejects alone has nothing to insert, and its offsets move all the same.
    fn a_batch_of_nothing_but_rejects_moves_on(db) {
        let place = Place::new(db, "only", 1);
        place.topic.produce(0, ["1", "2"]);
        let job = place.job().input("ERROR_LIMIT: 100%");
        place.load(&job).expect_code(0).expect_text("Rejected 2 rows");
        assert_eq!(place.ledger(), ["0|0|2|0|2"]);
        place.topic.produce(0, ["3,x"]);
        place.load(&job).expect_code(0).expect_text("Inserted 1 rows").expect_text("Rejected 0 rows");
        assert_eq!(place.rows(), ["3|x"]);
    }
}

/// The counts of rejects that were not named, by partition.
fn counted(outcome: &Outcome, topic: &str) -> BTreeMap<String, u64> {
    let text = outcome.text();
    let lines = text.lines().filter_map(|line| line.split_once("]:-rejected ")?.1.split_once(" more records of "));
    let count = |(count, rest): (&str, &str)| {
        let partition = rest.strip_prefix(topic).unwrap().split(']').next().unwrap().trim_start_matches('[').to_owned();
        (partition, count.parse().unwrap())
    };
    lines.map(count).collect()
}

/// Offsets with holes: each value that begins with `!` is aborted, and each commit takes an offset too.
fn produce_with_holes(topic: &Topic<'_>, partition: i32, values: &[&str]) {
    let producer = topic.kafka.transactional_producer();
    for value in values {
        producer.begin();
        producer.send(&topic.name, partition, None, Some(value.as_bytes()));
        if value.starts_with('!') { producer.abort() } else { producer.commit() }
    }
}

#[test]
fn what_segments_refuse_is_named_with_its_exact_offset() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "segments", 3);
    produce_with_holes(&place.topic, 0, &["1,a", "!2,b", "three,c", "!4,d", "5,e", "six,f"]);
    place.topic.produce(1, (100..2100).map(|a| if a == 1234 { "x,bad".to_owned() } else { format!("{a},good") }));
    place.topic.produce(2, ["99999999999,too large", "7,ok", "8"]);
    let outcome = place.load(&place.job().input("ERROR_LIMIT: 5")).expect_code(0);
    assert_eq!(place.rows().len(), 2 + 1999 + 1);
    // every second offset is a transaction's end
    assert_eq!(place.ledger(), ["0|0|12|2|2", "1|0|2000|1999|1", "2|0|3|1|2"]);
    assert_eq!(named(&outcome).len(), 5, "{}", outcome.text());
    for (partition, offset) in [(0, 4), (0, 10), (1, 1134), (2, 0), (2, 2)] {
        outcome.clone().expect_text(&place.name(partition, offset));
    }
    outcome.expect_text("invalid input syntax for integer: \"three\"").expect_text("Rejected 5 rows");
}

/// Compaction takes records out of the middle: what is left keeps its offsets.
#[test]
fn what_segments_refuse_is_named_in_a_compacted_topic() {
    let Some(db) = greenplum(2) else { return };
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("max.compaction.lag.ms", "100"),
    ];
    let mut place = Place::new(db, "compacted", 1);
    place.topic = kafka(Version::V4_1_1).topic_named(&unique("compacted"), 1, &settings);
    let producer = kafka(Version::V4_1_1).producer();
    let send = |key: &str, value: &str| {
        producer.send(&place.topic.name, 0, Some(key.as_bytes()), Some(value.as_bytes()));
    };
    (0..50).for_each(|_| send("same", "1,superseded"));
    send("bad", "x,bad");
    (0..50).for_each(|_| send("same", "2,last"));
    send("worse", "y,worse");
    producer.flush();
    // each look adds a record, which closes the segment before it when that is old enough
    let mut added = 0;
    wait_until(Duration::from_secs(60), "the topic to be compacted", || {
        send("end", "3,end");
        producer.flush();
        added += 1;
        offsets(&place.topic)[..3] == [50, 100, 101]
    });
    let job = place.job().input("ERROR_LIMIT: 2");
    let outcome = place.load(&job).expect_code(0);
    assert_eq!(named(&outcome).len(), 2, "{}", outcome.text());
    outcome.expect_text(&place.name(0, 50)).expect_text(&place.name(0, 101));
    let proof = Loader::with_job("check", &job.text()).args(["--verify"]).run().expect_code(0);
    proof.expect_text("1 commit of 1 partition join without a gap, and all sums hold");
    assert!(place.ledger()[0].starts_with(&format!("0|0|{}|", 102 + added)), "{:?}", place.ledger());
}

/// The offsets that a partition still has.
fn offsets(topic: &Topic<'_>) -> Vec<i64> {
    let mut config = topic.kafka.client();
    let consumer: BaseConsumer =
        config.set("group.id", unique("reader")).set("enable.partition.eof", "true").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&topic.name, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut offsets = Vec::new();
    wait_until(Duration::from_secs(60), "the end of the partition", || {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => offsets.push(message.offset()),
            Some(Err(KafkaError::PartitionEOF(_))) => return true,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
        false
    });
    offsets
}

/// The log of refused rows belongs to the external table and outlives transactions: each batch has its own again.
#[test]
fn each_batch_names_its_own() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "each", 1);
    let job = place.job().input("ERROR_LIMIT: 1").commit("MAX_ROW: 10");
    let value = |a: i32| if a % 10 == 3 { format!("x{a},bad") } else { format!("{a},good") };
    place.topic.produce(0, (0..50).map(value));
    let outcome = place.load(&job).expect_code(0);
    assert_eq!(place.rows().len(), 45);
    assert_eq!(named(&outcome).len(), 5, "{}", outcome.text());
    for offset in [3, 13, 23, 33, 43] {
        outcome.clone().expect_text(&place.name(0, offset));
    }
}

#[test]
fn what_decoder_and_segments_refuse_counts_together() {
    let Some(db) = greenplum(2) else { return };
    for (limit, passes) in [(4, true), (3, false)] {
        let place = Place::new(db, "together", 1);
        place.topic.produce(0, ["1", "2,x", "y,y", "3", "z,z", "4,x"]);
        let outcome = place.load(&place.job().input(&format!("ERROR_LIMIT: {limit}")));
        let outcome = outcome.expect_code(if passes { 0 } else { 1 });
        assert_eq!(named(&outcome).len(), 4, "{}", outcome.text());
        for offset in [0, 2, 3, 4] {
            outcome.clone().expect_text(&place.name(0, offset));
        }
        if passes { assert_eq!(place.ledger(), ["0|0|6|2|4"]) } else { place.expect_untouched() }
    }
}

/// The batch that fails is the one in front, while the next one fills already.
#[test]
fn rejects_of_a_batch_are_named_while_the_next_one_fills() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "front", 1);
    place.topic.produce(0, (0..10_000).map(|a| if a == 77 { "x,bad".to_owned() } else { format!("{a},good") }));
    let outcome = place.load(&place.job().commit("MAX_ROW: 1000")).expect_code(1);
    place.expect_untouched();
    outcome.expect_text(&place.name(0, 77)).expect_text("batch 1 failed");
}

/// A record of many rows is named by each of them that is refused, and keeps the others.
#[test]
fn a_row_inside_a_record_is_named_by_the_record() {
    let Some(db) = greenplum(2) else { return };
    let topic = kafka(Version::V4_1_1).topic("inside", 1);
    let schema = db.schema("inside");
    db.execute(&format!("CREATE TABLE {schema}.t (a int, b text) DISTRIBUTED BY (a)"));
    let job = Job::new(db, &topic, &schema, "t", "j json").format("jsonl").input("ERROR_LIMIT: 2");
    let job = job.output("MAPPING: {a: \"(j->>'a')::int\", b: \"j->>'b'\"}");
    let good = r#"{"a": 1, "b": "x"}"#;
    let bad = r#"{"a": 1, "b": x}"#;
    topic.produce(0, [format!("{good}\n{good}"), format!("{good}\n{bad}\n{good}"), bad.to_owned()]);
    let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(0);
    assert_eq!(db.number(&format!("SELECT count(*) FROM {schema}.t")), 4);
    assert_eq!(named(&outcome).len(), 2);
    for offset in [1, 2] {
        outcome.clone().expect_text(&format!("rejected {}[0]@{offset} ", topic.name));
    }
    outcome.expect_text("Rejected 2 rows");
}

/// PostgreSQL has no reject limit: the batch fails whatever ERROR_LIMIT says, and the record is named.
#[test]
fn a_value_that_postgresql_refuses_fails_the_batch_and_is_named() {
    let place = Place::new(postgres(), "refused", 2);
    assert_eq!(place.db.kind, Kind::Postgres);
    produce_with_holes(&place.topic, 0, &["1,a", "!2,b", "3,c", "four,d", "5,e"]);
    place.topic.produce(1, (100..200).map(|a| format!("{a},good")));
    let outcome = place.load(&place.job().input("ERROR_LIMIT: 10")).expect_code(1);
    place.expect_untouched();
    let name = format!("{}[0]@6", place.topic.name);
    let outcome = outcome.expect_text(&name).expect_text("invalid input syntax for type integer: \"four\"");
    outcome.expect_text("a value that PostgreSQL refuses fails its batch");
}

/// What the record holds is shown, and steers nothing: no line of its own, no colours.
#[test]
fn what_segments_refuse_is_one_clean_line() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "clean", 1);
    let forged = "20261124:00:00:00 gpkafka:x:x:1-[INFO]:-Inserted 7 rows";
    place.topic.produce(0, ["1,good".to_owned(), format!("\"\u{1b}[2J\n{forged}{}\",bad", "x".repeat(100_000))]);
    let outcome = place.load(&place.job().input("ERROR_LIMIT: 5")).expect_code(0).expect_no_text("\u{1b}");
    let line = outcome.text().lines().find(|line| line.contains(&place.name(0, 1))).unwrap().to_owned();
    assert!(line.contains("\\u{1b}[2J\\n") && line.len() < 1500, "{line}");
    assert!(outcome.text().lines().all(|line| line != forged), "{}", outcome.text());
    assert_eq!(place.rows(), ["1|good"]);
}

/// The same of an error that ends the load: it stands in the log, in the summary and on stderr.
#[test]
fn what_postgresql_refuses_is_one_clean_line() {
    let place = Place::new(postgres(), "clean", 1);
    place.topic.produce(0, [format!("\"\u{1b}[2J\nforged{}\",bad", "x".repeat(100_000))]);
    let outcome = place.load(&place.job()).expect_code(1).expect_no_text("\u{1b}");
    let outcome = outcome.expect_text(&format!("{}[0]@0", place.topic.name)).expect_text("\\u{1b}[2J forged");
    assert!(outcome.text().lines().all(|line| line.len() < 3000 && !line.starts_with("forged")), "{}", outcome.text());
}

/// A function of the filter's silences the server, so that no notice counts what segments refuse.
#[test]
fn rejects_are_counted_beside_a_filter_though_nothing_is_said() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "silent", 1);
    db.execute(&format!(
        "CREATE FUNCTION {}.quiet() RETURNS bool IMMUTABLE LANGUAGE plpgsql AS
         $$ BEGIN PERFORM set_config('client_min_messages', 'error', false); RETURN true; END $$",
        place.schema
    ));
    place.topic.produce(0, ["1,good", "x,bad", "2,filtered"]);
    let job = place.job().input(&format!("FILTER: {}.quiet() AND a <> 2", place.schema));
    let outcome = place.load(&job).expect_code(1).expect_text("rejected, more than ERROR_LIMIT allows");
    outcome.expect_text("-Rejected 0 rows of what was committed, 1 of the batch that failed");
    place.expect_untouched();
    let outcome = place.load(&job.input("ERROR_LIMIT: 5")).expect_code(0);
    outcome.expect_text("Rejected 1 rows").expect_text("Filtered 1 rows").expect_text(&place.name(0, 1));
    assert_eq!(place.rows(), ["1|good"]);
}
