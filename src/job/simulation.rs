//! The brain against a world in memory that crashes at any step: 500 seeds, and every record must arrive once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::batch::{Limits, RejectLimit};
use super::state::{Action, Event, State, Wants};
use crate::block::{BlockIndex, Reject, RowBlock, Run};
use crate::copies::Copies;
use crate::offset::{Checkpoint, Generation, Span};

/// Xorshift: repeatable from its seed, and good enough to choose what happens next.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A topic with holes and bad records.
struct Topic {
    /// Offsets that hold a record, and whether it is good.
    partitions: BTreeMap<i32, BTreeMap<i64, bool>>,
    end: BTreeMap<i32, i64>,
}

impl Topic {
    fn new(dice: &mut Dice) -> Self {
        let mut partitions = BTreeMap::new();
        let mut end = BTreeMap::new();
        for partition in 0..=i32::try_from(dice.roll(3)).unwrap() {
            let last = i64::try_from(dice.roll(60)).unwrap();
            let records = (0..last).filter(|_| dice.roll(5) > 0).map(|offset| (offset, offset % 7 != 3)).collect();
            partitions.insert(partition, records);
            end.insert(partition, last);
        }
        Self { partitions, end }
    }

    /// The next block of a partition: some records, or only holes at the end.
    fn block(&self, partition: i32, at: i64, dice: &mut Dice, generation: Generation) -> RowBlock {
        let want = 1 + usize::try_from(dice.roll(6)).unwrap();
        let records: Vec<(i64, bool)> =
            self.partitions[&partition].range(at..).take(want).map(|(&offset, &good)| (offset, good)).collect();
        let next = records.last().map_or(self.end[&partition], |(offset, _)| offset + 1);
        let good: Vec<i64> = records.iter().filter(|(_, good)| *good).map(|(offset, _)| *offset).collect();
        let reject = |&(offset, _): &(i64, bool)| Reject { partition, offset, reason: "bad".into(), payload: vec![] };
        let runs = (0u32..).zip(&good).map(|(row, &offset)| Run { row, offset, record_rows: 1 }).collect();
        RowBlock {
            index: BlockIndex {
                partition,
                span: Span::new(at, next).unwrap(),
                rows: u32::try_from(good.len()).unwrap(),
                runs,
            },
            generation,
            leader_epoch: None,
            bytes: Bytes::from(vec![b'\n'; good.len()]),
            source_bytes: 0,
            records: u32::try_from(records.len()).unwrap(),
            dropped: 0,
            rejects: records.iter().filter(|(_, good)| !good).map(reject).collect(),
            copies: Copies::default(),
        }
    }
}

/// The database: what is committed survives every crash.
#[derive(Default)]
struct Database {
    rows: Vec<(i32, i64)>,
    rejected: u64,
    ledger: Checkpoint,
}

struct World {
    dice: Dice,
    topic: Topic,
    database: Database,
    now: Instant,
}

