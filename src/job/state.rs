//! The brain of a job, pure: events in, actions out, no I/O and no clock. It owns the checkpoint and the batches.
//!
//! ```text
//!  blocks ──▶ [filling] ─full─▶ [sealed] ─▶ … one at a time, in order:  Begin ─▶ Opened ─▶ Send… ─▶ Seal
//!                                                                        ─▶ Inserted ─▶ Commit ─▶ Committed
//! ```
//!
//! The front batch may stream to the database while it still fills. Blocks that come when it is sealed make the next
//! one, which waits for its turn in memory. There is no way back in here: whatever fails ends the attempt, and the
//! next one starts from the ledger.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use super::batch::{Batch, Counts, Limits, RejectLimit};
use super::commit::Uneven;
use crate::block::RowBlock;
use crate::copies::Copies;
use crate::greenplum::WrittenTo;
use crate::offset::{Checkpoint, Discontinuity, Generation, Span};

/// Sealed batches that may wait for their turn. Each takes some 2 KB beside its rows, which no permit stands for: with
/// a small MAX_ROW a slow database would otherwise have millions of them wait.
const BATCHES_MAX: usize = 64;

/// Blocks of nothing but holes that may wait for a record; then they make a batch of their own.
const PASSED_MAX: usize = 1000;

/// What the world tells the brain.
#[derive(Debug)]
pub enum Event {
    /// A worker sealed a block.
    Block(RowBlock),
    /// A worker has read one partition up to its end mark.
    End { partition: i32, generation: Generation },
    /// The transaction of a batch is open and segments can be served.
    Opened { batch: u64 },
    /// The statements of a batch returned: so many rows came through, so many were refused by segments, so many are kept
    /// aside because the database refused them later, and this is what became of the others in each target.
    Inserted { batch: u64, inserted: u64, rejected: u64, saved: u64, outputs: Vec<WrittenTo> },
    /// The transaction of a batch is committed.
    Committed { batch: u64 },
    /// Time passed.
    Tick,
    /// Seal what is in hand and end.
    Finish,
}

/// What the brain wants done.
#[derive(Debug)]
pub enum Action {
    /// Open the batch's transaction and start its INSERT.
    Begin { batch: u64 },
    /// Hand a block to the segments.
    Send { batch: u64, block: RowBlock },
    /// No more blocks: the segments may see the end.
    Seal { batch: u64 },
    /// The rows are checked: append to the ledger and commit. `has_rows` tells whether a transaction is open.
    Commit { batch: u64, has_rows: bool },
    /// Tell the user of a committed batch.
    Report(Box<Done>),
    /// The front batch must not commit; as an error of [`State::on`], but after the actions before it.
    Fail(Broken),
    /// Everything wanted is committed.
    End,
}

/// A committed batch.
#[derive(Debug)]
pub struct Done {
    pub batch: Batch,
    pub outcome: Outcome,
    /// What became of the rows in each target; empty where there were none.
    pub outputs: Vec<WrittenTo>,
}

/// What became of a batch's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that came through to the targets.
    pub inserted: u64,
    /// By the decoder and by segments, and rows of failing batches that are kept.
    pub rejected: u64,
    pub filtered: u64,
}

/// Why a batch must not commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Discontinuity(#[from] Discontinuity),
    #[error("{sent} rows were sent, but {inserted} inserted and {rejected} rejected by segments")]
    RowCount { sent: u64, inserted: u64, rejected: u64 },
    #[error("{sent} rows were made, but {served} handed to segments")]
    Served { sent: u64, served: u64 },
    #[error(transparent)]
    Uneven(#[from] Uneven),
    #[error("batch {batch}: the INSERT ended before the batch was sealed")]
    EndedEarly { batch: u64 },
    #[error("{rejected} of {rows} records were rejected, more than ERROR_LIMIT allows ({limit}){}", limit.advice(*rows))]
    TooManyRejects { rejected: u64, rows: u64, limit: RejectLimit },
}

/// What a job wants, as far as the brain needs it.
#[derive(Debug, Clone)]
pub struct Wants {
    pub limits: Limits,
    pub reject_limit: RejectLimit,
    /// Rows may vanish between the segments and the target, by the user's own wish.
    pub has_filter: bool,
    /// It is known how many rows are sent. Else they are messages, of which the database alone makes rows, and what it
    /// inserts cannot be compared with them.
    pub counts_rows: bool,
    /// All rejects are wanted at the commit, not only those that are named.
    pub keeps_rejects: bool,
    /// Partitions whose ends end the job; `None` runs until told.
    pub until_end_of: Option<BTreeSet<i32>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not yet begun.
    Waiting,
    /// BEGIN and INSERT are under way.
    Beginning,
    /// Segments are being served.
    Open,
    /// Segments take what is left and then see the end.
    Draining,
    Committing,
}

