//! Each rule taken out once: some seed must fail, or nobody would miss the rule.

use super::world::Rule;
use super::{Plan, Ran, run, shrink};

/// Seeds in which a rule must be missed.
const SEEDS: u64 = 5000;

/// The first seed that fails without a rule.
fn missed(rule: Rule) -> (Plan, Ran) {
    let plans = (1..=SEEDS).map(|seed| Plan { without: Some(rule), ..Plan::new(seed) });
    let mut ran = plans.map(|plan| (run(&plan), plan)).map(|(ran, plan)| (plan, ran));
    ran.find(|(_, ran)| ran.outcome.is_err()).unwrap_or_else(|| panic!("nobody misses {rule:?}"))
}

/// Words of the complaint, so that it is missed for what it is there for.
fn is_missed(rule: Rule, words: &[&str]) {
    let (plan, ran) = missed(rule);
    let complaint = ran.outcome.unwrap_err();
    let is_its_own = words.iter().any(|words| complaint.contains(words));
    assert!(is_its_own, "without {rule:?}, seed {}: {complaint}", plan.seed);
}

#[test]
fn the_unique_key() {
    is_missed(Rule::UniqueKey, &["would follow"]);
}

#[test]
fn the_check_of_the_row_before() {
    is_missed(Rule::ChainCheck, &["would follow"]);
}

#[test]
fn the_check_of_a_first_row() {
    is_missed(Rule::FirstRow, &["would follow"]);
}

#[test]
fn the_row_check() {
    is_missed(Rule::RowCheck, &["0 times", "tells of"]);
}

#[test]
fn the_second_get() {
    is_missed(Rule::SecondGet, &["0 times"]);
}

#[test]
fn the_end_only_when_sealed() {
    is_missed(Rule::SealedEnd, &["nothing had happened"]);
}

#[test]
fn the_generation_of_a_block() {
    is_missed(Rule::Generation, &["mistake", "is done, and"]);
}

#[test]
fn the_transaction_that_may_read() {
    is_missed(Rule::Xid, &["stranger", "nothing had happened"]);
}

#[test]
fn the_chain_that_settles_a_doubt() {
    is_missed(Rule::Doubt, &["tells of"]);
}

#[test]
fn the_doubt_that_others_have_followed() {
    is_missed(Rule::FollowedDoubt, &["tells of"]);
}

#[test]
fn the_end_of_the_session_in_doubt() {
    is_missed(Rule::EndEarlier, &["tells of", "nothing had happened"]);
}

#[test]
fn a_failure_shrinks_to_what_it_needs() {
    let (plan, ran) = missed(Rule::UniqueKey);
    let faults = ran.struck.len();
    let (least, ran) = shrink::shrunk(plan, ran);
    assert!(ran.outcome.is_err() && run(&least).outcome.is_err(), "the least plan fails again");
    assert!(ran.struck.len() < faults && ran.struck.len() <= 6, "{:?} of {faults}", ran.struck);
    let report = shrink::report(least, ran);
    assert!(report.contains("GPKAFKA_SIM_SEED=") && report.contains("commits batch"), "{report}");
}
