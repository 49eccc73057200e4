//! `dryrun` says what `load` does: the same names, the same statements, the same refusals, and it leaves no trace.

use crate::flow::Flow;
use crate::harness::{Database, Kind, Loader, Outcome, free_port, on_each_database};

fn dryrun(job: &str, flags: &[&str]) -> Outcome {
    Loader::with_job("dryrun", job).args(flags.iter().copied()).run()
}

/// The external table in a text, with its schema.
fn external(text: &str) -> &str {
    let start = text.find("gpkafkaloadext_").unwrap_or_else(|| panic!("no external table in: {text}"));
    &text[start..start + "gpkafkaloadext_".len() + 32]
}

fn ours(db: &Database, schema: &str) -> i64 {
    let sql =
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname LIKE 'gpkafka%'";
    db.number(&format!("{sql} AND nspname = '{schema}'"))
}

on_each_database! {
    fn it_names_what_a_load_uses(db) {
        let flow = Flow::new(db, "dry", 3);
        (0..3).for_each(|partition| flow.produce(partition, 0..10));
        let port = free_port().to_string();
        let address = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", &port];
        for partitions in ["PARTITIONS: (0...1)", "PARTITIONS: (2)"] {
            let job = flow.job().source(partitions);
            let dry = dryrun(&job.text(), &[&address[..], &["--connect"]].concat()).expect_code(0);
            let rows = if partitions.contains("(2)") { 10 } else { 20 };
            let dry = dry.expect_text(&format!("{rows} records to load")).expect_text("EXPLAIN at the database: inserting into");
            let load = flow.loader(&job).args(address).args(["--quit-at-eof"]).run().expect_code(0);
            if matches!(db.kind, Kind::Greenplum { .. }) {
                assert_eq!(external(&dry.stdout), external(&load.stdout));
                let offline = dryrun(&job.text(), &address).expect_code(0);
                assert_eq!(external(&offline.stdout), external(&load.stdout));
            }
            let again = dryrun(&job.text(), &[&address[..], &["--connect"]].concat()).expect_code(0);
            again.expect_text(", 0 records to load").expect_text("goes on at offset 10 of 10");
        }
        flow.expect(&[(0, 0..10), (1, 0..10), (2, 0..10)]);
    }

    fn it_refuses_what_a_load_refuses(db) {
        let flow = Flow::new(db, "dry", 1);
        flow.produce(0, 0..10);
        let job = flow.job();
        let refused = |job: &str, words: &str| {
            let outcome = dryrun(job, &["--connect"]).expect_code(1).expect_text(words);
            assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.text());
            outcome.expect_text("-- each batch");
        };
        refused(&job.clone().source("PARTITIONS: (7)").text(), "none of PARTITIONS (7)");
        refused(&job.text().replace("TABLE: t\n", "TABLE: tt\n"), "did you mean \"t\"?");
        refused(&job.text().replace(&flow.topic.name, "nowhere"), "topic \"nowhere\" does not exist");
        assert_eq!(ours(db, &flow.schema), 0, "it leaves no trace");
        flow.load(&job).expect_code(0);
        flow.produce(0, 10..30);
        flow.topic.delete_records_before(0, 15);
        refused(&job.text(), "5 records of");
    }

    fn columns_of_the_target_are_looked_up(db) {
        let flow = Flow::new(db, "dry", 1);
        let (brokers, topic) = (&flow.topic.kafka.bootstrap, &flow.topic.name);
        let source = format!("    SOURCE: {{BROKERS: '{brokers}', TOPIC: {topic}}}\n    FORMAT: csv\n");
        let output = format!("  OUTPUT: {{SCHEMA: {}, TABLE: t}}\n  COMMIT: {{MINIMAL_INTERVAL: 500}}\n", flow.schema);
        let job = format!("{}KAFKA:\n  INPUT:\n{source}{output}", db.yaml());
        dryrun(&job, &[]).expect_code(0).expect_text("--connect looks them up").expect_no_text("-- each batch");
        let outcome = dryrun(&job, &["--connect"]).expect_code(0);
        outcome.expect_text("SELECT \"part\",").expect_text("-- each batch").expect_no_text("looks them up");
    }
}
