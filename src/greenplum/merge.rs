//! UPDATE and MERGE: of the batch's rows of one key one is chosen, and only that one meets the target.
//!
//! ```text
//! external table or stage ─mapping─▶ mapped ─choice─▶ chosen ─▶ delete · update · insert · delete
//! ```
//!
//! Rows are mapped into a table of the target's own types first, so that keys are compared as the target compares them.
//! The choice sorts once: by key, then the user's order, then partition and offset. What is left of a key that came from
//! several partitions, one row of each, is rare and settled by time of day in a statement of its own.

use super::failure::Error;
use super::identity::md5_of;
use super::insert::insert;
use super::mapping::{Fields, condition, unknown_column};
use super::scratch::{Scratch, list};
use super::settings::{Match, Mode, Output, Transformer};
use super::sql::nearest;
use super::statement::{Statement, Text};
use super::step::{Act, Step};
use super::target::Target;
use super::transformer;
use super::words::Words;
use crate::table::{Column, Ident, TableName};

/// Where a row comes from: what the external table has behind the source's own columns when rows must be chosen among.
pub(super) const BOOKKEEPING: [(&str, &str); 4] = [
    ("gpkafka_partition", "integer"),
    ("gpkafka_offset", "bigint"),
    // milliseconds since 1970; NULL where the record has none
    ("gpkafka_timestamp", "bigint"),
    // of the rows of one record, from 0
    ("gpkafka_row", "integer"),
];
/// Set by the choice: a row of its key and of another partition was chosen too.
const IS_RIVAL: &str = "gpkafka_is_rival";
/// Set by the choice: DELETE_CONDITION takes it.
const IS_DELETED: &str = "gpkafka_is_deleted";
/// No column of a source or a target may bear them.
pub(super) const RESERVED: &str = "gpkafka_";

/// The alias of the target in conditions, and that of the batch.
const INTO_TABLE: &str = "into_table";
const EXT: &str = "ext";

/// What an UPDATE or a MERGE does with a batch.
#[derive(Debug, Clone)]
pub(super) struct Merge {
    target: TableName,
    fields: Fields,
    /// What makes the fields, in place of a mapping.
    transformer: Option<Transformer>,
    /// Rows without a match are inserted.
    inserts: bool,
    keys: Vec<Ident>,
    updates: Vec<Ident>,
    orders: Vec<Ident>,
    update_condition: Option<String>,
    delete: Option<Delete>,
    /// Source columns that conditions or the order may name.
    carried: Vec<Ident>,
    /// Columns that conditions may name without `into_table`.
    known: Vec<Ident>,
    mapped: Scratch,
    chosen: Scratch,
}

#[derive(Debug, Clone)]
struct Delete {
    condition: String,
    /// It is about the batch alone: known before the target is looked at, and such rows are never written.
    is_of_batch: bool,
}

/// The bookkeeping as columns.
pub(super) fn bookkeeping() -> impl Iterator<Item = Column> {
    BOOKKEEPING.iter().map(|(name, sql_type)| Column { name: Ident::exact(*name), sql_type: (*sql_type).to_owned() })
}

impl Merge {
    /// The plan of an output's UPDATE or MERGE, `None` for INSERT; `number` tells its tables from other outputs'.
    ///
    /// # Errors
    /// [`Error::Target`]: match, update or order columns that are not there or get no value.
    pub(super) fn new(
        target: &Target,
        source: &[Column],
        output: &Output,
        fields: &Fields,
        number: usize,
    ) -> Result<Option<Self>, Error> {
        let wanted = match &output.mode {
            Mode::Insert => return Ok(None),
            Mode::Update(wanted) | Mode::Merge(wanted) => wanted,
        };
        check(target, source, output, wanted, fields)?;
        let sql_type = |name: &Ident| target.column(name).map(|column| column.sql_type.clone());
        Ok(Some(Self::build(source, output, wanted, fields, number, target, &sql_type)))
    }

    /// The same without a server.
    pub(super) fn unchecked(source: &[Column], output: &Output, fields: &Fields, number: usize) -> Option<Self> {
        let wanted = match &output.mode {
            Mode::Insert => return None,
            Mode::Update(wanted) | Mode::Merge(wanted) => wanted,
        };
        let unknown =
            Target { table: output.target.clone(), columns: Vec::new(), distribution: Vec::new(), gets_sets: false };
        let sql_type = |_: &Ident| Some("<type of the target's>".to_owned());
        Some(Self::build(source, output, wanted, fields, number, &unknown, &sql_type))
    }

