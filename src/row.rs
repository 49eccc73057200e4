//! Rows between decoding and encoding: fields as slices of one flat buffer that is reused record after record.

use std::io::Write;

/// The rows that one record became, usually one. A field is NULL or bytes; NULL is not the empty string.
///
/// Built field by field: [`Rows::extend`] adds bytes to the open field, [`Rows::end_field`] or [`Rows::null`] closes
/// it, [`Rows::end_row`] closes the row. Nothing is allocated once the buffers are warm.
#[derive(Debug, Default, Clone)]
pub struct Rows {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// End of each row in `fields`.
    rows: Vec<usize>,
    /// What every row ends with, for now.
    tail: Option<Tail>,
}

/// One field, or several that are kept as the text of one.
#[derive(Debug, Clone, Copy)]
struct Field {
    /// In the bytes.
    end: usize,
    kind: Kind,
}

/// How a field is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bytes,
    /// Fields with a TAB between each two, see [`Rows::end_line`].
    Line,
}

/// See [`Rows::end_rows_with`].
#[derive(Debug, Default, Clone)]
struct Tail {
    bytes: Vec<u8>,
    /// Their ends are counted from the tail's own beginning.
    fields: Vec<Field>,
    counts_rows: bool,
    /// How many rows there were before.
    rows_before: usize,
    is_on: bool,
}

impl Rows {
    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.rows.clear();
    }

    /// Sees to memory for so much, and no more than that: what grows bit by bit takes up to twice what it needs.
    pub fn reserve(&mut self, room: Room) {
        self.bytes.reserve_exact(room.bytes);
        self.fields.reserve_exact(room.fields);
        self.rows.reserve_exact(room.rows);
    }

    /// Gives the memory back, and the rows with it, where it is more than so many bytes.
    pub fn shrink_to(&mut self, bytes_max: usize) {
        if self.held().bytes_held() > bytes_max {
            *self = Self::default();
        }
    }

    /// The memory that the buffers have, in use or not.
    pub fn held(&self) -> Room {
        Room { bytes: self.bytes.capacity(), fields: self.fields.capacity(), rows: self.rows.capacity() }
    }

    /// Adds bytes to the field that is open.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds bytes to the field that is open, with one of them in another's place.
    pub fn extend_replacing(&mut self, bytes: &[u8], old: u8, new: u8) {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        for byte in &mut self.bytes[from..] {
            *byte = if *byte == old { new } else { *byte };
        }
    }

    /// Closes the open field; without any [`Rows::extend`] it is the empty string.
    pub fn end_field(&mut self) {
        self.close(Kind::Bytes);
    }

    fn close(&mut self, kind: Kind) {
        self.fields.push(Field { end: self.bytes.len(), kind });
    }

    /// Closes several fields at once, which were added with a TAB between each two: none of them is NULL, and none has a
    /// byte that [`is_special`]. So they go out as they are, and nobody looks for their ends.
    pub fn end_line(&mut self) {
        self.close(Kind::Line);
    }

    /// Adds a whole field.
    pub fn field(&mut self, bytes: &[u8]) {
        self.extend(bytes);
        self.end_field();
    }

    /// Closes the open field as NULL, whatever was added to it.
    pub fn null(&mut self) {
        self.drop_field();
        self.close(Kind::Null);
    }

    /// Forgets what was added to the open field.
    pub fn drop_field(&mut self) {
        self.bytes.truncate(self.open_from());
    }

    /// What was added to the open field so far.
    pub fn open_field(&self) -> &[u8] {
        &self.bytes[self.open_from()..]
    }

    /// Closes the row.
    pub fn end_row(&mut self) {
        if let Some(tail) = self.tail.as_ref().filter(|tail| tail.is_on) {
            let from = self.bytes.len();
            self.bytes.extend_from_slice(&tail.bytes);
            self.fields.extend(tail.fields.iter().map(|field| Field { end: from + field.end, ..*field }));
            if tail.counts_rows {
                write!(self.bytes, "{}", self.rows.len() - tail.rows_before).expect("a Vec takes every byte");
                self.fields.push(Field { end: self.bytes.len(), kind: Kind::Bytes });
            }
        }
        self.rows.push(self.fields.len());
    }

    /// Takes back the end of the last row, so that more fields may follow.
    pub fn reopen_row(&mut self) {
        self.rows.pop();
    }

    /// From here on every row that ends is given these fields first, and with `counts_rows` its number, from 0.
    pub fn end_rows_with(&mut self, fields: Row<'_>, counts_rows: bool) {
        let rows_before = self.rows.len();
        let tail = self.tail.get_or_insert_default();
        tail.bytes.clear();
        tail.fields.clear();
        for field in fields {
            tail.bytes.extend_from_slice(field.unwrap_or_default());
            let kind = if field.is_some() { Kind::Bytes } else { Kind::Null };
            tail.fields.push(Field { end: tail.bytes.len(), kind });
        }
        (tail.counts_rows, tail.rows_before, tail.is_on) = (counts_rows, rows_before, true);
    }

    /// Rows end as they are again.
    pub fn end_rows_plainly(&mut self) {
        if let Some(tail) = &mut self.tail {
            tail.is_on = false;
        }
    }

    /// How many rows are closed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is closed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many fields the row that is being built has so far.
    pub fn open_fields(&self) -> usize {
        self.fields.len() - self.rows.last().copied().unwrap_or(0)
    }

    /// Where the rows end now, for [`Rows::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), fields: self.fields.len(), rows: self.rows.len() }
    }

    /// Forgets everything that was added since the mark, the row that is open too.
    pub fn rewind(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.fields.truncate(mark.fields);
        self.rows.truncate(mark.rows);
    }

    /// The rows, each an iterator over its fields; `None` is NULL.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.rows.len()).map(|row| {
            let first = if row == 0 { 0 } else { self.rows[row - 1] };
            let from = if first == 0 { 0 } else { self.fields[first - 1].end };
            Row { bytes: &self.bytes, from, fields: &self.fields[first..self.rows[row]] }
        })
    }

    /// Some of the rows, as they count from 0; `None` where one of them is not there.
    pub fn only(&self, wanted: &[u32]) -> Option<Self> {
        let mut some = Self::default();
        for &row in wanted {
            let row = self.iter().nth(usize::try_from(row).ok()?)?;
            for field in row {
                match field {
                    Some(bytes) => some.field(bytes),
                    None => some.null(),
                }
            }
            some.end_row();
        }
        Some(some)
    }

    fn open_from(&self) -> usize {
        self.fields.last().map_or(0, |field| field.end)
    }
}

