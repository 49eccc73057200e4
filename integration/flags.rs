//! Flags and keys that no other test uses, each seen to have its effect on a real load.

use std::time::Duration;

use crate::case::Case;
use crate::flow::Flow;
use crate::harness::{
    Database, Job, Loader, ask, free_port, greenplum, metric, on_each_database, postgres, unique, wait_until,
};

const SOON: Duration = Duration::from_secs(60);

/// A job of the table `rows`, whose parts are to be filled in.
fn job(case: &Case<'_>) -> Job {
    case.job_into("rows", "a int, b text")
}

fn rows(case: &Case<'_>) -> Vec<String> {
    case.rows("SELECT a, b FROM $SCHEMA.rows ORDER BY 1")
}

fn case(db: &Database) -> Case<'_> {
    let case = Case::new(db, "flags", 1);
    case.table("rows (a int, b text)", "a");
    case
}

on_each_database! {
    fn delimited_rows(db) {
        let case = case(db);
        case.topic.produce(0, ["1|one", "2|two\n3|"]);
        case.load(&job(&case).format("delimited").value("DELIMITED_OPTION: {DELIMITER: '|'}").text());
        assert_eq!(rows(&case), ["1|one", "2|two", "3|"]);
    }

    fn csv_with_every_option(db) {
        let case = case(db);
        case.topic.produce(0, ["1;'it*'s; one'", "2;-", "3"]);
        let options = "{DELIMITER: ';', QUOTE: \"'\", ESCAPE: '*', NULL_STRING: '-', FILL_MISSING_FIELDS: true}";
        case.load(&job(&case).value(&format!("CSV_OPTION: {options}")).text());
        assert_eq!(rows(&case), ["1|it's; one", "2|\\N", "3|\\N"]);
    }

    fn json_lines_with_an_end_of_their_own(db) {
        let case = Case::new(db, "flags", 1);
        case.table("docs (a int, b text)", "a");
        case.topic.produce(0, ["{\"a\": 1}#{\"a\": 2}"]);
        let job = case.job_into("docs", "j json").format("jsonl").value("JSONL_OPTION: {NEWLINE: '#'}");
        case.load(&job.output("MAPPING: {a: \"(j->>'a')::int\"}").text());
        assert_eq!(case.rows("SELECT a FROM $SCHEMA.docs ORDER BY 1"), ["1", "2"]);
    }

    fn metadata_in_a_schema_of_its_own(db) {
        let case = case(db);
        case.topic.produce(0, ["1,one"]);
        let metadata = db.schema("meta");
        let file = job(&case).text();
        let file = file.replace("  COMMIT:", &format!("  METADATA: {{SCHEMA: {metadata}}}\n  COMMIT:"));
        let port = free_port().to_string();
        let load = || case.load_with(&file, &["--gpfdist-port", &port]);
        load().expect_text(&format!("External table \"{metadata}\".\"gpkafkaloadext_"));
        load().expect_text("already exist, reuse.").expect_text("-Inserted 0 rows");
        let ours = format!("SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'gpkafka_ledger' AND nspname IN ('{metadata}', '$SCHEMA')");
        assert_eq!(case.rows(&ours), [metadata.as_str()]);
    }

    fn an_external_table_that_is_not_to_be_reused(db) {
        let case = case(db);
        case.topic.produce(0, ["1,one"]);
        let config = std::env::temp_dir().join(crate::harness::unique("gpss.json"));
        let port = free_port();
        std::fs::write(&config, format!("{{\"Gpfdist\": {{\"Host\": \"127.0.0.1\", \"Port\": {port}, \"ReuseTables\": false}}}}")).unwrap();
        let file = job(&case).text();
        for _ in 0..2 {
            let outcome = case.load_with(&file, &["--config", config.to_str().unwrap()]);
            outcome.expect_text(&format!("gpfdist listening on [::]:{port}")).expect_text("created.").expect_no_text("reuse");
        }
        drop(std::fs::remove_file(&config));
        assert_eq!(rows(&case), ["1|one"]);
    }
}

#[test]
fn the_callback_address_of_the_file() {
    let case = case(postgres());
    case.topic.produce(0, ["1,one"]);
    let port = free_port();
    let file = job(&case).input("LOCAL_HOSTNAME: 127.0.0.1").input(&format!("LOCAL_PORT: {port}")).text();
    // bare: no flag may stand before what the file says
    Loader::with_job("load", &file).args(["--quit-at-eof"]).run().expect_code(0).expect_text(&format!("]:{port}"));
    let table = case.rows("SELECT count(*) FROM pg_foreign_table t JOIN pg_class c ON c.oid = ftrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '$SCHEMA' AND ftoptions::text LIKE '%gpfdist://127.0.0.1:%'");
    assert_eq!((rows(&case), table), (vec!["1|one".to_owned()], vec!["1".to_owned()]));
}

