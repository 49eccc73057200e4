//! Loads the same rows in every way that a user could choose, side by side: one Kafka, one Greenplum, interleaved
//! rounds, whole commands from their start to their exit. Ratios of one run can be compared, seconds of two cannot.
//!
//! ```text
//! cargo bench --bench end_to_end [-- --rows 2000000 --rounds 5]
//! ```
//!
//! Prints a table, the ratios, and writes both to `target/end_to_end.json`. Wants a Greenplum under GPHOME, and kcat.
//! Exit code 1 where a promised ratio was missed, or could not be tried.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "../../integration/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

mod contenders;
mod pipeline;
mod report;
mod scene;

use std::collections::BTreeMap;
use std::time::Duration;

use contenders::Contender;
use scene::Scene;

/// The sizes of one run.
struct Sizes {
    rows: i64,
    rounds: usize,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words[..] {
        // the parts of the comparison that are no command of anybody's: this program again, in a process of its own
        ["consume", brokers, topic] => pipeline::consume(brokers, topic),
        ["discard", brokers, topic] => pipeline::discard(brokers, topic),
        _ => compare(&sizes(&words)),
    }
}

fn sizes(words: &[&str]) -> Sizes {
    let mut sizes = Sizes { rows: 2_000_000, rounds: 5 };
    for pair in words.chunks(2) {
        match pair {
            ["--rows", rows] => sizes.rows = rows.parse().expect("--rows takes a number"),
            ["--rounds", rounds] => sizes.rounds = rounds.parse().expect("--rounds takes a number"),
            other => panic!("{other:?}: it knows --rows N and --rounds N"),
        }
    }
    sizes
}

fn compare(sizes: &Sizes) {
    let Some(scene) = Scene::set(sizes.rows) else {
        println!("not run: it wants a Greenplum server under GPHOME");
        std::process::exit(1);
    };
    let contenders = contenders::all();
    let (there, missing): (Vec<_>, Vec<_>) = contenders.into_iter().partition(Contender::is_there);
    for contender in &missing {
        println!("   left out: {}: {} is not installed", contender.name, contender.program);
    }
    let missing: Vec<&str> = missing.iter().map(|contender| contender.name).collect();
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    // the first round warms caches and is not counted
    for round in 0..=sizes.rounds {
        for contender in &there {
            let time = contender.run(&scene, round);
            println!("   round {round}  {:<44} {:6.2} s", contender.name, time.as_secs_f64());
            if round > 0 {
                times.entry(contender.name).or_default().push(time);
            }
        }
    }
    let names: Vec<&str> = there.iter().map(|contender| contender.name).collect();
    if !report::tell(&scene, &names, &missing, &times) {
        println!("a promise was missed, or could not be tried");
        std::process::exit(1);
    }
}
