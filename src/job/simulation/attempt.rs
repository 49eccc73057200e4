//! One attempt of a loader: the real state, and around it what `steer` and the workers do, without threads.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::faults::Fault;
use super::kafka::Found;
use super::segments::count;
use super::sql::{Order, Reply, Sql};
use super::warehouse::Place;
use super::world::{Checked, Rule, World};
use crate::greenplum::{self, SegmentRejects};
use crate::job::batch::{Limits, RejectLimit};
use crate::job::failure::Error;
use crate::job::run::Memory;
use crate::job::state::{Action, Broken, Done, Event, State, Wants};
use crate::job::{commit, dead_letters};
use crate::offset::{Checkpoint, Generation};

/// How long a failed attempt waits for its warehouse thread.
const CANCEL_MAX: Duration = Duration::from_secs(20);

/// What workers tell, stamped with the attempt they work for.
#[derive(Debug)]
pub enum Told {
    Event(Event),
    OutOfRange,
}

/// A partition as its worker reads it.
#[derive(Debug)]
struct Reader {
    at: i64,
    until: Option<i64>,
    has_ended: bool,
    told: VecDeque<Told>,
}

/// How an attempt ends.
#[derive(Debug)]
pub enum Ended {
    Done,
    Again,
    Failed(Error),
}

/// See the module.
#[derive(Debug)]
pub struct Attempt {
    pub state: State,
    pub sql: Sql,
    generation: Generation,
    readers: BTreeMap<i32, Reader>,
    follows_growth: bool,
    rejects: SegmentRejects,
    is_committing: bool,
    is_finishing: bool,
    is_again: bool,
    failing: Option<(Error, Instant)>,
    /// Of earlier attempts, still on their way.
    late: Vec<Event>,
}

impl Attempt {
    pub fn new(memory: &Memory, starts: &Checkpoint, sql: Sql, late: Vec<Event>, world: &mut World) -> Self {
        let until = |partition: i32| memory.ends.as_ref().and_then(|ends| ends.get(&partition).copied());
        let wanted = starts.iter().filter(|(partition, _)| memory.ends.is_none() || until(*partition).is_some());
        let reader = |(partition, at)| {
            (partition, Reader { at, until: until(partition), has_ended: false, told: VecDeque::new() })
        };
        Self {
            state: State::new(wants(memory, world), memory.generation, starts.clone(), memory.batches_made),
            sql,
            generation: memory.generation,
            readers: wanted.map(reader).collect(),
            follows_growth: memory.ends.is_none(),
            rejects: SegmentRejects::default(),
            is_committing: false,
            is_finishing: false,
            is_again: false,
            failing: None,
            late,
        }
    }

    /// The user asks for the end.
    pub fn stop(&mut self, memory: &mut Memory, world: &mut World) -> Checked<Option<Ended>> {
        self.is_finishing = true;
        self.on(Event::Finish, memory, world)
    }

    /// One of its threads does something.
    pub fn step(&mut self, memory: &mut Memory, world: &mut World) -> Checked<(bool, Option<Ended>)> {
        match world.dice.roll(7) {
            0 | 1 => Ok((self.sql.step(world)?, None)),
            2 | 3 => match &mut self.sql.statement {
                Some(statement) => Ok((statement.step(world)?, None)),
                None => Ok((false, None)),
            },
            4 => Ok((self.read(world), None)),
            _ if self.failing.is_some() => self.wind_up(memory, world),
            _ => self.turn(memory, world),
        }
    }

    fn read(&mut self, world: &mut World) -> bool {
        let at = world.dice.index(self.readers.len().max(1));
        let Some((&partition, reader)) = self.readers.iter_mut().nth(at) else { return false };
        if self.is_finishing || reader.has_ended || reader.told.len() > 4 {
            return false;
        }
        let generation = self.generation;
        let told = match world.kafka.read(partition, reader.at, reader.until, (generation, &mut world.dice)) {
            Found::Nothing => return false,
            Found::Block(block) => {
                let span = block.index.span;
                world.say(|| format!("  reads [{partition}] {span}: {} records", block.records));
                reader.at = span.next();
                Told::Event(Event::Block(block))
            }
            Found::End => {
                reader.has_ended = true;
                Told::Event(Event::End { partition, generation })
            }
            Found::OutOfRange => {
                reader.has_ended = true;
                Told::OutOfRange
            }
        };
        reader.told.push_back(told);
        true
    }

