//! KEY, VALUE and META side by side: fields of all three in one row, tombstones, headers.

use crate::case::Case;
use crate::harness::{Database, on_each_database};

/// The values of the original's sensor examples, and their first and last time.
const DOCUMENT: &str =
    r#"{"device": "WxoORaIefUcmZvgimM", "humidity": 25.495, "temperature": 34.763, "time": "2019-09-24 15:33:57.05370"#;

const T7: &str = "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
      FALLBACK_OFFSET: earliest
    KEY:
      COLUMNS:
        - NAME: c2
          TYPE: varchar(8)
      FORMAT: delimited
      DELIMITED_OPTION:
        DELIMITER: '||'
    VALUE:
      COLUMNS:
        - NAME: c1
          TYPE: json
      FORMAT: json
    META:
      COLUMNS:
        - NAME: meta
          TYPE: json
      FORMAT: json
    ERROR_LIMIT: 0
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: demo_meta
    MAPPING:
      key: c2
      value: c1
      meta: meta
      time: (c1->>'time')::timestamp
  COMMIT:
    MINIMAL_INTERVAL: 500
";

/// A job with these blocks under INPUT, into table `t`, whose columns have the names of the source's.
fn job(case: &Case<'_>, input: &str) -> String {
    case.job(&format!(
        "VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: $BROKERS
      TOPIC: $TOPIC
{input}
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: t
  COMMIT:
    MINIMAL_INTERVAL: 500
"
    ))
}

fn case<'a>(db: &'a Database, name: &str, columns: &str) -> Case<'a> {
    let case = Case::new(db, name, 1);
    case.table(&format!("t ({columns})"), "");
    case
}

on_each_database! {
    fn t7_key_value_and_meta(db) {
        let case = Case::new(db, "t7", 1);
        case.table("demo_meta (key varchar(8), value json, meta json, \"time\" timestamp)", "key");
        let producer = case.topic.kafka.producer();
        for n in 1..=10 {
            let value = format!("{DOCUMENT}{}\"}}", n % 10);
            producer.send(&case.topic.name, 0, Some(format!("{n:06}").as_bytes()), Some(value.as_bytes()));
        }
        producer.flush();
        case.load(&case.job(T7)).expect_text("-Inserted 10 rows");
        let rows = case.rows(
            "SELECT key, value->>'device', meta->>'topic', meta->>'partition', meta->>'offset', time
               FROM $SCHEMA.demo_meta ORDER BY key",
        );
        let expected: Vec<_> = (1..=10)
            .map(|n| {
                let (topic, offset, digit) = (&case.topic.name, n - 1, n % 10);
                let time = format!("2019-09-24 15:33:57.05370{digit}");
                format!("{n:06}|WxoORaIefUcmZvgimM|{topic}|0|{offset}|{}", time.trim_end_matches('0'))
            })
            .collect();
        assert_eq!(rows, expected);
    }

    fn what_kafka_knows_comes_as_typed_columns(db) {
        let case = case(db, "meta", "v text, topic text, p int, o bigint, at timestamptz, ms bigint, kind text, n int, h json");
        let producer = case.topic.kafka.producer();
        let headers: [(&str, Option<&[u8]>); 3] = [("trace", Some(b"a\"b\\")), ("raw", Some(b"\xff\0")), ("none", None)];
        producer.send_with(&case.topic.name, 0, Some(b"key"), Some(b"1"), &headers, Some(1_569_339_237_053));
        producer.send(&case.topic.name, 0, None, Some(b"2"));
        producer.flush();
        case.load(&job(&case, "    VALUE:
      COLUMNS: [{NAME: v, TYPE: text}]
      FORMAT: csv
    META:
      COLUMNS:
        - {NAME: topic, TYPE: text}
        - {NAME: p, TYPE: int, FIELD: partition}
        - {NAME: o, TYPE: bigint, FIELD: offset}
        - {NAME: at, TYPE: timestamptz, FIELD: timestamp}
        - {NAME: ms, TYPE: bigint, FIELD: timestamp}
        - {NAME: kind, TYPE: text, FIELD: timestamp_type}
        - {NAME: n, TYPE: int, FIELD: key_length}
        - {NAME: h, TYPE: json, FIELD: headers}"));
        let sql = "SELECT v, topic, p, o, extract(epoch FROM at) * 1000 = ms, ms = 1569339237053, kind, n,
                          h->>'trace', h->>'raw', h->>'none' FROM $SCHEMA.t ORDER BY v";
        let topic = &case.topic.name;
        assert_eq!(case.rows(sql), [
            format!("1|{topic}|0|0|t|t|CreateTime|3|a\"b\\|\\xff00|\\N"),
            format!("2|{topic}|0|1|t|f|CreateTime|\\N|\\N|\\N|\\N"),
        ]);
    }

    fn a_tombstone_is_a_row_where_there_is_a_key(db) {
        let case = case(db, "tombstone", "id int, v json");
        let producer = case.topic.kafka.producer();
        producer.send(&case.topic.name, 0, Some(b"1"), Some(b"{}"));
        producer.send(&case.topic.name, 0, Some(b"2"), None);
        producer.send(&case.topic.name, 0, None, Some(b"[]"));
        producer.flush();
        case.load(&job(&case, "    KEY:
      COLUMNS: [{NAME: id, TYPE: int}]
      FORMAT: csv
    VALUE:
      COLUMNS: [{NAME: v, TYPE: json}]
      FORMAT: json"));
        assert_eq!(case.rows("SELECT id, v FROM $SCHEMA.t ORDER BY id"), ["1|{}", "2|\\N", "\\N|[]"]);
    }

    fn keys_alone(db) {
        let case = case(db, "keys", "id int, name text");
        let producer = case.topic.kafka.producer();
        producer.send(&case.topic.name, 0, Some(b"1,\"a,b\""), Some(b"whatever"));
        producer.send(&case.topic.name, 0, Some(b"2,x"), None);
        producer.flush();
        case.load(&job(&case, "    KEY:
      COLUMNS: [{NAME: id, TYPE: int}, {NAME: name, TYPE: text}]
      FORMAT: csv"));
        assert_eq!(case.rows("SELECT id, name FROM $SCHEMA.t ORDER BY id"), ["1|a,b", "2|x"]);
    }

    fn a_key_that_is_no_row_is_rejected_by_name(db) {
        let mut case = case(db, "badkey", "id int, v text");
        case.announced = &["ERROR_LIMIT", "rejected"];
        let producer = case.topic.kafka.producer();
        producer.send(&case.topic.name, 0, Some(b"1,2"), Some(b"a"));
        producer.send(&case.topic.name, 0, Some(b"2"), Some(b"b"));
        producer.flush();
        let outcome = case.load(&job(&case, "    KEY:
      COLUMNS: [{NAME: id, TYPE: int}]
      FORMAT: csv
    VALUE:
      COLUMNS: [{NAME: v, TYPE: text}]
      FORMAT: csv
    ERROR_LIMIT: 1"));
        outcome.expect_text("[0]@0  csv key  extra data after last expected column");
        assert_eq!(case.rows("SELECT id, v FROM $SCHEMA.t"), ["2|b"]);
    }
}
