//! The way from nothing to a running attempt: topic, claim, target, external table, ledger, positions, threads.
//!
//! Cheap questions come first, and everything that can be wrong with the world is found before a record is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

use super::batch::{Limits, RejectLimit};
use super::failure::Error;
use super::positions::{self, Known, Positions, Reset};
use super::report::say;
use super::run::{Memory, QUEUE_SHARE, Run};
use super::state::{State, Wants};
use super::steer::Steer;
use super::threads::Threads;
use super::warehouse::Warehouse;
use super::watch::{self, KafkaWatch};
use super::worker::{BlockLimits, Lane, Told, Worker};
use crate::config::{ErrorLimit, Idle};
use crate::decode;
use crate::greenplum::{
    Chain, Claim, Commit, Connection, Definition, ExternalTable, Holder, Insert, Ledger, Load, Loader, Partitions,
    Settings, Target,
};
use crate::kafka::{self, Consumer, Start, Watermarks};
use crate::offset::Generation;

/// How long the brokers may take to answer at the start.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// More workers than this share one consumer's queue without gain.
const WORKERS_MAX: usize = 8;

/// Encoded bytes after which a block is sealed: large enough that its way through queue and socket costs nothing beside
/// its rows, small enough that every segment gets its share.
const BLOCK_BYTES: usize = 128 * 1024;

/// Messages between threads: a second's worth at most, so that the loop stays near what happens.
const CHANNEL: usize = 64;

/// Encoded bytes that end a batch: a transaction that can be repeated in seconds.
const BATCH_BYTES_MAX: u64 = 4 << 30;

/// Everything that an attempt needs, with nothing running yet.
pub struct Prepared {
    consumer: Consumer,
    holder: Holder,
    load: Load,
    chain: Chain,
    path: String,
    columns: Vec<decode::Column>,
    topic_id: Option<String>,
    positions: Positions,
    segments: usize,
}

/// Asks every server, in an order that finds cheap mistakes first.
///
/// # Errors
/// What is wrong with the world; nothing was read and nothing loaded.
pub fn prepare(run: &Run<'_>, memory: &mut Memory) -> Result<Prepared, Error> {
    let settings = settings(run);
    let name = run.id.application_name(&run.instance);
    let mut connection = Connection::open(&settings, &name)?;
    let target = Target::describe(&mut connection, &settings)?;
    let insert = Insert::new(&target, &settings)?;
    let (consumer, topic) = topic(run)?;
    let partitions = wanted(run, &topic.partitions)?;
    let holder = claim(run, &settings, &partitions)?;
    let external = external(run, &mut connection, &insert, &settings)?;
    if !run.options.skip_explain && !memory.has_run {
        insert.explain(&mut connection, &external.name)?;
    }
    let ledger = Ledger::ensure(&mut connection, settings.metadata_schema())?;
    let mut chain = ledger.read(&mut connection, &run.id)?;
    settle_doubt(run, memory, &chain);
    let marks = consumer.watermarks(&partitions, KAFKA_WAIT)?;
    let known = Known {
        topic: &run.job.source.topic,
        topic_id: topic.id.as_deref(),
        chain: &chain,
        watermarks: &marks,
        fallback: run.job.source.fallback_offset,
    };
    let positions = decide(run, memory, &known, &consumer)?;
    if !positions.jumps.is_empty() {
        memory.batches_made += 1;
        let batch = i64::try_from(memory.batches_made).unwrap_or(i64::MAX);
        let commit = Commit { batch, topic_id: topic.id.clone(), moves: positions.jumps.clone() };
        ledger.commit_alone(&mut connection, &run.id, &loader(run), &mut chain, &commit)?;
        tell_jumps(run, &positions);
    }
    memory.reset_is_done = true;
    for (partition, next) in positions.starts.iter().filter(|(_, next)| *next > 0) {
        memory.totals.checkpoint.set(partition, next);
    }
    remember_ends(run, memory, &marks);
    let columns = decode_columns(run, &insert);
    let path = external.path.clone();
    let segments = connection.segments() as usize;
    let load = Load::new(connection, run.id.clone(), loader(run), insert, external, ledger);
    Ok(Prepared { consumer, holder, load, chain, path, columns, topic_id: topic.id, positions, segments })
}

fn settings(run: &Run<'_>) -> Settings {
    let mut settings = run.job.greenplum_settings();
    settings.segment_program.clone_from(&run.options.segment_program);
    settings
}

fn loader(run: &Run<'_>) -> Loader {
    Loader {
        instance: run.instance.clone(),
        host: gethostname::gethostname().to_string_lossy().into_owned(),
        pid: std::process::id(),
        os_user: std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned()),
    }
}

