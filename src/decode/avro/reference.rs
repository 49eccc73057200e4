//! Random schemas and values, written by the reference implementation and read by ours; what it must become is rendered
//! anew here, the slow and plain way, from the reference's values. Then the same bytes with damage.

use std::collections::HashMap;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use serde_json::json;

use super::super::{Column, ColumnKind};
use super::dice::{Dice, PLAIN, Shape};
use super::tests::{avro, column, of_schema, shown};

/// Bare text, quoted in JSON if `true`. `None`: it has parts, or is null.
fn leaf(value: &Value, shape: &Shape, base64: bool) -> Option<(String, bool)> {
    let in_time =
        |unit: i64| move |count: &i64| jiff::civil::Time::midnight() + jiff::SignedDuration::from_nanos(count * unit);
    let fraction = |text: String, digits: usize| match text.rsplit_once('.') {
        Some((whole, fraction)) if fraction.chars().all(|digit| digit == '0') => whole.to_owned(),
        Some((whole, fraction)) => format!("{whole}.{fraction:0<digits$}"),
        None => text,
    };
    let civil = |seconds: i64, nanos: i64, digits: usize| {
        let time = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0) + jiff::SignedDuration::from_secs(seconds);
        fraction((time + jiff::SignedDuration::from_nanos(nanos)).to_string(), digits)
    };
    let millis = |count: &i64| civil(count.div_euclid(1000), count.rem_euclid(1000) * 1_000_000, 3);
    let micros = |count: &i64| civil(count.div_euclid(1_000_000), count.rem_euclid(1_000_000) * 1000, 6);
    let nanos = |count: &i64| civil(count.div_euclid(1_000_000_000), count.rem_euclid(1_000_000_000), 9);
    Some(match value {
        Value::Boolean(truth) => (truth.to_string(), false),
        Value::Int(number) => (number.to_string(), false),
        Value::Long(number) => (number.to_string(), false),
        Value::Float(number) => float(format!("{number:?}")),
        Value::Double(number) => float(format!("{number:?}")),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) if base64 => {
            use base64::Engine as _;
            (base64::engine::general_purpose::STANDARD.encode(bytes), true)
        }
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => (bytes.iter().map(|&byte| char::from(byte)).collect(), true),
        Value::String(text) | Value::Enum(_, text) => (text.clone(), true),
        Value::Date(days) => {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(*days);
            (date.to_string(), true)
        }
        Value::TimeMillis(count) => (fraction(in_time(1_000_000)(&i64::from(*count)).to_string(), 3), true),
        Value::TimeMicros(count) => (fraction(in_time(1000)(count).to_string(), 6), true),
        Value::TimestampMillis(count) => (millis(count) + "Z", true),
        Value::TimestampMicros(count) => (micros(count) + "Z", true),
        Value::TimestampNanos(count) => (nanos(count) + "Z", true),
        Value::LocalTimestampMillis(count) => (millis(count), true),
        Value::LocalTimestampMicros(count) => (micros(count), true),
        Value::LocalTimestampNanos(count) => (nanos(count), true),
        Value::Uuid(uuid) => (uuid.to_string(), true),
        Value::Duration(_) => (duration(&raw(value).unwrap()), true),
        Value::Decimal(_) => (decimal(&raw(value).unwrap(), shape), false),
        _ => return None,
    })
}

fn float(debug: String) -> (String, bool) {
    match debug.as_str() {
        "NaN" => (debug, true),
        "inf" => ("Infinity".to_owned(), true),
        "-inf" => ("-Infinity".to_owned(), true),
        _ => (debug, false),
    }
}

fn duration(bytes: &[u8]) -> String {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let millis = match number(8) % 1000 {
        0 => String::new(),
        millis => format!(".{millis:03}"),
    };
    format!("P{}M{}DT{}{millis}S", number(0), number(4), number(8) / 1000)
}

fn decimal(bytes: &[u8], shape: &Shape) -> String {
    let Shape::Decimal(_, scale) = shape else { unreachable!("{shape:?}") };
    let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
    let wide = [&vec![fill; 16 - bytes.len()], bytes].concat();
    let number = i128::from_be_bytes(wide.try_into().unwrap());
    let digits = format!("{:0>1$}", number.unsigned_abs(), scale + 1);
    let (whole, behind) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    if *scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{behind}") }
}

