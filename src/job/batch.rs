//! What commits together: the blocks of a batch, its sums, and when it is full. Pure; the state machine calls it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::block::{BlockIndex, Reject, RowBlock, Run};
use crate::copies::Copies;
use crate::offset::{CheckpointDelta, Discontinuity, Span};

/// When a batch is full. A limit of zero is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows that trigger a commit (`COMMIT.MAX_ROW`); blocks are never split, so a batch may hold some more.
    pub rows_max: u64,
    /// Encoded bytes that trigger a commit, so that a transaction cannot grow for ever.
    pub bytes_max: u64,
    /// Age of the first row that triggers a commit (`COMMIT.MINIMAL_INTERVAL`).
    pub age_max: Duration,
    /// Silence that triggers a commit (`COMMIT.IDLE_DURATION`).
    pub idle_max: Duration,
}

/// How many rejects a batch survives (`ERROR_LIMIT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectLimit {
    /// So many pass; one more fails the batch.
    Rows(u64),
    /// So many percent of the batch's rows pass.
    Percent(u8),
}

impl fmt::Display for RejectLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl RejectLimit {
    /// What to do where a share lets not even one of so many rows be bad.
    pub fn advice(self, rows: u64) -> &'static str {
        match self {
            Self::Percent(1..) if self.is_exceeded(1, rows) => {
                ", which of so few is none; a number of records suits small batches"
            }
            _ => "",
        }
    }

    /// Whether `rejected` of `rows` are too many, now that the batch is complete.
    pub fn is_exceeded(self, rejected: u64, rows: u64) -> bool {
        match self {
            Self::Rows(limit) => rejected > limit,
            Self::Percent(percent) => u128::from(rejected) * 100 > u128::from(rows) * u128::from(percent),
        }
    }
}

/// Memory for the names of a batch's rows, which stay until its commit and stand under no permit. Records without holes
/// between them take next to nothing; where each is a transaction of its own, this ends a batch after 500,000.
const INDEX_BYTES_MAX: usize = 8 << 20;

/// Memory for rejects that are kept until the commit, where they are to become dead letters: some 50,000 of them.
const REJECT_BYTES_MAX: usize = 8 << 20;

/// How many rejects of a batch are named in the log; the rest is counted.
pub const REJECTS_NAMED_MAX: usize = 20;

/// The sums of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    /// Offsets that hold none.
    pub holes: u64,
    /// Records that became rows.
    pub decoded: u64,
    /// Rows that left for segments.
    pub rows: u64,
    /// Key and payload bytes of the records.
    pub source_bytes: u64,
    /// Encoded bytes.
    pub bytes: u64,
    /// Records that a transformer dropped.
    pub dropped: u64,
    /// Records that became none: the decoder refused them, or a transformer.
    pub refused: u64,
}

impl Counts {
    fn add(&mut self, block: &RowBlock) {
        self.records += u64::from(block.records);
        self.holes += block.holes;
        self.decoded += u64::from(block.decoded);
        self.rows += u64::from(block.index.rows);
        self.source_bytes += block.source_bytes;
        self.bytes += block.bytes.len() as u64;
        self.dropped += u64::from(block.dropped);
        self.refused += block.rejects.len() as u64;
    }
}

/// One batch, from its first block to its commit.
#[derive(Debug)]
pub struct Batch {
    pub number: u64,
    pub started: Instant,
    pub last_block: Instant,
    pub delta: CheckpointDelta,
    pub counts: Counts,
    /// The first rejects, to be named in the log; all of them, with the payloads of the first alone, where they are kept.
    pub rejects: Vec<Reject>,
    keeps_rejects: bool,
    reject_bytes: usize,
    /// Records of its blocks, where they are kept.
    pub copies: Vec<(i32, Span, Copies)>,
    /// The sums again, parted.
    pub by_partition: BTreeMap<i32, Counts>,
    /// Of the record before each partition's end; absent where that is a hole.
    pub leader_epochs: BTreeMap<i32, i32>,
    /// Names the record of every row that was sent.
    pub sent: Vec<BlockIndex>,
    /// Blocks that wait for the session to open.
    pub unsent: Vec<RowBlock>,
    /// What `sent` will take when all is sent.
    index_bytes: usize,
    pub is_sealed: bool,
}

