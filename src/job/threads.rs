//! The one place that starts, names and joins threads.
//!
//! | thread | does | ends |
//! |---|---|---|
//! | `main` | waits for the job, or for the end of the user's patience | last |
//! | `job` | the brain's loop: events in, actions out | when the job ends |
//! | `kafka` | polls the main queue, looks for new partitions | with the attempt |
//! | `worker-N` | its own record queue → decode → encode → sealed blocks | with the attempt |
//! | `warehouse` | the batch's SQL session | with the attempt |
//! | `segment-N` | in a measurement, a client that throws rows away | with its scan |
//! | `registry` | one question to the schema registry, for a worker that waits | with its answer; nobody joins it |
//! | `holder` | the control session: acts every two seconds | with the attempt |
//! | `scan` | reads files for one scan of `gpkafka serve` | with the scan; nobody joins it |
//! | `doctor` | the checks of `gpkafka doctor` | with the last |
//! | `resolver`, `connector` | one name, one connection of a check | with its answer; nobody joins them |
//! | `signals` | counts Ctrl-C and SIGTERM | with the process |

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::shutdown::Shutdown;

/// Tells the threads of one attempt to end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks all threads of the attempt to end.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How long the end of an attempt waits for its threads, all together, if nothing else is said. What sits in a call to a
/// server that does not answer is then left behind: it finds its channels closed and its session ended, and the ledger's
/// fence holds anyway.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// How often a wait for threads looks whether they have ended.
const LOOK: Duration = Duration::from_millis(5);

/// The threads of one attempt. Dropping it asks them to end and waits for them.
#[derive(Debug)]
pub struct Threads {
    join_max: Duration,
    stop: Stop,
    /// For workers alone: they end first.
    stop_reading: Stop,
    joins: Vec<JoinHandle<()>>,
}

impl Default for Threads {
    fn default() -> Self {
        Self::joined_within(JOIN_MAX)
    }
}

impl Threads {
    /// None yet. Their end is waited for so long.
    pub fn joined_within(join_max: Duration) -> Self {
        Self { join_max, stop: Stop::default(), stop_reading: Stop::default(), joins: Vec::new() }
    }

    /// Their end is known not to come soon.
    pub fn abandon(&mut self) {
        self.join_max = Duration::ZERO;
    }

    /// The wish to end, to be looked at by every thread at least every 100 ms.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// The wish to read no more, for workers.
    pub fn reading(&self) -> Stop {
        self.stop_reading.clone()
    }

    /// Asks the workers to end; the others go on until all is committed.
    pub fn stop_reading(&self) {
        self.stop_reading.ask();
    }

    /// Starts a thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = Builder::new().name(name.to_owned()).spawn(body)?;
        self.joins.push(thread);
        Ok(())
    }

    /// Whether a thread has ended: by a panic, if nobody asked it to. The attempt cannot go on without it.
    pub fn any_has_ended(&self) -> bool {
        self.joins.iter().any(JoinHandle::is_finished)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop_reading.ask();
        self.stop.ask();
        let until = Instant::now() + self.join_max;
        for thread in self.joins.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::park_timeout(LOOK);
            }
            if thread.is_finished() && thread.join().is_err() {
                // the panic has printed itself; the attempt has failed already, since a channel of it is closed
            }
        }
    }
}

/// Runs `body` on a thread of its own; its result comes through the channel. Nobody joins it: whoever waits may lose
/// patience and end the process, which is always safe for what it loads.
///
/// # Errors
/// The system has no thread to give.
pub fn apart<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Receiver<T>> {
    let (done, result) = bounded(1);
    Builder::new().name(name.to_owned()).spawn(move || {
        // nobody listens any more: the process is ending
        drop(done.send(body()));
    })?;
    Ok(result)
}

/// From now on Ctrl-C and SIGTERM escalate `shutdown` instead of killing the process. One of them that whoever started the
/// process has it ignore stays ignored: a shell does so with Ctrl-C for what a script runs in the background.
///
/// # Errors
/// The handlers could not be installed.
pub fn watch_signals(shutdown: &Shutdown) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)))?;
    let shutdown = shutdown.clone();
    Builder::new().name("signals".to_owned()).spawn(move || {
        for _signal in signals.forever() {
            shutdown.escalate();
        }
    })?;
    Ok(())
}

/// Whether this process ignores a signal. False where the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
