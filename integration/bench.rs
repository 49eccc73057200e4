//! `bench` measures what is there, says where the limit is, and leaves nothing behind.

use std::path::Path;

use serde_json::Value;

use crate::flow::Flow;
use crate::harness::{
    Database, Job, Kind, Loader, Outcome, SOON, User, directory, greenplum, on_each_database, postgres, wait_until,
};

fn bench(job: &str, flags: &[&str]) -> Loader {
    let words = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"];
    Loader::with_job("bench", job).args(words).args(flags.iter().copied())
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Of each combination: segments, partitions, and the rows of its rounds.
fn sums(json: &Value) -> Vec<(u64, u64, Vec<u64>)> {
    let sum = |result: &Value| {
        let rows = result["rounds"].as_array().unwrap().iter().map(|round| round["rows"].as_u64().unwrap()).collect();
        (result["segments"].as_u64().unwrap(), result["partitions"].as_u64().unwrap(), rows)
    };
    json["results"].as_array().unwrap().iter().map(sum).collect()
}

/// Every element that is opened is closed, in order, and the text between them holds no bare sign of XML.
fn expect_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("{tag:?} has no end"));
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{tag:?} {text:?}");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{svg}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn discarding_clients_take_every_row_without_a_database() {
    let db = postgres();
    let flow = Flow::new(db, "benchdiscard", 2);
    flow.produce(0, 0..300);
    flow.produce(1, 0..200);
    flow.topic.produce(1, ["not,enough"]);
    // nobody listens there
    let nowhere = flow.job().text().replace(&format!("PORT: {}\n", db.port), "PORT: 1\n");
    let dir = directory("bench", User::current());
    let [results, drawing] = ["results.json", "drawing.svg"].map(|name| dir.join(name));
    let files = ["--json", results.to_str().unwrap(), "--svg", drawing.to_str().unwrap()];
    let combinations = ["--segments", "2,1", "--partitions", "1,2", "--rounds", "2"];
    let outcome = bench(&nowhere, &[&files[..], &combinations].concat()).run().expect_code(0);
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.stdout.lines().count(), 6, "{}", outcome.stdout);
    let outcome = outcome.expect_text("segments partitions        rows/s      MB/s   CPU s/GB  limit");
    outcome.expect_text("too little to say what limits").expect_text("; 1 rejected");
    let found = json(&results);
    let wanted: Vec<_> = [(1, 1, 300), (2, 1, 300), (1, 2, 500), (2, 2, 500)]
        .map(|(segments, partitions, rows)| (segments, partitions, vec![rows; 2]))
        .into();
    assert_eq!((sums(&found), found["to"].as_str()), (wanted, Some("discard")));
    let round = &found["results"][3]["rounds"][0];
    assert_eq!((round["records"].as_u64(), round["rejected"].as_u64()), (Some(501), Some(1)));
    for seconds in
        [&round["seconds"], &round["cpu_seconds"], &round["stages"]["worker_busy"], &round["stages"]["statement"]]
    {
        assert!(seconds.as_f64().unwrap() > 0.0, "{round}");
    }
    assert!(round["bytes"].as_u64().unwrap() > 500 * 30, "{round}");
    let svg = std::fs::read_to_string(&drawing).unwrap();
    expect_well_formed(&svg);
    assert_eq!(svg.matches("<circle").count(), 4);
    bench(&nowhere, &["--rows", "70", "--segments", "3", "--rounds", "1", "--json", files[1]]).run().expect_code(0);
    assert_eq!(sums(&json(&results)), [(3, 2, vec![70])]);
}

/// What was measured by then is told.
#[test]
fn an_interrupted_run_keeps_its_results() {
    let flow = Flow::new(postgres(), "benchint", 1);
    flow.produce(0, 0..100);
    let many: Vec<String> = (1..=300).map(|segments| segments.to_string()).collect();
    let results = directory("bench", User::current()).join("results.json");
    let flags = ["--segments", &many.join(","), "--rounds", "1", "--json", results.to_str().unwrap()];
    let mut running = bench(&flow.job().text(), &flags).start();
    running.wait_for_text(SOON, "rows/s");
    wait_until(SOON, "two results", || running.text().lines().count() > 2);
    running.signal("INT");
    let outcome = running.wait(SOON).expect_code(1);
    assert_eq!(outcome.stderr.trim_end(), "gpkafka: interrupted; nothing was loaded and no offset moved");
    let found = sums(&json(&results));
    assert_eq!(found.len(), outcome.stdout.lines().count() - 1);
    assert!(found.iter().all(|(_, _, rows)| *rows == [100]) && found.len() < 300, "{found:?}");
}

