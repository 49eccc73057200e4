//! What topics do while nobody looks: they grow, expire, are made anew, hold transactions, lose their broker. The load
//! goes on exactly, or says why it cannot.

use std::time::{Duration, Instant};

use crate::flow::Flow;
use crate::harness::{Kafka, Outcome, Running, Version, kafka, on_each_database, poll, postgres, wait_until};

const SOON: Duration = Duration::from_secs(60);

fn start(flow: &Flow<'_>, job: &crate::harness::Job) -> Running {
    let mut load = flow.loader(job).start();
    load.wait_for_text(SOON, "gpkafka job has started");
    load
}

fn wait_for_rows(flow: &Flow<'_>, load: &mut Running, rows: i64) {
    wait_until(SOON, "rows to be committed", || {
        assert!(!load.has_ended(), "{}", load.text());
        flow.count() >= rows
    });
}

fn stop(load: Running) -> Outcome {
    load.signal("INT");
    load.wait(SOON).expect_code(0)
}

on_each_database! {
    fn new_partitions_are_found_and_read_from_their_beginning(db) {
        let flow = Flow::new(db, "grows", 1);
        flow.produce(0, 0..100);
        let job = flow.job().commit("MINIMAL_INTERVAL: 500");
        let mut load = start(&flow, &job);
        wait_for_rows(&flow, &mut load, 100);
        flow.topic.grow_to(3);
        let grown = Instant::now();
        flow.produce(1, 0..50);
        flow.produce(2, 0..70);
        flow.produce(0, 100..200);
        wait_for_rows(&flow, &mut load, 320);
        assert!(grown.elapsed() < Duration::from_secs(30), "it took {:?}", grown.elapsed());
        stop(load);
        flow.expect(&[(0, 0..200), (1, 0..50), (2, 0..70)]);
        flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");
    }

    fn partitions_that_are_named_before_they_are_there_are_told_and_read_later(db) {
        let flow = Flow::new(db, "named", 2);
        flow.produce(0, 0..10);
        flow.produce(1, 0..20);
        let job = flow.job().source("PARTITIONS: (1...3, 9)").commit("MINIMAL_INTERVAL: 500");
        let told = format!("PARTITIONS names (2...3, 9), and topic {} has 2 partitions", flow.topic.name);
        let outcome = flow.load(&job).expect_code(0).expect_text("Inserted 20 rows").expect_calm(&[&told]);
        outcome.expect_text(&format!("WARNING]:-{told}: these are not there, and are read by the first load"));
        let mut load = start(&flow, &job);
        flow.topic.grow_to(4);
        flow.produce(2, 0..30);
        flow.produce(3, 0..40);
        wait_for_rows(&flow, &mut load, 90);
        let outcome = stop(load).expect_calm(&[&told]).expect_text("these are not there, and are read when they appear");
        assert_eq!(outcome.text().matches(&told).count(), 1, "{}", outcome.text());
        flow.expect(&[(1, 0..20), (2, 0..30), (3, 0..40)]);
        flow.topic.grow_to(10);
        flow.load(&job).expect_code(0).expect_text("Inserted 0 rows").expect_calm(&[]);
    }

    fn what_expired_before_a_start_is_counted(db) {
        let flow = Flow::new(db, "expired", 2);
        flow.produce(0, 0..100);
        flow.produce(1, 0..100);
        let job = flow.job();
        flow.load(&job).expect_code(0);
        flow.produce(0, 100..200);
        flow.produce(1, 100..150);
        flow.topic.delete_records_before(0, 142);
        let told = format!("42 offsets of {}[0] expired before they were read (next wanted 100, oldest left 142)", flow.topic.name);
        let outcome = flow.load(&job).expect_code(1).expect_text(&told);
        outcome.expect_text("set FALLBACK_OFFSET: earliest").expect_text("offsets are unchanged").expect_no_text("Inserted ");
        flow.expect(&[(0, 0..100), (1, 0..100)]);
        assert_eq!(flow.ledger(), ["0|load|0|100|100", "1|load|0|100|100"]);

        let outcome = flow.load(&job.clone().source("FALLBACK_OFFSET: earliest")).expect_code(0);
        let told = format!("WARNING]:-42 offsets of {}[0] are skipped", flow.topic.name);
        outcome.expect_text(&told).expect_text("Inserted 108 rows");
        let chain = flow.ledger();
        assert_eq!(chain[..3], ["0|load|0|100|100", "0|skip|100|142|0", "0|load|142|200|58"]);
        flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");

        flow.produce(0, 200..300);
        flow.topic.delete_records_before(0, 250);
        let job = job.source("FALLBACK_OFFSET: latest");
        let outcome = flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");
        outcome.expect_text(&format!("WARNING]:-100 offsets of {}[0] are skipped", flow.topic.name));
        assert_eq!(flow.ledger()[3], "0|skip|200|300|0");
        flow.produce(0, 300..310);
        flow.load(&job).expect_code(0).expect_text("Inserted 10 rows").expect_no_text("WARNING");
    }

    fn what_expires_while_running_is_counted(db) {
        for fallback in [None, Some("FALLBACK_OFFSET: earliest")] {
            let flow = Flow::new(db, "expires", 1);
            flow.produce(0, 0..100);
            let job = flow.job().commit("MINIMAL_INTERVAL: 500");
            let job = fallback.map_or_else(|| job.clone(), |line| job.clone().source(line));
            let mut load = start(&flow, &job);
            wait_for_rows(&flow, &mut load, 100);
            // The request that it has sent waits at the broker for 100 ms, and a record that comes meanwhile is in its
            // answer: stopped for longer, it has asked for nothing, and what it asks for next is gone.
            load.signal("STOP");
            assert!(poll(Duration::from_secs(1), || load.has_ended().then_some(())).is_none(), "{}", load.text());
            flow.produce(0, 100..2000);
            flow.topic.delete_records_before(0, 1900);
            flow.produce(0, 2000..2010);
            load.signal("CONT");
            let outcome = match fallback {
                None => load.wait(SOON).expect_code(1),
                Some(_) => {
                    wait_until(SOON, "the newest rows", || {
                        assert!(!load.has_ended(), "{}", load.text());
                        flow.ledger().last().is_some_and(|last| last.contains("|2010|"))
                    });
                    stop(load)
                }
            };
            let chain = flow.ledger();
            let before: i64 = chain.iter().take_while(|row| row.contains("|load|")).count().try_into().unwrap();
            let wanted: i64 = chain[usize::try_from(before).unwrap() - 1].split('|').nth(3).unwrap().parse().unwrap();
            let lost = 1900 - wanted;
            assert!(lost > 0, "{chain:?}");
            let told = match fallback {
                None => format!("{lost} offsets of {}[0] expired before they were read", flow.topic.name),
                Some(_) => format!("WARNING]:-{lost} offsets of {}[0] are skipped", flow.topic.name),
            };
            outcome.expect_text(&told);
            let rows = wanted + if fallback.is_some() { 110 } else { 0 };
            assert_eq!(flow.count(), rows, "{chain:?}");
        }
    }

    fn a_topic_made_anew_is_another_topic(db) {
        let flow = Flow::new(db, "anew", 1);
        flow.produce(0, 0..100);
        let job = flow.job();
        flow.load(&job).expect_code(0);
        flow.topic.delete();
        let _anew = flow.topic.kafka.topic_named(&flow.topic.name, 1, &[]);
        flow.produce(0, 100..250);
        let told = format!("topic {} was deleted and made anew", flow.topic.name);
        flow.load(&job).expect_code(1).expect_text(&told).expect_text("--force-reset-earliest");
        flow.expect(&[(0, 0..100)]);
        let reset = flow.loader(&job).args(["--quit-at-eof", "--force-reset-earliest"]);
        reset.run().expect_code(0).expect_text("Inserted 150 rows");
        flow.expect(&[(0, 0..250)]);
        assert_eq!(flow.ledger(), ["0|load|0|100|100", "0|reset|100|0|0", "0|load|0|150|150"]);
        flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");
    }

    /// As many records again, so that the old position exists in the new topic too.
    fn a_topic_made_anew_while_running_ends_the_load(db) {
        let flow = Flow::new(db, "renewed", 1);
        flow.produce(0, 0..100);
        let job = flow.job().commit("MINIMAL_INTERVAL: 500");
        let mut load = start(&flow, &job);
        wait_for_rows(&flow, &mut load, 100);
        flow.topic.delete();
        let _anew = flow.topic.kafka.topic_named(&flow.topic.name, 1, &[]);
        flow.produce(0, 1000..1200);
        let outcome = load.wait(SOON).expect_code(1);
        outcome.expect_text(&format!("topic {} was deleted and made anew", flow.topic.name));
        flow.expect(&[(0, 0..100)]);
    }

    fn aborted_records_are_not_loaded_and_open_ones_are_waited_for(db) {
        let flow = Flow::new(db, "transactions", 1);
        let send = |producer: &crate::harness::Producer, sequences: std::ops::Range<i64>| {
            for sequence in sequences {
                producer.send(&flow.topic.name, 0, None, Some(flow.record(0, sequence).as_bytes()));
            }
        };
        let producer = kafka(Version::V4_1_1).transactional_producer();
        producer.begin();
        send(&producer, 0..10);
        producer.commit();
        producer.begin();
        send(&producer, 500..600);
        producer.abort();
        producer.begin();
        send(&producer, 10..20);
        producer.flush();
        let job = flow.job();
        // 11 offsets of the first transaction, 101 of the second
        flow.load(&job).expect_code(0).expect_text("Inserted 10 rows");
        assert_eq!(flow.ledger(), ["0|load|0|112|10"]);
        producer.commit();
        flow.produce(0, 20..30);
        flow.load(&job).expect_code(0).expect_text("Inserted 20 rows");
        flow.expect(&[(0, 0..30)]);
        assert_eq!(flow.ledger()[1], "0|load|112|133|20");
        // nothing but an abort behind the last record
        producer.begin();
        send(&producer, 700..710);
        producer.abort();
        flow.load(&job).expect_code(0).expect_text("Inserted 0 rows");
        assert_eq!(flow.ledger()[2], "0|load|133|144|0");
        // the epoch is known where a record stands before the end, not where a marker does
        let sql = format!("SELECT leader_epoch FROM {}.gpkafka_ledger ORDER BY seq", flow.schema);
        assert_eq!(flow.db.rows(&sql), ["\\N", "0", "\\N"]);
    }

    fn an_offset_above_the_end_is_refused(db) {
        let flow = Flow::new(db, "short", 1);
        flow.produce(0, 0..10);
        let job = flow.job();
        flow.load(&job).expect_code(0);
        db.execute(&format!("UPDATE {}.gpkafka_ledger SET next = 1000", flow.schema));
        let told = format!("{}[0] ends at offset 10, before the stored offset 1000", flow.topic.name);
        flow.load(&job).expect_code(1).expect_text(&told);
        flow.expect(&[(0, 0..10)]);
    }

    fn a_reset_is_committed_before_anything_is_read(db) {
        let flow = Flow::new(db, "reset", 2);
        flow.produce(0, 0..100);
        let job = flow.job();
        let mut load = flow.loader(&job).args(["--force-reset-latest"]).start();
        load.wait_for_text(SOON, "gpkafka job has started");
        load.kill();
        assert_eq!(flow.ledger(), ["0|reset|100|100|0", "1|reset|0|0|0"]);
        flow.produce(0, 100..110);
        flow.produce(1, 0..5);
        flow.load(&job).expect_code(0).expect_text("Inserted 15 rows");
        flow.expect(&[(0, 100..110), (1, 0..5)]);
        let load = flow.loader(&job).args(["--force-reset-earliest", "--quit-at-eof"]).run();
        load.expect_code(0).expect_text("Inserted 115 rows");
    }

    fn a_reset_to_a_time_begins_with_its_first_record(db) {
        let flow = Flow::new(db, "time", 2);
        flow.produce(0, 0..100);
        flow.produce(1, 0..10);
        let then = jiff::Timestamp::now().as_millisecond() + 2;
        wait_until(SOON, "the clock to move on", || jiff::Timestamp::now().as_millisecond() > then);
        flow.produce(0, 100..130);
        let job = flow.job();
        let time = then.to_string();
        let load = flow.loader(&job).args(["--quit-at-eof", "--force-reset-timestamp", &time]).run();
        load.expect_code(0).expect_text("Inserted 30 rows");
        flow.expect(&[(0, 100..130)]);
        // nothing in partition 1 is as new as that: its end
        assert_eq!(flow.ledger(), ["0|reset|100|100|0", "0|load|100|130|30", "1|reset|10|10|0"]);
        flow.produce(1, 10..20);
        flow.load(&job).expect_code(0).expect_text("Inserted 10 rows");
    }

    fn a_killed_broker_comes_back_and_the_load_goes_on(db) {
        /// Longer than librdkafka's patience with a connection.
        const GONE: Duration = Duration::from_secs(8);
        let mut broker = Kafka::start(Version::V4_1_1);
        let flow = Flow::on(&broker, db, "outage", 2);
        flow.produce(0, 0..5000);
        let (schema, topic) = (flow.schema, flow.topic.name);
        let job = Flow::resume(&broker, db, &schema, &topic).job().commit("MINIMAL_INTERVAL: 1000");
        let mut load = start(&Flow::resume(&broker, db, &schema, &topic), &job);
        wait_for_rows(&Flow::resume(&broker, db, &schema, &topic), &mut load, 5000);
        Flow::resume(&broker, db, &schema, &topic).produce(1, 0..5000);
        broker.kill();
        let gone = Instant::now();
        wait_until(2 * GONE, "the outage to be over", || gone.elapsed() >= GONE);
        assert!(!load.has_ended(), "{}", load.text());
        broker.start_server();
        let flow = Flow::resume(&broker, db, &schema, &topic);
        flow.produce(0, 5000..6000);
        // what was acknowledged before the crash is there, with one broker and no fsync too
        wait_for_rows(&flow, &mut load, 11_000);
        let outcome = stop(load);
        flow.expect(&[(0, 0..6000), (1, 0..5000)]);
        outcome.expect_text("going on when it passes").expect_no_text("trying again from the ledger");
    }
}

