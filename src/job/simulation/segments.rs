//! The model statement: segments that take rows from the real session, each at its own pace, and what they made of them.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::faults::Fault;
use super::kafka::{Kind, row};
use super::warehouse::Place;
use super::world::{Checked, Rule, World};
use crate::block::BlockIndex;
use crate::gpfdist::simulated::{Connection, Given, SimulatedSession};
use crate::greenplum::{Error, SegmentReject, SegmentRejects};

#[derive(Debug)]
enum Segment {
    Away,
    Reading(Connection),
    Over,
}

/// A row as a segment took it, with the block and the line that name it in the error log.
#[derive(Debug, Clone)]
struct Taken {
    place: Place,
    kind: Kind,
    first: i64,
    line: u32,
}

/// What came of the statement.
#[derive(Debug, Default)]
pub struct Written {
    /// Rows that came through the filter, into the target.
    pub rows: Vec<Place>,
    pub rejects: SegmentRejects,
}

/// See the module.
#[derive(Debug)]
pub struct Statement {
    session: SimulatedSession,
    xid: String,
    segments: Vec<(Segment, Instant, Vec<Taken>)>,
    /// What one of them failed with.
    failure: Option<String>,
}

impl Statement {
    /// The loader opens a session; segments that ask under the transaction's id are served from here.
    pub fn begin(xid: String, world: &World) -> Self {
        let segments = (0..world.segments).map(|_| (Segment::Away, world.now, Vec::new())).collect();
        Self { session: SimulatedSession::open(&xid), xid, segments, failure: None }
    }

    pub fn push(&mut self, index: &BlockIndex, bytes: Bytes) {
        self.session.push(index, bytes);
    }

    pub fn seal(&mut self) {
        self.session.seal();
    }

    pub fn fail(&mut self, reason: &str) {
        self.session.fail(reason);
    }

    /// Why the loader must not believe the statement, whatever it said.
    pub fn distrust(&self) -> Option<String> {
        self.session.failure().map(|failure| failure.reason.clone())
    }

    /// One segment does something; `false`: it waits.
    pub fn step(&mut self, world: &mut World) -> Checked<bool> {
        if world.strikes(Fault::Stranger) {
            self.be_asked_by_a_stranger(world)?;
        }
        let at = world.dice.index(self.segments.len());
        if self.segments[at].1 > world.now || self.failure.is_some() {
            return Ok(false);
        }
        if world.strikes(Fault::SegmentStalls) {
            self.segments[at].1 = world.within(20);
        }
        match self.segments[at].0 {
            Segment::Away => self.ask(at, world),
            Segment::Reading(connection) if world.strikes(Fault::SegmentCut) => {
                self.session.detach(connection, false);
                self.segments[at].0 = Segment::Away;
            }
            Segment::Reading(_) if world.strikes(Fault::SegmentAgain) => self.ask_again(at, world),
            Segment::Reading(connection) => return Ok(self.take(at, connection, world)),
            Segment::Over => return Ok(false),
        }
        Ok(true)
    }

    fn ask(&mut self, at: usize, world: &mut World) {
        let segment = i32::try_from(at).unwrap();
        match self.session.attach(segment, &self.xid) {
            Ok(connection) => {
                self.segments[at].0 = Segment::Reading(connection);
                world.say(|| format!("  segment {at} asks"));
            }
            Err(reason) => self.refused(at, reason, world),
        }
    }

    fn refused(&mut self, at: usize, reason: String, world: &mut World) {
        world.say(|| format!("  segment {at} fails: {reason}"));
        self.failure = Some(reason);
    }

    /// What was on its way on the first connection is lost.
    fn ask_again(&mut self, at: usize, world: &mut World) {
        let arrived = world.dice.index(self.segments[at].2.len() + 1);
        self.segments[at].2.truncate(arrived);
        // without the rule the server does not know that it is the same segment
        let known = if world.has(Rule::SecondGet) { 0 } else { 1000 * (1 + world.dice.offset(1000)) };
        match self.session.attach(i32::try_from(known).unwrap() + i32::try_from(at).unwrap(), &self.xid) {
            Ok(connection) => self.segments[at].0 = Segment::Reading(connection),
            Err(reason) => self.refused(at, reason, world),
        }
    }

    fn be_asked_by_a_stranger(&mut self, world: &mut World) -> Checked {
        let xid = if world.has(Rule::Xid) { "7-1000000" } else { &self.xid };
        let segment = i32::try_from(world.dice.index(self.segments.len())).unwrap();
        let Ok(connection) = self.session.attach(segment, xid) else { return Ok(()) };
        match self.session.next(connection) {
            Given::Block { .. } | Given::End => Err(format!("a stranger's segment {segment} gets rows of a load")),
            Given::Failed(_) | Given::Wait => Ok(()),
        }
    }

    fn take(&mut self, at: usize, connection: Connection, world: &mut World) -> bool {
        let (segment, _, taken) = &mut self.segments[at];
        match self.session.next(connection) {
            Given::Wait if world.has(Rule::SealedEnd) => return false,
            Given::Wait => *segment = Segment::Over,
            Given::Block { partition, first, bytes } => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                let rows = text.lines().map(row).zip(1..);
                taken.extend(rows.map(|((partition, offset, kind), line)| Taken {
                    place: (partition, offset),
                    kind,
                    first,
                    line,
                }));
                if !world.has_filter && world.strikes(Fault::RowLost) {
                    taken.pop();
                }
                world.say(|| format!("  segment {at} takes block [{partition}]@{first}"));
            }
            Given::End => {
                self.session.detach(connection, true);
                *segment = Segment::Over;
                world.say(|| format!("  segment {at} sees the end"));
            }
            Given::Failed(reason) => {
                self.session.detach(connection, true);
                self.refused(at, reason, world);
            }
        }
        true
    }

    /// The outcome, once there is one.
    pub fn reply(&mut self) -> Option<Result<Written, Error>> {
        let is_over = self.segments.iter().all(|(segment, ..)| matches!(segment, Segment::Over));
        if self.failure.is_none() && !is_over {
            return None;
        }
        self.session.finish();
        if let Some(text) = &self.failure {
            let (doing, state) = ("inserting".to_owned(), "08006".to_owned());
            return Some(Err(Error::Sql { doing, state, text: text.clone() }));
        }
        let mut written = Written::default();
        for taken in self.segments.iter().flat_map(|(.., taken)| taken) {
            match taken.kind {
                Kind::Good => written.rows.push(taken.place),
                Kind::Unreadable => note(&mut written.rejects, taken),
                _ => {}
            }
        }
        Some(Ok(written))
    }
}

fn note(rejects: &mut SegmentRejects, taken: &Taken) {
    let Taken { place: (partition, _), first, line, .. } = *taken;
    let message = "unreadable".to_owned();
    rejects.named.push(SegmentReject { partition, first, line, message, raw: Vec::new() });
    *rejects.counts.entry(partition).or_default() += 1;
}

/// All rows that segments refused.
pub fn count(counts: &BTreeMap<i32, u64>) -> u64 {
    counts.values().sum()
}