    /// One turn of the loop.
    fn turn(&mut self, memory: &mut Memory, world: &mut World) -> Checked<(bool, Option<Ended>)> {
        if world.strikes(Fault::HolderLost) {
            let error = greenplum::Error::HolderLost { text: "it broke".to_owned(), passes: true };
            self.fail(error.into(), world);
            return Ok((true, None));
        }
        let event = match world.dice.roll(4) {
            0 | 1 => self.sql.replies.pop_front().map(|reply| self.heard(reply)),
            2 => self.was_told(world).map(Ok),
            _ => self.saw(world).map(Ok),
        };
        match event {
            None => Ok((false, self.on(Event::Tick, memory, world)?)),
            Some(Ok(event)) => Ok((true, self.on(event, memory, world)?)),
            Some(Err(error)) => {
                self.fail(error, world);
                Ok((true, None))
            }
        }
    }

    fn was_told(&mut self, world: &mut World) -> Option<Event> {
        if self.state.is_behind() {
            return None;
        }
        if !self.late.is_empty() && world.strikes(Fault::LateBlock) {
            let late = self.late.swap_remove(world.dice.index(self.late.len()));
            return Some(if world.has(Rule::Generation) { late } else { restamped(late, self.generation) });
        }
        let at = world.dice.index(self.readers.len().max(1));
        match self.readers.values_mut().nth(at)?.told.pop_front()? {
            Told::Event(event) => Some(event),
            Told::OutOfRange => Some(self.begin_anew()),
        }
    }

    fn saw(&mut self, world: &World) -> Option<Event> {
        let is_new = |partition: &i32| !self.readers.contains_key(partition);
        (self.follows_growth && !self.is_finishing && world.kafka.logs.keys().any(is_new)).then(|| self.begin_anew())
    }

    fn begin_anew(&mut self) -> Event {
        (self.is_again, self.is_finishing) = (true, true);
        Event::Finish
    }

    fn heard(&mut self, reply: Reply) -> Result<Event, Error> {
        match reply {
            Reply::Opened { batch } => Ok(Event::Opened { batch }),
            Reply::Inserted { batch, written } => {
                if let Some(text) = self.sql.statement.take().and_then(|statement| statement.distrust()) {
                    return Err(Error::Batch { batch, text, passes: true });
                }
                let (inserted, rejected) = (written.rows.len() as u64, count(&written.rejects.counts));
                self.rejects = written.rejects;
                Ok(Event::Inserted { batch, inserted, rejected, saved: 0, outputs: Vec::new() })
            }
            Reply::Committed { batch } => {
                self.is_committing = false;
                Ok(Event::Committed { batch })
            }
            Reply::Failed { error } => {
                let error = Error::Database(error);
                self.is_committing = error.is_in_doubt();
                Err(error)
            }
        }
    }

    fn on(&mut self, event: Event, memory: &mut Memory, world: &mut World) -> Checked<Option<Ended>> {
        match self.state.on(event, world.now) {
            Err(cause) => {
                let batch = self.state.front().map_or(0, |front| front.number);
                if let Broken::Discontinuity(_) | Broken::EndedEarly { .. } = cause {
                    return Err(format!("the loader made a mistake: {cause}"));
                }
                let error = match &cause {
                    // rows that a segment lost: production gives up at once, and is started again
                    Broken::RowCount { .. } => Error::Broken { batch, cause },
                    _ => return Err(format!("nobody limits rejects: {cause}")),
                };
                self.fail(error, world);
            }
            Ok(actions) => {
                for action in actions {
                    if self.perform(action, memory, world)? {
                        return Ok(Some(if self.is_again { Ended::Again } else { Ended::Done }));
                    }
                }
            }
        }
        Ok(None)
    }

