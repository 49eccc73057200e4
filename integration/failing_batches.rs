//! Batches of which the database refuses rows behind the external table: kept whole, or their bad rows found and kept.

use std::time::{Duration, Instant};

use gpkafka::greenplum::{Error, Failing, Mapping, Match, Mode, Output, Written};
use gpkafka::table::{Column, Ident, TableName};

use crate::greenplum_place::{Feed, Place};
use crate::harness::{Database, Job, Kind, Loader, Version, kafka, on_each_database, postgres, wait_until};

/// How long a search among a hundred thousand rows may take: 5 s by itself (`RUST_TEST_THREADS=1`), and so much for each
/// of the tests that share the machine. What costs is the number of trials, which is counted too.
fn found_max() -> Duration {
    const ALONE: Duration = Duration::from_secs(5);
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
    ALONE * threads.unwrap_or(4)
}

/// Rows `id|v` into `t`, which refuses them for each reason that there is.
fn place(db: &Database, failing: Failing) -> Place<'_> {
    let mut place = Place::new(db, "id int UNIQUE, n int NOT NULL CHECK (n <> 13), q int");
    let column = |(name, sql_type): (&str, &str)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
    place.settings.columns = Some([("id", "integer"), ("v", "text")].map(column).to_vec());
    place.settings.outputs[0].mapping = mapping(&[("id", "id"), ("n", "v::int"), ("q", "100 / v::int")]);
    place.settings.failing = failing;
    place
}

fn mapping(pairs: &[(&str, &str)]) -> Vec<Mapping> {
    let pair =
        |&(name, expression): &(&str, &str)| Mapping { column: Ident::exact(name), expression: expression.to_owned() };
    pairs.iter().map(pair).collect()
}

fn line(id: i64, v: &str, offset: i64) -> String {
    format!("{id}\t{v}\t0\t{offset}\t\\N\t0")
}

fn backup(place: &Place<'_>) -> String {
    format!("{}.gpssbackup_{}", place.schema, place.job.hash())
}

/// `id`, `v` and the SQLSTATE of every row that was kept.
fn kept(feed: &Feed<'_>) -> Vec<String> {
    let sql = "substring(gpss_expression_error from 'SQLSTATE (.....)')";
    feed.place.db.rows(&format!("SELECT id, coalesce(v, 'null'), {sql} FROM {} ORDER BY 1, 2", backup(&feed.place)))
}

fn count(feed: &Feed<'_>) -> i64 {
    feed.place.db.number(&format!("SELECT count(*) FROM {}.t", feed.place.schema))
}

fn is_whole(written: &Written, sent: u64) {
    let saved = written.saved.as_ref().map_or(0, |saved| saved.rows);
    assert_eq!(written.read + saved, sent, "{written:?}");
}

