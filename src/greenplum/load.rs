//! One batch's transaction on its session: BEGIN, the statement that segments feed and those behind it, rejects, ledger, COMMIT.
//!
//! The order of calls is [`Load::begin`], [`Load::write`], [`Load::rejects`] where there were any, [`Load::commit`];
//! [`Load::roll_back`] at any point. What is dropped is rolled back by the server. A load that only measures is
//! [`Load::undone`], see there.

use std::sync::Arc;

use fail::fail_point;

use super::backup::Backup;
use super::chain::{Chain, Commit};
use super::connection::Connection;
use super::dial::Canceller;
use super::dialect::Dialect;
use super::external::{Definition, ExternalTable};
use super::failure::{Error, one_line};
use super::identity::{JobId, Loader};
use super::ledger::Ledger;
use super::rejects::{self, SegmentRejects};
use super::salvage::{Aside, Salvage, Searching};
use super::step::Written;
use super::steps::run_all;
use super::writes::{Reading, Writes};
use crate::table::{Column, TableName};

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The savepoint behind which a load that is undone has its external table.
const MADE: &str = "gpkafka_made";

/// The session that loads, with all that its statements need. Belongs to one thread.
pub struct Load {
    connection: Connection,
    job: JobId,
    loader: Loader,
    writes: Writes,
    script: Reading,
    external: ExternalTable,
    ledger: Ledger,
    /// The session has its temporary tables.
    is_laid_out: bool,
    /// The table's error log may hold what is not of the next statement.
    is_log_stale: bool,
    searching: Arc<Searching>,
}

impl Load {
    /// Joins what was prepared on a session.
    pub fn new(
        connection: Connection,
        job: JobId,
        loader: Loader,
        writes: Writes,
        external: ExternalTable,
        ledger: Ledger,
    ) -> Self {
        let script = writes.script(&external.name);
        let searching = Arc::default();
        Self {
            connection,
            job,
            loader,
            writes,
            script,
            external,
            ledger,
            is_laid_out: false,
            is_log_stale: true,
            searching,
        }
    }

    /// A load that is never to be committed, with its transaction open, and what every segment will send as `X-GP-XID`. The
    /// external table is made inside the transaction under a name of its own. [`Load::write`] or [`Load::count`] follow, and
    /// [`Load::undo`].
    ///
    /// # Errors
    /// As [`Load::begin`] and [`ExternalTable::ensure`].
    pub fn undone(
        mut connection: Connection,
        (job, loader): (JobId, Loader),
        writes: Writes,
        definition: &Definition,
    ) -> Result<(Self, String), Error> {
        writes.lay_out(&mut connection)?;
        connection.batch("beginning a transaction", BEGIN)?;
        let external = ExternalTable::make_inside(&mut connection, definition)?;
        connection.batch("setting a savepoint", &format!("SAVEPOINT {MADE}"))?;
        let ledger = Ledger::at(&definition.schema);
        let load = Self::new(connection, job, loader, writes, external, ledger);
        let mut load = Self { is_laid_out: true, is_log_stale: false, ..load };
        let xid = load.xid()?;
        Ok((load, xid))
    }

