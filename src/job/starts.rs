//! Start after start of one job, as SCHEDULE has it: what `schedule.rs` decides is waited for and done here. Called by
//! the command line.

use std::time::{Duration, Instant};

use jiff::Zoned;

use super::alert::{self, News, Status};
use super::report::{Reporter, say};
use super::run::{self, LOOK, Options, Start, Summary};
use super::schedule::{Again, Next, Plan};
use super::totals::Sums;
use crate::config::{Job, Times};
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, Urgency};

/// Loads until the end of the topic, a stop, or a failure after which SCHEDULE has no more to say.
///
/// # Blocks
/// For as long as the job runs and waits; never call it on a tokio thread.
pub fn starts(
    job: &Job,
    options: &Options,
    metrics: &Metrics,
    reporter: &dyn Reporter,
    shutdown: &Shutdown,
) -> Summary {
    let begun = Instant::now();
    let mut plan = Plan::new(&job.schedule);
    let (mut options, mut sums) = (options.clone(), Sums::default());
    loop {
        let hours = plan.begin(Instant::now(), &Zoned::now());
        let batches = sums.batches;
        let start = Start { hours, sums };
        let summary = run::run(job, &options, start, metrics, reporter, shutdown);
        let summary = Summary { seconds: begun.elapsed().as_secs_f64(), ..summary };
        if shutdown.urgency() != Urgency::None {
            return summary;
        }
        let has_committed = summary.totals.sums.batches > batches;
        let Next::Start { at, again } = plan.end(summary.ended, has_committed, Instant::now()) else { return summary };
        if summary.reset_is_done {
            // it was asked for once
            options.reset = None;
        }
        announce(reporter, &summary, at, again);
        alert(job, &options, &summary, reporter, shutdown);
        if !wait(shutdown, at) {
            return summary;
        }
        sums = summary.totals.sums;
    }
}

/// Tells those whom ALERT names of an end; the last one is for the caller of [`starts`] to tell.
pub fn alert(job: &Job, options: &Options, summary: &Summary, reporter: &dyn Reporter, shutdown: &Shutdown) {
    let Some(alert) = &job.alert else { return };
    let detail = summary.failure.as_ref().map(ToString::to_string).unwrap_or_default();
    let id = run::identity(job);
    let news = News {
        job: options.name.as_deref().unwrap_or(id.hash()),
        status: if summary.failure.is_some() { Status::Failed } else { Status::Stopped },
        detail: &detail,
    };
    alert::tell(alert, &news, reporter, shutdown);
}

fn announce(reporter: &dyn Reporter, summary: &Summary, at: Instant, again: Again) {
    let left = at.saturating_duration_since(Instant::now());
    let when = clock_at(left);
    let count = |number: u64, of: Times| match of {
        Times::Limited(most) => format!("{number} of {most}"),
        Times::Unlimited => number.to_string(),
    };
    match (again, &summary.failure) {
        (Again::Retry { number, of }, Some(error)) => {
            say!(reporter, Warn, "{error}; the job is started again at {when}, retry {}", count(number, of));
        }
        (Again::Restart { number, of }, Some(error)) => {
            say!(
                reporter,
                Warn,
                "{error}; RUNNING_DURATION ends, the job is started again at {when}, restart {}",
                count(number, of)
            );
        }
        (Again::Retry { number, of } | Again::Restart { number, of }, None) => {
            say!(
                reporter,
                Info,
                "the job has stopped by its SCHEDULE; it is started again at {when}, restart {}",
                count(number, of)
            );
        }
    }
}

/// A time of day, with its date where that is another.
fn clock_at(left: Duration) -> String {
    let now = Zoned::now();
    let at = jiff::SignedDuration::try_from(left).ok().and_then(|left| now.checked_add(left).ok());
    at.map_or("a time beyond all calendars".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// Whether nobody wished to stop meanwhile.
fn wait(shutdown: &Shutdown, until: Instant) -> bool {
    shutdown.set_waiting(true);
    while Instant::now() < until && shutdown.urgency() == Urgency::None {
        std::thread::park_timeout(LOOK.min(until.saturating_duration_since(Instant::now())));
    }
    shutdown.set_waiting(false);
    shutdown.urgency() == Urgency::None
}
