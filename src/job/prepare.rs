//! The way from nothing to a running attempt: topic, claim, target, external table, ledger, positions, threads.
//!
//! Cheap questions come first, and everything that can be wrong with the world is found before a record is read.

use std::collections::BTreeMap;
use std::time::Duration;

use fail::fail_point;

use super::failure::Error;
use super::launch::workers_max;
use super::positions::{self, Begun, Known, Positions, Reset};
use super::report::say;
use super::run::{Memory, QUEUE_SHARE, Run};
use super::{announce, group, resolve, task};
use crate::decode;
use crate::greenplum::{
    self, Chain, Claim, Commit, Connection, DeadLetters, Entry, ExternalTable, Failing, Holder, Instance, Ledger, Load,
    Loader, Settings, Target, Writes,
};
use crate::kafka::{self, Consumer, Watermarks};
use crate::transform;

/// How long the brokers may take to answer at the start.
pub(super) const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Everything that an attempt needs, with nothing running yet.
pub struct Prepared {
    pub consumer: Consumer,
    pub holder: Holder,
    pub load: Load,
    pub chain: Chain,
    pub path: String,
    pub decoding: decode::Settings,
    /// What sees each message before it is decoded.
    pub program: Option<transform::Program>,
    pub topic_id: Option<String>,
    pub positions: Positions,
    pub segments: usize,
}

/// Asks every server, in an order that finds cheap mistakes first.
///
/// # Errors
/// What is wrong with the world; nothing was read and nothing loaded.
pub fn prepare(run: &Run<'_>, memory: &mut Memory) -> Result<Prepared, Error> {
    let mut settings = settings(run, memory);
    let name = run.id.application_name(&run.instance);
    let mut connection = Connection::open_to_load(&settings, &name)?;
    settings.suit(&connection);
    // PREPARE_SQL may make the target, and must not run beside another loader
    let held = if memory.is_prepared { None } else { prepared_by_task(run, memory, &settings)? };
    let targets = Target::describe(&mut connection, &settings)?;
    let writes = Writes::new(&targets, &settings)?;
    let decoding = resolve::decode_settings(run.job, &writes)?;
    let program = run.job.transform_program()?;
    let Owned { consumer, topic, partitions, holder } = match held {
        Some(held) => held,
        None => hold(run, memory, &settings)?,
    };
    memory.session = Some(connection.pid());
    let external = external(run, memory, &mut connection, &writes, &settings)?;
    announce::start(run, memory);
    announce::error_limit(run, memory, &connection);
    if !run.options.skip_explain && !memory.has_run {
        writes.explain(&mut connection, &external.name)?;
        task::check(run.job, &mut connection)?;
    }
    if let Some(table) = &settings.dead_letters {
        DeadLetters::new(table, &run.id).ensure(&mut connection)?;
    }
    let ledger = Ledger::ensure(&mut connection, settings.metadata_schema())?;
    let mut chain = ledger.read(&mut connection, &run.id)?;
    fail_point!("after-ledger-read");
    if !memory.has_run && chain.is_long() {
        // a load that always ends soon would never get to it; what fails here is tried again the next time
        drop(ledger.prune(&mut connection, &run.id, Chain::KEPT));
    }
    if chain.is_empty() {
        Ledger::require_no_other(&mut connection, settings.metadata_schema(), &run.id)?;
    }
    settle_doubt(run, memory, &ledger, &mut connection)?;
    check_succession(&run.instance, memory, &chain)?;
    let marks = asking(run, || consumer.watermarks(&partitions, KAFKA_WAIT))?;
    let topic_id = topic_id(run, memory, &topic, &chain, &partitions);
    let known = Known {
        topic: &run.job.source.topic,
        topic_id: topic_id.as_deref(),
        chain: &chain,
        begun: &memory.begun,
        watermarks: &marks,
        fallback: run.job.source.fallback_offset,
    };
    let positions = decide(run, memory, &known, &consumer)?;
    if !positions.jumps.is_empty() {
        memory.batches_made += 1;
        let batch = i64::try_from(memory.batches_made).unwrap_or(i64::MAX);
        let commit = Commit { batch, topic_id: topic_id.clone(), moves: positions.jumps.clone() };
        ledger.commit_alone(&mut connection, &run.id, &loader(run), &mut chain, &commit)?;
        announce::jumps(run, &positions);
    }
    announce::positions(run, &positions, &marks);
    memory.reset_is_done = true;
    memory.begun = Begun { starts: positions.starts.clone(), topic_id: topic_id.clone() };
    memory.chain = chain.clone();
    memory.held = partitions;
    for (partition, next) in positions.starts.iter().filter(|(_, next)| *next > 0) {
        memory.totals.sums.checkpoint.set(partition, next);
    }
    remember_ends(memory, &marks);
    let path = external.path.clone();
    let segments = connection.segments() as usize;
    let load = Load::new(connection, run.id.clone(), loader(run), writes, external, ledger);
    Ok(Prepared { consumer, holder, load, chain, path, decoding, program, topic_id, positions, segments })
}

