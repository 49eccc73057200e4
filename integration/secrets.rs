//! Passwords and tokens: nothing that this program prints, logs or is called with shows one, whatever goes wrong.

use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;

use crate::case::Case;
use crate::harness::{
    Authority, Database, Guarded, Kafka, Loader, Manner, Outcome, SOON, SchemaRegistry, own_postgres_in, psql, unique,
    wait_until,
};

const DATABASE: &str = "sesame-database";
const KAFKA: &str = "sesame-kafka";
const REGISTRY: &str = "sesame-registry";
const IN_URL: &str = "sesame-address";

struct Scene {
    db: Database,
    kafka: Kafka,
    doors: Guarded,
}

/// A database, a broker and a registry that all want a password.
fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let admission = "host all secretive all scram-sha-256";
        let db = own_postgres_in(&Manner { admission, ..Manner::default() });
        db.execute(&format!("CREATE ROLE secretive LOGIN SUPERUSER PASSWORD '{DATABASE}'"));
        let (kafka, doors) = Kafka::start_guarded(&Authority::new("secrets"), &[("etl", KAFKA)]);
        Scene { db, kafka, doors }
    })
}

/// A job that needs all three; `registry` is an address.
fn job(case: &Case<'_>, registry: &str, more: &str) -> String {
    let Scene { doors, db, .. } = scene();
    format!(
        "DATABASE: postgres\nUSER: secretive\nPASSWORD: {DATABASE}\nHOST: 127.0.0.1\nPORT: {}\nVERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: localhost:{}\n      TOPIC: {}\n    VALUE:\n      FORMAT: avro\n      AVRO_OPTION:\n        SCHEMA_REGISTRY_ADDR: {registry}\n        SCHEMA_REGISTRY_USER: etl\n        SCHEMA_REGISTRY_PASSWORD: {REGISTRY}\n      COLUMNS: [{{NAME: doc, TYPE: json}}]\n    ERROR_LIMIT: 0\n  OUTPUT:\n    SCHEMA: {}\n    TABLE: t\n    MAPPING: {{a: \"(doc->>'a')::int\"}}\n  COMMIT:\n    MINIMAL_INTERVAL: 300\n  PROPERTIES:\n    security.protocol: sasl_plaintext\n    sasl.mechanism: SCRAM-SHA-256\n    sasl.username: etl\n    sasl.password: {KAFKA}\n{more}",
        db.port, doors.sasl, case.topic.name, case.schema
    )
}

fn case(name: &str) -> Case<'static> {
    let case = Case::on(&scene().db, &scene().kafka, name, 1);
    case.table("t (a int)", "a");
    case
}

fn credentials(password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("etl:{password}"))
}

/// All that one run has said, with its log files.
fn said(outcome: &Outcome) -> String {
    let logs = std::fs::read_dir(outcome.dir.join("gpAdminLogs")).into_iter().flatten().flatten();
    let logs: String = logs.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect();
    outcome.text() + &logs
}

fn expect_none(what: &str, text: &str) {
    let secrets = [DATABASE, KAFKA, REGISTRY, IN_URL, "sesame"].map(str::to_owned);
    let encoded = [REGISTRY, IN_URL].map(credentials);
    for secret in secrets.iter().chain(&encoded) {
        assert!(!text.contains(secret.as_str()), "{what} shows {secret}:\n{text}");
    }
}

