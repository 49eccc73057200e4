//! Sealed blocks: whole encoded rows of one partition, the unit that travels from a worker to a segment.

use bytes::Bytes;

use crate::budget::Permit;
use crate::offset::{Generation, Span};

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
}

/// From `row` of a block on, rows carry `offset`, `offset + 1`, … until the next run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Index of the row inside its block, from 0.
    pub row: u32,
    pub offset: i64,
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
        if row >= self.rows {
            return None;
        }
        let run = self.runs[..self.runs.partition_point(|run| run.row <= row)].last()?;
        Some(run.offset + i64::from(row - run.row))
    }
}

/// Whole rows of one partition, one span and one generation, in Greenplum's TEXT form. Immutable once sealed.
///
/// It may hold no row at all: records that were all rejected, or holes that were read past.
#[derive(Debug)]
pub struct RowBlock {
    pub index: BlockIndex,
    pub generation: Generation,
    /// Epoch of the last record's leader, where the broker tells.
    pub leader_epoch: Option<i32>,
    /// The encoded rows, each ended by LF. Their memory permit is inside: it returns when the last clone is dropped.
    pub bytes: Bytes,
    /// Bytes of the records' keys and payloads as Kafka gave them.
    pub source_bytes: u64,
    /// How many records were read, rejected ones too.
    pub records: u32,
    pub rejects: Vec<Reject>,
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
            rows: 5,
            runs: vec![Run { row: 0, offset: 11 }, Run { row: 3, offset: 30 }],
        };
        let offsets: Vec<_> = (0..6).map(|row| index.offset_of(row)).collect();
        assert_eq!(offsets, [Some(11), Some(12), Some(13), Some(30), Some(31), None]);
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
