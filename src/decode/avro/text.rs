//! One leaf as bare text, and as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fault::{Fault, Result};
use super::logical;
use super::read::{Leaf, Reader};
use super::sink::Sink;

impl Reader<'_> {
    /// As a column of a type of its own takes it. NULL is nothing.
    pub fn text<S: Sink>(&mut self, leaf: Leaf<'_>, out: &mut S) -> Result<()> {
        match leaf {
            Leaf::Null => {}
            Leaf::Boolean(true) => out.put(b"true"),
            Leaf::Boolean(false) => out.put(b"false"),
            Leaf::Integer(number) => out.put(itoa::Buffer::new().format(number).as_bytes()),
            Leaf::Float(number) if number.is_finite() => out.put(zmij::Buffer::new().format_finite(number).as_bytes()),
            Leaf::Float(number) => out.put(not_finite(number.into())),
            Leaf::Double(number) if number.is_finite() => out.put(zmij::Buffer::new().format_finite(number).as_bytes()),
            Leaf::Double(number) => out.put(not_finite(number)),
            Leaf::String(bytes) => {
                check(bytes)?;
                out.put(bytes);
            }
            Leaf::Symbol(symbol) => out.put(symbol.as_bytes()),
            Leaf::Bytes(bytes) if self.bytes_to_base64 => base64(bytes, out),
            Leaf::Bytes(bytes) => {
                check_bytes(bytes)?;
                code_points(bytes, out);
            }
            Leaf::Decimal { bytes, scale } => {
                self.charge(scale as usize)?;
                logical::decimal(bytes, scale, self.scratch, out)?;
            }
            Leaf::Date(days) => logical::date(days, out)?,
            Leaf::Time { count, unit } => logical::time(count, unit, out)?,
            Leaf::Timestamp { count, unit, is_local } => logical::timestamp(count, unit, is_local, out)?,
            Leaf::Uuid(bytes) => logical::uuid(bytes, out),
            Leaf::Duration(bytes) => logical::duration(bytes, out)?,
        }
        Ok(())
    }

    /// As JSON has it.
    pub fn json_leaf<S: Sink>(&mut self, leaf: Leaf<'_>, out: &mut S) -> Result<()> {
        match leaf {
            Leaf::Null => out.put(b"null"),
            Leaf::Boolean(_) | Leaf::Integer(_) | Leaf::Decimal { .. } => self.text(leaf, out)?,
            Leaf::Float(number) if number.is_finite() => self.text(leaf, out)?,
            Leaf::Double(number) if number.is_finite() => self.text(leaf, out)?,
            Leaf::String(bytes) => string(bytes, out)?,
            Leaf::Symbol(symbol) => quoted(symbol.as_bytes(), out),
            Leaf::Bytes(bytes) if !self.bytes_to_base64 => {
                check_bytes(bytes)?;
                out.put(b"\"");
                json_code_points(bytes, out);
                out.put(b"\"");
            }
            // what they write needs no escapes
            _ => {
                out.put(b"\"");
                self.text(leaf, out)?;
                out.put(b"\"");
            }
        }
        Ok(())
    }
}

/// PostgreSQL's words for them.
fn not_finite(number: f64) -> &'static [u8] {
    match number {
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => b"NaN",
    }
}

/// That a string is text: UTF-8 without NUL.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    if is_plain(bytes) { Ok(()) } else { check_wide(bytes) }
}

/// Whether all of it is ASCII without NUL, in one pass of vector code.
fn is_plain(bytes: &[u8]) -> bool {
    let is_other = |found: bool, &byte: &u8| found | (byte.wrapping_sub(1) >= 0x7f);
    let (chunks, rest) = bytes.as_chunks::<16>();
    !chunks.iter().any(|chunk| chunk.iter().fold(false, is_other)) && !rest.iter().fold(false, is_other)
}

fn check_wide(bytes: &[u8]) -> Result<()> {
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(Fault::new(format!("a NUL byte at byte {}, which text cannot hold", at + 1)));
    }
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::new(format!("invalid UTF-8 at byte {}", error.valid_up_to() + 1))),
    }
}

/// That bytes can be text, each a code point.
fn check_bytes(bytes: &[u8]) -> Result<()> {
    match memchr::memchr(0, bytes) {
        None => Ok(()),
        Some(at) => {
            let text = format!("a NUL at byte {}, which text cannot hold; set BYTES_TO_BASE64: true", at + 1);
            Err(Fault::new(text))
        }
    }
}

/// A JSON string of checked text.
pub(super) fn string<S: Sink>(bytes: &[u8], out: &mut S) -> Result<()> {
    check(bytes)?;
    quoted(bytes, out);
    Ok(())
}

fn quoted<S: Sink>(bytes: &[u8], out: &mut S) {
    out.put(b"\"");
    escaped(bytes, out);
    out.put(b"\"");
}

/// Which bytes JSON wants escaped.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        escaped[control] = true;
        control += 1;
    }
    (escaped[b'"' as usize], escaped[b'\\' as usize]) = (true, true);
    escaped
};

fn escaped<S: Sink>(mut bytes: &[u8], out: &mut S) {
    while let Some(at) = bytes.iter().position(|&byte| ESCAPED[usize::from(byte)]) {
        out.put(&bytes[..at]);
        escape(bytes[at], out);
        bytes = &bytes[at + 1..];
    }
    out.put(bytes);
}

fn escape<S: Sink>(byte: u8, out: &mut S) {
    match byte {
        b'"' => out.put(br#"\""#),
        b'\\' => out.put(br"\\"),
        b'\n' => out.put(br"\n"),
        b'\r' => out.put(br"\r"),
        b'\t' => out.put(br"\t"),
        0x08 => out.put(br"\b"),
        0x0c => out.put(br"\f"),
        control => {
            let digit = |number: u8| b"0123456789abcdef"[usize::from(number & 15)];
            out.put(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control)]);
        }
    }
}

fn json_code_points<S: Sink>(bytes: &[u8], out: &mut S) {
    for chunk in bytes.chunk_by(|a, b| a.is_ascii() == b.is_ascii()) {
        if chunk[0].is_ascii() { escaped(chunk, out) } else { code_points(chunk, out) }
    }
}

/// Each byte as the character of its number.
fn code_points<S: Sink>(bytes: &[u8], out: &mut S) {
    let mut text = [0; 128];
    for chunk in bytes.chunks(text.len() / 2) {
        let mut length = 0;
        for &byte in chunk {
            length += char::from(byte).encode_utf8(&mut text[length..]).len();
        }
        out.put(&text[..length]);
    }
}

fn base64<S: Sink>(bytes: &[u8], out: &mut S) {
    const BYTES: usize = 192;
    let mut text = [0; BYTES / 3 * 4];
    for chunk in bytes.chunks(BYTES) {
        // it fits: four characters for each three bytes, or what is left of three
        let length = STANDARD.encode_slice(chunk, &mut text).unwrap_or(0);
        out.put(&text[..length]);
    }
}
