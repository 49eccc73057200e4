//! `INSERT INTO … SELECT … FROM`, as most rows move: from the external table into the one target, from there into the
//! stage, from the stage into a target.

use super::mapping::Fields;
use super::scratch::list;
use super::statement::{Statement, Text};
use crate::table::{Ident, TableName};

/// The statement. Rows for which not every filter is true are dropped.
pub(super) fn insert(
    target: &TableName,
    fields: &Fields,
    from: &TableName,
    filters: &[&str],
    known: &[Ident],
) -> Statement {
    let columns = list(fields.iter().map(|(name, _)| name));
    let fields = fields.iter().map(|(name, expression)| Text::mapping(name, expression));
    let conditions = filters.iter().map(|filter| Text::condition("the filter", filter));
    let filter = match filters.is_empty() {
        true => Text::default(),
        false => Text::own("\n WHERE ").then(Text::joined(conditions, "\n   AND ")),
    };
    let values = [
        ("target", &Text::own(target.to_string())),
        ("columns", &Text::part(format!("the column list of {target}"), columns)),
        ("fields", &Text::joined(fields, ",\n       ")),
        ("source", &Text::own(from.to_string())),
        ("filter", &filter),
    ];
    let doing = format!("inserting into {target}");
    Statement::fill(doing, include_str!("../../sql/write_insert.sql"), &values, known)
}