/// All that a trace could be in: relations of the schema, rows of target and ledger.
fn traces(db: &Database, schema: &str) -> Vec<String> {
    let relations = format!(
        "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '{schema}' ORDER BY 1"
    );
    let mut traces = db.rows(&relations);
    for table in traces.clone() {
        if table == "t" || table == "gpkafka_ledger" {
            traces.push(db.value(&format!("SELECT count(*) FROM {schema}.{table}")));
        }
    }
    traces
}

on_each_database! {
    fn counting_and_writing_leave_no_trace(db) {
        let flow = Flow::new(db, "benchtrace", 2);
        flow.produce(0, 0..300);
        flow.produce(1, 0..200);
        let dir = directory("bench", User::current());
        let results = dir.join("results.json");
        let measure = |job: &Job, to: &str| {
            let words = ["--to", to, "--partitions", "1,2", "--rounds", "2", "--json", results.to_str().unwrap()];
            let outcome = bench(&job.text(), &words).run().expect_code(0);
            let segments = u64::from(db.segments());
            assert_eq!(sums(&json(&results)), [(segments, 1, vec![300; 2]), (segments, 2, vec![500; 2])], "{}", outcome.text());
        };
        let job = flow.job();
        let before = traces(db, &flow.schema);
        measure(&job, "count");
        measure(&job, "table");
        assert_eq!(traces(db, &flow.schema), before, "of a job that has never run");
        assert!(!before.iter().any(|relation| relation.starts_with("gpkafka")), "{before:?}");
        flow.load(&job).expect_code(0);
        let (before, ledger) = (traces(db, &flow.schema), flow.ledger());
        measure(&job, "count");
        measure(&job, "table");
        assert_eq!((traces(db, &flow.schema), flow.ledger()), (before, ledger));
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..300), (1, 0..200)]);
    }

    fn beside_a_load_rows_are_counted_and_not_written(db) {
        let flow = Flow::new(db, "benchheld", 1);
        flow.produce(0, 0..100);
        let job = flow.job().commit("MINIMAL_INTERVAL: 200");
        let running = flow.loader(&job).start();
        wait_until(SOON, "the load", || flow.count() == 100);
        bench(&job.text(), &["--to", "count", "--rounds", "1"]).run().expect_code(0);
        let refused = bench(&job.text(), &["--to", "table", "--rounds", "1"]).run().expect_code(1);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.text());
        refused.expect_text("the job is being loaded already");
        flow.produce(0, 100..150);
        wait_until(SOON, "the load to go on", || flow.count() == 150);
        running.signal("INT");
        running.wait(SOON).expect_code(0).expect_calm(&[]);
        flow.expect(&[(0, 0..150)]);
    }

    fn an_interrupt_rolls_back(db) {
        let flow = Flow::new(db, "benchstop", 1);
        flow.produce(0, 0..100_000);
        let mapping = "MAPPING: {part: part, seq: seq, pad: \"pad || pg_sleep(0.05)::text\", hash: hash}";
        let before = traces(db, &flow.schema);
        let running = bench(&flow.job().output(mapping).text(), &["--to", "table"]).start();
        let writing = format!("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO \"{}\"%'", flow.schema);
        wait_until(SOON, "the statement", || db.number(&writing) > 0);
        running.signal("INT");
        let outcome = running.wait(SOON).expect_code(1);
        assert_eq!(outcome.text().trim_end(), "gpkafka: interrupted; nothing was loaded and no offset moved");
        wait_until(SOON, "the session's end", || db.number(&writing) == 0);
        assert_eq!(traces(db, &flow.schema), before);
    }

    fn what_the_database_refuses_is_told(db) {
        let flow = Flow::new(db, "benchrefused", 1);
        flow.produce(0, 0..1000);
        let mapping = "MAPPING: {part: part / (seq - 500), seq: seq, pad: pad, hash: hash}";
        let before = traces(db, &flow.schema);
        let outcome = bench(&flow.job().output(mapping).text(), &["--to", "table"]).run().expect_code(1);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.text());
        outcome.expect_text("division by zero");
        assert_eq!(traces(db, &flow.schema), before);
    }

    fn a_file_without_columns_asks_the_database(db) {
        let flow = Flow::new(db, "benchcolumns", 1);
        flow.produce(0, 0..50);
        let (brokers, topic) = (&flow.topic.kafka.bootstrap, &flow.topic.name);
        let source = format!("    SOURCE: {{BROKERS: '{brokers}', TOPIC: {topic}}}\n    FORMAT: csv\n");
        let output = format!("  OUTPUT: {{SCHEMA: {}, TABLE: t}}\n  COMMIT: {{MINIMAL_INTERVAL: 500}}\n", flow.schema);
        let job = format!("{}KAFKA:\n  INPUT:\n{source}{output}", db.yaml());
        let outcome = bench(&job, &[]).run().expect_code(64);
        assert_eq!(outcome.text().lines().count(), 1, "{}", outcome.text());
        outcome.expect_text("names no COLUMNS: --to discard wants them");
        bench(&job, &["--to", "count", "--rounds", "1"]).run().expect_code(0).expect_text("too little to say what limits");
    }
}

