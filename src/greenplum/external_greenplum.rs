//! The external table on Greenplum: `CREATE EXTERNAL TABLE` over gpfdist, read back from `pg_exttable`.
//!
//! TEXT, because it splits fastest; LOG ERRORS, because without it an error names no record; the highest reject limit,
//! because the job's own ERROR_LIMIT is judged by us.

use super::connection::Connection;
use super::external::{Definition, Found};
use super::failure::Error;
use super::sql::{fill, literal};
use super::target;
use crate::table::{Column, TableName};

pub(super) const REJECT_LIMIT: i32 = i32::MAX;
/// How the catalog writes our FORMAT clause, option by option.
const FORMAT: [&str; 4] = ["delimiter '\t'", "null '\\N'", "escape '\\'", "newline 'LF'"];

/// The CREATE statement.
pub(super) fn create(definition: &Definition, name: &TableName, token: &str) -> String {
    fill(
        include_str!("../../sql/external_greenplum_create.sql"),
        &[
            ("table", name),
            ("columns", &columns(&definition.columns)),
            ("location", &literal(&format!("{}{token}", definition.url()))),
            ("format", &format(definition)),
            ("encoding", &literal(encoding(definition))),
            ("reject_limit", &REJECT_LIMIT),
        ],
    )
}

/// The FORMAT clause's own words. TEXT, or what the job file names.
fn format(definition: &Definition) -> String {
    match &definition.formatter {
        None => r"'TEXT' (DELIMITER E'\t' NULL '\N' ESCAPE '\' NEWLINE 'LF')".to_owned(),
        Some(formatter) => {
            let comma = if formatter.options.is_empty() { "" } else { ", " };
            format!("'CUSTOM' (FORMATTER={}{comma}{})", literal(&formatter.name), formatter.options)
        }
    }
}

fn encoding(definition: &Definition) -> &str {
    definition.formatter.as_ref().map_or("UTF8", |formatter| &formatter.encoding)
}

/// Column definitions, one a line.
pub(super) fn columns(columns: &[Column]) -> String {
    let lines: Vec<_> = columns.iter().map(|column| format!("    {} {}", column.name, column.sql_type)).collect();
    lines.join(",\n")
}

/// Compares the catalog with the definition.
pub(super) fn find(connection: &mut Connection, definition: &Definition, name: &TableName) -> Result<Found, Error> {
    let sql = include_str!("../../sql/external_greenplum_read.sql");
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&name.schema.as_str(), &name.table.as_str()];
    let rows = connection.query("reading the external table's definition", sql, &params)?;
    let Some(row) = rows.first() else { return Ok(Found::Nothing) };
    if !row.get::<_, bool>("is_external") {
        return Ok(Found::Stranger);
    }
    let locations: Vec<String> = row.get("locations");
    let (format, options): (String, String) = (row.get("format"), row.get("format_options"));
    let is_same_format = match &definition.formatter {
        None => format == "t" && FORMAT.iter().all(|option| options.contains(option)),
        // its options are part of the table's name
        Some(formatter) => format == "b" && options.contains(&format!("formatter {}", literal(&formatter.name))),
    };
    let is_same_form = is_same_format
        && row.get::<_, String>("encoding").eq_ignore_ascii_case(encoding(definition))
        && row.get::<_, bool>("is_otherwise_same")
        && row.get::<_, i32>("reject_limit") == REJECT_LIMIT;
    let is_same_columns = target::columns(connection, name)?
        .iter()
        .map(|column| (&column.name, &column.sql_type))
        .eq(definition.columns.iter().map(|column| (&column.name, &column.sql_type)));
    match locations.as_slice() {
        [location] if is_same_form && is_same_columns => Ok(token(location, &definition.url())),
        _ => Ok(Found::Different),
    }
}

/// The token at the end of a location.
pub(super) fn token(location: &str, url: &str) -> Found {
    match location.strip_prefix(url) {
        Some(token) if token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Found::Same { token: token.to_owned() }
        }
        _ => Found::Different,
    }
}
