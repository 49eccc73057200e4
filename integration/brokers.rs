//! What brokers of a real cluster do: leaders die and come back, and a log is cut off below what was loaded.

use std::time::{Duration, Instant};

use crate::flow::{self, Flow};
use crate::harness::{Kafka, Outcome, Running, cluster, postgres, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// A change of leaders holds a load up no longer.
const CHANGE_MAX: Duration = Duration::from_secs(30);

fn flow<'a>(kafka: &'a Kafka, brokers: &[i32], name: &str, settings: &[(&str, &str)]) -> Flow<'a> {
    let db = postgres();
    Flow { db, topic: kafka.topic_on(brokers, name, settings), schema: flow::table(db, name), pad: 0 }
}

/// A load that has these rows.
fn loading(flow: &Flow<'_>, rows: i64) -> Running {
    let mut load = flow.loader(&flow.job().commit("MINIMAL_INTERVAL: 300")).start();
    load.wait_for_text(SOON, "gpkafka job has started");
    wait_until(SOON, "the first rows", || flow.count() >= rows);
    load
}

/// The ledger is one chain without a hole, each row of which has as many rows as offsets.
fn expect_whole_chain(flow: &Flow<'_>, next: i64) {
    let chain = flow.ledger();
    let mut end = 0;
    for row in &chain {
        let numbers: Vec<i64> = row.split('|').skip(2).map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers[0], end, "{chain:?}");
        assert_eq!(numbers[2], numbers[1] - numbers[0], "{chain:?}");
        end = numbers[1];
    }
    assert_eq!(end, next, "{chain:?}");
}

#[test]
fn leaders_that_die_and_come_back_cost_no_record() {
    const PER_SECOND: i64 = 300;
    let cluster = cluster();
    let flow = flow(&cluster.kafka, &[2, 3, 1], "leaders", &[("min.insync.replicas", "2")]);
    let topic = &flow.topic.name;
    let mut load = None;
    let ((), end) = flow.stream(0, PER_SECOND, || {
        let load = load.insert(loading(&flow, 1));
        // more than was on its way when it happened
        let mut goes_on = |what: &str| {
            let (since, then) = (Instant::now(), flow.committed());
            wait_until(CHANGE_MAX, what, || {
                assert!(!load.has_ended(), "{}", load.text());
                flow.committed() > then + 2 * PER_SECOND
            });
            assert!(since.elapsed() < CHANGE_MAX, "{what}: {:?}", since.elapsed());
        };
        cluster.wait_for_leader(topic, 2);
        cluster.kill(2);
        goes_on("commits after the death of the leader");
        let (leader, in_sync) = cluster.leader(topic);
        assert!(leader != 2 && !in_sync.contains(&2), "broker {leader} leads, {in_sync:?}");
        cluster.start(2);
        cluster.wait_for_leader(topic, 2);
        goes_on("commits after its return");
        cluster.kill(2);
        goes_on("commits after its second death");
    });
    let load = load.unwrap();
    wait_until(SOON, "all rows", || flow.committed() == end);
    load.signal("INT");
    load.wait(SOON).expect_code(0).expect_no_text("trying again from the ledger").expect_calm(&["kafka: "]);
    flow.expect(&[(0, 0..end)]);
    expect_whole_chain(&flow, end);
}

/// Topics that one outage cuts off: broker 3 is away while broker 2 takes 50 records that are loaded, then broker 2 goes
/// for good and broker 3, which lacks them, is elected.
fn cut<'a>(kafka: &'a Kafka, name: &str) -> Flow<'a> {
    let settings = [("unclean.leader.election.enable", "true"), ("min.insync.replicas", "1")];
    let flow = flow(kafka, &[2, 3], name, &settings);
    flow.produce(0, 0..100);
    flow
}

/// The load has ended, says `how` and how many, and nothing came after what was loaded before.
fn expect_told(flow: &Flow<'_>, outcome: Outcome, how: &str) {
    let told =
        format!("{how} at offset 100, before the stored offset 150: 50 offsets that were loaded are gone from it");
    outcome.expect_code(1).expect_text(&told.replace("$TOPIC", &flow.topic.name)).expect_no_text("panicked");
    flow.expect(&[(0, 0..150)]);
    expect_whole_chain(flow, 150);
}

const SHORTER: &str = "$TOPIC[0] ends";
const REWRITTEN: &str = "the log of $TOPIC[0] was cut off";

#[test]
fn a_log_that_an_unclean_election_cuts_off_ends_the_load() {
    let cluster = cluster();
    let [running, stopped, shorter, rewritten] =
        ["running", "stopped", "shorter", "rewritten"].map(|name| cut(&cluster.kafka, name));
    let flows = [&running, &stopped, &shorter, &rewritten];
    cluster.kill(3);
    for flow in flows {
        wait_until(SOON, "the leader to be alone", || cluster.leader(&flow.topic.name) == (2, vec![2]));
        flow.produce(0, 100..150);
    }
    let runs = loading(&running, 150);
    let stops = loading(&stopped, 150);
    for flow in [&shorter, &rewritten] {
        flow.load(&flow.job()).expect_code(0).expect_text("Inserted 150 rows");
    }
    stops.signal("STOP");
    cluster.kill(2);
    cluster.start(3);
    for flow in flows {
        cluster.wait_for_leader(&flow.topic.name, 3);
        assert_eq!(flow.topic.watermarks(0), (0, 100));
    }
    // others, up to where loading is to go on and past it
    let then = jiff::Timestamp::now().as_millisecond().to_string();
    for flow in [&stopped, &rewritten] {
        flow.produce(0, 1000..1100);
    }
    stops.signal("CONT");
    let outcome = runs.wait(SOON);
    let how = if outcome.text().contains("was cut off") { REWRITTEN } else { SHORTER };
    expect_told(&running, outcome, how);
    expect_told(&stopped, stops.wait(SOON), REWRITTEN);
    expect_told(&shorter, shorter.load(&shorter.job()), SHORTER);
    expect_told(&rewritten, rewritten.load(&rewritten.job()), REWRITTEN);

    let accept = |flow: &Flow<'_>, flags: &[&str]| {
        flow.loader(&flow.job()).args(["--quit-at-eof"]).args(flags.iter().copied()).run().expect_code(0)
    };
    accept(&rewritten, &["--force-reset-timestamp", &then]).expect_text("Inserted 100 rows");
    assert_eq!(rewritten.ledger()[1..], ["0|reset|150|100|0", "0|load|100|200|100"]);
    accept(&shorter, &["--force-reset-latest"]).expect_text("Inserted 0 rows");
    shorter.produce(0, 150..160);
    accept(&shorter, &[]).expect_text("Inserted 10 rows").expect_calm(&["kafka: "]);
    shorter.expect(&[(0, 0..160)]);
}
