//! A model process: attempt after attempt from the ledger, as `run` and `prepare` make them, with what it remembers.

use std::time::{Duration, Instant};

use super::attempt::{Attempt, Ended};
use super::faults::Fault;
use super::sql::{Order, Reply, Sql};
use super::warehouse::Fate;
use super::world::{Checked, Rule, World};
use crate::config::FallbackOffset;
use crate::greenplum::{self, Account, Chain, Commit, Entry, Instance, Kind};
use crate::job::failure::Error;
use crate::job::positions::{self, Begun, Known};
use crate::job::prepare::check_succession;
use crate::job::run::Memory;
use crate::job::state::Event;
use crate::offset::Checkpoint;

/// As those of `run`.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

#[derive(Debug)]
enum Phase {
    /// Waits before its next attempt.
    Pausing(Instant),
    /// Has a session and is about to read the ledger with it.
    Claimed(Sql),
    /// Writes into the ledger what has expired.
    Skipping(Sql, Checkpoint),
    Running(Box<Attempt>),
    Over,
}

/// See the module.
#[derive(Debug)]
pub struct Loader {
    pub number: u64,
    instance: Instance,
    memory: Memory,
    phase: Phase,
    pub frozen_until: Option<Instant>,
    /// Another loader, or a session that one has left, was there beside it at some time and may have taken positions.
    pub has_met: bool,
    is_told_to_stop: bool,
    /// Excuses of the world when the attempt began; none where it was not alone even then.
    excuses: Option<u64>,
    late: Vec<Event>,
}

impl Loader {
    pub fn new(quits_at_eof: bool, world: &mut World) -> Self {
        world.loaders_ever += 1;
        let instance = Instance::named(&format!("L{}", world.loaders_ever));
        world.say(|| format!("{instance} starts{}", if quits_at_eof { ", to stop at the end" } else { "" }));
        Self {
            number: world.loaders_ever,
            instance,
            memory: Memory { quits_at_eof, ..Memory::default() },
            phase: Phase::Pausing(world.now),
            frozen_until: None,
            has_met: false,
            is_told_to_stop: false,
            excuses: None,
            late: Vec::new(),
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// SIGKILL.
    pub fn kill(&mut self, world: &mut World) {
        world.say(|| format!("{} is killed", self.instance));
        let fate = Fate::Dies(world.within(60));
        match &self.phase {
            Phase::Claimed(sql) | Phase::Skipping(sql, _) => world.warehouse.abandon(sql.pid, fate),
            Phase::Running(attempt) => world.warehouse.abandon(attempt.sql.pid, fate),
            Phase::Pausing(_) | Phase::Over => {}
        }
        self.phase = Phase::Over;
    }

    /// The user asks for the end.
    pub fn stop(&mut self, world: &mut World) -> Checked {
        if !std::mem::replace(&mut self.is_told_to_stop, true) {
            world.say(|| format!("{} is told to stop", self.instance));
            if let Phase::Running(attempt) = &mut self.phase {
                let ended = attempt.stop(&mut self.memory, world)?;
                self.follow(ended, world)?;
            }
        }
        Ok(())
    }

    /// Something happens in it; `false`: it waits.
    pub fn step(&mut self, world: &mut World) -> Checked<bool> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Over => Ok(false),
            Phase::Pausing(_) if self.is_told_to_stop => self.end(None, world).map(|()| true),
            Phase::Pausing(until) if world.now < until => {
                self.phase = Phase::Pausing(until);
                Ok(false)
            }
            Phase::Pausing(_) => {
                self.claim(world);
                Ok(true)
            }
            Phase::Claimed(sql) => self.prepare(sql, world).map(|()| true),
            Phase::Skipping(sql, starts) => self.skip(sql, starts, world),
            Phase::Running(mut attempt) => {
                let (was_busy, ended) = attempt.step(&mut self.memory, world)?;
                self.phase = Phase::Running(attempt);
                self.follow(ended, world)?;
                Ok(was_busy)
            }
        }
    }

