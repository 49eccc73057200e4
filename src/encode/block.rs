//! Builds one block: rows of one partition with the offsets that they came from, what was rejected and what was read
//! past. Leaves to its caller when a block is full enough, and which records belong to the partition and generation.

use crate::block::{BlockIndex, Reject, RowBlock, Run, under_permit};
use crate::budget::Permit;
use crate::copies::Copies;
use crate::offset::{Generation, Span};
use crate::record::Record;
use crate::row::Rows;

use super::text;

/// The longest line that Greenplum and PostgreSQL read, LF included: their line buffer ends one byte and a NUL below
/// 1 GiB (`MaxAllocSize`).
const LINE_BYTES_MAX: usize = (1 << 30) - 2;

/// A block is full when less than this part of its room is left: growing copies it, and takes twice the room.
const ROOM_LEFT: usize = 16;

/// One block in the making.
#[derive(Debug)]
pub struct BlockBuilder {
    partition: i32,
    generation: Generation,
    first: i64,
    next: i64,
    leader_epoch: Option<i32>,
    permit: Permit,
    /// What the permit stood for at first.
    bytes_wanted: usize,
    line_bytes_max: usize,
    bytes: Vec<u8>,
    rows: u32,
    runs: Vec<Run>,
    records: u32,
    decoded: u32,
    dropped: u32,
    holes: u64,
    source_bytes: u64,
    rejects: Vec<Reject>,
    reject_bytes: usize,
}

impl BlockBuilder {
    /// A block that begins to read at offset `first`, for as many bytes as the permit stands for.
    ///
    /// # Panics
    /// Where `first` is negative: no span could name what would be read.
    pub fn new(partition: i32, first: i64, generation: Generation, permit: Permit) -> Self {
        assert!(first >= 0, "partition {partition} cannot be read from offset {first}");
        Self {
            partition,
            generation,
            first,
            next: first,
            leader_epoch: None,
            bytes: Vec::with_capacity(permit.bytes()),
            bytes_wanted: permit.bytes(),
            permit,
            line_bytes_max: LINE_BYTES_MAX,
            rows: 0,
            runs: Vec::new(),
            records: 0,
            decoded: 0,
            dropped: 0,
            holes: 0,
            source_bytes: 0,
            rejects: Vec::new(),
            reject_bytes: 0,
        }
    }

    /// Adds a record's rows: all of them, or the record as rejected where one is too long for the database.
    ///
    /// Records come in the order of their offsets; what is missing between them counts as read past. A row is never
    /// refused for want of room: the block grows, and its permit with it.
    pub fn push(&mut self, record: &Record<'_>, rows: &Rows) {
        let before = self.bytes.len();
        for row in rows.iter() {
            let begin = self.bytes.len();
            text::encode(row, &mut self.bytes);
            let length = self.bytes.len() - begin;
            if length > self.line_bytes_max {
                self.bytes.truncate(before);
                self.reject(record, format!("row of {length} bytes is larger than the database's 1 GiB line"));
                return;
            }
        }
        self.name(record.offset, rows.len());
        self.decoded += 1;
        self.count(record);
    }

    /// Adds a record's bytes as they are, without a line end: a message that the database's own formatter takes apart.
    /// It is counted as one row, though nobody here knows how many it is.
    pub fn push_whole(&mut self, record: &Record<'_>, rows: &Rows) {
        for row in rows.iter() {
            self.bytes.extend_from_slice(row.joined());
        }
        self.name(record.offset, rows.len());
        self.decoded += 1;
        self.count(record);
    }

    /// Adds a record that has no row.
    pub fn reject(&mut self, record: &Record<'_>, reason: impl Into<String>) {
        let reject = Reject::new(record, reason);
        self.reject_bytes += reject.bytes_held();
        self.rejects.push(reject);
        self.count(record);
    }

    /// Adds a record that is to have no row, and is no reject.
    pub fn drop_record(&mut self, record: &Record<'_>) {
        self.dropped += 1;
        self.count(record);
    }

    /// Says that there is no record before offset `next` that is still to come. Nobody tells under which leader the hole
    /// came to be, be it a transaction's marker or what compaction left.
    pub fn read_past(&mut self, next: i64) {
        if next > self.next {
            self.holes += next.abs_diff(self.next);
            self.next = next;
            self.leader_epoch = None;
        }
    }

    /// The partition that it reads.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset that it reads next.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Rows so far.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether nothing was read past.
    pub fn is_empty(&self) -> bool {
        self.next == self.first
    }