    fn build(
        source: &[Column],
        output: &Output,
        wanted: &Match,
        fields: &Fields,
        number: usize,
        target: &Target,
        sql_type: &dyn Fn(&Ident) -> Option<String>,
    ) -> Self {
        let is_field = |name: &Ident| fields.iter().any(|(field, _)| field == name);
        let update_condition = condition(wanted.update_condition.as_ref());
        let delete_condition = condition(wanted.delete_condition.as_ref());
        let words: Vec<Words> =
            [&update_condition, &delete_condition].into_iter().flatten().map(|sql| Words::of(sql)).collect();
        let may_name = |name: &Ident| {
            wanted.order_columns.contains(name)
                || words.iter().any(|words| words.has(name.as_str()) || words.has_row_of(EXT))
        };
        let carried: Vec<Column> =
            source.iter().filter(|column| !is_field(&column.name) && may_name(&column.name)).cloned().collect();
        let is_of_target = |words: &Words| {
            words.has(INTO_TABLE)
                || target.columns.iter().any(|column| {
                    let is_in_batch = is_field(&column.name) || source.iter().any(|known| known.name == column.name);
                    !is_in_batch && words.has(column.name.as_str())
                })
        };
        let typed = |(name, _): &(Ident, String)| Column {
            name: name.clone(),
            sql_type: sql_type(name).expect("fields are columns of the target"),
        };
        let mut columns: Vec<Column> = fields.iter().map(typed).chain(carried.iter().cloned()).collect();
        columns.extend(bookkeeping());
        let mapped = Scratch::new(format!("gpkafka_mapped_{number}"), columns.clone(), Vec::new());
        columns.pop();
        let flag = |name: &str| Column { name: Ident::exact(name), sql_type: "boolean".to_owned() };
        columns.push(flag(IS_RIVAL));
        let delete = delete_condition.map(|condition| {
            let is_of_batch = !is_of_target(&Words::of(&condition));
            Delete { condition, is_of_batch }
        });
        if delete.as_ref().is_some_and(|delete| delete.is_of_batch) {
            columns.push(flag(IS_DELETED));
        }
        let is_by_key = target.distribution.iter().all(|column| wanted.match_columns.contains(column));
        let distribution = if is_by_key { target.distribution.clone() } else { Vec::new() };
        Self {
            target: output.target.clone(),
            fields: fields.clone(),
            transformer: output.transformer.clone(),
            inserts: matches!(output.mode, Mode::Merge(_)),
            keys: wanted.match_columns.clone(),
            // a key that is set to what it is would move rows between segments for nothing
            updates: wanted
                .update_columns
                .iter()
                .filter(|name| !wanted.match_columns.contains(name))
                .cloned()
                .collect(),
            orders: wanted.order_columns.clone(),
            update_condition,
            delete,
            known: fields
                .iter()
                .map(|(name, _)| name)
                .chain(source.iter().map(|column| &column.name))
                .cloned()
                .collect(),
            carried: carried.into_iter().map(|column| column.name).collect(),
            mapped,
            chosen: Scratch::new(format!("gpkafka_chosen_{number}"), columns, distribution),
        }
    }

    /// The tables that it needs.
    pub(super) fn scratches(&self) -> [&Scratch; 2] {
        [&self.mapped, &self.chosen]
    }

    /// What the mapping makes, in the target's types.
    pub(super) fn mapped_fields(&self) -> Vec<Column> {
        self.mapped.columns[..self.fields.len()].to_vec()
    }

    /// All statements of a batch, in their order, with rows read from this table; rows for which not every filter is
    /// true are dropped.
    pub(super) fn steps(&self, from: &TableName, filters: &[&str], source: &[Ident]) -> Vec<Step> {
        let mut steps = vec![
            Step { act: Act::Map, statement: self.map(from, filters, source) },
            Step { act: Act::Choose, statement: self.choose() },
            Step { act: Act::LookForRivals, statement: self.look_for_rivals() },
            Step { act: Act::Settle, statement: self.settle() },
        ];
        if self.inserts {
            steps.push(Step { act: Act::Lock, statement: self.lock() });
        }
        let delete = |is_of_batch: bool| self.delete.as_ref().filter(|delete| delete.is_of_batch == is_of_batch);
        if delete(true).is_some() {
            let and = Text::own(format!(" AND ext.{IS_DELETED}"));
            steps.push(Step { act: Act::Delete, statement: self.delete(&and) });
        }
        if !self.updates.is_empty() {
            steps.push(Step { act: Act::Update, statement: self.update() });
        }
        if self.inserts {
            steps.push(Step { act: Act::InsertNew, statement: self.insert_new() });
        }
        if let Some(delete) = delete(false) {
            let and = Text::own("\n   AND ").then(Text::condition("DELETE_CONDITION", &delete.condition));
            steps.push(Step { act: Act::Delete, statement: self.delete(&and) });
        }
        steps
    }

