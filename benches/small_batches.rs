//! What a load takes where its batches are small: how long until a record is visible, and what a batch costs above what
//! the database takes for it anyway. One Kafka, one Greenplum of two segments.
//!
//! ```text
//! cargo bench --bench small_batches [-- --seconds 30 --batches 1000]
//! ```
//!
//! - latency: 1,000 records a second, MINIMAL_INTERVAL 100 ms; from the producer's call to the first look of another
//!   session that sees the row, which looks again and again. Beside it, when a plain consumer has the record.
//! - overhead: batches of one record (MAX_ROW 1), against the same row by `INSERT … SELECT` from real gpfdist in a
//!   transaction with one more row, as the ledger's is; and against an empty transaction.
//!
//! Exit code 1 where a promise was missed.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(
    clippy::disallowed_methods,
    reason = "a producer keeps a pace, and a clock that looks too often would slow what it times"
)]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "../integration/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use harness::{Database, Job, Kafka, Loader, User, Version, directory, gpfdist, greenplum, kafka};

const RECORDS_PER_SECOND: usize = 1000;
/// Milliseconds: half of the records are visible after, and all but one in a hundred.
const LATENCY: (f64, f64) = (150.0, 400.0);
/// Milliseconds that a batch may cost above the database's own.
const OVERHEAD: f64 = 10.0;
/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(120);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |flag: &str, default: usize| {
        let value = words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
        value.map_or(default, |value| value.parse().expect("a number follows"))
    };
    let Some(db) = greenplum(2) else {
        println!("not run: it wants a Greenplum server under GPHOME");
        std::process::exit(1);
    };
    let kafka = kafka(Version::V4_1_1);
    let is_prompt = latency(db, kafka, number("--seconds", 30) * RECORDS_PER_SECOND);
    let is_cheap = overhead(db, kafka, number("--batches", 1000));
    std::process::exit(i32::from(!(is_prompt && is_cheap)));
}

/// Whether records are visible soon enough.
fn latency(db: &Database, kafka: &Kafka, records: usize) -> bool {
    let topic = kafka.topic("prompt", 1);
    db.execute("CREATE TABLE prompt (id bigint, note text) DISTRIBUTED BY (id)");
    let job = Job::new(db, &topic, "public", "prompt", "id bigint, note text").commit("MINIMAL_INTERVAL: 100");
    let mut load = Loader::load(&job.text()).start();
    load.wait_for_text(DEADLINE, "gpkafka job has started");
    // what a broker takes to meet its first producer is not the loader's
    let (name, producer) = (topic.name.clone(), topic.kafka.producer());
    producer.send(&name, 0, None, Some(b"-1,the first one"));
    producer.flush();
    let records = records + 1;
    let begun = Instant::now();
    let (mut latencies, mut readings) = std::thread::scope(|scope| {
        let producing = scope.spawn(move || {
            let mut sent = vec![Duration::ZERO];
            for id in 1..records {
                let due =
                    Duration::from_secs(1) * u32::try_from(id).unwrap() / u32::try_from(RECORDS_PER_SECOND).unwrap();
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
                sent.push(begun.elapsed());
                producer.send(&name, 0, None, Some(format!("{id},a row as long as others are").as_bytes()));
            }
            producer.flush();
            sent
        });
        let (name, bootstrap) = (topic.name.as_str(), topic.kafka.bootstrap.as_str());
        let reading = scope.spawn(move || read(bootstrap, name, records, begun));
        // rows of a partition come in their order, and a batch is visible as a whole
        let mut seen: Vec<Duration> = Vec::with_capacity(records);
        let mut client = db.connect();
        while seen.len() < records {
            assert!(begun.elapsed() < DEADLINE * 5, "{} of {records} records are visible", seen.len());
            let rows: i64 = client.query_one("SELECT count(*) FROM prompt", &[]).unwrap().get(0);
            seen.resize(usize::try_from(rows).unwrap(), begun.elapsed());
        }
        let (sent, read) = (producing.join().unwrap(), reading.join().unwrap());
        let since = |times: Vec<Duration>| -> Vec<f64> {
            sent.iter().zip(times).skip(1).map(|(&sent, seen)| milliseconds(seen - sent)).collect()
        };
        (since(seen), since(read))
    });
    load.signal("INT");
    load.wait(DEADLINE).expect_code(0);
    db.execute("DROP TABLE prompt");
    let (half, most) = percentiles(&mut latencies);
    let (read_half, read_most) = percentiles(&mut readings);
    let kept = half <= LATENCY.0 && most <= LATENCY.1;
    println!(
        "latency of {} records at {RECORDS_PER_SECOND}/s: p50 {half:.0} ms, p99 {most:.0} ms (a plain consumer \
         {read_half:.0} and {read_most:.0})  ≤ {} / {} ms  {}",
        latencies.len(),
        LATENCY.0,
        LATENCY.1,
        word(kept)
    );
    kept
}

