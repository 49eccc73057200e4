//! TLS and SASL to a real broker by PROPERTIES, with PEM files or PEM in the file; what does not work is told in a line,
//! and so is a right that is missing.

use std::path::PathBuf;
use std::sync::OnceLock;

use expect_test::expect;

use crate::case::Case;
use crate::harness::{Authority, Guarded, Kafka, Loader, Outcome, Right, User, directory, postgres, unique};

const WORD: &str = "open-sesame-kafka";

struct Scene {
    kafka: Kafka,
    doors: Guarded,
    dir: PathBuf,
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let (kafka, doors) = Kafka::start_guarded(&ours, &[("etl", WORD)]);
        let dir = directory("kafka-tls", User::current());
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
        for (authority, name) in [(&ours, "client"), (&other, "stranger")] {
            let (certificate, key) = authority.issue(name);
            write(&format!("{name}.crt"), &certificate);
            write(&format!("{name}.key"), &key);
        }
        write("root.crt", &ours.pem());
        write("other.crt", &other.pem());
        Scene { kafka, doors, dir }
    })
}

impl Scene {
    /// A load through a door with these properties; `@NAME` stands for a file, `=NAME` for what is in it.
    fn load(&self, case: &Case<'_>, port: u16, properties: &[(&str, &str)]) -> Outcome {
        Loader::load(&self.job(case, port, properties)).args(["--quit-at-eof"]).run()
    }

    fn job(&self, case: &Case<'_>, port: u16, properties: &[(&str, &str)]) -> String {
        let mut job = case.job_into("orders", "id int, note text");
        for (name, value) in properties {
            let value = match (value.strip_prefix('@'), value.strip_prefix('=')) {
                (Some(file), _) => self.dir.join(file).to_str().unwrap().to_owned(),
                (_, Some(file)) => format!("{:?}", std::fs::read_to_string(self.dir.join(file)).unwrap()),
                _ => (*value).to_owned(),
            };
            job = job.property(name, &value);
        }
        job.text().replace(&self.kafka.bootstrap, &format!("localhost:{port}"))
    }
}

/// Loads one record through each of these, in turn.
#[test]
fn every_door_opens_with_the_right_key() {
    let scene = scene();
    let Guarded { sasl, sasl_tls, tls } = scene.doors;
    let case = Case::on(postgres(), &scene.kafka, "doors", 1);
    case.table("orders (id int, note text)", "id");
    let root = ("ssl.ca.location", "@root.crt");
    let user = |protocol, mechanism| {
        vec![
            ("security.protocol", protocol),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "etl"),
            ("sasl.password", WORD),
        ]
    };
    let with = |mut properties: Vec<(&'static str, &'static str)>, more: &[(&'static str, &'static str)]| {
        properties.extend(more);
        properties
    };
    let keys = [root, ("ssl.certificate.location", "@client.crt"), ("ssl.key.location", "@client.key")];
    let in_file = [("ssl.ca.pem", "=root.crt"), ("ssl.certificate.pem", "=client.crt"), ("ssl.key.pem", "=client.key")];
    let doors = [
        (sasl, user("sasl_plaintext", "PLAIN")),
        (sasl, user("sasl_plaintext", "SCRAM-SHA-256")),
        (sasl, user("sasl_plaintext", "SCRAM-SHA-512")),
        (sasl_tls, with(user("sasl_ssl", "PLAIN"), &[root])),
        (sasl_tls, with(user("SASL_SSL", "SCRAM-SHA-512"), &[root])),
        (tls, with(vec![("security.protocol", "ssl")], &keys)),
        (tls, with(vec![("security.protocol", "ssl")], &in_file)),
    ];
    for (at, (port, properties)) in doors.iter().enumerate() {
        case.topic.produce(0, [format!("{at},x")]);
        let outcome = scene.load(&case, *port, properties).expect_code(0).expect_calm(case.announced);
        outcome.expect_text("-Inserted 1 rows").expect_no_text(WORD);
    }
    assert_eq!(case.count("orders"), 7);
}

/// Port, properties, and what is said.
type Refusal<'a> = (u16, Vec<(&'a str, &'a str)>, &'a str);

