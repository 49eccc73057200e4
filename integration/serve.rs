//! `gpkafka serve`: files behind our server, read by a real Greenplum, and beside Greenplum's own file server.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use crate::harness::{Database, Loader, Running, SOON, User, directory, gpfdist, greenplum, wait_until};

/// A server over a folder of its own.
struct Files {
    dir: PathBuf,
    server: Running,
    port: u16,
}

impl Files {
    fn serve() -> Self {
        Self::serve_as(|loader| loader)
    }

    fn serve_as(change: impl FnOnce(Loader) -> Loader) -> Self {
        let dir = directory("serve", User::current());
        let mut server = change(Loader::command(["serve", dir.to_str().unwrap(), "--port", "0"])).start();
        server.wait_for_text(SOON, "LOCATION");
        let text = server.text();
        let port = text.split(" at 127.0.0.1:").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
        Self { port: port.parse().unwrap(), dir, server }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.dir.join(name), text).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("gpfdist://127.0.0.1:{}/{path}", self.port)
    }

    /// Asks as a segment does.
    fn get(&self, path: &str, segment: u32, more: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(
            stream,
            "GET /{path} HTTP/1.0\r\nX-GP-XID: 1-1\r\nX-GP-CID: 1\r\nX-GP-SN: 1\r\nX-GP-SEGMENT-ID: {segment}\r\n\
             X-GP-SEGMENT-COUNT: 3\r\nX-GP-PROTO: 1\r\n{more}\r\n"
        )
        .unwrap();
        stream
    }
}

/// An external table of `columns` over a url; its name.
fn external(db: &Database, schema: &str, name: &str, columns: &str, url: &str, format: &str) -> String {
    let table = format!("{schema}.{name}");
    db.execute(&format!("CREATE EXTERNAL TABLE {table} ({columns}) LOCATION ('{url}') FORMAT {format}"));
    table
}

/// What the database says to a statement that fails.
fn error(db: &Database, sql: &str) -> String {
    db.connect().simple_query(sql).unwrap_err().as_db_error().unwrap().message().to_owned()
}

fn expect_same(db: &Database, one: &str, other: &str) {
    let missing = |a: &str, b: &str| db.number(&format!("SELECT count(*) FROM (TABLE {a} EXCEPT ALL TABLE {b}) d"));
    assert_eq!((missing(one, other), missing(other, one)), (0, 0));
}

/// Rows with all that TEXT escapes.
fn rows_of_text(from: usize, to: usize) -> String {
    let notes = ["plain", "tab \\t and \\\\", "\\N", "", "line \\n feed", "ünïcödé €"];
    (from..to).fold(String::new(), |mut text, id| {
        writeln!(text, "{id}\t{}", notes[id % notes.len()]).unwrap();
        text
    })
}

#[test]
fn a_file_comes_through_as_gpfdist_serves_it() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    let text = rows_of_text(0, 100_000);
    assert!(text.len() > 1 << 20, "several blocks");
    // a last line without an end is a row like any other
    files.write("rows.txt", text.trim_end_matches('\n'));
    let (_theirs, port) = gpfdist(&files.dir);
    let columns = "id int, note text";
    let ours = external(db, &schema, "ours", columns, &files.url("rows.txt"), "'TEXT'");
    let url = format!("gpfdist://127.0.0.1:{port}/rows.txt");
    let theirs = external(db, &schema, "theirs", columns, &url, "'TEXT'");
    db.execute(&format!("CREATE TABLE {schema}.t AS SELECT * FROM {ours} DISTRIBUTED BY (id)"));
    let sums = db.rows(&format!("SELECT count(*), count(DISTINCT id), max(id) FROM {schema}.t"));
    assert_eq!(sums, ["100000|100000|99999"]);
    db.execute(&format!("CREATE TABLE {schema}.same (LIKE {schema}.t) DISTRIBUTED BY (id)"));
    db.execute(&format!("INSERT INTO {schema}.same SELECT * FROM {theirs}"));
    expect_same(db, &format!("{schema}.t"), &format!("{schema}.same"));
}

#[test]
fn a_pattern_reads_each_file_once() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    // the first ends without a line end: its last row must not become one with the second's first
    files.write("part2.txt", rows_of_text(50_000, 60_000));
    files.write("part1.txt", rows_of_text(0, 50_000).trim_end_matches('\n'));
    files.write("other.csv", "x");
    for path in ["part*.txt", "part?.txt", "part1.txt%20part2.txt", "p%61rt[12].txt"] {
        let table = external(db, &schema, "e", "id int, note text", &files.url(path), "'TEXT'");
        let sums = db.rows(&format!("SELECT count(*), count(DISTINCT id), max(id) FROM {table}"));
        assert_eq!(sums, ["60000|60000|59999"], "{path}");
        db.execute(&format!("DROP EXTERNAL TABLE {table}"));
    }
}

