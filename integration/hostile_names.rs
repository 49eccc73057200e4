//! Names that mean harm, or only look so: whatever a database takes for a name is loaded into, and nothing else happens.
//! The server's own `quote_ident` and `quote_literal` are what our quoting is held against.

use std::cell::RefCell;

use gpkafka::greenplum::{JobId, Match, Mode, Settings};
use gpkafka::table::{Column, Ident, TableName};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::case::Case;
use crate::greenplum_place::{Feed, Place};
use crate::harness::{Database, Loader, executable, on_each_database, unique};

/// What names are made of.
const PIECES: [&str; 32] = [
    "\"",
    "\"\"",
    "'",
    "''",
    "\\",
    "\\'",
    " ",
    "$",
    "$1",
    "$$",
    "{table}",
    "{",
    "}",
    "%s",
    "%",
    ";",
    "--",
    "/*",
    "*/",
    ".",
    "\n",
    "\t",
    "\r",
    "select",
    "Table",
    "x",
    "é",
    "日本",
    "🦀",
    "\u{200b}",
    "\u{202e}",
    "'; DROP TABLE t; --",
];

/// Of a name in the catalog.
const BYTES_MAX: usize = 63;

/// A name as long as it may be, or shorter.
fn name() -> impl Strategy<Value = String> {
    let pieces = proptest::collection::vec(proptest::sample::select(&PIECES[..]), 1..40);
    pieces.prop_map(|pieces| {
        let text = pieces.concat();
        text.chars()
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= BYTES_MAX).then_some(c)
            })
            .collect()
    })
}

/// A table and what is in it.
#[derive(Debug, Clone)]
struct Names {
    schema: String,
    table: String,
    columns: [String; 2],
    merges: bool,
}

fn names() -> impl Strategy<Value = Names> {
    let names = (name(), name(), name(), name(), any::<bool>());
    let names = names.prop_map(|(schema, table, a, b, merges)| Names { schema, table, columns: [a, b], merges });
    names.prop_filter("a table has no column twice", |names| names.columns[0] != names.columns[1])
}

/// Makes the table with the server's own quoting, loads into it through ours, and reads it back.
fn load_into(db: &Database, names: &Names) -> Result<(), TestCaseError> {
    let mut client = db.connect();
    let quoted = |client: &mut postgres::Client, name: &str| -> String {
        client.query_one("SELECT quote_ident($1)", &[&name]).unwrap().get(0)
    };
    let [schema, table, a, b] =
        [&names.schema, &names.table, &names.columns[0], &names.columns[1]].map(|name| quoted(&mut client, name));
    let distribution = db.distributed_by(&a);
    let create = format!("CREATE TABLE {schema}.{table} ({a} int, {b} text) {distribution}");
    client.batch_execute(&format!("CREATE SCHEMA {schema}")).unwrap();
    client.batch_execute(&create).unwrap();
    let target = TableName { schema: Ident::exact(&names.schema), table: Ident::exact(&names.table) };
    let mut settings = Settings::new(&db.host, db.port, &db.user, &db.dbname, target.clone());
    settings.segment_program = Some(executable().to_path_buf());
    let types = names.columns.iter().zip(["int", "text"]);
    let column = |(name, kind): (&String, &str)| Column { name: Ident::exact(name), sql_type: kind.to_owned() };
    settings.columns = Some(types.map(column).collect());
    let [key, value] = names.columns.each_ref().map(Ident::exact);
    if names.merges {
        let wanted = Match { match_columns: vec![key], update_columns: vec![value], ..Match::default() };
        settings.outputs[0].mode = Mode::Merge(wanted);
    }
    let job = JobId::new(&unique("topic"), &db.dbname, &target);
    let mut feed = Feed::new(Place { db, schema: schema.clone(), settings, job });
    // partition, offset, timestamp and row are what a merge wants to know
    let more = if names.merges { "\t0\t1\t\\N\t0" } else { "" };
    let loaded = feed.try_batch(&[format!("1\tit's{more}")]);
    loaded.map_err(|error| TestCaseError::fail(error.to_string()))?;
    let rows = db.rows(&format!("SELECT {a}, {b} FROM {schema}.{table}"));
    prop_assert_eq!(rows, ["1|it's"]);
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).unwrap();
    Ok(())
}

