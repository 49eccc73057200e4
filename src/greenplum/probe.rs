//! Whether segments can fetch from a loader: the external table of a load is made in a transaction, read as often as is
//! wanted, and rolled back with it. No other session ever sees it, and nothing of it is left however the process ends.
//!
//! | statement | reads |
//! |---|---|
//! | [`Probe::all`] | every segment, at once, as a batch does |
//! | [`Probe::one`] | one segment, which the database chooses at random: then an error is about that one alone |
//! | [`Probe::answer`] | PostgreSQL only: the program that stands for a segment says why it could not |

use super::connection::Connection;
use super::dial::Canceller;
use super::dialect::Dialect;
use super::external::{Definition, ExternalTable};
use super::external_postgres;
use super::failure::Error;
use super::load::own_xid;
use super::sql::literal;
use crate::table::TableName;

/// Behind it is the external table; each statement goes back to it.
const MADE: &str = "gpkafka_made";

/// Where hosts do not answer at all, a segment tries again for so long, in seconds. A load waits longer.
const RETRY: &str = "2";

/// Seconds that the program may take to answer.
const ANSWER_MAX: u64 = 8;

/// See the module. Belongs to one thread; dropping it ends the session, and the server rolls back.
pub struct Probe {
    connection: Connection,
    definition: Definition,
    table: TableName,
    path: String,
    xid: String,
}

impl Probe {
    /// Opens the transaction and makes the table.
    ///
    /// # Errors
    /// As [`ExternalTable::ensure`]; on PostgreSQL a lack of what `file_fdw` wants, or a program that cannot be run.
    pub fn begin(mut connection: Connection, definition: &Definition) -> Result<Self, Error> {
        connection.batch("beginning a transaction", "BEGIN ISOLATION LEVEL READ COMMITTED")?;
        let made = ExternalTable::make_inside(&mut connection, definition)?;
        let xid = match connection.dialect() {
            Dialect::Greenplum { .. } => own_xid(&mut connection)?,
            Dialect::Postgres { .. } => format!("pg-{}", connection.pid()),
        };
        connection.batch("setting a savepoint", &format!("SAVEPOINT {MADE}"))?;
        Ok(Self { connection, definition: definition.clone(), table: made.name, path: made.path, xid })
    }

    /// What segments ask for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What every segment sends as `X-GP-XID`, with every statement.
    pub fn xid(&self) -> &str {
        &self.xid
    }

    /// Ends a statement early, from another thread.
    pub fn canceller(&self) -> Canceller {
        self.connection.canceller()
    }

    /// Has every segment fetch; how many rows came.
    ///
    /// # Errors
    /// One segment could not, see [`Error::astray`]; which one of several that could not is chance.
    ///
    /// # Blocks
    /// For as long as segments take, or until it is cancelled.
    pub fn all(&mut self) -> Result<u64, Error> {
        self.fetch(None)
    }

    /// Has one segment fetch.
    ///
    /// # Errors
    /// As [`Probe::all`].
    ///
    /// # Blocks
    /// As [`Probe::all`].
    pub fn one(&mut self) -> Result<u64, Error> {
        self.fetch(Some("1"))
    }

    fn fetch(&mut self, segments_max: Option<&str>) -> Result<u64, Error> {
        self.again()?;
        let retry = Some(("gpfdist_retry_timeout", RETRY));
        for (name, value) in retry.into_iter().chain(segments_max.map(|max| ("gp_external_max_segs", max))) {
            // one that the server does not know is passed over
            let sql = "SELECT pg_catalog.set_config(name, $2, true) FROM pg_catalog.pg_settings WHERE name = $1";
            self.connection.query("setting up the trial", sql, &[&name, &value])?;
        }
        let sql = format!("SELECT count(*) FROM {}", self.table);
        let row = self.connection.query_one("having segments fetch", &sql, &[])?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// What the program that stands for a segment says of a loader at the address that segments call: that it answers,
    /// or why not. `None` on Greenplum, where no plain role can ask for it.
    ///
    /// # Errors
    /// The program cannot be run, or the role has no right to a temporary table.
    ///
    /// # Blocks
    /// Some seconds.
    pub fn answer(&mut self) -> Result<Option<Result<(), String>>, Error> {
        if self.connection.dialect().is_greenplum() {
            return Ok(None);
        }
        self.again()?;
        let program = literal(&external_postgres::asking(&self.definition, ANSWER_MAX)?);
        let sql = "CREATE TEMPORARY TABLE gpkafka_answer (line text)";
        self.connection.batch("making a temporary table", sql)?;
        let sql =
            format!("COPY gpkafka_answer FROM PROGRAM {program} WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')");
        self.connection.batch("asking the segment program", &sql)?;
        let sql = "SELECT coalesce(line, '') FROM gpkafka_answer";
        let lines = self.connection.query("reading what the segment program says", sql, &[])?;
        let lines: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
        let said = lines.join(" ");
        Ok(Some(match said.contains(" answers: ") {
            true => Ok(()),
            false if said.is_empty() => Err(format!("nobody answers within {ANSWER_MAX} s")),
            false => Err(said.trim_start_matches("gpkafka: ").to_owned()),
        }))
    }

    /// Rolls all of it back.
    ///
    /// # Errors
    /// The session is gone, and the transaction with it.
    pub fn end(mut self) -> Result<Connection, Error> {
        self.connection.roll_back()?;
        Ok(self.connection)
    }

    /// The transaction as it was when the table was made, whatever has failed since.
    fn again(&mut self) -> Result<(), Error> {
        self.connection.batch("going back to the savepoint", &format!("ROLLBACK TO SAVEPOINT {MADE}"))
    }
}
