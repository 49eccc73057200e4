//! What lasts for a while and then is over: a full disk, a segment that is down, a statement that takes a minute; and a
//! topic of hundreds of partitions. The load waits or tries again by itself, and each record is there once. Servers that
//! are stopped, or whose disk fills up, are the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::crash_scene::Scene;
use crate::flow::Flow;
use crate::harness::{
    Database, Kind, Running, User, directory, full, on_each_database, own_greenplum, own_postgres, poll, wait_until,
    without_root,
};

const SOON: Duration = Duration::from_secs(90);

/// More than a load may take for one statement by any of its own limits, were it to have some.
const LONG_SECONDS: i64 = 60;

on_each_database! {
    fn hundreds_of_partitions_are_loaded_and_gone_on_from(db) {
        const PARTITIONS: i32 = 500;
        let flow = Flow::new(db, "hundreds", PARTITIONS);
        let producer = flow.topic.kafka.producer();
        let write = |sequences: std::ops::Range<i64>| {
            for partition in 0..PARTITIONS {
                for sequence in sequences.clone() {
                    let record = flow.record(partition, sequence);
                    producer.send(&flow.topic.name, partition, None, Some(record.as_bytes()));
                }
            }
            producer.flush();
        };
        write(0..10);
        flow.load(&flow.job()).expect_code(0).expect_text("Inserted 5000 rows").expect_calm(&[]);
        write(10..15);
        flow.load(&flow.job()).expect_code(0).expect_text("Inserted 2500 rows").expect_calm(&[]);
        flow.expect(&(0..PARTITIONS).map(|partition| (partition, 0..15)).collect::<Vec<_>>());
    }

    fn a_statement_that_takes_a_minute_is_waited_for(db) {
        let scene = Scene::new(db, "slow", "");
        scene.fill(0..100);
        let seconds = full(LONG_SECONDS);
        let job = scene.job("MAX_ROW: 400").slowly(seconds as f64, 400);
        let outcome = job.load().args(["--quit-at-eof"]).run().expect_code(0);
        outcome.expect_no_text("trying again").expect_calm(&[]);
        scene.expect_exact(100);
    }
}

#[test]
fn a_full_disk_of_postgres() {
    if without_root() {
        return;
    }
    a_full_disk_is_waited_for(&own_postgres());
}

#[test]
fn a_full_disk_of_greenplum() {
    if without_root() {
        return;
    }
    let Some(db) = own_greenplum(2) else { return };
    a_full_disk_is_waited_for(&db);
}

fn a_full_disk_is_waited_for(db: &Database) {
    let disk = SmallDisk::mount(24, db);
    let flow = Flow::new(db, "full", 1);
    let schema = &flow.schema;
    db.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.path.display()));
    db.execute(&format!("ALTER TABLE {schema}.t SET TABLESPACE small"));
    db.execute(&format!(
        "CREATE TABLE {schema}.ballast (id int, pad text) TABLESPACE small {}",
        db.distributed_by("id")
    ));
    let fill = format!("INSERT INTO {schema}.ballast SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i");
    let mut client = db.connect();
    let filled = poll(SOON, || client.batch_execute(&fill).err());
    assert_eq!(filled.unwrap().code().map(postgres::error::SqlState::code), Some("53100"));
    flow.produce(0, 0..20_000);
    let mut load = flow.loader(&flow.job().commit("MINIMAL_INTERVAL: 300")).start();
    load.wait_for_text(SOON, "No space left on device");
    load.wait_for_text(SOON, "trying again from the ledger");
    assert!(flow.count() < 20_000, "the disk was not full");
    client.batch_execute(&format!("DROP TABLE {schema}.ballast; CHECKPOINT")).unwrap();
    finish(&flow, load, 20_000);
    db.execute(&format!("DROP TABLE {schema}.t"));
}

#[test]
fn a_segment_that_is_down() {
    let Some(db) = own_greenplum(2) else { return };
    let flow = Flow::new(&db, "down", 1);
    flow.produce(0, 0..5000);
    let mut load = flow.loader(&flow.job().commit("MINIMAL_INTERVAL: 300")).start();
    wait_until(SOON, "the first rows", || flow.count() == 5000);
    db.crash_server(2);
    flow.produce(0, 5000..10_000);
    load.wait_for_text(SOON, "trying again from the ledger");
    db.start_server(2);
    finish(&flow, load, 10_000);
}

/// The load comes to all rows by itself and ends when it is told to.
fn finish(flow: &Flow<'_>, mut load: Running, rows: i64) {
    // a server that recovers answers nobody
    let count = || flow.db.try_connect().ok()?.query_one(&format!("SELECT count(*) FROM {}.t", flow.schema), &[]).ok();
    wait_until(SOON, "all rows", || {
        assert!(!load.has_ended(), "{}", load.text());
        count().is_some_and(|row| row.get::<_, i64>(0) == rows)
    });
    load.signal("INT");
    load.wait(SOON).expect_code(0).expect_no_text("panicked");
    flow.expect(&[(0, 0..rows)]);
}

/// A disk of a few MiB for the database's files. It goes when it is dropped, or with the tests.
struct SmallDisk {
    path: PathBuf,
    guard: Child,
}

impl SmallDisk {
    fn mount(mib: u32, db: &Database) -> Self {
        let name = if db.kind == Kind::Postgres { "postgres" } else { "gpadmin" };
        let user = User::named(name).expect("the server runs as this user");
        let path = directory("disk", user);
        let options = format!("size={mib}m,uid={},gid={},mode=700", user.uid, user.gid);
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        assert!(mounted.expect("mount is there").success(), "root may mount");
        let mut guard = Command::new("sh");
        guard.args(["-c", "read -r _; umount -l \"$1\"", "guard"]).arg(&path).stdin(Stdio::piped());
        Self { path, guard: guard.spawn().expect("a POSIX shell starts") }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard is our child");
    }
}
