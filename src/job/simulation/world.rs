//! What all loaders of a simulation share: chance, faults, time, the topic, the database; and the log of what happened.

use std::time::{Duration, Instant};

use super::Plan;
use super::dice::Dice;
use super::faults::{Fault, Faults};
use super::kafka::Kafka;
use super::warehouse::Warehouse;
use crate::metrics::Metrics;

/// A rule that a mutation takes out, to see that somebody misses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// unique (job, partition, seq)
    UniqueKey,
    /// The row seq − 1 must be there and be the known one.
    ChainCheck,
    /// A first row is checked too: it may have been there and be pruned.
    FirstRow,
    /// Rows sent = inserted + rejected.
    RowCheck,
    /// A segment gets rows on one connection only.
    SecondGet,
    /// The end of a scan needs a sealed session.
    SealedEnd,
    /// Blocks of an older attempt are dropped.
    Generation,
    /// Only the load's own transaction may read.
    Xid,
    /// After a COMMIT without reply the chain says whether it counts.
    Doubt,
    /// All rows of the ledger are asked then, not only the newest.
    FollowedDoubt,
    /// The chain is read only after the old session is gone.
    EndEarlier,
}

/// Something that must never happen, in words.
pub type Checked<T = ()> = Result<T, String>;

/// See the module.
pub struct World {
    pub dice: Dice,
    pub faults: Faults,
    pub now: Instant,
    pub kafka: Kafka,
    pub warehouse: Warehouse,
    pub metrics: Metrics,
    pub segments: i32,
    /// The job has a filter: then nobody can tell a row that was lost from one that was dropped.
    pub has_filter: bool,
    /// Loaders that ever lived, and those that others met.
    pub loaders_ever: u64,
    pub encounters: u64,
    /// The loader in which something happens, for the log; 0 where it is in none.
    pub actor: u64,
    without: Option<Rule>,
    began: Instant,
    log: Option<Vec<String>>,
}

impl World {
    pub fn new(plan: &Plan, began: Instant) -> Self {
        let mut dice = Dice::new(plan.seed);
        let has_filter = dice.is_one_in(3);
        let partitions = 1 + i32::try_from(dice.roll(plan.size.partitions)).unwrap();
        let segments = 1 + i32::try_from(dice.roll(plan.size.segments)).unwrap();
        let mut kafka = Kafka::new(partitions, has_filter);
        for partition in 0..partitions {
            let offsets = dice.offset(plan.size.records);
            kafka.grow(partition, offsets, &mut dice);
        }
        Self {
            dice,
            faults: Faults::new(plan.seed, plan.only.clone()),
            now: began,
            kafka,
            warehouse: Warehouse::new(plan.without != Some(Rule::UniqueKey)),
            metrics: Metrics::default(),
            segments,
            has_filter,
            loaders_ever: 0,
            encounters: 0,
            actor: 0,
            without: plan.without,
            began,
            log: plan.is_told.then(Vec::new),
        }
    }

    /// Whether a rule is in force.
    pub fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether a fault falls here and now.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.faults.strikes(fault);
        if strikes {
            self.say(|| format!("            ! {fault:?}"));
        }
        strikes
    }

    /// All that excuses a failure, counted.
    pub fn excuses(&self) -> u64 {
        self.faults.harmful + self.encounters
    }

    /// A moment within so many seconds.
    pub fn within(&mut self, seconds: u64) -> Instant {
        self.now + Duration::from_millis(self.dice.roll(seconds * 1000))
    }

    /// Lets time pass: moments where something happened, longer where all wait.
    pub fn pass_time(&mut self, was_busy: bool) {
        self.now += Duration::from_millis(1 + self.dice.roll(if was_busy { 150 } else { 1500 }));
        self.warehouse.pass_time(self.now);
    }

    /// A line of the log, where there is one.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let line = line();
            let actor = if self.actor > 0 { format!("L{}", self.actor) } else { String::new() };
            log.push(format!("{:9.3} {actor:4} {line}", (self.now - self.began).as_secs_f64()));
        }
    }

    pub fn take_log(&mut self) -> Vec<String> {
        self.log.take().unwrap_or_default()
    }

    /// What the topic and the database do by themselves.
    pub fn live(&mut self) {
        self.actor = 0;
        let partition = i32::try_from(self.dice.index(self.kafka.logs.len())).unwrap();
        if self.strikes(Fault::Growth) {
            let offsets = 1 + self.dice.offset(8);
            self.kafka.grow(partition, offsets, &mut self.dice);
            self.say(|| format!("topic [{partition}] grows by {offsets}"));
        }
        if self.strikes(Fault::Expiry) {
            let log = self.kafka.logs.get_mut(&partition).unwrap();
            log.low += self.dice.offset(1 + (log.end - log.low).unsigned_abs()) / 3;
            let low = log.low;
            self.say(|| format!("topic [{partition}] begins at {low}"));
        }
        if self.kafka.logs.len() < 6 && self.strikes(Fault::NewPartition) {
            let partition = self.kafka.add_partition();
            let offsets = self.dice.offset(12);
            self.kafka.grow(partition, offsets, &mut self.dice);
            self.say(|| format!("topic [{partition}] is new, with {offsets} offsets"));
        }
        if self.strikes(Fault::Prune) {
            let kept = 1 + self.dice.offset(3);
            self.warehouse.prune(kept);
            self.say(|| format!("database: the newest {kept} ledger rows of each partition stay"));
        }
    }
}
