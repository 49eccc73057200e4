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

/// Where an attempt began to read, and which topic that was: for a partition without history all that says where to go
/// on.
#[derive(Debug, Default)]
pub struct Begun {
    pub starts: Checkpoint,
    pub topic_id: Option<String>,
}

/// What is known when the decision is made.
#[derive(Debug)]
pub struct Known<'a> {
    pub topic: &'a str,
    pub topic_id: Option<&'a str>,
    pub chain: &'a Chain,
    /// What an earlier attempt of this run began with, for partitions that have no history yet.
    pub begun: &'a Begun,
    pub watermarks: &'a BTreeMap<i32, Watermarks>,
    pub fallback: Option<FallbackOffset>,
}

/// Which topic this is: what the brokers say, or else what the ledger says of the job's partitions. So a broker that
/// does not tell switches nothing off: the first commit asks again, and the ledger keeps what it knew.
///
/// Where the ledger names several, [`resume`] refuses those that are not the one chosen here.
pub fn topic_id(told: Option<&str>, chain: &Chain, partitions: &[i32]) -> Option<String> {
    let stored = || partitions.iter().filter_map(|&partition| chain.get(partition)?.topic_id.as_deref()).next();
    told.or_else(stored).map(str::to_owned)
}

/// Goes on where the ledger ends. A partition without history is read from its beginning.
///
/// # Errors
/// Records expired and nothing says what to do then; the topic is shorter than the ledger; it is another topic.
pub fn resume(known: &Known<'_>) -> Result<Positions, Error> {
    let mut positions = Positions::default();
    for (&partition, marks) in known.watermarks {
        let next = match (known.chain.get(partition), known.begun.starts.get(partition)) {
            (Some(entry), _) => {
                known.same_topic(entry.topic_id.as_deref())?;
                entry.next
            }
            (None, Some(begun)) => {
                known.same_topic(known.begun.topic_id.as_deref())?;
                begun
            }
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

/// Goes on where somebody else says; where they say nothing, where the ledger ends. The ledger is reset to what differs.
///
/// # Errors
/// As [`resume`].
pub fn follow(known: &Known<'_>, told: &BTreeMap<i32, i64>) -> Result<Positions, Error> {
    let mut positions = resume(&Known { watermarks: &without(known.watermarks, told), ..*known })?;
    for (&partition, &next) in told {
        let Some(marks) = known.watermarks.get(&partition) else { continue };
        let entry = known.chain.get(partition);
        known.same_topic(entry.and_then(|entry| entry.topic_id.as_deref()))?;
        if next > marks.high {
            return Err(Error::Truncated { topic: known.topic.to_owned(), partition, wanted: next, high: marks.high });
        }
        let start = if next < marks.low { known.after_expiry(partition, next, *marks)? } else { next };
        if let Some(entry) = entry.filter(|entry| entry.next != start) {
            positions.jumps.push(Move::bare(partition, Kind::Reset, entry.next, start));
        }
        positions.starts.set(partition, start);
    }
    Ok(positions)
}

fn without(all: &BTreeMap<i32, Watermarks>, told: &BTreeMap<i32, i64>) -> BTreeMap<i32, Watermarks> {
    all.iter().filter(|(partition, _)| !told.contains_key(partition)).map(|(&one, &marks)| (one, marks)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greenplum::Entry;

    fn entry(next: i64, topic_id: Option<&str>) -> Entry {
        Entry {
            seq: 1,
            kind: Kind::Load,
            first: 0,
            next,
            topic_id: topic_id.map(str::to_owned),
            leader_epoch: None,
            instance: "earlier".to_owned(),
            batch: 1,
        }
    }

    fn resumed(chain: &Chain, topic_id: Option<&str>) -> Result<Positions, Error> {
        let watermarks = [0, 1, 2].map(|partition| (partition, Watermarks { low: 0, high: 100 })).into();
        resume(&Known {
            topic: "orders",
            topic_id,
            chain,
            begun: &Begun::default(),
            watermarks: &watermarks,
            fallback: None,
        })
    }

    #[test]
    fn an_id_that_nobody_tells_is_the_ledgers() {
        let chain = Chain::from_iter([(0, entry(5, None)), (1, entry(6, Some("old"))), (7, entry(8, Some("other")))]);
        assert_eq!(topic_id(Some("told"), &chain, &[0, 1]).as_deref(), Some("told"));
        assert_eq!(topic_id(None, &chain, &[0, 1]).as_deref(), Some("old"));
        // of partitions that another load has
        assert_eq!(topic_id(None, &chain, &[0]), None);
        assert_eq!(topic_id(None, &Chain::default(), &[0, 1]), None);
        assert_eq!(resumed(&chain, Some("old")).unwrap().starts.iter().collect::<Vec<_>>(), [(0, 5), (1, 6), (2, 0)]);
    }

    #[test]
    fn two_ids_in_the_ledger_are_two_topics_whatever_the_brokers_say() {
        let chain = Chain::from_iter([(0, entry(5, Some("new"))), (1, entry(6, Some("old")))]);
        let id = topic_id(None, &chain, &[0, 1]);
        assert!(matches!(resumed(&chain, id.as_deref()), Err(Error::Recreated { .. })));
    }

    /// Between two attempts of a run, before anything was committed.
    #[test]
    fn a_topic_made_anew_is_not_read_from_the_middle() {
        let begun = Begun { starts: [(0, 5)].into_iter().collect(), topic_id: Some("old".to_owned()) };
        let watermarks = [(0, Watermarks { low: 0, high: 10 })].into();
        let chain = Chain::default();
        let known = |topic_id| Known {
            topic: "orders",
            topic_id: Some(topic_id),
            chain: &chain,
            begun: &begun,
            watermarks: &watermarks,
            fallback: None,
        };
        assert!(matches!(resume(&known("new")).unwrap_err(), Error::Recreated { .. }));
        assert_eq!(resume(&known("old")).unwrap().starts.get(0), Some(5));
    }
}