/// Whether a byte of a field may not stand for itself in the TEXT form: TAB, LF, VT, FF, CR (9 to 13) and the backslash. VT
/// and FF need no escape; the range costs less with them.
pub const fn is_special(byte: u8) -> bool {
    (byte.wrapping_sub(9) < 5) | (byte == b'\\')
}

/// How much of [`Rows`] something takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Of all fields together.
    pub bytes: usize,
    pub fields: usize,
    pub rows: usize,
}

impl Room {
    /// Bytes of memory that it comes to: beside a field of one byte what names it is the larger part by far.
    pub fn bytes_held(self) -> usize {
        self.bytes + self.fields * size_of::<Field>() + self.rows * size_of::<usize>()
    }
}

/// A place in [`Rows`] to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    bytes: usize,
    fields: usize,
    rows: usize,
}

/// One row: an iterator over its fields.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    bytes: &'a [u8],
    from: usize,
    fields: &'a [Field],
}

impl<'a> Row<'a> {
    /// All fields that are still to come, joined: one slice to search instead of many small ones.
    pub fn joined(&self) -> &'a [u8] {
        let to = self.fields.last().map_or(self.from, |field| field.end);
        &self.bytes[self.from..to]
    }

    /// All fields that are still to come as they are kept, of which there are so many.
    pub fn kept(self) -> impl ExactSizeIterator<Item = (Kind, &'a [u8])> {
        let Self { bytes, mut from, fields } = self;
        fields.iter().map(move |field| {
            let begin = std::mem::replace(&mut from, field.end);
            (field.kind, &bytes[begin..field.end])
        })
    }
}

