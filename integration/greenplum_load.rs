//! A batch's transaction against real servers: who may read, what is counted, what is rolled back.

use std::time::Duration;

use gpkafka::greenplum::{Chain, Error, SegmentReject, Written};

use crate::greenplum_place::{Place, Script, batch, begin, loader, push, server};
use crate::harness::{greenplum, postgres, unique, wait_until};

fn expect_read(written: &Written, read: u64, rejected: u64) {
    assert_eq!((written.read, written.rejected, written.inserted()), (read, rejected, read), "{written:?}");
}

fn rows_of(place: &Place<'_>) -> Vec<String> {
    place.db.rows(&format!("SELECT * FROM {}.t ORDER BY 1", place.schema))
}

#[test]
fn segments_send_the_xid_that_was_foretold_and_rows_and_ledger_commit_together() {
    let Some(db) = greenplum(2) else { return };
    let (place, me, server) = (Place::new(db, "a int, b text"), loader(), server());
    let mut load = place.load(&me, server.port());
    let mut chain = Chain::default();
    for (number, first) in [(1, 0), (2, 2)] {
        let session = begin(&server, &mut load);
        push(&session, 0, first, &[&format!("{first}\tone"), &format!("{}\t\\N", first + 1)]);
        session.seal();
        expect_read(&load.write().unwrap(), 2, 0);
        session.finish();
        assert_eq!(session.status().rows_sent, 2);
        load.commit(&mut chain, &batch(number, &[(0, first, first + 2)])).unwrap();
    }
    assert_eq!(rows_of(&place), ["0|one", "1|\\N", "2|one", "3|\\N"]);
    assert_eq!(place.rows_of(0), ["1|load|0|2", "2|load|2|4"]);
}

#[test]
fn refused_rows_are_counted_and_named_and_forgotten_before_the_next_statement() {
    let Some(db) = greenplum(2) else { return };
    let (place, server) = (Place::new(db, "a int, b text"), server());
    let mut load = place.load(&loader(), server.port());
    for round in 0..2 {
        let session = begin(&server, &mut load);
        push(&session, 3, 5_000_000_000, &["1\tok", "x\tbad", "2\tok"]);
        push(&session, 7, 40, &["y", "z\tbad"]);
        session.seal();
        expect_read(&load.write().unwrap(), 2, 3);
        session.finish();
        let rejects = load.rejects(2, 2).unwrap();
        assert_eq!(rejects.counts.iter().map(|(&one, &count)| (one, count)).collect::<Vec<_>>(), [(3, 1), (7, 2)]);
        let [first, second] = rejects.named.try_into().unwrap();
        assert_eq!(
            first,
            SegmentReject {
                partition: 3,
                first: 5_000_000_000,
                line: 2,
                message: "invalid input syntax for integer: \"x\", column a".to_owned(),
                raw: b"x\tbad".to_vec(),
            },
            "round {round}"
        );
        assert_eq!((second.partition, second.first, second.line), (7, 40, 1));
        load.roll_back().unwrap();
    }
    assert!(rows_of(&place).is_empty());
}

#[test]
fn a_target_that_changed_between_batches_loads_nothing() {
    let Some(db) = greenplum(2) else { return };
    let (place, server) = (Place::new(db, "a int, b text"), server());
    let mut load = place.load(&loader(), server.port());
    db.execute(&format!("ALTER TABLE {}.t ADD COLUMN c int", place.schema));
    let session = begin(&server, &mut load);
    push(&session, 0, 0, &["1\tone"]);
    session.seal();
    let error = load.write().unwrap_err();
    assert!(matches!(&error, Error::TargetChanged { change, .. } if change == "column \"c\" is new"), "{error}");
    assert!(!error.is_passing());
    load.roll_back().unwrap();
    assert!(rows_of(&place).is_empty());
}

#[test]
fn a_failed_session_fails_the_statement_and_the_cause_may_pass() {
    let Some(db) = greenplum(2) else { return };
    let (place, server) = (Place::new(db, "a int, b text"), server());
    let mut load = place.load(&loader(), server.port());
    let session = begin(&server, &mut load);
    push(&session, 0, 0, &["1\tone"]);
    session.fail("the loader changed its mind");
    let error = load.write().unwrap_err();
    assert!(error.to_string().contains("the loader changed its mind"), "{error}");
    assert!(error.is_passing(), "{error}");
    load.roll_back().unwrap();
    // a statement that fails in the database does not pass
    let session = begin(&server, &mut load);
    db.execute(&format!("ALTER TABLE {}.t ADD CHECK (a < 1)", place.schema));
    push(&session, 0, 0, &["1\tone"]);
    session.seal();
    let error = load.write().unwrap_err();
    assert_eq!((error.state(), error.is_passing()), (Some("23514"), false), "{error}");
    load.roll_back().unwrap();
}

