//! What a job file comes to once topic and target are known. Pure: for a start, and for a dry run of one.

use super::failure::Error;
use super::run::identity;
use crate::config::{Format, Job, SourceColumn};
use crate::decode::{self, ColumnKind};
use crate::greenplum::{Definition, Insert, Partitions, Settings};
use crate::table::Column;

/// A range in a file may name millions of partitions that no topic has.
const PARTITIONS_MAX: usize = 10_000;

/// The partitions to load, of those that the topic has.
///
/// # Errors
/// PARTITIONS names none of them.
pub fn wanted(job: &Job, found: &[i32]) -> Result<Vec<i32>, Error> {
    let Some(asked) = &job.source.partitions else { return Ok(found.to_vec()) };
    let wanted: Vec<i32> = found.iter().copied().filter(|&partition| asked.contains(partition)).collect();
    if wanted.is_empty() {
        let topic = job.source.topic.clone();
        return Err(Error::NoPartition { topic, count: found.len(), wanted: asked.to_string() });
    }
    Ok(wanted)
}

/// The external table of a job whose segments call `host:port`.
pub fn definition(job: &Job, settings: &Settings, columns: &[Column], host: &str, port: u16) -> Definition {
    let partitions = match &job.source.partitions {
        None => Partitions::All,
        Some(asked) => Partitions::Only(asked.ranges().iter().cloned().flatten().take(PARTITIONS_MAX).collect()),
    };
    Definition::new(&identity(job), &partitions, settings, columns, host, port)
}

/// The columns of a message, as the decoder sees them.
///
/// # Errors
/// The format fills one column, and the target, whose columns they are, has more.
pub fn decode_columns(job: &Job, insert: &Insert) -> Result<Vec<decode::Column>, Error> {
    if job.value.format == Format::Binary && insert.source().len() != 1 {
        return Err(Error::OneColumn { target: job.target.to_string(), count: insert.source().len() });
    }
    let mut columns: Vec<decode::Column> = match &job.value.columns {
        Some(columns) => columns.iter().map(named).collect(),
        None => insert.source().iter().map(|column| by_name(column.name.as_str(), &column.sql_type)).collect(),
    };
    if matches!(job.value.format, Format::Json | Format::Jsonl { .. }) {
        take_whole(&mut columns, job, insert);
    }
    Ok(columns)
}

fn named(column: &SourceColumn) -> decode::Column {
    let name = column.name.as_ref().map_or("", |name| name.as_str());
    let by_name = by_name(name, &column.sql_type);
    let path = column.path.clone().unwrap_or_else(|| by_name.path.clone());
    decode::Column { is_ignored: column.name.is_none(), path, ..by_name }
}

fn by_name(name: &str, sql_type: &str) -> decode::Column {
    decode::Column { kind: ColumnKind::of(sql_type), ..decode::Column::text(name) }
}

/// The only column of a message takes all of it, where its type can hold a document and no path says otherwise.
fn take_whole(columns: &mut [decode::Column], job: &Job, insert: &Insert) {
    let [column] = columns else { return };
    let [source] = insert.source() else { return };
    let has_path = job.value.columns.iter().flatten().any(|column| column.path.is_some());
    let is_text = source.sql_type.trim().eq_ignore_ascii_case("text");
    if !has_path && (is_text || column.kind == ColumnKind::Json) {
        column.path.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Variables, parse};

    /// Where each column is found, and as what: `name=path:kind`.
    fn resolved(format: &str, columns: &str) -> Result<String, Error> {
        let text = include_str!("../config/reference.yaml");
        let (head, rest) = text.split_once("      COLUMNS:").unwrap();
        let (_, tail) = rest.split_once("    FILTER: amount").unwrap();
        let text = format!("{head}      COLUMNS: [{columns}]\n      FORMAT: {format}\n    FILTER: amount{tail}");
        let job = parse(Path::new("job.yaml"), text.into_bytes(), &Variables::new()).unwrap();
        let insert = Insert::unchecked(&job.greenplum_settings()).unwrap();
        let shown = |column: &decode::Column| format!("{}={}:{:?}", column.name, column.path.join("/"), column.kind);
        Ok(decode_columns(&job, &insert)?.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn columns_are_fields_by_name_unless_one_is_the_whole_document() {
        for (format, columns, expected) in [
            ("json", "{NAME: a, TYPE: json}", "a=:Json"),
            ("jsonl", "{NAME: a, TYPE: TEXT}", "a=:Scalar"),
            ("json", "{NAME: a, TYPE: int}", "a=a:Scalar"),
            ("json", "{NAME: a, TYPE: json, PATH: b.0}", "a=b/0:Json"),
            ("json", "{NAME: a, TYPE: text, PATH: a}", "a=a:Scalar"),
            ("json", "{NAME: a, TYPE: jsonb}, {NAME: '\"B\"', TYPE: 'text[]'}", "a=a:Json B=B:Array"),
            ("jsonl", "{NAME: a, TYPE: bytea}, {NAME: __IGNORED__, TYPE: text}", "a=a:Bytes =:Scalar"),
            ("binary", "{NAME: a, TYPE: bytea}", "a=a:Bytes"),
        ] {
            assert_eq!(resolved(format, columns).unwrap(), expected, "{format} {columns}");
        }
    }
}
