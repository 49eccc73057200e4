//! Where a load's time went, and which stage holds it up: what `--profile` shows. Pure: from counters to lines.

use std::fmt;

use crate::metrics::Metrics;
use crate::units;

/// Of the session's time, COMMITs may take so much before they are what a load waits for.
const COMMITS_MAX: f64 = 0.3;

/// A session that is idle for so much of its time has nothing to load.
const IDLE_MAX: f64 = 0.5;

/// A statement whose segments wait for rows for so much of its time could take more.
const HUNGRY: f64 = 0.5;

/// So many seconds of loading must be seen before a stage is said to limit.
const SEEN: f64 = 1.0;

/// Workers that are busy for so much of their time can make no more.
const BUSY: f64 = 0.5;

/// Seconds of each stage, added up over its threads or connections.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Profile {
    rows: u64,
    source_bytes: u64,
    batches: u64,
    worker: Worker,
    segment: Segment,
    database: Database,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Worker {
    busy: f64,
    kafka: f64,
    memory: f64,
    room: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Segment {
    taking: f64,
    waiting: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Database {
    insert: f64,
    /// Of that, a segment waited for rows.
    hungry: f64,
    commit: f64,
    idle: f64,
}

/// The stage that the others wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Nothing was loaded.
    Nothing,
    /// The topic has no more to give.
    Topic,
    Commits,
    Database,
    Workers,
    Kafka,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Topic => "topic",
            Self::Commits => "commits",
            Self::Database => "database",
            Self::Workers => "workers",
            Self::Kafka => "Kafka",
        })
    }
}

impl Profile {
    /// What the counters say by now.
    pub fn of(metrics: &Metrics) -> Self {
        let seconds = &metrics.seconds;
        Self {
            rows: metrics.rows_sent.get(),
            source_bytes: metrics.source_bytes.get(),
            batches: metrics.batches_committed.get(),
            worker: Worker {
                busy: seconds.worker_busy.get(),
                kafka: seconds.worker_waits_for_kafka.get(),
                memory: seconds.worker_waits_for_memory.get(),
                room: seconds.worker_waits_for_loop.get(),
            },
            segment: Segment { taking: seconds.segment_taking.get(), waiting: seconds.segment_waits_for_rows.get() },
            database: Database {
                insert: seconds.database_insert.get(),
                // a statement that has failed may be waited for longer than it took
                hungry: seconds.scan_waits_for_rows.get().min(seconds.database_insert.get()),
                commit: seconds.database_commit.get(),
                idle: seconds.database_idle.get(),
            },
        }
    }

    /// A table, and what to change to go faster.
    pub fn lines(&self, workers: usize, partitions: usize) -> Vec<String> {
        let Self { worker, segment, database, .. } = self;
        let table = [
            (
                "workers",
                vec![
                    ("making rows", worker.busy),
                    ("waiting for Kafka", worker.kafka),
                    ("for memory", worker.memory),
                    ("for the loop", worker.room),
                ],
            ),
            ("segments", vec![("taking rows", segment.taking), ("waiting for rows", segment.waiting)]),
            (
                "database",
                vec![
                    ("loading", database.insert - database.hungry),
                    ("waiting for rows", database.hungry),
                    ("committing", database.commit),
                    ("between batches", database.idle),
                ],
            ),
        ];
        let (rows, bytes) = (units::count(self.rows), units::bytes(self.source_bytes));
        let batches = if self.batches == 1 { "batch" } else { "batches" };
        let mut lines = vec![format!("profile: {rows} rows of {bytes} in {} {batches}", units::count(self.batches))];
        lines.extend(table.map(|(stage, parts)| format!("profile: {stage:<9} {}", shares(&parts))));
        let advice = self.too_little().unwrap_or_else(|| self.advice(workers, partitions));
        lines.push(format!("profile: {advice}"));
        lines
    }

    /// Why nothing can be said of a load's limit, if that is so.
    fn too_little(&self) -> Option<String> {
        const MORE: &str = "too little to say what limits; load more records, or see `gpkafka bench`";
        let seconds = self.database.insert + self.database.commit;
        match (self.batches, self.limit()) {
            (0, _) => Some("no batch was committed, so nothing can be said of what limits".to_owned()),
            (1, Limit::Commits) => Some(format!("there was one batch, of {} rows: {MORE}", units::count(self.rows))),
            (_, Limit::Commits | Limit::Topic | Limit::Nothing) => None,
            _ if seconds < SEEN => Some(format!("{seconds:.1} s of loading are {MORE}")),
            _ => None,
        }
    }

    /// Which stage the others wait for.
    pub fn limit(&self) -> Limit {
        let Self { worker, database, .. } = self;
        let share = |part: f64, rest: f64| if part > 0.0 { part / (part + rest) } else { 0.0 };
        if self.rows == 0 {
            Limit::Nothing
        } else if share(database.commit, database.insert) > COMMITS_MAX {
            Limit::Commits
        } else if share(database.idle, database.insert + database.commit) > IDLE_MAX {
            Limit::Topic
        } else if database.hungry / database.insert.max(1e-9) < HUNGRY {
            Limit::Database
        } else if share(worker.busy, worker.kafka + worker.memory + worker.room) > BUSY {
            Limit::Workers
        } else {
            Limit::Kafka
        }
    }

