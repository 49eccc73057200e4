//! From a seed that fails to the least that fails: a smaller topic, fewer faults; then its log, one line a step.

use std::fmt::Write as _;

use super::{Plan, Ran, Size};

/// Runs that may be spent on it.
const RUNS_MAX: usize = 400;

/// The smallest plan that was found to fail, with what it fails by.
pub fn shrunk(plan: Plan, failed: Ran) -> (Plan, Ran) {
    let mut best = (Plan { only: Some(failed.struck.clone()), ..plan }, failed);
    let mut runs = 0;
    let mut is_smaller = true;
    while is_smaller && runs < RUNS_MAX {
        is_smaller = false;
        for candidate in smaller(&best.0) {
            runs += 1;
            let ran = super::run(&candidate);
            if ran.outcome.is_err() && runs <= RUNS_MAX {
                // what was allowed and did not strike is dropped with it
                best = (Plan { only: Some(ran.struck.clone()), ..candidate }, ran);
                is_smaller = true;
                break;
            }
        }
    }
    best
}

/// The large cuts first.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let Size { partitions, segments, records, steps } = plan.size;
    let sizes = [
        Size { partitions: 1, ..plan.size },
        Size { segments: 1, ..plan.size },
        Size { records: (records / 2).max(1), ..plan.size },
        Size { steps: steps / 2, ..plan.size },
        Size { partitions: (partitions - 1).max(1), segments: (segments - 1).max(1), ..plan.size },
    ];
    let sizes = sizes.into_iter().filter(|size| *size != plan.size).map(|size| Plan { size, ..plan.clone() });
    let only: Vec<_> = plan.only.iter().flatten().copied().collect();
    let halves = only.chunks(only.len().div_ceil(2).max(1)).filter(|half| half.len() < only.len());
    let halves = halves.map(|half| Plan { only: Some(half.iter().copied().collect()), ..plan.clone() });
    let without = (0..only.len()).map(|at| {
        let rest = only.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, strike)| *strike);
        Plan { only: Some(rest.collect()), ..plan.clone() }
    });
    sizes.chain(halves).chain(without).collect()
}

/// What somebody needs who is to understand it.
pub fn report(plan: Plan, failed: Ran) -> String {
    let first = failed.outcome.clone().err().unwrap_or_default();
    let seed = plan.seed;
    let (least, ran) = shrunk(plan, failed);
    let mut text = format!("seed {seed}: {first}\nreplay it: GPKAFKA_SIM_SEED={seed}\n");
    let told = super::run(&Plan { is_told: true, ..least.clone() });
    let faults: Vec<String> = ran.struck.iter().map(ToString::to_string).collect();
    writeln!(text, "the least that fails: {:?} with faults [{}]", least.size, faults.join(", ")).unwrap();
    for line in told.log {
        writeln!(text, "{line}").unwrap();
    }
    writeln!(text, "{}", told.outcome.err().unwrap_or_default()).unwrap();
    text
}
