//! Moving over from the original: its history is found and understood, and the first load goes on behind it.

use crate::flow::Flow;
use crate::harness::{Job, Loader, Outcome, on_each_database};

const HASH: &str = "12ead185469b45cc8e5be3c9f0ea14a2";

fn migrate(job: &Job, flags: &[&str]) -> Outcome {
    Loader::with_job("migrate", &job.text()).args(flags.iter().copied()).run()
}

/// A history table as it may have looked, with these commits.
fn history(flow: &Flow<'_>, name: &str, columns: [&str; 3], commits: &[(i32, i64, i64)]) {
    let [partition, begin, end] = columns;
    let table = format!("{}.{name}", flow.schema);
    let distribution = flow.db.distributed_by(partition);
    flow.db.execute(&format!(
        "CREATE TABLE {table} ({partition} int, starttime timestamptz, endtime timestamptz, {begin} bigint, {end} bigint, version int) {distribution}"
    ));
    for (partition, begin, end) in commits {
        flow.db.execute(&format!("INSERT INTO {table} VALUES ({partition}, now(), now(), {begin}, {end}, 1)"));
    }
}

on_each_database! {
    fn a_load_goes_on_where_the_original_stopped(db) {
        let flow = Flow::new(db, "moved", 3);
        let job = flow.job();
        (0..3).for_each(|partition| flow.produce(partition, 0..20));
        let commits = [(0, 0, 5), (0, 5, 12), (1, 0, 7), (1, 7, 7), (9, 0, 1)];
        history(&flow, &format!("gpkafka_t_{HASH}"), ["partition_id", "begin_offset", "end_offset"], &commits);
        let shown = migrate(&job, &[]).expect_code(0);
        let shown = shown.expect_text("end            \"end_offset\": the next offset to read");
        let shown = shown.expect_text("partition 0  goes on at offset 12, with 8 more in the topic");
        shown.expect_text("partition 9  is left out").expect_text("nothing was written; run it again with --apply");
        migrate(&job, &["--apply"]).expect_code(0).expect_text("the ledger begins there");
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 12..20), (1, 7..20), (2, 0..20)]);
        migrate(&job, &["--apply"]).expect_code(1).expect_text("this job has loaded with gpkafka already");
    }

    fn ends_that_are_the_last_offset_are_told_by_the_rows_or_by_the_user(db) {
        let flow = Flow::new(db, "moved", 1);
        let job = flow.job();
        flow.produce(0, 0..20);
        history(&flow, &format!("gpkafka_t_{HASH}"), ["part", "startoffset", "endoffset"], &[(0, 0, 4), (0, 5, 11)]);
        migrate(&job, &[]).expect_code(1).expect_text("no column of").expect_text("--partition-column, one of part, ");
        let named = ["--partition-column", "part"];
        migrate(&job, &named).expect_code(0).expect_text("goes on at offset 12");
        db.execute(&format!("DELETE FROM {}.gpkafka_t_{HASH} WHERE startoffset = 0", flow.schema));
        migrate(&job, &named).expect_code(1).expect_text("say --end-offset last or next");
        let told = [&named[..], &["--end-offset", "last", "--apply"]].concat();
        migrate(&job, &told).expect_code(0).expect_text("goes on at offset 12");
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 12..20)]);
    }

    fn history_that_is_not_this_topics_is_refused(db) {
        let flow = Flow::new(db, "moved", 1);
        let job = flow.job();
        flow.produce(0, 0..20);
        migrate(&job, &["--apply"]).expect_code(1).expect_text("has no table gpkafka_t_<32 hex digits>");
        let columns = ["partitionid", "beginoffset", "endoffset"];
        history(&flow, &format!("gpkafka_t_{HASH}"), columns, &[(0, 0, 10), (0, 10, 21)]);
        migrate(&job, &["--apply"]).expect_code(1).expect_text("was read up to offset 21, but the topic ends at 20");
        history(&flow, &format!("gpkafka_t_{}", "0".repeat(32)), columns, &[]);
        migrate(&job, &["--apply"]).expect_code(1).expect_text("choose one with --history-table");
        let empty = format!("gpkafka_t_{}", "0".repeat(32));
        migrate(&job, &["--history-table", &empty]).expect_code(1).expect_text("is empty");
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..20)]);
    }
}
