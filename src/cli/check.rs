//! `gpkafka check FILE`: the commit history from the ledger, and how far the job is behind when Kafka answers. The proof
//! of that history is in `verify`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::console::{self, Console};
use super::{CheckArgs, Exit, Which, files, verify};
use crate::config::Job;
use crate::greenplum::{self, Connection, DeadLetters, HistoryRow, JobId, Ledger, Target};
use crate::job::dead_letters::counted;
use crate::job::report::{Reporter as _, say};
use crate::job::run;
use crate::kafka::{Consumer, Error, Watermarks};
use crate::units;

/// Lag is an extra: a broker that does not answer may not hold up the history.
const KAFKA_WAIT: Duration = Duration::from_secs(5);

/// Prints the history.
///
/// # Errors
/// 64 for a wrong file, 1 where the database does not answer, where table or topic are not there, and where the proof that
/// was asked for fails.
pub fn run(args: &CheckArgs) -> Result<(), Exit> {
    let (job, warnings) = files::job(&args.file)?;
    let console = Console::open(&args.log, false)?;
    for warning in &warnings {
        say!(console, Warn, "{warning}");
    }
    let id = run::identity(&job);
    let settings = job.greenplum_settings();
    let mut connection = Connection::open(&settings, "gpkafka check").map_err(Exit::failed)?;
    let ledger = Ledger::find(&mut connection, settings.metadata_schema()).map_err(Exit::failed)?;
    let all = args.show_commit_history == Which::All;
    let rows = match &ledger {
        Some(ledger) => ledger.history(&mut connection, &id, all).map_err(Exit::failed)?,
        None => Vec::new(),
    };
    if rows.is_empty() {
        Target::require(&mut connection, &settings).map_err(Exit::failed)?;
        Ledger::require_no_other(&mut connection, settings.metadata_schema(), &id).map_err(Exit::failed)?;
    }
    let name = args.file.name.as_deref().map_or_else(String::new, |name| format!("  {name}"));
    let mut text = format!("job {}{name}  topic {} into {}\n", id.hash(), job.source.topic, job.target());
    if let Some(ledger) = ledger.as_ref().filter(|_| args.verify && !rows.is_empty()) {
        return verify::run((&job, &id), ledger, &mut connection, &text);
    }
    let marks = watermarks(&job);
    if rows.is_empty() {
        text.push_str("nothing has been committed yet\n");
    }
    let none = BTreeMap::new();
    let cells = cells(&rows, marks.as_ref().unwrap_or(&none));
    if cells.len() > 1 {
        text.push_str(&aligned(&cells));
    }
    text.push_str(&letters(&job, &id, &mut connection).map_err(Exit::failed)?);
    match marks {
        Err(error @ Error::UnknownTopic { .. }) => console::print(&text).and(Err(Exit::failed(error))),
        Err(error) => console::print(&format!("{text}lag is unknown: {error}\n")),
        Ok(_) => console::print(&text),
    }
}

/// A line about dead letters, where there are any.
fn letters(job: &Job, id: &JobId, connection: &mut Connection) -> Result<String, greenplum::Error> {
    let Some(table) = &job.dead_letters else { return Ok(String::new()) };
    let letters = DeadLetters::new(table, id);
    if !letters.check(connection)? {
        return Ok(String::new());
    }
    let count: u64 = letters.held(connection)?.values().map(|held| held.letters).sum();
    Ok(if count == 0 { String::new() } else { format!("{} in {table}\n", counted(count)) })
}

/// What the topic has in each of the job's partitions, or why it cannot be told.
fn watermarks(job: &Job) -> Result<BTreeMap<i32, Watermarks>, Error> {
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1))?;
    let mut partitions = consumer.topic(KAFKA_WAIT)?.partitions;
    partitions.retain(|&partition| is_wanted(job, partition));
    consumer.watermarks(&partitions, KAFKA_WAIT)
}

/// Whether a partition is one of those that the job loads.
pub(super) fn is_wanted(job: &Job, partition: i32) -> bool {
    job.source.partitions.as_ref().is_none_or(|asked| asked.contains(partition))
}

/// Columns as the original names them, then ours. A partition of which nothing is committed has its lag alone.
const HEAD: [&str; 10] =
    ["PartitionID", "StartTime", "EndTime", "BeginOffset", "EndOffset", "Kind", "Rows", "Rejected", "Filtered", "Lag"];

fn cells(rows: &[HistoryRow], marks: &BTreeMap<i32, Watermarks>) -> Vec<[String; 10]> {
    let newest: BTreeMap<i32, i64> = rows.iter().map(|row| (row.partition, row.seq)).collect();
    let lag = |partition: i32, next: Option<i64>| {
        let lag = marks.get(&partition).map(|marks| (marks.high - next.unwrap_or(marks.low)).max(0));
        lag.map_or_else(|| "-".to_owned(), |lag| units::count(lag.unsigned_abs()))
    };
    let mut cells = vec![HEAD.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        let is_newest = newest.get(&row.partition) == Some(&row.seq);
        [
            row.partition.to_string(),
            format!("{:.0}", row.started),
            format!("{:.0}", row.ended),
            row.first.to_string(),
            row.next.to_string(),
            row.kind.as_str().to_owned(),
            row.inserted.to_string(),
            row.rejected.to_string(),
            row.filtered.to_string(),
            if is_newest { lag(row.partition, Some(row.next)) } else { "-".to_owned() },
        ]
    }));
    for &partition in marks.keys().filter(|partition| !newest.contains_key(partition)) {
        let mut row = HEAD.map(|_| "-".to_owned());
        (row[0], row[9]) = (partition.to_string(), lag(partition, None));
        cells.push(row);
    }
    cells
}

pub(super) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [["a".to_owned(), "bb".to_owned()], ["ccc".to_owned(), "d".to_owned()]];
        assert_eq!(aligned(&rows), "a    bb\nccc  d\n");
    }
}