/// When a consumer that does nothing else has each record: what no loader can be faster than.
fn read(bootstrap: &str, topic: &str, records: usize, begun: Instant) -> Vec<Duration> {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "plain").set("fetch.wait.max.ms", "100");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    let mut read = Vec::with_capacity(records);
    while read.len() < records {
        if let Some(Ok(_)) = consumer.poll(DEADLINE) {
            read.push(begun.elapsed());
        }
    }
    read
}

/// The half of them are below the first, and all but one in a hundred below the other.
fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Whether a batch costs little more than what the database takes for it.
fn overhead(db: &Database, kafka: &Kafka, batches: usize) -> bool {
    let topic = kafka.topic("small", 1);
    let dir = directory("small", User::current());
    std::fs::write(dir.join("row.csv"), "1,a row\n").unwrap();
    let (_server, port) = gpfdist(&dir);
    db.execute(&format!(
        "CREATE TABLE small (id bigint, note text) DISTRIBUTED BY (id); CREATE TABLE small_ledger (LIKE small) DISTRIBUTED BY (id);
         CREATE EXTERNAL TABLE small_file (LIKE small) LOCATION ('gpfdist://127.0.0.1:{port}/row.csv') FORMAT 'CSV'"
    ));
    topic.produce(0, (0..batches).map(|id| format!("{id},a row")));
    let job = Job::new(db, &topic, "public", "small", "id bigint, note text").commit("MAX_ROW: 1");
    let load = Loader::load(&job.text()).args(["--quit-at-eof"]).start();
    let ours = milliseconds(committed(db, batches));
    load.wait(DEADLINE * 5).expect_code(0);

    let mut client = db.connect();
    let mut each = |sql: &str| {
        let begun = Instant::now();
        (0..batches).for_each(|_| client.batch_execute(sql).unwrap());
        milliseconds(begun.elapsed() / u32::try_from(batches).unwrap())
    };
    let empty = each("BEGIN; COMMIT");
    let insert = "INSERT INTO small SELECT * FROM small_file";
    let same = each(&format!("BEGIN; {insert}; INSERT INTO small_ledger VALUES (1, 'where it is'); COMMIT"));
    db.execute("DROP EXTERNAL TABLE small_file; DROP TABLE small, small_ledger");
    let (above, kept) = (ours - same, ours - same <= OVERHEAD);
    println!(
        "a batch of one record takes {ours:.1} ms; the same by gpfdist {same:.1} ms, an empty transaction {empty:.1} ms: {above:.1} ms above  ≤ {OVERHEAD} ms  {}",
        word(kept)
    );
    kept
}

/// Batches before the clock starts: what a start costs is not a batch's.
const BEGINNING: usize = 20;

/// How long a batch takes, from those that are committed to the last.
fn committed(db: &Database, batches: usize) -> Duration {
    let mut client = db.connect();
    let begun = Instant::now();
    let mut until = |count: usize| loop {
        assert!(begun.elapsed() < DEADLINE * 5, "{count} batches are not committed");
        let rows: i64 = client.query_one("SELECT count(*) FROM small", &[]).unwrap().get(0);
        if usize::try_from(rows).unwrap() >= count {
            return (Instant::now(), usize::try_from(rows).unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let ((first, seen), (last, _)) = (until(BEGINNING), until(batches));
    assert!(seen < batches / 2, "too few batches to time them");
    (last - first) / u32::try_from(batches - seen).unwrap()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn word(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}