impl Batch {
    /// A batch without blocks, which keeps all rejects if it is to.
    pub fn new(number: u64, now: Instant, keeps_rejects: bool) -> Self {
        Self {
            number,
            started: now,
            last_block: now,
            delta: CheckpointDelta::default(),
            counts: Counts::default(),
            rejects: Vec::new(),
            keeps_rejects,
            reject_bytes: 0,
            copies: Vec::new(),
            by_partition: BTreeMap::new(),
            leader_epochs: BTreeMap::new(),
            sent: Vec::new(),
            unsent: Vec::new(),
            index_bytes: 0,
            is_sealed: false,
        }
    }

    /// Counts a block in and keeps it until the session takes it.
    ///
    /// # Errors
    /// The block does not begin where its partition's last one ended; the batch must fail.
    pub fn absorb(&mut self, mut block: RowBlock, now: Instant) -> Result<(), Discontinuity> {
        debug_assert!(!self.is_sealed, "a sealed batch takes no block");
        let partition = block.index.partition;
        self.delta.extend(partition, block.index.span)?;
        self.last_block = now;
        self.counts.add(&block);
        self.by_partition.entry(partition).or_default().add(&block);
        self.keep(std::mem::take(&mut block.rejects));
        if !block.copies.is_empty() {
            self.copies.push((partition, block.index.span, std::mem::take(&mut block.copies)));
        }
        match block.leader_epoch {
            Some(epoch) => self.leader_epochs.insert(partition, epoch),
            None => self.leader_epochs.remove(&partition),
        };
        if block.index.rows > 0 {
            self.index_bytes += size_of::<BlockIndex>() + block.index.runs.len() * size_of::<Run>();
            self.unsent.push(block);
        }
        Ok(())
    }

    fn keep(&mut self, rejects: Vec<Reject>) {
        for reject in rejects {
            match self.rejects.len() < REJECTS_NAMED_MAX {
                true => self.rejects.push(reject),
                false if self.keeps_rejects => self.rejects.push(reject.without_payload()),
                false => return,
            }
            self.reject_bytes += self.rejects.last().map_or(0, Reject::bytes_held);
        }
    }

    /// Whether one of the limits is reached.
    pub fn is_full(&self, limits: &Limits, now: Instant) -> bool {
        let reached = |limit: u64, value: u64| limit > 0 && value >= limit;
        let elapsed = |limit: Duration, since: Instant| !limit.is_zero() && now.duration_since(since) >= limit;
        reached(limits.rows_max, self.counts.rows)
            || reached(limits.bytes_max, self.counts.bytes)
            || self.index_bytes >= INDEX_BYTES_MAX
            || self.reject_bytes >= REJECT_BYTES_MAX
            || elapsed(limits.age_max, self.started)
            || elapsed(limits.idle_max, self.last_block)
    }

