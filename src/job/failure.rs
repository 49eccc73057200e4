//! Why a job, or an attempt of it, ends; and whether trying again can help.

use crate::config;
use crate::gpfdist;
use crate::greenplum;
use crate::kafka;
use crate::offset::Discontinuity;
use crate::registry;
use crate::transform;
use crate::units;

use super::state::Broken;

/// A failure with its fate. The text is one line: what is wrong with the names of things, the cause, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
    #[error(transparent)]
    Database(#[from] greenplum::Error),
    #[error(transparent)]
    Server(#[from] gpfdist::Error),
    #[error(transparent)]
    SchemaFile(#[from] config::SchemaFile),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Transform(#[from] transform::Error),
    /// A module stops the job at a message.
    #[error("{topic}[{partition}]@{offset}: {text}; nothing of its batch was inserted and no offset moved")]
    Transformed { topic: String, partition: i32, offset: i64, text: String },
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The batch's own sums say no.
    #[error("batch {batch} failed: {cause}; nothing of it was inserted and no offset moved")]
    Broken { batch: u64, cause: Broken },
    /// Segments were cut off, or the database refused, while a batch was being read.
    #[error("batch {batch} failed: {text}; nothing of it was inserted and no offset moved")]
    Batch { batch: u64, text: String, passes: bool },
    /// Offsets are gone that were never read; how many of them were records nobody knows.
    #[error(
        "{count} offsets of {topic}[{partition}] expired before they were read (next wanted {wanted}, oldest left {low}); \
         set FALLBACK_OFFSET: earliest in the file to go on from {low}, or start once with --force-reset-earliest; \
         nothing was loaded and offsets are unchanged"
    )]
    Expired { topic: String, partition: i32, count: i64, wanted: i64, low: i64 },
    /// The topic ends before the place where loading was to go on.
    #[error(
        "{topic}[{partition}] ends at offset {high}, before the stored offset {wanted}: {} that were loaded are gone from \
         it, which was truncated or made anew; nothing was loaded; start once with --force-reset-latest (or -earliest, \
         -timestamp) to accept it", gone(*.wanted, *.high)
    )]
    Truncated { topic: String, partition: i32, wanted: i64, high: i64 },
    /// A leader change lost records that were loaded already, and others may bear their offsets now.
    #[error(
        "the log of {topic}[{partition}] was cut off{} ({reason}); others may bear their offsets now, and nothing of them \
         was loaded; start once with --force-reset-timestamp (or -latest, -earliest) to accept it", cut_off(*.loaded, *.end)
    )]
    CutOff { topic: String, partition: i32, loaded: i64, end: Option<i64>, reason: String },
    /// It bears the same name and is another topic.
    #[error(
        "topic {topic} was deleted and made anew since it was last loaded (its id was {stored}, now it is {found}); \
         nothing of the new one was loaded; if BROKERS names another cluster now, set it right; else start once with \
         --force-reset-earliest (or -latest) to accept it"
    )]
    Recreated { topic: String, stored: String, found: String },
    /// Somebody else has the partitions.
    #[error("the job is being loaded already: {0}")]
    Held(String),
    /// The file names partitions that are not there.
    #[error("topic {topic} has {count} partitions and none of PARTITIONS {wanted}; nothing was loaded")]
    NoPartition { topic: String, count: usize, wanted: String },
    /// A format that fills one column, and a table of several.
    #[error(
        "the format fills exactly one column and {target} has {count}; name the column and its type under COLUMNS, and \
         what is made of it under MAPPING; nothing was loaded"
    )]
    OneColumn { target: String, count: usize },
    /// A partition cannot be read any more.
    #[error("reading {topic}[{partition}] failed: {reason}")]
    Partition { topic: String, partition: i32, reason: String },
    /// The brokers refuse for good.
    #[error("kafka: {text}")]
    Brokers { text: String },
    /// What runs after the last batch.
    #[error("{text}; the rows of this load and their offsets are committed")]
    AfterEnd { text: String },
    /// There is nothing to load again from.
    #[error("{text}")]
    NoLetters { text: String },
    /// A measurement cannot be made, or did not come to its end.
    #[error("{text}; nothing was loaded and no offset moved")]
    Measure { text: String },
    /// Segments were cut off while a measurement ran; what the statement says is better, where it says something.
    #[error("{0}; nothing was loaded and no offset moved")]
    Echo(String),
    /// The database refuses rows of a batch.
    #[error(transparent)]
    Refused(greenplum::Error),
    /// The database refuses rows, and the file does not say what to do with them.
    #[error(
        "{0}; nothing of this batch was inserted and no offset moved; DEAD_LETTER or RECOVER_FAILING_BATCH in the file \
         would keep such rows aside and load the others"
    )]
    Rows(greenplum::Error),
    /// Dead letters were loaded, or they were not.
    #[error("COMMIT got no clear reply ({text}); replay once more: letters that are loaded have left the table")]
    ReplayInDoubt { text: String },
    /// Our own arithmetic is wrong; better stopped than loaded.
    #[error("{0}; this is a mistake in gpkafka, please report it; nothing of the batch was loaded")]
    Internal(String),
    /// The second Ctrl-C.
    #[error(
        "interrupted again: the open batch was dropped, unless its COMMIT had been sent; the next start goes on from the ledger"
    )]
    Aborted,
}

/// Requires that a topic has the id that it had when a load began. No answer is no objection: then nothing can have come
/// from a new one lately.
///
/// # Errors
/// [`Error::Recreated`].
pub fn require_same_topic(
    topic: &str,
    stored: Option<&str>,
    now: impl FnOnce() -> Option<String>,
) -> Result<(), Error> {
    let Some(stored) = stored else { return Ok(()) };
    match now() {
        Some(found) if found != stored => {
            Err(Error::Recreated { topic: topic.to_owned(), stored: stored.to_owned(), found })
        }
        _ => Ok(()),
    }
}

fn gone(stored: i64, end: i64) -> String {
    units::counted((stored - end).unsigned_abs(), "offset")
}

/// What a log lost that ends at `end` for the epoch of what was loaded last.
fn cut_off(loaded: i64, end: Option<i64>) -> String {
    match end {
        Some(end) if end < loaded => format!(
            " at offset {end}, before the stored offset {loaded}: {} that were loaded are gone from it",
            gone(loaded, end)
        ),
        // no more than what was read and not yet committed
        Some(end) => format!(" at offset {end}: what was read behind it is gone, and nothing of that was loaded"),
        None => format!(" below the stored offset {loaded}: records that were loaded are gone from it"),
    }
}

impl Error {
    /// Whether the cause can pass by itself.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Kafka(error) => error.is_passing(),
            Self::Database(error) => error.is_passing(),
            Self::Batch { passes, .. } => *passes,
            _ => false,
        }
    }

    /// Whether only the ledger knows what became of the batch.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Database(greenplum::Error::InDoubt { .. }))
    }

    /// Whether a server has answered with it, so that there is one.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Database(error) if error.state().is_some())
    }

    /// Whether it is Kafka alone that does not answer: that never ends a running load.
    pub fn is_broker_outage(&self) -> bool {
        matches!(self, Self::Kafka(error) if error.is_passing())
    }
}

impl From<Discontinuity> for Error {
    fn from(error: Discontinuity) -> Self {
        Self::Internal(error.to_string())
    }
}
