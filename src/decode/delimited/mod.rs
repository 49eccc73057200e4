//! delimited: rows of fields, both parted by byte strings of the job's own. Nothing is NULL: an empty field is the empty
//! string, which a column that is no text refuses.
//!
//! # Rows
//!
//! A row ends where EOL_PREFIX and LF stand; without a prefix at LF, and a CR before it belongs to the end, as does one
//! at the payload's end. The last row may lack its end: a prefix without its LF is text. An end with nothing behind it
//! opens no row; a payload without bytes is one empty row. Delimiters are found from the left, and one that overlaps
//! the beginning of a row's end is none: of `a||⏎` with delimiter `||` and prefix `|` is left `a|`.
//!
//! # Marks
//!
//! - Neither QUOTE nor ESCAPE: nothing is special (`plain`, here).
//! - ESCAPE alone: it makes ordinary the delimiter, the row's end, EOL_PREFIX or another ESCAPE behind it. Before
//!   anything else, and as a payload's last byte, it is a byte as any other.
//! - QUOTE and ESCAPE: as in our csv, quotes may begin and end anywhere in a field, so that text before and behind them
//!   belongs to it: `a"b|c"d` is `ab|cd`. Between quotes delimiters and row ends are text. ESCAPE makes ordinary a QUOTE
//!   or another ESCAPE, in quotes and, where the two are not the same byte, outside of them; before anything else it is
//!   a byte as any other, so it does not hide delimiters. A quote without its end refuses the record. A delimiter is
//!   found only where its bytes stand side by side: `||` is none in `a|""|b`, which is `a||b`.

mod marked;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use memchr::memmem::Finder;

use self::marked::Marks;
use super::columns::{Columns, is_text};
use super::lines::Lines;
use super::{Cause, DelimitedOptions, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "delimited";

pub(super) struct Delimited {
    delimiter: Delimiter,
    columns: Columns,
    lines: Lines,
    /// `None`: nothing is special but delimiters and row ends.
    marks: Option<Box<Marks>>,
    /// No character of a text is cut in two by what is looked for.
    parts_by_text: bool,
}

/// One byte is found faster than a needle of one byte.
enum Delimiter {
    Byte(u8),
    Bytes(Box<Finder<'static>>),
}

impl Delimited {
    pub fn new(options: &DelimitedOptions, columns: Columns) -> Self {
        let DelimitedOptions { delimiter, eol_prefix, quote, escape } = options;
        let marks = [*quote, *escape];
        Self {
            delimiter: match delimiter[..] {
                [byte] => Delimiter::Byte(byte),
                _ => Delimiter::Bytes(Box::new(Finder::new(delimiter).into_owned())),
            },
            columns,
            lines: Lines::new(&[eol_prefix, &b"\n"[..]].concat()),
            marks: marks.iter().any(Option::is_some).then(|| Box::new(Marks::new(options))),
            parts_by_text: is_text(delimiter) && is_text(eol_prefix) && marks.iter().flatten().all(u8::is_ascii),
        }
    }

    /// A row without any marks. `find` is where the next delimiter, of so many bytes, stands.
    #[inline]
    fn line(
        &self,
        line: &[u8],
        is_clean: bool,
        rows: &mut Rows,
        length: usize,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<(), Cause> {
        let mut rest = Some(line);
        let mut column = 0;
        while let Some(line) = rest {
            let target = self.columns.expect(column)?;
            let end = find(line);
            rest = end.map(|end| &line[end + length..]);
            rows.extend(&line[..end.unwrap_or(line.len())]);
            target.end(rows, is_clean)?;
            column += 1;
        }
        end_row(&self.columns, column, rows)
    }
}

/// Closes a row of so many fields, if that is all of them.
#[inline]
fn end_row(columns: &Columns, fields: usize, rows: &mut Rows) -> Result<(), Cause> {
    if let Some(missing) = columns.get(fields) {
        return Err(Cause::MissingData { column: Arc::clone(&missing.name) });
    }
    rows.end_row();
    Ok(())
}

impl Parse for Delimited {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        let is_clean = self.parts_by_text && is_text(payload);
        if let Some(marks) = &self.marks {
            return marks.parse(payload, &self.columns, is_clean, rows);
        }
        let mut lines = self.lines.of(payload);
        match &self.delimiter {
            &Delimiter::Byte(byte) => {
                lines.try_for_each(|line| self.line(line, is_clean, rows, 1, |line| memchr::memchr(byte, line)))
            }
            Delimiter::Bytes(finder) => {
                let length = finder.needle().len();
                lines.try_for_each(|line| self.line(line, is_clean, rows, length, |line| finder.find(line)))
            }
        }
    }

    /// Whatever the columns are, a byte ends every field but the last. Marks make rows, fields and bytes fewer.
    fn room(&self, payload: &[u8]) -> Room {
        let lines = self.lines.count(payload);
        let fields = lines.saturating_mul(self.columns.len()).min(payload.len() + 1);
        Room { bytes: payload.len(), fields, rows: lines }
    }
}
