//! Records in, blocks and troubles out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, bounded};

use super::*;
use crate::budget::Budget;
use crate::decode::{self, Decoder};
use crate::job::schemas::Registries;
use crate::job::threads::Stop;
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::registry;
use crate::row::Room;
use crate::schema::Schema;

pub(in crate::job) fn hand() -> (Hand, Receiver<Told>) {
    let (out, told) = bounded(8);
    let columns = vec![decode::Column::document("j")];
    let tools = Tools {
        transform: None,
        decoder: decode::decoder(&decode::Settings::of_value(decode::Format::Json, columns)),
        sends_payloads: false,
        registries: Registries::default(),
        limits: BlockLimits { bytes: 4096, rows_max: 0 },
        generation: Generation(1),
        budget: Budget::new(1 << 20),
        copying: None,
        metrics: Metrics::default(),
        out,
        stop: Stop::default(),
    };
    (Hand::new(tools, [(0, Lane { next: 5, until: None })].into()), told)
}

fn record(offset: i64, payload: &[u8]) -> Record<'_> {
    Record::new(0, offset, Some(payload))
}

#[test]
fn single_rows_of_a_record_may_be_wanted() {
    let (mut hand, told) = hand();
    let format = decode::Format::Jsonl { newline: "\n".to_owned() };
    hand.tools.decoder = decode::decoder(&decode::Settings::of_value(format, vec![decode::Column::document("j")]));
    hand.take_rows(&record(5, b"1\n2\n3"), SomeRows { rows: vec![0, 2], of: Some(3) });
    hand.take_rows(&record(6, b"4\n5"), SomeRows { rows: vec![2], of: None });
    hand.take_rows(&record(7, b"4\n5"), SomeRows { rows: vec![1], of: Some(3) });
    hand.record(&record(8, b"6\n7"));
    hand.flush_all();
    let Ok(Told::Block(block)) = told.try_recv() else { panic!("no block") };
    assert_eq!((&block.bytes[..], block.rejects.len()), (&b"1\n3\n6\n7\n"[..], 2));
    assert_eq!(block.rejects[0].reason, "the record makes 2 rows now, so there is no row 2");
    let reason = &block.rejects[1].reason;
    assert!(reason.starts_with("the record makes 2 rows now and made 3 when row 1 was refused"), "{reason}");
}

#[test]
fn a_block_is_sent_at_its_age_and_not_before() {
    let (mut hand, told) = hand();
    hand.record(&record(5, b"1"));
    hand.flush_older_than(Duration::from_secs(3600));
    assert!(told.is_empty() && hand.has_open_blocks());
    hand.flush_older_than(Duration::ZERO);
    hand.record(&record(6, b"2"));
    let Ok(Told::Block(block)) = told.try_recv() else { panic!("no block") };
    assert_eq!((&block.bytes[..], hand.has_open_blocks()), (&b"1\n"[..], true));
}

/// Notes what is out of a budget while it decodes.
struct Looking {
    decoder: Box<dyn Decoder>,
    budget: Budget,
    seen: Arc<AtomicUsize>,
    /// What it says that it takes.
    scratch: usize,
}

impl Decoder for Looking {
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
        self.seen.store(self.budget.used(), Ordering::Relaxed);
        self.decoder.decode(record, rows)
    }

    fn room(&self, record: &Record<'_>) -> Room {
        self.decoder.room(record)
    }

    fn scratch(&self, _record: &Record<'_>) -> usize {
        self.scratch
    }

    fn learn(&mut self, part: decode::Part, id: u32, schema: Result<&Schema, &str>) {
        self.decoder.learn(part, id, schema);
    }
}

/// What names a row of one byte takes many times that byte.
#[test]
fn the_rows_of_a_large_record_stand_under_a_permit_and_go_back() {
    let (mut hand, told) = hand();
    let seen = Arc::new(AtomicUsize::new(0));
    let format = decode::Format::Jsonl { newline: "\n".to_owned() };
    let decoder = decode::decoder(&decode::Settings::of_value(format, Vec::new()));
    hand.tools.decoder =
        Box::new(Looking { decoder, budget: hand.tools.budget.clone(), seen: Arc::clone(&seen), scratch: 0 });
    let lines = 500_000;
    hand.record(&record(5, "1\n".repeat(lines).as_bytes()));
    let names = lines * (size_of::<(usize, bool)>() + size_of::<usize>());
    assert!(seen.load(Ordering::Relaxed) > names, "{seen:?} of {names}");
    let Told::Block(block) = told.try_recv().unwrap() else { panic!("no block") };
    assert_eq!((block.index.rows, block.bytes.len()), (500_000, 2 * lines));
    assert!((2 * lines..3 * lines).contains(&hand.tools.budget.used()), "{}", hand.tools.budget.used());
    assert!(hand.rows.held().bytes_held() <= ROWS_BYTES_MAX);
    drop(block);
    assert_eq!(hand.tools.budget.used(), 0);
}

