//! FORMAT custom: messages that a formatter of Greenplum's takes apart, here its own for columns of fixed width.

use crate::case::Case;
use crate::harness::{Database, Kind, Loader, free_port, on_each_database};

fn row(id: &str, note: &str) -> String {
    format!("{id:>10}{note:<20}\n")
}

/// A job of these options, with more under INPUT.
fn job(case: &Case<'_>, formatter: &str, more: &str) -> String {
    case.job(&format!(
        r"VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS: [{{NAME: id, TYPE: int}}, {{NAME: note, TYPE: text}}]
      FORMAT: custom
      CUSTOM_OPTION:
        NAME: {formatter}
        PARAMSTR: id=10, note='20', line_delim=E'\n'
{more}  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: notes
  COMMIT:
    MINIMAL_INTERVAL: 500
"
    ))
}

fn case<'a>(db: &'a Database, name: &str) -> Case<'a> {
    let case = Case::new(db, name, 2);
    case.table("notes (id int, note text)", "id");
    case
}

fn refused(case: &Case<'_>, formatter: &str, words: &str) {
    let outcome = Loader::load(&job(case, formatter, "")).args(["--quit-at-eof"]).run().expect_code(1);
    outcome.expect_text(words);
    assert_eq!(case.count("notes"), 0);
}

on_each_database! {
    fn messages_go_to_the_formatter_as_they_are(db) {
        let case = case(db, "custom");
        case.topic.produce(0, [row("1", "a\tb\\N"), row("2", "two") + &row("3", "three")]);
        if db.kind == Kind::Postgres {
            return refused(&case, "fixedwidth_in", "FORMAT custom needs Greenplum");
        }
        refused(&case, "nowhere", "formatter function \"nowhere\" of type readable was not found");
        case.topic.produce(1, (4..2000).map(|id| row(&id.to_string(), "many")));
        let job = job(&case, "fixedwidth_in", "    ERROR_LIMIT: 0\n");
        Loader::with_job("dryrun", &job).args(["--connect"]).run().expect_code(0)
            .expect_text(r"FORMAT 'CUSTOM' (FORMATTER='fixedwidth_in', id=10, note='20', line_delim=E'\n')");
        let port = free_port().to_string();
        let load = || case.load_with(&job, &["--gpfdist-port", &port]);
        load().expect_text("created.").expect_text("-Inserted 1999 rows");
        let rows = case.rows("SELECT id, rtrim(note) = E'a\\tb\\\\N', rtrim(note) FROM $SCHEMA.notes WHERE id < 5 ORDER BY id");
        assert_eq!(rows[1..], ["2|f|two", "3|f|three", "4|f|many"]);
        assert!(rows[0].starts_with("1|t|"), "{rows:?}");
        assert_eq!(case.rows("SELECT count(DISTINCT id) FROM $SCHEMA.notes"), ["1999"]);
        // the table is known again
        case.topic.produce(0, [row("5000", "later")]);
        load().expect_text("already exist, reuse").expect_text("-Inserted 1 rows");
    }

    fn encoding_is_the_external_tables(db) {
        let case = case(db, "latin");
        if db.kind == Kind::Postgres {
            return;
        }
        let message = row("1", "caf_").into_bytes().into_iter().map(|byte| if byte == b'_' { 0xe9 } else { byte });
        case.topic.produce(0, [message.collect::<Vec<u8>>()]);
        case.load(&job(&case, "fixedwidth_in", "    ENCODING: latin1\n"));
        assert_eq!(case.rows("SELECT rtrim(note) FROM $SCHEMA.notes"), ["café"]);
    }

    fn a_row_that_is_refused_counts_and_is_named_by_its_block(db) {
        let mut case = case(db, "refused");
        if db.kind == Kind::Postgres {
            return;
        }
        case.announced = &["ERROR_LIMIT", "rejected"];
        case.topic.produce(0, [row("1", "one"), row("number", "no"), row("2", "two")]);
        let outcome = case.load(&job(&case, "fixedwidth_in", "    ERROR_LIMIT: 1\n"));
        outcome.expect_text("-Inserted 2 rows").expect_text("-Rejected 1 rows").expect_text("[0]@0 or behind  ");
        assert_eq!(case.rows("SELECT id FROM $SCHEMA.notes ORDER BY id"), ["1", "2"]);
    }
}
