//! Tables for every type: what its bytes become, and what is refused.

use super::super::{Column, ColumnKind, Content, Decoder, Format, Part, Settings, decoder};
use super::*;
use crate::record::Record;
use crate::schema::{Reference, SchemaKind};

pub(super) fn avro(text: &str) -> Schema {
    Schema::alone(SchemaKind::Avro, text)
}

/// A column that is found by a path, its name the path's end.
pub(super) fn column(path: &str, kind: ColumnKind) -> Column {
    let path: Vec<String> = path.split('.').map(str::to_owned).collect();
    Column { name: path.last().unwrap().clone(), is_ignored: false, path, kind }
}

fn options(framing: AvroFraming, bytes_to_base64: bool) -> Format {
    Format::Avro(AvroOptions { framing, bytes_to_base64 })
}

/// Fields as `a|NULL`, or why there are none. No more room is taken than was asked for.
pub(super) fn shown(decoder: &mut dyn Decoder, payload: &[u8]) -> String {
    let record = Record::new(0, 0, Some(payload));
    let mut rows = Rows::default();
    rows.reserve(decoder.room(&record));
    let held = rows.held();
    let decoded = decoder.decode(&record, &mut rows);
    assert_eq!(rows.held(), held);
    if let Err(reason) = decoded {
        assert!(rows.is_empty() && rows.open_field().is_empty());
        return reason.to_string();
    }
    let field =
        |field: Option<&[u8]>| field.map_or("NULL".to_owned(), |bytes| String::from_utf8(bytes.to_vec()).unwrap());
    rows.iter().map(|row| row.map(field).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join(" / ")
}

pub(super) fn of_schema(schema: &Schema, columns: &[Column], bytes_to_base64: bool) -> Box<dyn Decoder> {
    let format = options(AvroFraming::Fixed(schema.clone()), bytes_to_base64);
    decoder(&Settings::of_value(format, columns.to_vec()))
}

fn document(schema: &str, payload: &[u8]) -> String {
    shown(&mut *of_schema(&avro(schema), &[Column::document("doc")], false), payload)
}

fn columns(schema: &str, columns: &[(&str, ColumnKind)], payload: &[u8]) -> String {
    let columns: Vec<_> = columns.iter().map(|(path, kind)| column(path, *kind)).collect();
    shown(&mut *of_schema(&avro(schema), &columns, false), payload)
}

fn alone(schema: &str, kind: ColumnKind, payload: &[u8]) -> String {
    columns(schema, &[("a", kind)], payload)
}

/// A number as Avro writes it.
fn long(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [&long(bytes.len().try_into().unwrap()), bytes].concat()
}

#[test]
fn types_as_json() {
    let record =
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"b \"c","type":"string"}]}"#;
    let symbols = r#"{"type":"enum","name":"e","symbols":["A","B\"C"]}"#;
    let fixed = r#"{"type":"fixed","name":"f","size":3}"#;
    for (schema, payload, expected) in [
        (r#""null""#, vec![], "null"),
        (r#""boolean""#, vec![0], "false"),
        (r#""boolean""#, vec![1], "true"),
        (r#"{"type":"int"}"#, long(-2_147_483_648), "-2147483648"),
        (r#"{"type":{"type":"long"}}"#, long(i64::MIN), "-9223372036854775808"),
        (r#""long""#, long(i64::MAX), "9223372036854775807"),
        (r#""float""#, 0.1_f32.to_le_bytes().to_vec(), "0.1"),
        (r#""float""#, f32::NAN.to_le_bytes().to_vec(), r#""NaN""#),
        (r#""double""#, 1e300_f64.to_le_bytes().to_vec(), "1e+300"),
        (r#""double""#, 2.0_f64.to_le_bytes().to_vec(), "2.0"),
        (r#""double""#, f64::INFINITY.to_le_bytes().to_vec(), r#""Infinity""#),
        (r#""double""#, f64::NEG_INFINITY.to_le_bytes().to_vec(), r#""-Infinity""#),
        (r#""string""#, chunk("ä\"\\\n\r\t\u{1}\u{7f}".as_bytes()), "\"ä\\\"\\\\\\n\\r\\t\\u0001\u{7f}\""),
        (r#""bytes""#, chunk(b"a\"\x80\xff\x1f"), "\"a\\\"\u{80}ÿ\\u001f\""),
        (fixed, b"\xfeab".to_vec(), r#""þab""#),
        (symbols, long(1), r#""B\"C""#),
        (r#"{"type":"array","items":"int"}"#, vec![4, 2, 4, 0], "[1,2]"),
        (r#"{"type":"array","items":"int"}"#, vec![0], "[]"),
        (r#"{"type":"array","items":"int"}"#, vec![3, 4, 2, 4, 2, 6, 0], "[1,2,3]"),
        (r#"{"type":"map","values":"int"}"#, vec![4, 2, b'k', 2, 2, b'k', 4, 0], r#"{"k":1,"k":2}"#),
        (r#"["null","int"]"#, vec![0], "null"),
        (r#"["null","int"]"#, vec![2, 2], "1"),
        (record, [vec![2], chunk(b"x")].concat(), r#"{"a":1,"b \"c":"x"}"#),
        (r#"{"type":"record","name":"r","fields":[]}"#, vec![], "{}"),
    ] {
        assert_eq!(document(schema, &payload), expected, "{schema}");
    }
}

#[test]
fn logical_types_as_json_and_bare() {
    let typed = |base: &str, logical: &str| format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#);
    let fixed =
        |size: u32, logical: &str| format!(r#"{{"type":"fixed","name":"f","size":{size},"logicalType":{logical}}}"#);
    let duration: Vec<u8> = [1_u32, 2, 3004].iter().flat_map(|number| number.to_le_bytes()).collect();
    for (schema, payload, expected) in [
        (typed("int", "date"), long(-719_162), r#""0001-01-01""#),
        (typed("int", "date"), long(11_016), r#""2000-02-29""#),
        (typed("int", "date"), long(2_932_896), r#""9999-12-31""#),
        (typed("int", "time-millis"), long(86_399_999), r#""23:59:59.999""#),
        (typed("int", "time-millis"), long(3_600_000), r#""01:00:00""#),
        (typed("long", "time-micros"), long(1), r#""00:00:00.000001""#),
        (typed("long", "time-nanos"), long(1_000_000_001), r#""00:00:01.000000001""#),
        (typed("long", "timestamp-millis"), long(1_569_339_237_053), r#""2019-09-24T15:33:57.053Z""#),
        (typed("long", "timestamp-micros"), long(-1), r#""1969-12-31T23:59:59.999999Z""#),
        (typed("long", "timestamp-nanos"), long(1_000_000_000), r#""1970-01-01T00:00:01Z""#),
        (typed("long", "local-timestamp-millis"), long(1), r#""1970-01-01T00:00:00.001""#),
        (typed("long", "local-timestamp-micros"), long(0), r#""1970-01-01T00:00:00""#),
        (typed("long", "local-timestamp-nanos"), long(5), r#""1970-01-01T00:00:00.000000005""#),
        (typed("string", "uuid"), chunk(b"not looked at"), r#""not looked at""#),
        (fixed(16, r#""uuid""#), (0..16).collect(), r#""00010203-0405-0607-0809-0a0b0c0d0e0f""#),
        (fixed(12, r#""duration""#), duration, r#""P1M2DT3.004S""#),
        (fixed(12, r#""duration""#), vec![0; 12], r#""P0M0DT0S""#),
        (fixed(2, r#""decimal","precision":4,"scale":2"#), vec![0xff, 0x85], "-1.23"),
        // ill-fitting or unknown: the type is what it is
        (typed("string", "date"), chunk(b"x"), r#""x""#),
        (typed("long", "date"), long(1), "1"),
        (typed("int", "of-day"), long(1), "1"),
        (fixed(3, r#""uuid""#), b"abc".to_vec(), r#""abc""#),
        (fixed(1, r#""decimal","precision":3"#), b"a".to_vec(), r#""a""#),
        (r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":3}"#.to_owned(), chunk(b"a"), r#""a""#),
        (r#"{"type":"bytes","logicalType":"decimal"}"#.to_owned(), chunk(b"a"), r#""a""#),
    ] {
        assert_eq!(document(&schema, &payload), expected, "{schema}");
        assert_eq!(alone(&schema, ColumnKind::Scalar, &payload), expected.trim_matches('"'), "{schema}");
    }
}

#[test]
fn decimals_of_any_length() {
    let schema = |scale: u32| format!(r#"{{"type":"bytes","logicalType":"decimal","precision":60,"scale":{scale}}}"#);
    let huge = [&[1][..], &[0; 17]].concat();
    let least = [&[0x80][..], &[0; 19]].concat();
    for (scale, bytes, expected) in [
        (0, &b""[..], "0"),
        (2, b"\0", "0.00"),
        (0, b"\x80", "-128"),
        (2, b"\x05", "0.05"),
        (2, b"\xfb", "-0.05"),
        (3, b"\x04\xd2", "1.234"),
        (4, b"\x04\xd2", "0.1234"),
        (0, &[0xff; 20], "-1"),
        (0, &[0; 20], "0"),
        (1, &[0; 20], "0.0"),
        (0, &huge, "87112285931760246646623899502532662132736"),
        (40, &huge, "8.7112285931760246646623899502532662132736"),
        (0, &least, "-730750818665451459101842416358141509827966271488"),
    ] {
        assert_eq!(document(&schema(scale), &chunk(bytes)), expected);
    }
    let long = document(&schema(0), &chunk(&[0x7f; 8193]));
    assert_eq!(long, r#"avro  field "doc": a decimal of 8193 bytes; more than 8192 are not read"#);
}

#[test]
fn values_outside_their_type_are_refused_by_field() {
    let field = |kind: &str| format!(r#"{{"type":"record","name":"r","fields":[{{"name":"f","type":{kind}}}]}}"#);
    let typed = |base: &str, logical: &str| field(&format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#));
    let interval = [&[0xff; 4][..], &[0; 8]].concat();
    let of_map = field(r#"{"type":"map","values":{"type":"array","items":"string"}}"#);
    for (schema, payload, expected) in [
        (typed("int", "date"), long(-719_163), "day -719163 since 1970 is outside the years 1 to 9999"),
        (typed("int", "date"), long(2_932_897), "day 2932897 since 1970 is outside the years 1 to 9999"),
        (typed("int", "time-millis"), long(86_400_000), "86400000 milliseconds are no time of a day"),
        (typed("long", "time-micros"), long(-1), "-1 microseconds are no time of a day"),
        (
            typed("long", "timestamp-millis"),
            long(i64::MAX),
            "9223372036854775807 milliseconds since 1970 are outside the years 1 to 9999",
        ),
        (
            typed("long", "local-timestamp-micros"),
            long(i64::MIN),
            "-9223372036854775808 microseconds since 1970 are outside the years 1 to 9999",
        ),
        (
            field(r#"{"type":"fixed","name":"d","size":12,"logicalType":"duration"}"#),
            interval,
            "4294967295 months and 0 days are more than an interval holds",
        ),
        (field(r#""boolean""#), vec![2], "a boolean is 0 or 1, not 2"),
        (field(r#""int""#), long(1 << 31), "2147483648 is no int of 32 bits"),
        (field(r#""long""#), vec![0xff; 11], "a number of more than 64 bits"),
        (field(r#""long""#), [vec![0xff; 9], vec![2]].concat(), "a number of more than 64 bits"),
        (field(r#""long""#), vec![0xff; 9], "the datum ends too early"),
        (field(r#""double""#), vec![0; 7], "the datum ends too early"),
        (field(r#""string""#), long(-1), "a length of -1 bytes"),
        (field(r#""string""#), long(i64::MAX), "the datum ends too early"),
        (field(r#""string""#), chunk(b"a\0"), "a NUL byte at byte 2, which text cannot hold"),
        (field(r#""string""#), chunk(b"ab\xff"), "invalid UTF-8 at byte 3"),
        (field(r#""bytes""#), chunk(b"\0"), "a NUL at byte 1, which text cannot hold; set BYTES_TO_BASE64: true"),
        (field(r#"["null","int"]"#), long(2), "branch 2 of a union that has 2 of them"),
        (field(r#"["null","int"]"#), long(-1), "branch -1 of a union that has 2 of them"),
        (field(r#"{"type":"enum","name":"e","symbols":["A"]}"#), long(1), "symbol 1 of an enum that has 1 of them"),
    ] {
        let expected = format!(r#"avro  field "f": {expected}"#);
        assert_eq!(document(&schema, &payload), expected);
        assert_eq!(columns(&schema, &[("f", ColumnKind::Scalar)], &payload), expected);
    }
    let inside = [vec![2], chunk(b"key"), vec![4], chunk(b"ok"), chunk(b"\xff"), vec![0, 0]].concat();
    assert_eq!(document(&of_map, &inside), r#"avro  field "f.key.1": invalid UTF-8 at byte 1"#);
    let key = [vec![2], chunk(b"\xff"), vec![0, 0]].concat();
    assert_eq!(document(&of_map, &key), r#"avro  field "f.(a key)": invalid UTF-8 at byte 1"#);
}

#[test]
fn a_datum_ends_where_its_payload_ends() {
    let left = "left over behind the datum; it was written with another schema";
    assert_eq!(document(r#""int""#, &[2, 0]), format!("avro  1 byte is {left}"));
    assert_eq!(document(r#""null""#, &[2, 0]), format!("avro  2 bytes are {left}"));
    assert_eq!(alone(r#""int""#, ColumnKind::Scalar, &[2, 0]), format!("avro  1 byte is {left}"));
    assert_eq!(document(r#""int""#, &[]), "avro  the value is empty");
}

#[test]
fn counts_that_lie() {
    let array = |items: &str| format!(r#"{{"type":"array","items":{items}}}"#);
    let few = "in fewer bytes than that";
    for (schema, payload, expected) in [
        (array(r#""int""#), long(1 << 40), format!("a block of 1099511627776 items, {few}")),
        (array(r#""int""#), [long(i64::MIN), long(0)].concat(), format!("a block of 9223372036854775808 items, {few}")),
        (array(r#""int""#), [long(-1), long(-1)].concat(), "a length of -1 bytes".to_owned()),
        (array(r#""int""#), [long(-1), long(9)].concat(), "the datum ends too early".to_owned()),
        (array(r#""int""#), vec![1, 4, 2, 0], "a block of items is not as long as it says".to_owned()),
        (array(r#""null""#), long(i64::MAX), "so much text in 10 bytes is no honest datum".to_owned()),
    ] {
        assert_eq!(document(&schema, &payload), format!(r#"avro  field "doc": {expected}"#), "{schema}");
    }
    assert_eq!(document(&array(r#""null""#), &[6, 0]), "[null,null,null]");
    assert_eq!(alone(&array(r#""null""#), ColumnKind::Array, &[6, 0]), "{NULL,NULL,NULL}");
    // nobody wants them, so they cost nothing
    let schema = format!(
        r#"{{"type":"record","name":"r","fields":[{{"name":"n","type":{}}},{{"name":"a","type":"int"}}]}}"#,
        array(r#""null""#)
    );
    let payload = [long(i64::MAX), vec![0, 2]].concat();
    assert_eq!(columns(&schema, &[("a", ColumnKind::Scalar), ("n.7", ColumnKind::Scalar)], &payload), "1|NULL");
}

/// Each record holds the one before it twice: 2^60 values in a datum without a byte.
#[test]
fn a_schema_that_doubles_itself_is_stopped() {
    let mut kind = r#""null""#.to_owned();
    let mut references = Vec::new();
    for level in 0..60 {
        let name = format!("r{level}");
        let text = format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"a","type":{kind}}},{{"name":"b","type":{kind}}}]}}"#
        );
        kind = format!(r#""{name}""#);
        references.push(Reference { name, text });
    }
    let schema = Schema { references, ..avro(&kind) };
    let mut decoder = of_schema(&schema, &[Column::document("doc")], false);
    let said = shown(&mut *decoder, b"");
    assert!(said.ends_with("so much text in 0 bytes is no honest datum"), "{said}");
}

#[test]
fn depth_has_a_limit() {
    let list = r#"{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}"#;
    let deep = |levels: usize| [vec![2; levels - 1], vec![0]].concat();
    let limit = "values lie in each other more than 256 levels deep";
    assert!(document(list, &deep(256)).starts_with(r#"{"next":{"next":"#));
    let said = document(list, &deep(257));
    assert!(said.ends_with(limit) && said.len() < 300, "{said}");
    let said = columns(list, &[("next.next.next", ColumnKind::Scalar), ("x", ColumnKind::Json)], &deep(257));
    assert!(said.ends_with(limit), "{said}");
    let endless = r#"{"type":"record","name":"r","fields":[{"name":"next","type":"r"}]}"#;
    let said = document(endless, b"\0");
    assert!(said.ends_with(limit), "{said}");
}

const ORDER: &str = r#"{"type":"record","name":"order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"customer","aliases":["client"],"type":["null",{"type":"record","name":"customer","fields":[
        {"name":"name","type":"string"},{"name":"tags","type":{"type":"map","values":"string"}}]}]},
    {"name":"lines","type":{"type":"array","items":{"type":"record","name":"line","fields":[
        {"name":"article","type":"string"},{"name":"count","type":"int"}]}}},
    {"name":"raw","type":"bytes"},
    {"name":"buyer","type":["null","shop.customer","string"]}]}"#;

fn order() -> Vec<u8> {
    let customer = [vec![2], chunk(b"Ann"), vec![2], chunk(b"k"), chunk(b"v"), vec![0]].concat();
    let lines = [vec![4], chunk(b"pen"), long(3), chunk(b"\"cap\""), long(1), vec![0]].concat();
    [long(7), customer, lines, chunk(b"\0\xff"), vec![4], chunk(b"Bob")].concat()
}

#[test]
fn columns_by_path() {
    use ColumnKind::{Array, Bytes, Json, Scalar};
    for (path, kind, expected) in [
        ("id", Scalar, "7"),
        ("id", Json, "7"),
        ("id", Bytes, r"\x37"),
        ("customer.name", Scalar, "Ann"),
        ("customer.name", Json, r#""Ann""#),
        ("customer.name", Bytes, r"\x416e6e"),
        ("client.name", Scalar, "Ann"),
        ("customer.tags.k", Scalar, "v"),
        ("customer.tags.x", Scalar, "NULL"),
        ("customer", Scalar, r#"{"name":"Ann","tags":{"k":"v"}}"#),
        ("customer.tags", Bytes, r"\x7b226b223a2276227d"),
        ("lines.0.article", Scalar, "pen"),
        ("lines.1.count", Scalar, "1"),
        ("lines.2.count", Scalar, "NULL"),
        ("lines.count", Scalar, "NULL"),
        ("lines", Json, r#"[{"article":"pen","count":3},{"article":"\"cap\"","count":1}]"#),
        ("lines", Array, r#"{"{\"article\":\"pen\",\"count\":3}","{\"article\":\"\\\"cap\\\"\",\"count\":1}"}"#),
        ("raw", Bytes, r"\x00ff"),
        ("buyer", Scalar, "Bob"),
        ("buyer.name", Scalar, "NULL"),
        ("id.x", Scalar, "NULL"),
        ("none", Json, "NULL"),
    ] {
        assert_eq!(
            columns(ORDER, &[(path, kind), ("id", Scalar)], &order()),
            format!("{expected}|7"),
            "{path} {kind:?}"
        );
    }
    let ignored = Column { is_ignored: true, ..column("id", Scalar) };
    let two = [ignored, column("buyer", Scalar)];
    assert_eq!(shown(&mut *of_schema(&avro(ORDER), &two, false), &order()), "Bob");
    // one column that is no document is looked for by its name
    assert_eq!(columns(ORDER, &[("id", Scalar)], &order()), "7");
    assert_eq!(columns(ORDER, &[("customer.name", Json)], &order()), r#""Ann""#);
}

#[test]
fn a_datum_that_is_no_record_is_the_column() {
    use ColumnKind::{Array, Bytes, Json, Scalar};
    let either = r#"["null","int",{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}]"#;
    let list = r#"{"type":"array","items":"int"}"#;
    for (schema, kind, payload, expected) in [
        (r#""int""#, Scalar, long(5), "5"),
        (r#""string""#, Bytes, chunk(b"\0"), r"\x00"),
        (r#""string""#, Json, chunk(b"s"), r#""s""#),
        (r#""double""#, Scalar, f64::NAN.to_le_bytes().to_vec(), "NaN"),
        (list, Array, vec![2, 2, 0], "{1}"),
        (list, Scalar, vec![2, 2, 0], "[1]"),
        (either, Scalar, vec![0], "NULL"),
        (either, Scalar, vec![2, 2], "1"),
        (either, Scalar, [vec![4], chunk(b"x")].concat(), "x"),
        (r#"{"type":"map","values":"int"}"#, Scalar, vec![0], "{}"),
    ] {
        assert_eq!(alone(schema, kind, &payload), expected, "{schema}");
    }
    let two = [("a", Scalar), ("b", Scalar)];
    let said = columns(r#""int""#, &two, &long(5));
    assert_eq!(said, r#"avro  field "a": the datum is of type int and has no fields; one column alone takes it"#);
    let map = [vec![2], chunk(b"b"), long(1), vec![0]].concat();
    assert_eq!(columns(r#"{"type":"map","values":"int"}"#, &two, &map), "NULL|1");
    assert_eq!(columns(either, &two, &[0]), "NULL|NULL");
    assert_eq!(columns(either, &two, &[vec![4], chunk(b"x")].concat()), "x|NULL");
}

#[test]
fn array_literals() {
    let array = |items: &str| format!(r#"{{"type":"array","items":{items}}}"#);
    let nested = array(&array(r#"["null","string"]"#));
    let text = [vec![2], chunk(b"NULL")].concat();
    let quoted = [vec![2], chunk(b"a,\"\\ {}")].concat();
    let inner = [vec![6], text, vec![0], quoted, vec![0]].concat();
    for (schema, payload, expected) in [
        (nested, [vec![2], inner, vec![0]].concat(), r#"{{"NULL",NULL,"a,\"\\ {}"}}"#),
        (array(r#""boolean""#), vec![4, 1, 0, 0], "{true,false}"),
        (array(r#""double""#), [vec![2], f64::NAN.to_le_bytes().to_vec(), vec![0]].concat(), "{NaN}"),
        (array(r#""bytes""#), [vec![2], chunk(b"\0\xff"), vec![0]].concat(), r#"{"\\x00ff"}"#),
        (array(r#"{"type":"int","logicalType":"date"}"#), vec![2, 2, 0], r#"{"1970-01-02"}"#),
        (array(r#"{"type":"enum","name":"e","symbols":["A"]}"#), vec![2, 0, 0], r#"{"A"}"#),
        (array(r#""int""#), vec![0], "{}"),
        (r#""string""#.to_owned(), chunk(b"{1,2}"), "{1,2}"),
    ] {
        assert_eq!(alone(&schema, ColumnKind::Array, &payload), expected, "{schema}");
    }
}

#[test]
fn bytes_as_base64() {
    let schema = avro(
        r#"{"type":"record","name":"r","fields":[{"name":"b","type":"bytes"},{"name":"f","type":{"type":"fixed","name":"f","size":1}}]}"#,
    );
    let long: Vec<u8> = (0..=255).chain(0..=144).collect();
    let payload = [chunk(&long), vec![0]].concat();
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&long)
    };
    let document = &mut *of_schema(&schema, &[Column::document("doc")], true);
    assert_eq!(shown(document, &payload), format!(r#"{{"b":"{encoded}","f":"AA=="}}"#));
    let bare = [column("b", ColumnKind::Scalar), column("f", ColumnKind::Json), column("f", ColumnKind::Bytes)];
    assert_eq!(shown(&mut *of_schema(&schema, &bare, true), &payload), format!(r#"{encoded}|"AA=="|\x00"#));
}

fn framed_with(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), datum].concat()
}

#[test]
fn schemas_are_asked_for_by_id() {
    let format = options(AvroFraming::Confluent, false);
    let two = vec![column("id", ColumnKind::Scalar), column("note", ColumnKind::Scalar)];
    let mut decoder = decoder(&Settings::of_value(format, two));
    let old = avro(r#"{"type":"record","name":"r","fields":[{"name":"id","type":"int"}]}"#);
    let new = avro(
        r#"{"type":"record","name":"r","fields":[{"name":"remark","aliases":["note"],"type":"string"},{"name":"id","type":"long"}]}"#,
    );
    let wanted = decoder.decode(&Record::new(0, 0, Some(&framed_with(258, &[2]))), &mut Rows::default()).unwrap_err();
    assert_eq!(wanted.wanted_schema(), Some((Part::Value, 258)));
    decoder.learn(Part::Value, 258, Ok(&old));
    decoder.learn(Part::Value, 7, Ok(&new));
    decoder.learn(Part::Value, 8, Err("the registry has none"));
    decoder.learn(Part::Value, 9, Ok(&avro(r#""what""#)));
    decoder.learn(Part::Value, 10, Ok(&Schema::alone(SchemaKind::Protobuf, "")));
    let mut said = |payload: &[u8]| shown(&mut *decoder, payload);
    for (payload, expected) in [
        (framed_with(258, &[2]), "1|NULL"),
        (framed_with(7, &[2, b'x', 4]), "2|x"),
        (framed_with(258, &[4]), "2|NULL"),
        (framed_with(8, &[4]), "avro  schema 8: the registry has none"),
        (framed_with(9, &[4]), r#"avro  schema 9: unknown type "what""#),
        (framed_with(10, &[4]), "avro  schema 10: it is no Avro schema"),
        (framed_with(11, &[4]), "avro  schema 11 is not known yet"),
        (vec![], "avro  the value is empty"),
        (b"{}".to_vec(), "avro  it begins with the byte 123; Confluent's framing begins with 0 and the id of a schema"),
        (vec![0, 1], "avro  2 bytes are too few for a zero and the id of a schema, which take five"),
    ] {
        assert_eq!(said(&payload), expected);
    }
    decoder.learn(Part::Value, 8, Ok(&old));
    assert_eq!(shown(&mut *decoder, &framed_with(8, &[2])), "1|NULL");
}

#[test]
fn ids_without_end_take_no_memory_without_end() {
    let format = options(AvroFraming::Confluent, false);
    let mut decoder = decoder(&Settings::of_value(format, vec![Column::document("doc")]));
    let schema = avro(r#""int""#);
    for id in (0..=1000).rev() {
        decoder.learn(Part::Value, id, Ok(&schema));
        assert_eq!(shown(&mut *decoder, &framed_with(id, &[2])), "1");
    }
    assert_eq!(shown(&mut *decoder, &framed_with(1000, &[2])), "avro  schema 1000 is not known yet");
}

#[test]
fn keys_and_values_have_schemas_of_their_own() {
    let content = |name: &str| Content {
        format: options(AvroFraming::Confluent, false),
        columns: vec![column(name, ColumnKind::Scalar)],
    };
    let settings = Settings { value: Some(content("v")), key: Some(content("k")), ..Settings::default() };
    let mut decoder = decoder(&settings);
    decoder.learn(Part::Key, 1, Ok(&avro(r#""int""#)));
    decoder.learn(Part::Value, 1, Ok(&avro(r#""string""#)));
    let (key, value) = (framed_with(1, &[2]), framed_with(1, &[2, b'x']));
    let mut rows = Rows::default();
    let record = Record { key: Some(&key), ..Record::new(0, 0, Some(&value)) };
    decoder.decode(&record, &mut rows).unwrap();
    assert_eq!(rows.iter().next().unwrap().joined(), b"x1");
}