/// The job's partitions, claimed.
struct Owned {
    consumer: Consumer,
    topic: kafka::Topic,
    partitions: Vec<i32>,
    holder: Holder,
}

fn hold(run: &Run<'_>, memory: &Memory, settings: &Settings) -> Result<Owned, Error> {
    let (consumer, topic) = topic(run, memory)?;
    let partitions = resolve::wanted(run.job, &topic.partitions)?;
    announce::missing_partitions(run, memory, &topic.partitions);
    let holder = claim(run, memory, settings, &partitions)?;
    Ok(Owned { consumer, topic, partitions, holder })
}

/// `None`: there is no PREPARE_SQL.
fn prepared_by_task(run: &Run<'_>, memory: &mut Memory, settings: &Settings) -> Result<Option<Owned>, Error> {
    if run.job.task.prepare.is_none() {
        return Ok(None);
    }
    let mut held = hold(run, memory, settings)?;
    task::prepare(run, &mut held.holder)?;
    memory.is_prepared = true;
    Ok(Some(held))
}

pub(super) fn settings(run: &Run<'_>, memory: &Memory) -> Settings {
    let mut settings = run.job.greenplum_settings();
    if memory.is_careful {
        settings.failing = Failing::Recover;
    }
    settings.segment_program.clone_from(&run.options.segment_program);
    settings.is_gpfdists = run.server.has_tls();
    settings.liveness = run.options.liveness;
    settings
}

pub(super) fn loader(run: &Run<'_>) -> Loader {
    Loader::this(run.instance.clone())
}

fn topic(run: &Run<'_>, memory: &Memory) -> Result<(Consumer, kafka::Topic), Error> {
    let queue_bytes = run.options.memory_bytes / QUEUE_SHARE.1 * QUEUE_SHARE.0;
    let consumer = Consumer::connect(&run.job.kafka_settings(queue_bytes, workers_max()))?;
    if memory.has_run {
        consumer.doubt_refusals();
    }
    let topic = asking(run, || consumer.topic(KAFKA_WAIT))?;
    Ok((consumer, topic))
}

/// A question to Kafka, of which whoever waits for the start should know.
fn asking<T>(run: &Run<'_>, ask: impl FnOnce() -> T) -> T {
    run.shutdown.set_asking_kafka(true);
    let answer = ask();
    run.shutdown.set_asking_kafka(false);
    answer
}

/// See [`positions::topic_id`]. A reset accepts another topic, so what the ledger says of the old one is no answer then.
fn topic_id(run: &Run<'_>, memory: &Memory, topic: &kafka::Topic, chain: &Chain, partitions: &[i32]) -> Option<String> {
    let partitions = if due_reset(run, memory).is_some() { &[] } else { partitions };
    positions::topic_id(topic.id.as_deref(), chain, partitions)
}

/// The reset that the command line asks for, until it is in the ledger.
fn due_reset(run: &Run<'_>, memory: &Memory) -> Option<Reset> {
    run.options.reset.filter(|_| !memory.reset_is_done)
}

