//! Mappings of `->` and `->>` that the loader takes apart: what is loaded is what the database would have loaded.

use crate::case::Case;
use crate::harness::{Kind, Loader, Outcome, on_each_database};

const JOB: &str = r#"VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      FORMAT: $FORMAT
      COLUMNS:
        - {NAME: doc, TYPE: json}
    FILTER: coalesce(doc->>'op', '') <> 'ping'
    ERROR_LIMIT: 20
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: $TABLE
    $MODE
    MAPPING:
      id: (doc->>'id')::bigint
      name: "doc->'customer'->>'na\\me' || coalesce(doc->>'suffix', '')"
      amount: (doc->>'amount')::numeric
      whole: "$WHOLE"
  COMMIT:
    MINIMAL_INTERVAL: 500
"#;

const MERGE: &str = "MODE: merge
    MATCH_COLUMNS: [id]
    UPDATE_COLUMNS: [name, amount]
    DELETE_CONDITION: ext.doc->>'op' = 'D'";

const TABLE: &str = "(id bigint, name text, amount numeric, whole text)";

/// Plain ones, and of each kind that goes whole.
const DOCUMENTS: [&str; 12] = [
    r#"{"id": 1, "customer": {"na\\me": "Ann \"A\"\n\\."}, "amount": 12.50}"#,
    r#"{"id": "2", "customer": {"na\\me": ""}, "suffix": " x", "amount": 1e2}"#,
    r#"{"id": 3, "customer": [1, 2], "suffix": {"a": [1,  2]}}"#,
    r#"{"id": 4, "customer": null, "amount": null}"#,
    r#"{"id": 5, "customer": {"na\\me": "\u00c4\ud83d\ude00"}}"#,
    r#"{"id": 6, "id": 7, "customer": {"na\\me": "a"}, "customer": {"x": 1}}"#,
    r#"{"id": 8, "op": "ping"}"#,
    r#"{"id": 1, "op": "D"}"#,
    r#"{"id": 9, "customer": {"na\\me": true}, "amount": 123456789012345678901234567890.5}"#,
    r#"{"id": 10"#,
    r#"[]"#,
    r#"{}"#,
];

impl Both<'_> {
    /// The same documents into two tables, once with a mapping that wants the document itself.
    fn load(&self, format: &str, mode: &str) -> [Outcome; 2] {
        [("taken", "''"), ("left", "substr(doc::text, 1, 0)")].map(|(table, whole)| {
            self.0.table(&format!("{table} {TABLE}"), "id");
            let job = JOB.replace("$FORMAT", format).replace("$TABLE", table).replace("$WHOLE", whole);
            let job = self.0.job(&job.replace("    $MODE\n", &format!("    {mode}\n")));
            let dryrun = Loader::with_job("dryrun", &job).run().expect_code(0);
            dryrun.expect_text(match table {
                "taken" => {
                    r#"-- "doc" is taken apart by the loader: doc->>'op', doc->>'id', doc->'customer'->>'na\me'"#
                }
                _ => "-- \"doc\" is left to the database to parse: doc:: is no path to a text",
            });
            Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(0)
        })
    }

    fn rows(&self, table: &str) -> Vec<String> {
        self.0.rows(&format!("SELECT id, name, amount FROM $SCHEMA.{table} ORDER BY id, name"))
    }
}

struct Both<'a>(Case<'a>);

on_each_database! {
    fn inserts_are_the_same_with_the_document_and_without(db) {
        let both = Both(Case::new(db, "taken", 1));
        // PostgreSQL loads no batch of which it refuses a document
        let documents = DOCUMENTS.iter().filter(|document| (db.kind != Kind::Postgres) || document.len() > 9 && document.ends_with('}') );
        both.0.topic.produce(0, documents.copied());
        let [taken, left] = both.load("json", "MODE: insert");
        let rows = both.rows("taken");
        assert_eq!(rows, both.rows("left"));
        assert_eq!(rows[..2], ["1|Ann \"A\"\n\\.|12.50", "1|\\N|\\N"]);
        assert!(rows.len() >= 8, "{rows:?}");
        if db.kind != Kind::Postgres {
            taken.expect_text("Rejected 1 rows");
            left.expect_text("Rejected 1 rows");
        }
    }

    fn merges_are_the_same_too_and_lines_are_documents(db) {
        let both = Both(Case::new(db, "taken_merge", 1));
        let good: Vec<&str> = DOCUMENTS[..9].to_vec();
        both.0.topic.produce(0, [good.join("\n"), good[1..].join("\n")]);
        both.load("jsonl", MERGE);
        let rows = both.rows("taken");
        assert_eq!(rows, both.rows("left"));
        assert_eq!(rows.iter().map(|row| row.split('|').next().unwrap()).collect::<Vec<_>>(), ["2", "3", "4", "5", "7", "9"]);
    }
}
