//! Changes of other databases, in the forms in which Debezium, GoldenGate and Maxwell write them, merged into a table by
//! whole loads: in one batch and message by message, and the table is what a map of keys says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::Case;
use crate::harness::{Database, Outcome, on_each_database};

/// A change of the row of one id.
#[derive(Debug, Clone)]
enum Change {
    Put(u32, String),
    Delete(u32),
}

impl Change {
    fn id(&self) -> u32 {
        match self {
            Self::Put(id, _) | Self::Delete(id) => *id,
        }
    }
}

/// What a source could have written: only rows that are there are deleted. The same for each seed.
fn changes(seed: u64, count: u32) -> Vec<Change> {
    let mut state = seed | 1;
    let mut below = |bound: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from(state >> 40).unwrap() % bound
    };
    let mut held = BTreeMap::new();
    let mut change = |number| {
        let id = below(6);
        if held.contains_key(&id) && below(3) == 0 {
            held.remove(&id);
            return Change::Delete(id);
        }
        held.insert(id, ());
        // names that JSON and SQL have to quote
        Change::Put(id, format!("n'{number}\" \\ é"))
    };
    (0..count).map(&mut change).collect()
}

/// What a table holds, and what has been done to it so far.
#[derive(Debug, Default, PartialEq)]
struct Model {
    rows: BTreeMap<u32, String>,
    inserted: u32,
    updated: u32,
    deleted: u32,
}

impl Model {
    fn of(changes: &[Change]) -> Self {
        let mut model = Self::default();
        changes.iter().for_each(|change| drop(model.take(change)));
        model
    }

    /// The row as it was.
    fn take(&mut self, change: &Change) -> Option<String> {
        let before = match change {
            Change::Put(id, name) => self.rows.insert(*id, name.clone()),
            Change::Delete(id) => self.rows.remove(id),
        };
        match (change, &before) {
            (Change::Put(..), None) => self.inserted += 1,
            (Change::Put(..), Some(_)) => self.updated += 1,
            (Change::Delete(_), before) => self.deleted += u32::from(before.is_some()),
        }
        before
    }

    fn shown(&self) -> Vec<String> {
        self.rows.iter().map(|(id, name)| format!("{id}|{name}")).collect()
    }
}

/// Two rows of JSON, as a source shows them.
fn row(id: u32, name: Option<&String>) -> Value {
    name.map_or(Value::Null, |name| json!({"id": id, "name": name}))
}

/// A change and what was there before it → the values of its records.
type Form = fn(u32, &Change, Option<&String>) -> Vec<Option<Value>>;

fn debezium(number: u32, change: &Change, before: Option<&String>) -> Vec<Option<Value>> {
    let (op, after) = match (change, before) {
        (Change::Put(_, name), None) => ("c", Some(name)),
        (Change::Put(_, name), Some(_)) => ("u", Some(name)),
        (Change::Delete(_), _) => ("d", None),
    };
    let value = json!({"before": row(change.id(), before), "after": row(change.id(), after), "op": op,
        "ts_ms": 1_700_000_000_000_u64 + u64::from(number), "source": {"connector": "postgresql", "lsn": number}});
    // a deletion is followed by a tombstone, so that a compacted topic forgets the key
    if op == "d" { vec![Some(value), None] } else { vec![Some(value)] }
}

fn golden_gate(number: u32, change: &Change, before: Option<&String>) -> Vec<Option<Value>> {
    let mut value = json!({"table": "SHOP.ORDERS", "op_ts": format!("2024-02-29 01:02:{:02}.000000", number / 7),
        "pos": format!("{number:020}"), "op_type": "D"});
    if let Some(name) = before {
        value["before"] = row(change.id(), Some(name));
    }
    if let Change::Put(id, name) = change {
        value["op_type"] = if before.is_some() { "U" } else { "I" }.into();
        value["after"] = row(*id, Some(name));
    }
    vec![Some(value)]
}