/// The chain holds who the topic was from its first row on, where the brokers know.
#[test]
fn the_ledger_knows_topic_and_leader() {
    for (version, identity) in [(Version::V4_1_1, "22|0"), (Version::V0_10_0_1, "\\N|\\N")] {
        let flow = Flow::on(kafka(version), postgres(), "identity", 1);
        flow.produce(0, 0..10);
        flow.load(&flow.job()).expect_code(0);
        let sql = format!("SELECT length(topic_id), leader_epoch FROM {}.gpkafka_ledger", flow.schema);
        assert_eq!(flow.db.rows(&sql), [identity]);
    }
}

/// librdkafka passes over what is damaged and goes on behind it; the load does not.
#[test]
fn bytes_that_a_disk_has_changed_end_the_load() {
    let flow = Flow::new(postgres(), "damaged", 1);
    flow.produce(0, 0..10);
    flow.load(&flow.job()).expect_code(0);
    flow.produce(0, 10..11);
    flow.produce(0, 11..20);
    flow.topic.kafka.damage(&flow.topic.name, 0, &flow.record(0, 10), &flow.record(0, 99));
    let told = format!("reading {}[0] failed: MessageSet at offset 10", flow.topic.name);
    flow.load(&flow.job()).expect_code(1).expect_text(&told).expect_text("Inserted 0 rows");
    flow.expect(&[(0, 0..10)]);
    assert_eq!(flow.ledger(), ["0|load|0|10|10"]);
}
