//! When a job stops by itself and when it is started again (SCHEDULE). Pure: times are passed in. The loop that keeps to
//! it is in `starts.rs`.
//!
//! | a start ended | then |
//! |---|---|
//! | on the user's wish, or at the ends that `--quit-at-eof` asks for | that was all |
//! | after RUNNING_DURATION, or at the ends of the topic after QUIT_AT_EOF_AFTER | again after AUTO_STOP_RESTART_INTERVAL, MAX_RESTART_TIMES times |
//! | in failure | again after RETRY_INTERVAL, MAX_RETRIES times in a row without a batch committed |
//!
//! RUNNING_DURATION goes on over retries: it counts from the start that was not one. Every start has it, the last too.

use std::time::{Duration, Instant};

use jiff::{Timestamp, Zoned, civil};

use crate::config::{Schedule, Times};

/// When a running job is to stop by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hours {
    /// Commit what is in hand and stop.
    pub stop_at: Option<Instant>,
    /// From here on the ends of the topic, as they are then, end the job.
    pub eof_from: Option<Timestamp>,
}

impl Hours {
    /// Whether it is to stop.
    pub fn is_over(&self, now: Instant) -> bool {
        self.stop_at.is_some_and(|at| now >= at)
    }

    /// Whether it is to stop at the ends of the topic.
    pub fn is_eof_due(&self, clock: Timestamp) -> bool {
        self.eof_from.is_some_and(|from| clock >= from)
    }
}

/// How a start ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As the user wished.
    ForGood,
    /// As SCHEDULE wished.
    ByItself,
    Failed,
}

/// What comes after a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    End,
    Start { at: Instant, again: Again },
}

/// Which start it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    Retry { number: u64, of: Times },
    Restart { number: u64, of: Times },
}

/// What was used up of a schedule so far.
#[derive(Debug, Clone)]
pub struct Plan {
    schedule: Schedule,
    /// Since the last commit.
    retries: u64,
    restarts: u64,
    stop_at: Option<Instant>,
    is_retry: bool,
}

impl Plan {
    /// Nothing used up.
    pub fn new(schedule: &Schedule) -> Self {
        Self { schedule: schedule.clone(), retries: 0, restarts: 0, stop_at: None, is_retry: false }
    }

    /// A start begins.
    pub fn begin(&mut self, now: Instant, clock: &Zoned) -> Hours {
        if !self.is_retry {
            self.stop_at = self.schedule.running_duration.and_then(|span| now.checked_add(span));
        }
        let eof_from = self.schedule.quit_at_eof_after.map(|after| next(clock, after));
        Hours { stop_at: self.stop_at, eof_from }
    }

    /// It has ended; `has_committed` a batch or not.
    pub fn end(&mut self, ended: Ended, has_committed: bool, now: Instant) -> Next {
        if has_committed {
            self.retries = 0;
        }
        match ended {
            Ended::ForGood => Next::End,
            Ended::ByItself => self.restart(now),
            Ended::Failed => self.retry(now),
        }
    }

    fn retry(&mut self, now: Instant) -> Next {
        let Schedule { max_retries: of, retry_interval, .. } = self.schedule;
        let Some(at) = after(now, retry_interval).filter(|_| is_left(self.retries, of)) else { return Next::End };
        if self.stop_at.is_some_and(|stop| at >= stop) {
            return self.restart(now);
        }
        self.retries += 1;
        self.is_retry = true;
        Next::Start { at, again: Again::Retry { number: self.retries, of } }
    }

    fn restart(&mut self, now: Instant) -> Next {
        let Schedule { auto_stop_restart_interval: interval, max_restart_times: of, .. } = self.schedule;
        let at = interval.and_then(|interval| after(now, interval)).filter(|_| is_left(self.restarts, of));
        let Some(at) = at else { return Next::End };
        self.restarts += 1;
        (self.retries, self.is_retry) = (0, false);
        Next::Start { at, again: Again::Restart { number: self.restarts, of } }
    }
}

/// A span that no clock can hold is never over.
fn after(now: Instant, span: Duration) -> Option<Instant> {
    now.checked_add(span)
}

fn is_left(used: u64, of: Times) -> bool {
    match of {
        Times::Unlimited => true,
        Times::Limited(most) => used < most,
    }
}

