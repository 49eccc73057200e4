//! The program behind `integration/demo`: starts PostgreSQL and Kafka, produces orders, loads them with interruptions,
//! and counts. It uses the harness of the tests, so its servers go however it ends.

#![expect(clippy::print_stdout, reason = "it is a show")]
#![expect(clippy::unwrap_used, reason = "a show that cannot go on ends right there")]

#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gpkafka::units;
use harness::{Database, Topic, Version, executable, kafka, poll, postgres, signal};
use md5::{Digest, Md5};

const ORDERS: i64 = 1_000_000;
const PARTITIONS: i32 = 4;
/// The stream flows for this long: time for a load, an interruption and a kill on the way.
const STREAM: Duration = Duration::from_secs(10);
/// The producer's tick; each writes its share of the orders.
const TICK: Duration = Duration::from_millis(50);

const TABLE: &str = "CREATE TABLE orders (
    partition  int,
    sequence   bigint,
    ordered_at timestamptz,
    customer   text,
    amount     numeric(9,2),
    tax        numeric(9,2),
    hash       text
)";

fn main() {
    let begun = Instant::now();
    let keep = std::env::args().any(|word| word == "--keep");
    say("starting PostgreSQL and Kafka 4.1.1 side by side");
    let (db, kafka) = std::thread::scope(|scope| {
        let db = scope.spawn(postgres);
        let kafka = kafka(Version::V4_1_1);
        (db.join().unwrap(), kafka)
    });
    let topic = kafka.topic_named("orders", PARTITIONS, &[]);
    db.execute(TABLE);
    println!("   Kafka       {}   topic orders, {PARTITIONS} partitions", kafka.bootstrap);
    println!("   PostgreSQL  {}   table orders", db.address());

    let place = PathBuf::from("target/demo");
    std::fs::create_dir_all(&place).unwrap();
    let job = place.join("orders.yaml");
    std::fs::write(&job, job_file(db, &topic)).unwrap();
    println!("   job file    {}\n", job.display());

    std::thread::scope(|scope| {
        let producer = scope.spawn(|| produce(&topic));
        load_and_disturb(db, &job);
        producer.join().unwrap();
        say("killed on purpose; the rest, to the end of the topic");
        let status = load(&job, &["--quit-at-eof"]).wait().unwrap();
        assert!(status.success(), "gpkafka load ended with {status}");
    });

    show(db, &job);
    let is_right = count(db);
    println!("   all of it in {:.0} s\n", begun.elapsed().as_secs_f32());
    next(db, &job, keep);
    assert!(is_right, "rows were lost or doubled");
}

fn say(what: &str) {
    println!("\n── {what}");
}

fn job_file(db: &Database, topic: &Topic<'_>) -> String {
    format!(
        "{}VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: {}
      TOPIC: {}
    VALUE:
      COLUMNS:
        - {{NAME: partition, TYPE: int}}
        - {{NAME: sequence, TYPE: bigint}}
        - {{NAME: ordered_at, TYPE: timestamptz}}
        - {{NAME: customer, TYPE: text}}
        - {{NAME: amount, TYPE: 'numeric(9,2)'}}
        - {{NAME: hash, TYPE: text}}
      FORMAT: csv
  OUTPUT:
    TABLE: orders
    MAPPING:
      partition: partition
      sequence: sequence
      ordered_at: ordered_at
      customer: customer
      amount: amount
      tax: amount * 0.19
      hash: hash
  COMMIT:
    MINIMAL_INTERVAL: 1000
",
        db.yaml(),
        topic.kafka.bootstrap,
        topic.name
    )
}

/// Writes all orders, spread evenly over the stream's time.
fn produce(topic: &Topic<'_>) {
    let producer = topic.kafka.producer();
    let ticks = i64::try_from(STREAM.as_millis() / TICK.as_millis()).unwrap();
    let begun = Instant::now();
    let mut next = 0;
    for tick in 1..=ticks {
        for number in next..ORDERS * tick / ticks {
            let partition = i32::try_from(number % i64::from(PARTITIONS)).unwrap();
            let order = order(partition, number / i64::from(PARTITIONS));
            producer.send(&topic.name, partition, None, Some(order.as_bytes()));
        }
        next = ORDERS * tick / ticks;
        let due = TICK * u32::try_from(tick).unwrap();
        std::thread::park_timeout(due.saturating_sub(begun.elapsed()));
    }
    producer.flush();
}

fn order(partition: i32, sequence: i64) -> String {
    let second = sequence / 100;
    let time = format!("2026-11-22 {:02}:{:02}:{:02}+00", second / 3600 % 24, second / 60 % 60, second % 60);
    let customer = (sequence * 7919 + i64::from(partition) * 104_729) % 50_000;
    let cents = sequence * 31 % 100_000 + 99;
    let fields = format!("{partition},{sequence},{time},customer {customer:05},{}.{:02}", cents / 100, cents % 100);
    let hash = Md5::digest(fields.as_bytes());
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{fields},{hex}")
}

