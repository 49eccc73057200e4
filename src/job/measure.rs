//! One measurement of a job for `bench`: records of its topic on the way that a load takes them, into clients that read as
//! segments do and throw rows away, or into statements of a transaction that is rolled back.
//!
//! ```text
//!  Kafka ─▶ workers ─▶ told ─▶ this loop ─▶ session ─┬▶ client threads, no database       Discard
//!                                                    └▶ segments ─▶ statement ─▶ ROLLBACK   Count, Table
//! ```
//!
//! It leaves nothing behind: no offset moves, no ledger is made or written, and the external table is made inside the
//! transaction, so that no other session ever sees it. Only Table holds the job's partitions meanwhile, since its rows
//! would meet those of a load in unique keys; so it is refused beside one. What no ROLLBACK takes back it cannot either:
//! sequences move on, and a table's dead rows stay for VACUUM.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use rustix::time::{ClockId, clock_gettime};

use super::failure::Error;
use super::hand::{Lane, Told};
use super::launch::{CHANNEL, Crew, workers_max};
use super::prepare::KAFKA_WAIT;
use super::report::{Reporter, Troubles, say};
use super::resolve;
use super::run::{Options, QUEUE_SHARE, Run};
use super::schedule::Hours;
use super::threads::Threads;
use crate::config::Job;
use crate::gpfdist;
use crate::greenplum::Chain;
use crate::kafka::Consumer;
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::shutdown::{Shutdown, Urgency};
use crate::transform::Program;
use takers::Takers;

mod takers;

/// How long a wait takes before the wish to end is looked at.
const WAIT: Duration = Duration::from_millis(20);

/// Stands for all of them where trouble is of no partition.
const NO_PARTITION: i32 = -1;

/// Where rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// Into so many clients inside this process. No database is touched.
    Discard { segments: u32 },
    /// The database counts them.
    Count,
    /// The job's own statements write them, and are rolled back.
    Table,
}

/// Of each partition the first offset to read, and the one to stop before.
pub type Ranges = BTreeMap<i32, (i64, i64)>;

/// What a measurement came to.
#[derive(Debug)]
pub struct Measured {
    /// From the first wish for records until the last segment had its last row, or the last statement replied.
    pub seconds: f64,
    /// CPU time of the loader meanwhile, without what clients in its process took.
    pub cpu_seconds: f64,
    /// That have read rows.
    pub segments: usize,
    /// That have made them.
    pub workers: usize,
    pub partitions: usize,
    /// Sent to segments.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Records refused by a decoder, and rows refused by segments.
    pub rejected: u64,
    /// The whole measurement's, and nothing else's.
    pub metrics: Metrics,
}

/// What there is to read of the job's topic now.
///
/// # Errors
/// The topic is not there or empty; PARTITIONS names none of its partitions.
///
/// # Blocks
/// Until the brokers have answered, up to 40 s.
pub fn ranges(job: &Job) -> Result<Ranges, Error> {
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1))?;
    let topic = consumer.topic(KAFKA_WAIT)?;
    let wanted = resolve::wanted(job, &topic.partitions)?;
    let marks = consumer.watermarks(&wanted, KAFKA_WAIT)?;
    Ok(marks.into_iter().map(|(partition, marks)| (partition, (marks.low, marks.high))).collect())
}

/// The oldest records of the first so many partitions, at most `records` in all, as even as the partitions allow.
pub fn cut(ranges: &Ranges, partitions: usize, records: Option<u64>) -> Ranges {
    let mut cut: Ranges = ranges.iter().take(partitions).map(|(&partition, &range)| (partition, range)).collect();
    let Some(mut left) = records else { return cut };
    // the shortest first: what they lack goes to the longer ones, and what does not divide to the longest
    let length = |(low, high): (i64, i64)| u64::try_from(high - low).unwrap_or(0);
    let mut order: Vec<i32> = cut.keys().copied().collect();
    order.sort_by_key(|partition| length(cut[partition]));
    for (at, partition) in order.iter().enumerate() {
        let parts = (order.len() - at) as u64;
        if let Some(range) = cut.get_mut(partition) {
            let share = length(*range).min(left / parts);
            range.1 = range.0 + i64::try_from(share).unwrap_or(i64::MAX);
            left -= share;
        }
    }
    cut
}

