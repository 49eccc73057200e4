//! `gpfdists://` before a real Greenplum: loads over TLS whose segments show certificates, what is refused and how that is
//! told, and that nobody on the wire reads a row. The segments' own files are the harness's.

use std::path::{Path, PathBuf};

use crate::case::Case;
use crate::harness::{
    Authority, Database, Loader, SOON, Tap, User, directory, free_port, greenplum, postgres, segments_authority,
    wait_until,
};

/// A folder with a certificate for `name` by `authority`, and the authority of clients.
fn folder(name: &str, authority: &Authority, clients: &Authority) -> PathBuf {
    let dir = directory("gpfdists", User::current());
    let (certificate, key) = authority.issue(name);
    for (name, bytes) in [("server.crt", certificate), ("server.key", key), ("root.crt", clients.pem())] {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    dir
}

fn good() -> PathBuf {
    folder("localhost", segments_authority(), segments_authority())
}

/// A gpss.json over such a folder; `more` goes into Gpfdist.
fn gpss(dir: &Path, more: &str) -> String {
    let path = dir.join("gpss.json");
    let file = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        r#"{{"Gpfdist": {{{more} "Certificate": {{"CertFile": "{}", "KeyFile": "{}", "CAFile": "{}"}}}}}}"#,
        file("server.crt"),
        file("server.key"),
        file("root.crt")
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn case<'a>(db: &'a Database) -> Case<'a> {
    let case = Case::new(db, "gpfdists", 2);
    case.table("orders (id int, note text)", "id");
    case
}

const NOTE: &str = "a note that nobody on the way reads";

fn produce(case: &Case<'_>, rows: usize) {
    case.topic.produce(0, (0..rows).map(|id| format!("{id},{NOTE}")));
}

