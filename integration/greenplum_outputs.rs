//! Several outputs of one batch, all or nothing; and what many batches leave behind in the catalog: nothing.

use gpkafka::greenplum::{Error, Mapping, Match, Mode, Output};
use gpkafka::table::{Column, Ident, TableName};

use crate::greenplum_place::{Feed, Place};
use crate::harness::{Database, full, on_each_database, own_greenplum, own_postgres, rows};

/// Rows `id|note` go into `t` as they come and into `newest` by key, those of a note `bad` into neither.
fn place(db: &Database) -> Place<'_> {
    let mut place = Place::new(db, "id int, note text");
    let schema = &place.schema;
    db.execute(&format!("CREATE TABLE {schema}.newest (\"Id\" int, note text CHECK (note <> 'wrong'))"));
    let columns = [("id", "int"), ("note", "text")];
    let column = |(name, sql_type): (&str, &str)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
    place.settings.columns = Some(columns.map(column).to_vec());
    place.settings.outputs[0].filter = Some("note <> 'seldom'".to_owned());
    let map =
        |(name, expression): (&str, &str)| Mapping { column: Ident::exact(name), expression: expression.to_owned() };
    place.settings.outputs.push(Output {
        target: TableName { schema: Ident::exact(schema), table: Ident::exact("newest") },
        mode: Mode::Merge(Match {
            match_columns: vec![Ident::exact("Id")],
            update_columns: vec![Ident::exact("note")],
            ..Match::default()
        }),
        mapping: [("Id", "id"), ("note", "upper(note)")].map(map).to_vec(),
        transformer: None,
        filter: None,
    });
    place
}

fn line(fields: &str, offset: i64) -> String {
    format!("{}\t0\t{offset}\t\\N\t0", fields.replace('|', "\t"))
}

fn newest(feed: &Feed<'_>) -> Vec<String> {
    feed.place.db.rows(&format!("SELECT * FROM {}.newest ORDER BY 1", feed.place.schema))
}

on_each_database! {
    fn one_pull_feeds_every_output(db) {
        let mut feed = Feed::new(place(db));
        assert!(!feed.load().is_filtered(), "what an output drops is counted");
        let written = feed.batch(&[line("1|a", 0), line("1|b", 1), line("2|seldom", 2)]);
        assert_eq!((written.read, written.rejected, written.inserted(), written.updated()), (3, 0, 4, 0));
        let [log, newest_rows] = written.outputs.as_slice() else { panic!("{written:?}") };
        assert_eq!((log.inserted, log.filtered, newest_rows.inserted, newest_rows.passed_over), (2, 1, 2, 1));
        assert_eq!(newest_rows.target.table.as_str(), "newest");
        assert_eq!(feed.rows(), ["1|a", "1|b"]);
        assert_eq!(newest(&feed), ["1|B", "2|SELDOM"]);
        assert!(feed.load().analyze_if_never().unwrap());
    }

    fn what_fails_in_the_second_is_in_neither(db) {
        let mut place = place(db);
        // refused by the second output's CHECK, which the first does not have
        place.settings.outputs[1].mapping[1].expression = "note".to_owned();
        let mut feed = Feed::new(place);
        feed.batch(&[line("1|a", 0)]);
        let error = feed.try_batch(&[line("2|b", 1), line("3|wrong", 2)]).unwrap_err();
        assert_eq!(error.state(), Some("23514"), "{error}");
        assert!(error.to_string().contains("inserting new rows into"), "{error}");
        assert_eq!((feed.rows(), newest(&feed)), (vec!["1|a".to_owned()], vec!["1|a".to_owned()]));
        assert_eq!(feed.place.rows_of(0).len(), 1, "nor in the ledger");
        // and the next batch finds the stage empty
        let written = feed.batch(&[line("2|b", 1)]);
        assert_eq!((written.read, newest(&feed).len()), (1, 2));
    }

    fn a_lost_session_gets_its_tables_anew(db) {
        let mut feed = Feed::new(place(db));
        feed.batch(&[line("1|a", 0)]);
        let pid = feed.load().connection().pid();
        db.value(&format!("SELECT pg_terminate_backend({pid})"));
        assert!(feed.load().begin().unwrap_err().is_passing());
        feed.reconnect();
        assert_eq!(feed.batch(&[line("2|b", 1)]).read, 1);
        assert_eq!(newest(&feed), ["1|A", "2|B"]);
    }

    fn a_change_of_any_target_is_seen(db) {
        let mut feed = Feed::new(place(db));
        feed.batch(&[line("1|a", 0)]);
        db.execute(&format!("ALTER TABLE {}.newest ALTER COLUMN note TYPE varchar(9)", feed.place.schema));
        let error = feed.try_batch(&[line("2|b", 1)]).unwrap_err();
        assert!(matches!(&error, Error::TargetChanged { table, .. } if table.contains("newest")), "{error}");
        assert_eq!(feed.rows(), ["1|a"]);
    }

    fn the_output_at_fault_is_told(db) {
        let mut place = place(db);
        place.settings.outputs[1].mapping[1].expression = "nope".to_owned();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Feed::new(place)));
        let text = failed.err().unwrap().downcast_ref::<String>().unwrap().replace("\\\"", "\"");
        assert!(text.contains("output 2 into ") && text.contains("the mapping of \"note\" (nope)"), "{text}");
    }
}

