//! The ways to load the rows, each a whole command as its user would type it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{executable, gpfdist};
use crate::scene::{COLUMNS, Scene};

pub const GPKAFKA: &str = "gpkafka load --quit-at-eof";
pub const GPFDIST: &str = "gpfdist from a file (CSV, defaults)";
pub const GPFDIST_TUNED: &str = "gpfdist from a file, our session settings";
pub const KCAT: &str = "kcat | psql COPY, defaults";
pub const KCAT_TUNED: &str = "kcat | psql COPY, kcat's queues tuned";
pub const DISCARD: &str = "Kafka → 2 discarding segments";
pub const CONSUME: &str = "librdkafka alone, in batches";
pub const KCAT_ALONE: &str = "kcat > /dev/null, queues tuned";

/// What keeps kcat from standing still on a full queue, a second at a time.
const TUNED: &str = "-X queued.min.messages=1000000 -X queued.max.messages.kbytes=1048576";

/// One way.
pub struct Contender {
    pub name: &'static str,
    /// What must be installed for it.
    pub program: &'static str,
    /// Times one command; the table of that name is empty and may be left out of it.
    time: fn(&Scene, &str) -> Duration,
    /// Whether the rows end in the table.
    loads: bool,
}

pub fn all() -> Vec<Contender> {
    let of = |name, program, time, loads| Contender { name, program, time, loads };
    vec![
        of(GPKAFKA, "gpkafka", gpkafka, true),
        of(GPFDIST, "gpfdist", |scene, table| load_by_gpfdist(scene, table, &[]), true),
        of(KCAT_TUNED, "kcat", |scene, table| kcat_copy(scene, table, TUNED), true),
        of(KCAT, "kcat", |scene, table| kcat_copy(scene, table, ""), true),
        of(GPFDIST_TUNED, "gpfdist", |scene, table| load_by_gpfdist(scene, table, OUR_SETTINGS), true),
        of(DISCARD, "gpkafka", |scene, _| this_program(scene, "discard"), false),
        of(CONSUME, "gpkafka", |scene, _| this_program(scene, "consume"), false),
        of(KCAT_ALONE, "kcat", kcat_alone, false),
    ]
}

impl Contender {
    pub fn is_there(&self) -> bool {
        match self.program {
            // a Greenplum server comes with its file server
            "gpkafka" | "gpfdist" => true,
            program => Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok(),
        }
    }

    /// Runs it once and returns how long the command took; what it loaded is checked.
    pub fn run(&self, scene: &Scene, round: usize) -> Duration {
        let table = format!("orders_{round}");
        if !self.loads {
            return (self.time)(scene, &table);
        }
        scene.make_table(&table);
        let time = (self.time)(scene, &table);
        scene.check_and_drop(&table);
        time
    }
}

fn gpkafka(scene: &Scene, table: &str) -> Duration {
    let columns: String =
        COLUMNS.iter().map(|(name, sql_type)| format!("        - {{NAME: {name}, TYPE: '{sql_type}'}}\n")).collect();
    let job = format!(
        "{}VERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: {}\n      TOPIC: {}\n    VALUE:\n      COLUMNS:\n{columns}      FORMAT: csv\n  OUTPUT:\n    TABLE: {table}\n",
        scene.db.yaml(),
        scene.topic.kafka.bootstrap,
        scene.topic.name
    );
    let path = scene.dir.join("job.yaml");
    std::fs::write(&path, job).unwrap();
    let mut command = Command::new(executable());
    command.arg("load").arg(&path).args(["--quit-at-eof", "--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"]);
    time(command.arg("--log-dir").arg(&scene.dir))
}

/// What [`gpkafka`] sets in its session, and a table that is split as fast: so the loads differ in their source alone.
const OUR_SETTINGS: &[(&str, &str)] =
    &[("gp_autostats_mode", "none"), ("gp_interconnect_queue_depth", "64"), ("gp_interconnect_snd_queue_depth", "32")];

/// The server is up before the clock starts, as it is at its users'.
fn load_by_gpfdist(scene: &Scene, table: &str, settings: &[(&str, &str)]) -> Duration {
    let (_server, port) = gpfdist(&scene.dir);
    let external = format!("{table}_file");
    scene.db.execute(&format!(
        "CREATE EXTERNAL TABLE {external} (LIKE {table}) LOCATION ('gpfdist://127.0.0.1:{port}/{}') FORMAT 'CSV'",
        scene.file
    ));
    let set: String = settings.iter().map(|(name, value)| format!("SET {name} = {value}; ")).collect();
    let taken = time(
        Command::new("sh")
            .arg("-c")
            .arg(format!("exec {} -c \"{set}INSERT INTO {table} SELECT * FROM {external}\"", psql(scene))),
    );
    scene.db.execute(&format!("DROP EXTERNAL TABLE {external}"));
    taken
}

fn kcat_copy(scene: &Scene, table: &str, options: &str) -> Duration {
    let copy = format!("{} | {} -c \"COPY {table} FROM STDIN CSV\"", kcat(scene, options), psql(scene));
    time(Command::new("sh").arg("-c").arg(copy))
}

fn kcat_alone(scene: &Scene, _: &str) -> Duration {
    time(Command::new("sh").arg("-c").arg(format!("exec {} >/dev/null", kcat(scene, TUNED))))
}

fn kcat(scene: &Scene, options: &str) -> String {
    format!("kcat -C -q -e -o beginning {options} -b {} -t {}", scene.topic.kafka.bootstrap, scene.topic.name)
}

fn psql(scene: &Scene) -> String {
    let db = scene.db;
    format!("psql -q -X -v ON_ERROR_STOP=1 -h {} -p {} -U {} -d {}", db.host, db.port, db.user, db.dbname)
}

/// This program once more, in a process of its own, as the others are.
fn this_program(scene: &Scene, part: &str) -> Duration {
    let mut command = Command::new(std::env::current_exe().unwrap());
    time(command.args([part, &scene.topic.kafka.bootstrap, &scene.topic.name]))
}

/// How long a command takes, from its start to its exit.
fn time(command: &mut Command) -> Duration {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let taken = begun.elapsed();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    taken
}