on_each_database! {
    fn seven_bad_rows_of_a_hundred_thousand_are_found(db) {
        let rows = 100_000;
        let mut feed = Feed::new(place(db, Failing::Recover));
        feed.batch(&[line(-1, "1", 0)]);
        let mut lines: Vec<String> = (0..rows).map(|id| line(id, "7", id)).collect();
        let bad: [(usize, i64, &str); 7] = [
            (0, 0, "x"), (14_000, 14_000, "0"), (33_333, 33_333, "\\N"), (33_334, 33_334, "13"),
            (70_000, 5, "7"), (99_998, -1, "7"), (99_999, 99_999, "99999999999"),
        ];
        for (at, id, v) in bad {
            lines[at] = line(id, v, i64::try_from(at).unwrap());
        }
        let begun = Instant::now();
        let written = feed.batch(&lines);
        let elapsed = begun.elapsed();
        is_whole(&written, 100_000);
        let saved = written.saved.unwrap();
        assert_eq!((saved.rows, saved.by_partition.get(&0)), (7, Some(&7)));
        assert!(saved.cause.contains("(SQLSTATE 22P02)"), "{}", saved.cause);
        // twice for each halving of the batch; on Greenplum some are looked for in more pieces
        let trials_max = if db.kind == Kind::Postgres { 7 * (2 * 17 + 1) } else { 7 * (2 * 17 + 1) + 2 * (8 * 6 + 1) };
        assert!(saved.trials <= trials_max, "{} trials", saved.trials);
        assert!(elapsed < found_max(), "{elapsed:?} for {} trials", saved.trials);
        assert_eq!(kept(&feed), [
            "-1|7|23505", "0|x|22P02", "5|7|23505", "14000|0|22012", "33333|null|23502", "33334|13|23514",
            "99999|99999999999|22003",
        ]);
        assert_eq!((count(&feed), written.outputs[0].inserted), (99_994, 99_993));
        assert_eq!(feed.place.rows_of(0).len(), 2, "both batches are in the ledger");
    }

    fn a_failing_batch_is_kept_whole(db) {
        let mut place = place(db, Failing::Save);
        place.settings.input_filter = Some("id > 0".to_owned());
        let mut feed = Feed::new(place);
        assert_eq!(feed.batch(&[line(0, "x", 0), line(1, "1", 1)]).read, 1, "what is filtered is not refused");
        let written = feed.batch(&[line(2, "2", 2), line(3, "x", 3)]);
        is_whole(&written, 2);
        let saved = written.saved.unwrap();
        assert!(!saved.is_part && written.read == 0 && saved.cause.contains("\"x\""), "{saved:?}");
        assert_eq!(kept(&feed), ["2|2|22P02", "3|x|22P02"]);
        assert_eq!(feed.rows(), ["1|1|100"]);
        // and the next one finds the stage empty
        assert_eq!(feed.batch(&[line(4, "4", 4)]).saved, None);
        assert_eq!(feed.rows(), ["1|1|100", "4|4|25"]);
        assert_eq!(feed.place.rows_of(0).len(), 3);
    }

    fn a_filter_may_fail_for_a_row_too(db) {
        let mut place = place(db, Failing::Recover);
        place.settings.input_filter = Some("10 / id > 2".to_owned());
        let mut feed = Feed::new(place);
        let written = feed.batch(&[line(1, "1", 0), line(0, "1", 1), line(9, "1", 2), line(3, "x", 3)]);
        assert_eq!((written.read, written.saved.unwrap().rows), (1, 2));
        assert_eq!((kept(&feed), feed.rows()), (vec!["0|1|22012".to_owned(), "3|x|22P02".to_owned()], vec!["1|1|100".to_owned()]));
    }

    /// The choice sees all good rows of a key, whatever parts were tried.
    fn a_merge_without_its_bad_rows_is_the_merge_of_the_others(db) {
        let mut place = place(db, Failing::Recover);
        place.settings.outputs[0].mode = Mode::Merge(Match {
            match_columns: vec![Ident::exact("id")],
            update_columns: vec![Ident::exact("n"), Ident::exact("q")],
            delete_condition: Some("v = '99'".to_owned()),
            ..Match::default()
        });
        let mut feed = Feed::new(place);
        feed.batch(&[line(1, "1", 0), line(2, "2", 1)]);
        let lines = [
            line(1, "5", 2), line(1, "x", 3), line(2, "99", 4), line(3, "0", 5), line(3, "3", 6), line(1, "10", 7),
            line(4, "13", 8), line(5, "99", 9), line(5, "50", 10),
        ];
        let written = feed.batch(&lines);
        is_whole(&written, 9);
        assert_eq!(kept(&feed), ["1|x|22P02", "3|0|22012", "4|13|23514"]);
        assert_eq!(feed.rows(), ["1|10|10", "3|3|33", "5|50|2"]);
        let output = &written.outputs[0];
        assert_eq!((output.updated, output.inserted, output.deleted, output.passed_over), (1, 2, 1, 2));
        // once more in the same session: its tables are used again
        let written = feed.batch(&[line(6, "x", 11), line(1, "20", 12)]);
        assert_eq!((written.saved.unwrap().rows, kept(&feed).len()), (1, 4));
        assert_eq!(feed.rows(), ["1|20|5", "3|3|33", "5|50|2"]);
    }

    fn more_than_a_thousand_bad_rows_fail_the_batch(db) {
        let mut feed = Feed::new(place(db, Failing::Recover));
        let lines: Vec<String> = (0..1200).map(|id| line(id, if id < 150 { "1" } else { "x" }, id)).collect();
        let error = feed.try_batch(&lines).unwrap_err();
        assert!(matches!(error, Error::TooManyBad { found: 1001, max: 1000, .. }) && !error.is_passing(), "{error}");
        assert!(error.to_string().contains("1001 were found") && error.to_string().contains("22P02"), "{error}");
        assert_eq!((count(&feed), feed.place.rows_of(0).len()), (0, 0));
        let there = format!("SELECT count(*) FROM pg_class WHERE relname = 'gpssbackup_{}'", feed.place.job.hash());
        assert_eq!(db.number(&there), 0, "nothing of the failed batch is kept");
        // just a thousand pass, though nothing else is there
        let lines: Vec<String> = (0..1000).map(|id| line(id, "0", id)).collect();
        let written = feed.batch(&lines);
        assert_eq!((written.read, written.saved.unwrap().rows), (0, 1000));
        assert_eq!((count(&feed), kept(&feed).len(), feed.place.rows_of(0).len()), (0, 1000, 1));
    }

    fn what_is_not_about_rows_fails_the_batch(db) {
        let mut feed = Feed::new(place(db, Failing::Recover));
        db.execute(&format!("ALTER TABLE {}.t RENAME COLUMN q TO r", feed.place.schema));
        let error = feed.try_batch(&[line(1, "1", 0)]).unwrap_err();
        assert_eq!(error.state(), Some("42703"), "{error}");
        db.execute(&format!("ALTER TABLE {}.t RENAME COLUMN r TO q", feed.place.schema));
        assert_eq!(feed.batch(&[line(1, "1", 0)]).saved, None);
    }

    fn a_backup_table_of_another_shape_is_told_of(db) {
        let place = place(db, Failing::Save);
        let own = "gpss_save_timestamp timestamptz, gpss_expression_error text";
        db.execute(&format!("CREATE TABLE {} (id int, v bigint, {own})", backup(&place)));
        let mut feed = Feed::new(place);
        let error = feed.try_batch(&[line(1, "x", 0)]).unwrap_err().to_string();
        assert!(error.contains("column \"v\" is bigint, and should be text; rename it or drop it"), "{error}");
        db.execute(&format!("ALTER TABLE {} DROP COLUMN v", backup(&feed.place)));
        let error = feed.try_batch(&[line(1, "x", 0)]).unwrap_err().to_string();
        assert!(error.contains("column \"v\" is missing"), "{error}");
        // more columns do no harm
        db.execute(&format!("ALTER TABLE {} ADD v text, ADD who text", backup(&feed.place)));
        assert_eq!(feed.batch(&[line(1, "x", 0)]).saved.unwrap().rows, 1);
    }

    fn two_loads_make_the_backup_table_at_once(db) {
        let place = place(db, Failing::Save);
        let table = backup(&place);
        let mut feed = Feed::new(place);
        let columns = "(id integer, v text, gpss_save_timestamp timestamptz, gpss_expression_error text)";
        let mut other = db.connect();
        let mut others = other.transaction().unwrap();
        others.batch_execute(&format!("CREATE TABLE {table} {columns}")).unwrap();
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| feed.batch(&[line(1, "x", 0)]));
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
            wait_until(Duration::from_secs(20), "the load waits for the other", || db.number(waiting) > 0 || loading.is_finished());
            others.commit().unwrap();
            assert_eq!(loading.join().unwrap().saved.unwrap().rows, 1);
        });
        assert_eq!(kept(&feed), ["1|x|22P02"]);
    }

    /// By a job file, from the topic to the ledger.
    fn a_job_goes_on_without_its_bad_rows(db) {
        let topic = kafka(Version::V4_1_1).topic("failing", 2);
        let schema = db.schema("failing");
        db.execute(&format!("CREATE TABLE {schema}.t (id int, n int NOT NULL)"));
        topic.produce(0, ["1,1", "2,x", "3,3"]);
        topic.produce(1, ["4,4", "5,", "6,0"]);
        let job = Job::new(db, &topic, &schema, "t", "id int, v text").output("MAPPING: {id: id, n: 12 / v::int}");
        let load = |job: &Job| Loader::load(&job.text()).args(["--quit-at-eof"]).run();
        load(&job).expect_code(1).expect_text("SQLSTATE 2");
        let outcome = load(&job.clone().commit("RECOVER_FAILING_BATCH: true")).expect_code(0);
        outcome.expect_text("3 went into").expect_text("the others are loaded").expect_text("Rejected 3 rows");
        assert_eq!(db.rows(&format!("SELECT id, n FROM {schema}.t ORDER BY 1")), ["1|12", "3|4", "4|3"]);
        let ledger = format!("SELECT \"partition\", first, next, inserted, rejected FROM {schema}.gpkafka_ledger ORDER BY 1");
        assert_eq!(db.rows(&ledger), ["0|0|3|2|1", "1|0|3|1|2"]);
        let table = db.value(&format!(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relname LIKE 'gpssbackup%'"
        ));
        assert_eq!(db.rows(&format!("SELECT id, v FROM {schema}.{table} ORDER BY 1")), ["2|x", "5|\\N", "6|0"]);
        // and kept whole, beside those of before
        topic.produce(1, ["7,7", "8,x"]);
        let outcome = load(&job.clone().commit("SAVE_FAILING_BATCH: true")).expect_code(0);
        outcome.expect_text(&table).expect_text("all that it had");
        assert_eq!(db.number(&format!("SELECT count(*) FROM {schema}.{table} WHERE id IN (7, 8)")), 2);
        assert_eq!(db.rows(&ledger)[1..], ["1|0|3|1|2", "1|3|5|0|2"]);
        if db.kind == Kind::Postgres {
            // too many to look for; on Greenplum that takes a while, and the loader's part is the same
            topic.produce(0, (0..1001).map(|id| format!("{id},x")));
            let outcome = load(&job.commit("RECOVER_FAILING_BATCH: true")).expect_code(1);
            outcome.expect_text("1001 were found when the search stopped");
            assert_eq!(db.number(&format!("SELECT count(*) FROM {schema}.gpkafka_ledger")), 3);
        }
    }

    /// What several outputs and a filter make of the good rows is made of them together.
    fn a_row_that_one_output_refuses_is_in_none(db) {
        let mut place = place(db, Failing::Recover);
        db.execute(&format!("CREATE TABLE {}.log (id int, v varchar(3)) {}", place.schema, db.distributed_by("id")));
        place.settings.input_filter = Some("v <> 'skip'".to_owned());
        let target = TableName { schema: Ident::exact(&place.schema), table: Ident::exact("log") };
        let log = Output { mapping: mapping(&[("id", "id"), ("v", "v")]), ..Output::insert(target) };
        place.settings.outputs.insert(0, Output { filter: Some("id <> 4".to_owned()), ..log });
        let mut feed = Feed::new(place);
        let written = feed.batch(&[
            line(1, "1", 0), line(2, "skip", 1), line(3, "1234", 2), line(4, "4567", 3), line(5, "0", 4), line(6, "6", 5),
        ]);
        assert_eq!((written.read, written.saved.as_ref().unwrap().rows), (3, 2));
        assert_eq!(kept(&feed), ["3|1234|22001", "5|0|22012"]);
        assert_eq!(feed.rows(), ["1|1|100", "4|4567|0", "6|6|16"]);
        assert_eq!(db.rows(&format!("SELECT * FROM {}.log ORDER BY 1", feed.place.schema)), ["1|1", "6|6"]);
        let counts = |at: usize| (written.outputs[at].inserted, written.outputs[at].filtered);
        assert_eq!((counts(0), counts(1)), ((2, 1), (3, 0)));
    }

    /// Bad rows, good rows and offsets are one transaction.
    fn a_kill_before_the_commit_leaves_nothing_and_loses_nothing(db) {
        let topic = kafka(Version::V4_1_1).topic("failing_kill", 1);
        let schema = db.schema("failing_kill");
        db.execute(&format!("CREATE TABLE {schema}.t (id int, n int)"));
        topic.produce(0, ["1,1", "2,x", "3,3"]);
        let job = Job::new(db, &topic, &schema, "t", "id int, v text").output("MAPPING: {id: id, n: v::int}");
        let job = job.commit("RECOVER_FAILING_BATCH: true").text();
        let load = || Loader::load(&job).args(["--quit-at-eof"]);
        let paused = load().failpoints("after-ledger-append=pause").start();
        let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%{schema}%gpkafka_ledger%'");
        wait_until(Duration::from_secs(30), "the ledger is written", || db.number(&waiting) > 0);
        paused.kill();
        let backup = format!("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relname LIKE 'gpssbackup%'");
        let rows = format!("SELECT id FROM {schema}.t ORDER BY 1");
        assert_eq!((db.rows(&backup), db.rows(&rows)), (Vec::new(), Vec::new()));
        load().run().expect_code(0).expect_text("1 went into");
        let table = db.value(&backup);
        assert_eq!(db.rows(&rows), ["1", "3"]);
        assert_eq!(db.rows(&format!("SELECT id FROM {schema}.{table}")), ["2"]);
        load().run().expect_code(0).expect_text("-Inserted 0 rows");
        assert_eq!(db.number(&format!("SELECT count(*) FROM {schema}.{table}")), 1);
    }

    fn names_of_our_own_are_refused(db) {
        let mut place = place(db, Failing::Save);
        let gpkafka_row = Column { name: Ident::exact("gpkafka_row"), sql_type: "int".to_owned() };
        place.settings.columns.as_mut().unwrap().push(gpkafka_row);
        let targets = gpkafka::greenplum::Target::describe(&mut place.connect(), &place.settings).unwrap();
        let error = gpkafka::greenplum::Writes::new(&targets, &place.settings).unwrap_err().to_string();
        assert!(error.contains("\"gpkafka_row\"") && error.contains("rename it"), "{error}");
    }
}

/// Greenplum has no constraints that wait.
#[test]
fn a_constraint_that_waits_for_the_commit_names_its_row_too() {
    let db = postgres();
    let place = place(db, Failing::Recover);
    let schema = place.schema.clone();
    db.execute(&format!(
        "CREATE TABLE {schema}.known (id int PRIMARY KEY); INSERT INTO {schema}.known VALUES (1);
         ALTER TABLE {schema}.t ADD FOREIGN KEY (id) REFERENCES {schema}.known DEFERRABLE INITIALLY DEFERRED"
    ));
    let mut feed = Feed::new(place);
    assert_eq!(feed.batch(&[line(1, "1", 0), line(2, "2", 1)]).saved.unwrap().rows, 1);
    assert_eq!((kept(&feed), feed.rows()), (vec!["2|2|23503".to_owned()], vec!["1|1|100".to_owned()]));
}
