//! `doctor` finds nothing where all is well, and in each broken world what is broken, with what to do; and it leaves
//! nothing behind.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpkafka::greenplum::{Connection, InTheWay, Settings};
use gpkafka::table::{Ident, TableName};
use serde_json::Value;

use crate::crash_wire::Wire;
use crate::flow::Flow;
use crate::harness::{
    Database, Job, Kafka, Kind, Loader, Outcome, SOON, SchemaRegistry, Version, free_port, greenplum, on_each_database,
    postgres, unique, wait_until,
};

/// What a user waits for at the longest.
const ANSWER: Duration = Duration::from_secs(45);

fn doctor(job: &str, flags: &[&str]) -> Outcome {
    let begun = Instant::now();
    let outcome = Loader::with_job("doctor", job).args(flags.iter().copied()).run();
    assert!(begun.elapsed() < ANSWER, "it took {:?}:\n{}", begun.elapsed(), outcome.text());
    outcome.expect_no_text("panicked")
}

/// Name, verdict, and all that is said of each check.
struct Checks(Vec<[String; 3]>);

impl Checks {
    /// Of a run that is to end so.
    fn of(job: &str, flags: &[&str], code: i32) -> Self {
        let outcome = doctor(job, &[flags, &["--json"]].concat()).expect_code(code);
        let document: Value = serde_json::from_str(&outcome.stdout).expect("it is JSON");
        assert_eq!(document["verdict"] == "failed", code == 1, "{document:#}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let check = |check: &Value| {
            let said = format!("{}\n{}", text(&check["found"]), text(&check["advice"]));
            [text(&check["name"]), text(&check["verdict"]), said]
        };
        Self(document["checks"].as_array().unwrap().iter().map(check).collect())
    }

    /// All checks but these are well; these have a verdict, and say something.
    fn expect(&self, others: &[(&str, &str, &str)]) {
        for [name, verdict, said] in &self.0 {
            let wanted = others.iter().find(|(other, ..)| other == name);
            let (expected, words) = wanted.map_or(("ok", ""), |(_, verdict, words)| (*verdict, *words));
            assert!(verdict == expected && said.contains(words), "{name} is {verdict}: {said}\nof {:#?}", self.0);
        }
        for (name, ..) in others {
            assert!(self.0.iter().any(|[known, ..]| known == name), "there is no check {name} in {:#?}", self.0);
        }
    }
}

/// Everything in the schema, and what of gpkafka's is anywhere.
fn relations(db: &Database, schema: &str) -> Vec<String> {
    db.rows(&format!(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE nspname = '{schema}' OR (relname LIKE 'gpkafka%' AND nspname LIKE '{schema}%') ORDER BY 1, 2"
    ))
}

/// A job of ten records and its flow.
fn right<'a>(db: &'a Database) -> (Flow<'a>, Job) {
    // a column that is NULL in all records is worth a warning
    let flow = Flow { pad: 1, ..Flow::new(db, "doctor", 2) };
    flow.produce(0, 0..10);
    let job = flow.job();
    (flow, job)
}

