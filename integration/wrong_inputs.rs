//! What people get wrong: files, flags, names, addresses, privileges. Each gives one clear line that names the thing
//! and says what to do, with the right exit code, within 30 s, and without a panic.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::harness::{Database, Kind, Loader, Outcome, free_port, greenplum, on_each_database, postgres, unique};

/// The promise.
const ANSWER: Duration = Duration::from_secs(30);

/// A right job for a table `orders (id int, note text)`.
const JOB: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS:
        - NAME: id
          TYPE: int
        - NAME: note
          TYPE: text
      FORMAT: csv
    ERROR_LIMIT: 0
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: orders
    MAPPING:
      id: id
      note: note
  COMMIT:
    MINIMAL_INTERVAL: 500
";

/// A file that is wrong without asking any server: in [`JOB`] the first text becomes the second; the message has the third.
const FILES: [(&str, &str, &str); 23] = [
    (
        "MINIMAL_INTERVAL: 500",
        "MINIMAL_INTERVALL: 500",
        "job.yaml:26:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT (did you mean `MINIMAL_INTERVAL`?)",
    ),
    ("      TOPIC: $TOPIC\n", "", "`TOPIC` is missing under KAFKA.INPUT.SOURCE"),
    ("      BROKERS: 127.0.0.1:1\n", "", "`BROKERS` is missing under KAFKA.INPUT.SOURCE"),
    ("    TABLE: orders\n", "", "`TABLE` is missing under KAFKA.OUTPUT"),
    ("FORMAT: csv", "FORMAT: cvs", "(did you mean `csv`?)"),
    ("FORMAT: csv", "FORMAT: binary", "job.yaml:12:7: FORMAT binary makes one column, of type bytea, not 2"),
    ("FORMAT: csv", "FORMAT: avro", "`AVRO_OPTION` is missing"),
    ("ERROR_LIMIT: 0", "ERROR_LIMIT: 0\n    ENCODING: LATIN11", "`ENCODING` "),
    ("ERROR_LIMIT: 0", "ERROR_LIMIT: many", "must be a number of records or a whole percentage up to `100%`"),
    ("ERROR_LIMIT: 0", "ERROR_LIMIT: 101%", "must be a number of records or a whole percentage up to `100%`"),
    ("MINIMAL_INTERVAL: 500", "MINIMAL_INTERVAL: -1", "must be a number of milliseconds, 0 or more"),
    (
        "TOPIC: $TOPIC",
        "TOPIC: $TOPIC\n      PARTITIONS: (5...2)",
        "`PARTITIONS` has a range that runs backwards: `5...2`",
    ),
    (
        "TOPIC: $TOPIC",
        "TOPIC: $TOPIC\n      PARTITIONS: 0 and 1",
        "must be partition numbers in parentheses like `(2, 5...7, 10)`",
    ),
    ("TOPIC: $TOPIC", "TOPIC: $TOPIC\n      FALLBACK_OFFSET: oldest", "`FALLBACK_OFFSET` must be earliest or latest"),
    ("TABLE: orders", "TABLE: orders\n    MODE: merge", "`MATCH_COLUMNS` is missing under KAFKA.OUTPUT"),
    (
        "TABLE: orders",
        "TABLE: orders\n    MODE: merge\n    MATCH_COLUMNS: [id, id]\n    UPDATE_COLUMNS: [note]",
        "MATCH_COLUMNS names \"id\" twice",
    ),
    ("VERSION: 2", "VERSION: 7", "`VERSION` must be 1 or 2, not `7` (a file of version 3 says `version: v3`)"),
    ("TABLE: orders", "TABLE: orders\n    MODE: upsert", "(did you mean `merge`?)"),
    ("VERSION: 2", "VERSION: {{version}}", "(give it with `-p version=…`)"),
    ("      id: id", "      id: id\n      id: id", "MAPPING gives column \"id\" two expressions"),
    ("  INPUT:", "\tINPUT:", "job.yaml:7:1: a tab indents this line: YAML wants spaces"),
    ("KAFKA:", "KAFKA: [", "job.yaml:8:11: not YAML: did not find expected"),
    ("DATABASE: ", "DATABASES: ", "unknown key `DATABASES` at the top level (did you mean `DATABASE`?)"),
];

