//! Who holds a job's partitions: liveness, apart from the ledger's safety.
//!
//! A loader's control session holds one advisory lock a partition and acts every 2 s. Silence is judged by the
//! database's clock alone. Who is seen to act is left alone; who was silent for 15 s loses its sessions (both as
//! [`Liveness`] has them). Whatever goes wrong here costs time, never rows: the ledger's chain does not rely on it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use fail::fail_point;

use super::chain::Chain;
use super::connection::Connection;
use super::dial::Canceller;
use super::failure::Error;
use super::identity::{Instance, JobId};
use super::ledger::Ledger;
use super::liveness::Liveness;
use super::settings::Settings;
use crate::table::TableName;

/// How often a claimant looks. A beat is seen within its 2 s and one look.
const LOOK: Duration = Duration::from_millis(250);
/// Looks until it gives up on sessions that do not end.
const LOOKS_MAX: usize = 100;

/// The control session of this loader. Dropping it gives up all its partitions.
pub struct Holder {
    connection: Connection,
    job: JobId,
    name: String,
    held: BTreeSet<i32>,
    /// Whose row locks tell that a dead loader's transaction is still there: the ledger and all targets.
    tables: Vec<TableName>,
    ledger: Ledger,
    liveness: Liveness,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// All partitions are ours.
    Claimed {
        /// Names of other loaders, silent or dead, whose sessions were ended for it.
        ended: Vec<String>,
    },
    /// Another loader lives and has some; none is ours.
    Held(Box<Held>),
}

/// A session that holds a partition of our job.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub partition: i32,
    pub pid: i32,
    pub role: String,
    pub application_name: String,
    /// Where it connected from; absent for a local socket, or where this role may not see it.
    pub client: Option<String>,
    /// When it connected, as the database writes it.
    pub since: Option<String>,
    /// How long it has been silent; absent where this role may not see it.
    pub silent: Option<Duration>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of role \"{}\"", self.application_name, self.role)?;
        if let Some(client) = &self.client {
            write!(f, " from {client}")?;
        }
        write!(f, " (database session {}", self.pid)?;
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        write!(f, ", partition {}", self.partition)?;
        if let Some(silent) = self.silent {
            write!(f, ", last seen {:.1} s ago", silent.as_secs_f64())?;
        }
        f.write_str(")")
    }
}

