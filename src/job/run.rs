//! A run: attempt after attempt, each from the ledger. Crash, error and take-over are one path, and this is its start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::failure::Error;
use super::positions::{Begun, Reset};
use super::prepare;
use super::report::{Reporter, say};
use super::schedule::{self, Hours};
use super::schemas::Registries;
use super::steer::Ended;
use super::task;
use super::tell;
use super::totals::{Sums, Totals};
use crate::budget::Budget;
use crate::config::Job;
use crate::gpfdist::{self, Server};
use crate::greenplum::{self, Chain, Failing, Instance, JobId, Liveness};
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::registry;
use crate::shutdown::{Shutdown, Urgency};

/// Pauses before a failed attempt is tried again; when they are used up, the failure is final. A commit starts anew.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// A wait is cut into pieces of this length, so that a stop is seen.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// What the command line says about a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the user calls the job, where they call it anything.
    pub name: Option<String>,
    pub quit_at_eof: bool,
    pub reset: Option<Reset>,
    pub skip_explain: bool,
    /// Where segments call back.
    pub gpfdist_host: String,
    pub gpfdist: gpfdist::Settings,
    /// An external table of an earlier run is used again.
    pub reuse_tables: bool,
    pub segment_program: Option<std::path::PathBuf>,
    /// Bytes for everything in flight.
    pub memory_bytes: usize,
    pub liveness: Liveness,
}

/// What one start of a job has to go by, beside its options.
#[derive(Debug, Default)]
pub struct Start {
    pub hours: Hours,
    /// What earlier starts have committed.
    pub sums: Sums,
}

/// What every attempt of a run shares.
pub struct Run<'a> {
    pub job: &'a Job,
    pub options: &'a Options,
    pub hours: Hours,
    pub id: JobId,
    pub instance: Instance,
    pub server: Arc<Server>,
    pub host: String,
    /// For encoded blocks.
    pub budget: Budget,
    /// For records that may become dead letters, where those are kept.
    pub copies: Option<Budget>,
    pub registries: Registries,
    pub metrics: Metrics,
    pub reporter: &'a dyn Reporter,
    pub shutdown: &'a Shutdown,
}

/// What one attempt hands to the next.
#[derive(Debug, Default)]
pub struct Memory {
    pub generation: Generation,
    pub batches_made: u64,
    /// The ends of the topic end the run: it was asked for, or QUIT_AT_EOF_AFTER has come.
    pub quits_at_eof: bool,
    /// RUNNING_DURATION is over.
    pub is_over: bool,
    /// The database has refused rows of a batch that are to become dead letters: the next attempts stage batches, so that
    /// such rows can be found.
    pub is_careful: bool,
    /// PREPARE_SQL has run.
    pub is_prepared: bool,
    /// Ends of the partitions when that began, where it is to stop there.
    pub ends: Option<BTreeMap<i32, i64>>,
    /// An attempt has got as far as reading: from now on what passes is waited for.
    pub has_run: bool,
    /// The session that the latest attempt loaded through: gone by now, or to be ended by the next attempt.
    pub session: Option<i32>,
    /// The partitions that the latest attempt held, and the ledger as it found it.
    pub held: Vec<i32>,
    pub chain: Chain,
    pub begun: Begun,
    /// The reset is in the ledger.
    pub reset_is_done: bool,
    pub totals: Totals,
}

/// What a run has done.
#[derive(Debug)]
pub struct Summary {
    pub totals: Totals,
    pub seconds: f64,
    /// Why it ended, where that was not its own or the user's wish.
    pub failure: Option<Error>,
    pub ended: schedule::Ended,
    /// The reset of the options is in the ledger.
    pub reset_is_done: bool,
}