fn maxwell(number: u32, change: &Change, before: Option<&String>) -> Vec<Option<Value>> {
    let (kind, name) = match (change, before) {
        (Change::Put(_, name), None) => ("insert", Some(name)),
        (Change::Put(_, name), Some(_)) => ("update", Some(name)),
        (Change::Delete(_), before) => ("delete", before),
    };
    let mut value = json!({"database": "shop", "table": "orders", "type": kind, "ts": 1_700_000_000 + number / 7,
        "xid": number, "commit": true, "data": row(change.id(), name)});
    if kind == "update" {
        value["old"] = json!({"name": before});
    }
    vec![Some(value)]
}

/// Writes a stream, each key into a partition of its own choice.
fn produce(case: &Case<'_>, changes: &[Change], form: Form) {
    let producer = case.topic.kafka.producer();
    let mut model = Model::default();
    for (number, change) in (0..).zip(changes) {
        let before = model.take(change);
        let key = json!({"id": change.id()}).to_string();
        for value in form(number, change, before.as_ref()) {
            let value = value.map(|value| value.to_string());
            let partition = i32::try_from(change.id() % 2).unwrap();
            producer.send(&case.topic.name, partition, Some(key.as_bytes()), value.as_ref().map(String::as_bytes));
        }
    }
    producer.flush();
}

const DEBEZIUM: &str = "    KEY:
      FORMAT: json
      COLUMNS: [{NAME: k, TYPE: json}]
    VALUE:
      FORMAT: json
      COLUMNS: [{NAME: v, TYPE: json}]
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: orders
    MODE: merge
    MATCH_COLUMNS: [id]
    UPDATE_COLUMNS: [name]
    DELETE_CONDITION: v IS NULL OR v->>'op' = 'd'
    MAPPING:
      id: (k->>'id')::int
      name: v->'after'->>'name'
";

const MAXWELL: &str = "    VALUE:
      FORMAT: json
      COLUMNS:
        - {NAME: kind, TYPE: text, PATH: type}
        - {NAME: id, TYPE: int, PATH: data.id}
        - {NAME: name, TYPE: text, PATH: data.name}
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: orders
    MODE: merge
    MATCH_COLUMNS: [id]
    UPDATE_COLUMNS: [name]
    DELETE_CONDITION: ext.kind = 'delete'
    MAPPING: {id: id, name: name}
";

const GOLDEN_GATE: &str = "    VALUE:
      FORMAT: json
      COLUMNS:
        - {NAME: op_type, TYPE: text}
        - {NAME: op_ts, TYPE: timestamp}
        - {NAME: pos, TYPE: text}
        - {NAME: old_id, TYPE: int, PATH: before.id}
        - {NAME: old_name, TYPE: text, PATH: before.name}
        - {NAME: new_id, TYPE: int, PATH: after.id}
        - {NAME: new_name, TYPE: text, PATH: after.name}
  OUTPUT:
    SCHEMA: $SCHEMA
    TABLE: orders
    MODE: merge
    MATCH_COLUMNS: [id]
    ORDER_COLUMNS: [op_ts, pos]
    UPDATE_COLUMNS: [name$MORE]
    $DELETE
    MAPPING:
      id: coalesce(new_id, old_id)
      name: coalesce(new_name, old_name)
$MAPPING";

fn job(case: &Case<'_>, blocks: &str, commit: &str) -> String {
    let head = "VERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE: {BROKERS: $BROKERS, TOPIC: $TOPIC}\n";
    case.job(&format!("{head}{blocks}  COMMIT: {{{commit}}}\n"))
}

/// All that there is in one batch: the load ends before its time does.
const ONE_BATCH: &str = "MINIMAL_INTERVAL: 60000, IDLE_DURATION: 1000";
/// Each record is a batch.
const ONE_BY_ONE: &str = "MAX_ROW: 1, MINIMAL_INTERVAL: 500";

