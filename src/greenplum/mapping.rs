//! Which expression goes into which column of a target: MAPPING, or a match by name. Or which columns a transformer
//! fills: then there are no expressions.

use super::failure::Error;
use super::settings::Output;
use super::sql::nearest;
use super::target::Target;
use super::transformer;
use crate::table::{Column, Ident};

/// Target column and expression, in the order of MAPPING or of the source.
pub(super) type Fields = Vec<(Ident, String)>;

/// What an output sets of its target.
///
/// # Errors
/// [`Error::Target`]: a mapping to a column that the target lacks, with the nearest name; without a mapping, a source
/// column that the target lacks; no column at all.
pub(super) fn fields(target: &Target, source: &[Column], output: &Output) -> Result<Fields, Error> {
    let fields = match &output.transformer {
        Some(transformer) => transformer::fields(target, transformer)?,
        None if output.mapping.is_empty() => by_name(target, source)?,
        None => mapped(target, source, output)?,
    };
    if fields.is_empty() {
        let text = format!("nothing would be loaded: {} has no column that a value can go into", target.table);
        return Err(Error::Target { text });
    }
    Ok(fields)
}

/// The same without a server.
pub(super) fn unchecked(source: &[Column], output: &Output) -> Fields {
    match &output.transformer {
        Some(transformer) => transformer::unchecked(transformer),
        None if output.mapping.is_empty() => {
            source.iter().map(|column| (column.name.clone(), column.name.to_string())).collect()
        }
        None => output.mapping.iter().map(|map| (map.column.clone(), expression(&map.expression, source))).collect(),
    }
}

fn by_name(target: &Target, source: &[Column]) -> Result<Fields, Error> {
    let names = || target.columns.iter().map(|column| column.name.as_str());
    let lacking: Vec<_> = source.iter().filter(|column| target.column(&column.name).is_none()).collect();
    match lacking.first() {
        None => Ok(source.iter().map(|column| (column.name.clone(), column.name.to_string())).collect()),
        Some(_) if lacking.len() == source.len() => {
            let source: Vec<_> = source.iter().map(|column| column.name.as_str()).collect();
            let (table, names) = (&target.table, names().collect::<Vec<_>>().join(", "));
            let text = format!(
                "{table} has none of the source columns ({}), its own are {names}; give a MAPPING",
                source.join(", ")
            );
            Err(Error::Target { text })
        }
        Some(column) => Err(unknown_column(target, &column.name, "name it __IGNORED__ or give a MAPPING")),
    }
}

fn mapped(target: &Target, source: &[Column], output: &Output) -> Result<Fields, Error> {
    let mut fields: Fields = Vec::new();
    for map in &output.mapping {
        let Some(column) = target.column(&map.column) else {
            return Err(unknown_column(target, &map.column, "correct the MAPPING"));
        };
        if column.is_generated {
            let text = format!(
                "column {} of {} is computed by the database; take it out of the MAPPING",
                column.name, target.table
            );
            return Err(Error::Target { text });
        }
        if fields.iter().any(|(name, _)| *name == map.column) {
            return Err(Error::Target { text: format!("MAPPING names column {} twice", map.column) });
        }
        fields.push((map.column.clone(), expression(&map.expression, source)));
    }
    Ok(fields)
}

/// A column that a target does not have, with what may have been meant.
pub(super) fn unknown_column(target: &Target, name: &Ident, else_do: &str) -> Error {
    let names = || target.columns.iter().map(|column| column.name.as_str());
    let hint = match nearest(name.as_str(), names()) {
        Some(near) if near.to_lowercase() == name.as_str().to_lowercase() => {
            format!("there is one named \"{near}\": write it as '\"{near}\"' to keep its capitals")
        }
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("its columns are {}; {else_do}", names().collect::<Vec<_>>().join(", ")),
    };
    Error::Target { text: format!("{} has no column {name}; {hint}", target.table) }
}

/// As the user wrote it; just the name of a source column is quoted, so that capitals and reserved words work.
fn expression(written: &str, source: &[Column]) -> String {
    let written = trimmed(written);
    let folded = Ident::from_written(written);
    let exact = Ident::exact(written);
    let column = source.iter().find(|column| column.name == exact || column.name == folded);
    column.map_or_else(|| written.to_owned(), |column| column.name.to_string())
}

/// A condition as it is used, `None` where nothing is left of it: they end in a semicolon in the wild.
pub(super) fn condition(written: Option<&String>) -> Option<String> {
    written.map(|written| trimmed(written).to_owned()).filter(|condition| !condition.is_empty())
}

fn trimmed(written: &str) -> &str {
    written.trim().trim_end_matches(|end: char| end == ';' || end.is_whitespace())
}
