//! What can go wrong at the database, with the coordinates of what went wrong, and whether it can pass by itself.

use std::fmt::Write as _;

use postgres::error::{DbError, Severity, SqlState};

use super::account::Unbalanced;
use super::holder::Held;
use super::reach::{Unreached, unreached, without_tokens};
use crate::line;

/// A failure of the database stage. Its text is one line in lower case that says what was being done and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No session could be had.
    #[error("cannot connect to the database at {address} as role \"{role}\", database \"{database}\": {reason}")]
    Connect {
        address: String,
        role: String,
        database: String,
        /// Cause, then what to do.
        reason: String,
        /// SQLSTATE, where the server answered.
        state: Option<String>,
    },
    /// The server is none that we load into.
    #[error("the server at {address} is {found}; gpkafka loads into Greenplum 6 and 7 and into PostgreSQL 13 or newer")]
    Unsupported { address: String, found: String },
    /// The session broke; nothing that was not committed remains.
    #[error("the database connection was lost while {doing}: {text}")]
    Lost { doing: String, text: String },
    /// The server refused a statement.
    #[error("{doing} failed: {text} (SQLSTATE {state})")]
    Sql { doing: String, state: String, text: String },
    /// A segment, or the program that stands for one, got nothing from the loader's server.
    #[error("{what}")]
    Unreached { what: Box<Unreached>, state: String },
    /// The client library and the server do not understand each other.
    #[error("{doing} failed in the SQL client: {text}; this is no fault of the job, please report it")]
    Client { doing: String, text: String },
    /// PostgreSQL refused one row of the source: it has no reject limit of its own.
    #[error("the database refused row {line} of segment {segment}: {text} (SQLSTATE {state})")]
    Row {
        /// The foreign table that read it, from 0.
        segment: u32,
        /// From 1, over everything that this segment read in this statement.
        line: u64,
        text: String,
        state: String,
    },
    /// A search for bad rows was given up.
    #[error(
        "the database refuses more than {max} rows of this batch: {found} were found when the search stopped, and nothing was loaded; of the first it says: {first}"
    )]
    TooManyBad { found: u64, max: u64, first: String },
    /// The target cannot be loaded as the job says.
    #[error("{text}")]
    Target { text: String },
    /// Rights are missing; the statements that grant them are in the text.
    #[error("role \"{role}\" lacks {missing}; have this run: {statements}")]
    Privilege { role: String, missing: String, statements: String },
    /// The target's columns are no longer what they were when the load started.
    #[error(
        "the columns of {table} changed while loading: {change}; nothing of this batch was loaded, start again to load into the new shape"
    )]
    TargetChanged { table: String, change: String },
    /// SQL of the user's that does not keep to its transaction.
    #[error("{text}")]
    Task { text: String },
    /// The external table cannot be made or read.
    #[error("external table {table}: {text}")]
    External { table: String, text: String },
    /// PostgreSQL's server process cannot run our executable.
    #[error(
        "the database server cannot run {program}: {text}; make it readable and executable for the server's operating system user on the database host, or name another copy with --segment-program"
    )]
    SegmentProgram { program: String, text: String },
    /// Another loader committed this position first, or the row that this batch follows is not ours.
    #[error("position {seq} of partition {partition} was taken by {by}; nothing of this batch was loaded")]
    PositionTaken {
        partition: i32,
        seq: i64,
        by: String,
        /// It was this loader itself: an earlier commit in doubt came through. The ledger then tells how to go on.
        is_own: bool,
    },
    /// A batch that does not begin where the ledger ends: a mistake of ours.
    #[error(
        "partition {partition}: a batch begins at offset {first}, but the ledger ends at {next}; nothing of it was loaded"
    )]
    OutOfStep { partition: i32, first: i64, next: i64 },
    /// What a batch counts does not add up.
    #[error(
        "partition {partition}: {cause}; this is a mistake in gpkafka, please report it; nothing of this batch was loaded"
    )]
    Unbalanced { partition: i32, cause: Unbalanced },
    /// The connection broke after COMMIT was sent and before its reply, or the reply leaves it open: only the ledger
    /// knows.
    #[error("COMMIT of batch {batch} got no clear reply: {text}; the ledger tells whether it was committed")]
    InDoubt { batch: i64, text: String },
    /// The control session is gone, and with it the claim to the partitions.
    #[error("the control session of this loader is gone ({text}); another loader may hold the partitions now")]
    HolderLost {
        text: String,
        /// The connection broke or was ended: claiming anew tells whether somebody else has the partitions.
        passes: bool,
    },
    /// Another role holds partitions of this job, and we can neither see whether it lives nor end it.
    #[error(
        "the job is held by {held}, whose state this role may not see; if that loader is dead, have an administrator run: SELECT pg_terminate_backend({})",
        held.pid
    )]
    OtherRole { held: Box<Held> },
    /// Sessions of a silent loader did not end.
    #[error("sessions {pids} of a silent loader ({name}) do not end; have an administrator look at them")]
    Stubborn { name: String, pids: String },
    /// The operating system has no random numbers.
    #[error("cannot read random numbers: {text}")]
    Random { text: String },
}

