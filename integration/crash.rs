//! Loaders that are killed, stopped and cut off at the worst moments: none of it costs or doubles a row.

use std::time::{Duration, Instant};

use crate::crash_scene::{PARTITIONS, SOON, Scene};
use crate::crash_wire::{AtCommit, Wire};
use crate::harness::{Kind, Outcome, Running, full, on_each_database, wait_until};

/// A successor has committed by then, counted from its start.
const COMMITS_AGAIN: Duration = Duration::from_secs(10);

/// A successor of a loader that neither lives nor ends has committed by then.
const TAKES_OVER: Duration = Duration::from_secs(30);

/// What an INSERT lasts that is to be met, at least.
const SLOW: f64 = 1.0;

/// When a loader is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// It has started and read nothing.
    Started,
    /// At a fail point, second time; the loader rests there.
    Point(&'static str),
    /// The server has run the INSERT for so many seconds.
    Inserting(f64),
    /// COMMIT was sent and executed, its reply is on the way.
    Committing,
    /// Ctrl-C has come, the INSERT runs.
    Ending,
}

/// What there is to be interrupted, in the order of a batch.
const MOMENTS: [(&str, Moment); 10] = [
    ("the job has started and no batch has begun", Moment::Started),
    ("after BEGIN, no INSERT sent", Moment::Point("insert-sent")),
    ("inside the INSERT, just begun", Moment::Inserting(0.0)),
    ("inside the INSERT, rows going into the table for 0.5 s", Moment::Inserting(0.5)),
    ("the INSERT has replied, rows not checked", Moment::Point("insert-replied")),
    ("the ledger is appended to, its chain not checked", Moment::Point("after-ledger-append")),
    ("everything checked, COMMIT not sent", Moment::Point("before-commit")),
    ("COMMIT sent, its reply on the way", Moment::Committing),
    ("COMMIT has replied, nothing told to anybody", Moment::Point("after-commit")),
    ("while it ends after Ctrl-C", Moment::Ending),
];

