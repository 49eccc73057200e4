//! What the crash tests share: a topic whose records tell who they are, a table, a job file, eyes on the database's
//! sessions, and an oracle that believes nothing that a loader says.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;

use gpkafka::greenplum::JobId;
use gpkafka::table::{Ident, TableName};
use md5::{Digest, Md5};
use postgres::Client;

use crate::harness::{Database, Kafka, Kind, Loader, Producer, Topic, Version, kafka, rows, wait_for, wait_until};

/// Partitions of every topic here.
pub const PARTITIONS: i32 = 4;

/// Longer than anything takes on a busy machine; what is promised in seconds is measured by itself.
pub const SOON: Duration = Duration::from_secs(60);

/// A steady flow: so many records a partition, then a pause.
const FLOW_RECORDS: i64 = 50;
const FLOW_PAUSE: Duration = Duration::from_millis(50);

/// A transaction that was prepared so long ago is nobody's any more.
const ORPHANED: &str = "10 s";

/// One topic, one table, one job.
pub struct Scene<'d> {
    pub db: &'d Database,
    pub topic: Topic<'static>,
    pub schema: String,
    /// For looking on.
    client: Mutex<Client>,
}

/// A session of a loader.
#[derive(Debug, Clone)]
pub struct Seen {
    pub pid: i32,
    pub name: String,
}

/// The job file, in the parts that tests change.
pub struct Job<'s> {
    scene: &'s Scene<'s>,
    pub partitions: Option<&'static str>,
    /// What goes into the column `part`.
    pub part: String,
    pub commit: String,
    /// Of the database.
    pub port: u16,
}

impl<'d> Scene<'d> {
    /// An empty table and an empty topic, named for the test. `constraint` stands in the CREATE TABLE.
    pub fn new(db: &'d Database, name: &str, constraint: &str) -> Self {
        Self::with(db, kafka(Version::V4_1_1), name, constraint)
    }

    /// The topic is on this broker.
    pub fn with(db: &'d Database, kafka: &'static Kafka, name: &str, constraint: &str) -> Self {
        let schema = db.schema(name);
        let distribution = db.distributed_by("seq");
        db.execute(&format!("CREATE TABLE {schema}.t (part int, seq bigint, hash text {constraint}) {distribution}"));
        db.execute(&format!(
            "CREATE FUNCTION {schema}.slow(value int, at bigint, seconds float8) RETURNS int VOLATILE LANGUAGE plpgsql
             AS $$ BEGIN IF at % 100 = 0 THEN PERFORM pg_sleep(100 * seconds); END IF; RETURN value; END $$"
        ));
        let topic = kafka.topic(name, PARTITIONS);
        Self { db, topic, schema, client: Mutex::new(db.connect()) }
    }

    /// Writes records `range` of every partition.
    pub fn fill(&self, range: Range<i64>) {
        self.write(&self.topic.kafka.producer(), range);
    }

    /// Writes records steadily for as long as that holds, and says how many there are in each partition.
    pub fn flow_while(&self, goes_on: impl Fn() -> bool) -> i64 {
        let producer = self.topic.kafka.producer();
        let mut next = 0;
        while goes_on() {
            self.write(&producer, next..next + FLOW_RECORDS);
            next += FLOW_RECORDS;
            std::thread::park_timeout(FLOW_PAUSE);
        }
        next
    }

    fn write(&self, producer: &Producer, range: Range<i64>) {
        let mut record = String::new();
        for sequence in range {
            for partition in 0..PARTITIONS {
                let hash = Md5::digest(format!("{partition}:{sequence}"));
                record.clear();
                write!(record, "{partition},{sequence},").unwrap();
                hash.iter().for_each(|byte| write!(record, "{byte:02x}").unwrap());
                producer.send(&self.topic.name, partition, None, Some(record.as_bytes()));
            }
        }
        producer.flush();
    }

