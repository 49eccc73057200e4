//! SQL around the batches: before the first, inside every so many, after the last.

use crate::case::Case;
use crate::greenplum_place::{Place, loader};
use crate::harness::{Database, Job, Loader, SOON, on_each_database, wait_until};

/// A table for rows, one for what the SQL notes, and ten records.
fn scene<'a>(db: &'a Database, name: &str) -> (Case<'a>, Job) {
    let case = Case::new(db, name, 1);
    case.table("rows (id int)", "id");
    case.table("notes (note text, seen bigint)", "seen");
    case.topic.produce(0, (0..10).map(|id| id.to_string()));
    let job = case.job_into("rows", "id int");
    (case, job)
}

/// Notes how many rows are there.
fn note(case: &Case<'_>, name: &str) -> String {
    format!("INSERT INTO {0}.notes SELECT '{name}', count(*) FROM {0}.rows", case.schema)
}

fn notes(case: &Case<'_>) -> Vec<String> {
    case.rows("SELECT note, seen FROM $SCHEMA.notes ORDER BY seen, note")
}

on_each_database! {
    fn sql_runs_before_between_and_after(db) {
        let (case, job) = scene(db, "task");
        let job = job
            .commit("MAX_ROW: 2")
            .task(&format!("PREPARE_SQL: {}", note(&case, "a")))
            .task(&format!("POST_BATCH_SQL: \"SELECT 1; {};\"", note(&case, "b")))
            .task("BATCH_INTERVAL: 2")
            .task(&format!("TEARDOWN_SQL: {}", note(&case, "d")));
        case.load(&job.text()).expect_text("running PREPARE_SQL").expect_text("running TEARDOWN_SQL");
        // five batches: the second and the fourth run it, and the end for the fifth
        assert_eq!(notes(&case), ["a|0", "b|4", "b|8", "b|10", "d|10"]);
        // nothing to load: nothing between
        case.load(&job.text());
        assert_eq!(notes(&case), ["a|0", "b|4", "b|8", "a|10", "b|10", "d|10", "d|10"]);
    }

    /// Once a start, and not once an attempt.
    fn prepare_sql_may_make_the_table_and_is_not_repeated(db) {
        let (case, _) = scene(db, "prepares");
        let job = case
            .job_into("made", "id int")
            .task(&format!("PREPARE_SQL: \"CREATE TABLE {0}.made (id int); {1}\"", case.schema, note(&case, "made")));
        let load = Loader::load(&job.text()).args(["--quit-at-eof"]);
        let mut load = load.failpoints("before-ledger-append=1*sleep(3000)->off").start();
        load.wait_for_text(SOON, "gpkafka job has started");
        // the session that has written to the table and not committed
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE relation = '{}.made'::regclass \
             AND mode = 'RowExclusiveLock' AND pid IN (SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction')",
            case.schema
        );
        wait_until(SOON, "the session of the batch", || db.number(&kill) > 0);
        load.wait(SOON).expect_code(0).expect_text("trying again from the ledger");
        assert_eq!(case.count("made"), 10);
        assert_eq!(notes(&case), ["made|0"]);
    }

    fn what_fails_before_the_first_batch_ends_the_start(db) {
        let (case, job) = scene(db, "unprepared");
        let job = job.task(&format!("PREPARE_SQL: \"{}; SELECT 1/0\"", note(&case, "no")));
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("running PREPARE_SQL failed: division by zero (SQLSTATE 22012)");
        assert_eq!((case.count("rows"), notes(&case).len()), (0, 0), "several statements are one transaction");
        let job = case.job_into("rows", "id int").task("PREPARE_SQL: \"BEGIN; SELECT 1\"");
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("PREPARE_SQL begins a transaction and does not end it");
    }

    fn what_fails_between_takes_its_batch_with_it(db) {
        let (case, job) = scene(db, "between");
        let fails = format!("{}; SELECT 1/(count(*) - 4) FROM {}.rows", note(&case, "b"), case.schema);
        let job = job.commit("MAX_ROW: 2").task(&format!("POST_BATCH_SQL: \"{fails}\""));
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("running POST_BATCH_SQL failed: division by zero (SQLSTATE 22012)").expect_text("-Inserted 2 rows");
        assert_eq!((case.count("rows"), notes(&case)), (2, vec!["b|2".to_owned()]));
        case.load(&case.job_into("rows", "id int").text());
        assert_eq!(case.count("rows"), 10);
    }

    fn sql_that_would_end_its_transaction_is_refused_by_the_file(db) {
        let (_case, job) = scene(db, "ends");
        let job = job.task("POST_BATCH_SQL: \"SELECT 1; COMMIT\"");
        Loader::load(&job.text()).run().expect_code(64).expect_text("which it may not begin or end: it says COMMIT");
    }

    /// What the file could not foresee.
    fn a_transaction_that_was_ended_underneath_is_noticed(db) {
        let place = Place::new(db, "a int, b text");
        let mut load = place.load(&loader(), 0);
        for sql in ["COMMIT", "ROLLBACK; BEGIN", "SAVEPOINT a; COMMIT; BEGIN"] {
            load.begin().unwrap();
            let error = load.run_inside("POST_BATCH_SQL", sql).unwrap_err();
            assert!(error.to_string().starts_with("POST_BATCH_SQL has ended the transaction of its batch"), "{error}");
            assert!(!error.is_passing());
            load.roll_back().unwrap();
        }
        load.begin().unwrap();
        load.run_inside("POST_BATCH_SQL", "SAVEPOINT a; SELECT 1; ROLLBACK TO a; SELECT 2").unwrap();
        load.roll_back().unwrap();
    }

    fn later_sql_is_looked_at_before_a_record_is_read(db) {
        let (case, job) = scene(db, "checked");
        for (key, sql, words) in [
            ("POST_BATCH_SQL", "SELECT * FROM nowhere", "checking POST_BATCH_SQL failed: relation \"nowhere\" does not exist"),
            ("TEARDOWN_SQL", "SELECT 1; SELEC 2", "checking TEARDOWN_SQL failed: syntax error"),
        ] {
            let job = job.clone().task(&format!("{key}: \"{sql}\""));
            let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
            outcome.expect_text(words).expect_no_text("gpkafka job has started");
        }
        let later = "CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1 AS a; INSERT INTO x VALUES (2)";
        case.load(&job.task(&format!("POST_BATCH_SQL: \"{later}\"")).text());
        assert_eq!(case.count("rows"), 10);
    }

    fn what_fails_after_the_last_batch_says_that_the_rows_are_there(db) {
        let (case, job) = scene(db, "teardown");
        let job = job.task(&format!("TEARDOWN_SQL: \"{}; SELECT 1/(SELECT 0 FROM {}.rows LIMIT 1)\"", note(&case, "no"), case.schema));
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(1);
        let outcome = outcome.expect_text("running TEARDOWN_SQL failed: division by zero");
        outcome.expect_text("the rows of this load and their offsets are committed").expect_text("-Inserted 10 rows");
        assert_eq!((case.count("rows"), notes(&case).len()), (10, 0));
    }
}