impl<'a> Iterator for Row<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&Field { end, kind }, fields) = self.fields.split_first()?;
        let field = &self.bytes[self.from..end];
        if kind == Kind::Line
            && let Some(at) = memchr::memchr(b'\t', field)
        {
            self.from += at + 1;
            return Some(Some(&field[..at]));
        }
        self.from = end;
        self.fields = fields;
        Some((kind != Kind::Null).then_some(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_the_empty_string() {
        let mut rows = Rows::default();
        rows.field(b"a");
        rows.null();
        rows.end_row();
        rows.end_field();
        rows.extend(b"b");
        rows.extend(b"c");
        rows.end_field();
        rows.end_row();
        let seen: Vec<Vec<Option<&[u8]>>> = rows.iter().map(Iterator::collect).collect();
        assert_eq!(seen, [vec![Some(&b"a"[..]), None], vec![Some(&b""[..]), Some(&b"bc"[..])]]);
    }

    #[test]
    fn a_field_that_is_null_or_dropped_leaves_no_bytes() {
        let mut rows = Rows::default();
        rows.extend(b"dropped");
        assert_eq!(rows.open_field(), b"dropped");
        rows.drop_field();
        rows.field(b"a");
        rows.extend(b"none");
        rows.null();
        rows.field(b"b");
        rows.end_row();
        assert_eq!(rows.iter().next().unwrap().joined(), b"ab");
        assert_eq!(rows.iter().next().unwrap().count(), 3);
    }

    #[test]
    fn a_tail_follows_every_row_while_it_is_on() {
        let mut tail = Rows::default();
        tail.field(b"k");
        tail.null();
        tail.end_row();
        let mut rows = Rows::default();
        rows.field(b"plain");
        rows.end_row();
        rows.end_rows_with(tail.iter().next().unwrap(), true);
        for field in [b"a", b"b"] {
            rows.field(field);
            rows.end_row();
        }
        rows.end_rows_plainly();
        rows.field(b"plain");
        rows.end_row();
        let shown = |field: Option<&[u8]>| field.map_or("NULL".to_owned(), |field| field.escape_ascii().to_string());
        let seen: Vec<_> = rows.iter().map(|row| row.map(shown).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(seen, ["plain", "a k NULL 0", "b k NULL 1", "plain"]);
    }

    #[test]
    fn a_line_is_its_fields() {
        let mut rows = Rows::default();
        rows.field(b"before");
        for line in [&b"a\t\tb"[..], b"c", b"\t"] {
            rows.extend(line);
            rows.end_line();
        }
        rows.null();
        rows.end_row();
        let row = rows.iter().next().unwrap();
        let fields: Vec<_> = row.clone().map(|field| field.map_or("NULL".into(), String::from_utf8_lossy)).collect();
        assert_eq!(fields, ["before", "a", "", "b", "c", "", "", "NULL"]);
        let kept: Vec<_> = row.kept().map(|(kind, _)| kind).collect();
        assert_eq!(kept, [Kind::Bytes, Kind::Line, Kind::Line, Kind::Line, Kind::Null]);
        assert_eq!(rows.only(&[0]).unwrap().iter().next().unwrap().count(), 8);
    }

    #[test]
    fn memory_is_kept_up_to_a_bound() {
        let mut rows = Rows::default();
        rows.reserve(Room { bytes: 1000, fields: 100, rows: 10 });
        let held = rows.held();
        assert!(held.bytes >= 1000 && held.fields >= 100 && held.rows >= 10, "{held:?}");
        rows.shrink_to(held.bytes_held());
        assert_eq!(rows.held(), held);
        rows.shrink_to(held.bytes_held() - 1);
        assert_eq!(rows.held(), Room::default());
    }

    #[test]
    fn a_rewind_forgets_rows_and_the_open_row() {
        let mut rows = Rows::default();
        rows.field(b"kept");
        rows.end_row();
        let mark = rows.mark();
        rows.field(b"gone");
        rows.end_row();
        rows.field(b"gone");
        rows.extend(b"too");
        rows.rewind(mark);
        assert_eq!((rows.len(), rows.open_fields(), rows.open_field()), (1, 0, &b""[..]));
        assert_eq!(rows.iter().next().unwrap().joined(), b"kept");
    }
}