on_each_database! {
    fn whatever_is_a_name_is_loaded_into(db) {
        let canary = db.schema("canary");
        db.execute(&format!("CREATE TABLE {canary}.t (a int)"));
        let failed = RefCell::new(None);
        let mut runner = TestRunner::new(Config { cases: 24, max_shrink_iters: 0, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&names(), |names| {
            let outcome = load_into(db, &names);
            if outcome.is_err() {
                *failed.borrow_mut() = Some(names);
            }
            outcome
        });
        outcome.unwrap_or_else(|error| panic!("{error}\n{:?}", failed.borrow()));
        assert_eq!(db.number(&format!("SELECT count(*) FROM {canary}.t")), 0, "it is still there");
    }

    fn our_quoting_is_the_servers(db) {
        let client = RefCell::new(db.connect());
        let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&name(), |name| {
            let mut client = client.borrow_mut();
            let sql = format!("SELECT 1 AS {}", Ident::exact(&name));
            let statement = client.prepare(&sql).map_err(|error| TestCaseError::fail(format!("{error}: {sql}")))?;
            prop_assert_eq!(statement.columns()[0].name(), name.as_str());
            // as a job file names it
            let written = Ident::exact(&name).to_string();
            prop_assert_eq!(Ident::from_written(&written), Ident::exact(&name));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Everything that a job file names, and a topic of the longest name.
    fn a_whole_job_of_hostile_names(db) {
        let mut case = Case::new(db, "hostile", 1);
        case.announced = &["ERROR_LIMIT", "]:-rejected "];
        let topic = format!("{:.<249}", unique("a-b_c."));
        case.topic = case.topic.kafka.topic_named(&topic, 1, &[]);
        let schema = unique("we\"ird; --'");
        let ident = |name: &str| Ident::exact(name).to_string();
        // two that differ in the last of 63 bytes, and ones that SQL and our templates know
        let long = |last: &str| format!("{}{last}", "n".repeat(62));
        let columns = [long("1"), long("2"), "select".to_owned(), "{columns}'\\".to_owned(), "Größe 日本".to_owned()];
        let quoted = columns.each_ref().map(|name| ident(name));
        let defined: Vec<_> = quoted.iter().map(|name| format!("{name} text")).collect();
        let table = "or\"ders'; DROP";
        let distribution = db.distributed_by(&quoted[0]);
        db.execute(&format!("CREATE SCHEMA {}", ident(&schema)));
        db.execute(&format!("CREATE TABLE {}.{} ({}) {distribution}", ident(&schema), ident(table), defined.join(", ")));
        let yaml = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let fields: Vec<_> = quoted.iter().map(|name| format!("{{NAME: {}, TYPE: text}}", yaml(name))).collect();
        let list = |names: &[String]| names.iter().map(|name| yaml(name)).collect::<Vec<_>>().join(", ");
        for (mode, expected) in [("insert", "a|b|c|d|e"), ("merge", "a|B|C|D|E")] {
            let merge = format!("\n    MATCH_COLUMNS: [{}]\n    UPDATE_COLUMNS: [{}]", list(&quoted[..1]), list(&quoted[1..]));
            let how = if mode == "merge" { merge } else { String::new() };
            let text = format!(
                "VERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: $BROKERS\n      TOPIC: {}\n    VALUE:\n      COLUMNS: [{}]\n      FORMAT: csv\n    ERROR_LIMIT: 5\n  OUTPUT:\n    SCHEMA: {}\n    TABLE: {}\n    MODE: {mode}{how}\n  DEAD_LETTER:\n    TABLE: {}\n  COMMIT:\n    MINIMAL_INTERVAL: 300\n",
                yaml(&topic), fields.join(", "), yaml(&ident(&schema)), yaml(&ident(table)), yaml(&ident("dead'\"letters")),
            );
            let job = case.job(&text);
            let row = if mode == "insert" { "a,b,c,d,e" } else { "a,B,C,D,E" };
            case.topic.produce(0, [row, "bad"]);
            Loader::with_job("dryrun", &job).args(["--connect"]).run().expect_code(0);
            case.load(&job).expect_text("-Rejected 1 rows");
            assert_eq!(db.rows(&format!("SELECT * FROM {}.{}", ident(&schema), ident(table))), [expected], "{mode}");
            Loader::with_job("check", &job).run().expect_code(0).expect_text("dead letter");
        }
        let letters = db.rows(&format!("SELECT topic FROM {}.{} GROUP BY 1", ident(&schema), ident("dead'\"letters")));
        assert_eq!(letters, [topic]);
    }
}
