//! The ledger's chain as a loader sees it: per partition the newest row, and the rows that would follow. Pure.

use std::collections::BTreeMap;

use super::account::Account;
use super::failure::Error;
use super::identity::Instance;
use crate::line::excerpt;
use crate::offset::Checkpoint;

/// What a ledger row did to its partition's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Offsets `[first, next)` were read, and their records loaded, rejected or filtered.
    Load,
    /// Offsets `[first, next)` had expired before they were read. How many of them were records nobody knows.
    Skip,
    /// The position was set to `next`, from wherever it was.
    Reset,
}

impl Kind {
    /// As the ledger holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Skip => "skip",
            Self::Reset => "reset",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Load, Self::Skip, Self::Reset].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Beyond any offset, number or count that ever was: the sum of three does not overflow.
pub(super) const NUMBER_MAX: i64 = 1 << 61;

/// What a row of the ledger holds that no version of this program has written: somebody changed the table. `numbers` are
/// the row's by their columns.
pub(super) fn foreign(kind: &str, seq: i64, numbers: &[(&'static str, i64)]) -> Option<String> {
    if !(1..=NUMBER_MAX).contains(&seq) {
        return Some(format!("seq is {seq}"));
    }
    if Kind::parse(kind).is_none() {
        return Some(format!("kind is \"{}\"", excerpt(kind, 20)));
    }
    let strange = numbers.iter().find(|(_, number)| !(0..=NUMBER_MAX).contains(number));
    strange.map(|(column, number)| format!("{column} is {number}"))
}

/// The newest row of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// 1 for the first row of a partition, then one more each.
    pub seq: i64,
    pub kind: Kind,
    pub first: i64,
    /// The next record to read.
    pub next: i64,
    pub topic_id: Option<String>,
    pub leader_epoch: Option<i32>,
    /// Which loader wrote it.
    pub instance: String,
    /// Which of that loader's batches.
    pub batch: i64,
}

/// A row as the ledger shows it to who would follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    pub next: i64,
    pub batch: i64,
    pub instance: String,
    /// Whose it is, in words.
    pub by: String,
}

/// One partition's part in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub partition: i32,
    pub kind: Kind,
    pub first: i64,
    pub next: i64,
    pub leader_epoch: Option<i32>,
    pub account: Account,
    /// Key and payload bytes of the records.
    pub bytes: i64,
}

impl Move {
    /// A row that loads nothing: a skip, a reset, or a load of holes alone.
    pub fn bare(partition: i32, kind: Kind, first: i64, next: i64) -> Self {
        let account = match kind {
            Kind::Load => Account::of_holes(first, next),
            Kind::Skip | Kind::Reset => Account::default(),
        };
        Self { partition, kind, first, next, leader_epoch: None, account, bytes: 0 }
    }
}

/// What is committed together: a batch, a skip or a reset. Only partitions that moved have a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// A number that this loader never uses twice for different records.
    pub batch: i64,
    /// Kafka's id of the topic, where the broker has one.
    pub topic_id: Option<String>,
    pub moves: Vec<Move>,
}

/// Partition → newest row, as this loader read or wrote it. What it does not know has no history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain(BTreeMap<i32, Entry>);

impl Chain {
    /// Rows of a partition that stay for `check`: at a batch a second the last hours, at the default interval a day.
    pub const KEPT: u32 = 20_000;

    /// The newest row of a partition.
    pub fn get(&self, partition: i32) -> Option<&Entry> {
        self.0.get(&partition)
    }

