//! The TEXT form: `FORMAT 'TEXT' (DELIMITER E'\t' NULL '\N' ESCAPE '\' NEWLINE 'LF')`, also what COPY reads by default.
//!
//! Backslashes are always doubled and CR, LF and TAB never stand raw. So no line is `\.`, which would silently end
//! the stream, and no first line makes a segment take CR for the line end.

use crate::row::{Kind, Room, Row, is_special};

/// For each byte the letter that stands behind a backslash in its place; 0 where it stands for itself.
static LETTERS: [u8; 256] = letters();

/// Bytes that are looked at together: wide enough for the compiler to use vectors, small against a field.
const CHUNK_BYTES: usize = 32;

/// Bytes of memory that rows of this size want when they are encoded, as long as nothing in them is escaped: TAB or LF
/// after each field, `\N` in one that is NULL.
pub fn bytes_wanted(room: Room) -> usize {
    room.bytes + 3 * room.fields + 1
}

/// Adds one row and its LF.
pub fn encode(row: Row<'_>, out: &mut Vec<u8>) {
    let joined = row.joined();
    let fields = row.kept();
    out.reserve(bytes_wanted(Room { bytes: joined.len(), fields: fields.len(), rows: 1 }));
    // One search of all fields costs less than one of each, and most rows have nothing to escape.
    let is_plain = fields.len() > 1 && find(joined).is_none();
    for (index, (kind, field)) in fields.enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        match kind {
            Kind::Null => out.extend_from_slice(b"\\N"),
            Kind::Line => out.extend_from_slice(field),
            Kind::Bytes if is_plain => out.extend_from_slice(field),
            Kind::Bytes => escape(field, out),
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
    let (chunks, _) = bytes.as_chunks();
    if let Some(index) = chunks.iter().position(has_special) {
        return place(&chunks[index]).map(|at| index * CHUNK_BYTES + at);
    }
    match bytes.last_chunk() {
        // It overlaps a chunk that has none, and spares a look at single bytes.
        Some(last) if has_special(last) => place(last).map(|at| bytes.len() - CHUNK_BYTES + at),
        Some(_) => None,
        None => place(bytes),
    }
}

/// Without a branch for each byte, so that it becomes vector code: many times what one byte after the other makes.
fn has_special(chunk: &[u8; CHUNK_BYTES]) -> bool {
    chunk.iter().fold(0, |found, &byte| found | u8::from(is_special(byte))) != 0
}

fn place(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| is_special(byte))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::row::Rows;

    type Fields = Vec<Option<Vec<u8>>>;

    fn encoded<F: AsRef<[u8]>>(fields: &[Option<F>]) -> Vec<u8> {
        let mut rows = Rows::default();
        for field in fields {
            match field {
                Some(field) => rows.field(field.as_ref()),
                None => rows.null(),
            }
        }
        rows.end_row();
        let mut out = Vec::new();
        encode(rows.iter().next().unwrap(), &mut out);
        out
    }

    /// Reads a line as a segment does: split at raw TABs, NULL before unescaping, then escapes.
    fn read(line: &[u8]) -> Fields {
        line.split(|&byte| byte == b'\t').map(|raw| (raw != b"\\N").then(|| unescaped(raw))).collect()
    }

    fn unescaped(raw: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        let mut bytes = raw.iter();
        while let Some(&byte) = bytes.next() {
            field.push(match byte {
                b'\\' => match bytes.next().unwrap() {
                    b'b' => 8,
                    b't' => 9,
                    b'n' => 10,
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => 13,
                    b'0'..=b'7' | b'x' => panic!("a number: {}", raw.escape_ascii()),
                    &other => other,
                },
                byte => byte,
            });
        }
        field
    }

    #[test]
    fn rows_without_escapes_fit_into_what_they_want() {
        let mut rows = Rows::default();
        for row in 0..100 {
            (0..row % 7).for_each(|_| rows.null());
            rows.field(&vec![b'x'; row]);
            rows.end_row();
        }
        let fields = (0..100).map(|row| row % 7 + 1).sum();
        let mut out = Vec::with_capacity(bytes_wanted(Room { bytes: 4950, fields, rows: 100 }));
        let held = out.capacity();
        rows.iter().for_each(|row| encode(row, &mut out));
        assert_eq!(out.capacity(), held);
    }

    #[test]
    fn fields_that_look_like_something_else() {
        for (fields, expected) in [
            (vec![Some(r"\N"), None, Some("")], "\\\\N\t\\N\t\n"),
            (vec![Some(r"\.")], "\\\\.\n"),
            (vec![Some(r"a\.")], "a\\\\.\n"),
            (vec![Some(r"\"), Some(".")], "\\\\\t.\n"),
            (vec![Some("a\tb\nc\rd")], "a\\tb\\nc\\rd\n"),
            (vec![Some("\r\n")], "\\r\\n\n"),
            (vec![Some("\u{8}\u{b}\u{c}\u{7f}é")], "\u{8}\\v\\f\u{7f}é\n"),
            (vec![Some(r"\x41\101")], "\\\\x41\\\\101\n"),
            (vec![Some("")], "\n"),
            (vec![], "\n"),
        ] {
            assert_eq!(encoded(&fields).escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        }
    }

    #[test]
    fn every_byte_at_every_place_of_a_chunk() {
        for length in [0, 1, 31, 32, 33, 255, 256, 257, 300] {
            for special in [b'\\', b'\t', b'\n', b'\r', b'\x0b', b'\x0c', b'N', b'.', 8, 14] {
                for place in 0..length {
                    let mut field = vec![b'x'; length];
                    field[place] = special;
                    let line = encoded(&[Some(&field)]);
                    assert_eq!(read(line.strip_suffix(b"\n").unwrap()), [Some(field)]);
                }
            }
        }
    }

    /// Text that is full of what must be escaped, some of it long.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let hurting = "[\\\\.N\t\n\r\u{8}\u{b}\u{c}x0a,\"\u{e9}\u{20ac}]{0,20}";
        prop_oneof![hurting, "\\PC{0,20}", "[a-z]{0,400}[\\\\\n]?[a-z]{0,400}"].prop_map(String::into_bytes)
    }

    proptest! {
        #[test]
        fn a_segment_reads_what_was_encoded(rows in prop::collection::vec(prop::collection::vec(prop::option::of(field()), 1..6), 1..6)) {
            let out: Vec<u8> = rows.iter().flat_map(|fields| encoded(fields)).collect();
            prop_assert!(!out.contains(&b'\r'));
            let lines: Vec<&[u8]> = out.strip_suffix(b"\n").unwrap().split(|&byte| byte == b'\n').collect();
            prop_assert_eq!(lines.len(), rows.len());
            for (line, fields) in lines.into_iter().zip(rows) {
                prop_assert_ne!(line, b"\\.");
                prop_assert_eq!(read(line), fields);
            }
        }
    }
}
