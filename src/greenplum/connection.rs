//! Sessions: opened with deadlines, set to what the meaning of a load depends on, cancellable from another thread.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postgres::types::ToSql;
use postgres::{Client, Config, Row};

use super::dial::{Canceller, Line, address, dial};
use super::dialect::Dialect;
use super::failure::Error;
use super::settings::Settings;

/// A dead server is noticed after idle + retries × interval: 25 s, within the 30 that a user waits for an error.
const KEEPALIVE_RETRIES: u32 = 3;
/// More notices than one statement of ours sends; a function in a mapping may send one a row. The newest are kept: what
/// counts, the database says at a statement's end.
const NOTICES_MAX: usize = 1000;

/// What a load depends on and a role's or database's own settings must not change. Those that the server does not know
/// are left out. DateStyle, TimeZone and search_path stay the user's.
const SESSION: &[(&str, &str)] = &[
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_deferrable", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("standard_conforming_strings", "on"),
    // the server's side of a broken connection: a lost loader's backend goes, and its locks with it
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("client_connection_check_interval", "5000"),
    // a segment that hears nothing for a minute, not even a heartbeat, has lost its loader
    ("readable_external_table_timeout", "60"),
    // retries only where no host answers; a wrong address is told within half a minute
    ("gpfdist_retry_timeout", "10"),
    // our own error limit judges; the database's would stop at 1000 bad first rows
    ("gp_initial_bad_row_limit", "0"),
    // else the first load of a table analyzes it inside the batch
    ("gp_autostats_mode", "none"),
];

/// INSERT … SELECT redistributes every row: a quarter of its time with the defaults of 4 and 2 datagrams.
const QUEUES: [(&str, &str); 2] = [("gp_interconnect_queue_depth", "64"), ("gp_interconnect_snd_queue_depth", "32")];

/// The same for datagrams of eight times the size, which take another fifth of that time.
const QUEUES_OF_LARGE: [(&str, &str); 2] =
    [("gp_interconnect_queue_depth", "16"), ("gp_interconnect_snd_queue_depth", "8")];

/// A session. Dropping it ends it; the server rolls back what was not committed.
pub struct Connection {
    line: Line,
    dialect: Dialect,
    is_utf8: bool,
    notices: Arc<Mutex<VecDeque<String>>>,
    pid: i32,
    role: String,
    segments: u32,
    /// One location feeds `gp_external_max_segs` segments at most, 64 by default, and skips the others at random.
    readers_max: u32,
    /// Bytes, where all segments are on one machine: there no switch drops a datagram for its size.
    datagram_max: Option<i32>,
    address: String,
}

impl Connection {
    /// Opens a session under this name and sets it up.
    ///
    /// # Errors
    /// One line with address, role, database and what to do; or a server that is none of ours.
    ///
    /// # Blocks
    /// Up to the connect timeout twice for each address that the host has; then while the server decides who we are.
    pub fn open(settings: &Settings, application_name: &str) -> Result<Self, Error> {
        Self::meet(settings, application_name, None)?.set_up(settings.lock_timeout, QUEUES)
    }

    /// As [`Self::open`], for rows: what they are redistributed in is as large as is safe. A session is told so when it
    /// begins, and it takes one to know.
    ///
    /// # Errors
    /// As [`Self::open`].
    ///
    /// # Blocks
    /// As [`Self::open`], twice where all segments are on one machine.
    pub fn open_to_load(settings: &Settings, application_name: &str) -> Result<Self, Error> {
        let first = Self::meet(settings, application_name, None)?;
        match first.datagram_max {
            None => first.set_up(settings.lock_timeout, QUEUES),
            max => Self::meet(settings, application_name, max)?.set_up(settings.lock_timeout, QUEUES_OF_LARGE),
        }
    }

    /// A session as the server begins it, and what the server is.
    fn meet(settings: &Settings, application_name: &str, datagram_bytes: Option<i32>) -> Result<Self, Error> {
        let notices = Arc::new(Mutex::new(VecDeque::new()));
        let mut line = connect(settings, application_name, datagram_bytes, &notices)?;
        let address = address(settings);
        let facts = line
            .client
            .query_one(include_str!("../../sql/server_facts.sql"), &[])
            .map_err(|error| Error::from_client("asking the server what it is", &error))?;
        let dialect = Dialect::of(facts.get("has_segments"), facts.get("version_num"), facts.get("version"))
            .map_err(|found| Error::Unsupported { address: address.clone(), found })?;
        let (pid, role, is_utf8) = (facts.get("pid"), facts.get("role"), facts.get("is_utf8"));
        let (segments, readers_max, datagram_max) = (settings.segments, u32::MAX, None);
        let mut met = Self { line, dialect, is_utf8, notices, pid, role, segments, readers_max, datagram_max, address };
        if dialect.is_greenplum() {
            met.meet_segments()?;
        }
        Ok(met)
    }

    fn meet_segments(&mut self) -> Result<(), Error> {
        let facts = self.query_one("counting segments", include_str!("../../sql/segments.sql"), &[])?;
        let (segments, readers_max): (i64, i32) = (facts.get("segments"), facts.get("readers_max"));
        self.segments = u32::try_from(segments).unwrap_or(u32::MAX);
        self.readers_max = u32::try_from(readers_max).unwrap_or_default();
        self.datagram_max = facts.get::<_, Option<i32>>("datagram_max").filter(|_| facts.get("is_one_host"));
        Ok(())
    }

