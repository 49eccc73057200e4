//! The loop of one attempt: what threads tell becomes events, what the brain wants is done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};
use fail::fail_point;
use jiff::Timestamp;

use super::dead_letters::{self, Refused};
use super::failure::{Error, require_same_topic};
use super::hand::Told;
use super::report::{Reporter, Troubles, say};
use super::schedule::Hours;
use super::state::{Action, Broken, Event, State};
use super::threads::Threads;
use super::totals::Totals;
use super::warehouse::{Order, Reply, fail_opened};
use super::watch::Seen;
use super::{commit, task};
use crate::budget::Budget;
use crate::config::Job;
use crate::gpfdist::{Cause, Session, Status};
use crate::greenplum::{self, Canceller, Liveness, Saved, Searching, SegmentRejects, Written};
use crate::kafka::{Consumer, Event as KafkaEvent};
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::shutdown::{Shutdown, Urgency};
use crate::units;

/// The longest the loop waits: how stale the live line and the wish to stop may get.
const WAIT: Duration = Duration::from_millis(100);

/// How long a failed attempt goes on cancelling its statement, and how often: a cancel that comes before the statement
/// has begun is lost.
const CANCEL_MAX: Duration = Duration::from_secs(20);
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

/// See [`Steer::is_careful`].
const CLEAN_BATCHES: u32 = 20;

/// How an attempt ended well.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything wanted is committed.
    Done,
    /// Everything in hand is committed; the assignment must be made anew.
    Again(String),
}

/// All that the loop reaches.
pub struct Steer<'a> {
    pub state: State,
    pub generation: Generation,
    pub topic: String,
    pub topic_id: Option<String>,
    pub consumer: Arc<Consumer>,
    pub canceller: Canceller,
    pub threads: Threads,
    pub told: Receiver<Told>,
    pub replies: Receiver<Reply>,
    pub seen: Receiver<Seen>,
    pub orders: Sender<Order>,
    pub segments: usize,
    pub budget: Budget,
    pub metrics: Metrics,
    pub reporter: &'a dyn Reporter,
    pub shutdown: &'a Shutdown,
    pub totals: &'a mut Totals,
    /// The session of the front batch, while its INSERT runs, and since when.
    pub session: Option<Session>,
    pub opened: Instant,
    /// A COMMIT is on its way and has no reply yet.
    pub is_committing: bool,
    /// When the control session last acted.
    pub beaten: Instant,
    /// The batch that no segment asked for, once that was said.
    pub unasked: Option<u64>,
    pub rejects: SegmentRejects,
    /// Rows of the front batch that are kept aside.
    pub saved: Option<Saved>,
    /// Positions read, for the lag.
    pub read: BTreeMap<i32, i64>,
    pub troubles: Troubles,
    pub again: Option<String>,
    pub is_finishing: bool,
    /// When to stop by itself; without a time for the ends where those end it already.
    pub hours: Hours,
    /// That has come.
    pub is_over: bool,
    /// When the user asked for the end, until that was told of.
    pub stop_asked: Option<Instant>,
    pub searching: Arc<Searching>,
    /// When the search for bad rows was last told of.
    pub search_told: Option<Instant>,
    /// Batches are staged, because one of them had rows that the database refuses.
    pub is_careful: bool,
    /// Batches since then that had none.
    pub clean_batches: u32,
    pub liveness: Liveness,
    pub job: &'a Job,
}

