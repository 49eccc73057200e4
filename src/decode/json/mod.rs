//! json and jsonl: documents, sent whole or taken apart.
//!
//! Whole, if there is one column and its path is empty: the document goes as it is, so that one that is no JSON is the segment's to refuse. Only its depth is
//! looked at: what is nested deeper than the database's stack would fail a batch, not a row.
//!
//! Whole or its texts, if there are more columns behind such a one: what SQL's `doc->'a'->>'b'` makes of a plain document
//! is sent in the document's place, which is NULL then; a document that is not plain goes as it is, the others NULL. Plain
//! is one that is an object, valid to its end, and has no `\u`: so the database would parse it, and find just that. Its
//! `\u` are the database's to read: there are some that it refuses, and not the same on every version.
//!
//! Taken apart in every other case: the document must be an object and valid to its end, and each column is the value at
//! its path: members of objects by their exact names, elements of arrays by number. What is not there, or null, is NULL.
//! Of several members of one name the last counts, as in PostgreSQL. What a value becomes is [`ColumnKind`]'s to say:
//!
//! | kind | string | number, true, false | array | object |
//! |---|---|---|---|---|
//! | scalar | its text | as spelled | as spelled | as spelled |
//! | json | as spelled | as spelled | as spelled | as spelled |
//! | bytes | `\x` and its UTF-8 in hex | the same of the spelling | the same | the same |
//! | array | its text | as spelled | an array literal | refused |
//!
//! In array literals strings are always quoted, null is NULL, and an object is its text in quotes. `\u0000` is refused
//! where a text would hold it, and so is half of a surrogate pair; elsewhere in a document they are let be.

mod plan;
mod scan;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use memchr::memmem;

