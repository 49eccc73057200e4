//! Dead letters that are loaded again after a fix.

use std::time::Duration;

use crate::dead_letters::Place;
use crate::harness::{Job, Loader, Outcome, greenplum, on_each_database, wait_until};

impl Place<'_> {
    fn replay(&self, job: &Job, flags: &[&str]) -> Outcome {
        let words = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"];
        Loader::with_job("replay", &job.text()).args(words).args(flags.iter().copied()).run()
    }
}

on_each_database! {
    /// Single rows and whole records; what is good now is loaded once, what is bad still stays with its new reason.
    fn letters_are_loaded_once_and_leave(db) {
        let place = Place::new(db, "replay", 2, ", UNIQUE (a)");
        let job = place.job().format("delimited").value("DELIMITED_OPTION: {DELIMITER: ','}");
        let divide = |by: &str| job.clone().output(&format!("MAPPING: {{a: 100 / {by}, b: b}}"));
        place.topic.produce(0, ["10,x\n0,y\n20,z", "50,u", "0,v"]);
        place.topic.produce(1, ["bad", "1,w\n0,0\n0,1"]);
        place.load(&divide("a"));
        assert_eq!(place.rows(), ["2|u", "5|z", "10|x", "100|w"]);
        let places = "\"partition\", \"offset\", coalesce(\"row\"::text, '-'), split_part(error, ' (', 1)";
        let zero = "division by zero";
        assert_eq!(place.letters(places), [
            format!("0|0|1|{zero}"), format!("0|2|0|{zero}"), "1|0|-|delimited  missing data for column \"b\"".to_owned(),
            format!("1|1|1|{zero}"), format!("1|1|2|{zero}"),
        ]);
        // nothing is mended, nothing changes but the time
        let outcome = place.replay(&divide("a"), &[]).expect_code(1);
        outcome.expect_text("5 dead letters").expect_text("Loaded 0 dead letters again").expect_text("Refused 5 dead letters again");
        assert_eq!((place.letters(places).len(), place.rows().len()), (5, 4));
        // one is repaired by hand; the divisor is mended, so that keys come twice
        db.execute(&format!("UPDATE {}.letters SET payload = '7,right'::bytea WHERE stage = 'decode'", place.schema));
        let mended = divide("(CASE a WHEN 0 THEN ascii(b) ELSE a END)");
        place.replay(&mended, &["--where", "\"partition\" = 0 -- only"]).expect_code(1).expect_text("Loaded 1 dead letter again");
        // 100 / ascii('y') = 100 / ascii('v') = 0: the second is the bad one
        assert_eq!(place.rows(), ["0|y", "2|u", "5|z", "10|x", "100|w"]);
        let error = |offset: i64| place.letters("\"offset\", sqlstate, stage").into_iter().find(|row| row.starts_with(&format!("{offset}|")));
        assert_eq!(error(2).unwrap(), "2|23505|expression");
        let outcome = place.replay(&mended, &[]).expect_code(1);
        outcome.expect_text("Loaded 1 dead letter again").expect_text("Refused 3 dead letters again");
        // 100 / 7, and 100 / ascii('0') = 100 / ascii('1') = 2, which is there already
        assert_eq!(place.rows(), ["0|y", "2|u", "5|z", "10|x", "14|right", "100|w"]);
        assert_eq!(place.ledger(), "4 5", "offsets are behind all this");
    }

    fn a_replay_that_is_killed_loads_once_in_the_end(db) {
        let place = Place::new(db, "replaykill", 1, "");
        place.topic.produce(0, (0..1200).map(|at| format!("{at}")));
        let job = place.job();
        place.load(&job);
        assert_eq!(place.letters("1").len(), 1200);
        let mended = job.clone().value("CSV_OPTION: {FILL_MISSING_FIELDS: true}");
        let words = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"];
        let running = Loader::with_job("replay", &mended.text()).args(words).failpoints("before-commit=1*off->pause").start();
        let job = place.letters("DISTINCT job, 1 AS \"partition\", 1 AS \"offset\", 1 AS \"row\", '' AS error").remove(0);
        let job = job.split('|').next().unwrap();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        let waiting = format!("{waiting} AND application_name LIKE 'gpkafka:{job}:%'");
        wait_until(Duration::from_secs(60), "the second part", || {
            db.number(&format!("SELECT count(*) FROM {}.t", place.schema)) == 500 && db.number(&waiting) > 0
        });
        running.kill();
        wait_until(Duration::from_secs(60), "the session's end", || db.number(&waiting) == 0);
        assert_eq!((place.letters("1").len(), place.rows().len()), (700, 500));
        place.replay(&mended, &[]).expect_code(0).expect_text("Loaded 700 dead letters again; rows 700 inserted");
        assert_eq!((place.letters("1").len(), place.rows().len()), (0, 1200));
        assert_eq!(db.number(&format!("SELECT count(DISTINCT a) FROM {}.t", place.schema)), 1200);
    }

    /// What a user has written into one letter neither goes into another of the same record nor is lost.
    fn letters_of_one_record_may_be_mended_apart(db) {
        let place = Place::new(db, "replayapart", 1, "");
        let job = place.job().format("delimited").value("DELIMITED_OPTION: {DELIMITER: ','}");
        let job = job.output("MAPPING: {a: 100 / a, b: b}");
        place.topic.produce(0, ["10,x\n0,y\n20,z\n0,w"]);
        place.load(&job);
        db.execute(&format!("UPDATE {}.letters SET payload = decode('31302c780a302c790a32302c7a0a342c77', 'hex') WHERE \"row\" = 3", place.schema));
        place.replay(&job, &[]).expect_code(1).expect_text("Loaded 1 dead letter again; rows 1 inserted");
        assert_eq!(place.rows(), ["5|z", "10|x", "25|w"]);
        assert_eq!(place.letters("\"row\", of_rows, substr(encode(payload, 'hex'), 29)"), ["1|4|302c77"]);
        // a row that no record has stays what it is
        db.execute(&format!("UPDATE {}.letters SET \"row\" = -1", place.schema));
        place.replay(&job, &[]).expect_code(1).expect_text("so there is no row");
        assert_eq!(place.letters("\"row\", of_rows"), ["-1|4"]);
        let wide = place.replay(&job, &["--where", "1=1) OR (1=1"]).expect_code(1);
        wide.expect_text("syntax error").expect_no_text("Refused");
        assert_eq!((place.rows().len(), place.letters("1").len()), (3, 1));
    }

    fn who_loads_is_not_replayed_beside(db) {
        let place = Place::new(db, "replayheld", 1, "");
        place.topic.produce(0, ["bad"]);
        let mut running = Loader::load(&place.job().text()).start();
        running.wait_for_text(Duration::from_secs(60), "rejected");
        wait_until(Duration::from_secs(60), "a letter", || place.letters("1").len() == 1);
        place.replay(&place.job(), &[]).expect_code(1).expect_text("the job is being loaded already");
        assert_eq!(place.letters("1").len(), 1);
        running.signal("INT");
        running.wait(Duration::from_secs(60)).expect_code(0);
    }

    fn wrong_use_of_replay_is_told(db) {
        let place = Place::new(db, "replaywrong", 1, "");
        let job = Job::new(db, &place.topic, &place.schema, "t", "a int, b text");
        place.replay(&job, &[]).expect_code(64).expect_text("has no DEAD_LETTER: there is no table to load again from");
        place.replay(&place.job(), &[]).expect_code(1).expect_text("there is no table").expect_no_text("Loaded");
        place.load(&place.job());
        place.replay(&place.job(), &[]).expect_code(0).expect_text("has 0 dead letters of this job to load again");
        db.execute(&format!("INSERT INTO {}.letters SELECT 'x', 't', 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, true, 'e', NULL, 'decode', 1, now()", place.schema));
        place.replay(&place.job(), &[]).expect_code(0).expect_text("has 1 dead letter of other jobs");
        place.replay(&place.job(), &["--where", "nonsense = 1"]).expect_code(1).expect_text("column \"nonsense\" does not exist");
    }
}

