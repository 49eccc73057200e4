//! `gpkafka load FILE`: from flags and file to a running job, and its summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use fail::fail_point;

use super::callback::{Callback, callback};
use super::console::Console;
use super::{Exit, LoadArgs, files};
use crate::config::{Job, Mode, ServerFile};
use crate::gpfdist;
use crate::greenplum::Liveness;
use crate::job::alert::Status;
use crate::job::failure::Error;
use crate::job::launch::workers_max;
use crate::job::positions::Reset;
use crate::job::profile::Profile;
use crate::job::report::{Level, Reporter, say};
use crate::job::run::{self, Options, Summary};
use crate::job::schedule::Ended;
use crate::job::starts::{alert, starts};
use crate::job::state::Broken;
use crate::job::threads;
use crate::job::totals::Totals;
use crate::metrics::Metrics;
use crate::service::debug::DebugServer;
use crate::shutdown::{Shutdown, Urgency};
use crate::units;

/// How often a wait looks at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a job may take to end that was told to and has nothing in hand: it may sit in a connect to a server that does
/// not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A start that takes longer waits for somebody, and its user should know.
const UNSTARTED_MAX: Duration = Duration::from_secs(8);
const UNSTARTED_KAFKA: &str = "still starting: Kafka has not answered for some seconds; are all brokers up, and reached from \
    here by the names that they advertise? `gpkafka doctor` tries each";
const UNSTARTED: &str = "still starting: a server has not answered for some seconds; where that is the database, a lock on \
    the table may be what it waits for, see pg_locks, or another load of this job that has fallen silent";

/// Runs the job in the foreground.
///
/// # Errors
/// 64 for what is wrong with flags and files, 1 for everything that needed a server.
pub fn run(args: &LoadArgs) -> Result<(), Exit> {
    let (mut job, warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref(), &mut job)?;
    fail_point!("after-config");
    let Callback { host, gpfdist, warning } = callback(&args.gpfdist, &job, server_file.as_ref())?;
    let options = options(args, server_file.as_ref(), host, gpfdist);
    let console = Console::open(&args.log, args.partition)?;
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    for warning in warnings.iter().chain(&server_warnings).chain(&warning) {
        say!(console, Warn, "{warning}");
    }
    let metrics = Metrics::default();
    let _debug = debug_server(args.debug_port, &metrics, &console)?;
    let console = Arc::new(console);
    let summary = summary(&job, options.clone(), &metrics, &console, &shutdown)?;
    console.calm();
    if let Some(done) = &summary.totals.in_doubt {
        let batch = done.batch.number;
        say!(
            console,
            Warn,
            "COMMIT of batch {batch} got no reply; the next start learns from the ledger whether it holds"
        );
    }
    let text = summary.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    let status = if summary.failure.is_none() { Status::Stopped } else { Status::Failed };
    if summary.failure.is_some() {
        console.record(Level::Error, &text);
    }
    tell_summary(&job, &summary, &shutdown, &console, status.as_str(), &text);
    if args.profile {
        tell_profile(&metrics, &summary, &console);
    }
    alert(&job, &options, &summary, &*console, &shutdown);
    summary.failure.map_or(Ok(()), |error| Err(Exit::failed(error)))
}

