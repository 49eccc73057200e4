//! DEAD_LETTER: where records go that were refused. Called by `file.rs`.

use std::ops::Range;

use crate::config::fields::Fields;
use crate::config::job::{Failing, Output};
use crate::config::scalars::ident;
use crate::table::{Ident, TableName};

/// The block as written.
pub(super) struct DeadLetter {
    span: Range<usize>,
    schema: Option<Ident>,
    table: Option<Ident>,
}

pub(super) fn dead_letter(mut fields: Fields<'_>) -> DeadLetter {
    let (schema, table) = (fields.read("SCHEMA", ident), fields.require("TABLE", ident));
    let span = fields.span.clone();
    fields.finish();
    DeadLetter { span, schema, table }
}

/// What else the file says of rows that are refused.
pub(super) struct Beside<'a> {
    pub metadata_schema: Option<&'a Ident>,
    pub outputs: Option<&'a [Output]>,
    /// INPUT is there, and says ERROR_LIMIT.
    pub has_error_limit: Option<bool>,
    pub failing: Failing,
    pub is_custom: bool,
}

impl DeadLetter {
    /// The table; by default in the schema of our other tables.
    pub fn resolved(self, fields: &Fields<'_>, beside: &Beside<'_>) -> Option<TableName> {
        let complain = |text: &str, hint: Option<&str>| {
            fields.complaints.mistake(&self.span, text, hint.map(str::to_owned));
        };
        if beside.has_error_limit == Some(false) {
            let text = "DEAD_LETTER needs ERROR_LIMIT: so many rejects of a batch go there, one more fails it";
            complain(text, Some("write `ERROR_LIMIT: 1000` or `ERROR_LIMIT: 10%` under KAFKA.INPUT"));
        }
        if beside.failing != Failing::Fail {
            let text =
                "DEAD_LETTER has its own way with rows that the database refuses: they go there, and others are loaded";
            complain(text, Some("leave SAVE_FAILING_BATCH and RECOVER_FAILING_BATCH out"));
        }
        if beside.is_custom {
            complain("FORMAT custom has no dead letters: which message a row comes from is not known", None);
        }
        let target = beside.outputs.and_then(<[Output]>::first).map(|output| &output.target.schema);
        let schema = self.schema.as_ref().or(beside.metadata_schema).or(target)?.clone();
        Some(TableName { schema, table: self.table? })
    }
}
