//! `gpkafka check FILE`: the commit history from the ledger, and how far the job is behind when Kafka answers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::console::{self, Console};
use super::{CheckArgs, Exit, Which, files};
use crate::config::Job;
use crate::greenplum::{Connection, HistoryRow, Ledger, Target};
use crate::job::report::{Reporter as _, say};
use crate::job::run;
use crate::kafka::{Consumer, Error};
use crate::units;

/// Lag is an extra: a broker that does not answer may not hold up the history.
const KAFKA_WAIT: Duration = Duration::from_secs(5);

/// Prints the history.
///
/// # Errors
/// 64 for a wrong file, 1 where the database does not answer, and where table or topic are not there.
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
    let rows = match ledger {
        Some(ledger) => ledger.history(&mut connection, &id, all).map_err(Exit::failed)?,
        None => Vec::new(),
    };
    if rows.is_empty() {
        Target::require(&mut connection, &settings).map_err(Exit::failed)?;
    }
    let ends = ends(&job);
    let mut text = format!("job {}  topic {} into {}\n", id.hash(), job.source.topic, job.target);
    if rows.is_empty() {
        text.push_str("nothing has been committed yet\n");
    } else {
        text.push_str(&table(&rows, ends.as_ref().ok()));
    }
    match ends {
        Err(error @ Error::UnknownTopic { .. }) => console::print(&text).and(Err(Exit::failed(error))),
        Err(error) => console::print(&format!("{text}lag is unknown: {error}\n")),
        Ok(_) => console::print(&text),
    }
}

/// The end of each partition, or why it cannot be told.
fn ends(job: &Job) -> Result<BTreeMap<i32, i64>, Error> {
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1))?;
    let topic = consumer.topic(KAFKA_WAIT)?;
    consumer.ends(&topic.partitions, KAFKA_WAIT)
}

/// Columns as the original names them, then ours.
fn table(rows: &[HistoryRow], ends: Option<&BTreeMap<i32, i64>>) -> String {
    const HEAD: [&str; 9] =
        ["PartitionID", "StartTime", "EndTime", "BeginOffset", "EndOffset", "Kind", "Rows", "Rejected", "Lag"];
    let mut cells = vec![HEAD.map(str::to_owned)];
    let mut newest = BTreeMap::new();
    for row in rows {
        newest.insert(row.partition, row.seq);
    }
    for row in rows {
        let is_newest = newest.get(&row.partition) == Some(&row.seq);
        let end = ends.filter(|_| is_newest).and_then(|ends| ends.get(&row.partition));
        let lag = end.map(|end| units::count((end - row.next).max(0).unsigned_abs()));
        cells.push([
            row.partition.to_string(),
            format!("{:.0}", row.started),
            format!("{:.0}", row.ended),
            row.first.to_string(),
            row.next.to_string(),
            row.kind.as_str().to_owned(),
            row.inserted.to_string(),
            row.rejected.to_string(),
            lag.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    aligned(&cells)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
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
