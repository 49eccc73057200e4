//! What the loop of an attempt looks after a few times a second: what nobody would tell it, and what its user sees.

use std::time::{Duration, Instant};

use super::failure::Error;
use super::report::{Progress, say};
use super::steer::Steer;
use crate::greenplum;
use crate::units;

/// A batch that no segment has asked for by then waits for something that its user should know of.
const UNASKED_MAX: Duration = Duration::from_secs(10);

/// How often a search for bad rows says how far it is.
const SEARCH_TOLD_EVERY: Duration = Duration::from_secs(5);

/// A stop that takes longer is told of.
const STOP_SOON: Duration = Duration::from_secs(2);

impl Steer<'_> {
    /// What nobody would tell: a thread that is gone, a database that has fallen silent, a batch that nobody reads.
    pub(super) fn look_after(&mut self) -> Result<(), Error> {
        // before the channels: a thread's last word comes before its end
        let has_ended = self.threads.any_has_ended();
        let is_told_all = self.replies.is_empty() && self.seen.is_empty() && self.told.is_empty();
        if !self.is_finishing && is_told_all && has_ended {
            return Err(Error::Internal("a thread has ended before its time".to_owned()));
        }
        // though its connection stands
        let answer = self.liveness.answer();
        if self.seen.is_empty() && self.beaten.elapsed() > answer {
            let text = format!("the database has not answered it for {} s", answer.as_secs());
            return Err(greenplum::Error::HolderLost { text, passes: true }.into());
        }
        self.tell_if_unasked();
        self.tell_of_search();
        self.tell_of_stop();
        Ok(())
    }

    /// A search may take minutes.
    fn tell_of_search(&mut self) {
        let (trials, found) = (self.searching.trials(), self.searching.found());
        if trials == 0 {
            self.search_told = None;
            return;
        }
        if self.search_told.get_or_insert_with(Instant::now).elapsed() < SEARCH_TOLD_EVERY {
            return;
        }
        self.search_told = Some(Instant::now());
        let (trials, found) = (units::count(trials), units::count(found));
        let batch = self.state.front().map_or(0, |front| front.number);
        say!(
            self.reporter,
            Info,
            "batch {batch}: looking for the rows that the database refuses: {found} found so far, in {trials} trials"
        );
    }

    fn tell_of_stop(&mut self) {
        if self.stop_asked.is_some_and(|asked| asked.elapsed() > STOP_SOON) {
            self.stop_asked = None;
            let batch = self.state.front().map_or(0, |front| front.number);
            say!(self.reporter, Info, "stopping once batch {batch} is committed; to drop it, interrupt again");
        }
    }

    fn tell_if_unasked(&mut self) {
        let (Some(front), Some(session)) = (self.state.front(), &self.session) else { return };
        let is_due = self.opened.elapsed() > UNASKED_MAX && self.unasked != Some(front.number);
        if is_due && session.status().served_segments.is_empty() {
            self.unasked = Some(front.number);
            say!(
                self.reporter,
                Warn,
                "no segment has asked for the rows of batch {} for {} s: its INSERT waits for a lock on the table or for \
                 its turn in a resource queue, see pg_locks; still waiting",
                front.number,
                UNASKED_MAX.as_secs()
            );
        }
    }

    /// Counters and the live line.
    pub(super) fn report_progress(&mut self) {
        let partitions: Vec<i32> = self.read.keys().copied().collect();
        let ends = self.consumer.cached_ends(&partitions);
        let lag = ends.iter().filter_map(|(p, end)| Some(end - self.read.get(p)?)).map(|lag| lag.max(0).unsigned_abs());
        let lag: u64 = lag.sum();
        self.metrics.lag_records.set(i64::try_from(lag).unwrap_or(i64::MAX));
        self.metrics.memory_bytes.set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
        let now = Instant::now();
        let front = self.state.front();
        self.reporter.progress(&Progress {
            records: self.metrics.records_read.get(),
            rows: self.metrics.rows_sent.get(),
            bytes: self.metrics.bytes_sent.get(),
            lag: (ends.len() == partitions.len()).then_some(lag),
            batch: front.map_or(self.state.batches_made(), |front| front.number),
            batch_rows: front.map_or(0, |front| front.counts.rows),
            batch_seconds: front.map_or(0.0, |front| now.duration_since(front.started).as_secs_f64()),
            segments_connected: usize::try_from(self.metrics.segments_connected.get()).unwrap_or(0),
            segments: self.segments,
        });
    }
}