    /// Bytes in use: rows, and what is kept of rejects.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len() + self.reject_bytes + self.runs.len() * size_of::<Run>()
    }

    /// Whether it is time to seal: what is left of the permit's room is so little that another record may make the
    /// block grow.
    pub fn is_full(&self) -> bool {
        self.bytes_len() >= self.bytes_wanted - self.bytes_wanted / ROOM_LEFT
    }

    /// The finished block, its permit cut to what it takes, without copies; `None` where nothing was read past.
    pub fn seal(mut self) -> Option<RowBlock> {
        if self.is_empty() {
            return None;
        }
        let span = Span::new(self.first, self.next).expect("a block begins at an offset and only moves on");
        self.bytes.shrink_to_fit();
        self.settle();
        Some(RowBlock {
            index: BlockIndex { partition: self.partition, span, rows: self.rows, runs: self.runs },
            generation: self.generation,
            leader_epoch: self.leader_epoch,
            bytes: under_permit(self.bytes, self.permit),
            source_bytes: self.source_bytes,
            records: self.records,
            decoded: self.decoded,
            dropped: self.dropped,
            holes: self.holes,
            rejects: self.rejects,
            copies: Copies::default(),
        })
    }

    /// Notes that the next rows are of the record at `offset`.
    fn name(&mut self, offset: i64, rows: usize) {
        let record_rows = u32::try_from(rows).expect("a record has at most 2^31 bytes, and a row at least one");
        if record_rows == 0 {
            return;
        }
        let goes_on = |run: &Run| run.record_rows == record_rows && run.offset_of(self.rows) == offset;
        if !self.runs.last().is_some_and(goes_on) {
            self.runs.push(Run { row: self.rows, record_rows, offset });
        }
        self.rows += record_rows;
    }

    fn count(&mut self, record: &Record<'_>) {
        debug_assert!(record.partition == self.partition && record.offset >= self.next, "records come in order");
        self.holes += record.offset.abs_diff(self.next);
        self.next = record.offset + 1;
        self.leader_epoch = record.leader_epoch;
        self.records += 1;
        self.source_bytes += record.bytes() as u64;
        if self.bytes.capacity() > self.permit.bytes() {
            self.settle();
        }
    }

    /// Sets the permit to what the block takes.
    fn settle(&mut self) {
        self.permit.resize(self.bytes.capacity() + self.reject_bytes + self.runs.capacity() * size_of::<Run>());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::budget::Budget;

    fn builder(budget: &Budget, room: usize) -> BlockBuilder {
        BlockBuilder::new(3, 10, Generation(1), budget.try_acquire(room).unwrap())
    }

    fn record(offset: i64) -> Record<'static> {
        Record { key: Some(b"key"), ..Record::new(3, offset, Some(b"payload")) }
    }

    #[test]
    fn whole_payloads_stand_side_by_side() {
        let budget = Budget::new(1 << 20);
        let mut builder = builder(&budget, 4096);
        for (offset, payload) in [(10, &b"a\tb\n"[..]), (11, b"\\c")] {
            let mut rows = Rows::default();
            rows.field(payload);
            rows.end_row();
            builder.push_whole(&record(offset), &rows);
        }
        let block = builder.seal().unwrap();
        assert_eq!(&block.bytes[..], b"a\tb\n\\c");
        assert_eq!((block.index.rows, block.index.offset_of(1)), (2, Some(11)));
    }

    #[test]
    fn what_is_dropped_is_read_and_counted() {
        let budget = Budget::new(1 << 20);
        let mut builder = builder(&budget, 4096);
        builder.drop_record(&record(10));
        builder.drop_record(&record(14));
        let block = builder.seal().unwrap();
        assert_eq!((block.dropped, block.records, block.decoded, block.index.rows, block.holes), (2, 2, 0, 0, 3));
        assert_eq!(block.index.span, Span::new(10, 15).unwrap());
    }

    fn rows(fields: &[&str]) -> Rows {
        let mut rows = Rows::default();
        for field in fields {
            rows.field(field.as_bytes());
            rows.end_row();
        }
        rows
    }

    #[test]
    fn a_block_reads_past_rows_rejects_and_holes() {
        let budget = Budget::new(10_000);
        let mut block = builder(&budget, 1000);
        assert!(block.is_empty());
        block.push(&record(12), &rows(&["a"]));
        block.push(&Record { leader_epoch: Some(7), ..record(13) }, &rows(&["b"]));
        block.reject(&record(15), "why");
        block.push(&record(16), &rows(&["c", "d"]));
        block.push(&Record { leader_epoch: Some(8), ..record(17) }, &rows(&[]));
        block.read_past(18);
        assert_eq!(block.leader_epoch, Some(8));
        block.read_past(20);
        block.read_past(19);
        assert_eq!((block.partition(), block.next(), block.rows(), block.is_empty()), (3, 20, 4, false));
        let block = block.seal().unwrap();
        assert_eq!(block.index.span, Span::new(10, 20).unwrap());
        assert_eq!(block.bytes, "a\nb\nc\nd\n");
        let offsets: Vec<_> = (0..5).map_while(|row| block.index.offset_of(row)).collect();
        assert_eq!(offsets, [12, 13, 16, 16]);
        assert_eq!((block.records, block.source_bytes, block.leader_epoch), (5, 50, None));
        assert_eq!((block.decoded, block.dropped, block.holes), (4, 0, 5));
        assert_eq!((block.rejects.len(), block.rejects[0].offset, &*block.rejects[0].reason), (1, 15, "why"));
    }

    #[test]
    fn nothing_read_is_no_block_and_a_hole_is_one() {
        let budget = Budget::new(10_000);
        assert!(builder(&budget, 1000).seal().is_none());
        assert_eq!(budget.used(), 0);
        let mut hole = builder(&budget, 1000);
        hole.read_past(11);
        let hole = hole.seal().unwrap();
        assert_eq!((hole.index.rows, hole.records, hole.bytes.len(), budget.used()), (0, 0, 0, 0));
    }

    #[test]
    #[should_panic(expected = "partition 3 cannot be read from offset -1")]
    fn a_block_that_begins_nowhere_is_not_made() {
        BlockBuilder::new(3, -1, Generation(1), Budget::new(10).try_acquire(1).unwrap());
    }

    #[test]
    fn the_permit_is_cut_to_the_block_and_grows_with_a_giant() {
        let budget = Budget::new(10_000);
        let mut small = builder(&budget, 1000);
        small.push(&record(10), &rows(&["abc"]));
        let small = small.seal().unwrap();
        assert!(budget.used() < 200, "{}", budget.used());
        drop(small);
        let mut giant = builder(&budget, 1000);
        giant.push(&record(10), &rows(&[&"x".repeat(5000)]));
        assert!(giant.is_full());
        assert!(budget.used() >= 5001);
        let giant = giant.seal().unwrap();
        assert_eq!(giant.bytes.len(), 5001);
        assert!((5001..6000).contains(&budget.used()));
    }

    #[test]
    fn rejects_alone_fill_a_block() {
        let budget = Budget::new(10_000);
        let mut block = builder(&budget, 1000);
        let mut offset = 10;
        while !block.is_full() {
            block.reject(&record(offset), "why");
            offset += 1;
        }
        assert!((5..30).contains(&block.seal().unwrap().rejects.len()));
    }

    #[test]
    fn a_record_with_a_row_too_long_is_rejected_whole() {
        let budget = Budget::new(10_000);
        let mut block = builder(&budget, 1000);
        block.line_bytes_max = 8;
        block.push(&record(10), &rows(&["1234567"]));
        block.push(&record(11), &rows(&["short", "12345678"]));
        block.push(&record(12), &rows(&["next"]));
        let block = block.seal().unwrap();
        assert_eq!(block.bytes, "1234567\nnext\n");
        assert_eq!((block.index.offset_of(1), block.records), (Some(12), 3));
        assert_eq!(block.rejects[0].reason, "row of 9 bytes is larger than the database's 1 GiB line");
    }

    proptest! {
        #[test]
        fn every_row_is_named_by_its_record(
            records in prop::collection::vec((0..3i64, prop_oneof![5 => Just(1usize), 1 => Just(0), 2 => 2..5usize], 0..8u8), 0..60),
            behind in 0..3i64,
        ) {
            let budget = Budget::new(1 << 20);
            let mut block = builder(&budget, 1 << 16);
            let mut named = Vec::new();
            for (hole, count, chance) in records {
                let offset = block.next() + hole;
                if chance == 0 {
                    block.reject(&record(offset), "why");
                } else {
                    block.push(&record(offset), &rows(&vec!["x"; count]));
                    named.extend(std::iter::repeat_n(offset, count));
                }
            }
            let next = block.next() + behind;
            block.read_past(next);
            let Some(block) = block.seal() else {
                prop_assert_eq!(next, 10);
                return Ok(());
            };
            prop_assert_eq!(block.index.span.next(), next);
            let refused = u32::try_from(block.rejects.len()).unwrap();
            prop_assert_eq!(block.records, block.decoded + refused + block.dropped);
            prop_assert_eq!(next - 10, i64::from(block.records) + block.holes.cast_signed());
            let offsets: Vec<_> = (0..=block.index.rows).map_while(|row| block.index.offset_of(row)).collect();
            prop_assert_eq!(offsets, named);
        }
    }
}
