//! The table in which rows of failing batches are kept: `gpssbackup_<job>`, as the original calls it, with the source's
//! columns, when it was, and what the database said. Made in the transaction of the first batch that needs it.

use super::connection::Connection;
use super::failure::Error;
use super::identity::JobId;
use super::kept::{self, Kept};
use super::scratch::list;
use super::sql::fill;
use crate::table::{Column, Ident, TableName};

/// What the original adds to the source's columns, with their types as a server writes them.
const OWN: [(&str, &str); 2] = [("gpss_save_timestamp", "timestamp with time zone"), ("gpss_expression_error", "text")];

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
        let is_source = |(name, _): &(String, String)| self.source.iter().any(|column| column.name.as_str() == name);
        let own = OWN.map(|(name, sql_type)| (name.to_owned(), sql_type.to_owned()));
        let columns: Vec<_> = kept::columns(connection, stage)?.into_iter().filter(is_source).chain(own).collect();
        let create = self.create(connection.dialect().is_greenplum());
        let kept = Kept { table: &self.table, create: &create, columns: &columns, holds: "rows of failing batches" };
        kept.ensure(connection)
    }

    fn create(&self, is_greenplum: bool) -> String {
        let columns = super::external_greenplum::columns(&self.source);
        let distribution = if is_greenplum { "\nDISTRIBUTED RANDOMLY" } else { "" };
        fill(
            include_str!("../../sql/backup_create.sql").trim_end(),
            &[("backup", &self.table), ("columns", &columns), ("distribution", &distribution)],
        )
    }

    /// A statement of `sql/` about this table and one that holds the batch's rows.
    pub(super) fn fill(&self, template: &str, rows: (&str, &TableName)) -> String {
        let columns = list(self.source.iter().map(|column| &column.name));
        fill(template, &[("backup", &self.table), ("columns", &columns), (rows.0, rows.1)])
    }
}
