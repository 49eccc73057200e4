//! A database that crashes under a load: a backend of its is killed as `kill -9` does it, the server recovers, and the
//! load goes on by itself. Servers of their own: nobody else may be in them.

use std::time::Duration;

use crate::flow::Flow;
use crate::harness::{Database, own_greenplum, own_postgres, signal, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// Loads a stream while `crash` strikes, some times; then every record is there once.
fn survives(db: &Database, crashes: u32, crash: impl Fn(&Flow<'_>)) {
    let flow = Flow::new(db, "crash", 2);
    flow.produce(1, 0..5000);
    let job = flow.job().commit("MINIMAL_INTERVAL: 300");
    let (outcome, next) = flow.stream(0, 2000, || {
        let mut load = flow.loader(&job).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        for number in 1..=crashes {
            wait_for(SOON, "a commit", || committed(&flow).filter(|rows| *rows > 0));
            crash(&flow);
            // a batch may have come through before the crash; what comes now, comes after it
            let committed = wait_for(SOON, "the server to answer again", || committed(&flow));
            wait_until(SOON, &format!("commits after crash {number}"), || {
                assert!(!load.has_ended(), "{}", load.text());
                committed_is_above(&flow, committed)
            });
        }
        load.signal("INT");
        load.wait(SOON)
    });
    outcome.expect_code(0).expect_text("trying again from the ledger").expect_no_text("panicked");
    flow.load(&job).expect_code(0);
    flow.expect(&[(0, 0..next), (1, 0..5000)]);
}

/// Rows in the table, where the server answers: it may be recovering.
fn committed(flow: &Flow<'_>) -> Option<i64> {
    let mut client = flow.db.try_connect().ok()?;
    client.query_one(&format!("SELECT count(*) FROM {}.t", flow.schema), &[]).ok().map(|row| row.get(0))
}

fn committed_is_above(flow: &Flow<'_>, rows: i64) -> bool {
    committed(flow).is_some_and(|now| now > rows)
}

/// The backend that runs the INSERT.
fn inserting(flow: &Flow<'_>) -> u32 {
    let sql = format!(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO %{}%' AND state = 'active' AND pid <> pg_backend_pid()",
        flow.schema
    );
    wait_for(SOON, "an INSERT", || flow.db.rows(&sql).pop()).parse().unwrap()
}

#[test]
fn a_backend_of_postgres() {
    survives(&own_postgres(), 2, |flow| signal(inserting(flow), "KILL"));
}

#[test]
fn a_segment_and_the_coordinator_of_greenplum() {
    let Some(db) = own_greenplum(2) else { return };
    survives(&db, 1, |flow| {
        inserting(flow);
        signal(wait_for(SOON, "segment 1 to read", || flow.reader_of(1)), "KILL");
    });
    survives(&db, 1, |flow| signal(inserting(flow), "KILL"));
}
