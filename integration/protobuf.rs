//! Protobuf from end to end: by a registry, with imports, and by a descriptor set.

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};

use crate::case::Case;
use crate::harness::{SchemaRegistry, User, directory, on_each_database};

const MONEY: &str = r#"syntax = "proto3"; package shop; message Money { int64 units = 1; string currency = 2; }"#;

const ORDER: &str = r#"syntax = "proto3"; package shop;
    import "shop/money.proto";
    import "google/protobuf/timestamp.proto";
    message Unused {}
    message Order {
        enum State { NEW = 0; PAID = 1; }
        int64 id = 1;
        State state = 2;
        Money sum = 3;
        google.protobuf.Timestamp at = 4;
        repeated string tags = 5;
        bytes raw = 6;
        optional string customerName = 7;
    }"#;

fn pool() -> DescriptorPool {
    let dir = directory("proto", User::current());
    std::fs::create_dir(dir.join("shop")).unwrap();
    std::fs::write(dir.join("shop/money.proto"), MONEY).unwrap();
    std::fs::write(dir.join("order.proto"), ORDER).unwrap();
    let files = protox::compile([dir.join("order.proto")], [&dir]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
}

/// Two orders: one of everything, and one of nothing but its number.
fn orders(pool: &DescriptorPool) -> Vec<Vec<u8>> {
    let descriptor = pool.get_message_by_name("shop.Order").unwrap();
    let written = |json: &str| {
        let mut json = serde_json::Deserializer::from_str(json);
        DynamicMessage::deserialize(descriptor.clone(), &mut json).unwrap().encode_to_vec()
    };
    vec![
        written(
            r#"{"id": "9007199254740993", "state": "PAID", "sum": {"units": "12", "currency": "EUR"},
                "at": "2024-02-29T01:02:03.000004Z", "tags": ["a,b", ""], "raw": "AFz/", "customerName": "Ann"}"#,
        ),
        written(r#"{"id": "2"}"#),
    ]
}

const COLUMNS: &str =
    "id bigint, state text, currency text, at timestamptz, tags text[], raw bytea, customer_name text, sum json";

const ROWS: &str = "SELECT id, state, currency, at AT TIME ZONE 'UTC', tags, encode(raw, 'hex'), customer_name, \
    sum->>'units' FROM $SCHEMA.t ORDER BY id";

fn expect_orders(case: &Case<'_>) {
    let full = r#"9007199254740993|PAID|EUR|2024-02-29 01:02:03.000004|{"a,b",""}|005cff|Ann|12"#;
    assert_eq!(case.rows(ROWS), [r"2|NEW|\N|\N|{}||\N|\N", full]);
}

fn job(case: &Case<'_>, option: &str) -> String {
    case.job(&format!(
        "VERSION: 2
KAFKA:
  INPUT:
    SOURCE: {{BROKERS: $BROKERS, TOPIC: $TOPIC}}
    VALUE:
      COLUMNS:
        - {{NAME: id, TYPE: bigint}}
        - {{NAME: state, TYPE: text}}
        - {{NAME: currency, TYPE: text, PATH: sum.currency}}
        - {{NAME: at, TYPE: timestamptz}}
        - {{NAME: tags, TYPE: 'text[]'}}
        - {{NAME: raw, TYPE: bytea}}
        - {{NAME: customer_name, TYPE: text, PATH: customerName}}
        - {{NAME: sum, TYPE: json}}
      FORMAT: protobuf
      PROTOBUF_OPTION: {{{option}}}
    ERROR_LIMIT: 1
  OUTPUT: {{SCHEMA: $SCHEMA, TABLE: t}}
  COMMIT: {{MINIMAL_INTERVAL: 500}}
"
    ))
}

on_each_database! {
    fn by_a_registry_with_an_import(db) {
        let registry = SchemaRegistry::start();
        registry.protobuf("money", MONEY, &[]);
        let mut case = Case::new(db, "proto", 1);
        case.announced = &["ERROR_LIMIT", "rejected"];
        case.table(&format!("t ({COLUMNS})"), "id");
        let id = registry.protobuf(&format!("{}-value", case.topic.name), ORDER, &[("shop/money.proto", "money", 1)]);
        // the second message of its file: one index, which is 1
        let head = [&[0], &id.to_be_bytes()[..], &[2, 2]].concat();
        let mut payloads: Vec<_> = orders(&pool()).into_iter().map(|order| [&head[..], &order].concat()).collect();
        payloads.push([&head[..], b"\x08"].concat());
        case.topic.produce(0, payloads);
        let outcome = case.load(&job(&case, &format!("SCHEMA_REGISTRY_ADDR: '{}'", registry.url())));
        outcome.expect_text(&format!("rejected {}[0]@2 ", case.topic.name)).expect_text("-Rejected 1 rows");
        expect_orders(&case);
    }

    fn by_a_descriptor_set(db) {
        let mut case = Case::new(db, "proto", 1);
        case.announced = &["ERROR_LIMIT"];
        case.table(&format!("t ({COLUMNS})"), "id");
        let pool = pool();
        let file = directory("desc", User::current()).join("shop.desc");
        std::fs::write(&file, pool.encode_to_vec()).unwrap();
        case.topic.produce(0, orders(&pool));
        case.load(&job(&case, &format!("DESCRIPTOR_SET: {}, MESSAGE: shop.Order", file.display())));
        expect_orders(&case);
    }

    fn whole_messages_in_a_json_column(db) {
        let registry = SchemaRegistry::start();
        let case = Case::new(db, "proto", 1);
        case.table("t (doc json)", "");
        let id = registry.protobuf(&format!("{}-value", case.topic.name), MONEY, &[]);
        case.topic.produce(0, [[&[0], &id.to_be_bytes()[..], b"\0\x08\x05"].concat()]);
        let option = format!("PROTOBUF_OPTION: {{SCHEMA_REGISTRY_ADDR: '{}'}}", registry.url());
        case.load(&case.job_into("t", "doc json").format("protobuf").value(&option).text());
        assert_eq!(case.rows("SELECT doc->>'units', doc->>'currency' FROM $SCHEMA.t"), [r"5|\N"]);
    }
}