/// Whether the file alone says what columns messages have, as [`Sink::Discard`] wants it.
pub fn names_columns(job: &Job) -> bool {
    job.greenplum_settings().columns.is_some_and(|columns| !columns.is_empty())
}

/// Measures once. Of the options, those of segments and memory count.
///
/// # Errors
/// As a load's; [`Error::Held`] for [`Sink::Table`] beside a load of the job; [`Error::Measure`] where it was told to end,
/// or rows got lost.
///
/// # Blocks
/// For as long as it takes; never call it on a tokio thread.
pub fn measure(
    job: &Job,
    options: &Options,
    ranges: &Ranges,
    sink: Sink,
    reporter: &dyn Reporter,
    shutdown: &Shutdown,
) -> Result<Measured, Error> {
    let metrics = Metrics::default();
    let mut options = options.clone();
    if matches!(sink, Sink::Discard { .. }) {
        let here =
            gpfdist::Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 0, port_is_asked: false, ..options.gpfdist };
        options.gpfdist = here;
    }
    let lanes: BTreeMap<i32, Lane> = lanes(ranges);
    if lanes.is_empty() {
        return Err(unmeasured(format!("topic {} holds no records to measure with", job.source.topic)));
    }
    let run = Run::new(job, &options, Hours::default(), &metrics, reporter, shutdown)?;
    let program = job.transform_program()?;
    let takers = match sink {
        Sink::Discard { segments } => Takers::clients(&run, segments)?,
        Sink::Count | Sink::Table => Takers::database(&run, sink == Sink::Table, lanes.keys().copied().collect())?,
    };
    let queue_bytes = options.memory_bytes / QUEUE_SHARE.1 * QUEUE_SHARE.0;
    let consumer = Consumer::connect(&job.kafka_settings(queue_bytes, workers_max()))?;
    consumer.topic(KAFKA_WAIT)?;
    let flow = Flow { run: &run, consumer: &consumer, takers, troubles: Troubles::default(), rejected: 0 };
    flow.measure(lanes, program.as_ref())
}

fn lanes(ranges: &Ranges) -> BTreeMap<i32, Lane> {
    let some = ranges.iter().filter(|(_, (low, high))| low < high);
    some.map(|(&partition, &(low, high))| (partition, Lane { next: low, until: Some(high) })).collect()
}

/// User and system time so far.
fn cpu_time(of: ClockId) -> Duration {
    Duration::try_from(clock_gettime(of)).unwrap_or_default()
}

fn unmeasured(text: impl Into<String>) -> Error {
    Error::Measure { text: text.into() }
}

/// One measurement under way.
struct Flow<'a> {
    run: &'a Run<'a>,
    consumer: &'a Consumer,
    takers: Takers,
    troubles: Troubles,
    /// By decoders.
    rejected: u64,
}

