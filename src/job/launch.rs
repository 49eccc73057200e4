//! From answers to motion: deals the partitions out to workers, starts the threads, assigns. What was asked before is in
//! `prepare`, what happens then in `steer`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use fail::fail_point;

use super::batch::{Limits, RejectLimit};
use super::dead_letters::{self, Writer};
use super::doubt::{Copying, Doubts};
use super::failure::Error;
use super::hand::{BlockLimits, Hand, Lane, Told, Tools};
use super::positions::Positions;
use super::prepare::Prepared;
use super::report::say;
use super::run::{Memory, Run};
use super::schedule::Hours;
use super::state::{State, Wants};
use super::steer::Steer;
use super::threads::{Stop, Threads};
use super::warehouse::{Order, Reply, Warehouse};
use super::watch::{self, KafkaWatch};
use super::worker::Worker;
use crate::config::{ErrorLimit, Idle};
use crate::decode;
use crate::greenplum::{Chain, DeadLetters, Load};
use crate::kafka::{Consumer, Start};
use crate::offset::Generation;
use crate::transform::Program;

/// More workers than this share one consumer's queue without gain.
const WORKERS_MAX: usize = 8;

/// Encoded bytes after which a block is sealed: large enough that its way through queue and socket costs nothing beside
/// its rows, small enough that every segment gets its share.
const BLOCK_BYTES: usize = 128 * 1024;

/// Messages between threads: a second's worth at most, so that the loop stays near what happens.
pub(super) const CHANNEL: usize = 64;

/// Encoded bytes that end a batch: a transaction that can be repeated in seconds.
const BATCH_BYTES_MAX: u64 = 4 << 30;

/// Silence that ends a batch for which neither age nor silence was given, MAX_ROW alone: its transaction holds locks, and
/// the rest of its rows may never come.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// How many workers there are at most: one a core.
pub fn workers_max() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

impl Prepared {
    /// Starts the threads and assigns the partitions.
    ///
    /// # Errors
    /// Kafka refuses the assignment, or there is no thread to be had.
    pub fn start<'a>(self, run: &'a Run<'_>, memory: &'a mut Memory) -> Result<Steer<'a>, Error> {
        let Self { consumer, holder, load, chain, path, decoding, program, topic_id, positions, segments } = self;
        let consumer = Arc::new(consumer);
        let mut threads = Threads::joined_within(run.options.liveness.answer());
        let (told_in, told) = bounded(CHANNEL);
        let (orders, orders_out) = bounded(2);
        let (replies_in, replies) = bounded(2);
        let (seen_in, seen) = bounded(CHANNEL);
        let (canceller, searching) = (load.canceller(), load.searching());
        let wants = wants(run, memory, load.is_filtered(), !decoding.is_custom());
        let assigned: BTreeSet<i32> = positions.starts.iter().map(|(partition, _)| partition).collect();
        let (generation, program) = (memory.generation, program.as_ref());
        let copying = copying(run, &load);
        let crew = Crew { run, generation, consumer: &consumer, chain: &chain, decoding: &decoding, program, copying };
        let starts = crew.start(lanes(&positions, memory), &told_in, &mut threads)?;
        drop(told_in);
        consumer.assign(memory.generation, &starts)?;
        let stop = threads.stop();
        let warehouse = warehouse(run, (load, chain, path, topic_id.clone()), (orders_out, replies_in), stop.clone());
        threads.start("warehouse", move || warehouse.run())?;
        let watch =
            kafka_watch(run, memory.quits_at_eof, &consumer, (assigned, topic_id.clone()), seen_in.clone(), &threads);
        threads.start("kafka", move || watch.run())?;
        threads.start("holder", move || watch::hold(holder, &seen_in, &stop))?;
        say!(run.reporter, Info, "gpkafka job has started");
        Ok(Steer {
            read: positions.starts.iter().collect(),
            state: State::new(wants, memory.generation, positions.starts, memory.batches_made),
            generation: memory.generation,
            topic: run.job.source.topic.clone(),
            topic_id,
            consumer,
            canceller,
            threads,
            told,
            replies,
            seen,
            orders,
            segments,
            budget: run.budget.clone(),
            metrics: run.metrics.clone(),
            reporter: run.reporter,
            shutdown: run.shutdown,
            totals: &mut memory.totals,
            session: None,
            opened: Instant::now(),
            is_committing: false,
            beaten: Instant::now(),
            unasked: None,
            rejects: Default::default(),
            saved: None,
            troubles: Default::default(),
            again: None,
            is_finishing: false,
            stop_asked: None,
            searching,
            search_told: None,
            is_careful: memory.is_careful,
            clean_batches: 0,
            hours: Hours { eof_from: run.hours.eof_from.filter(|_| !memory.quits_at_eof), ..run.hours },
            is_over: false,
            liveness: run.options.liveness,
            job: run.job,
        })
    }
}