/// Who mends a letter keeps the order of its rows, or has all of them loaded.
#[test]
fn a_letter_whose_rows_have_changed_places_stays() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "replayplaces", 1, "");
    let job = place.job().format("delimited").value("DELIMITED_OPTION: {DELIMITER: ','}");
    place.topic.produce(0, ["1,a\nx,b\n3,c"]);
    place.load(&job);
    assert_eq!(place.letters("\"row\", of_rows"), ["1|3"]);
    db.execute(&format!("UPDATE {}.letters SET payload = E'2,b\\\\0123,c'::bytea", place.schema));
    let outcome = place.replay(&job, &[]).expect_code(1);
    outcome.expect_text("the record makes 2 rows now and made 3 when row 1 was refused");
    assert_eq!((place.rows().len(), place.letters("\"row\", of_rows")), (2, vec!["1|3".to_owned()]));
    db.execute(&format!("UPDATE {}.letters SET payload = '2,b'::bytea, \"row\" = NULL", place.schema));
    place.replay(&job, &[]).expect_code(0).expect_text("Loaded 1 dead letter again; rows 1 inserted");
    assert_eq!(
        (place.rows(), place.letters("1").len()),
        (vec!["1|a".to_owned(), "2|b".to_owned(), "3|c".to_owned()], 0)
    );
}

/// Rows that a segment refuses, each in a record of several.
#[test]
fn rows_that_a_segment_refuses_are_loaded_again() {
    let Some(db) = greenplum(2) else { return };
    let place = Place::new(db, "replayseg", 1, "");
    let job = place.job().format("delimited").value("DELIMITED_OPTION: {DELIMITER: ','}");
    place.topic.produce(0, ["1,a\nx,b\n3,c\ny,d", "z,e"]);
    place.load(&job);
    assert_eq!(place.letters("\"offset\", \"row\", stage"), ["0|1|segment", "0|3|segment", "1|0|segment"]);
    db.execute(&format!(
        "UPDATE {}.letters SET payload = decode(replace(encode(payload, 'escape'), 'y', '7'), 'escape')",
        place.schema
    ));
    let outcome = place.replay(&job, &[]).expect_code(1);
    outcome.expect_text("refused again").expect_text("invalid input syntax for").expect_text("Refused 2 dead letters");
    assert_eq!(place.rows(), ["1|a", "3|c", "7|d"]);
    assert_eq!(place.letters("\"offset\", \"row\", stage"), ["0|1|segment", "1|0|segment"]);
}
