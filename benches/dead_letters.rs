//! What refused records cost: a load with one bad record in a hundred, kept as dead letters, beside a load of as many good
//! ones. One Kafka, one Greenplum, interleaved rounds, whole commands.
//!
//! ```text
//! cargo bench --bench dead_letters [-- --rows 1000000 --rounds 5]
//! ```
//!
//! Half of the bad records lack a column, which the loader refuses; the others have no number where one must be, which a
//! segment refuses. Exit code 1 where the promised ratio was missed.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "../integration/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use harness::{Database, Job, Topic, User, Version, directory, executable, greenplum, kafka};

const PARTITIONS: i32 = 4;

/// Of so many records one is bad.
const BAD_ONE_OF: i64 = 100;

/// The least that the speed with bad records may be of the speed without.
const PROMISED: f64 = 0.8;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |flag: &str, default: i64| {
        let value = words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
        value.map_or(default, |value| value.parse().expect("a number follows"))
    };
    let (rows, rounds) = (number("--rows", 1_000_000), number("--rounds", 5));
    let Some(db) = greenplum(2) else {
        println!("not run: it wants a Greenplum server under GPHOME");
        std::process::exit(1);
    };
    let kafka = kafka(Version::V4_1_1);
    let (good, bad) = (kafka.topic("good", PARTITIONS), kafka.topic("bad", PARTITIONS));
    fill(&good, rows, false);
    fill(&bad, rows, true);
    let dir = directory("letters", User::current());
    let refused = rows / BAD_ONE_OF;
    let mut ratios = Vec::new();
    println!("── {rows} records, {PARTITIONS} partitions, 2 segments; of the bad topic {refused} are refused");
    // the first round warms caches and is not counted
    for round in 0..=rounds {
        let without = load(db, &good, &dir, false);
        let logged = load(db, &bad, &dir, false);
        let kept = load(db, &bad, &dir, true);
        let counts = "(SELECT count(*) FROM t), (SELECT count(*) FROM letters)";
        assert_eq!(db.value(&format!("SELECT ({counts})::text")), format!("({},{refused})", rows - refused));
        println!(
            "   round {round}  good {without:.2} s   bad, in the log {logged:.2} s   bad, in dead letters {kept:.2} s"
        );
        if round > 0 {
            ratios.push(without / kept);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
    println!(
        "speed with dead letters to speed without bad records: {median:.2} ({least:.2} … {most:.2}), promised ≥ {PROMISED}"
    );
    db.execute("DROP TABLE t, letters, gpkafka_ledger");
    std::process::exit(i32::from(median < PROMISED));
}

fn fill(topic: &Topic<'_>, rows: i64, has_bad: bool) {
    let producer = topic.kafka.producer();
    for id in 0..rows {
        let row = match id % BAD_ONE_OF {
            57 if has_bad && id % (2 * BAD_ONE_OF) == 57 => format!("{id}"),
            57 if has_bad => format!("x{id},a row whose number is none, and as long as the others are: {id:020}"),
            _ => format!("{id},{:09}.{:02},a row as long as rows of orders are: {id:020}", id % 1000, id % 100),
        };
        let partition = i32::try_from(id / 1000 % i64::from(PARTITIONS)).unwrap();
        producer.send(&topic.name, partition, None, Some(row.as_bytes()));
    }
    producer.flush();
}

/// Seconds of a first load of all that is there.
fn load(db: &Database, topic: &Topic<'_>, dir: &Path, keeps: bool) -> f64 {
    db.execute(
        "DROP TABLE IF EXISTS t, letters, gpkafka_ledger; CREATE TABLE t (id bigint, amount numeric, note text)",
    );
    let job = Job::new(db, topic, "public", "t", "id bigint, amount numeric, note text").input("ERROR_LIMIT: 10%");
    let job = if keeps { job.dead_letter("letters") } else { job };
    let path = dir.join("job.yaml");
    std::fs::write(&path, job.text()).unwrap();
    let mut command = Command::new(executable());
    command.arg("load").arg(&path).args(["--quit-at-eof", "--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"]);
    let begun = Instant::now();
    let output = command.arg("--log-dir").arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    begun.elapsed().as_secs_f64()
}
