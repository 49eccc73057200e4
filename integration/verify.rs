//! `check --verify`: exact sums of what holes, refusals and filters leave, proved against topic and table; and whatever
//! is changed behind the loader's back is told.

use crate::case::Case;
use crate::harness::{Database, Kind, Loader, Outcome, on_each_database};

/// Rows with the place that they come from.
fn case<'a>(db: &'a Database, name: &str, partitions: i32) -> Case<'a> {
    let mut case = Case::new(db, name, partitions);
    case.announced = &["ERROR_LIMIT", "rejected", "refuses", "skipped"];
    case.table("t (a int, b text, part int, off bigint)", "a");
    case
}

const META: &str =
    "META: {COLUMNS: [{NAME: part, TYPE: int, FIELD: partition}, {NAME: off, TYPE: bigint, FIELD: offset}]}";

/// Batches end with the topic.
fn job(case: &Case<'_>) -> crate::harness::Job {
    let job = crate::harness::Job::new(case.db, &case.topic, &case.schema, "t", "a int, b text");
    job.input("ERROR_LIMIT: 100%").input(META).commit("MINIMAL_INTERVAL: 600000")
}

fn verify(job: &str) -> Outcome {
    Loader::with_job("check", job).args(["--verify"]).run()
}

/// The table of sums, a line a partition.
fn sums(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stdout.lines().skip_while(|line| !line.starts_with("PartitionID")).skip(1);
    let lines = lines.take_while(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What does not hold, as many lines as there are words for.
fn expect_told(job: &str, told: &[&str]) {
    let outcome = verify(job).expect_code(1);
    let lines: Vec<_> = outcome.stdout.lines().filter_map(|line| line.strip_prefix("DOES NOT HOLD  ")).collect();
    assert_eq!(lines.len(), told.len(), "{}", outcome.text());
    for (line, told) in lines.iter().zip(told) {
        assert!(line.contains(told), "{told:?} is not in {line:?}");
    }
    let things = if told.len() == 1 { "1 thing does".to_owned() } else { format!("{} things do", told.len()) };
    outcome.expect_text(&format!("{things} not hold"));
}

/// Transactions that were committed and aborted, a tombstone, what is no row, and what a filter drops.
fn fill(case: &Case<'_>) {
    let producer = case.topic.kafka.transactional_producer();
    let send = |value: Option<&str>| producer.send(&case.topic.name, 0, None, value.map(str::as_bytes));
    producer.begin();
    ["1,a", "2,b", "3,c"].iter().for_each(|value| send(Some(value)));
    producer.commit(); // 0 1 2, and a marker at 3
    producer.begin();
    ["8,x", "9,y"].iter().for_each(|value| send(Some(value)));
    producer.abort(); // 4 5, marker 6
    producer.begin();
    [Some("4,drop"), None, Some("bad")].into_iter().for_each(send);
    producer.commit(); // 7 8 9, marker 10
    case.topic.produce(1, (10..15).map(|a| format!("{a},x")));
}

on_each_database! {
    fn what_was_loaded_is_proved_to_the_last_offset_and_what_is_broken_is_told(db) {
        let case = case(db, "proved", 2);
        let job = job(&case).output("FILTER: b <> 'drop'").text();
        verify(&job).expect_code(0).expect_text("nothing has been committed yet");
        fill(&case);
        case.load(&job).expect_text("-Inserted 8 rows").expect_text("-Filtered 1 rows").expect_text("-Rejected 2 rows");
        let is_greenplum = db.kind != Kind::Postgres;
        // PostgreSQL's file_fdw refuses the batch for it
        let more = if is_greenplum { vec!["20,y", "no number,y", "21,y"] } else { vec!["20,y", "21,y"] };
        case.topic.produce(1, more);
        case.load(&job);

        let outcome = verify(&job).expect_code(0);
        let head = "Expired Records Holes Decoded Refused Dropped Rows Inserted Rejected Filtered Lag";
        assert!(outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ").contains(head), "{}", outcome.stdout);
        let second = if is_greenplum { "1 2 0 8 0 8 0 8 0 0 8 7 1 0 0" } else { "1 2 0 7 0 7 0 7 0 0 7 7 0 0 0" };
        assert_eq!(sums(&outcome), ["0 1 0 11 0 6 5 4 2 0 4 3 0 1 0", second]);
        let outcome = outcome.expect_text("proved         ledger: 3 commits of 2 partitions join without a gap, and all sums hold");
        let outcome = outcome.expect_text("proved         topic: all positions are inside it, and nothing expired unread; 0 offsets are to be read");
        outcome.expect_text(".\"t\": 10 rows of the 10 that came through, each of an offset that was read, none twice").expect_no_text("not proved");

        let sql = |text: &str| db.execute(&text.replace("LEDGER", &format!("{}.gpkafka_ledger", case.schema)).replace("TABLE", &format!("{}.t", case.schema)));
        sql("UPDATE LEDGER SET records = records + 1 WHERE \"partition\" = 0");
        expect_told(&job, &["partition 0: commit 1 (batch 1 of loader "]);
        verify(&job).expect_text("offsets 0 to 11 are 11, but 7 records and 5 holes are counted");
        sql("UPDATE LEDGER SET records = records - 1, inserted = inserted + 1 WHERE \"partition\" = 0");
        expect_told(&job, &["4 rows were sent, but 4 inserted, 0 rejected and 1 filtered are counted", "10 rows are in \""]);
        sql("UPDATE LEDGER SET inserted = inserted - 1, next = 12, holes = holes + 1 WHERE \"partition\" = 0");
        expect_told(&job, &["partition 0: the ledger ends at offset 12, and the topic at 11"]);
        sql("UPDATE LEDGER SET next = 11, holes = holes - 1 WHERE \"partition\" = 0");
        verify(&job).expect_code(0);

        sql("DELETE FROM TABLE WHERE part = 1 AND off = 2");
        expect_told(&job, &["9 rows are in \""]);
        // as many as there were
        sql("INSERT INTO TABLE SELECT * FROM TABLE WHERE part = 1 AND off = 3");
        expect_told(&job, &["partition 1: 1 offset in \""]);
        sql("INSERT INTO TABLE VALUES (1, 'x', 1, 90), (1, 'x', 1, 99), (1, 'x', 7, 0), (1, 'x', NULL, 0)");
        let told = [" rows of offsets 90 to 99 in \"", "partition 7: 1 row of it in \"", "partition 1: 1 offset in \""];
        expect_told(&job, &told);
        verify(&job).expect_text("not proved     1 row of \"").expect_text("that have no partition or no offset");
        sql("DELETE FROM LEDGER WHERE \"partition\" = 1 AND seq = 1");
        verify(&job).expect_code(1).expect_text("partition 1: its history begins with commit 2, at offset 5");
    }

    fn each_partition_is_counted_by_itself_where_nothing_is_filtered(db) {
        let case = case(db, "parted", 3);
        let job = job(&case).format("delimited").value("DELIMITED_OPTION: {DELIMITER: ','}").dead_letter("letters").text();
        case.topic.produce(0, ["1,a", "2,b\n3,c"]);
        case.topic.produce(1, ["4,a", "bad", "5,b"]);
        case.load(&job);
        let outcome = verify(&job).expect_code(0);
        assert_eq!(sums(&outcome), ["0 1 0 2 0 2 0 2 0 0 3 3 0 0 0", "1 1 0 3 0 3 0 2 1 0 2 2 0 0 0"]);
        outcome.expect_text("5 rows of the 5 that came through, of 4 offsets that were read; that none is there twice and another missing cannot be told, since records make several rows");
        // a letter that is mended and loaded
        db.execute(&format!("UPDATE {}.letters SET payload = '6,late'", case.schema));
        Loader::with_job("replay", &job).run().expect_code(0);
        let outcome = verify(&job).expect_code(0);
        outcome.expect_text("of 2 that came through: 1 may be of the 1 that were refused: of a replay the ledger has no word");
        db.execute(&format!("DELETE FROM {}.t WHERE part = 0 AND a = 3", case.schema));
        expect_told(&job, &["partition 0: 2 rows are in \""]);
    }

    fn what_expired_is_told_until_it_is_skipped_and_a_reset_begins_anew(db) {
        let case = case(db, "ages", 1);
        let job = job(&case);
        let text = job.text();
        case.topic.produce(0, ["1,a", "2,b"]);
        case.load(&text);
        case.topic.produce(0, ["3,c", "4,d", "5,e"]);
        case.topic.delete_records_before(0, 4);
        expect_told(&text, &["the ledger ends at offset 2, and the topic begins at 4: 2 offsets expired before they were read"]);
        case.load(&job.source("FALLBACK_OFFSET: earliest").text());
        let outcome = verify(&text).expect_code(0).expect_text("3 rows of the 3 that came through");
        assert_eq!(sums(&outcome), ["0 3 0 5 2 3 0 3 0 0 3 3 0 0 0"]);
        // once more what is there: rows come twice, by the user's own wish
        case.load_with(&text, &["--force-reset-earliest"]);
        let outcome = verify(&text).expect_code(0).expect_text("1 may be from before a reset");
        outcome.expect_text("from before the commits that are kept, or before the last reset");
        db.execute(&format!("DELETE FROM {}.t", case.schema));
        expect_told(&text, &["0 rows are in \""]);
        case.load_with(&text, &["--force-reset-earliest"]);
        verify(&text).expect_code(0).expect_text("1 row of the 1 that came through, each of an offset that was read, none twice").expect_no_text("not proved");
    }

    fn what_cannot_be_proved_is_said(db) {
        let case = case(db, "unproved", 1);
        case.topic.produce(0, ["1,a", "2,b"]);
        let plain = job(&case);
        let merge = plain.clone().output("MODE: merge").output("MATCH_COLUMNS: [a]").output("UPDATE_COLUMNS: [b]");
        case.load(&merge.text());
        verify(&merge.text()).expect_code(0).expect_text("MODE changes rows that are there");
        let computed = plain.clone().output("MAPPING: {a: a, b: b, part: part, off: off + 0}").text();
        verify(&computed).expect_code(0).expect_text("no columns of it hold META's partition and offset as they are");
        let nobody = plain.text().replace(&case.topic.kafka.bootstrap, "127.0.0.1:1");
        verify(&nobody).expect_code(1).expect_text("proved         ledger: 1 commit").expect_text("nothing could be proved against the topic");
        // another topic into the same table, whose offsets are the same
        let other = case.topic.kafka.topic("other", 1);
        other.produce(0, ["3,c"]);
        let second = plain.text().replace(&case.topic.name, &other.name);
        case.load(&second);
        verify(&plain.text()).expect_code(0).expect_text("no column of it holds META's topic");
    }

    fn a_ledger_without_accounts_says_what_makes_room_for_them(db) {
        let case = case(db, "older", 1);
        case.topic.produce(0, ["1,a", "2,b"]);
        let job = job(&case).text();
        case.load(&job);
        let columns = ["records", "holes", "decoded", "refused", "dropped", "rows"].map(|name| format!("DROP COLUMN \"{name}\""));
        db.execute(&format!("ALTER TABLE {}.gpkafka_ledger {}", case.schema, columns.join(", ")));
        case.topic.produce(0, ["3,c"]);
        let outcome = Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1);
        let outcome = outcome.expect_text("was made by an earlier gpkafka, which kept no accounts");
        verify(&job).expect_code(1).expect_text("which kept no accounts");
        let text = outcome.text();
        let (_, alter) = text.split_once("have its owner run: ").unwrap();
        db.execute(alter.split_once(';').unwrap().0);
        case.load(&job).expect_text("-Inserted 1 rows");
        let outcome = verify(&job).expect_code(0).expect_text("not proved     the sums of 1 commit by an earlier gpkafka");
        outcome.expect_text("3 rows of the 3 that came through");
    }

    /// Kafka would take an offset of -1 for the end of the topic: everything before it would be skipped in silence.
    fn a_ledger_with_numbers_that_nobody_wrote_is_loaded_by_nobody(db) {
        let case = case(db, "foreign", 1);
        case.topic.produce(0, ["1,a", "2,b"]);
        let job = job(&case).text();
        case.load(&job);
        case.topic.produce(0, ["3,c"]);
        let ledger = format!("{}.gpkafka_ledger", case.schema);
        for (change, partition, told) in [
            ("next = -1", 0, "next is -1"),
            ("next = 9223372036854775807", 0, "next is 9223372036854775807"),
            ("kind = 'lode'", 0, "kind is \"lode\""),
            ("\"partition\" = -7", -7, "partition is -7"),
        ] {
            db.execute(&format!("CREATE TABLE {}.kept AS SELECT * FROM {ledger}", case.schema));
            db.execute(&format!("UPDATE {ledger} SET {change}"));
            let outcome = Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1);
            outcome.expect_text(&format!("in partition {partition}'s newest row {told}, which no gpkafka writes"));
            let text = format!("DOES NOT HOLD  partition {partition}: commit 1 (batch 1 of loader ");
            verify(&job).expect_code(1).expect_text(&text).expect_text(&format!("{told}, which no gpkafka has written"));
            db.execute(&format!("DELETE FROM {ledger}; INSERT INTO {ledger} SELECT * FROM {}.kept", case.schema));
            db.execute(&format!("DROP TABLE {}.kept", case.schema));
        }
        case.load(&job).expect_text("-Inserted 1 rows");
    }
}
