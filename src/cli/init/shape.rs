//! Which format a sample of messages is of, and what columns it has. Pure, but for the schemas that it is brought.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::infer::{Kind, Seen};

/// More columns than any table has.
const FIELDS_MAX: usize = 1000;

/// So many of all messages are what the topic is: it must not hang on the one that somebody wrote by hand.
const ALIKE_MIN_PERCENT: usize = 90;

/// What separates fields, where several could: the first of them.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];

/// The format of a topic's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Json,
    Jsonl,
    Csv {
        delimiter: char,
    },
    /// Rows of a message end with its lines.
    Delimited {
        delimiter: char,
    },
    /// Begins with the id of a schema.
    Framed,
    Binary,
}

impl Shape {
    /// What a job file calls it, as far as the messages alone tell.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Csv { .. } => "csv",
            Self::Delimited { .. } => "delimited",
            Self::Framed => "avro or protobuf",
            Self::Binary => "binary",
        }
    }
}

/// A column that the messages have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// As the messages call it; formats without names count from `c1`.
    pub name: String,
    pub seen: Seen,
    /// Some row does not have it.
    pub is_nullable: bool,
}

/// Looks at all values.
pub fn recognise(values: &[Vec<u8>]) -> Shape {
    let are = |is_one: fn(&[u8]) -> bool| !values.is_empty() && values.iter().all(|value| is_one(value));
    if are(|value| value.len() > 5 && value[0] == 0) {
        return Shape::Framed;
    }
    let [json, jsonl] = [Shape::Json, Shape::Jsonl].map(|shape| strangers(shape, values).len());
    if json <= jsonl && are_few(json, values.len()) {
        return Shape::Json;
    }
    if are_few(jsonl, values.len()) {
        return Shape::Jsonl;
    }
    let texts: Option<Vec<&str>> = values.iter().map(|value| std::str::from_utf8(value).ok()).collect();
    let Some(texts) = texts.filter(|texts| texts.iter().all(|text| !text.contains('\0'))) else { return Shape::Binary };
    let rows: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let is_of = |delimiter: &char| {
        let of_messages = even(texts.iter().map(|text| split(text.trim_end_matches(['\r', '\n']), *delimiter).len()));
        if of_messages && !texts.iter().any(|text| is_of_rows(text, *delimiter)) {
            return Some(Shape::Csv { delimiter: *delimiter });
        }
        let of_rows = even(rows.iter().map(|row| row.matches(*delimiter).count() + 1));
        of_rows.then_some(Shape::Delimited { delimiter: *delimiter })
    };
    DELIMITERS.iter().find_map(is_of).unwrap_or(Shape::Binary)
}

/// Which of the values are no JSON as one of its two shapes has it.
pub fn strangers(shape: Shape, values: &[Vec<u8>]) -> Vec<usize> {
    let is_one = |value: &[u8]| match shape {
        Shape::Jsonl => lines(value).next().is_some() && lines(value).all(|line| fields_of(line).is_some()),
        _ => fields_of(value).is_some(),
    };
    (0..values.len()).filter(|&at| !is_one(&values[at])).collect()
}

/// Whether strangers are so few that the others say what the topic is.
pub fn are_few(strangers: usize, all: usize) -> bool {
    all > 0 && (all - strangers) * 100 >= all * ALIKE_MIN_PERCENT
}

/// Rows of CSV that end before the widest does, so that fields are missing. One without anything is no row.
pub fn narrower(shape: Shape, values: &[Vec<u8>]) -> usize {
    let Shape::Csv { delimiter } = shape else { return 0 };
    let rows = values.iter().map(|value| String::from_utf8_lossy(value));
    let width = |row: &str| Some(split(row, delimiter).len()).filter(|_| !row.is_empty());
    let widths: Vec<usize> = rows.filter_map(|row| width(row.trim_end_matches(['\r', '\n']))).collect();
    let widest = widths.iter().copied().max().unwrap_or_default();
    widths.iter().filter(|&&width| width < widest).count()
}

