//! `gpkafka bench FILE`: how fast a job's records become rows on segments, for each number of segments and partitions, and
//! where the limit is. Measuring is `job::measure`'s; this says what to measure, and tells it.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::callback::{Callback, callback};
use super::plot::{Line, plot};
use super::{BenchArgs, BenchTo, Exit, console, files};
use crate::config::Job;
use crate::greenplum::Liveness;
use crate::job::failure::Error;
use crate::job::measure::{Measured, Ranges, Sink, cut, measure, names_columns, ranges};
use crate::job::profile::{Limit, Profile};
use crate::job::report::{BatchReport, Level, Progress, Reporter};
use crate::job::run::Options;
use crate::job::threads;
use crate::job::totals::Sums;
use crate::line;
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, Urgency};
use crate::units;

/// Clients where the command line names no number: what two cores feed, and beyond.
const SEGMENTS: [u32; 3] = [1, 2, 4];

/// How often a wait looks at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a measurement that is told to end may take to roll back in good order.
const PATIENCE: Duration = Duration::from_secs(8);

/// What took less says little, in seconds.
const SHORT: f64 = 0.5;

/// And so do fewer rows: most of the time is then the start's.
const FEW: u64 = 20_000;

/// More segments that speed it up by less than this do not help.
const HELPS: f64 = 1.1;

/// Measures and tells.
///
/// # Errors
/// 64 for what is wrong with flags and files, 1 for everything that needed a server.
pub fn run(args: &BenchArgs) -> Result<(), Exit> {
    let (mut job, warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref(), &mut job)?;
    check(args, &job)?;
    let teller = Arc::new(Teller);
    warnings.iter().chain(&server_warnings).for_each(|warning| teller.log(Level::Warn, warning));
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    let Callback { host: gpfdist_host, mut gpfdist, warning } = callback(&args.gpfdist, &job, server_file.as_ref())?;
    warning.iter().for_each(|warning| teller.log(Level::Warn, warning));
    if args.to == BenchTo::Discard && gpfdist.tls.take().is_some() {
        teller.log(Level::Warn, "--to discard measures without TLS, which its clients do not speak; --to count has it");
    }
    let options = Options {
        name: args.file.name.clone(),
        quit_at_eof: true,
        reset: None,
        skip_explain: true,
        gpfdist_host,
        gpfdist,
        reuse_tables: false,
        segment_program: args.means.segment_program.clone(),
        memory_bytes: args.means.memory_bytes(),
        liveness: Liveness::default(),
    };
    let bench = Bench { args, job: Arc::new(job), options, teller, shutdown };
    let mut results = Vec::new();
    let measured = bench.all(&mut results);
    if results.is_empty() {
        return measured;
    }
    // what is measured is told also where the rest failed
    let written = write(args, &bench.job, &results);
    measured.and(written)?;
    console::print(&format!("{}\n", conclusion(args.to, &results)))
}

/// What can be known before anything is measured.
fn check(args: &BenchArgs, job: &Job) -> Result<(), Exit> {
    let file = args.file.file.display();
    if args.to == BenchTo::Discard && !names_columns(job) {
        return Err(Exit::usage(format!(
            "{file} names no COLUMNS: --to discard wants them, since it does not ask the database for the target's; use \
             --to count, or name them"
        )));
    }
    if args.to != BenchTo::Discard && !args.segments.is_empty() {
        return Err(Exit::usage("--segments is for --to discard: a database has the segments that it has"));
    }
    if args.json.is_some() && args.json == args.svg {
        return Err(Exit::usage("--json and --svg name the same file: give each its own"));
    }
    if [&args.json, &args.svg].into_iter().flatten().any(|path| is_same(path, &args.file.file)) {
        return Err(Exit::usage(format!("{file} is the job file: name another one for results")));
    }
    for path in [&args.json, &args.svg].into_iter().flatten() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() || folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Exit::usage(format!(
                "{} cannot be written: it is a folder, or its folder is not there",
                path.display()
            )));
        }
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// One combination, and its rounds.
struct Case {
    partitions: usize,
    rounds: Vec<Measured>,
}

impl Case {
    /// The round in the middle; of two in the middle the faster one.
    fn median(&self) -> &Measured {
        let mut order: Vec<&Measured> = self.rounds.iter().collect();
        order.sort_by(|one, other| rate(other).total_cmp(&rate(one)));
        order[(order.len() - 1) / 2]
    }
}