    fn map(&self, from: &TableName, filters: &[&str], source: &[Ident]) -> Statement {
        let as_they_are = self.carried.iter().cloned().chain(bookkeeping().map(|column| column.name));
        if let Some(transformer) = &self.transformer {
            let carried: Vec<Ident> = as_they_are.collect();
            let into = (&self.mapped.table, &self.fields);
            return transformer::insert(transformer, into, &carried, from, filters, source);
        }
        let mut fields = self.fields.clone();
        fields.extend(as_they_are.map(|name| (name.clone(), format!("ext.{name}"))));
        insert(&self.mapped.table, &fields, from, filters, source)
    }

    fn choose(&self) -> Statement {
        let is_of_batch = self.delete.as_ref().filter(|delete| delete.is_of_batch);
        let flags = 1 + usize::from(is_of_batch.is_some());
        let names = self.chosen.names();
        let (deleted, is_deleted) = match is_of_batch {
            None => (Text::default(), Text::default()),
            Some(delete) => (
                Text::own(format!(", {IS_DELETED}")),
                Text::own(", ")
                    .then(Text::condition("DELETE_CONDITION", &delete.condition))
                    .then(Text::own(" IS TRUE")),
            ),
        };
        let order: Vec<Text> = self
            .orders
            .iter()
            .map(|name| {
                Text::part(format!("the order column {name}"), name.to_string()).then(Text::own(" DESC NULLS LAST"))
            })
            .collect();
        let ordered = Text::joined(order.clone(), ", ");
        let rank = Text::own(",\n               rank() OVER (PARTITION BY ")
            .then(self.key())
            .then(Text::own(" ORDER BY "))
            .then(ordered.clone())
            .then(Text::own(") AS gpkafka_rank"));
        let is_ordered = |text: Text| if order.is_empty() { Text::default() } else { text };
        let unkeyed = match self.inserts {
            true => self.each_key(|key| format!("ext.{key} IS NULL OR "), ""),
            false => self.each_key(|key| format!("ext.{key} IS NOT NULL AND "), ""),
        };
        let values = [
            ("chosen", &Text::own(self.chosen.table.to_string())),
            ("columns", &Text::own(list(&names[..names.len() - flags]))),
            ("deleted", &deleted),
            ("is_deleted", &is_deleted),
            ("keyed", &Text::own(self.keyed("ext."))),
            ("rank", &is_ordered(rank)),
            ("mapped", &Text::own(self.mapped.table.to_string())),
            ("key", &self.key()),
            ("order", &is_ordered(ordered.then(Text::own(", ")))),
            ("unkeyed", &Text::own(unkeyed)),
            ("ranked", &is_ordered(Text::own(" AND gpkafka_rank = 1"))),
        ];
        let doing = format!("choosing a row of each key of {}", self.target);
        Statement::fill(doing, include_str!("../../sql/write_choose.sql"), &values, &self.known)
    }

    fn look_for_rivals(&self) -> Statement {
        let template = "SELECT count(*) FROM {chosen} WHERE gpkafka_is_rival";
        self.fill("looking for keys of several partitions among rows of", template, &[])
    }

    fn settle(&self) -> Statement {
        let key = Text::own(list(&self.keys));
        let keyed = Text::own(self.keyed(""));
        let template = include_str!("../../sql/write_settle.sql");
        self.fill("choosing between partitions for", template, &[("key", &key), ("keyed", &keyed)])
    }

    /// Two loads that merge the same new key into one target at once would each find it missing. They wait for each other
    /// by a lock of our own: it costs other writers nothing, and needs no right.
    fn lock(&self) -> Statement {
        let hash = md5_of(&["merge", self.target.schema.as_str(), self.target.table.as_str()]);
        let key = u64::from_str_radix(&hash[..16], 16).expect("a hash is hex digits").cast_signed();
        let key = Text::own(key.to_string());
        self.fill(
            "waiting for other loads to merge into",
            "SELECT pg_catalog.pg_advisory_xact_lock({key})",
            &[("key", &key)],
        )
    }

    fn update(&self) -> Statement {
        let set = self
            .updates
            .iter()
            .map(|name| Text::part(format!("the update column {name}"), format!("{name} = ext.{name}")));
        let and = self.and_kept("\n   AND ");
        let and = match &self.update_condition {
            None => and,
            Some(condition) => and.then(Text::own("\n   AND ")).then(Text::condition("UPDATE_CONDITION", condition)),
        };
        let set = Text::joined(set, ",\n       ");
        self.fill("updating", include_str!("../../sql/write_update.sql"), &[("set", &set), ("and", &and)])
    }

