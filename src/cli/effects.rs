//! What each key of a job file does, as far as it shows without a server: in the SQL of a load, in the rows that messages
//! become, in warnings. What only servers show is guarded by integration tests, listed in `integration/key_guards`;
//! `integration/mutants` passes over each of those keys and requires that its guard goes red. Together they are all keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::GpfdistArgs;
use super::callback::{Callback, callback};
use super::dryrun::Dryrun;
use crate::config::{Job, KEYS, Refusal, Standing, parse_without, render};
use crate::decode;
use crate::greenplum::Writes;
use crate::job::resolve;
use crate::record::Record;
use crate::row::Rows;
use crate::transform;

/// Files with every key, and what may come to them.
macro_rules! case {
    ($name:ident, $file:literal, $messages:expr) => {
        const $name: File =
            File { text: include_str!(concat!("../config/every_key/", $file, ".yaml")), messages: $messages };
    };
}

#[derive(Clone, Copy)]
struct File {
    text: &'static str,
    /// Keys and values.
    messages: &'static [(&'static [u8], &'static [u8])],
}

case!(AVRO_FILE, "avro_file", &[(b"", b"\x02\x04\x00\xff")]);
case!(BINARY, "binary", &[(b"", b"\x00\xff")]);
case!(CUSTOM, "custom", &[(b"", b"id")]);
case!(MODULE, "module", &[(b"", b"{\"a\": 1}"), (b"", b"{}\n[]")]);
case!(JSONL_TABLES, "jsonl_tables", &[(b"", b"{\"visit\": {\"number\": 1}, \"id\": 2}#{\"url\": \"/\"}")]);
case!(
    CSV_MERGE,
    "csv_merge",
    &[(b"\"a\\\"||\"||x\ny#\n", b"1;x;'it*'s; \xe9';-"), (b"a||b#\n", b"2;x;-;3;4"), (b"a||b", b"x,'y'"),]
);