fn rate(measured: &Measured) -> f64 {
    units::as_f64(measured.rows) / measured.seconds.max(1e-9)
}

fn megabytes_rate(measured: &Measured) -> f64 {
    units::as_f64(measured.bytes) / 1e6 / measured.seconds.max(1e-9)
}

/// CPU-seconds of the loader for a GB of rows.
fn cpu_cost(measured: &Measured) -> f64 {
    measured.cpu_seconds / (units::as_f64(measured.bytes) / 1e9).max(1e-9)
}

/// What all measurements share.
struct Bench<'a> {
    args: &'a BenchArgs,
    job: Arc<Job>,
    options: Options,
    teller: Arc<Teller>,
    shutdown: Shutdown,
}

impl Bench<'_> {
    /// Combination after combination, each told as soon as it is measured.
    fn all(&self, results: &mut Vec<Case>) -> Result<(), Exit> {
        let job = Arc::clone(&self.job);
        let all = self.apart(move || ranges(&job))?;
        for partitions in self.partitions(&all)? {
            let ranges = cut(&all, partitions, self.args.rows);
            for sink in self.sinks() {
                let mut case = Case { partitions, rounds: Vec::new() };
                for _ in 0..self.args.rounds {
                    case.rounds.push(self.once(&ranges, sink)?);
                }
                if results.is_empty() {
                    console::print(&format!(
                        "{:>8} {:>10} {:>13} {:>9} {:>10}  {}\n",
                        "segments", "partitions", "rows/s", "MB/s", "CPU s/GB", "limit"
                    ))?;
                }
                console::print(&format!("{}\n", told(self.args.to, &case)))?;
                results.push(case);
            }
        }
        Ok(())
    }

    fn partitions(&self, all: &Ranges) -> Result<Vec<usize>, Exit> {
        let wanted = match &self.args.partitions[..] {
            [] => vec![all.len()],
            wanted => in_order(wanted).into_iter().map(|count| count as usize).collect(),
        };
        match wanted.iter().find(|wanted| **wanted > all.len()) {
            None => Ok(wanted),
            Some(wanted) => Err(Exit::failed(format!(
                "topic {} has {} partitions to read, and --partitions wants {wanted}",
                self.job.source.topic,
                all.len()
            ))),
        }
    }

    fn sinks(&self) -> Vec<Sink> {
        let clients = if self.args.segments.is_empty() { SEGMENTS.to_vec() } else { in_order(&self.args.segments) };
        match self.args.to {
            BenchTo::Discard => clients.into_iter().map(|segments| Sink::Discard { segments }).collect(),
            BenchTo::Count => vec![Sink::Count],
            BenchTo::Table => vec![Sink::Table],
        }
    }

    fn once(&self, ranges: &Ranges, sink: Sink) -> Result<Measured, Exit> {
        let (job, options, ranges) = (Arc::clone(&self.job), self.options.clone(), ranges.clone());
        let (teller, shutdown) = (Arc::clone(&self.teller), self.shutdown.clone());
        self.apart(move || measure(&job, &options, &ranges, sink, &*teller, &shutdown))
    }

    /// Runs it on a thread of its own, and waits not much longer than the user's patience once it is told to end.
    fn apart<T: Send + 'static>(&self, body: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Exit> {
        let done = threads::apart("job", body);
        let done = done.map_err(|error| Exit::failed(format!("starting the job's thread failed: {error}")))?;
        let mut asked: Option<Instant> = None;
        loop {
            match done.recv_timeout(LOOK) {
                Ok(outcome) => return outcome.map_err(Exit::failed),
                Err(RecvTimeoutError::Disconnected) => return Err(Exit::failed("the measuring thread died")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let is_over = match self.shutdown.urgency() {
                Urgency::None => false,
                Urgency::Finish => asked.get_or_insert_with(Instant::now).elapsed() > PATIENCE,
                Urgency::Abort => true,
            };
            if is_over {
                return Err(Exit::failed("interrupted; nothing was loaded and no offset moved"));
            }
        }
    }
}

