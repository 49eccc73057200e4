//! The ways to load the rows, each a whole command as its user would type it.

use std::process::{Command, Stdio};

use crate::commands::{Cost, consume, cost, discard, gpfdist_load, kcat, load, psql};
use crate::scene::{CSV_FILE, JSON_FILE, Scene};
use crate::{floor, python};

pub const GPKAFKA: &str = "gpkafka load --quit-at-eof";
pub const GPFDIST: &str = "gpfdist from a file (CSV, defaults)";
pub const GPFDIST_TUNED: &str = "gpfdist from a file, our session settings";
pub const FLOOR: &str = "our server, encoded rows from memory";
pub const KCAT: &str = "kcat | psql COPY, defaults";
pub const KCAT_TUNED: &str = "kcat | psql COPY, kcat's queues tuned";
pub const GPKAFKA_JSON: &str = "gpkafka load, JSON, ->> mappings";
pub const GPFDIST_JSON: &str = "gpfdist from a file, the same mappings";
pub const PYTHON_JSON: &str = "Python, orjson, COPY per 10,000 rows";
pub const GPKAFKA_AVRO: &str = "gpkafka load, Avro, 6 columns";
pub const DISCARD_LONG: &str = "200-byte rows → 2 discarding segments";
pub const CONSUME_LONG: &str = "200-byte rows, librdkafka alone, in batches";
pub const DISCARD_4: &str = "Kafka → 4 discarding segments";
pub const DISCARD_4_ALONE: &str = "1 partition → 4 discarding segments";
pub const CONSUME: &str = "librdkafka alone, in batches";
pub const KCAT_ALONE: &str = "kcat > /dev/null, queues tuned";

/// What keeps kcat from standing still on a full queue, a second at a time.
const TUNED: &str = "-X queued.min.messages=1000000 -X queued.max.messages.kbytes=1048576";

/// What [`GPKAFKA`] sets in its session, and a table that is split as fast: so the loads differ in their source alone.
pub const OUR_SETTINGS: &[(&str, &str)] = &[
    ("gp_autostats_mode", "none"),
    ("gp_interconnect_queue_depth", "16"),
    ("gp_interconnect_snd_queue_depth", "8"),
    ("gp_max_packet_size", "65507"),
];

/// One way.
pub struct Contender {
    pub name: &'static str,
    /// What must be installed for it.
    pub program: &'static str,
    /// Runs one command; the table of that name is empty and may be left out of it.
    run: fn(&Scene, &str) -> Cost,
    /// Whether the rows end in the table.
    loads: bool,
}

pub fn all() -> Vec<Contender> {
    let of = |name, program, run, loads| Contender { name, program, run, loads };
    vec![
        of(GPKAFKA, "gpkafka", |scene, table| load(scene, &scene.topics.csv, table, "csv"), true),
        of(FLOOR, "gpkafka", floor::load, true),
        of(GPFDIST, "gpfdist", |scene, table| gpfdist_load(scene, table, CSV_FILE, &[]), true),
        of(KCAT_TUNED, "kcat", |scene, table| kcat_copy(scene, table, TUNED), true),
        of(KCAT, "kcat", |scene, table| kcat_copy(scene, table, ""), true),
        of(GPFDIST_TUNED, "gpfdist", |scene, table| gpfdist_load(scene, table, CSV_FILE, OUR_SETTINGS), true),
        of(GPKAFKA_AVRO, "gpkafka", |scene, table| load(scene, &scene.topics.avro, table, "avro"), true),
        of(GPKAFKA_JSON, "gpkafka", |scene, table| load(scene, &scene.topics.json, table, "json"), true),
        of(GPFDIST_JSON, "gpfdist", |scene, table| gpfdist_load(scene, table, JSON_FILE, &[]), true),
        of(PYTHON_JSON, "python3", python::load, true),
        of(DISCARD_LONG, "gpkafka", |scene, _| discard(scene, &scene.topics.csv_long, 2), false),
        of(CONSUME_LONG, "gpkafka", |scene, _| consume(&scene.topics.csv_long), false),
        of(DISCARD_4, "gpkafka", |scene, _| discard(scene, &scene.topics.csv, 4), false),
        of(DISCARD_4_ALONE, "gpkafka", |scene, _| discard(scene, &scene.topics.csv_alone, 4), false),
        of(CONSUME, "gpkafka", |scene, _| consume(&scene.topics.csv), false),
        of(KCAT_ALONE, "kcat", kcat_alone, false),
    ]
}

impl Contender {
    pub fn is_there(&self) -> bool {
        match self.program {
            // a Greenplum server comes with its file server
            "gpkafka" | "gpfdist" => true,
            "python3" => python::is_there(),
            program => Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok(),
        }
    }

    /// Runs it once and returns what the command took; what it loaded is checked.
    pub fn run(&self, scene: &Scene, round: usize) -> Cost {
        let table = format!("orders_{round}");
        if !self.loads {
            return (self.run)(scene, &table);
        }
        scene.make_table(&table);
        let cost = (self.run)(scene, &table);
        scene.check_and_drop(&table);
        cost
    }
}

fn kcat_copy(scene: &Scene, table: &str, options: &str) -> Cost {
    let copy = format!("{} | {} -c \"COPY {table} FROM STDIN CSV\"", kcat(scene, options), psql(scene));
    cost(Command::new("sh").arg("-c").arg(copy))
}

fn kcat_alone(scene: &Scene, _: &str) -> Cost {
    cost(Command::new("sh").arg("-c").arg(format!("exec {} >/dev/null", kcat(scene, TUNED))))
}