impl Error {
    /// Whether the cause can pass by itself, so that trying again from the ledger makes sense: the connection was lost,
    /// or its SQLSTATE says so.
    ///
    /// | passes | why |
    /// |---|---|
    /// | 08 | connection, a segment's to its source too |
    /// | 38000 | PostgreSQL only: the program that stands for a segment failed |
    /// | 40 but 40M00 | serialization, deadlock; 40M00 is Greenplum's reject limit |
    /// | 53 | out of memory, disk, connections |
    /// | 57P0x | shutdown, crash of another session, starting up |
    /// | 58M01 | Greenplum's interconnect |
    ///
    /// A position that was taken by this very loader passes too: reading the ledger again is all it needs.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::InDoubt { .. } => true,
            Self::Connect { state: None, .. } | Self::PositionTaken { is_own: true, .. } => true,
            Self::HolderLost { passes, .. } => *passes,
            Self::Connect { state: Some(state), .. } | Self::Sql { state, .. } | Self::Unreached { state, .. } => {
                state_passes(state)
            }
            _ => false,
        }
    }

    /// SQLSTATE, where the server gave one.
    pub fn state(&self) -> Option<&str> {
        match self {
            Self::Connect { state, .. } => state.as_deref(),
            Self::Sql { state, .. } | Self::Row { state, .. } | Self::Unreached { state, .. } => Some(state),
            _ => None,
        }
    }

    /// Whether the database refuses rows of the batch, and not the statement as such.
    ///
    /// | class | what |
    /// |---|---|
    /// | 21, 22 | a subquery with several rows; values: casts, division by zero, lengths |
    /// | 23, 44 | constraints; a view's check |
    /// | 38, 39, 45, P0 | functions, and what they raise |
    /// | 54 | a value too large for an index |
    pub fn is_of_rows(&self) -> bool {
        let Self::Sql { state, .. } = self else { return false };
        matches!(&state[..state.len().min(2)], "21" | "22" | "23" | "38" | "39" | "44" | "45" | "54" | "P0")
    }

    /// From the client library: `doing` is a participle, "reading the ledger".
    pub(super) fn from_client(doing: &str, error: &postgres::Error) -> Self {
        let doing = doing.to_owned();
        match error.as_db_error() {
            Some(db) if is_fatal(db) => Self::Lost { doing, text: one_line(db) },
            Some(db) => {
                let (state, text) = (db.code().code().to_owned(), explained(db));
                match unreached(&state, &text) {
                    Some(what) => Self::Unreached { what: Box::new(what), state },
                    None => Self::Sql { doing, state, text: without_tokens(&text) },
                }
            }
            None if error.is_closed() || is_io(error) => Self::Lost { doing, text: chain(error) },
            None => Self::Client { doing, text: chain(error) },
        }
    }

    /// Whether another session made the same table at the same moment. It says so by three names: the table is there,
    /// a row of a catalog is there twice, or the table's row type is there (42710, seen once in hundreds of races).
    pub(super) fn is_raced_creation(&self) -> bool {
        self.is_state(&[&SqlState::DUPLICATE_TABLE, &SqlState::UNIQUE_VIOLATION, &SqlState::DUPLICATE_OBJECT])
    }

    /// Whether the statement met one of these SQLSTATEs.
    pub(super) fn is_state(&self, states: &[&SqlState]) -> bool {
        self.state().is_some_and(|state| states.iter().any(|any| any.code() == state))
    }
}