/// See the module.
#[derive(Debug)]
pub struct State {
    wants: Wants,
    generation: Generation,
    checkpoint: Checkpoint,
    batches: VecDeque<Batch>,
    /// Of the front batch.
    phase: Phase,
    outcome: Outcome,
    outputs: Vec<WrittenTo>,
    /// Blocks without record: holes that were read past. They open no batch of their own until the end.
    passed: Vec<RowBlock>,
    ended: BTreeSet<i32>,
    batches_made: u64,
    is_finishing: bool,
    has_ended: bool,
}

impl State {
    /// A fresh state at a checkpoint read from the ledger.
    pub fn new(wants: Wants, generation: Generation, checkpoint: Checkpoint, batches_made: u64) -> Self {
        Self {
            wants,
            generation,
            checkpoint,
            batches: VecDeque::new(),
            phase: Phase::Waiting,
            outcome: Outcome::default(),
            outputs: Vec::new(),
            passed: Vec::new(),
            ended: BTreeSet::new(),
            batches_made,
            is_finishing: false,
            has_ended: false,
        }
    }

    /// What is committed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How many batches there have been, for the next attempt to go on counting.
    pub fn batches_made(&self) -> u64 {
        self.batches_made
    }

    /// The batch whose transaction is next or open.
    pub fn front(&self) -> Option<&Batch> {
        self.batches.front()
    }

    /// The copies of the front batch's records; it has none afterwards.
    pub fn take_copies(&mut self) -> Vec<(i32, Span, Copies)> {
        self.batches.front_mut().map(|front| std::mem::take(&mut front.copies)).unwrap_or_default()
    }

    /// What became of the front batch's rows, once its INSERT returned.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether the database's counts are of rows that were sent, see [`Wants::counts_rows`].
    pub fn counts_rows(&self) -> bool {
        self.wants.counts_rows
    }

    /// The front batch with its outcome, where only the ledger knows whether it was committed.
    pub fn take_front(&mut self) -> Option<Box<Done>> {
        let batch = self.batches.pop_front()?;
        Some(Box::new(Done { batch, outcome: self.outcome, outputs: std::mem::take(&mut self.outputs) }))
    }

    /// Whether so many batches wait that blocks should be left where they are. Nothing in front waits for them.
    pub fn is_behind(&self) -> bool {
        self.batches.len() > BATCHES_MAX
    }

