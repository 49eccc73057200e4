//! What a start tells its user: the original's lines, where each topic goes on, and what may surprise.

use std::collections::BTreeMap;

use super::positions::Positions;
use super::report::say;
use super::run::{Memory, Run};
use crate::config::ErrorLimit;
use crate::greenplum::{Connection, Kind};
use crate::kafka::Watermarks;
use crate::units;

/// A slip in PARTITIONS would otherwise look like a topic with little in it.
pub(super) fn missing_partitions(run: &Run<'_>, memory: &Memory, found: &[i32]) {
    let asked = run.job.source.partitions.as_ref().filter(|_| !memory.has_run);
    let Some(missing) = asked.and_then(|asked| asked.beyond(found)) else { return };
    let (topic, count) = (&run.job.source.topic, found.len());
    let partitions = if count == 1 { "partition" } else { "partitions" };
    let later = if memory.quits_at_eof { "by the first load that finds them" } else { "when they appear" };
    say!(
        run.reporter,
        Warn,
        "PARTITIONS names {missing}, and topic {topic} has {count} {partitions}: these are not there, and are read {later}"
    );
}

/// The original's line, once all names in it are known to be right.
pub(super) fn start(run: &Run<'_>, memory: &Memory) {
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
        job.target()
    );
}

/// Where it goes on, in one line however many partitions there are.
pub(super) fn positions(run: &Run<'_>, positions: &Positions, marks: &BTreeMap<i32, Watermarks>) {
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
pub(super) fn error_limit(run: &Run<'_>, memory: &Memory, connection: &Connection) {
    let has_limit = run.job.error_limit != ErrorLimit::Records(0);
    if has_limit && !memory.has_run && !connection.dialect().is_greenplum() {
        say!(
            run.reporter,
            Warn,
            "ERROR_LIMIT counts what gpkafka refuses; a value that PostgreSQL refuses fails its batch, and names the record"
        );
    }
}

/// A line for each partition whose position jumps.
pub(super) fn jumps(run: &Run<'_>, positions: &Positions) {
    let topic = &run.job.source.topic;
    for jump in &positions.jumps {
        let (partition, first, next) = (jump.partition, jump.first, jump.next);
        if jump.kind == Kind::Skip {
            let count = next - first;
            say!(
                run.reporter,
                Warn,
                "{count} offsets of {topic}[{partition}] are skipped: offset {first} has expired, FALLBACK_OFFSET goes on at {next}"
            );
        } else {
            say!(run.reporter, Info, "reset of {topic}[{partition}] from offset {first} to {next} is committed");
        }
    }
}