#[test]
fn quoted_line_ends_and_headers_of_csv() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    let row = |id: usize| format!("{id},\"one\n\"\"two\"\"\n{}\"\n", "x".repeat(id % 60));
    let text: String = (0..30_000).map(row).collect();
    assert!(text.len() > 1 << 20, "several blocks");
    files.write("a.csv", format!("id,\"no\nte\"\n{text}"));
    files.write("b.csv", "id,note\n30000,last\n");
    let table = external(db, &schema, "e", "id int, note text", &files.url("*.csv"), "'CSV' (HEADER)");
    db.execute(&format!("CREATE TABLE {schema}.t AS SELECT * FROM {table} DISTRIBUTED BY (id)"));
    let lengths: usize = (0..30_000).map(|id| "one\n\"two\"\n".len() + id % 60).sum();
    let sums = db.rows(&format!("SELECT count(*), count(DISTINCT id), sum(length(note)) FROM {schema}.t"));
    assert_eq!(sums, [format!("30001|30001|{}", lengths + 4)]);
}

#[test]
fn what_cannot_be_served_is_told() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    files.write("a.txt", "1\n");
    files.write("a.txt.gz", "1\n");
    std::fs::create_dir(files.dir.join("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", files.dir.join("out.txt")).unwrap();
    std::os::unix::fs::symlink("a.txt", files.dir.join("in.txt")).unwrap();
    for (number, (path, said)) in [
        ("missing.txt", "404 file not found"),
        ("missing*.txt", "404 file not found"),
        ("a.txt%20missing.txt", "404 file not found"),
        ("folder", "404 No matching file(s) found"),
        ("a.txt%20folder", "403 Reading a directory is forbidden."),
        ("folder/%2e%2e/a.txt", "400 invalid request due to relative path"),
        ("%5c/a.txt", "backslash"),
        ("out.txt", "403 out.txt is a link out of the served folder"),
        ("a.txt.gz", "415 Unsupported File Type"),
        ("a.txt#transform=xml", "501 gpkafka serve has no transformations"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = external(db, &schema, &format!("e{number}"), "id int", &files.url(path), "'TEXT'");
        let error = error(db, &format!("SELECT * FROM {table}"));
        assert!(error.contains(said), "{path}: {error}");
    }
    let table = external(db, &schema, "e", "id int", &files.url("in.txt"), "'TEXT'");
    assert_eq!(db.rows(&format!("SELECT * FROM {table}")), ["1"]);
    let said = files.server.text();
    assert!(said.contains("gpkafka: /missing.txt: refused with 404 file not found"), "{said}");
}

#[test]
fn nothing_is_written() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    let url = files.url("new.txt");
    db.execute(&format!("CREATE WRITABLE EXTERNAL TABLE {schema}.w (id int) LOCATION ('{url}') FORMAT 'TEXT'"));
    let error = error(db, &format!("INSERT INTO {schema}.w VALUES (1)"));
    assert!(error.contains("405"), "{error}");
    assert!(!files.dir.join("new.txt").exists());
}

#[test]
fn scans_at_once_are_apart() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    files.write("rows.txt", rows_of_text(0, 100_000));
    let table = external(db, &schema, "e", "id int, note text", &files.url("rows.txt"), "'TEXT'");
    let twice = format!("SELECT count(*) FROM (SELECT id FROM {table} UNION ALL SELECT id FROM {table}) u");
    std::thread::scope(|scope| {
        let scans: Vec<_> = (0..3).map(|_| scope.spawn(|| db.number(&twice))).collect();
        scans.into_iter().for_each(|scan| assert_eq!(scan.join().unwrap(), 200_000));
    });
}

#[test]
fn a_statement_may_stop_early_and_the_next_reads_all() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    files.write("rows.txt", rows_of_text(0, 500_000));
    let table = external(db, &schema, "e", "id int, note text", &files.url("rows.txt"), "'TEXT'");
    for _ in 0..5 {
        assert_eq!(db.rows(&format!("SELECT 1 FROM {table} LIMIT 5")).len(), 5);
        assert_eq!(db.number(&format!("SELECT count(DISTINCT id) FROM {table}")), 500_000);
    }
}

#[test]
fn a_bad_row_is_named_by_file_and_line() {
    let Some(db) = greenplum(2) else { return };
    let (files, schema) = (Files::serve(), db.schema("serve"));
    let bad = [4, 77_777, 99_999];
    let row = |id: usize| if bad.contains(&id) { format!("bad{id}\n") } else { format!("{id}\n") };
    let text: String = (1..=100_000).map(row).collect();
    files.write("rows.txt", format!("id\n{text}"));
    let format = "'TEXT' (HEADER) LOG ERRORS SEGMENT REJECT LIMIT 10";
    let table = external(db, &schema, "e", "id int", &files.url("rows.txt"), format);
    assert_eq!(db.number(&format!("SELECT count(*) FROM {table}")), 99_997);
    let log = db.rows(&format!("SELECT linenum, rawdata, filename FROM gp_read_error_log('{table}') ORDER BY 1"));
    let name = format!("{} [{}/rows.txt]", files.url("rows.txt"), files.dir.canonicalize().unwrap().display());
    // behind the header
    let expected: Vec<_> = bad.iter().map(|id| format!("{}|bad{id}|{name}", id + 1)).collect();
    assert_eq!(log, expected);
}

