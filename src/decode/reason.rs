//! Why a record has no row.

use std::sync::Arc;

/// Why a record has no row, for one line of a log: `csv  column "amount": …`. Texts that Greenplum has too are its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{format}  {cause}")]
pub struct Reason {
    /// As the job file calls it.
    pub format: &'static str,
    pub cause: Cause,
}

/// What is wrong with a payload. Places count bytes from 1, inside the field where a column is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("no value to load (a tombstone)")]
    NoValue,
    #[error("the value is empty")]
    Empty,
    #[error("missing data for column \"{column}\"")]
    MissingData { column: Arc<str> },
    #[error("missing data for column \"{column}\", found empty data line")]
    EmptyLine { column: Arc<str> },
    #[error("extra data after last expected column")]
    ExtraData,
    #[error("column \"{column}\": unterminated CSV quoted field")]
    UnterminatedQuote { column: Arc<str> },
    #[error("column \"{column}\": a line break outside quotes; a message holds one row")]
    LineBreak { column: Arc<str> },
    #[error("column \"{column}\": a NUL byte at byte {place}, which text cannot hold")]
    Nul { column: Arc<str>, place: usize },
    #[error("column \"{column}\": invalid UTF-8 at byte {place}")]
    NotUtf8 { column: Arc<str>, place: usize },
}