    /// The plain job: all partitions, a commit every so many rows.
    pub fn job(&self, commit: &str) -> Job<'_> {
        Job { scene: self, partitions: None, part: "part".into(), commit: commit.into(), port: self.db.port }
    }

    /// Of the job.
    fn hash(&self) -> String {
        let target = TableName { schema: Ident::exact(&self.schema), table: Ident::exact("t") };
        JobId::new(&self.topic.name, &self.db.dbname, &target).hash().to_owned()
    }

    pub fn look(&self, sql: &str) -> Vec<String> {
        rows(&mut self.client.lock().unwrap(), sql)
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.look(sql)[0].parse().unwrap()
    }

    /// Sessions of this job's loaders for which an SQL condition over `pg_stat_activity` holds.
    pub fn sessions(&self, condition: &str) -> Vec<Seen> {
        let sql = format!(
            "SELECT pid, application_name FROM pg_stat_activity
              WHERE application_name LIKE 'gpkafka:{}:%' AND {condition} ORDER BY backend_start, pid",
            self.hash()
        );
        let seen = |row: String| {
            let (pid, name) = row.split_once('|').unwrap();
            Seen { pid: pid.parse().unwrap(), name: name.to_owned() }
        };
        self.look(&sql).into_iter().map(seen).collect()
    }

    /// Waits for such a session.
    pub fn wait_for_session(&self, what: &str, condition: &str) -> Seen {
        wait_for(SOON, what, || self.sessions(condition).into_iter().next())
    }

    /// The INSERT has been running for so long.
    pub fn inserting(&self, seconds: f64) -> String {
        format!(
            "state = 'active' AND query LIKE 'INSERT INTO \"{}\".\"t\"%'
             AND query_start <= clock_timestamp() - interval '{seconds} s'",
            self.schema
        )
    }

    /// A transaction that rests after such a statement: its loader stands at a fail point.
    pub fn resting(&self, after: &str) -> String {
        format!(
            "state = 'idle in transaction' AND query LIKE '{after}%'
             AND state_change <= clock_timestamp() - interval '0.3 s'"
        )
    }

    /// Resting after its rows were appended to the ledger, or while it waits for someone else's.
    pub fn appending(&self, state: &str) -> String {
        format!(
            "state = '{state}' AND query LIKE 'INSERT INTO \"{}\".\"gpkafka_ledger\"%'
             AND state_change <= clock_timestamp() - interval '0.3 s'",
            self.schema
        )
    }

    /// Rows of the ledger; none before there is one.
    pub fn commits(&self) -> i64 {
        let is_there = format!(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
              WHERE nspname = '{}' AND relname = 'gpkafka_ledger'",
            self.schema
        );
        match self.number(&is_there) {
            0 => 0,
            _ => self.number(&format!("SELECT count(*) FROM {}.gpkafka_ledger", self.schema)),
        }
    }

    /// Those of one loader.
    pub fn commits_of(&self, loader: &Seen) -> i64 {
        let instance = loader.name.rsplit(':').next().unwrap();
        self.number(&format!("SELECT count(*) FROM {}.gpkafka_ledger WHERE instance = '{instance}'", self.schema))
    }

    /// Waits until the ledger has grown.
    pub fn wait_for_commit(&self, commits: i64) {
        wait_until(SOON, "the next commit", || self.commits() > commits);
    }

    /// Rows in the table.
    pub fn count(&self) -> i64 {
        self.number(&format!("SELECT count(*) FROM {}.t", self.schema))
    }

    /// None lost, none doubled, none damaged; the ledger is one chain that tells the same; nothing was left behind.
    pub fn expect_exact(&self, per_partition: i64) {
        self.expect_rows(per_partition);
        self.expect_nothing_left(1);
    }

    /// The rows, and the ledger's word for them.
    pub fn expect_rows(&self, per_partition: i64) {
        let sql = format!(
            "SELECT part, count(*), count(DISTINCT seq), min(seq), max(seq),
                    sum(CASE WHEN hash = md5(part || ':' || seq) THEN 0 ELSE 1 END)
               FROM {}.t GROUP BY part ORDER BY part",
            self.schema
        );
        let whole = |part| format!("{part}|{per_partition}|{per_partition}|0|{}|0", per_partition - 1);
        let expected: Vec<_> = (0..PARTITIONS).map(whole).collect();
        assert_eq!(self.look(&sql), expected, "partition, rows, distinct rows, first, last, damaged");
        self.expect_chain(per_partition);
    }

    /// Every partition's rows follow each other and sum up.
    fn expect_chain(&self, per_partition: i64) {
        let sql = format!(
            "SELECT \"partition\", seq, first, next, inserted, rejected, filtered, kind FROM {}.gpkafka_ledger
              ORDER BY 1, 2",
            self.schema
        );
        let mut ends = vec![(0, 0); usize::try_from(PARTITIONS).unwrap()];
        for row in self.look(&sql) {
            let fields: Vec<_> = row.split('|').collect();
            let number = |at: usize| fields[at].parse::<i64>().unwrap();
            let end = &mut ends[usize::try_from(number(0)).unwrap()];
            let (first, next) = (end.1, number(3));
            let expected = [end.0 + 1, first, next, next - first, 0, 0];
            assert_eq!([number(1), number(2), number(3), number(4), number(5), number(6)], expected, "ledger: {row}");
            assert_eq!(fields[7], "load");
            *end = (number(1), next);
        }
        assert!(ends.iter().all(|end| end.1 == per_partition), "the ledger ends at {ends:?}");
    }

    /// No session, lock or prepared transaction is left, and no external table but those in use.
    pub fn expect_nothing_left(&self, externals_in_use: usize) {
        wait_until(SOON, "all sessions of loaders to end", || self.sessions("true").is_empty());
        let locks = format!(
            "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
               JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE nspname = '{}' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            self.schema
        );
        wait_until(SOON, "all locks to be given up", || self.number(&locks) == 0);
        let externals = format!(
            "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
              WHERE nspname = '{}' AND relkind = 'r' AND relname LIKE 'gpkafkaloadext%'",
            self.schema
        );
        let externals = self.look(&externals);
        assert_eq!(externals.len(), externals_in_use, "external tables: {externals:?}");
        wait_until(SOON, "no prepared transaction to be left", || self.orphans().is_empty());
    }

    /// Prepared transactions of any node that are older than one can be.
    fn orphans(&self) -> Vec<String> {
        let list = format!("SELECT gid FROM pg_prepared_xacts WHERE prepared < now() - interval '{ORPHANED}'");
        let mut found = self.look(&list);
        if let Kind::Greenplum { .. } = self.db.kind {
            let function = format!("{}.prepared", self.schema);
            if self.number(&format!("SELECT count(*) FROM pg_proc WHERE oid = to_regproc('{function}')")) == 0 {
                self.db.execute(&format!(
                    "CREATE FUNCTION {function}() RETURNS SETOF text LANGUAGE sql EXECUTE ON ALL SEGMENTS AS $$ {list} $$"
                ));
            }
            found.extend(self.look(&format!("SELECT {function}()")));
        }
        found
    }
}

