//! `gpkafka replay FILE`: loads dead letters again, and says what became of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;

use super::callback::{Callback, callback};
use super::console::Console;
use super::{Exit, ReplayArgs, files};
use crate::greenplum::Liveness;
use crate::job::dead_letters::counted;
use crate::job::failure::Error;
use crate::job::replay::{Replayed, Summary, replay};
use crate::job::report::{Reporter as _, say};
use crate::job::run::Options;
use crate::job::threads;
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, Urgency};
use crate::units;

/// How often a wait looks at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long the second Ctrl-C leaves the open part to be rolled back in good order.
const PATIENCE: Duration = Duration::from_secs(3);

/// Loads the job's dead letters again.
///
/// # Errors
/// 64 for what is wrong with flags and files, 1 for everything that needed a server, and where letters stay.
pub fn run(args: &ReplayArgs) -> Result<(), Exit> {
    let (mut job, warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref(), &mut job)?;
    let Callback { host: gpfdist_host, gpfdist, warning } = callback(&args.gpfdist, &job, server_file.as_ref())?;
    if job.dead_letters.is_none() {
        let file = args.file.file.display();
        return Err(Exit::usage(format!("{file} has no DEAD_LETTER: there is no table to load again from")));
    }
    let console = Arc::new(Console::open(&args.log, false)?);
    let shutdown = Shutdown::default();
    threads::watch_signals(&shutdown).map_err(|error| Exit::failed(format!("watching for signals failed: {error}")))?;
    for warning in warnings.iter().chain(&server_warnings).chain(&warning) {
        say!(console, Warn, "{warning}");
    }
    let options = Options {
        name: args.file.name.clone(),
        quit_at_eof: true,
        reset: None,
        skip_explain: false,
        gpfdist_host,
        gpfdist,
        reuse_tables: true,
        segment_program: args.means.segment_program.clone(),
        memory_bytes: args.means.memory_bytes(),
        liveness: Liveness::default(),
    };
    let (condition, shown, told_to_end) = (args.condition.clone(), Arc::clone(&console), shutdown.clone());
    let done = threads::apart("job", move || {
        replay(&job, &options, condition.as_deref(), &Metrics::default(), (&*shown, &told_to_end))
    });
    let done = done.map_err(|error| Exit::failed(format!("starting the job's thread failed: {error}")))?;
    let Summary { replayed, failure } = wait(&done, &shutdown)?;
    if failure.is_none() || replayed != Replayed::default() {
        tell(&console, replayed);
    }
    match failure {
        Some(error) => Err(Exit::failed(error)),
        None if replayed.refused > 0 => Err(Exit::failed(format!("{} were refused again", counted(replayed.refused)))),
        None => Ok(()),
    }
}

fn wait(done: &crossbeam_channel::Receiver<Summary>, shutdown: &Shutdown) -> Result<Summary, Exit> {
    let mut aborted = None;
    loop {
        match done.recv_timeout(LOOK) {
            Ok(summary) => return Ok(summary),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Exit::failed("the job's thread died; what is not loaded is still in the table"));
            }
            Err(RecvTimeoutError::Timeout) if shutdown.urgency() == Urgency::Abort => {
                if aborted.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(Exit::failed(Error::Aborted));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn tell(console: &Console, replayed: Replayed) {
    let Replayed { inserted, updated, deleted, filtered, loaded, refused, without_record } = replayed;
    let rows = [(" inserted", inserted), (" updated", updated), (" deleted", deleted), (" filtered", filtered)];
    let rows = rows.iter().filter(|(what, rows)| *rows > 0 || *what == " inserted");
    let rows: Vec<String> = rows.map(|(what, rows)| format!("{}{what}", units::count(*rows))).collect();
    say!(console, Info, "Loaded {} again; rows {}", counted(loaded), rows.join(", "));
    if refused > 0 {
        say!(console, Info, "Refused {} again, which stay with the new reason", counted(refused));
    }
    if without_record > 0 {
        let letters = counted(without_record);
        say!(console, Info, "{letters} cannot be loaded: the topic had lost the record before it could be kept");
    }
}