/// What a load that fails says, in its last line.
fn failure(db: &Database, dir: &Path, flags: &[&str]) -> String {
    let case = case(db);
    produce(&case, 10);
    let job = case.job_into("orders", "id int, note text").text();
    let config = gpss(dir, r#""Port": 0,"#);
    let outcome = Loader::load(&job).args(["--quit-at-eof", "--config", &config]).args(flags.iter().copied()).run();
    assert_eq!(case.count("orders"), 0);
    outcome.expect_code(1).text()
}

#[test]
fn a_load_goes_over_tls_and_nobody_on_the_wire_reads_a_row() {
    let Some(db) = greenplum(2) else { return };
    let dir = good();
    for has_tls in [true, false] {
        let case = case(db);
        produce(&case, 5_000);
        let port = free_port();
        let tap = Tap::start(&format!("127.0.0.1:{port}"), ("127.0.0.2", port));
        let at = format!(r#""Host": "localhost", "Port": {port}, "BindAddress": "127.0.0.2","#);
        let config = match has_tls {
            true => gpss(&dir, &at),
            false => {
                let path = dir.join("plain.json");
                std::fs::write(&path, format!(r#"{{"Gpfdist": {{{}}}}}"#, at.trim_end_matches(','))).unwrap();
                path.to_str().unwrap().to_owned()
            }
        };
        let job = case.job_into("orders", "id int, note text").text();
        let load = Loader::load(&job).args(["--quit-at-eof", "--config", &config]);
        load.run().expect_code(0).expect_calm(&[]).expect_text("Inserted 5000 rows");
        assert_eq!(case.count("orders"), 5_000);
        let locations = case.rows(
            "SELECT urilocation[1] FROM pg_exttable t JOIN pg_class c ON c.oid = t.reloid \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = '$SCHEMA'",
        );
        let scheme = if has_tls { "gpfdists" } else { "gpfdist" };
        assert!(locations[0].starts_with(&format!("{scheme}://localhost:{port}/v1/")), "{locations:?}");
        assert!(tap.bytes() > 5_000 * NOTE.len(), "all of it passed here");
        for word in [NOTE.as_bytes(), b"GET /v1/", b"X-GP-XID"] {
            assert_eq!(tap.has_heard(word), !has_tls, "{}", String::from_utf8_lossy(word));
        }
    }
}

#[test]
fn a_host_that_nobody_gave_is_the_one_in_the_certificate() {
    let Some(db) = greenplum(2) else { return };
    let case = case(db);
    produce(&case, 10);
    let job = case.job_into("orders", "id int, note text").text();
    let config = gpss(&good(), r#""Port": 0,"#);
    let load = Loader::load(&job).args(["--quit-at-eof", "--config", &config]);
    load.run().expect_code(0).expect_calm(&[]).expect_text("Inserted 10 rows").expect_text("with TLS");
}

#[test]
fn segments_by_another_authority_are_refused_and_told() {
    let Some(db) = greenplum(2) else { return };
    let dir = folder("localhost", segments_authority(), &Authority::new("other"));
    let said = failure(db, &dir, &[]);
    assert!(
        said.contains("the loader does not trust the authority of the segment's certificate; have gpfdists/client.crt"),
        "{said}"
    );
}

#[test]
fn a_name_that_is_not_in_the_certificate_is_told_before_and_after() {
    let Some(db) = greenplum(2) else { return };
    let dir = folder("elsewhere.example", segments_authority(), segments_authority());
    let said = failure(db, &dir, &["--gpfdist-host", "localhost"]);
    assert!(
        said.contains("segments are to call localhost, and the certificate is for elsewhere.example: they refuse it"),
        "{said}"
    );
    assert!(
        said.contains("the loader's certificate is not for this name; give --gpfdist-host a name that is in it"),
        "{said}"
    );
}

#[test]
fn a_loader_whom_segments_do_not_trust_is_told() {
    let Some(db) = greenplum(2) else { return };
    let dir = folder("localhost", &Authority::new("other"), segments_authority());
    let said = failure(db, &dir, &[]);
    assert!(
        said.contains("does not trust the authority of the loader's certificate; have gpfdists/root.crt in"),
        "{said}"
    );
}

#[test]
fn the_doctor_has_every_segment_shake_hands() {
    let Some(db) = greenplum(2) else { return };
    let case = case(db);
    produce(&case, 10);
    let job = case.job_into("orders", "id int, note text").text();
    let doctor = |dir: &Path| {
        let config = gpss(dir, r#""Port": 0,"#);
        Loader::with_job("doctor", &job).args(["--config", &config]).run()
    };
    doctor(&good()).expect_code(0).expect_text("fetched from https://localhost:");
    let dir = folder("localhost", segments_authority(), &Authority::new("other"));
    doctor(&dir)
        .expect_code(1)
        .expect_text("could not fetch from https://localhost:")
        .expect_text("the loader does not trust the authority of the segment's certificate")
        .expect_text("have gpfdists/client.crt in the data directory of each segment be one by an authority")
        .expect_text("curl --cacert root.crt --cert client.crt --key client.key https://localhost:");
}

#[test]
fn a_dryrun_shows_the_location_and_reads_the_files() {
    let case = case(postgres());
    let job = case.job_into("orders", "id int, note text").text();
    let dir = good();
    let config = gpss(&dir, "");
    let dryrun = || Loader::with_job("dryrun", &job).args(["--config", &config]);
    dryrun().run().expect_code(0).expect_text("LOCATION ('gpfdists://localhost:8080/v1/");
    std::fs::remove_file(dir.join("server.key")).unwrap();
    dryrun().run().expect_code(64).expect_text("server.key: No such file or directory");
}

#[test]
fn postgresql_has_no_segments_that_speak_tls() {
    let case = case(postgres());
    produce(&case, 10);
    let job = case.job_into("orders", "id int, note text").text();
    let config = gpss(&good(), r#""Port": 0,"#);
    let words = "Gpfdist.Certificate is for Greenplum, whose segments speak TLS";
    let load = Loader::load(&job).args(["--quit-at-eof", "--config", &config]);
    load.run().expect_code(1).expect_text(words);
    Loader::with_job("dryrun", &job).args(["--connect", "--config", &config]).run().expect_code(1).expect_text(words);
    Loader::with_job("doctor", &job).args(["--config", &config]).run().expect_code(1).expect_text(words);
}

/// `gpkafka serve --ssl`, and an external table over it.
fn serve(db: &Database, rows: usize) -> (crate::harness::Running, String) {
    let (files, schema) = (directory("served", User::current()), db.schema("gpfdists"));
    let text: String = (0..rows).map(|id| format!("{id}\t{NOTE}\n")).collect();
    std::fs::write(files.join("rows.txt"), text).unwrap();
    let words = ["serve", files.to_str().unwrap(), "--port", "0", "--ssl"];
    let mut server = Loader::command(words).args([good().to_str().unwrap()]).start();
    server.wait_for_text(SOON, "LOCATION ('gpfdists://localhost:");
    let text = server.text();
    let url = text.split("LOCATION ('").nth(1).unwrap().split("/FILE").next().unwrap().to_owned();
    let table = format!("{schema}.e");
    db.execute(&format!("CREATE EXTERNAL TABLE {table} (id int, note text) LOCATION ('{url}/rows.txt') FORMAT 'TEXT'"));
    (server, table)
}

#[test]
fn files_are_served_over_tls() {
    let Some(db) = greenplum(2) else { return };
    let (_server, table) = serve(db, 100_000);
    assert_eq!(db.rows(&format!("SELECT count(*), count(DISTINCT id), max(id) FROM {table}")), ["100000|100000|99999"]);
}

/// Rows wait in a statement that takes its time over the first of them.
#[test]
fn a_server_killed_amid_its_rows_fails_the_statement() {
    let Some(db) = greenplum(2) else { return };
    let (server, table) = serve(db, 400_000);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let idle = open();
    let failed = std::thread::scope(|scope| {
        let sql = format!("SELECT count(*) FROM (SELECT id, pg_sleep(0.01) FROM {table}) s");
        let reader = scope.spawn(move || db.connect().simple_query(&sql).map(drop));
        wait_until(SOON, "both segments to come and the file to be read", || open() >= idle + 3);
        server.signal("KILL");
        reader.join().unwrap().unwrap_err()
    });
    let said = failed.as_db_error().unwrap().message().to_owned();
    assert!(said.contains("gpfdist") && !said.contains("onnect to") && !said.contains("http response"), "{said}");
}