/// Whether all are alike, and more than one.
fn even(mut counts: impl Iterator<Item = usize>) -> bool {
    let first = counts.next();
    first.is_some_and(|first| (2..=FIELDS_MAX).contains(&first)) && counts.all(|count| Some(count) == first)
}

/// Whether a message goes on after a line that is not in quotes.
fn is_of_rows(text: &str, delimiter: char) -> bool {
    let text = text.trim_end_matches(['\r', '\n']);
    split(text, delimiter).iter().any(|(field, is_quoted)| !is_quoted && field.contains('\n'))
}

/// The fields of a row of CSV, and whether they were in quotes.
fn split(row: &str, delimiter: char) -> Vec<(String, bool)> {
    let (mut fields, mut field, mut is_inside, mut is_quoted) = (Vec::new(), String::new(), false, false);
    let mut chars = row.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if is_inside && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => (is_inside, is_quoted) = (!is_inside, true),
            char if char == delimiter && !is_inside => {
                fields.push((std::mem::take(&mut field), std::mem::take(&mut is_quoted)))
            }
            char => field.push(char),
        }
    }
    fields.push((field, is_quoted));
    fields
}

fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

/// The columns of values that are of this shape, in the order in which they come first.
pub fn fields(shape: Shape, values: &[Vec<u8>]) -> Vec<Field> {
    match shape {
        Shape::Json => of_objects(values.iter().map(Vec::as_slice)),
        Shape::Jsonl => of_objects(values.iter().flat_map(|value| lines(value))),
        Shape::Csv { delimiter } => {
            let rows = values.iter().map(|value| String::from_utf8_lossy(value));
            of_rows(rows.map(|row| split(row.trim_end_matches(['\r', '\n']), delimiter)))
        }
        Shape::Delimited { delimiter } => {
            let messages: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value)).collect();
            let rows = messages.iter().flat_map(|message| message.lines());
            of_rows(rows.map(|row| row.split(delimiter).map(|field| (field.to_owned(), false)).collect()))
        }
        Shape::Framed | Shape::Binary => Vec::new(),
    }
}

fn of_rows(rows: impl Iterator<Item = Vec<(String, bool)>>) -> Vec<Field> {
    let mut gathered = Gathered::default();
    for row in rows {
        gathered.begin();
        for (at, (text, is_quoted)) in row.iter().enumerate() {
            let kind = if *is_quoted { Kind::of_text(text) } else { Kind::of_field(text) };
            gathered.add(&format!("c{}", at + 1), kind, text);
        }
    }
    gathered.fields()
}

/// The fields of objects; what is none has no part in them.
pub fn of_objects<'a>(objects: impl Iterator<Item = &'a [u8]>) -> Vec<Field> {
    let mut gathered = Gathered::default();
    for object in objects {
        let Some(fields) = fields_of(object) else { continue };
        gathered.begin();
        for (name, value) in fields {
            let text = value.get();
            match text.as_bytes().first() {
                Some(b'n') => gathered.add(&name, Kind::Nothing, text),
                Some(b't' | b'f') => gathered.add(&name, Kind::Boolean, text),
                Some(b'{' | b'[') => gathered.add(&name, Kind::Json, text),
                Some(b'"') => {
                    let text: String = serde_json::from_str(text).unwrap_or_default();
                    gathered.add(&name, Kind::of_text(&text), &text);
                }
                _ => gathered.add(&name, Kind::of_number(text), text),
            }
        }
    }
    gathered.fields()
}

#[derive(Default)]
struct Gathered {
    rows: usize,
    fields: Vec<(String, Seen)>,
    places: std::collections::HashMap<String, usize>,
}

impl Gathered {
    fn begin(&mut self) {
        self.rows += 1;
    }

    fn add(&mut self, name: &str, kind: Kind, text: &str) {
        let next = self.fields.len();
        let at = match self.places.get(name) {
            Some(&at) => at,
            None if next >= FIELDS_MAX => return,
            None => {
                self.places.insert(name.to_owned(), next);
                self.fields.push((name.to_owned(), Seen::default()));
                next
            }
        };
        self.fields[at].1.add(kind, text);
    }

