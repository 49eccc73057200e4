//! TLS to the database: what psql's variables ask for is what is done, and what does not work is told in one line. On a
//! PostgreSQL of these tests' own with `ssl = on`, and certificates that authorities of theirs have made.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gpkafka::greenplum::tls::Tls;
use gpkafka::greenplum::{Connection, Settings};
use gpkafka::table::{Ident, TableName};

use crate::case::Case;
use crate::harness::{
    Authority, Database, Loader, Manner, SOON, Tap, User, directory, greenplum, own_postgres_in, psql, wait_until,
};

/// Who comes in how.
const ADMISSION: &str = "
hostssl   all only_tls   all trust
hostnossl all only_plain all trust
hostssl   all only_cert  all cert
hostssl   all with_cert  all trust clientcert=verify-ca
hostssl   all by_word    all scram-sha-256
";

/// The server, and files of certificates: `root.crt` is of its authority, `other.crt` of another; `NAME.crt` and
/// `NAME.key` for `only_cert`, and for `stranger`, by the other authority.
struct Scene {
    db: Database,
    dir: PathBuf,
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let dir = directory("tls", User::current());
        let (certificate, key) = ours.issue("localhost");
        let root = ours.pem();
        let files = [("server.crt", &certificate[..]), ("server.key", &key), ("root.crt", &root)];
        let settings = ["ssl=on", "ssl_ca_file=root.crt"];
        let db = own_postgres_in(&Manner { settings: &settings, files: &files, admission: ADMISSION });
        for (authority, name) in [(&ours, "only_cert"), (&ours, "someone"), (&other, "stranger")] {
            let (certificate, key) = authority.issue(name);
            write(&dir, &format!("{name}.crt"), &certificate, 0o644);
            write(&dir, &format!("{name}.key"), &key, 0o600);
        }
        write(&dir, "root.crt", &root, 0o644);
        write(&dir, "other.crt", &other.pem(), 0o644);
        write(&dir, "text", b"no certificate", 0o644);
        write(&dir, "open.key", &std::fs::read(dir.join("only_cert.key")).unwrap(), 0o644);
        for role in ["only_tls", "only_plain", "only_cert", "with_cert"] {
            db.execute(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
        }
        db.execute("CREATE ROLE by_word LOGIN PASSWORD 'a word'");
        Scene { db, dir }
    })
}