/// The thread that loads, with its ends of the channels for orders and replies.
fn warehouse(
    run: &Run<'_>,
    (load, chain, path, topic_id): (Load, Chain, String, Option<String>),
    (orders, replies): (Receiver<Order>, Sender<Reply>),
    stop: Stop,
) -> Warehouse {
    Warehouse {
        load,
        chain,
        server: Arc::clone(&run.server),
        path,
        topic: run.job.source.topic.clone(),
        orders,
        replies,
        dead_letters: dead_letters(run, topic_id, &stop),
        stop,
        seconds: run.metrics.seconds.clone(),
        post_batch: run.job.task.post_batch.as_ref().map(|post_batch| post_batch.sql.clone()),
        has_analyzed: false,
    }
}

/// What keeps the refused records of a batch, if they are to be kept.
fn dead_letters(run: &Run<'_>, topic_id: Option<String>, stop: &Stop) -> Option<Writer> {
    let table = run.job.dead_letters.as_ref()?;
    let kafka = run.job.kafka_settings(dead_letters::QUEUE_BYTES, 1);
    Some(Writer::new(DeadLetters::new(table, &run.id), kafka, topic_id, stop.clone()))
}

/// Which records are copied, where there may be dead letters.
fn copying(run: &Run<'_>, load: &Load) -> Option<Copying> {
    fail_point!("copies-off", |_| None);
    Some(Copying { budget: run.copies.clone()?, doubts: Doubts::of(load.source()) })
}

/// What all workers share.
pub(super) struct Crew<'a> {
    pub run: &'a Run<'a>,
    pub generation: Generation,
    pub consumer: &'a Consumer,
    pub chain: &'a Chain,
    pub decoding: &'a decode::Settings,
    pub program: Option<&'a Program>,
    pub copying: Option<Copying>,
}

impl Crew<'_> {
    /// Deals the partitions out and starts the workers; what to assign to their queues comes back.
    pub fn start(
        &self,
        lanes: BTreeMap<i32, Lane>,
        told: &Sender<Told>,
        threads: &mut Threads,
    ) -> Result<Vec<Start>, Error> {
        let limits = block_limits(self.run, lanes.len());
        let mut starts = Vec::new();
        for (at, lanes) in dealt(lanes).into_iter().enumerate() {
            let queue = self.consumer.queue();
            starts.extend(lanes.iter().map(|(&partition, lane)| Start {
                partition,
                next: lane.next,
                leader_epoch: self.chain.get(partition).and_then(|entry| entry.leader_epoch),
                queue: queue.id(),
            }));
            let how = (self.decoding, self.program);
            let tools = tools(self.run, how, (limits, self.generation), (told.clone(), threads.reading()))?;
            let tools = Tools { copying: self.copying.clone(), ..tools };
            let worker = Worker { queue, hand: Hand::new(tools, lanes), seconds: self.run.metrics.seconds.clone() };
            threads.start(&format!("worker-{at}"), move || worker.run())?;
        }
        Ok(starts)
    }
}

