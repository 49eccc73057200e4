//! Who takes the rows of a measurement: clients of this process, or a statement of the database. Each on a thread of its
//! own, which tells its outcome once.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rustix::time::ClockId;

use super::super::failure::Error;
use super::super::prepare;
use super::super::resolve;
use super::super::run::{Memory, Run};
use super::super::threads::Threads;
use super::{WAIT, cpu_time, unmeasured};
use crate::decode;
use crate::gpfdist::{Scan, Session, client};
use crate::greenplum::{self, Canceller, Connection, Holder, Load, Target, Writes, Written};
use crate::metrics::Seconds;

/// A path and a transaction that no database knows.
const PATH: &str = "/v1/bench/all/clients";
const XID: &str = "bench-0000000001";

/// As long as a segment waits for a server that says nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long a statement that fails by itself may take to say why, before it is cancelled: segments were cut, and what
/// the database says of it comes later.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long the end of a measurement that failed waits for its rollback.
const STOP_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Takers {
    pub session: Session,
    pub decoding: decode::Settings,
    pub segments: usize,
    /// Until they start.
    who: Option<Who>,
    outcomes: Receiver<Outcome>,
    outcomes_in: Sender<Outcome>,
    /// Threads that have not told.
    left: usize,
    taken: Option<Taken>,
    canceller: Option<Canceller>,
    holder: Option<Holder>,
    beat: Duration,
    beat_at: Instant,
}

enum Who {
    Clients(Vec<client::Options>),
    Statement { load: Box<Load>, writes: bool },
}

/// What they have taken, all together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub ended: Instant,
    /// Rows that are known to have come; `None` where that cannot be told from here.
    pub accounted: Option<u64>,
    /// By segments.
    pub rejected: u64,
    /// What clients in this process cost it, which segments elsewhere would not.
    pub cpu: Duration,
}

type Outcome = Result<Taken, Error>;

impl Takers {
    /// So many clients that count rows and throw them away.
    pub fn clients(run: &Run<'_>, segments: u32) -> Result<Self, Error> {
        let wants =
            || unmeasured("--to discard wants COLUMNS in the file: it does not ask the database for the target's");
        let writes = Writes::unchecked(&run.job.greenplum_settings()).ok_or_else(wants)?;
        let decoding = resolve::decode_settings(run.job, &writes)?;
        let url = format!("gpfdist://127.0.0.1:{}{PATH}", run.server.port());
        let client = |segment_id| client::Options {
            segment_id,
            segment_count: segments,
            xid: XID.to_owned(),
            discard: true,
            silence_max: Some(SILENCE_MAX),
            ..client::Options::new(&url)
        };
        let who = Who::Clients((0..segments).map(client).collect());
        Ok(Self::new(run, (PATH, XID), decoding, (who, segments as usize)))
    }

    /// A statement in a transaction that is rolled back: the job's own, or one that counts. The former hold the partitions.
    pub fn database(run: &Run<'_>, writes: bool, partitions: Vec<i32>) -> Result<Self, Error> {
        let memory = Memory::default();
        let mut settings = prepare::settings(run, &memory);
        // a load that takes the job over ends sessions of the job's name: one that holds nothing must not bear it
        let name = if writes { run.id.application_name(&run.instance) } else { "gpkafka bench".to_owned() };
        let mut connection = Connection::open_to_load(&settings, &name)?;
        settings.suit(&connection);
        let targets = Target::describe(&mut connection, &settings)?;
        let statements = Writes::new(&targets, &settings)?;
        let decoding = resolve::decode_settings(run.job, &statements)?;
        let holder = writes.then(|| prepare::claim(run, &memory, &settings, &partitions)).transpose()?;
        let definition = resolve::definition(run.job, &settings, &statements.columns(), &run.host, run.server.port());
        let (canceller, segments) = (connection.canceller(), connection.segments() as usize);
        let ids = (run.id.clone(), prepare::loader(run));
        let (load, xid) = Load::undone(connection, ids, statements, &definition)?;
        let path = load.external().path.clone();
        let who = Who::Statement { load: Box::new(load), writes };
        let takers = Self::new(run, (&path, &xid), decoding, (who, segments));
        Ok(Self { canceller: Some(canceller), holder, ..takers })
    }

    fn new(
        run: &Run<'_>,
        (path, xid): (&str, &str),
        decoding: decode::Settings,
        (who, segments): (Who, usize),
    ) -> Self {
        let file_prefix = run.job.source.topic.clone();
        let session = run.server.open(Scan { path: path.to_owned(), xid: Some(xid.to_owned()), file_prefix });
        let left = if matches!(who, Who::Clients(_)) { segments } else { 1 };
        let (outcomes_in, outcomes) = bounded(left.max(1));
        Self {
            session,
            decoding,
            segments,
            who: Some(who),
            outcomes,
            outcomes_in,
            left,
            taken: None,
            canceller: None,
            holder: None,
            beat: run.options.liveness.beat(),
            beat_at: Instant::now(),
        }
    }

