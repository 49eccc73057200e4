//! What a job tells its user while it runs. The command line decides how that looks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::batch::Counts;
use super::state::Outcome;
use super::totals::Sums;

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// A committed batch, or the empty one at the end.
#[derive(Debug, Clone)]
pub struct BatchReport {
    pub number: u64,
    pub start: Timestamp,
    pub end: Timestamp,
    pub counts: Counts,
    pub outcome: Outcome,
    /// Partition → `[first, next)` that the batch moved.
    pub moved: Vec<(i32, i64, i64)>,
}

/// Where a job stands, a few times a second.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Records read so far.
    pub records: u64,
    /// Rows sent so far, by all batches.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Records not yet read; `None` before the ends are known.
    pub lag: Option<u64>,
    pub batch: u64,
    /// Rows of the open batch.
    pub batch_rows: u64,
    /// Since the open batch began.
    pub batch_seconds: f64,
    pub segments_connected: usize,
    pub segments: usize,
}

/// Takes what a job tells. Called from several threads.
pub trait Reporter: Send + Sync {
    /// A line for the log.
    fn log(&self, level: Level, text: &str);
    /// A batch is committed.
    fn batch(&self, report: &BatchReport);
    /// What is committed by now, to be told should the job itself no longer be able to.
    fn sums(&self, sums: &Sums);
    /// Some time has passed.
    fn progress(&self, progress: &Progress);
}

/// How long a partition's trouble is not told again in the same words.
const TOLD_AGAIN: Duration = Duration::from_secs(30);

/// What was told of late about partitions that stand still, so that a trouble that stays is told once in a while.
#[derive(Debug, Default)]
pub struct Troubles(BTreeMap<(i32, String), Instant>);

impl Troubles {
    /// Whether this is to be told at `now`. What is older is forgotten, so it never holds more than a while's worth.
    pub fn are_news(&mut self, partition: i32, text: &str, now: Instant) -> bool {
        self.0.retain(|_, told| now.duration_since(*told) < TOLD_AGAIN);
        let count = self.0.len();
        self.0.entry((partition, text.to_owned())).or_insert(now);
        self.0.len() > count
    }
}

/// Lines of a level, formatted like `format!`.
macro_rules! say {
    ($reporter:expr, $level:ident, $($text:tt)*) => {
        $reporter.log($crate::job::report::Level::$level, &format!($($text)*))
    };
}
pub(crate) use say;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_in_a_while() {
        let begun = Instant::now();
        let mut troubles = Troubles::default();
        let mut at =
            |seconds, partition, text| troubles.are_news(partition, text, begun + Duration::from_secs(seconds));
        assert!(at(0, 0, "no leader"));
        assert!(!at(1, 0, "no leader"));
        assert!(at(2, 1, "no leader"));
        assert!(at(3, 0, "no such partition"));
        assert!(!at(29, 0, "no leader"));
        assert!(at(30, 0, "no leader"));
        assert!(!at(31, 0, "no leader"));
        assert!(at(100, 7, "no leader"));
        assert_eq!(troubles.0.len(), 1);
    }
}
