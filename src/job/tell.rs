//! What a batch's end tells the user: its rejects, what is kept aside, what became of each target. More hands of the loop in
//! `steer`.

use jiff::Timestamp;

use super::batch::{Batch, Counts};
use super::rejects;
use super::report::{BatchReport, Level, say};
use super::state::{Done, Outcome};
use super::steer::Steer;
use crate::greenplum::{Saved, SegmentRejects, WrittenTo};
use crate::units;

impl Steer<'_> {
    /// Tells of a committed batch and counts it in.
    pub(super) fn report(&mut self, done: &Done) {
        self.name_rejects(&done.batch);
        self.rejects = SegmentRejects::default();
        self.clean_batches = if self.saved.is_some() { 0 } else { self.clean_batches + 1 };
        self.tell_saved(done.batch.number);
        for output in &done.outputs {
            self.tell_output(done.batch.number, output);
        }
        self.totals.add(done, &self.metrics);
        self.reporter.sums(&self.totals.sums);
        self.tell_group_after();
        self.reporter.batch(&batch_report(done));
    }

    fn tell_saved(&mut self, batch: u64) {
        let Some(Saved { table, rows, cause, is_part, .. }) = self.saved.take() else { return };
        let (rows, which) = (units::count(rows), if is_part { "the others are loaded" } else { "all that it had" });
        say!(
            self.reporter,
            Warn,
            "batch {batch}: the database refuses rows; {rows} went into {table}, {which}; of the first it says: {cause}"
        );
    }

    /// Where rows have changed others; and once that a key came from several partitions, whose order Kafka does not know.
    fn tell_output(&mut self, batch: u64, output: &WrittenTo) {
        let WrittenTo { target, filtered, passed_over, inserted, updated, deleted, .. } = output;
        say!(
            self.reporter,
            Debug,
            "batch {batch} into {target}: inserted {inserted}, updated {updated}, deleted {deleted}, gave way to later rows {passed_over}, filtered {filtered}"
        );
        if output.has_several_partitions && !std::mem::replace(&mut self.totals.has_told_of_partitions, true) {
            say!(
                self.reporter,
                Warn,
                "a key of {target} came from several partitions in batch {batch}: the row with the latest timestamp counts as its last; write all records of a key to one partition, or name ORDER_COLUMNS"
            );
        }
    }

    pub(super) fn name_rejects(&self, batch: &Batch) {
        for line in rejects::lines(&self.topic, batch, &self.rejects) {
            self.reporter.log(Level::Warn, &line);
        }
    }
}

/// A committed batch as it is shown. Its start is as long ago as its first block.
fn batch_report(done: &Done) -> BatchReport {
    let age = done.batch.started.elapsed();
    let end = Timestamp::now();
    BatchReport {
        number: done.batch.number,
        start: end.checked_sub(jiff::SignedDuration::try_from(age).unwrap_or_default()).unwrap_or(end),
        end,
        counts: done.batch.counts.clone(),
        outcome: done.outcome,
        moved: done.batch.delta.iter().map(|(partition, span)| (partition, span.first(), span.next())).collect(),
    }
}

/// The empty batch that the original prints at the end of a topic.
pub fn empty_report(number: u64) -> BatchReport {
    let now = Timestamp::now();
    BatchReport {
        number,
        start: now,
        end: now,
        counts: Counts::default(),
        outcome: Outcome::default(),
        moved: Vec::new(),
    }
}