/// Ascending, each once.
fn in_order(counts: &[u32]) -> Vec<u32> {
    let mut counts = counts.to_vec();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// `       2          4       812,345      74.7  workers`
fn told(to: BenchTo, case: &Case) -> String {
    let median = case.median();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown rounded")]
    let rows = rate(median) as u64;
    let rejected = match median.rejected {
        0 => String::new(),
        rejected => format!("; {} rejected", units::count(rejected)),
    };
    format!(
        "{:>8} {:>10} {:>13} {:>9.1} {:>10.2}  {}{rejected}",
        median.segments,
        case.partitions,
        units::count(rows),
        megabytes_rate(median),
        cpu_cost(median),
        limit(to, median)
    )
}

fn says_little(measured: &Measured) -> bool {
    measured.seconds < SHORT || measured.rows < FEW
}

/// The stage that limits, in a word.
fn limit(to: BenchTo, measured: &Measured) -> String {
    if says_little(measured) {
        return "-".to_owned();
    }
    match Profile::of(&measured.metrics).limit() {
        Limit::Database if to == BenchTo::Discard => "segments".to_owned(),
        limit => limit.to_string(),
    }
}

/// Where the limit is, and what to change.
fn conclusion(to: BenchTo, results: &[Case]) -> String {
    let medians = || results.iter().map(Case::median);
    let Some(best) = medians().max_by(|one, other| rate(one).total_cmp(&rate(other))) else { return String::new() };
    if says_little(best) {
        let (rows, seconds) = (units::counted(best.rows, "row"), best.seconds);
        return format!(
            "a round took {seconds:.2} s for {rows}: too little to say what limits; read more records to know"
        );
    }
    let profile = Profile::of(&best.metrics);
    let advice = match profile.limit() {
        Limit::Database if to == BenchTo::Discard => "the clients on this machine limit: they take rows more slowly than they are made; more of them, or more cores, would take more".to_owned(),
        _ => profile.advice(best.workers, best.partitions),
    };
    let few = medians().find(|measured| measured.partitions == best.partitions && measured.segments < best.segments);
    let gain = few.map(|few| (units::counted(few.segments as u64, "segment"), rate(best) / rate(few).max(1e-9)));
    let gain = match gain {
        None => String::new(),
        Some((few, gain)) if gain < HELPS => format!("hardly more than with {few}, "),
        Some((few, gain)) => format!("{gain:.1} times those with {few}, "),
    };
    let (segments, partitions) =
        (units::counted(best.segments as u64, "segment"), units::counted(best.partitions as u64, "partition"));
    let without = match to {
        BenchTo::Table => "; this was one batch, rolled back: what a load's commits take comes on top",
        BenchTo::Discard | BenchTo::Count => "",
    };
    format!("the most rows came with {segments} and {partitions}, {gain}and there {advice}{without}")
}

/// Files that were asked for.
fn write(args: &BenchArgs, job: &Job, results: &[Case]) -> Result<(), Exit> {
    if let Some(path) = &args.json {
        files::write(path, true, &format!("{:#}\n", json(args.to, job, results)))?;
    }
    args.svg.as_deref().map_or(Ok(()), |path| draw(path, args.to, job, results))
}

fn name(to: BenchTo) -> &'static str {
    match to {
        BenchTo::Discard => "discard",
        BenchTo::Count => "count",
        BenchTo::Table => "table",
    }
}

fn json(to: BenchTo, job: &Job, results: &[Case]) -> serde_json::Value {
    let case = |case: &Case| {
        let median = case.median();
        serde_json::json!({
            "segments": median.segments,
            "partitions": case.partitions,
            "rows_per_second": rate(median),
            "megabytes_per_second": megabytes_rate(median),
            "cpu_seconds_per_gigabyte": cpu_cost(median),
            "limit": limit(to, median),
            "rounds": case.rounds.iter().map(round).collect::<Vec<_>>(),
        })
    };
    serde_json::json!({
        "topic": job.source.topic,
        "to": name(to),
        "results": results.iter().map(case).collect::<Vec<_>>(),
    })
}

