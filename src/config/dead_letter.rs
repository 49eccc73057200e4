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
        let complaints = fields.complaints;
        let complain = |text: &str, hint: Option<String>| complaints.mistake(&self.span, text, hint);
        if beside.has_error_limit == Some(false) {
            let text = "dead letters need ERROR_LIMIT: so many rejects of a batch go there, one more fails it";
            // hints are not translated, and this key has moved
            let (key, home) = (
                complaints.spelled("ERROR_LIMIT"),
                if complaints.is_of_version_3() { "targets.gpdb" } else { "KAFKA.INPUT" },
            );
            complain(text, Some(format!("write `{key}: 1000` or `{key}: 10%` under {home}")));
        }
        if beside.failing != Failing::Fail {
            let text = "dead letters have their own way with rows that the database refuses: they go there, and others are loaded";
            let [saves, recovers] = ["SAVE_FAILING_BATCH", "RECOVER_FAILING_BATCH"].map(|key| complaints.spelled(key));
            complain(text, Some(format!("leave {saves} and {recovers} out")));
        }
        if beside.is_custom {
            complain("FORMAT custom has no dead letters: which message a row comes from is not known", None);
        }
        let target = beside.outputs.and_then(<[Output]>::first).map(|output| &output.target.schema);
        let schema = self.schema.as_ref().or(beside.metadata_schema).or(target)?.clone();
        Some(TableName { schema, table: self.table? })
    }
}
