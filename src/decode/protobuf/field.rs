//! One value → the text of a column: bare, as hex or as an array literal. Where the text goes is an [`Out`]: a row, or
//! nowhere, to be counted.

use std::fmt::{self, Write};

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{Kind, Value};

use super::super::{ColumnKind, hex};
use super::json;
use super::known::{Known, Time};
use crate::row::Rows;

/// Takes text piece by piece.
pub(super) trait Out {
    fn put(&mut self, bytes: &[u8]);
}

impl Out for Rows {
    fn put(&mut self, bytes: &[u8]) {
        self.extend(bytes);
    }
}

/// Only counts.
#[derive(Debug, Default)]
pub(super) struct Counted(usize);

impl Counted {
    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Out for Counted {
    fn put(&mut self, bytes: &[u8]) {
        self.0 = self.0.saturating_add(bytes.len());
    }
}

/// Why a value has no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("a {0} out of its range")]
    OutOfRange(&'static str),
}

/// What is formatted goes on as it is.
struct Formatted<'a, O>(&'a mut O);

impl<O: Out> Write for Formatted<'_, O> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put(text.as_bytes());
        Ok(())
    }
}

/// Writes what formats itself.
pub(super) fn show(out: &mut impl Out, shown: fmt::Arguments<'_>) {
    Formatted(out).write_fmt(shown).expect("an Out takes everything, and what is shown here formats");
}

/// What is put is written as two digits a byte.
struct Hex<'a, O>(&'a mut O);

impl<O: Out> Out for Hex<'_, O> {
    fn put(&mut self, bytes: &[u8]) {
        hex::write(bytes, |digits| self.0.put(digits));
    }
}

/// What is put stands between the quotes of an array literal.
struct Quoted<'a, O>(&'a mut O);

impl<O: Out> Out for Quoted<'_, O> {
    fn put(&mut self, mut bytes: &[u8]) {
        while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
            self.0.put(&bytes[..at]);
            self.0.put(&[b'\\', bytes[at]]);
            bytes = &bytes[at + 1..];
        }
        self.0.put(bytes);
    }
}

/// Writes a value as a column of this kind reads it. `kind` is the field's.
///
/// # Errors
/// It has no text.
pub(super) fn write_column(value: &Value, kind: &Kind, column: ColumnKind, out: &mut impl Out) -> Result<(), Wrong> {
    match column {
        ColumnKind::Scalar => write_bare(value, kind, Bytes::Base64, out),
        ColumnKind::Json => json::write_value(value, kind, out),
        ColumnKind::Bytes => write_bytes(value, kind, out),
        ColumnKind::Array => write_array(value, kind, out),
    }
}

/// How bytes are written among texts.
#[derive(Clone, Copy)]
enum Bytes {
    Base64,
    Hex,
}

fn write_bare<O: Out>(value: &Value, kind: &Kind, bytes: Bytes, out: &mut O) -> Result<(), Wrong> {
    match value {
        Value::Bool(value) => show(out, format_args!("{value}")),
        Value::I32(value) => show(out, format_args!("{value}")),
        Value::I64(value) => show(out, format_args!("{value}")),
        Value::U32(value) => show(out, format_args!("{value}")),
        Value::U64(value) => show(out, format_args!("{value}")),
        Value::F32(value) => write_float(*value, out),
        Value::F64(value) => write_float(*value, out),
        Value::String(text) => out.put(text.as_bytes()),
        Value::EnumNumber(number) => write_enum(*number, kind, out),
        Value::Bytes(value) => match bytes {
            Bytes::Base64 => write_base64(value, out),
            Bytes::Hex => write_hex(value, out),
        },
        Value::List(_) | Value::Map(_) => json::write_value(value, kind, out)?,
        Value::Message(message) => match Known::of(message) {
            Some(Known::Timestamp(time)) => write_timestamp(time, out)?,
            Some(Known::Duration(time)) => write_interval(time, out)?,
            Some(Known::Wrapped(value, kind)) => write_bare(&value, &kind, bytes, out)?,
            _ => json::write_value(value, kind, out)?,
        },
    }
    Ok(())
}

