//! The sums of a whole run, over all its attempts: what the summary tells.

use super::state::{Done, Outcome};
use crate::metrics::Metrics;
use crate::offset::Checkpoint;

/// What a run has committed so far.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    pub inserted: u64,
    pub rejected: u64,
    pub filtered: u64,
    pub batches: u64,
    /// What became of rows in each target, in the order of the file; none where nothing was loaded.
    pub outputs: Vec<Changed>,
    /// Where each partition stands.
    pub checkpoint: Checkpoint,
}

/// Rows of one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Rows that its own filter dropped, where there are several targets.
    pub filtered: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Totals {
    pub sums: Sums,
    /// A batch whose COMMIT got no reply: the next look at the ledger tells whether it counts.
    pub in_doubt: Option<Box<Done>>,
    /// Batches of this start that had rows for the database.
    pub with_rows: u64,
    /// Attempts that failed since the last commit.
    pub failures_in_a_row: u32,
    /// The warning that a key came from several partitions is out.
    pub has_told_of_partitions: bool,
}

impl Totals {
    /// Settles the COMMIT that got no reply, when its session was ended: the batch, and whether it is committed, as the
    /// ledger `holds` it. What is, counts. `None`: nothing was in doubt.
    ///
    /// # Errors
    /// The ledger could not be asked; the doubt stays.
    pub fn settle_doubt<E>(
        &mut self,
        holds: impl FnOnce(i64) -> Result<bool, E>,
        metrics: &Metrics,
    ) -> Result<Option<(u64, bool)>, E> {
        let Some(done) = &self.in_doubt else { return Ok(None) };
        let batch = done.batch.number;
        let is_committed = holds(i64::try_from(batch).unwrap_or(i64::MAX))?;
        if let Some(done) = self.in_doubt.take().filter(|_| is_committed) {
            self.add(&done, metrics);
        }
        Ok(Some((batch, is_committed)))
    }

    /// Counts a committed batch in.
    pub fn add(&mut self, done: &Done, metrics: &Metrics) {
        let Outcome { inserted, rejected, filtered } = done.outcome;
        self.sums.inserted += inserted;
        self.sums.rejected += rejected;
        self.sums.filtered += filtered;
        self.sums.batches += 1;
        let count = self.sums.outputs.len().max(done.outputs.len());
        self.sums.outputs.resize(count, Changed::default());
        for (sum, output) in self.sums.outputs.iter_mut().zip(&done.outputs) {
            sum.filtered += output.filtered;
            sum.inserted += output.inserted;
            sum.updated += output.updated;
            sum.deleted += output.deleted;
        }
        self.with_rows += u64::from(done.batch.counts.rows > 0);
        self.failures_in_a_row = 0;
        for (partition, span) in done.batch.delta.iter() {
            self.sums.checkpoint.set(partition, span.next());
        }
        metrics.rows_inserted.inc_by(inserted);
        metrics.rows_rejected.inc_by(rejected);
        metrics.rows_filtered.inc_by(filtered);
        metrics.batches_committed.inc();
    }
}
