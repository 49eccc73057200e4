//! Loads the same rows in every way that a user could choose, side by side: one Kafka, one Greenplum, interleaved
//! rounds, whole commands from their start to their exit. Ratios of one run can be compared, seconds of two cannot.
//!
//! ```text
//! cargo bench --bench end_to_end [-- --rows 2000000 --rounds 5 --only PART-OF-NAME]
//! ```
//!
//! Prints a table, the ratios, and writes both to `target/end_to_end.json`. Wants a Greenplum under GPHOME, kcat, and GNU time.
//! Exit code 1 where a promised ratio was missed, or could not be tried.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "../../integration/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

mod commands;
mod consume;
mod contenders;
mod floor;
mod python;
mod report;
mod scene;

use std::collections::BTreeMap;

use commands::Cost;
use contenders::Contender;
use scene::Scene;

/// The sizes of one run.
struct Sizes {
    rows: i64,
    rounds: usize,
    /// Part of the names of who takes part; empty is all.
    only: String,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words[..] {
        // the part of the comparison that is no command of anybody's: this program again, in a process of its own
        ["consume", brokers, topic] => consume::all(brokers, topic),
        _ => compare(&sizes(&words)),
    }
}

fn sizes(words: &[&str]) -> Sizes {
    let mut sizes = Sizes { rows: 2_000_000, rounds: 5, only: String::new() };
    for pair in words.chunks(2) {
        match pair {
            ["--rows", rows] => sizes.rows = rows.parse().expect("--rows takes a number"),
            ["--rounds", rounds] => sizes.rounds = rounds.parse().expect("--rounds takes a number"),
            ["--only", part] => (*part).clone_into(&mut sizes.only),
            other => panic!("{other:?}: it knows --rows N, --rounds N and --only PART-OF-NAME"),
        }
    }
    sizes
}

fn compare(sizes: &Sizes) {
    let Some(scene) = Scene::set(sizes.rows) else {
        println!("not run: it wants a Greenplum server under GPHOME");
        std::process::exit(1);
    };
    let contenders = contenders::all().into_iter().filter(|contender| contender.name.contains(&sizes.only));
    let (there, missing): (Vec<_>, Vec<_>) = contenders.partition(Contender::is_there);
    for contender in &missing {
        println!("   left out: {}: {} is not installed", contender.name, contender.program);
    }
    let missing: Vec<&str> = missing.iter().map(|contender| contender.name).collect();
    let mut costs: BTreeMap<&str, Vec<Cost>> = BTreeMap::new();
    // the first round warms caches and is not counted
    for round in 0..=sizes.rounds {
        for contender in &there {
            let cost = contender.run(&scene, round);
            println!("   round {round}  {:<44} {:6.2} s  cpu {:6.2} s", contender.name, cost.seconds, cost.cpu_seconds);
            if round > 0 {
                costs.entry(contender.name).or_default().push(cost);
            }
        }
    }
    let names: Vec<&str> = there.iter().map(|contender| contender.name).collect();
    if !report::tell(&scene, &names, &missing, &costs) {
        println!("a promise was missed, or could not be tried");
        std::process::exit(1);
    }
}