/// What a hand works with: the run's own things, for one decoder and one channel.
pub(super) fn tools(
    run: &Run<'_>,
    (decoding, program): (&decode::Settings, Option<&Program>),
    (limits, generation): (BlockLimits, Generation),
    (out, stop): (Sender<Told>, Stop),
) -> Result<Tools, Error> {
    Ok(Tools {
        transform: program.map(Program::start).transpose()?,
        decoder: decode::decoder(decoding),
        sends_payloads: decoding.is_custom(),
        registries: run.registries.clone(),
        limits,
        generation,
        budget: run.budget.clone(),
        copying: None,
        metrics: run.metrics.clone(),
        out,
        stop,
    })
}

/// The partitions, one after the other to as many workers as there is work for.
fn dealt(lanes: BTreeMap<i32, Lane>) -> Vec<BTreeMap<i32, Lane>> {
    let count = workers_max().min(lanes.len()).max(1);
    let mut parts: Vec<BTreeMap<i32, Lane>> = (0..count).map(|_| BTreeMap::new()).collect();
    for (at, (partition, lane)) in lanes.into_iter().enumerate() {
        parts[at % count].insert(partition, lane);
    }
    parts
}

fn kafka_watch(
    run: &Run<'_>,
    is_bounded: bool,
    consumer: &Arc<Consumer>,
    (assigned, topic_id): (BTreeSet<i32>, Option<String>),
    seen: crossbeam_channel::Sender<watch::Seen>,
    threads: &Threads,
) -> KafkaWatch {
    let asked = run.job.source.partitions.clone();
    KafkaWatch {
        consumer: Arc::clone(consumer),
        assigned,
        topic_id,
        wants: Box::new(move |partition| !is_bounded && asked.as_ref().is_none_or(|asked| asked.contains(partition))),
        seen,
        stop: threads.stop(),
    }
}

/// Where the run is to stop at the ends, those are the ones seen at its start; partitions that came later are left.
fn lanes(positions: &Positions, memory: &Memory) -> BTreeMap<i32, Lane> {
    let until = |partition: i32| memory.ends.as_ref().and_then(|ends| ends.get(&partition).copied());
    let is_wanted = |partition: i32| memory.ends.is_none() || until(partition).is_some();
    let wanted = positions.starts.iter().filter(|(partition, _)| is_wanted(*partition));
    wanted.map(|(partition, next)| (partition, Lane { next, until: until(partition) })).collect()
}

fn wants(run: &Run<'_>, memory: &Memory, is_filtered: bool, counts_rows: bool) -> Wants {
    let commit = &run.job.commit;
    let ends = memory.ends.as_ref();
    Wants {
        limits: Limits {
            rows_max: commit.max_row.map_or(0, |rows| rows.get()),
            bytes_max: BATCH_BYTES_MAX,
            age_max: commit.minimal_interval.unwrap_or_default(),
            idle_max: match commit.idle {
                Idle::CommitAfter(idle) => idle,
                Idle::Off | Idle::Wait if commit.minimal_interval.is_some() => Duration::ZERO,
                Idle::Off | Idle::Wait => IDLE_MAX,
            },
        },
        reject_limit: match run.job.error_limit {
            ErrorLimit::Records(limit) => RejectLimit::Rows(limit),
            ErrorLimit::Percent(percent) => RejectLimit::Percent(percent),
        },
        has_filter: is_filtered,
        counts_rows,
        keeps_rejects: run.job.dead_letters.is_some(),
        until_end_of: ends.map(|ends| ends.keys().copied().collect()),
    }
}

pub(super) fn block_limits(run: &Run<'_>, partitions: usize) -> BlockLimits {
    let share = run.budget.bytes_max() / 4 / partitions.max(1);
    BlockLimits {
        bytes: BLOCK_BYTES.min(share).max(4096),
        rows_max: run.job.commit.max_row.map_or(0, |rows| block_rows(rows.get(), partitions)),
    }
}

/// A batch of several partitions is full up to a block too late: so a block has but a small part of it.
fn block_rows(rows_max: u64, partitions: usize) -> u64 {
    match partitions as u64 {
        0 | 1 => rows_max,
        partitions => (rows_max / (4 * partitions)).max(1),
    }
}
