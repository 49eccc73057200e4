//! A job against a world in memory where everything goes wrong, repeatable from its seed.
//!
//! ```text
//!  kafka ──blocks──▶ attempt ──orders──▶ sql ──statements──▶ warehouse
//!  logs that grow,   the real State,     a session that      table, dead letters, ledger;
//!  expire, have      in a loop like      breaks, goes deaf,  transactions, unique key,
//!  holes             that of steer       loses its COMMIT    COMMITs that come late
//!                        └──push, seal──▶ segments ◀── the real gpfdist session
//! ```
//!
//! - `world` is what all share: chance (`dice`), `faults`, the time, which passes only when a step says so.
//! - `loader` is a process: it is killed, stopped and continued, and has a rival; `oracle` judges what is left.
//! - Real are [`State`](super::state::State) with its batches, the segments' session, the ledger's chain and its check,
//!   the positions, the succession, the settling of a doubt, what a batch writes into the ledger and its dead letters.
//! - A run is wild for a while, then calm: no more faults, loaders are told to stop, and one that starts then must load
//!   the rest. In between no attempt may fail to which nothing happened, and what a process says at its end must be true.
//!
//! `GPKAFKA_SIM_SEED=7` runs one seed and tells its steps where it fails, `GPKAFKA_SIM_SEEDS=20000` that many.

mod attempt;
mod dice;
mod faults;
mod kafka;
mod loader;
mod mutations;
mod oracle;
mod segments;
mod shrink;
mod sql;
mod warehouse;
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use faults::{Fault, Strike};
use loader::Loader;
use world::{Checked, Rule, World};

/// Seeds of a run, where the environment has no other wish.
const SEEDS: u64 = 1000;

/// Steps in which a calm world must have loaded everything.
const CALM_STEPS_MAX: u64 = 20_000;

/// How large a world may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    partitions: u64,
    segments: u64,
    /// Offsets of a partition at the start.
    records: u64,
    /// Of the wild part.
    steps: u64,
}

/// All that decides what happens.
#[derive(Debug, Clone)]
struct Plan {
    seed: u64,
    size: Size,
    /// Of the seed's faults only these.
    only: Option<BTreeSet<Strike>>,
    without: Option<Rule>,
    /// Writes down every step.
    is_told: bool,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let size = Size { partitions: 3, segments: 3, records: 40, steps: 1500 };
        Self { seed, size, only: None, without: None, is_told: false }
    }
}

/// A run that is over.
#[derive(Debug)]
struct Ran {
    outcome: Checked,
    struck: BTreeSet<Strike>,
    log: Vec<String>,
}

fn run(plan: &Plan) -> Ran {
    let mut world = World::new(plan, Instant::now());
    let outcome = catch_unwind(AssertUnwindSafe(|| live(&mut world, plan.size.steps)));
    let outcome = outcome.unwrap_or_else(|_| Err("a panic".to_owned()));
    Ran { outcome, struck: std::mem::take(&mut world.faults.struck), log: world.take_log() }
}

fn live(world: &mut World, steps: u64) -> Checked {
    let mut loaders = Vec::new();
    for _ in 0..steps {
        world.live();
        let is_rival = !loaders.is_empty() && loaders.len() < 2 && world.strikes(Fault::Successor);
        if loaders.is_empty() || is_rival {
            let quits_at_eof = world.dice.is_one_in(2);
            loaders.push(Loader::new(quits_at_eof, world));
            let have_met = loaders.len() > 1;
            loaders.iter_mut().for_each(|loader| loader.has_met |= have_met);
        }
        let at = world.dice.index(loaders.len());
        world.actor = loaders[at].number;
        let was_busy = wild_step(&mut loaders[at], world)?;
        loaders.retain(|loader| !loader.is_over());
        world.pass_time(was_busy);
    }
    (world.faults.is_calm, world.actor) = (true, 0);
    world.say(|| "all is calm from here".to_owned());
    for loader in &mut loaders {
        loader.frozen_until = None;
        loader.stop(world)?;
    }
    come_to_rest(loaders, world)?;
    come_to_rest(vec![Loader::new(true, world)], world)?;
    oracle::check(&world.kafka, &world.warehouse)
}

fn wild_step(loader: &mut Loader, world: &mut World) -> Checked<bool> {
    if loader.frozen_until.is_some_and(|until| world.now < until) {
        return Ok(false);
    }
    loader.frozen_until = None;
    if world.strikes(Fault::Kill) {
        loader.kill(world);
        return Ok(true);
    }
    if world.strikes(Fault::Freeze) {
        loader.frozen_until = Some(world.within(120));
        return Ok(true);
    }
    if world.strikes(Fault::Stop) {
        loader.stop(world)?;
    }
    loader.step(world)
}

fn come_to_rest(mut loaders: Vec<Loader>, world: &mut World) -> Checked {
    for _ in 0..CALM_STEPS_MAX {
        loaders.retain(|loader| !loader.is_over());
        if loaders.is_empty() {
            return Ok(());
        }
        let at = world.dice.index(loaders.len());
        world.actor = loaders[at].number;
        let was_busy = loaders[at].step(world)?;
        world.pass_time(was_busy);
    }
    Err(format!("no progress: {loaders:#?}"))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_happens_every_record_arrives_once() {
    let seeds = match number("GPKAFKA_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("GPKAFKA_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = BTreeSet::new();
    let is_whole = seeds.clone().count() >= 500;
    for seed in seeds {
        let plan = Plan::new(seed);
        let ran = run(&plan);
        seen.extend(ran.struck.iter().map(|strike| strike.0));
        assert!(ran.outcome.is_ok(), "{}", shrink::report(plan, ran));
    }
    if is_whole {
        let never: Vec<_> = Fault::ALL.into_iter().filter(|fault| !seen.contains(fault)).collect();
        assert!(never.is_empty(), "{never:?} never happened");
    }
}

#[test]
fn a_seed_repeats_itself() {
    let told = |seed| run(&Plan { is_told: true, ..Plan::new(seed) }).log;
    let first = told(7);
    assert!(first.len() > 100 && first == told(7) && first != told(8));
}
