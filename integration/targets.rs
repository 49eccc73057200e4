//! What targets do to a load: they change their columns, are locked, refuse rows, or belong to somebody else.

use std::time::Duration;

use crate::flow::Flow;
use crate::harness::{Job, Outcome, Running, on_each_database, poll, unique, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// A load that has committed 100 rows and waits for more.
fn waiting(flow: &Flow<'_>) -> (Job, Running) {
    flow.produce(0, 0..100);
    let job = flow.job().commit("MINIMAL_INTERVAL: 500");
    let mut load = flow.loader(&job).start();
    wait_until(SOON, "rows to be committed", || {
        assert!(!load.has_ended(), "{}", load.text());
        flow.count() == 100
    });
    (job, load)
}

/// What a load that waits says of a change once more rows come: it ends, and nothing of them is loaded.
fn refused(flow: &Flow<'_>, change: &str) -> Outcome {
    let (_, load) = waiting(flow);
    flow.db.execute(&change.replace("$T", &format!("{}.t", flow.schema)));
    flow.produce(0, 100..200);
    let outcome = load.wait(SOON).expect_code(1).expect_no_text("panicked");
    assert_eq!(flow.ledger(), ["0|load|0|100|100"]);
    outcome
}

on_each_database! {
    fn a_column_more_is_no_matter(db) {
        let flow = Flow::new(db, "more", 1);
        let (_, mut load) = waiting(&flow);
        db.execute(&format!("ALTER TABLE {}.t ADD COLUMN more int DEFAULT 7", flow.schema));
        flow.produce(0, 100..200);
        wait_until(SOON, "more rows", || {
            assert!(!load.has_ended(), "{}", load.text());
            flow.count() == 200
        });
        load.signal("INT");
        load.wait(SOON).expect_code(0);
        flow.expect(&[(0, 0..200)]);
    }

    /// Values go where their names are, not where their columns once stood.
    fn names_that_were_swapped_are_followed(db) {
        let flow = Flow::new(db, "swapped", 1);
        let (_, mut load) = waiting(&flow);
        let table = format!("ALTER TABLE {}.t RENAME COLUMN", flow.schema);
        db.execute(&format!("{table} pad TO between; {table} hash TO pad; {table} between TO hash"));
        flow.produce(0, 100..200);
        wait_until(SOON, "more rows", || {
            assert!(!load.has_ended(), "{}", load.text());
            flow.count() == 200
        });
        load.signal("INT");
        load.wait(SOON).expect_code(0);
        let found = format!("SELECT count(*) FROM {}.t WHERE hash = md5(part || ',' || seq)", flow.schema);
        assert_eq!(db.number(&found), 100);
    }

    fn a_column_that_is_gone_ends_the_load(db) {
        let flow = Flow::new(db, "gone", 1);
        refused(&flow, "ALTER TABLE $T DROP COLUMN pad").expect_text("\"pad\"").expect_text("does not exist");
        assert_eq!(flow.count(), 100);
    }

    fn a_column_of_another_name_ends_the_load(db) {
        let flow = Flow::new(db, "renamed", 1);
        refused(&flow, "ALTER TABLE $T RENAME COLUMN pad TO padding").expect_text("\"pad\"");
        assert_eq!(flow.count(), 100);
    }

    fn a_column_of_another_type_ends_the_load(db) {
        let flow = Flow::new(db, "retyped", 1);
        let outcome = refused(&flow, "ALTER TABLE $T ALTER COLUMN pad TYPE varchar(7)");
        outcome.expect_text("column \"pad\" was text and is character varying(7)").expect_text("start again");
        assert_eq!(flow.count(), 100);
        flow.load(&flow.job()).expect_code(0);
        flow.expect(&[(0, 0..200)]);
    }

    fn a_table_that_is_gone_ends_the_load(db) {
        let flow = Flow::new(db, "dropped", 1);
        refused(&flow, "DROP TABLE $T").expect_text("does not exist");
    }

    fn a_row_that_the_table_refuses_fails_the_batch(db) {
        let flow = Flow::new(db, "refuses", 1);
        let outcome = refused(&flow, "ALTER TABLE $T ADD CONSTRAINT small CHECK (seq < 150)");
        outcome.expect_text("\"small\"").expect_text("23514");
        assert_eq!(flow.count(), 100);
    }

    fn a_lock_is_waited_for(db) {
        let flow = Flow::new(db, "held", 1);
        flow.produce(0, 0..100);
        let mut other = db.connect();
        let hold = format!("BEGIN; LOCK TABLE {}.t IN ACCESS EXCLUSIVE MODE", flow.schema);
        // at the start, where it is explained, and in a running load
        other.batch_execute(&hold).unwrap();
        let job = flow.job().commit("MINIMAL_INTERVAL: 500");
        let mut load = flow.loader(&job).start();
        assert!(poll(Duration::from_secs(3), || load.has_ended().then_some(())).is_none(), "{}", load.text());
        other.batch_execute("ROLLBACK").unwrap();
        wait_until(SOON, "the first rows", || flow.count() == 100);
        other.batch_execute(&hold).unwrap();
        flow.produce(0, 100..200);
        assert!(poll(Duration::from_secs(3), || load.has_ended().then_some(())).is_none(), "{}", load.text());
        other.batch_execute("ROLLBACK").unwrap();
        wait_until(SOON, "the other rows", || flow.count() == 200);
        load.signal("INT");
        load.wait(SOON).expect_code(0).expect_no_text("WARNING");
        flow.expect(&[(0, 0..200)]);
    }

    /// Every missing right is named, with the statement that grants it; and with these statements it loads.
    fn missing_rights_are_named_with_what_grants_them(db) {
        let flow = Flow::new(db, "rights", 1);
        flow.produce(0, 0..100);
        let role = unique("etl");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        let job = flow.job().user(&role);
        let mut granted = String::new();
        let mut outcome = flow.load(&job);
        while outcome.code != 0 {
            let text = outcome.expect_code(1).expect_text(&format!("role \"{role}\" lacks ")).text();
            let (_, statements) = text.lines().last().unwrap().split_once("; have this run: ").expect(&text);
            assert!(!granted.contains(statements), "{statements} was not enough: {text}");
            granted += &format!("{statements};\n");
            db.execute(statements);
            outcome = flow.load(&job);
        }
        flow.expect(&[(0, 0..100)]);
        for part in ["GRANT INSERT ON", "CREATE ON SCHEMA"] {
            assert!(granted.contains(part), "{granted}");
        }
        assert!(granted.lines().count() <= 3, "{granted}");
    }
}
