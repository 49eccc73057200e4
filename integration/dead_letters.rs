//! Refused records in a table: whole, with the reason, in the transaction of their batch.

use std::time::Duration;

use crate::harness::{
    Database, Job, Loader, Outcome, Topic, Version, full, greenplum, kafka, on_each_database, unique, wait_until,
};

/// A topic, and a table `t (a int, b text)` in a schema of its own, whose refused records go into `letters`.
pub struct Place<'a> {
    pub db: &'a Database,
    pub topic: Topic<'a>,
    pub schema: String,
}

impl<'a> Place<'a> {
    pub fn new(db: &'a Database, name: &str, partitions: i32, more: &str) -> Self {
        // old timestamps must not make the broker clean up
        let topic = kafka(Version::V4_1_1).topic_named(&unique(name), partitions, &[("retention.ms", "-1")]);
        let schema = db.schema(name);
        db.execute(&format!("CREATE TABLE {schema}.t (a int, b text{more}) {}", db.distributed_by("a")));
        Self { db, topic, schema }
    }

    /// Any number of rejects passes.
    pub fn job(&self) -> Job {
        let job = Job::new(self.db, &self.topic, &self.schema, "t", "a int, b text");
        job.input("ERROR_LIMIT: 100%").dead_letter("letters")
    }

    pub fn load(&self, job: &Job) -> Outcome {
        Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(0)
    }

    pub fn rows(&self) -> Vec<String> {
        self.db.rows(&format!("SELECT a, b FROM {}.t ORDER BY a, b", self.schema))
    }

    /// Some expressions over the letters, in the order of their records.
    pub fn letters(&self, what: &str) -> Vec<String> {
        let order = "ORDER BY \"partition\", \"offset\", \"row\", error";
        self.db.rows(&format!("SELECT {what} FROM {}.letters {order}", self.schema))
    }

    /// Inserted and rejected, over the whole ledger.
    pub fn ledger(&self) -> String {
        self.db.value(&format!(
            "SELECT sum(inserted) || ' ' || sum(rejected + refused) FROM {}.gpkafka_ledger",
            self.schema
        ))
    }
}

/// Where a letter comes from and who refused it.
const COORDINATES: &str = "\"partition\", \"offset\", coalesce(\"row\"::text, '-'), stage, coalesce(sqlstate, '-')";

/// Nothing of the record is lost, and nothing is made up.
fn expect_whole(db: &Database, place: &Place<'_>, failpoints: &str) {
    let producer = place.topic.kafka.producer();
    let send = |partition, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)], ms| {
        producer.send_with(&place.topic.name, partition, key, value, headers, Some(ms));
    };
    let headers: [(&str, Option<&[u8]>); 4] =
        [("trace", Some(b"a\"b")), ("trace", None), ("raw", Some(b"\xff\0")), ("", Some(b""))];
    send(1, Some(b"k\0\xfe"), Some(b"1,a\0\xff,c"), &headers, 1_700_000_000_123);
    send(1, None, Some(b"2,good"), &[], 1_700_000_000_456);
    send(1, Some(b""), None, &[], 86_400_001);
    send(0, None, Some(b""), &[], 1);
    producer.flush();
    let load = Loader::load(&place.job().text()).args(["--quit-at-eof"]);
    let outcome = load.failpoints(failpoints).run().expect_code(0);
    outcome
        .expect_text("Inserted 1 rows")
        .expect_text("Rejected 3 rows")
        .expect_text("csv  missing data for column \"b\"");
    assert_eq!(place.rows(), ["2|good"]);
    assert_eq!(place.letters(COORDINATES), ["0|0|-|decode|-", "1|0|-|decode|-", "1|2|-|decode|-"]);
    assert_eq!(place.letters("encode(key, 'hex'), encode(payload, 'hex'), headers"), [
        "\\N||\\N".to_owned(),
        "6b00fe|312c6100ff2c63|[{\"name\":\"trace\",\"value\":\"a\\\"b\"},{\"name\":\"trace\",\"value\":null},{\"hex\":\"ff00\",\"name\":\"raw\"},{\"name\":\"\",\"value\":\"\"}]".to_owned(),
        "|\\N|\\N".to_owned(),
    ]);
    assert_eq!(
        place.letters("extract(epoch FROM \"timestamp\")::numeric(20, 3), timestamp_type"),
        ["0.001|CreateTime", "1700000000.123|CreateTime", "86400.001|CreateTime",]
    );
    assert_eq!(
        place.letters("error"),
        [
            "csv  missing data for column \"b\"",
            "csv  column \"b\": a NUL byte at byte 2, which text cannot hold",
            "csv  no value to load (a tombstone)",
        ]
    );
    let job = db.value(&format!("SELECT DISTINCT job FROM {}.gpkafka_ledger", place.schema));
    assert_eq!(place.letters("DISTINCT job, topic, has_record, batch, now() - written_at < interval '1 hour', 1 AS \"partition\", 1 AS \"offset\", 1 AS \"row\", '' AS error"), [
        format!("{job}|{}|t|1|t|1|1|1|", place.topic.name)
    ]);
    assert_eq!(place.ledger(), "1 3");
    // a second load finds the table and adds to it
    place.topic.produce(0, ["x"]);
    place.load(&place.job());
    assert_eq!(place.letters("\"partition\", \"offset\", batch"), ["0|0|1", "0|1|1", "1|0|1", "1|2|1"]);
}

