//! What is done about a ledger beside reading and appending: old rows are pruned, and a job that has its history in the
//! ledger of another schema is found out.

use postgres::error::SqlState;

use super::connection::Connection;
use super::failure::Error;
use super::identity::JobId;
use super::ledger::Ledger;
use super::sql::literal;
use crate::table::{Ident, TableName};

/// Rows that one prune deletes of a partition: so few that nobody waits long behind it.
const PRUNED_MAX: i64 = 5_000;

/// How often other ledgers are looked through, where one of them goes meanwhile.
const ATTEMPTS: usize = 5;
/// It has gone, or its schema has.
const GONE: [&SqlState; 2] = [&SqlState::UNDEFINED_TABLE, &SqlState::INVALID_SCHEMA_NAME];

impl Ledger {
    /// Deletes a job's oldest rows but the newest `keep` of each partition, some thousands of each at most, and says how
    /// many went. On Greenplum a DELETE locks the whole table, so it neither waits nor takes long: what cannot be had
    /// is no failure, the next time will do.
    ///
    /// # Errors
    /// The delete failed for another reason.
    ///
    /// # Panics
    /// Where `keep` is 0: the newest row is the position.
    ///
    /// # Blocks
    /// Up to 5 s.
    pub fn prune(&self, connection: &mut Connection, job: &JobId, keep: u32) -> Result<u64, Error> {
        assert!(keep > 0, "the newest row of a partition is its position");
        let doing = "pruning the ledger";
        connection.batch(doing, "BEGIN; SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '5s'")?;
        let sql = self.fill(include_str!("../../sql/ledger_prune.sql"));
        match connection.execute(doing, &sql, &[&job.hash(), &i64::from(keep), &PRUNED_MAX]) {
            Ok(rows) => connection.batch(doing, "COMMIT").map(|()| rows),
            Err(error) => {
                connection.roll_back()?;
                let passed_over =
                    [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::QUERY_CANCELED, &SqlState::INSUFFICIENT_PRIVILEGE];
                if error.is_state(&passed_over) { Ok(0) } else { Err(error) }
            }
        }
    }

    /// Refuses a job without history in this schema's ledger whose history is in another
    /// schema's: it would be loaded from the beginning
    /// once more, and the two ledgers would not fence each other. To be asked while the job's partitions are held.
    ///
    /// # Errors
    /// [`Error::Target`] with the ledger that has it, and what to run to move it.
    pub fn require_no_other(connection: &mut Connection, schema: &Ident, job: &JobId) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::holder_elsewhere(connection, schema, job) {
                // somebody drops one between the list and the look
                Err(error) if error.is_state(&GONE) && attempts < ATTEMPTS => {}
                Ok(None) => return Ok(()),
                Ok(Some(other)) => return Err(elsewhere(job, Self::at(schema).table(), &other)),
                Err(error) => return Err(error),
            }
        }
    }

    /// The schema in whose ledger the job is, other than this one.
    fn holder_elsewhere(connection: &mut Connection, schema: &Ident, job: &JobId) -> Result<Option<Ident>, Error> {
        let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&Self::NAME, &schema.as_str()];
        let sql = include_str!("../../sql/ledgers_elsewhere.sql");
        let schemas = connection.query("looking for other ledgers", sql, &params)?;
        let others = schemas.iter().map(|row| Self::at(&Ident::exact(row.get::<_, String>("schema"))));
        let looks: Vec<String> = others.map(|other| look(other.table())).collect();
        if looks.is_empty() {
            return Ok(None);
        }
        let sql = format!("{} LIMIT 1", looks.join("\nUNION ALL "));
        let found = connection.query("looking for the job in other ledgers", &sql, &[&job.hash()])?;
        Ok(found.first().map(|row| Ident::exact(row.get::<_, String>(0))))
    }
}

fn look(ledger: &TableName) -> String {
    format!("SELECT {}::pg_catalog.text FROM {ledger} WHERE job = $1", literal(ledger.schema.as_str()))
}

fn elsewhere(job: &JobId, here: &TableName, schema: &Ident) -> Error {
    let (there, hash) = (TableName { schema: schema.clone(), table: here.table.clone() }, literal(job.hash()));
    Error::Target {
        text: format!(
            "the history of topic \"{}\" into {} is in {there}, not in {here}: set METADATA.SCHEMA to {schema} as before, \
             or move it: BEGIN; INSERT INTO {here} SELECT * FROM {there} WHERE job = {hash}; DELETE FROM {there} WHERE \
             job = {hash}; COMMIT; nothing was loaded",
            job.topic(),
            job.target(),
        ),
    }
}