/// Loads until the end of the topic, a stop, or a failure that does not pass.
///
/// # Blocks
/// For as long as the job runs; never call it on a tokio thread.
pub fn run(
    job: &Job,
    options: &Options,
    start: Start,
    metrics: &Metrics,
    reporter: &dyn Reporter,
    shutdown: &Shutdown,
) -> Summary {
    let begun = Instant::now();
    let totals = Totals { sums: start.sums, ..Totals::default() };
    let mut memory = Memory { totals, ..Memory::default() };
    let outcome = Run::new(job, options, start.hours, metrics, reporter, shutdown).and_then(|run| {
        run.announce();
        run.attempts(&mut memory)?;
        task::at_end(&run, &memory)?;
        let is_at_end = shutdown.urgency() == Urgency::None && !memory.is_over;
        if memory.ends.is_some() && is_at_end {
            reporter.batch(&tell::empty_report(memory.batches_made + 1));
        }
        Ok(())
    });
    let is_by_itself = memory.is_over || (memory.quits_at_eof && !options.quit_at_eof);
    Summary {
        totals: memory.totals,
        seconds: begun.elapsed().as_secs_f64(),
        ended: match &outcome {
            Err(_) => schedule::Ended::Failed,
            Ok(()) if is_by_itself => schedule::Ended::ByItself,
            Ok(()) => schedule::Ended::ForGood,
        },
        failure: outcome.err(),
        reset_is_done: memory.reset_is_done,
    }
}

/// The identity of the job that a file describes.
pub fn identity(job: &Job) -> JobId {
    JobId::new(&job.source.topic, &job.connection.database, job.target())
}

impl<'a> Run<'a> {
    pub(super) fn new(
        job: &'a Job,
        options: &'a Options,
        hours: Hours,
        metrics: &Metrics,
        reporter: &'a dyn Reporter,
        shutdown: &'a Shutdown,
    ) -> Result<Self, Error> {
        let server = Arc::new(Server::start(&options.gpfdist, metrics)?);
        let host = options.gpfdist_host.clone();
        let blocks = options.memory_bytes / BLOCKS_SHARE.1 * BLOCKS_SHARE.0;
        let copies = job.dead_letters.is_some().then_some(options.memory_bytes / COPIES_SHARE.1 * COPIES_SHARE.0);
        Ok(Self {
            job,
            options,
            hours,
            id: identity(job),
            instance: Instance::random()?,
            server,
            host,
            budget: Budget::new(blocks - copies.unwrap_or_default()),
            copies: copies.map(Budget::new),
            registries: Registries::new(registries(job)?),
            metrics: metrics.clone(),
            reporter,
            shutdown,
        })
    }

    pub(super) fn announce(&self) {
        let asked = self.options.gpfdist.port;
        let address = self.server.address();
        if asked != 0 && asked != address.port() {
            say!(self.reporter, Info, "port {asked} is taken, the next free one is {}", address.port());
        }
        let secured = if self.server.has_tls() { ", with TLS" } else { "" };
        say!(self.reporter, Info, "gpfdist listening on {address}{secured}");
    }

    fn attempts(&self, memory: &mut Memory) -> Result<(), Error> {
        loop {
            memory.generation = memory.generation.next();
            match self.attempt(memory) {
                Ok(Ended::Done) => return Ok(()),
                Ok(Ended::Again(why)) => {
                    say!(self.reporter, Info, "{why}; assigning anew");
                    self.wait(PAUSES[0])?;
                }
                Err(error) => self.pause_or_fail(memory, error)?,
            }
            memory.is_over |= self.hours.is_over(Instant::now());
            if self.shutdown.urgency() != Urgency::None || memory.is_over {
                return Ok(());
            }
        }
    }

    fn attempt(&self, memory: &mut Memory) -> Result<Ended, Error> {
        self.shutdown.set_work(false);
        memory.quits_at_eof |= self.options.quit_at_eof || self.hours.is_eof_due(Timestamp::now());
        let prepared = prepare::prepare(self, memory)?;
        memory.has_run = true;
        let mut steer = prepared.start(self, memory)?;
        let ended = steer.run();
        let (made, is_over) = (steer.state.batches_made(), steer.is_over);
        let has_been_careful_enough = steer.has_been_careful_enough();
        drop(steer);
        memory.batches_made = made;
        memory.is_over |= is_over;
        memory.is_careful &= !has_been_careful_enough;
        ended
    }

