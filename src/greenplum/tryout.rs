//! A batch's statements asked about without leaving a trace: for `dryrun --connect`.

use super::connection::Connection;
use super::failure::Error;
use super::scratch::Scratch;
use super::writes::Writes;

impl Writes {
    /// What EXPLAIN says of each statement, line by line, under what it does. A temporary table of the same columns
    /// stands for the external one, and all is rolled back.
    ///
    /// # Errors
    /// As [`Writes::explain`].
    pub fn try_out(&self, connection: &mut Connection) -> Result<Vec<(String, Vec<String>)>, Error> {
        let stand_in = Scratch::new("gpkafka_dryrun", self.columns(), Vec::new());
        let create = stand_in.create(connection.dialect().is_greenplum());
        connection.batch("explaining the load", &format!("BEGIN; {create}"))?;
        let plans = self.plans(connection, &stand_in.table);
        connection.roll_back()?;
        plans
    }
}