on_each_database! {
    fn a_killed_loader_neither_loses_nor_doubles(db) {
        let per_partition = full(1_000_000) / i64::from(PARTITIONS);
        let scene = Scene::new(db, "killed", "");
        scene.fill(0..per_partition);
        let rows_max = per_partition * i64::from(PARTITIONS) / 50;
        for (words, moment) in MOMENTS {
            kill_at(&scene, rows_max, words, moment);
        }
        scene.job(&format!("MAX_ROW: {}", rows_max * 10)).finish();
        scene.expect_exact(per_partition);
    }

    fn a_stopped_loader_is_succeeded_and_knows_it(db) {
        let per_partition = full(100_000) / i64::from(PARTITIONS);
        let scene = Scene::new(db, "stopped", "");
        scene.fill(0..per_partition);
        let rows = per_partition / 4;
        let rows_max = format!("MAX_ROW: {rows}");
        // neither says a port: the one that is stopped keeps the first
        let words = ["--gpfdist-host", "127.0.0.1"];
        let stopped = scene.job(&rows_max).slowly(SLOW, rows).bare_load().args(words).start();
        scene.wait_for_commit(0);
        let held = scene.wait_for_session("an INSERT", &scene.inserting(0.2));
        stopped.signal("STOP");
        let commits = scene.commits();

        let begun = Instant::now();
        let mut successor = scene.job(&rows_max).bare_load().args(words).start();
        scene.wait_for_commit(commits);
        log(db.kind, &format!("took over from a stopped loader after {:.1} s", begun.elapsed().as_secs_f32()));
        assert!(begun.elapsed() < TAKES_OVER, "the take-over lasted {:?}:\n{}", begun.elapsed(), successor.text());
        successor.wait_for_text(SOON, &format!("took over from loader {}", held.name));
        scene.fill(per_partition..per_partition + 10);

        let old_commits = scene.commits_of(&held);
        stopped.signal("CONT");
        let told = stopped.wait(SOON).expect_code(1);
        expect_succeeded(&told);
        assert_eq!(scene.commits_of(&held), old_commits, "it loaded on");
        wait_until(SOON, "the successor to load the rest", || scene.count() == (per_partition + 10) * 4);
        successor.signal("INT");
        successor.wait(SOON).expect_code(0);
        scene.expect_exact(per_partition + 10);
    }

    /// The successor has come and gone when the stopped one goes on: nobody holds the job, but it is not its own any more.
    fn a_stopped_loader_knows_of_a_successor_that_has_ended(db) {
        let scene = Scene::new(db, "outlived", "");
        scene.fill(0..1000);
        let stopped = scene.job("MAX_ROW: 100").slowly(SLOW, 100).load().start();
        scene.wait_for_commit(0);
        scene.wait_for_session("an INSERT", &scene.inserting(0.2));
        stopped.signal("STOP");
        scene.job("MAX_ROW: 1000").finish();
        scene.fill(1000..1010);
        stopped.signal("CONT");
        stopped.wait(SOON).expect_code(1).expect_text("was taken by loader");
        assert_eq!(scene.count(), 4000, "it loaded on");
        scene.job("MAX_ROW: 1000").finish();
        scene.expect_exact(1010);
    }

    fn a_commit_without_reply_is_looked_up(db) {
        let outcome = cut_at_commit(db, AtCommit::CutAfter);
        outcome.expect_text("whose COMMIT got no reply, is committed");
        let outcome = cut_at_commit(db, AtCommit::CutBefore);
        outcome.expect_text("whose COMMIT got no reply, is not committed");
    }

    /// The server still has the old sessions, and the COMMIT under way, when the loader asks what became of it.
    fn a_commit_that_is_late_comes_too_late(db) {
        let outcome = cut_at_commit(db, AtCommit::KeepBack);
        outcome.expect_text("whose COMMIT got no reply, is not committed").expect_no_text("was taken by");
    }

    fn a_lost_connection_is_tried_again_and_again_after_each_commit(db) {
        let scene = Scene::new(db, "lost", "");
        scene.fill(0..2000);
        let mut loader = scene.job("MAX_ROW: 500").slowly(SLOW, 500).load().start();
        scene.wait_for_commit(0);
        lose(&scene, &mut loader, "1 s", 1);
        lose(&scene, &mut loader, "2 s", 1);
        let commits = scene.commits();
        scene.wait_for_commit(commits);
        lose(&scene, &mut loader, "1 s", 2);
        lose(&scene, &mut loader, "2 s", 2);
        lose(&scene, &mut loader, "4 s", 1);
        let commits = scene.commits();
        end_the_insert(&scene);
        loader.wait(SOON).expect_code(1).expect_text("database connection was lost while inserting");
        assert_eq!(scene.commits(), commits, "nothing moves in a failed batch");
        scene.job("MAX_ROW: 5000").finish();
        scene.expect_exact(2000);
    }

    fn a_lasting_cause_ends_the_load_at_once(db) {
        let scene = Scene::new(db, "lasting", "CHECK (seq <> 1234)");
        scene.fill(0..2000);
        let mut job = scene.job("MAX_ROW: 100000");
        let outcome = job.load().args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("violates check constraint").expect_text("23514").expect_no_text("trying again");
        // else either may come first
        db.execute(&format!("ALTER TABLE {}.t DROP CONSTRAINT t_seq_check", scene.schema));
        job.part = "part / (seq - 77)".into();
        let outcome = job.load().args(["--quit-at-eof"]).run().expect_code(1);
        outcome.expect_text("division by zero").expect_text("22012").expect_no_text("trying again");
        assert_eq!((scene.count(), scene.commits()), (0, 0), "rows and ledger rows");
        scene.expect_nothing_left(1);
    }
}

/// Starts a loader, sees it commit within the time that is promised, and kills it at the moment.
fn kill_at(scene: &Scene<'_>, rows_max: i64, words: &str, moment: Moment) {
    let mut job = scene.job(&format!("MAX_ROW: {rows_max}"));
    if let Moment::Inserting(_) | Moment::Ending = moment {
        job = job.slowly(SLOW, rows_max);
    }
    let wire = Wire::to(scene.db, AtCommit::HoldReply, 1);
    if let Moment::Committing = moment {
        job = job.through(wire.port());
    }
    let mut load = job.load();
    if let Moment::Point(name) = moment {
        load = load.failpoints(&format!("{name}=1*off->pause"));
    }
    wire.during(|| {
        let commits = scene.commits();
        let begun = Instant::now();
        let mut loader = load.start();
        let mut took = 0.0;
        if let Moment::Started = moment {
            loader.wait_for_text(SOON, "gpkafka job has started");
        } else {
            scene.wait_for_commit(commits);
            took = begun.elapsed().as_secs_f32();
            assert!(begun.elapsed() < COMMITS_AGAIN, "the first commit took {took} s:\n{}", loader.text());
            wait_for_moment(scene, &wire, moment, &loader);
        }
        loader.kill();
        let rows = scene.count();
        log(scene.db.kind, &format!("{words}: killed; it had first committed after {took:.1} s; {rows} rows are in"));
    });
}