impl Holder {
    /// Opens the control session. It holds nothing yet.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub fn open(settings: &Settings, job: &JobId, instance: &Instance) -> Result<Self, Error> {
        let name = job.application_name(instance);
        let connection = Connection::open(settings, &name)?;
        let ledger = Ledger::at(settings.metadata_schema());
        let targets = settings.outputs.iter().map(|output| &output.target);
        let tables = targets.chain([ledger.table()]).cloned().collect();
        let (job, held, liveness) = (job.clone(), BTreeSet::new(), settings.liveness);
        Ok(Self { connection, job, name, held, tables, ledger, liveness })
    }

    /// Ends the session that an earlier attempt of this loader loaded through: its connection broke, but the server may
    /// not have noticed, and a COMMIT may be under way in it. Afterwards the ledger tells what became of that,
    /// see [`super::Ledger::holds`].
    ///
    /// # Errors
    /// [`Error::Stubborn`], or a query failed.
    ///
    /// # Blocks
    /// Until the session is gone, some seconds at most.
    pub fn end_earlier(&mut self, pid: i32) -> Result<(), Error> {
        end(&mut self.connection, &self.name, Some(pid))
    }

    /// Claims partitions beside those already held: all of them or none.
    ///
    /// Returns at once where nobody has them. Else it watches the holder: seen to act, it is alive and this is
    /// [`Claim::Held`]; silent for 15 s, its sessions are ended and the claim goes on.
    ///
    /// # Errors
    /// [`Error::OtherRole`] where the holder's state may not be seen or its sessions not be ended;
    /// [`Error::Stubborn`] where they do not end.
    ///
    /// # Blocks
    /// Not at all without a holder, some seconds beside one that lives, up to 30 s for a take-over.
    pub fn claim(&mut self, partitions: &[i32]) -> Result<Claim, Error> {
        let wanted: BTreeSet<i32> = partitions.iter().filter(|one| !self.held.contains(one)).copied().collect();
        if is_off() {
            self.held.extend(wanted);
            return Ok(Claim::Claimed { ended: Vec::new() });
        }
        let mut ended = Vec::new();
        let mut first_look: Option<Look> = None;
        let begun = Instant::now();
        while begun.elapsed() < self.liveness.claim() {
            let Some(lacking) = self.lock_all(&wanted)? else {
                ended.extend(self.end_leftovers()?);
                ended.retain(|name| *name != self.name);
                self.held.extend(wanted);
                return Ok(Claim::Claimed { ended });
            };
            let Some(look) = self.look_at_holder(lacking)? else { continue };
            match judge(first_look.as_ref(), &look, self.liveness, (self.job.hash(), &self.name)) {
                Verdict::Lives => return Ok(Claim::Held(Box::new(look.held))),
                Verdict::Unseen => return Err(Error::OtherRole { held: Box::new(look.held) }),
                Verdict::Silent => {
                    self.end_sessions_of(&look.held)?;
                    ended.push(look.held.application_name);
                }
                Verdict::Wait => {
                    first_look = first_look.filter(|first| first.is_same_session(&look)).or(Some(look));
                    self.connection.pause(LOOK)?;
                }
            }
        }
        let held = first_look.map(|look| look.held);
        held.map_or_else(
            || Err(Error::HolderLost { text: "the holder changed all the time".to_owned(), passes: false }),
            |held| Ok(Claim::Held(Box::new(held))),
        )
    }

    /// Shows that this loader lives; to be called each [`Liveness::beat`].
    ///
    /// # Errors
    /// [`Error::HolderLost`]: the session is gone or another one stands in its place, so the locks are gone too.
    pub fn beat(&mut self) -> Result<(), Error> {
        match self.connection.query_one("showing that this loader lives", "SELECT pg_catalog.pg_backend_pid()", &[]) {
            Ok(row) if row.get::<_, i32>(0) == self.connection.pid() => Ok(()),
            Ok(_) => {
                let text = "a connection pool gave it another database session; connect to the database itself";
                Err(Error::HolderLost { text: text.to_owned(), passes: false })
            }
            Err(error) => {
                let passes = error.is_passing();
                match error {
                    Error::Lost { text, .. } | Error::Sql { text, .. } => Err(Error::HolderLost { text, passes }),
                    other => Err(other),
                }
            }
        }
    }

    /// How fast it is found out that this loader acts no more.
    pub fn liveness(&self) -> Liveness {
        self.liveness
    }

    /// Prunes the job's history, see [`Ledger::prune`]: what the control session has time for.
    ///
    /// # Errors
    /// As there.
    pub fn prune(&mut self) -> Result<u64, Error> {
        self.ledger.prune(&mut self.connection, &self.job, Chain::KEPT)
    }

    /// What is held.
    pub fn partitions(&self) -> &BTreeSet<i32> {
        &self.held
    }

    /// Cancels a claim that waits, from another thread.
    pub fn canceller(&self) -> Canceller {
        self.connection.canceller()
    }

    /// The control session, for what is done once at the start.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Locks all in ascending order, or none and the first that is lacking. One statement each: only a SELECT without
    /// FROM is sure to run on the coordinator.
    fn lock_all(&mut self, wanted: &BTreeSet<i32>) -> Result<Option<i32>, Error> {
        let key = self.job.lock_key();
        let mut locked = Vec::new();
        for &partition in wanted {
            let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
            if self.connection.query_one("claiming a partition", sql, &[&key, &partition])?.get(0) {
                locked.push(partition);
                continue;
            }
            for partition in locked {
                let sql = "SELECT pg_catalog.pg_advisory_unlock($1, $2)";
                self.connection.query_one("giving up a partition", sql, &[&key, &partition])?;
            }
            return Ok(Some(partition));
        }
        Ok(None)
    }

    /// Who holds a partition by now.
    fn look_at_holder(&mut self, partition: i32) -> Result<Option<Look>, Error> {
        let sql = match self.connection.dialect().is_greenplum() {
            true => include_str!("../../sql/holder_greenplum.sql"),
            false => include_str!("../../sql/holder_postgres.sql"),
        };
        let key = self.job.lock_key();
        let rows = self.connection.query("looking for who holds a partition", sql, &[&key, &partition])?;
        Ok(rows.first().map(|row| {
            let silent: Option<f64> = row.get("silent");
            Look {
                last_act: row.get("last_act"),
                silent,
                held: Held {
                    partition,
                    pid: row.get("pid"),
                    role: row.get("role"),
                    application_name: row.get("application_name"),
                    client: row.get("client"),
                    since: row.get("since"),
                    silent: silent.map(|silent| Duration::from_secs_f64(silent.max(0.0))),
                },
            }
        }))
    }

    /// Ends all sessions of a silent loader and waits until they are gone.
    fn end_sessions_of(&mut self, held: &Held) -> Result<(), Error> {
        // of this loader itself only what an earlier attempt left: this one's other session has the name too
        let pid = (held.application_name == self.name).then_some(held.pid);
        match end(&mut self.connection, &held.application_name, pid) {
            Err(Error::Sql { state, .. }) if state == "42501" => Err(Error::OtherRole { held: Box::new(held.clone()) }),
            other => other,
        }
    }

    /// Ends the transactions of loaders of this job that hold no partition any more: killed, but their backend has not
    /// noticed. Else its late COMMIT would cost our first batch. Of this loader itself, what is there before its first
    /// claim on this session is of an attempt that ended.
    fn end_leftovers(&mut self) -> Result<Vec<String>, Error> {
        let sql = match self.connection.dialect().is_greenplum() {
            true => include_str!("../../sql/leftovers_greenplum.sql"),
            false => include_str!("../../sql/leftovers_postgres.sql"),
        };
        let key = self.job.lock_key();
        let pattern = format!("gpkafka:{}:%", self.job.hash());
        let schemas: Vec<&str> = self.tables.iter().map(|table| table.schema.as_str()).collect();
        let tables: Vec<&str> = self.tables.iter().map(|table| table.table.as_str()).collect();
        let is_first = self.held.is_empty();
        let params: [&(dyn postgres::types::ToSql + Sync); 6] =
            [&key, &pattern, &self.name, &schemas, &tables, &is_first];
        let rows = self.connection.query("looking for a dead loader's sessions", sql, &params)?;
        let names: BTreeSet<String> = rows.iter().map(|row| row.get("application_name")).collect();
        for name in &names {
            match end(&mut self.connection, name, None) {
                // another role's: the ledger's fence stands anyway
                Err(Error::Sql { state, .. }) if state == "42501" => {}
                other => other?,
            }
        }
        Ok(names.into_iter().collect())
    }
}

