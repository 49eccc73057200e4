//! The fuzz targets without a fuzzer: seeds changed at random, the same for each seed of the dice. Few cases by default,
//! more with `GPKAFKA_FULL=1`; what is found by `cargo fuzz` becomes a seed and is tried here first.

#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::harness::full;

/// Far more than any input of these sizes may take, on the slowest of machines.
const SLOW: Duration = Duration::from_secs(20);

/// No input is longer.
const BYTES_MAX: usize = 4096;

/// Pieces that mean something to somebody.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"\xff\xff\xff\xff\x0f",
    b"\x80",
    b"{{",
    b"- ",
    b"#",
    b"'",
    b"1e999",
    b"\\ud800",
    b"@@",
    b"||",
    b"&a",
    b"*a",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    /// A few changes: bytes, cuts, doublings, words, and pieces of another seed.
    fn change(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len() + 1);
            let to = (at + self.below(16)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..to)),
                3 => bytes.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied()).for_each(drop),
                4 => {
                    let piece = bytes[at..to].repeat(1 + self.below(20));
                    bytes.splice(at..to, piece).for_each(drop);
                }
                _ => {
                    let from = self.below(other.len() + 1);
                    bytes.splice(at..to, other[from..].iter().copied().take(64)).for_each(drop);
                }
            }
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("integration/fuzz/seeds").join(target);
    let listed = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn expect_calm(target: &str) {
    let (_, run) = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{target} has no seeds");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut longest = Duration::ZERO;
    let mut attempt = |input: &[u8]| {
        let begun = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(input)));
        assert!(outcome.is_ok(), "{target} panics at b\"{}\"", input.escape_ascii());
        longest = longest.max(begun.elapsed());
        assert!(longest < SLOW, "{target} takes {longest:?} for b\"{}\"", input.escape_ascii());
    };
    seeds.iter().for_each(|seed| attempt(seed));
    for _ in 0..full(20_000) {
        let (one, two) = (dice.below(seeds.len()), dice.below(seeds.len()));
        let input = dice.change(&seeds[one], &seeds[two]);
        attempt(&input);
    }
}

macro_rules! calm {
    ($($target:ident)*) => { $(
        #[test]
        fn $target() {
            expect_calm(stringify!($target));
        }
    )* };
}

calm!(answer avro avro_schema composed convert csv delimited descriptor_set encoding job_file json jsonl ledger module);
calm!(pgpass proto protobuf references request sample shadow);

#[test]
fn every_target_has_its_seeds() {
    for (target, _) in targets::TARGETS {
        assert!(!seeds(target).is_empty(), "{target}");
    }
}
