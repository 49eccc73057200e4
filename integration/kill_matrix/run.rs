//! One run of one cell: a load that meets its fault, whoever follows it, and what is in the table then.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use gpkafka::job::threads;

use super::cells::{Fault, Mark, Point, Setting};
use crate::crash_scene::{Job, PARTITIONS, SOON, Scene};
use crate::crash_wire::{AtCommit, Wire};
use crate::harness::{Database, Kafka, Running, User, Version, directory, free_port, wait_until};

/// Of each partition, and of a batch of all partitions: four batches.
const RECORDS: i64 = 300;
const BATCH: i64 = RECORDS * PARTITIONS as i64 / 4;

/// The address at which wires stand in for what listens at 127.0.0.1.
const WIRES: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Of the bytes that a segment gets of a batch, where two have about the same.
const HALF: u64 = 3072;

/// When TCP gives up on a connection in the matrix: later than a loader does by itself while it runs.
const TCP: Duration = Duration::from_secs(6);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    pub lost: i64,
    pub doubled: i64,
    /// From the fault to the next commit, or to the end where there was nothing left to commit.
    pub seconds: f64,
}

/// A broker behind a wire, for all runs.
struct Behind {
    kafka: Kafka,
    wire: &'static Wire,
}

fn behind() -> &'static Behind {
    static BEHIND: OnceLock<Behind> = OnceLock::new();
    BEHIND.get_or_init(|| {
        let (listener, port) = twin_ports();
        let wire: &'static Wire = Box::leak(Box::new(Wire::whole(listener, ("127.0.0.1".into(), port))));
        let carrying = threads::apart("wire", || {
            wire.during(|| -> std::convert::Infallible {
                loop {
                    std::thread::park();
                }
            })
        });
        // nobody waits for its end
        drop(carrying.unwrap());
        Behind { kafka: Kafka::start_at(Version::V4_1_1, port, &WIRES.to_string()), wire }
    })
}

/// A port that is free on 127.0.0.1, and a listener at the same one of the wires' address.
fn twin_ports() -> (TcpListener, u16) {
    let mut ports = std::iter::repeat_with(free_port);
    ports.find_map(|port| Some((TcpListener::bind((WIRES, port)).ok()?, port))).expect("ports do not end")
}

/// A silent loader is not waited for as long as its users wait, so that the matrix ends before night; with
/// `GPKAFKA_MATRIX_TIMEOUTS=real` it is.
fn take_over() -> &'static [&'static str] {
    let is_real = std::env::var("GPKAFKA_MATRIX_TIMEOUTS").is_ok_and(|timeouts| timeouts == "real");
    if is_real { &[] } else { &["--takeover-after", "2"] }
}

/// `None`: there is nothing that the fault could break there.
pub fn run(db: &Database, point: &Point, fault: Fault, seed: u32) -> Option<Found> {
    let kafka = behind();
    let scene = Scene::with(db, &kafka.kafka, "matrix", "");
    scene.fill(0..RECORDS);
    let commit = format!("MAX_ROW: {BATCH}");
    if point.scene == Setting::Reset {
        scene.job(&commit).finish();
        db.execute(&format!("TRUNCATE {}.t", scene.schema));
    }
    let (spared, rule) = (usize::try_from(seed % 3).unwrap(), AtCommit::HoldReply);
    let database = match point.mark {
        Mark::CommitSent => Wire::to(db, rule, spared),
        _ => Wire::whole(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), (db.host.clone(), db.port)),
    };
    let (listener, port) = twin_ports();
    let loader = ("127.0.0.1".into(), port);
    let segments = match point.mark {
        Mark::HalfServed => Wire::stopping(listener, loader, HALF, spared),
        _ => Wire::whole(listener, loader),
    };
    let mut meeting = Meeting { scene: &scene, commit, point, fault, seed, database: &database, segments: &segments };
    let seconds = database.during(|| segments.during(|| meeting.all(port, kafka.wire)))?;
    let (lost, doubled) = meeting.judge();
    Some(Found { lost, doubled, seconds })
}

struct Meeting<'a> {
    scene: &'a Scene<'a>,
    commit: String,
    point: &'a Point,
    fault: Fault,
    seed: u32,
    database: &'a Wire,
    segments: &'a Wire,
}