    /// Starts them.
    pub fn start(&mut self, threads: &mut Threads, seconds: &Seconds) -> Result<(), Error> {
        let is_custom = self.decoding.is_custom();
        match self.who.take() {
            None => {}
            Some(Who::Clients(all)) => {
                for options in all {
                    let out = self.outcomes_in.clone();
                    threads.start(&format!("segment-{}", options.segment_id), move || {
                        // who does not listen has failed already
                        drop(out.send(fetch(&options, is_custom)));
                    })?;
                }
            }
            Some(Who::Statement { load, writes }) => {
                let (out, seconds) = (self.outcomes_in.clone(), seconds.clone());
                threads.start("warehouse", move || drop(out.send(state(*load, writes, &seconds))))?;
            }
        }
        Ok(())
    }

    /// Whether it is the database that takes the rows.
    pub fn are_statements(&self) -> bool {
        self.canceller.is_some()
    }

    /// Whether some of them may still take rows.
    pub fn are_at_it(&self) -> bool {
        self.left > 0
    }

    /// Whether something went wrong with them.
    pub fn look(&mut self) -> Result<(), Error> {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.note(outcome)?;
        }
        if let Some(failure) = self.session.failure() {
            return Err(Error::Echo(failure.reason));
        }
        if Instant::now() >= self.beat_at {
            self.beat_at = Instant::now() + self.beat;
            self.holder.as_mut().map_or(Ok(()), Holder::beat)?;
        }
        Ok(())
    }

    /// Waits for one of them.
    pub fn wait(&mut self, wait: Duration) -> Result<(), Error> {
        match self.outcomes.recv_timeout(wait) {
            Ok(outcome) => self.note(outcome),
            Err(_) => Ok(()),
        }
    }

    fn note(&mut self, outcome: Outcome) -> Result<(), Error> {
        self.left = self.left.saturating_sub(1);
        let taken = outcome?;
        self.taken = Some(self.taken.map_or(taken, |sum| Taken {
            ended: sum.ended.max(taken.ended),
            accounted: sum.accounted.zip(taken.accounted).map(|(sum, rows)| sum + rows),
            rejected: sum.rejected + taken.rejected,
            cpu: sum.cpu + taken.cpu,
        }));
        Ok(())
    }

    /// What they have taken, now that none is at it.
    pub fn end(&mut self) -> Taken {
        self.session.finish();
        self.taken.unwrap_or(Taken { ended: Instant::now(), accounted: None, rejected: 0, cpu: Duration::ZERO })
    }

    /// Ends them early, and waits some seconds for the rollback. What the statement said, if it was the first to fail:
    /// then what is known of it so far is but its echo.
    pub fn stop(&mut self, reason: &str, is_echo: bool) -> Option<Error> {
        self.session.fail(reason);
        let (until, mut first) = (Instant::now() + STOP_MAX, None);
        let mut cancel_at = Instant::now() + if is_echo { LAST_WORD } else { Duration::ZERO };
        while self.left > 0 && Instant::now() < until {
            match self.outcomes.recv_timeout(WAIT) {
                Ok(outcome) => first = first.or(self.note(outcome).err()),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if Instant::now() >= cancel_at => {
                    cancel_at = Instant::now() + 5 * WAIT;
                    // asked again: one that comes before the statement has begun is lost
                    if let Some(canceller) = &self.canceller {
                        drop(canceller.cancel());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        first
    }
}

/// One client's scan.
fn fetch(options: &client::Options, is_custom: bool) -> Outcome {
    let fetched = client::fetch(options, &mut std::io::sink()).map_err(|error| unmeasured(error.to_string()))?;
    // whole messages are no lines
    let accounted = (!is_custom).then_some(fetched.rows);
    Ok(Taken { ended: Instant::now(), accounted, rejected: 0, cpu: cpu_time(ClockId::ThreadCPUTime) })
}

/// The statement, and its end.
fn state(mut load: Load, writes: bool, seconds: &Seconds) -> Outcome {
    let begun = Instant::now();
    let written = match writes {
        true => load.write(),
        false => load.count().map(|read| Written { read, ..Written::default() }),
    };
    let ended = Instant::now();
    seconds.database_insert.inc_by((ended - begun).as_secs_f64());
    let is_uncounted = load.external().is_custom || (writes && load.is_filtered());
    let rejected = match &written {
        Ok(written) if writes => Ok(written.rejected),
        Ok(_) => load.refused(),
        Err(_) => Ok(0),
    };
    let undone = load.undo();
    let (written, rejected) = written.and_then(|written| Ok((written, rejected?))).map_err(refused)?;
    undone?;
    let saved = written.saved.as_ref().map_or(0, |saved| saved.rows);
    let accounted = (!is_uncounted).then_some(written.read + rejected + saved);
    Ok(Taken { ended, accounted, rejected, cpu: Duration::ZERO })
}

fn refused(error: greenplum::Error) -> Error {
    match error.is_of_rows() {
        true => Error::Refused(error),
        false => error.into(),
    }
}