    /// Counts the rows of the external table, in place of [`Load::write`]; those that segments refused are
    /// [`Load::refused`].
    ///
    /// # Errors
    /// The statement failed.
    ///
    /// # Blocks
    /// As [`Load::write`].
    pub fn count(&mut self) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) FROM {}", self.external.name);
        let row = self.connection.query_one("counting the rows of the external table", &sql, &[])?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    /// How many rows segments refused by now: a SELECT's notice of them may come behind its reply, so the log is counted.
    ///
    /// # Errors
    /// It could not be read.
    pub fn refused(&mut self) -> Result<u64, Error> {
        match self.connection.dialect() {
            Dialect::Greenplum { .. } => rejects::count_logged(&mut self.connection, &self.external.name),
            Dialect::Postgres { .. } => Ok(0),
        }
    }

    /// Ends what [`Load::undone`] began, whatever state it is in. The error log of its table, which outlives a ROLLBACK, is
    /// emptied first.
    ///
    /// # Errors
    /// The session is gone, and the transaction with it.
    pub fn undo(mut self) -> Result<(), Error> {
        self.connection.batch("rolling back", &format!("ROLLBACK TO SAVEPOINT {MADE}"))?;
        if self.connection.dialect().is_greenplum() {
            rejects::forget(&mut self.connection, &self.external.name)?;
        }
        self.connection.roll_back()
    }

    /// The session, between batches.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Cancels a statement from another thread.
    pub fn canceller(&self) -> Canceller {
        self.connection.canceller()
    }

    /// How far [`Load::write`] has come in a search for bad rows.
    pub fn searching(&self) -> Arc<Searching> {
        Arc::clone(&self.searching)
    }

    /// The external table that segments read through.
    pub fn external(&self) -> &ExternalTable {
        &self.external
    }

    /// The source's own columns, see [`Writes::source`].
    pub fn source(&self) -> &[Column] {
        self.writes.source()
    }

    /// Whether the database may drop rows that it does not count, see [`Writes::is_filtered`].
    pub fn is_filtered(&self) -> bool {
        self.writes.is_filtered()
    }

    /// Opens the batch's transaction and says what every segment will send as `X-GP-XID`, before any of them does.
    ///
    /// # Errors
    /// The session is gone.
    pub fn begin(&mut self) -> Result<String, Error> {
        if self.is_log_stale && self.connection.dialect().is_greenplum() {
            rejects::forget(&mut self.connection, &self.external.name)?;
            self.is_log_stale = false;
        }
        if !self.is_laid_out {
            self.writes.lay_out(&mut self.connection)?;
            self.is_laid_out = true;
        }
        self.connection.batch("beginning a transaction", BEGIN)?;
        let xid = self.xid()?;
        fail_point!("after-begin");
        Ok(xid)
    }

    /// Of the open transaction.
    fn xid(&mut self) -> Result<String, Error> {
        match self.connection.dialect() {
            Dialect::Greenplum { .. } => own_xid(&mut self.connection),
            // the shell of each program is a child of the backend: its $PPID
            Dialect::Postgres { .. } => Ok(format!("pg-{}", self.connection.pid())),
        }
    }

    /// Runs the statement that segments feed until they have read everything, then those that bring its rows into their
    /// targets.
    ///
    /// # Errors
    /// A statement failed; [`Error::TargetChanged`]. The transaction is then to be rolled back.
    ///
    /// # Blocks
    /// As long as the gpfdist session feeds it; [`Load::canceller`] ends it early.
    pub fn write(&mut self) -> Result<Written, Error> {
        self.connection.take_notices();
        self.is_log_stale = true;
        fail_point!("insert-sent");
        let mut written = Written { outputs: self.writes.tally(), ..Written::default() };
        // this one, and no other, reads the external table
        let (output, read) = &self.script.first;
        written.read = self
            .connection
            .client()
            .execute(read.statement.sql(), &[])
            .map_err(|error| failed(read.statement.doing(), &error))?;
        fail_point!("insert-replied");
        written.rejected = rejected(&mut self.connection, &self.external.name, self.writes.is_filtered())?;
        if let Some(output) = output {
            written.outputs[*output].note(read.act, written.read, written.read);
        }
        self.write_outputs(&mut written)?;
        self.is_log_stale = written.rejected > 0;
        self.writes.check_unchanged(&mut self.connection)?;
        Ok(written)
    }

    /// What comes behind the first statement.
    fn write_outputs(&mut self, written: &mut Written) -> Result<(), Error> {
        let Some(stage) = self.writes.kept_stage().filter(|_| written.read > 0) else {
            return run_all(&mut self.connection, &self.script.rest.0, written);
        };
        let aside = match self.writes.dead_letters() {
            Some(table) => Aside::DeadLetters(table.clone()),
            None => Aside::Backup(Backup::new(&self.ledger.table().schema, &self.job, self.writes.source())),
        };
        let (connection, writes, searching) = (&mut self.connection, &self.writes, &*self.searching);
        let mut salvage = Salvage { connection, writes, stage, aside, searching };
        salvage.run(&self.script.rest, self.writes.failing(), written)
    }

    /// The rows that segments refused in this batch, `limit` of them by name, and of `shown` how they begin.
    ///
    /// # Errors
    /// The error log could not be read.
    pub fn rejects(&mut self, limit: usize, shown: usize) -> Result<SegmentRejects, Error> {
        match self.connection.dialect() {
            Dialect::Greenplum { .. } => {
                let mut rejects = rejects::read(&mut self.connection, &self.external.name, limit, shown)?;
                if self.external.is_custom {
                    // a formatter counts what it likes
                    rejects.named.iter_mut().for_each(|reject| reject.line = 0);
                }
                Ok(rejects)
            }
            Dialect::Postgres { .. } => Ok(SegmentRejects::default()),
        }
    }

    /// Appends the batch's ledger rows, checks their chain and commits. The chain moves on if and only if this is `Ok`.
    ///
    /// # Errors
    /// [`Error::PositionTaken`]: another loader was first; rolled back. [`Error::InDoubt`]: only the ledger knows, see
    /// [`super::Holder::end_earlier`]. Anything else: rolled back.
    ///
    /// # Blocks
    /// While another transaction holds the same position, up to the lock timeout.
    pub fn commit(&mut self, chain: &mut Chain, commit: &Commit) -> Result<(), Error> {
        let appended = self.ledger.append(&mut self.connection, &self.job, &self.loader, chain, commit);
        self.ledger.settle(&mut self.connection, &self.job, &self.loader, chain, commit, appended)
    }

    /// Commits without a word in the ledger: what was loaded has its place elsewhere.
    ///
    /// # Errors
    /// [`Error::InDoubt`]; anything else: rolled back.
    pub fn commit_alone(&mut self, batch: i64) -> Result<(), Error> {
        fail_point!("before-commit");
        self.connection.commit(batch)
    }

    /// Ends the transaction, whatever state it is in.
    ///
    /// # Errors
    /// The session is gone, and the transaction with it.
    pub fn roll_back(&mut self) -> Result<(), Error> {
        self.connection.roll_back()
    }

    /// Analyzes each target that never was: autostats are off while loading, and a plan over a table of unknown size is
    /// a bad one. Call it after the first commit. A role that may not analyze leaves it be.
    ///
    /// # Errors
    /// The session is gone.
    ///
    /// # Blocks
    /// For a sample of each table. Not for who is at it already: the next load will do.
    pub fn analyze_if_never(&mut self) -> Result<bool, Error> {
        let targets: Vec<TableName> = self.writes.targets().cloned().collect();
        let mut is_any = false;
        for target in targets {
            is_any |= self.analyze(&target)?;
        }
        Ok(is_any)
    }

    fn analyze(&mut self, target: &TableName) -> Result<bool, Error> {
        let sql = include_str!("../../sql/target_statistics.sql");
        let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&target.schema.as_str(), &target.table.as_str()];
        let rows = self.connection.query("looking for statistics", sql, &params)?;
        if !rows.first().is_some_and(|row| row.get("is_due")) {
            return Ok(false);
        }
        let analyze = format!("BEGIN; SET LOCAL lock_timeout = '1s'; ANALYZE {target}; COMMIT");
        match self.connection.batch("analyzing the target", &analyze) {
            Ok(()) => Ok(true),
            Err(error @ Error::Lost { .. }) => Err(error),
            Err(_) => self.connection.roll_back().map(|()| false),
        }
    }

    /// Gives the session back.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