    /// All partitions, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Entry)> {
        self.0.iter().map(|(&partition, entry)| (partition, entry))
    }

    /// Whether there is no history at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there may be rows that are older than is kept, see [`Chain::KEPT`].
    pub fn is_long(&self) -> bool {
        self.0.values().any(|entry| entry.seq > i64::from(Self::KEPT))
    }

    /// Where each partition goes on.
    pub fn checkpoint(&self) -> Checkpoint {
        self.iter().map(|(partition, entry)| (partition, entry.next)).collect()
    }

    /// The row that each move would add, in ascending order of partition.
    ///
    /// # Errors
    /// A load or skip that does not begin where the chain ends; accounts that do not add up.
    pub fn follow(&self, commit: &Commit, instance: &Instance) -> Result<BTreeMap<i32, Entry>, Error> {
        commit.moves.iter().map(|step| Ok((step.partition, self.next_entry(commit, step, instance)?))).collect()
    }

    fn next_entry(&self, commit: &Commit, step: &Move, instance: &Instance) -> Result<Entry, Error> {
        let last = self.get(step.partition);
        match last {
            Some(last) if last.next != step.first && step.kind != Kind::Reset => {
                return Err(Error::OutOfStep { partition: step.partition, first: step.first, next: last.next });
            }
            _ => {}
        }
        if let Err(cause) = step.account.check(step.kind, step.first, step.next) {
            return Err(Error::Unbalanced { partition: step.partition, cause });
        }
        let seq = last.map_or(0, |last| last.seq) + 1;
        let numbers = [("first", step.first), ("next", step.next), ("batch", commit.batch)];
        if let Some(found) = foreign(step.kind.as_str(), seq, &numbers) {
            let partition = step.partition;
            let text = format!("partition {partition}: {found}, more than the ledger holds; nothing of it was loaded");
            return Err(Error::Target { text });
        }
        Ok(Entry {
            seq,
            kind: step.kind,
            first: step.first,
            next: step.next,
            topic_id: commit.topic_id.clone(),
            leader_epoch: step.leader_epoch,
            instance: instance.as_str().to_owned(),
            batch: commit.batch,
        })
    }

    /// Checks that each of the rows follows the one that this loader read or wrote. `before` is what the ledger shows of
    /// the rows before them, by partition, in a snapshot taken after they were appended; where there is none before, of any
    /// row but the first: that one may have been pruned, and then the unique key does not miss it.
    ///
    /// # Errors
    /// [`Error::PositionTaken`]: a batch must never follow one that was rolled back, or somebody else's.
    pub fn check_before(&self, rows: &BTreeMap<i32, Entry>, before: &BTreeMap<i32, Before>) -> Result<(), Error> {
        for (&partition, row) in rows {
            let found = before.get(&partition);
            let is_ours = match (self.get(partition), found) {
                (None, None) => true,
                (Some(known), Some(found)) => {
                    (known.next, known.batch, &known.instance) == (found.next, found.batch, &found.instance)
                }
                _ => false,
            };
            if !is_ours {
                let gone = || "nobody: the row that this batch follows is gone".to_owned();
                let by = found.map_or_else(gone, |found| found.by.clone());
                return Err(Error::PositionTaken { partition, seq: (row.seq - 1).max(1), by, is_own: false });
            }
        }
        Ok(())
    }

    /// Takes the rows of a commit that is known to have succeeded.
    pub fn advance(&mut self, rows: BTreeMap<i32, Entry>) {
        self.0.extend(rows);
    }
}

impl FromIterator<(i32, Entry)> for Chain {
    fn from_iter<I: IntoIterator<Item = (i32, Entry)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(batch: i64, moves: Vec<Move>) -> Commit {
        Commit { batch, topic_id: None, moves }
    }

    #[test]
    fn rows_follow_each_other_and_a_reset_may_jump() {
        let instance = Instance::random().unwrap();
        let mut chain = Chain::default();
        for (batch, kind, first, next) in
            [(1, Kind::Load, 5, 9), (2, Kind::Skip, 9, 20), (3, Kind::Reset, 0, 0), (4, Kind::Load, 0, 3)]
        {
            let rows = chain.follow(&commit(batch, vec![Move::bare(0, kind, first, next)]), &instance).unwrap();
            assert_eq!(rows[&0].seq, batch);
            chain.advance(rows);
        }
        assert_eq!(chain.checkpoint().get(0), Some(3));
    }

    #[test]
    fn a_gap_is_refused_before_the_database_hears_of_it() {
        let instance = Instance::random().unwrap();
        let mut chain = Chain::default();
        chain.advance(chain.follow(&commit(1, vec![Move::bare(0, Kind::Load, 5, 9)]), &instance).unwrap());
        let gap = chain.follow(&commit(2, vec![Move::bare(0, Kind::Load, 10, 11)]), &instance).unwrap_err();
        assert_eq!(
            gap.to_string(),
            "partition 0: a batch begins at offset 10, but the ledger ends at 9; nothing of it was loaded"
        );
    }

    #[test]
    fn accounts_that_do_not_add_up_are_refused_as_well() {
        let step = Move::bare(3, Kind::Load, 5, 9);
        let uneven = Move { account: Account { records: 1, ..step.account }, ..step };
        let error = Chain::default().follow(&commit(1, vec![uneven]), &Instance::random().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "partition 3: offsets 5 to 9 are 4, but 1 records and 4 holes are counted; this is a mistake in gpkafka, \
             please report it; nothing of this batch was loaded"
        );
    }
}