fn write(dir: &Path, name: &str, bytes: &[u8], mode: u32) {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

impl Scene {
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Values with a dot are names of our files.
    fn variables(&self, given: &[(&str, &str)]) -> Vec<(String, String)> {
        let file = |value: &str| match value.starts_with("TLS") || !value.contains(['.', '/']) {
            true => value.to_owned(),
            false => self.path(value),
        };
        // nobody's files lie there
        let home = ("HOME".to_owned(), self.path("home"));
        given.iter().map(|(name, value)| ((*name).to_owned(), file(value))).chain([home]).collect()
    }

    /// Whether a session has TLS, or what is said of why there is none.
    fn try_ours(&self, host: &str, role: &str, given: &[(&str, &str)]) -> Result<bool, String> {
        let connection = self.open(host, role, given)?;
        let sql = format!("SELECT ssl FROM pg_stat_ssl WHERE pid = {}", connection.pid());
        Ok(self.db.value(&sql) == "t")
    }

    fn open(&self, host: &str, role: &str, given: &[(&str, &str)]) -> Result<Connection, String> {
        let variables = self.variables(given);
        let tls = Tls::from_environment(|name| {
            variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        })?;
        let target = TableName { schema: Ident::exact("public"), table: Ident::exact("t") };
        let mut settings = Settings::new(host, self.db.port, role, "postgres", target);
        settings.tls = tls;
        settings.password = Some(gpkafka::password::Password::new("a word"));
        Connection::open(&settings, "gpkafka tests").map_err(|error| error.to_string())
    }

    /// The same of psql; why not is nobody's business.
    fn try_psql(&self, host: &str, role: &str, given: &[(&str, &str)]) -> Option<bool> {
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let mut psql = psql();
        psql.args(["-X", "-h", host, "-p", &self.db.port.to_string(), "-U", role, "-d", "postgres", "-Atc", sql]);
        psql.envs(self.variables(given)).env("PGPASSWORD", "a word").current_dir(&self.dir);
        let output = psql.output().unwrap();
        output.status.success().then(|| output.stdout == b"t\n")
    }
}

#[test]
fn every_mode_does_what_psql_does() {
    let scene = scene();
    let mut outcomes = Vec::new();
    for mode in ["", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        for root in ["no.crt", "root.crt", "other.crt"] {
            for (host, role) in [
                ("localhost", "postgres"),
                ("localhost", "only_tls"),
                ("localhost", "only_plain"),
                ("127.0.0.1", "only_tls"),
                ("127.0.0.1", "postgres"),
                ("localhost", "by_word"),
            ] {
                let given = [("PGSSLROOTCERT", root), ("PGSSLMODE", mode)];
                let given = if mode.is_empty() { &given[..1] } else { &given };
                let ours = scene.try_ours(host, role, given);
                let theirs = scene.try_psql(host, role, given);
                assert_eq!(ours.clone().ok(), theirs, "{mode} {root} {role}@{host}: {ours:?}");
                outcomes.push(theirs);
            }
        }
    }
    for outcome in [None, Some(true), Some(false)] {
        assert!(outcomes.contains(&outcome), "the modes differ: {outcome:?}");
    }
}

#[test]
fn certificates_of_clients_are_shown_as_psql_shows_them() {
    let scene = scene();
    for (certificate, key) in [
        ("no.crt", "no.key"),
        ("only_cert.crt", "only_cert.key"),
        ("stranger.crt", "stranger.key"),
        ("someone.crt", "someone.key"),
        ("only_cert.crt", "open.key"),
        ("only_cert.crt", "stranger.key"),
        ("./text", "no.key"),
        ("only_cert.crt", "no.key"),
    ] {
        for role in ["only_cert", "with_cert", "only_tls"] {
            let given = [("PGSSLMODE", "require"), ("PGSSLCERT", certificate), ("PGSSLKEY", key)];
            let ours = scene.try_ours("localhost", role, &given);
            let theirs = scene.try_psql("localhost", role, &given);
            assert_eq!(ours.clone().ok(), theirs, "{certificate} {key} {role}: {ours:?}");
        }
    }
}

#[test]
fn versions_and_channel_binding_are_kept_to_as_psql_does() {
    let scene = scene();
    for given in [
        [("PGSSLMODE", "require"), ("PGSSLMINPROTOCOLVERSION", "TLSv1.3")],
        [("PGSSLMODE", "require"), ("PGSSLMAXPROTOCOLVERSION", "TLSv1.2")],
        [("PGSSLMODE", "require"), ("PGCHANNELBINDING", "require")],
        [("PGSSLMODE", "disable"), ("PGCHANNELBINDING", "require")],
        [("PGSSLMODE", "require"), ("PGSSLSNI", "0")],
    ] {
        let ours = scene.try_ours("localhost", "by_word", &given);
        assert_eq!(ours.clone().ok(), scene.try_psql("localhost", "by_word", &given), "{given:?}: {ours:?}");
    }
}

/// Variables, host, role, and what is said.
type Failure<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

const FULL: (&str, &str) = ("PGSSLMODE", "verify-full");
const OURS: (&str, &str) = ("PGSSLROOTCERT", "root.crt");

const FAILURES: [Failure<'_>; 14] = [
    (
        &[FULL, ("PGSSLROOTCERT", "other.crt")],
        "localhost",
        "postgres",
        "the server's certificate is by an authority that DIR/other.crt does not vouch for; have PGSSLROOTCERT name \
             the file with the certificate of its authority",
    ),
    (
        &[FULL, ("PGSSLROOTCERT", "system")],
        "localhost",
        "postgres",
        "the server's certificate is by an authority that the system does not vouch for; have PGSSLROOTCERT name the \
             file with the certificate of its authority",
    ),
    (
        &[FULL, OURS],
        "127.0.0.1",
        "postgres",
        "the server's certificate is not for 127.0.0.1; give HOST the name that is in the certificate, or have one \
             made for this name",
    ),
    (
        &[FULL, ("PGSSLROOTCERT", "no.crt")],
        "localhost",
        "postgres",
        "PGSSLMODE is verify-full, but there is no file of authorities at DIR/no.crt; have PGSSLROOTCERT name one \
             (PEM), or `system` for those that the system trusts",
    ),
    (
        &[FULL, ("PGSSLROOTCERT", "./text")],
        "localhost",
        "postgres",
        "PGSSLROOTCERT DIR/./text: there is no certificate in it; it is to hold PEM, -----BEGIN CERTIFICATE-----",
    ),
    (
        &[FULL, OURS, ("PGSSLCRL", "./text")],
        "localhost",
        "postgres",
        "PGSSLCRL DIR/./text: there is no list of revocations in it",
    ),
    (
        &[FULL, OURS],
        "localhost",
        "with_cert",
        "the server wants a client certificate; have PGSSLCERT and PGSSLKEY name one and its key (PEM)",
    ),
    (
        &[FULL, OURS, ("PGSSLCERT", "stranger.crt"), ("PGSSLKEY", "stranger.key")],
        "localhost",
        "with_cert",
        "the server refuses the client certificate of PGSSLCERT: unknown ca; have one made by its authority",
    ),
    (
        &[FULL, OURS, ("PGSSLCERT", "someone.crt"), ("PGSSLKEY", "someone.key")],
        "localhost",
        "only_cert",
        "certificate authentication failed for user \"only_cert\"; the name in the client certificate (PGSSLCERT) is \
             to be the role's",
    ),
    (
        &[FULL, OURS, ("PGSSLCERT", "only_cert.crt"), ("PGSSLKEY", "open.key")],
        "localhost",
        "only_cert",
        "PGSSLKEY DIR/open.key: others than its owner may use it, so it is no secret; run `chmod 0600` on it",
    ),
    (
        &[FULL, OURS, ("PGSSLCERT", "only_cert.crt"), ("PGSSLKEY", "stranger.key")],
        "localhost",
        "only_cert",
        "PGSSLKEY DIR/stranger.key: this is not the key of the first certificate in DIR/only_cert.crt",
    ),
    (
        &[("PGSSLMODE", "require"), ("PGSSLMINPROTOCOLVERSION", "TLSv1"), ("PGSSLMAXPROTOCOLVERSION", "TLSv1.1")],
        "localhost",
        "only_tls",
        "server and loader have no version of TLS in common; look at ssl_min_protocol_version of the server, and \
             PGSSLMINPROTOCOLVERSION here",
    ),
    (
        &[("PGSSLMODE", "disable"), ("PGCHANNELBINDING", "require")],
        "localhost",
        "postgres",
        "PGCHANNELBINDING=require wants TLS and a role whose password is kept as scram-sha-256",
    ),
    (
        &[("PGSSLMODE", "disable")],
        "localhost",
        "only_plain_not",
        "role \"only_plain_not\" does not exist; check USER, and have pg_hba.conf of the server let this host in",
    ),
];

#[test]
fn what_does_not_work_is_told_in_one_line() {
    let scene = scene();
    for (given, host, role, words) in FAILURES {
        let said = scene.try_ours(host, role, given).unwrap_err();
        let words = words.replace("DIR", scene.dir.to_str().unwrap());
        let where_to = format!("cannot connect to the database at {host}:{} as role \"{role}\", ", scene.db.port);
        // a server that refuses a certificate closes at once, and its word for why may be lost with the connection
        let words = match words.strip_prefix("the server refuses the client certificate of PGSSLCERT: unknown ca") {
            Some(advice) if said.contains("; it may refuse the client certificate of PGSSLCERT") => {
                advice.trim_start_matches("; ").to_owned()
            }
            _ => words,
        };
        assert!(said.starts_with(&where_to) && said.ends_with(&words) && !said.contains('\n'), "{said}");
    }
    let said = scene.try_ours("localhost", "by_word_not", &[("PGSSLMODE", "disable")]).unwrap_err();
    assert!(said.contains("does not exist"), "{said}");
}

/// `DBClientShared` of gpss.json. What then ends the load comes after the login.
#[test]
fn a_certificate_of_gpss_json_is_shown_to_the_database_where_it_is_shared() {
    let scene = scene();
    let case = Case::new(&scene.db, "shared", 1);
    case.table("orders (id int, note text)", "id");
    let job = case.job_into("orders", "id int, note text").user("only_cert").text();
    let job = job.replace("HOST: 127.0.0.1", "HOST: localhost");
    for (is_shared, words) in [
        (true, "Gpfdist.Certificate is for Greenplum"),
        (false, "the server wants a client certificate; have PGSSLCERT and PGSSLKEY name one"),
    ] {
        let (certificate, key) = (scene.path("only_cert.crt"), scene.path("only_cert.key"));
        let text = format!(
            r#"{{"Gpfdist": {{"Host": "only_cert", "Certificate": {{"CertFile": "{certificate}", "KeyFile": "{key}",
                "DBClientShared": {is_shared}}}}}}}"#
        );
        let config = scene.path("gpss.json");
        std::fs::write(&config, text).unwrap();
        let load = Loader::load(&job).args(["--quit-at-eof", "--gpfdist-port", "0", "--config", &config]);
        load.env("PGSSLMODE", "require").run().expect_code(1).expect_text(words);
    }
}

