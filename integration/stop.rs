//! How a load ends and where its batches end: by signals, at the ends of the topic, by rows, age and silence. Whatever
//! it was, the next start goes on exactly there.

use std::time::{Duration, Instant};

use crate::flow::Flow;
use crate::harness::{Outcome, Running, on_each_database, poll, signal, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// What is promised for a stop, beside the database's own time; the other half of it is for this machine.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// Waits until a batch is open that only a stop will end: rows are on their way to the database.
fn wait_for_open_batch(load: &mut Running, flow: &Flow<'_>) {
    load.wait_for_text(SOON, "gpkafka job has started");
    let inserts = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()";
    let sql = format!("{inserts} AND query LIKE 'INSERT INTO %{}%'", flow.schema);
    wait_until(SOON, "the INSERT to run", || flow.db.number(&sql) == 1);
}

/// Records and rows of each batch line.
fn batches(outcome: &Outcome) -> Vec<(i64, i64)> {
    outcome.batches().iter().map(|line| (line[2].parse().unwrap(), line[4].parse().unwrap())).collect()
}

on_each_database! {
    fn the_first_signal_seals_and_commits_what_is_in_hand(db) {
        for name in ["INT", "TERM"] {
            let flow = Flow::new(db, "first", 2);
            flow.produce(1, 0..1000);
            let job = flow.job().commit("MINIMAL_INTERVAL: 60000");
            let (outcome, next) = flow.stream(0, 2000, || {
                let mut load = flow.loader(&job).start();
                wait_for_open_batch(&mut load, &flow);
                let begun = Instant::now();
                load.signal(name);
                let outcome = load.wait(SOON);
                assert!(begun.elapsed() < STOPS_WITHIN, "it took {:?}", begun.elapsed());
                outcome
            });
            let outcome = outcome.expect_code(0).expect_text("status JOB_STOPPED");
            let loaded = flow.count();
            assert!(loaded > 0);
            assert_eq!(batches(&outcome), [(loaded, loaded)]);
            flow.load(&job).expect_code(0);
            flow.expect(&[(0, 0..next), (1, 0..1000)]);
        }
    }

    /// The session of the open batch is ended while the stop waits for it: nobody may believe that it was committed.
    fn a_stop_that_cannot_commit_is_a_failure(db) {
        let flow = Flow::new(db, "uncommitted", 1);
        flow.produce(0, 0..1000);
        let job = flow.job().commit("MINIMAL_INTERVAL: 60000");
        let mut load = flow.loader(&job).start();
        wait_for_open_batch(&mut load, &flow);
        let mut other = db.connect();
        other.batch_execute(&format!("BEGIN; LOCK TABLE {}.gpkafka_ledger IN ACCESS EXCLUSIVE MODE", flow.schema)).unwrap();
        load.signal("INT");
        let waits = "application_name LIKE 'gpkafka:%' AND query LIKE 'INSERT INTO %gpkafka_ledger%' AND state = 'active'";
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE {waits} AND query LIKE '%{}%'", flow.schema);
        wait_until(SOON, "the ledger to be waited for", || db.rows(&sql).len() == 1);
        db.execute(&sql.replace("SELECT pid", "SELECT pg_terminate_backend(pid)"));
        let outcome = load.wait(SOON).expect_code(1).expect_text("status JOB_ERROR").expect_no_text("trying again");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.text());
        other.batch_execute("ROLLBACK").unwrap();
        assert_eq!((flow.count(), flow.ledger().len()), (0, 0));
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..1000)]);
    }

    /// Both arrive at once: the loader stands still while they are sent.
    fn the_second_signal_drops_what_is_in_hand(db) {
        let flow = Flow::new(db, "second", 1);
        flow.produce(0, 0..1000);
        let job = flow.job().commit("MINIMAL_INTERVAL: 60000");
        let mut load = flow.loader(&job).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        wait_for_open_batch(&mut load, &flow);
        load.signal("STOP");
        load.signal("INT");
        signal(load.pid(), "TERM");
        load.signal("CONT");
        let begun = Instant::now();
        let outcome = load.wait(SOON);
        assert!(begun.elapsed() < STOPS_WITHIN, "it took {:?}", begun.elapsed());
        let outcome = outcome.expect_code(1).expect_text("the open batch was dropped").expect_no_text("panicked");
        assert_eq!((flow.count(), batches(&outcome).len(), flow.ledger().len()), (0, 0, 0));
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..1000)]);
    }

    fn the_second_signal_does_not_wait_for_a_lock(db) {
        let flow = Flow::new(db, "locked", 1);
        flow.produce(0, 0..1000);
        let job = flow.job().commit("MINIMAL_INTERVAL: 60000");
        let mut other = db.connect();
        let mut load = flow.loader(&job).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        wait_for_open_batch(&mut load, &flow);
        // the ledger is what COMMIT needs next
        other.batch_execute(&format!("BEGIN; LOCK TABLE {}.gpkafka_ledger IN ACCESS EXCLUSIVE MODE", flow.schema)).unwrap();
        load.signal("INT");
        assert!(poll(Duration::from_secs(2), || load.has_ended().then_some(())).is_none(), "{}", load.text());
        load.signal("INT");
        let begun = Instant::now();
        load.wait(SOON).expect_code(1).expect_text("the open batch was dropped");
        assert!(begun.elapsed() < STOPS_WITHIN, "it took {:?}", begun.elapsed());
        other.batch_execute("ROLLBACK").unwrap();
        assert_eq!(flow.count(), 0);
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..1000)]);
    }

    /// Before anything is read, and while nothing is there to read.
    fn a_stop_without_an_open_batch_is_a_quiet_one(db) {
        let flow = Flow::new(db, "quiet", 1);
        let mut load = flow.loader(&flow.job()).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        load.signal("TERM");
        let outcome = load.wait(SOON).expect_code(0).expect_text("Inserted 0 rows");
        assert_eq!((batches(&outcome).len(), flow.ledger().len()), (0, 0));
    }

    fn quit_at_eof_stops_at_the_ends_seen_at_the_start(db) {
        let flow = Flow::new(db, "ends", 2);
        flow.produce(0, 0..5000);
        flow.produce(1, 0..10);
        let job = flow.job();
        let (outcome, next) = flow.stream(5000, 2000, || flow.load(&job));
        let outcome = outcome.expect_code(0);
        let lines = batches(&outcome);
        assert_eq!(lines.last(), Some(&(0, 0)), "an empty batch ends it: {lines:?}");
        let loaded = flow.count() - 10;
        assert!((5000..next).contains(&loaded), "{loaded} of {next}");
        flow.expect(&[(0, 0..loaded), (1, 0..10)]);
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..next), (1, 0..10)]);
        let outcome = flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");
        assert_eq!(batches(&outcome), [(0, 0)]);
    }

    fn rows_end_a_batch(db) {
        let flow = Flow::new(db, "rows", 1);
        flow.produce(0, 0..1050);
        let job = flow.job().commit("MAX_ROW: 100").commit("MINIMAL_INTERVAL: 60000");
        let outcome = flow.load(&job).expect_code(0);
        let lines = batches(&outcome);
        assert_eq!(lines.len(), 12, "{lines:?}");
        assert_eq!((&lines[..10], lines[10], lines[11]), (&[(100, 100); 10][..], (50, 50), (0, 0)));
        flow.expect(&[(0, 0..1050)]);
        let chain = flow.ledger();
        assert_eq!((chain.len(), &*chain[10]), (11, "0|load|1000|1050|50"));
    }

    /// Of a topic that falls quiet below MAX_ROW nothing is kept back, and nobody's lock is held.
    fn silence_ends_a_batch_of_rows_alone(db) {
        let flow = Flow::new(db, "quiet", 1);
        let job = flow.job().commit("MAX_ROW: 1000").commit("MINIMAL_INTERVAL: 0");
        let mut load = flow.loader(&job).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        flow.produce(0, 0..10);
        wait_until(SOON, "the rows to be committed", || flow.count() == 10);
        load.signal("INT");
        load.wait(SOON).expect_code(0);
        flow.expect(&[(0, 0..10)]);
    }

    fn age_ends_a_batch(db) {
        let flow = Flow::new(db, "age", 1);
        let job = flow.job().commit("MINIMAL_INTERVAL: 1000");
        let (outcome, next) = flow.stream(0, 1000, || {
            let mut load = flow.loader(&job).start();
            wait_until(SOON, "three batches", || load.text().matches("/sec\n").count() >= 3 || load.has_ended());
            load.signal("INT");
            load.wait(SOON)
        });
        for line in &outcome.expect_code(0).batches()[..2] {
            let ended = |field: &str| field.parse::<jiff::Timestamp>().unwrap();
            let age = ended(&line[1]).duration_since(ended(&line[0])).as_secs_f64();
            assert!((1.0..5.0).contains(&age), "{line:?}");
        }
        flow.load(&job).expect_code(0);
        flow.expect(&[(0, 0..next)]);
    }

    /// Silence ends a batch long before its age does.
    fn silence_ends_a_batch(db) {
        let flow = Flow::new(db, "silence", 1);
        let job = flow.job().commit("MINIMAL_INTERVAL: 600000").commit("IDLE_DURATION: 500");
        let mut load = flow.loader(&job).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        for (sequences, rows) in [(0..10, 10), (10..30, 30)] {
            flow.produce(0, sequences);
            wait_until(SOON, "the rows to be committed", || flow.count() == rows);
        }
        load.signal("INT");
        let outcome = load.wait(SOON).expect_code(0);
        assert_eq!(batches(&outcome), [(10, 10), (20, 20)]);
        flow.expect(&[(0, 0..30)]);
    }
}
