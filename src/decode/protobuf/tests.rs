//! Tables and properties of the format. Messages are made from JSON by the same crate that decodes them, and by hand.

use std::fmt::Write;

use proptest::prelude::*;
use prost_reflect::prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::super::tests::decoded;
use super::super::{ColumnKind, Content, Decoder, Format, Part, Settings, decoder};
use super::compile::BRACKETS_MAX;
use super::*;
use crate::record::Record;
use crate::schema::{Reference, SchemaKind};

/// Something of everything.
const ORDER: &str = r#"
    syntax = "proto3";
    package shop;
    import "google/protobuf/any.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/field_mask.proto";
    import "google/protobuf/struct.proto";
    import "google/protobuf/timestamp.proto";
    import "google/protobuf/wrappers.proto";

    enum State { NEW = 0; PAID = 1; }
    message Line { string sku = 1; int32 count = 2; repeated Line parts = 3; }
    message Order {
        map<string, Line> by_name = 20;
        message Customer { string first_name = 1; optional int32 age = 2; Customer referee = 3; }
        int64 id = 1;
        Customer customer = 2;
        State state = 3;
        optional string note = 4;
        bytes blob = 5;
        double price = 6;
        float weight = 7;
        bool is_paid = 8;
        uint64 large = 9;
        repeated Line lines = 10;
        repeated string tags = 11;
        repeated bytes blobs = 12;
        google.protobuf.Timestamp at = 13;
        google.protobuf.Duration took = 14;
        google.protobuf.Int64Value wrapped = 15;
        google.protobuf.BytesValue wrapped_blob = 16;
        google.protobuf.Struct extra = 17;
        google.protobuf.Any any = 18;
        google.protobuf.FieldMask mask = 19;
        map<int32, string> by_number = 21;
        oneof how { string card = 22; sint32 cash = 23; }
        repeated int32 numbers = 24;
    }
"#;

fn schema(text: &str) -> Schema {
    Schema::alone(SchemaKind::Protobuf, text)
}

fn pool() -> DescriptorPool {
    compile::file(&schema(ORDER)).unwrap().parent_pool().clone()
}

/// A message of the schema above, from its JSON.
fn message(name: &str, json: &str) -> DynamicMessage {
    let descriptor = pool().get_message_by_name(name).unwrap();
    DynamicMessage::deserialize(descriptor, &mut serde_json::Deserializer::from_str(json)).unwrap()
}

fn order(json: &str) -> Vec<u8> {
    message("shop.Order", json).encode_to_vec()
}

/// The format with `shop.Order` fixed.
fn fixed() -> Format {
    let source = ProtobufSource::Fixed { descriptor_set: pool().encode_to_vec(), message: "shop.Order".to_owned() };
    Format::Protobuf(ProtobufOptions { source })
}

fn column(path: &str, kind: ColumnKind) -> Column {
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    Column { kind, path, ..Column::text(path_name(kind)) }
}

fn path_name(kind: ColumnKind) -> String {
    format!("{kind:?}").to_lowercase()
}

fn settings(columns: Vec<Column>) -> Settings {
    Settings::of_value(fixed(), columns)
}

/// What a column of this kind at this path holds.
fn at(path: &str, kind: ColumnKind, json: &str) -> String {
    first_field(&mut *decoder(&settings(vec![column(path, kind)])), &order(json))
}

/// The first field of the row that a payload becomes, or why there is none.
fn first_field(decoder: &mut dyn Decoder, payload: &[u8]) -> String {
    let mut rows = Rows::default();
    match decoder.decode(&Record::new(0, 0, Some(payload)), &mut rows) {
        Err(reason) => reason.to_string(),
        Ok(()) => match rows.iter().next().unwrap().next().unwrap() {
            None => "NULL".to_owned(),
            Some(b"") => "''".to_owned(),
            Some(field) => String::from_utf8(field.to_vec()).unwrap(),
        },
    }
}

