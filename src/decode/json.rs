//! json and jsonl: whole documents as one field. They are not taken apart here, so a document that is no JSON is the
//! segment's to refuse.

use std::sync::Arc;

use super::columns::{Columns, check_text};
use super::lines::Lines;
use super::{Cause, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "json";
pub(super) const LINES_NAME: &str = "jsonl";

/// A document a record.
pub(super) struct Json {
    column: Arc<str>,
}

impl Json {
    pub fn new(columns: &Columns) -> Self {
        Self { column: columns.first_name() }
    }
}

impl Parse for Json {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        if is_blank(payload) {
            return Err(Cause::Empty);
        }
        document(payload, &self.column, rows)
    }

    fn room(&self, payload: &[u8]) -> Room {
        Room { bytes: payload.len(), fields: 1, rows: 1 }
    }
}

/// A document a line.
pub(super) struct Jsonl {
    column: Arc<str>,
    lines: Lines,
}

impl Jsonl {
    pub fn new(newline: &str, columns: &Columns) -> Self {
        Self { column: columns.first_name(), lines: Lines::new(newline.as_bytes()) }
    }
}

impl Parse for Jsonl {
    fn format(&self) -> &'static str {
        LINES_NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        if is_blank(payload) {
            return Err(Cause::Empty);
        }
        let documents = self.lines.of(payload).filter(|line| !is_blank(line));
        documents.into_iter().try_for_each(|line| document(line, &self.column, rows))
    }

    fn room(&self, payload: &[u8]) -> Room {
        let lines = self.lines.count(payload);
        Room { bytes: payload.len(), fields: lines, rows: lines }
    }
}

fn document(bytes: &[u8], column: &Arc<str>, rows: &mut Rows) -> Result<(), Cause> {
    check_text(bytes, column)?;
    rows.field(bytes);
    rows.end_row();
    Ok(())
}

/// Nothing but what JSON calls whitespace.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{decoded, settings};

    #[test]
    fn a_document_is_one_field() {
        let documents = settings(Format::Json, "doc");
        for (payload, expected) in [
            (&b"{\"a\":\"\\n\"}"[..], r#"{\"a\":\"\\n\"}"#),
            (b"{\n}\r\n", r"{\n}\r\n"),
            (b"not json", "not json"),
            (b"", "json  the value is empty"),
            (b" \r\n\t", "json  the value is empty"),
            (b"\"\0\"", r#"json  column "doc": a NUL byte at byte 2, which text cannot hold"#),
            (b"\"\xff\"", r#"json  column "doc": invalid UTF-8 at byte 2"#),
        ] {
            assert_eq!(decoded(&documents, Some(payload)), expected);
        }
        let unnamed = settings(Format::Json, "");
        assert_eq!(
            decoded(&unnamed, Some(b"\0")),
            r#"json  column "value": a NUL byte at byte 1, which text cannot hold"#
        );
    }

    #[test]
    fn a_document_a_line_all_or_none() {
        let lines = settings(Format::Jsonl { newline: "\n".to_owned() }, "doc");
        for (payload, expected) in [
            (&b"1\n2\n3"[..], "1 / 2 / 3"),
            (b"1\r\n2\r\n", "1 / 2"),
            (b"\n1\n \n2\n\n", "1 / 2"),
            (b"", "jsonl  the value is empty"),
            (b"\n", "jsonl  the value is empty"),
            (b"1\n\xff\n3", r#"jsonl  column "doc": invalid UTF-8 at byte 1"#),
        ] {
            assert_eq!(decoded(&lines, Some(payload)), expected);
        }
        let parted = settings(Format::Jsonl { newline: "--".to_owned() }, "doc");
        assert_eq!(decoded(&parted, Some(b"{\n}--[]--\r\n--")), r"{\n} / []");
    }
}