    fn insert_new(&self) -> Statement {
        let names = || self.fields.iter().map(|(name, _)| name);
        let columns = Text::part(format!("the column list of {}", self.target), list(names()));
        let fields = names().map(|name| Text::own(format!("ext.{name}")));
        let fields = Text::joined(fields, ", ");
        let kept = match self.has_deleted() {
            true => Text::own(format!("NOT ext.{IS_DELETED} AND ")),
            false => Text::default(),
        };
        let values = [("columns", &columns), ("fields", &fields), ("kept", &kept)];
        self.fill("inserting new rows into", include_str!("../../sql/write_insert_new.sql"), &values)
    }

    fn delete(&self, and: &Text) -> Statement {
        self.fill("deleting from", include_str!("../../sql/write_delete.sql"), &[("and", and)])
    }

    /// A statement between the chosen rows and the target.
    fn fill(&self, doing: &str, template: &str, more: &[(&str, &Text)]) -> Statement {
        let target = Text::own(self.target.to_string());
        let chosen = Text::own(self.chosen.table.to_string());
        let matches = Text::joined(
            self.keys
                .iter()
                .map(|key| Text::part(format!("the match column {key}"), format!("{INTO_TABLE}.{key} = {EXT}.{key}"))),
            " AND ",
        );
        let mut values = vec![("target", &target), ("chosen", &chosen), ("match", &matches)];
        values.extend(more);
        Statement::fill(format!("{doing} {}", self.target), template, &values, &self.known)
    }

    fn has_deleted(&self) -> bool {
        self.delete.as_ref().is_some_and(|delete| delete.is_of_batch)
    }

    fn and_kept(&self, and: &str) -> Text {
        if self.has_deleted() { Text::own(format!("{and}NOT ext.{IS_DELETED}")) } else { Text::default() }
    }

    fn key(&self) -> Text {
        let keys = self.keys.iter().map(|key| Text::part(format!("the match column {key}"), key.to_string()));
        Text::joined(keys, ", ")
    }

    fn each_key(&self, text: impl Fn(&Ident) -> String, between: &str) -> String {
        self.keys.iter().map(text).collect::<Vec<_>>().join(between)
    }

    /// Whether a row has a whole key: NULL equals nothing, not even itself.
    fn keyed(&self, of: &str) -> String {
        self.each_key(|key| format!("{of}{key} IS NOT NULL"), " AND ")
    }
}

fn check(target: &Target, source: &[Column], output: &Output, wanted: &Match, fields: &Fields) -> Result<(), Error> {
    let refuse = |text: String| Err(Error::Target { text });
    let mode = if matches!(output.mode, Mode::Merge(_)) { "MERGE" } else { "UPDATE" };
    if wanted.match_columns.is_empty() {
        return refuse(format!("{mode} into {} needs MATCH_COLUMNS", target.table));
    }
    let all = [("MATCH_COLUMNS", &wanted.match_columns), ("UPDATE_COLUMNS", &wanted.update_columns)];
    for (key, names) in all {
        for (at, name) in names.iter().enumerate() {
            if target.column(name).is_none() {
                return Err(unknown_column(target, name, &format!("correct {key}")));
            }
            if names[..at].contains(name) {
                return refuse(format!("{key} names column {name} twice"));
            }
            if !fields.iter().any(|(field, _)| field == name) {
                let written = match &output.transformer {
                    Some(_) => "add it to COLUMNS of the TRANSFORMER",
                    None if output.mapping.is_empty() => "no source column has this name",
                    None => "add it to MAPPING",
                };
                return refuse(format!(
                    "{key} names column {name} of {}, but no value goes into it: {written}",
                    target.table
                ));
            }
        }
    }
    let is_updating = wanted.update_columns.iter().any(|name| !wanted.match_columns.contains(name));
    if mode == "UPDATE" && !is_updating && wanted.delete_condition.is_none() {
        return refuse(format!("UPDATE of {} needs UPDATE_COLUMNS beside those that match", target.table));
    }
    let known = || fields.iter().map(|(name, _)| name).chain(source.iter().map(|column| &column.name));
    if let Some(name) = wanted.order_columns.iter().find(|name| !known().any(|known| known == *name)) {
        let hint = match nearest(name.as_str(), known().map(Ident::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("they are {}", known().map(Ident::as_str).collect::<Vec<_>>().join(", ")),
        };
        return refuse(format!("ORDER_COLUMNS names {name}, which is neither a mapped nor a source column; {hint}"));
    }
    match known().find(|name| name.as_str().starts_with(RESERVED)) {
        Some(name) => {
            refuse(format!("column {name}: {mode} keeps names that begin with {RESERVED} for itself; rename it"))
        }
        None => Ok(()),
    }
}
