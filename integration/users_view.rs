//! The ten failures that users meet most, each as they see it: the whole message, which says what is wrong with the names
//! of things, why, and what to do. `UPDATE_EXPECT=1` renews them, for somebody to read.

use expect_test::{Expect, expect};

use crate::flow::Flow;
use crate::harness::{Database, Kind, Loader, Outcome, SOON, free_port, on_each_database, unique};

/// What differs from run to run: between two phrases there then stands a plain text.
const MASKS: [(&str, &str, &str); 8] = [
    ("which has ", " topics", "14"),
    ("its id was ", ",", "pJVlNLq2TLCGjZUxxt4o8g"),
    ("now it is ", ")", "VGmj5r/6S0ef57IIi1kX/g"),
    ("already: ", " of role", "gpkafka:<job>:<loader>"),
    ("session ", " since ", "4711"),
    (" since ", ", partition", "2026-11-29 12:01:07+00"),
    ("last seen ", " ago", "0.2 s"),
    ("segment ", " could not", "1 (sdw1:6000)"),
];

/// What a user reads of an outcome that is not good, with the names of this run replaced by plain ones. Log lines come
/// without their stamps, and of them only warnings and errors.
fn view(flow: &Flow<'_>, outcome: &Outcome, more: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for line in outcome.text().lines() {
        let said = ["-[WARNING]:-", "-[ERROR]:-"].iter().find_map(|level| line.split_once(level));
        match said {
            Some((_, said)) => text.push_str(said),
            // a line of the log that tells how it goes, or of the table of batches
            None if line.contains("]:-") || !line.starts_with("gpkafka") => continue,
            None => text.push_str(line),
        }
        text.push('\n');
    }
    let db = flow.db;
    let own = [
        (flow.topic.name.as_str(), "orders"),
        (&flow.schema, "shop"),
        (&flow.topic.kafka.bootstrap, "kafka1:9092"),
        (&format!("{}:{}", db.host, db.port), "coordinator:5432"),
        (&format!("database \"{}\"", db.dbname), "database \"warehouse\""),
        (&format!("role \"{}\"", db.user), "role \"loader\""),
    ];
    let text = own.iter().chain(more).fold(text, |text, (name, plain)| text.replace(name, plain));
    MASKS.iter().fold(text, |text, mask| masked(&text, mask))
}

fn masked(text: &str, (before, behind, plain): &(&str, &str, &str)) -> String {
    let mut parts = text.split(before);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str(before);
        match part.split_once(behind).filter(|(between, _)| !between.contains(['\n', ';'])) {
            Some((_, rest)) => masked.extend([plain, behind, rest]),
            None => masked.push_str(part),
        }
    }
    masked
}

/// A job of ten records that works, to be spoilt.
fn right<'d>(db: &'d Database, name: &str) -> Flow<'d> {
    let flow = Flow::new(db, name, 1);
    flow.produce(0, 0..10);
    flow
}

/// A load of the spoilt job, which fails and says this.
fn sees(flow: &Flow<'_>, job: &str, more: &[(&str, &str)], expected: &Expect) {
    let outcome = Loader::load(job).args(["--quit-at-eof"]).run().expect_code(1);
    expected.assert_eq(&view(flow, &outcome, more));
}

fn by_kind(db: &Database, postgres: Expect, greenplum: Expect) -> Expect {
    if db.kind == Kind::Postgres { postgres } else { greenplum }
}