/// A key, passed over or with another value, and a file that then means something else. Of the keys without `=` the file
/// is still right.
const SEEN: [(&str, File); 66] = [
    ("KAFKA.INPUT.SOURCE.PARTITIONS", CSV_MERGE),
    ("KAFKA.INPUT.SOURCE.ENCRYPTION", CSV_MERGE),
    ("KAFKA.INPUT.VALUE", CSV_MERGE),
    ("KAFKA.INPUT.KEY", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.COLUMNS=[{NAME: picture, TYPE: bytea}, {NAME: b, TYPE: int}]", CUSTOM),
    ("KAFKA.INPUT.VALUE.COLUMNS.NAME=picture", CUSTOM),
    ("KAFKA.INPUT.VALUE.COLUMNS.TYPE=bigint", CUSTOM),
    ("KAFKA.INPUT.VALUE.COLUMNS.PATH", AVRO_FILE),
    ("KAFKA.INPUT.VALUE.FORMAT=jsonl", MODULE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.DELIMITER", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.QUOTE", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.ESCAPE", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.NULL_STRING", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.FORCE_NOT_NULL", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.CSV_OPTION.FILL_MISSING_FIELDS", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.DELIMITED_OPTION={DELIMITER: x}", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.DELIMITED_OPTION.DELIMITER=x", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.DELIMITED_OPTION.EOL_PREFIX", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.DELIMITED_OPTION.QUOTE", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.DELIMITED_OPTION.ESCAPE=x", CSV_MERGE),
    ("KAFKA.INPUT.VALUE.JSONL_OPTION", JSONL_TABLES),
    ("KAFKA.INPUT.VALUE.JSONL_OPTION.NEWLINE", JSONL_TABLES),
    ("KAFKA.INPUT.VALUE.AVRO_OPTION={SCHEMA_PATH_ON_GPDB: src/config/every_key/item.avsc}", AVRO_FILE),
    ("KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_PATH_ON_GPDB=other.avsc", AVRO_FILE),
    ("KAFKA.INPUT.VALUE.AVRO_OPTION.BYTES_TO_BASE64", AVRO_FILE),
    ("KAFKA.INPUT.VALUE.CUSTOM_OPTION={NAME: other}", CUSTOM),
    ("KAFKA.INPUT.VALUE.CUSTOM_OPTION.NAME=other", CUSTOM),
    ("KAFKA.INPUT.VALUE.CUSTOM_OPTION.PARAMSTR", CUSTOM),
    ("KAFKA.INPUT.META", CSV_MERGE),
    ("KAFKA.INPUT.META.COLUMNS=[{NAME: key_length, TYPE: int}]", CSV_MERGE),
    ("KAFKA.INPUT.META.COLUMNS.NAME=other", MODULE),
    ("KAFKA.INPUT.META.COLUMNS.TYPE=bigint", CSV_MERGE),
    ("KAFKA.INPUT.META.COLUMNS.FIELD", CSV_MERGE),
    ("KAFKA.INPUT.TRANSFORMER", MODULE),
    ("KAFKA.INPUT.TRANSFORMER.PATH=other.wat", MODULE),
    ("KAFKA.INPUT.TRANSFORMER.ON_INIT", MODULE),
    ("KAFKA.INPUT.TRANSFORMER.TRANSFORM=other", MODULE),
    ("KAFKA.INPUT.TRANSFORMER.PROPERTIES", MODULE),
    ("KAFKA.INPUT.FILTER", CSV_MERGE),
    ("KAFKA.INPUT.ENCODING", CSV_MERGE),
    ("KAFKA.INPUT.LOCAL_HOSTNAME", CSV_MERGE),
    ("KAFKA.INPUT.LOCAL_PORT", CSV_MERGE),
    ("KAFKA.OUTPUTS=[{TABLE: log}]", JSONL_TABLES),
    ("KAFKA.OUTPUT.SCHEMA", CSV_MERGE),
    ("KAFKA.OUTPUT.TABLE=other", CSV_MERGE),
    ("KAFKA.OUTPUT.FILTER", CSV_MERGE),
    ("KAFKA.OUTPUT.MODE", CSV_MERGE),
    ("KAFKA.OUTPUT.MATCH_COLUMNS=[version]", CSV_MERGE),
    ("KAFKA.OUTPUT.ORDER_COLUMNS", CSV_MERGE),
    ("KAFKA.OUTPUT.UPDATE_COLUMNS=[version]", CSV_MERGE),
    ("KAFKA.OUTPUT.UPDATE_CONDITION", CSV_MERGE),
    ("KAFKA.OUTPUT.DELETE_CONDITION", CSV_MERGE),
    ("KAFKA.OUTPUT.TRANSFORMER", JSONL_TABLES),
    ("KAFKA.OUTPUT.TRANSFORMER.TRANSFORM=other", JSONL_TABLES),
    ("KAFKA.OUTPUT.TRANSFORMER.PROPERTIES", JSONL_TABLES),
    ("KAFKA.OUTPUT.TRANSFORMER.COLUMNS", JSONL_TABLES),
    ("KAFKA.OUTPUT.MAPPING", CSV_MERGE),
    ("KAFKA.OUTPUT.MAPPING.NAME=other", BINARY),
    ("KAFKA.OUTPUT.MAPPING.EXPRESSION=version", CSV_MERGE),
    ("KAFKA.DEAD_LETTER", BINARY),
    ("KAFKA.DEAD_LETTER.SCHEMA", BINARY),
    ("KAFKA.DEAD_LETTER.TABLE=other", BINARY),
    ("KAFKA.METADATA", CSV_MERGE),
    ("KAFKA.METADATA.SCHEMA", CSV_MERGE),
    ("KAFKA.POLL", CSV_MERGE),
];

/// Without these a file is refused: there would be nothing in it. VERSION says where to look for the rest.
const NEEDED: [&str; 5] = ["VERSION", "KAFKA", "KAFKA.INPUT", "KAFKA.INPUT.SOURCE", "KAFKA.OUTPUT"];

/// Their value is only looked at: it is the only one, or means nothing. `config/tests/effects.rs` has them refused.
const LOOKED_AT: [&str; 3] = ["KAFKA.INPUT.META.FORMAT", "KAFKA.POLL.BATCHSIZE", "KAFKA.POLL.TIMEOUT"];

/// Lines of `KEY TEST` or `KEY=VALUE TEST`.
const GUARDS: &str = include_str!("../../integration/key_guards");

fn guards() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = GUARDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a key and a test"))
}

fn name(spec: &'static str) -> &'static str {
    spec.split_once('=').map_or(spec, |(key, _)| key).trim()
}

/// All that can be seen of a file without a server.
fn seen(file: File, key: &str) -> Result<String, Refusal> {
    let job = parse_without(Path::new("job.yaml"), file.text, key)?;
    let settings = job.greenplum_settings();
    let flags = GpfdistArgs { gpfdist_host: None, gpfdist_port: None, config: None };
    let Callback { host, gpfdist, .. } = callback(&flags, &job, None).expect("without a gpss.json no file is read");
    let plan = Dryrun { job: &job, settings: &settings, host: &host, port: gpfdist.port };
    let warnings: Vec<_> = job.warnings.iter().map(|warning| warning.text.as_str()).collect();
    let rows = match Writes::unchecked(&settings).map(|writes| resolve::decode_settings(&job, &writes)) {
        Some(Ok(decoding)) => rows(&decoding, file),
        Some(Err(error)) => error.to_string(),
        None => "rows are as the target's columns are".to_owned(),
    };
    let transformed = transformed(&job, file).unwrap_or_else(|error| error.to_string());
    Ok(format!("{}\n{transformed}\n{rows}\n{}", plan.offline(), warnings.join("\n")))
}

/// What the job's module makes of the messages, before they are decoded.
fn transformed(job: &Job, file: File) -> Result<String, transform::Error> {
    let Some(program) = job.transform_program()? else { return Ok(String::new()) };
    let mut module = program.start()?;
    let verdicts = file.messages.iter().map(|(_, value)| module.apply(&Record::new(1, 7, Some(value))));
    Ok(format!("{:?}", verdicts.collect::<Result<Vec<_>, _>>()?))
}

fn rows(settings: &decode::Settings, file: File) -> String {
    let mut decoder = decode::decoder(settings);
    let mut text = String::new();
    for (offset, (key, value)) in (7..).zip(file.messages) {
        let record =
            Record { key: Some(key), timestamp_ms: Some(1_569_339_237_053), ..Record::new(1, offset, Some(value)) };
        let mut rows = Rows::default();
        let reason = decoder.decode(&record, &mut rows).err().map(|reason| reason.to_string());
        let field =
            |field: Option<&[u8]>| field.map_or("NULL".to_owned(), |bytes| format!("\"{}\"", bytes.escape_ascii()));
        let made: Vec<_> = rows.iter().map(|row| row.map(field).collect::<Vec<_>>().join(" ")).collect();
        text += &format!("{}\n", reason.unwrap_or_else(|| made.join(" / ")));
    }
    text
}

fn refused(refusal: &Refusal) -> String {
    render(refusal, false, false)
}

#[test]
fn a_key_that_is_passed_over_is_missed() {
    for (key, file) in SEEN {
        let whole = seen(file, "none").unwrap_or_else(|refusal| panic!("{}", refused(&refusal)));
        let without = seen(file, key).unwrap_or_else(|refusal| panic!("{key}: {}", refused(&refusal)));
        assert!(whole != without, "nobody would miss {key}");
    }
    for key in NEEDED {
        let refusal = seen(CSV_MERGE, key).unwrap_err();
        assert!(refused(&refusal).contains(" is missing") || key == "VERSION", "{key}: {}", refused(&refusal));
    }
}

/// What the files of this test come to, all of it: a difference is no use where the whole is wrong.
#[test]
fn the_rows_of_the_files() {
    let rows = |file: File| {
        let job = parse_without(Path::new("job.yaml"), file.text, "none").unwrap();
        let writes = Writes::unchecked(&job.greenplum_settings()).unwrap();
        rows(&resolve::decode_settings(&job, &writes).unwrap(), file)
    };
    expect_test::expect![[r#"
        "1" "AP8="

        "\\x00ff"

        "id"

        "{\"a\": 1}" "{\"topic\":\"items\",\"partition\":1,\"offset\":7,\"timestamp\":1569339237053,\"timestamp_type\":null,\"key_length\":0,\"headers\":{}}"
        "{}\n[]" "{\"topic\":\"items\",\"partition\":1,\"offset\":8,\"timestamp\":1569339237053,\"timestamp_type\":null,\"key_length\":0,\"headers\":{}}"

        "1" NULL "1" "7" "1569339237053" "0" / NULL "/" "1" "7" "1569339237053" "1"

        "1" "it\'s; \xc3\xa9" NULL NULL "a\"||" "x\ny" "7" "2019-09-24T15:33:57.053Z" "1" "7" "1569339237053" "0"
        "2" "-" "3" "4" "a" "b" "8" "2019-09-24T15:33:57.053Z" "1" "8" "1569339237053" "0"
        "x,y" "-" NULL NULL "a" "b" "9" "2019-09-24T15:33:57.053Z" "1" "9" "1569339237053" "0"
    "#]]
        .assert_eq(&[AVRO_FILE, BINARY, CUSTOM, MODULE, JSONL_TABLES, CSV_MERGE].map(rows).join("\n"));
}

#[test]
fn every_key_is_seen_or_guarded() {
    let accepted = KEYS.iter().filter(|key| !matches!(key.standing, Standing::Refused(_)) && !key.v2.is_empty());
    let accepted: BTreeSet<_> = accepted.map(|key| key.v2).collect();
    let mut tested = BTreeSet::new();
    let seen = SEEN.iter().map(|(key, _)| *key).chain(NEEDED).chain(LOOKED_AT);
    for key in seen.chain(guards().map(|(key, _)| key)).map(name) {
        assert!(tested.insert(key), "{key} is there twice");
    }
    let untested: Vec<_> = accepted.difference(&tested).collect();
    let unknown: Vec<_> = tested.difference(&accepted).collect();
    assert!(untested.is_empty() && unknown.is_empty(), "not tested: {untested:?}; not in the table: {unknown:?}");
}

#[test]
fn every_guard_is_there() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("integration");
    for (key, guard) in guards() {
        let [file, test] = guard.split("::").take(2).collect::<Vec<_>>()[..] else { panic!("{key}: {guard}") };
        let text = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap_or_default();
        let has = |line: &str| text.contains(line);
        // of those that run on each database the first half of the name is a module
        let on_each = has(&format!("    fn {test}(db) {{"));
        assert!(on_each || has(&format!("#[test]\nfn {test}() {{")), "{key}: there is no test {guard}");
        assert_eq!(guard.ends_with("::postgres"), on_each, "{key}: {guard}");
    }
}