on_each_database! {
    fn a_good_job_is_well_and_nothing_is_left(db) {
        let (flow, job) = right(db);
        let before = relations(db, &flow.schema);
        let outcome = doctor(&job.text(), &[]).expect_code(0).expect_text("all well; nothing was loaded");
        let names: Vec<_> = outcome.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names[..10], ["file", "names", "brokers", "advertised", "topic", "offsets", "records", "database", "rights", "ledger"]);
        let every = if db.segments() == 1 { "segment 0" } else { "segments 0–1" };
        outcome.expect_text(every).expect_text("fetched from http://127.0.0.1:").expect_text("10 records to load; nothing is loaded yet");
        assert_eq!(relations(db, &flow.schema), before);
        assert_eq!(flow.count(), 0);
        let servers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gpkafka doctor'";
        wait_until(SOON, "its sessions to be gone", || db.number(servers) == 0);
        // and beside what a load has left
        let port = free_port().to_string();
        let address = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", &port];
        flow.loader(&job).args(address).args(["--quit-at-eof"]).run().expect_code(0);
        let (before, ledger) = (relations(db, &flow.schema), flow.ledger());
        let again = Loader::with_job("doctor", &job.text()).args(address).run().expect_code(0);
        again.expect_text("0 records to load; the rest is loaded").expect_text("all well");
        assert_eq!((relations(db, &flow.schema), flow.ledger()), (before, ledger));
    }

    fn what_is_wrong_with_the_topic_stops_no_check_of_the_database(db) {
        let (flow, job) = right(db);
        let (name, brokers) = (&flow.topic.name, &flow.topic.kafka.bootstrap);
        let wrong = job.text().replace(&format!("TOPIC: {name}"), &format!("TOPIC: {name}x"));
        let skipped = [("offsets", "skipped", "topic failed"), ("records", "skipped", "topic failed")];
        let nearest = format!("did you mean \"{name}\"?");
        Checks::of(&wrong, &[], 1).expect(&[&[("topic", "failed", nearest.as_str())], &skipped[..]].concat());
        let missing = job.clone().source("PARTITIONS: (1, 7)").text();
        Checks::of(&missing, &[], 0).expect(&[("topic", "warning", "PARTITIONS names (7)")]);
        let nobody = format!("127.0.0.1:{}", free_port());
        let down = ["advertised", "topic", "offsets", "records"].map(|name| (name, "skipped", "brokers failed"));
        let refused = ("brokers", "failed", "connection refused");
        Checks::of(&job.text().replace(brokers, &nobody), &[], 1).expect(&[&[refused][..], &down].concat());
        let one = job.text().replace(brokers, &format!("'{brokers},{nobody}'"));
        Checks::of(&one, &[], 0).expect(&[("brokers", "warning", nobody.as_str())]);
    }

    fn records_that_expired_or_are_no_rows_are_told(db) {
        let (flow, job) = right(db);
        flow.load(&job).expect_code(0);
        let left = ("leftovers", "warning", "is of this job by another file, address or port");
        Checks::of(&job.text(), &["--gpfdist-port", &free_port().to_string()], 0).expect(&[left]);
        flow.produce(0, 10..30);
        flow.topic.delete_records_before(0, 15);
        let expired = ("offsets", "failed", "5 offsets of");
        Checks::of(&job.text(), &[], 1).expect(&[expired]);
        let fallback = job.clone().source("FALLBACK_OFFSET: earliest").text();
        let skipped = ("offsets", "warning", "5 offsets of partition 0 expired");
        Checks::of(&fallback, &[], 0).expect(&[skipped]);
        flow.topic.produce(1, ["oops"]);
        let odd = ("records", "warning", "1 of them would be refused, partition 1, offset 0 first");
        Checks::of(&fallback, &[], 0).expect(&[skipped, odd]);
    }

    fn a_login_that_fails_stops_no_check_of_kafka(db) {
        let (_flow, job) = right(db);
        let skipped = ["rights", "ledger", "target", "segments", "clock", "leftovers", "locks"];
        let skipped = skipped.map(|name| (name, "skipped", "database failed"));
        let failed = ("database", "failed", "check USER");
        Checks::of(&job.user("nobody_of_this_name").text(), &[], 1).expect(&[&[failed][..], &skipped].concat());
    }

    fn missing_rights_and_columns_are_told_at_once(db) {
        let (flow, job) = right(db);
        let role = unique("etl");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", flow.schema));
        let wrong = job.clone().user(&role).output("MAPPING: {part: part, nota: seq}").text();
        let grant = if db.kind == Kind::Postgres { "GRANT pg_execute_server_program" } else { "ALTER ROLE" };
        let column = ("target", "failed", "has no column \"nota\"");
        let skipped = ("segments", "skipped", "rights failed");
        Checks::of(&wrong, &[], 1).expect(&[("rights", "failed", grant), column, skipped]);
        let checks = Checks::of(&job.user(&role).text(), &[], 1);
        checks.expect(&[("rights", "failed", "GRANT INSERT ON"), skipped]);
        assert!(checks.0.iter().any(|[name, _, said]| name == "target" && said.contains("EXPLAIN is not tried")));
    }

    fn who_holds_the_target_is_told(db) {
        let (flow, job) = right(db);
        let mut other = db.connect();
        let lock = format!("BEGIN; LOCK TABLE {}.t IN SHARE MODE", flow.schema);
        other.batch_execute(&lock).unwrap();
        let (held, left_out) = (("locks", "warning", "(gpkafka tests) has ShareLock on"), ("target", "warning", "holds a lock"));
        Checks::of(&job.text(), &[], 0).expect(&[held, left_out]);
        other.batch_execute("ROLLBACK").unwrap();
        Checks::of(&job.text(), &[], 0).expect(&[]);
    }

    /// After a minute; asked here for any time at all.
    fn a_loader_that_hangs_in_a_transaction_is_found(db) {
        let name = unique("gpkafka:hangs");
        let mut hanging = db.connect();
        hanging.batch_execute(&format!("SET application_name = '{name}'; BEGIN")).unwrap();
        let target = TableName { schema: Ident::exact("public"), table: Ident::exact("t") };
        let settings = Settings::new(&db.host, db.port, &db.user, &db.dbname, target);
        let mut connection = Connection::open(&settings, "gpkafka tests").unwrap();
        let mut is_found = |seconds| {
            let idle = InTheWay::idle(&mut connection, seconds).unwrap();
            idle.iter().any(|session| session.application_name == name)
        };
        wait_until(SOON, "it to be found", || is_found(0.0));
        assert!(!is_found(3600.0));
        hanging.batch_execute("ROLLBACK").unwrap();
        wait_until(SOON, "it to be gone", || !is_found(0.0));
    }

    fn an_address_that_segments_cannot_reach_is_told_of_each(db) {
        let (flow, job) = right(db);
        let before = relations(db, &flow.schema);
        // of this machine, so that a connection is refused at once; the server listens elsewhere
        let config = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(config.path(), r#"{"Gpfdist": {"Host": "127.0.0.1", "BindAddress": "127.0.0.9"}}"#).unwrap();
        let segments = if db.segments() == 1 { "segment 0" } else { "segments 0–1 (" };
        let file = config.path().to_str().unwrap();
        for flags in [["--config", file], ["--gpfdist-host", "loader.invalid"], ["--gpfdist-host", "192.0.2.1"]] {
            let checks = Checks::of(&job.text(), &flags, 1);
            checks.expect(&[("segments", "failed", "could not fetch from http://")]);
            let said = &checks.0.iter().find(|[name, ..]| name == "segments").unwrap()[2];
        assert!(said.lines().any(|line| line.starts_with(segments)), "{said}");
            let cause = match flags[1] {
                "loader.invalid" if db.segments() == 1 => "loader.invalid",
                "loader.invalid" => "the name does not resolve there",
                "192.0.2.1" => "192.0.2.1",
                _ => "refused",
            };
            assert!(said.to_lowercase().contains(cause), "{said}");
        }
        assert_eq!(relations(db, &flow.schema), before);
    }
}