/// The bytes of what is written as bytes.
fn raw(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Some(bytes.clone()),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Decimal(decimal) => Some(decimal.try_into().unwrap()),
        Value::Duration(duration) => Some(<[u8; 12]>::from(duration).to_vec()),
        _ => None,
    }
}

fn as_json(value: &Value, shape: &Shape, base64: bool) -> String {
    if let Some((text, is_quoted)) = leaf(value, shape, base64) {
        return if is_quoted { json!(text).to_string() } else { text };
    }
    let joined = |items: Vec<String>| items.join(",");
    match (value, shape) {
        (Value::Null, _) => "null".to_owned(),
        (Value::Union(at, value), Shape::Union(branches)) => as_json(value, &branches[*at as usize], base64),
        (Value::Array(items), Shape::Array(shape)) => {
            format!("[{}]", joined(items.iter().map(|item| as_json(item, shape, base64)).collect()))
        }
        (Value::Map(entries), Shape::Map(shape)) => {
            let entry = |(key, value): (&String, &Value)| format!("{}:{}", json!(key), as_json(value, shape, base64));
            format!("{{{}}}", joined(entries.iter().map(entry).collect()))
        }
        (Value::Record(fields), Shape::Record(shapes)) => {
            let field = |((name, value), (_, shape)): (&(String, Value), &(String, Shape))| {
                format!("{}:{}", json!(name), as_json(value, shape, base64))
            };
            format!("{{{}}}", joined(fields.iter().zip(shapes).map(field).collect()))
        }
        _ => unreachable!("{value:?} is no {shape:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a column of the kind becomes.
fn as_field(value: &Value, shape: &Shape, kind: ColumnKind, base64: bool) -> String {
    if let (Value::Union(at, value), Shape::Union(branches)) = (value, shape) {
        return as_field(value, &branches[*at as usize], kind, base64);
    }
    let bare = leaf(value, shape, base64).map_or_else(|| as_json(value, shape, base64), |(text, _)| text);
    match (value, kind) {
        (Value::Null, _) => "NULL".to_owned(),
        (_, ColumnKind::Json) => as_json(value, shape, base64),
        (Value::Uuid(uuid), ColumnKind::Bytes) if matches!(shape, Shape::FixedUuid) => {
            format!(r"\x{}", hex(uuid.as_bytes()))
        }
        (Value::Decimal(_), ColumnKind::Bytes) => {
            // a fixed has its sign before it, over and over
            let (bytes, Shape::Decimal(size, _)) = (raw(value).unwrap(), shape) else { unreachable!("{shape:?}") };
            let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
            let size = size.unwrap_or(bytes.len());
            format!(r"\x{}", hex(&[vec![fill; size - bytes.len()], bytes].concat()))
        }
        (_, ColumnKind::Bytes) => format!(r"\x{}", hex(&raw(value).unwrap_or_else(|| bare.into_bytes()))),
        (Value::Array(_), ColumnKind::Array) => literal(value, shape, base64),
        _ => bare,
    }
}

fn literal(value: &Value, shape: &Shape, base64: bool) -> String {
    let (Value::Array(items), Shape::Array(shape)) = (value, shape) else { unreachable!("{shape:?}") };
    let items: Vec<_> = items.iter().map(|item| element(item, shape, base64)).collect();
    format!("{{{}}}", items.join(","))
}

fn element(value: &Value, shape: &Shape, base64: bool) -> String {
    match (value, shape) {
        (Value::Union(at, value), Shape::Union(branches)) => element(value, &branches[*at as usize], base64),
        (Value::Array(_), _) => literal(value, shape, base64),
        (Value::Null, _) => "NULL".to_owned(),
        (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => format!(r#""\\x{}""#, hex(bytes)),
        (Value::Float(_) | Value::Double(_), _) => leaf(value, shape, base64).unwrap().0,
        _ => match leaf(value, shape, base64) {
            Some((text, false)) => text,
            Some((text, true)) => format!(r#""{}""#, text.replace('\\', r"\\").replace('"', r#"\""#)),
            None => {
                let text = as_json(value, shape, base64);
                format!(r#""{}""#, text.replace('\\', r"\\").replace('"', r#"\""#))
            }
        },
    }
}

/// A random datum with all that is known of it.
struct Case {
    schema: String,
    shape: Shape,
    value: Value,
    datum: Vec<u8>,
}

fn case(seed: u64, is_record: bool) -> Case {
    let mut dice = Dice::new(seed);
    let shape = if is_record { dice.record(4) } else { dice.shape(4) };
    let value = dice.value(&shape);
    let schema = shape.schema(&mut dice).to_string();
    let parsed = apache_avro::Schema::parse_str(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let blocks = [None, Some(1), Some(20)][dice.below(3)];
    let writer = GenericDatumWriter::builder(&parsed).maybe_target_block_size(blocks).build().unwrap();
    let mut datum = Vec::new();
    writer.write_value_ref(&mut datum, &value).unwrap_or_else(|error| panic!("{schema}: {value:?}: {error}"));
    Case { schema, shape, value, datum }
}

const KINDS: [ColumnKind; 4] = [ColumnKind::Scalar, ColumnKind::Json, ColumnKind::Bytes, ColumnKind::Array];

/// Every field of a record in every kind.
fn all_columns(shape: &Shape) -> Vec<Column> {
    let Shape::Record(fields) = shape else { return Vec::new() };
    fields.iter().flat_map(|(name, _)| KINDS.map(|kind| column(name, kind))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_document_says_what_the_reference_wrote(seed: u64, base64: bool) {
        let Case { schema, shape, value, datum } = case(seed, false);
        prop_assume!(!datum.is_empty() || schema == r#""null""#);
        let mut decoder = of_schema(&avro(&schema), &[Column::document("doc")], base64);
        prop_assert_eq!(shown(&mut *decoder, &datum), as_json(&value, &shape, base64), "{}", schema);
    }

    #[test]
    fn columns_say_what_the_reference_wrote(seed: u64, base64: bool) {
        let Case { schema, shape, value, datum } = case(seed, true);
        let (Value::Record(values), Shape::Record(shapes)) = (&value, &shape) else { unreachable!("{shape:?}") };
        let columns = all_columns(&shape);
        prop_assume!(columns.len() > 1 && !datum.is_empty());
        let fields = values.iter().zip(shapes);
        let expected: Vec<_> = fields
            .flat_map(|((_, value), (_, shape))| KINDS.map(|kind| as_field(value, shape, kind, base64)))
            .collect();
        let mut decoder = of_schema(&avro(&schema), &columns, base64);
        prop_assert_eq!(shown(&mut *decoder, &datum), expected.join("|"), "{}", schema);
    }

    /// `shown` holds that what comes out is text, and no more than the room that was asked for.
    #[test]
    fn no_bytes_make_it_panic(
        seed: u64,
        is_record: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
        is_cut: bool,
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let Case { schema, shape, mut datum, .. } = case(seed, is_record);
        let schema = avro(&schema);
        if is_cut {
            datum.truncate(cut.index(datum.len() + 1));
        }
        if !datum.is_empty() {
            for (at, byte) in damage {
                let at = at.index(datum.len());
                datum[at] = byte;
            }
        }
        let mut documents = of_schema(&schema, &[Column::document("doc")], false);
        for payload in [&datum, &noise] {
            let text = shown(&mut *documents, payload);
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert!(is_json || text.starts_with("avro  "), "{}", text);
            for column in all_columns(&shape) {
                shown(&mut *of_schema(&schema, &[column], false), payload);
            }
        }
    }
}

proptest! {
    /// A schema comes from a registry, and may be anything.
    #[test]
    fn no_schema_makes_it_panic(
        seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), "[\"{}\\[\\]:,a0-9]"), 1..4),
        noise in prop::collection::vec(0_u8..4, 0..40),
    ) {
        let mut schema = case(seed, true).schema;
        for (at, text) in damage {
            let at = at.index(schema.len());
            schema.replace_range(at..=at, &text);
        }
        let columns = [column("n1.n2.0", ColumnKind::Array), column("n3", ColumnKind::Scalar)];
        for columns in [&columns[..], &columns[1..], &[]] {
            let text = shown(&mut *of_schema(&avro(&schema), columns, false), &noise);
            let is_refused = super::check(&avro(&schema)).is_err();
            prop_assert_eq!(is_refused, text.contains("the schema cannot be used: "), "{}", text);
        }
    }
}

/// The generators reach what they are for.
#[test]
fn cases_are_not_all_alike() {
    let mut kinds = HashMap::new();
    for seed in 0..500_u64 {
        let case = case(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), false);
        *kinds.entry(case.shape.kind().to_owned()).or_insert(0) += 1;
    }
    for kind in PLAIN.iter().chain(&["fixed", "enum", "array", "map", "union", "record"]) {
        assert!(kinds.contains_key(*kind), "{kind} in {kinds:?}");
    }
}