/// The tokens of the external tables of a schema; whoever has one may ask for rows.
fn tokens(case: &Case<'_>) -> Vec<String> {
    let options = case.rows(
        "SELECT array_to_string(ftoptions, ' ') FROM pg_foreign_table t JOIN pg_class c ON c.oid = ftrelid
         JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '$SCHEMA'",
    );
    let urls = options.iter().flat_map(|option| option.split('\''));
    urls.filter(|word| word.starts_with("gpfdist://")).map(|url| url.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_load_with_three_passwords_shows_none() {
    let case = case("secrets");
    let registry = SchemaRegistry::start();
    registry.demand(&credentials(REGISTRY));
    let schema = r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}"#;
    let id = registry.avro(&format!("{}-value", case.topic.name), schema);
    // 1 in zigzag
    let record = [&[0][..], &id.to_be_bytes(), &[2]].concat();
    let job = job(&case, &registry.url(), "");
    case.topic.produce(0, [&record]);
    let load = Loader::load(&job).args(["--verbose"]).start();
    wait_until(SOON, "a row", || case.count("t") == 1);
    let called = std::fs::read_to_string(format!("/proc/{}/cmdline", load.pid())).unwrap();
    expect_none("the process list", &called);
    expect_none("the database's process list", &processes_of(&case.rows("SELECT pid FROM pg_stat_activity")));
    let tokens = tokens(&case);
    assert!(!tokens.is_empty(), "there is an external table");
    // and while it loads, a record that cannot be loaded
    case.topic.produce(0, ["no record"]);
    let failed = load.wait(SOON).expect_code(1);
    let runs = [
        ("a load that fails", failed),
        ("check", Loader::with_job("check", &job).run().expect_code(0)),
        ("dryrun", Loader::with_job("dryrun", &job).run().expect_code(0)),
        ("dryrun --connect", Loader::with_job("dryrun", &job).args(["--connect"]).run()),
        ("bench", Loader::with_job("bench", &job).args(["--rounds", "1"]).run()),
    ];
    for (what, outcome) in &runs {
        let text = said(outcome);
        assert!(!text.trim().is_empty(), "{what} says something");
        expect_none(what, &text);
        for token in &tokens {
            assert!(!text.contains(token.as_str()), "{what} shows a token:\n{text}");
        }
    }
}

/// What was running of these a moment ago.
fn processes_of(pids: &[String]) -> String {
    pids.iter().filter_map(|pid| std::fs::read_to_string(Path::new("/proc").join(pid).join("cmdline")).ok()).collect()
}

/// Each is refused for one password that is wrong, or a file that is.
#[test]
fn what_fails_for_a_password_shows_none() {
    let case = case("wrongsecrets");
    let registry = SchemaRegistry::start();
    registry.demand(&credentials("another"));
    let right = job(&case, &registry.url(), "");
    let address = registry.url().replace("http://", &format!("http://etl:{IN_URL}@"));
    case.topic.produce(0, [[0, 0, 0, 0, 1, 2]]);
    let wrong = |from: &str, to: &str| {
        assert!(right.contains(from), "{from}");
        right.replace(from, to)
    };
    let jobs = [
        ("database", wrong(DATABASE, "sesame-wrong"), "password authentication failed"),
        ("broker", wrong(KAFKA, "sesame-wrong"), "refuse"),
        ("registry", right.clone(), "refuses us"),
        (
            "registry by its address",
            wrong(&registry.url(), &address)
                .replace("        SCHEMA_REGISTRY_USER: etl\n", "")
                .replace(&format!("        SCHEMA_REGISTRY_PASSWORD: {REGISTRY}\n"), ""),
            "refuses us",
        ),
        ("a mistyped property", wrong("sasl.password", "sasl.pasword"), "sasl.pasword"),
        ("a mistyped key", wrong("SCHEMA_REGISTRY_PASSWORD", "SCHEMA_REGISTRY_PASWORD"), "SCHEMA_REGISTRY_PASWORD"),
        ("another mistyped key", wrong("PASSWORD: sesame-d", "PASSWORT: sesame-d"), "PASSWORT"),
        ("a password that is a list", wrong(DATABASE, &format!("[{DATABASE}]")), "PASSWORD"),
        ("a file that is broken at it", wrong(DATABASE, &format!("\"{DATABASE}")), "YAML"),
        ("a broken address", wrong(&registry.url(), &format!("http://etl:{IN_URL}@[::1")), "schema registry: address"),
    ];
    for (what, job, words) in jobs {
        let outcome = Loader::load(&job).args(["--quit-at-eof", "--verbose"]).run();
        assert_ne!(outcome.code, 0, "{what}");
        let text = said(&outcome);
        assert!(text.contains(words), "{what} does not say {words}:\n{text}");
        expect_none(what, &text);
        // on a terminal the wrong line is drawn
        let drawn = on_a_terminal(&job);
        expect_none(&format!("{what}, on a terminal"), &drawn);
    }
}

/// What a dryrun prints where it thinks that a person looks.
fn on_a_terminal(job: &str) -> String {
    let dir = std::env::temp_dir().join(unique("secrets"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("job.yaml"), job).unwrap();
    let words = format!("{} dryrun job.yaml", crate::harness::executable().display());
    let output = std::process::Command::new("script").args(["-qec", &words, "/dev/null"]).current_dir(&dir).output();
    drop(std::fs::remove_dir_all(&dir));
    String::from_utf8_lossy(&output.expect("Debian's bsdutils has `script`").stdout).into_owned()
}

/// The password is really asked for: else all of this would prove nothing.
#[test]
fn the_passwords_are_wanted() {
    let scene = scene();
    let mut psql = psql();
    psql.args([
        "-X",
        "-w",
        "-h",
        "127.0.0.1",
        "-p",
        &scene.db.port.to_string(),
        "-U",
        "secretive",
        "-d",
        "postgres",
        "-c",
        "SELECT 1",
    ]);
    assert!(!psql.env_remove("PGPASSWORD").output().unwrap().status.success());
    let case = case("wanted");
    let job = job(&case, "http://localhost:1", "").replace(KAFKA, "other");
    Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1);
}
