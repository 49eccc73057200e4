//! A worker: its own record queue → transform → decode → encode → sealed blocks. It knows nothing of batches.
//!
//! A partition stays with one worker, so its blocks come out in offset order. Every block under construction stands
//! under a permit of the budget; a worker that gets none leaves its queue unread, and Kafka waits.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::schemas::{ASK_AGAIN, Answer, Registries};
use super::threads::Stop;
use crate::block::RowBlock;
use crate::budget::{Budget, Permit};
use crate::decode::{Decoder, Part, Reason};
use crate::encode::{BlockBuilder, text};
use crate::kafka::{Item, RecordQueue};
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::record::Record;
use crate::row::Rows;
use crate::transform::{Transform, Verdict};

/// How long a worker waits for records, for a permit or for room in its channel before it looks at the wish to end.
const WAIT: Duration = Duration::from_millis(50);

/// A pause in the flow of records this long sends what is there: half-full blocks are for a topic that is quiet.
const QUIET: Duration = Duration::from_millis(10);

/// Records taken from librdkafka at once: enough that the call costs nothing beside them.
const RECORDS_PER_POLL: usize = 1000;

/// Memory for the rows of one record that a worker keeps for the next; what a giant took more goes back.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// What a decoder may take for itself beside the budget; a record that takes more is treated as a giant.
const SCRATCH_BYTES_MAX: usize = 16 << 20;

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
    /// A partition stands still; whoever is in trouble, or waits for it, goes on trying.
    Trouble {
        partition: i32,
        /// Who is, for the head of a line.
        of: &'static str,
        text: String,
    },
    /// The transformer stops the job at a record.
    Stopped {
        partition: i32,
        offset: i64,
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
    pub transform: Option<Transform>,
    pub decoder: Box<dyn Decoder>,
    /// Payloads are sent as they are, not as rows.
    pub sends_payloads: bool,
    pub registries: Registries,
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
        let Self {
            mut queue,
            transform,
            decoder,
            sends_payloads,
            registries,
            lanes,
            limits,
            generation,
            budget,
            metrics,
            out,
            stop,
        } = self;
        let lanes = lanes.into_iter().map(|(partition, lane)| (partition, Filling::new(lane))).collect();
        let rows = Rows::default();
        let mut hand = Hand {
            transform,
            decoder,
            sends_payloads,
            registries,
            rows,
            lanes,
            limits,
            generation,
            budget,
            metrics,
            out,
            stop,
            gone: false,
        };
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
    transform: Option<Transform>,
    decoder: Box<dyn Decoder>,
    sends_payloads: bool,
    registries: Registries,
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
                self.tell(Told::Trouble { partition, of: "kafka", text: text.to_owned() });
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
        let Some(transform) = &mut self.transform else { return self.load(record, record, next) };
        match transform.apply(record) {
            Ok(Verdict::Unchanged) => self.load(record, record, next),
            Ok(Verdict::Changed(output)) => {
                self.load(record, &Record { payload: Some(&output), ..*record }, next);
                self.transform.as_mut().expect("it was there").give_back(output);
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
                Some(reason) => block.reject(record, format!("transformer  {reason}")),
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
            if made.bytes() > self.limits.bytes || self.decoder.scratch(made) > SCRATCH_BYTES_MAX {
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
            let scratch = self.decoder.scratch(made);
            let Some(looking) = self.permit(scratch) else { return };
            let room = self.decoder.room(made);
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
        let decoded = self.decoder.decode(made, &mut self.rows);
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
                    self.decoder.learn(part, id, Ok(&schema));
                    return true;
                }
                Some(Answer::Never(why)) => {
                    self.decoder.learn(part, id, Err(&why));
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
        let asked = self.registries.ask(part, id);
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
            Ok(()) if self.sends_payloads => block.push_whole(record, &self.rows),
            Ok(()) => block.push(record, &self.rows),
            Err(reason) => block.reject(record, reason.to_string()),
        }
        self.count(record);
    }

    fn count(&mut self, record: &Record<'_>) {
        if let Some(filling) = self.lanes.get_mut(&record.partition) {
            filling.lane.next = record.offset + 1;
        }
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
    use crate::registry;
    use crate::row::Room;
    use crate::schema::Schema;

    fn hand() -> (Hand, Receiver<Told>) {
        let (out, told) = bounded(8);
        let columns = vec![decode::Column::document("j")];
        let hand = Hand {
            transform: None,
            decoder: decode::decoder(&decode::Settings::of_value(decode::Format::Json, columns)),
            sends_payloads: false,
            registries: Registries::default(),
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
            [
                r#"Trouble { partition: 0, of: "kafka", text: "no leader" }"#,
                r#"Failed { partition: 0, reason: "no right" }"#
            ]
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
        /// What it says that it takes.
        scratch: usize,
    }

    impl Decoder for Looking {
        fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
            self.seen.store(self.budget.used(), Ordering::Relaxed);
            self.decoder.decode(record, rows)
        }

        fn room(&self, record: &Record<'_>) -> Room {
            self.decoder.room(record)
        }

        fn scratch(&self, _record: &Record<'_>) -> usize {
            self.scratch
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
        hand.decoder = Box::new(Looking { decoder, budget: hand.budget.clone(), seen: Arc::clone(&seen), scratch: 0 });
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

    /// However small the record is.
    #[test]
    fn what_decoding_takes_stands_under_a_permit_and_goes_back() {
        for (scratch, blocks) in [(SCRATCH_BYTES_MAX, 0), (SCRATCH_BYTES_MAX + 1, 1)] {
            let (mut hand, told) = hand();
            let seen = Arc::new(AtomicUsize::new(0));
            let columns = vec![decode::Column::document("j")];
            let decoder = decode::decoder(&decode::Settings::of_value(decode::Format::Json, columns));
            hand.decoder = Box::new(Looking { decoder, budget: hand.budget.clone(), seen: Arc::clone(&seen), scratch });
            hand.take(record(5, b"{}"));
            assert_eq!(seen.load(Ordering::Relaxed) > scratch, blocks == 1, "{seen:?}");
            assert_eq!(told.try_iter().count(), blocks);
            assert!(hand.budget.used() <= 4096, "{}", hand.budget.used());
        }
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

    /// Takes records whose first byte is the schema that they want, and makes them a row `id:payload` of it.
    #[derive(Default)]
    struct ByFirstByte(BTreeMap<u32, Result<String, String>>);

    impl Decoder for ByFirstByte {
        fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
            let payload = record.payload.unwrap_or_default();
            let id = u32::from(payload[0]);
            let reason = |cause| Reason { part: Part::Value, format: "fake", cause };
            match self.0.get(&id) {
                None => Err(reason(decode::Cause::SchemaWanted { id })),
                Some(Err(text)) => Err(reason(decode::Cause::Schema { id, text: text.as_str().into() })),
                Some(Ok(schema)) => {
                    rows.extend(schema.as_bytes());
                    rows.end_field();
                    rows.end_row();
                    Ok(())
                }
            }
        }

        fn room(&self, record: &Record<'_>) -> Room {
            let is_known = self.0.contains_key(&u32::from(record.payload.unwrap_or_default()[0]));
            if is_known { Room { bytes: 100, fields: 1, rows: 1 } } else { Room::default() }
        }

        fn learn(&mut self, part: Part, id: u32, schema: Result<&Schema, &str>) {
            assert_eq!(part, Part::Value);
            self.0.insert(id, schema.map(|schema| schema.text.clone()).map_err(str::to_owned));
        }
    }

    fn schema(text: &str) -> Result<Arc<Schema>, registry::Error> {
        Ok(Arc::new(Schema::alone(crate::schema::SchemaKind::Avro, text)))
    }

    /// What came out: rows of blocks, reasons of rejects, troubles.
    fn shown(told: &Receiver<Told>) -> Vec<String> {
        let show = |told| match told {
            Told::Block(block) => {
                let rejects: Vec<_> = block.rejects.iter().map(|reject| reject.reason.clone()).collect();
                format!("{} {:?} {rejects:?}", block.index.span, String::from_utf8_lossy(&block.bytes))
            }
            Told::Trouble { of, text, .. } => format!("{of}: {text}"),
            told => panic!("{told:?}"),
        };
        told.try_iter().map(show).collect()
    }

    #[test]
    fn a_schema_that_a_record_wants_is_asked_for() {
        let (mut hand, told) = hand();
        hand.decoder = Box::new(ByFirstByte::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        hand.registries = Registries::of_values(move |id| {
            count.fetch_add(1, Ordering::Relaxed);
            match id {
                1 => schema("one"),
                2 => Err(registry::Error::NotFound { url: "http://r".to_owned(), what: "schema 2".to_owned() }),
                _ => schema("large"),
            }
        });
        let large = [[3].as_slice(), &[0; 5000]].concat();
        let payloads: [&[u8]; 6] = [&[1], &[2], &[1], &large, &[2], &[1]];
        for (offset, payload) in (5..).zip(payloads) {
            hand.take(record(offset, payload));
        }
        hand.flush_all();
        let gone = "fake  schema 2: schema registry http://r has no schema 2";
        assert_eq!(
            shown(&told),
            [
                format!(r#"[5, 8) "one\none\n" ["{gone}"]"#),
                r#"[8, 9) "large\n" []"#.to_owned(),
                format!(r#"[9, 11) "one\n" ["{gone}"]"#),
            ]
        );
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn without_a_registry_a_record_that_wants_one_is_rejected() {
        let (mut hand, told) = hand();
        hand.decoder = Box::new(ByFirstByte::default());
        hand.take(record(5, &[1]));
        hand.flush_all();
        assert_eq!(shown(&told), [r#"[5, 6) "" ["fake  schema 1: no schema registry is configured for the value"]"#]);
    }

    /// What was read before goes out meanwhile, and nothing is lost.
    #[test]
    fn a_registry_in_trouble_stops_the_partition_until_it_has_passed() {
        let (mut hand, told) = hand();
        hand.decoder = Box::new(ByFirstByte::default());
        let tries = AtomicUsize::new(0);
        hand.registries = Registries::of_values(move |id| match (id, tries.fetch_add(1, Ordering::Relaxed)) {
            (2, 1) => Err(registry::Error::Unreachable { cause: "down".to_owned() }),
            _ => schema("s"),
        });
        hand.take(record(5, &[1]));
        hand.take(record(6, &[2]));
        hand.flush_all();
        assert_eq!(
            shown(&told),
            [r#"[5, 6) "s\n" []"#, "registry: schema 2 of the value is wanted: down", r#"[6, 7) "s\n" []"#]
        );
    }

    /// It would refuse us for every record; none of them is at fault.
    #[test]
    fn a_registry_that_refuses_us_ends_the_load() {
        let (mut hand, told) = hand();
        hand.decoder = Box::new(ByFirstByte::default());
        hand.registries = Registries::of_values(move |id| match id {
            1 => schema("s"),
            _ => Err(registry::Error::Setting { cause: "no".to_owned() }),
        });
        for offset in 5..8 {
            hand.take(record(offset, if offset == 6 { &[2] } else { &[1] }));
        }
        let block = told.try_recv().unwrap();
        assert!(matches!(&block, Told::Block(block) if block.index.span.next() == 6 && block.rejects.is_empty()));
        let failed = told.try_recv().unwrap();
        let reason = "schema 2 of the value is wanted: schema registry: no";
        assert!(matches!(&failed, Told::Failed { partition: 0, reason: said } if said == reason), "{failed:?}");
        assert!(hand.is_over() && told.try_recv().is_err());
    }

    /// However long the registry takes: for the answer, or for getting well.
    #[test]
    fn the_end_of_the_attempt_is_not_kept_waiting_by_a_registry() {
        let (mut hand, told) = hand();
        hand.decoder = Box::new(ByFirstByte::default());
        let stop = hand.stop.clone();
        let (_kept, never) = bounded::<()>(0);
        hand.registries = Registries::of_values(move |_| {
            stop.ask();
            never.recv().unwrap();
            schema("s")
        });
        hand.take(record(5, &[1]));
        assert!(hand.is_over());
        let (mut hand, stop) = (hand, Stop::default());
        hand.stop = stop.clone();
        hand.registries = Registries::of_values(move |_| {
            stop.ask();
            Err(registry::Error::Unreachable { cause: "down".to_owned() })
        });
        hand.take(record(5, &[1]));
        hand.flush_all();
        assert_eq!(shown(&told), [""; 0]);
    }
}