use self::plan::Plan;
use self::scan::Problem;
use self::walk::{Value, Walk};
use super::columns::{UNNAMED, check_text};
use super::lines::Lines;
use super::{Cause, Column, ColumnKind, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "json";
pub(super) const LINES_NAME: &str = "jsonl";

/// How deep documents may be. PostgreSQL's parser goes down its stack with each level, and by default it may take 2 MB:
/// 12,000 levels it stands, more or less; this leaves it more than twice what it takes.
const DEPTH_MAX: usize = 5000;

/// What becomes of a document.
enum Shape {
    Whole { column: Arc<str>, is_parsed: bool },
    Texts { column: Arc<str>, plan: Plan, walk: Walk },
    Fields { plan: Plan, walk: Walk },
}

impl Shape {
    fn new(columns: &[Column]) -> Self {
        match columns {
            [] => Self::Whole { column: UNNAMED.into(), is_parsed: false },
            [column] if is_whole(column) => {
                Self::Whole { column: column.name.as_str().into(), is_parsed: column.kind == ColumnKind::Json }
            }
            [column, texts @ ..] if is_whole(column) => {
                Self::Texts { column: column.name.as_str().into(), plan: Plan::new(texts), walk: Walk::default() }
            }
            _ => Self::Fields { plan: Plan::new(columns), walk: Walk::default() },
        }
    }

    /// Adds one row.
    fn document(&mut self, document: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        match self {
            Self::Whole { column, is_parsed } => {
                check_text(document, column)?;
                if *is_parsed {
                    check_depth(document, column)?;
                }
                rows.field(document);
            }
            Self::Texts { column, plan, walk } => {
                check_text(document, column)?;
                check_depth(document, column)?;
                texts(document, plan, walk, rows).map_err(|problem| cause(problem, plan))?;
            }
            Self::Fields { plan, walk } => {
                fields(document, plan, walk, rows).map_err(|problem| cause(problem, plan))?
            }
        }
        rows.end_row();
        Ok(())
    }

    fn room(&self, bytes: usize, documents: usize) -> Room {
        match self {
            Self::Whole { .. } => Room { bytes, fields: documents, rows: documents },
            Self::Texts { plan, .. } => {
                let texts = plan.room(bytes, documents);
                Room { bytes: texts.bytes.max(bytes), fields: texts.fields.saturating_add(documents), ..texts }
            }
            Self::Fields { plan, .. } => plan.room(bytes, documents),
        }
    }
}

fn is_whole(column: &Column) -> bool {
    column.path.is_empty()
}

/// The document, or the texts of a plain one.
fn texts(document: &[u8], plan: &Plan, walk: &mut Walk, rows: &mut Rows) -> Result<(), Problem> {
    let has_codes = memchr::memchr(b'\\', document).is_some_and(|at| memmem::find(&document[at..], br"\u").is_some());
    let found = if has_codes { None } else { walk.document(document, plan).ok() };
    match found {
        Some(found) => {
            rows.null();
            write_fields(document, plan, found, rows)
        }
        None => {
            rows.field(document);
            plan.fields().iter().for_each(|_| rows.null());
            Ok(())
        }
    }
}

fn fields(document: &[u8], plan: &Plan, walk: &mut Walk, rows: &mut Rows) -> Result<(), Problem> {
    if simdutf8::basic::from_utf8(document).is_err() {
        let valid = simdutf8::compat::from_utf8(document).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(Problem::new(format!("invalid UTF-8 at byte {}", valid + 1)));
    }
    let found = walk.document(document, plan)?;
    write_fields(document, plan, found, rows)
}

fn write_fields(document: &[u8], plan: &Plan, found: &[Option<Value>], rows: &mut Rows) -> Result<(), Problem> {
    for (at, (field, value)) in plan.fields().iter().zip(found).enumerate() {
        match value {
            Some(value) => {
                let written = write::value(document, *value, field.kind, rows);
                written.map_err(|problem| problem.of(Some(at)))?;
                rows.end_field();
            }
            None => rows.null(),
        }
    }
    Ok(())
}

fn cause(problem: Problem, plan: &Plan) -> Cause {
    let text = match problem.parts() {
        (text, Some(field)) => format!("column \"{}\": {text}", plan.fields()[field].name),
        (text, None) => text,
    };
    Cause::Payload { text }
}

/// Refuses a document that the database's parser could not go down into.
fn check_depth(document: &[u8], column: &Arc<str>) -> Result<(), Cause> {
    let opens = || document.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if document.len() <= DEPTH_MAX || opens() <= DEPTH_MAX {
        return Ok(());
    }
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = document.get(at) {
        match byte {
            b'"' => {
                at += write::string_length(&document[at..]);
                continue;
            }
            b'[' | b'{' if depth == DEPTH_MAX => {
                return Err(Cause::Payload { text: format!("column \"{column}\": {}", too_deep(at)) });
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn too_deep(at: usize) -> String {
    format!("arrays and objects are nested more than {DEPTH_MAX} deep at byte {}", at + 1)
}

/// A document a record.
pub(super) struct Json(Shape);

impl Json {
    pub fn new(columns: &[Column]) -> Self {
        Self(Shape::new(columns))
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
        self.0.document(payload, rows)
    }

    fn room(&self, payload: &[u8]) -> Room {
        self.0.room(payload.len(), 1)
    }
}

/// A document a line.
pub(super) struct Jsonl {
    shape: Shape,
    lines: Lines,
}

impl Jsonl {
    pub fn new(newline: &str, columns: &[Column]) -> Self {
        Self { shape: Shape::new(columns), lines: Lines::new(newline.as_bytes()) }
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
        for (at, line) in self.lines.of(payload).enumerate().filter(|(_, line)| !is_blank(line)) {
            self.shape.document(line, rows).map_err(|cause| match cause {
                Cause::Payload { text } => Cause::Payload { text: format!("line {}: {text}", at + 1) },
                cause => cause,
            })?;
        }
        Ok(())
    }

    fn room(&self, payload: &[u8]) -> Room {
        self.shape.room(payload.len(), self.lines.count(payload))
    }
}

/// Nothing but what JSON calls whitespace.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}