/// Command lines that are wrong by themselves, and what the message has. `FILE` stands for a right file.
const FLAGS: [(&[&str], &str); 10] = [
    (&[], "Usage"),
    (&["lod", "FILE"], "lod"),
    (&["load"], "FILE"),
    (&["load", "FILE", "FILE"], "unexpected argument"),
    (&["load", "FILE", "--quit-at-eoff"], "--quit-at-eof"),
    (&["load", "FILE", "--force-reset-earliest", "--force-reset-latest"], "cannot be used with"),
    (&["load", "FILE", "--force-reset-timestamp", "yesterday"], "yesterday"),
    (&["load", "FILE", "--gpfdist-port", "99999"], "99999"),
    (&["load", "FILE", "--property", "novalue"], "novalue"),
    (&["load", "FILE", "--config", "/nowhere/gpss.json"], "/nowhere/gpss.json"),
];

/// What every refusal has in common.
fn expect_refusal(outcome: Outcome, code: i32, words: &str, begun: Instant) {
    let took = begun.elapsed();
    assert!(took < ANSWER, "it took {took:?}:\n{}", outcome.text());
    let outcome = outcome.expect_no_text("panicked").expect_code(code);
    let said = outcome.stderr.to_lowercase();
    assert!(said.contains(&words.to_lowercase()), "stderr does not say {words:?}, it printed:\n{}", outcome.text());
    if code == 1 {
        // Nobody has to look for the cause among consequences.
        let lines = outcome.stderr.lines().count();
        assert_eq!(lines, 1, "one line is enough:\n{}", outcome.text());
    }
}