    fn perform(&mut self, action: Action, memory: &mut Memory, world: &mut World) -> Checked<bool> {
        match action {
            Action::Begin { batch } => self.sql.orders.push_back(Order::Insert { batch }),
            Action::Send { block, .. } => {
                if let Some(statement) = &mut self.sql.statement {
                    statement.push(&block.index, block.bytes);
                }
            }
            Action::Seal { batch } => {
                world.say(|| format!("  seals batch {batch}"));
                if let Some(statement) = &mut self.sql.statement {
                    statement.seal();
                }
            }
            Action::Commit { batch, has_rows } => {
                let front = self.state.front().ok_or("a commit of no batch")?;
                let rejects = std::mem::take(&mut self.rejects);
                let refused = commit::refused(&rejects, None);
                let commit = commit::of(front, self.state.outcome(), &refused, self.state.counts_rows(), None);
                let commit = commit.map_err(|uneven| format!("the accounts of batch {batch}: {uneven}"))?;
                let letters = dead_letters::of(front, &rejects, &[]).map_err(|error| error.to_string())?;
                let letters: Vec<Place> = letters.iter().map(|letter| (letter.partition, letter.offset)).collect();
                self.sql.orders.push_back(Order::Commit { batch, has_rows, commit, letters });
                self.is_committing = true;
            }
            Action::Report(done) => report(&done, memory, world),
            Action::Fail(cause) => return Err(format!("nobody limits rejects: {cause}")),
            Action::End => return Ok(true),
        }
        Ok(false)
    }

    fn fail(&mut self, error: Error, world: &mut World) {
        world.say(|| format!("  the attempt fails: {error}"));
        if let Some(statement) = &mut self.sql.statement {
            statement.fail("the load has failed");
        }
        self.sql.is_stopped = true;
        self.failing = Some((error, world.now + CANCEL_MAX));
    }

    /// The warehouse thread ends; a COMMIT that comes through meanwhile counts.
    fn wind_up(&mut self, memory: &mut Memory, world: &mut World) -> Checked<(bool, Option<Ended>)> {
        match self.sql.replies.pop_front() {
            Some(Reply::Committed { .. }) => {
                self.is_committing = false;
                if let Some(done) = self.state.take_front() {
                    report(&done, memory, world);
                }
                return Ok((true, None));
            }
            Some(Reply::Failed { error }) => {
                self.is_committing = Error::Database(error).is_in_doubt();
                return Ok((true, None));
            }
            Some(_) => return Ok((true, None)),
            None => {}
        }
        let (error, until) = self.failing.take().ok_or("nothing has failed")?;
        if !self.sql.is_gone() && world.now < until {
            self.failing = Some((error, until));
            return Ok((false, None));
        }
        if self.is_committing {
            memory.totals.in_doubt = self.state.take_front();
        }
        Ok((true, Some(Ended::Failed(error))))
    }

    /// What its workers have told and nobody has heard.
    pub fn leftovers(self) -> Vec<Event> {
        let told = self.readers.into_values().flat_map(|reader| reader.told);
        told.filter_map(|told| if let Told::Event(event) = told { Some(event) } else { None }).collect()
    }
}

fn report(done: &Done, memory: &mut Memory, world: &mut World) {
    memory.totals.add(done, &world.metrics);
    world.say(|| format!("  batch {} is committed: {:?}", done.batch.number, done.outcome));
}

fn restamped(event: Event, generation: Generation) -> Event {
    match event {
        Event::Block(block) => Event::Block(crate::block::RowBlock { generation, ..block }),
        Event::End { partition, .. } => Event::End { partition, generation },
        other => other,
    }
}

fn wants(memory: &Memory, world: &mut World) -> Wants {
    Wants {
        limits: Limits {
            rows_max: world.dice.roll(12),
            bytes_max: 1000,
            age_max: Duration::from_secs(5),
            idle_max: Duration::ZERO,
        },
        reject_limit: RejectLimit::Percent(100),
        has_filter: world.has_filter,
        counts_rows: world.has(Rule::RowCheck),
        keeps_rejects: true,
        until_end_of: memory.ends.as_ref().map(|ends| ends.keys().copied().collect()),
    }
}
