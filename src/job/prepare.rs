//! The way from nothing to a running attempt: topic, claim, target, external table, ledger, positions, threads.
//!
//! Cheap questions come first, and everything that can be wrong with the world is found before a record is read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::failure::Error;
use super::launch::workers_max;
use super::positions::{self, Known, Positions, Reset};
use super::report::say;
use super::run::{Memory, QUEUE_SHARE, Run, identity};
use crate::config::{ErrorLimit, Format, Job};
use crate::decode;
use crate::greenplum::{
    self, Chain, Claim, Commit, Connection, Definition, Entry, ExternalTable, Holder, Insert, Kind, Ledger, Load,
    Loader, Partitions, Settings, Target,
};
use crate::kafka::{self, Consumer, Watermarks};
use crate::table::Column;
use crate::units;

/// How long the brokers may take to answer at the start.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Everything that an attempt needs, with nothing running yet.
pub struct Prepared {
    pub consumer: Consumer,
    pub holder: Holder,
    pub load: Load,
    pub chain: Chain,
    pub path: String,
    pub columns: Vec<decode::Column>,
    pub topic_id: Option<String>,
    pub positions: Positions,
    pub segments: usize,
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
    let columns = decode_columns(run.job, &insert)?;
    let (consumer, topic) = topic(run, memory)?;
    let partitions = wanted(run.job, &topic.partitions)?;
    warn_of_missing(run, memory, &topic.partitions);
    let holder = claim(run, memory, &settings, &partitions)?;
    memory.session = Some(connection.pid());
    let external = external(run, memory, &mut connection, &insert, &settings)?;
    announce(run, memory);
    warn_of_limit(run, memory, &connection);
    if !run.options.skip_explain && !memory.has_run {
        insert.explain(&mut connection, &external.name)?;
    }
    let ledger = Ledger::ensure(&mut connection, settings.metadata_schema())?;
    let mut chain = ledger.read(&mut connection, &run.id)?;
    if !memory.has_run && chain.is_long() {
        // a load that always ends soon would never get to it; what fails here is tried again the next time
        drop(ledger.prune(&mut connection, &run.id, Ledger::KEPT));
    }
    if chain.is_empty() {
        Ledger::require_no_other(&mut connection, settings.metadata_schema(), &run.id)?;
    }
    settle_doubt(run, memory, &chain);
    check_succession(run, memory, &chain)?;
    let marks = consumer.watermarks(&partitions, KAFKA_WAIT)?;
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
        tell_jumps(run, &positions);
    }
    tell_positions(run, &positions, &marks);
    memory.reset_is_done = true;
    memory.begun = positions.starts.clone();
    memory.chain = chain.clone();
    memory.held = partitions;
    for (partition, next) in positions.starts.iter().filter(|(_, next)| *next > 0) {
        memory.totals.sums.checkpoint.set(partition, next);
    }
    remember_ends(run, memory, &marks);
    let path = external.path.clone();
    let segments = connection.segments() as usize;
    let load = Load::new(connection, run.id.clone(), loader(run), insert, external, ledger);
    Ok(Prepared { consumer, holder, load, chain, path, columns, topic_id, positions, segments })
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
        os_user: whoami::username().unwrap_or_else(|_| "unknown".to_owned()),
    }
}