/// What the program says of one table at the end.
fn counts(outcome: &Outcome, table: &str) -> [u32; 3] {
    let text = outcome.text();
    let (_, after) = text.split_once(&format!(".\"{table}\"\n")).unwrap_or_else(|| panic!("{table}: {text}"));
    ["Inserted", "Updated", "Deleted"].map(|what| {
        let line = after.lines().find_map(|line| line.split_once(&format!("-{what} ")));
        let (_, count) = line.unwrap_or_else(|| panic!("{what}: {text}"));
        count.split(' ').next().unwrap().parse().unwrap()
    })
}

/// Those with records in them.
fn batches(outcome: &Outcome) -> usize {
    outcome.batches().iter().filter(|batch| batch[2] != "0").count()
}

/// Streams of one form, each into a table of its own, in one batch and one by one.
fn expect_the_model(db: &Database, blocks: &str, form: Form) {
    for (seed, count, commit) in [(11, 300, ONE_BATCH), (4_711, 40, ONE_BATCH), (77, 30, ONE_BY_ONE)] {
        let case = Case::new(db, "cdc", 2);
        case.table("orders (id int, name text)", "id");
        let changes = changes(seed, count);
        produce(&case, &changes, form);
        let outcome = case.load(&job(&case, blocks, commit));
        let model = Model::of(&changes);
        assert!(model.deleted > 0 && model.updated > 0 && !model.rows.is_empty(), "{model:?}");
        assert_eq!(case.rows("SELECT id, name FROM $SCHEMA.orders ORDER BY id"), model.shown(), "{seed} {commit}");
        let counted = counts(&outcome, "orders");
        if commit == ONE_BATCH {
            // only the last change of a key has met the table
            assert_eq!((counted, batches(&outcome)), ([u32::try_from(model.rows.len()).unwrap(), 0, 0], 1));
        } else {
            assert_eq!(counted, [model.inserted, model.updated, model.deleted]);
            assert!(batches(&outcome) >= changes.len(), "{}", outcome.text());
        }
    }
}

