//! delimited: a row a line, fields parted by one byte. Nothing is quoted or escaped and nothing is NULL, so an empty
//! field is the empty string.

use super::columns::{Columns, is_text};
use super::lines::Lines;
use super::{Cause, Parse};
use crate::row::Rows;

pub(super) const NAME: &str = "delimited";

pub(super) struct Delimited {
    delimiter: u8,
    columns: Columns,
    lines: Lines,
}

impl Delimited {
    pub fn new(delimiter: u8, columns: Columns) -> Self {
        Self { delimiter, columns, lines: Lines::new(b"\n") }
    }

    fn line(&self, line: &[u8], is_clean: bool, rows: &mut Rows) -> Result<(), Cause> {
        let mut rest = Some(line);
        let mut column = 0;
        while let Some(line) = rest {
            let target = self.columns.expect(column)?;
            let end = memchr::memchr(self.delimiter, line);
            rest = end.map(|end| &line[end + 1..]);
            rows.extend(&line[..end.unwrap_or(line.len())]);
            target.end(rows, is_clean)?;
            column += 1;
        }
        if let Some(missing) = self.columns.get(column) {
            return Err(Cause::MissingData { column: missing.name.clone() });
        }
        rows.end_row();
        Ok(())
    }
}

impl Parse for Delimited {
    const FORMAT: &'static str = NAME;

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        // A byte that is no ASCII could cut a character in two.
        let is_clean = self.delimiter.is_ascii() && is_text(payload);
        self.lines.of(payload).try_for_each(|line| self.line(line, is_clean, rows))
    }
}