    /// Waits before the next attempt, or gives the failure back where waiting is no use: the cause does not pass, a first
    /// start finds nobody at an address, or the job was told to end and what was in hand is not committed.
    fn pause_or_fail(&self, memory: &mut Memory, error: Error) -> Result<(), Error> {
        if self.may_be_found(memory, &error) {
            memory.is_careful = true;
            say!(self.reporter, Warn, "{error}; loading the batch again through a temporary table, to find such rows");
            return Ok(());
        }
        let error = self.advised(error);
        let is_worth_it = error.is_passing() && (memory.has_run || error.is_answer());
        let is_told_to_end = self.shutdown.urgency() != Urgency::None || self.hours.is_over(Instant::now());
        if !is_worth_it || is_told_to_end {
            return Err(error);
        }
        self.metrics.batches_failed.inc();
        let failures = memory.totals.failures_in_a_row as usize;
        let is_outage = error.is_broker_outage();
        let Some(pause) = PAUSES.get(failures).or(if is_outage { PAUSES.last() } else { None }) else {
            return Err(error);
        };
        if !is_outage {
            memory.totals.failures_in_a_row += 1;
        }
        say!(self.reporter, Warn, "{error}; trying again from the ledger in {} s", pause.as_secs());
        self.wait(*pause)?;
        if self.shutdown.urgency() == Urgency::None { Ok(()) } else { Err(error) }
    }

    /// What the file could say of rows that the database refuses, where it says nothing.
    fn advised(&self, error: Error) -> Error {
        let says_nothing = self.job.dead_letters.is_none() && self.job.commit.failing == Failing::Fail;
        match error {
            Error::Refused(error) if says_nothing => Error::Rows(error),
            error => error,
        }
    }

    /// Whether what the database refuses are rows that can be found and become dead letters.
    fn may_be_found(&self, memory: &Memory, error: &Error) -> bool {
        matches!(error, Error::Refused(_)) && self.job.dead_letters.is_some() && !memory.is_careful
    }

    fn wait(&self, pause: Duration) -> Result<(), Error> {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.shutdown.urgency() == Urgency::Abort {
                return Err(Error::Aborted);
            }
            if self.shutdown.urgency() == Urgency::Finish || self.hours.is_over(Instant::now()) {
                return Ok(());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}

/// Clients of the registries that the job names, of keys and of values; nobody is asked yet.
///
/// # Errors
/// A file of certificates, or a key, cannot be used.
pub fn registries(job: &Job) -> Result<[Option<Arc<registry::Registry>>; 2], Error> {
    let client = |settings: Option<&registry::Settings>| {
        settings.map(|settings| registry::Registry::new(settings).map(Arc::new)).transpose()
    };
    let [key, value] = job.registry_settings();
    // one that both use is asked once for what both need
    let value_client = client(value.as_ref())?;
    let key_client = if key == value { value_client.clone() } else { client(key.as_ref())? };
    Ok([key_client, value_client])
}

/// Encoded blocks may take so much of the memory; librdkafka's queues take [`QUEUE_SHARE`], and what lies between
/// them (records being decoded, buffers of sockets, what the allocator keeps back) the rest. With half for blocks the
/// peak came past the promised 64 MiB beside a budget of 64, at 100 KB a record on a busy machine; with this it stays
/// 28 clear of it, and a load is no slower.
const BLOCKS_SHARE: (usize, usize) = (2, 8);

/// Of the blocks' share, what copies of records may take where there may be dead letters.
const COPIES_SHARE: (usize, usize) = (1, 8);

/// See [`BLOCKS_SHARE`].
pub const QUEUE_SHARE: (usize, usize) = (2, 8);

impl From<greenplum::Held> for Error {
    fn from(held: greenplum::Held) -> Self {
        Self::Held(held.to_string())
    }
}
