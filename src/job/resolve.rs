//! What a job file comes to once topic and target are known. Pure: for a start, and for a dry run of one.

use super::failure::Error;
use super::run::identity;
use crate::config::{Content, Format, Job};
use crate::decode::{self, Meta, MetaField};
use crate::greenplum::{Definition, Partitions, Settings, Taken, TakenField, Writes};
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

/// How records are read, for what a batch writes.
///
/// # Errors
/// The format fills one column, and the target, whose columns they are, has more; a schema's file cannot be used.
pub fn decode_settings(job: &Job, writes: &Writes) -> Result<decode::Settings, Error> {
    let is_own = |part: &&Content| part.columns.is_none();
    if let Some(part) = [&job.value, &job.key].into_iter().flatten().find(is_own)
        && part.format == Format::Binary
        && writes.source().len() != 1
    {
        return Err(Error::OneColumn { target: job.target().to_string(), count: writes.source().len() });
    }
    let mut settings = job.decode_settings(writes.source())?;
    for part in [&mut settings.value, &mut settings.key].into_iter().flatten() {
        take_apart(part, writes.taken());
    }
    if writes.has_bookkeeping() {
        settings.meta.extend(BOOKKEEPING);
    }
    Ok(settings)
}

/// Adds the texts that are wanted of a document to it.
fn take_apart(part: &mut decode::Content, taken: &[Taken]) {
    let [document] = &part.columns[..] else { return };
    if let Some(taken) = taken.iter().find(|taken| document.path.is_empty() && taken.document.as_str() == document.name)
    {
        let field = |field: &TakenField| decode::Column {
            path: field.path.clone(),
            ..decode::Column::text(field.column.as_str())
        };
        part.columns.extend(taken.fields.iter().map(field));
    }
}

/// What an UPDATE or MERGE chooses by and bad rows are looked for by, as [`Writes::columns`] has it.
const BOOKKEEPING: [Meta; 4] = [
    Meta { field: MetaField::Partition, is_number: true },
    Meta { field: MetaField::Offset, is_number: true },
    Meta { field: MetaField::Timestamp, is_number: true },
    Meta { field: MetaField::Row, is_number: true },
];

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
        let writes = Writes::unchecked(&job.greenplum_settings()).unwrap();
        let shown = |column: &decode::Column| format!("{}={}:{:?}", column.name, column.path.join("/"), column.kind);
        let columns = decode_settings(&job, &writes)?.value.unwrap().columns;
        Ok(columns.iter().map(shown).collect::<Vec<_>>().join(" "))
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
