//! Why a record has no row.

use std::fmt;
use std::sync::Arc;

/// Which half of a record something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Key,
    Value,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Value => "value",
        })
    }
}

/// Why a record has no row, for one line of a log: `csv  column "amount": …`. Texts that Greenplum has too are its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    pub part: Part,
    /// As the job file calls it.
    pub format: &'static str,
    pub cause: Cause,
}

impl Reason {
    /// The schema without which nothing can be said of the record.
    pub fn wanted_schema(&self) -> Option<(Part, u32)> {
        match self.cause {
            Cause::SchemaWanted { id } => Some((self.part, id)),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, format, cause } = self;
        match (part, cause) {
            (Part::Value, Cause::Empty) => write!(f, "{format}  the value is empty"),
            (Part::Value, _) => write!(f, "{format}  {cause}"),
            (Part::Key, _) => write!(f, "{format} key  {cause}"),
        }
    }
}

impl std::error::Error for Reason {}

/// What is wrong with a payload. Places count bytes from 1, inside the field where a column is named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("no value to load (a tombstone)")]
    NoValue,
    #[error("it is empty")]
    Empty,
    #[error("it makes {rows} rows; a key makes one")]
    KeyRows { rows: usize },
    #[error("missing data for column \"{column}\"")]
    MissingData { column: Arc<str> },
    #[error("missing data for column \"{column}\", found empty data line")]
    EmptyLine { column: Arc<str> },
    #[error("extra data after last expected column")]
    ExtraData,
    #[error("column \"{column}\": unterminated CSV quoted field")]
    UnterminatedQuote { column: Arc<str> },
    #[error("column \"{column}\": unterminated quoted field")]
    UnterminatedField { column: Arc<str> },
    #[error("column \"{column}\": a line break outside quotes; a message holds one row")]
    LineBreak { column: Arc<str> },
    #[error("column \"{column}\": a NUL byte at byte {place}, which text cannot hold")]
    Nul { column: Arc<str>, place: usize },
    #[error("column \"{column}\": invalid UTF-8 at byte {place}")]
    NotUtf8 { column: Arc<str>, place: usize },
    /// Not a refusal, see [`Reason::wanted_schema`].
    #[error("schema {id} is not known yet")]
    SchemaWanted { id: u32 },
    /// The registry has none, or it is none that can be used.
    #[error("schema {id}: {text}")]
    Schema { id: u32, text: Arc<str> },
    /// What a format alone can say; without the column where it is about the whole payload.
    #[error("{text}")]
    Payload { text: String },
}
