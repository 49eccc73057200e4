//! Payload → TEXT beside what the well-known crates take to make their own values of the same payload, and no row. On one
//! thread, turn by turn. `cargo bench --bench references`; exit code 1 where a promised ratio was missed.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "payloads.rs"]
mod payloads;

use std::hint::black_box;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use gpkafka::decode::{AvroFraming, AvroOptions, Column, Format, Part, Settings, decoder};
use gpkafka::encode::text;
use gpkafka::record::Record;
use gpkafka::row::Rows;
use gpkafka::schema::{Schema, SchemaKind};
use payloads::{AVRO_SCHEMA, JSON};

const ROUNDS: usize = 21;
const CALLS: usize = 20_000;

fn main() {
    let json_names = ["id", "at", "customer", "amount", "note", "tag"];
    let json = Settings::of_value(Format::Json, json_names.map(Column::text).to_vec());
    let json_kept = compare(
        ("JSON, 6 fields", 2.5),
        rows_of(&json, None, JSON.as_bytes()),
        ("serde_json::Value", || {
            drop(black_box(serde_json::from_slice::<serde_json::Value>(JSON.as_bytes()).unwrap()))
        }),
    );

    let payload = payloads::avro();
    let format = Format::Avro(AvroOptions { framing: AvroFraming::Confluent, bytes_to_base64: false });
    let avro_names = ["id", "count", "at", "customer", "amount", "note"];
    let avro = Settings::of_value(format, avro_names.map(Column::text).to_vec());
    let known = Schema::alone(SchemaKind::Avro, AVRO_SCHEMA);
    let schema = apache_avro::Schema::parse_str(AVRO_SCHEMA).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let avro_kept = compare(
        ("Avro, 6 columns", 3.0),
        rows_of(&avro, Some(&known), &payload),
        ("apache_avro's Value", || drop(black_box(reader.read_value(&mut &payload[5..]).unwrap()))),
    );
    if !(json_kept && avro_kept) {
        println!("a promise was missed");
        std::process::exit(1);
    }
}

/// Decodes and encodes one payload.
fn rows_of(settings: &Settings, schema: Option<&Schema>, payload: &[u8]) -> impl FnMut() {
    let mut decoder = decoder(settings);
    schema.into_iter().for_each(|schema| decoder.learn(Part::Value, 7, Ok(schema)));
    let (mut rows, mut out) = (Rows::default(), Vec::new());
    move || {
        rows.clear();
        out.clear();
        decoder.decode(black_box(&Record::new(0, 0, Some(payload))), &mut rows).unwrap();
        rows.iter().for_each(|row| text::encode(row, &mut out));
        black_box(&out);
    }
}

/// Whether ours is as many times as fast as was promised.
fn compare((what, promised): (&str, f64), mut ours: impl FnMut(), (name, mut theirs): (&str, impl FnMut())) -> bool {
    let mut ratios: Vec<f64> = Vec::new();
    let (mut our_seconds, mut their_seconds) = (0.0, 0.0);
    // the first round warms and is not counted
    for round in 0..=ROUNDS {
        let (our, their) = (seconds(&mut ours), seconds(&mut theirs));
        if round > 0 {
            ratios.push(their / our);
            our_seconds += our;
            their_seconds += their;
        }
    }
    ratios.sort_by(f64::total_cmp);
    let (least, median, most) = (ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]);
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
    let nanoseconds = |seconds: f64| seconds * 1e9 / (ROUNDS * CALLS) as f64;
    let (our, their) = (nanoseconds(our_seconds), nanoseconds(their_seconds));
    let kept = if median >= promised { "kept" } else { "MISSED" };
    println!(
        "{what}: decoded and encoded in {our:.0} ns, {name} in {their:.0} ns: {median:.2} ({least:.2} … {most:.2})  ≥ {promised}  {kept}"
    );
    median >= promised
}

fn seconds(call: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..CALLS).for_each(|_| call());
    begun.elapsed().as_secs_f64()
}