#[test]
fn the_password_of_the_file() {
    let case = case(postgres());
    let role = unique("secretive");
    case.db.execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 's3cret'"));
    // this role alone is asked for its password
    let rules = case.db.value("SHOW hba_file");
    let others = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{others}")).unwrap();
    case.db.execute("SELECT pg_reload_conf()");
    let user = format!("USER: {}\n", case.db.user);
    let file = |password: &str| job(&case).text().replace(&user, &format!("USER: {role}\nPASSWORD: {password}\n"));
    let load = |password: &str| Loader::load(&file(password)).args(["--quit-at-eof"]).run();
    wait_until(SOON, "the server to ask for passwords", || load("sesame").code == 1);
    case.topic.produce(0, ["1,one"]);
    load("sesame").expect_code(1).expect_text("password authentication failed").expect_no_text("sesame");
    load("s3cret").expect_code(0).expect_text("-Inserted 1 rows");
}

#[test]
fn variables_names_and_lines() {
    let case = case(postgres());
    case.topic.produce(0, ["1,one", "2,two"]);
    let file = job(&case).text().replace(&case.topic.name, "{{topic}}");
    let topic = format!("topic={}", case.topic.name);
    let flags = ["-p", &topic, "--name", "nightly", "--partition", "--color", "--skip-explain"];
    let outcome = case.load_with(&file, &flags);
    let outcome = outcome.expect_text("is called nightly").expect_text("Partition 0: offsets 0 to 1");
    assert!(outcome.stdout.contains("-[\u{1b}[32mINFO\u{1b}[0m]:-Start job "), "{}", outcome.stdout);
    let log = std::fs::read_dir(outcome.dir.join("gpAdminLogs")).unwrap().next().unwrap().unwrap().path();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("-[INFO]:-Start job ") && !log.contains('\u{1b}'), "the log file has no colours: {log}");
    let refused = Loader::load(&file).args(["--quit-at-eof"]).run().expect_code(64);
    refused.expect_text("topic");
}

#[test]
fn logs_as_csv() {
    let case = case(postgres());
    case.topic.produce(0, ["1,one"]);
    let outcome = case.load_with(&job(&case).text(), &["--csv-log"]);
    let line = outcome.stdout.lines().find(|line| line.contains("Inserted 1 rows")).unwrap();
    let fields: Vec<&str> = line.split(',').collect();
    assert_eq!((fields.len(), fields[2], fields[3]), (4, "INFO", "\"Inserted 1 rows\""));
    let log = std::fs::read_dir(outcome.dir.join("gpAdminLogs")).unwrap().next().unwrap().unwrap().path();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        assert!(line.splitn(4, ',').count() == 4 && line.ends_with('"'), "{line}");
    }
}

#[test]
fn health_and_metrics_of_a_running_load() {
    let flow = Flow::new(postgres(), "debug", 1);
    flow.produce(0, 0..100);
    let port = free_port();
    let job = flow.job().commit("MINIMAL_INTERVAL: 200");
    let mut load = flow.loader(&job).args(["--debug-port", &port.to_string()]).start();
    load.wait_for_text(SOON, "gpkafka job has started");
    wait_until(SOON, "metrics of 100 rows", || metric(port, "rows_inserted_total") == Some(100));
    let metrics = ask(port, "/metrics").unwrap();
    let spent = |of: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("gpkafka_seconds_total{{{of}}}"))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    for (stage, doing) in
        [("worker", "busy"), ("worker", "waits_for_kafka"), ("segment", "taking"), ("database", "insert")]
    {
        assert!(spent(&format!("spent=\"{doing}\",stage=\"{stage}\"")) > 0.0, "{stage} {doing}: {metrics}");
    }
    assert!(ask(port, "/health").unwrap().starts_with("HTTP/1.1 200"));
    load.signal("INT");
    load.wait(SOON).expect_code(0);
}

/// A mapping that takes its time: the loader waits for the database, and the user is told so.
#[test]
fn the_profile_names_the_stage_that_limits() {
    let Some(db) = greenplum(2) else { return };
    let flow = Flow::new(db, "profile", 1);
    flow.produce(0, 0..100);
    let job = flow.job().output("MAPPING: {part: part, seq: seq, pad: \"pad || pg_sleep(0.05)::text\", hash: hash}");
    let outcome = flow.loader(&job).args(["--quit-at-eof", "--profile"]).run().expect_code(0);
    outcome
        .expect_text("profile: 100 rows of")
        .expect_text("profile: workers   ")
        .expect_text("profile: database  loading")
        .expect_text("profile: the database limits: the loader waits for its segments");
    let plain = flow.loader(&job).args(["--quit-at-eof"]).run().expect_code(0);
    plain.expect_no_text("profile:");
}