/// The bootstrap address answers, and the cluster sends its clients where nobody listens.
#[test]
fn an_advertised_address_that_nobody_reaches() {
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap();
    let wire = Wire::whole(listener, ("127.0.0.1".to_owned(), port));
    // its clients are carried on while it starts
    let (kafka, job) = wire.during(|| {
        let kafka = Kafka::start_at(Version::V4_1_1, port, "127.0.0.2");
        let job = Flow::on(&kafka, postgres(), "doctor", 1).job().text();
        (kafka, job)
    });
    drop(wire);
    let job = job.replace(&kafka.bootstrap, &format!("127.0.0.1:{port}"));
    let skipped = ["offsets", "records"].map(|name| (name, "skipped", "advertised failed"));
    let told = format!("broker 1 has clients come to 127.0.0.2:{port}: connection refused");
    Checks::of(&job, &[], 1).expect(&[&[("advertised", "failed", told.as_str())][..], &skipped].concat());
}

/// One of two segments reaches the loader: both are told apart, by a role without any special right, whether the other is
/// turned away or hears nothing.
#[test]
fn a_segment_that_alone_cannot_reach_the_loader() {
    let Some(db) = greenplum(2) else { return };
    let (flow, job) = right(db);
    let role = unique("etl");
    db.execute(&format!("CREATE ROLE {role} LOGIN CREATEEXTTABLE (type = 'readable', protocol = 'gpfdist')"));
    db.execute(&format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", flow.schema));
    db.execute(&format!("GRANT INSERT ON {}.t TO {role}", flow.schema));
    for (is_silent, cause) in [(false, "connection reset"), (true, "no answer within 8 s")] {
        let gate = Gate::new("X-GP-SEGMENT-ID: 1", is_silent);
        let outcome = gate.during(|config| {
            Loader::with_job("doctor", &job.clone().user(&role).text()).args(["--config", config]).run().expect_code(1)
        });
        let told = "segment 1 (127.0.0.1) could not fetch from http://127.0.0.2:";
        let outcome = outcome.expect_text(told).expect_text("segment 0 (127.0.0.1) fetched");
        let line = outcome.stdout.lines().find(|line| line.contains(told)).unwrap().to_lowercase();
        assert!(line.contains(cause) || (!is_silent && line.contains("gpfdist")), "{line}");
    }
}

/// Stands before a loader's server, and turns some requests away, or keeps them and says nothing.
struct Gate {
    listener: TcpListener,
    /// What the head of these requests has.
    header: &'static str,
    is_silent: bool,
    is_over: AtomicBool,
}

impl Gate {
    fn new(header: &'static str, is_silent: bool) -> Self {
        let mut ports = std::iter::repeat_with(free_port);
        let bound = |port| TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).ok();
        let listener = ports.find_map(bound).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, header, is_silent, is_over: AtomicBool::new(false) }
    }

    /// Stands there while `work` runs, which gets a gpss.json: segments call here, the loader listens behind it.
    fn during<T>(&self, work: impl FnOnce(&str) -> T) -> T {
        struct End<'g>(&'g Gate);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.is_over.store(true, Ordering::SeqCst);
            }
        }
        let port = self.listener.local_addr().unwrap().port();
        let config = tempfile::NamedTempFile::new().unwrap();
        let callback = format!(r#"{{"Gpfdist": {{"Host": "127.0.0.2", "Port": {port}, "BindAddress": "127.0.0.1"}}}}"#);
        std::fs::write(config.path(), callback).unwrap();
        std::thread::scope(|scope| {
            let _end = End(self);
            scope.spawn(|| {
                while !self.is_over.load(Ordering::SeqCst) {
                    match self.listener.accept() {
                        Ok((client, _)) => drop(scope.spawn(move || self.carry(client, port))),
                        Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
                    }
                }
            });
            work(config.path().to_str().unwrap())
        })
    }

    fn carry(&self, mut client: TcpStream, port: u16) {
        client.set_nonblocking(false).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read > 0) {
            head.push(byte[0]);
        }
        if String::from_utf8_lossy(&head).contains(self.header) {
            while self.is_silent && !self.is_over.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            return;
        }
        let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        server.write_all(&head).unwrap();
        // the loader closes each connection behind its answer
        drop(std::io::copy(&mut server, &mut client));
    }
}