fn topic(run: &Run<'_>) -> Result<(Consumer, kafka::Topic), Error> {
    let queue_bytes = run.options.memory_bytes / QUEUE_SHARE.1 * QUEUE_SHARE.0;
    let consumer = Consumer::connect(&run.job.kafka_settings(queue_bytes, workers_max()))?;
    for ignored in consumer.ignored() {
        say!(run.reporter, Warn, "PROPERTIES {} has no effect: {}", ignored.name, ignored.why);
    }
    let topic = consumer.topic(KAFKA_WAIT)?;
    Ok((consumer, topic))
}

fn wanted(run: &Run<'_>, found: &[i32]) -> Result<Vec<i32>, Error> {
    let Some(asked) = &run.job.source.partitions else { return Ok(found.to_vec()) };
    let wanted: Vec<i32> = found.iter().copied().filter(|&partition| asked.contains(partition)).collect();
    if wanted.is_empty() {
        return Err(Error::NoPartition {
            topic: run.job.source.topic.clone(),
            count: found.len(),
            wanted: asked.to_string(),
        });
    }
    Ok(wanted)
}

fn claim(run: &Run<'_>, settings: &Settings, partitions: &[i32]) -> Result<Holder, Error> {
    let mut holder = Holder::open(settings, &run.id, &run.instance)?;
    match holder.claim(partitions)? {
        Claim::Claimed { ended } => {
            for name in ended {
                say!(run.reporter, Warn, "took over from loader {name}, which was silent; its sessions are ended");
            }
            Ok(holder)
        }
        Claim::Held(held) => Err((*held).into()),
    }
}

fn external(
    run: &Run<'_>,
    connection: &mut Connection,
    insert: &Insert,
    settings: &Settings,
) -> Result<ExternalTable, Error> {
    let partitions = match &run.job.source.partitions {
        None => Partitions::All,
        Some(asked) => Partitions::Only(asked.ranges().iter().cloned().flatten().take(PARTITIONS_MAX).collect()),
    };
    let definition = Definition::new(&run.id, &partitions, settings, insert.source(), &run.host, run.server.port());
    let external = ExternalTable::ensure(connection, &definition)?;
    if external.is_reused {
        say!(run.reporter, Info, "External table {} already exist, reuse.", external.name);
    } else {
        say!(run.reporter, Info, "External table {} created.", external.name);
    }
    for dropped in &external.dropped {
        say!(run.reporter, Debug, "dropped {dropped}, which an earlier start of this job has left");
    }
    run.server.accept_path(&external.path);
    Ok(external)
}

/// A range in a file may name millions of partitions that no topic has.
const PARTITIONS_MAX: usize = 10_000;

/// The COMMIT that got no reply: now the ledger can be asked.
fn settle_doubt(run: &Run<'_>, memory: &mut Memory, chain: &Chain) {
    let Some(done) = memory.totals.in_doubt.take() else { return };
    let batch = done.batch.number;
    if chain.holds(&run.instance, i64::try_from(batch).unwrap_or(i64::MAX)) {
        say!(run.reporter, Info, "batch {batch}, whose COMMIT got no reply, is committed");
        memory.totals.add(&done, &run.metrics);
    } else {
        say!(run.reporter, Info, "batch {batch}, whose COMMIT got no reply, is not committed; loading it again");
    }
}

fn decide(run: &Run<'_>, memory: &Memory, known: &Known<'_>, consumer: &Consumer) -> Result<Positions, Error> {
    let Some(reset) = run.options.reset.filter(|_| !memory.reset_is_done) else { return positions::resume(known) };
    let to = match reset {
        Reset::Earliest => known.watermarks.iter().map(|(&partition, marks)| (partition, marks.low)).collect(),
        Reset::Latest => known.watermarks.iter().map(|(&partition, marks)| (partition, marks.high)).collect(),
        Reset::Timestamp(ms) => {
            let partitions: Vec<i32> = known.watermarks.keys().copied().collect();
            consumer.offsets_at(ms, &partitions, KAFKA_WAIT)?
        }
    };
    Ok(positions::reset(known, &to))
}

fn tell_jumps(run: &Run<'_>, positions: &Positions) {
    for jump in &positions.jumps {
        let (kind, topic) = (jump.kind.as_str(), &run.job.source.topic);
        let level = if run.options.reset.is_some() { super::report::Level::Info } else { super::report::Level::Warn };
        let (partition, first, next) = (jump.partition, jump.first, jump.next);
        run.reporter.log(level, &format!("{kind} of {topic}[{partition}] from offset {first} to {next} is committed"));
    }
}

fn remember_ends(run: &Run<'_>, memory: &mut Memory, marks: &BTreeMap<i32, Watermarks>) {
    if run.options.quit_at_eof && memory.ends.is_none() {
        memory.ends = Some(marks.iter().map(|(&partition, marks)| (partition, marks.high)).collect());
    }
}