/// Whether the socket is what failed.
fn is_io(error: &postgres::Error) -> bool {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .any(|cause| cause.is::<std::io::Error>())
}

/// A FATAL or PANIC ends the session.
pub(super) fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        || matches!(error.severity(), "FATAL" | "PANIC")
}

/// Where the server's own words leave out what to do.
fn explained(error: &DbError) -> String {
    let text = one_line(error);
    match *error.code() == SqlState::LOCK_NOT_AVAILABLE {
        true => {
            format!("{text}; another session holds a lock on it, which one is in pg_locks: start again when it is gone")
        }
        false => text,
    }
}

fn state_passes(state: &str) -> bool {
    let class = &state[..state.len().min(2)];
    match class {
        "08" | "53" => true,
        "40" => state != "40M00",
        "57" => state.starts_with("57P0"),
        _ => state == "58M01" || state == "38000",
    }
}

/// Servers quote values of any length: so much of each part of what they say.
const PART_CHARS_MAX: usize = 1000;

/// Message, detail and hint on one line, for a log and a terminal.
pub(super) fn one_line(error: &DbError) -> String {
    let mut text = part(error.message());
    for (mark, more) in [("; ", error.detail()), ("; hint: ", error.hint())] {
        if let Some(more) = more {
            write!(text, "{mark}{}", part(more.trim_end_matches('.'))).expect("writing to a string cannot fail");
        }
    }
    text
}

/// What servers set on several lines reads as well on one.
fn part(text: &str) -> String {
    line::excerpt(&text.split_whitespace().collect::<Vec<_>>().join(" "), PART_CHARS_MAX)
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.contains(&part) {
            write!(text, ": {part}").expect("writing to a string cannot fail");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_pass_is_one_table() {
        let passing = [
            "08000", "08003", "08006", "40001", "40P01", "53100", "53200", "53300", "57P01", "57P02", "57P03", "58M01",
            "38000",
        ];
        let last = [
            "22000", "22P02", "22003", "23502", "23505", "23514", "25006", "28000", "28P01", "3D000", "40M00", "42501",
            "42601", "42703", "42P01", "42P07", "54000", "55P03", "57014", "P0001", "XX000", "0A000", "38001",
        ];
        for state in passing {
            assert!(sql(state).is_passing(), "{state} passes");
        }
        for state in last {
            assert!(!sql(state).is_passing(), "{state} does not pass");
        }
    }

    #[test]
    fn a_lost_connection_passes_and_our_own_fence_does_not() {
        assert!(Error::Lost { doing: "x".into(), text: "y".into() }.is_passing());
        assert!(Error::InDoubt { batch: 1, text: "y".into() }.is_passing());
        for is_own in [false, true] {
            assert_eq!(Error::PositionTaken { partition: 0, seq: 1, by: "z".into(), is_own }.is_passing(), is_own);
        }
        for passes in [false, true] {
            assert_eq!(Error::HolderLost { text: "y".into(), passes }.is_passing(), passes);
        }
    }

    #[test]
    fn a_servers_words_are_one_short_line() {
        assert_eq!(part("value \"\u{1b}[2J\n  x\""), "value \"\\u{1b}[2J x\"");
        assert_eq!(part(&"é".repeat(5000)).chars().count(), PART_CHARS_MAX + 1);
    }

    fn sql(state: &str) -> Error {
        Error::Sql { doing: "testing".into(), state: state.into(), text: "text".into() }
    }
}