    /// When to send a [`Event::Tick`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.batches.back().filter(|batch| !batch.is_sealed).and_then(|batch| batch.deadline(&self.wants.limits))
    }

    /// Takes one event.
    ///
    /// # Errors
    /// The front batch must not commit; roll it back and start anew from the ledger.
    pub fn on(&mut self, event: Event, now: Instant) -> Result<Vec<Action>, Broken> {
        let mut actions = Vec::new();
        match event {
            Event::Block(block) => self.take(block, now, &mut actions)?,
            Event::End { partition, generation } => self.end_of(partition, generation),
            Event::Opened { batch } => self.opened(batch),
            Event::Inserted { batch, inserted, rejected, saved, outputs } => {
                self.inserted(batch, (inserted, rejected, saved))?;
                self.outputs = outputs;
                actions.push(Action::Commit { batch, has_rows: true });
            }
            Event::Committed { batch } => actions.push(self.committed(batch)?),
            Event::Tick => {}
            Event::Finish => self.is_finishing = true,
        }
        self.seal_what_is_full(now, &mut actions)?;
        self.go_on(&mut actions);
        Ok(actions)
    }

    fn take(&mut self, block: RowBlock, now: Instant, actions: &mut Vec<Action>) -> Result<(), Broken> {
        if block.generation != self.generation || self.is_finishing {
            return Ok(());
        }
        if block.records == 0 && self.filling().is_none() && self.passed.len() < PASSED_MAX {
            self.passed.push(block);
            return Ok(());
        }
        self.absorb(block, now)?;
        self.send_unsent(actions);
        Ok(())
    }

    fn filling(&mut self) -> Option<&mut Batch> {
        self.batches.back_mut().filter(|batch| !batch.is_sealed)
    }

    fn absorb(&mut self, block: RowBlock, now: Instant) -> Result<(), Broken> {
        if self.filling().is_none() {
            self.batches_made += 1;
            self.batches.push_back(Batch::new(self.batches_made, now, self.wants.keeps_rejects));
        }
        let passed = std::mem::take(&mut self.passed);
        let batch = self.batches.back_mut().expect("a filling batch was just made sure of");
        for earlier in passed {
            batch.absorb(earlier, now)?;
        }
        batch.absorb(block, now)?;
        Ok(())
    }

    fn end_of(&mut self, partition: i32, generation: Generation) {
        if generation != self.generation {
            return;
        }
        self.ended.insert(partition);
        if self.wants.until_end_of.as_ref().is_some_and(|all| all.is_subset(&self.ended)) {
            self.is_finishing = true;
        }
    }

    fn opened(&mut self, batch: u64) {
        debug_assert_eq!(self.front().map(|front| front.number), Some(batch), "only the front batch opens");
        self.phase = Phase::Open;
    }

    fn send_unsent(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Open {
            return;
        }
        let Some(front) = self.batches.front_mut() else { return };
        for block in front.unsent.drain(..) {
            front.sent.push(block.index.clone());
            actions.push(Action::Send { batch: front.number, block });
        }
    }

    fn inserted(&mut self, number: u64, (inserted, rejected, saved): (u64, u64, u64)) -> Result<(), Broken> {
        let has_filter = self.wants.has_filter;
        let limit = self.wants.reject_limit;
        let front = self.batches.front().filter(|front| front.number == number && front.is_sealed);
        let Some(front) = front else { return Err(Broken::EndedEarly { batch: number }) };
        let sent = front.counts.rows;
        let kept = inserted + rejected + saved;
        let is_checked = rows_are_checked() && self.wants.counts_rows;
        if is_checked && (kept > sent || (kept < sent && !has_filter)) {
            return Err(Broken::RowCount { sent, inserted, rejected });
        }
        let rejected = rejected + front.counts.refused;
        let rows = sent + front.counts.refused;
        if limit.is_exceeded(rejected, rows) {
            return Err(Broken::TooManyRejects { rejected, rows, limit });
        }
        // ERROR_LIMIT is about records that are no rows; those kept aside have a bound of their own
        let rejected = rejected + saved;
        let filtered = if self.wants.counts_rows { sent.saturating_sub(kept) } else { 0 };
        self.outcome = Outcome { inserted, rejected, filtered: filtered + front.counts.dropped };
        self.phase = Phase::Committing;
        Ok(())
    }

    fn committed(&mut self, number: u64) -> Result<Action, Broken> {
        let batch = self.batches.pop_front().filter(|front| front.number == number);
        let batch = batch.ok_or(Broken::EndedEarly { batch: number })?;
        self.checkpoint.advance(&batch.delta)?;
        self.phase = Phase::Waiting;
        let outcome = std::mem::take(&mut self.outcome);
        let outputs = std::mem::take(&mut self.outputs);
        Ok(Action::Report(Box::new(Done { batch, outcome, outputs })))
    }

    fn seal_what_is_full(&mut self, now: Instant, actions: &mut Vec<Action>) -> Result<(), Broken> {
        if self.is_finishing {
            self.gather_for_the_end(now)?;
        }
        self.send_unsent(actions);
        let is_finishing = self.is_finishing;
        let limits = self.wants.limits.clone();
        if let Some(batch) = self.filling().filter(|batch| is_finishing || batch.is_full(&limits, now)) {
            batch.is_sealed = true;
        }
        Ok(())
    }

    /// At the end of a topic the holes behind its last record are committed too, so that the next start skips them.
    /// A stop by signal drops what has not begun: it is read again.
    fn gather_for_the_end(&mut self, now: Instant) -> Result<(), Broken> {
        let at_end = self.wants.until_end_of.as_ref().is_some_and(|all| all.is_subset(&self.ended));
        if at_end {
            if let Some(last) = self.passed.pop() {
                self.absorb(last, now)?;
            }
        } else {
            self.passed.clear();
            self.batches.truncate(1);
        }
        Ok(())
    }

    fn go_on(&mut self, actions: &mut Vec<Action>) {
        if let Some(cause) = self.too_many_rejects() {
            return actions.push(Action::Fail(cause));
        }
        match (self.batches.front(), self.phase) {
            (None, _) => self.end_if_wanted(actions),
            (Some(front), Phase::Waiting) if front.counts.rows > 0 => {
                actions.push(Action::Begin { batch: front.number });
                self.phase = Phase::Beginning;
            }
            (Some(front), Phase::Waiting) if front.is_sealed => {
                actions.push(Action::Commit { batch: front.number, has_rows: false });
                let (rejected, filtered) = (front.counts.refused, front.counts.dropped);
                self.outcome = Outcome { inserted: 0, rejected, filtered };
                self.phase = Phase::Committing;
            }
            (Some(front), Phase::Open) if front.is_sealed => {
                actions.push(Action::Seal { batch: front.number });
                self.phase = Phase::Draining;
            }
            _ => {}
        }
    }

    /// Whether the front batch is known to fail before the database was asked: a number is too large at once, a share
    /// when the batch is complete and has no row. A batch behind it waits for its turn, lest a good one fail with it.
    fn too_many_rejects(&self) -> Option<Broken> {
        let front = self.batches.front()?;
        let Counts { refused: rejected, records, rows, .. } = front.counts;
        let is_known = match self.wants.reject_limit {
            RejectLimit::Rows(_) => true,
            RejectLimit::Percent(_) => front.is_sealed && rows == 0,
        };
        let is_exceeded = is_known && self.wants.reject_limit.is_exceeded(rejected, records);
        is_exceeded.then_some(Broken::TooManyRejects { rejected, rows: records, limit: self.wants.reject_limit })
    }

    fn end_if_wanted(&mut self, actions: &mut Vec<Action>) {
        if self.is_finishing && !self.has_ended {
            self.has_ended = true;
            actions.push(Action::End);
        }
    }
}