/// Runs the job on a thread of its own and waits for it: for as long as it takes while it runs or finishes, not much
/// longer than the user's patience otherwise. The process may end at any moment; the database knows what holds.
fn summary(
    job: &Job,
    options: Options,
    metrics: &Metrics,
    console: &Arc<Console>,
    shutdown: &Shutdown,
) -> Result<Summary, Exit> {
    let result = {
        let (job, metrics, console, shutdown) = (job.clone(), metrics.clone(), Arc::clone(console), shutdown.clone());
        threads::apart("job", move || starts(&job, &options, &metrics, &*console, &shutdown))
    };
    let result = result.map_err(|error| Exit::failed(format!("starting the job's thread failed: {error}")))?;
    let (begun, mut asked, mut is_told) = (Instant::now(), None, false);
    loop {
        match result.recv_timeout(LOOK) {
            Ok(summary) => return Ok(summary),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Exit::failed("the job's thread died; the next start goes on from the ledger"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !is_told && begun.elapsed() > UNSTARTED_MAX && !shutdown.has_begun() && !shutdown.is_waiting() {
            is_told = true;
            say!(console, Warn, "{}", if shutdown.is_asking_kafka() { UNSTARTED_KAFKA } else { UNSTARTED });
        }
        let urgency = shutdown.urgency();
        if urgency == Urgency::None || (urgency == Urgency::Finish && shutdown.has_work()) {
            continue;
        }
        let (since, for_what) = *asked.get_or_insert((Instant::now(), urgency));
        if for_what != urgency {
            asked = None;
        } else if since.elapsed() > PATIENCE {
            return Ok(Summary {
                totals: Totals { sums: console.sums(), ..Totals::default() },
                seconds: begun.elapsed().as_secs_f64(),
                failure: (urgency == Urgency::Abort).then_some(Error::Aborted),
                ended: Ended::ForGood,
                reset_is_done: false,
            });
        }
    }
}

fn debug_server(port: Option<u16>, metrics: &Metrics, console: &Console) -> Result<Option<DebugServer>, Exit> {
    let Some(port) = port else { return Ok(None) };
    let server = DebugServer::start(port, metrics).map_err(|error| {
        Exit::failed(format!("--debug-port {port}: {error}; name another port, or 0 for any free one"))
    })?;
    say!(console, Info, "health and metrics at http://127.0.0.1:{}/metrics", server.port());
    Ok(Some(server))
}

fn options(args: &LoadArgs, file: Option<&ServerFile>, gpfdist_host: String, gpfdist: gpfdist::Settings) -> Options {
    let reset = match (args.force_reset_earliest, args.force_reset_latest, args.force_reset_timestamp) {
        (true, _, _) => Some(Reset::Earliest),
        (_, true, _) => Some(Reset::Latest),
        (_, _, Some(ms)) => Some(Reset::Timestamp(ms)),
        _ => None,
    };
    Options {
        name: args.file.name.clone(),
        quit_at_eof: args.quit_at_eof,
        reset,
        skip_explain: args.skip_explain,
        gpfdist_host,
        gpfdist,
        reuse_tables: file.and_then(|file| file.reuse_tables).unwrap_or(true),
        segment_program: args.means.segment_program.clone(),
        memory_bytes: args.means.memory_bytes(),
        liveness: Liveness::of(Duration::from_secs(args.takeover_after)),
    }
}

/// The original's lines, which scripts grep. Of a job that never got to its first record there is no sum to tell.
fn tell_summary(job: &Job, summary: &Summary, shutdown: &Shutdown, console: &Console, status: &str, error: &str) {
    let id = run::identity(job);
    if shutdown.has_begun() {
        tell_totals(job, summary, console);
    }
    say!(console, Info, "Job {}, status {status}, errmsg [{error}], time {:.9}", id.hash(), super::console::now());
}

fn tell_totals(job: &Job, summary: &Summary, console: &Console) {
    let sums = &summary.totals.sums;
    say!(console, Info, "Job finished: {}", run::identity(job).hash());
    for (at, output) in job.outputs.iter().enumerate() {
        let changed = sums.outputs.get(at).copied().unwrap_or_default();
        say!(console, Info, "Target table: {}", output.target);
        say!(console, Info, "Inserted {} rows", changed.inserted);
        if output.mode != Mode::Insert {
            say!(console, Info, "Updated {} rows", changed.updated);
            say!(console, Info, "Deleted {} rows", changed.deleted);
        }
        if job.outputs.len() > 1 && output.filter.is_some() {
            say!(console, Info, "Filtered {} rows", changed.filtered);
        }
    }
    match summary.failure {
        Some(Error::Broken { cause: Broken::TooManyRejects { rejected, .. }, .. }) => {
            let committed = sums.rejected;
            say!(console, Info, "Rejected {committed} rows of what was committed, {rejected} of the batch that failed");
        }
        _ => say!(console, Info, "Rejected {} rows", sums.rejected),
    }
    // filters of several outputs are told with their tables
    if job.filter.is_some() || job.transformer.is_some() || (job.outputs.len() == 1 && job.has_filter()) {
        say!(console, Info, "Filtered {} rows", sums.filtered);
    }
    say!(console, Info, "Broker: {}", job.source.brokers);
    say!(console, Info, "Topic: {}", job.source.topic);
    for (partition, next) in sums.checkpoint.iter() {
        say!(console, Info, "Partition {partition} at offset {}", next - 1);
    }
    if console.is_live() {
        tell_rates(summary, console);
    }
}

fn tell_profile(metrics: &Metrics, summary: &Summary, console: &Console) {
    let partitions = summary.totals.sums.checkpoint.iter().count();
    let workers = workers_max().min(partitions).max(1);
    for line in Profile::of(metrics).lines(workers, partitions) {
        say!(console, Info, "{line}");
    }
}

fn tell_rates(summary: &Summary, console: &Console) {
    let rate = units::as_f64(summary.totals.sums.inserted) / summary.seconds.max(1e-3);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown rounded")]
    let rate = rate as u64;
    let batches = summary.totals.sums.batches;
    say!(
        console,
        Info,
        "{:.1} s, {} rows/s in {batches} {}; offsets committed with the rows",
        summary.seconds,
        units::count(rate),
        if batches == 1 { "batch" } else { "batches" }
    );
}