/// Rows that segments refuse are counted; the error log, which outlives a rollback, is emptied.
#[test]
fn rows_that_segments_refuse_are_counted() {
    let Some(db) = greenplum(2) else { return };
    let flow = Flow::new(db, "benchrejects", 1);
    flow.produce(0, 0..50);
    flow.topic.produce(0, ["x,1,pad,hash", "1,y,pad,hash"]);
    let before = traces(db, &flow.schema);
    for to in ["count", "table"] {
        let outcome = bench(&flow.job().text(), &["--to", to, "--rounds", "1"]).run().expect_code(0);
        outcome.expect_text("; 2 rejected");
    }
    let hopeless = Flow::new(db, "benchhopeless", 1);
    hopeless.topic.produce(0, ["x,1,pad,hash", "1,y,pad,hash", "too,few"]);
    for to in ["count", "table"] {
        let outcome = bench(&hopeless.job().text(), &["--to", to, "--rounds", "1"]).run().expect_code(1);
        outcome.expect_text("gpkafka: all 3 records were refused: there is nothing that could be loaded");
    }
    assert_eq!(traces(db, &flow.schema), before);
    wait_until(SOON, "error logs of tables that are not there to be gone", || orphaned_logs(db).is_empty());
}

/// Files `<database>_<table>` on segments, of tables that are not there.
fn orphaned_logs(db: &Database) -> Vec<String> {
    let own = format!("{}_", db.value("SELECT oid FROM pg_database WHERE datname = current_database()"));
    // a segment has the directory once it has refused a row
    let files = db.rows(
        "SELECT pg_ls_dir(name) FROM (SELECT pg_ls_dir('.') AS name FROM gp_dist_random('gp_id')) AS top WHERE name = 'errlog'",
    );
    let tables = db.rows("SELECT oid FROM pg_class");
    let is_orphan = |file: &String| file.strip_prefix(&own).is_some_and(|table| !tables.iter().any(|it| it == table));
    files.into_iter().filter(is_orphan).collect()
}

#[test]
fn what_cannot_be_measured_is_told_in_a_line() {
    let db = postgres();
    let flow = Flow::new(db, "benchwrong", 2);
    let refused = |job: &str, flags: &[&str], code: i32, words: &str| -> Outcome {
        let outcome = bench(job, flags).run().expect_code(code).expect_text(words);
        assert_eq!(outcome.text().lines().count(), 1, "{}", outcome.text());
        outcome
    };
    let job = flow.job().text();
    refused(&job, &[], 1, &format!("topic {} holds no records to measure with", flow.topic.name));
    flow.produce(1, 0..10);
    refused(&job, &["--partitions", "1"], 1, "holds no records to measure with");
    refused(&job, &["--partitions", "1,3"], 1, "has 2 partitions to read, and --partitions wants 3");
    refused(&job, &["--to", "count", "--segments", "2"], 64, "--segments is for --to discard");
    refused(&job, &["--json", "nowhere/results.json"], 64, "nowhere/results.json cannot be written");
    refused(&job, &["--json", "results", "--svg", "results"], 64, "name the same file");
    refused(&job, &["--json", "job.yaml"], 64, "is the job file");
    refused(&job.replace(&flow.topic.name, "nowhere"), &[], 1, "topic \"nowhere\" does not exist");
    let elsewhere = job.replace("TABLE: t\n", "TABLE: tt\n");
    refused(&elsewhere, &["--to", "count"], 1, "did you mean \"t\"?");
    bench(&elsewhere, &["--rounds", "1"]).run().expect_code(0);
    assert!(matches!(db.kind, Kind::Postgres));
}
