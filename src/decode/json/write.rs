//! Values of a document as the database reads them. The document was checked before.

use super::super::{ColumnKind, hex};
use super::scan::Problem;
use super::walk::{Kind, Value};
use crate::row::Rows;

/// Adds a value to the open field.
pub(super) fn value(document: &[u8], value: Value, kind: ColumnKind, rows: &mut Rows) -> Result<(), Problem> {
    let raw = &document[value.start..value.end];
    match (kind, value.kind) {
        (ColumnKind::Scalar | ColumnKind::Array, Kind::Text { has_escapes: false }) => rows.extend(inside(raw)),
        (ColumnKind::Scalar | ColumnKind::Array, Kind::Text { .. }) => {
            unescape(inside(raw), value.start + 1, false, |bytes| rows.extend(bytes))?;
        }
        (ColumnKind::Bytes, Kind::Text { .. }) => {
            rows.extend(br"\x");
            unescape(inside(raw), value.start + 1, true, |bytes| hex::write(bytes, |digits| rows.extend(digits)))?;
        }
        (ColumnKind::Bytes, _) => {
            rows.extend(br"\x");
            hex::write(raw, |digits| rows.extend(digits));
        }
        (ColumnKind::Array, Kind::Array) => array(raw, value.start, rows)?,
        (ColumnKind::Array, Kind::Object) => {
            // some objects look like an array's literal
            let text = format!("an object at byte {}, where an array is wanted", value.start + 1);
            return Err(Problem::new(text));
        }
        (ColumnKind::Scalar | ColumnKind::Json | ColumnKind::Array, _) => rows.extend(raw),
    }
    Ok(())
}

/// A string without its quotes.
fn inside(string: &[u8]) -> &[u8] {
    &string[1..string.len() - 1]
}

/// A JSON array as an array literal. Strings are always in quotes, documents are text in quotes.
fn array(array: &[u8], start: usize, rows: &mut Rows) -> Result<(), Problem> {
    let mut at = 0;
    while let Some(&byte) = array.get(at) {
        let length = match byte {
            b'"' => string_length(&array[at..]),
            b'{' => object_length(&array[at..]),
            b'[' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' => 1,
            _ => array[at..]
                .iter()
                .take_while(|byte| !matches!(byte, b',' | b']' | b' ' | b'\t' | b'\n' | b'\r'))
                .count(),
        };
        let element = &array[at..at + length];
        match byte {
            b'"' => {
                rows.extend(b"\"");
                unescape(inside(element), start + at + 1, false, |bytes| quoted(bytes, rows))?;
                rows.extend(b"\"");
            }
            b'{' => {
                rows.extend(b"\"");
                quoted(element, rows);
                rows.extend(b"\"");
            }
            b'[' => rows.extend(b"{"),
            b']' => rows.extend(b"}"),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'n' => rows.extend(b"NULL"),
            _ => rows.extend(element),
        }
        at += length;
    }
    Ok(())
}

/// Text inside the quotes of an array literal.
fn quoted(bytes: &[u8], rows: &mut Rows) {
    let mut rest = bytes;
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        rows.extend(&rest[..at]);
        rows.extend(&[b'\\', rest[at]]);
        rest = &rest[at + 1..];
    }
    rows.extend(rest);
}

/// Both quotes counted.
pub(super) fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(length) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += length;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

fn object_length(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(length) = memchr::memchr3(b'{', b'}', b'"', &bytes[at..]) {
        at += length;
        match bytes[at] {
            b'"' => at += string_length(&bytes[at..]),
            b'{' => (at, depth) = (at + 1, depth + 1),
            _ => (at, depth) = (at + 1, depth - 1),
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// What a string without its quotes means, bit by bit. `start` is its place in the document.
pub(super) fn unescape(
    string: &[u8],
    start: usize,
    takes_nul: bool,
    mut add: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'\\', &string[at..]) {
        add(&string[at..at + length]);
        at += length;
        let byte = match string[at + 1] {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (char, length) = unicode(&string[at..], start + at, takes_nul)?;
                add(char.encode_utf8(&mut [0; 4]).as_bytes());
                at += length;
                continue;
            }
            itself => itself,
        };
        add(&[byte]);
        at += 2;
    }
    add(&string[at..]);
    Ok(())
}

/// The character of a `\u` and its four digits, or of two that are halves of one; and its length.
fn unicode(string: &[u8], place: usize, takes_nul: bool) -> Result<(char, usize), Problem> {
    let unit = |at: usize| string.get(at..at + 6).filter(|unit| unit.starts_with(b"\\u")).map(code);
    let first = unit(0).unwrap_or_default();
    let place = place + 1;
    if first == 0 && !takes_nul {
        return Err(Problem::new(format!(r"\u0000 at byte {place}, which text cannot hold")));
    }
    if let Some(char) = char::from_u32(first) {
        return Ok((char, 6));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second) && first < 0xdc00);
    let pair = second.and_then(|second| char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)));
    let lone = || Problem::new(format!(r"\u{first:04x} at byte {place}, half of a character without the other half"));
    pair.map(|char| (char, 12)).ok_or_else(lone)
}

/// The number that the four digits behind `\u` write.
fn code(unit: &[u8]) -> u32 {
    unit[2..].iter().fold(0, |code, &digit| code * 16 + char::from(digit).to_digit(16).unwrap_or(0))
}
