//! Sealed blocks: whole encoded rows of one partition, the unit that travels from a worker to a segment.

use bytes::Bytes;

use crate::budget::Permit;
use crate::copies::Copies;
use crate::offset::{Generation, Span};
use crate::record::Record;

/// A record that could not become a row. A value, not an error: it costs one row, never the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub partition: i32,
    pub offset: i64,
    /// Lower case, names the column where there is one.
    pub reason: String,
    /// The payload, cut to [`Reject::PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

impl Reject {
    /// Enough to recognise a record in a log line, too little to flood it.
    pub const PAYLOAD_BYTES_MAX: usize = 200;

    /// The reject of a record.
    pub fn new(record: &Record<'_>, reason: impl Into<String>) -> Self {
        let payload = record.payload.unwrap_or_default();
        let cut = payload.len().min(Self::PAYLOAD_BYTES_MAX);
        Self {
            partition: record.partition,
            offset: record.offset,
            reason: reason.into(),
            payload: payload[..cut].to_vec(),
        }
    }

    /// Forgets the payload: somebody else names it.
    pub fn without_payload(self) -> Self {
        Self { payload: Vec::new(), ..self }
    }

    /// Bytes of memory it takes.
    pub fn bytes_held(&self) -> usize {
        size_of::<Self>() + self.reason.capacity() + self.payload.capacity()
    }
}

/// From `row` of a block on, each `record_rows` rows carry `offset`, `offset + 1`, … until the next run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Index of the row inside its block, from 0.
    pub row: u32,
    /// How many rows each record of the run became: 1, but for formats with many rows in a record. Never 0.
    pub record_rows: u32,
    pub offset: i64,
}

impl Run {
    /// The offset that this run gives to a row of its block.
    pub fn offset_of(&self, row: u32) -> i64 {
        self.offset + i64::from((row - self.row) / self.record_rows)
    }
}

/// What stays of a block when its bytes are gone: enough to name the record of any of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockIndex {
    pub partition: i32,
    /// What the block reads past; `first` also names it towards the database.
    pub span: Span,
    pub rows: u32,
    /// Ascending by row; the first starts at row 0 where there are rows.
    pub runs: Vec<Run>,
}

impl BlockIndex {
    /// The offset of the record that became row `row`, from 0.
    pub fn offset_of(&self, row: u32) -> Option<i64> {
        self.place_of(row).map(|(offset, _)| offset)
    }

    /// How many rows the record at an offset became; `None` where it is not in this block.
    pub fn rows_of(&self, offset: i64) -> Option<u32> {
        let run = self.runs[..self.runs.partition_point(|run| run.offset <= offset)].last()?;
        let next = self.runs.get(self.runs.partition_point(|run| run.offset <= offset));
        let records = (next.map_or(self.rows, |next| next.row) - run.row) / run.record_rows;
        (offset - run.offset < i64::from(records)).then_some(run.record_rows)
    }

    /// The offset of the record that became row `row`, and which of that record's rows it is; both from 0.
    pub fn place_of(&self, row: u32) -> Option<(i64, u32)> {
        if row >= self.rows {
            return None;
        }
        let run = self.runs[..self.runs.partition_point(|run| run.row <= row)].last()?;
        Some((run.offset_of(row), (row - run.row) % run.record_rows))
    }
}

/// Whole rows of one partition, one span and one generation, in Greenplum's TEXT form. Immutable once sealed.
///
/// It may hold no row at all: records that were all rejected, or holes that were read past.
#[derive(Debug)]
pub struct RowBlock {
    pub index: BlockIndex,
    pub generation: Generation,
    /// Epoch of the leader that wrote offset `next - 1`, where that is known: a record is there and the broker tells.
    /// With `next` it is a place that a log can be asked about; with any other offset it would be one that never was.
    pub leader_epoch: Option<i32>,
    /// The encoded rows, each ended by LF; or whole messages as they are, where the database takes them apart. Their memory permit is inside: it returns when the last clone is dropped.
    pub bytes: Bytes,
    /// Bytes of the records' keys and payloads as Kafka gave them.
    pub source_bytes: u64,
    /// How many records were read: those that became rows, those that were dropped, and the rejects.
    pub records: u32,
    /// Of them, those that became rows, each any number of them.
    pub decoded: u32,
    /// Of them, those that a transformer dropped.
    pub dropped: u32,
    /// Offsets of the span that hold no record.
    pub holes: u64,
    pub rejects: Vec<Reject>,
    /// The records themselves, where they are kept and as far as there was memory for them.
    pub copies: Copies,
}

/// Joins encoded rows with the permit that their memory stands under.
pub fn under_permit(rows: Vec<u8>, permit: Permit) -> Bytes {
    struct Owned {
        rows: Vec<u8>,
        _permit: Permit,
    }
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.rows
        }
    }
    Bytes::from_owner(Owned { rows, _permit: permit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn rows_are_named_across_holes() {
        let index = BlockIndex {
            partition: 2,
            span: Span::new(10, 40).unwrap(),
            rows: 7,
            runs: vec![Run { row: 0, record_rows: 1, offset: 11 }, Run { row: 3, record_rows: 2, offset: 30 }],
        };
        let offsets: Vec<_> = (0..8).map_while(|row| index.offset_of(row)).collect();
        assert_eq!(offsets, [11, 12, 13, 30, 30, 31, 31]);
        let made: Vec<_> = [10, 11, 13, 14, 30, 31, 32].map(|offset| index.rows_of(offset).unwrap_or(0)).into();
        assert_eq!(made, [0, 1, 1, 0, 2, 2, 0]);
        let rows: Vec<_> = (0..8).map_while(|row| index.place_of(row)).map(|(_, row)| row).collect();
        assert_eq!(rows, [0, 0, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn a_reject_keeps_the_beginning_of_its_payload() {
        let payload = [b'x'; 300];
        let record = Record::new(1, 7, Some(&payload));
        let reject = Reject::new(&record, "why");
        assert_eq!((reject.partition, reject.offset, reject.payload.len()), (1, 7, 200));
        assert!(reject.bytes_held() > 203);
    }

    #[test]
    fn a_permit_returns_with_the_last_clone() {
        let budget = Budget::new(100);
        let bytes = under_permit(b"row\n".to_vec(), budget.try_acquire(60).unwrap());
        let clone = bytes.clone();
        drop(bytes);
        assert_eq!(budget.used(), 60);
        drop(clone);
        assert_eq!(budget.used(), 0);
    }
}