#[test]
fn another_thread_can_cancel_an_insert_that_waits() {
    let Some(db) = greenplum(2) else { return };
    let (place, server) = (Place::new(db, "a int, b text"), server());
    let mut load = place.load(&loader(), server.port());
    let session = begin(&server, &mut load);
    let canceller = load.canceller();
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| load.write());
        wait_until(Duration::from_secs(20), "segments to connect", || session.status().connected == 2);
        canceller.cancel().unwrap();
        let error = insert.join().unwrap().unwrap_err();
        assert_eq!((error.state(), error.is_passing()), (Some("57014"), false), "{error}");
    });
    load.roll_back().unwrap();
}

#[test]
fn filters_and_rows_that_are_not_counted() {
    let Some(db) = greenplum(2) else { return };
    let (mut place, server) = (Place::new(db, "a int, b text"), server());
    place.settings.outputs[0].filter = Some("a % 2 = 0 ;".to_owned());
    let mut load = place.load(&loader(), server.port());
    assert!(load.is_filtered());
    let session = begin(&server, &mut load);
    push(&session, 0, 0, &["1\tone", "2\ttwo", "x\tbad"]);
    session.seal();
    expect_read(&load.write().unwrap(), 1, 1);
    session.finish();
    load.commit(&mut Chain::default(), &batch(1, &[(0, 0, 3)])).unwrap();
    assert!(load.analyze_if_never().unwrap());
    assert!(!load.analyze_if_never().unwrap());
    assert_eq!(rows_of(&place), ["2|two"]);
}

#[test]
fn every_segment_reads_whatever_the_role_is_set_to() {
    let Some(db) = greenplum(2) else { return };
    let (mut place, server) = (Place::new(db, "a int, b text"), server());
    let role = unique("narrow");
    db.execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    db.execute(&format!("ALTER ROLE {role} SET gp_external_max_segs = 1"));
    db.execute(&format!("ALTER ROLE {role} SET client_min_messages = error"));
    place.settings.user = role;
    let mut load = place.load(&loader(), server.port());
    let session = begin(&server, &mut load);
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| load.write());
        wait_until(Duration::from_secs(20), "both segments to connect", || session.status().connected == 2);
        push(&session, 0, 0, &["1\tone", "x"]);
        session.seal();
        expect_read(&insert.join().unwrap().unwrap(), 1, 1);
    });
}

/// Each program writes what it was told, and the first one the rows.
const PROGRAM: &str = r#"echo "$@" >> "$(dirname "$0")/told"
case "$*" in *"--segment-id 0 "*) cat "$(dirname "$0")/rows";; esac"#;

fn postgres_place(rows: &str) -> (Place<'static>, Script) {
    let db = postgres();
    let mut place = Place::new(db, "a int, b text");
    let script = Script::new(PROGRAM);
    std::fs::write(script.path().with_file_name("rows"), rows).unwrap();
    (place.settings.segment_program, place.settings.segments) = (Some(script.path()), 2);
    (place, script)
}

#[test]
fn postgres_runs_a_program_a_segment_under_its_own_pid() {
    let (place, script) = postgres_place("1\tone\n2\t\\N\n");
    let mut load = place.load(&loader(), 9000);
    let xid = load.begin().unwrap();
    expect_read(&load.write().unwrap(), 2, 0);
    load.commit(&mut Chain::default(), &batch(1, &[(0, 0, 2)])).unwrap();
    let url = format!("gpfdist://127.0.0.1:9000{}", load.external().path);
    let mut told: Vec<_> = script.read("told").lines().map(str::to_owned).collect();
    told.sort();
    let expected =
        |segment| format!("segment {url} --segment-id {segment} --segment-count 2 --xid {xid} --cid 1 --sn 1");
    assert_eq!(told, [expected(0), expected(1)]);
    assert_eq!(rows_of(&place), ["1|one", "2|\\N"]);
    assert_eq!(place.rows_of(0), ["1|load|0|2"]);
}

#[test]
fn postgres_names_the_row_that_it_refuses() {
    let (place, _script) = postgres_place("1\tone\n2\ttwo\nx\tbad\n");
    let mut load = place.load(&loader(), 9000);
    load.begin().unwrap();
    let error = load.write().unwrap_err();
    let told = "the database refused row 3 of segment 0: invalid input syntax for type integer: \"x\" (SQLSTATE 22P02)";
    assert_eq!((error.to_string().as_str(), error.is_passing()), (told, false));
    load.roll_back().unwrap();
    assert!(rows_of(&place).is_empty());
}

#[test]
fn postgres_rolls_back_when_its_program_fails() {
    let (place, script) = postgres_place("1\tone\n");
    let mut load = place.load(&loader(), 9000);
    std::fs::write(script.path(), "#!/bin/sh\nexit 3\n").unwrap();
    load.begin().unwrap();
    let error = load.write().unwrap_err();
    assert_eq!((error.state(), error.is_passing()), (Some("38000"), true), "{error}");
    load.roll_back().unwrap();
}

#[test]
fn a_program_that_the_server_cannot_run_is_named_with_the_setting() {
    let (mut place, _script) = postgres_place("");
    place.settings.segment_program = Some("/nowhere/gpkafka".into());
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| place.load(&loader(), 9000)));
    let text = failed.err().unwrap().downcast_ref::<String>().unwrap().clone();
    assert!(text.contains("SegmentProgram") && text.contains("/nowhere/gpkafka"), "{text}");
}
