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
    /// Where each partition stands.
    pub checkpoint: Checkpoint,
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
}

impl Totals {
    /// Counts a committed batch in.
    pub fn add(&mut self, done: &Done, metrics: &Metrics) {
        let Outcome { inserted, rejected, filtered } = done.outcome;
        self.sums.inserted += inserted;
        self.sums.rejected += rejected;
        self.sums.filtered += filtered;
        self.sums.batches += 1;
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
