//! The registry's client against a real server over real sockets: what is there, what is not, and every way to fail.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gpkafka::config::{Variables, parse};
use gpkafka::decode::{self, Column, Format, Part, ProtobufOptions, ProtobufSource};
use gpkafka::job::schemas::{Answer, Registries};
use gpkafka::password::Password;
use gpkafka::record::Record;
use gpkafka::registry::{Error, Registry, Settings, TlsVersion};
use gpkafka::row::Rows;
use gpkafka::schema::{Reference, Schema, SchemaKind};
use openssl::ssl::SslVersion;
use serde_json::json;

use crate::harness::{Authority, Mood, SOON, SchemaRegistry, Tls, User, directory, wait_until};

/// Of a test that waits for the end of it.
const SHORT: Duration = Duration::from_millis(400);

fn client(url: &str) -> Registry {
    Registry::new(&settings(url)).unwrap()
}

fn settings(url: &str) -> Settings {
    Settings { timeout: SOON, ..Settings::new([url]) }
}

/// What an error says, the port left out.
fn said(error: &Error) -> String {
    let text = error.to_string();
    let mut said = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("localhost:") {
        let (before, after) = rest.split_at(at + "localhost:".len());
        said += before;
        rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    assert!(!text.contains('\n'), "{text}");
    said + rest
}

#[test]
fn a_schema_is_asked_for_once_whoever_asks() {
    let server = SchemaRegistry::start();
    let id = server.avro("orders-value", "\"long\"");
    let registry = Arc::new(client(&server.url()));
    let begin = Arc::new(std::sync::Barrier::new(8));
    let ask = || {
        let (registry, begin) = (Arc::clone(&registry), Arc::clone(&begin));
        let ask = move || {
            begin.wait();
            registry.schema(id)
        };
        std::thread::Builder::new().spawn(ask).unwrap()
    };
    let threads: Vec<_> = (0..8).map(|_| ask()).collect();
    for thread in threads {
        assert_eq!(*thread.join().unwrap().unwrap(), Schema::alone(SchemaKind::Avro, "\"long\""));
    }
    registry.schema(id).unwrap();
    assert_eq!(server.requests(), [format!("/schemas/ids/{id}")]);
}

#[test]
fn references_come_each_once_and_before_those_that_need_them() {
    let server = SchemaRegistry::start();
    server.protobuf("base", "base", &[]);
    server.protobuf("left", "left", &[("base.proto", "base", 1)]);
    // the server knows the subject as it is sent
    server.protobuf("right%2F%C3%BC", "right", &[("base.proto", "base", 1)]);
    // the first version of a subject is named, not the newest
    server.protobuf("left", "newer", &[]);
    let id = server.protobuf("top", "top", &[("left.proto", "left", 1), ("right.proto", "right/ü", 1)]);
    let registry = client(&server.url());
    let schema = registry.schema(id).unwrap();
    let reference = |name: &str| Reference { name: format!("{name}.proto"), text: name.to_owned() };
    assert_eq!(schema.references, ["base", "left", "right"].map(reference));
    assert_eq!((schema.kind, schema.text.as_str()), (SchemaKind::Protobuf, "top"));
    let asked = server.requests();
    assert_eq!(asked[1..3], ["/subjects/left/versions/1?deleted=true", "/subjects/base/versions/1?deleted=true"]);
    assert_eq!(asked.len(), 4);
}

#[test]
fn references_in_a_circle_or_without_end_are_refused() {
    let server = SchemaRegistry::start();
    server.protobuf("a", "a", &[("b.proto", "b", 1)]);
    server.protobuf("b", "b", &[("a.proto", "a", 1)]);
    let id = server.protobuf("top", "top", &[("a.proto", "a", 1)]);
    let registry = client(&server.url());
    let error = registry.schema(id).unwrap_err();
    assert_eq!(
        said(&error),
        "schema registry http://localhost:: the answer about schema 3 has references in a circle, through \"a.proto\""
    );
    assert!(!error.is_passing());
    for at in 0..100 {
        server.protobuf(&format!("deep-{at}"), "", &[(&format!("{at}.proto"), &format!("deep-{}", at + 1), 1)]);
    }
    let error = registry.latest("deep-0").unwrap_err();
    assert!(said(&error).ends_with("has references deeper than 64"), "{error}");
    let id = server.protobuf("lost", "", &[("gone.proto", "gone", 7)]);
    let error = registry.schema(id).unwrap_err();
    let what = format!("subject \"gone\" version 7, which schema {id} calls \"gone.proto\"");
    assert_eq!(said(&error), format!("schema registry http://localhost: has no {what}"));
    server.avro("other-kind", "\"int\"");
    let id = server.protobuf("mixed", "", &[("x", "other-kind", 1)]);
    assert!(said(&registry.schema(id).unwrap_err()).ends_with("is of another kind than the schema that needs it"));
}

#[test]
fn the_newest_of_a_subject_is_asked_anew() {
    let server = SchemaRegistry::start();
    let registry = client(&server.url());
    let error = registry.latest("s").unwrap_err();
    assert_eq!(said(&error), "schema registry http://localhost: has no subject \"s\"");
    for text in ["\"int\"", "\"long\""] {
        let id = server.avro("s", text);
        assert_eq!(registry.latest("s").unwrap(), (id, Schema::alone(SchemaKind::Avro, text)));
    }
}

#[test]
fn what_is_not_there_may_come_later() {
    let server = SchemaRegistry::start();
    let registry = client(&server.url());
    let error = registry.schema(1).unwrap_err();
    assert_eq!(said(&error), "schema registry http://localhost: has no schema 1");
    assert!(matches!(error, Error::NotFound { .. }) && !error.is_passing());
    server.avro("s", "\"int\"");
    registry.schema(1).unwrap();
}

#[test]
fn credentials_come_from_the_settings_or_the_address_and_are_never_shown() {
    let server = SchemaRegistry::start();
    let id = server.avro("s", "\"int\"");
    // etl:secret
    server.demand("ZXRsOnNlY3JldA==");
    let error = client(&server.url()).schema(id).unwrap_err();
    assert_eq!(
        said(&error),
        "schema registry http://localhost: refuses us (401 Unauthorized): check user and password, or the client \
         certificate, and that they may read schema 1"
    );
    assert!(!error.is_passing());
    let wrong = client(&server.url_of("etl:sesame"));
    let error = wrong.schema(id).unwrap_err();
    assert!(!format!("{error} {error:?} {wrong:?}").contains("sesame"));
    client(&server.url_of("etl:secret")).schema(id).unwrap();
    let mut settings = settings(&server.url());
    (settings.user, settings.password) = (Some("etl".to_owned()), Some(Password::new("secret")));
    Registry::new(&settings).unwrap().schema(id).unwrap();
}

#[test]
fn troubles_that_pass_are_told_from_those_that_do_not() {
    let server = SchemaRegistry::start();
    let id = server.avro("s", "\"int\"");
    let registry = client(&server.url());
    let busy = json!({ "error_code": 50003, "message": "no\nleader" }).to_string();
    for (mood, is_passing, text) in [
        (Mood::Says(500, busy), true, ": 500 Internal Server Error: no\\nleader"),
        (Mood::Says(503, "<html>".to_owned()), true, ": 503 Service Unavailable"),
        (Mood::Says(429, String::new()), true, ": 429 Too Many Requests"),
        (Mood::Breaks, true, ": its answer broke off: end of file before message length reached"),
        (Mood::Says(403, String::new()), false, " refuses us (403 Forbidden): check user"),
        (Mood::Says(422, "{}".to_owned()), false, ": the answer about schema 1 is 422 Unprocessable Entity"),
        (Mood::Says(200, "<html>".to_owned()), false, ": the answer about schema 1 is not JSON: expected value"),
        (
            Mood::Says(200, "{}".to_owned()),
            false,
            ": the answer about schema 1 is not of the form of a registry's: missing",
        ),
        (Mood::Boasts, false, ": the answer about schema 1 is longer than 16 MiB"),
        (Mood::Floods, false, ": the answer about schema 1 is longer than 16 MiB"),
    ] {
        server.set_mood(mood);
        let error = registry.schema(id).unwrap_err();
        assert!(said(&error).starts_with(&format!("schema registry http://localhost:{text}")), "{error}");
        assert_eq!(error.is_passing(), is_passing, "{error}");
    }
    server.set_mood(Mood::Well);
    registry.schema(id).unwrap();
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_so_long() {
    let server = SchemaRegistry::start();
    let id = server.avro("s", "\"int\"");
    let registry = Registry::new(&Settings { timeout: SHORT, ..settings(&server.url()) }).unwrap();
    for mood in [Mood::Hangs, Mood::Drips] {
        server.set_mood(mood);
        let begun = Instant::now();
        let error = registry.schema(id).unwrap_err();
        assert_eq!(said(&error), "schema registry http://localhost:: no whole answer within 400 ms");
        assert!(error.is_passing() && begun.elapsed() >= SHORT && begun.elapsed() < SOON);
    }
    server.set_mood(Mood::Well);
    // a request that was given up may still be under way
    wait_until(SOON, "the registry answers again", || registry.schema(id).is_ok());
}

#[test]
fn addresses_are_tried_in_turn_and_the_good_one_is_kept() {
    let (down, sick, well) = (SchemaRegistry::start(), SchemaRegistry::start(), SchemaRegistry::start());
    let urls = [down.url(), sick.url(), well.url()];
    drop(down);
    sick.set_mood(Mood::Says(500, String::new()));
    let ids: Vec<u32> = (0..3).map(|_| well.avro("s", "\"int\"")).collect();
    let registry = Registry::new(&Settings { timeout: SOON, ..Settings::new(urls) }).unwrap();
    ids.iter().for_each(|&id| drop(registry.schema(id).unwrap()));
    assert_eq!((sick.requests().len(), well.requests().len()), (1, 3));
    well.set_mood(Mood::Says(502, String::new()));
    let error = registry.schema(99).unwrap_err();
    let said = said(&error);
    assert!(error.is_passing(), "{error}");
    for part in ["502 Bad Gateway", "Connection refused", "500 Internal Server Error"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn redirects_are_followed_a_few_times() {
    let (old, new) = (SchemaRegistry::start(), SchemaRegistry::start());
    let id = new.avro("s", "\"int\"");
    old.set_mood(Mood::Redirects(new.url()));
    client(&old.url()).schema(id).unwrap();
    old.set_mood(Mood::Redirects(String::new()));
    let error = client(&old.url()).schema(id).unwrap_err();
    assert_eq!(
        said(&error),
        "schema registry http://localhost:: the answer about where to go cannot be followed: it leads on and on, more \
         than 5 times"
    );
    assert!(!error.is_passing());
    let authority = Authority::new("test CA");
    let secure = SchemaRegistry::secure(&authority, &Tls::default());
    secure.set_mood(Mood::Redirects(new.url()));
    let error = trusting(&secure, &Files::of(&authority)).schema(id).unwrap_err();
    assert!(said(&error).ends_with("cannot be followed: it leads away from https"), "{error}");
}

/// Certificates where a client can read them.
struct Files(PathBuf);

impl Files {
    fn of(authority: &Authority) -> Self {
        let files = Self(directory("tls", User::current()));
        files.write("ca", &authority.pem());
        files
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn tls_settings(server: &SchemaRegistry, files: &Files) -> Settings {
    Settings { ca_file: Some(files.path("ca")), ..settings(&server.url()) }
}

fn trusting(server: &SchemaRegistry, files: &Files) -> Registry {
    Registry::new(&tls_settings(server, files)).unwrap()
}

#[test]
fn https_takes_only_certificates_of_the_authority_that_is_named() {
    let authority = Authority::new("test CA");
    let server = SchemaRegistry::secure(&authority, &Tls::default());
    let id = server.avro("s", "\"int\"");
    trusting(&server, &Files::of(&authority)).schema(id).unwrap();
    let other = Files::of(&Authority::new("another CA"));
    for registry in [trusting(&server, &other), client(&server.url())] {
        let error = registry.schema(id).unwrap_err();
        assert_eq!(
            said(&error),
            "schema registry https://localhost:: its certificate cannot be trusted: unable to get local issuer \
             certificate; the CA file is to hold the authority that signed it"
        );
    }
    let by_number = server.url().replace("localhost", "127.0.0.1");
    let settings = Settings { urls: vec![by_number], ..tls_settings(&server, &Files::of(&authority)) };
    let error = Registry::new(&settings).unwrap().schema(id).unwrap_err();
    assert!(said(&error).contains("its certificate cannot be trusted: IP address mismatch"), "{error}");
}

#[test]
fn a_client_certificate_is_shown_where_one_is_wanted() {
    let (authority, of_clients) = (Authority::new("test CA"), Authority::new("clients' CA"));
    let server = SchemaRegistry::secure(&authority, &Tls { clients: Some(&of_clients), ..Tls::default() });
    let id = server.avro("s", "\"int\"");
    let files = Files::of(&authority);
    let mut settings = tls_settings(&server, &files);
    let error = Registry::new(&settings).unwrap().schema(id).unwrap_err();
    assert!(said(&error).contains("it turns our TLS certificate down, or the lack of one"), "{error}");
    let (certificate, key) = of_clients.issue("etl");
    settings.certificate_file = Some(files.write("cert", &certificate));
    settings.key_file = Some(files.write("key", &key));
    Registry::new(&settings).unwrap().schema(id).unwrap();
    let (certificate, key) = Authority::new("a stranger").issue("etl");
    settings.certificate_file = Some(files.write("cert", &certificate));
    settings.key_file = Some(files.write("key", &key));
    let error = Registry::new(&settings).unwrap().schema(id).unwrap_err();
    assert!(said(&error).contains("certificate"), "{error}");
}

#[test]
fn a_connection_that_is_reset_may_want_a_certificate() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let reset = move || {
        let (stream, _) = listener.accept().unwrap();
        // closed with something unread in it
        stream.peek(&mut [0]).unwrap();
    };
    let resetting = std::thread::Builder::new().spawn(reset).unwrap();
    let error = client(&url).schema(1).unwrap_err();
    assert_eq!(
        said(&error),
        "schema registry https://localhost:: it reset the connection, as it may where it wants a client certificate and \
         gets none that it trusts"
    );
    resetting.join().unwrap();
}

#[test]
fn a_version_of_tls_below_the_minimum_is_not_spoken() {
    let authority = Authority::new("test CA");
    let server = SchemaRegistry::secure(&authority, &Tls { max_version: Some(SslVersion::TLS1_2), ..Tls::default() });
    let id = server.avro("s", "\"int\"");
    let mut settings = tls_settings(&server, &Files::of(&authority));
    settings.min_tls_version = Some(TlsVersion::V1_3);
    let error = Registry::new(&settings).unwrap().schema(id).unwrap_err();
    assert!(said(&error).contains("it speaks no version of TLS that we may"), "{error}");
    settings.min_tls_version = Some(TlsVersion::V1_2);
    Registry::new(&settings).unwrap().schema(id).unwrap();
}

/// With either of the formats that have one, each of its keys at work.
#[test]
fn the_registry_of_a_job_file_is_asked_as_the_file_says() {
    crate::gpfdist_peer::take_out_rules();
    let (authority, of_clients) = (Authority::new("test CA"), Authority::new("clients' CA"));
    let tls = Tls { clients: Some(&of_clients), max_version: Some(SslVersion::TLS1_2) };
    let server = SchemaRegistry::secure(&authority, &tls);
    // etl:secret
    server.demand("ZXRsOnNlY3JldA==");
    let id = server.avro("s", "\"int\"");
    let files = Files::of(&authority);
    let (certificate, key) = of_clients.issue("etl");
    let (certificate, key) = (files.write("cert", &certificate), files.write("key", &key));
    for format in ["avro", "protobuf"] {
        let asked = |version: &str| {
            let job = format!(
                "{{DATABASE: d, USER: u, HOST: h, PORT: 1, KAFKA: {{OUTPUT: {{TABLE: t}}, INPUT: {{SOURCE: {{BROKERS: b, \
                 TOPIC: t}}, FORMAT: {format}, {}_OPTION: {{SCHEMA_REGISTRY_ADDR: '{}', SCHEMA_REGISTRY_USER: etl, \
                 SCHEMA_REGISTRY_PASSWORD: secret, SCHEMA_CA_ON_GPDB: '{}', SCHEMA_CERT_ON_GPDB: '{}', \
                 SCHEMA_KEY_ON_GPDB: '{}', SCHEMA_MIN_TLS_VERSION: {version}}}}}}}}}",
                format.to_uppercase(),
                server.url(),
                files.path("ca").display(),
                certificate.display(),
                key.display(),
            );
            let job = parse(Path::new("job.yaml"), job.into_bytes(), &Variables::new()).unwrap();
            let [_, settings] = job.registry_settings();
            Registry::new(&Settings { timeout: SOON, ..settings.unwrap() }).and_then(|registry| registry.schema(id))
        };
        asked("'1.2'").unwrap();
        let error = asked("'1.3'").unwrap_err();
        assert!(said(&error).contains("it speaks no version of TLS that we may"), "{error}");
    }
}

#[test]
fn a_wrong_scheme_is_told() {
    let server = SchemaRegistry::start();
    let error = client(&server.url().replace("http:", "https:")).schema(1).unwrap_err();
    assert!(said(&error).contains("it does not speak TLS; write http:// for https://"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_told_at_once() {
    let said = |settings: &Settings| Registry::new(settings).unwrap_err().to_string();
    assert_eq!(said(&Settings::new([""; 0])), "schema registry: no address is given");
    assert_eq!(
        said(&Settings::new(["http://a", "localhost:8081"])),
        "schema registry: address \"localhost:8081\": it begins with neither http:// nor https://"
    );
}

/// From the bytes in a topic to the row, over all that lies between: the id, the registry, its references, the compiler.
#[test]
fn a_protobuf_value_is_decoded_by_what_the_registry_has() {
    let server = SchemaRegistry::start();
    server.protobuf("money", r#"syntax = "proto3"; package shop; message Money { int64 units = 1; }"#, &[]);
    let line = r#"syntax = "proto3"; package shop; import "shop/money.proto";
        message Line { string sku = 1; Money price = 2; }"#;
    server.protobuf("line", line, &[("shop/money.proto", "money", 1)]);
    let order = r#"syntax = "proto3"; package shop; import "shop/money.proto"; import "shop/line.proto";
        message Order { repeated Line lines = 1; Money sum = 2; }"#;
    let references = [("shop/line.proto", "line", 1), ("shop/money.proto", "money", 1)];
    let id = server.protobuf("orders-value", order, &references);
    let registries = Registries::new([None, Some(Arc::new(client(&server.url())))]);
    let column =
        |path: &[&str]| Column { path: path.iter().map(|&name| name.to_owned()).collect(), ..Column::text("c") };
    let format = Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent });
    let columns = vec![column(&["lines", "0", "price", "units"]), column(&["sum", "units"])];
    let mut decoder = decode::decoder(&decode::Settings::of_value(format, columns));
    // an order of one line, at 5, and of a sum that is not told
    let payload = [&[0], &id.to_be_bytes()[..], &[0], b"\x0a\x07\x0a\x01x\x12\x02\x08\x05"].concat();
    let record = Record::new(0, 0, Some(&payload));
    let mut rows = Rows::default();
    let wanted = decoder.decode(&record, &mut rows).unwrap_err().wanted_schema();
    assert_eq!(wanted, Some((Part::Value, id)));
    let answer = registries.ask(Part::Value, id).wait(SOON).unwrap();
    let Answer::Schema(schema) = answer else { panic!("{answer:?}") };
    decoder.learn(Part::Value, id, Ok(&schema));
    decoder.decode(&record, &mut rows).unwrap();
    let row: Vec<_> = rows.iter().next().unwrap().collect();
    assert_eq!(row, [Some(&b"5"[..]), None]);
}
