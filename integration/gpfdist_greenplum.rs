//! The server before a real Greenplum: SQL is the client here, and what users read is what the database says.

use std::time::Duration;

use gpkafka::gpfdist::{Cause, Session};
use postgres::Client;

use crate::gpfdist_peer::{Host, PATH, SOON, index, push};
use crate::harness::{Database, User, directory, gpfdist, greenplum, rows, wait_until};

/// A server, an external table that names it, and a target.
struct Load {
    host: Host,
    schema: String,
    client: Client,
}

impl Load {
    fn new(db: &Database) -> Self {
        let host = Host::start_with(|settings| settings.heartbeat = Duration::from_secs(1));
        let schema = db.schema("gpfdist");
        let port = host.server.port();
        db.execute(&format!("CREATE TABLE {schema}.t (part int, pos bigint) DISTRIBUTED BY (pos)"));
        db.execute(&format!(
            "CREATE EXTERNAL TABLE {schema}.e (part int, pos bigint) \
             LOCATION ('gpfdist://127.0.0.1:{port}{PATH}') \
             FORMAT 'TEXT' (DELIMITER E'\\t' NULL '\\N' ESCAPE '\\' NEWLINE 'LF') ENCODING 'UTF8' \
             LOG ERRORS SEGMENT REJECT LIMIT 2147483647 ROWS"
        ));
        Self { host, schema, client: db.connect() }
    }

    /// Begins the transaction and opens the session for it.
    fn begin(&mut self) -> Session {
        self.client.batch_execute("BEGIN").unwrap();
        self.host.open_for(&own_xid(&mut self.client))
    }

    fn insert(&mut self, tail: &str) -> Result<u64, String> {
        let sql = format!("INSERT INTO {0}.t SELECT * FROM {0}.e {tail}", self.schema);
        self.client.execute(&sql, &[]).map_err(|error| error.as_db_error().unwrap().message().to_owned())
    }
}

#[test]
fn every_row_arrives_and_a_stranger_gets_the_reason() {
    let Some(db) = greenplum(2) else { return };
    let mut load = Load::new(db);
    assert!(stranger(db, &load.schema).contains("only the gpkafka load behind it may"));
    let session = load.begin();
    let refused = stranger(db, &load.schema);
    assert!(refused.contains("http response code 409 from gpfdist"), "{refused}");
    assert!(refused.contains("may not read this external table: only the gpkafka load behind it may"), "{refused}");
    let inserted = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(SOON, "both segments to come", || session.status().connected == 2);
            let refused = stranger(db, &load.schema);
            assert!(refused.contains("409"), "{refused}");
            for block in 0..1000 {
                push(&session, 3, block * 100, 100);
            }
            session.push(&index(3, 100_000, 2), "3\t100000\nbad\t100001\n".into());
            session.seal();
        });
        let sql = format!("INSERT INTO {0}.t SELECT * FROM {0}.e", load.schema);
        load.client.execute(&sql, &[]).unwrap()
    });
    let status = session.status();
    assert_eq!((inserted, status.rows_sent, &status.failure), (100_001, 100_002, &None));
    assert_eq!(status.served_segments.len(), 2);
    let log = format!("SELECT filename, linenum FROM gp_read_error_log('{}.e')", load.schema);
    let log = rows(&mut load.client, &log);
    assert_eq!(log.len(), 1);
    assert!(log[0].ends_with("[orders/3@100000]|2"), "{log:?}");
    load.client.batch_execute("COMMIT").unwrap();
    session.finish();
    assert_eq!(session.failure(), None);
    let sums = format!("SELECT count(*), count(DISTINCT pos), max(pos) FROM {}.t", load.schema);
    assert_eq!(db.rows(&sums), ["100001|100001|100000"]);
}

/// What every segment of the open transaction will send.
fn own_xid(client: &mut Client) -> String {
    let sql =
        "SELECT distributed_id FROM gp_distributed_xacts WHERE gp_session_id = current_setting('gp_session_id')::int";
    rows(client, sql)[0].trim().to_owned()
}

/// What somebody else reads who selects from the external table.
fn stranger(db: &Database, schema: &str) -> String {
    let sql = format!("SELECT count(*) FROM {schema}.e");
    db.connect().simple_query(&sql).unwrap_err().as_db_error().unwrap().message().to_owned()
}

#[test]
fn a_failed_source_fails_the_statement_with_its_words() {
    let Some(db) = greenplum(2) else { return };
    let mut load = Load::new(db);
    let session = load.begin();
    push(&session, 3, 0, 100);
    let failed = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(SOON, "a segment to take rows", || session.status().rows_sent == 100);
            session.fail("partition 3: offset 100 is gone");
        });
        load.insert("").unwrap_err()
    });
    assert!(failed.contains("partition 3: offset 100 is gone"), "{failed}");
}

