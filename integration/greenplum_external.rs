//! External tables, against real servers: made once, reused while they are what they say, swept when they are not needed.

use std::path::Path;

use gpkafka::greenplum::{Connection, Definition, Error, ExternalTable, Partitions};
use gpkafka::table::{Column, Ident};

use crate::greenplum_place::{Place, Script};
use crate::harness::on_each_database;

on_each_database! {
    fn a_table_is_made_once_and_its_token_read_back(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let definition = definition(&place, script.path().as_path());
        let first = ensure(&place, &definition);
        assert!(!first.is_reused && !first.is_remade);
        let prefix = format!("/v1/{}/all/", place.job.hash());
        assert_eq!(first.path.strip_prefix(&prefix).map(str::len), Some(32), "{}", first.path);
        assert!(first.name.table.as_str().starts_with("gpkafkaloadext_"));
        let again = ensure(&place, &definition);
        assert_eq!(again, ExternalTable { is_reused: true, ..first });
    }

    fn four_at_once_make_one(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let definition = definition(&place, script.path().as_path());
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..4).map(|_| scope.spawn(|| ensure(&place, &definition))).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|table| table.path == made[0].path && table.dropped.is_empty()), "{made:?}");
        assert_eq!(made.iter().filter(|table| !table.is_reused).count(), 1);
    }

    fn one_that_was_altered_is_made_anew(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let definition = definition(&place, script.path().as_path());
        let first = ensure(&place, &definition);
        let alter = if db.segments() > 1 { "ALTER EXTERNAL TABLE" } else { "ALTER TABLE" };
        db.execute(&format!("{alter} {} ADD COLUMN more int", first.name));
        let again = ensure(&place, &definition);
        assert!(again.is_remade && !again.is_reused && again.path != first.path && again.name == first.name);
    }

    fn a_relation_that_is_none_of_ours_stays(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let definition = definition(&place, script.path().as_path());
        let made = ensure(&place, &definition);
        let drop = if db.segments() > 1 { "DROP EXTERNAL TABLE" } else { "DROP TABLE" };
        let cascade = if db.segments() > 1 { "" } else { " CASCADE" };
        db.execute(&format!("{drop} {}{cascade}", made.name));
        db.execute(&format!("CREATE TABLE {} (precious int)", made.name));
        let error = ExternalTable::ensure(&mut place.connect(), &definition).unwrap_err();
        assert!(matches!(error, Error::External { .. }), "{error}");
    }

    fn earlier_ones_go_when_all_their_partitions_are_held(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let of = |partitions: Partitions, port| {
            Definition { partitions, port, ..definition(&place, script.path().as_path()) }
        };
        let only = |partitions: &[i32]| Partitions::Only(partitions.iter().copied().collect());
        let low = ensure(&place, &of(only(&[0, 1]), 9001));
        let high = ensure(&place, &of(only(&[2]), 9002));
        assert!(low.dropped.is_empty() && high.dropped.is_empty());
        let lower = ensure(&place, &of(only(&[0, 1, 3]), 9003));
        assert_eq!(lower.dropped, [low.name]);
        let mut reader = db.connect();
        reader.batch_execute(&format!("BEGIN; LOCK TABLE {} IN ACCESS SHARE MODE", high.name)).unwrap();
        let all = ensure(&place, &of(Partitions::All, 9004));
        assert_eq!(all.dropped, [lower.name], "one in use stays");
        reader.batch_execute("COMMIT").unwrap();
        assert_eq!(ensure(&place, &of(Partitions::All, 9004)).dropped, [high.name]);
    }

    fn earlier_ones_of_a_list_too_long_to_be_written_go_too(db) {
        let place = Place::new(db, "a int");
        let script = Script::new("");
        let odd: std::collections::BTreeSet<i32> = (0..500).map(|number| 2 * number + 1).collect();
        let of = |port| {
            let partitions = Partitions::Only(odd.clone());
            Definition { partitions, port, ..definition(&place, script.path().as_path()) }
        };
        let first = ensure(&place, &of(9001));
        assert!(first.path.contains("/x"), "{}", first.path);
        assert_eq!(ensure(&place, &of(9002)).dropped, [first.name]);
    }

    fn a_type_that_does_not_exist_is_named(db) {
        let place = Place::new(db, "a int");
        let mut definition = definition(&place, Path::new("/bin/true"));
        definition.columns[1].sql_type = "txet".to_owned();
        let error = ExternalTable::ensure(&mut place.connect(), &definition).unwrap_err();
        let told = r#"source column "B" has a type that the database does not know, txet: type "txet" does not exist"#;
        assert_eq!(error.to_string(), told);
    }
}

fn definition(place: &Place<'_>, program: &Path) -> Definition {
    let columns = [("a", "int"), ("B", "decimal(9,2)"), ("c", "varchar(5)[]"), ("d", "timestamptz")];
    let columns = columns.map(|(name, sql_type)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() });
    let mut settings = place.settings.clone();
    settings.segment_program = Some(program.to_owned());
    settings.segments = 2;
    Definition::new(&place.job, &Partitions::All, &settings, &columns, "127.0.0.1", 9000)
}

fn ensure(place: &Place<'_>, definition: &Definition) -> ExternalTable {
    let mut connection: Connection = place.connect();
    ExternalTable::ensure(&mut connection, definition).unwrap()
}
