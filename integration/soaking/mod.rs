//! Half an hour of everything at once: two loads of one topic, a producer that never rests, and every few seconds
//! something that kills, ends, freezes or grows a part of it. Each minute the oracle compares tables and ledgers; at the
//! end no row is lost or doubled, and nothing has grown that should not.
//!
//! One load, the steady one, is never touched itself: what it takes of memory and files is to stay flat. The other is
//! struck. `integration/soak` runs it.

#![expect(clippy::print_stdout, reason = "who runs it looks on")]

mod faults;
mod samples;
mod stream;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::flow::{Flow, table};
use crate::harness::{Database, Kafka, Loader, Running, Version, own_greenplum, poll, unique, wait_until};
use faults::Fault;
use samples::Samples;
use stream::Stream;

/// Partitions at the beginning.
const PARTITIONS: i32 = 4;
/// Between two looks at processes and servers.
const LOOK: Duration = Duration::from_secs(2);
/// Between two faults, in seconds.
const PAUSE: Range<u64> = 5..20;
/// Between two questions to the oracle; in such a time each load must have committed something.
const MINUTE: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(120);

#[test]
#[ignore = "half an hour: integration/soak"]
fn nothing_is_lost_and_nothing_grows() {
    let db = own_greenplum(2).expect("the soak wants a Greenplum");
    let minutes: u64 = std::env::var("GPKAFKA_SOAK_MINUTES").map_or(30, |text| text.parse().expect("minutes"));
    let seed = std::env::var("GPKAFKA_SOAK_SEED").unwrap_or_else(|_| unique("seed"));
    let results = std::env::var("GPKAFKA_SOAK_RESULTS").unwrap_or_else(|_| "target/soak".to_owned());
    println!("{minutes} minutes, GPKAFKA_SOAK_SEED={seed}");
    let mut samples = Samples::default();
    let mut soak = Soak::start(&db, &seed);
    soak.run(Duration::from_secs(minutes * 60), &mut samples);
    samples.write(&results);
    println!("{}", samples.summary());
    samples.expect_flat();
}

/// One load and its table.
struct Load {
    schema: String,
    job: String,
    running: Running,
    /// Rows when the oracle was last asked.
    rows: i64,
}

impl Load {
    /// After the last one has ended.
    fn start(&mut self) {
        self.running = Loader::load(&self.job).start();
    }

    fn expect_running(&mut self) {
        assert!(!self.running.has_ended(), "a load has ended by itself:\n{}", self.running.text());
    }
}

/// All that runs.
struct Soak<'d> {
    db: &'d Database,
    kafka: Kafka,
    topic: String,
    stream: Arc<Stream>,
    steady: Load,
    struck: Load,
    dice: Dice,
}

impl<'d> Soak<'d> {
    fn start(db: &'d Database, seed: &str) -> Self {
        let kafka = Kafka::start(Version::V4_1_1);
        let topic = kafka.topic("soak", PARTITIONS).name;
        let load = |name: &str| {
            let schema = table(db, name);
            let job = Flow::resume(&kafka, db, &schema, &topic).job().commit("MINIMAL_INTERVAL: 500").text();
            Load { running: Loader::load(&job).start(), schema, job, rows: 0 }
        };
        let (steady, struck) = (load("steady"), load("struck"));
        let stream = Arc::new(Stream::new(&topic, usize::try_from(PARTITIONS).unwrap()));
        Self { db, kafka, topic, stream, steady, struck, dice: Dice { seed: seed.to_owned(), throws: 0 } }
    }