/// Whoever has the path of an external table may ask for its rows, so no message shows one whole.
fn expect_no_token(text: &str) {
    let tokens = text.split(['/', '"', '\'', ' ']).filter(|part| part.len() == 32);
    let shown = tokens.filter(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // the job's hash is in the path, and in lines of its own
    let job = text.lines().find_map(|line| line.split_once("Start job ")).map_or("", |(_, rest)| &rest[..32]);
    let mut others = shown.filter(|part| *part != job);
    assert_eq!(others.next(), None, "{text}");
}

/// A right job file that no server has to exist for.
fn offline_job() -> String {
    let job = JOB.replace("$BROKERS", "127.0.0.1:1").replace("$TOPIC", "orders").replace("$SCHEMA", "public");
    format!("DATABASE: postgres\nUSER: nobody\nHOST: 127.0.0.1\nPORT: 1\n{job}")
}

#[test]
fn wrong_files_are_known_without_a_server() {
    for (from, to, words) in FILES {
        let right = JOB.replace("$BROKERS", "127.0.0.1:1").replace("$SCHEMA", "public");
        let right = format!("DATABASE: postgres\nUSER: nobody\nHOST: 127.0.0.1\nPORT: 1\n{right}");
        assert!(right.contains(from), "the job has no {from:?}");
        let wrong = right.replace(from, to).replace("$TOPIC", "orders");
        let begun = Instant::now();
        expect_refusal(Loader::with_job("load", &wrong).run(), 64, words, begun);
    }
}

#[test]
fn files_that_are_no_job_files() {
    for (text, words) in
        [("", "empty"), ("# nothing\n", "comments"), ("just words\n", "job.yaml:1:"), ("[1, 2]\n", "job.yaml:1:")]
    {
        let begun = Instant::now();
        expect_refusal(Loader::with_job("load", text).run(), 64, words, begun);
    }
    for path in ["/nowhere/job.yaml", "/"] {
        let begun = Instant::now();
        expect_refusal(Loader::command(["load", path]).run(), 64, path, begun);
    }
}

#[test]
fn all_mistakes_of_a_file_in_one_go() {
    let wrong = offline_job().replace("FORMAT: csv", "FORMAT: cvs").replace("  COMMIT:", "  COMIT:");
    let outcome = Loader::with_job("load", &wrong).run().expect_code(64);
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", outcome.text());
    assert!(lines[0].contains("cvs") && lines[1].contains("COMIT"), "in the order of the file:\n{}", outcome.text());
}

#[test]
fn wrong_command_lines() {
    for (words, said) in FLAGS {
        let right = Loader::with_job("version", &offline_job());
        let path = right.job_path();
        let file = path.to_str().unwrap();
        let words = words.iter().map(|word| if *word == "FILE" { file } else { word });
        let begun = Instant::now();
        expect_refusal(Loader::command(words).run(), 64, said, begun);
    }
}

/// A case whose job is right, so that a test can make one thing wrong.
fn right(db: &Database) -> (Case<'_>, String) {
    let case = Case::new(db, "wrong", 1);
    case.table("orders (id int, note text)", "id");
    case.topic.produce(0, ["1,one"]);
    let job = case.job(JOB);
    (case, job)
}

/// Loads a job that cannot work, and expects that nothing came of it.
fn refused(case: &Case<'_>, job: &str, flags: &[&str], words: &str) {
    let begun = Instant::now();
    let outcome = Loader::load(job).args(["--quit-at-eof"]).args(flags.iter().copied()).run();
    expect_no_token(&outcome.text());
    expect_refusal(outcome, 1, words, begun);
    assert_eq!(case.count("orders"), 0, "nothing may be loaded");
}

on_each_database! {
    fn the_job_that_the_others_make_wrong_is_right(db) {
        let (case, job) = right(db);
        case.load(&job).expect_text("-Inserted 1 rows");
    }

    fn an_unreachable_broker(db) {
        let (case, job) = right(db);
        let nobody = format!("127.0.0.1:{}", free_port());
        refused(&case, &job.replace(&case.topic.kafka.bootstrap, &nobody), &[], &nobody);
    }

    fn a_broker_with_a_name_that_does_not_resolve(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace(&case.topic.kafka.bootstrap, "kafka.invalid:9092"), &[], "kafka.invalid:9092");
    }

    fn an_unknown_topic(db) {
        let (case, job) = right(db);
        let name = case.topic.name.clone();
        let wrong = job.replace(&format!("TOPIC: {name}"), &format!("TOPIC: {name}x"));
        refused(&case, &wrong, &[], &format!("\"{name}\""));
    }

    fn partitions_that_the_topic_has_not(db) {
        let (case, job) = right(db);
        let name = &case.topic.name;
        let wrong = job.replace(&format!("TOPIC: {name}"), &format!("TOPIC: {name}\n      PARTITIONS: (7...9)"));
        refused(&case, &wrong, &[], "none of PARTITIONS (7...9)");
    }

    fn a_property_that_librdkafka_has_not(db) {
        let (case, job) = right(db);
        refused_early(&case, &format!("{job}  PROPERTIES:\n    fetch.wait.maximum.ms: 100\n"), "did you mean fetch.wait.max.ms?");
    }

    fn a_missing_table(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("TABLE: orders", "TABLE: odrers"), &[], "did you mean \"orders\"?");
    }

    fn a_missing_schema(db) {
        let (case, job) = right(db);
        let wrong = job.replace(&format!("SCHEMA: {}", case.schema), "SCHEMA: nowhere");
        refused(&case, &wrong, &[], "schema \"nowhere\" does not exist in database");
    }

    fn a_target_column_that_is_not_there(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("      note: note", "      nota: note"), &[], "has no column \"nota\"; did you mean \"note\"?");
    }

    fn an_expression_over_a_column_that_is_not_there(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("      note: note", "      note: upper(remark)"), &[], "the mapping of \"note\" (upper(remark)): column \"remark\" does not exist; the source columns are id, note");
    }

    fn an_expression_of_the_wrong_type(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("      id: id", "      id: note"), &[], "the mapping of \"id\" (\"note\"): column \"id\" is of type integer");
    }

    fn a_column_type_that_is_not_there(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("TYPE: int", "TYPE: integre"), &[], "source column \"id\" has a type that the database does not know, integre");
    }

    fn a_filter_that_is_no_condition(db) {
        let (case, job) = right(db);
        refused(&case, &job.replace("    ERROR_LIMIT: 0", "    FILTER: id >\n    ERROR_LIMIT: 0"), &[], "the database refuses the filter (id >)");
    }

    fn a_database_that_does_not_answer(db) {
        let (case, job) = right(db);
        let port = free_port();
        let wrong = job.replace(&format!("PORT: {}\n", db.port), &format!("PORT: {port}\n"));
        refused(&case, &wrong, &[], "check that the server runs, and HOST and PORT of the job file");
    }

    fn a_port_with_no_database_behind_it(db) {
        let (case, job) = right(db);
        let (_, broker) = case.topic.kafka.bootstrap.rsplit_once(':').unwrap();
        let wrong = job.replace(&format!("PORT: {}\n", db.port), &format!("PORT: {broker}\n"));
        refused(&case, &wrong, &[], "check HOST and PORT of the job file");
    }

    fn an_unknown_database(db) {
        let (case, job) = right(db);
        let wrong = job.replace(&format!("DATABASE: {}\n", db.dbname), "DATABASE: nobase\n");
        refused(&case, &wrong, &[], "check DATABASE of the job file");
    }

    fn an_unknown_role(db) {
        let (case, job) = right(db);
        let wrong = job.replace(&format!("USER: {}\n", db.user), "USER: norole\n");
        refused(&case, &wrong, &[], "check USER, and have pg_hba.conf of the server let this host in");
    }

    fn a_role_without_rights_on_the_table(db) {
        let (case, job) = right(db);
        let role = unique("loader");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", case.schema));
        let wrong = job.replace(&format!("USER: {}\n", db.user), &format!("USER: {role}\n"));
        refused(&case, &wrong, &[], &format!("have this run: GRANT INSERT ON \"{}\".\"orders\" TO", case.schema));
    }

    fn a_role_that_may_not_make_external_tables(db) {
        let (case, job) = right(db);
        let role = unique("loader");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", case.schema));
        db.execute(&format!("GRANT SELECT, INSERT ON {}.orders TO {role}", case.schema));
        let wrong = job.replace(&format!("USER: {}\n", db.user), &format!("USER: {role}\n"));
        let grant = if db.kind == Kind::Postgres { "GRANT pg_execute" } else { "ALTER ROLE" };
        refused(&case, &wrong, &[], &format!("have this run: {grant}"));
    }

    fn a_port_that_was_asked_for_and_is_in_use(db) {
        let (case, job) = right(db);
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        refused(&case, &job, &["--gpfdist-port", &port], &format!("port {port} is taken; stop what listens there"));
    }

    fn an_address_with_nobody_there(db) {
        let (case, job) = right(db);
        // Of this machine, so that a connection is refused at once; the server listens elsewhere.
        let config = r#"{"Gpfdist": {"Host": "127.0.0.1", "BindAddress": "127.0.0.9"}}"#;
        let path = std::env::temp_dir().join(unique("gpss.json"));
        std::fs::write(&path, config).unwrap();
        let file = path.to_str().unwrap();
        refused(&case, &job, &["--config", file], "could not read from this loader at 127.0.0.1:");
        drop(std::fs::remove_file(&path));
    }

    fn an_address_that_does_not_resolve(db) {
        let (case, job) = right(db);
        refused(&case, &job, &["--gpfdist-host", "loader.invalid"], "could not read from this loader at loader.invalid:");
    }

    fn an_address_that_swallows_packets(db) {
        let (case, job) = right(db);
        refused(&case, &job, &["--gpfdist-host", "192.0.2.1"], "could not read from this loader at 192.0.2.1:");
    }
}

/// Known without a server, whatever else there is.
fn refused_early(case: &Case<'_>, job: &str, words: &str) {
    let begun = Instant::now();
    expect_refusal(Loader::load(job).args(["--quit-at-eof"]).run(), 64, words, begun);
    assert_eq!(case.count("orders"), 0, "nothing may be loaded");
}

#[test]
fn a_program_that_postgres_cannot_run() {
    let (case, job) = right(postgres());
    refused(&case, &job, &["--segment-program", "/nowhere/gpkafka"], "/nowhere/gpkafka");
}

#[test]
fn a_segment_program_means_nothing_to_greenplum() {
    let Some(db) = greenplum(2) else { return };
    let (case, job) = right(db);
    case.load_with(&job, &["--segment-program", "/nowhere/gpkafka"]).expect_text("-Inserted 1 rows");
}
