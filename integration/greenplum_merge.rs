//! UPDATE and MERGE against real servers, case by case: which row of a key wins, and what becomes of the others.

use gpkafka::greenplum::{Error, JobId, Mapping, Match, Mode, Settings, WrittenTo};
use gpkafka::table::{Column, Ident};

use crate::greenplum_place::{Feed, Place};
use crate::harness::{Database, SOON, on_each_database, unique, wait_until};

fn idents(names: &[&str]) -> Vec<Ident> {
    names.iter().map(|name| Ident::exact(*name)).collect()
}

/// `id` matches, `note` and `qty` are set.
fn by_id() -> Match {
    Match { match_columns: idents(&["id"]), update_columns: idents(&["note", "qty"]), ..Match::default() }
}

/// Where a row comes from.
#[derive(Clone, Copy)]
struct From {
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    row: i32,
}

/// A record of one row, at this offset of partition 0.
fn at(offset: i64) -> From {
    From { partition: 0, offset, timestamp: Some(offset), row: 0 }
}

/// A line of the external table.
fn line(fields: &str, From { partition, offset, timestamp, row }: From) -> String {
    let timestamp = timestamp.map_or("\\N".to_owned(), |timestamp| timestamp.to_string());
    format!("{}\t{partition}\t{offset}\t{timestamp}\t{row}", fields.replace('|', "\t"))
}

/// Lines at offsets that count up in partition 0.
fn lines(fields: &[&str]) -> Vec<String> {
    fields.iter().zip(0..).map(|(fields, offset)| line(fields, at(offset))).collect()
}

/// A load of `op`, `id`, `note`, `qty` into `t`, which holds ids 1 and 2.
fn feed(db: &Database, mode: Mode) -> Feed<'_> {
    feed_with(db, mode, |_| ())
}

fn feed_with(db: &Database, mode: Mode, change: impl FnOnce(&mut Settings)) -> Feed<'_> {
    let mut place = Place::new(db, "id int, note text NOT NULL, qty numeric(9,1), seen int DEFAULT 7");
    db.execute(&format!("INSERT INTO {}.t VALUES (1, 'one', 1, 0), (2, 'two', 2, 0)", place.schema));
    let columns = [("op", "text"), ("id", "int"), ("note", "text"), ("qty", "numeric")];
    let column = |(name, sql_type): (&str, &str)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
    place.settings.columns = Some(columns.map(column).to_vec());
    let map = |name: &str| Mapping { column: Ident::exact(name), expression: name.to_owned() };
    let output = &mut place.settings.outputs[0];
    (output.mapping, output.mode) = (["id", "note", "qty"].map(map).to_vec(), mode);
    change(&mut place.settings);
    Feed::new(place)
}

/// Counts of the only output: inserted, updated, deleted, passed over.
fn counts(written: &[WrittenTo]) -> (u64, u64, u64, u64) {
    let [output] = written else { panic!("one output: {written:?}") };
    (output.inserted, output.updated, output.deleted, output.passed_over)
}