/// One life of the loader.
struct Attempt {
    state: State,
    at: BTreeMap<i32, i64>,
    told_end: BTreeSet<i32>,
    generation: Generation,
    sent: Vec<(i32, i64)>,
    /// What the database will answer, later.
    replies: VecDeque<Event>,
    has_ended: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let topic = Topic::new(&mut dice);
        Self { dice, topic, database: Database::default(), now: Instant::now() }
    }

    fn attempt(&mut self, generation: Generation, stop_early: bool) -> Attempt {
        for &partition in self.topic.partitions.keys() {
            if self.database.ledger.get(partition).is_none() {
                self.database.ledger.set(partition, 0);
            }
        }
        let wants = Wants {
            limits: Limits {
                rows_max: self.dice.roll(12),
                bytes_max: 1000,
                age_max: Duration::from_secs(5),
                idle_max: Duration::ZERO,
            },
            reject_limit: RejectLimit::Percent(100),
            has_filter: false,
            counts_rows: true,
            keeps_rejects: false,
            until_end_of: (!stop_early).then(|| self.topic.partitions.keys().copied().collect()),
        };
        Attempt {
            state: State::new(wants, generation, self.database.ledger.clone(), 0),
            at: self.database.ledger.iter().collect(),
            told_end: BTreeSet::new(),
            generation,
            sent: Vec::new(),
            replies: VecDeque::new(),
            has_ended: false,
        }
    }

    /// One random thing happens. `false`: the loader died.
    fn step(&mut self, life: &mut Attempt, crash_odds: u64) -> bool {
        let event = match self.dice.roll(8) {
            0 => Event::Tick,
            1 if life.generation.0.is_multiple_of(3) => Event::Finish,
            2..=4 => match life.replies.pop_front() {
                Some(reply) => reply,
                None => return true,
            },
            _ => match self.read(life) {
                Some(event) => event,
                None => return true,
            },
        };
        self.now += Duration::from_millis(self.dice.roll(900));
        let actions = life.state.on(event, self.now).unwrap();
        actions.into_iter().all(|action| self.perform(life, action, crash_odds))
    }

    fn read(&mut self, life: &mut Attempt) -> Option<Event> {
        let count = u64::try_from(life.at.len()).unwrap();
        let partition = i32::try_from(self.dice.roll(count)).unwrap();
        let at = life.at[&partition];
        if at < self.topic.end[&partition] {
            let block = self.topic.block(partition, at, &mut self.dice, life.generation);
            life.at.insert(partition, block.index.span.next());
            return Some(Event::Block(block));
        }
        life.told_end.insert(partition).then_some(Event::End { partition, generation: life.generation })
    }

    fn perform(&mut self, life: &mut Attempt, action: Action, crash_odds: u64) -> bool {
        let dies = self.dice.roll(crash_odds) == 0;
        match action {
            Action::Begin { batch } => life.replies.push_back(Event::Opened { batch }),
            Action::Send { block, .. } => {
                let index = &block.index;
                life.sent.extend((0..index.rows).map(|row| (index.partition, index.offset_of(row).unwrap())));
            }
            Action::Seal { batch } => {
                let inserted = u64::try_from(life.sent.len()).unwrap();
                life.replies.push_back(Event::Inserted { batch, inserted, rejected: 0, saved: 0, outputs: Vec::new() });
            }
            Action::Commit { batch, .. } => {
                if dies && self.dice.roll(2) == 0 {
                    return false;
                }
                let front = life.state.front().unwrap();
                self.database.ledger.advance(&front.delta).unwrap();
                self.database.rejected += front.counts.rejected;
                self.database.rows.append(&mut life.sent);
                life.replies.push_back(Event::Committed { batch });
            }
            Action::Report(_) => {}
            Action::Fail(cause) => panic!("{cause}"),
            Action::End => life.has_ended = true,
        }
        !dies
    }

    fn check(mut self) {
        let good = |good: bool| {
            self.topic.partitions.iter().flat_map(move |(&partition, records)| {
                records
                    .iter()
                    .filter(move |(_, is_good)| **is_good == good)
                    .map(move |(&offset, _)| (partition, offset))
            })
        };
        let wanted: Vec<(i32, i64)> = good(true).collect();
        let bad = good(false).count();
        self.database.rows.sort_unstable();
        assert_eq!(self.database.rows, wanted, "every good record once");
        assert_eq!(self.database.rejected, u64::try_from(bad).unwrap(), "every bad record counted once");
        for (partition, end) in &self.topic.end {
            assert_eq!(self.database.ledger.get(*partition), Some(*end), "partition {partition} is read to its end");
        }
    }
}

#[test]
fn whatever_crashes_every_record_arrives_once() {
    for seed in 1..=500 {
        let mut world = World::new(seed);
        for life in 0.. {
            assert!(life < 200, "seed {seed}: no progress");
            let crash_odds = if life < 20 { 1 + world.dice.roll(30) } else { u64::MAX };
            let generation = Generation(if life < 20 { life } else { 1 });
            let mut attempt = world.attempt(generation, generation.0.is_multiple_of(3));
            let mut steps = 0;
            let mut alive = true;
            while alive && !attempt.has_ended {
                steps += 1;
                assert!(steps < 100_000, "seed {seed}: stuck in {:?}", attempt.state);
                alive = world.step(&mut attempt, crash_odds);
            }
            if life >= 20 && attempt.has_ended {
                break;
            }
        }
        world.check();
    }
}
