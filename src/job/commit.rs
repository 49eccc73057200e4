//! What a batch writes into the ledger: one row a partition that moved, with its accounts. Each row's own sums are
//! checked where it is appended, see [`Account`]; here it is that all rows together are what the database did. Pure.

use std::collections::BTreeMap;

use super::batch::{Batch, Counts};
use super::state::Outcome;
use crate::greenplum::{Account, Commit, Kind, Move, Saved, SegmentRejects};

/// Why the accounts of a batch's partitions are not those of the batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uneven {
    #[error("partition {partition}: {made} rows were made, but {sent} sent")]
    Sent { partition: i32, made: u64, sent: u64 },
    #[error("the database rejected {rejected} rows, but names {named} of the batch's partitions")]
    Rejected { rejected: i64, named: i64 },
    #[error("partition {partition}: {rows} rows were sent, but {rejected} rejected")]
    TooManyRejected { partition: i32, rows: i64, rejected: i64 },
    #[error("{inserted} rows came through and a filter dropped {filtered}, but the partitions have {} and {}", of[0], of[1])]
    Sums { inserted: i64, filtered: i64, of: [i64; 2] },
}

/// The rows that the database refused, by partition: those that segments could not read, and those kept aside.
pub fn refused(by_segments: &SegmentRejects, saved: Option<&Saved>) -> BTreeMap<i32, u64> {
    let mut refused = by_segments.counts.clone();
    for (&partition, rows) in saved.iter().flat_map(|saved| &saved.by_partition) {
        *refused.entry(partition).or_default() += rows;
    }
    refused
}

/// The ledger rows of a batch. `rejected` are the rows that the database refused, by partition; `counts_rows` is
/// [`super::state::Wants::counts_rows`].
///
/// A filter drops rows where nobody counts them by partition: `filtered` is then right as a sum over the batch, and
/// charged to its partitions in ascending order, to none more than the rows that it has. What a transformer dropped is
/// known by partition. Where the database makes rows of messages, what came through is parted by messages.
///
/// # Errors
/// The rows together are not what the database says; the batch must fail.
pub fn of(
    batch: &Batch,
    outcome: Outcome,
    rejected: &BTreeMap<i32, u64>,
    counts_rows: bool,
    topic_id: Option<&str>,
) -> Result<Commit, Uneven> {
    require_sent(batch)?;
    let of_batch = Totals::new(batch, outcome);
    let mut filtered = of_batch.filtered;
    let mut messages = 0;
    let mut moves = Vec::new();
    for (partition, span) in batch.delta.iter() {
        let counts = batch.by_partition.get(&partition).cloned().unwrap_or_default();
        let by_database = signed(rejected.get(&partition).copied().unwrap_or(0));
        let account = match counts_rows {
            true => {
                let rows = signed(counts.rows);
                if by_database > rows {
                    return Err(Uneven::TooManyRejected { partition, rows, rejected: by_database });
                }
                let dropped = filtered.min(rows - by_database);
                filtered -= dropped;
                let inserted = rows - by_database - dropped;
                Account { rows: Some(rows), inserted, filtered: dropped, ..read(&counts) }
            }
            false => {
                let before = of_batch.share(messages);
                messages += counts.rows;
                Account { rows: None, inserted: of_batch.share(messages) - before, ..read(&counts) }
            }
        };
        let account = Account { rejected: by_database, ..account };
        let leader_epoch = batch.leader_epochs.get(&partition).copied();
        let bytes = signed(counts.source_bytes);
        let bare = Move::bare(partition, Kind::Load, span.first(), span.next());
        moves.push(Move { leader_epoch, account, bytes, ..bare });
    }
    of_batch.require(&moves)?;
    Ok(Commit { batch: signed(batch.number), topic_id: topic_id.map(str::to_owned), moves })
}

/// What a partition's records became before the database saw them.
fn read(counts: &Counts) -> Account {
    Account {
        records: signed(counts.records),
        holes: signed(counts.holes),
        decoded: signed(counts.decoded),
        refused: signed(counts.refused),
        dropped: signed(counts.dropped),
        ..Account::default()
    }
}

/// Every row that was made of a record is in a block that was sent.
fn require_sent(batch: &Batch) -> Result<(), Uneven> {
    let mut sent: BTreeMap<i32, u64> = BTreeMap::new();
    for block in &batch.sent {
        *sent.entry(block.partition).or_default() += u64::from(block.rows);
    }
    for (&partition, counts) in &batch.by_partition {
        let (made, sent) = (counts.rows, sent.get(&partition).copied().unwrap_or(0));
        if made != sent {
            return Err(Uneven::Sent { partition, made, sent });
        }
    }
    Ok(())
}

/// What became of all the batch's rows, as the database counts them.
struct Totals {
    messages: u64,
    inserted: i64,
    rejected: i64,
    filtered: i64,
}

impl Totals {
    fn new(batch: &Batch, outcome: Outcome) -> Self {
        Self {
            messages: batch.counts.rows,
            inserted: signed(outcome.inserted),
            rejected: signed(outcome.rejected) - signed(batch.counts.refused),
            filtered: signed(outcome.filtered) - signed(batch.counts.dropped),
        }
    }

    /// Of the rows that came through, those of so many messages.
    fn share(&self, messages: u64) -> i64 {
        let part = i128::from(self.inserted) * i128::from(messages) / i128::from(self.messages.max(1));
        i64::try_from(part).unwrap_or(i64::MAX)
    }

