//! History tables of the original, `gpkafka_<table>_<32 hex>`: which may be a job's, what their columns mean, and where
//! the job stopped. Their layout was never published, so everything is guessed from names and rows, and shown before it
//! is used. Only read.

use super::connection::Connection;
use super::failure::Error;
use super::sql::fill;
use super::target;
use crate::table::{Ident, TableName};

/// Which columns hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryColumns {
    pub partition: Ident,
    pub begin: Ident,
    pub end: Ident,
}

/// What the end of a commit means there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndMeans {
    /// The next offset to read, as here.
    Next,
    /// The last offset that was read.
    Last,
}

/// How far one partition came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalEnd {
    pub partition: i32,
    pub furthest: i64,
    /// Commits.
    pub rows: i64,
    /// How often a commit begins where the one before it ends, and how often one behind that.
    pub meets: i64,
    pub follows: i64,
}

/// The names that are taken for a partition, a begin and an end, the likeliest first.
const PARTITION: [&str; 5] = ["partitionid", "partition_id", "partition", "partition_number", "kafka_partition"];
const BEGIN: [&str; 7] =
    ["beginoffset", "begin_offset", "startoffset", "start_offset", "offset_start", "offset_begin", "firstoffset"];
const END: [&str; 6] = ["endoffset", "end_offset", "offset_end", "lastoffset", "last_offset", "offset"];

/// The history tables in a schema that may be this target's: where any is named after it, only those.
///
/// # Errors
/// The catalog could not be read.
pub fn tables(connection: &mut Connection, schema: &Ident, target: &Ident) -> Result<Vec<TableName>, Error> {
    let sql = include_str!("../../sql/original_tables.sql");
    let found = connection.query("looking for the original's history tables", sql, &[&schema.as_str()])?;
    let names: Vec<String> = found.iter().map(|row| row.get("name")).collect();
    let table = |name: &String| TableName { schema: schema.clone(), table: Ident::exact(name.clone()) };
    Ok(names.iter().filter(|name| is_of(name, target)).map(table).collect())
}

/// `gpkafka_<table>_<32 hex>`.
fn is_of(name: &str, target: &Ident) -> bool {
    let middle = name.strip_prefix("gpkafka_").and_then(|rest| rest.rsplit_once('_'));
    middle.is_some_and(|(table, _)| table == target.as_str())
}

/// The columns of a history table by their usual names, with those that the user has named instead.
///
/// # Errors
/// [`Error::Target`]: there is no such table, or none of its columns has a name that says what it is.
pub fn columns(
    connection: &mut Connection,
    table: &TableName,
    named: [Option<&Ident>; 3],
) -> Result<HistoryColumns, Error> {
    let names: Vec<Ident> = target::columns(connection, table)?.into_iter().map(|column| column.name).collect();
    if names.is_empty() {
        return Err(Error::Target { text: format!("there is no history table {table}") });
    }
    let [partition, begin, end] = named;
    let choose = |given, usual: &[&str], what, flag| chosen(&names, given, usual).ok_or((what, flag));
    let columns = choose(partition, &PARTITION, "the partition", "--partition-column").and_then(|partition| {
        let begin = choose(begin, &BEGIN, "the first offset of a commit", "--begin-column")?;
        let end = choose(end, &END, "the end of a commit", "--end-column")?;
        Ok(HistoryColumns { partition, begin, end })
    });
    columns.map_err(|(what, flag)| {
        let names: Vec<_> = names.iter().map(Ident::as_str).collect();
        let text =
            format!("no column of {table} is known to hold {what}: name it with {flag}, one of {}", names.join(", "));
        Error::Target { text }
    })
}

fn chosen(names: &[Ident], given: Option<&Ident>, usual: &[&str]) -> Option<Ident> {
    match given {
        Some(given) => names.iter().find(|name| *name == given).cloned(),
        None => {
            usual.iter().find_map(|usual| names.iter().find(|name| name.as_str().eq_ignore_ascii_case(usual))).cloned()
        }
    }
}

/// How far each partition came.
///
/// # Errors
/// The table could not be read, or its columns are no numbers.
pub fn ends(
    connection: &mut Connection,
    table: &TableName,
    columns: &HistoryColumns,
) -> Result<Vec<OriginalEnd>, Error> {
    let sql = fill(
        include_str!("../../sql/original_ends.sql"),
        &[("table", table), ("partition", &columns.partition), ("begin", &columns.begin), ("end", &columns.end)],
    );
    let rows = connection.query("reading the original's history", &sql, &[])?;
    Ok(rows
        .iter()
        .map(|row| OriginalEnd {
            partition: row.get("partition"),
            furthest: row.get("furthest"),
            rows: row.get("rows"),
            meets: row.get("meets"),
            follows: row.get("follows"),
        })
        .collect())
}

/// What the rows themselves say of their ends: each commit begins where the one before it ended. `None` where they do
/// not say, or not with one voice.
pub fn end_means(ends: &[OriginalEnd]) -> Option<EndMeans> {
    let sum = |of: fn(&OriginalEnd) -> i64| ends.iter().map(of).sum::<i64>();
    match (sum(|end| end.meets), sum(|end| end.follows)) {
        (1.., 0) => Some(EndMeans::Next),
        (0, 1..) => Some(EndMeans::Last),
        _ => None,
    }
}

impl OriginalEnd {
    /// The next offset to read.
    pub fn next(&self, means: EndMeans) -> i64 {
        match means {
            EndMeans::Next => self.furthest,
            EndMeans::Last => self.furthest + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_by_their_names() {
        let orders = Ident::exact("orders");
        assert!(is_of("gpkafka_orders_12ead185469b45cc8e5be3c9f0ea14a2", &orders));
        assert!(!is_of("gpkafka_old_orders_12ead185469b45cc8e5be3c9f0ea14a2", &orders));
        assert!(is_of("gpkafka_old_orders_12ead185469b45cc8e5be3c9f0ea14a2", &Ident::exact("old_orders")));
    }

    #[test]
    fn columns_are_found_by_usual_names_or_as_told() {
        let names = ["PartitionId", "starttime", "begin_offset", "until"].map(Ident::exact);
        assert_eq!(chosen(&names, None, &PARTITION), Some(Ident::exact("PartitionId")));
        assert_eq!(chosen(&names, None, &BEGIN), Some(Ident::exact("begin_offset")));
        assert_eq!(chosen(&names, None, &END), None);
        assert_eq!(chosen(&names, Some(&Ident::exact("until")), &END), Some(Ident::exact("until")));
        assert_eq!(chosen(&names, Some(&Ident::exact("nope")), &END), None);
    }

    #[test]
    fn rows_say_what_their_ends_mean() {
        let end = |meets, follows| OriginalEnd { partition: 0, furthest: 9, rows: 3, meets, follows };
        assert_eq!(end_means(&[end(2, 0), end(0, 0)]), Some(EndMeans::Next));
        assert_eq!(end_means(&[end(0, 2)]), Some(EndMeans::Last));
        assert_eq!(end_means(&[end(1, 1)]), None);
        assert_eq!(end_means(&[end(0, 0)]), None);
        assert_eq!((end(0, 0).next(EndMeans::Next), end(0, 0).next(EndMeans::Last)), (9, 10));
    }
}