    /// What limits, and what to change to go faster.
    pub fn advice(&self, workers: usize, partitions: usize) -> String {
        let rows_a_batch = units::count(self.rows / self.batches.max(1));
        match self.limit() {
            Limit::Nothing => "nothing was loaded, so nothing can be said".to_owned(),
            Limit::Topic => "the topic limits: it is read to its end most of the time".to_owned(),
            Limit::Commits => format!(
                "commits limit: a batch has {rows_a_batch} rows; raise MAX_ROW or MINIMAL_INTERVAL, whichever ends them"
            ),
            Limit::Database => "the database limits: the loader waits for its segments; what speeds it up is more segments, or less work for each row, where it has more than to store it (indexes, triggers, compression, mappings that take documents apart)".to_owned(),
            Limit::Workers if partitions <= workers => format!(
                "the loader limits: its {} busy with one partition each; more partitions on a machine with more cores would be read at once",
                if workers == 1 { "worker is".to_owned() } else { format!("{workers} workers are") }
            ),
            Limit::Workers => format!(
                "the loader limits: its {workers} workers are busy; a machine with more cores has more of them"
            ),
            Limit::Kafka => format!(
                "Kafka limits: workers and segments wait for records; look at the network and the brokers' disks, {}raise fetch.message.max.bytes, or --memory where it was made small: a quarter of it is for records that were read ahead",
                if partitions > 1 { format!("spread the {partitions} partitions over more brokers, ") } else { String::new() }
            ),
        }
    }
}

/// `making rows 61 %, waiting for Kafka 39 %`; what is next to nothing is left out.
fn shares(parts: &[(&str, f64)]) -> String {
    let all: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
    let shown = parts.iter().map(|(what, seconds)| (what, 100.0 * seconds / all.max(1e-9)));
    let shown = shown.filter(|(_, percent)| *percent >= 0.5).map(|(what, percent)| format!("{what} {percent:.0} %"));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "did nothing".to_owned() } else { format!("{} of {all:.1} s", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(worker: [f64; 4], segment: [f64; 2], database: [f64; 4]) -> Profile {
        let ([busy, kafka, memory, room], [taking, waiting]) = (worker, segment);
        Profile {
            rows: 2_000_000,
            source_bytes: 182_000_000,
            batches: 1,
            worker: Worker { busy, kafka, memory, room },
            segment: Segment { taking, waiting },
            database: Database { insert: database[0], hungry: database[1], commit: database[2], idle: database[3] },
        }
    }

    #[test]
    fn the_stage_that_the_others_wait_for_is_named() {
        let slow_database = profile([0.6, 0.4, 2.0, 0.0], [5.4, 0.6], [3.0, 0.3, 0.1, 0.1]);
        let slow_worker = profile([5.0, 0.5, 0.0, 0.0], [0.5, 5.4], [3.0, 2.7, 0.1, 0.1]);
        let slow_kafka = profile([1.0, 4.0, 0.0, 0.0], [0.5, 5.4], [3.0, 2.7, 0.1, 0.1]);
        let small_batches = profile([1.0, 4.0, 0.0, 0.0], [0.5, 5.4], [3.0, 2.7, 2.0, 0.1]);
        let quiet_topic = profile([1.0, 60.0, 0.0, 0.0], [0.5, 5.4], [3.0, 2.7, 0.2, 60.0]);
        let limits = [slow_database, slow_worker, slow_kafka, small_batches, quiet_topic, Profile::default()];
        assert_eq!(
            limits.map(|profile| profile.limit()),
            [Limit::Database, Limit::Workers, Limit::Kafka, Limit::Commits, Limit::Topic, Limit::Nothing]
        );
    }

    #[test]
    fn the_table_shows_shares() {
        let lines = profile([0.6, 0.4, 3.0, 0.0], [5.4, 0.6], [3.0, 0.3, 0.0, 0.0]).lines(2, 4);
        assert_eq!(
            lines[..4],
            [
                "profile: 2,000,000 rows of 173.57MB in 1 batch",
                "profile: workers   making rows 15 %, waiting for Kafka 10 %, for memory 75 % of 4.0 s",
                "profile: segments  taking rows 90 %, waiting for rows 10 % of 6.0 s",
                "profile: database  loading 90 %, waiting for rows 10 % of 3.0 s",
            ]
        );
        assert!(lines[4].starts_with("profile: the database limits"), "{}", lines[4]);
        assert_eq!(Profile::default().lines(1, 1)[1], "profile: workers   did nothing");
        let small = Profile { rows: 1000, batches: 500, ..profile([1.0; 4], [1.0; 2], [1.0, 0.5, 2.0, 0.1]) };
        let last = |profile: &Profile| profile.lines(1, 1).pop().unwrap();
        assert!(last(&small).starts_with("profile: commits limit: a batch has 2 rows; raise"));
        let alone = Profile { batches: 1, ..small };
        assert!(last(&alone).starts_with("profile: there was one batch, of 1,000 rows: too little"));
        assert!(last(&Profile { batches: 0, ..small }).starts_with("profile: no batch was committed"));
        let short = Profile { batches: 3, ..profile([0.1; 4], [0.1; 2], [0.5, 0.1, 0.0, 0.0]) };
        assert!(last(&short).starts_with("profile: 0.5 s of loading are too little"), "{}", last(&short));
    }

    #[test]
    fn what_the_counters_say_is_shown() {
        let metrics = Metrics::default();
        metrics.rows_sent.inc_by(10);
        metrics.batches_committed.inc();
        metrics.seconds.worker_busy.inc_by(3.0);
        metrics.seconds.scan_waits_for_rows.inc_by(2.5);
        metrics.seconds.database_insert.inc_by(2.0);
        let lines = Profile::of(&metrics).lines(2, 1);
        assert!(lines[4].contains("the loader limits: its 2 workers are busy with one partition each"), "{}", lines[4]);
    }
}
