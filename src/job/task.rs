//! SQL of the user's before the first batch and after the last (TASK): each on a session of its own, so that nothing it
//! sets touches the one that loads. What runs inside a batch's transaction is the warehouse's.
//!
//! PREPARE_SQL runs once a start of the job, also one that SCHEDULE makes, and not again when a lost connection is made
//! anew. POST_BATCH_SQL runs in every BATCH_INTERVAL-th batch that has rows; when a start ends well and batches were
//! committed since, once more by itself, so that what it does is done for every batch. TEARDOWN_SQL is the last.

use std::num::NonZeroU64;
use std::time::Instant;

use crossbeam_channel::RecvTimeoutError;

use super::failure::Error;
use super::report::say;
use super::run::{LOOK, Memory, Run};
use super::threads;
use crate::config::Job;
use crate::greenplum::{self, Connection, Holder};
use crate::shutdown::Urgency;

pub(super) const PREPARE: &str = "PREPARE_SQL";
pub(super) const POST_BATCH: &str = "POST_BATCH_SQL";
pub(super) const TEARDOWN: &str = "TEARDOWN_SQL";

/// Whether POST_BATCH_SQL runs in a batch with rows, after `earlier` such batches of this start.
pub(super) fn is_due(job: &Job, earlier: u64) -> bool {
    interval(job).is_some_and(|interval| (earlier + 1).is_multiple_of(interval.get()))
}

/// Whether some of these batches came after it ran.
fn is_outstanding(job: &Job, batches: u64) -> bool {
    interval(job).is_some_and(|interval| !batches.is_multiple_of(interval.get()))
}

fn interval(job: &Job) -> Option<NonZeroU64> {
    job.task.post_batch.as_ref().map(|post_batch| post_batch.interval)
}

/// Runs PREPARE_SQL while this loader holds the job.
///
/// # Errors
/// The database's message.
///
/// # Blocks
/// For as long as it takes; a wish to stop ends it.
pub(super) fn prepare(run: &Run<'_>, holder: &mut Holder) -> Result<(), Error> {
    let Some(sql) = &run.job.task.prepare else { return Ok(()) };
    alone(run, PREPARE, sql, Urgency::Finish, || holder.beat())
}

/// What can be known of SQL that is to run later.
///
/// # Errors
/// The database's message.
pub fn check(job: &Job, connection: &mut Connection) -> Result<(), Error> {
    if let Some(post_batch) = &job.task.post_batch {
        connection.check_task(POST_BATCH, &post_batch.sql)?;
    }
    if let Some(sql) = &job.task.teardown {
        connection.check_task(TEARDOWN, sql)?;
    }
    Ok(())
}

/// Runs what is left to run at a clean end.
///
/// # Errors
/// [`Error::AfterEnd`]: all rows are committed.
///
/// # Blocks
/// For as long as it takes; the second wish to stop ends it.
pub(super) fn at_end(run: &Run<'_>, memory: &Memory) -> Result<(), Error> {
    if !memory.has_run {
        return Ok(());
    }
    run.shutdown.set_work(true);
    let outcome = last(run, memory);
    run.shutdown.set_work(false);
    outcome
}

fn last(run: &Run<'_>, memory: &Memory) -> Result<(), Error> {
    let ended = |error: Error| Error::AfterEnd { text: error.to_string() };
    let task = &run.job.task;
    if let Some(post_batch) = task.post_batch.as_ref().filter(|_| is_outstanding(run.job, memory.totals.with_rows)) {
        alone(run, POST_BATCH, &post_batch.sql, Urgency::Abort, || Ok(())).map_err(ended)?;
    }
    if let Some(sql) = &task.teardown {
        alone(run, TEARDOWN, sql, Urgency::Abort, || Ok(())).map_err(ended)?;
    }
    Ok(())
}

fn alone(
    run: &Run<'_>,
    name: &'static str,
    sql: &str,
    ends_at: Urgency,
    mut beat: impl FnMut() -> Result<(), greenplum::Error>,
) -> Result<(), Error> {
    let mut connection = Connection::open(&run.job.greenplum_settings(), &run.id.application_name(&run.instance))?;
    say!(run.reporter, Info, "running {name}");
    let canceller = connection.canceller();
    let sql = sql.to_owned();
    let done = threads::apart("task", move || connection.run_task(name, &sql))?;
    let mut beat_at = Instant::now() + run.options.liveness.beat();
    loop {
        match done.recv_timeout(LOOK) {
            Ok(outcome) => return Ok(outcome?),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Internal(format!("the thread that ran {name} has died")));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if run.shutdown.urgency() >= ends_at {
            // the next look asks again: one that comes before the statement has begun is lost
            drop(canceller.cancel());
        }
        if Instant::now() >= beat_at {
            beat()?;
            beat_at = Instant::now() + run.options.liveness.beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PostBatch, Variables, parse};

    fn job(interval: u64) -> Job {
        let text = include_bytes!("../config/reference.yaml").to_vec();
        let mut job = parse(std::path::Path::new("reference.yaml"), text, &Variables::new()).unwrap();
        let interval = NonZeroU64::new(interval);
        job.task.post_batch = interval.map(|interval| PostBatch { sql: "SELECT 1".to_owned(), interval });
        job
    }

    #[test]
    fn post_batch_sql_runs_for_every_batch_in_the_end() {
        let due = |interval| (0..7).filter(|&earlier| is_due(&job(interval), earlier)).collect::<Vec<_>>();
        assert_eq!(due(1), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(due(3), [2, 5]);
        assert_eq!(due(0), [0; 0]);
        let outstanding = |interval, batches| is_outstanding(&job(interval), batches);
        assert!(!outstanding(3, 0) && outstanding(3, 1) && outstanding(3, 2) && !outstanding(3, 3));
        assert!(!outstanding(1, 5) && !outstanding(0, 5));
    }
}