fn wait_for_moment(scene: &Scene<'_>, wire: &Wire, moment: Moment, loader: &Running) {
    match moment {
        Moment::Started => {}
        Moment::Point(name) => {
            // the last statement before it, and what the session is then
            let rests = match name {
                "insert-sent" if scene.db.kind == Kind::Postgres => scene.resting("BEGIN"),
                "insert-sent" => scene.resting("SELECT distributed_id"),
                "insert-replied" => scene.resting("INSERT INTO %\"t\" "),
                "after-ledger-append" => scene.appending("idle in transaction"),
                "before-commit" => scene.resting("SELECT l.partition"),
                "after-commit" => {
                    "state = 'idle' AND query = 'COMMIT' AND state_change <= clock_timestamp() - interval '0.3 s'"
                        .into()
                }
                other => panic!("no fail point {other}"),
            };
            scene.wait_for_session(name, &rests);
        }
        Moment::Inserting(seconds) => drop(scene.wait_for_session("an INSERT", &scene.inserting(seconds))),
        Moment::Committing => {
            wait_until(SOON, "a COMMIT on the wire", || wire.has_struck());
            let done = "state = 'idle' AND query = 'COMMIT' AND state_change <= clock_timestamp() - interval '0.3 s'";
            scene.wait_for_session("the server to have committed", done);
        }
        Moment::Ending => {
            scene.wait_for_session("an INSERT", &scene.inserting(0.1));
            loader.signal("INT");
        }
    }
}

/// A loader whose second COMMIT meets its fate, run to its end.
fn cut_at_commit(db: &crate::harness::Database, rule: AtCommit) -> Outcome {
    let per_partition = 2000;
    let scene = Scene::new(db, "doubt", "");
    scene.fill(0..per_partition);
    let wire = Wire::to(db, rule, 1);
    let job = scene.job("MAX_ROW: 1000").through(wire.port());
    let outcome = wire.during(|| {
        let mut loader = job.load().args(["--quit-at-eof"]).start();
        if rule == AtCommit::KeepBack {
            loader.wait_for_text(SOON, "is not committed");
            wire.release();
        }
        loader.wait(SOON)
    });
    assert!(wire.has_struck());
    scene.expect_exact(per_partition);
    outcome.expect_code(0).expect_text(&format!("Inserted {} rows", per_partition * i64::from(PARTITIONS)))
}

/// Ends the session that inserts; the loader says for the `times`th time that it waits so long.
fn lose(scene: &Scene<'_>, loader: &mut Running, pause: &str, times: usize) {
    end_the_insert(scene);
    let words = format!("trying again from the ledger in {pause}");
    wait_until(SOON, &words, || {
        assert!(!loader.has_ended(), "it has ended:\n{}", loader.text());
        loader.text().matches(&words).count() == times
    });
}

fn end_the_insert(scene: &Scene<'_>) {
    let session = scene.wait_for_session("an INSERT", &scene.inserting(0.0));
    scene.look(&format!("SELECT pg_terminate_backend({})", session.pid));
}

/// It says that its sessions are gone or its position is taken, and by whom.
fn expect_succeeded(outcome: &Outcome) {
    let text = outcome.text();
    let is_told = text.contains("the control session of this loader is gone")
        || text.contains("database connection was lost")
        || text.contains("was taken by");
    assert!(is_told, "it does not say what it found:\n{text}");
    let has_name = text.contains("is being loaded already: gpkafka:") || text.contains("was taken by loader");
    assert!(has_name, "it does not say who has the job:\n{text}");
}

/// Shown with `--nocapture`, and when a test fails.
#[expect(clippy::print_stdout, reason = "the moments belong to the protocol of a run")]
fn log(kind: Kind, text: &str) {
    println!("{kind:?}: {text}");
}
