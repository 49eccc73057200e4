//! A worker: its own record queue → decode → encode → sealed blocks. It knows nothing of batches.
//!
//! A partition stays with one worker, so its blocks come out in offset order. Every block under construction stands
//! under a permit of the budget; a worker that gets none leaves its queue unread, and Kafka waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::threads::Stop;
use crate::block::RowBlock;
use crate::budget::{Budget, Permit};
use crate::decode::{Decoder, Reason};
use crate::encode::{BlockBuilder, text};
use crate::kafka::{Item, RecordQueue};
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::record::Record;
use crate::row::Rows;

/// How long a worker waits for records, for a permit or for room in its channel before it looks at the wish to end.
const WAIT: Duration = Duration::from_millis(50);

/// A pause in the flow of records this long sends what is there: half-full blocks are for a topic that is quiet.
const QUIET: Duration = Duration::from_millis(10);

/// Records taken from librdkafka at once: enough that the call costs nothing beside them.
const RECORDS_PER_POLL: usize = 1000;

/// Memory for the rows of one record that a worker keeps for the next; what a giant took more goes back.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// What a worker tells the brain.
#[derive(Debug)]
pub enum Told {
    Block(RowBlock),
    /// A partition is read up to its end mark, see [`Lane::until`].
    End {
        partition: i32,
    },
    /// The broker no longer has, or not yet has, the offset that was asked for.
    OutOfRange {
        partition: i32,
    },
    /// The log was cut off below the offset that was asked for, and written anew.
    CutOff {
        partition: i32,
        offset: i64,
        reason: String,
    },
    /// A partition stands still; librdkafka goes on trying.
    Trouble {
        partition: i32,
        text: String,
    },
    /// Reading of a partition failed for good.
    Failed {
        partition: i32,
        reason: String,
    },
}

/// One partition of a worker.
#[derive(Debug)]
pub struct Lane {
    /// The next offset to read.
    pub next: i64,
    /// Stop before this offset, and say so once.
    pub until: Option<i64>,
}

/// Sizes of what a worker makes.
#[derive(Debug, Clone, Copy)]
pub struct BlockLimits {
    /// A block is sealed when its encoded rows have come to this.
    pub bytes: usize,
    /// A block has at most so many rows; 0 is no limit.
    pub rows_max: u64,
}

/// A worker's hands, moved into its thread.
pub struct Worker {
    pub queue: RecordQueue,
    pub decoder: Box<dyn Decoder>,
    pub lanes: BTreeMap<i32, Lane>,
    pub limits: BlockLimits,
    pub generation: Generation,
    pub budget: Budget,
    pub metrics: Metrics,
    pub out: Sender<Told>,
    pub stop: Stop,
}

impl Worker {
    /// Reads until told to stop, or until nobody listens.
    ///
    /// # Blocks
    /// For as long as the attempt lasts.
    pub fn run(self) {
        let Self { mut queue, decoder, lanes, limits, generation, budget, metrics, out, stop } = self;
        let lanes = lanes.into_iter().map(|(partition, lane)| (partition, Filling::new(lane))).collect();
        let mut hand =
            Hand { decoder, rows: Rows::default(), lanes, limits, generation, budget, metrics, out, stop, gone: false };
        while !hand.is_over() {
            let wait = if hand.has_open_blocks() { QUIET } else { WAIT };
            let taken = queue.poll(wait, RECORDS_PER_POLL, &mut |item| hand.take(item));
            if taken == 0 {
                hand.flush_all();
            }
        }
    }
}

/// A lane and the block that it is building.
struct Filling {
    lane: Lane,
    block: Option<BlockBuilder>,
    has_ended: bool,
}

impl Filling {
    fn new(lane: Lane) -> Self {
        Self { lane, block: None, has_ended: false }
    }
}

struct Hand {
    decoder: Box<dyn Decoder>,
    rows: Rows,
    lanes: BTreeMap<i32, Filling>,
    limits: BlockLimits,
    generation: Generation,
    budget: Budget,
    metrics: Metrics,
    out: Sender<Told>,
    stop: Stop,
    /// Nobody listens any more.
    gone: bool,
}

impl Hand {
    fn is_over(&self) -> bool {
        self.gone || self.stop.is_asked()
    }

    fn has_open_blocks(&self) -> bool {
        self.lanes.values().any(|filling| filling.block.is_some())
    }

