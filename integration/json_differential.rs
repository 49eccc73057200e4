//! What our decoder takes out of documents is what the server's own `->` and `->>` take out of them.

use std::cell::{Cell, RefCell};

use gpkafka::decode::{Column, ColumnKind, Format, Settings, decoder};
use gpkafka::record::Record;
use gpkafka::row::Rows;
use postgres::{Client, Statement};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Kind, on_each_database};

type Fields = Vec<Option<String>>;

/// How each column is found: by path and kind in ours, by this expression in theirs.
const COLUMNS: [(&str, ColumnKind, &str); 6] = [
    ("a", ColumnKind::Scalar, "j ->> 'a'"),
    ("b", ColumnKind::Scalar, "j ->> 'b'"),
    ("a b", ColumnKind::Scalar, "j -> 'a' ->> 'b'"),
    // a null of JSON is NULL in ours
    ("b", ColumnKind::Json, "CASE WHEN (j ->> 'b') IS NOT NULL THEN (j -> 'b')::text END"),
    (
        "b 0",
        ColumnKind::Scalar,
        "CASE WHEN json_typeof(j -> 'b') = 'array' THEN j -> 'b' ->> 0 ELSE j -> 'b' ->> '0' END",
    ),
    ("a b a", ColumnKind::Scalar, "j -> 'a' -> 'b' ->> 'a'"),
];

/// Texts at paths, as mappings ask for them.
const PATHS: [&str; 6] = ["a", "b", "a b", "b b", "a b a", "é"];