#[test]
fn a_door_that_stays_shut_is_told_in_one_line() {
    let scene = scene();
    let Guarded { sasl, sasl_tls, tls } = scene.doors;
    let case = Case::on(postgres(), &scene.kafka, "shut", 1);
    case.table("orders (id int, note text)", "id");
    let user = [("sasl.mechanism", "PLAIN"), ("sasl.username", "etl"), ("sasl.password", "wrong-sesame")];
    let scram = [("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.username", "etl"), ("sasl.password", "wrong-sesame")];
    let plain = [("security.protocol", "sasl_plaintext")];
    let secure = [("security.protocol", "ssl")];
    let stranger = [
        ("ssl.ca.location", "@root.crt"),
        ("ssl.certificate.location", "@stranger.crt"),
        ("ssl.key.location", "@stranger.key"),
    ];
    let refusals: [Refusal<'_>; 5] = [
        (sasl, [&plain[..], &user].concat(), "Invalid username or password"),
        (sasl, [&plain[..], &scram].concat(), "invalid credentials"),
        (
            sasl_tls,
            [&[("security.protocol", "sasl_ssl"), ("ssl.ca.location", "@other.crt")][..], &user].concat(),
            "certificate",
        ),
        (tls, [&secure[..], &stranger].concat(), "certificate"),
        (tls, [&secure[..], &[("ssl.ca.location", "@root.crt")]].concat(), "certificate"),
    ];
    for (port, properties, words) in refusals {
        let outcome = scene.load(&case, port, &properties).expect_code(1).expect_no_text("wrong-sesame");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.text());
        let said = outcome.stderr.to_lowercase();
        assert!(said.contains(&words.to_lowercase()), "{words}: {}", outcome.text());
        assert!(said.contains("refuse") || said.contains("check"), "{}", outcome.text());
    }
    assert_eq!(case.count("orders"), 0);
}

/// What each line says, without names that differ from run to run; the command of its own for an administrator to copy.
fn told(case: &Case<'_>, port: u16, text: &str) -> String {
    text.replace(&case.topic.name, "TOPIC").replace(&format!("localhost:{port}"), "BROKERS")
}

#[test]
fn a_right_that_is_missing_is_named_with_the_command_that_gives_it() {
    let scene = scene();
    let port = scene.doors.sasl;
    let case = Case::on(postgres(), &scene.kafka, "rights", 1);
    case.table("orders (id int, note text)", "id");
    case.topic.produce(0, ["1,x"]);
    let (topic, group) = (case.topic.name.as_str(), unique("group"));
    // from now on nobody else has any with this topic and this group
    scene.kafka.allow("somebody", Right::ReadTopic(topic));
    scene.kafka.allow("somebody", Right::ReadGroup(&group));
    scene.kafka.allow("somebody", Right::ReadGroup("gpkafka"));
    let user = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "etl"),
        ("sasl.password", WORD),
    ];
    let load = |code: i32| {
        let outcome = scene.load(&case, port, &user).expect_code(code).expect_no_text("panicked");
        told(&case, port, &outcome.stderr)
    };
    let diagnosis = || {
        let outcome = Loader::with_job("doctor", &scene.job(&case, port, &user)).run().expect_code(1);
        let lines = outcome.stdout.lines().filter(|line| line.contains("kafka-acls"));
        told(&case, port, &lines.map(str::trim).collect::<Vec<_>>().join("\n"))
    };
    expect![[r#"
        gpkafka: the kafka brokers BROKERS do not let User:etl describe topic "TOPIC"; their administrator lets it with: kafka-acls.sh --bootstrap-server BROKERS --add --allow-principal 'User:etl' --operation Read --topic 'TOPIC'
    "#]].assert_eq(&load(1));
    expect!["→ their administrator lets it with: kafka-acls.sh --bootstrap-server BROKERS --add --allow-principal 'User:etl' --operation Read --topic 'TOPIC'"].assert_eq(&diagnosis());
    scene.kafka.allow("etl", Right::DescribeTopic(topic));
    expect![[r#"
        gpkafka: reading TOPIC[0] failed: the kafka brokers BROKERS do not let User:etl read topic "TOPIC"; their administrator lets it with: kafka-acls.sh --bootstrap-server BROKERS --add --allow-principal 'User:etl' --operation Read --topic 'TOPIC'
    "#]].assert_eq(&load(1));
    expect!["→ their administrator lets it with: kafka-acls.sh --bootstrap-server BROKERS --add --allow-principal 'User:etl' --operation Read --topic 'TOPIC'"].assert_eq(&diagnosis());
    // nothing more, and no right to any group
    scene.kafka.allow("etl", Right::ReadTopic(topic));
    scene.load(&case, port, &user).expect_code(0).expect_calm(case.announced).expect_text("-Inserted 1 rows");
    // a group that the user names is for lag tools: it is missed, and the load is not
    case.topic.produce(0, ["2,y"]);
    let named = [&user[..], &[("group.id", group.as_str())]].concat();
    scene.load(&case, port, &named).expect_code(0).expect_calm(case.announced).expect_text("-Inserted 1 rows");
    assert_eq!(case.count("orders"), 2);
}