#[test]
fn scalars_are_bare_texts() {
    for (path, json, expected) in [
        ("id", r#"{"id": "-9223372036854775808"}"#, "-9223372036854775808"),
        ("large", r#"{"large": "18446744073709551615"}"#, "18446744073709551615"),
        ("price", r#"{"price": 1.0}"#, "1"),
        ("price", r#"{"price": 1e300}"#, "1e300"),
        ("price", r#"{"price": 1.5e-7}"#, "1.5e-7"),
        ("price", r#"{"price": "-Infinity"}"#, "-Infinity"),
        ("weight", r#"{"weight": 0.1}"#, "0.1"),
        ("weight", r#"{"weight": "NaN"}"#, "NaN"),
        ("is_paid", r#"{"isPaid": true}"#, "true"),
        ("state", r#"{"state": "PAID"}"#, "PAID"),
        ("state", r#"{"state": 7}"#, "7"),
        ("note", r#"{"note": ""}"#, "''"),
        ("blob", r#"{"blob": "AP8="}"#, "AP8="),
        ("at", r#"{"at": "2024-02-29T12:00:00.5Z"}"#, "2024-02-29T12:00:00.500Z"),
        ("at", r#"{"at": "0001-01-01T00:00:00Z"}"#, "0001-01-01T00:00:00Z"),
        ("took", r#"{"took": "3725.000001s"}"#, "01:02:05.000001"),
        ("took", r#"{"took": "-0.5s"}"#, "-00:00:00.500"),
        ("took", r#"{"took": "315576000000s"}"#, "87660000:00:00"),
        ("wrapped", r#"{"wrapped": "7"}"#, "7"),
        ("wrapped_blob", r#"{"wrappedBlob": "AP8="}"#, "AP8="),
        ("card", r#"{"card": "x"}"#, "x"),
        ("cash", r#"{"cash": -3}"#, "-3"),
        ("customer", r#"{"customer": {"firstName": "Ä"}}"#, r#"{"first_name":"Ä"}"#),
        ("tags", r#"{"tags": ["a", "b"]}"#, r#"["a","b"]"#),
        ("by_number", r#"{"byNumber": {"7": "x", "-1": "y"}}"#, r#"{"-1":"y","7":"x"}"#),
    ] {
        assert_eq!(at(path, ColumnKind::Scalar, json), expected, "{path} of {json}");
    }
}

#[test]
fn paths_lead_through_messages_lists_and_maps() {
    for (path, json, expected) in [
        ("customer.first_name", r#"{"customer": {"firstName": "x"}}"#, "x"),
        ("customer.firstName", r#"{"customer": {"firstName": "x"}}"#, "x"),
        ("customer.referee.referee.age", r#"{"customer": {"referee": {"referee": {"age": 0}}}}"#, "0"),
        ("lines.1.sku", r#"{"lines": [{"sku": "a"}, {"sku": "b"}]}"#, "b"),
        ("lines.0.parts.0.count", r#"{"lines": [{"parts": [{"count": 4}]}]}"#, "4"),
        ("tags.0", r#"{"tags": ["a"]}"#, "a"),
        ("by_name.x y.count", r#"{"byName": {"x y": {"count": 4}}}"#, "4"),
        ("by_number.-1", r#"{"byNumber": {"-1": "y"}}"#, "y"),
        ("at.seconds", r#"{"at": "1970-01-01T00:01:00Z"}"#, "60"),
        // what has no default to fall back on is NULL
        ("note", "{}", "NULL"),
        ("customer.first_name", "{}", "NULL"),
        ("customer.age", r#"{"customer": {}}"#, "NULL"),
        ("customer.referee.age", r#"{"customer": {}}"#, "NULL"),
        ("at", "{}", "NULL"),
        ("wrapped", "{}", "NULL"),
        ("card", r#"{"cash": 1}"#, "NULL"),
        ("lines.1.sku", r#"{"lines": [{}]}"#, "NULL"),
        ("tags.0", "{}", "NULL"),
        ("by_name.x.count", "{}", "NULL"),
        // and so is what this schema does not have
        ("gone", "{}", "NULL"),
        ("id.x", r#"{"id": "1"}"#, "NULL"),
        ("tags.x", r#"{"tags": ["a"]}"#, "NULL"),
        ("tags.0.0", r#"{"tags": ["a"]}"#, "NULL"),
        ("by_number.x", r#"{"byNumber": {"7": "x"}}"#, "NULL"),
        // what cannot be told from its default is that
        ("id", "{}", "0"),
        ("customer.first_name", r#"{"customer": {}}"#, "''"),
        ("state", "{}", "NEW"),
        ("is_paid", "{}", "false"),
        ("tags", "{}", "[]"),
        ("lines.0.count", r#"{"lines": [{}]}"#, "0"),
    ] {
        assert_eq!(at(path, ColumnKind::Scalar, json), expected, "{path} of {json}");
    }
}

#[test]
fn the_kind_of_a_column_says_how_a_value_is_written() {
    use ColumnKind::{Array, Bytes, Json};
    for (path, kind, json, expected) in [
        ("note", Json, r#"{"note": "a\"\\\n\u0001"}"#, r#""a\"\\\n\u0001""#),
        ("price", Json, r#"{"price": "NaN"}"#, r#""NaN""#),
        ("state", Json, r#"{"state": "PAID"}"#, r#""PAID""#),
        ("took", Json, r#"{"took": "-1.5s"}"#, r#""-1.500s""#),
        (
            "extra",
            Json,
            r#"{"extra": {"b": [1, null, "x"], "a": {"c": true}}}"#,
            r#"{"a":{"c":true},"b":[1,null,"x"]}"#,
        ),
        ("mask", Json, r#"{"mask": "a,b"}"#, r#""a,b""#),
        ("blob", Bytes, r#"{"blob": "AP8="}"#, r"\x00ff"),
        ("wrapped_blob", Bytes, r#"{"wrappedBlob": "AP8="}"#, r"\x00ff"),
        ("note", Bytes, r#"{"note": "ab"}"#, r"\x6162"),
        ("tags", Bytes, r#"{"tags": ["a"]}"#, r"\x5b2261225d"),
        ("tags", Array, r#"{"tags": ["a", "", "b\"c\\", "NULL"]}"#, r#"{"a","","b\"c\\","NULL"}"#),
        ("numbers", Array, r#"{"numbers": [1, -2]}"#, r#"{"1","-2"}"#),
        ("blobs", Array, r#"{"blobs": ["AP8="]}"#, r#"{"\\x00ff"}"#),
        ("tags", Array, "{}", "{}"),
        ("id", Array, r#"{"id": "7"}"#, r#"{"7"}"#),
        ("lines", Array, r#"{"lines": [{"sku": "a"}]}"#, r#"{"{\"sku\":\"a\"}"}"#),
    ] {
        assert_eq!(at(path, kind, json), expected, "{path} of {json}");
    }
}

#[test]
fn one_json_column_is_the_whole_message() {
    let doc = Column::document("doc");
    let settings = settings(vec![doc]);
    let shown = |payload: &[u8]| decoded(&settings, Some(payload)).replace("\\\"", "\"");
    assert_eq!(shown(b""), "{}");
    let payload = order(r#"{"id": "9007199254740993", "state": "NEW", "note": "", "isPaid": true}"#);
    assert_eq!(shown(&payload), r#"{"id":9007199254740993,"note":"","is_paid":true}"#);
}

#[test]
fn an_any_is_its_message_where_the_schema_has_it() {
    let shown = |json: &str| at("any", ColumnKind::Json, json);
    let line = r#"{"any": {"@type": "type.googleapis.com/shop.Line", "sku": "a", "count": 2}}"#;
    assert_eq!(shown(line), r#"{"@type":"type.googleapis.com/shop.Line","sku":"a","count":2}"#);
    let time = r#"{"any": {"@type": "x/google.protobuf.Duration", "value": "1s"}}"#;
    assert_eq!(shown(time), r#"{"@type":"x/google.protobuf.Duration","value":"1s"}"#);
    let any = pool().get_message_by_name("google.protobuf.Any").unwrap();
    let any_of = |url: &str, bytes: Vec<u8>| {
        let mut message = DynamicMessage::new(any.clone());
        message.set_field_by_name("type_url", prost_reflect::Value::String(url.to_owned()));
        message.set_field_by_name("value", prost_reflect::Value::Bytes(bytes.into()));
        message
    };
    let json = |any: DynamicMessage| {
        let mut order = message("shop.Order", "{}");
        order.set_field_by_name("any", prost_reflect::Value::Message(any));
        let settings = settings(vec![column("any", ColumnKind::Json)]);
        decoded(&settings, Some(&order.encode_to_vec())).replace("\\\"", "\"")
    };
    assert_eq!(json(any_of("x/unknown", vec![0, 255])), r#"{"@type":"x/unknown","value":"AP8="}"#);
    assert_eq!(json(any_of("x/shop.Line", vec![255])), r#"{"@type":"x/shop.Line","value":"/w=="}"#);
    // as deep as a megabyte makes it
    let mut deep = any_of("x", vec![]);
    for _ in 0..300 {
        deep = any_of("x/google.protobuf.Any", deep.encode_to_vec());
    }
    let shown = json(deep);
    assert!((5..50).contains(&shown.matches(r#""value":{"#).count()), "{shown}");
}

/// The deepest that is let through: messages in messages, with an Any at the bottom, in which it begins anew.
#[test]
fn the_stack_is_enough_for_the_deepest_message() {
    let text = r#"syntax = "proto3"; import "google/protobuf/any.proto";
        message Node { Node child = 1; google.protobuf.Any any = 2; }"#;
    let tagged = |tag: u8, inner: &[u8]| {
        let mut outer = vec![tag];
        prost_reflect::prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        [&outer, inner].concat()
    };
    let mut payload = Vec::new();
    for levels in [95, 95, 15] {
        let any = [tagged(0x0a, b"x/Node"), tagged(0x12, &payload)].concat();
        payload = tagged(0x12, &any);
        for _ in 0..levels {
            payload = tagged(0x0a, &payload);
        }
    }
    let mut decoder = confluent("child");
    decoder.learn(Part::Value, 1, Ok(&schema(text)));
    let shown = first_field(&mut *decoder, &framed(1, &[0], &payload));
    // the outer Any is taken apart, the one at the bottom of it is not
    assert_eq!(shown.matches("\"child\":").count(), 14 + 95);
    assert_eq!(shown.matches("\"@type\":\"x/Node\",\"value\":\"").count(), 1);
}

#[test]
fn what_cannot_be_text_is_rejected_with_its_column() {
    for (path, kind, json, expected) in [
        (
            "note",
            ColumnKind::Scalar,
            r#"{"note": "a\u0000"}"#,
            "\"scalar\": a NUL byte at byte 2, which text cannot hold",
        ),
        ("note", ColumnKind::Json, r#"{"note": "a\u0000"}"#, "\"json\": a NUL byte at byte 3, which text cannot hold"),
        (
            "tags",
            ColumnKind::Array,
            r#"{"tags": ["a\u0000"]}"#,
            "\"array\": a NUL byte at byte 4, which text cannot hold",
        ),
    ] {
        assert_eq!(at(path, kind, json), format!("protobuf  column {expected}"));
    }
    // the field `at` with `seconds` far away, and `took` with signs that differ
    let shown = |path, payload: &[u8]| decoded(&settings(vec![column(path, ColumnKind::Scalar)]), Some(payload));
    let far = [0x6a, 10, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(shown("at", &far), "protobuf  column \"scalar\": a Timestamp out of its range");
    let torn = [0x72, 13, 0x08, 1, 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(shown("took", &torn), "protobuf  column \"scalar\": a Duration out of its range");
}

#[test]
fn what_is_no_message_is_rejected() {
    let shown = |payload: &[u8]| decoded(&settings(vec![column("id", ColumnKind::Scalar)]), Some(payload));
    for payload in [&b"\xff"[..], b"\x08", b"\x0a\x01x", b"\x12\x05a", b"\x0b", b"\x22\x01\xff", b"\x00\x00"] {
        assert!(shown(payload).starts_with("protobuf  no message shop.Order: "), "{payload:?}: {}", shown(payload));
    }
    // unknown fields and groups are read past
    assert_eq!(shown(b"\x08\x07\xa3\x06\x08\x01\xa4\x06\xfa\x07\x01x"), "7");
    // deeper than any message that people write
    let mut deep = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x1a];
        prost_reflect::prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend(&deep);
        deep = outer;
    }
    let mut payload = vec![0x12];
    prost_reflect::prost::encoding::encode_varint(deep.len() as u64, &mut payload);
    payload.extend(&deep);
    assert!(shown(&payload).contains("recursion limit reached"), "{}", shown(&payload));
}

#[test]
fn a_descriptor_set_is_checked_beforehand() {
    let set = pool().encode_to_vec();
    assert_eq!(check(&set, "shop.Order"), Ok(()));
    assert_eq!(check(&set, ".shop.Order.Customer"), Ok(()));
    let said = check(&set, "shop.Ordr").unwrap_err();
    assert!(said.starts_with("the descriptor set has no message \"shop.Ordr\"; it has "), "{said}");
    for bytes in [&b"no set"[..], &set[1..]] {
        let said = check(bytes, "shop.Order").unwrap_err();
        assert!(said.starts_with("no descriptor set with all that it imports: "), "{said}");
    }
    let source = ProtobufSource::Fixed { descriptor_set: b"no set".to_vec(), message: "x".to_owned() };
    let broken = Settings::of_value(Format::Protobuf(ProtobufOptions { source }), Vec::new());
    assert!(decoded(&broken, Some(b"")).starts_with("protobuf  no descriptor set"));
}

/// A decoder of a registry's messages, with one column.
fn confluent(path: &str) -> Box<dyn Decoder> {
    let format = Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent });
    let columns = vec![column(path, ColumnKind::Scalar)];
    decoder(&Settings {
        key: Some(Content { format: format.clone(), columns: columns.clone() }),
        ..Settings::of_value(format, columns)
    })
}

fn framed(id: u32, indexes: &[u8], message: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], indexes, message].concat()
}

/// A value is many times its bytes, and a message more so; a text is hardly more than itself.
#[test]
fn what_decoding_takes_is_told_from_the_bytes() {
    let value = size_of::<prost_reflect::Value>();
    let many = |bytes: &[u8], times: usize| bytes.repeat(times);
    let packed = [&[0xc2, 0x01, 0xc0, 0x84, 0x3d][..], &many(&[0], 1_000_000)].concat();
    let long = [&[0x22, 0xc0, 0x84, 0x3d][..], &many(b"x", 1_000_000)].concat();
    // an order with a line without anything, with a line of a count, with numbers, with a note
    for (payload, least, most) in [
        (many(&[0x52, 0], 100_000), 100_000 * value, 4_000_000 * value),
        (many(&[0x52, 2, 0x10, 1], 100_000), 100_000 * 11 * value, 5_000_000 * value),
        (packed, 1_000_000 * value, 5_000_000 * value),
        (long, 1_000_000, 1_100_000),
        // what is damaged ends at once, and what is small is never looked at
        ([&[0x52, 5, 0xff][..], &many(&[0xff], 100_000)].concat(), 1, 100_000),
        (many(&[0x52, 0], 1000), 0, 0),
    ] {
        let mut confluent = confluent("id");
        let framed = framed(7, &[2, 2], &payload);
        let (fixed, record) = (decoder(&settings(Vec::new())), Record::new(0, 0, Some(&framed)));
        assert_eq!(confluent.scratch(&record), 0, "it is not known yet");
        confluent.learn(Part::Value, 7, Ok(&schema(ORDER)));
        for told in [confluent.scratch(&record), fixed.scratch(&Record::new(0, 0, Some(&payload)))] {
            assert!((least..=most).contains(&told), "{told} of {} bytes", payload.len());
        }
        let keys = Settings { key: settings(Vec::new()).value, ..Settings::default() };
        let record = Record { key: Some(&payload), ..Record::new(0, 0, None) };
        assert_eq!(decoder(&keys).scratch(&record), fixed.scratch(&Record::new(0, 0, Some(&payload))));
    }
}

#[test]
fn schemas_of_a_registry_are_learned_by_their_id() {
    let mut decoder = confluent("a");
    let payload = framed(7, &[0], b"\x08\x05");
    let record = Record::new(0, 0, Some(&payload));
    let reason = decoder.decode(&record, &mut Rows::default()).unwrap_err();
    assert_eq!(reason.wanted_schema(), Some((Part::Value, 7)));
    assert_eq!(decoder.room(&record).bytes, 0);
    let text = r#"syntax = "proto3"; import "x/base.proto"; message M { x.Base b = 2; int32 a = 1; }"#;
    let base = r#"syntax = "proto3"; package x; message Base { int32 a = 1; }"#;
    let mut with_import = schema(text);
    with_import.references = vec![Reference { name: "x/base.proto".to_owned(), text: base.to_owned() }];
    decoder.learn(Part::Value, 7, Ok(&with_import));
    assert_eq!(first_field(&mut *decoder, &payload), "5");
    // the key has a registry of its own
    let mut keyed = Record::new(0, 0, Some(&payload));
    keyed.key = Some(&payload);
    let reason = decoder.decode(&keyed, &mut Rows::default()).unwrap_err();
    assert_eq!(reason.wanted_schema(), Some((Part::Key, 7)));
    // in the middle of a topic the schema changes
    decoder.learn(Part::Value, 8, Ok(&schema(r#"syntax = "proto3"; message M { string a = 3; }"#)));
    decoder.learn(Part::Value, 9, Ok(&schema(r#"syntax = "proto3"; message M { string other = 3; }"#)));
    assert_eq!(first_field(&mut *decoder, &framed(8, &[0], b"\x1a\x01x")), "x");
    assert_eq!(first_field(&mut *decoder, &framed(9, &[0], b"\x1a\x01x")), "NULL");
    decoder.learn(Part::Value, 10, Err("the registry has none"));
    assert_eq!(first_field(&mut *decoder, &framed(10, &[0], b"")), "protobuf  schema 10: the registry has none");
}

#[test]
fn the_indexes_lead_to_a_message_of_the_file() {
    let mut decoder = confluent("a");
    let text = r#"syntax = "proto3";
        message First { string a = 1; }
        message Second {
            map<string, string> m = 1;
            message Inner { message Core { string a = 1; } }
            message Other { string a = 2; }
        }"#;
    decoder.learn(Part::Value, 1, Ok(&schema(text)));
    for (indexes, message, expected) in [
        (&[0][..], &b"\x0a\x01x"[..], "x"),
        (&[2, 0], b"\x0a\x01x", "x"),
        (&[6, 2, 0, 0], b"\x0a\x01x", "x"),
        (&[4, 2, 2], b"\x12\x01x", "x"),
        (&[2, 4], b"", "protobuf  schema 1: it has no message at [2], which the payload names"),
        (&[4, 2, 6], b"", "protobuf  schema 1: it has no message at [1, 3], which the payload names"),
        (&[1], b"", "protobuf  the indexes of the message are damaged"),
        (&[2, 1], b"", "protobuf  the indexes of the message are damaged"),
        (&[4, 0], b"", "protobuf  the indexes of the message are damaged"),
        (&[255, 255, 255, 255, 255, 1], b"", "protobuf  the indexes of the message are damaged"),
        (&[128, 128, 4], b"", "protobuf  the indexes of the message are too many"),
    ] {
        assert_eq!(first_field(&mut *decoder, &framed(1, indexes, message)), expected, "{indexes:?}");
    }
    assert_eq!(first_field(&mut *decoder, b""), "protobuf  the value is empty");
    assert_eq!(first_field(&mut *decoder, b"\0\0\0"), "protobuf  it ends inside the schema's id");
    let bare = "protobuf  it does not begin with a zero and the id of a schema, as the registry's serializers write";
    assert_eq!(first_field(&mut *decoder, b"\x0a\x01x"), bare);
}

#[test]
fn schemas_that_cannot_be_used_are_told() {
    let said = |schema: &Schema| compile::file(schema).unwrap_err();
    assert_eq!(said(&Schema::alone(SchemaKind::Avro, "\"int\"")), "it is a schema of Avro, not of Protobuf");
    for (text, part) in [
        ("message", "expected"),
        ("syntax = \"proto3\"; message M { Gone g = 1; }", "Gone"),
        ("import \"gone.proto\";", "gone.proto"),
        ("import \"schema.main\";", "schema.main"),
    ] {
        let said = said(&schema(text));
        assert!(said.contains(part) && !said.contains('\n'), "{said}");
    }
    let deep = |open: &str, close: &str| format!("option x = {}{};", open.repeat(100_000), close.repeat(100_000));
    for text in [deep("{a:", "}"), deep("[", "]"), "message M {".repeat(100_000), "{<".repeat(60)] {
        assert_eq!(said(&schema(&text)), "brackets in it are nested deeper than 100");
    }
    // as deep as it may be: whatever is said of it, the stack is enough
    for (open, close) in [("{a:", "}"), ("{a{", "}}"), ("[", "]"), ("{a<", ">}")] {
        let times = BRACKETS_MAX / open.matches(['{', '[', '<']).count();
        let value = format!("{}{}", open.repeat(times), close.repeat(times));
        let text = format!("syntax = \"proto3\"; option (x) = {value}; message M {{}}");
        let said = said(&schema(&text));
        assert!(!said.contains("deeper"), "{said}");
    }
    // a chain of imports the wrong way round is no chain
    let mut chain = schema("import \"0\";");
    chain.references =
        (0..900).map(|at| Reference { name: at.to_string(), text: format!("import \"{}\";", at + 1) }).collect();
    assert!(said(&chain).contains('1'), "{}", said(&chain));
}

#[test]
fn imports_that_every_client_has_are_there() {
    let text = r#"syntax = "proto3"; import "confluent/meta.proto"; import "confluent/type/decimal.proto";
        message M {
            confluent.type.Decimal d = 1 [(confluent.field_meta) = { params: [{ key: "precision", value: "8" }] }];
        }"#;
    let file = compile::file(&schema(text)).unwrap();
    assert_eq!(compile::nth_message(&file, &[0]).unwrap().full_name(), "M");
}

/// Schemas that are not there do not fill the memory: ids in a topic may be anything.
#[test]
fn schemas_that_are_missing_are_forgotten_in_time() {
    let mut learned = Learned::default();
    for id in 0..10_000 {
        learned.learn(id, Err("gone"));
    }
    assert!(learned.missing.len() <= MISSING_MAX && learned.missing.contains_key(&9999));
}

/// JSON of a random message, as pieces of its object.
fn random_order() -> impl Strategy<Value = String> {
    let text = || "[a-zä\"\\\\\n\u{1}]{0,5}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let line = (text(), any::<i32>()).prop_map(|(sku, count)| format!(r#"{{"sku": {sku}, "count": {count}}}"#));
    let field = prop_oneof![
        any::<i64>().prop_map(|id| format!(r#""id": "{id}""#)),
        any::<u64>().prop_map(|large| format!(r#""large": "{large}""#)),
        (-5..5i32).prop_map(|state| format!(r#""state": {state}"#)),
        any::<f64>().prop_map(|price| format!(r#""price": {price:e}"#)),
        // of two shortest forms that are equally near, others may take the other one: these have one
        any::<i16>().prop_map(|weight| format!(r#""weight": {:e}"#, f32::from(weight) / 8.0)),
        text().prop_map(|note| format!(r#""note": {note}"#)),
        prop::collection::vec(line.clone(), 0..3).prop_map(|lines| format!(r#""lines": [{}]"#, lines.join(","))),
        prop::collection::vec(text(), 0..3).prop_map(|tags| format!(r#""tags": [{}]"#, tags.join(","))),
        (text(), line).prop_map(|(key, line)| format!(r#""byName": {{{key}: {line}}}"#)),
        (text(), any::<i32>()).prop_map(|(name, age)| format!(r#""customer": {{"firstName": {name}, "age": {age}}}"#)),
        (0..4_000_000_000i64, 0..1_000_000_000u32).prop_map(|(seconds, nanos)| {
            format!(r#""at": "{}""#, jiff::Timestamp::new(seconds, nanos.cast_signed()).unwrap())
        }),
        (0..4_000_000_000i64, 0..1_000_000_000u32)
            .prop_map(|(seconds, nanos)| format!(r#""took": "-{seconds}.{nanos:09}s""#)),
        any::<i64>().prop_map(|wrapped| format!(r#""wrapped": "{wrapped}""#)),
        text().prop_map(|text| format!(r#""extra": {{"a": [1.5, {text}, null, {{"b": true}}]}}"#)),
        text().prop_map(|text| format!(r#""any": {{"@type": "x/shop.Line", "sku": {text}}}"#)),
    ];
    prop::collection::btree_map(0..15u8, field, 0..10).prop_map(|fields| {
        let mut seen = std::collections::BTreeSet::new();
        let mut json = String::new();
        for field in fields.into_values() {
            if seen.insert(field.split(':').next().unwrap().to_owned()) {
                write!(json, "{}{field}", if json.is_empty() { "" } else { "," }).unwrap();
            }
        }
        format!("{{{json}}}")
    })
}

/// What other code makes of the message, with the choices that ours makes too.
fn reference(message: &DynamicMessage) -> serde_json::Value {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut json = Vec::new();
    message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &options).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The same, but that a number may be written with a point or without, which the reader of JSON takes for another one,
/// and rounds in the last digit.
fn are_alike(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) if one.is_f64() || other.is_f64() => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            (one - other).abs() <= other.abs() * 4.0 * f64::EPSILON
        }
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_alike(one, other))
        }
        (Object(one), Object(other)) => {
            let are_alike = |(name, value): (&String, _)| other.get(name).is_some_and(|other| are_alike(value, other));
            one.len() == other.len() && one.iter().all(are_alike)
        }
        _ => one == other,
    }
}

fn columns_of_everything() -> Vec<Column> {
    let scalars =
        ["id", "customer.first_name", "customer", "note", "price", "at", "took", "extra", "any", "lines.0.sku"];
    let mut columns: Vec<Column> = scalars.map(|path| column(path, ColumnKind::Scalar)).to_vec();
    columns.extend(["lines", "note", "any"].map(|path| column(path, ColumnKind::Json)));
    columns.extend(["lines", "tags", "blobs"].map(|path| column(path, ColumnKind::Array)));
    columns.extend(["note", "blob", "lines"].map(|path| column(path, ColumnKind::Bytes)));
    columns
}

/// Decodes with room for no more than was promised; whether it could be.
fn fits(settings: &Settings, payload: &[u8]) -> bool {
    let record = Record::new(0, 0, Some(payload));
    let mut decoder = decoder(settings);
    let mut rows = Rows::default();
    rows.reserve(decoder.room(&record));
    let held = rows.held();
    drop(decoder.decode(&record, &mut rows));
    rows.held() == held
}

proptest! {
    #[test]
    fn json_is_what_other_code_makes_of_it(json in random_order()) {
        let message = message("shop.Order", &json);
        let mut rows = Rows::default();
        let payload = message.encode_to_vec();
        let whole = Column::document("doc");
        decoder(&settings(vec![whole])).decode(&Record::new(0, 0, Some(&payload)), &mut rows).unwrap();
        let ours: serde_json::Value = serde_json::from_slice(rows.iter().next().unwrap().joined()).unwrap();
        let theirs = reference(&message);
        prop_assert!(are_alike(&ours, &theirs), "{ours} is not {theirs}");
        prop_assert!(fits(&settings(columns_of_everything()), &payload));
        prop_assert!(fits(&settings(Vec::new()), &payload));
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_its_room(
        json in random_order(),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut payload = order(&json);
        payload.truncate(cut.index(payload.len() + 1));
        for (at, byte) in noise {
            if !payload.is_empty() {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
        }
        for payload in [&payload, &garbage] {
            prop_assert!(fits(&settings(columns_of_everything()), payload));
            prop_assert!(fits(&settings(Vec::new()), payload));
            let mut confluent = confluent("a");
            confluent.learn(Part::Value, 0, Ok(&schema("message M { optional int32 a = 1; }")));
            first_field(&mut *confluent, &framed(0, &[], payload));
            first_field(&mut *confluent, payload);
        }
    }

    #[test]
    fn no_text_of_a_schema_makes_it_panic(text in r#"((syntax|message|optional|int32|import|map<|group|enum|oneof|[a-c]|=|;|\{|\}|"|[0-9]| ){0,20}|.{0,40})"#) {
        drop(compile::file(&schema(&text)));
        drop(check(text.as_bytes(), "a"));
    }
}

#[test]
fn a_syntax_that_is_not_known_is_refused() {
    let mut set = prost_reflect::prost_types::FileDescriptorSet::decode(&*pool().encode_to_vec()).unwrap();
    set.file
        .iter_mut()
        .filter(|file| file.package() == "shop")
        .for_each(|file| file.syntax = Some("editions".to_owned()));
    let said = check(&set.encode_to_vec(), "shop.Order").unwrap_err();
    assert!(said.ends_with("of the descriptor set is of syntax \"editions\"; known are proto2 and proto3"), "{said}");
}

#[test]
fn imports_that_go_round_are_refused() {
    use prost_reflect::prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
    let file = |(name, imports): &(&str, &[&str])| FileDescriptorProto {
        name: Some((*name).to_owned()),
        dependency: imports.iter().map(|name| (*name).to_owned()).collect(),
        public_dependency: (0..).take(imports.len()).collect(),
        message_type: vec![DescriptorProto { name: Some(format!("M{name}")), ..DescriptorProto::default() }],
        ..FileDescriptorProto::default()
    };
    let said = |files: &[(&str, &[&str])]| {
        let set = FileDescriptorSet { file: files.iter().map(file).collect() };
        check(&set.encode_to_vec(), "Ma").err().unwrap_or_default()
    };
    assert_eq!(said(&[("d", &[]), ("b", &["d"]), ("c", &["d"]), ("a", &["b", "c"])]), "");
    assert_eq!(said(&[("a", &["b"]), ("b", &["d", "d"]), ("d", &[])]), "", "the order of the files is free");
    for files in
        [&[("a", &["a"][..])][..], &[("a", &["b"]), ("b", &["c"]), ("c", &["b"])], &[("a", &["b"]), ("b", &["a"])]]
    {
        let said = said(files);
        assert!(said.contains("of the descriptor set imports itself, or files that import it"), "{said}");
    }
}