on_each_database! {
    /// Whatever is sent in a document's place is what the server would have found in it.
    fn a_document_is_left_out_only_where_its_texts_are_the_servers(db) {
        let mut client = db.connect();
        let expressions = PATHS.map(expression).join(", ");
        let statement = client.prepare(&format!("SELECT {expressions} FROM (SELECT $1::text::json AS j) AS s")).unwrap();
        let client = RefCell::new(client);
        let rows = Cell::new((0, 0));
        let cases = if db.kind == Kind::Postgres { 4000 } else { 1500 };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&(document(), hurt()), |(document, hurt)| {
            let document = hurting(document, hurt);
            let columns = PATHS.map(|path| text_at("n", path));
            let columns = std::iter::once(Column::document("doc")).chain(columns).collect();
            let mut ours = decoded(&document, columns).unwrap();
            let whole = ours.remove(0);
            let (taken_apart, left) = rows.get();
            rows.set(if whole.is_none() { (taken_apart + 1, left) } else { (taken_apart, left + 1) });
            match whole {
                None => prop_assert_eq!(Ok(ours), taken(&mut client.borrow_mut(), &statement, &document), "{}", document),
                Some(whole) => prop_assert!(whole == document && ours.iter().all(Option::is_none), "{}", document),
            }
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        let (taken_apart, left) = rows.get();
        assert!(taken_apart > 300 && left > 300, "{taken_apart} documents were taken apart, {left} went whole");
    }

    fn json_fields_are_what_the_servers_operators_take(db) {
        let mut client = db.connect();
        let expressions = COLUMNS.map(|(_, _, expression)| expression).join(", ");
        let statement = client.prepare(&format!("SELECT {expressions} FROM (SELECT $1::text::json AS j) AS s")).unwrap();
        let parse = client.prepare("SELECT length($1::text::json::text)").unwrap();
        let client = RefCell::new(client);
        let rows = Cell::new((0, 0));
        let cases = if db.kind == Kind::Postgres { 4000 } else { 1500 };
        let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&(document(), hurt()), |(document, hurt)| {
            let document = hurting(document, hurt);
            let ours = decoded(&document, COLUMNS.map(column).to_vec());
            let theirs = taken(&mut client.borrow_mut(), &statement, &document);
            let (good, bad) = rows.get();
            rows.set(if ours.is_ok() { (good + 1, bad) } else { (good, bad + 1) });
            // the server reads strings that nobody asked for too
            let has_odd = document.contains("\\u0000") || document.to_ascii_lowercase().contains("\\ud");
            let is_beside = ours.is_ok() && theirs.is_err() && has_odd;
            if is_beside {
                prop_assert!(client.borrow_mut().query(&parse, &[&document]).is_ok(), "{}", document);
            } else {
                prop_assert_eq!(ours, theirs, "{}", document);
            }
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        let (good, bad) = rows.get();
        assert!(good > 300 && bad > 100, "{good} documents were rows, {bad} were none");
    }
}

fn document() -> impl Strategy<Value = String> {
    let text = "\"([ab\u{e9}\u{7f} {}:,']|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][1-9A-f]|\\\\uD834\\\\udd1e){0,6}\"";
    let odd = "\"(\\\\u0000|\\\\ud8[0-9a-f]{2}|\\\\udd1e|\\\\[xu]|[\n\t]|a){1,2}\"";
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?";
    let leaf =
        prop_oneof![20 => text, 10 => number, 5 => "true|false|null", 1 => odd, 1 => "-?0?[0-9]?\\.?[eE]?|tru|Nan"];
    let name = prop::sample::select(vec![r#""a""#, r#""b""#, r#""\u0061""#, r#""\u0062""#, r#""0""#, r#""""#]);
    let space = prop::sample::select(vec!["", "", "", " ", "\n\t\r"]);
    let members = move |value: BoxedStrategy<String>| {
        let member = (space.clone(), name.clone(), value)
            .prop_map(|(space, name, value)| format!("{space}{name}{space}:{value}"));
        prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")))
    };
    let inner = members.clone();
    let value = leaf.prop_recursive(3, 12, 3, move |value| {
        let array =
            prop::collection::vec(value.clone(), 0..3).prop_map(|elements| format!("[{}]", elements.join(" ,")));
        prop_oneof![2 => inner(value.boxed()), 1 => array]
    });
    members(value.boxed())
}

/// A place, what comes there, and whether a character goes for it.
type Hurt = Option<(prop::sample::Index, String, bool)>;

fn hurt() -> impl Strategy<Value = Hurt> {
    prop::option::weighted(0.25, (any::<prop::sample::Index>(), "[\\\\\"{}\\[\\],:0eE.+a\u{b}\u{a0}-]?", any::<bool>()))
}

/// Anywhere but in the first brace: what is no object at all we refuse.
fn hurting(mut document: String, hurt: Hurt) -> String {
    let Some((at, instead, is_cut)) = hurt else { return document };
    let at = 1 + at.index(document.len());
    let at = (1..=at).rev().find(|&at| document.is_char_boundary(at)).unwrap();
    let cut = document[at..].chars().next().filter(|_| is_cut).map_or(0, char::len_utf8);
    document.replace_range(at..at + cut, &instead);
    document
}

/// `a b` as `j->'a'->>'b'`
fn expression(path: &str) -> String {
    let names: Vec<String> = path.split(' ').map(|name| format!("'{name}'")).collect();
    let expression = format!("j->{}", names.join("->"));
    let (before, last) = expression.rsplit_once("->").unwrap();
    format!("{before}->>{last}")
}

fn text_at(name: &str, path: &str) -> Column {
    Column { path: path.split(' ').map(str::to_owned).collect(), ..Column::text(name) }
}

fn column((path, kind, _): (&str, ColumnKind, &str)) -> Column {
    Column { kind, ..text_at("n", path) }
}

fn decoded(document: &str, columns: Vec<Column>) -> Result<Fields, ()> {
    let mut decoder = decoder(&Settings::of_value(Format::Json, columns));
    let mut rows = Rows::default();
    decoder.decode(&Record::new(0, 0, Some(document.as_bytes())), &mut rows).map_err(drop)?;
    let text = |field: &[u8]| String::from_utf8(field.to_vec()).unwrap();
    Ok(rows.iter().next().unwrap().map(|field| field.map(text)).collect())
}

fn taken(client: &mut Client, statement: &Statement, document: &str) -> Result<Fields, ()> {
    let rows = client.query(statement, &[&document]).map_err(drop)?;
    Ok((0..rows[0].len()).map(|field| rows[0].get(field)).collect())
}
