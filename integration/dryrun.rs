//! `dryrun` says what `load` does: the same names, the same statements, the same refusals, and it leaves no trace.

use crate::case::Case;
use crate::flow::Flow;
use crate::harness::{Database, Kind, Loader, Outcome, SchemaRegistry, free_port, on_each_database};

fn dryrun(job: &str, flags: &[&str]) -> Outcome {
    Loader::with_job("dryrun", job).args(flags.iter().copied()).run()
}

/// The external table in a text, with its schema.
fn external(text: &str) -> &str {
    let start = text.find("gpkafkaloadext_").unwrap_or_else(|| panic!("no external table in: {text}"));
    &text[start..start + "gpkafkaloadext_".len() + 32]
}

fn ours(db: &Database, schema: &str) -> i64 {
    let sql =
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname LIKE 'gpkafka%'";
    db.number(&format!("{sql} AND nspname = '{schema}'"))
}

on_each_database! {
    fn it_names_what_a_load_uses(db) {
        let flow = Flow::new(db, "dry", 3);
        (0..3).for_each(|partition| flow.produce(partition, 0..10));
        let port = free_port().to_string();
        let address = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", &port];
        for partitions in ["PARTITIONS: (0...1)", "PARTITIONS: (2)"] {
            let job = flow.job().source(partitions);
            let dry = dryrun(&job.text(), &[&address[..], &["--connect"]].concat()).expect_code(0);
            let rows = if partitions.contains("(2)") { 10 } else { 20 };
            let dry = dry.expect_text(&format!("{rows} records to load")).expect_text("EXPLAIN at the database: inserting into");
            let load = flow.loader(&job).args(address).args(["--quit-at-eof"]).run().expect_code(0);
            if matches!(db.kind, Kind::Greenplum { .. }) {
                assert_eq!(external(&dry.stdout), external(&load.stdout));
                let offline = dryrun(&job.text(), &address).expect_code(0);
                assert_eq!(external(&offline.stdout), external(&load.stdout));
            }
            let again = dryrun(&job.text(), &[&address[..], &["--connect"]].concat()).expect_code(0);
            again.expect_text(", 0 records to load").expect_text("goes on at offset 10 of 10");
        }
        flow.expect(&[(0, 0..10), (1, 0..10), (2, 0..10)]);
    }

    fn it_refuses_what_a_load_refuses(db) {
        let flow = Flow::new(db, "dry", 1);
        flow.produce(0, 0..10);
        let job = flow.job();
        let refused = |job: &str, words: &str| {
            let outcome = dryrun(job, &["--connect"]).expect_code(1).expect_text(words);
            assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.text());
            outcome.expect_text("-- each batch");
        };
        refused(&job.clone().source("PARTITIONS: (7)").text(), "none of PARTITIONS (7)");
        refused(&job.text().replace("TABLE: t\n", "TABLE: tt\n"), "did you mean \"t\"?");
        refused(&job.text().replace(&flow.topic.name, "nowhere"), "topic \"nowhere\" does not exist");
        assert_eq!(ours(db, &flow.schema), 0, "it leaves no trace");
        flow.load(&job).expect_code(0);
        flow.produce(0, 10..30);
        flow.topic.delete_records_before(0, 15);
        refused(&job.text(), "5 offsets of");
    }

    fn columns_of_the_target_are_looked_up(db) {
        let flow = Flow::new(db, "dry", 1);
        let (brokers, topic) = (&flow.topic.kafka.bootstrap, &flow.topic.name);
        let source = format!("    SOURCE: {{BROKERS: '{brokers}', TOPIC: {topic}}}\n    FORMAT: csv\n");
        let output = format!("  OUTPUT: {{SCHEMA: {}, TABLE: t}}\n  COMMIT: {{MINIMAL_INTERVAL: 500}}\n", flow.schema);
        let job = format!("{}KAFKA:\n  INPUT:\n{source}{output}", db.yaml());
        dryrun(&job, &[]).expect_code(0).expect_text("--connect looks them up").expect_no_text("-- each batch");
        let outcome = dryrun(&job, &["--connect"]).expect_code(0);
        outcome.expect_text("SELECT \"part\",").expect_text("-- each batch").expect_no_text("looks them up");
    }

    /// A field that no record has loads NULL, which a user wants to know before.
    fn the_newest_records_are_tried(db) {
        let case = Case::new(db, "tried", 2);
        case.table("t (id bigint, city text, note text)", "id");
        let job = |columns: &str| {
            case.job(&format!("VERSION: 2
KAFKA:
  INPUT:
    SOURCE: {{BROKERS: $BROKERS, TOPIC: $TOPIC}}
    VALUE: {{FORMAT: json, COLUMNS: [{columns}]}}
  OUTPUT: {{SCHEMA: $SCHEMA, TABLE: t, MAPPING: {{id: $ID, city: $CITY}}}}
"))
        };
        let tried = |job: &str| {
            let outcome = dryrun(job, &["--connect"]).expect_code(0);
            let lines = outcome.stdout.lines().skip_while(|line| !line.starts_with("-- tried"));
            // the SQL comes behind them
            lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let fields = job("{NAME: id, TYPE: bigint}, {NAME: city, TYPE: text, PATH: customer.adress.city}")
            .replace("$ID", "id").replace("$CITY", "city");
        assert_eq!(tried(&fields), [""; 0], "there is nothing in the topic");
        case.topic.produce(0, ["oops"]);
        case.topic.produce(0, (0..200).map(|id| format!("{{\"id\": {id}, \"customer\": {{\"address\": {{\"city\": \"x\"}}}}}}")));
        case.topic.produce(1, ["{\"id\": 7}", "{\"id\": 8", "{}"]);
        let some = "-- tried with the newest records: 52 rows of 53;";
        let refused = "-- warning: 1 of them would be refused, partition 1, offset 1 first: json  ";
        let lines = tried(&fields);
        assert!(lines.len() == 3 && lines[0].starts_with(some) && lines[1].starts_with(refused), "{lines:?}");
        assert_eq!(
            lines[2],
            "-- warning: none of 52 rows has a value at customer.adress.city, for column city: is that its name?"
        );
        assert_eq!(tried(&fields.replace("adress", "address"))[2..], [""; 0]);
        let document = job("{NAME: doc, TYPE: json}").replace("$ID", "\"(doc->>'id')::bigint\"");
        let document = document.replace("$CITY", "\"doc->'customer'->'adress'->>'city'\"");
        let lines = tried(&document);
        assert!(lines.len() == 2 && lines[0].contains(": 53 rows of 53;"), "{lines:?}");
        assert!(lines[1].contains("none of 52 rows has a value at customer.adress.city, "), "{lines:?}");
        assert_eq!(tried(&document.replace("adress", "address"))[1..], [""; 0]);
        assert_eq!(case.count("t"), 0);
    }

    fn avro_is_tried_with_the_schemas_of_its_registry(db) {
        let registry = SchemaRegistry::start();
        let case = Case::new(db, "tried", 1);
        case.table("t (id bigint, city text)", "id");
        let record = r#"{"type": "record", "name": "r", "fields": [{"name": "id", "type": "long"}, {"name": "town", "type": "string"}]}"#;
        let id = u8::try_from(registry.avro("orders-value", record)).unwrap();
        case.topic.produce(0, [vec![0, 0, 0, 0, id, 14, 2, b'x'], vec![0, 0, 0, 0, 99, 14, 2, b'x']]);
        let job = case.job(&format!("VERSION: 2
KAFKA:
  INPUT:
    SOURCE: {{BROKERS: $BROKERS, TOPIC: $TOPIC}}
    VALUE: {{FORMAT: avro, AVRO_OPTION: {{SCHEMA_REGISTRY_ADDR: '{}'}}}}
  OUTPUT: {{SCHEMA: $SCHEMA, TABLE: t}}
", registry.url()));
        let outcome = dryrun(&job, &["--connect"]).expect_code(0).expect_text("-- tried with the newest records: 1 row of 2;");
        let outcome = outcome.expect_text("-- warning: 1 of them would be refused, partition 0, offset 1 first: avro  ");
        outcome.expect_text("none of 1 row has a value at city, for column city");
        drop(registry);
        let outcome = dryrun(&job, &["--connect"]).expect_code(1);
        outcome.expect_text("gpkafka: schema registry http://").expect_no_text("refused, partition");
    }
}
