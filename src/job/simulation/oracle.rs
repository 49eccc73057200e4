//! What must be true in the end. It knows what was produced and what the database holds, and nothing of the loader.

use std::collections::{BTreeMap, BTreeSet};

use super::kafka::{Kafka, Kind, Log};
use super::warehouse::{LedgerRow, Place, Warehouse};
use super::world::Checked;
use crate::greenplum::{self, Move};

/// Holds the database against the topic, both at rest.
pub fn check(kafka: &Kafka, warehouse: &Warehouse) -> Checked {
    let mut ledger = warehouse.ledger.clone();
    ledger.sort_by_key(|row| (row.partition, row.entry.seq));
    let mut wanted = Wanted::default();
    for (&partition, log) in &kafka.logs {
        let rows: Vec<&LedgerRow> = ledger.iter().filter(|row| row.partition == partition).collect();
        check_chain(partition, log, &rows)?;
        wanted.add(partition, log, &rows);
    }
    once("row", &warehouse.rows, &wanted.rows)?;
    once("dead letter", &warehouse.letters, &wanted.letters)?;
    check_sums(kafka, &ledger)
}

/// The rows of a partition join, from where it began to the end of its log.
fn check_chain(partition: i32, log: &Log, rows: &[&LedgerRow]) -> Checked {
    let Some(first) = rows.first() else {
        return if log.low == log.end { Ok(()) } else { Err(format!("[{partition}] was never loaded")) };
    };
    let mut at = first.entry.first;
    if at > log.low {
        return Err(format!("[{partition}] is loaded from {at} on, and its log begins at {}", log.low));
    }
    for (row, seq) in rows.iter().zip(1..) {
        let entry = &row.entry;
        if entry.seq != seq {
            return Err(format!("[{partition}] has a row {} where {seq} would follow", entry.seq));
        }
        if entry.first != at || entry.next <= at {
            return Err(format!("[{partition}] row {seq} is [{}, {}) behind {at}", entry.first, entry.next));
        }
        at = entry.next;
    }
    if at == log.end { Ok(()) } else { Err(format!("[{partition}] is loaded to {at} of {}", log.end)) }
}

#[derive(Default)]
struct Wanted {
    rows: BTreeSet<Place>,
    letters: BTreeSet<Place>,
}

impl Wanted {
    /// Everything that did not expire unread: what a row of the ledger says was loaded.
    fn add(&mut self, partition: i32, log: &Log, rows: &[&LedgerRow]) {
        let loads = rows.iter().filter(|row| row.entry.kind == greenplum::Kind::Load);
        for (&offset, kind) in loads.flat_map(|row| log.records.range(row.entry.first..row.entry.next)) {
            match kind {
                Kind::Good => self.rows.insert((partition, offset)),
                Kind::Undecodable | Kind::Unreadable => self.letters.insert((partition, offset)),
                Kind::Filtered | Kind::Aborted => continue,
            };
        }
    }
}

/// Each of those wanted, once, and nothing else.
fn once(what: &str, found: &[Place], wanted: &BTreeSet<Place>) -> Checked {
    let mut times: BTreeMap<Place, u64> = wanted.iter().map(|&place| (place, 0)).collect();
    for &place in found {
        let Some(times) = times.get_mut(&place) else {
            return Err(format!("a {what} of {place:?} is there, which is not to be"));
        };
        *times += 1;
    }
    match times.iter().find(|(_, times)| **times != 1) {
        None => Ok(()),
        Some((place, times)) => Err(format!("the {what} of {place:?} is there {times} times")),
    }
}

/// Records + holes = span; records = inserted + rejected + filtered. What a filter drops is known by batch alone.
fn check_sums(kafka: &Kafka, ledger: &[LedgerRow]) -> Checked {
    let mut batches: BTreeMap<(&str, i64), [i64; 6]> = BTreeMap::new();
    for row in ledger {
        let Move { inserted, rejected, filtered, .. } = row.counts;
        let entry = &row.entry;
        let of_kind = |kinds: &[Kind]| {
            let there = kafka.logs[&row.partition].records.range(entry.first..entry.next);
            i64::try_from(there.filter(|(_, kind)| kinds.contains(kind)).count()).unwrap()
        };
        let [mut good, mut bad, mut dropped] =
            [&[Kind::Good][..], &[Kind::Undecodable, Kind::Unreadable], &[Kind::Filtered]].map(of_kind);
        if entry.kind != greenplum::Kind::Load {
            // expired: nobody saw them
            (good, bad, dropped) = (0, 0, 0);
        } else if log_begins_behind(kafka, row) {
            return Err(format!("[{}] row {} is read of nothing", row.partition, entry.seq));
        }
        if bad != rejected {
            return Err(format!("[{}] row {} counts {rejected} rejected of {bad}", row.partition, entry.seq));
        }
        let sums = batches.entry((&entry.instance, entry.batch)).or_default();
        let counts = [inserted, rejected, filtered, good, bad, dropped];
        *sums = std::array::from_fn(|at| sums[at] + counts[at]);
    }
    match batches.iter().find(|(_, sums)| sums[..3] != sums[3..]) {
        None => Ok(()),
        Some((batch, sums)) => {
            Err(format!("batch {batch:?} counts {:?} inserted, rejected, filtered, of {:?}", &sums[..3], &sums[3..]))
        }
    }
}

fn log_begins_behind(kafka: &Kafka, row: &LedgerRow) -> bool {
    row.entry.first >= kafka.logs[&row.partition].end
}
