//! Where each partition goes on: what the ledger says, held against what the topic still has. Pure.

use std::collections::BTreeMap;

use super::failure::Error;
use crate::greenplum::{Chain, Kind, Move};
use crate::kafka::Watermarks;
use crate::offset::Checkpoint;

/// Where to go on when the next offset has expired (`FALLBACK_OFFSET`).
pub use crate::config::FallbackOffset;

/// `--force-reset-…`: forget the stored offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    /// Milliseconds since 1970.
    Timestamp(i64),
}

/// Where reading begins, and what is to be written down before it does.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Positions {
    pub starts: Checkpoint,
    /// Chain rows that jump, to be committed by themselves before anything is read.
    pub jumps: Vec<Move>,
}

/// What is known when the decision is made.
#[derive(Debug)]
pub struct Known<'a> {
    pub topic: &'a str,
    pub topic_id: Option<&'a str>,
    pub chain: &'a Chain,
    /// Where an earlier attempt of this run began, for partitions that have no history yet.
    pub begun: &'a Checkpoint,
    pub watermarks: &'a BTreeMap<i32, Watermarks>,
    pub fallback: Option<FallbackOffset>,
}

/// Goes on where the ledger ends. A partition without history is read from its beginning.
///
/// # Errors
/// Records expired and nothing says what to do then; the topic is shorter than the ledger; it is another topic.
pub fn resume(known: &Known<'_>) -> Result<Positions, Error> {
    let mut positions = Positions::default();
    for (&partition, marks) in known.watermarks {
        let next = match (known.chain.get(partition), known.begun.get(partition)) {
            (Some(entry), _) => {
                known.same_topic(entry.topic_id.as_deref())?;
                entry.next
            }
            (None, Some(begun)) => begun,
            (None, None) => marks.low,
        };
        if next > marks.high {
            return Err(Error::Truncated { topic: known.topic.to_owned(), partition, wanted: next, high: marks.high });
        }
        let start = if next < marks.low { known.after_expiry(partition, next, *marks)? } else { next };
        if start != next {
            positions.jumps.push(Move::bare(partition, Kind::Skip, next, start));
        }
        positions.starts.set(partition, start);
    }
    Ok(positions)
}

/// Goes on at `to`, whatever the ledger says.
pub fn reset(known: &Known<'_>, to: &BTreeMap<i32, i64>) -> Positions {
    let mut positions = Positions::default();
    for (&partition, &next) in to {
        let first = known.chain.get(partition).map_or(next, |entry| entry.next);
        positions.jumps.push(Move::bare(partition, Kind::Reset, first, next));
        positions.starts.set(partition, next);
    }
    positions
}

impl Known<'_> {
    fn same_topic(&self, stored: Option<&str>) -> Result<(), Error> {
        match (stored, self.topic_id) {
            (Some(stored), Some(found)) if stored != found => Err(Error::Recreated {
                topic: self.topic.to_owned(),
                stored: stored.to_owned(),
                found: found.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn after_expiry(&self, partition: i32, wanted: i64, marks: Watermarks) -> Result<i64, Error> {
        match self.fallback {
            Some(FallbackOffset::Earliest) => Ok(marks.low),
            Some(FallbackOffset::Latest) => Ok(marks.high),
            None => Err(Error::Expired {
                topic: self.topic.to_owned(),
                partition,
                count: marks.low - wanted,
                wanted,
                low: marks.low,
            }),
        }
    }
}
