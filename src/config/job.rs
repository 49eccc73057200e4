//! A job as its file means it: one form for all versions, every default filled in, every name and number checked. Plain
//! types only, some of them a stage's own; what else a stage makes of them is in `stages.rs`. Made by `file.rs`, read by job and cli.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::problem::Problem;
use crate::decode::{Charset, MetaField};
use crate::greenplum::tls::Tls;
use crate::kafka::WithoutSecrets;
use crate::password::Password;
use crate::registry::TlsVersion;
use crate::table::{Ident, TableName};

/// Where rows go and how, as the database stage has it: a file says just that.
pub use crate::greenplum::{Failing, Mapping, Match, Mode, Output, Transformer};

/// One Kafka topic into one table, or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub connection: Connection,
    pub source: Source,
    /// What is read of a message's value; at least one of value and key is there.
    pub value: Option<Content>,
    pub key: Option<Content>,
    /// What Kafka knows of a message, as columns.
    pub meta: Vec<MetaColumn>,
    /// A module that sees each value before all else.
    pub transformer: Option<Plugin>,
    /// The charset of values and keys that are text; `None`: UTF-8.
    pub encoding: Option<Charset>,
    /// A boolean over source columns; rows for which it is not true are left out. Without trailing semicolons.
    pub filter: Option<String>,
    /// Where rows go: one or more, all in the same transaction. The first gives the job its identity.
    pub outputs: Vec<Output>,
    pub error_limit: ErrorLimit,
    /// Where records that were refused are kept, with their reasons; `None`: in the log only.
    pub dead_letters: Option<TableName>,
    /// Where our own tables live; `None`: in the target's schema.
    pub metadata_schema: Option<Ident>,
    pub commit: Commit,
    pub consistency: Consistency,
    pub task: Task,
    pub schedule: Schedule,
    pub alert: Option<Alert>,
    pub callback: Callback,
    /// What the file says to no effect, in the order of the file. To be logged once.
    pub warnings: Vec<Problem>,
}

impl Job {
    /// The table that gives the job its identity.
    pub fn target(&self) -> &TableName {
        &self.outputs[0].target
    }

    /// Who knows where to go on: `Strong` wherever the ledger does. See [`Consistency`].
    pub fn consistency(&self) -> Consistency {
        if self.source.properties.contains_key("group.id") { self.consistency } else { Consistency::Strong }
    }

    /// Whether the consumer group hears of what is committed.
    pub fn tells_group(&self) -> bool {
        let is_off = self.source.properties.get("enable.auto.commit").is_some_and(|value| value == "false");
        self.consistency() != Consistency::None || !is_off
    }

    /// Whether rows may vanish on their way into a table, by the file's own wish.
    pub fn has_filter(&self) -> bool {
        let drops = |output: &Output| output.filter.is_some() || output.transformer.is_some();
        self.filter.is_some() || self.transformer.is_some() || self.outputs.iter().any(drops)
    }
}

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Password>,
    pub database: String,
    /// Of no key: libpq's variables and files say it.
    pub tls: Tls,
}

/// What is read from Kafka.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("partitions", &self.partitions)
            .field("fallback_offset", &self.fallback_offset)
            .field("properties", &WithoutSecrets(&self.properties))
            .finish()
    }
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

/// What a message's value, or its key, is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
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

/// One column of META.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaColumn {
    pub name: Ident,
    /// As written.
    pub sql_type: String,
    pub field: MetaField,
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
    /// A message is one datum.
    Avro {
        schema: SchemaSource,
        /// `bytes` and `fixed` as base64 in JSON, and not as Avro's own string of code points.
        bytes_to_base64: bool,
    },
    /// A message is one protobuf message.
    Protobuf {
        schema: SchemaSource,
        /// Its full name, where the schema is a file; a registry's messages bring theirs.
        message: Option<String>,
    },
    /// What a formatter of the database makes of a message.
    Custom {
        formatter: String,
        /// As SQL writes them, one after the other.
        options: String,
    },
}

/// Where the schemas of messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaSource {
    /// Each message begins with the id of its schema.
    Registry(RegistryAt),
    /// Messages are bare, and all of one schema: an `.avsc` file, or a protobuf descriptor set.
    File(PathBuf),
}

/// A schema registry, and how to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryAt {
    pub urls: Vec<String>,
    pub user: Option<String>,
    pub password: Option<Password>,
    pub ca_file: Option<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub min_tls_version: Option<TlsVersion>,
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

/// A WebAssembly module in the place of the original's plugin, see [`crate::transform`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    pub path: PathBuf,
    /// Called once with the properties.
    pub on_init: Option<String>,
    /// Called for each message.
    pub transform: String,
    pub properties: BTreeMap<String, String>,
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
    pub failing: Failing,
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

/// Which of two commits comes first and which decides where to go on (CONSISTENCY). All but `Strong` mean something only
/// with a `group.id`. The ledger is written in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// The ledger alone decides; Kafka hears of it afterwards, for tools that show lag.
    Strong,
    /// Rows first, then the offset in Kafka, which decides at the next start.
    AtLeast,
    /// The offset in Kafka first, which decides at the next start, then the rows.
    AtMost,
    /// As `AtLeast`, but nobody waits for Kafka; with `enable.auto.commit: false` it is not told at all, and every start
    /// begins anew.
    None,
}

/// SQL around the batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// Once, before the first batch, in a transaction of its own.
    pub prepare: Option<String>,
    /// In the transaction of every so many batches.
    pub post_batch: Option<PostBatch>,
    /// Once, after the last batch, in a transaction of its own.
    pub teardown: Option<String>,
}

/// POST_BATCH_SQL and BATCH_INTERVAL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostBatch {
    pub sql: String,
    /// 1: in every batch.
    pub interval: NonZeroU64,
}

/// When a job is tried again, stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// How often a job that failed is started again.
    pub max_retries: Times,
    /// How long before that.
    pub retry_interval: Duration,
    /// Stop after so long.
    pub running_duration: Option<Duration>,
    /// Start again so long after that stop.
    pub auto_stop_restart_interval: Option<Duration>,
    /// How often at most.
    pub max_restart_times: Times,
    /// Every day from this time on, stop at the end of the topic.
    pub quit_at_eof_after: Option<jiff::civil::Time>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            max_retries: Times::Limited(0),
            retry_interval: Duration::from_secs(300),
            running_duration: None,
            auto_stop_restart_interval: None,
            max_restart_times: Times::Limited(0),
            quit_at_eof_after: None,
        }
    }
}

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    Limited(u64),
    Unlimited,
}

/// What hears of a job's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Run by `sh -c`; at least one of command and webhook is there.
    pub command: Option<String>,
    /// `None`: where the loader was started.
    pub workdir: Option<String>,
    /// `None`: it may take as long as it likes.
    pub timeout: Option<Duration>,
    /// Where it is posted.
    pub webhook: Option<String>,
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