    fn require(&self, moves: &[Move]) -> Result<(), Uneven> {
        let sum = |of: fn(&Account) -> i64| moves.iter().map(|step| of(&step.account)).sum::<i64>();
        let named = sum(|account| account.rejected);
        if named != self.rejected {
            return Err(Uneven::Rejected { rejected: self.rejected, named });
        }
        let of = [sum(|account| account.inserted), sum(|account| account.filtered)];
        let (inserted, filtered) = (self.inserted, self.filtered);
        if of != [inserted, filtered] {
            return Err(Uneven::Sums { inserted, filtered, of });
        }
        Ok(())
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::block::{BlockIndex, Reject, RowBlock, Run};
    use crate::offset::{Generation, Span};

    /// A block of ten offsets: a hole, a record that was dropped, one that was refused, and seven with so many rows each.
    fn block(partition: i32, record_rows: u32) -> RowBlock {
        let rows = 7 * record_rows;
        let runs = vec![Run { row: 0, record_rows, offset: 3 }];
        RowBlock {
            index: BlockIndex { partition, span: Span::new(0, 10).unwrap(), rows, runs },
            generation: Generation(1),
            leader_epoch: None,
            bytes: Default::default(),
            source_bytes: 90,
            records: 9,
            decoded: 7,
            dropped: 1,
            holes: 1,
            rejects: vec![Reject { partition, offset: 2, reason: "bad".to_owned(), payload: Vec::new() }],
            copies: Default::default(),
        }
    }

    /// Two partitions with seven rows, and one with fourteen.
    fn batch() -> Batch {
        let (mut batch, now) = (Batch::new(4, Instant::now(), false), Instant::now());
        for (partition, record_rows) in [(0, 1), (1, 1), (5, 2)] {
            batch.absorb(block(partition, record_rows), now).unwrap();
        }
        batch.sent = batch.unsent.drain(..).map(|block| block.index).collect();
        batch
    }

    /// Inserted, rejected and filtered of each partition; or what is wrong.
    fn shown(batch: &Batch, outcome: [u64; 3], rejected: &[(i32, u64)], counts_rows: bool) -> String {
        let [inserted, by_database, by_filter] = outcome;
        // three records were refused, and three dropped
        let outcome = Outcome { inserted, rejected: by_database + 3, filtered: by_filter + 3 };
        match of(batch, outcome, &rejected.iter().copied().collect(), counts_rows, None) {
            Err(uneven) => uneven.to_string(),
            Ok(commit) => {
                for Move { kind, first, next, account, .. } in &commit.moves {
                    assert_eq!(account.check(*kind, *first, *next), Ok(()));
                    assert_eq!((account.records, account.holes, account.refused, account.dropped), (9, 1, 1, 1));
                }
                let shown = |step: &Move| {
                    let Account { inserted, rejected, filtered, .. } = step.account;
                    format!("{}: {inserted} {rejected} {filtered}", step.partition)
                };
                commit.moves.iter().map(shown).collect::<Vec<_>>().join(", ")
            }
        }
    }

    #[test]
    fn each_partition_has_its_own_and_a_filter_charges_them_in_order() {
        let batch = batch();
        assert_eq!(shown(&batch, [28, 0, 0], &[], true), "0: 7 0 0, 1: 7 0 0, 5: 14 0 0");
        assert_eq!(shown(&batch, [25, 3, 0], &[(1, 1), (5, 2)], true), "0: 7 0 0, 1: 6 1 0, 5: 12 2 0");
        assert_eq!(shown(&batch, [15, 3, 10], &[(0, 2), (5, 1)], true), "0: 0 2 5, 1: 2 0 5, 5: 13 1 0");
        assert_eq!(shown(&batch, [0, 0, 28], &[], true), "0: 0 0 7, 1: 0 0 7, 5: 0 0 14");
    }

    #[test]
    fn what_the_database_makes_of_messages_is_parted_by_them() {
        let batch = batch();
        assert_eq!(shown(&batch, [100, 0, 0], &[], false), "0: 25 0 0, 1: 25 0 0, 5: 50 0 0");
        assert_eq!(shown(&batch, [3, 2, 0], &[(5, 2)], false), "0: 0 0 0, 1: 1 0 0, 5: 2 2 0");
        assert_eq!(shown(&batch, [0, 0, 0], &[], false), "0: 0 0 0, 1: 0 0 0, 5: 0 0 0");
    }

    #[test]
    fn parts_that_are_not_the_whole_are_told() {
        let mut batch = batch();
        assert_eq!(
            shown(&batch, [26, 2, 0], &[(1, 1)], true),
            "the database rejected 2 rows, but names 1 of the batch's partitions"
        );
        assert_eq!(
            shown(&batch, [27, 1, 0], &[(3, 1)], true),
            "the database rejected 1 rows, but names 0 of the batch's partitions"
        );
        assert_eq!(shown(&batch, [20, 8, 0], &[(0, 8)], true), "partition 0: 7 rows were sent, but 8 rejected");
        assert_eq!(
            shown(&batch, [27, 0, 0], &[], true),
            "27 rows came through and a filter dropped 0, but the partitions have 28 and 0"
        );
        assert_eq!(
            shown(&batch, [0, 0, 29], &[], true),
            "0 rows came through and a filter dropped 29, but the partitions have 0 and 28"
        );
        batch.sent.pop();
        assert_eq!(shown(&batch, [14, 0, 0], &[], true), "partition 5: 14 rows were made, but 0 sent");
    }
}