/// However small the record is.
#[test]
fn what_decoding_takes_stands_under_a_permit_and_goes_back() {
    for (scratch, blocks) in [(SCRATCH_BYTES_MAX, 0), (SCRATCH_BYTES_MAX + 1, 1)] {
        let (mut hand, told) = hand();
        hand.tools.budget = Budget::new(64 << 20);
        let seen = Arc::new(AtomicUsize::new(0));
        let columns = vec![decode::Column::document("j")];
        let decoder = decode::decoder(&decode::Settings::of_value(decode::Format::Json, columns));
        let budget = hand.tools.budget.clone();
        hand.tools.decoder = Box::new(Looking { decoder, budget, seen: Arc::clone(&seen), scratch });
        hand.record(&record(5, b"{}"));
        assert_eq!(seen.load(Ordering::Relaxed) > scratch, blocks == 1, "{seen:?}");
        assert_eq!(told.try_iter().count(), blocks);
        assert!(hand.tools.budget.used() <= 4096, "{}", hand.tools.budget.used());
    }
}

/// The permit of a giant is not kept for the few bytes that a rejected one leaves.
#[test]
fn a_large_record_is_sent_at_once_with_the_block_before_it() {
    let (mut hand, told) = hand();
    hand.record(&record(5, b"1"));
    hand.record(&record(6, &[0; 10_000]));
    hand.record(&record(7, b"2"));
    let spans = told.try_iter().map(|told| match told {
        Told::Block(block) => (block.index.span.first(), block.rejects.len()),
        told => panic!("{told:?}"),
    });
    assert_eq!(spans.collect::<Vec<_>>(), [(5, 0), (6, 1)]);
    assert!(hand.tools.budget.used() < 10_000);
}

/// Takes records whose first byte is the schema that they want, and makes them a row `id:payload` of it.
#[derive(Default)]
struct ByFirstByte(BTreeMap<u32, Result<String, String>>);

impl Decoder for ByFirstByte {
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
        let payload = record.payload.unwrap_or_default();
        let id = u32::from(payload[0]);
        let reason = |cause| Reason { part: Part::Value, format: "fake", cause };
        match self.0.get(&id) {
            None => Err(reason(decode::Cause::SchemaWanted { id })),
            Some(Err(text)) => Err(reason(decode::Cause::Schema { id, text: text.as_str().into() })),
            Some(Ok(schema)) => {
                rows.extend(schema.as_bytes());
                rows.end_field();
                rows.end_row();
                Ok(())
            }
        }
    }

    fn room(&self, record: &Record<'_>) -> Room {
        let is_known = self.0.contains_key(&u32::from(record.payload.unwrap_or_default()[0]));
        if is_known { Room { bytes: 100, fields: 1, rows: 1 } } else { Room::default() }
    }

    fn learn(&mut self, part: Part, id: u32, schema: Result<&Schema, &str>) {
        assert_eq!(part, Part::Value);
        self.0.insert(id, schema.map(|schema| schema.text.clone()).map_err(str::to_owned));
    }
}

fn schema(text: &str) -> Result<Arc<Schema>, registry::Error> {
    Ok(Arc::new(Schema::alone(crate::schema::SchemaKind::Avro, text)))
}

/// What came out: rows of blocks, reasons of rejects, troubles.
fn shown(told: &Receiver<Told>) -> Vec<String> {
    let show = |told| match told {
        Told::Block(block) => {
            let rejects: Vec<_> = block.rejects.iter().map(|reject| reject.reason.clone()).collect();
            format!("{} {:?} {rejects:?}", block.index.span, String::from_utf8_lossy(&block.bytes))
        }
        Told::Trouble { of, text, .. } => format!("{of}: {text}"),
        told => panic!("{told:?}"),
    };
    told.try_iter().map(show).collect()
}

