//! Every fault at every point of a load, each in a run of its own: none of it may cost or double a row.
//!
//! A quick selection runs with the other tests; `integration/kill-matrix` runs all of it, and writes the table.

mod cells;
mod run;
mod table;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Database, greenplum, on_each_database};
use cells::{Fault, POINTS, Point};
use run::{Found, run};
use table::{Came, Results};

/// Runs beside each other.
const SIDE_BY_SIDE: usize = 6;

on_each_database! {
    fn one_fault_at_each_point_costs_no_row(db) {
        // another one at each point
        let cells: Vec<_> = POINTS.iter().enumerate().map(|(at, point)| (point, Fault::ALL[at % Fault::ALL.len()])).collect();
        let failed: Vec<String> = side_by_side(&cells, 1, |(point, fault)| {
            let found = run(db, point, *fault, 1);
            match found {
                None | Some(Found { lost: 0, doubled: 0, .. }) => None,
                Some(found) => Some(format!("{}, {}: {found:?}", point.words, fault.name())),
            }
        });
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

/// All of it: `GPKAFKA_MATRIX_SEEDS` runs of each cell, results appended to `GPKAFKA_MATRIX_RESULTS`;
/// of those cells alone whose names hold `GPKAFKA_MATRIX_ONLY`.
#[test]
#[ignore = "an hour: integration/kill-matrix"]
fn the_whole_matrix() {
    let db = greenplum(2).expect("the matrix wants a Greenplum");
    let seeds: u32 = std::env::var("GPKAFKA_MATRIX_SEEDS").map_or(5, |seeds| seeds.parse().expect("a number of runs"));
    let path = std::env::var("GPKAFKA_MATRIX_RESULTS").unwrap_or_else(|_| "target/kill-matrix.tsv".to_owned());
    let only = std::env::var("GPKAFKA_MATRIX_ONLY").unwrap_or_default();
    let results = Results::open(path.as_ref());
    let all =
        (0..seeds).flat_map(|seed| POINTS.iter().flat_map(move |point| Fault::ALL.map(|fault| (point, fault, seed))));
    let missing: Vec<(&Point, Fault, u32)> = all
        .filter(|(point, fault, seed)| !results.has(point, *fault, *seed))
        .filter(|(point, fault, _)| format!("{}, {}", point.words, fault.name()).contains(&only))
        .collect();
    println!("{} runs are missing", missing.len());
    let failed = side_by_side(&missing, SIDE_BY_SIDE, |(point, fault, seed)| {
        let came = watched(db, point, *fault, *seed);
        let is_good =
            !matches!(&came, Came::Failed(_)) && !matches!(&came, Came::Ran(found) if found.lost + found.doubled != 0);
        results.add(point, *fault, *seed, &came);
        (!is_good).then(|| format!("{}, {}, seed {seed}: {came:?}", point.words, fault.name()))
    });
    print!("{}", results.table());
    assert!(failed.is_empty(), "{failed:#?}");
}

fn watched(db: &Database, point: &Point, fault: Fault, seed: u32) -> Came {
    match catch_unwind(AssertUnwindSafe(|| run(db, point, fault, seed))) {
        Ok(None) => Came::NotApplicable,
        Ok(Some(found)) => Came::Ran(found),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Came::Failed(text.unwrap_or_default())
        }
    }
}

/// What some of them answered; each at once with the others, so many at a time.
fn side_by_side<T: Sync, R: Send>(all: &[T], threads: usize, body: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        while let Some(one) = all.get(next.fetch_add(1, Ordering::SeqCst)) {
            answers.extend(body(one));
        }
        answers
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a run tells what goes wrong")).collect()
    })
}