    fn set_up(mut self, lock_timeout: Duration, queues: [(&str, &str); 2]) -> Result<Self, Error> {
        let (lock_timeout, segments) = (lock_timeout.as_millis().to_string(), self.segments.to_string());
        let readers = (self.segments > self.readers_max).then_some(("gp_external_max_segs", segments.as_str()));
        let own = [("lock_timeout", lock_timeout.as_str())].into_iter().chain(readers);
        let wanted = SESSION.iter().copied().chain(queues).chain(own);
        let known: Vec<String> = self
            .query("reading the server's settings", "SELECT name FROM pg_catalog.pg_settings", &[])?
            .iter()
            .map(|row| row.get(0))
            .collect();
        let set: Vec<String> = wanted
            .filter(|(name, _)| known.iter().any(|known| known == name))
            .map(|(name, value)| format!("SET {name} = {}", super::sql::literal(value)))
            .collect();
        self.batch("setting up the session", &set.join("; "))?;
        Ok(self)
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether every text can be stored.
    pub(super) fn is_utf8(&self) -> bool {
        self.is_utf8
    }

    /// The backend's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The role that the session acts as.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// How many segments read.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A handle for other threads.
    pub fn canceller(&self) -> Canceller {
        self.line.canceller()
    }

    /// Whether the session is known to be gone.
    pub fn is_lost(&self) -> bool {
        self.line.client.is_closed()
    }

    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.line.client
    }

    /// `doing` is a participle for error texts: "reading the ledger".
    pub(super) fn query(&mut self, doing: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.line.client.query(sql, params).map_err(|error| Error::from_client(doing, &error))
    }

    pub(super) fn query_one(&mut self, doing: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, Error> {
        self.line.client.query_one(sql, params).map_err(|error| Error::from_client(doing, &error))
    }

    pub(super) fn execute(&mut self, doing: &str, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.line.client.execute(sql, params).map_err(|error| Error::from_client(doing, &error))
    }

    /// Statements without parameters.
    pub(super) fn batch(&mut self, doing: &str, sql: &str) -> Result<(), Error> {
        self.line.client.batch_execute(sql).map_err(|error| Error::from_client(doing, &error))
    }

    /// Sends COMMIT.
    ///
    /// # Errors
    /// [`Error::InDoubt`]; anything else: the transaction is rolled back.
    pub(super) fn commit(&mut self, batch: i64) -> Result<(), Error> {
        match self.batch("committing", "COMMIT") {
            Ok(()) => Ok(()),
            Err(Error::Lost { text, .. }) => Err(Error::InDoubt { batch, text }),
            Err(Error::Sql { state, text, .. }) if self.dialect.is_greenplum() && leaves_open(&state) => {
                Err(Error::InDoubt { batch, text })
            }
            // any other ERROR, unlike a FATAL, says that the transaction is rolled back
            Err(error) => {
                self.roll_back()?;
                Err(error)
            }
        }
    }

    /// Lets the server's clock pass: every wait in this stage looks at the server in between anyway.
    pub(super) fn pause(&mut self, pause: Duration) -> Result<(), Error> {
        let seconds = pause.as_secs_f64();
        self.query_one("waiting", "SELECT pg_catalog.pg_sleep($1)::text", &[&seconds]).map(drop)
    }

    /// Ends a transaction whatever state it is in; a lost session has none.
    pub(super) fn roll_back(&mut self) -> Result<(), Error> {
        if self.is_lost() {
            return Ok(());
        }
        self.batch("rolling back", "ROLLBACK")
    }

    /// The notices that came since the last call.
    pub(super) fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

fn connect(
    settings: &Settings,
    application_name: &str,
    datagram_bytes: Option<i32>,
    notices: &Arc<Mutex<VecDeque<String>>>,
) -> Result<Line, Error> {
    // before the first statement: a role's own timeout must not end the questions that set up the session
    let mut options = "-c statement_timeout=0".to_owned();
    if let Some(bytes) = datagram_bytes {
        options += &format!(" -c gp_max_packet_size={bytes}");
    }
    let sink = Arc::clone(notices);
    let (idle, interval) = settings.liveness.keepalive();
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .user(&settings.user)
        .dbname(&settings.database)
        .application_name(application_name)
        .options(&options)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(idle + interval * KEEPALIVE_RETRIES)
        .keepalives_idle(idle)
        .keepalives_interval(interval)
        .keepalives_retries(KEEPALIVE_RETRIES)
        .notice_callback(move |notice| {
            keep(&mut sink.lock().unwrap_or_else(PoisonError::into_inner), notice.message().to_owned());
        });
    if let Some(password) = &settings.password {
        config.password(password.reveal());
    }
    dial(settings, &config)
}

fn keep(notices: &mut VecDeque<String>, notice: String) {
    if notices.len() == NOTICES_MAX {
        notices.pop_front();
    }
    notices.push_back(notice);
}

/// Whether an ERROR at COMMIT tells nothing of the transaction: where one segment alone takes part, Greenplum may lose it
/// after it has committed ("one phase commit notification failed"). What a constraint or a trigger says is clear.
fn leaves_open(state: &str) -> bool {
    matches!(&state[..state.len().min(2)], "08" | "57" | "58" | "XX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_rejects_survives_a_function_that_talks_a_lot() {
        let mut notices = VecDeque::new();
        for row in 0..2 * NOTICES_MAX {
            keep(&mut notices, format!("row {row}"));
        }
        keep(&mut notices, "found 3 data formatting errors".to_owned());
        assert_eq!((notices.len(), notices.back().unwrap().as_str()), (NOTICES_MAX, "found 3 data formatting errors"));
    }
}
