//! The commands of the contenders, and what they take.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{Topic, executable, gpfdist};
use crate::scene::{COLUMNS, JSON_FILE, Scene};

/// Where segments find a loader on this machine.
const CALLBACK: [&str; 4] = ["--gpfdist-host", "127.0.0.1", "--gpfdist-port", "0"];

/// What a command took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From its start to its exit.
    pub seconds: f64,
    /// Of the processor, by it and what it started and waited for.
    pub cpu_seconds: f64,
    /// Of memory, by the largest of these.
    pub peak_mib: f64,
}

pub fn load(scene: &Scene, topic: &Topic<'_>, table: &str, format: &str) -> Cost {
    let mut command = Command::new(executable());
    command.arg("load").arg(job(scene, topic, table, format)).arg("--quit-at-eof").args(CALLBACK);
    cost(command.arg("--log-dir").arg(&scene.dir))
}

/// Into clients of the same process, whose CPU time is taken off: elsewhere segments do that.
pub fn discard(scene: &Scene, topic: &Topic<'_>, segments: u32) -> Cost {
    let results = scene.dir.join("bench.json");
    let mut command = Command::new(executable());
    command.arg("bench").arg(job(scene, topic, "nowhere", "csv")).args(CALLBACK);
    command.args(["--rounds", "1", "--segments", &segments.to_string(), "--json"]).arg(&results);
    let cost = cost(&mut command);
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(&results).unwrap()).unwrap();
    let round = &told["results"][0]["rounds"][0];
    assert_eq!(round["rows"].as_i64(), Some(scene.rows), "{round}");
    Cost { cpu_seconds: round["cpu_seconds"].as_f64().unwrap(), ..cost }
}

/// The job's file.
fn job(scene: &Scene, topic: &Topic<'_>, table: &str, format: &str) -> PathBuf {
    let named = |(name, sql_type): &(&str, &str)| format!("        - {{NAME: {name}, TYPE: '{sql_type}'}}\n");
    let columns = match format {
        "json" => "        - {NAME: doc, TYPE: json}\n".to_owned(),
        _ => COLUMNS.iter().map(named).collect(),
    };
    let mapped = |(name, expression): (&str, String)| format!("      {name}: \"{expression}\"\n");
    let (option, mapping) = match format {
        "json" => (String::new(), format!("    MAPPING:\n{}", mappings().map(mapped).collect::<String>())),
        "avro" => (format!("      AVRO_OPTION: {{SCHEMA_REGISTRY_ADDR: '{}'}}\n", scene.registry.url()), String::new()),
        _ => (String::new(), String::new()),
    };
    let job = format!(
        "{}VERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: {}\n      TOPIC: {}\n    VALUE:\n      COLUMNS:\n{columns}      FORMAT: {format}\n{option}  OUTPUT:\n    TABLE: {table}\n{mapping}",
        scene.db.yaml(),
        topic.kafka.bootstrap,
        topic.name
    );
    let path = scene.dir.join("job.yaml");
    std::fs::write(&path, job).unwrap();
    path
}

/// Each column, and the expression that takes it out of a document.
fn mappings() -> impl Iterator<Item = (&'static str, String)> {
    COLUMNS.iter().map(|(name, sql_type)| match *sql_type {
        "text" => (*name, format!("doc->>'{name}'")),
        sql_type => (*name, format!("(doc->>'{name}')::{sql_type}")),
    })
}

/// The server is up before the clock starts, as it is at its users'.
pub fn gpfdist_load(scene: &Scene, table: &str, file: &str, settings: &[(&str, &str)]) -> Cost {
    let (_server, port) = gpfdist(&scene.dir);
    let (columns, format, select) = match file {
        JSON_FILE => {
            let select: Vec<String> = mappings().map(|(_, expression)| expression).collect();
            ("doc json".to_owned(), "'TEXT' (DELIMITER 'OFF' ESCAPE 'OFF')", select.join(", "))
        }
        _ => (format!("LIKE {table}"), "'CSV'", "*".to_owned()),
    };
    let source = format!("({columns}) LOCATION ('gpfdist://127.0.0.1:{port}/{file}') FORMAT {format}");
    insert_from(scene, table, &source, &select, settings)
}

/// An `INSERT … SELECT` from an external table, by psql.
pub fn insert_from(scene: &Scene, table: &str, source: &str, select: &str, settings: &[(&str, &str)]) -> Cost {
    let external = format!("{table}_file");
    scene.db.execute(&format!("CREATE EXTERNAL TABLE {external} {source}"));
    let options: String = settings.iter().map(|(name, value)| format!("-c {name}={value} ")).collect();
    let mut command = Command::new("sh");
    command.env("PGOPTIONS", options);
    let insert = format!("INSERT INTO {table} SELECT {select} FROM {external}");
    let cost = cost(command.args(["-c", &format!("exec {} -c \"{insert}\"", psql(scene))]));
    scene.db.execute(&format!("DROP EXTERNAL TABLE {external}"));
    cost
}

pub fn kcat(scene: &Scene, options: &str) -> String {
    let topic = &scene.topics.csv;
    format!("kcat -C -q -e -o beginning {options} -b {} -t {}", topic.kafka.bootstrap, topic.name)
}

pub fn psql(scene: &Scene) -> String {
    let db = scene.db;
    format!("psql -q -X -v ON_ERROR_STOP=1 -h {} -p {} -U {} -d {}", db.host, db.port, db.user, db.dbname)
}

/// This program once more, in a process of its own, as the others are.
pub fn consume(topic: &Topic<'_>) -> Cost {
    let mut command = Command::new(std::env::current_exe().unwrap());
    cost(command.args(["consume", &topic.kafka.bootstrap, &topic.name]))
}

/// What a command takes. GNU time tells of processor and memory.
pub fn cost(command: &mut Command) -> Cost {
    let mut timed = Command::new("time");
    timed.args(["-f", "%U %S %M"]).arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let begun = Instant::now();
    let output = timed.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("time {command:?}: {error}"));
    let seconds = begun.elapsed().as_secs_f64();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{told}", output.status);
    let spent = told.trim_end().lines().last().unwrap_or_default().split(' ').map(|part| part.parse::<f64>());
    let spent = spent.collect::<Result<Vec<f64>, _>>().expect("GNU time tells numbers");
    Cost { seconds, cpu_seconds: spent[0] + spent[1], peak_mib: spent[2] / 1024.0 }
}
