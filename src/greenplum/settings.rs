//! What the database stage needs to know from a job file and the command line, and its own defaults. `config` and `cli`
//! fill it in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::connection::Connection;
use super::liveness::Liveness;
use super::tls::Tls;
use crate::password::Password;
use crate::table::{Column, Ident, TableName};

/// One element of MAPPING.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// A column of the target.
    pub column: Ident,
    /// What goes into it: any expression of a SELECT list over the source columns, as the user wrote it.
    pub expression: String,
}

/// How rows of the source become rows of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Each row is a new row.
    Insert,
    /// Rows that are there already are updated; others are dropped.
    Update(Match),
    /// Rows that are there already are updated; others are inserted whole.
    Merge(Match),
}

/// Which rows of the target a row of the source means, and what becomes of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Columns of the target that are equal; NULL equals nothing.
    pub match_columns: Vec<Ident>,
    /// Columns of the target that are set; those that match are what they are already.
    pub update_columns: Vec<Ident>,
    /// Of several rows of one key in one batch the one wins that is the largest by these columns, of the target or of
    /// the source; among equals, and without any, the last one.
    pub order_columns: Vec<Ident>,
    /// An SQL condition over `into_table`, the target, and `ext`, the batch: only then is a row updated.
    pub update_condition: Option<String>,
    /// An SQL condition over `into_table` and `ext`: then a row of this key is deleted.
    pub delete_condition: Option<String>,
}

/// One target and what goes into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    pub target: TableName,
    pub mode: Mode,
    /// Empty is a match by name.
    pub mapping: Vec<Mapping>,
    /// In place of a mapping.
    pub transformer: Option<Transformer>,
    /// An SQL condition over the source columns; rows for which it is not true are dropped.
    pub filter: Option<String>,
}

impl Output {
    /// Every row is inserted, columns matched by name.
    pub fn insert(target: TableName) -> Self {
        Self { target, mode: Mode::Insert, mapping: Vec::new(), transformer: None, filter: None }
    }
}

/// An SQL function that makes rows of the target of rows of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transformer {
    /// `None`: where the search path finds it.
    pub schema: Option<Ident>,
    pub function: Ident,
    /// What it gets beside each row, as one document of JSON.
    pub properties: BTreeMap<String, String>,
    /// Columns of the target that its result fills, in its order; empty: all that can be filled.
    pub columns: Vec<Ident>,
}

impl Transformer {
    /// The function as SQL names it.
    pub fn name(&self) -> String {
        let schema = self.schema.as_ref().map(|schema| format!("{schema}.")).unwrap_or_default();
        format!("{schema}{}", self.function)
    }
}

/// What becomes of a batch of which the database refuses a row: where a mapping, a condition or a constraint fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Failing {
    /// Nothing of it is loaded.
    #[default]
    Fail,
    /// All its rows are kept in a table of their own, and the load goes on.
    Save,
    /// Its bad rows are looked for and kept in that table; the others are loaded.
    Recover,
}

/// A formatter of Greenplum's: `FORMAT 'CUSTOM'` of an external table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatter {
    /// A function `name()` of the database.
    pub name: String,
    /// Its options, as SQL writes them: `id='10', note='20'`. May be empty.
    pub options: String,
    /// The charset of the messages, by the database's name.
    pub encoding: String,
}

/// Where and how to load.
#[derive(Debug, Clone)]
pub struct Settings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Password>,
    pub tls: Tls,
    pub database: String,
    /// One or more, all in one transaction. The first one's target names the job.
    pub outputs: Vec<Output>,
    /// Where external table and ledger live; `None` is the first target's schema.
    pub metadata_schema: Option<Ident>,
    /// The source columns in the order of the encoded fields, ignored ones left out; `None` are the first target's
    /// own.
    pub columns: Option<Vec<Column>>,
    /// Those of the columns that are whole documents of JSON, and that the loader can take apart.
    pub documents: Vec<Ident>,
    /// Greenplum only: what takes messages apart in place of us.
    pub formatter: Option<Formatter>,
    /// An SQL condition over the source columns; rows for which it is not true reach no output.
    pub input_filter: Option<String>,
    pub failing: Failing,
    /// Where rows go that [`Failing::Recover`] finds; `None` is a backup table.
    pub dead_letters: Option<TableName>,
    /// Greenplum only: segments call the loader over TLS.
    pub is_gpfdists: bool,
    /// PostgreSQL only: the executable that the server runs in place of a segment; `None` is this one.
    pub segment_program: Option<PathBuf>,
    /// PostgreSQL only: how many of them.
    pub segments: u32,
    pub connect_timeout: Duration,
    /// How long a statement waits for someone else's lock.
    pub lock_timeout: Duration,
    pub liveness: Liveness,
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
            tls: Tls::default(),
            database: database.to_owned(),
            outputs: vec![Output::insert(target)],
            metadata_schema: None,
            columns: None,
            documents: Vec::new(),
            formatter: None,
            input_filter: None,
            failing: Failing::Fail,
            dead_letters: None,
            is_gpfdists: false,
            segment_program: None,
            segments: Self::SEGMENTS,
            connect_timeout: Self::CONNECT_TIMEOUT,
            lock_timeout: Self::LOCK_TIMEOUT,
            liveness: Liveness::default(),
        }
    }

    /// What suits this database: in one that cannot hold every text, documents go whole, so that it refuses what it
    /// refused of them before.
    pub fn suit(&mut self, connection: &Connection) {
        if !connection.is_utf8() {
            self.documents.clear();
        }
    }

    /// The target that names the job.
    ///
    /// # Panics
    /// Without an output.
    pub fn target(&self) -> &TableName {
        &self.outputs.first().expect("a job has an output").target
    }

    /// The schema of external table and ledger.
    pub fn metadata_schema(&self) -> &Ident {
        self.metadata_schema.as_ref().unwrap_or(&self.target().schema)
    }

    /// Whether rows go straight from the external table into the one target. Else they pass a temporary table, since an
    /// external table can be read only once, and a batch that fails is tried again from there.
    pub fn is_direct(&self) -> bool {
        self.failing == Failing::Fail && matches!(self.outputs.as_slice(), [Output { mode: Mode::Insert, .. }])
    }
}