    fn take(&mut self, item: Item<'_>) {
        if self.is_over() {
            return;
        }
        match item {
            Item::Record(record) => self.record(&record),
            Item::End { partition, offset } => self.end(partition, offset),
            Item::OutOfRange { partition, is_truncated: true, text, .. } => {
                // librdkafka does not always say where it was
                let offset = self.lanes.get(&partition).map_or(0, |filling| filling.lane.next);
                self.tell(Told::CutOff { partition, offset, reason: text.to_owned() });
            }
            Item::OutOfRange { partition, .. } => {
                self.flush(partition);
                self.tell(Told::OutOfRange { partition });
            }
            Item::Error { partition, text, is_passing: false } => {
                self.tell(Told::Failed { partition, reason: text.to_owned() });
            }
            Item::Error { partition, text, is_passing: true } => {
                self.tell(Told::Trouble { partition, text: text.to_owned() });
            }
            // an attempt assigns once, and its lanes know where they begin
            Item::Assigned { .. } | Item::Added { .. } => {}
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        let Some(filling) = self.lanes.get(&record.partition) else { return };
        let (next, until) = (filling.lane.next, filling.lane.until);
        if record.offset < next || filling.has_ended {
            return;
        }
        if until.is_some_and(|until| record.offset >= until) {
            return self.end(record.partition, record.offset);
        }
        if record.bytes() > self.limits.bytes {
            return self.giant(record, next);
        }
        if self.make_room(record.partition, next) {
            self.decode(record);
            self.flush_if_full(record.partition);
        }
    }

    /// A record larger than a block has one of its own. Its rows lie in memory twice, decoded and encoded, so that both
    /// stand under the permit; what names millions of short rows may be many times the payload.
    fn giant(&mut self, record: &Record<'_>, next: i64) {
        self.flush(record.partition);
        let room = self.decoder.room(record);
        let decoded = room.bytes_held().saturating_sub(ROWS_BYTES_MAX);
        let Some(mut permit) = self.permit(decoded + text::bytes_wanted(room)) else { return };
        let decoded = permit.split_off(decoded);
        self.rows.reserve(room);
        self.open(record.partition, next, permit);
        self.decode(record);
        drop(decoded);
        self.flush(record.partition);
    }

    fn decode(&mut self, record: &Record<'_>) {
        let decoded = self.decoder.decode(record, &mut self.rows);
        self.add(record, decoded);
        self.rows.clear();
        self.rows.shrink_to(ROWS_BYTES_MAX);
    }

    fn add(&mut self, record: &Record<'_>, decoded: Result<(), Reason>) {
        let Some(filling) = self.lanes.get_mut(&record.partition) else { return };
        let Some(block) = filling.block.as_mut() else { return };
        match decoded {
            Ok(()) => block.push(record, &self.rows),
            Err(reason) => block.reject(record, reason.to_string()),
        }
        filling.lane.next = record.offset + 1;
        self.metrics.records_read.inc();
        self.metrics.source_bytes.inc_by(record.bytes() as u64);
    }

    fn flush_if_full(&mut self, partition: i32) {
        let Some(block) = self.lanes.get(&partition).and_then(|filling| filling.block.as_ref()) else { return };
        let is_long = self.limits.rows_max > 0 && u64::from(block.rows()) >= self.limits.rows_max;
        if is_long || block.is_full() {
            self.flush(partition);
        }
    }

    /// Sees to an open block. `false`: the attempt is over.
    fn make_room(&mut self, partition: i32, next: i64) -> bool {
        if self.lanes.get(&partition).is_some_and(|filling| filling.block.is_some()) {
            return true;
        }
        let Some(permit) = self.permit(self.limits.bytes) else { return false };
        self.open(partition, next, permit);
        true
    }

    fn open(&mut self, partition: i32, next: i64, permit: Permit) {
        if let Some(filling) = self.lanes.get_mut(&partition) {
            filling.block = Some(BlockBuilder::new(partition, next, self.generation, permit));
        }
    }

    /// Waits for memory. Half-full blocks of other partitions are sent first: their permits can only return that way.
    fn permit(&mut self, bytes: usize) -> Option<Permit> {
        if let Some(permit) = self.budget.try_acquire(bytes) {
            return Some(permit);
        }
        self.flush_all();
        let place = self.budget.stand_in_line();
        while !self.is_over() {
            if let Some(permit) = place.wait(bytes, WAIT) {
                return Some(permit);
            }
        }
        None
    }

    /// Everything before `offset` is read.
    fn end(&mut self, partition: i32, offset: i64) {
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

    fn flush_all(&mut self) {
        let open: Vec<i32> =
            self.lanes.iter().filter(|(_, filling)| filling.block.is_some()).map(|(&partition, _)| partition).collect();
        open.into_iter().for_each(|partition| self.flush(partition));
    }

    fn flush(&mut self, partition: i32) {
        let block = self.lanes.get_mut(&partition).and_then(|filling| filling.block.take());
        if let Some(block) = block.and_then(BlockBuilder::seal) {
            self.tell(Told::Block(block));
        }
    }

    fn tell(&mut self, mut told: Told) {
        while !self.is_over() {
            match self.out.send_deadline(told, Instant::now() + WAIT) {
                Ok(()) => return,
                Err(crossbeam_channel::SendTimeoutError::Timeout(back)) => told = back,
                Err(crossbeam_channel::SendTimeoutError::Disconnected(_)) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crossbeam_channel::{Receiver, bounded};

    use super::*;
    use crate::decode;
    use crate::row::Room;
    use crate::schema::Schema;

    fn hand() -> (Hand, Receiver<Told>) {
        let (out, told) = bounded(8);
        let columns = vec![decode::Column::text("j")];
        let hand = Hand {
            decoder: decode::decoder(&decode::Settings::of_value(decode::Format::Json, columns)),
            rows: Rows::default(),
            lanes: [(0, Filling::new(Lane { next: 5, until: None }))].into(),
            limits: BlockLimits { bytes: 4096, rows_max: 0 },
            generation: Generation(1),
            budget: Budget::new(1 << 20),
            metrics: Metrics::default(),
            out,
            stop: Stop::default(),
            gone: false,
        };
        (hand, told)
    }

    #[test]
    fn a_partition_that_stands_still_is_told_whether_it_passes_or_not() {
        let (mut hand, told) = hand();
        hand.take(Item::Error { partition: 0, text: "no leader", is_passing: true });
        hand.take(Item::Error { partition: 0, text: "no right", is_passing: false });
        drop(hand);
        let told: Vec<_> = told.iter().map(|told| format!("{told:?}")).collect();
        assert_eq!(
            told,
            [r#"Trouble { partition: 0, text: "no leader" }"#, r#"Failed { partition: 0, reason: "no right" }"#]
        );
    }

    fn record(offset: i64, payload: &[u8]) -> Item<'_> {
        Item::Record(Record::new(0, offset, Some(payload)))
    }

    /// Notes what is out of a budget while it decodes.
    struct Looking {
        decoder: Box<dyn Decoder>,
        budget: Budget,
        seen: Arc<AtomicUsize>,
    }

    impl Decoder for Looking {
        fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
            self.seen.store(self.budget.used(), Ordering::Relaxed);
            self.decoder.decode(record, rows)
        }

        fn room(&self, record: &Record<'_>) -> Room {
            self.decoder.room(record)
        }

        fn learn(&mut self, part: decode::Part, id: u32, schema: Result<&Schema, &str>) {
            self.decoder.learn(part, id, schema);
        }
    }

    /// What names a row of one byte takes many times that byte.
    #[test]
    fn the_rows_of_a_large_record_stand_under_a_permit_and_go_back() {
        let (mut hand, told) = hand();
        let seen = Arc::new(AtomicUsize::new(0));
        let format = decode::Format::Jsonl { newline: "\n".to_owned() };
        let decoder = decode::decoder(&decode::Settings::of_value(format, Vec::new()));
        hand.decoder = Box::new(Looking { decoder, budget: hand.budget.clone(), seen: Arc::clone(&seen) });
        let lines = 500_000;
        hand.take(record(5, "1\n".repeat(lines).as_bytes()));
        let names = lines * (size_of::<(usize, bool)>() + size_of::<usize>());
        assert!(seen.load(Ordering::Relaxed) > names, "{seen:?} of {names}");
        let Told::Block(block) = told.try_recv().unwrap() else { panic!("no block") };
        assert_eq!((block.index.rows, block.bytes.len()), (500_000, 2 * lines));
        assert!((2 * lines..3 * lines).contains(&hand.budget.used()), "{}", hand.budget.used());
        assert!(hand.rows.held().bytes_held() <= ROWS_BYTES_MAX);
        drop(block);
        assert_eq!(hand.budget.used(), 0);
    }

    /// The permit of a giant is not kept for the few bytes that a rejected one leaves.
    #[test]
    fn a_large_record_is_sent_at_once_with_the_block_before_it() {
        let (mut hand, told) = hand();
        hand.take(record(5, b"1"));
        hand.take(record(6, &[0; 10_000]));
        hand.take(record(7, b"2"));
        let spans = told.try_iter().map(|told| match told {
            Told::Block(block) => (block.index.span.first(), block.rejects.len()),
            told => panic!("{told:?}"),
        });
        assert_eq!(spans.collect::<Vec<_>>(), [(5, 0), (6, 1)]);
        assert!(hand.budget.used() < 10_000);
    }
}