/// The notice counts, in the server's own words. Where a filter drops rows too, words that were not understood, or never
/// came, would make of rejected rows filtered ones; there the log is counted.
fn rejected(connection: &mut Connection, external: &TableName, is_filtered: bool) -> Result<u64, Error> {
    let told = rejects::count_in(&connection.take_notices());
    match is_filtered && connection.dialect().is_greenplum() {
        true => rejects::count_logged(connection, external),
        false => Ok(told),
    }
}

/// Newer ones lack `distributed_id`: there the number alone is the identifier.
pub(super) fn own_xid(connection: &mut Connection) -> Result<String, Error> {
    let sql = match connection.dialect() {
        Dialect::Greenplum { major: 6 } => include_str!("../../sql/own_xid_6.sql"),
        _ => include_str!("../../sql/own_xid_7.sql"),
    };
    connection.query_one("reading the transaction's distributed id", sql, &[]).map(|row| row.get(0))
}

/// PostgreSQL refuses a row with `COPY gpkafkaloadext_<hash>_<segment>, line <n>` as the error's context.
fn failed(doing: &str, error: &postgres::Error) -> Error {
    let row = error.as_db_error().and_then(|db| {
        let (segment, line) = row_of(db.where_()?)?;
        Some(Error::Row { segment, line, text: one_line(db), state: db.code().code().to_owned() })
    });
    row.unwrap_or_else(|| Error::from_client(doing, error))
}

fn row_of(context: &str) -> Option<(u32, u64)> {
    let rest = context.lines().find_map(|line| line.strip_prefix("COPY gpkafkaloadext_"))?;
    let (table, rest) = rest.split_once(", line ")?;
    let line: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((table.rsplit('_').next()?.parse().ok()?, line.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_row_is_named_by_its_context() {
        let context = "COPY gpkafkaloadext_00112233445566778899aabbccddeeff_3, line 17, column amount: \"abc\"";
        assert_eq!(row_of(context), Some((3, 17)));
        assert_eq!(row_of("SQL function \"f\" statement 1"), None);
    }
}