    /// When time alone will make it full.
    pub fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let at = |limit: Duration, since: Instant| (!limit.is_zero()).then(|| since + limit);
        [at(limits.age_max, self.started), at(limits.idle_max, self.last_block)].into_iter().flatten().min()
    }

    /// The offset behind row `line` (from 1) of the sent block that begins at `first`.
    pub fn offset_of(&self, partition: i32, first: i64, line: u32) -> Option<i64> {
        let block = self.sent.iter().find(|block| block.partition == partition && block.span.first() == first)?;
        block.offset_of(line.checked_sub(1)?)
    }

    /// The sent blocks by the names under which the database knows them.
    pub fn blocks(&self) -> BTreeMap<(i32, i64), &BlockIndex> {
        self.sent.iter().map(|block| ((block.partition, block.span.first()), block)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Generation;

    #[test]
    fn limits_of_rows_let_n_pass_and_no_more() {
        assert!(!RejectLimit::Rows(0).is_exceeded(0, 10));
        assert!(RejectLimit::Rows(0).is_exceeded(1, 10));
        assert!(!RejectLimit::Rows(3).is_exceeded(3, 10));
        assert!(RejectLimit::Rows(3).is_exceeded(4, 10));
    }

    #[test]
    fn limits_of_percent_are_of_the_batch() {
        assert!(!RejectLimit::Percent(10).is_exceeded(1, 10));
        assert!(RejectLimit::Percent(10).is_exceeded(2, 10));
        assert!(!RejectLimit::Percent(5).is_exceeded(0, 0));
        let has_advice = |limit: RejectLimit, rows| !limit.advice(rows).is_empty();
        assert!(has_advice(RejectLimit::Percent(10), 9) && !has_advice(RejectLimit::Percent(10), 10));
        assert!(!has_advice(RejectLimit::Percent(0), 9) && !has_advice(RejectLimit::Rows(0), 9));
    }

    #[test]
    fn zero_is_no_limit() {
        let now = Instant::now();
        let limits = Limits { rows_max: 0, bytes_max: 0, age_max: Duration::from_secs(5), idle_max: Duration::ZERO };
        let batch = Batch::new(1, now, false);
        assert!(!batch.is_full(&limits, now + Duration::from_secs(4)));
        assert!(batch.is_full(&limits, now + Duration::from_secs(5)));
        assert_eq!(batch.deadline(&limits), Some(now + Duration::from_secs(5)));
    }

    fn block(first: i64, next: i64, leader_epoch: Option<i32>, runs: Vec<Run>) -> RowBlock {
        let rows = u32::try_from(runs.len()).unwrap();
        RowBlock {
            index: BlockIndex { partition: 0, span: Span::new(first, next).unwrap(), rows, runs },
            generation: Generation(1),
            leader_epoch,
            bytes: Default::default(),
            source_bytes: 0,
            records: rows,
            decoded: rows,
            dropped: 0,
            holes: 0,
            rejects: Vec::new(),
            copies: Copies::default(),
        }
    }

    /// A marker behind the last record may have been written under a newer leader than the record.
    #[test]
    fn the_leader_epoch_is_that_of_the_record_before_the_end_or_none() {
        let now = Instant::now();
        let mut batch = Batch::new(1, now, false);
        batch.absorb(block(0, 5, Some(3), Vec::new()), now).unwrap();
        assert_eq!(batch.leader_epochs.get(&0), Some(&3));
        batch.absorb(block(5, 6, None, Vec::new()), now).unwrap();
        assert_eq!(batch.leader_epochs.get(&0), None);
        batch.absorb(block(6, 8, Some(4), Vec::new()), now).unwrap();
        assert_eq!(batch.leader_epochs.get(&0), Some(&4));
    }

    #[test]
    fn rejects_that_are_kept_end_a_batch_in_time() {
        let now = Instant::now();
        let limits = Limits { rows_max: 0, bytes_max: 0, age_max: Duration::from_secs(5), idle_max: Duration::ZERO };
        let rejects = |first: i64| {
            let reject = |offset| Reject { partition: 0, offset, reason: "bad".into(), payload: vec![b'x'; 200] };
            let block = block(first, first + 1000, None, Vec::new());
            RowBlock { rejects: (first..first + 1000).map(reject).collect(), ..block }
        };
        let (mut named, mut kept) = (Batch::new(1, now, false), Batch::new(1, now, true));
        let mut blocks = 0;
        while !kept.is_full(&limits, now) {
            named.absorb(rejects(blocks * 1000), now).unwrap();
            kept.absorb(rejects(blocks * 1000), now).unwrap();
            blocks += 1;
            assert!(blocks < 1000, "the batch grows for ever");
        }
        assert!(!named.is_full(&limits, now) && blocks > 10, "{blocks}");
        assert_eq!((named.rejects.len(), kept.rejects.len() as u64), (REJECTS_NAMED_MAX, kept.counts.refused));
        assert_eq!(kept.rejects.iter().filter(|reject| !reject.payload.is_empty()).count(), REJECTS_NAMED_MAX);
    }

    #[test]
    fn names_of_rows_are_bounded() {
        let now = Instant::now();
        let limits = Limits { rows_max: 0, bytes_max: 0, age_max: Duration::from_secs(5), idle_max: Duration::ZERO };
        let mut batch = Batch::new(1, now, false);
        let mut blocks = 0;
        while !batch.is_full(&limits, now) {
            let runs = (0..1000).map(|row| Run { row, record_rows: 1, offset: blocks * 2000 + i64::from(row) * 2 });
            batch.absorb(block(blocks * 2000, (blocks + 1) * 2000, None, runs.collect()), now).unwrap();
            blocks += 1;
            assert!(blocks < 1000, "the batch grows for ever");
        }
        assert!(blocks > 100, "{blocks}");
    }
}