/// Bytes and texts as they are; everything else as the text that it has.
fn write_bytes<O: Out>(value: &Value, kind: &Kind, out: &mut O) -> Result<(), Wrong> {
    match value {
        Value::Bytes(bytes) => write_hex(bytes, out),
        Value::Message(message) => match Known::of(message) {
            Some(Known::Wrapped(value, kind)) => return write_bytes(&value, &kind, out),
            _ => {
                out.put(b"\\x");
                return json::write_value(value, kind, &mut Hex(out));
            }
        },
        Value::List(_) | Value::Map(_) => {
            out.put(b"\\x");
            return json::write_value(value, kind, &mut Hex(out));
        }
        _ => {
            out.put(b"\\x");
            return write_bare(value, kind, Bytes::Hex, &mut Hex(out));
        }
    }
    Ok(())
}

/// A list by its elements; what is single, and a map, is the only element.
fn write_array<O: Out>(value: &Value, kind: &Kind, out: &mut O) -> Result<(), Wrong> {
    let elements = match value {
        Value::List(elements) => &elements[..],
        single => std::slice::from_ref(single),
    };
    let mut before: &[u8] = b"{\"";
    for element in elements {
        out.put(before);
        write_bare(element, kind, Bytes::Hex, &mut Quoted(out))?;
        before = b"\",\"";
    }
    out.put(if elements.is_empty() { b"{}" } else { b"\"}" });
    Ok(())
}

/// The shortest digits that are read back as the same, large and small ones with an exponent.
pub(super) fn write_float<O: Out, F: Into<f64> + Copy + fmt::Display + fmt::LowerExp>(float: F, out: &mut O) {
    let wide: f64 = float.into();
    let size = wide.abs();
    if wide.is_nan() {
        out.put(b"NaN");
    } else if wide.is_infinite() {
        out.put(if wide > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if size == 0.0 || (1e-5..1e16).contains(&size) {
        show(out, format_args!("{float}"));
    } else {
        show(out, format_args!("{float:e}"));
    }
}

/// An enum's name, or a number that has none.
pub(super) fn write_enum(number: i32, kind: &Kind, out: &mut impl Out) {
    match kind.as_enum().and_then(|names| names.get_value(number)) {
        Some(value) => out.put(value.name().as_bytes()),
        None => show(out, format_args!("{number}")),
    }
}

pub(super) fn write_base64(bytes: &[u8], out: &mut impl Out) {
    show(out, format_args!("{}", Base64Display::new(bytes, &BASE64_STANDARD)));
}

fn write_hex(bytes: &[u8], out: &mut impl Out) {
    out.put(b"\\x");
    Hex(out).put(bytes);
}

/// As RFC 3339, with digits behind the point in threes, as the canonical JSON has them.
pub(super) fn write_timestamp(time: Time, out: &mut impl Out) -> Result<(), Wrong> {
    let wrong = Wrong::OutOfRange("Timestamp");
    if !time.is_timestamp() {
        return Err(wrong);
    }
    let timestamp = jiff::Timestamp::new(time.seconds, 0).map_err(|_| wrong)?.to_string();
    out.put(timestamp.trim_end_matches('Z').as_bytes());
    write_fraction(time, out);
    out.put(b"Z");
    Ok(())
}

/// Hours, minutes, seconds: as many seconds as a Duration may have do not fit into the seconds of an interval.
fn write_interval(time: Time, out: &mut impl Out) -> Result<(), Wrong> {
    if !time.is_duration() {
        return Err(Wrong::OutOfRange("Duration"));
    }
    let seconds = time.seconds.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    show(out, format_args!("{}{hours:02}:{minutes:02}:{seconds:02}", time.sign()));
    write_fraction(time, out);
    Ok(())
}

/// A point and the digits behind it, in threes.
pub(super) fn write_fraction(time: Time, out: &mut impl Out) {
    match time.nanos.unsigned_abs() {
        0 => {}
        nanos if nanos % 1_000_000 == 0 => show(out, format_args!(".{:03}", nanos / 1_000_000)),
        nanos if nanos % 1000 == 0 => show(out, format_args!(".{:06}", nanos / 1000)),
        nanos => show(out, format_args!(".{nanos:09}")),
    }
}
