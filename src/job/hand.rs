//! The hand of a worker: records → transform → decode → encode → sealed blocks, told through a channel. Where its records
//! come from is somebody else's: a queue of Kafka's in `worker`, a table in `replay`.
//!
//! Every block under construction stands under a permit of the budget; who gets none takes no more records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, TrySendError};
use fail::fail_point;

use super::doubt::Copying;
use super::schemas::{ASK_AGAIN, Answer};
use crate::block::RowBlock;
use crate::budget::Permit;
use crate::copies::Copies;
use crate::decode::{Part, Reason};
use crate::encode::{BlockBuilder, text};
use crate::record::Record;
use crate::row::Rows;
use crate::transform::Verdict;

/// How long it waits for a permit or for room in its channel before it looks at the wish to end.
const WAIT: Duration = Duration::from_millis(50);

/// Memory for the rows of one record that is kept for the next; what a giant took more goes back.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// What a decoder may take for itself beside the budget; a record that takes more is treated as a giant.
const SCRATCH_BYTES_MAX: usize = 16 << 20;

/// A lane and the block that it is building.
struct Filling {
    lane: Lane,
    block: Option<BlockBuilder>,
    /// When that block was begun.
    begun: Instant,
    /// Of the records of that block.
    copies: Copies,
    has_ended: bool,
}

impl Filling {
    fn new(lane: Lane) -> Self {
        Self { lane, block: None, begun: Instant::now(), copies: Copies::default(), has_ended: false }
    }

    fn copy(&mut self, record: &Record<'_>, copying: Option<&Copying>) {
        if let Some(copying) = copying {
            self.copies.push(record, &copying.budget);
        }
    }
}

/// See the module.
pub struct Hand {
    tools: Tools,
    lanes: BTreeMap<i32, Filling>,
    rows: Rows,
    /// Of the record in hand, what is wanted; `None` is all of it.
    wanted: Option<SomeRows>,
    waited: Waited,
    /// Nobody listens any more.
    gone: bool,
}

impl Hand {
    /// A hand for these partitions.
    pub fn new(tools: Tools, lanes: BTreeMap<i32, Lane>) -> Self {
        let lanes = lanes.into_iter().map(|(partition, lane)| (partition, Filling::new(lane))).collect();
        Self { tools, lanes, rows: Rows::default(), wanted: None, waited: Waited::default(), gone: false }
    }

    /// Nobody wants more.
    pub fn is_over(&self) -> bool {
        self.gone || self.tools.stop.is_asked()
    }

    /// Since this was asked last.
    pub fn take_waited(&mut self) -> Waited {
        std::mem::take(&mut self.waited)
    }

    /// Whether all partitions are read up to their end marks.
    pub fn has_ended(&self) -> bool {
        self.lanes.values().all(|filling| filling.has_ended)
    }

    /// Whether something is in hand that was not told.
    pub fn has_open_blocks(&self) -> bool {
        self.lanes.values().any(|filling| filling.block.is_some())
    }

    /// The next offset of a partition.
    pub fn next(&self, partition: i32) -> Option<i64> {
        self.lanes.get(&partition).map(|filling| filling.lane.next)
    }

    /// Takes some rows of a record, as they count in it from 0.
    pub fn take_rows(&mut self, record: &Record<'_>, wanted: SomeRows) {
        self.wanted = Some(wanted);
        self.record(record);
        self.wanted = None;
    }

    /// Takes a record; ones that are behind the partition's next offset or out of its bounds are not its own.
    pub fn record(&mut self, record: &Record<'_>) {
        let Some(filling) = self.lanes.get(&record.partition) else { return };
        let (next, until) = (filling.lane.next, filling.lane.until);
        if record.offset < next || filling.has_ended {
            return;
        }
        if until.is_some_and(|until| record.offset >= until) {
            return self.end(record.partition, record.offset);
        }
        let Some(transform) = &mut self.tools.transform else { return self.load(record, record, next) };
        match transform.apply(record) {
            Ok(Verdict::Unchanged) => self.load(record, record, next),
            Ok(Verdict::Changed(output)) => {
                self.load(record, &Record { payload: Some(&output), ..*record }, next);
                self.tools.transform.as_mut().expect("it was there").give_back(output);
            }
            Ok(Verdict::Dropped) => self.turn_away(record, next, None),
            Ok(Verdict::Rejected(reason)) => self.turn_away(record, next, Some(reason)),
            Err(error) => self.stop_at(record, error.to_string()),
        }
    }

    /// A record that its transformer does not let pass.
    fn turn_away(&mut self, record: &Record<'_>, next: i64, reason: Option<String>) {
        if !self.make_room(record.partition, next) {
            return;
        }
        let Some(filling) = self.lanes.get_mut(&record.partition) else { return };
        if let Some(block) = filling.block.as_mut() {
            match reason {
                None => block.drop_record(record),
                Some(reason) => {
                    block.reject(record, format!("transformer  {reason}"));
                    filling.copy(record, self.tools.copying.as_ref());
                }
            }
        }
        self.count(record);
        self.flush_if_full(record.partition);
    }

