//! What the database stage needs to know from a job file and the command line, and its own defaults. `config` and `cli`
//! fill it in.

use std::path::PathBuf;
use std::time::Duration;

use crate::table::{Column, Ident, TableName};

/// One element of MAPPING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// A column of the target.
    pub column: Ident,
    /// What goes into it: any expression of a SELECT list over the source columns, as the user wrote it.
    pub expression: String,
}

/// Where and how to load.
#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<String>,
    pub database: String,
    pub target: TableName,
    /// Where external table and ledger live; `None` is the target's schema.
    pub metadata_schema: Option<Ident>,
    /// The source columns in the order of the encoded fields, ignored ones left out; `None` are the target's own.
    pub columns: Option<Vec<Column>>,
    /// Empty is a match by name.
    pub mapping: Vec<Mapping>,
    /// An SQL condition over the source columns; rows for which it is not true are dropped.
    pub filter: Option<String>,
    /// PostgreSQL only: the executable that the server runs in place of a segment; `None` is this one.
    pub segment_program: Option<PathBuf>,
    /// PostgreSQL only: how many of them.
    pub segments: u32,
    pub connect_timeout: Duration,
    /// How long a statement waits for someone else's lock.
    pub lock_timeout: Duration,
}

impl Settings {
    /// Short enough that a wrong address is told within half a minute, long enough for a busy coordinator.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Longer than ordinary maintenance of a table takes, shorter than a night.
    pub const LOCK_TIMEOUT: Duration = Duration::from_secs(300);
    /// PostgreSQL reads foreign tables one after the other, so more than one only serves tests.
    pub const SEGMENTS: u32 = 1;

    /// Settings with every default, for a target by name.
    pub fn new(host: &str, port: u16, user: &str, database: &str, target: TableName) -> Self {
        Self {
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            password: None,
            database: database.to_owned(),
            target,
            metadata_schema: None,
            columns: None,
            mapping: Vec::new(),
            filter: None,
            segment_program: None,
            segments: Self::SEGMENTS,
            connect_timeout: Self::CONNECT_TIMEOUT,
            lock_timeout: Self::LOCK_TIMEOUT,
        }
    }

    /// The schema of external table and ledger.
    pub fn metadata_schema(&self) -> &Ident {
        self.metadata_schema.as_ref().unwrap_or(&self.target.schema)
    }
}