/// The mutation check takes the row check out, to see that a test notices.
fn rows_are_checked() -> bool {
    fail::fail_point!("row-check", |_| false);
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::block::{BlockIndex, Run};

    fn state(rows_max: u64) -> State {
        let limits = Limits { rows_max, bytes_max: 0, age_max: Duration::ZERO, idle_max: Duration::ZERO };
        let wants = Wants {
            limits,
            reject_limit: RejectLimit::Rows(0),
            has_filter: false,
            counts_rows: true,
            keeps_rejects: false,
            until_end_of: None,
        };
        State::new(wants, Generation(1), Checkpoint::default(), 0)
    }

    /// One record, or one hole, at an offset.
    fn block(offset: i64, rows: u32) -> Event {
        Event::Block(RowBlock {
            index: BlockIndex {
                partition: 0,
                span: Span::new(offset, offset + 1).unwrap(),
                rows,
                runs: (0..rows).map(|row| Run { row, record_rows: 1, offset }).collect(),
            },
            generation: Generation(1),
            leader_epoch: None,
            bytes: Default::default(),
            source_bytes: 0,
            records: rows,
            decoded: rows,
            dropped: 0,
            holes: u64::from(1 - rows.min(1)),
            rejects: Vec::new(),
            copies: Default::default(),
        })
    }

    #[test]
    fn batches_that_wait_are_bounded() {
        let (mut state, now) = (state(1), Instant::now());
        let mut offset = 0;
        while !state.is_behind() {
            state.on(block(offset, 1), now).unwrap();
            offset += 1;
            assert!(offset < 1000, "batches pile up");
        }
        assert!(offset > 10, "too few to keep the database busy");
    }

    #[test]
    fn rows_that_the_database_makes_are_not_checked_against_messages() {
        for (counts_rows, inserted, ends_well) in
            [(true, 1, true), (true, 5, false), (false, 5, true), (false, 0, true)]
        {
            let (mut state, now) = (state(1), Instant::now());
            state.wants.counts_rows = counts_rows;
            state.on(block(0, 1), now).unwrap();
            state.on(Event::Opened { batch: 1 }, now).unwrap();
            let done =
                state.on(Event::Inserted { batch: 1, inserted, rejected: 0, outputs: Vec::new(), saved: 0 }, now);
            assert_eq!(done.is_ok(), ends_well, "{counts_rows} {inserted}");
            if ends_well {
                let expected = Outcome { inserted, rejected: 0, filtered: 0 };
                assert_eq!(state.outcome(), expected);
            }
        }
    }

    #[test]
    fn holes_without_a_record_become_a_batch_in_the_end() {
        let (mut state, now) = (state(0), Instant::now());
        assert!(state.on(block(0, 0), now).unwrap().is_empty());
        assert!(state.front().is_none(), "a hole alone opens no batch");
        for offset in 1..5000 {
            state.on(block(offset, 0), now).unwrap();
        }
        assert!(state.passed.len() <= PASSED_MAX);
        assert_eq!(state.front().unwrap().delta.span(0), Span::new(0, 5000));
    }
}
