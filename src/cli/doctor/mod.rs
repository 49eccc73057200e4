//! `gpkafka doctor FILE`: everything that goes wrong on the first day, checked in order, each with a verdict and what to
//! do. It asks the servers in the steps of a load and leaves no trace: nothing is loaded, no offset moves, and the table
//! that segments fetch through is made in a transaction that is rolled back.
//!
//! | file | checks |
//! |---|---|
//! | `names.rs` | names of brokers, database and registry |
//! | `kafka.rs` | brokers, what they advertise, topic, offsets, records |
//! | `registry.rs` | the schema registry |
//! | `database.rs` | login, rights, ledger, target |
//! | `segments.rs` | whether every segment fetches from here |
//! | `residue.rs` | clock, what earlier loads have left, locks |
//! | `machine.rs` | disk and memory of this machine |
//!
//! Kafka and the database fail apart: what is known of the one does not depend on the other.

mod database;
mod kafka;
mod machine;
mod names;
mod net;
mod registry;
mod report;
mod residue;
mod segments;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use self::database::Database;
use self::report::{Check, Report, Verdict};
use super::callback::{Callback, callback};
use super::{DoctorArgs, EXIT_FAILED, Exit, console, files};
use crate::config::Job;
use crate::gpfdist;
use crate::greenplum::{Canceller, Settings};
use crate::job::{run, threads};
use crate::shutdown::{Shutdown, Urgency};

/// How often a wait looks at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long the end may take after a wish to stop: a statement is cancelled, and its transaction rolled back.
const PATIENCE: Duration = Duration::from_secs(4);

/// A lock that a load would wait for is told, and not waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// A job, and what a load of it would use.
struct Case {
    job: Job,
    settings: Settings,
    /// Where segments would call.
    host: String,
    gpfdist: gpfdist::Settings,
    memory_bytes: usize,
    log_dir: Option<PathBuf>,
    /// What is wrong with the files, and does not keep them from being used.
    warnings: Vec<String>,
    shown_file: String,
    shutdown: Shutdown,
    /// Ends the statement that runs.
    running: Arc<Mutex<Option<Canceller>>>,
}

impl Case {
    /// Says what a wish to stop is to cancel from now on.
    fn stop_by(&self, canceller: Canceller) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(canceller);
    }
}

/// Checks and tells.
///
/// # Errors
/// 64 for what is wrong with flags and files; 1, and nothing more to print, where a check has failed.
pub fn run(args: &DoctorArgs) -> Result<(), Exit> {
    let (mut job, mut warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref(), &mut job)?;
    warnings.extend(server_warnings);
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    let Callback { host, gpfdist, warning } = callback(&args.gpfdist, &job, server_file.as_ref())?;
    warnings.extend(warning);
    let mut settings = job.greenplum_settings();
    settings.segment_program.clone_from(&args.means.segment_program);
    settings.is_gpfdists = gpfdist.tls.is_some();
    settings.lock_timeout = LOCK_TIMEOUT;
    let case = Case {
        settings,
        host,
        gpfdist,
        memory_bytes: args.means.memory_bytes(),
        log_dir: args.log_dir.clone(),
        warnings,
        shown_file: args.file.file.display().to_string(),
        shutdown: shutdown.clone(),
        running: Arc::default(),
        job,
    };
    let is_json = args.json;
    let report = Report { is_json, in_color: !is_json && std::io::stdout().is_terminal(), ..Report::default() };
    let running = Arc::clone(&case.running);
    let result = threads::apart("doctor", move || examine(&case, report));
    let result = result.map_err(|error| Exit::failed(format!("starting a thread failed: {error}")))?;
    let mut asked = None;
    let report = loop {
        match result.recv_timeout(LOOK) {
            Ok(report) => break report?,
            Err(RecvTimeoutError::Disconnected) => return Err(Exit::failed("the doctor's thread died")),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if shutdown.urgency() == Urgency::None {
            continue;
        }
        // asked again: one that comes before the statement has begun is lost
        if let Some(canceller) = running.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            drop(canceller.cancel());
        }
        if asked.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return Err(interrupted());
        }
    };
    if shutdown.urgency() != Urgency::None {
        return Err(interrupted());
    }
    console::print(&report.end())?;
    match report.verdict() {
        Verdict::Failed => Err(Exit { code: EXIT_FAILED, text: String::new() }),
        _ => Ok(()),
    }
}

fn interrupted() -> Exit {
    Exit::failed("interrupted before all was checked; nothing was loaded, and nothing is left behind")
}

/// One file's checks. Where standard output takes nothing, that is the end.
type Examine = fn(&Case, &mut Database, &mut Report) -> Result<(), Exit>;

/// All checks, in their order.
fn examine(case: &Case, mut report: Report) -> Result<Report, Exit> {
    report.add(file(case))?;
    report.add(names::check(case))?;
    // asked early: the ledger says where the topic goes on, and the target which columns its records have
    let mut database = Database::look(case);
    let checks: [Examine; 6] =
        [kafka::examine, registry::examine, database::examine, segments::examine, residue::examine, machine::examine];
    for check in checks {
        if case.shutdown.urgency() != Urgency::None {
            break;
        }
        check(case, &mut database, &mut report)?;
    }
    Ok(report)
}

fn file(case: &Case) -> Check {
    let job = &case.job;
    let mut check = Check::new("file");
    let (topic, hash) = (&job.source.topic, run::identity(job));
    check.say(Verdict::Ok, format!("{}: topic {topic} into {}, job {}", case.shown_file, job.target(), hash.hash()));
    for warning in &case.warnings {
        check.say(Verdict::Warning, warning);
    }
    check
}
