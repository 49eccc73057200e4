//! Rows that segments refused: counted in the statement's notice, named in the external table's error log.

use std::collections::BTreeMap;

use super::connection::Connection;
use super::failure::Error;
use crate::table::TableName;

/// One refused row. Its record is row `line` − 1 of the block that begins at `first` of the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReject {
    pub partition: i32,
    /// First offset of the block's span.
    pub first: i64,
    /// From 1; 0 where nothing but the block is known, see [`super::Formatter`].
    pub line: u32,
    /// The database's own words, with the column; they may hold bytes of the record.
    pub message: String,
    /// The row as it was sent, its first 1000 bytes; of the first rejects only.
    pub raw: Vec<u8>,
}

/// What one statement's error log says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentRejects {
    /// The first of them by partition, offset and line; no more than were asked for.
    pub named: Vec<SegmentReject>,
    /// All of them, per partition.
    pub counts: BTreeMap<i32, u64>,
}

/// How many rows a statement's notices say that segments refused.
pub(super) fn count_in(notices: &[String]) -> u64 {
    notices.iter().filter_map(|notice| count(notice)).sum()
}

/// `found 3 data formatting errors (3 or more input rows), rejected related input data`
fn count(notice: &str) -> Option<u64> {
    let (number, rest) = notice.strip_prefix("found ")?.split_once(' ')?;
    rest.starts_with("data formatting error").then(|| number.parse().ok())?
}

/// Of a refused row, its beginning: nobody reads more of it in a log.
const RAW_MAX: i32 = 1000;

/// Reads the whole log of a table: the caller empties it before each statement, so what is there is the statement's.
pub(super) fn read(
    connection: &mut Connection,
    table: &TableName,
    limit: usize,
    shown: usize,
) -> Result<SegmentRejects, Error> {
    let doing = "reading the rows that segments refused";
    let name = table.to_string();
    let [limit_sql, shown] = [limit, shown].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let sql = include_str!("../../sql/rejects_named.sql");
    let named = connection.query(doing, sql, &[&name, &limit_sql, &RAW_MAX, &shown])?;
    let named: Vec<SegmentReject> = named.iter().map(named_by).collect();
    let mut counts = BTreeMap::new();
    if named.len() < limit {
        named.iter().for_each(|reject| *counts.entry(reject.partition).or_default() += 1);
    } else {
        let rows = connection.query(doing, include_str!("../../sql/rejects_counted.sql"), &[&name])?;
        counts.extend(rows.iter().map(|row| (row.get("partition"), row.get::<_, i64>("refused").unsigned_abs())));
    }
    Ok(SegmentRejects { named, counts })
}

fn named_by(row: &postgres::Row) -> SegmentReject {
    SegmentReject {
        partition: row.get("partition"),
        first: row.get("first"),
        line: u32::try_from(row.get::<_, i32>("line")).unwrap_or(0),
        message: row.get("message"),
        raw: row.get::<_, Option<_>>("raw").unwrap_or_default(),
    }
}

/// How many rows the log holds.
pub(super) fn count_logged(connection: &mut Connection, table: &TableName) -> Result<u64, Error> {
    let sql = "SELECT count(*) FROM pg_catalog.gp_read_error_log($1)";
    let row = connection.query_one("counting the rows that segments refused", sql, &[&table.to_string()])?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Empties the log. It outlives transactions and grows for ever otherwise.
pub(super) fn forget(connection: &mut Connection, table: &TableName) -> Result<(), Error> {
    connection
        .query(
            "emptying the external table's error log",
            "SELECT pg_catalog.gp_truncate_error_log($1)",
            &[&table.to_string()],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_counts() {
        let notices = [
            "found 3 data formatting errors (3 or more input rows), rejected related input data",
            "External scan from gpfdist(s) server will utilize 64 out of 96 segment databases",
            "found nothing",
        ]
        .map(str::to_owned);
        assert_eq!(count_in(&notices), 3);
        assert_eq!(count_in(&[]), 0);
    }
}