#[test]
fn a_schema_that_a_record_wants_is_asked_for() {
    let (mut hand, told) = hand();
    hand.tools.decoder = Box::new(ByFirstByte::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    hand.tools.registries = Registries::of_values(move |id| {
        count.fetch_add(1, Ordering::Relaxed);
        match id {
            1 => schema("one"),
            2 => Err(registry::Error::NotFound { url: "http://r".to_owned(), what: "schema 2".to_owned() }),
            _ => schema("large"),
        }
    });
    let large = [[3].as_slice(), &[0; 5000]].concat();
    let payloads: [&[u8]; 6] = [&[1], &[2], &[1], &large, &[2], &[1]];
    for (offset, payload) in (5..).zip(payloads) {
        hand.record(&record(offset, payload));
    }
    hand.flush_all();
    let gone = "fake  schema 2: schema registry http://r has no schema 2";
    assert_eq!(
        shown(&told),
        [
            format!(r#"[5, 8) "one\none\n" ["{gone}"]"#),
            r#"[8, 9) "large\n" []"#.to_owned(),
            format!(r#"[9, 11) "one\n" ["{gone}"]"#),
        ]
    );
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn without_a_registry_a_record_that_wants_one_is_rejected() {
    let (mut hand, told) = hand();
    hand.tools.decoder = Box::new(ByFirstByte::default());
    hand.record(&record(5, &[1]));
    hand.flush_all();
    assert_eq!(shown(&told), [r#"[5, 6) "" ["fake  schema 1: no schema registry is configured for the value"]"#]);
}

/// What was read before goes out meanwhile, and nothing is lost.
#[test]
fn a_registry_in_trouble_stops_the_partition_until_it_has_passed() {
    let (mut hand, told) = hand();
    hand.tools.decoder = Box::new(ByFirstByte::default());
    let tries = AtomicUsize::new(0);
    hand.tools.registries = Registries::of_values(move |id| match (id, tries.fetch_add(1, Ordering::Relaxed)) {
        (2, 1) => Err(registry::Error::Unreachable { cause: "down".to_owned() }),
        _ => schema("s"),
    });
    hand.record(&record(5, &[1]));
    hand.record(&record(6, &[2]));
    hand.flush_all();
    assert_eq!(
        shown(&told),
        [r#"[5, 6) "s\n" []"#, "registry: schema 2 of the value is wanted: down", r#"[6, 7) "s\n" []"#]
    );
}

/// It would refuse us for every record; none of them is at fault.
#[test]
fn a_registry_that_refuses_us_ends_the_load() {
    let (mut hand, told) = hand();
    hand.tools.decoder = Box::new(ByFirstByte::default());
    hand.tools.registries = Registries::of_values(move |id| match id {
        1 => schema("s"),
        _ => Err(registry::Error::Setting { cause: "no".to_owned() }),
    });
    for offset in 5..8 {
        hand.record(&record(offset, if offset == 6 { &[2] } else { &[1] }));
    }
    let block = told.try_recv().unwrap();
    assert!(matches!(&block, Told::Block(block) if block.index.span.next() == 6 && block.rejects.is_empty()));
    let failed = told.try_recv().unwrap();
    let reason = "schema 2 of the value is wanted: schema registry: no";
    assert!(matches!(&failed, Told::Failed { partition: 0, reason: said } if said == reason), "{failed:?}");
    assert!(hand.is_over() && told.try_recv().is_err());
}

/// However long the registry takes: for the answer, or for getting well.
#[test]
fn the_end_of_the_attempt_is_not_kept_waiting_by_a_registry() {
    let (mut hand, told) = hand();
    hand.tools.decoder = Box::new(ByFirstByte::default());
    let stop = hand.tools.stop.clone();
    let (_kept, never) = bounded::<()>(0);
    hand.tools.registries = Registries::of_values(move |_| {
        stop.ask();
        never.recv().unwrap();
        schema("s")
    });
    hand.record(&record(5, &[1]));
    assert!(hand.is_over());
    let (mut hand, stop) = (hand, Stop::default());
    hand.tools.stop = stop.clone();
    hand.tools.registries = Registries::of_values(move |_| {
        stop.ask();
        Err(registry::Error::Unreachable { cause: "down".to_owned() })
    });
    hand.record(&record(5, &[1]));
    hand.flush_all();
    assert_eq!(shown(&told), [""; 0]);
}