/// This time of today; now, where that has been. A time that the clock leaves out comes when it goes on.
fn next(clock: &Zoned, at: civil::Time) -> Timestamp {
    let today = clock.date().to_datetime(at).to_zoned(clock.time_zone().clone());
    today.map_or(clock.timestamp(), |today| today.timestamp().max(clock.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minutes(count: u64) -> Option<Duration> {
        Some(MINUTE * u32::try_from(count).unwrap())
    }

    fn clock(text: &str) -> Zoned {
        text.parse().unwrap()
    }

    fn noon() -> Zoned {
        clock("2024-06-01T12:00[Europe/Berlin]")
    }

    /// What happens when every start ends like this: the minutes at which starts begin, and how the last is told.
    fn starts(schedule: &Schedule, mut ended: impl FnMut(usize, Hours) -> (Ended, bool, Duration)) -> Vec<u64> {
        let begun = Instant::now();
        let (mut plan, mut now, mut told) = (Plan::new(schedule), begun, Vec::new());
        loop {
            told.push(now.duration_since(begun).as_secs() / 60);
            let hours = plan.begin(now, &noon());
            let (how, has_committed, lasted) = ended(told.len(), hours);
            now += lasted;
            match plan.end(how, has_committed, now) {
                Next::Start { at, .. } if told.len() < 20 => now = at,
                _ => return told,
            }
        }
    }

    fn failing(schedule: &Schedule) -> Vec<u64> {
        starts(schedule, |_, _| (Ended::Failed, false, Duration::ZERO))
    }

    #[test]
    fn nothing_is_started_again_unless_asked_for() {
        let schedule = Schedule::default();
        for how in [Ended::ForGood, Ended::ByItself, Ended::Failed] {
            assert_eq!(starts(&schedule, |_, _| (how, true, MINUTE)), [0]);
        }
        let hours = Plan::new(&schedule).begin(Instant::now(), &noon());
        assert_eq!(hours, Hours::default());
        assert!(!hours.is_over(Instant::now() + MINUTE) && !hours.is_eof_due(Timestamp::MAX));
    }

    #[test]
    fn a_failed_job_is_retried_so_many_times_in_a_row() {
        let schedule = Schedule { max_retries: Times::Limited(3), ..Schedule::default() };
        assert_eq!(failing(&schedule), [0, 5, 10, 15]);
        let forever = Schedule { max_retries: Times::Unlimited, ..Schedule::default() };
        assert_eq!(failing(&forever).len(), 20);
        // the second start commits something, and then fails
        let told = starts(&schedule, |number, _| (Ended::Failed, number == 2, Duration::ZERO));
        assert_eq!(told, [0, 5, 10, 15, 20]);
        // a user's stop is no failure
        assert_eq!(starts(&schedule, |_, _| (Ended::ForGood, false, MINUTE)), [0]);
    }

    fn windows(restarts: Times) -> Schedule {
        Schedule {
            running_duration: minutes(30),
            auto_stop_restart_interval: minutes(10),
            max_restart_times: restarts,
            ..Schedule::default()
        }
    }

    /// Runs until it is told to stop.
    fn until_over(hours: Hours, now: Instant) -> Duration {
        hours.stop_at.expect("a start without a stop").duration_since(now)
    }

    #[test]
    fn every_start_stops_by_itself_the_last_one_too() {
        let mut lasted = Vec::new();
        let told = starts(&windows(Times::Limited(2)), |_, _| {
            lasted.push(MINUTE * 30);
            (Ended::ByItself, true, MINUTE * 30)
        });
        assert_eq!(told, [0, 40, 80]);
        let begun = Instant::now();
        let mut plan = Plan::new(&windows(Times::Limited(2)));
        let mut now = begun;
        for restarts_left in [true, true, false] {
            let hours = plan.begin(now, &noon());
            assert_eq!(until_over(hours, now), MINUTE * 30);
            now = hours.stop_at.unwrap();
            assert!(hours.is_over(now) && !hours.is_over(now - MINUTE));
            match plan.end(Ended::ByItself, true, now) {
                Next::Start { at, .. } => now = at,
                Next::End => assert!(!restarts_left),
            }
        }
        assert_eq!(now, begun + MINUTE * 110);
        assert_eq!(starts(&windows(Times::Unlimited), |_, _| (Ended::ByItself, true, MINUTE)).len(), 20);
        assert_eq!(starts(&windows(Times::Limited(0)), |_, _| (Ended::ByItself, true, MINUTE)), [0]);
    }

    #[test]
    fn retries_do_not_prolong_the_hours() {
        let schedule =
            Schedule { max_retries: Times::Unlimited, retry_interval: MINUTE * 8, ..windows(Times::Limited(1)) };
        // 8, 16 and 24 are within the first half hour; 32 is not: that start ends, and one comes 10 minutes after
        assert_eq!(failing(&schedule), [0, 8, 16, 24, 34, 42, 50, 58]);
        let mut stops = Vec::new();
        starts(&schedule, |_, hours| {
            stops.push(hours.stop_at.unwrap());
            (Ended::Failed, false, Duration::ZERO)
        });
        stops.dedup();
        assert_eq!(stops.len(), 2);
    }

    #[test]
    fn the_ends_count_from_the_time_of_day_on() {
        let schedule = Schedule { quit_at_eof_after: Some(civil::time(23, 0, 0, 0)), ..Schedule::default() };
        let from = |at: &str| Plan::new(&schedule).begin(Instant::now(), &clock(at)).eof_from.unwrap();
        let berlin = |at: &str| clock(&format!("{at}[Europe/Berlin]")).timestamp();
        assert_eq!(from("2024-06-01T12:00[Europe/Berlin]"), berlin("2024-06-01T23:00"));
        assert_eq!(from("2024-06-01T00:30[Europe/Berlin]"), berlin("2024-06-01T23:00"));
        assert_eq!(from("2024-06-01T23:30[Europe/Berlin]"), berlin("2024-06-01T23:30"));
        let hours = Plan::new(&schedule).begin(Instant::now(), &noon());
        assert!(!hours.is_eof_due(berlin("2024-06-01T22:59")) && hours.is_eof_due(berlin("2024-06-01T23:00")));
        // half past two does not exist on this night
        let early = Schedule { quit_at_eof_after: Some(civil::time(2, 30, 0, 0)), ..Schedule::default() };
        let from = Plan::new(&early).begin(Instant::now(), &clock("2024-03-31T01:00[Europe/Berlin]")).eof_from;
        assert_eq!(from.unwrap(), berlin("2024-03-31T03:30"));
    }
}
