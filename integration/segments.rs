//! Segments and strangers: everyone works, one that stands still holds nobody up, and nobody else takes a row.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::flow::Flow;
use crate::harness::{
    Database, Kind, Outcome, free_port, full, greenplum, metric, on_each_database, signal, wait_for, wait_until,
};

const SOON: Duration = Duration::from_secs(60);

on_each_database! {
    fn a_stranger_is_told_why_and_the_load_loses_nothing(db) {
        let flow = Flow::new(db, "stranger", 1);
        let job = flow.job().commit("MINIMAL_INTERVAL: 2000");
        let (outcome, next) = flow.stream(0, 2000, || {
            let mut load = flow.loader(&job).start();
            load.wait_for_text(SOON, "gpkafka job has started");
            let external = flow.external_table();
            let begun = Instant::now();
            let mut refused = 0;
            wait_until(SOON, "strangers to be refused, and rows to be committed", || {
                expect_refused(db, &external);
                refused += 1;
                refused >= 5 && begun.elapsed() > Duration::from_secs(4) && flow.count() > 0
            });
            load.signal("INT");
            load.wait(SOON)
        });
        outcome.expect_code(0).expect_no_text("WARNING");
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..next)]);
    }
}

/// A `SELECT` of somebody else fails; on Greenplum the error itself says why.
fn expect_refused(db: &Database, external: &str) {
    let error = db.connect().simple_query(&format!("SELECT * FROM {external}")).unwrap_err();
    let error = error.as_db_error().unwrap();
    match db.kind {
        Kind::Greenplum { .. } => {
            assert!(error.message().contains("409"), "{error}");
            let reason = "may not read this external table: only the gpkafka load behind it may";
            assert!(error.message().contains(reason), "{error}");
        }
        // there the reason is in the server's log, where programs write to
        Kind::Postgres => assert!(error.message().contains("gpkafka' segment"), "{error}"),
    }
}

/// Rows that each segment was served with in the batches of a load with `--verbose`.
fn served(outcome: &Outcome) -> BTreeMap<u32, i64> {
    let mut served = BTreeMap::new();
    let text = outcome.text();
    for line in text.lines().filter_map(|line| Some(line.split_once(" served segments ")?.1)) {
        for part in line.split(" rows").filter(|part| !part.is_empty()) {
            let (segment, rows) = part.trim_start_matches(", ").split_once(": ").unwrap();
            *served.entry(segment.parse().unwrap()).or_default() += rows.replace(',', "").parse::<i64>().unwrap();
        }
    }
    served
}

#[test]
fn on_one_machine_segments_hand_rows_on_in_the_largest_datagrams() {
    let Some(db) = greenplum(3) else { return };
    let case = Case::new(db, "datagrams", 1);
    case.table("t (id int, datagram text, queue text)", "id");
    case.topic.produce(0, ["1"]);
    let settings = "datagram: current_setting('gp_max_packet_size'), \
                    queue: current_setting('gp_interconnect_queue_depth')";
    let job = case.job_into("t", "id int").output(&format!("MAPPING: {{id: id, {settings}}}"));
    case.load(&job.text());
    assert_eq!(case.rows("SELECT id || ' ' || datagram || ' ' || queue FROM $SCHEMA.t"), ["1 65507 16"]);
}

#[test]
fn one_partition_feeds_every_segment() {
    let Some(db) = greenplum(3) else { return };
    let rows = full(1_000_000);
    let mut flow = Flow::new(db, "shares", 1);
    flow.pad = 100;
    flow.produce(0, 0..rows);
    let job = flow.job().commit("MINIMAL_INTERVAL: 600000");
    let outcome = flow.loader(&job).args(["--quit-at-eof", "--verbose"]).run().expect_code(0);
    flow.expect(&[(0, 0..rows)]);
    let served = served(&outcome);
    assert_eq!(served.values().sum::<i64>(), rows);
    assert_eq!(served.len(), 3, "{served:?}");
    for (segment, share) in &served {
        assert!((rows / 5..=rows / 2).contains(share), "segment {segment} has {share} of {rows}: {served:?}");
    }
}

#[test]
fn a_segment_that_stands_still_holds_nobody_up() {
    /// Long enough that all of the flow's rows would pile up if the others waited.
    const STILL: Duration = Duration::from_secs(10);
    let Some(db) = greenplum(3) else { return };
    let mut flow = Flow::new(db, "still", 1);
    // so much that the kernel's buffers for the one that stands still are little beside it
    flow.pad = 1000;
    let job = flow.job().commit("MINIMAL_INTERVAL: 600000");
    let port = free_port();
    let (outcome, next) = flow.stream(0, full(40_000), || {
        let mut load = flow.loader(&job).args(["--verbose", "--debug-port", &port.to_string()]).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        // stopped before it has connected, it would hold up the dispatch of the statement, which is not ours
        wait_until(SOON, "all segments to read", || metric(port, "segments_connected") == Some(3));
        let reader = wait_for(SOON, "segment 1 to read", || flow.reader_of(1));
        signal(reader, "STOP");
        let (begun, before) = (Instant::now(), metric(port, "rows_sent_total").unwrap());
        wait_until(2 * STILL, "the pause to be over", || begun.elapsed() >= STILL);
        let sent = metric(port, "rows_sent_total").unwrap() - before;
        signal(reader, "CONT");
        load.signal("INT");
        assert!(sent > 32_000, "the others took {sent} rows in {STILL:?}");
        load.wait(SOON)
    });
    let outcome = outcome.expect_code(0);
    let served = served(&outcome);
    assert_eq!(flow.count(), served.values().sum::<i64>());
    flow.load(&job).expect_code(0);
    flow.expect(&[(0, 0..next)]);
}