impl Meeting<'_> {
    fn job(&self) -> Job<'_> {
        let job = self.scene.job(&self.commit);
        // a reply takes its time
        if matches!(self.point.mark, Mark::Passes { .. }) { job.slowly(0.3, BATCH) } else { job }
    }

    /// Seconds until it went on.
    fn all(&mut self, port: u16, kafka: &Wire) -> Option<f64> {
        let folder = directory("stand", User::current());
        let mut loader = self.start(&folder, port);
        self.wait_until_there(&mut loader, &folder);
        let (commits, begun) = (self.scene.commits(), Instant::now());
        let go = || {
            std::fs::write(folder.join("go"), "").unwrap();
            self.database.release();
            self.segments.release();
        };
        match self.fault {
            Fault::Kill => {
                loader.kill();
                let follower = self.follower().start();
                let seconds = self.wait_for_progress(follower, commits, begun, false);
                self.finish();
                return Some(seconds);
            }
            Fault::Stop => {
                loader.signal("STOP");
                let seconds = self.wait_for_progress(self.follower().start(), commits, begun, false);
                self.finish();
                go();
                loader.signal("CONT");
                // what it says depends on where it stood
                loader.wait(SOON).expect_no_text("panicked");
                return Some(seconds);
            }
            _ => {}
        }
        let Some(is_felt) = self.break_a_connection(&loader, kafka) else {
            go();
            loader.kill();
            return None;
        };
        go();
        let seconds = self.wait_for_progress(loader, commits, begun, is_felt);
        self.finish();
        Some(seconds)
    }

    /// Whether a loader that ends well must have noticed; nothing where there is none to break.
    fn break_a_connection(&self, loader: &Running, kafka: &Wire) -> Option<bool> {
        let broken = |links: usize| (links > 0).then_some(self.point.each_batch);
        match self.fault {
            Fault::Kill | Fault::Stop => None,
            Fault::DatabaseReset => broken(self.database.reset(|_| true)),
            Fault::DatabaseHole => broken(self.database.black_hole(TCP)),
            // a client of Kafka connects again, which is nobody's business
            Fault::KafkaReset => broken(kafka.reset(|peer| owns(loader.pid(), peer))).map(|_| false),
            // one that has its last row does not care, and one without a row asks again: sure is only who has half
            Fault::SegmentReset => self.segments.reset_busiest().then_some(self.point.mark == Mark::HalfServed),
        }
    }

    fn start(&self, folder: &Path, port: u16) -> Running {
        let config = folder.join("gpss.json");
        let gpfdist = format!(r#"{{"Gpfdist": {{"Host": "{WIRES}", "Port": {port}, "BindAddress": "127.0.0.1"}}}}"#);
        std::fs::write(&config, gpfdist).unwrap();
        let words = ["--quit-at-eof", "--config", config.to_str().unwrap()];
        let mut load = self.job().through(self.database.port()).load().args(words).args(take_over().iter().copied());
        let (number, folder) = (self.point.number(self.seed, self.scene.db.segments()), folder.display());
        load = match self.point.mark {
            Mark::Stands { at, .. } => load.env("GPKAFKA_STAND_AT", &format!("{at}:{number}:{folder}")),
            Mark::Passes { at } => load.env("GPKAFKA_STAND_AT", &format!("{at}:{number}:{folder}:pass")),
            Mark::CommitSent | Mark::HalfServed => load,
        };
        let load = if self.point.scene == Setting::Reset { load.args(["--force-reset-earliest"]) } else { load };
        load.start()
    }

    fn wait_until_there(&self, loader: &mut Running, folder: &Path) {
        if self.point.scene == Setting::Shutdown {
            self.scene.wait_for_commit(0);
            loader.signal("INT");
        }
        let at: PathBuf = folder.join("at");
        let has_committed = "state = 'idle' AND query LIKE 'COMMIT%'";
        wait_until(SOON, self.point.words, || {
            let is_there = match self.point.mark {
                Mark::CommitSent => self.database.has_struck() && !self.scene.sessions(has_committed).is_empty(),
                Mark::HalfServed => self.segments.has_struck(),
                _ => at.exists(),
            };
            assert!(is_there || !loader.has_ended(), "it ended before:\n{}", loader.text());
            is_there
        });
    }

    /// Whoever goes on once the loader is gone; it resets what was not reset yet.
    fn follower(&self) -> crate::harness::Loader {
        let load = self.job().load().args(["--quit-at-eof"]).args(take_over().iter().copied());
        let is_to_reset = self.point.scene == Setting::Reset && !self.is_reset();
        if is_to_reset { load.args(["--force-reset-earliest"]) } else { load }
    }

    fn is_reset(&self) -> bool {
        self.scene.number(&format!("SELECT count(*) FROM {}.gpkafka_ledger WHERE kind = 'reset'", self.scene.schema))
            > 0
    }

    /// Waits for a run to commit something or to end, and then for its end; it must say that it tried again where it
    /// cannot but have felt the fault.
    fn wait_for_progress(&self, mut run: Running, commits: i64, begun: Instant, is_felt: bool) -> f64 {
        wait_until(SOON, "a commit, or the end", || run.has_ended() || self.scene.commits() > commits);
        let seconds = begun.elapsed();
        let outcome = run.wait(SOON).expect_no_text("panicked");
        if is_felt && outcome.code == 0 {
            outcome.expect_text("trying again");
        }
        seconds.as_secs_f64()
    }

    /// To the end of the topic. One that was cut off may leave this to another.
    fn finish(&self) {
        self.follower().run().expect_code(0);
    }

    /// What is lost and what is doubled; panics where rows are damaged, the ledger is no chain, or something is left.
    fn judge(&self) -> (i64, i64) {
        let Scene { schema, .. } = self.scene;
        let sql = format!(
            "SELECT count(*), count(DISTINCT part::text || ':' || seq),
                    count(CASE WHEN hash <> md5(part || ':' || seq) THEN 1 END) FROM {schema}.t"
        );
        let row = self.scene.look(&sql).remove(0);
        let numbers: Vec<i64> = row.split('|').map(|number| number.parse().unwrap()).collect();
        let [rows, distinct, damaged] = numbers[..] else { panic!("{row}") };
        let (lost, doubled) = (RECORDS * i64::from(PARTITIONS) - distinct, rows - distinct);
        assert_eq!(damaged, 0, "damaged rows");
        if (lost, doubled) == (0, 0) {
            match self.point.scene {
                Setting::Reset => self.scene.expect_nothing_left(1),
                _ => self.scene.expect_exact(RECORDS),
            }
        }
        (lost, doubled)
    }
}

/// Whether a process has the connection whose own port this is, of all on this machine.
fn owns(pid: u32, port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let own = format!(":{port:04X}");
    let line = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut inodes =
        line.filter(|fields| fields.len() > 9 && fields[1].ends_with(&own)).map(|fields| fields[9].to_owned());
    let Some(inode) = inodes.next() else { return false };
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let wanted = format!("socket:[{inode}]");
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
}
