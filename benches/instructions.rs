//! How many instructions a row takes from its message to its TEXT, counted by valgrind: the same on a busy machine. What is
//! in `instructions.txt` may change by 5 % in either direction; `UPDATE_EXPECT=1` writes it anew.
//!
//! ```text
//! cargo bench --bench instructions
//! ```
//!
//! The counts are those of a release build by one compiler: a new one may move them.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "payloads.rs"]
mod payloads;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::process::Command;

use gpkafka::decode::{AvroFraming, AvroOptions, Column, CsvOptions, Decoder, Format, Part, Settings, decoder};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;
use gpkafka::schema::{Schema, SchemaKind};
use payloads::{AVRO_SCHEMA, CSV, JSON, QUOTED};

const NAMES: [&str; 5] = ["csv", "csv_quoted", "json_6_fields", "json_6_texts", "avro_6_columns"];
/// Of a short run and of a long one: what lies between them is rows alone.
const ROWS: [u32; 2] = [1000, 3000];
const TOLERANCE: f64 = 0.05;
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [name, rows] = &words[..] {
        return run(name, rows.parse().unwrap());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("not run: it wants valgrind");
        std::process::exit(1);
    }
    let counts =
        NAMES.map(|name| (name, (counted(name, ROWS[1]) - counted(name, ROWS[0])) / f64::from(ROWS[1] - ROWS[0])));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let mut text = "# instructions a row: cargo bench --bench instructions\n".to_owned();
        counts.iter().for_each(|(name, count)| writeln!(text, "{name} {count:.0}").unwrap());
        std::fs::write(KNOWN, text).unwrap();
    }
    let known = known();
    let mut has_moved = false;
    for (name, count) in counts {
        let change = count / known.get(name).unwrap_or_else(|| panic!("{KNOWN} has no {name}")) - 1.0;
        let word = if change.abs() <= TOLERANCE { "" } else { "  MOVED" };
        println!("{name:<16} {count:6.0} instructions a row, {:+.1} %{word}", 100.0 * change);
        has_moved |= change.abs() > TOLERANCE;
    }
    std::process::exit(i32::from(has_moved));
}

fn known() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(KNOWN).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    lines.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// Instructions of this program while it makes so many rows.
fn counted(name: &str, rows: u32) -> f64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = command.arg(std::env::current_exe().unwrap()).args([name, &rows.to_string()]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let collected = told.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, count)| count.trim());
    collected.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("valgrind counts nothing: {told}"))
}

fn run(name: &str, rows: u32) {
    let (mut decoder, payload) = case(name);
    let record = Record::new(0, 0, Some(&payload));
    let (mut made, mut out) = (Rows::default(), Vec::new());
    for _ in 0..rows {
        made.clear();
        out.clear();
        decoder.decode(black_box(&record), &mut made).unwrap();
        made.iter().for_each(|row| text::encode(row, &mut out));
        black_box(&out);
    }
}

fn case(name: &str) -> (Box<dyn Decoder>, Vec<u8>) {
    let six = ["id", "at", "customer", "amount", "note", "tag"].map(Column::text);
    let csv = || Settings::of_value(Format::Csv(CsvOptions::default()), six.to_vec());
    match name {
        "csv" => (decoder(&csv()), CSV.into()),
        "csv_quoted" => (decoder(&csv()), QUOTED.into()),
        "json_6_fields" => (decoder(&Settings::of_value(Format::Json, six.to_vec())), JSON.into()),
        "json_6_texts" => {
            let columns = std::iter::once(Column::document("doc")).chain(six).collect();
            (decoder(&Settings::of_value(Format::Json, columns)), JSON.into())
        }
        "avro_6_columns" => {
            let format = Format::Avro(AvroOptions { framing: AvroFraming::Confluent, bytes_to_base64: false });
            let columns = ["id", "count", "at", "customer", "amount", "note"].map(Column::text);
            let mut decoder = decoder(&Settings::of_value(format, columns.to_vec()));
            decoder.learn(Part::Value, 7, Ok(&Schema::alone(SchemaKind::Avro, AVRO_SCHEMA)));
            (decoder, payloads::avro())
        }
        other => panic!("{other}: it knows {NAMES:?}"),
    }
}
