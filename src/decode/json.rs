//! json and jsonl: whole documents as one field. They are not taken apart here, so a document that is no JSON is the
//! segment's to refuse.

use std::sync::Arc;

use super::columns::{Columns, check_text};
use super::lines::Lines;
use super::{Cause, Parse};
use crate::row::Rows;

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
    const FORMAT: &'static str = NAME;

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        if is_blank(payload) {
            return Err(Cause::Empty);
        }
        document(payload, &self.column, rows)
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
    const FORMAT: &'static str = LINES_NAME;

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        if is_blank(payload) {
            return Err(Cause::Empty);
        }
        let documents = self.lines.of(payload).filter(|line| !is_blank(line));
        documents.into_iter().try_for_each(|line| document(line, &self.column, rows))
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