on_each_database! {
    fn debezium_with_tombstones(db) {
        expect_the_model(db, DEBEZIUM, debezium);
    }

    fn maxwell_by_paths(db) {
        expect_the_model(db, MAXWELL, maxwell);
    }

    fn golden_gate_in_the_order_of_its_own_positions(db) {
        let delete = "DELETE_CONDITION: op_type = 'D'";
        let blocks = GOLDEN_GATE.replace("$MORE", "").replace("$DELETE", delete).replace("$MAPPING", "");
        expect_the_model(db, &blocks, golden_gate);
    }

    /// The row stays and says that it is gone.
    fn golden_gate_with_soft_deletes(db) {
        let mapping = "      is_deleted: op_type = 'D'\n";
        let blocks = GOLDEN_GATE.replace("$MORE", ", is_deleted").replace("    $DELETE\n", "").replace("$MAPPING", mapping);
        for (seed, count, commit) in [(5, 200, ONE_BATCH), (6, 25, ONE_BY_ONE)] {
            let case = Case::new(db, "soft", 2);
            case.table("orders (id int, name text, is_deleted bool)", "id");
            let mut changes = changes(seed, count);
            let (&left, _) = Model::of(&changes).rows.first_key_value().unwrap();
            changes.push(Change::Delete(left));
            produce(&case, &changes, golden_gate);
            case.load(&job(&case, &blocks, commit));
            let mut last = BTreeMap::new();
            for change in &changes {
                let (name, is_deleted) = last.entry(change.id()).or_insert((String::new(), false));
                *is_deleted = matches!(change, Change::Delete(_));
                if let Change::Put(_, new) = change {
                    name.clone_from(new);
                }
            }
            let shown = |(id, (name, is_deleted)): (&u32, &(String, bool))| {
                format!("{id}|{name}|{}", if *is_deleted { "t" } else { "f" })
            };
            assert_eq!(case.rows("SELECT * FROM $SCHEMA.orders ORDER BY id"), last.iter().map(shown).collect::<Vec<_>>());
        }
    }

    /// Three tables of one load: all changes, the rows as they are, and those of them that somebody watches.
    fn several_outputs_of_one_stream(db) {
        let blocks = "    VALUE:
      FORMAT: json
      COLUMNS:
        - {NAME: kind, TYPE: text, PATH: type}
        - {NAME: id, TYPE: int, PATH: data.id}
        - {NAME: name, TYPE: text, PATH: data.name}
  OUTPUTS:
    - SCHEMA: $SCHEMA
      TABLE: history
      MAPPING: {id: id, name: name, kind: kind}
    - SCHEMA: $SCHEMA
      TABLE: orders
      MODE: merge
      MATCH_COLUMNS: [id]
      UPDATE_COLUMNS: [name]
      DELETE_CONDITION: kind = 'delete'
      MAPPING: {id: id, name: name}
    - SCHEMA: $SCHEMA
      TABLE: watched
      MODE: update
      MATCH_COLUMNS: [id]
      UPDATE_COLUMNS: [name]
      UPDATE_CONDITION: ext.kind <> 'delete' AND into_table.is_watched
      MAPPING: {id: id, name: name}
";
        let case = Case::new(db, "outputs", 2);
        case.table("history (id int, name text, kind text)", "id");
        case.table("orders (id int, name text)", "id");
        case.table("watched (id int, name text, is_watched bool)", "id");
        db.execute(&format!("INSERT INTO {}.watched VALUES (1, 'x', true), (2, 'y', false), (99, 'z', true)", case.schema));
        let changes = changes(99, 60);
        produce(&case, &changes, maxwell);
        let outcome = case.load(&job(&case, blocks, ONE_BY_ONE));
        let model = Model::of(&changes);
        let mut names: Vec<_> = changes.iter().map(|change| match change {
            Change::Put(id, name) => format!("{id}|{name}"),
            Change::Delete(id) => format!("{id}|deleted"),
        }).collect();
        names.sort();
        let sql = "SELECT id, CASE kind WHEN 'delete' THEN 'deleted' ELSE name END FROM $SCHEMA.history";
        let mut history = case.rows(sql);
        history.sort();
        assert_eq!(history, names);
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.orders ORDER BY id"), model.shown());
        let mut of_one = changes.iter().filter_map(|change| match change {
            Change::Put(1, name) => Some(name),
            _ => None,
        });
        let updates = u32::try_from(of_one.clone().count()).unwrap();
        let watched = [format!("1|{}|t", of_one.next_back().unwrap()), "2|y|f".to_owned(), "99|z|t".to_owned()];
        assert_eq!(case.rows("SELECT * FROM $SCHEMA.watched ORDER BY id"), watched);
        assert_eq!(counts(&outcome, "orders"), [model.inserted, model.updated, model.deleted]);
        assert_eq!(counts(&outcome, "watched"), [0, updates, 0]);
        outcome.expect_text(&format!("-Inserted {} rows", changes.len()));
    }

    fn each_of_several_outputs_tells_what_its_filter_dropped(db) {
        let blocks = "    VALUE: {FORMAT: csv, COLUMNS: [{NAME: id, TYPE: int}, {NAME: name, TYPE: text}]}
  OUTPUTS:
    - {SCHEMA: $SCHEMA, TABLE: everything}
    - {SCHEMA: $SCHEMA, TABLE: few, FILTER: id > 2}
";
        let case = Case::new(db, "filters", 1);
        case.table("everything (id int, name text)", "id");
        case.table("few (id int, name text)", "id");
        case.topic.produce(0, ["1,a", "2,b", "3,c"]);
        let outcome = case.load(&job(&case, blocks, ONE_BATCH));
        assert_eq!((case.count("everything"), case.count("few")), (3, 1));
        outcome.expect_text("-Inserted 1 rows").expect_text("-Filtered 2 rows").expect_no_text("-Filtered 0 rows");
    }
}