on_each_database! {
    fn no_broker_answers(db) {
        let flow = right(db, "silent");
        let nobody = format!("127.0.0.1:{}", free_port());
        let job = flow.job().text().replace(&flow.topic.kafka.bootstrap, &nobody);
        sees(&flow, &job, &[(&nobody, "kafka9:9092")], &expect![[r#"
            still starting: Kafka has not answered for some seconds; are all brokers up, and reached from here by the names that they advertise? `gpkafka doctor` tries each
            gpkafka: no kafka broker of kafka9:9092 answered within 20 s: kafka9:9092/bootstrap: Connect to ipv4#kafka9:9092 failed: Connection refused; check BROKERS of the job file, and that the brokers run
        "#]]);
    }

    fn the_topic_is_not_there(db) {
        let flow = right(db, "typo");
        let job = flow.job().text().replace(&format!("TOPIC: {}", flow.topic.name), &format!("TOPIC: {}x", flow.topic.name));
        sees(&flow, &job, &[], &expect![[r#"
            gpkafka: topic "ordersx" does not exist on kafka1:9092, which has 14 topics; did you mean "orders"?
        "#]]);
    }

    fn the_database_lets_nobody_in(db) {
        let flow = right(db, "login");
        sees(&flow, &flow.job().user("norole").text(), &[("norole", "lodaer")], &expect![[r#"
            gpkafka: cannot connect to the database at coordinator:5432 as role "lodaer", database "warehouse": role "lodaer" does not exist; check USER, and have pg_hba.conf of the server let this host in
        "#]]);
    }

    fn the_table_is_not_there(db) {
        let flow = right(db, "table");
        let job = flow.job().text().replace("TABLE: t\n", "TABLE: tt\n");
        sees(&flow, &job, &[], &expect![[r#"
            gpkafka: table "shop"."tt" does not exist in database "warehouse"; did you mean "t"?
        "#]]);
    }

    fn the_role_may_not_insert(db) {
        let flow = right(db, "rights");
        let role = unique("role");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("GRANT USAGE, CREATE ON SCHEMA {} TO {role}", flow.schema));
        let expected = by_kind(db, expect![[r#"
            gpkafka: role "reader" lacks INSERT on "shop"."t", pg_execute_server_program; have this run: GRANT INSERT ON "shop"."t" TO "reader"; GRANT pg_execute_server_program TO "reader"
        "#]], expect![[r#"
            gpkafka: role "reader" lacks INSERT on "shop"."t", CREATEEXTTABLE for gpfdist; have this run: GRANT INSERT ON "shop"."t" TO "reader"; ALTER ROLE "reader" CREATEEXTTABLE (type = 'readable', protocol = 'gpfdist')
        "#]]);
        sees(&flow, &flow.job().user(&role).text(), &[(&role, "reader")], &expected);
    }

    fn records_have_expired(db) {
        let flow = right(db, "expired");
        flow.load(&flow.job()).expect_code(0);
        flow.produce(0, 10..100);
        flow.topic.delete_records_before(0, 52);
        sees(&flow, &flow.job().text(), &[], &expect![[r#"
            gpkafka: 42 offsets of orders[0] expired before they were read (next wanted 10, oldest left 52); set FALLBACK_OFFSET: earliest in the file to go on from 52, or start once with --force-reset-earliest; nothing was loaded and offsets are unchanged
        "#]]);
    }

    fn the_topic_was_made_anew(db) {
        let flow = right(db, "anew");
        flow.load(&flow.job()).expect_code(0);
        flow.topic.delete();
        let _anew = flow.topic.kafka.topic_named(&flow.topic.name, 1, &[]);
        sees(&flow, &flow.job().text(), &[], &expect![[r#"
            gpkafka: topic orders was deleted and made anew since it was last loaded (its id was pJVlNLq2TLCGjZUxxt4o8g, now it is VGmj5r/6S0ef57IIi1kX/g); nothing of the new one was loaded; if BROKERS names another cluster now, set it right; else start once with --force-reset-earliest (or -latest) to accept it
        "#]]);
    }

    fn another_loader_has_the_job(db) {
        let flow = right(db, "held");
        let job = flow.job();
        let mut first = flow.loader(&job).start();
        first.wait_for_text(SOON, "gpkafka job has started");
        sees(&flow, &job.text(), &[], &expect![[r#"
            gpkafka: the job is being loaded already: gpkafka:<job>:<loader> of role "loader" from 127.0.0.1 (database session 4711 since 2026-11-29 12:01:07+00, partition 0, last seen 0.2 s ago)
        "#]]);
        first.signal("INT");
        first.wait(SOON).expect_code(0);
    }

    fn too_many_records_are_bad(db) {
        let flow = right(db, "bad");
        flow.topic.produce(0, ["x,y,,"]);
        let expected = by_kind(db, expect![[r#"
            gpkafka: batch 1 failed: orders[0]@10: the database refused row 11 of segment 0: invalid input syntax for type integer: "x" (SQLSTATE 22P02); nothing of it was inserted and no offset moved
        "#]], expect![[r#"
            rejected orders[0]@10  invalid input syntax for integer: "x", column part  row x\ty\t\N\t\N
            gpkafka: batch 1 failed: 1 of 11 records were rejected, more than ERROR_LIMIT allows (0); nothing of it was inserted and no offset moved
        "#]]);
        sees(&flow, &flow.job().text(), &[], &expected);
    }

    fn segments_cannot_reach_the_loader(db) {
        let flow = right(db, "unreached");
        let port = free_port().to_string();
        let words = ["--quit-at-eof", "--gpfdist-host", "loader.invalid", "--gpfdist-port", &port];
        let outcome = Loader::load(&flow.job().text()).args(words).run().expect_code(1);
        let expected = by_kind(db, expect![[r#"
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the program that stands for a segment failed; the reason is in the database server's log; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 1 s
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the program that stands for a segment failed; the reason is in the database server's log; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 2 s
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the program that stands for a segment failed; the reason is in the database server's log; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 4 s
            gpkafka: segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the program that stands for a segment failed; the reason is in the database server's log; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment
        "#]], expect![[r#"
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the name does not resolve there; give --gpfdist-host an address of this machine that every segment host can reach; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 1 s
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the name does not resolve there; give --gpfdist-host an address of this machine that every segment host can reach; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 2 s
            segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the name does not resolve there; give --gpfdist-host an address of this machine that every segment host can reach; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment; trying again from the ledger in 4 s
            gpkafka: segment 1 (sdw1:6000) could not read from this loader at loader.invalid:8080: the name does not resolve there; give --gpfdist-host an address of this machine that every segment host can reach; to try it from there: curl http://loader.invalid:8080/gpfdist/status; `gpkafka doctor` tries each segment
        "#]]);
        expected.assert_eq(&view(&flow, &outcome, &[(&port, "8080")]));
    }
}