    /// Ends its own earlier session, and those of others unless it spares them.
    fn claim(&mut self, world: &mut World) {
        self.memory.generation = self.memory.generation.next();
        if let Some(earlier) = self.memory.session.filter(|_| world.has(Rule::EndEarlier)) {
            world.warehouse.end(earlier.unsigned_abs(), &mut world.dice);
        }
        let others = world.warehouse.others(self.instance.as_str());
        if !others.is_empty() && !world.strikes(Fault::SpareSessions) {
            for pid in others {
                world.say(|| format!("{} ends session {pid}", self.instance));
                world.warehouse.end(pid, &mut world.dice);
            }
            // whose they were has an excuse
            world.encounters += 1;
        }
        let is_alone = world.warehouse.others(self.instance.as_str()).is_empty();
        self.has_met |= !is_alone;
        self.excuses = is_alone.then(|| world.excuses());
        let pid = world.warehouse.connect(self.instance.as_str());
        self.memory.session = i32::try_from(pid).ok();
        self.phase = Phase::Claimed(Sql::new(pid, Chain::default(), &self.instance));
    }

    /// Ledger, doubt, succession, positions: as `prepare`.
    fn prepare(&mut self, mut sql: Sql, world: &mut World) -> Checked {
        let chain = world.warehouse.chain();
        self.settle_doubt(world)?;
        let resumed = check_succession(&self.instance, &self.memory, &chain).and_then(|()| {
            let marks = world.kafka.watermarks(world.kafka.logs.keys().copied());
            let positions = positions::resume(&Known {
                topic: "t",
                topic_id: None,
                chain: &chain,
                begun: &self.memory.begun,
                watermarks: &marks,
                fallback: Some(FallbackOffset::Earliest),
            })?;
            Ok((positions, marks))
        });
        let (positions, marks) = match resumed {
            Ok(resumed) => resumed,
            Err(error) => return self.follow(Some(Ended::Failed(error)), world),
        };
        sql.chain = chain;
        if self.memory.quits_at_eof && self.memory.ends.is_none() {
            self.memory.ends = Some(marks.iter().map(|(&partition, marks)| (partition, marks.high)).collect());
        }
        world.say(|| format!("{} goes on at {:?}", self.instance, positions.starts.iter().collect::<Vec<_>>()));
        if positions.jumps.is_empty() {
            return self.launch(sql, positions.starts, world);
        }
        self.memory.batches_made += 1;
        let batch = self.memory.batches_made;
        let commit = Commit { batch: i64::try_from(batch).unwrap(), topic_id: None, moves: positions.jumps };
        sql.orders.push_back(Order::Commit { batch, has_rows: false, commit, letters: Vec::new() });
        self.phase = Phase::Skipping(sql, positions.starts);
        Ok(())
    }

    fn settle_doubt(&mut self, world: &mut World) -> Checked {
        let (warehouse, instance) = (&world.warehouse, self.instance.as_str());
        // without the rule, as if every COMMIT without reply were lost
        let (asks, asks_all) = (world.has(Rule::Doubt), world.has(Rule::FollowedDoubt));
        let holds = |batch| Ok::<_, String>(asks && warehouse.holds(instance, batch, asks_all));
        if let Some((batch, is_committed)) = self.memory.totals.settle_doubt(holds, &world.metrics)? {
            world.say(|| format!("{}: batch {batch} in doubt is committed: {is_committed}", self.instance));
        }
        Ok(())
    }

    fn skip(&mut self, mut sql: Sql, starts: Checkpoint, world: &mut World) -> Checked<bool> {
        let was_busy = sql.step(world)?;
        match sql.replies.pop_front() {
            None => self.phase = Phase::Skipping(sql, starts),
            Some(Reply::Failed { error }) => self.follow(Some(Ended::Failed(error.into())), world)?,
            Some(_) => self.launch(sql, starts, world)?,
        }
        Ok(was_busy)
    }

