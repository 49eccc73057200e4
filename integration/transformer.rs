//! TRANSFORMER: an SQL function in place of a mapping, a WebAssembly module before the decoder.

use crate::case::Case;
use crate::harness::{Database, Loader, on_each_database};

/// A table of three columns, and functions that fill it. Each call has a number of its own, in both of the last
/// columns: were a function called for each column of a row, they would differ.
fn case<'a>(db: &'a Database, name: &str) -> Case<'a> {
    let case = Case::new(db, name, 1);
    case.table("made (id int, a float8, b float8)", "id");
    case.table("logged (note text, id int)", "id");
    let schema = &case.schema;
    for (function, returns, body) in [
        (
            "one",
            format!("{schema}.made"),
            "IF s.id = 3 THEN RETURN NULL; END IF; made.id := s.id * (properties->>'Times')::int; made.a := random(); made.b := made.a; RETURN made;",
        ),
        (
            "many",
            format!("SETOF {schema}.made"),
            "made.a := random(); made.b := made.a; FOR n IN 1..s.id - 1 LOOP made.id := s.id * 10 + n; RETURN NEXT made; END LOOP;",
        ),
    ] {
        // The lie in IMMUTABLE is what lets a planner call it as often as it likes.
        db.execute(&format!(
            "CREATE FUNCTION {schema}.{function}(s anyelement, properties json) RETURNS {returns} LANGUAGE plpgsql IMMUTABLE AS
             $$ DECLARE made {schema}.made; BEGIN {body} END $$"
        ));
    }
    db.execute(&format!(
        "CREATE FUNCTION {schema}.noted(s anyelement, properties json, OUT note text, OUT id int) LANGUAGE plpgsql AS
         $$ BEGIN note := s.note; id := s.id; END $$"
    ));
    db.execute(&format!("CREATE FUNCTION {schema}.bare(s anyelement, properties json) RETURNS text LANGUAGE sql AS $$ SELECT 'x'::text $$"));
    case.topic.produce(0, (1..=5).map(|id| format!("{id},n{id}")));
    case
}

/// A job with these blocks in place of OUTPUT.
fn job(case: &Case<'_>, output: &str) -> String {
    case.job(&format!(
        "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
    VALUE:
      COLUMNS: [{{NAME: id, TYPE: int}}, {{NAME: note, TYPE: text}}]
      FORMAT: csv
{output}
  COMMIT:
    MINIMAL_INTERVAL: 500
"
    ))
}

fn output(function: &str, more: &str) -> String {
    format!(
        "  OUTPUT:\n    SCHEMA: $SCHEMA\n    TABLE: made\n    TRANSFORMER: {{TRANSFORM: {function}, PROPERTIES: {{Times: 2}}}}\n{more}"
    )
}

/// The example of the module's documentation.
const UPPER: &str = include_str!("../src/transform/upper.wat");

/// A job whose messages this module sees, and the directory that holds the module.
fn module_job(case: &Case<'_>, module: &str, more: &str) -> (String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("upper.wat");
    std::fs::write(&path, module).unwrap();
    let input = format!("      FORMAT: csv\n    TRANSFORMER: {{PATH: '{}', TRANSFORM: upper}}\n{more}", path.display());
    let output = "  OUTPUT: {SCHEMA: $SCHEMA, TABLE: logged}";
    (job(case, output).replace("      FORMAT: csv\n", &input), dir)
}