fn decode_columns(run: &Run<'_>, insert: &Insert) -> Vec<decode::Column> {
    match &run.job.value.columns {
        Some(columns) => columns
            .iter()
            .map(|column| decode::Column {
                name: column.name.as_ref().map_or_else(String::new, |name| name.as_str().to_owned()),
                is_ignored: column.name.is_none(),
            })
            .collect(),
        None => insert
            .source()
            .iter()
            .map(|column| decode::Column { name: column.name.as_str().to_owned(), is_ignored: false })
            .collect(),
    }
}

fn workers_max() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

impl Prepared {
    /// Starts the threads and assigns the partitions.
    ///
    /// # Errors
    /// Kafka refuses the assignment, or there is no thread to be had.
    pub fn start<'a>(self, run: &'a Run<'_>, memory: &'a mut Memory) -> Result<Steer<'a>, Error> {
        let Self { consumer, holder, load, chain, path, columns, topic_id, positions, segments } = self;
        let consumer = Arc::new(consumer);
        let mut threads = Threads::default();
        let (told_in, told) = bounded(CHANNEL);
        let (orders, orders_out) = bounded(2);
        let (replies_in, replies) = bounded(2);
        let (seen_in, seen) = bounded(CHANNEL);
        let canceller = load.canceller();
        let wants = wants(run, memory);
        let assigned: BTreeSet<i32> = positions.starts.iter().map(|(partition, _)| partition).collect();
        let lanes = lanes(&positions, memory);
        let crew = Crew { run, generation: memory.generation, consumer: &consumer, chain: &chain, columns: &columns };
        let starts = crew.start(lanes, &told_in, &mut threads)?;
        drop(told_in);
        consumer.assign(memory.generation, &starts)?;
        let stop = threads.stop();
        let warehouse = Warehouse {
            load,
            chain,
            server: Arc::clone(&run.server),
            path,
            topic: run.job.source.topic.clone(),
            orders: orders_out,
            replies: replies_in,
            stop: stop.clone(),
        };
        threads.start("warehouse", move || warehouse.run())?;
        let watch = kafka_watch(run, &consumer, assigned, seen_in.clone(), &threads);
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
            rejects: Default::default(),
            again: None,
            is_finishing: false,
        })
    }
}

/// What all workers share.
struct Crew<'a> {
    run: &'a Run<'a>,
    generation: Generation,
    consumer: &'a Consumer,
    chain: &'a Chain,
    columns: &'a [decode::Column],
}

impl Crew<'_> {
    /// Deals the partitions out and starts the workers; what to assign to their queues comes back.
    fn start(
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
            let worker = Worker {
                queue,
                decoder: decode::decoder(&self.run.job.decode_settings(self.columns.to_vec())),
                lanes,
                limits,
                generation: self.generation,
                budget: self.run.budget.clone(),
                metrics: self.run.metrics.clone(),
                out: told.clone(),
                stop: threads.reading(),
            };
            threads.start(&format!("worker-{at}"), move || worker.run())?;
        }
        Ok(starts)
    }
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
    consumer: &Arc<Consumer>,
    assigned: BTreeSet<i32>,
    seen: crossbeam_channel::Sender<watch::Seen>,
    threads: &Threads,
) -> KafkaWatch {
    let asked = run.job.source.partitions.clone();
    let is_bounded = run.options.quit_at_eof;
    KafkaWatch {
        consumer: Arc::clone(consumer),
        assigned,
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

fn wants(run: &Run<'_>, memory: &Memory) -> Wants {
    let commit = &run.job.commit;
    let ends = memory.ends.as_ref();
    Wants {
        limits: Limits {
            rows_max: commit.max_row.map_or(0, |rows| rows.get()),
            bytes_max: BATCH_BYTES_MAX,
            age_max: commit.minimal_interval.unwrap_or_default(),
            idle_max: match commit.idle {
                Idle::Off | Idle::Wait => Duration::ZERO,
                Idle::StopAfter(idle) => idle,
            },
        },
        reject_limit: match run.job.error_limit {
            ErrorLimit::Records(limit) => RejectLimit::Rows(limit),
            ErrorLimit::Percent(percent) => RejectLimit::Percent(percent),
        },
        has_filter: run.job.filter.is_some(),
        until_end_of: ends.map(|ends| ends.keys().copied().collect()),
    }
}

fn block_limits(run: &Run<'_>, partitions: usize) -> BlockLimits {
    let share = run.budget.bytes_max() / 4 / partitions.max(1);
    BlockLimits {
        bytes: BLOCK_BYTES.min(share).max(4096),
        rows_max: run.job.commit.max_row.map_or(0, |rows| rows.get()),
    }
}