#[test]
fn a_cancelled_statement_fails_the_session() {
    let Some(db) = greenplum(2) else { return };
    let mut load = Load::new(db);
    let session = load.begin();
    push(&session, 3, 0, 100);
    load.client.batch_execute("SET LOCAL statement_timeout = '2s'").unwrap();
    let failed = load.insert("").unwrap_err();
    assert!(failed.contains("statement timeout"), "{failed}");
    wait_until(SOON, "the session to fail", || session.failure().is_some());
    assert!(matches!(session.failure().unwrap().cause, Cause::SegmentCut { .. }));
}

/// Enough segments may be served for LIMIT before another one is refused; then the statement succeeds though most rows
/// went nowhere. Whoever commits can tell.
#[test]
fn a_statement_that_stops_early_never_looks_whole() {
    let Some(db) = greenplum(2) else { return };
    let mut load = Load::new(db);
    let session = load.begin();
    (0..1000).for_each(|block| push(&session, 3, block * 1000, 1000));
    session.seal();
    match load.insert("LIMIT 5") {
        Ok(inserted) => assert_eq!(inserted, 5),
        Err(refused) => assert!(refused.contains("was cut before the end of its rows"), "{refused}"),
    }
    session.finish();
    let status = session.status();
    assert!(status.rows_sent > 5 && status.failure.is_some(), "{status:?}");
}

#[test]
fn a_table_joined_with_itself_fails_with_the_reason() {
    let Some(db) = greenplum(2) else { return };
    let mut load = Load::new(db);
    let session = load.begin();
    push(&session, 3, 0, 100);
    session.seal();
    let failed = load.insert(&format!("UNION ALL SELECT * FROM {}.e", load.schema)).unwrap_err();
    assert!(failed.contains("cannot be read a second time"), "{failed}");
    assert!(session.status().refused.is_some());
}

/// Rows with everything that TEXT escapes, as a file has them.
fn file_of_rows() -> Vec<u8> {
    let notes = ["plain", "tab \\t and \\\\", "\\N", "", "line \\n feed", "ünïcödé €", "'quoted' \"twice\""];
    let row = |number: usize| format!("{number}\t{}\n", notes[number % notes.len()]);
    (0..200_000).map(row).collect::<String>().into_bytes()
}

/// The same file behind our server and behind Greenplum's own: the tables are the same.
#[test]
fn a_file_comes_through_as_gpfdist_serves_it() {
    let Some(db) = greenplum(2) else { return };
    let (schema, dir) = (db.schema("file"), directory("gpfdist", User::current()));
    let bytes = file_of_rows();
    std::fs::write(dir.join("rows.txt"), &bytes).unwrap();
    let (_theirs, port) = gpfdist(&dir);

    let host = Host::start();
    let create = |name: &str, location: String| {
        db.execute(&format!("CREATE TABLE {schema}.{name} (id int, note text) DISTRIBUTED BY (id)"));
        db.execute(&format!(
            "CREATE EXTERNAL TABLE {schema}.{name}_ext (LIKE {schema}.{name}) LOCATION ('{location}')
             FORMAT 'TEXT' (DELIMITER E'\\t' NULL '\\N' ESCAPE '\\' NEWLINE 'LF') ENCODING 'UTF8'"
        ));
    };
    create("theirs", format!("gpfdist://127.0.0.1:{port}/rows.txt"));
    create("ours", format!("gpfdist://127.0.0.1:{}{PATH}", host.server.port()));
    db.execute(&format!("INSERT INTO {schema}.theirs SELECT * FROM {schema}.theirs_ext"));
    let mut client = db.connect();
    client.batch_execute("BEGIN").unwrap();
    let xid =
        "SELECT distributed_id FROM gp_distributed_xacts WHERE gp_session_id = current_setting('gp_session_id')::int";
    let session = host.open_for(rows(&mut client, xid)[0].trim());
    let mut first = 0;
    for block in bytes.split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().chunks(1000) {
        let count = u32::try_from(block.len()).unwrap();
        session.push(&index(0, first, count), block.concat().into());
        first += i64::from(count);
    }
    session.seal();
    let inserted = client.execute(&format!("INSERT INTO {schema}.ours SELECT * FROM {schema}.ours_ext"), &[]).unwrap();
    client.batch_execute("COMMIT").unwrap();
    session.finish();
    assert_eq!((inserted, session.failure()), (200_000, None));
    let differences = format!(
        "SELECT count(*) FROM ((TABLE {schema}.ours EXCEPT ALL TABLE {schema}.theirs)
         UNION ALL (TABLE {schema}.theirs EXCEPT ALL TABLE {schema}.ours)) d"
    );
    assert_eq!(db.rows(&format!("SELECT count(*) FROM {schema}.theirs")), ["200000"]);
    assert_eq!(db.rows(&differences), ["0"]);
}
