//! The table in which rows of failing batches are kept: `gpssbackup_<job>`, as the original calls it, with the source's
//! columns, when it was, and what the database said. Made in the transaction of the first batch that needs it.

use super::connection::Connection;
use super::failure::Error;
use super::identity::JobId;
use super::scratch::list;
use super::sql::fill;
use crate::table::{Column, Ident, TableName};

/// What the original adds to the source's columns, with their types as a server writes them.
const OWN: [(&str, &str); 2] = [("gpss_save_timestamp", "timestamp with time zone"), ("gpss_expression_error", "text")];

/// Another session may make it, or drop it, between a look and a CREATE; not for ever.
const ATTEMPTS: usize = 5;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub(super) table: TableName,
    source: Vec<Column>,
}

impl Backup {
    pub(super) fn new(schema: &Ident, job: &JobId, source: &[Column]) -> Self {
        let table = TableName { schema: schema.clone(), table: Ident::exact(format!("gpssbackup_{}", job.hash())) };
        Self { table, source: source.to_vec() }
    }

    /// Makes it where it is not there. `stage` is a temporary table of this session that has the source's columns.
    ///
    /// # Errors
    /// [`Error::Target`]: its columns are not those of the source.
    ///
    /// # Blocks
    /// For another session that is making it.
    pub(super) fn ensure(&self, connection: &mut Connection, stage: &TableName) -> Result<(), Error> {
        let create = self.create(connection.dialect().is_greenplum());
        for _ in 0..ATTEMPTS {
            if self.is_there(connection, stage)? {
                return Ok(());
            }
            connection.batch("setting a savepoint", "SAVEPOINT gpkafka_backup")?;
            match connection.batch("creating the table for rows of failing batches", &create) {
                Ok(()) => return connection.batch("releasing a savepoint", "RELEASE SAVEPOINT gpkafka_backup"),
                Err(error) if error.is_raced_creation() => {
                    connection.batch("rolling back to a savepoint", "ROLLBACK TO SAVEPOINT gpkafka_backup")?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Target { text: format!("the table {} cannot be made; look for someone who drops it", self.table) })
    }

    fn create(&self, is_greenplum: bool) -> String {
        let columns = super::external_greenplum::columns(&self.source);
        let distribution = if is_greenplum { "\nDISTRIBUTED RANDOMLY" } else { "" };
        fill(
            include_str!("../../sql/backup_create.sql").trim_end(),
            &[("backup", &self.table), ("columns", &columns), ("distribution", &distribution)],
        )
    }

    fn is_there(&self, connection: &mut Connection, stage: &TableName) -> Result<bool, Error> {
        let params: [&(dyn postgres::types::ToSql + Sync); 3] =
            [&self.table.schema.as_str(), &self.table.table.as_str(), &stage.table.as_str()];
        let sql = include_str!("../../sql/backup_shape.sql");
        let rows = connection.query("looking for the table for rows of failing batches", sql, &params)?;
        let (wanted, found): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.get("is_wanted"));
        let pair = |row: &&postgres::Row| (row.get::<_, String>("name"), row.get::<_, String>("sql_type"));
        let found: Vec<_> = found.iter().map(pair).collect();
        if found.is_empty() {
            return Ok(false);
        }
        let is_source = |(name, _): &(String, String)| self.source.iter().any(|column| column.name.as_str() == name);
        let own = OWN.map(|(name, sql_type)| (name.to_owned(), sql_type.to_owned()));
        for (name, sql_type) in wanted.iter().map(pair).filter(is_source).chain(own) {
            let has = match found.iter().find(|(found, _)| *found == name) {
                Some((_, found)) if *found == sql_type => continue,
                Some((_, found)) => format!("is {found}"),
                None => "is missing".to_owned(),
            };
            return Err(Error::Target {
                text: format!(
                    "the table {}, where rows of failing batches are kept, does not fit this job: its column \"{name}\" {has}, and should be {sql_type}; rename it or drop it",
                    self.table
                ),
            });
        }
        Ok(true)
    }

    /// A statement of `sql/` about this table and one that holds the batch's rows.
    pub(super) fn fill(&self, template: &str, rows: (&str, &TableName)) -> String {
        let columns = list(self.source.iter().map(|column| &column.name));
        fill(template, &[("backup", &self.table), ("columns", &columns), (rows.0, rows.1)])
    }
}
