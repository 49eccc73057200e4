//! delimited: a row a line, fields parted by one byte. Nothing is quoted or escaped and nothing is NULL, so an empty
//! field is the empty string.

use super::columns::{Columns, is_text};
use super::lines::Lines;
use super::{Cause, Parse};
use crate::row::{Room, Rows};

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
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        // A byte that is no ASCII could cut a character in two.
        let is_clean = self.delimiter.is_ascii() && is_text(payload);
        self.lines.of(payload).try_for_each(|line| self.line(line, is_clean, rows))
    }

    /// Whatever the columns are, a byte ends every field but the last.
    fn room(&self, payload: &[u8]) -> Room {
        let lines = self.lines.count(payload);
        let fields = lines.saturating_mul(self.columns.len()).min(payload.len() + 1);
        Room { bytes: payload.len(), fields, rows: lines }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{decoded, settings};

    #[test]
    fn a_row_a_line_without_any_quoting() {
        let settings = settings(Format::Delimited { delimiter: b'|' }, "a b c");
        for (payload, expected) in [
            (&b"1|2|3"[..], "1|2|3"),
            (b"1|2|3\n", "1|2|3"),
            (b"1|2|3\r\n4|5|6\r\n", "1|2|3 / 4|5|6"),
            (b"||\n", "''|''|''"),
            (b"\"1|2\"|\\N", r#"\"1|2\"|\\N"#),
            (b" 1 |\t|\r", r" 1 |\t|''"),
            (b"1|2", r#"delimited  missing data for column "c""#),
            (b"1|2|3\n\n", r#"delimited  missing data for column "b""#),
            (b"", r#"delimited  missing data for column "b""#),
            (b"1|2|3|", "delimited  extra data after last expected column"),
            (b"1|2|3\n4|5|\xff", r#"delimited  column "c": invalid UTF-8 at byte 1"#),
            (b"1|2|3\n4|\0|6", r#"delimited  column "b": a NUL byte at byte 1, which text cannot hold"#),
        ] {
            assert_eq!(decoded(&settings, Some(payload)), expected, "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn one_column_takes_whole_lines() {
        let settings = settings(Format::Delimited { delimiter: b'\t' }, "a");
        assert_eq!(decoded(&settings, Some(b"")), "''");
        assert_eq!(decoded(&settings, Some(b"x,y\n\nz")), "x,y / '' / z");
    }

    #[test]
    fn ignored_columns_and_delimiters_that_are_no_ascii() {
        let ignores = settings(Format::Delimited { delimiter: b',' }, "- a -");
        assert_eq!(decoded(&ignores, Some(b"\xff,1,2\n3,4,\0")), "1 / 4");
        let latin1 = settings(Format::Delimited { delimiter: 0xa9 }, "a b");
        assert_eq!(decoded(&latin1, Some(b"1\xa92")), "1|2");
        assert_eq!(decoded(&latin1, Some("é".as_bytes())), r#"delimited  column "a": invalid UTF-8 at byte 1"#);
    }
}
