//! What scenarios share: records that each carry (partition, sequence, hash), a table for them, and the oracle, which
//! trusts nothing that the loader says.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::harness::{Database, Job, Kafka, Loader, Outcome, Topic, Version, kafka};

/// How often a steady stream writes.
const TICK: Duration = Duration::from_millis(50);

/// A topic, and the table `t` for its records in a schema of its own.
pub struct Flow<'a> {
    pub db: &'a Database,
    pub topic: Topic<'a>,
    pub schema: String,
    /// Bytes with which each record is filled up.
    pub pad: usize,
}

impl<'a> Flow<'a> {
    /// On the current Kafka.
    pub fn new(db: &'a Database, name: &str, partitions: i32) -> Self {
        Self::on(kafka(Version::V4_1_1), db, name, partitions)
    }

    /// On a broker of one's choice.
    pub fn on(kafka: &'a Kafka, db: &'a Database, name: &str, partitions: i32) -> Self {
        Self { db, topic: kafka.topic(name, partitions), schema: table(db, name), pad: 0 }
    }

    /// The same again, with a broker that was restarted.
    pub fn resume(kafka: &'a Kafka, db: &'a Database, schema: &str, topic: &str) -> Self {
        Self { db, topic: Topic { kafka, name: topic.to_owned() }, schema: schema.to_owned(), pad: 0 }
    }

    /// The job file.
    pub fn job(&self) -> Job {
        Job::new(self.db, &self.topic, &self.schema, "t", "part int, seq bigint, pad text, hash text")
    }

    /// A load that runs until it is stopped.
    pub fn loader(&self, job: &Job) -> Loader {
        Loader::load(&job.text())
    }

    /// A load to the end of the topic.
    pub fn load(&self, job: &Job) -> Outcome {
        self.loader(job).args(["--quit-at-eof"]).run()
    }

    /// A record.
    pub fn record(&self, partition: i32, sequence: i64) -> String {
        record(partition, sequence, self.pad)
    }

    /// Writes these sequences to a partition.
    pub fn produce(&self, partition: i32, sequences: Range<i64>) {
        let producer = self.topic.kafka.producer();
        for sequence in sequences {
            producer.send(&self.topic.name, partition, None, Some(self.record(partition, sequence).as_bytes()));
        }
        producer.flush();
    }

    /// Writes sequences from `first` on to partition 0, so many a second, for as long as `scenario` lasts. Returns
    /// the sequence after the last.
    pub fn stream<T>(&self, first: i64, per_second: i64, scenario: impl FnOnce() -> T) -> (T, i64) {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let producer = scope.spawn(|| self.write_until(&over, first, per_second));
            let ending = Ending(&over);
            let outcome = scenario();
            drop(ending);
            (outcome, producer.join().unwrap())
        })
    }

    fn write_until(&self, over: &AtomicBool, first: i64, per_second: i64) -> i64 {
        let producer = self.topic.kafka.producer();
        let (begun, mut next) = (Instant::now(), first);
        while !over.load(Ordering::Relaxed) {
            let due = first + per_second * i64::try_from(begun.elapsed().as_millis()).unwrap() / 1000;
            for sequence in next..due {
                producer.send(&self.topic.name, 0, None, Some(self.record(0, sequence).as_bytes()));
            }
            next = next.max(due);
            std::thread::park_timeout(TICK);
        }
        producer.flush();
        next
    }

    /// Rows in the table.
    pub fn count(&self) -> i64 {
        self.db.number(&format!("SELECT count(*) FROM {}.t", self.schema))
    }

    /// Rows that the ledger says are there: cheaper to ask than [`Flow::count`].
    pub fn committed(&self) -> i64 {
        self.db.number(&format!("SELECT coalesce(sum(inserted), 0) FROM {}.gpkafka_ledger", self.schema))
    }

    /// Every sequence of these ranges is in the table once, undamaged, and nothing else.
    pub fn expect(&self, sequences: &[(i32, Range<i64>)]) {
        let sql = "SELECT part, count(*), count(DISTINCT seq), min(seq), max(seq) + 1,
                          sum(CASE WHEN hash = md5(part || ',' || seq) THEN 0 ELSE 1 END)";
        let found = self.db.rows(&format!("{sql} FROM {}.t GROUP BY part ORDER BY part", self.schema));
        let sequences = sequences.iter().filter(|(_, range)| !range.is_empty());
        let wanted: Vec<_> = sequences
            .map(|(partition, Range { start, end })| {
                let count = end - start;
                format!("{partition}|{count}|{count}|{start}|{end}|0")
            })
            .collect();
        assert_eq!(found, wanted, "partition | rows | distinct | first | next | damaged");
    }

    /// The chain of each partition: partition, kind, first, next, inserted.
    pub fn ledger(&self) -> Vec<String> {
        let sql = "SELECT \"partition\", kind, first, next, inserted";
        self.db.rows(&format!("{sql} FROM {}.gpkafka_ledger ORDER BY \"partition\", seq", self.schema))
    }

    /// The process that reads the external table on a segment: a slice of the load's session, as its title says.
    pub fn reader_of(&self, segment: u32) -> Option<u32> {
        let inserts = format!("query LIKE 'INSERT INTO %{}%' AND pid <> pg_backend_pid()", self.schema);
        let session = self.db.rows(&format!("SELECT sess_id FROM pg_stat_activity WHERE {inserts}")).pop()?;
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
            let title = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let title = String::from_utf8_lossy(&title).into_owned();
            title.contains(&format!(" con{session} seg{segment} ")) && title.contains(" slice1 ")
        })
    }

    /// The external table of the only job.
    pub fn external_table(&self) -> String {
        let sql = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace";
        let tables = format!("nspname = '{}' AND relname ~ '^gpkafkaloadext_[0-9a-f]*$'", self.schema);
        format!("{}.{}", self.schema, self.db.value(&format!("{sql} WHERE {tables}")))
    }
}

/// A table `t` for such records, in a schema of its own whose name begins with `name`.
pub fn table(db: &Database, name: &str) -> String {
    let schema = db.schema(name);
    let distribution = db.distributed_by("seq");
    db.execute(&format!("CREATE TABLE {schema}.t (part int, seq bigint, pad text, hash text) {distribution}"));
    schema
}

/// A record that is filled up with so many bytes.
pub fn record(partition: i32, sequence: i64, pad: usize) -> String {
    let key = format!("{partition},{sequence}");
    let hash: String = Md5::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{key},{},{hash}", "x".repeat(pad))
}

/// Ends the stream however the scenario ends.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