fn end(connection: &mut Connection, name: &str, pid: Option<i32>) -> Result<(), Error> {
    let mut pids: Vec<String> = Vec::new();
    for _ in 0..LOOKS_MAX {
        let sql = include_str!("../../sql/sessions_end.sql");
        let rows = connection.query("ending a silent loader's sessions", sql, &[&name, &pid])?;
        if rows.is_empty() {
            return Ok(());
        }
        pids = rows.iter().map(|row| row.get::<_, i32>("pid").to_string()).collect();
        connection.pause(LOOK / 5)?;
    }
    Err(Error::Stubborn { name: name.to_owned(), pids: pids.join(", ") })
}

/// What one look at a holder showed.
struct Look {
    held: Held,
    /// Microseconds since 1970 by the database's clock; absent where this role may not see it.
    last_act: Option<i64>,
    silent: Option<f64>,
}

impl Look {
    fn is_same_session(&self, other: &Self) -> bool {
        (self.held.pid, &self.held.application_name) == (other.held.pid, &other.held.application_name)
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Lives,
    Silent,
    Unseen,
    Wait,
}

/// Pure: what to do about a holder, given the first look at it and this one.
fn judge(first: Option<&Look>, now: &Look, liveness: Liveness, (job, own_name): (&str, &str)) -> Verdict {
    if now.held.application_name == own_name {
        // our own earlier session, whose end the server has not noticed
        return Verdict::Silent;
    }
    if !now.held.application_name.starts_with(&format!("gpkafka:{job}:")) {
        // a session that is no loader of this job took the lock: not ours to end
        return Verdict::Lives;
    }
    let (Some(silent), Some(last_act)) = (now.silent, now.last_act) else { return Verdict::Unseen };
    let before = first.filter(|first| first.is_same_session(now)).and_then(|first| first.last_act);
    match before {
        Some(before) if before != last_act => Verdict::Lives,
        _ if silent >= liveness.silence().as_secs_f64() => Verdict::Silent,
        _ => Verdict::Wait,
    }
}

/// `FAILPOINTS=holder-off=return`: every claim succeeds and nobody is ended, so that only the ledger's fence is left.
fn is_off() -> bool {
    fail_point!("holder-off", |_| true);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pid: i32, last_act: Option<i64>, silent: Option<f64>) -> Look {
        let held = Held {
            partition: 0,
            pid,
            role: "etl".to_owned(),
            application_name: "gpkafka:job:aa".to_owned(),
            client: Some("10.0.0.7".to_owned()),
            since: Some("2026-11-22 12:00:00+00".to_owned()),
            silent: silent.map(Duration::from_secs_f64),
        };
        Look { held, last_act, silent }
    }

