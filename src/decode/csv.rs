//! csv: one row a record, read as COPY … CSV of Greenplum 6 reads a line. Quotes may begin and end anywhere in a field,
//! spaces belong to it, an unquoted field that equals the NULL string is NULL, and `\.` is ordinary.
//!
//! One line end after the row is dropped; any other line break must stand inside quotes.

use std::sync::Arc;

use super::columns::{Columns, Target, is_text};
use super::{Cause, CsvOptions, Parse};
use crate::row::Rows;

pub(super) const NAME: &str = "csv";

pub(super) struct Csv {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    fills_missing: bool,
    columns: Columns,
    /// For each column, whether NULL becomes the NULL string.
    is_forced: Vec<bool>,
}

/// What one look at a whole line told, so that not every field needs one.
#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    /// All of it is text, and fields are parted by ASCII.
    is_clean: bool,
    has_breaks: bool,
}

impl Csv {
    pub fn new(options: &CsvOptions, columns: Columns) -> Self {
        let forced = |column| {
            columns
                .get(column)
                .is_some_and(|target: &Target| options.force_not_null.iter().any(|name| **name == *target.name))
        };
        Self {
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null_string.clone().into_bytes(),
            fills_missing: options.fill_missing_fields,
            is_forced: (0..columns.len()).map(forced).collect(),
            columns,
        }
    }

    /// Reads the field at `at`; returns where the next begins, if there is one.
    fn field(&self, line: Line<'_>, mut at: usize, column: usize, rows: &mut Rows) -> Result<Option<usize>, Cause> {
        let target = self.columns.expect(column)?;
        let start = at;
        let mut is_quoted = false;
        loop {
            let plain = &line.bytes[at..];
            let end = memchr::memchr2(self.delimiter, self.quote, plain).unwrap_or(plain.len());
            if line.has_breaks && memchr::memchr2(b'\n', b'\r', &plain[..end]).is_some() {
                return Err(Cause::LineBreak { column: Arc::clone(&target.name) });
            }
            rows.extend(&plain[..end]);
            at += end;
            let stop = line.bytes.get(at);
            if stop != Some(&self.quote) || self.quote == self.delimiter {
                if !is_quoted && line.bytes[start..at] == *self.null {
                    self.null(column, target, rows);
                } else {
                    target.end(rows, line.is_clean)?;
                }
                return Ok(stop.map(|_| at + 1));
            }
            is_quoted = true;
            at = self.quoted(line.bytes, at + 1, target, rows)?;
        }
    }

    /// Reads to the closing quote; returns what is behind it.
    fn quoted(&self, line: &[u8], mut at: usize, target: &Target, rows: &mut Rows) -> Result<usize, Cause> {
        loop {
            let Some(length) = memchr::memchr2(self.quote, self.escape, &line[at..]) else {
                return Err(Cause::UnterminatedQuote { column: Arc::clone(&target.name) });
            };
            rows.extend(&line[at..at + length]);
            at += length;
            let next = line.get(at + 1).filter(|&&next| next == self.quote || next == self.escape);
            match next {
                Some(&escaped) if line[at] == self.escape => {
                    rows.extend(&[escaped]);
                    at += 2;
                }
                _ if line[at] == self.quote => return Ok(at + 1),
                _ => {
                    rows.extend(&[self.escape]);
                    at += 1;
                }
            }
        }
    }

    fn null(&self, column: usize, target: &Target, rows: &mut Rows) {
        target.null_or(self.is_forced[column].then_some(self.null.as_slice()), rows);
    }

    /// What follows the last field that the line has.
    fn missing(&self, line: &[u8], from: usize, rows: &mut Rows) -> Result<(), Cause> {
        let Some(first) = self.columns.get(from) else { return Ok(()) };
        if !self.fills_missing {
            return Err(Cause::MissingData { column: Arc::clone(&first.name) });
        }
        if line.is_empty() {
            return Err(Cause::EmptyLine { column: self.columns.first_name() });
        }
        for column in from..self.columns.len() {
            self.null(column, self.columns.expect(column)?, rows);
        }
        Ok(())
    }
}

impl Parse for Csv {
    const FORMAT: &'static str = NAME;

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        let bytes = without_line_end(payload);
        let parted_by_ascii = self.delimiter.is_ascii() && self.quote.is_ascii() && self.escape.is_ascii();
        let line = Line {
            bytes,
            is_clean: parted_by_ascii && is_text(bytes),
            has_breaks: memchr::memchr2(b'\n', b'\r', bytes).is_some(),
        };
        let mut column = 0;
        let mut next = Some(0);
        while let Some(at) = next {
            next = self.field(line, at, column, rows)?;
            column += 1;
        }
        self.missing(bytes, column, rows)?;
        rows.end_row();
        Ok(())
    }
}

/// A line may come with the end that it had in a file: CR LF, LF or CR.
fn without_line_end(payload: &[u8]) -> &[u8] {
    let payload = payload.strip_suffix(b"\n").map_or(payload, |line| line);
    payload.strip_suffix(b"\r").unwrap_or(payload)
}