impl Flow<'_> {
    fn measure(mut self, lanes: BTreeMap<i32, Lane>, program: Option<&Program>) -> Result<Measured, Error> {
        let (partitions, generation, chain) = (lanes.len(), Generation(1), Chain::default());
        let mut threads = Threads::default();
        let (told_in, told) = bounded(CHANNEL);
        let (begun, cpu_begun) = (Instant::now(), cpu_time(ClockId::ProcessCPUTime));
        self.takers.start(&mut threads, &self.run.metrics.seconds)?;
        let decoding = self.takers.decoding.clone();
        let (run, consumer) = (self.run, self.consumer);
        let crew = Crew { run, generation, consumer, chain: &chain, decoding: &decoding, program, copying: None };
        let flown = crew.start(lanes, &told_in, &mut threads).and_then(|starts| {
            drop(told_in);
            consumer.assign(generation, &starts)?;
            self.pump(&told, partitions)
        });
        if let Err(error) = flown {
            // what ended it may be but the echo of what the database said
            let is_echo = matches!(error, Error::Echo(_));
            let cause = self.takers.stop(&error.to_string(), is_echo).filter(|_| is_echo);
            return Err(cause.unwrap_or(error));
        }
        let (taken, segments) = (self.takers.end(), self.takers.segments);
        let status = self.takers.session.status();
        if let Some(accounted) = taken.accounted
            && accounted != status.rows_sent
        {
            let text = format!("{} rows were sent and {accounted} are accounted for", status.rows_sent);
            return Err(unmeasured(text));
        }
        let rejected = self.rejected + taken.rejected;
        if self.takers.are_statements() && rejected > 0 && rejected >= status.rows_sent {
            return Err(unmeasured(format!(
                "all {rejected} records were refused: there is nothing that could be loaded"
            )));
        }
        let cpu = cpu_time(ClockId::ProcessCPUTime).saturating_sub(cpu_begun).saturating_sub(taken.cpu);
        let seconds = taken.ended.duration_since(begun).as_secs_f64();
        if !self.takers.are_statements() {
            // of a profile the clients' scan is the statement
            run.metrics.seconds.database_insert.inc_by(seconds);
        }
        Ok(Measured {
            seconds,
            cpu_seconds: cpu.as_secs_f64(),
            segments,
            workers: workers_max().min(partitions),
            partitions,
            rows: status.rows_sent,
            bytes: status.bytes_sent,
            rejected,
            metrics: run.metrics.clone(),
        })
    }

    /// Hands blocks on until all partitions have ended, and waits until they are taken.
    fn pump(&mut self, told: &Receiver<Told>, partitions: usize) -> Result<(), Error> {
        let mut left = partitions;
        while left > 0 {
            self.look()?;
            if !self.takers.are_at_it() {
                return Err(Error::Internal("the rows were not awaited".to_owned()));
            }
            match told.recv_timeout(WAIT) {
                Ok(Told::Block(block)) => {
                    self.rejected += block.rejects.len() as u64;
                    self.takers.session.push(&block.index, block.bytes);
                }
                Ok(Told::End { .. }) => left -= 1,
                Ok(other) => self.hear(other)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("the workers have ended".to_owned()));
                }
            }
        }
        self.takers.session.seal();
        while self.takers.are_at_it() {
            self.look()?;
            self.takers.wait(WAIT)?;
        }
        Ok(())
    }

    /// Whether anything ends it early.
    fn look(&mut self) -> Result<(), Error> {
        if self.run.shutdown.urgency() != Urgency::None {
            return Err(unmeasured("interrupted"));
        }
        if let Some(event) = self.consumer.poll(Duration::ZERO) {
            match event.is_passing() {
                true => self.warn(NO_PARTITION, format!("kafka: {}", event.text())),
                false => return Err(Error::Brokers { text: event.text().to_owned() }),
            }
        }
        self.takers.look()
    }

    fn warn(&mut self, partition: i32, text: String) {
        if self.troubles.are_news(partition, &text, Instant::now()) {
            say!(self.run.reporter, Warn, "{text}");
        }
    }

    /// What is no row.
    fn hear(&mut self, told: Told) -> Result<(), Error> {
        let topic = self.run.job.source.topic.clone();
        match told {
            Told::Block(_) | Told::End { .. } => Ok(()),
            Told::Trouble { partition, of, text } => {
                self.warn(partition, format!("{of}: {topic}[{partition}]: {text}"));
                Ok(())
            }
            Told::OutOfRange { partition } => {
                let reason = "its oldest records expired while they were measured; start again".to_owned();
                Err(Error::Partition { topic, partition, reason })
            }
            Told::CutOff { partition, reason, .. } | Told::Failed { partition, reason } => {
                Err(Error::Partition { topic, partition, reason })
            }
            Told::Stopped { partition, offset, text } => Err(Error::Transformed { topic, partition, offset, text }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_evenly_as_far_as_partitions_reach() {
        let ranges: Ranges = [(0, (10, 110)), (1, (0, 5)), (3, (7, 1007)), (4, (2, 2))].into();
        let lengths = |partitions, records| -> Vec<i64> {
            cut(&ranges, partitions, records).values().map(|(low, high)| high - low).collect()
        };
        assert_eq!(lengths(9, None), [100, 5, 1000, 0]);
        assert_eq!(lengths(2, None), [100, 5]);
        assert_eq!(lengths(4, Some(60)), [27, 5, 28, 0]);
        assert_eq!(lengths(4, Some(1000)), [100, 5, 895, 0]);
        assert_eq!(lengths(4, Some(5000)), [100, 5, 1000, 0]);
        assert_eq!(lengths(1, Some(3)), [3]);
        assert_eq!(lengths(4, Some(1)).iter().sum::<i64>(), 1);
    }

    #[test]
    fn empty_partitions_have_no_lane() {
        let ranges: Ranges = [(0, (10, 11)), (1, (5, 5))].into();
        assert_eq!(lanes(&ranges).keys().copied().collect::<Vec<_>>(), [0]);
    }
}