on_each_database! {
    fn a_merge_updates_what_is_there_and_inserts_the_rest_whole(db) {
        let mut feed = feed(db, Mode::Merge(by_id()));
        let written = feed.batch(&lines(&["u|2|zwei|2.5", "u|3|drei|3"]));
        assert_eq!((written.read, written.rejected, counts(&written.outputs)), (2, 0, (1, 1, 0, 0)));
        assert!(!written.has_several_partitions());
        assert_eq!(feed.rows(), ["1|one|1.0|0", "2|zwei|2.5|0", "3|drei|3.0|7"]);
        // the tables that rows pass are empty again
        let written = feed.batch(&lines(&["u|3|three|3"]));
        assert_eq!((written.read, counts(&written.outputs)), (1, (0, 1, 0, 0)));
        assert_eq!(feed.batch(&[]).read, 0);
        assert_eq!(feed.rows(), ["1|one|1.0|0", "2|zwei|2.5|0", "3|three|3.0|7"]);
    }

    fn an_update_updates_and_no_more(db) {
        let mut feed = feed(db, Mode::Update(by_id()));
        let written = feed.batch(&lines(&["u|2|zwei|2", "u|3|drei|3", "u|\\N|none|0", "u|2|deux|\\N"]));
        assert_eq!((written.read, counts(&written.outputs)), (4, (0, 1, 0, 2)));
        assert_eq!(feed.rows(), ["1|one|1.0|0", "2|deux|\\N|0"]);
    }

    fn the_last_row_of_a_key_wins_by_offset_and_place_in_its_record(db) {
        let mut feed = feed(db, Mode::Merge(by_id()));
        let rows = [
            line("u|1|late|1", From { timestamp: Some(0), ..at(9) }),
            line("u|1|early|1", From { timestamp: Some(1000), ..at(3) }),
            line("u|5|second|5", From { row: 1, ..at(4) }),
            line("u|5|third|5", From { row: 2, ..at(4) }),
            line("u|5|first|5", From { row: 0, ..at(4) }),
        ];
        let written = feed.batch(&rows);
        assert_eq!(counts(&written.outputs), (1, 1, 0, 3));
        assert!(!written.has_several_partitions());
        assert_eq!(feed.rows(), ["1|late|1.0|0", "2|two|2.0|0", "5|third|5.0|7"]);
    }

    fn the_last_rows_of_several_partitions_compete_by_time(db) {
        let mut feed = feed(db, Mode::Merge(by_id()));
        let of = |partition: i32, offset: i64, timestamp: Option<i64>| From { partition, offset, timestamp, row: 0 };
        let rows = [
            // partition 0 ends earlier than partition 1, though it was later in between
            line("u|1|ahead|1", of(0, 10, Some(900))),
            line("u|1|loser|1", of(0, 11, Some(100))),
            line("u|1|winner|1", of(1, 1, Some(200))),
            // without a timestamp it is the earliest
            line("u|2|timeless|2", of(7, 99, None)),
            line("u|2|timed|2", of(3, 0, Some(-5))),
            // same time: the higher partition
            line("u|3|low|3", of(2, 50, Some(1))),
            line("u|3|high|3", of(4, 5, Some(1))),
            line("u|4|alone|4", of(2, 51, Some(1))),
        ];
        let written = feed.batch(&rows);
        assert!(written.has_several_partitions());
        assert_eq!(counts(&written.outputs), (2, 2, 0, 4));
        assert_eq!(feed.rows(), ["1|winner|1.0|0", "2|timed|2.0|0", "3|high|3.0|7", "4|alone|4.0|7"]);
    }

    fn order_columns_choose_first(db) {
        let ordered = Match { order_columns: idents(&["qty", "op"]), ..by_id() };
        let mut feed = feed(db, Mode::Merge(ordered));
        let of = |partition: i32, offset: i64, timestamp: i64| From { partition, offset, timestamp: Some(timestamp), row: 0 };
        let rows = [
            line("a|1|largest|10", of(0, 1, 0)),
            line("z|1|later|9", of(0, 2, 9)),
            line("z|1|without|\\N", of(1, 9, 9)),
            // rounded to the column's own type they are equal, and the second column decides
            line("b|2|b|5.04", of(0, 3, 0)),
            line("a|2|a|5.01", of(0, 4, 0)),
            // a tie is settled by partition's end and time
            line("x|3|old|1", of(0, 5, 50)),
            line("x|3|new|1", of(0, 6, 5)),
            line("x|3|other|1", of(1, 0, 10)),
            line("x|3|less|0", of(1, 1, 99)),
        ];
        let written = feed.batch(&rows);
        assert_eq!((counts(&written.outputs), written.has_several_partitions()), ((1, 2, 0, 6), true));
        assert_eq!(feed.rows(), ["1|largest|10.0|0", "2|b|5.0|0", "3|other|1.0|7"]);
        let written = feed.batch(&[line("x|1|p0|10", of(0, 10, 0)), line("x|1|p1|9", of(1, 10, 0))]);
        assert!(!written.has_several_partitions(), "time told nothing here");
    }

    fn rows_without_a_key_are_inserted_each(db) {
        let wanted = Match { match_columns: idents(&["id", "qty"]), update_columns: idents(&["note"]), ..Match::default() };
        let mut feed = feed(db, Mode::Merge(wanted));
        let rows = lines(&["u|\\N|a|1", "u|\\N|a|1", "u|5|b|\\N", "u|5|c|\\N", "u|1|uno|1.0"]);
        let mut elsewhere = lines(&["u|\\N|a|1"]);
        elsewhere.push(line("u|\\N|a|1", From { partition: 1, ..at(0) }));
        let written = feed.batch(&rows);
        assert_eq!(counts(&written.outputs), (4, 1, 0, 0));
        let written = feed.batch(&elsewhere);
        assert_eq!((counts(&written.outputs), written.has_several_partitions()), ((2, 0, 0, 0), false));
        assert_eq!(feed.rows(), ["1|uno|1.0|0", "2|two|2.0|0", "5|b|\\N|7", "5|c|\\N|7", "\\N|a|1.0|7", "\\N|a|1.0|7", "\\N|a|1.0|7", "\\N|a|1.0|7"]);
    }

    fn the_last_of_delete_and_insert_in_one_batch_holds(db) {
        let wanted = Match { delete_condition: Some("op = 'D';".to_owned()), ..by_id() };
        let mut feed = feed(db, Mode::Merge(wanted));
        // what is deleted has nothing but its key: no constraint may mind
        let rows = lines(&["D|1|\\N|\\N", "I|1|again|1", "I|5|new|5", "D|5|\\N|\\N", "D|2|\\N|\\N", "D|99|\\N|\\N", "D|\\N|\\N|\\N"]);
        let written = feed.batch(&rows);
        assert_eq!(counts(&written.outputs), (0, 1, 1, 2));
        assert_eq!(feed.rows(), ["1|again|1.0|0"]);
    }

    fn conditions_see_the_target_and_the_batch(db) {
        let wanted = Match {
            update_condition: Some("ext.qty > into_table.qty -- newer ;".to_owned()),
            delete_condition: Some("into_table.seen = 0 AND ext.note = 'gone'".to_owned()),
            ..by_id()
        };
        let mut feed = feed(db, Mode::Merge(wanted));
        let written = feed.batch(&lines(&["u|1|less|0.5", "u|2|more|3", "u|3|new|0"]));
        // a row that is not updated is there all the same
        assert_eq!(counts(&written.outputs), (1, 1, 0, 0));
        assert_eq!(feed.rows(), ["1|one|1.0|0", "2|more|3.0|0", "3|new|0.0|7"]);
        // updated, then deleted; one that was inserted is not older
        let written = feed.batch(&lines(&["u|2|gone|4", "u|3|gone|4", "u|4|gone|4"]));
        assert_eq!(counts(&written.outputs), (1, 2, 1, 0));
        assert_eq!(feed.rows(), ["1|one|1.0|0", "3|gone|4.0|7", "4|gone|4.0|7"]);
    }

    fn the_choice_comes_before_conditions(db) {
        let wanted = Match { update_condition: Some("op <> 'skip'".to_owned()), ..by_id() };
        let mut feed = feed(db, Mode::Merge(wanted));
        let written = feed.batch(&lines(&["u|1|first|5", "skip|1|last|6", "u|9|first|5", "skip|9|last|6"]));
        assert_eq!(counts(&written.outputs), (1, 0, 0, 2));
        assert_eq!(feed.rows(), ["1|one|1.0|0", "2|two|2.0|0", "9|last|6.0|7"]);
    }

    fn two_loads_that_merge_one_new_key_insert_it_once(db) {
        let wanted = Match { match_columns: idents(&["id"]), ..Match::default() };
        let mut one = feed(db, Mode::Merge(wanted.clone()));
        let settings = one.place.settings.clone();
        // another topic into the same table
        let job = JobId::new(&unique("another"), &db.dbname, settings.target());
        let mut other = Feed::new(Place { db, schema: one.place.schema.clone(), settings, job });
        one.write(&lines(&["u|5|one|5"])).unwrap();
        std::thread::scope(|scope| {
            let later = scope.spawn(|| other.batch(&lines(&["u|5|other|5", "u|6|other|6"])));
            let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
            wait_until(SOON, "the other to wait", || db.number(waiting) > 0);
            one.commit().unwrap();
            assert_eq!(counts(&later.join().unwrap().outputs), (1, 0, 0, 0));
        });
        assert_eq!(one.rows(), ["1|one|1.0|0", "2|two|2.0|0", "5|one|5.0|7", "6|other|6.0|7"]);
    }

    fn keys_are_compared_as_the_target_has_them(db) {
        let wanted = Match { match_columns: idents(&["qty"]), update_columns: idents(&["note"]), ..Match::default() };
        let mut feed = feed(db, Mode::Merge(wanted));
        let written = feed.batch(&lines(&["u|7|a|7.01", "u|7|b|7.04", "u|1|c|0.99"]));
        assert_eq!(counts(&written.outputs), (1, 1, 0, 1));
        assert_eq!(feed.rows(), ["1|c|1.0|0", "2|two|2.0|0", "7|b|7.0|7"]);
    }

    fn filters_come_before_the_choice_and_are_counted(db) {
        let mut feed = feed_with(db, Mode::Merge(by_id()), |settings| {
            settings.input_filter = Some("op <> 'x'".to_owned());
            settings.outputs[0].filter = Some("qty < 100;".to_owned());
        });
        assert!(feed.load().is_filtered());
        let written = feed.batch(&lines(&["u|1|kept|1", "x|1|dropped|1", "u|1|dropped|100", "u|1|bad|x"].map(|row| {
            // PostgreSQL has no reject limit: its one bad row would fail the batch
            if db.segments() == 1 { row.replace("|bad|x", "|dropped|101") } else { row.to_owned() }
        }).iter().map(String::as_str).collect::<Vec<_>>()));
        let rejected = u64::from(db.segments() > 1);
        assert_eq!((written.read, written.rejected, counts(&written.outputs)), (1, rejected, (0, 1, 0, 0)));
        assert_eq!(feed.rows(), ["1|kept|1.0|0", "2|two|2.0|0"]);
    }

    fn capitals_and_reserved_words_are_names_like_any(db) {
        let mut place = Place::new(db, "\"Order\" int, \"select\" text, \"a \"\"b\"\"\" int, \"user\" text");
        let schema = place.schema.clone();
        db.execute(&format!("INSERT INTO {schema}.t VALUES (1, 'old', 1, 'u')"));
        let columns = [("Order", "int"), ("from", "text"), ("a \"b\"", "int"), ("user", "text"), ("OP", "text")];
        let column = |(name, sql_type): (&str, &str)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
        place.settings.columns = Some(columns.map(column).to_vec());
        let output = &mut place.settings.outputs[0];
        let map = |(name, expression): (&str, &str)| Mapping { column: Ident::exact(name), expression: expression.to_owned() };
        let pairs = [("Order", "\"Order\""), ("select", "from"), ("a \"b\"", "a \"b\""), ("user", "user")];
        output.mapping = pairs.map(map).to_vec();
        output.mode = Mode::Merge(Match {
            match_columns: idents(&["Order", "user"]),
            update_columns: idents(&["select", "a \"b\""]),
            order_columns: idents(&["a \"b\"", "OP"]),
            update_condition: Some("into_table.\"select\" <> ext.\"select\"".to_owned()),
            delete_condition: Some("\"OP\" = 'D'".to_owned()),
        });
        let mut feed = Feed::new(place);
        feed.batch(&lines(&["1|new|5|u|I", "1|less|4|u|I", "2|two|2|w|I"]));
        assert_eq!(feed.rows(), ["1|new|5|u", "2|two|2|w"]);
        feed.batch(&lines(&["1|\\N|6|u|D"]));
        assert_eq!(feed.rows(), ["2|two|2|w"]);
    }

    fn what_the_database_refuses_is_named(db) {
        let told = |wanted: Match, mapping: Option<(&str, &str)>| {
            let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                feed_with(db, Mode::Merge(wanted), |settings| {
                    if let Some((column, expression)) = mapping {
                        settings.outputs[0].mapping.retain(|map| map.column.as_str() != column);
                        settings.outputs[0].mapping.push(Mapping { column: Ident::exact(column), expression: expression.to_owned() });
                    }
                })
            }));
            let text = failed.err().unwrap().downcast_ref::<String>().unwrap().clone();
            text.replace("\\\"", "\"")
        };
        let update = |condition: &str| Match { update_condition: Some(condition.to_owned()), ..by_id() };
        let delete = |condition: &str| Match { delete_condition: Some(condition.to_owned()), ..by_id() };
        let ambiguous = told(update("qty > 3"), None);
        assert!(ambiguous.contains("the database refuses UPDATE_CONDITION (qty > 3): "), "{ambiguous}");
        assert!(ambiguous.contains("write into_table.\"qty\" for the target's or ext.\"qty\" for the batch's"), "{ambiguous}");
        let wrong = told(delete("opp = 'D'"), None);
        assert!(wrong.contains("the database refuses DELETE_CONDITION (opp = 'D'): column \"opp\" does not exist; "), "{wrong}");
        assert!(wrong.contains("did you mean the source column \"op\"?") || wrong.contains("hint: "), "{wrong}");
        let wrong = told(delete("into_table.nope"), None);
        assert!(wrong.contains("the database refuses DELETE_CONDITION (into_table.nope): "), "{wrong}");
        let wrong = told(by_id(), Some(("qty", "no_such(qty)")));
        assert!(wrong.contains("the database refuses the mapping of \"qty\" (no_such(qty)): "), "{wrong}");
    }

    fn a_key_that_cannot_be_compared_is_named(db) {
        let mut place = Place::new(db, "id int, doc json");
        place.settings.outputs[0].mode = Mode::Merge(Match { match_columns: idents(&["doc"]), update_columns: idents(&["id"]), ..Match::default() });
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Feed::new(place)));
        let text = failed.err().unwrap().downcast_ref::<String>().unwrap().replace("\\\"", "\"");
        assert!(text.contains("the database refuses the match column \"doc\": could not identify an "), "{text}");
    }

    fn rights_are_those_of_the_mode(db) {
        let mut place = Place::new(db, "id int, note text, qty int");
        let role = unique("clerk");
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("REVOKE TEMPORARY ON DATABASE {} FROM public", db.dbname));
        place.settings.user = role.clone();
        let describe = |settings: &Settings| {
            let mut connection = gpkafka::greenplum::Connection::open(settings, "x").unwrap();
            gpkafka::greenplum::Target::describe(&mut connection, settings).unwrap_err()
        };
        let schema = place.schema.clone();
        let on_table = |rights: &[&str]| rights.iter().map(|right| format!("GRANT {right} ON \"{schema}\".\"t\" TO \"{role}\"; ")).collect::<String>();
        let delete = Match { delete_condition: Some("note = 'x'".to_owned()), ..by_id() };
        for (mode, rights) in [
            (Mode::Update(by_id()), &["UPDATE", "SELECT"][..]),
            (Mode::Merge(by_id()), &["INSERT", "UPDATE", "SELECT"]),
            (Mode::Merge(delete), &["INSERT", "UPDATE", "DELETE", "SELECT"]),
        ] {
            place.settings.outputs[0].mode = mode;
            let Error::Privilege { statements, .. } = describe(&place.settings) else { panic!("no rights are lacking") };
            let temporary = format!("GRANT TEMPORARY ON DATABASE \"{}\" TO \"{role}\"; ", db.dbname);
            assert!(statements.starts_with(&format!("{}{temporary}", on_table(rights))), "{statements}");
        }
        // what it says to run is what a load needs
        let Error::Privilege { statements, .. } = describe(&place.settings) else { panic!("no rights are lacking") };
        for statement in statements.split("; ") {
            db.execute(statement);
        }
        if db.segments() > 1 {
            let mut feed = Feed::new(place);
            feed.batch(&lines(&["1|one|1", "2|x|2"]));
            assert_eq!(feed.rows(), ["1|one|1"]);
        }
        db.execute(&format!("GRANT TEMPORARY ON DATABASE {} TO public", db.dbname));
    }
}