on_each_database! {
    fn a_module_changes_drops_and_rejects_messages(db) {
        let mut case = case(db, "wasm");
        case.announced = &["ERROR_LIMIT", "rejected"];
        case.topic.produce(0, ["", "# dropped", "6,six", "x,no number"]);
        let large = format!("7,{}", "z".repeat(200_000));
        case.topic.produce(0, [large.as_str()]);
        let (job, _dir) = module_job(&case, UPPER, "    ERROR_LIMIT: 1\n");
        let job = job.replace("{NAME: id, TYPE: int}", "{NAME: code, TYPE: text}")
            .replace("TABLE: logged", "TABLE: logged, MAPPING: {id: length(code), note: note}");
        Loader::with_job("dryrun", &job).args(["--connect"]).run().expect_code(0);
        let outcome = case.load(&job);
        outcome.expect_text("[0]@5  transformer  the message is empty").expect_text("-Filtered 1 rows");
        let rows = case.rows("SELECT substr(note, 1, 9), length(note) FROM $SCHEMA.logged ORDER BY 1, 2");
        assert_eq!(rows, ["N1|2", "N2|2", "N3|2", "N4|2", "N5|2", "NO NUMBER|9", "SIX|3", "ZZZZZZZZZ|200000"]);
        let sums = case.rows("SELECT inserted, refused, dropped, \"rows\", rejected + filtered FROM $SCHEMA.gpkafka_ledger WHERE kind = 'load'");
        assert_eq!(sums, ["8|1|1|8|0"]);
    }

    fn a_module_that_fails_stops_the_job_at_its_message(db) {
        let case = case(db, "trap");
        // the fourth message holds a 4
        let trap = "(if (i32.eq (i32.load8_u (local.get $at)) (i32.const 52)) (then (unreachable)))\n    (local.set $next";
        let (job, dir) = module_job(&case, &UPPER.replacen("(local.set $next", trap, 1), "");
        let outcome = Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1);
        let place = format!("{}[0]@3: transformer ", case.topic.name);
        outcome.expect_text(&place).expect_text("the call failed: ").expect_text("nothing of its batch was inserted");
        assert_eq!(case.count("logged"), 0);
        std::fs::write(dir.path().join("upper.wat"), UPPER).unwrap();
        case.load(&job).expect_text("-Inserted 5 rows");
        std::fs::write(dir.path().join("upper.wat"), "(module)").unwrap();
        let outcome = Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("upper.wat: it exports no `memory`");
        let outcome = Loader::with_job("dryrun", &job).args(["--connect"]).run().expect_code(1);
        outcome.expect_text("upper.wat: it exports no `memory`");
    }

    fn a_function_makes_each_row_in_one_call(db) {
        let case = case(db, "made");
        let job = job(&case, &output("$SCHEMA.one", "    FILTER: id <> 5\n"));
        let dry = Loader::with_job("dryrun", &job).args(["--connect"]).run().expect_code(0);
        let dry = dry.expect_text(r#""one"(ext.*, '{"Times":"2"}'::json)"#);
        dry.expect_text(r#"INSERT INTO "#).expect_text(r#" ("id", "a", "b")"#);
        case.load(&job).expect_text("-Inserted 3 rows").expect_text("-Filtered 2 rows");
        assert_eq!(case.rows("SELECT id, a = b FROM $SCHEMA.made ORDER BY id"), ["2|t", "4|t", "8|t"]);
    }

    fn a_function_may_make_several_rows_of_one(db) {
        let case = case(db, "sets");
        case.load(&job(&case, &output("$SCHEMA.many", "    FILTER: id < 5\n"))).expect_text("-Inserted 6 rows");
        let rows = case.rows("SELECT id, a = b, count(*) OVER (PARTITION BY a) FROM $SCHEMA.made ORDER BY id");
        assert_eq!(rows, ["21|t|1", "31|t|2", "32|t|2", "41|t|3", "42|t|3", "43|t|3"]);
    }

    fn columns_are_filled_in_their_order_and_beside_other_outputs(db) {
        let case = case(db, "outs");
        let outputs = "  OUTPUTS:
    - SCHEMA: $SCHEMA
      TABLE: logged
      TRANSFORMER: {TRANSFORM: $SCHEMA.noted, COLUMNS: [note, id]}
    - SCHEMA: $SCHEMA
      TABLE: made
      MAPPING: {id: id + 100}";
        case.load(&job(&case, outputs));
        let logged = case.rows("SELECT id, note FROM $SCHEMA.logged ORDER BY id");
        assert_eq!(logged, ["1|n1", "2|n2", "3|n3", "4|n4", "5|n5"]);
        assert_eq!(case.rows("SELECT id, a FROM $SCHEMA.made ORDER BY id")[0], "101|\\N");
    }

    fn what_a_function_makes_is_merged(db) {
        let case = case(db, "merged");
        case.db.execute(&format!("INSERT INTO {}.made VALUES (2, 7, 7), (9, 7, 7)", case.schema));
        case.topic.produce(0, ["1,again"]);
        let merge = "    MODE: merge\n    MATCH_COLUMNS: [id]\n    UPDATE_COLUMNS: [a]\n    ORDER_COLUMNS: [note]\n";
        case.load(&job(&case, &output("$SCHEMA.one", merge)));
        let rows = case.rows("SELECT id, a < 1, b = 7, a = b FROM $SCHEMA.made ORDER BY id");
        assert_eq!(rows, ["2|t|t|f", "4|t|f|t", "8|t|f|t", "9|f|t|t", "10|t|f|t"]);
    }

    fn a_function_that_does_not_fit_is_named_at_the_start(db) {
        let case = case(db, "unfit");
        for (function, words) in [
            ("nowhere", "the database refuses the transformer \"nowhere\": function nowhere("),
            ("$SCHEMA.bare", "refuses inserting into"),
            ("$SCHEMA.noted", "what the transformer"),
        ] {
            let job = job(&case, &output(function, ""));
            let outcome = Loader::load(&job).args(["--quit-at-eof"]).run().expect_code(1).expect_text(words);
            outcome.expect_text("SQLSTATE 42");
        }
        assert_eq!(case.count("made"), 0);
    }
}
