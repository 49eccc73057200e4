//! The sums of a whole run, over all its attempts: what the summary tells.

use super::state::{Done, Outcome};
use crate::metrics::Metrics;
use crate::offset::Checkpoint;

/// See the module.
#[derive(Debug, Default)]
pub struct Totals {
    pub records: u64,
    pub inserted: u64,
    pub rejected: u64,
    pub filtered: u64,
    pub batches: u64,
    /// What this run has committed.
    pub checkpoint: Checkpoint,
    /// A batch whose COMMIT got no reply: the next look at the ledger tells whether it counts.
    pub in_doubt: Option<Box<Done>>,
    /// Attempts that failed since the last commit.
    pub failures_in_a_row: u32,
}

impl Totals {
    /// Counts a committed batch in.
    pub fn add(&mut self, done: &Done, metrics: &Metrics) {
        let Outcome { inserted, rejected, filtered } = done.outcome;
        self.records += done.batch.counts.records;
        self.inserted += inserted;
        self.rejected += rejected;
        self.filtered += filtered;
        self.batches += 1;
        self.failures_in_a_row = 0;
        for (partition, span) in done.batch.delta.iter() {
            self.checkpoint.set(partition, span.next());
        }
        metrics.rows_inserted.inc_by(inserted);
        metrics.rows_rejected.inc_by(rejected);
        metrics.rows_filtered.inc_by(filtered);
        metrics.batches_committed.inc();
    }
}
