//! What our decoder makes of bytes is what the server's own COPY makes of them, and what our encoder writes is read
//! back as it was. Random payloads, built of the bytes that hurt, go both ways.

use std::cell::{Cell, RefCell};
use std::io::Write;

use gpkafka::decode::{self, CsvOptions, Format, decoder};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;
use postgres::Client;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Database, Kind, on_each_database};

type Fields = Vec<Option<String>>;

const COLUMNS: [&str; 3] = ["a", "b", "c"];

on_each_database! {
    fn csv_is_read_as_copy_reads_it(db) {
        let client = RefCell::new(client(db));
        let rows = Cell::new(0);
        let outcome = runner(db).run(&(options(db), payload()), |(options, payload)| {
            let payload = bytes(&payload, &options);
            let Some(ours) = decoded(&options, &payload) else { return Ok(()) };
            rows.set(rows.get() + u32::from(ours.is_ok()));
            let theirs = copied(&mut client.borrow_mut(), &with_options(db, &options), &with_line_end(&payload));
            prop_assert_eq!(ours, theirs, "{:?}", payload.escape_ascii().to_string());
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(rows.get() > 100, "only {} payloads were rows", rows.get());
    }

    fn encoded_rows_are_read_back(db) {
        let client = RefCell::new(client(db));
        let field = prop_oneof!["[\\\\.N\t\n\r\u{8}\u{b}\u{c}x017,\"\u{e9}]{0,12}", "[^\0]{0,40}"];
        let fields = prop::collection::vec(prop::option::of(field), COLUMNS.len());
        let rows = prop::collection::vec(fields, 1..20);
        let outcome = runner(db).run(&rows, |rows| {
            let theirs = copied(&mut client.borrow_mut(), "DELIMITER E'\\t', NULL '\\N'", &encoded(&rows));
            let sorted = |mut rows: Vec<Fields>| {
                rows.sort();
                rows
            };
            prop_assert_eq!(theirs.map(sorted), Ok(sorted(rows)));
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Greenplum takes some ten times longer for each COPY.
fn runner(db: &Database) -> TestRunner {
    let cases = match db.kind {
        Kind::Postgres => 2000,
        Kind::Greenplum { .. } => 300,
    };
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn client(db: &Database) -> Client {
    let mut client = db.connect();
    let distributed = db.distributed_by("a");
    client.batch_execute(&format!("CREATE TEMP TABLE t (a text, b text, c text) {distributed}")).unwrap();
    client
}

/// Payloads of mostly three fields, for [`bytes`]: `D`, `Q` and `E` stand for the delimiter, the quote and the escape.
fn payload() -> impl Strategy<Value = String> {
    let plain = "[xy\\\\.E \t]{0,4}|x|\\\\N|";
    let quoted = "Q([xyD\n\r\\\\\u{e9} ]|EQ|EE){0,4}Q";
    let wild = "[xDQE\\\\N \n\r\u{e9}\u{fe}0]{0,5}";
    let field = prop_oneof![6 => plain, 6 => quoted, 1 => (plain, quoted).prop_map(|(plain, quoted)| plain + &quoted), 1 => wild];
    let count = prop_oneof![6 => Just(COLUMNS.len()), 1 => 0..6usize];
    let fields = count.prop_flat_map(move |count| prop::collection::vec(field.clone(), count));
    let end = prop::sample::select(vec!["", "", "\n", "\r\n", "\r", "D"]);
    (fields, end).prop_map(|(fields, end)| fields.join("D") + end)
}

/// The payload in the words of these options; `\u{fe}` becomes a byte that is no UTF-8, `0` a NUL.
fn bytes(payload: &str, options: &CsvOptions) -> Vec<u8> {
    let mut bytes = Vec::new();
    for char in payload.chars() {
        match char {
            'D' => bytes.push(options.delimiter),
            'Q' => bytes.push(options.quote),
            'E' => bytes.push(options.escape),
            '0' => bytes.push(0),
            '\u{fe}' => bytes.push(0xfe),
            char => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

fn options(db: &Database) -> impl Strategy<Value = CsvOptions> + use<> {
    // PostgreSQL has no FILL MISSING FIELDS.
    let fills = if db.kind == Kind::Postgres { Just(false).boxed() } else { any::<bool>().boxed() };
    let bytes =
        prop::sample::select(vec![(b',', b'"', b'"'), (b',', b'"', b'"'), (b'|', b'\'', b'\\'), (b',', b'"', b'x')]);
    let null = prop::sample::select(vec!["", "", "\\N", "x"]);
    let forced = prop::sample::subsequence(COLUMNS.to_vec(), 0..=COLUMNS.len());
    (bytes, null, forced, fills).prop_map(|((delimiter, quote, escape), null, forced, fills)| CsvOptions {
        delimiter,
        quote,
        escape,
        null_string: null.to_owned(),
        force_not_null: forced.into_iter().map(str::to_owned).collect(),
        fill_missing_fields: fills,
    })
}

fn with_options(db: &Database, options: &CsvOptions) -> String {
    let literal = |byte: u8| format!("E'\\x{byte:02x}'");
    let mut sql = format!(
        "FORMAT csv, DELIMITER {}, QUOTE {}, ESCAPE {}, NULL '{}'",
        literal(options.delimiter),
        literal(options.quote),
        literal(options.escape),
        options.null_string,
    );
    if !options.force_not_null.is_empty() {
        sql += &format!(", FORCE_NOT_NULL ({})", options.force_not_null.join(", "));
    }
    if db.kind != Kind::Postgres && options.fill_missing_fields {
        sql += ", FILL_MISSING_FIELDS true";
    }
    sql
}

/// One row or a refusal; `None` where we differ on purpose: a message holds one row, and none ends the data.
fn decoded(options: &CsvOptions, payload: &[u8]) -> Option<Result<Vec<Fields>, ()>> {
    if payload.trim_ascii_end() == b"\\." {
        return None;
    }
    let columns = COLUMNS.map(decode::Column::text).to_vec();
    let settings = decode::Settings::of_value(Format::Csv(options.clone()), columns);
    let record = Record::new(0, 0, Some(payload));
    let mut rows = Rows::default();
    match decoder(&settings).decode(&record, &mut rows) {
        Ok(()) => Some(Ok(rows.iter().map(|row| row.map(|field| field.map(text_of)).collect()).collect())),
        Err(reason) if matches!(reason.cause, decode::Cause::LineBreak { .. }) => None,
        Err(_) => Some(Err(())),
    }
}

fn text_of(field: &[u8]) -> String {
    String::from_utf8(field.to_vec()).unwrap()
}

fn with_line_end(payload: &[u8]) -> Vec<u8> {
    let end: &[u8] = if payload.ends_with(b"\n") || payload.ends_with(b"\r") { b"" } else { b"\n" };
    [payload, end].concat()
}

fn encoded(rows: &[Fields]) -> Vec<u8> {
    let mut flat = Rows::default();
    for fields in rows {
        for field in fields {
            match field {
                Some(field) => flat.field(field.as_bytes()),
                None => flat.null(),
            }
        }
        flat.end_row();
    }
    let mut out = Vec::new();
    flat.iter().for_each(|row| text::encode(row, &mut out));
    out
}

/// What COPY makes of the bytes, in a transaction that is rolled back.
fn copied(client: &mut Client, options: &str, bytes: &[u8]) -> Result<Vec<Fields>, ()> {
    let mut transaction = client.transaction().unwrap();
    let mut copy = transaction.copy_in(&format!("COPY t FROM STDIN ({options})")).unwrap();
    copy.write_all(bytes).unwrap();
    copy.finish().map_err(drop)?;
    let rows = transaction.query("SELECT a, b, c FROM t", &[]).unwrap();
    Ok(rows.iter().map(|row| (0..COLUMNS.len()).map(|field| row.get(field)).collect()).collect())
}
