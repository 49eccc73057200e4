//! Waiting for a condition, always with a deadline. No test sleeps: it names what it waits for, and fails with that
//! name when it does not come.

use std::time::{Duration, Instant};

/// Enough for anything that comes soon, on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

/// Short enough that no test is slowed by it, long enough to leave the machine to the servers.
const POLL: Duration = Duration::from_millis(20);

/// Waits until `condition` holds.
///
/// # Panics
/// After `deadline`, naming `what`.
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Waits until `attempt` gives a value, and returns it.
///
/// # Panics
/// After `deadline`, naming `what`.
pub fn wait_for<T>(deadline: Duration, what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    match poll(deadline, attempt) {
        Some(value) => value,
        None => panic!("waited {} s in vain for: {what}", deadline.as_secs_f32()),
    }
}

/// Waits until `attempt` gives a value; `None` after `deadline`.
pub fn poll<T>(deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::park_timeout(POLL);
    }
}
