//! A loader in Python, the way that is written first by who is at home there: documents in batches, fields by name, COPY.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::commands::{Cost, cost};
use crate::harness::python_packages;
use crate::scene::Scene;

const PACKAGES: [&str; 3] = ["confluent-kafka==2.16.1", "orjson==3.11.4", "psycopg2-binary==2.9.11"];

/// Arguments: broker, topic, database, table, and how many records there are.
const LOAD: &str = r#"
import io, sys
import orjson, psycopg2
from confluent_kafka import Consumer

broker, topic, database, table, records = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": broker, "group.id": table, "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "queued.min.messages": 1000000,
                     "queued.max.messages.kbytes": 1048576, "fetch.message.max.bytes": 10485760})
consumer.subscribe([topic])
connection = psycopg2.connect(database)
cursor = connection.cursor()
names = ("id", "customer", "ordered_at", "amount", "status", "note")
left = int(records)
while left > 0:
    messages = consumer.consume(min(left, 10000), 10)
    rows = []
    for message in messages:
        document = orjson.loads(message.value())
        rows.append("\t".join([str(document[name]) for name in names]))
    if rows:
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO("\n".join(rows)))
    left -= len(messages)
connection.commit()
"#;

/// Whether there is all that it wants.
pub fn is_there() -> bool {
    packages().is_some()
}

pub fn load(scene: &Scene, table: &str) -> Cost {
    let (db, topic) = (scene.db, &scene.topics.json);
    let database = format!("host={} port={} user={} dbname={}", db.host, db.port, db.user, db.dbname);
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages().expect("its packages are there")).args(["-c", LOAD]);
    command.args([&topic.kafka.bootstrap, &topic.name, &database, table, &scene.rows.to_string()]);
    cost(&mut command)
}

fn packages() -> Option<&'static PathBuf> {
    static PLACE: OnceLock<Option<PathBuf>> = OnceLock::new();
    PLACE.get_or_init(|| python_packages(&PACKAGES)).as_ref()
}