/// A load with the terminal as its own, so that its live line shows.
fn load(job: &Path, flags: &[&str]) -> Child {
    let path = job.display().to_string();
    println!("$ {}", [&["gpkafka", "load", &path], flags].concat().join(" "));
    // a shell makes what it runs in the background ignore Ctrl-C, and a load keeps to that
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(executable());
    command.arg("load").arg(job).args(["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0", "--log-dir"]);
    command.arg("target/demo/log").args(flags).spawn().unwrap()
}

/// The first load is interrupted, the second killed.
fn load_and_disturb(db: &Database, job: &Path) {
    say("loading while the orders flow in");
    let mut first = load(job, &[]);
    wait_for_rows(db, &mut first, ORDERS * 4 / 10);
    signal(first.id(), "INT");
    let status = first.wait().unwrap();
    assert!(status.success(), "gpkafka load ended with {status} after Ctrl-C");
    say(&format!("interrupted on purpose; {} rows are committed; it resumes", counted(db)));
    let mut second = load(job, &[]);
    wait_for_rows(db, &mut second, ORDERS * 75 / 100);
    signal(second.id(), "KILL");
    second.wait().unwrap();
    println!("\n   kill -9 on purpose; {} rows are committed", counted(db));
}

/// Waits until so many rows are committed; ends the show when the load does.
fn wait_for_rows(db: &Database, load: &mut Child, rows: i64) {
    let mut looked = Instant::now();
    let seen = poll(Duration::from_secs(60), || {
        let ended = load.try_wait().unwrap();
        assert!(ended.is_none(), "gpkafka load ended with {}", ended.unwrap());
        if looked.elapsed() < Duration::from_millis(500) {
            return None; // counting a table is work, and the load needs the machine
        }
        looked = Instant::now();
        (db.number("SELECT count(*) FROM orders") >= rows).then_some(())
    });
    assert!(seen.is_some(), "{rows} rows did not arrive within 60 s");
}

fn counted(db: &Database) -> String {
    units::count(u64::try_from(db.number("SELECT count(*) FROM orders")).unwrap())
}

fn show(db: &Database, job: &Path) {
    say("the first rows");
    let columns = ["partition", "sequence", "ordered_at", "customer", "amount", "tax", "hash"];
    println!("   {}", aligned(&columns));
    for row in db.rows(&format!("SELECT {} FROM orders ORDER BY 2, 1 LIMIT 5", columns.join(", "))) {
        println!("   {}", aligned(&row.split('|').collect::<Vec<_>>()));
    }
    say("the history: which offsets were committed when");
    println!("$ gpkafka check {}", job.display());
    let mut check = Command::new(executable());
    let status = check.arg("check").arg(job).args(["--show-commit-history", "latest"]).status().unwrap();
    assert!(status.success(), "gpkafka check ended with {status}");
}

fn aligned(fields: &[&str]) -> String {
    let widths = [9, 8, 22, 14, 6, 4, 16];
    let fields: Vec<String> = fields.iter().zip(widths).map(|(field, width)| format!("{field:width$}")).collect();
    fields.join("  ").trim_end().to_owned()
}

/// Counts by what each row carries, not by what the loader says; tells whether all is right.
fn count(db: &Database) -> bool {
    say("the count");
    let hash = "left(md5(partition || ',' || sequence || ',' || to_char(ordered_at AT TIME ZONE 'UTC',
        'YYYY-MM-DD HH24:MI:SS') || '+00,' || customer || ',' || amount), 16)";
    let sql = format!("SELECT count(*), count(DISTINCT (partition, sequence)), count(*) FILTER (WHERE hash <> {hash})");
    let counts = db.rows(&format!("{sql} FROM orders")).remove(0);
    let counts: Vec<i64> = counts.split('|').map(|count| count.parse().unwrap()).collect();
    let (rows, distinct, damaged) = (counts[0], counts[1], counts[2]);
    let number = |count: i64| units::count(count.unsigned_abs());
    let (lost, doubled) = (ORDERS - distinct, rows - distinct);
    let sign = if rows == ORDERS { "=" } else { "≠" };
    println!(
        "   {} produced {sign} {} in the table, {lost} lost, {doubled} doubled, {damaged} damaged",
        number(ORDERS),
        number(rows)
    );
    rows == ORDERS && lost == 0 && doubled == 0 && damaged == 0
}

fn next(db: &Database, job: &Path, keep: bool) {
    println!("── to try next");
    let dryrun = format!("target/release/gpkafka dryrun {}", job.display());
    println!("   {dryrun:<56}the SQL that it runs; needs no server");
    println!("   {:<56}this again, and the servers stay up for your own psql", "integration/demo --keep");
    println!("   {:<56}all flags; then README.md: a first load of your own", "target/release/gpkafka help load");
    if keep {
        println!("\n   psql -h {} -p {} -U {} {}", db.host, db.port, db.user, db.dbname);
        println!("   Enter ends the servers");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
}