/// Greenplum here is built without TLS, as many are.
#[test]
fn a_server_without_tls_is_told() {
    let Some(db) = greenplum(2) else { return };
    let target = TableName { schema: Ident::exact("public"), table: Ident::exact("t") };
    let mut settings = Settings::new(&db.host, db.port, &db.user, &db.dbname, target);
    Connection::open(&settings, "gpkafka tests").unwrap();
    settings.tls = Tls::from_environment(|name| (name == "PGSSLMODE").then(|| "require".to_owned())).unwrap();
    let said = Connection::open(&settings, "gpkafka tests").err().unwrap().to_string();
    let words = "the server has no TLS, and PGSSLMODE is require; have `ssl` turned on at the server, or where nobody else \
                 is on the network say PGSSLMODE=prefer";
    assert!(said.ends_with(words), "{said}");
}

/// `CancelRequest` of the protocol.
const CANCEL: [u8; 8] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];

#[test]
fn a_load_says_nothing_in_clear() {
    let scene = scene();
    for (mode, is_clear) in [("disable", true), ("verify-full", false)] {
        let case = Case::new(&scene.db, "tls", 1);
        case.table("orders (id int, note text)", "id");
        case.topic.produce(0, ["1,one"]);
        let tap = Tap::start("127.0.0.1:0", ("127.0.0.1", scene.db.port));
        let role = if is_clear { "postgres" } else { "only_tls" };
        let job = case.job_into("orders", "id int, note text").user(role).text();
        let job = job.replace("HOST: 127.0.0.1", "HOST: localhost");
        let job = job.replace(&format!("PORT: {}", scene.db.port), &format!("PORT: {}", tap.port));
        let load = Loader::load(&job).args(["--quit-at-eof"]);
        let load = load.env("PGSSLMODE", mode).env("PGSSLROOTCERT", &scene.path("root.crt"));
        load.run().expect_code(0).expect_calm(&[]).expect_text("-Inserted 1 rows");
        assert_eq!(case.count("orders"), 1);
        assert_eq!(tap.has_heard(role.as_bytes()), is_clear, "{mode}");
        assert_eq!(tap.has_heard(b"INSERT"), is_clear, "{mode}");
        assert_eq!(tap.has_heard(b"gpkafka"), is_clear, "{mode}");
    }
}

/// Whoever cancels shows the key of the session, which must not be read on the way.
#[test]
fn a_cancellation_says_nothing_in_clear() {
    let scene = scene();
    for (mode, is_clear) in [("disable", true), ("require", false)] {
        let tap = Tap::start("127.0.0.1:0", ("127.0.0.1", scene.db.port));
        let target = TableName { schema: Ident::exact("public"), table: Ident::exact("t") };
        let mut settings = Settings::new("localhost", tap.port, "postgres", "postgres", target);
        settings.tls = Tls::from_environment(|name| (name == "PGSSLMODE").then(|| mode.to_owned())).unwrap();
        let mut connection = Connection::open(&settings, "gpkafka tests").unwrap();
        let canceller = connection.canceller();
        let pid = connection.pid();
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(move || connection.run_task("a task", "DO $$BEGIN PERFORM pg_sleep(60); END$$"));
            let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'");
            wait_until(SOON, "the statement to run", || scene.db.number(&sql) == 1);
            canceller.cancel().unwrap();
            let said = sleeper.join().unwrap().unwrap_err().to_string();
            assert!(said.contains("57014"), "{said}");
        });
        assert_eq!(tap.has_heard(&CANCEL), is_clear, "{mode}");
    }
}
