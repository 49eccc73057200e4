//! A look around the database without a trace, for `gpkafka doctor`: its clock, the hosts of its segments, what earlier
//! loads have left, and who is in the way of the next one.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::Connection;
use super::external::{self, Definition};
use super::failure::Error;
use super::identity::JobId;
use super::ledger::Ledger;
use super::settings::{Mode, Settings};
use crate::table::{Ident, TableName};

/// Locks that the ROW EXCLUSIVE of an INSERT waits for.
const AGAINST_INSERT: [&str; 4] = ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"];

/// What an UPDATE or DELETE waits for beside these where it takes the whole table, as in Greenplum.
const AGAINST_UPDATE: [&str; 3] = ["RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock"];

/// An external table of gpkafka's that is not the one a load would read through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub table: TableName,
    /// It is of the job that was asked about; else of one that has committed nothing by its ledger.
    pub is_own: bool,
}

/// A session in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct InTheWay {
    pub pid: i32,
    pub role: String,
    pub application_name: String,
    /// The lock and its table, where it is about one.
    pub lock: Option<(String, TableName)>,
    /// For how long; absent where this role may not see it.
    pub seconds: Option<f64>,
}

impl Connection {
    /// The database's clock, in seconds since 1970.
    ///
    /// # Errors
    /// The query failed.
    pub fn clock(&mut self) -> Result<f64, Error> {
        let sql = "SELECT extract(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.float8";
        self.query_one("reading the database's clock", sql, &[]).map(|row| row.get(0))
    }

    /// What the server calls itself.
    ///
    /// # Errors
    /// The query failed.
    pub fn version(&mut self) -> Result<String, Error> {
        let row = self.query_one("reading the server's version", "SELECT pg_catalog.version()", &[])?;
        let text: String = row.get(0);
        Ok(text.split(" on ").next().unwrap_or_default().to_owned())
    }

    /// The host of each segment that reads; none on PostgreSQL.
    ///
    /// # Errors
    /// The query failed.
    pub fn segment_hosts(&mut self) -> Result<BTreeMap<u32, String>, Error> {
        if !self.dialect().is_greenplum() {
            return Ok(BTreeMap::new());
        }
        let rows = self.query("looking for segments", include_str!("../../sql/segment_hosts.sql"), &[])?;
        Ok(rows.iter().map(|row| (row.get::<_, i32>("segment").unsigned_abs(), row.get("host"))).collect())
    }
}

impl Leftover {
    /// Those in the schema of the definition's own table: of its job, by other definitions; and of jobs that the ledger
    /// there does not know.
    ///
    /// # Errors
    /// A query failed.
    pub fn find(connection: &mut Connection, definition: &Definition) -> Result<Vec<Self>, Error> {
        let others = external::others(connection, definition)?;
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let known = jobs(connection, &definition.schema)?;
        let leftover = |(table, job): (TableName, String)| {
            let is_own = job == definition.job.hash();
            (is_own || !known.contains(&job)).then_some(Self { table, is_own })
        };
        Ok(others.into_iter().filter_map(leftover).collect())
    }
}

/// The jobs of a ledger; none where there is no ledger.
fn jobs(connection: &mut Connection, schema: &Ident) -> Result<BTreeSet<String>, Error> {
    let Some(ledger) = Ledger::find(connection, schema)? else { return Ok(BTreeSet::new()) };
    let sql = format!("SELECT DISTINCT job FROM {}", ledger.table());
    Ok(connection.query("reading the jobs of the ledger", &sql, &[])?.iter().map(|row| row.get(0)).collect())
}

impl InTheWay {
    /// Sessions of loaders that have been idle inside a transaction for so many seconds.
    ///
    /// # Errors
    /// The query failed.
    pub fn idle(connection: &mut Connection, seconds: f64) -> Result<Vec<Self>, Error> {
        let rows =
            connection.query("looking for idle sessions", include_str!("../../sql/sessions_idle.sql"), &[&seconds])?;
        Ok(rows.iter().map(|row| Self::of(row, None)).collect())
    }

    /// Who holds locks on targets that a batch of this job would wait for; loads of the job itself left out.
    ///
    /// # Errors
    /// The query failed.
    pub fn locks(connection: &mut Connection, settings: &Settings, job: &JobId) -> Result<Vec<Self>, Error> {
        let is_insert = settings.outputs.iter().all(|output| output.mode == Mode::Insert);
        let takes_all = !is_insert && connection.dialect().is_greenplum();
        let more = AGAINST_UPDATE.into_iter().filter(|_| takes_all);
        let modes: Vec<&str> = AGAINST_INSERT.into_iter().chain(more).collect();
        let tables = || settings.outputs.iter().map(|output| &output.target);
        let schemas: Vec<&str> = tables().map(|table| table.schema.as_str()).collect();
        let names: Vec<&str> = tables().map(|table| table.table.as_str()).collect();
        let own = format!("gpkafka:{}:%", job.hash());
        let sql = include_str!("../../sql/locks_in_the_way.sql");
        let rows = connection.query("looking for locks", sql, &[&modes, &own, &schemas, &names])?;
        let lock = |row: &postgres::Row| {
            let ident = |column| Ident::exact(row.get::<_, String>(column));
            (row.get("mode"), TableName { schema: ident("schema"), table: ident("name") })
        };
        Ok(rows.iter().map(|row| Self::of(row, Some(lock(row)))).collect())
    }

    fn of(row: &postgres::Row, lock: Option<(String, TableName)>) -> Self {
        Self {
            pid: row.get("pid"),
            role: row.get("role"),
            application_name: row.get("application_name"),
            lock,
            seconds: row.get("seconds"),
        }
    }
}
