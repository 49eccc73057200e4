//! Several loaders of one job. First as they are: the second one stands back. Then with everything taken away that keeps
//! them apart in time, so that the ledger's fence alone is left: however they interleave, no row is lost or doubled.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::crash_scene::{PARTITIONS, SOON, Scene};
use crate::harness::{Database, Outcome, full, on_each_database, wait_until};

/// No claims, no terminations, and no dropping of external tables that a claim makes one's own.
const NO_HOLDER: &str = "holder-off=return;sweep-off=return";

/// Within so many seconds a second load has seen the first one act, and says so.
const STANDS_BACK: Duration = Duration::from_secs(10);

on_each_database! {
    fn a_second_load_stands_back_and_says_who_has_the_job(db) {
        let scene = Scene::new(db, "second", "");
        scene.fill(0..100);
        let job = scene.job("MINIMAL_INTERVAL: 200");
        let mut first = job.load().start();
        first.wait_for_text(SOON, "gpkafka job has started");
        let holder = scene.wait_for_session("the first one's sessions", "true");
        let begun = Instant::now();
        let second = job.load().run().expect_code(1);
        assert!(begun.elapsed() < STANDS_BACK, "the second took {:?}", begun.elapsed());
        second.expect_text("is being loaded already").expect_text(&holder.name);
        wait_until(SOON, "the first to load everything", || scene.count() == 400);
        first.signal("INT");
        first.wait(SOON).expect_code(0);
        scene.expect_exact(100);
    }

    fn loads_of_other_partitions_run_side_by_side(db) {
        let scene = Scene::new(db, "beside", "");
        scene.fill(0..2000);
        let half = |partitions| {
            let mut job = scene.job("MAX_ROW: 1000").slowly(1.0, 1000);
            job.partitions = Some(partitions);
            job.load().args(["--quit-at-eof"]).start()
        };
        let halves = [half("(0, 2)"), half("(1, 3...9)")];
        wait_until(SOON, "both to insert at once", || scene.sessions(&scene.inserting(0.0)).len() == 2);
        for half in halves {
            half.wait(SOON).expect_code(0).expect_text("Inserted 4000 rows");
        }
        scene.expect_rows(2000);
        scene.expect_nothing_left(2);
    }

    fn two_loaders_at_once_are_kept_apart_by_the_ledger(db) {
        fight(db, 2);
    }

    fn three_loaders_at_once_are_kept_apart_by_the_ledger(db) {
        fight(db, 3);
    }

    /// The stopped one's rows are in the table and in the ledger, uncommitted. Without the ledger's unique key
    /// (`ledger-unique-key`) the successor does not meet them, and both commit.
    fn a_loader_that_rests_before_commit_makes_its_successor_wait(db) {
        let scene = Scene::new(db, "rests", "");
        scene.fill(0..1000);
        let job = scene.job("MAX_ROW: 100000");
        let words = ["--quit-at-eof"];
        let first = job.load().args(words).failpoints(&format!("{NO_HOLDER};before-commit=1*sleep(5000)")).start();
        scene.wait_for_session("it to rest before COMMIT", &scene.resting("SELECT l.partition"));
        first.signal("STOP");
        let second = job.load().args(words).failpoints(NO_HOLDER).start();
        wait_until(SOON, "the successor to wait for the fence, or to pass it", || {
            !scene.sessions(&scene.appending("active")).is_empty() || scene.commits() > 0
        });
        first.signal("CONT");
        let (first, second) = (first.wait(SOON), second.wait(SOON));
        job.finish();
        scene.expect_exact(1000);
        first.expect_code(0);
        second.expect_code(1).expect_text("was taken by loader");
    }

    fn a_loader_that_rests_before_the_ledger_finds_its_position_taken(db) {
        let scene = Scene::new(db, "late", "");
        scene.fill(0..1000);
        let job = scene.job("MAX_ROW: 500");
        let words = ["--quit-at-eof"];
        let points = format!("{NO_HOLDER};before-ledger-append=1*off->sleep(5000)");
        let first = job.load().args(words).failpoints(&points).start();
        scene.wait_for_session("it to rest after the row check", &scene.resting("SELECT a.attname"));
        first.signal("STOP");
        job.load().args(words).failpoints(NO_HOLDER).run().expect_code(0);
        first.signal("CONT");
        let first = first.wait(SOON);
        job.finish();
        scene.expect_exact(1000);
        first.expect_code(1).expect_text("was taken by loader");
    }

    /// An administrator has the history forgotten and everything loaded anew while a loader rests between two batches of
    /// the old history. No key is violated. Without the check of the row before (`ledger-chain-check`) it goes on.
    fn a_batch_of_a_history_that_is_gone_is_refused(db) {
        let scene = Scene::new(db, "anew", "");
        scene.fill(0..1000);
        let mut job = scene.job("MAX_ROW: 200");
        job.partitions = Some("(1)");
        let points = format!("{NO_HOLDER};before-ledger-append=1*off->sleep(5000)");
        let first = job.load().args(["--quit-at-eof"]).failpoints(&points).start();
        scene.wait_for_commit(0);
        scene.wait_for_session("it to rest after the row check", &scene.resting("SELECT a.attname"));
        first.signal("STOP");
        let old = scene.count();
        scene.look(&format!("DELETE FROM {}.gpkafka_ledger", scene.schema));
        job.commit = "MAX_ROW: 100000".into();
        job.load().args(["--quit-at-eof"]).failpoints(NO_HOLDER).run().expect_code(0);
        first.signal("CONT");
        let first = first.wait(SOON);
        assert_eq!((scene.count(), scene.commits()), (old + 1000, 1), "rows and commits");
        first.expect_code(1).expect_text("was taken by loader");
        job.finish();
        scene.expect_nothing_left(1);
    }

    /// A trigger swallows one row on a segment. Without the row check (`row-check`) it is lost, and nobody knows.
    fn a_row_that_vanishes_on_a_segment_fails_the_batch(db) {
        let scene = Scene::new(db, "swallowed", "");
        let schema = &scene.schema;
        db.execute(&format!(
            "CREATE FUNCTION {schema}.swallow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF NEW.part = 2 AND NEW.seq = 77 THEN RETURN NULL; END IF; RETURN NEW; END $$"
        ));
        db.execute(&format!(
            "CREATE TRIGGER swallow BEFORE INSERT ON {schema}.t FOR EACH ROW EXECUTE PROCEDURE {schema}.swallow()"
        ));
        scene.fill(0..100);
        let outcome = scene.job("MAX_ROW: 100000").load().args(["--quit-at-eof"]).run();
        assert_eq!((scene.count(), scene.commits()), (0, 0), "rows and commits");
        outcome.expect_code(1).expect_text("400 rows were sent, but 399 inserted and 0 rejected by segments");
        scene.expect_nothing_left(1);
    }
}

