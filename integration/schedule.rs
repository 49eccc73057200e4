//! When a job stops by itself, and when it is started again.

use std::time::Duration;

use crate::case::Case;
use crate::harness::{Job, Loader, SOON, on_each_database, wait_until};

/// A stop of a wait comes at once; the rest is for this machine.
const AT_ONCE: Duration = Duration::from_secs(10);

fn retrying(case: &Case<'_>, retries: i32, interval: &str) -> Job {
    let job = case.job_into("rows", "id int").around("SCHEDULE", &format!("MAX_RETRIES: {retries}"));
    job.around("SCHEDULE", &format!("RETRY_INTERVAL: {interval}"))
}

/// A time zone in which it is around noon, and the time there so many seconds from now.
fn soon(seconds: i64) -> (String, String) {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let zone = format!("Etc/GMT{:+}", i64::from(now.hour()) - 12);
    let there = jiff::Timestamp::now().in_tz(&zone).unwrap().checked_add(jiff::Span::new().seconds(seconds)).unwrap();
    (zone, there.strftime("%H:%M:%S").to_string())
}

on_each_database! {
    fn a_failed_job_is_started_again_until_it_works(db) {
        let case = Case::new(db, "retried", 1);
        case.topic.produce(0, ["1", "2"]);
        let outcome = Loader::load(&retrying(&case, 2, "100ms").text()).args(["--quit-at-eof"]).run().expect_code(1);
        let outcome = outcome.expect_text("retry 1 of 2").expect_text("retry 2 of 2").expect_text("JOB_ERROR");
        assert_eq!(outcome.text().matches("gpfdist listening").count(), 3);

        let mut load = Loader::load(&retrying(&case, -1, "500ms").text()).args(["--quit-at-eof"]).start();
        load.wait_for_text(SOON, "the job is started again at");
        case.table("rows (id int)", "id");
        load.wait(SOON).expect_code(0).expect_text("-Inserted 2 rows").expect_text("JOB_STOPPED");
        assert_eq!(case.count("rows"), 2);
    }

    fn a_wait_for_the_next_start_ends_at_once(db) {
        let case = Case::new(db, "waiting", 1);
        let mut load = Loader::load(&retrying(&case, 5, "1h").text()).start();
        load.wait_for_text(SOON, "the job is started again at");
        load.signal("INT");
        load.wait(AT_ONCE).expect_code(1).expect_text("JOB_ERROR").expect_no_text("still starting");
    }

    fn a_silent_kafka_is_named_as_what_the_start_waits_for(db) {
        let case = Case::new(db, "silent", 1);
        case.table("rows (id int)", "id");
        // connections are taken and never answered
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let job = retrying(&case, 0, "1s").text();
        let job = job.replace(&case.topic.kafka.bootstrap, &silent.local_addr().unwrap().to_string());
        let mut load = Loader::load(&job).start();
        load.wait_for_text(SOON, "still starting: Kafka has not answered");
        load.signal("INT");
        load.wait(SOON).expect_no_text("pg_locks");
    }

    /// Each start has its duration, the last one too, and commits what it has in hand.
    fn a_job_stops_after_its_duration_and_comes_again(db) {
        let case = Case::new(db, "hours", 1);
        case.table("rows (id int)", "id");
        case.topic.produce(0, ["1", "2"]);
        let job = case.job_into("rows", "id int").commit("MAX_ROW: 1000000");
        let job = ["RUNNING_DURATION: 3s", "AUTO_STOP_RESTART_INTERVAL: 200ms", "MAX_RESTART_TIMES: 1"]
            .iter()
            .fold(job, |job, line| job.around("SCHEDULE", line));
        let text = job.text().replace("MINIMAL_INTERVAL: 500", "MINIMAL_INTERVAL: 600000");
        let mut load = Loader::load(&text).start();
        load.wait_for_text(SOON, "restart 1 of 1");
        assert_eq!(case.count("rows"), 2);
        case.topic.produce(0, ["3"]);
        let outcome = load.wait(SOON).expect_code(0).expect_text("-Inserted 3 rows").expect_calm(case.announced);
        assert_eq!(outcome.text().matches("RUNNING_DURATION is over").count(), 2, "{}", outcome.text());
        assert_eq!(case.count("rows"), 3);
    }

    fn a_reset_is_done_by_the_first_start_alone(db) {
        let case = Case::new(db, "once", 1);
        case.table("rows (id int)", "id");
        case.topic.produce(0, ["1", "2"]);
        let job = case.job_into("rows", "id int");
        case.load(&job.text());
        let job = ["RUNNING_DURATION: 3s", "AUTO_STOP_RESTART_INTERVAL: 1ms", "MAX_RESTART_TIMES: 1"]
            .iter()
            .fold(job, |job, line| job.around("SCHEDULE", line));
        let outcome = Loader::load(&job.text()).args(["--force-reset-earliest"]).run().expect_code(0);
        outcome.expect_text("restart 1 of 1").expect_text("-Inserted 2 rows");
        assert_eq!(case.count("rows"), 4);
    }

    fn the_ends_of_the_topic_end_the_job_from_a_time_of_day_on(db) {
        let case = Case::new(db, "clock", 2);
        case.table("rows (id int)", "id");
        case.topic.produce(0, ["1", "2"]);
        let at = |time: &str| case.job_into("rows", "id int").around("SCHEDULE", &format!("QUIT_AT_EOF_AFTER: '{time}'")).text();
        let (zone, past) = soon(-3600);
        let outcome = Loader::load(&at(&past)).env("TZ", &zone).run().expect_code(0).expect_calm(case.announced);
        outcome.expect_text("-Inserted 2 rows");

        let (zone, time) = soon(12);
        let mut load = Loader::load(&at(&time)).env("TZ", &zone).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        case.topic.produce(1, ["3", "4", "5"]);
        wait_until(SOON, "the rows", || case.count("rows") == 5);
        assert!(!load.text().contains("QUIT_AT_EOF_AFTER has come"), "before its time:\n{}", load.text());
        let outcome = load.wait(SOON).expect_code(0).expect_text("QUIT_AT_EOF_AFTER has come").expect_calm(case.announced);
        outcome.expect_text("-Inserted 3 rows");
    }
}
