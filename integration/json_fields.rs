//! json and jsonl taken apart by the columns' paths, through the whole pipeline; and documents that are too deep for the
//! database.

use crate::case::Case;
use crate::harness::{Loader, Outcome, on_each_database};

const JOB: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      FORMAT: $FORMAT
$COLUMNS
    ERROR_LIMIT: 20
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: orders
  COMMIT:
    MINIMAL_INTERVAL: 500
";

fn load(case: &Case<'_>, format: &str, columns: &[&str]) -> Outcome {
    let columns: String = columns.iter().map(|column| format!("        - {{{column}}}\n")).collect();
    let block = if columns.is_empty() { String::new() } else { format!("      COLUMNS:\n{columns}") };
    let job = case.job(&JOB.replace("$FORMAT", format).replace("$COLUMNS\n", &block));
    Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(0)
}

on_each_database! {
    fn typed_columns_without_any_mapping(db) {
        let case = Case::new(db, "fields", 1);
        case.table(
            "orders (id bigint, customer text, amount numeric(9,2), at timestamp, ok bool, tags text[], lines json, raw bytea)",
            "id",
        );
        case.topic.produce(0, [
            r#"{"id": 1, "customer": {"name": "Ann \"A\" \u00c4\n\\.", "x": 1}, "amount": 12.50, "at": "2024-11-22T18:56:50",
                "ok": true, "tags": ["a", "b,c", "d\"e\\", null, ""], "lines": [{"n": 1}, [2]], "raw": "\u00ff\u0000"}"#,
            r#"{"id": 2, "id": 3, "tags": [], "lines": {"n": "\\u0041"}, "customer": []}"#,
            "{\"id\": 4",
            r#"{"id": 5, "customer": {"name": "a\u0000b"}}"#,
            r#"{"id": 6, "customer": {"name": "\ud800"}}"#,
            r#"[{"id": 7}]"#,
        ]);
        let outcome = load(&case, "json", &[
            "NAME: id, TYPE: bigint",
            "NAME: customer, TYPE: text, PATH: customer.name",
            "NAME: amount, TYPE: 'numeric(9,2)'",
            "NAME: at, TYPE: timestamp",
            "NAME: ok, TYPE: bool",
            "NAME: tags, TYPE: 'text[]'",
            "NAME: lines, TYPE: json, PATH: [lines]",
            "NAME: raw, TYPE: bytea",
        ]);
        let rows = case.rows(
            "SELECT id, replace(customer, chr(10), '<lf>'), amount, at, ok, tags, lines, encode(raw, 'hex') FROM $SCHEMA.orders ORDER BY id",
        );
        assert_eq!(rows, [
            concat!(
                r#"1|Ann "A" Ä<lf>\.|12.50|2024-11-22 18:56:50|t|{a,"b,c","d\"e\\",NULL,""}|"#,
                r#"[{"n": 1}, [2]]|c3bf00"#
            ),
            r#"3|\N|\N|\N|\N|{}|{"n": "\\u0041"}|\N"#,
        ]);
        for (offset, words) in [
            (2, "invalid JSON at byte 9: expected `,` or `}`, found its end"),
            (3, r#"column "customer": \u0000 at byte 34, which text cannot hold"#),
            (4, r#"column "customer": \ud800 at byte 33, half of a character"#),
            (5, "invalid JSON at byte 1: expected an object, found `[`"),
        ] {
            let name = format!("rejected {}[0]@{offset} ", case.topic.name);
            let text = outcome.text();
            let line = text.lines().find(|line| line.contains(&name)).unwrap_or_else(|| panic!("{offset}: {text}"));
            assert!(line.contains(words), "{line}");
        }
    }

    fn fields_by_the_names_of_the_target(db) {
        let case = Case::new(db, "fields", 1);
        case.table("orders (id int, \"Note\" text, doc jsonb)", "id");
        case.topic.produce(0, ["{\"id\": 1, \"Note\": \"x\", \"doc\": {\"a\": [1]}}\n{\"id\": 2, \"note\": \"y\"}\n"]);
        load(&case, "jsonl", &[]);
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.orders ORDER BY id"), [r#"1|x|{"a": [1]}"#, r"2|\N|\N"]);
    }

    /// The deepest that is let through is what the server's parsers stand, of json and of jsonb.
    fn deep_documents_are_refused_by_name_and_the_others_load(db) {
        let case = Case::new(db, "deep", 1);
        case.table("orders (doc json)", "");
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        case.topic.produce(0, [deep(5000), objects(5000), deep(100_000), deep(5001), objects(100_000), "{}".to_owned()]);
        let outcome = load(&case, "json", &["NAME: doc, TYPE: json"]);
        let lengths = case.rows("SELECT length(doc::text) FROM $SCHEMA.orders ORDER BY 1");
        assert_eq!(lengths, ["2", "10000", "30001"]);
        for offset in [2, 3, 4] {
            let outcome = outcome.clone().expect_text(&format!("rejected {}[0]@{offset} ", case.topic.name));
            outcome.expect_text("nested more than 5000 deep at byte");
        }
        // what users do with it goes down the same stack
        assert_eq!(case.rows("SELECT count(doc->'a') FROM $SCHEMA.orders"), ["1"]);

        let case = Case::new(db, "deep", 1);
        case.table("orders (doc jsonb, rest text)", "rest");
        let documents = [("a", deep(4999)), ("b", deep(5000)), ("c", objects(4999))];
        case.topic.produce(0, documents.map(|(rest, doc)| format!(r#"{{"doc":{doc},"rest":"{rest}"}}"#)));
        let outcome = load(&case, "json", &["NAME: doc, TYPE: jsonb", "NAME: rest, TYPE: text"]);
        outcome.expect_text(&format!("rejected {}[0]@1 ", case.topic.name));
        assert_eq!(case.rows("SELECT length(doc::text), rest FROM $SCHEMA.orders ORDER BY 2"), ["9998|a", "34994|c"]);
    }
}
