//! Avro from end to end: topics that Python's client has written by a registry, schemas that change in mid-topic,
//! registries that are down, refuse, or lack a schema, local schemas, and every logical type in a column of its own type.

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Days, Duration, Millis, Months, Schema};

use crate::case::Case;
use crate::harness::{
    Database, Loader, Mood, SOON, SchemaRegistry, User, directory, free_port, has_python_client, on_each_database,
};

const T17: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
      FALLBACK_OFFSET: earliest
    KEY:
      COLUMNS:
        - NAME: id
          TYPE: json
      FORMAT: avro
      AVRO_OPTION:
        SCHEMA_REGISTRY_ADDR: $REGISTRY
    VALUE:
      COLUMNS:
        - NAME: c1
          TYPE: json
      FORMAT: avro
      AVRO_OPTION:
        SCHEMA_REGISTRY_ADDR: $REGISTRY
    ERROR_LIMIT: 0
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: avrokv_from_kafka
    MAPPING:
      - NAME: id
        EXPRESSION: id
      - NAME: customer_id
        EXPRESSION: (c1->>'cust_id')::int
      - NAME: year
        EXPRESSION: (c1->>'year')::int
      - NAME: expenses
        EXPRESSION: array(select json_array_elements(c1->'expenses')::text::float)
  COMMIT:
    MINIMAL_INTERVAL: 500
";

/// A job of typed columns, named as the table's, of values by this AVRO_OPTION.
fn job(case: &Case<'_>, columns: &str, option: &str) -> String {
    case.job_into("t", columns).format("avro").value(&format!("AVRO_OPTION: {{{option}}}")).text()
}

fn by_registry(registry: &SchemaRegistry) -> String {
    format!("SCHEMA_REGISTRY_ADDR: '{}'", registry.url())
}

/// A datum of a schema, as the reference writes it.
fn datum(schema: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let mut datum = Vec::new();
    writer.write_value_ref(&mut datum, &Value::Record(fields)).unwrap();
    datum
}

/// The same with the id before it.
fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

const ITEM: &str = r#"{"type": "record", "name": "item", "fields": [{"name": "id", "type": "long"}]}"#;

fn item(id: i64) -> Vec<u8> {
    datum(ITEM, &[("id", Value::Long(id))])
}

fn case<'a>(db: &'a Database, name: &str, columns: &str) -> Case<'a> {
    let case = Case::new(db, name, 1);
    case.table(&format!("t ({columns})"), "");
    case
}

const LOGICAL: &str = r#"{"type": "record", "name": "all", "fields": [
    {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "local", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "uid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "raw", "type": "bytes"},
    {"name": "tags", "type": {"type": "array", "items": ["null", "string"]}},
    {"name": "doc", "type": {"type": "map", "values": "long"}},
    {"name": "kind", "type": ["null", {"type": "enum", "name": "kind", "symbols": ["A", "B"]}], "default": null}
]}"#;

const LOGICAL_COLUMNS: &str = "amount numeric(12,3), day date, clock time, local timestamp, at timestamptz, uid uuid, \
    raw bytea, tags text[], doc json, kind text";

