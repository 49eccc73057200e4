//! Memory stays inside the budget, whatever waits for whom: small records and large ones, with the database standing
//! still in between.

#![expect(clippy::print_stdout, reason = "with --nocapture one sees how near it came")]

use std::time::{Duration, Instant};

use crate::flow::Flow;
use crate::harness::{Running, full, on_each_database, wait_until};

/// What a process may take beside its budget, in MiB.
const BESIDE: i64 = 64;
const PARTITIONS: i32 = 4;
/// How long the database stands still.
const STILL: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(400);

/// The budget of these loads in MiB: the default one, and for a tenth of the volume a tenth and a bit, so that the
/// volume is several times as much.
fn budget() -> i64 {
    full(512).max(64)
}

/// The most memory that a process ever had, in MiB.
fn peak(load: &Running) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", load.pid())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// Loads so many rows, nearly all of them produced while somebody else holds the target of a load that was well under
/// way; the peak in MiB.
fn peak_of_a_load(flow: &Flow<'_>, rows: i64) -> i64 {
    let job = flow.job().commit("MINIMAL_INTERVAL: 1000");
    let mut load = flow.loader(&job).args(["--memory", &budget().to_string()]).start();
    load.wait_for_text(SOON, "gpkafka job has started");
    let each = rows / i64::from(PARTITIONS);
    (0..PARTITIONS).for_each(|partition| flow.produce(partition, 0..each / 20));
    wait_until(SOON, "the first rows", || flow.committed() > 0);
    let mut other = flow.db.connect();
    other.batch_execute(&format!("BEGIN; LOCK TABLE {}.t IN ACCESS EXCLUSIVE MODE", flow.schema)).unwrap();
    let begun = Instant::now();
    (0..PARTITIONS).for_each(|partition| flow.produce(partition, each / 20..each));
    wait_until(2 * STILL, "the pause to be over", || begun.elapsed() >= STILL);
    other.batch_execute("ROLLBACK").unwrap();
    let mut most = 0;
    wait_until(SOON, "all rows", || {
        assert!(!load.has_ended(), "{}", load.text());
        most = peak(&load).unwrap_or(most);
        flow.committed() == rows
    });
    load.signal("INT");
    load.wait(SOON).expect_code(0);
    most
}

fn expect_bounded(flow: &Flow<'_>, rows: i64) {
    let most = peak_of_a_load(flow, rows);
    let budget = budget();
    assert!(most <= budget + BESIDE, "{most} MiB, the budget is {budget}");
    println!("peak {most} MiB of {budget} + {BESIDE}");
    let each = |partition| (partition, 0..rows / i64::from(PARTITIONS));
    flow.expect(&(0..PARTITIONS).map(each).collect::<Vec<_>>());
}

on_each_database! {
    /// Records of several megabytes among many small ones, all produced beforehand, and a slow database: memory is short
    /// all the time, and still the large ones get theirs.
    fn large_records_are_not_passed_by_for_ever(db) {
        let mut flow = Flow::new(db, "giants", PARTITIONS);
        flow.pad = 3_000_000;
        flow.produce(0, 0..10);
        flow.pad = 1000;
        (1..PARTITIONS).for_each(|partition| flow.produce(partition, 0..20_000));
        let job = flow.job().commit("MAX_ROW: 20000").commit("MINIMAL_INTERVAL: 0");
        let outcome = flow.loader(&job).args(["--memory", "16", "--quit-at-eof"]).run();
        outcome.expect_code(0).expect_text("Inserted 60010 rows");
        flow.expect(&[(0, 0..10), (1, 0..20_000), (2, 0..20_000), (3, 0..20_000)]);
    }

    fn small_records_stay_inside_the_budget(db) {
        let mut flow = Flow::new(db, "small", PARTITIONS);
        flow.pad = 200 - 43;
        expect_bounded(&flow, full(5_000_000));
    }

    fn large_records_stay_inside_the_budget(db) {
        let mut flow = Flow::new(db, "large", PARTITIONS);
        flow.pad = 100_000;
        expect_bounded(&flow, full(20_000));
    }
}