    fn launch(&mut self, sql: Sql, starts: Checkpoint, world: &mut World) -> Checked {
        self.memory.begun = Begun { starts: starts.clone(), topic_id: None };
        self.memory.chain = sql.chain.clone();
        self.memory.held = starts.iter().map(|(partition, _)| partition).collect();
        self.memory.has_run = true;
        let mut attempt = Attempt::new(&self.memory, &starts, sql, std::mem::take(&mut self.late), world);
        let ended = if self.is_told_to_stop { attempt.stop(&mut self.memory, world)? } else { None };
        self.phase = Phase::Running(Box::new(attempt));
        self.follow(ended, world)
    }

    fn follow(&mut self, ended: Option<Ended>, world: &mut World) -> Checked {
        let Some(ended) = ended else { return Ok(()) };
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        if let Phase::Running(attempt) = phase {
            self.memory.batches_made = attempt.state.batches_made();
            self.late = attempt.leftovers();
        }
        match ended {
            Ended::Done => self.end(None, world),
            Ended::Again => {
                self.phase = Phase::Pausing(world.now + PAUSES[0]);
                Ok(())
            }
            Ended::Failed(error) => self.pause_or_fail(error, world),
        }
    }

    fn pause_or_fail(&mut self, error: Error, world: &mut World) -> Checked {
        let is_taken = matches!(error, Error::Database(greenplum::Error::PositionTaken { .. }));
        if self.excuses == Some(world.excuses()) && !(is_taken && self.has_met) {
            return Err(format!("{}: an attempt fails, and nothing had happened to it: {error}", self.instance));
        }
        if matches!(error, Error::Internal(_) | Error::Database(greenplum::Error::OutOfStep { .. })) {
            return Err(format!("{} made a mistake: {error}", self.instance));
        }
        let failures = self.memory.totals.failures_in_a_row;
        let is_worth_it = error.is_passing() && (self.memory.has_run || error.is_answer());
        match PAUSES.get(failures as usize).filter(|_| is_worth_it && !self.is_told_to_stop) {
            None => self.end(Some(error), world),
            Some(pause) => {
                self.memory.totals.failures_in_a_row += 1;
                self.phase = Phase::Pausing(world.now + *pause);
                Ok(())
            }
        }
    }

    /// The process ends by itself: what it says then must be true.
    fn end(&mut self, failure: Option<Error>, world: &mut World) -> Checked {
        world.say(|| match &failure {
            None => format!("{} is done", self.instance),
            Some(error) => format!("{} gives up: {error}", self.instance),
        });
        if let Some(pid) = self.memory.session {
            // it closes its session, unless that is deaf
            world.warehouse.abandon(pid.unsigned_abs(), Fate::Dies(world.now));
        }
        if self.memory.totals.in_doubt.is_none() {
            self.check_sums(world)?;
        }
        if failure.is_none() && !self.is_told_to_stop { self.check_ends(world) } else { Ok(()) }
    }

    /// Its summary is the sum of its ledger rows.
    fn check_sums(&self, world: &World) -> Checked {
        let is_own = |entry: &Entry| entry.kind == Kind::Load && entry.instance == self.instance.as_str();
        let own = world.warehouse.ledger.iter().filter(|row| is_own(&row.entry));
        let written = own.fold([0; 3], |sum, row| {
            let Account { inserted, refused, rejected, dropped, filtered, .. } = row.counts.account;
            let counts = [inserted, refused + rejected, dropped + filtered];
            std::array::from_fn(|at| sum[at] + counts[at].unsigned_abs())
        });
        let sums = &self.memory.totals.sums;
        let told = [sums.inserted, sums.rejected, sums.filtered];
        if told == written {
            return Ok(());
        }
        Err(format!("{} tells of {told:?} rows, its ledger rows of {written:?}", self.instance))
    }

    /// It was to load up to here.
    fn check_ends(&self, world: &World) -> Checked {
        let chain = world.warehouse.chain();
        for (&partition, &end) in self.memory.ends.iter().flatten() {
            let begun = self.memory.begun.starts.get(partition);
            let next = chain.get(partition).map(|entry| entry.next).or(begun);
            if next < Some(end) {
                return Err(format!("{} is done, and [{partition}] at {next:?} of {end}", self.instance));
            }
        }
        Ok(())
    }
}
