//! What a batch writes into the ledger: one row a partition that moved.

use std::collections::BTreeMap;

use super::batch::Batch;
use super::state::Outcome;
use crate::greenplum::{Commit, Kind, Move, Saved, SegmentRejects};

/// The rows that the database refused, by partition: those that segments could not read, and those kept aside.
pub fn refused(by_segments: &SegmentRejects, saved: Option<&Saved>) -> BTreeMap<i32, u64> {
    let mut refused = by_segments.counts.clone();
    for (&partition, rows) in saved.iter().flat_map(|saved| &saved.by_partition) {
        *refused.entry(partition).or_default() += rows;
    }
    refused
}

/// The ledger rows of a batch. `refused` are the rows that the database refused, by partition.
///
/// A filter drops rows where nobody counts them by partition: `filtered` is then right as a sum over the batch, and
/// charged to its partitions in ascending order. What a transformer dropped is known by partition.
pub fn of(batch: &Batch, outcome: Outcome, refused: &BTreeMap<i32, u64>, topic_id: Option<&str>) -> Commit {
    let mut filtered = outcome.filtered - batch.counts.dropped.min(outcome.filtered);
    let moves = batch.delta.iter().map(|(partition, span)| {
        let counts = batch.by_partition.get(&partition).cloned().unwrap_or_default();
        let by_segments = refused.get(&partition).copied().unwrap_or(0).min(counts.rows);
        let dropped = filtered.min(counts.rows - by_segments);
        filtered -= dropped;
        Move {
            leader_epoch: batch.leader_epochs.get(&partition).copied(),
            inserted: signed(counts.rows - by_segments - dropped),
            rejected: signed(by_segments + counts.rejected),
            filtered: signed(dropped + counts.dropped),
            bytes: signed(counts.source_bytes),
            ..Move::bare(partition, Kind::Load, span.first(), span.next())
        }
    });
    Commit { batch: signed(batch.number), topic_id: topic_id.map(str::to_owned), moves: moves.collect() }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