#[test]
fn a_registry_that_does_not_answer_and_a_schema_without_a_column() {
    let registry = SchemaRegistry::start();
    let flow = Flow::new(postgres(), "doctor", 1);
    let record = r#"{"type": "record", "name": "r", "fields": [{"name": "part", "type": "int"}, {"name": "sequence", "type": "long"}]}"#;
    let id = u8::try_from(registry.avro(&format!("{}-value", flow.topic.name), record)).unwrap();
    flow.topic.produce(0, [vec![0, 0, 0, 0, id, 2, 4]]);
    let option = format!("AVRO_OPTION: {{SCHEMA_REGISTRY_ADDR: '{}'}}", registry.url());
    let job =
        Job::new(flow.db, &flow.topic, &flow.schema, "t", "part int, seq bigint").format("avro").value(&option).text();
    let column = ("registry", "warning", "that schema has no field seq");
    let null = ("records", "warning", "none of 1 row has a value at seq");
    Checks::of(&job, &[], 0).expect(&[column, null]);
    drop(registry);
    let url = ("registry", "failed", "schema registry http://");
    Checks::of(&job, &[], 1).expect(&[url, ("records", "failed", "schema registry http://")]);
}

/// A statement that hangs is cancelled, and nothing is left.
#[test]
fn an_interrupt_ends_it() {
    let Some(db) = greenplum(2) else { return };
    let (flow, job) = right(db);
    let before = relations(db, &flow.schema);
    let outcome = Gate::new("X-GP-SEGMENT-ID", true).during(|config| {
        let mut run = Loader::with_job("doctor", &job.text()).args(["--config", config]).start();
        run.wait_for_text(SOON, "EXPLAIN takes");
        let fetches = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM%gpkafkaloadext_%'";
        let fetches = format!("{fetches} AND query LIKE '%{}%' AND pid <> pg_backend_pid()", flow.schema);
        wait_until(SOON, "segments to be asked", || db.number(&fetches) > 0);
        run.signal("INT");
        run.wait(SOON).expect_code(1)
    });
    outcome.expect_text("interrupted before all was checked; nothing was loaded, and nothing is left behind");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gpkafka doctor'";
    wait_until(SOON, "its sessions to be gone", || db.number(sessions) == 0);
    assert_eq!(relations(db, &flow.schema), before);
}

#[test]
fn a_wrong_file_is_known_without_a_server() {
    let outcome = Loader::with_job("doctor", "KAFKA: [").args(["--json"]).run().expect_code(64);
    assert!(outcome.stdout.is_empty(), "{}", outcome.text());
}
