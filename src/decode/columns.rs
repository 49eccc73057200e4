//! The columns of a message, ready for the formats that fill them, and the check of what text may hold.

use std::sync::Arc;

use super::{Cause, Column};
use crate::row::Rows;

/// What rejects call the field of a format that has one, where the job names no column.
pub(in crate::decode) const UNNAMED: &str = "value";

pub(super) struct Target {
    pub name: Arc<str>,
    pub is_ignored: bool,
}

pub(super) struct Columns(Vec<Target>);

impl Columns {
    pub fn new(columns: &[Column]) -> Self {
        let target = |column: &Column| Target { name: column.name.as_str().into(), is_ignored: column.is_ignored };
        Self(columns.iter().map(target).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, column: usize) -> Option<&Target> {
        self.0.get(column)
    }

    /// The column, or that there is none.
    pub fn expect(&self, column: usize) -> Result<&Target, Cause> {
        self.get(column).ok_or(Cause::ExtraData)
    }
}

impl Target {
    /// Closes the open field of `rows` as this column's. `is_clean` says that nothing in it needs a look.
    pub fn end(&self, rows: &mut Rows, is_clean: bool) -> Result<(), Cause> {
        if self.is_ignored {
            rows.drop_field();
            return Ok(());
        }
        if !is_clean {
            check_text(rows.open_field(), &self.name)?;
        }
        rows.end_field();
        Ok(())
    }

    /// Closes the open field as NULL, or as `instead`, whatever was added to it.
    pub fn null_or(&self, instead: Option<&[u8]>, rows: &mut Rows) {
        rows.drop_field();
        match instead {
            _ if self.is_ignored => {}
            Some(text) => rows.field(text),
            None => rows.null(),
        }
    }
}

/// Whether bytes can be text of the database: UTF-8 without NUL. A look at a whole payload spares one at each field.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    memchr::memchr(0, bytes).is_none() && simdutf8::basic::from_utf8(bytes).is_ok()
}

/// What keeps bytes from being text, with its place.
pub(super) fn check_text(bytes: &[u8], column: &Arc<str>) -> Result<(), Cause> {
    if let Some(at) = memchr::memchr(0, bytes) {
        return Err(Cause::Nul { column: Arc::clone(column), place: at + 1 });
    }
    match simdutf8::compat::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(error) => Err(Cause::NotUtf8 { column: Arc::clone(column), place: error.valid_up_to() + 1 }),
    }
}