    /// Nothing more is read of the partition: the job ends.
    fn stop_at(&mut self, record: &Record<'_>, text: String) {
        if let Some(filling) = self.lanes.get_mut(&record.partition) {
            filling.has_ended = true;
        }
        self.tell(Told::Stopped { partition: record.partition, offset: record.offset, text });
    }

    /// Decodes `made`, what became of `record`, which is what is counted and named in rejects.
    fn load(&mut self, record: &Record<'_>, made: &Record<'_>, next: i64) {
        loop {
            // again with each schema that is learned: before that nobody knows what it takes
            if made.bytes() > self.tools.limits.bytes || self.tools.decoder.scratch(made) > SCRATCH_BYTES_MAX {
                return self.giant(record, made, next);
            }
            if !self.make_room(record.partition, next) {
                return;
            }
            match self.decode(record, made) {
                None => return self.flush_if_full(record.partition),
                Some((part, id)) if self.learn(record.partition, part, id) => {}
                Some(_) => return,
            }
        }
    }

    /// A record larger than a block has one of its own. Its rows lie in memory twice, decoded and encoded, so that both
    /// stand under the permit; what names millions of short rows may be many times the payload, and so may what decoding
    /// takes, which is needed for the look at the room, too. How much that is may only be known with its schema: until
    /// then it adds nothing.
    fn giant(&mut self, record: &Record<'_>, made: &Record<'_>, next: i64) {
        loop {
            self.flush(record.partition);
            let scratch = self.tools.decoder.scratch(made);
            let Some(looking) = self.permit(scratch) else { return };
            let room = self.tools.decoder.room(made);
            // given back before the next one is waited for: two workers that each hold one would wait for each other
            drop(looking);
            let decoded = scratch + room.bytes_held().saturating_sub(ROWS_BYTES_MAX);
            let Some(mut permit) = self.permit(decoded + text::bytes_wanted(room)) else { return };
            let decoded = permit.split_off(decoded);
            self.rows.reserve(room);
            self.open(record.partition, next, permit);
            let wanted = self.decode(record, made);
            drop(decoded);
            self.flush(record.partition);
            let Some((part, id)) = wanted else { return };
            if !self.learn(record.partition, part, id) {
                return;
            }
        }
    }

    /// Adds the record to the open block, or names the schema that this takes.
    fn decode(&mut self, record: &Record<'_>, made: &Record<'_>) -> Option<(Part, u32)> {
        let decoded = self.tools.decoder.decode(made, &mut self.rows);
        let wanted = decoded.as_ref().err().and_then(Reason::wanted_schema);
        if wanted.is_none() {
            self.add(record, decoded);
        }
        self.rows.clear();
        self.rows.shrink_to(ROWS_BYTES_MAX);
        wanted
    }

    /// Brings the decoder a schema, or the word that there is none. A registry in trouble stops the partition for as
    /// long as that lasts, and costs no record; one that refuses us costs none either, and ends the load. `false`: the
    /// attempt is over.
    fn learn(&mut self, partition: i32, part: Part, id: u32) -> bool {
        loop {
            match self.ask(part, id) {
                None => return false,
                Some(Answer::Schema(schema)) => {
                    self.tools.decoder.learn(part, id, Ok(&schema));
                    return true;
                }
                Some(Answer::Never(why)) => {
                    self.tools.decoder.learn(part, id, Err(&why));
                    return true;
                }
                Some(Answer::Refused(why)) => {
                    self.flush_all();
                    let reason = format!("schema {id} of the {part} is wanted: {why}");
                    self.tell(Told::Failed { partition, reason });
                    self.gone = true;
                    return false;
                }
                Some(Answer::Later(why)) => {
                    let text = format!("schema {id} of the {part} is wanted: {why}");
                    self.tell(Told::Trouble { partition, of: "registry", text });
                }
            }
            let again = Instant::now() + ASK_AGAIN;
            while !self.is_over() && Instant::now() < again {
                std::thread::park_timeout(WAIT);
            }
        }
    }