fn topic(run: &Run<'_>, memory: &Memory) -> Result<(Consumer, kafka::Topic), Error> {
    let queue_bytes = run.options.memory_bytes / QUEUE_SHARE.1 * QUEUE_SHARE.0;
    let consumer = Consumer::connect(&run.job.kafka_settings(queue_bytes, workers_max()))?;
    if memory.has_run {
        consumer.doubt_refusals();
    }
    let topic = consumer.topic(KAFKA_WAIT)?;
    Ok((consumer, topic))
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

/// The partitions to load, of those that the topic has.
///
/// # Errors
/// PARTITIONS names none of them.
pub fn wanted(job: &Job, found: &[i32]) -> Result<Vec<i32>, Error> {
    let Some(asked) = &job.source.partitions else { return Ok(found.to_vec()) };
    let wanted: Vec<i32> = found.iter().copied().filter(|&partition| asked.contains(partition)).collect();
    if wanted.is_empty() {
        let topic = job.source.topic.clone();
        return Err(Error::NoPartition { topic, count: found.len(), wanted: asked.to_string() });
    }
    Ok(wanted)
}

/// A slip in PARTITIONS would otherwise look like a topic with little in it.
fn warn_of_missing(run: &Run<'_>, memory: &Memory, found: &[i32]) {
    let asked = run.job.source.partitions.as_ref().filter(|_| !memory.has_run);
    let Some(missing) = asked.and_then(|asked| asked.beyond(found)) else { return };
    let (topic, count) = (&run.job.source.topic, found.len());
    let later = if run.options.quit_at_eof { "by the first load that finds them" } else { "when they appear" };
    say!(
        run.reporter,
        Warn,
        "PARTITIONS names {missing}, and topic {topic} has {count} partitions: these are not there, and are read {later}"
    );
}

fn claim(run: &Run<'_>, memory: &Memory, settings: &Settings, partitions: &[i32]) -> Result<Holder, Error> {
    let mut holder = Holder::open(settings, &run.id, &run.instance)?;
    if let Some(earlier) = memory.session {
        holder.end_earlier(earlier)?;
    }
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
    memory: &Memory,
    connection: &mut Connection,
    insert: &Insert,
    settings: &Settings,
) -> Result<ExternalTable, Error> {
    let mut definition = definition(run.job, settings, insert.source(), &run.host, run.server.port());
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

/// The external table of a job whose segments call `host:port`.
pub fn definition(job: &Job, settings: &Settings, columns: &[Column], host: &str, port: u16) -> Definition {
    let partitions = match &job.source.partitions {
        None => Partitions::All,
        Some(asked) => Partitions::Only(asked.ranges().iter().cloned().flatten().take(PARTITIONS_MAX).collect()),
    };
    Definition::new(&identity(job), &partitions, settings, columns, host, port)
}

/// The original's line, once all names in it are known to be right.
fn announce(run: &Run<'_>, memory: &Memory) {
    if memory.has_run {
        return;
    }
    let job = run.job;
    if let Some(name) = &run.options.name {
        say!(run.reporter, Info, "Job {} is called {name}", run.id.hash());
    }
    say!(
        run.reporter,
        Info,
        "Start job {}: input<broker:{} topic:{}>, output<host:{} db:{} table:{}>",
        run.id.hash(),
        job.source.brokers,
        job.source.topic,
        job.connection.host,
        job.connection.database,
        job.target
    );
}

/// Where it goes on, in one line however many partitions there are.
fn tell_positions(run: &Run<'_>, positions: &Positions, marks: &BTreeMap<i32, Watermarks>) {
    let of = |sum: i64| units::count(sum.unsigned_abs());
    let starts: i64 = positions.starts.iter().map(|(_, next)| next).sum();
    let ends: i64 = marks.values().map(|marks| marks.high).sum();
    say!(
        run.reporter,
        Info,
        "Topic {} has {} {}; going on at offset {} of {}",
        run.job.source.topic,
        marks.len(),
        if marks.len() == 1 { "partition" } else { "partitions, taken together" },
        of(starts),
        of(ends)
    );
}

/// What ERROR_LIMIT cannot do where nothing like Greenplum's reject limit is there.
fn warn_of_limit(run: &Run<'_>, memory: &Memory, connection: &Connection) {
    let has_limit = run.job.error_limit != ErrorLimit::Records(0);
    if has_limit && !memory.has_run && !connection.dialect().is_greenplum() {
        say!(
            run.reporter,
            Warn,
            "ERROR_LIMIT counts what gpkafka refuses; a value that PostgreSQL refuses fails its batch, and names the record"
        );
    }
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

/// Between two attempts another loader may have taken the job over and ended again: then the job is no longer ours to
/// go on with, though nobody holds it.
fn check_succession(run: &Run<'_>, memory: &Memory, chain: &Chain) -> Result<(), Error> {
    let seq = |entry: Option<&Entry>| entry.map_or(0, |entry| entry.seq);
    let is_theirs = |partition: i32, entry: &Entry| {
        entry.instance != run.instance.as_str() && entry.seq > seq(memory.chain.get(partition))
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
    let Some(reset) = due_reset(run, memory) else { return positions::resume(known) };
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
    let topic = &run.job.source.topic;
    for jump in &positions.jumps {
        let (partition, first, next) = (jump.partition, jump.first, jump.next);
        if jump.kind == Kind::Skip {
            let count = next - first;
            say!(
                run.reporter,
                Warn,
                "{count} records of {topic}[{partition}] are skipped: offset {first} has expired, FALLBACK_OFFSET goes on at {next}"
            );
        } else {
            say!(run.reporter, Info, "reset of {topic}[{partition}] from offset {first} to {next} is committed");
        }
    }
}

fn remember_ends(run: &Run<'_>, memory: &mut Memory, marks: &BTreeMap<i32, Watermarks>) {
    if run.options.quit_at_eof && memory.ends.is_none() {
        memory.ends = Some(marks.iter().map(|(&partition, marks)| (partition, marks.high)).collect());
    }
}

/// The columns of a message, as the decoder sees them.
///
/// # Errors
/// The format fills one column, and the target, whose columns they are, has more.
pub fn decode_columns(job: &Job, insert: &Insert) -> Result<Vec<decode::Column>, Error> {
    let takes_one = matches!(job.value.format, Format::Json | Format::Jsonl { .. } | Format::Binary);
    if takes_one && insert.source().len() != 1 {
        return Err(Error::OneColumn { target: job.target.to_string(), count: insert.source().len() });
    }
    Ok(match &job.value.columns {
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
    })
}