fn round(measured: &Measured) -> serde_json::Value {
    let Metrics { records_read, source_bytes, seconds, .. } = &measured.metrics;
    serde_json::json!({
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "records": records_read.get(),
        "source_bytes": source_bytes.get(),
        "rows": measured.rows,
        "bytes": measured.bytes,
        "rejected": measured.rejected,
        "stages": {
            "worker_busy": seconds.worker_busy.get(),
            "worker_waits_for_kafka": seconds.worker_waits_for_kafka.get(),
            "worker_waits_for_memory": seconds.worker_waits_for_memory.get(),
            "worker_waits_for_loop": seconds.worker_waits_for_loop.get(),
            "segment_taking": seconds.segment_taking.get(),
            "segment_waits_for_rows": seconds.segment_waits_for_rows.get(),
            "scan_waits_for_rows": seconds.scan_waits_for_rows.get(),
            "statement": seconds.database_insert.get(),
        },
    })
}

fn draw(path: &Path, to: BenchTo, job: &Job, results: &[Case]) -> Result<(), Exit> {
    let mut lines: Vec<Line> = Vec::new();
    for case in results {
        let (median, label) = (case.median(), units::counted(case.partitions as u64, "partition"));
        #[expect(clippy::cast_precision_loss, reason = "segments are few")]
        let point = (median.segments as f64, rate(median));
        match lines.iter_mut().find(|line| line.label == label) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { label, points: vec![point] }),
        }
    }
    let title = format!("gpkafka bench, topic {} to {}", job.source.topic, name(to));
    files::write(path, true, &plot(&title, ("segments", "rows/s"), &lines))
}

/// Warnings go to stderr; there is nothing else to tell, and no log file is written.
struct Teller;

impl Reporter for Teller {
    fn log(&self, level: Level, text: &str) {
        if level >= Level::Warn {
            // whoever reads it may have gone
            drop(writeln!(std::io::stderr(), "gpkafka: warning: {}", line::escaped(text)));
        }
    }

    fn batch(&self, _report: &BatchReport) {}

    fn sums(&self, _sums: &Sums) {}

    fn progress(&self, _progress: &Progress) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(segments: usize, seconds: f64) -> Measured {
        let metrics = Metrics::default();
        metrics.rows_sent.inc_by(1_000_000);
        metrics.seconds.worker_busy.inc_by(seconds);
        metrics.seconds.database_insert.inc_by(seconds);
        metrics.seconds.scan_waits_for_rows.inc_by(seconds * 0.9);
        Measured {
            seconds,
            cpu_seconds: 0.5,
            segments,
            workers: 2,
            partitions: 4,
            rows: 1_000_000,
            bytes: 91_000_000,
            rejected: 0,
            metrics,
        }
    }

    fn case(segments: usize, seconds: &[f64]) -> Case {
        Case { partitions: 4, rounds: seconds.iter().map(|seconds| measured(segments, *seconds)).collect() }
    }

    #[test]
    fn the_median_round_is_told() {
        assert_eq!(
            told(BenchTo::Discard, &case(2, &[9.0, 2.0, 1.0])),
            "       2          4       500,000      45.5       5.49  workers"
        );
        assert!(told(BenchTo::Discard, &case(2, &[1.0, 2.0])).contains("1,000,000"));
    }

    #[test]
    fn the_end_says_where_the_limit_is() {
        let text = conclusion(BenchTo::Discard, &[case(1, &[2.0]), case(2, &[1.0]), case(4, &[1.5])]);
        let begin = "the most rows came with 2 segments and 4 partitions, 2.0 times those with 1 segment, and there the loader limits";
        assert!(text.starts_with(begin), "{text}");
        assert!(conclusion(BenchTo::Discard, &[case(1, &[1.01]), case(2, &[1.0])]).contains("hardly more than with 1"));
        assert!(
            conclusion(BenchTo::Discard, &[case(1, &[0.3])])
                .starts_with("a round took 0.30 s for 1,000,000 rows: too little")
        );
        let busy = measured(1, 1.0);
        busy.metrics.seconds.database_insert.inc_by(9.0);
        let slow = [Case { partitions: 4, rounds: vec![busy] }];
        assert!(conclusion(BenchTo::Discard, &slow).contains("the clients on this machine limit"));
        assert!(conclusion(BenchTo::Count, &slow).contains("the database limits"));
    }

    #[test]
    fn counts_are_measured_once_and_in_order() {
        assert_eq!(in_order(&[4, 1, 2, 4]), [1, 2, 4]);
    }
}
