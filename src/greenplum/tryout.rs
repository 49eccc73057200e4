//! The INSERT asked about without leaving a trace: for `dryrun --connect`.

use super::connection::Connection;
use super::failure::Error;
use super::insert::Insert;
use crate::table::{Ident, TableName};

impl Insert {
    /// What EXPLAIN says of the INSERT, line by line. A temporary table of the same columns stands for the external
    /// one, and all is rolled back.
    ///
    /// # Errors
    /// As [`Insert::explain`].
    pub fn try_out(&self, connection: &mut Connection) -> Result<Vec<String>, Error> {
        let doing = "explaining the INSERT";
        let stand_in = TableName { schema: Ident::exact("pg_temp"), table: Ident::exact("gpkafka_dryrun") };
        let columns: Vec<String> =
            self.source().iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect();
        let create = format!("BEGIN; CREATE TEMPORARY TABLE {} ({})", stand_in.table, columns.join(", "));
        connection.batch(doing, &create)?;
        let explained = self.explain(connection, &stand_in);
        let rows = match explained {
            Ok(()) => connection.query(doing, &format!("EXPLAIN {}", self.sql(&stand_in)), &[]),
            Err(error) => Err(error),
        };
        connection.roll_back()?;
        Ok(rows?.iter().map(|row| row.get(0)).collect())
    }
}