on_each_database! {
    fn a_letter_that_was_copied_as_it_came_is_the_whole_record(db) {
        expect_whole(db, &Place::new(db, "copied", 2, ""), "");
    }

    fn a_letter_that_was_read_again_is_the_whole_record(db) {
        expect_whole(db, &Place::new(db, "reread", 2, ""), "copies-off=return");
    }

    /// Mappings, conditions and constraints: the batch is loaded straight until one of its rows is refused, then through
    /// a temporary table.
    fn rows_that_the_database_refuses_are_found_and_kept(db) {
        let place = Place::new(db, "refused", 1, ", UNIQUE (a)");
        let job = place.job().value("DELIMITED_OPTION: {DELIMITER: ','}").format("delimited");
        let job = job.output("MAPPING: {a: 100 / a, b: b}").commit("MINIMAL_INTERVAL: 60000");
        // two records of several rows
        place.topic.produce(0, ["10,x\n0,y\n20,z", "5,u", "0,v", "1,w\nbad", "100,last"]);
        let outcome = place.load(&job);
        outcome.clone().expect_text("loading the batch again through a temporary table");
        outcome.expect_text("division by zero").expect_text("Inserted 4 rows").expect_text("Rejected 3 rows");
        assert_eq!(place.rows(), ["1|last", "5|z", "10|x", "20|u"]);
        assert_eq!(place.letters(COORDINATES), ["0|0|1|expression|22012", "0|2|0|expression|22012", "0|3|-|decode|-"]);
        assert_eq!(place.letters("split_part(error, ' (', 1)"), ["division by zero", "division by zero", "delimited  missing data for column \"b\""]);
        assert_eq!(place.letters("convert_from(payload, 'UTF8')")[0], "10,x\n0,y\n20,z");
        assert_eq!(place.ledger(), "4 3");
        let backups = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace";
        let backups = format!("{backups} WHERE n.nspname = '{}' AND c.relname LIKE 'gpssbackup%'", place.schema);
        assert_eq!(db.number(&backups), 0, "they are in one place only");
        // a key that is there already
        place.topic.produce(0, ["100,again", "4,new"]);
        place.load(&job);
        assert_eq!(place.rows(), ["1|last", "5|z", "10|x", "20|u", "25|new"]);
        assert_eq!(place.letters("\"offset\", sqlstate")[3..], ["5|23505"]);
    }

    /// Once rows are clean again, batches go straight in.
    fn a_load_is_not_careful_for_ever(db) {
        let place = Place::new(db, "careful", 1, "");
        let job = place.job().output("MAPPING: {a: 100 / a, b: b}").commit("MAX_ROW: 10").commit("MINIMAL_INTERVAL: 0");
        let running = Loader::load(&job.text()).start();
        let mut offset = 0;
        for round in 1..=2 {
            let rows = (0..400).map(|at| if at == 0 { "0,bad".to_owned() } else { format!("5,{at}") });
            place.topic.produce(0, rows);
            wait_until(Duration::from_secs(60), "straight loads", || {
                running.text().matches("loading straight again").count() == round
            });
            offset += 400;
            wait_until(Duration::from_secs(60), "all rows", || place.rows().len() == round * 399);
        }
        let text = running.text();
        assert_eq!(text.matches("through a temporary table, to find such rows").count(), 2, "{text}");
        assert_eq!(place.letters("\"offset\", sqlstate"), ["0|22012", "400|22012"]);
        running.signal("INT");
        running.wait(Duration::from_secs(60)).expect_code(0);
        assert_eq!(place.ledger(), format!("{} 2", offset - 2));
    }

    fn a_loader_that_is_killed_with_its_letters_written_leaves_none(db) {
        let place = Place::new(db, "unwritten", 1, "");
        place.topic.produce(0, ["1,a", "bad", "2,b", "worse"]);
        let job = place.job();
        let mut running = Loader::load(&job.text()).args(["--quit-at-eof"]).failpoints("dead-letters-written=pause").start();
        running.wait_for_text(Duration::from_secs(60), "gpkafka job has started");
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        let waiting = format!("{waiting} AND query LIKE 'INSERT INTO \"{}\".\"letters\"%'", place.schema);
        wait_until(Duration::from_secs(60), "letters written", || db.number(&waiting) > 0);
        running.kill();
        wait_until(Duration::from_secs(60), "the session's end", || db.number(&waiting) == 0);
        assert_eq!((place.letters("1"), place.rows()), (vec![], vec![]));
        place.load(&job);
        assert_eq!((place.letters("\"offset\""), place.rows()), (vec!["1".to_owned(), "3".to_owned()], vec!["1|a".to_owned(), "2|b".to_owned()]));
        assert_eq!(place.ledger(), "2 2");
    }

    /// Retention may be quicker than a batch.
    fn a_record_that_has_expired_meanwhile_leaves_its_reason(db) {
        let place = Place::new(db, "expired", 1, "");
        place.topic.produce(0, ["1,a", "bad", "2,b", "worse", "3,c"]);
        let running = Loader::load(&place.job().text()).args(["--quit-at-eof"]).failpoints("copies-off=return;insert-replied=sleep(3000)").start();
        wait_until(Duration::from_secs(60), "a row that nobody sees yet", || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
            db.number(&format!("{waiting} AND query LIKE 'INSERT INTO \"{}\".\"t\"%'", place.schema)) > 0
        });
        place.topic.delete_records_before(0, 2);
        running.wait(Duration::from_secs(60)).expect_code(0);
        assert_eq!(place.rows(), ["1|a", "2|b", "3|c"]);
        assert_eq!(place.letters("\"offset\", has_record, payload IS NULL, error"), [
            "1|f|t|csv  missing data for column \"b\"", "3|t|f|csv  missing data for column \"b\"",
        ]);
    }

    /// A function in place of a mapping has no rehearsal; its bad rows are found all the same.
    fn rows_that_a_function_refuses_are_found(db) {
        let place = Place::new(db, "function", 1, "");
        db.execute(&format!(
            "CREATE FUNCTION {0}.tw(s anyelement, properties json) RETURNS {0}.t LANGUAGE plpgsql AS $$
             DECLARE made {0}.t; BEGIN made.a := 1000 / s.a; made.b := s.b; RETURN made; END $$",
            place.schema
        ));
        place.topic.produce(0, ["10,x", "0,div", "20,y"]);
        let job = place.job().output(&format!("TRANSFORMER: {{TRANSFORM: {}.tw}}", place.schema));
        place.load(&job);
        assert_eq!(place.rows(), ["50|y", "100|x"]);
        assert_eq!(place.letters("\"offset\", sqlstate"), ["1|22012"]);
    }

    fn sql_of_the_users_own_that_fails_is_no_row(db) {
        let place = Place::new(db, "ownsql", 1, "");
        place.topic.produce(0, ["1,a"]);
        let job = place.job().task(&format!("POST_BATCH_SQL: SELECT 1 / count(*) FROM {}.t WHERE a < 0", place.schema));
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("division by zero").expect_no_text("temporary table").expect_no_text("RECOVER_FAILING_BATCH");
        assert_eq!((place.letters("1").len(), place.rows().len()), (0, 0));
    }

    /// The file could say what to do.
    fn without_a_table_for_them_refused_rows_end_the_load(db) {
        let place = Place::new(db, "noletters", 1, ", CHECK (a > 0)");
        place.topic.produce(0, ["1,a", "0,b"]);
        let job = Job::new(db, &place.topic, &place.schema, "t", "a int, b text");
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("DEAD_LETTER or RECOVER_FAILING_BATCH in the file would keep such rows aside");
        assert!(place.rows().is_empty());
    }

    fn a_table_that_does_not_fit_is_refused_before_anything_is_read(db) {
        let place = Place::new(db, "unfit", 1, "");
        place.topic.produce(0, ["bad"]);
        db.execute(&format!("CREATE TABLE {}.letters (job text, topic int)", place.schema));
        let outcome = Loader::load(&place.job().text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("where dead letters are kept, does not fit this job: its column \"topic\" is integer, and should be text");
    }
}

