//! What must be true in the end. It knows what was produced and what the database holds, and nothing of the loader.

use std::collections::{BTreeMap, BTreeSet};

use super::kafka::{Kafka, Kind, Log};
use super::warehouse::{LedgerRow, Place, Warehouse};
use super::world::Checked;
use crate::greenplum::{self, Account, LedgerRow as Written};
use crate::job::proof::{Findings, Proof};
use crate::kafka::Watermarks;

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
    check_sums(kafka, &ledger)?;
    check_proof(kafka, &ledger)
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

/// What each row counts is what the log holds there. What a filter drops is known by batch alone.
fn check_sums(kafka: &Kafka, ledger: &[LedgerRow]) -> Checked {
    let mut batches: BTreeMap<(&str, i64), [i64; 4]> = BTreeMap::new();
    for row in ledger {
        let (entry, account) = (&row.entry, row.counts.account);
        let wanted = match entry.kind {
            // expired: nobody saw them
            greenplum::Kind::Skip | greenplum::Kind::Reset => Account::default(),
            greenplum::Kind::Load if log_begins_behind(kafka, row) => {
                return Err(format!("[{}] row {} is read of nothing", row.partition, entry.seq));
            }
            greenplum::Kind::Load => held(kafka, row),
        };
        let same = Account { inserted: wanted.inserted, filtered: wanted.filtered, ..account };
        if same != (Account { rows: account.rows.and(wanted.rows), ..wanted }) {
            return Err(format!("[{}] row {} counts {account:?} of {wanted:?}", row.partition, entry.seq));
        }
        // what is filtered is the rest of the rows, where these are counted
        let wanted_filtered = if account.rows.is_some() { wanted.filtered } else { account.filtered };
        let sums = batches.entry((&entry.instance, entry.batch)).or_default();
        let counts = [account.inserted, account.filtered, wanted.inserted, wanted_filtered];
        *sums = std::array::from_fn(|at| sums[at] + counts[at]);
    }
    match batches.iter().find(|(_, sums)| sums[..2] != sums[2..]) {
        None => Ok(()),
        Some((batch, sums)) => {
            Err(format!("batch {batch:?} counts {:?} inserted and filtered, of {:?}", &sums[..2], &sums[2..]))
        }
    }
}

/// The accounts of a row by what its offsets hold.
fn held(kafka: &Kafka, row: &LedgerRow) -> Account {
    let (first, next) = (row.entry.first, row.entry.next);
    let of = |kinds: &[Kind]| {
        let there = kafka.logs[&row.partition].records.range(first..next);
        i64::try_from(there.filter(|(_, kind)| kinds.contains(kind)).count()).unwrap()
    };
    let (good, filtered) = (of(&[Kind::Good]), of(&[Kind::Filtered]));
    let (refused, rejected) = (of(&[Kind::Undecodable]), of(&[Kind::Unreadable]));
    let decoded = good + filtered + rejected;
    let (records, rows) = (decoded + refused, Some(decoded));
    let holes = next - first - records;
    Account { records, holes, decoded, refused, dropped: 0, rows, inserted: good, rejected, filtered }
}

/// `check --verify` says the same.
fn check_proof(kafka: &Kafka, ledger: &[LedgerRow]) -> Checked {
    let mut proof = Proof::default();
    for LedgerRow { partition, entry, counts, .. } in ledger {
        proof.take(&Written {
            partition: *partition,
            seq: entry.seq,
            kind: entry.kind.as_str().to_owned(),
            first: entry.first,
            next: entry.next,
            topic_id: entry.topic_id.clone(),
            batch: entry.batch,
            instance: entry.instance.clone(),
            inserted: counts.account.inserted,
            account: Some(counts.account),
        });
    }
    let mut findings = Findings::default();
    let parts = proof.end(&mut findings);
    let marks = kafka.logs.iter().map(|(&at, log)| (at, Watermarks { low: log.low, high: log.end })).collect();
    crate::job::proof::topic::check(&parts, None, &marks, &|_| true, &mut findings);
    match findings.wrong.first() {
        None => Ok(()),
        Some(wrong) => Err(format!("the ledger cannot be proved: {wrong}")),
    }
}

fn log_begins_behind(kafka: &Kafka, row: &LedgerRow) -> bool {
    row.entry.first >= kafka.logs[&row.partition].end
}
