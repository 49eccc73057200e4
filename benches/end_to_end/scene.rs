//! The servers and the rows that every contender meets: a topic of four partitions and a file with the same rows.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use crate::harness::{Database, Topic, User, Version, directory, greenplum, kafka};

pub const PARTITIONS: i32 = 4;

/// Bytes of a row, its LF included.
const ROW_BYTES: usize = 92;

/// The table's columns, which are the message's.
pub const COLUMNS: [(&str, &str); 6] = [
    ("id", "bigint"),
    ("customer", "integer"),
    ("ordered_at", "timestamp"),
    ("amount", "numeric(9,2)"),
    ("status", "text"),
    ("note", "text"),
];

pub struct Scene {
    pub db: &'static Database,
    pub topic: Topic<'static>,
    pub rows: i64,
    /// Of all rows as they stand in the topic.
    pub bytes: u64,
    pub dir: PathBuf,
    /// The rows again, in `dir`.
    pub file: &'static str,
    /// What a table with every row once answers to [`SUMS`].
    sums: String,
}

/// Tells lost, doubled and damaged rows.
const SUMS: &str = "count(*), count(DISTINCT id), sum(id), sum(customer), sum(amount), sum(length(note))";

impl Scene {
    /// Starts the servers and writes the rows; `None` without a Greenplum.
    pub fn set(rows: i64) -> Option<Self> {
        let db = greenplum(2)?;
        let kafka = kafka(Version::V4_1_1);
        let topic = kafka.topic("orders", PARTITIONS);
        let dir = directory("rows", User::current());
        let begun = Instant::now();
        let (bytes, sums) = write_rows(&topic, &dir.join("rows.csv"), rows);
        println!("── {rows} rows, {} MB, {PARTITIONS} partitions, 2 segments", bytes / 1_000_000);
        println!("   written in {:.1} s", begun.elapsed().as_secs_f64());
        Some(Self { db, topic, rows, bytes, dir, file: "rows.csv", sums })
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

/// Writes topic and file; returns the bytes, and the sums of the rows.
fn write_rows(topic: &Topic<'_>, path: &std::path::Path, rows: i64) -> (u64, String) {
    let producer = topic.kafka.producer();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let (mut bytes, mut customers, mut cents, mut notes) = (0, 0, 0, 0);
    let mut row = String::new();
    for id in 0..rows {
        let parts = Parts::of(id);
        parts.write(&mut row);
        let partition = i32::try_from(id % i64::from(PARTITIONS)).unwrap();
        producer.send(&topic.name, partition, None, Some(row.as_bytes()));
        writeln!(file, "{row}").unwrap();
        bytes += row.len() as u64 + 1;
        customers += parts.customer;
        cents += parts.cents;
        notes += parts.note;
    }
    producer.flush();
    file.flush().unwrap();
    let ids = rows * (rows - 1) / 2;
    let sums = format!("({rows},{rows},{ids},{customers},{}.{:02},{notes})", cents / 100, cents % 100);
    (bytes, sums)
}

/// One order.
struct Parts {
    id: i64,
    customer: i64,
    cents: i64,
    /// Length of its note.
    note: i64,
}

impl Parts {
    fn of(id: i64) -> Self {
        let (customer, cents) = (id * 7919 % 500_000, id * 31 % 1_000_000 + 99);
        let mut parts = Self { id, customer, cents, note: 0 };
        let mut row = String::new();
        parts.write(&mut row);
        parts.note = i64::try_from(ROW_BYTES - 1 - row.len()).expect("the other fields are short");
        parts
    }

    fn write(&self, row: &mut String) {
        row.clear();
        let second = self.id % 86_400;
        let status = ["new", "paid", "sent", "returned"][usize::try_from(self.id % 4).expect("ids are positive")];
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let amount = format!("{}.{:02}", self.cents / 100, self.cents % 100);
        write!(
            row,
            "{},{},2026-11-22 {hour:02}:{minute:02}:{:02},{amount},{status},",
            self.id,
            self.customer,
            second % 60
        )
        .unwrap();
        row.extend((0..self.note).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())));
    }
}