/// Everything of a large topic that is refused, and nothing else.
#[test]
fn ten_thousand_bad_records_of_a_million_are_kept() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "million", 2, "");
    let per_partition = full(1_000_000) / 2;
    // of a hundred records one lacks a column, or its number is none
    let record = |partition: i64, at: i64| match (at % 100, at % 200) {
        (57, 57) => format!("{at}"),
        (57, _) => format!("n{at},{partition}"),
        _ => format!("{at},{partition} some more text to make it as long as rows are"),
    };
    for partition in [0, 1] {
        let records = (0..per_partition).map(|at| record(partition, at));
        place.topic.produce(i32::try_from(partition).unwrap(), records);
    }
    place.load(&place.job());
    let bad = per_partition / 100;
    let count = |sql: &str| db.number(&sql.replace("$", &place.schema));
    assert_eq!(count("SELECT count(*) FROM $.t"), 2 * (per_partition - bad));
    assert_eq!(count("SELECT count(DISTINCT (\"partition\", \"offset\")) FROM $.letters"), 2 * bad);
    let is_right = "payload = convert_to(CASE WHEN \"offset\" % 200 = 57 THEN \"offset\"::text ELSE 'n' || \"offset\" || ',' || \"partition\" END, 'UTF8')";
    let stage = "stage = CASE WHEN \"offset\" % 200 = 57 THEN 'decode' ELSE 'segment' END";
    let sql = format!("SELECT count(*) FROM $.letters WHERE \"offset\" % 100 = 57 AND {is_right} AND {stage}");
    assert_eq!(count(&sql), 2 * bad);
    assert_eq!(place.ledger(), format!("{} {}", 2 * (per_partition - bad), 2 * bad));
}
