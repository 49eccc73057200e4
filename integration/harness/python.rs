//! The client that most Avro topics are written with: `confluent-kafka` of Python, its serializer and its registry
//! client. Installed once by pip into the tests' cache.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::Topic;
use super::place::{cache, note_not_run, unique};

/// The client, and with it what its serializer needs.
const PACKAGE: &str = "confluent-kafka[avro]==2.16.1";

/// Arguments: broker, registry, topic. On stdin a Python list of `(key, value)`, each written with the newest schema of
/// its subject.
const WRITE: &str = r#"
import datetime, decimal, sys, uuid
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

broker, registry, topic = sys.argv[1:]
client = SchemaRegistryClient({"url": registry})
settings = {"auto.register.schemas": False, "use.latest.version": True}
writer = {field: AvroSerializer(client, conf=settings) for field in (MessageField.KEY, MessageField.VALUE)}
producer = Producer({"bootstrap.servers": broker})
failed = []
for key, value in eval(sys.stdin.read()):
    written = {}
    for field, datum in ((MessageField.KEY, key), (MessageField.VALUE, value)):
        if datum is not None:
            written[field] = writer[field](datum, SerializationContext(topic, field))
    producer.produce(topic, key=written.get(MessageField.KEY), value=written.get(MessageField.VALUE), partition=0,
                     on_delivery=lambda error, _: error and failed.append(str(error)))
if producer.flush(60) or failed:
    sys.exit("not written: " + "; ".join(failed))
"#;

/// Whether topics can be written with Python's client. Where pip can't install it the calling test is noted as one that
/// does not run: `integration/test` counts them.
pub fn has_python_client() -> bool {
    let is_there = packages().is_some();
    if !is_there {
        note_not_run("python");
    }
    is_there
}

/// Where the package is.
fn packages() -> Option<&'static PathBuf> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PLACE.get_or_init(|| python_packages(&[PACKAGE])).as_ref()
}

/// Where these packages are, for `PYTHONPATH`; `None` where pip cannot install them.
pub fn python_packages(packages: &[&str]) -> Option<PathBuf> {
    let version = Command::new("python3").args(["-c", "import platform; print(platform.python_version())"]).output();
    let version = String::from_utf8(version.ok()?.stdout).ok()?;
    let place = cache().join(format!("python-{}-{}", version.trim(), packages.join("-").replace(['[', ']', '='], "-")));
    if !place.is_dir() {
        let begun = cache().join(unique("python"));
        let words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"];
        let pip = Command::new("python3").args(words).arg(&begun).args(packages).stdin(Stdio::null()).output().ok()?;
        if !pip.status.success() {
            // past the capture of the test's output
            let why = String::from_utf8_lossy(&pip.stderr).lines().last().unwrap_or_default().to_owned();
            drop(writeln!(
                std::io::stderr(),
                "python: pip cannot install {}, what needs it does not run: {why}",
                packages.join(", ")
            ));
            return None;
        }
        // another run may have been faster
        if std::fs::rename(&begun, &place).is_err() {
            std::fs::remove_dir_all(&begun).expect("it is ours");
        }
    }
    Some(place).filter(|place| place.is_dir())
}

impl Topic<'_> {
    /// Writes records with Python's client: a Python list of `(key, value)`, `None` for what a record does not have.
    ///
    /// # Panics
    /// With what Python said, when it fails.
    pub fn produce_by_python(&self, registry: &str, records: &str) {
        let mut command = Command::new("python3");
        command.args(["-c", WRITE, &self.kafka.bootstrap, registry, &self.name]);
        command.env("PYTHONPATH", packages().expect("the test has asked for the client"));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut python = piped.spawn().expect("there is a python3");
        let mut stdin = python.stdin.take().expect("it is piped");
        stdin.write_all(records.as_bytes()).expect("Python reads it");
        drop(stdin);
        let output = python.wait_with_output().expect("Python ends");
        assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
    }
}