/// So many loaders, each started again whenever it ends, while records flow.
fn fight(db: &Database, loaders: usize) {
    let scene = Scene::new(db, "fight", "");
    let job = scene.job("MINIMAL_INTERVAL: 300");
    let is_over = AtomicBool::new(false);
    let ends: Mutex<Vec<Outcome>> = Mutex::default();
    let records = std::thread::scope(|scope| {
        for _ in 0..loaders {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let mut loader = job.load().failpoints(NO_HOLDER).start();
                    wait_until(SOON * 2, "a loader to end", || loader.has_ended() || is_over.load(Ordering::SeqCst));
                    if loader.has_ended() {
                        let end = loader.wait(SOON);
                        ends.lock().unwrap().push(end);
                    }
                }
            });
        }
        let (begun, duration) = (Instant::now(), Duration::from_secs(full(60).unsigned_abs()));
        // on a busy machine it takes them longer to meet
        let have_met = || !ends.lock().unwrap().is_empty() || begun.elapsed() > SOON * 2;
        let records = scene.flow_while(|| begun.elapsed() < duration || !have_met());
        is_over.store(true, Ordering::SeqCst);
        records
    });
    let ends = ends.into_inner().unwrap();
    let fenced = ends.iter().filter(|end| end.text().contains("was taken by loader")).count();
    tell(&format!("{loaders} loaders of {}: {} runs, {fenced} stopped by the fence", db.address(), ends.len()));
    for end in &ends {
        assert!(end.code == 1 && end.text().contains("was taken by loader"), "gpkafka printed:\n{}", end.text());
    }
    assert!(fenced > 0, "they never met");
    job.finish();
    scene.expect_exact(records);
}

/// Shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stdout, reason = "how often they met belongs to the protocol of a run")]
fn tell(text: &str) {
    println!("{text} ({PARTITIONS} partitions)");
}
