//! The history of a job: what `check` tells of it, and that there is only one, whatever a file says about metadata.

use crate::flow::Flow;
use crate::harness::{Loader, Outcome, on_each_database};

fn check(job: &str, flags: &[&str]) -> Outcome {
    Loader::with_job("check", job).args(flags.iter().copied()).run()
}

/// The rows of the table that `check` prints, split into their cells.
fn cells(outcome: &Outcome) -> Vec<Vec<String>> {
    let rows = outcome.stdout.lines().skip_while(|line| !line.starts_with("PartitionID")).skip(1);
    rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

on_each_database! {
    fn check_shows_commits_and_lag(db) {
        let flow = Flow::new(db, "checked", 2);
        let job = flow.job().source("PARTITIONS: (0)");
        check(&job.text(), &[]).expect_code(0).expect_text("nothing has been committed yet");
        for round in 0..2 {
            flow.produce(0, round * 10..round * 10 + 10);
            flow.load(&job).expect_code(0);
        }
        flow.produce(0, 20..23);
        let latest = cells(&check(&job.text(), &[]).expect_code(0));
        assert_eq!(latest.len(), 1, "{latest:?}");
        assert_eq!((latest[0][0].as_str(), &latest[0][3..]), ("0", &["10", "20", "load", "10", "0", "0", "3"].map(str::to_owned)[..]));
        flow.produce(1, 0..7);
        let both = cells(&check(&flow.job().text(), &["--name", "nightly"]).expect_code(0).expect_text("  nightly  topic"));
        assert_eq!((both.len(), both[1].join(" ")), (2, "1 - - - - - - - - 7".to_owned()));
        let all = cells(&check(&job.text(), &["--show-commit-history", "all"]).expect_code(0));
        let spans: Vec<_> = all.iter().map(|row| (row[3].as_str(), row[4].as_str(), row[9].as_str())).collect();
        assert_eq!(spans, [("0", "10", "-"), ("10", "20", "3")]);
    }

    fn check_without_brokers_shows_the_commits(db) {
        let flow = Flow::new(db, "checked", 1);
        flow.produce(0, 0..5);
        flow.load(&flow.job()).expect_code(0);
        let job = flow.job().text().replace(&flow.topic.kafka.bootstrap, "127.0.0.1:1");
        let outcome = check(&job, &[]).expect_code(0).expect_text("lag is unknown: no kafka broker of 127.0.0.1:1");
        assert_eq!(cells(&outcome)[0][4], "5");
    }

    fn check_of_what_is_not_there_fails(db) {
        let flow = Flow::new(db, "checked", 1);
        let job = flow.job().text();
        let wrong = job.replace("TABLE: t\n", "TABLE: tt\n");
        check(&wrong, &[]).expect_code(1).expect_text("did you mean \"t\"?");
        let wrong = job.replace(&format!("TOPIC: {}", flow.topic.name), "TOPIC: nowhere");
        check(&wrong, &[]).expect_code(1).expect_text("topic \"nowhere\" does not exist");
    }

    fn a_job_has_one_history_whatever_its_metadata_schema(db) {
        let flow = Flow::new(db, "oneonly", 1);
        flow.produce(0, 0..10);
        let job = flow.job();
        flow.load(&job).expect_code(0);
        let elsewhere = db.schema("elsewhere");
        let moved = job.text().replace("  OUTPUT:\n", &format!("  METADATA: {{SCHEMA: {elsewhere}}}\n  OUTPUT:\n"));
        let refused = Loader::load(&moved).args(["--quit-at-eof"]).run().expect_code(1);
        refused.expect_text(&format!("set METADATA.SCHEMA to \"{}\" as before", flow.schema));
        flow.expect(&[(0, 0..10)]);
    }
}
