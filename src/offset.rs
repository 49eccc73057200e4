//! Offsets and what may be done with them: spans, checkpoints and the deltas that move them.
//!
//! An offset always means **the next record to read**. A [`Span`] is half-open, so the spans of one partition join
//! without any plus or minus one: `[0, 5)` then `[5, 9)`. Kafka offsets have holes (compaction, transaction markers),
//! so a span says what was read past, never how many records there were.

use std::collections::BTreeMap;
use std::fmt;

/// Number of an assignment or rewind inside one process. What carries an old one is dropped, never loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A non-empty half-open range `[first, next)` of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    first: i64,
    next: i64,
}

impl Span {
    /// `None` where the range would be empty or negative.
    pub fn new(first: i64, next: i64) -> Option<Self> {
        (0 <= first && first < next).then_some(Self { first, next })
    }

    /// The first offset inside.
    pub fn first(self) -> i64 {
        self.first
    }

    /// The first offset behind it: the next record to read.
    pub fn next(self) -> i64 {
        self.next
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.first, self.next)
    }
}

/// Two spans, or a position and a span, that do not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("partition {partition}: {} between offset {at} and {span}", if .at < &.span.first { "a gap" } else { "an overlap" })]
pub struct Discontinuity {
    pub partition: i32,
    /// The offset that was to come next.
    pub at: i64,
    /// The span that came.
    pub span: Span,
}

/// How far a set of spans moves a checkpoint: at most one span a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointDelta(BTreeMap<i32, Span>);

impl CheckpointDelta {
    /// Adds a span at the end of its partition's.
    ///
    /// # Errors
    /// The span does not begin where the partition's last one ended; the delta is unchanged.
    pub fn extend(&mut self, partition: i32, span: Span) -> Result<(), Discontinuity> {
        match self.0.get_mut(&partition) {
            Some(have) if have.next != span.first => Err(Discontinuity { partition, at: have.next, span }),
            Some(have) => {
                have.next = span.next;
                Ok(())
            }
            None => {
                self.0.insert(partition, span);
                Ok(())
            }
        }
    }

    /// Partitions that move, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Span)> + '_ {
        self.0.iter().map(|(&partition, &span)| (partition, span))
    }

    /// The span of one partition.
    pub fn span(&self, partition: i32) -> Option<Span> {
        self.0.get(&partition).copied()
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Partition → offset of the next record to read.
///
/// | checkpoint | delta | result |
/// |---|---|---|
/// | `0: 5` | `0: [5, 9)` | `0: 9` |
/// | `0: 5` | `0: [6, 9)` | gap, unchanged |
/// | `0: 5` | `0: [4, 9)` | overlap, unchanged |
/// | nothing | `1: [3, 4)` | `1: 4` |
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint(BTreeMap<i32, i64>);

impl Checkpoint {
    /// The offset of a partition, if it has one.
    pub fn get(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition).copied()
    }

    /// Sets a partition's offset, whatever it was: for ledger reads, resets and new partitions.
    pub fn set(&mut self, partition: i32, next: i64) {
        self.0.insert(partition, next);
    }

    /// All partitions, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.0.iter().map(|(&partition, &next)| (partition, next))
    }

    /// Whether it knows no partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies all spans of a delta, or none.
    ///
    /// # Errors
    /// A span that does not begin at its partition's offset; the checkpoint is unchanged.
    pub fn advance(&mut self, delta: &CheckpointDelta) -> Result<(), Discontinuity> {
        for (partition, span) in delta.iter() {
            match self.get(partition) {
                Some(at) if at != span.first => return Err(Discontinuity { partition, at, span }),
                _ => {}
            }
        }
        for (partition, span) in delta.iter() {
            self.set(partition, span.next);
        }
        Ok(())
    }
}

impl FromIterator<(i32, i64)> for Checkpoint {
    fn from_iter<I: IntoIterator<Item = (i32, i64)>>(positions: I) -> Self {
        Self(positions.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: i64, next: i64) -> Span {
        Span::new(first, next).unwrap()
    }

    #[test]
    fn a_span_is_never_empty() {
        assert_eq!(Span::new(5, 5), None);
        assert_eq!(Span::new(-1, 5), None);
        assert_eq!(Span::new(6, 5), None);
    }

    #[test]
    fn a_delta_joins_spans_and_refuses_gaps() {
        let mut delta = CheckpointDelta::default();
        delta.extend(0, span(0, 5)).unwrap();
        delta.extend(0, span(5, 9)).unwrap();
        assert_eq!(delta.span(0), Some(span(0, 9)));
        let gap = delta.extend(0, span(10, 11)).unwrap_err();
        assert_eq!(gap.to_string(), "partition 0: a gap between offset 9 and [10, 11)");
        assert_eq!(delta.span(0), Some(span(0, 9)));
    }

    #[test]
    fn a_checkpoint_takes_all_of_a_delta_or_nothing() {
        let mut at: Checkpoint = [(0, 5), (1, 7)].into_iter().collect();
        let mut delta = CheckpointDelta::default();
        delta.extend(0, span(5, 9)).unwrap();
        delta.extend(1, span(6, 9)).unwrap();
        let overlap = at.advance(&delta).unwrap_err();
        assert_eq!(overlap.to_string(), "partition 1: an overlap between offset 7 and [6, 9)");
        assert_eq!(at.get(0), Some(5));
    }

    #[test]
    fn an_unknown_partition_starts_where_its_first_span_does() {
        let mut at = Checkpoint::default();
        let mut delta = CheckpointDelta::default();
        delta.extend(3, span(40, 41)).unwrap();
        at.advance(&delta).unwrap();
        assert_eq!(at.get(3), Some(41));
    }
}
