//! Tables in which we keep rows for users: made where they are not there, used only while they have the columns that we
//! write.

use super::connection::Connection;
use super::failure::Error;
use crate::table::TableName;

/// Another session may make it, or drop it, between a look and a CREATE; not for ever.
const ATTEMPTS: usize = 5;

/// What such a table must be.
pub(super) struct Kept<'k> {
    pub(super) table: &'k TableName,
    /// Its CREATE statement.
    pub(super) create: &'k str,
    /// Columns with their types as a server writes them.
    pub(super) columns: &'k [(String, String)],
    /// "rows of failing batches", for texts.
    pub(super) holds: &'static str,
}

impl Kept<'_> {
    /// Makes it where it is not there; inside a transaction.
    ///
    /// # Errors
    /// [`Error::Target`]: its columns are others.
    ///
    /// # Blocks
    /// For another session that is making it.
    pub(super) fn ensure(&self, connection: &mut Connection) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            if self.is_there(connection)? {
                return Ok(());
            }
            connection.batch("setting a savepoint", "SAVEPOINT gpkafka_kept")?;
            match connection.batch(&format!("creating the table for {}", self.holds), self.create) {
                Ok(()) => return connection.batch("releasing a savepoint", "RELEASE SAVEPOINT gpkafka_kept"),
                Err(error) if error.is_raced_creation() => {
                    connection.batch("rolling back to a savepoint", "ROLLBACK TO SAVEPOINT gpkafka_kept")?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Target { text: format!("the table {} cannot be made; look for someone who drops it", self.table) })
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// [`Error::Target`]: its columns are others.
    pub(super) fn is_there(&self, connection: &mut Connection) -> Result<bool, Error> {
        let found = columns(connection, self.table)?;
        if found.is_empty() {
            return Ok(false);
        }
        for (name, sql_type) in self.columns {
            let has = match found.iter().find(|(found, _)| found == name) {
                Some((_, found)) if found == sql_type => continue,
                Some((_, found)) => format!("is {found}"),
                None => "is missing".to_owned(),
            };
            return Err(Error::Target {
                text: format!(
                    "the table {}, where {} are kept, does not fit this job: its column \"{name}\" {has}, and should be {sql_type}; rename it or drop it",
                    self.table, self.holds
                ),
            });
        }
        Ok(true)
    }
}

/// Columns of a table with their types as the server writes them; none where there is no such table. Schema `pg_temp` is
/// the session's own.
pub(super) fn columns(connection: &mut Connection, table: &TableName) -> Result<Vec<(String, String)>, Error> {
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&table.schema.as_str(), &table.table.as_str()];
    let rows = connection.query("looking at a table", include_str!("../../sql/kept_shape.sql"), &params)?;
    Ok(rows.iter().map(|row| (row.get("name"), row.get("sql_type"))).collect())
}
