//! What a job file comes to once topic and target are known. Pure: for a start, and for a dry run of one.

use super::failure::Error;
use super::run::identity;
use crate::config::{Format, Job};
use crate::decode;
use crate::greenplum::{Definition, Partitions, Settings, Writes};
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
pub fn decode_columns(job: &Job, writes: &Writes) -> Result<Vec<decode::Column>, Error> {
    let takes_one = matches!(job.value.format, Format::Json | Format::Jsonl { .. } | Format::Binary);
    if takes_one && writes.source().len() != 1 {
        return Err(Error::OneColumn { target: job.target.to_string(), count: writes.source().len() });
    }
    Ok(match &job.value.columns {
        Some(columns) => columns
            .iter()
            .map(|column| decode::Column {
                is_ignored: column.name.is_none(),
                ..decode::Column::text(column.name.as_ref().map_or("", |name| name.as_str()))
            })
            .collect(),
        None => writes.source().iter().map(|column| decode::Column::text(column.name.as_str())).collect(),
    })
}
