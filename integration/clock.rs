//! The wall clock of a loader's machine jumps: an hour ahead, an hour and a day back. Batches keep their interval, a load
//! hears and ends as ever, and nobody takes a job over that is held.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp, Zoned};

use crate::crash_scene::{SOON, Scene};
use crate::flow::Flow;
use crate::harness::{Clock, Running, postgres, wait_until};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Whatever waits for a time of day would wait for an hour.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A log line has the time that the clock shows now: it is the loader that reads it.
fn expect_shown(load: &mut Running, seconds: i64) {
    let now = Timestamp::now() + SignedDuration::from_secs(seconds);
    let zone = Zoned::now().time_zone().clone();
    let hours = [now, now - SignedDuration::from_secs(60)]
        .map(|time| time.to_zoned(zone.clone()).strftime("%Y%m%d:%H:").to_string());
    wait_until(SOON, "a line of that hour", || {
        let text = load.text();
        assert!(!load.has_ended(), "{text}");
        text.lines().any(|line| hours.iter().any(|hour| line.starts_with(hour)))
    });
}

#[test]
fn a_wall_clock_that_jumps_holds_up_nothing() {
    const INTERVAL: Duration = Duration::from_millis(400);
    const BATCHES: u32 = 5;
    let flow = Flow::new(postgres(), "clock", 1);
    let clock = Clock::new();
    let job = flow.job().commit("MINIMAL_INTERVAL: 400");
    let mut load = clock.shown_to(flow.loader(&job).args(["--verbose"])).start();
    load.wait_for_text(SOON, "gpkafka job has started");
    let commits = || flow.ledger().len();
    let ((), end) = flow.stream(0, 200, || {
        wait_until(SOON, "the first rows", || flow.count() > 0);
        for seconds in [HOUR, 0, -HOUR, -DAY] {
            clock.jump_to(seconds);
            let (then, since) = (commits(), Instant::now());
            wait_until(AT_ONCE, "batches after a jump", || commits() >= then + BATCHES as usize);
            assert!(since.elapsed() > INTERVAL * (BATCHES - 2), "{seconds}: {:?}", since.elapsed());
            expect_shown(&mut load, seconds);
        }
    });
    wait_until(SOON, "all rows", || flow.count() == end);
    // now all its threads wait, and none for a record that would wake it
    clock.jump_to(-2 * DAY);
    flow.topic.grow_to(2);
    flow.produce(1, 0..10);
    wait_until(SOON, "rows of a new partition", || flow.count() == end + 10);
    clock.jump_to(-3 * DAY);
    load.signal("INT");
    load.wait(AT_ONCE).expect_code(0).expect_calm(&[]);
    flow.expect(&[(0, 0..end), (1, 0..10)]);
}

#[test]
fn a_wall_clock_that_jumps_gives_no_job_away() {
    const SILENCE: Duration = Duration::from_secs(5);
    let scene = Scene::new(postgres(), "jumps", "");
    scene.fill(0..200);
    let job = scene.job("MINIMAL_INTERVAL: 300");
    let clocks = [Clock::new(), Clock::new()];
    let start = |clock: &Clock| clock.shown_to(job.load().args(["--takeover-after", "5"])).start();
    let mut first = start(&clocks[0]);
    first.wait_for_text(SOON, "gpkafka job has started");
    let holder = scene.wait_for_session("the first one's sessions", "true");
    for (ours, theirs) in [(0, HOUR), (-HOUR, DAY), (HOUR, -DAY)] {
        clocks[0].jump_to(ours);
        clocks[1].jump_to(theirs);
        start(&clocks[1]).wait(SOON).expect_code(1).expect_text("is being loaded already");
    }
    scene.fill(200..400);
    wait_until(SOON, "the first to load on", || scene.count() == 1600);
    first.signal("STOP");
    let begun = Instant::now();
    let mut successor = start(&clocks[1]);
    for seconds in [DAY, -DAY, HOUR, -HOUR] {
        let until = Instant::now() + SILENCE / 5;
        wait_until(SOON, "the next jump", || until <= Instant::now());
        clocks[1].jump_to(seconds);
    }
    successor.wait_for_text(SOON, &format!("took over from loader {}", holder.name));
    assert!((SILENCE / 2..SILENCE * 4).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    scene.fill(400..600);
    wait_until(SOON, "the successor to load on", || scene.count() == 2400);
    first.signal("CONT");
    first.wait(SOON).expect_code(1);
    successor.signal("INT");
    successor.wait(AT_ONCE).expect_code(0);
    scene.expect_exact(600);
}
