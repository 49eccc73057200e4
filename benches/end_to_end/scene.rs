//! The servers and the rows that every contender meets: topics, and files with the same rows.

use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema};

use crate::harness::{Database, Producer, SchemaRegistry, Topic, User, Version, directory, greenplum, kafka};

pub const PARTITIONS: i32 = 4;

/// Bytes of a row as CSV, its LF included; of a long one.
const ROW_BYTES: usize = 92;
const LONG_ROW_BYTES: usize = 200;

/// The table's columns, which are the message's.
pub const COLUMNS: [(&str, &str); 6] = [
    ("id", "bigint"),
    ("customer", "integer"),
    ("ordered_at", "timestamp"),
    ("amount", "numeric(9,2)"),
    ("status", "text"),
    ("note", "text"),
];

/// The same as Avro has them.
const SCHEMA: &str = r#"{"type":"record","name":"orders","fields":[
    {"name":"id","type":"long"},
    {"name":"customer","type":"int"},
    {"name":"ordered_at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"status","type":"string"},
    {"name":"note","type":"string"}]}"#;

/// 2026-11-22, in milliseconds since 1970.
const DAY: i64 = 1_795_305_600_000;

pub struct Scene {
    pub db: &'static Database,
    pub topics: Topics,
    pub registry: SchemaRegistry,
    pub rows: i64,
    /// Of all rows as they stand in the topic of CSV.
    pub bytes: u64,
    pub dir: PathBuf,
    /// What a table with every row once answers to [`SUMS`].
    sums: String,
}

/// The same rows in each.
pub struct Topics {
    pub csv: Topic<'static>,
    /// With longer notes.
    pub csv_long: Topic<'static>,
    /// Of one partition.
    pub csv_alone: Topic<'static>,
    pub json: Topic<'static>,
    pub avro: Topic<'static>,
}

/// The rows again, in the scene's directory.
pub const CSV_FILE: &str = "rows.csv";
pub const JSON_FILE: &str = "rows.json";

/// Tells lost, doubled and damaged rows.
const SUMS: &str = "count(*), count(DISTINCT id), sum(id), sum(customer), sum(amount), sum(length(note))";

impl Scene {
    /// Starts the servers and writes the rows; `None` without a Greenplum.
    pub fn set(rows: i64) -> Option<Self> {
        let db = greenplum(2)?;
        let kafka = kafka(Version::V4_1_1);
        let topics = Topics {
            csv: kafka.topic("orders", PARTITIONS),
            csv_long: kafka.topic("orders_long", PARTITIONS),
            csv_alone: kafka.topic("orders_alone", 1),
            json: kafka.topic("orders_json", PARTITIONS),
            avro: kafka.topic("orders_avro", PARTITIONS),
        };
        let registry = SchemaRegistry::start();
        let schema_id = registry.avro(&format!("{}-value", topics.avro.name), SCHEMA);
        let dir = directory("rows", User::current());
        let begun = Instant::now();
        let (bytes, sums) = write_rows(&topics, schema_id, &dir, rows);
        println!("── {rows} rows, {} MB of CSV, {PARTITIONS} partitions, 2 segments", bytes / 1_000_000);
        println!("   written in {:.1} s", begun.elapsed().as_secs_f64());
        Some(Self { db, topics, registry, rows, bytes, dir, sums })
    }

    /// A new table, so that every round is a first load.
    pub fn make_table(&self, name: &str) {
        let columns: Vec<_> = COLUMNS.iter().map(|(name, sql_type)| format!("{name} {sql_type}")).collect();
        self.db.execute(&format!("CREATE TABLE {name} ({}) DISTRIBUTED BY (id)", columns.join(", ")));
    }

    /// Holds the table against the rows, and drops it.
    pub fn check_and_drop(&self, name: &str) {
        let found = self.db.value(&format!("SELECT ({SUMS})::text FROM {name}"));
        assert_eq!(found, self.sums, "{name} does not hold every row once");
        self.db.execute(&format!("DROP TABLE {name}"));
    }
}