    fn fields(self) -> Vec<Field> {
        let rows = self.rows;
        let field = |(name, seen): (String, Seen)| Field { name, is_nullable: seen.values < rows, seen };
        self.fields.into_iter().map(field).collect()
    }
}

/// The fields of one object, in its order; `None` where it is none.
fn fields_of(json: &[u8]) -> Option<Vec<(String, Box<RawValue>)>> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some(field) = map.next_entry()? {
                fields.push(field);
            }
            Ok(fields)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let fields = reader.deserialize_map(Fields).ok()?;
    reader.end().ok()?;
    Some(fields)
}

/// The columns that an Avro record has, by its schema: types are known there that no text tells. `None` where it is no
/// record.
pub fn of_avro(schema: &str) -> Option<Vec<(String, Kind)>> {
    let schema: serde_json::Value = serde_json::from_str(schema).ok()?;
    let fields = schema.get("fields")?.as_array()?;
    fields
        .iter()
        .take(FIELDS_MAX)
        .map(|field| Some((field.get("name")?.as_str()?.to_owned(), avro_kind(field.get("type")?))))
        .collect()
}

fn avro_kind(schema: &serde_json::Value) -> Kind {
    use serde_json::Value;
    match schema {
        Value::Array(branches) => {
            let kinds = branches.iter().map(avro_kind);
            kinds.fold(Kind::Nothing, Kind::or)
        }
        Value::Object(object) => {
            let logical = object.get("logicalType").and_then(Value::as_str).unwrap_or_default();
            match logical {
                "decimal" | "big-decimal" => Kind::Numeric,
                "date" => Kind::Date,
                "uuid" => Kind::Uuid,
                "timestamp-millis" | "timestamp-micros" | "timestamp-nanos" => Kind::Timestamptz,
                "local-timestamp-millis" | "local-timestamp-micros" | "local-timestamp-nanos" => Kind::Timestamp,
                "time-millis" | "time-micros" | "duration" => Kind::Text,
                _ => object.get("type").map_or(Kind::Text, avro_kind),
            }
        }
        Value::String(name) => match name.as_str() {
            "null" => Kind::Nothing,
            "boolean" => Kind::Boolean,
            "int" => Kind::Int,
            "long" => Kind::BigInt,
            "float" | "double" => Kind::Double,
            "bytes" | "fixed" => Kind::Bytes,
            "array" | "map" | "record" | "error" => Kind::Json,
            // a type that was named before may be anything
            _ => Kind::Text,
        },
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn formats_are_known_by_their_looks() {
        let of = |texts: &[&str]| recognise(&values(texts));
        assert_eq!(of(&["{\"a\": 1}", " {} "]), Shape::Json);
        assert_eq!(of(&["{\"a\": 1}\n{\"a\": 2}\n", "{}\n"]), Shape::Jsonl);
        assert_eq!(of(&["1,a;b", "2,\"x,\ny\""]), Shape::Csv { delimiter: ',' });
        assert_eq!(of(&["1;a\r\n", "2;b"]), Shape::Csv { delimiter: ';' });
        assert_eq!(of(&["1|a,b", "2|c"]), Shape::Csv { delimiter: '|' });
        assert_eq!(of(&["1\ta\n2\tb\n", "3\tc"]), Shape::Delimited { delimiter: '\t' });
        assert_eq!(of(&["\0\0\0\0\x01x", "\0\0\0\0\x02yy"]), Shape::Framed);
        assert_eq!(of(&["{\"a\": 1}", "[1]"]), Shape::Binary);
        assert_eq!(of(&[["{\"a\": 1, \"b\": 2}"; 9].as_slice(), &["oops, no"]].concat()), Shape::Json);
        assert_eq!(of(&[["{\"a\": 1}"; 8].as_slice(), &["oops"]].concat()), Shape::Binary);
        assert_eq!(of(&[["{}\n{}\n"; 2].as_slice(), &["{}"; 8], &["oops"]].concat()), Shape::Jsonl);
        assert_eq!(of(&["word"]), Shape::Binary);
        assert_eq!(of(&["1,\0"]), Shape::Binary);
        assert_eq!(recognise(&[vec![0xff, b',', b'1']]), Shape::Binary);
        assert_eq!(of(&[]), Shape::Binary);
    }

    fn shown(fields: &[Field]) -> Vec<String> {
        let show = |field: &Field| {
            format!("{} {} {}", field.name, field.seen.kind.sql_type(), if field.is_nullable { "null" } else { "" })
        };
        fields.iter().map(|field| show(field).trim_end().to_owned()).collect()
    }

    #[test]
    fn columns_come_in_their_order_with_what_they_hold() {
        let json = values(&[
            r#"{"z": 1, "at": "2024-01-01T00:00:00Z", "a": {"b": 1}, "n": null, "price": 1.50}"#,
            r#"{"z": 3000000000, "ok": true, "a": 2, "price": 1}"#,
        ]);
        assert_eq!(
            shown(&fields(Shape::Json, &json)),
            ["z bigint", "at timestamptz null", "a json", "n text null", "price numeric", "ok boolean null"]
        );
        let csv = values(&["1,\"2\",2024-01-01,", "2,x,2024-01-02,0.5"]);
        assert_eq!(
            shown(&fields(Shape::Csv { delimiter: ',' }, &csv)),
            ["c1 integer", "c2 text", "c3 date", "c4 numeric null"]
        );
    }

    #[test]
    fn a_stranger_has_no_part_in_the_columns() {
        let json = values(&["{\"a\": 1}", "oops", "{\"a\": 2}"]);
        assert_eq!(shown(&fields(Shape::Json, &json)), ["a integer"]);
        assert_eq!(strangers(Shape::Json, &json), [1]);
    }

    #[test]
    fn rows_are_narrower_than_the_widest() {
        let of = |shape, texts: &[&str]| narrower(shape, &values(texts));
        let csv = Shape::Csv { delimiter: ',' };
        assert_eq!(of(csv, &["1,1\n", "2", "3,\"a,b\"", "3,1,9\r\n", "", "4,,"]), 3);
        assert_eq!(of(csv, &["1,1", "2,\"a,b\""]), 0);
        assert_eq!(of(Shape::Delimited { delimiter: ',' }, &["1", "1,2"]), 0);
    }

    #[test]
    fn an_avro_record_has_the_types_of_its_schema() {
        let schema = r#"{"type": "record", "name": "r", "fields": [{"name": "id", "type": "long"},
            {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
            {"name": "raw", "type": {"type": "fixed", "size": 2, "name": "f"}},
            {"name": "tags", "type": {"type": "array", "items": "int"}},
            {"name": "kind", "type": {"type": "enum", "name": "e", "symbols": ["A"]}}]}"#;
        let kinds: Vec<_> = of_avro(schema).unwrap().into_iter().map(|(_, kind)| kind).collect();
        assert_eq!(kinds, [Kind::BigInt, Kind::Timestamptz, Kind::Bytes, Kind::Json, Kind::Text]);
        assert_eq!(of_avro("\"int\""), None);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let shape = recognise(&values);
            prop_assert!(fields(shape, &values).len() <= FIELDS_MAX);
        }

        /// What is written with a delimiter is found to be so, quotes and all.
        #[test]
        fn csv_is_found(rows in prop::collection::vec(("[0-9]{1,9}", "[a-z\",;\n]{1,9}"), 1..6)) {
            let line = |(id, text): &(String, String)| format!("{id},\"{}\"", text.replace('"', "\"\"")).into_bytes();
            let values: Vec<_> = rows.iter().map(line).collect();
            prop_assert_eq!(recognise(&values), Shape::Csv { delimiter: ',' });
            prop_assert_eq!(fields(Shape::Csv { delimiter: ',' }, &values).len(), 2);
        }
    }
}