pub(super) fn claim(run: &Run<'_>, memory: &Memory, settings: &Settings, partitions: &[i32]) -> Result<Holder, Error> {
    let mut holder = Holder::open(settings, &run.id, &run.instance)?;
    if let Some(earlier) = memory.session {
        holder.end_earlier(earlier)?;
    }
    match holder.claim(partitions)? {
        Claim::Claimed { ended } => {
            for name in ended {
                say!(run.reporter, Warn, "took over from loader {name}, which was silent; its sessions are ended");
            }
            fail_point!("after-claim");
            Ok(holder)
        }
        Claim::Held(held) => Err((*held).into()),
    }
}

pub(super) fn external(
    run: &Run<'_>,
    memory: &Memory,
    connection: &mut Connection,
    writes: &Writes,
    settings: &Settings,
) -> Result<ExternalTable, Error> {
    let mut definition = resolve::definition(run.job, settings, &writes.columns(), &run.host, run.server.port());
    definition.may_reuse = run.options.reuse_tables || memory.has_run;
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

/// The COMMIT that got no reply: now the ledger can be asked.
fn settle_doubt(run: &Run<'_>, memory: &mut Memory, ledger: &Ledger, connection: &mut Connection) -> Result<(), Error> {
    let holds = |batch| ledger.holds(connection, &run.id, &run.instance, batch);
    match memory.totals.settle_doubt(holds, &run.metrics)? {
        None => {}
        Some((batch, true)) => say!(run.reporter, Info, "batch {batch}, whose COMMIT got no reply, is committed"),
        Some((batch, false)) => {
            say!(run.reporter, Info, "batch {batch}, whose COMMIT got no reply, is not committed; loading it again");
        }
    }
    Ok(())
}

/// Between two attempts another loader may have taken the job over and ended again: then the job is no longer ours to
/// go on with, though nobody holds it.
pub(super) fn check_succession(instance: &Instance, memory: &Memory, chain: &Chain) -> Result<(), Error> {
    let seq = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.seq);
    let is_theirs = |partition: i32, entry: &Entry| {
        entry.instance != instance.as_str() && entry.seq > seq(memory.chain.get(partition))
    };
    let mut ours = chain.iter().filter(|(partition, _)| memory.held.contains(partition));
    match ours.find(|(partition, entry)| is_theirs(*partition, entry)) {
        None => Ok(()),
        Some((partition, Entry { seq, instance, batch, next, .. })) => {
            let by = format!("loader {instance}, whose batch {batch} ends at offset {next}");
            Err(greenplum::Error::PositionTaken { partition, seq: *seq, by, is_own: false }.into())
        }
    }
}

fn decide(run: &Run<'_>, memory: &Memory, known: &Known<'_>, consumer: &Consumer) -> Result<Positions, Error> {
    let Some(reset) = due_reset(run, memory) else {
        return if memory.has_run { positions::resume(known) } else { group::positions(run, known, consumer) };
    };
    let to = match reset {
        Reset::Earliest => known.watermarks.iter().map(|(&partition, marks)| (partition, marks.low)).collect(),
        Reset::Latest => known.watermarks.iter().map(|(&partition, marks)| (partition, marks.high)).collect(),
        Reset::Timestamp(ms) => {
            if let Ok(moment) = jiff::Timestamp::from_millisecond(ms) {
                say!(run.reporter, Info, "looking for the first records at or after {moment}");
            }
            let partitions: Vec<i32> = known.watermarks.keys().copied().collect();
            consumer.offsets_at(ms, &partitions, KAFKA_WAIT)?
        }
    };
    Ok(positions::reset(known, &to))
}

fn remember_ends(memory: &mut Memory, marks: &BTreeMap<i32, Watermarks>) {
    if memory.quits_at_eof && memory.ends.is_none() {
        memory.ends = Some(marks.iter().map(|(&partition, marks)| (partition, marks.high)).collect());
    }
}