    /// What a registry says; `None` when the attempt is over. Blocks that are open are sent if it takes its time.
    fn ask(&mut self, part: Part, id: u32) -> Option<Answer> {
        let asked = self.tools.registries.ask(part, id);
        while !self.is_over() {
            let answer = asked.wait(WAIT);
            if !matches!(answer, Some(Answer::Schema(_) | Answer::Never(_))) {
                self.flush_all();
            }
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    fn add(&mut self, record: &Record<'_>, decoded: Result<(), Reason>) {
        let Some(filling) = self.lanes.get_mut(&record.partition) else { return };
        let Some(block) = filling.block.as_mut() else { return };
        match decoded {
            Ok(()) if self.tools.sends_payloads => block.push_whole(record, &self.rows),
            Ok(()) => match &self.wanted {
                None => {
                    block.push(record, &self.rows);
                    filling.copy(record, self.tools.copying.as_ref().filter(|copying| copying.doubts.has(&self.rows)));
                }
                Some(wanted) => match wanted.of(&self.rows) {
                    Ok(rows) => block.push(record, &rows),
                    Err(reason) => block.reject(record, reason),
                },
            },
            Err(reason) => {
                block.reject(record, reason.to_string());
                filling.copy(record, self.tools.copying.as_ref());
            }
        }
        self.count(record);
    }

    fn count(&mut self, record: &Record<'_>) {
        if let Some(filling) = self.lanes.get_mut(&record.partition) {
            filling.lane.next = record.offset + 1;
        }
        self.tools.metrics.records_read.inc();
        self.tools.metrics.source_bytes.inc_by(record.bytes() as u64);
    }

    fn flush_if_full(&mut self, partition: i32) {
        let Some(block) = self.lanes.get(&partition).and_then(|filling| filling.block.as_ref()) else { return };
        let is_long = self.tools.limits.rows_max > 0 && u64::from(block.rows()) >= self.tools.limits.rows_max;
        if is_long || block.is_full() {
            self.flush(partition);
        }
    }

    /// Sees to an open block. `false`: the attempt is over.
    fn make_room(&mut self, partition: i32, next: i64) -> bool {
        if self.lanes.get(&partition).is_some_and(|filling| filling.block.is_some()) {
            return true;
        }
        let Some(permit) = self.permit(self.tools.limits.bytes) else { return false };
        self.open(partition, next, permit);
        true
    }

    fn open(&mut self, partition: i32, next: i64, permit: Permit) {
        fail_point!("mid-decode");
        if let Some(filling) = self.lanes.get_mut(&partition) {
            filling.block = Some(BlockBuilder::new(partition, next, self.tools.generation, permit));
            filling.begun = Instant::now();
        }
    }

    /// Waits for memory. Half-full blocks of other partitions are sent first: their permits can only return that way.
    fn permit(&mut self, bytes: usize) -> Option<Permit> {
        if let Some(permit) = self.tools.budget.try_acquire(bytes) {
            return Some(permit);
        }
        self.flush_all();
        let begun = Instant::now();
        let place = self.tools.budget.stand_in_line();
        let mut permit = None;
        while permit.is_none() && !self.is_over() {
            permit = place.wait(bytes, WAIT);
        }
        self.waited.memory += begun.elapsed();
        permit
    }

    /// Everything before `offset` is read.
    pub fn end(&mut self, partition: i32, offset: i64) {
        let Some(filling) = self.lanes.get(&partition) else { return };
        if filling.has_ended {
            return;
        }
        let next = filling.lane.next;
        let reaches = filling.lane.until.is_some_and(|until| offset >= until);
        let to = filling.lane.until.map_or(offset, |until| offset.min(until));
        if to > next && !self.read_past(partition, next, to) {
            return;
        }
        self.flush(partition);
        if reaches {
            if let Some(filling) = self.lanes.get_mut(&partition) {
                filling.has_ended = true;
            }
            self.tell(Told::End { partition });
        }
    }

    /// Holes behind the last record: the position moves without one.
    fn read_past(&mut self, partition: i32, next: i64, to: i64) -> bool {
        if !self.make_room(partition, next) {
            return false;
        }
        if let Some(filling) = self.lanes.get_mut(&partition) {
            if let Some(block) = filling.block.as_mut() {
                block.read_past(to);
            }
            filling.lane.next = to;
        }
        true
    }

    /// Tells all that is in hand.
    pub fn flush_all(&mut self) {
        self.flush_where(|_| true);
    }

    /// Tells the blocks that were begun so long ago.
    pub fn flush_older_than(&mut self, age: Duration) {
        let now = Instant::now();
        self.flush_where(|filling| now - filling.begun >= age);
    }

    fn flush_where(&mut self, is_due: impl Fn(&Filling) -> bool) {
        let due =
            |(&partition, filling): (&i32, &Filling)| (filling.block.is_some() && is_due(filling)).then_some(partition);
        let due: Vec<i32> = self.lanes.iter().filter_map(due).collect();
        due.into_iter().for_each(|partition| self.flush(partition));
    }

    /// Tells what is in hand of a partition.
    pub fn flush(&mut self, partition: i32) {
        let Some(filling) = self.lanes.get_mut(&partition) else { return };
        let mut copies = std::mem::take(&mut filling.copies);
        if let Some(block) = filling.block.take().and_then(BlockBuilder::seal) {
            copies.seal();
            self.tell(Told::Block(RowBlock { copies, ..block }));
        }
    }

    /// Waits for room in the channel.
    pub fn tell(&mut self, told: Told) {
        if self.is_over() {
            return;
        }
        match self.tools.out.try_send(told) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => self.gone = true,
            Err(TrySendError::Full(told)) => {
                let begun = Instant::now();
                self.wait_and_tell(told);
                self.waited.room += begun.elapsed();
            }
        }
    }

    fn wait_and_tell(&mut self, mut told: Told) {
        while !self.is_over() {
            match self.tools.out.send_deadline(told, Instant::now() + WAIT) {
                Ok(()) => return,
                Err(SendTimeoutError::Timeout(back)) => told = back,
                Err(SendTimeoutError::Disconnected(_)) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

mod parts;
#[cfg(test)]
pub(super) mod tests;

pub use parts::{BlockLimits, Lane, SomeRows, Told, Tools, Waited};