/// All that comes on a connection.
fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_file_that_shrinks_fails_its_scan() {
    let files = Files::serve();
    files.write("rows.txt", "0123456789abcde\n".repeat(4 << 20));
    let mut stream = files.get("rows.txt", 0, "");
    // it has been opened, and cannot have been read to its end
    stream.read_exact(&mut [0; 4096]).unwrap();
    OpenOptions::new().write(true).open(files.dir.join("rows.txt")).unwrap().set_len(1 << 20).unwrap();
    let text = rest(stream);
    assert!(text.ends_with("rows.txt: it has become shorter while it was read"), "{}", &text[text.len() - 200..]);
    let late = rest(files.get("rows.txt", 1, ""));
    assert!(late.starts_with("HTTP/1.0 500 ") && late.contains("it has become shorter"), "{late}");
}

#[test]
fn a_row_longer_than_a_block_is_whole() {
    let files = Files::serve();
    let long = "x".repeat(3 << 20);
    files.write("rows.txt", format!("a\n{long}\nb"));
    let text = rest(files.get("rows.txt", 0, ""));
    assert!(text.contains(&format!("{long}\n")) && text.ends_with("bD\0\0\0\0"));
    let late = rest(files.get("rows.txt", 1, ""));
    assert!(late.ends_with("\r\n\r\nD\0\0\0\0"), "{late}");
    let again = rest(files.get("rows.txt", 1, ""));
    assert!(again.starts_with("HTTP/1.0 409 "), "{again}");
}

/// What the server says of itself.
fn status(files: &Files) -> String {
    rest(files.get("gpfdist/status", 0, ""))
}

#[test]
fn a_scan_that_every_segment_has_read_is_forgotten() {
    let files = Files::serve();
    files.write("rows.txt", "1\n");
    for round in 0..2 {
        let read: Vec<_> = (0..3).map(|segment| rest(files.get("rows.txt", segment, ""))).collect();
        let with_rows = read.iter().filter(|text| text.ends_with("D\0\0\0\x021\nD\0\0\0\0")).count();
        let all_end = read.iter().all(|text| text.starts_with("HTTP/1.0 200") && text.ends_with("D\0\0\0\0"));
        assert!(all_end && with_rows == 1, "round {round}: {read:?}");
        // the same ids again are another scan, once this one is over
        wait_until(SOON, "the scan to be forgotten", || status(&files).contains(" 0 sessions"));
    }
}

#[test]
fn who_leaves_early_takes_nothing_from_the_others() {
    let files = Files::serve();
    files.write("rows.txt", "0123456789abcde\n".repeat(2 << 20));
    let mut leaves = files.get("rows.txt", 0, "");
    leaves.read_exact(&mut [0; 4096]).unwrap();
    drop(leaves);
    let rest = rest(files.get("rows.txt", 1, ""));
    assert!(rest.ends_with("D\0\0\0\0") && rest.len() > 16 << 20, "{} bytes", rest.len());
}

#[test]
fn anybody_may_read_with_the_protocol_alone() {
    let files = Files::serve();
    files.write("rows.txt", "1\n2");
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", files.port)).unwrap();
        stream.write_all(b"GET /rows.txt HTTP/1.0\r\nX-GP-PROTO: 0\r\n\r\n").unwrap();
        let text = rest(stream);
        assert!(text.starts_with("HTTP/1.0 200 OK") && text.ends_with("\r\n\r\n1\n2"), "{text}");
    }
    let outcome = {
        files.server.signal("TERM");
        files.server.wait(SOON)
    };
    outcome.expect_code(0);
}

#[test]
fn in_a_scripts_background_it_outlives_an_interrupt() {
    let files = Files::serve_as(|loader| loader.ignoring("INT"));
    files.write("rows.txt", "1\n");
    files.server.signal("INT");
    // whether the signal has come yet or not
    let status = std::fs::read_to_string(format!("/proc/{}/status", files.server.pid())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    assert_eq!(ignored & 1 << 1, 1 << 1, "SIGINT is 2: {ignored:x}");
    assert!(rest(files.get("rows.txt", 0, "")).contains("1\n"));
    files.server.signal("TERM");
    files.server.wait(SOON).expect_code(0);
}

#[test]
fn what_it_cannot_do_it_says_at_once() {
    let files = Files::serve();
    Loader::command(["serve", "/no/such/folder"]).run().expect_code(64).expect_text("serving /no/such/folder: ");
    Loader::command(["serve", "/"]).run().expect_code(64).expect_text("name a folder in it");
    let dir = files.dir.to_str().unwrap();
    let taken = files.port.to_string();
    Loader::command(["serve", dir, "--port", &taken])
        .run()
        .expect_code(1)
        .expect_text(&format!("port {taken} is taken"));
}
