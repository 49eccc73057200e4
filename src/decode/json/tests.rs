//! Documents and what their columns become, and a reader that serde_json stands behind.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::super::tests::{decoded, settings};
use super::super::{Content, Format, Settings, decoder};
use super::*;
use crate::record::Record;

/// `name:type=path` by words; without a path the name, and without a type text. The path `*` is the whole document.
fn columns(written: &str) -> Vec<Column> {
    let column = |written: &str| {
        let (written, path) = written.split_once('=').map_or((written, None), |(written, path)| (written, Some(path)));
        let (name, sql_type) = written.split_once(':').unwrap_or((written, "text"));
        let path = match path.unwrap_or(name) {
            "*" => Vec::new(),
            path => path.split('.').map(str::to_owned).collect(),
        };
        Column { name: name.to_owned(), is_ignored: name == "-", path, kind: ColumnKind::of(sql_type) }
    };
    written.split_whitespace().map(column).collect()
}

fn check(columns_are: &str, cases: &[(&str, &str)]) {
    let settings = Settings::of_value(Format::Json, columns(columns_are));
    for (payload, expected) in cases {
        assert_eq!(decoded(&settings, Some(payload.as_bytes())), *expected, "{payload}");
    }
}

#[test]
fn a_whole_document_is_one_field() {
    for whole in ["doc:json=*", "doc=*", "doc:jsonb=*"] {
        let documents = Settings::of_value(Format::Json, columns(whole));
        for (payload, expected) in [
            (&b"{\"a\":\"\\n\"}"[..], r#"{\"a\":\"\\n\"}"#),
            (b"{\n}\r\n", r"{\n}\r\n"),
            (b"not json", "not json"),
            (b"", "json  the value is empty"),
            (b" \r\n\t", "json  the value is empty"),
            (b"\"\0\"", r#"json  column "doc": a NUL byte at byte 2, which text cannot hold"#),
            (b"\"\xff\"", r#"json  column "doc": invalid UTF-8 at byte 2"#),
        ] {
            assert_eq!(decoded(&documents, Some(payload)), expected);
        }
    }
    let unnamed = settings(Format::Json, "");
    let expected = r#"json  column "value": a NUL byte at byte 1, which text cannot hold"#;
    assert_eq!(decoded(&unnamed, Some(b"\0")), expected);
}

#[test]
fn a_whole_document_a_line_all_or_none() {
    let lines =
        |newline: &str| Settings::of_value(Format::Jsonl { newline: newline.to_owned() }, columns("doc:json=*"));
    for (payload, expected) in [
        (&b"1\n2\n3"[..], "1 / 2 / 3"),
        (b"1\r\n2\r\n", "1 / 2"),
        (b"\n1\n \n2\n\n", "1 / 2"),
        (b"", "jsonl  the value is empty"),
        (b"\n", "jsonl  the value is empty"),
        (b"1\n\xff\n3", r#"jsonl  column "doc": invalid UTF-8 at byte 1"#),
    ] {
        assert_eq!(decoded(&lines("\n"), Some(payload)), expected);
    }
    assert_eq!(decoded(&lines("--"), Some(b"{\n}--[]--\r\n--")), r"{\n} / []");
}

#[test]
fn no_document_is_deeper_than_the_database_goes() {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let whole = Settings::of_value(Format::Json, columns("doc:json=*"));
    let said = |settings: &Settings, payload: &str| decoded(settings, Some(payload.as_bytes()));
    let too_deep = |at: usize, name: &str| {
        format!(r#"json  column "{name}": arrays and objects are nested more than 5000 deep at byte {at}"#)
    };
    assert_eq!(said(&whole, &deep(DEPTH_MAX)), deep(DEPTH_MAX));
    assert_eq!(said(&whole, &deep(DEPTH_MAX + 1)), too_deep(5001, "doc"));
    assert_eq!(said(&whole, &deep(100_000)), too_deep(5001, "doc"));
    let flat = format!("[{}[]]", "[],{},".repeat(DEPTH_MAX));
    assert_eq!(said(&whole, &flat), flat);
    let text = format!(r#"["\"{}"]"#, "[".repeat(100_000));
    assert_eq!(said(&whole, &text), text.replace('\\', "\\\\").replace('"', "\\\""));
    // a text is parsed by nobody
    assert_eq!(said(&Settings::of_value(Format::Json, columns("doc=*")), &deep(6000)), deep(6000));
    let fields = Settings::of_value(Format::Json, columns("a b"));
    let inside = |depth: usize| format!(r#"{{"a":{}}}"#, deep(depth));
    assert_eq!(said(&fields, &inside(DEPTH_MAX - 1)), format!("{}|NULL", deep(DEPTH_MAX - 1)));
    assert_eq!(said(&fields, &inside(DEPTH_MAX)), too_deep(5005, "a"));
    let deeper = r#"{"a":"#.repeat(100_000);
    assert_eq!(
        said(&Settings::of_value(Format::Json, columns("b c")), &deeper),
        too_deep(25001, "b").replace(r#"column "b": "#, "")
    );
}

#[test]
fn columns_are_found_by_their_paths() {
    check(
        "a b=x.y c=items.0.id d=items.1 e=0",
        &[
            (r#"{"a":"1","x":{"y":2},"items":[{"id":3},4],"0":true}"#, "1|2|3|4|true"),
            (" {\n\"b\" : 1 , \"a\"\t:\r2 } ", "2|NULL|NULL|NULL|NULL"),
            (r#"{"A":1,"a ":2,"x":[{"y":3}],"items":{"0":{"id":5},"1":6}}"#, "NULL|NULL|5|6|NULL"),
            (r#"{"a":null,"x":null,"items":[null,null]}"#, "NULL|NULL|NULL|NULL|NULL"),
            (r#"{"\u0061":1,"x":{"\u0079":"z"}}"#, "1|z|NULL|NULL|NULL"),
            (r#"{"items":[[{"id":1}],{"id":2}],"a":""}"#, r#"''|NULL|NULL|{\"id\":2}|NULL"#),
            ("{}", "NULL|NULL|NULL|NULL|NULL"),
        ],
    );
    check("a=x b=x c=x.y", &[(r#"{"x":{"y":1}}"#, r#"{\"y\":1}|{\"y\":1}|1"#)]);
    check("a=x.00 b=x.0", &[(r#"{"x":[1]}"#, "NULL|1"), (r#"{"x":{"00":1,"0":2}}"#, "1|2")]);
    check("a=x. b=.x", &[(r#"{"x":{"":1},"":{"x":2}}"#, "1|2"), (r#"{"x":[1]}"#, "NULL|NULL")]);
    check("- a", &[(r#"{"a":1,"-":2}"#, "1")]);
    check("doc", &[(r#"{"doc":1}"#, "1")]);
    check("doc:json=x", &[(r#"{"doc":1,"x":[ 2 ]}"#, "[ 2 ]")]);
    check("doc:json", &[(r#"{"doc":1,"x":[ 2 ]}"#, "1")]);
}

#[test]
fn the_last_of_a_name_counts() {
    check(
        "a b=a.b c=a.0",
        &[
            (r#"{"a":1,"a":2}"#, "2|NULL|NULL"),
            (r#"{"a":1,"a":null}"#, "NULL|NULL|NULL"),
            (r#"{"a":{"b":1,"b":2},"a":{"c":3}}"#, r#"{\"c\":3}|NULL|NULL"#),
            (r#"{"a":[1],"a":5}"#, "5|NULL|NULL"),
            (r#"{"a":5,"\u0061":{"b":1}}"#, r#"{\"b\":1}|1|NULL"#),
        ],
    );
}

#[test]
fn values_by_the_kind_of_their_column() {
    check(
        "s:int=x j:jsonb=x b:bytea=x",
        &[
            (
                r#"{"x":"a\"\\\/\b\f\n\r\t\u00e9\ud834\udd1eö"}"#,
                concat!(
                    r#"a\"\\/\x08\x0c\n\r\t\xc3\xa9\xf0\x9d\x84\x9e\xc3\xb6|"#,
                    r#"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud834\\udd1e\xc3\xb6\"|"#,
                    r#"\\x61225c2f080c0a0d09c3a9f09d849ec3b6"#,
                ),
            ),
            (r#"{"x":-0.10E+2}"#, r"-0.10E+2|-0.10E+2|\\x2d302e3130452b32"),
            (r#"{"x":false}"#, r"false|false|\\x66616c7365"),
            (r#"{"x":[ 1, {}]}"#, r"[ 1, {}]|[ 1, {}]|\\x5b20312c207b7d5d"),
            (r#"{"x":""}"#, r#"''|\"\"|\\x"#),
            (r#"{"x":null}"#, "NULL|NULL|NULL"),
        ],
    );
    check("b:bytea c", &[(r#"{"b":"\u0000\u00ff"}"#, r"\\x00c3bf|NULL")]);
    check(
        "a:text[] b:int",
        &[
            (
                r#"{"a":["x",1,-1.5e3,true,null,"null","",","]}"#,
                r#"{\"x\",1,-1.5e3,true,NULL,\"null\",\"\",\",\"}|NULL"#,
            ),
            (r#"{"a":[[1, 2] , [3 ,4]]}"#, "{{1,2},{3,4}}|NULL"),
            (
                r#"{"a":["\"\\{}\u0022\n",{"k":"}\"]","l":[{}]}]}"#,
                r#"{\"\\\"\\\\{}\\\"\n\",\"{\\\"k\\\":\\\"}\\\\\\\"]\\\",\\\"l\\\":[{}]}\"}|NULL"#,
            ),
            (r#"{"a":[]}"#, "{}|NULL"),
            (r#"{"a":"{1,2}"}"#, "{1,2}|NULL"),
            (r#"{"a":5}"#, "5|NULL"),
            (r#"{"b":1,"a":{}}"#, r#"json  column "a": an object at byte 12, where an array is wanted"#),
            (r#"{"a":["\u0000"]}"#, r#"json  column "a": \u0000 at byte 8, which text cannot hold"#),
        ],
    );
}

#[test]
fn what_no_text_can_hold_is_refused_where_it_is_wanted() {
    let half = |code: &str, at: usize| {
        format!(r#"json  column "a": \u{code} at byte {at}, half of a character without the other half"#)
    };
    check(
        "a b:json",
        &[
            (r#"{"a":"x\u0000"}"#, r#"json  column "a": \u0000 at byte 8, which text cannot hold"#),
            (r#"{"a":"\ud800"}"#, &half("d800", 7)),
            (r#"{"a":"\udc00\ud800"}"#, &half("dc00", 7)),
            (r#"{"a":"x\ud800\ud800\udc00"}"#, &half("d800", 8)),
            (r#"{"a":"\ud800\n"}"#, &half("d800", 7)),
            (r#"{"b":"\u0000\ud800","c":"\u0000","\ud800":1,"\u0000":2}"#, r#"NULL|\"\\u0000\\ud800\""#),
        ],
    );
}

#[test]
fn documents_that_are_none() {
    let settings = Settings::of_value(Format::Json, columns("a b=a.x"));
    let invalid = |at: usize, text: &str| format!("json  invalid JSON at byte {at}: expected {text}");
    let in_a = |text: String| text.replace("json  ", r#"json  column "a": "#);
    for (payload, expected) in [
        (&b"[]"[..], invalid(1, "an object, found `[`")),
        (b" \"a\"", invalid(2, "an object, found `\"`")),
        (b"\xef\xbb\xbf{}", invalid(1, "an object, found byte 0xef")),
        (b"{", invalid(2, "a name in quotes, found its end")),
        (b"{}x", invalid(3, "the end of the document, found `x`")),
        (b"{}{}", invalid(3, "the end of the document, found `{`")),
        (b"{a:1}", invalid(2, "a name in quotes, found `a`")),
        (b"{'a':1}", invalid(2, "a name in quotes, found `'`")),
        (b"{\"a\"1}", invalid(5, "`:`, found `1`")),
        (b"{\"b\":1,}", invalid(8, "a name in quotes, found `}`")),
        (b"{\"b\":1]", invalid(7, "`,` or `}`, found `]`")),
        (b"{\"b\":}", invalid(6, "a value, found `}`")),
        (b"{\"b\":[1,]}", invalid(9, "a value, found `]`")),
        (b"{\"b\":[,1]}", invalid(7, "a value, found `,`")),
        (b"{\"b\":[1 2]}", invalid(9, "`,` or `]`, found `2`")),
        (b"{\"b\":tru}", invalid(6, "a value, found `t`")),
        (b"{\"b\":nullx}", invalid(10, "`,` or `}`, found `x`")),
        (b"{\"b\":NaN}", invalid(6, "a value, found `N`")),
        (b"{\"b\":01}", invalid(7, "`,` or `}`, found `1`")),
        (b"{\"b\":-}", invalid(7, "a digit, found `}`")),
        (b"{\"b\":+1}", invalid(6, "a value, found `+`")),
        (b"{\"b\":.5}", invalid(6, "a value, found `.`")),
        (b"{\"b\":1.}", invalid(8, "a digit, found `}`")),
        (b"{\"b\":1e}", invalid(8, "a digit, found `}`")),
        (b"{\"b\":1e+", invalid(9, "a digit, found its end")),
        (b"{\"b\":\"\\x\"}", invalid(8, "an escape, found `x`")),
        (b"{\"b\":\"\\u12g4\"}", invalid(11, "four hex digits, found `g`")),
        (b"{\"b\":\"\\u1", invalid(10, "four hex digits, found its end")),
        (b"{\"b\":\"\\", invalid(8, "an escape, found its end")),
        (b"{\"b\":\"12345678", invalid(15, "the end of a string, found its end")),
        (b"{\"b\":\"a\nb\"}", "json  invalid JSON at byte 8: byte 0x0a in a string must be escaped".to_owned()),
        (b"{\"b\":\"\0\"}", "json  invalid JSON at byte 7: byte 0x00 in a string must be escaped".to_owned()),
        (b"{\"b\":1\0}", invalid(7, "`,` or `}`, found byte 0x00")),
        (b"{\"b\":\"\xff\"}", "json  invalid UTF-8 at byte 7".to_owned()),
        (b"{\"a\":x}", in_a(invalid(6, "a value, found `x`"))),
        (b"{\"a\":{\"c\":[1,x]}}", in_a(invalid(14, "a value, found `x`"))),
        (b"{\"a\":{\"x\":x}}", invalid(11, "a value, found `x`").replace("json  ", r#"json  column "b": "#)),
        (b" \n", "json  the value is empty".to_owned()),
    ] {
        assert_eq!(decoded(&settings, Some(payload)), expected, "{}", payload.escape_ascii());
    }
}

#[test]
fn fields_of_lines_and_of_keys() {
    let lines = Format::Jsonl { newline: "\n".to_owned() };
    let settings = Settings::of_value(lines.clone(), columns("a b=c.0"));
    let payload = b"{\"a\":1,\"c\":[2]}\r\n\n{\"c\":[]}\n";
    assert_eq!(decoded(&settings, Some(payload)), "1|2 / NULL|NULL");
    let expected = r#"jsonl  line 3: column "a": invalid JSON at byte 6: expected a value, found `}`"#;
    assert_eq!(decoded(&settings, Some(b"{\"a\":1}\n\n{\"a\":}")), expected);

    let key = Some(Content { format: Format::Json, columns: columns("k l=m.n") });
    let value = Some(Content { format: lines, columns: columns("a b") });
    let mut decoder = decoder(&Settings { value, key, ..Settings::default() });
    let record =
        Record { key: Some(br#"{"m":{"n":"y"},"k":"x"}"#), ..Record::new(0, 0, Some(b"{\"a\":1}\n{\"b\":2}")) };
    let mut rows = Rows::default();
    decoder.decode(&record, &mut rows).unwrap();
    let joined: Vec<_> = rows.iter().map(|row| String::from_utf8_lossy(row.joined()).into_owned()).collect();
    assert_eq!(joined, ["1xy", "2xy"]);
    let record = Record { key: Some(b"{\"k\":}"), ..record };
    let reason = decoder.decode(&record, &mut rows).unwrap_err();
    assert_eq!(reason.to_string(), r#"json key  column "k": invalid JSON at byte 6: expected a value, found `}`"#);
}

/// The text at a path, as serde_json finds it. `Err`: no object, no JSON.
fn reference<'a>(document: &'a str, path: &[String]) -> Result<Option<&'a RawValue>, ()> {
    let mut value: &RawValue = serde_json::from_str(document).map_err(drop)?;
    if !value.get().starts_with('{') {
        return Err(());
    }
    for name in path {
        let next = match value.get().as_bytes()[0] {
            b'{' => {
                let members: HashMap<String, &RawValue> = serde_json::from_str(value.get()).map_err(drop)?;
                members.get(name).copied()
            }
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(drop)?;
                name.parse::<usize>().ok().and_then(|at| elements.get(at).copied())
            }
            _ => None,
        };
        let Some(next) = next else { return Ok(None) };
        value = next;
    }
    Ok(Some(value).filter(|value| value.get() != "null"))
}

/// What a value becomes; `Err`: it is refused.
fn shown(value: &RawValue, kind: ColumnKind) -> Result<Vec<u8>, ()> {
    let raw = value.get();
    let text = || match raw.starts_with('"') {
        true => serde_json::from_str::<String>(raw).map_err(drop),
        false => Ok(raw.to_owned()),
    };
    let without_nul = |text: String| if text.contains('\0') { Err(()) } else { Ok(text) };
    let shown = match kind {
        ColumnKind::Json => raw.to_owned(),
        ColumnKind::Bytes => text()?.bytes().fold(r"\x".to_owned(), |hex, byte| hex + &format!("{byte:02x}")),
        ColumnKind::Array if raw.starts_with('[') => literal(value)?,
        ColumnKind::Array if raw.starts_with('{') => return Err(()),
        ColumnKind::Scalar | ColumnKind::Array => without_nul(text()?)?,
    };
    Ok(shown.into_bytes())
}

fn literal(array: &RawValue) -> Result<String, ()> {
    let elements: Vec<&RawValue> = serde_json::from_str(array.get()).map_err(drop)?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""));
    let element = |element: &&RawValue| match element.get() {
        "null" => Ok("NULL".to_owned()),
        raw if raw.starts_with('[') => literal(element),
        raw if raw.starts_with('{') => Ok(quoted(raw)),
        raw if raw.starts_with('"') => Ok(quoted(std::str::from_utf8(&shown(element, ColumnKind::Scalar)?).unwrap())),
        raw => Ok(raw.to_owned()),
    };
    Ok(format!("{{{}}}", elements.iter().map(element).collect::<Result<Vec<_>, _>>()?.join(",")))
}

/// Documents that are valid, most of them with what the columns ask for.
fn document() -> impl Strategy<Value = String> {
    let text = "\"([ab0\u{e9}{}:,\\[\\]]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][1-9a-f]|\\\\ud834\\\\udd1e|\\\\u0000){0,12}\"";
    let number = "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let leaf = prop_oneof![3 => text, 2 => number, 1 => "true|false|null"];
    let name = prop::sample::select(vec![r#""a""#, r#""b""#, r#""0""#, r#""\u0061""#, r#""c c""#, r#""""#]);
    let space = prop::sample::select(vec!["", "", "", " ", "\n\t", "\r"]);
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = (space.clone(), name.clone(), inner.clone(), space.clone());
        let member =
            member.prop_map(|(before, name, value, after)| format!("{before}{name}{after}:{before}{value}{after}"));
        let element = (space.clone(), inner).prop_map(|(space, value)| format!("{space}{value}{space}"));
        prop_oneof![
            2 => prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            1 => prop::collection::vec(element, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
        ]
    });
    let member = (prop::sample::select(vec!["a", "b", "c"]), value);
    prop::collection::vec(member, 0..5).prop_map(|members| {
        let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn any_columns() -> impl Strategy<Value = Vec<Column>> {
    let part = prop::sample::select(vec!["a", "a", "b", "0", "1", "c c", ""]);
    let path = (prop::sample::select(vec!["a", "b", "c"]), prop::collection::vec(part, 0..3));
    let kind = prop::sample::select(vec![ColumnKind::Scalar, ColumnKind::Json, ColumnKind::Bytes, ColumnKind::Array]);
    let column = (path, kind).prop_map(|((first, rest), kind)| Column {
        name: "n".to_owned(),
        is_ignored: false,
        path: std::iter::once(first).chain(rest).map(str::to_owned).collect(),
        kind,
    });
    prop::collection::vec(column, 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn serde_json_finds_the_same(
        columns in any_columns(),
        document in document(),
        hurt in prop::option::weighted(0.3, (any::<prop::sample::Index>(), "[\\\\\"{}\\[\\],:0eE.+a-]?", any::<bool>())),
    ) {
        let mut document = document;
        if let Some((at, instead, is_cut)) = hurt {
            let at = at.index(document.len() + 1);
            let at = (0..=at).rev().find(|&at| document.is_char_boundary(at)).unwrap();
            let to = document[at..].chars().next().map_or(at, |char| at + if is_cut { char.len_utf8() } else { 0 });
            document.replace_range(at..to, &instead);
        }
        let meant = columns.iter().map(|column| match reference(&document, &column.path)? {
            Some(value) => shown(value, column.kind).map(Some),
            None => Ok(None),
        });
        let meant: Result<Vec<_>, ()> = meant.collect();
        let record = Record::new(0, 0, Some(document.as_bytes()));
        let mut decoder = decoder(&Settings::of_value(Format::Json, columns));
        let mut rows = Rows::default();
        rows.reserve(decoder.room(&record));
        let held = rows.held();
        let ours = decoder.decode(&record, &mut rows).map_err(drop).map(|()| {
            rows.iter().next().unwrap().map(|field| field.map(<[u8]>::to_vec)).collect::<Vec<_>>()
        });
        prop_assert_eq!(rows.held(), held, "{}", document);
        prop_assert_eq!(ours, meant, "{}", document);
    }

    #[test]
    fn any_bytes_are_a_row_or_a_reason(payload in "[{}\\[\\]\",:\\\\u0ad9e.\\- \n\u{0}\u{e9}]{0,40}") {
        let payload = format!("{{\"a\":{payload}");
        decoded(&Settings::of_value(Format::Json, columns("a b:json=a.0 c:text[]=a.a")), Some(payload.as_bytes()));
    }
}
