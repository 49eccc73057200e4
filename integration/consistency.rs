//! Which commit comes first, and what a crash between the two costs: with a consumer group, on real brokers.

use crate::case::Case;
use crate::harness::{Job, Loader, Outcome, on_each_database, unique};

/// The loader dies once it has committed to Kafka, before the database; and the other way round.
const BEFORE_ROWS: &str = "after-group-commit=panic";
const AFTER_ROWS: &str = "before-group-commit=panic";

fn grouped(case: &Case<'_>, consistency: &str, group: &str) -> Job {
    case.job_into("rows", "id int").commit(&format!("CONSISTENCY: {consistency}")).property("group.id", group)
}

fn crash(job: &Job, point: &str) -> Outcome {
    Loader::load(&job.text()).args(["--quit-at-eof"]).failpoints(point).run().expect_code(1)
}

fn scene<'a>(db: &'a crate::harness::Database, name: &str) -> Case<'a> {
    let case = Case::new(db, name, 1);
    case.table("rows (id int)", "id");
    case.topic.produce(0, (0..10).map(|id| id.to_string()));
    case
}

on_each_database! {
    fn a_crash_between_the_two_commits_costs_what_was_chosen(db) {
        for (consistency, point, after_crash, in_the_end) in [
            ("strong", AFTER_ROWS, 10, 10),
            ("at-least", AFTER_ROWS, 10, 20),
            ("at-most", BEFORE_ROWS, 0, 0),
        ] {
            let case = scene(db, "between");
            let group = unique("group");
            // the group stands at the beginning
            let nothing = grouped(&case, consistency, &group);
            if consistency == "at-least" {
                case.load_with(&nothing.text(), &["--force-reset-latest"]);
                case.topic.produce(0, (10..20).map(|id| id.to_string()));
                case.load(&nothing.text()).expect_text("-Inserted 10 rows");
                db.execute(&format!("TRUNCATE {}.rows", case.schema));
                case.topic.produce(0, (20..30).map(|id| id.to_string()));
            }
            crash(&grouped(&case, consistency, &group), point);
            assert_eq!(case.count("rows"), after_crash, "{consistency}, after the crash");
            case.load(&grouped(&case, consistency, &group).text());
            assert_eq!(case.count("rows"), in_the_end, "{consistency}, in the end");
            // what comes next is loaded once, whatever happened
            case.topic.produce(0, ["99"]);
            case.load(&grouped(&case, consistency, &group).text()).expect_text("-Inserted 1 rows");
            assert_eq!(case.count("rows"), in_the_end + 1, "{consistency}, and on");
        }
    }

    /// The ledger is written all the same, so with strong the job goes on where the database is.
    fn what_at_most_has_lost_strong_still_loads(db) {
        let case = scene(db, "back");
        let group = unique("group");
        crash(&grouped(&case, "at-most", &group), BEFORE_ROWS);
        let outcome = case.load(&grouped(&case, "strong", &group).text()).expect_text("-Inserted 10 rows");
        outcome.expect_text("goes on at offset 0, as the ledger has it, and not at 10, where consumer group");
        assert_eq!(case.count("rows"), 10);
        // and the group has heard of it
        case.load(&grouped(&case, "at-most", &group).text()).expect_text("-Inserted 0 rows");
    }

    fn none_goes_on_where_the_group_stands_or_begins_anew(db) {
        let case = scene(db, "none");
        let group = unique("group");
        let told = grouped(&case, "none", &group).property("enable.auto.commit", "true");
        case.load(&told.text()).expect_text("-Inserted 10 rows");
        let untold = grouped(&case, "none", &group).property("enable.auto.commit", "false");
        let outcome = case.load(&untold.text()).expect_text("-Inserted 10 rows");
        outcome.expect_text("goes on at offset 0, where consumer group");
        assert_eq!(case.count("rows"), 20);
        let latest = untold.source("FALLBACK_OFFSET: latest");
        case.load(&latest.text()).expect_text("-Inserted 0 rows");
    }

    fn without_a_group_the_ledger_decides_and_says_so(db) {
        let case = scene(db, "groupless");
        let job = case.job_into("rows", "id int").commit("CONSISTENCY: at-most");
        let outcome = Loader::load(&job.text()).args(["--quit-at-eof"]).failpoints(AFTER_ROWS).run().expect_code(1);
        outcome.expect_text("CONSISTENCY has no effect without `group.id`");
        Loader::load(&job.text()).args(["--quit-at-eof"]).run().expect_code(0).expect_text("-Inserted 0 rows");
        assert_eq!(case.count("rows"), 10);
    }
}
