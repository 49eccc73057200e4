//! A job as its file means it: one form for versions 1 and 2, every default filled in, every name and number checked.
//! Plain types only; what a stage makes of them is in `stages.rs`. Made by `file.rs`, read by job and cli.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::problem::Problem;
use crate::table::{Ident, TableName};

/// One Kafka topic into one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub connection: Connection,
    pub source: Source,
    pub value: Value,
    pub target: TableName,
    /// Target column ← SQL expression over the source columns, in the order of the file. Empty: columns of one name
    /// belong together.
    pub mapping: Vec<Mapping>,
    /// A boolean over source columns; rows for which it is not true are left out. Without trailing semicolons.
    pub filter: Option<String>,
    pub error_limit: ErrorLimit,
    /// Where our own tables live; `None`: in the target's schema.
    pub metadata_schema: Option<Ident>,
    pub commit: Commit,
    pub callback: Callback,
    /// What the file says to no effect, in the order of the file. To be logged once.
    pub warnings: Vec<Problem>,
}

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Password>,
    pub database: String,
}

/// A password that `{:?}` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub(super) String);

impl Password {
    /// The clear text, for the server only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What is read from Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `host:port`, parted by commas, each with its port.
    pub brokers: String,
    pub topic: String,
    /// `None`: all of the topic's, also those that come later.
    pub partitions: Option<Partitions>,
    /// What to do when the next offset has expired; `None`: stop and ask.
    pub fallback_offset: Option<FallbackOffset>,
    /// librdkafka's own properties, as written.
    pub properties: BTreeMap<String, String>,
}

/// Partition numbers, as ascending ranges that do not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions(pub(super) Vec<RangeInclusive<i32>>);

impl Partitions {
    /// Whether a partition is among them.
    pub fn contains(&self, partition: i32) -> bool {
        self.0.iter().any(|range| range.contains(&partition))
    }

    /// Those that are not among `found`, which is in ascending order; `None` where all are.
    pub fn beyond(&self, found: &[i32]) -> Option<Self> {
        let mut rest = Vec::new();
        for range in &self.0 {
            let mut next = Some(*range.start());
            for &there in found.iter().filter(|there| range.contains(there)) {
                rest.extend(next.filter(|&first| first < there).map(|first| first..=there - 1));
                next = there.checked_add(1);
            }
            rest.extend(next.filter(|first| range.contains(first)).map(|first| first..=*range.end()));
        }
        (!rest.is_empty()).then_some(Self(rest))
    }

    /// The ranges, in ascending order. A file may name far more partitions than its topic has.
    pub fn ranges(&self) -> &[RangeInclusive<i32>] {
        &self.0
    }
}

/// As a file writes it: `(2, 5...7, 10)`.
impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<String> = self.0.iter().map(written_range).collect();
        write!(f, "({})", written.join(", "))
    }
}

fn written_range(range: &RangeInclusive<i32>) -> String {
    let (first, last) = (range.start(), range.end());
    if first == last { first.to_string() } else { format!("{first}...{last}") }
}

/// Where to go on when the next offset is no longer in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FallbackOffset {
    Earliest,
    Latest,
}

/// What a message's value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub format: Format,
    /// In the order of the message; `None`: the target table's own columns.
    pub columns: Option<Vec<SourceColumn>>,
}

/// One element of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceColumn {
    /// `None`: `__IGNORED__`, read and dropped.
    pub name: Option<Ident>,
    /// As written: `numeric(9,2)`.
    pub sql_type: String,
    /// Where a format with named fields finds it, from the outside in; `None`: under its name.
    pub path: Option<Vec<String>>,
}

/// How a value becomes columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One message is one row.
    Csv(Csv),
    /// Rows and fields parted by bytes of one's own.
    Delimited(Delimited),
    /// A message is one document: in one column, or taken apart.
    Json,
    /// A message is documents, each ended by `newline`, each a row.
    Jsonl { newline: String },
    /// A message is the bytes of one column.
    Binary,
}

/// CSV as the server's own COPY reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csv {
    pub delimiter: u8,
    pub quote: u8,
    /// The quote itself where the file names none.
    pub escape: u8,
    /// An unquoted field that equals it is NULL; the empty string where the file names none.
    pub null_string: String,
    /// Columns missing at the end of a row are NULL.
    pub fill_missing_fields: bool,
    /// Columns in which nothing is NULL.
    pub force_not_null: Vec<Ident>,
}

/// What parts rows and fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimited {
    pub delimiter: Vec<u8>,
    /// With a LF behind it, it ends a row.
    pub eol_prefix: Vec<u8>,
    pub quote: Option<u8>,
    /// There is one where there is a quote.
    pub escape: Option<u8>,
}

/// One target column and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    pub column: Ident,
    /// SQL over the source columns.
    pub expression: String,
}

/// How many records of a batch may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorLimit {
    /// So many pass, one more fails the batch.
    Records(u64),
    /// Of the batch's records, 0 to 100.
    Percent(u8),
}

/// When a batch is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Rows that end a batch; `None`: their number does not.
    pub max_row: Option<NonZeroU64>,
    /// Age that ends a batch; `None`: its age does not. At least one of the two is there.
    pub minimal_interval: Option<Duration>,
    pub idle: Idle,
}

/// What to do while the topic is quiet (IDLE_DURATION).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// 0, the default.
    Off,
    /// −1: hold nothing, wait for ever.
    Wait,
    /// Commit what is there after so long without a record, and hold nothing until the next.
    CommitAfter(Duration),
}

/// Where segments call back, if the file says so (LOCAL_HOSTNAME, LOCAL_PORT).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callback {
    pub host: Option<String>,
    pub port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_topic_lacks_of_the_partitions_that_are_asked_for() {
        let beyond = |ranges: &[RangeInclusive<i32>], found: &[i32]| {
            Partitions(ranges.to_vec()).beyond(found).map(|rest| rest.to_string())
        };
        assert_eq!(beyond(&[0..=3, 5..=5], &[0, 1, 2, 3, 4, 5, 6]), None);
        assert_eq!(beyond(&[0..=3, 5..=5], &[0, 1]).as_deref(), Some("(2...3, 5)"));
        assert_eq!(beyond(&[0..=9], &[0, 4, 5, 9]).as_deref(), Some("(1...3, 6...8)"));
        assert_eq!(beyond(&[2..=i32::MAX], &[2, i32::MAX]).as_deref(), Some("(3...2147483646)"));
        assert_eq!(beyond(&[7..=7], &[]).as_deref(), Some("(7)"));
    }
}