impl Steer<'_> {
    /// Runs batches until the end, a stop, or a failure.
    ///
    /// # Errors
    /// The open batch is not committed, or in doubt; the ledger knows.
    ///
    /// # Blocks
    /// For as long as the attempt lasts.
    pub fn run(&mut self) -> Result<Ended, Error> {
        self.shutdown.set_work(true);
        self.metrics.up.set(1);
        self.reporter.sums(&self.totals.sums);
        let ended = self.turn();
        self.metrics.up.set(0);
        // a failure is in hand until somebody has been told of it
        self.shutdown.set_work(ended.is_err());
        // a look for partitions that waits for brokers would hold up the end
        self.consumer.give_up();
        if let Err(error) = &ended {
            self.stop_the_database(error);
            if self.is_committing {
                self.totals.in_doubt = self.state.take_front();
            }
        }
        ended
    }

    fn turn(&mut self) -> Result<Ended, Error> {
        let mut progress_at = Instant::now();
        loop {
            let wait = self.state.deadline().map_or(WAIT, |at| at.saturating_duration_since(Instant::now()).min(WAIT));
            let event = self.next_event(wait)?;
            let actions = self.state.on(event, Instant::now()).map_err(|cause| self.broken(cause))?;
            for action in actions {
                if self.perform(action)? {
                    self.report_progress();
                    return Ok(self.again.take().map_or(Ended::Done, Ended::Again));
                }
            }
            if Instant::now() >= progress_at {
                self.look_after()?;
                self.report_progress();
                progress_at = Instant::now() + WAIT;
            }
        }
    }

    fn next_event(&mut self, wait: Duration) -> Result<Event, Error> {
        match self.shutdown.urgency() {
            Urgency::Abort => return Err(Error::Aborted),
            Urgency::Finish if !self.is_finishing => {
                fail_point!("mid-shutdown");
                (self.is_finishing, self.stop_asked) = (true, Some(Instant::now()));
                self.threads.stop_reading();
                return Ok(Event::Finish);
            }
            _ => {}
        }
        if let Some(event) = self.hour_has_come().or_else(|| self.goes_straight_again()) {
            return Ok(event);
        }
        let nobody = crossbeam_channel::never();
        let told = if self.state.is_behind() { &nobody } else { &self.told };
        select! {
            recv(self.replies) -> reply => match reply {
                Ok(reply) => self.heard(reply),
                Err(_) => Err(Error::Internal("the warehouse thread has ended".to_owned())),
            },
            recv(self.seen) -> seen => self.saw(seen.ok()),
            recv(told) -> told => self.was_told(told.ok()),
            default(wait) => Ok(Event::Tick),
        }
    }

    /// What SCHEDULE wants of a running job. For the ends of the topic it is assigned anew, which asks for them.
    fn hour_has_come(&mut self) -> Option<Event> {
        if self.is_finishing {
            return None;
        }
        if self.hours.is_over(Instant::now()) {
            say!(self.reporter, Info, "RUNNING_DURATION is over: committing what is in hand and stopping");
            (self.is_over, self.is_finishing) = (true, true);
            self.threads.stop_reading();
            return Some(Event::Finish);
        }
        if !self.hours.is_eof_due(Timestamp::now()) {
            return None;
        }
        self.hours.eof_from = None;
        Some(
            self.begin_anew("QUIT_AT_EOF_AFTER has come: stopping at the ends of the topic as they are now".to_owned()),
        )
    }

    /// So many batches in a row had no row that the database refuses.
    pub fn has_been_careful_enough(&self) -> bool {
        self.clean_batches >= CLEAN_BATCHES
    }

    /// Staging costs time, and is left when it has been for nothing for a while.
    fn goes_straight_again(&mut self) -> Option<Event> {
        if !self.is_careful || self.is_finishing || !self.has_been_careful_enough() {
            return None;
        }
        let why =
            format!("{CLEAN_BATCHES} batches in a row had no row that the database refuses: loading straight again");
        Some(self.begin_anew(why))
    }

    fn was_told(&mut self, told: Option<Told>) -> Result<Event, Error> {
        match told {
            Some(Told::Block(block)) => {
                self.read.insert(block.index.partition, block.index.span.next());
                Ok(Event::Block(block))
            }
            Some(Told::End { partition }) => {
                self.consumer.leave(partition);
                Ok(Event::End { partition, generation: self.generation })
            }
            Some(Told::OutOfRange { partition }) => {
                Ok(self.begin_anew(format!("{}[{partition}] no longer has the next offset", self.topic)))
            }
            Some(Told::CutOff { partition, offset, end, reason }) => {
                let loaded = self.state.checkpoint().get(partition).unwrap_or(offset);
                Err(Error::CutOff { topic: self.topic.clone(), partition, loaded, end, reason })
            }
            Some(Told::Trouble { partition, of, text }) => {
                if self.troubles.are_news(partition, &text, Instant::now()) {
                    say!(self.reporter, Warn, "{of}: {}[{partition}]: {text}; going on when it passes", self.topic);
                }
                Ok(Event::Tick)
            }
            Some(Told::Stopped { partition, offset, text }) => {
                Err(Error::Transformed { topic: self.topic.clone(), partition, offset, text })
            }
            Some(Told::Failed { partition, reason }) => {
                Err(Error::Partition { topic: self.topic.clone(), partition, reason })
            }
            None if self.is_finishing => {
                // all workers have ended, as they were told to
                self.told = crossbeam_channel::never();
                Ok(Event::Tick)
            }
            None => Err(Error::Internal("all worker threads have ended".to_owned())),
        }
    }

    fn saw(&mut self, seen: Option<Seen>) -> Result<Event, Error> {
        match seen {
            Some(Seen::NewPartitions(new)) => Ok(self.begin_anew(format!("{} has new partitions {new:?}", self.topic))),
            Some(Seen::TopicChanged) => Ok(self.begin_anew(format!("topic {} was deleted or made anew", self.topic))),
            Some(Seen::Kafka(KafkaEvent::Final { text })) => Err(Error::Brokers { text }),
            Some(Seen::Kafka(KafkaEvent::Note { text })) => {
                say!(self.reporter, Debug, "kafka: {text}");
                Ok(Event::Tick)
            }
            Some(Seen::Kafka(event)) => {
                say!(self.reporter, Warn, "kafka: {}; going on when it passes", event.text());
                Ok(Event::Tick)
            }
            Some(Seen::Beat) => {
                self.beaten = Instant::now();
                Ok(Event::Tick)
            }
            Some(Seen::HolderLost(error)) => Err(error.into()),
            None => {
                self.seen = crossbeam_channel::never();
                Ok(Event::Tick)
            }
        }
    }

    /// Commits what is in hand; the next attempt looks at the topic afresh.
    fn begin_anew(&mut self, why: String) -> Event {
        self.again.get_or_insert(why);
        self.is_finishing = true;
        self.threads.stop_reading();
        Event::Finish
    }

    fn heard(&mut self, reply: Reply) -> Result<Event, Error> {
        match reply {
            Reply::Opened { batch, session } => {
                (self.session, self.opened) = (Some(session), Instant::now());
                Ok(Event::Opened { batch })
            }
            Reply::Inserted { batch, written, rejects } => {
                self.rejects = rejects;
                if let Some(session) = self.session.take() {
                    self.served(batch, session.status())?;
                }
                let Written { read, rejected, outputs, saved } = written;
                let kept = saved.as_ref().map_or(0, |saved| saved.rows);
                self.saved = saved;
                Ok(Event::Inserted { batch, inserted: read, rejected, saved: kept, outputs })
            }
            Reply::Committed { batch } => {
                self.is_committing = false;
                Ok(Event::Committed { batch })
            }
            Reply::Failed { batch, error } => {
                // in doubt only where the error says so
                self.is_committing = error.is_in_doubt();
                Err(self.failed(batch, error))
            }
        }
    }

    /// Each segment's share; and a failure that the database did not notice, or rows that no segment has asked for.
    fn served(&self, batch: u64, status: Status) -> Result<(), Error> {
        let share = |(segment, rows): (&i32, &u64)| format!("{segment}: {} rows", units::count(*rows));
        let shares: Vec<_> = status.served_segments.iter().map(share).collect();
        say!(self.reporter, Debug, "batch {batch} served segments {}", shares.join(", "));
        if let Some(failure) = status.failure {
            return Err(Error::Batch { batch, text: failure.reason, passes: true });
        }
        // a message may be empty, and an empty block is not sent
        let front = self.state.front().filter(|front| front.is_sealed && self.state.counts_rows());
        let (sent, served) = (front.map(|front| front.counts.rows), status.rows_sent);
        match sent.filter(|&sent| sent != served) {
            Some(sent) => Err(Error::Broken { batch, cause: Broken::Served { sent, served } }),
            None => Ok(()),
        }
    }

    /// The database's error, or what caused it on our side.
    fn failed(&mut self, batch: u64, error: Error) -> Error {
        let Error::Database(error) = error else { return error };
        let failure = self.session.take().and_then(|session| session.status().failure);
        match failure {
            Some(failure) if failure.cause != Cause::Source && is_from_source(&error) => {
                let text = format!("{} ({error})", failure.reason);
                Error::Batch { batch, text, passes: true }
            }
            _ => match (&error, self.name_of_row(&error)) {
                (_, Some(name)) => Error::Batch { batch, text: format!("{name}: {error}"), passes: false },
                _ => Error::Database(error),
            },
        }
    }

    /// PostgreSQL counts the rows of a scan; their order is the order in which they were sent.
    fn name_of_row(&self, error: &greenplum::Error) -> Option<String> {
        let greenplum::Error::Row { line, .. } = error else { return None };
        let mut row = line.checked_sub(1)?;
        for block in &self.state.front()?.sent {
            if row < u64::from(block.rows) {
                let offset = block.offset_of(u32::try_from(row).ok()?)?;
                return Some(format!("{}[{}]@{offset}", self.topic, block.partition));
            }
            row -= u64::from(block.rows);
        }
        None
    }

    /// `true`: the end.
    fn perform(&mut self, action: Action) -> Result<bool, Error> {
        match action {
            Action::Begin { batch } => self.order(Order::Insert { batch })?,
            Action::Send { block, .. } => {
                if let Some(session) = &self.session {
                    session.push(&block.index, block.bytes);
                }
            }
            Action::Seal { .. } => {
                if let Some(session) = &self.session {
                    session.seal();
                }
            }
            Action::Commit { batch, has_rows } => {
                self.require_same_topic()?;
                self.tell_group_before()?;
                let Some(front) = self.state.front() else { return Ok(false) };
                let refused = commit::refused(&self.rejects, self.saved.as_ref());
                let (outcome, counts_rows) = (self.state.outcome(), self.state.counts_rows());
                let commit = commit::of(front, outcome, &refused, counts_rows, self.topic_id.as_deref());
                let commit = commit.map_err(|cause| Error::Broken { batch, cause: cause.into() })?;
                let runs_task = has_rows && task::is_due(self.job, self.totals.with_rows);
                let refusals = match &self.job.dead_letters {
                    None => Vec::new(),
                    Some(_) => {
                        let found_bad = self.saved.as_ref().map_or(&[][..], |saved| &saved.refusals);
                        dead_letters::of(front, &self.rejects, found_bad)?
                    }
                };
                let refused = Refused { refusals, copies: self.state.take_copies() };
                self.order(Order::Commit { batch, has_rows, runs_task, commit, refused })?;
                self.is_committing = true;
            }
            Action::Report(done) => self.report(&done),
            Action::Fail(cause) => return Err(self.broken(cause)),
            Action::End => return Ok(true),
        }
        Ok(false)
    }

    /// All records of the batch have been read by now: if the topic is still the one of the start, they are its own. A
    /// topic made anew under the same name would otherwise be read from the middle.
    fn require_same_topic(&self) -> Result<(), Error> {
        require_same_topic(&self.topic, self.topic_id.as_deref(), || self.consumer.topic_id_now())
    }

    fn order(&self, order: Order) -> Result<(), Error> {
        self.orders.send(order).map_err(|_| Error::Internal("the warehouse thread has ended".to_owned()))
    }

    fn broken(&mut self, cause: Broken) -> Error {
        let front = self.state.front();
        if let (Broken::TooManyRejects { .. }, Some(front)) = (&cause, front) {
            self.name_rejects(front);
        }
        Error::Broken { batch: front.map_or(0, |front| front.number), cause }
    }

    /// Whatever the INSERT waits for, it must not go on.
    fn stop_the_database(&mut self, error: &Error) {
        let reason = error.to_string();
        let reason = reason.lines().next().unwrap_or("the load has failed");
        self.threads.stop().ask();
        fail_opened(&self.replies, reason);
        if let Some(session) = self.session.take() {
            session.fail(reason);
        }
        let is_silent = matches!(error, Error::Database(greenplum::Error::HolderLost { .. }));
        // who does not answer the control session answers the other one no sooner
        let until = Instant::now() + if is_silent { Duration::ZERO } else { CANCEL_MAX };
        loop {
            if let Err(error) = self.canceller.cancel() {
                say!(self.reporter, Debug, "cancelling the INSERT: {error}");
            }
            let is_over = self.warehouse_ends_within(CANCEL_AGAIN);
            if is_silent && !is_over {
                self.threads.abandon();
            }
            if is_over || Instant::now() >= until || self.shutdown.urgency() == Urgency::Abort {
                return;
            }
        }
    }

    /// Its channel closes when it ends; a COMMIT that comes through meanwhile counts.
    fn warehouse_ends_within(&mut self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            match self.replies.recv_deadline(until) {
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
                Ok(Reply::Opened { session, .. }) => session.fail("the load has failed"),
                Ok(Reply::Committed { .. }) => {
                    self.is_committing = false;
                    if let Some(done) = self.state.take_front() {
                        self.report(&done);
                    }
                }
                Ok(Reply::Failed { error, .. }) => self.is_committing = error.is_in_doubt(),
                Ok(Reply::Inserted { .. }) => {}
            }
        }
    }
}

/// What the database says when its source fails: class 08 from a segment, 38000 from a program in its place.
fn is_from_source(error: &greenplum::Error) -> bool {
    error.state().is_some_and(|state| state.starts_with("08") || state == "38000")
}