on_each_database! {
    fn t17_key_and_value_by_a_registry(db) {
        if !has_python_client() {
            return;
        }
        let registry = SchemaRegistry::start();
        let case = Case::new(db, "t17", 1);
        case.table("avrokv_from_kafka (id json, customer_id int, year int, expenses decimal(9,2)[])", "");
        registry.avro(&format!("{}-key", case.topic.name), "\"int\"");
        registry.avro(&format!("{}-value", case.topic.name), r#"{"type": "record", "name": "myrecord", "fields": [
            {"name": "cust_id", "type": "int"}, {"name": "year", "type": "int"},
            {"name": "expenses", "type": {"type": "array", "items": "float"}}]}"#);
        let record = "(1, {'cust_id': 123, 'year': 1997, 'expenses': [456.78, 67.89]})";
        case.topic.produce_by_python(&registry.url(), &format!("[{record}]"));
        case.load(&case.job(&T17.replace("$REGISTRY", &registry.url())));
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.avrokv_from_kafka"), ["1|123|1997|{456.78,67.89}"]);
    }

    fn logical_types_of_a_python_client_come_as_typed_columns(db) {
        if !has_python_client() {
            return;
        }
        let registry = SchemaRegistry::start();
        let case = case(db, "logical", LOGICAL_COLUMNS);
        registry.avro(&format!("{}-value", case.topic.name), LOGICAL);
        case.topic.produce_by_python(&registry.url(), r#"[
            (None, {"amount": decimal.Decimal("-1234567.891"), "day": datetime.date(1969, 12, 31),
                    "clock": datetime.time(23, 59, 59, 1), "local": datetime.datetime(2024, 2, 29, 1, 2, 3, 4),
                    "at": datetime.datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=datetime.timezone.utc),
                    "uid": uuid.UUID("12345678-9abc-def0-1234-56789abcdef0"), "raw": b"\x00\\\xff",
                    "tags": ["a,b", None, "", "ä\"\\"], "doc": {"n": 9007199254740993}, "kind": "B"}),
            (None, {"amount": decimal.Decimal("0"), "day": datetime.date(9999, 12, 31), "clock": datetime.time(0),
                    "local": datetime.datetime(1, 1, 1), "at": datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
                    "uid": uuid.UUID(int=0), "raw": b"", "tags": [], "doc": {}, "kind": None})]"#);
        // the columns that a message is taken to have are the table's
        let job = case.job(&format!("VERSION: 2
KAFKA:
  INPUT:
    SOURCE: {{BROKERS: $BROKERS, TOPIC: $TOPIC}}
    VALUE:
      FORMAT: avro
      AVRO_OPTION: {{{}}}
  OUTPUT: {{SCHEMA: $SCHEMA, TABLE: t}}
  COMMIT: {{MINIMAL_INTERVAL: 500}}
", by_registry(&registry)));
        case.load(&job);
        let rows = case.rows("SELECT amount, day, clock, local, at AT TIME ZONE 'UTC', uid, encode(raw, 'hex'), tags, doc, kind FROM $SCHEMA.t ORDER BY amount");
        assert_eq!(rows, [
            concat!(
                "-1234567.891|1969-12-31|23:59:59.000001|2024-02-29 01:02:03.000004|1969-12-31 23:59:59.999|",
                "12345678-9abc-def0-1234-56789abcdef0|005cff|",
                r#"{"a,b",NULL,"","ä\"\\"}|{"n":9007199254740993}|B"#
            ),
            r"0.000|9999-12-31|00:00:00|0001-01-01 00:00:00|2024-01-01 00:00:00|00000000-0000-0000-0000-000000000000||{}|{}|\N",
        ]);
    }

    /// Without a registry a message is the bare datum.
    fn a_local_schema_and_durations(db) {
        let schema = r#"{"type": "record", "name": "span", "fields": [
            {"name": "id", "type": "int"},
            {"name": "took", "type": {"type": "fixed", "name": "d", "size": 12, "logicalType": "duration"}},
            {"name": "nanos", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
            {"name": "digest", "type": {"type": "fixed", "name": "md5", "size": 2}}]}"#;
        let file = directory("avsc", User::current()).join("span.avsc");
        std::fs::write(&file, schema).unwrap();
        let case = case(db, "local", "id int, took interval, nanos timestamptz, digest text");
        let took = Duration::new(Months::new(14), Days::new(3), Millis::new(3_723_004));
        case.topic.produce(0, [datum(schema, &[
            ("id", Value::Int(-7)),
            ("took", Value::Duration(took)),
            ("nanos", Value::TimestampNanos(1_569_339_237_053_705_000)),
            ("digest", Value::Fixed(2, vec![0xfb, 0xff])),
        ])]);
        let option = format!("SCHEMA_PATH_ON_GPDB: {}, BYTES_TO_BASE64: true", file.display());
        case.load(&job(&case, "id int, took interval, nanos timestamptz, digest text", &option));
        let sql = "SELECT id, took = interval '14 months 3 days 01:02:03.004', nanos AT TIME ZONE 'UTC', digest FROM $SCHEMA.t";
        assert_eq!(case.rows(sql), ["-7|t|2019-09-24 15:33:57.053705|+/8="]);
    }

    fn a_schema_changes_in_mid_topic(db) {
        if !has_python_client() {
            return;
        }
        let registry = SchemaRegistry::start();
        let case = case(db, "change", "id bigint, name text, old int, added numeric(9,2)");
        let subject = format!("{}-value", case.topic.name);
        let of = |fields: &str| format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#);
        let long = r#"{"name": "id", "type": "long"}"#;
        let name = r#"{"name": "name", "type": "string"}"#;
        let old = r#"{"name": "old", "type": ["null", "int"]}"#;
        let added = r#"{"name": "added", "type": "double", "default": 1.5}"#;
        let renamed = r#"{"name": "full_name", "aliases": ["name"], "type": ["string", "null"]}"#;
        for (fields, record) in [
            (format!("{long}, {name}, {old}"), r#"{"id": 1, "name": "a", "old": 10}"#),
            (format!("{long}, {name}, {old}, {added}"), r#"{"id": 2, "name": "b", "old": None}"#),
            (format!("{added}, {name}, {long}"), r#"{"id": 3, "name": "c", "added": 2.25}"#),
            (format!("{renamed}, {long}"), r#"{"id": 4, "full_name": "d"}"#),
        ] {
            registry.avro(&subject, &of(&fields));
            case.topic.produce_by_python(&registry.url(), &format!("[(None, {record})]"));
        }
        // and one of the first kind, as a writer that was not changed sends it
        let first = of(&format!("{long}, {name}, {old}"));
        let fields = [("id", Value::Long(5)), ("name", Value::String("e".into())), ("old", Value::Union(0, Box::new(Value::Null)))];
        case.topic.produce(0, [framed(1, &datum(&first, &fields))]);
        case.load(&job(&case, "id bigint, name text, old int, added numeric", &by_registry(&registry)));
        assert_eq!(
            case.rows("SELECT * FROM $SCHEMA.t ORDER BY id"),
            ["1|a|10|\\N", "2|b|\\N|1.50", "3|c|\\N|2.25", "4|d|\\N|\\N", "5|e|\\N|\\N"]
        );
        assert_eq!(registry.requests().iter().filter(|path| path.starts_with("/schemas/ids/1")).count(), 1);
    }

    fn a_registry_that_is_down_is_waited_for(db) {
        let port = free_port();
        let case = case(db, "down", "id bigint");
        case.topic.produce(0, (1..=3).map(|id| framed(1, &item(id))));
        let job = job(&case, "id bigint", &format!("SCHEMA_REGISTRY_ADDR: 'http://localhost:{port}'"));
        let mut load = Loader::load(&job).args(["--quit-at-eof"]).start();
        load.wait_for_text(SOON, "going on when it passes");
        load.wait_for_text(SOON, "schema 1 of the value is wanted");
        let registry = SchemaRegistry::start_at(port);
        registry.avro("items-value", ITEM);
        load.wait(SOON).expect_code(0).expect_calm(&["registry: "]).expect_text("-Inserted 3 rows");
        assert_eq!(case.rows("SELECT id FROM $SCHEMA.t ORDER BY id"), ["1", "2", "3"]);
    }

    fn a_schema_that_there_is_not_costs_its_records_alone(db) {
        let registry = SchemaRegistry::start();
        registry.avro("items-value", ITEM);
        let mut case = case(db, "missing", "id bigint");
        case.announced = &["ERROR_LIMIT", "rejected"];
        let payloads = [framed(1, &item(1)), framed(77, &item(2)), b"{}".to_vec(), framed(1, b""), framed(1, &item(5))];
        case.topic.produce(0, payloads);
        let job = case.job_into("t", "id bigint").format("avro");
        let job = job.value(&format!("AVRO_OPTION: {{{}}}", by_registry(&registry)));
        let outcome = Loader::load(&job.clone().input("ERROR_LIMIT: 2").text()).args(["--quit-at-eof"]).run();
        outcome.expect_code(1).expect_text("schema 77");
        assert_eq!(case.count("t"), 0);
        let outcome = case.load(&job.input("ERROR_LIMIT: 3").text()).expect_text("-Rejected 3 rows");
        let at = |offset: i32| format!("{}[0]@{offset} ", case.topic.name);
        let text = outcome.text();
        let line = |offset| text.lines().find(|line| line.contains(&at(offset))).unwrap_or_else(|| panic!("{text}"));
        assert!(line(1).contains("schema 77: schema registry http://localhost:") && line(1).contains("has no schema 77"), "{text}");
        assert!(line(2).contains("avro") && line(3).contains("avro"), "{text}");
        assert_eq!(case.rows("SELECT id FROM $SCHEMA.t ORDER BY id"), ["1", "5"]);
    }

    /// It would refuse us whatever a record names, so no record is at fault, however many may be.
    fn a_registry_that_refuses_us_ends_the_load(db) {
        let registry = SchemaRegistry::start();
        registry.avro("items-value", ITEM);
        // etl:secret
        registry.demand("ZXRsOnNlY3JldA==");
        let case = case(db, "refused", "id bigint");
        case.topic.produce(0, (1..=3).map(|id| framed(1, &item(id))));
        let job = |more: &str| {
            let option = format!("AVRO_OPTION: {{{}{more}}}", by_registry(&registry));
            case.job_into("t", "id bigint").format("avro").value(&option).input("ERROR_LIMIT: 100%").text()
        };
        let load = |more: &str| Loader::load(&job(more)).args(["--quit-at-eof"]).run();
        let wrong = ", SCHEMA_REGISTRY_USER: etl, SCHEMA_REGISTRY_PASSWORD: sesame";
        for more in ["", wrong] {
            let outcome = load(more).expect_code(1).expect_no_text("-Rejected 3").expect_no_text("sesame");
            outcome.expect_text("refuses us (401 Unauthorized): check user and password");
        }
        registry.set_mood(Mood::Says(403, String::new()));
        load("").expect_code(1).expect_text("refuses us (403 Forbidden)");
        registry.set_mood(Mood::Says(200, "<html>It works!</html>".to_owned()));
        load("").expect_code(1).expect_text("the answer about schema 1 is not JSON");
        registry.set_mood(Mood::Says(404, "<html>".to_owned()));
        load("").expect_code(1).expect_text("check the path of the address");
        assert_eq!(case.count("t"), 0);
        registry.set_mood(Mood::Well);
        let right = ", SCHEMA_REGISTRY_USER: etl, SCHEMA_REGISTRY_PASSWORD: secret";
        load(right).expect_code(0).expect_text("-Inserted 3 rows").expect_text("-Rejected 0 rows");
    }
}