    #[test]
    fn who_acts_lives_and_who_is_silent_does_not() {
        let (first, usual) = (look(1, Some(100), Some(0.5)), Liveness::default());
        assert_eq!(judge(None, &first, usual, ("job", "gpkafka:job:me")), Verdict::Wait);
        assert_eq!(
            judge(Some(&first), &look(1, Some(100), Some(0.7)), usual, ("job", "gpkafka:job:me")),
            Verdict::Wait
        );
        assert_eq!(
            judge(Some(&first), &look(1, Some(102), Some(0.1)), usual, ("job", "gpkafka:job:me")),
            Verdict::Lives
        );
        assert_eq!(
            judge(Some(&first), &look(1, Some(100), Some(15.0)), usual, ("job", "gpkafka:job:me")),
            Verdict::Silent
        );
        assert_eq!(judge(None, &look(1, Some(1), Some(60.0)), usual, ("job", "gpkafka:job:me")), Verdict::Silent);
        assert_eq!(
            judge(Some(&first), &look(2, Some(102), Some(0.1)), usual, ("job", "gpkafka:job:me")),
            Verdict::Wait
        );
        assert_eq!(judge(None, &first, usual, ("job", "gpkafka:job:aa")), Verdict::Silent);
        assert_eq!(judge(None, &look(1, None, None), usual, ("job", "gpkafka:job:me")), Verdict::Unseen);
        assert_eq!(judge(None, &first, usual, ("another", "gpkafka:another:me")), Verdict::Lives);
    }

    #[test]
    fn a_holder_is_told_with_all_that_is_known() {
        assert_eq!(
            look(7, None, Some(0.52)).held.to_string(),
            "gpkafka:job:aa of role \"etl\" from 10.0.0.7 (database session 7 since 2026-11-22 12:00:00+00, partition 0, last seen 0.5 s ago)"
        );
    }
}