/// Writes topics and files; returns the bytes of CSV, and the sums of the rows.
fn write_rows(topics: &Topics, schema_id: u32, dir: &Path, rows: i64) -> (u64, String) {
    let producer = topics.csv.kafka.producer();
    let file = |name| BufWriter::new(std::fs::File::create(dir.join(name)).unwrap());
    let (mut csv_file, mut json_file) = (file(CSV_FILE), file(JSON_FILE));
    let (mut bytes, mut customers, mut cents, mut notes) = (0, 0, 0, 0);
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let avro = GenericDatumWriter::builder(&schema).build().unwrap();
    for id in 0..rows {
        let order = Order::of(id, ROW_BYTES);
        let (csv, json) = (order.csv(), order.json());
        let partition = i32::try_from(id % i64::from(PARTITIONS)).unwrap();
        send(&producer, &topics.csv, partition, csv.as_bytes());
        send(&producer, &topics.csv_long, partition, Order::of(id, LONG_ROW_BYTES).csv().as_bytes());
        send(&producer, &topics.csv_alone, 0, csv.as_bytes());
        send(&producer, &topics.json, partition, json.as_bytes());
        send(&producer, &topics.avro, partition, &order.avro(&avro, schema_id));
        writeln!(csv_file, "{csv}").unwrap();
        writeln!(json_file, "{json}").unwrap();
        bytes += csv.len() as u64 + 1;
        customers += order.customer;
        cents += order.cents;
        notes += order.note.len();
    }
    producer.flush();
    csv_file.flush().unwrap();
    json_file.flush().unwrap();
    let ids = rows * (rows - 1) / 2;
    let sums = format!("({rows},{rows},{ids},{customers},{}.{:02},{notes})", cents / 100, cents % 100);
    (bytes, sums)
}

fn send(producer: &Producer, topic: &Topic<'_>, partition: i32, value: &[u8]) {
    producer.send(&topic.name, partition, None, Some(value));
}

struct Order {
    id: i64,
    customer: i64,
    second: i64,
    cents: i64,
    status: &'static str,
    note: String,
}

impl Order {
    fn of(id: i64, bytes: usize) -> Self {
        let (customer, cents) = (id * 7919 % 500_000, id * 31 % 1_000_000 + 99);
        let status = ["new", "paid", "sent", "returned"][usize::try_from(id % 4).expect("ids are positive")];
        let mut order = Self { id, customer, second: id % 86_400, cents, status, note: String::new() };
        let letters = (bytes - 1).checked_sub(order.csv().len()).expect("the other fields are short");
        order.note = ('a'..='z').cycle().take(letters).collect();
        order
    }

    fn ordered_at(&self) -> String {
        let second = self.second;
        format!("2026-11-22 {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
    }

    fn amount(&self) -> String {
        format!("{}.{:02}", self.cents / 100, self.cents % 100)
    }

    fn csv(&self) -> String {
        let Self { id, customer, status, note, .. } = self;
        format!("{id},{customer},{},{},{status},{note}", self.ordered_at(), self.amount())
    }

    fn json(&self) -> String {
        let mut json = String::new();
        let values = [self.id.to_string(), self.customer.to_string(), quoted(&self.ordered_at()), self.amount()];
        let values = values.into_iter().chain([quoted(self.status), quoted(&self.note)]);
        for ((name, _), value) in COLUMNS.iter().zip(values) {
            let before = if json.is_empty() { '{' } else { ',' };
            write!(json, "{before}\"{name}\":{value}").unwrap();
        }
        json + "}"
    }

    /// As the registry's clients write it.
    fn avro(&self, writer: &GenericDatumWriter<'_>, schema_id: u32) -> Vec<u8> {
        let values = [
            Value::Long(self.id),
            Value::Int(i32::try_from(self.customer).unwrap()),
            Value::TimestampMillis(DAY + self.second * 1000),
            Value::Decimal(Decimal::from(i32::try_from(self.cents).unwrap().to_be_bytes())),
            Value::String(self.status.to_owned()),
            Value::String(self.note.clone()),
        ];
        let fields = COLUMNS.iter().zip(values).map(|((name, _), value)| ((*name).to_owned(), value)).collect();
        let datum = writer.write_value_to_vec(Value::Record(fields)).unwrap();
        [&[0][..], &schema_id.to_be_bytes(), &datum].concat()
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
