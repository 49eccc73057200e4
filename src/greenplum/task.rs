//! The user's own SQL around the batches (TASK). It goes to the server as it is written, in one message: several
//! statements are one transaction there, unless they say otherwise. Called by the job.

use super::connection::Connection;
use super::failure::Error;
use super::load::Load;
use super::statements::statements;

/// What the server calls a text that is no SQL.
const SYNTAX_ERROR: &str = "42601";

impl Connection {
    /// Runs SQL of the user's in a transaction of its own; `name` is its key. VACUUM and the like work where they stand
    /// alone.
    ///
    /// # Errors
    /// The server's message, rolled back; or a transaction was begun and not ended.
    ///
    /// # Blocks
    /// For as long as it takes; [`Connection::canceller`] ends it early.
    pub fn run_task(&mut self, name: &str, sql: &str) -> Result<(), Error> {
        self.batch(&format!("running {name}"), sql)?;
        if self.is_in_transaction()? {
            self.roll_back()?;
            return Err(Error::Task {
                text: format!(
                    "{name} begins a transaction and does not end it; it is rolled back: write COMMIT at its end"
                ),
            });
        }
        Ok(())
    }

    /// Lets the server look at SQL of the user's without running it. Of names only those in the first statement are
    /// judged: later ones may mean what earlier ones make.
    ///
    /// # Errors
    /// The server's message.
    pub fn check_task(&mut self, name: &str, sql: &str) -> Result<(), Error> {
        for (at, statement) in statements(sql).into_iter().enumerate() {
            let checked = self.client().prepare(statement);
            let Err(error) = checked.map_err(|error| Error::from_client(&format!("checking {name}"), &error)) else {
                continue;
            };
            if at == 0 || matches!(error, Error::Lost { .. }) || error.state() == Some(SYNTAX_ERROR) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A transaction that is older than the statement that asks. Asked in one message: in several the statement's own
    /// transaction is older than its last part.
    fn is_in_transaction(&mut self) -> Result<bool, Error> {
        let sql = "SELECT pg_catalog.now() < pg_catalog.statement_timestamp()";
        Ok(self.simple_value("asking for a transaction", sql)?.as_deref() == Some("t"))
    }

    fn simple_value(&mut self, doing: &str, sql: &str) -> Result<Option<String>, Error> {
        let messages = self.client().simple_query(sql).map_err(|error| Error::from_client(doing, &error))?;
        Ok(messages.into_iter().find_map(|message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }))
    }
}

impl Load {
    /// Runs SQL of the user's in the open transaction of a batch.
    ///
    /// # Errors
    /// The server's message; or the transaction is no longer the batch's, which [`transaction_word`] could not foresee.
    /// It is then to be rolled back.
    ///
    /// [`transaction_word`]: super::transaction_word
    pub fn run_inside(&mut self, name: &str, sql: &str) -> Result<(), Error> {
        let connection = self.connection();
        let number = "SELECT pg_catalog.txid_current()";
        let before = connection.simple_value("asking for the transaction", number)?;
        connection.batch(&format!("running {name}"), sql)?;
        let after = connection.simple_value("asking for the transaction", number)?;
        if before == after {
            return Ok(());
        }
        Err(Error::Task {
            text: format!(
                "{name} has ended the transaction of its batch: whether the batch's rows are in the table is open, and no \
                 offset moved; take COMMIT and ROLLBACK out of it, and look at the rows before the next start"
            ),
        })
    }
}