    /// The topic and a load's table.
    fn flow(&self, load: &Load) -> Flow<'_> {
        Flow::resume(&self.kafka, self.db, &load.schema, &self.topic)
    }

    fn run(&mut self, duration: Duration, samples: &mut Samples) {
        let (producer, stream) = (self.kafka.producer(), Arc::clone(&self.stream));
        std::thread::scope(|scope| {
            scope.spawn(|| stream.write(&producer));
            let _ending = stream.ending();
            self.strike(duration, samples);
        });
        self.settle();
    }

    /// Faults, looks and the oracle, for so long.
    fn strike(&mut self, duration: Duration, samples: &mut Samples) {
        let begun = Instant::now();
        let (mut next_fault, mut next_oracle) = (begun + MINUTE / 4, begun + MINUTE);
        while begun.elapsed() < duration {
            std::thread::park_timeout(LOOK);
            self.steady.expect_running();
            self.struck.expect_running();
            samples.look(begun.elapsed(), self);
            if Instant::now() >= next_fault {
                let fault = Fault::thrown(&mut self.dice);
                println!("{:4} s: {}", begun.elapsed().as_secs(), fault.words());
                samples.struck(fault);
                fault.strike(self);
                next_fault = Instant::now() + Duration::from_secs(self.dice.within(PAUSE));
            }
            if Instant::now() >= next_oracle {
                self.ask_oracle();
                next_oracle = Instant::now() + MINUTE;
            }
        }
    }

    /// In both tables every partition holds each sequence from 0 on once and undamaged, as many as its ledger says, and
    /// more than a minute ago.
    fn ask_oracle(&mut self) {
        for load in [&mut self.steady, &mut self.struck] {
            let rows = poll(SOON, || check(self.db, &load.schema).filter(|rows| *rows > load.rows));
            load.rows = rows.unwrap_or_else(|| panic!("nothing was committed any more:\n{}", load.running.text()));
        }
    }

    /// Everything that was written is loaded, both loads end well, and nothing of theirs is left.
    fn settle(&mut self) {
        let written = self.stream.written();
        let total: i64 = written.iter().sum();
        for load in [&mut self.steady, &mut self.struck] {
            wait_until(SOON, "all rows", || {
                load.expect_running();
                check(self.db, &load.schema).is_some_and(|rows| rows >= total)
            });
            load.running.signal("INT");
            wait_until(SOON, "the load to end", || load.running.has_ended());
            let flow = Flow::resume(&self.kafka, self.db, &load.schema, &self.topic);
            flow.expect(&(0..).zip(&written).map(|(partition, &end)| (partition, 0..end)).collect::<Vec<_>>());
        }
        let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gpkafka:%'";
        wait_until(SOON, "all sessions to end", || self.db.number(left) == 0);
        assert_eq!(self.db.number("SELECT count(*) FROM pg_prepared_xacts"), 0, "prepared transactions");
    }
}

/// Rows of a table that agrees with its ledger; `None` where the server does not answer.
fn check(db: &Database, schema: &str) -> Option<i64> {
    // one statement: one snapshot
    let sql = format!(
        "SELECT coalesce(t.part, l.partition), t.rows, t.distinct_rows, t.first, t.last + 1, t.damaged, l.rows, l.next
           FROM (SELECT part, count(*) AS rows, count(DISTINCT seq) AS distinct_rows, min(seq) AS first,
                        max(seq) AS last, sum(CASE WHEN hash = md5(part || ',' || seq) THEN 0 ELSE 1 END) AS damaged
                   FROM {schema}.t GROUP BY part) AS t
           FULL JOIN (SELECT \"partition\", sum(inserted) AS rows, max(next) AS next
                        FROM {schema}.gpkafka_ledger GROUP BY \"partition\") AS l
             ON l.partition = t.part"
    );
    let messages = db.try_connect().ok()?.simple_query(&sql).ok()?;
    let mut total = 0;
    for message in messages {
        let postgres::SimpleQueryMessage::Row(row) = message else { continue };
        let fields: Vec<Option<i64>> = (0..row.len()).map(|at| row.get(at)?.parse().ok()).collect();
        let rows = fields[1];
        let expected = [fields[0], rows, rows, Some(0), rows, Some(0), rows, rows];
        let what = "partition, rows, distinct rows, first, last + 1, damaged; the ledger's rows, next";
        assert_eq!(fields, expected, "{schema}: {what}");
        total += rows.unwrap_or(0);
    }
    Some(total)
}

/// Numbers that the seed decides.
struct Dice {
    seed: String,
    throws: u64,
}

impl Dice {
    fn within(&mut self, range: Range<u64>) -> u64 {
        self.throws += 1;
        let hash = Md5::digest(format!("{} {}", self.seed, self.throws));
        let number = u64::from_be_bytes(hash[..8].try_into().expect("a hash is longer"));
        range.start + number % (range.end - range.start)
    }
}