impl Job<'_> {
    /// An INSERT of so many rows, all on one segment, lasts so long. One row in a hundred sleeps for all, since a sleep
    /// takes a millisecond at least.
    pub fn slowly(mut self, seconds: f64, rows: i64) -> Self {
        self.part = format!("{}.slow(part, seq, {seconds}::float8 / {rows})", self.scene.schema);
        self
    }

    /// The database stands behind another port.
    pub fn through(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// `gpkafka load` of it.
    pub fn load(&self) -> Loader {
        Loader::load(&self.text())
    }

    /// `gpkafka load` with nothing said about ports.
    pub fn bare_load(&self) -> Loader {
        Loader::with_job("load", &self.text())
    }

    /// To the end of the topic, which ends well.
    pub fn finish(&self) {
        self.load().args(["--quit-at-eof"]).run().expect_code(0);
    }

    pub fn text(&self) -> String {
        let Self { scene: Scene { db, topic, schema, .. }, partitions, part, commit, port } = self;
        let partitions = partitions.map_or_else(String::new, |list| format!("      PARTITIONS: {list}\n"));
        format!(
            "DATABASE: {}\nUSER: {}\nHOST: {}\nPORT: {port}\nVERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: {}
      TOPIC: {}
{partitions}    VALUE:
      COLUMNS:
        - {{NAME: part, TYPE: int}}
        - {{NAME: seq, TYPE: bigint}}
        - {{NAME: hash, TYPE: text}}
      FORMAT: csv
  OUTPUT:
    SCHEMA: {schema}
    TABLE: t
    MAPPING:
      part: {part}
      seq: seq
      hash: hash
  COMMIT:
    {commit}
",
            db.dbname, db.user, db.host, topic.kafka.bootstrap, topic.name
        )
    }
}
