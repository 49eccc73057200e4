//! MERGE of change records against a model: after every batch the table is what a map of keys says.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use gpkafka::greenplum::{Mapping, Match, Mode};
use gpkafka::table::{Column, Ident};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::greenplum_place::{Feed, Place};
use crate::harness::{Database, full, on_each_database};

/// One change record.
#[derive(Debug, Clone)]
struct Change {
    key: Option<i32>,
    /// `None` deletes.
    value: Option<i32>,
    partition: i32,
    timestamp: Option<i64>,
    order: Option<i32>,
}

fn change() -> impl Strategy<Value = Change> {
    let key = proptest::option::weighted(0.9, 0..5_i32);
    let value = proptest::option::weighted(0.7, 0..100_i32);
    let timestamp = proptest::option::weighted(0.8, 0..4_i64);
    let order = proptest::option::weighted(0.8, 0..3_i32);
    (key, value, 0..3_i32, timestamp, order).prop_map(|(key, value, partition, timestamp, order)| {
        // most keys stay in a partition of their own
        let partition = key.filter(|key| *key > 1).unwrap_or(partition);
        Change { key, value, partition, timestamp, order }
    })
}

/// What the table holds: a value of each key, and of the rows without one how many there are of each value.
#[derive(Debug, Default, PartialEq)]
struct Model {
    values: BTreeMap<i32, i32>,
    keyless: BTreeMap<i32, i64>,
}

impl Model {
    fn take(&mut self, batch: &[(i64, Change)], is_ordered: bool) {
        let mut by_key: HashMap<i32, Vec<&(i64, Change)>> = HashMap::new();
        for record in batch {
            match (record.1.key, record.1.value) {
                (Some(key), _) => by_key.entry(key).or_default().push(record),
                (None, Some(value)) => *self.keyless.entry(value).or_default() += 1,
                (None, None) => {}
            }
        }
        for (key, mut records) in by_key {
            if is_ordered {
                let largest = records.iter().map(|(_, change)| change.order).max().unwrap();
                records.retain(|(_, change)| change.order == largest);
            }
            let mut last: HashMap<i32, &(i64, Change)> = HashMap::new();
            for record in records {
                last.insert(record.1.partition, record);
            }
            let winner = last.values().max_by_key(|(offset, change)| (change.timestamp, change.partition, *offset));
            match winner.unwrap().1.value {
                Some(value) => self.values.insert(key, value),
                None => self.values.remove(&key),
            };
        }
    }
}

fn feed(db: &Database, is_ordered: bool) -> Feed<'_> {
    let mut place = Place::new(db, "\"Key\" int, value int NOT NULL");
    let columns = [("k", "int"), ("v", "int"), ("lsn", "int")];
    let column = |(name, sql_type): (&str, &str)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
    place.settings.columns = Some(columns.map(column).to_vec());
    let output = &mut place.settings.outputs[0];
    let map =
        |(name, expression): (&str, &str)| Mapping { column: Ident::exact(name), expression: expression.to_owned() };
    output.mapping = [("Key", "k"), ("value", "v")].map(map).to_vec();
    output.mode = Mode::Merge(Match {
        match_columns: vec![Ident::exact("Key")],
        update_columns: vec![Ident::exact("value")],
        order_columns: if is_ordered { vec![Ident::exact("lsn")] } else { Vec::new() },
        update_condition: None,
        delete_condition: Some("value IS NULL".to_owned()),
    });
    Feed::new(place)
}

/// A line of the external table.
fn line((offset, change): &(i64, Change)) -> String {
    let field = |value: Option<i64>| value.map_or("\\N".to_owned(), |value| value.to_string());
    let Change { key, value, partition, timestamp, order } = change;
    let fields =
        [key.map(i64::from), value.map(i64::from), order.map(i64::from), Some(i64::from(*partition)), Some(*offset)];
    let fields: Vec<_> = fields.into_iter().chain([*timestamp, Some(0)]).map(field).collect();
    fields.join("\t")
}

fn held(feed: &Feed<'_>) -> Model {
    let mut model = Model::default();
    for row in feed.rows() {
        let (key, value) = row.split_once('|').unwrap();
        let value: i32 = value.parse().unwrap();
        match key.parse() {
            Ok(key) => assert_eq!(model.values.insert(key, value), None, "key {key} is there twice"),
            Err(_) => *model.keyless.entry(value).or_default() += 1,
        }
    }
    model
}

fn expect_the_model(db: &Database, is_ordered: bool) {
    let feed = RefCell::new(feed(db, is_ordered));
    let cases = u32::try_from(full(80)).unwrap();
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 100, failure_persistence: None, ..Config::default() });
    let streams = proptest::collection::vec(proptest::collection::vec(change(), 0..12), 1..6);
    let outcome = runner.run(&streams, |batches| {
        let mut feed = feed.borrow_mut();
        db.execute(&format!("DELETE FROM {}.t", feed.place.schema));
        let (mut model, mut offset) = (Model::default(), 0);
        for batch in batches {
            let mut records: Vec<_> = batch
                .into_iter()
                .map(|change| {
                    offset += 1;
                    (offset, change)
                })
                .collect();
            model.take(&records, is_ordered);
            // segments bring rows in any order
            records.reverse();
            let written = feed.try_batch(&records.iter().map(line).collect::<Vec<_>>());
            let written = written.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(written.read, records.len() as u64);
            prop_assert_eq!(&held(&feed), &model);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

on_each_database! {
    fn change_records_leave_what_the_model_says(db) {
        expect_the_model(db, false);
    }

    fn ordered_change_records_leave_what_the_model_says(db) {
        expect_the_model(db, true);
    }
}