const CATALOGS: [&str; 6] = ["pg_class", "pg_attribute", "pg_depend", "pg_type", "pg_statistic", "pg_index"];

/// Rows of the catalogs on each node, and their bytes with those of their indexes, and of the tables that rows pass.
fn catalog(db: &Database) -> Vec<String> {
    let mut client = db.connect();
    let mut seen = Vec::new();
    for catalog in CATALOGS {
        let mut look =
            |sql: String| seen.extend(rows(&mut client, &sql).into_iter().map(|row| format!("{catalog} {row}")));
        look(format!("SELECT 'rows', count(*) FROM pg_catalog.{catalog}"));
        look(format!("SELECT 'bytes', pg_total_relation_size('pg_catalog.{catalog}')"));
        if db.segments() > 1 {
            let nodes = format!("gp_dist_random('pg_catalog.{catalog}')");
            look(format!("SELECT 'rows on', gp_segment_id, count(*) FROM {nodes} GROUP BY 2 ORDER BY 2"));
        }
    }
    let scratch = "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relpersistence = 't' AND relkind = 'r' AND relname ~ '^gpkafka' ORDER BY 1";
    seen.extend(rows(&mut client, scratch));
    seen
}

/// A server of its own: tests beside this one would leave their tables in the catalog.
fn expect_no_growth(db: &Database) {
    let mut feed = Feed::new(place(db));
    let mut load = |count: i64, offset: i64| {
        for batch in offset..offset + count {
            // a key of two partitions, for every statement to run
            let other = format!("{}\tother\t1\t{batch}\t5\t0", batch % 3);
            let written = feed.batch(&[line(&format!("{}|x", batch % 3), batch), line("7|y", batch), other]);
            assert_eq!((written.read, written.has_several_partitions()), (3, true));
        }
    };
    // the first ones make tables and their first pages
    load(5, 0);
    let before = catalog(db);
    assert!(before.iter().any(|line| line.starts_with("gpkafka_stage|")), "{before:?}");
    load(full(10_000), 5);
    assert_eq!(catalog(db), before);
}

#[test]
fn batches_leave_the_catalog_of_greenplum_as_it_is() {
    if let Some(db) = own_greenplum(2) {
        expect_no_growth(&db);
    }
}

#[test]
fn batches_leave_the_catalog_of_postgres_as_it_is() {
    let db = own_postgres();
    // it would write statistics meanwhile, and clear away what is to be found
    db.execute("ALTER SYSTEM SET autovacuum = off");
    db.execute("SELECT pg_reload_conf()");
    expect_no_growth(&db);
}
