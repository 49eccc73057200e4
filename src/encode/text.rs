//! The TEXT form: `FORMAT 'TEXT' (DELIMITER E'\t' NULL '\N' ESCAPE '\' NEWLINE 'LF')`, also what COPY reads by default.
//!
//! Backslashes are always doubled and CR, LF and TAB never stand raw. So no line is `\.`, which would silently end
//! the stream, and no first line makes a segment take CR for the line end.

use crate::row::Row;

/// For each byte the letter that stands behind a backslash in its place; 0 where it stands for itself.
static LETTERS: [u8; 256] = letters();

/// Bytes that are looked at together: wide enough for the compiler to use vectors, small against a field.
const CHUNK_BYTES: usize = 32;

/// Adds one row and its LF.
pub fn encode(row: Row<'_>, out: &mut Vec<u8>) {
    let joined = row.joined();
    let is_plain = joined.len() < CHUNK_BYTES * 8 && find(joined).is_none();
    // Room for TAB or LF after each field and for `\N` in it.
    out.reserve(joined.len() + 3 * row.len() + 1);
    for (index, field) in row.enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        match field {
            None => out.extend_from_slice(b"\\N"),
            Some(field) if is_plain => out.extend_from_slice(field),
            Some(field) => escape(field, out),
        }
    }
    out.push(b'\n');
}

/// Adds a field.
fn escape(mut field: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = find(field) {
        out.extend_from_slice(&field[..at]);
        out.extend_from_slice(&[b'\\', LETTERS[usize::from(field[at])]]);
        field = &field[at + 1..];
    }
    out.extend_from_slice(field);
}

/// The first byte that may not stand for itself.
fn find(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        // Without branches, so that it becomes vector code.
        if chunk.iter().fold(false, |found, &byte| found | is_special(byte)) {
            return chunk.iter().position(|&byte| is_special(byte)).map(|inside| at + inside);
        }
        at += chunk.len();
    }
    None
}

/// TAB, LF, VT, FF, CR (9 to 13) and the backslash. VT and FF need no escape; the range costs less with them.
const fn is_special(byte: u8) -> bool {
    (byte.wrapping_sub(9) < 5) | (byte == b'\\')
}

const fn letters() -> [u8; 256] {
    let mut letters = [0; 256];
    letters[b'\t' as usize] = b't';
    letters[b'\n' as usize] = b'n';
    letters[0x0b] = b'v';
    letters[0x0c] = b'f';
    letters[b'\r' as usize] = b'r';
    letters[b'\\' as usize] = b'\\';
    letters
}
