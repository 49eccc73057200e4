//! What one batch writes: every statement from the external table to the last target, built once from the job's outputs,
//! tried with EXPLAIN, run in the batch's transaction.
//!
//! | outputs | way of a row |
//! |---|---|
//! | one INSERT | external table ─▶ target, one statement |
//! | one UPDATE or MERGE | external table ─▶ mapped ─▶ chosen ─▶ target, see [`super::merge`] |
//! | several | external table ─▶ stage, and from there each as above: an external table can be read only once |
//! | failing batches are kept | external table ─▶ stage, the input's filter, and from there each as above |
//!
//! A function in place of a mapping that may make several rows of one takes the way of several outputs, see
//! [`super::transformer`].

use super::connection::Connection;
use super::failure::Error;
use super::insert::insert;
use super::mapping::{self, Fields, condition};
use super::merge::{Merge, RESERVED, bookkeeping};
use super::scratch::{self, Scratch};
use super::settings::{Failing, Mode, Output, Settings, Transformer};
use super::sql::fill;
use super::statement::{Statement, Text};
use super::step::{Act, Step, WrittenTo};
use super::taken::{Documents, Left, Taken, take_apart};
use super::target::Target;
use super::transformer;
use super::watch::Watched;
use crate::table::{Column, Ident, TableName};

/// See the module.
#[derive(Debug, Clone)]
pub struct Writes {
    source: Vec<Column>,
    documents: Documents,
    has_bookkeeping: bool,
    input_filter: Option<String>,
    failing: Failing,
    dead_letters: Option<TableName>,
    /// Where several outputs read, and where a batch is tried from again.
    stage: Option<Scratch>,
    outputs: Vec<Way>,
}

/// The way into one target.
#[derive(Debug, Clone)]
struct Way {
    target: TableName,
    fields: Fields,
    filter: Option<String>,
    /// What makes the fields, in place of a mapping.
    transformer: Option<Transformer>,
    /// `None` inserts.
    merge: Option<Merge>,
    watched: Option<Watched>,
}

/// Statements, each with the output that it is for.
#[derive(Debug, Clone)]
pub(super) struct Script(pub(super) Vec<(Option<usize>, Step)>);

/// The statements of a batch: the one that reads the external table, and those behind it.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) first: (Option<usize>, Step),
    pub(super) rest: Script,
}

impl Writes {
    /// Joins source columns, mappings and targets, these in the order of the outputs.
    ///
    /// # Errors
    /// [`Error::Target`]: a mapping to a column that the target lacks, with the nearest name; without a mapping, a
    /// source column that the target lacks; match, update or order columns that are not there or get no value.
    pub fn new(targets: &[Target], settings: &Settings) -> Result<Self, Error> {
        let (settings, documents) = &take_apart(settings);
        let is_derived = settings.columns.is_none();
        let own = || targets.first().map(Target::as_source).unwrap_or_default();
        let source = settings.columns.clone().unwrap_or_else(own);
        if settings.failing != Failing::Fail {
            check_names(&source)?;
        }
        let mut ways = Vec::new();
        for (at, (target, output)) in targets.iter().zip(&settings.outputs).enumerate() {
            let fields = mapping::fields(target, &source, output)?;
            let merge = Merge::new(target, &source, output, &fields, at + 1)?;
            let watched = Some(Watched::new(target, &fields, is_derived && at == 0));
            ways.push(Way::new(output, fields, merge, watched));
        }
        let gets_sets = targets.iter().any(|target| target.gets_sets);
        Ok(Self { documents: documents.clone(), ..Self::build(source, settings, ways, gets_sets) })
    }

    /// The same text without a server, for showing it: a source or a mapping must be given.
    pub fn unchecked(settings: &Settings) -> Option<Self> {
        let (settings, documents) = &take_apart(settings);
        let source = settings.columns.clone().unwrap_or_default();
        let way = |(at, output): (usize, &Output)| {
            let fields = mapping::unchecked(&source, output);
            let merge = Merge::unchecked(&source, output, &fields, at + 1);
            Way::new(output, fields, merge, None)
        };
        let ways: Vec<Way> = settings.outputs.iter().enumerate().map(way).collect();
        let is_whole = ways.iter().all(|way| !way.fields.is_empty());
        is_whole.then(|| Self { documents: documents.clone(), ..Self::build(source, settings, ways, false) })
    }

    fn build(source: Vec<Column>, settings: &Settings, outputs: Vec<Way>, gets_sets: bool) -> Self {
        let failing = settings.failing;
        let has_bookkeeping = failing != Failing::Fail || outputs.iter().any(|way| way.merge.is_some());
        let input_filter = condition(settings.input_filter.as_ref());
        let dead_letters = settings.dead_letters.clone();
        let documents = Documents::default();
        let mut writes =
            Self { source, documents, has_bookkeeping, input_filter, failing, dead_letters, stage: None, outputs };
        if writes.outputs.len() > 1 || gets_sets || failing != Failing::Fail {
            writes.stage = Some(Scratch::new("gpkafka_stage", writes.columns(), Vec::new()));
        }
        writes
    }

    /// Documents that the loader takes apart: it must fill their columns.
    pub fn taken(&self) -> &[Taken] {
        &self.documents.taken
    }

    /// Documents that could be, and why they are not.
    pub fn left(&self) -> &[Left] {
        &self.documents.left
    }

    /// The source's own columns, in the order of the encoded fields.
    pub fn source(&self) -> &[Column] {
        &self.source
    }

    /// The columns of the external table: the source's, and behind them partition, offset, timestamp and row where
    /// [`Writes::has_bookkeeping`].
    pub fn columns(&self) -> Vec<Column> {
        let more = bookkeeping().filter(|_| self.has_bookkeeping);
        self.source.iter().cloned().chain(more).collect()
    }

    /// Whether every row must bring where it comes from: partition, offset, timestamp in milliseconds or NULL, and the
    /// row's index inside its record. An UPDATE or MERGE chooses by them, and bad rows are looked for in their order.
    pub fn has_bookkeeping(&self) -> bool {
        self.has_bookkeeping
    }

    /// The targets, in the order of the outputs.
    pub fn targets(&self) -> impl Iterator<Item = &TableName> {
        self.outputs.iter().map(|way| &way.target)
    }

    /// Whether rows may vanish behind the external table uncounted: a filter stands right there, or a function that may
    /// make no row of one.
    pub fn is_filtered(&self) -> bool {
        let drops = |way: &Way| way.filter.is_some() || way.transformer.is_some();
        self.input_filter.is_some() || (self.stage.is_none() && self.outputs.iter().any(drops))
    }

    /// Whether a function makes the rows of an output: it has no rehearsal.
    pub(super) fn has_transformer(&self) -> bool {
        self.outputs.iter().any(|way| way.transformer.is_some())
    }

    /// What becomes of a batch of which the database refuses a row.
    pub(super) fn failing(&self) -> Failing {
        self.failing
    }

    /// Where rows go that are found bad, in place of a backup table.
    pub(super) fn dead_letters(&self) -> Option<&TableName> {
        self.dead_letters.as_ref()
    }

    /// Where the batch stays until its outputs are written, if a failing one is kept.
    pub(super) fn kept_stage(&self) -> Option<&Scratch> {
        self.stage.as_ref().filter(|_| self.failing != Failing::Fail)
    }

    /// The statements of a batch, for showing them; what stands before `BEGIN` comes from [`Writes::tables`].
    pub fn statements(&self, external: &TableName) -> Vec<String> {
        let script = self.script(external);
        let shown = script.all().map(|(_, step)| match step.act {
            Act::Settle => format!("-- only where that is not 0\n{}", step.statement.sql()),
            _ => step.statement.sql().to_owned(),
        });
        shown.collect()
    }

    /// What makes the temporary tables of a session, for showing it.
    pub fn tables(&self, is_greenplum: bool) -> Vec<String> {
        self.scratches().map(|table| table.create(is_greenplum)).collect()
    }

    fn scratches(&self) -> impl Iterator<Item = &Scratch> {
        let merges = self.outputs.iter().filter_map(|way| way.merge.as_ref());
        self.stage.iter().chain(merges.flat_map(Merge::scratches))
    }

    /// Makes the session's temporary tables where they are missing.
    ///
    /// # Errors
    /// A statement failed: the role may have lost TEMPORARY.
    pub(super) fn lay_out(&self, connection: &mut Connection) -> Result<(), Error> {
        scratch::lay_out(connection, self.scratches())
    }

    /// All statements of a batch that reads from this external table.
    pub(super) fn script(&self, external: &TableName) -> Reading {
        let input: Vec<&str> = self.input_filter.as_deref().into_iter().collect();
        let Some(stage) = &self.stage else {
            let mut steps = self.ways(external, &input);
            let first = steps.remove(0);
            return Reading { first, rest: Script(steps) };
        };
        let fields: Fields = stage.names().into_iter().map(|name| (name.clone(), name.to_string())).collect();
        // a condition fails for a row just as a mapping does: then it is looked at behind the stage
        let (filters, sift) = match self.failing {
            Failing::Fail => (input, None),
            Failing::Save | Failing::Recover => (Vec::new(), self.sift(&stage.table, None)),
        };
        let statement = insert(&stage.table, &fields, external, &filters, &self.known());
        let rest = sift.into_iter().chain(self.ways(&stage.table, &[])).collect();
        Reading { first: (None, Step { act: Act::Stage, statement }), rest: Script(rest) }
    }

    /// What brings rows of a table like the stage into the targets: those for which a condition is true, as a trial, or
    /// all. May come many times in a transaction.
    pub(super) fn part(&self, rows: &TableName, within: Option<&str>) -> Script {
        let merges = self.outputs.iter().filter_map(|way| way.merge.as_ref());
        let empty = |table: &Scratch| {
            let doing = format!("emptying {}", table.table);
            let statement = Statement::fill(doing, &format!("DELETE FROM {}", table.table), &[], &[]);
            (None, Step { act: Act::Empty, statement })
        };
        let emptied = merges.flat_map(Merge::scratches).map(empty);
        let within_only: Vec<&str> = within.into_iter().collect();
        Script(emptied.chain(self.sift(rows, within)).chain(self.ways(rows, &within_only)).collect())
    }

    /// What makes the tables for [`Writes::rehearsal`]: like the targets of inserts, with their checks and without their
    /// keys, and for others as rows come out of the mapping. Greenplum only.
    pub(super) fn rehearsal_tables(&self) -> Vec<String> {
        let create = |(at, way): (usize, &Way)| match &way.merge {
            None => fill(
                include_str!("../../sql/rehearsal_create.sql").trim_end(),
                &[("table", &rehearsal_table(at)), ("target", &way.target)],
            ),
            Some(merge) => {
                let mut columns = merge.mapped_fields();
                columns.push(number());
                Scratch::new(rehearsal_name(at), columns, vec![number().name]).create(true)
            }
        };
        self.outputs.iter().enumerate().map(create).collect()
    }

    /// The mappings alone, of numbered rows within a part, into tables that leave every row on its segment.
    pub(super) fn rehearsal(&self, rows: &TableName, within: &str) -> Script {
        let known = self.known();
        let map = |(at, way): (usize, &Way)| {
            let filters: Vec<&str> = std::iter::once(within).chain(way.filter.as_deref()).collect();
            let mut fields = way.fields.clone();
            fields.push((number().name, format!("ext.{}", number().name)));
            let statement = insert(&rehearsal_table(at), &fields, rows, &filters, &known);
            (Some(at), Step { act: Act::Map, statement })
        };
        let sift = self.sift(rows, Some(within));
        Script(sift.into_iter().chain(self.outputs.iter().enumerate().map(map)).collect())
    }

    fn ways(&self, from: &TableName, filters: &[&str]) -> Vec<(Option<usize>, Step)> {
        let known = self.known();
        let mut steps = Vec::new();
        for (at, way) in self.outputs.iter().enumerate() {
            let mut filters = filters.to_vec();
            filters.extend(way.filter.as_deref());
            steps.extend(way.steps(from, &filters, &known).into_iter().map(|step| (Some(at), step)));
        }
        steps
    }

    fn known(&self) -> Vec<Ident> {
        let is_field = |name: &Ident| self.taken().iter().flat_map(|taken| &taken.fields).any(|it| it.column == *name);
        self.source.iter().map(|column| column.name.clone()).filter(|name| !is_field(name)).collect()
    }

    /// Drops the rows that the input's filter does not let pass, of those within a part.
    fn sift(&self, stage: &TableName, within: Option<&str>) -> Option<(Option<usize>, Step)> {
        let filter = Text::condition("the filter", self.input_filter.as_deref()?);
        let and = within.map(|within| format!("\n   AND {within}")).unwrap_or_default();
        let values = [("stage", &Text::own(stage.to_string())), ("filter", &filter), ("and", &Text::own(and))];
        let template = include_str!("../../sql/write_sift.sql");
        let statement = Statement::fill("filtering the batch".to_owned(), template, &values, &self.known());
        Some((None, Step { act: Act::Sift, statement }))
    }

    /// Has the database plan every statement without running it.
    ///
    /// # Errors
    /// [`Error::Target`] naming the mapping, condition or column that the database refuses.
    ///
    /// # Blocks
    /// For a planning, and for locks on the targets.
    pub fn explain(&self, connection: &mut Connection, external: &TableName) -> Result<(), Error> {
        self.plans(connection, external).map(drop)
    }

    /// What EXPLAIN says of each statement.
    pub(super) fn plans(
        &self,
        connection: &mut Connection,
        external: &TableName,
    ) -> Result<Vec<(String, Vec<String>)>, Error> {
        self.lay_out(connection)?;
        let mut plans = Vec::new();
        for (output, step) in self.script(external).all() {
            let plan = step.statement.explain(connection).map_err(|error| self.of_output(*output, error))?;
            plans.push((step.statement.doing().to_owned(), plan));
        }
        Ok(plans)
    }

    /// Says which of several outputs an error is about.
    fn of_output(&self, output: Option<usize>, error: Error) -> Error {
        match (output.filter(|_| self.outputs.len() > 1), error) {
            (Some(at), Error::Target { text }) => {
                Error::Target { text: format!("output {} into {}: {text}", at + 1, self.outputs[at].target) }
            }
            (_, error) => error,
        }
    }

    /// Compares every target with what the statements were built on, see [`Watched::check`].
    ///
    /// # Errors
    /// [`Error::TargetChanged`].
    pub(super) fn check_unchanged(&self, connection: &mut Connection) -> Result<(), Error> {
        self.outputs.iter().filter_map(|way| way.watched.as_ref()).try_for_each(|watched| watched.check(connection))
    }

    /// Counts of nothing yet.
    pub(super) fn tally(&self) -> Vec<WrittenTo> {
        self.targets().map(WrittenTo::new).collect()
    }
}

fn rehearsal_name(at: usize) -> String {
    format!("gpkafka_rehearsal_{}", at + 1)
}

fn rehearsal_table(at: usize) -> TableName {
    TableName { schema: Ident::exact("pg_temp"), table: Ident::exact(rehearsal_name(at)) }
}

/// Of a row among those of its batch, from 0.
pub(super) fn number() -> Column {
    Column { name: Ident::exact("gpkafka_number"), sql_type: "bigint".to_owned() }
}

impl Reading {
    fn all(&self) -> impl Iterator<Item = &(Option<usize>, Step)> {
        std::iter::once(&self.first).chain(&self.rest.0)
    }
}

/// Where the stage has columns of our own beside the source's.
fn check_names(source: &[Column]) -> Result<(), Error> {
    match source.iter().find(|column| column.name.as_str().starts_with(RESERVED)) {
        None => Ok(()),
        Some(Column { name, .. }) => Err(Error::Target {
            text: format!(
                "column {name}: where failing batches are kept, names that begin with {RESERVED} are not free; rename it"
            ),
        }),
    }
}

impl Way {
    fn new(output: &Output, fields: Fields, merge: Option<Merge>, watched: Option<Watched>) -> Self {
        debug_assert_eq!(merge.is_none(), output.mode == Mode::Insert, "what chooses has a plan for it");
        let (target, filter) = (output.target.clone(), condition(output.filter.as_ref()));
        Self { target, fields, filter, transformer: output.transformer.clone(), merge, watched }
    }

    fn steps(&self, from: &TableName, filters: &[&str], known: &[Ident]) -> Vec<Step> {
        let statement = match (&self.merge, &self.transformer) {
            (Some(merge), _) => return merge.steps(from, filters, known),
            (None, None) => insert(&self.target, &self.fields, from, filters, known),
            (None, Some(transformer)) => {
                transformer::insert(transformer, (&self.target, &self.fields), &[], from, filters, known)
            }
        };
        vec![Step { act: Act::Insert, statement }]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{ExpectFile, expect, expect_file};

    use super::*;
    use crate::greenplum::settings::{Mapping, Match};
    use crate::greenplum::target::tests::target;

    fn column(name: &str, sql_type: &str) -> Column {
        Column { name: Ident::from_written(name), sql_type: sql_type.to_owned() }
    }

    fn name(table: &str) -> TableName {
        TableName { schema: Ident::exact("public"), table: Ident::exact(table) }
    }

    fn mapping(pairs: &[(&str, &str)]) -> Vec<Mapping> {
        let pair = |&(column, expression): &(&str, &str)| Mapping {
            column: Ident::from_written(column),
            expression: expression.to_owned(),
        };
        pairs.iter().map(pair).collect()
    }

    fn settings(columns: Option<Vec<Column>>, pairs: &[(&str, &str)], filter: Option<&str>) -> Settings {
        let mut settings = Settings::new("db", 5432, "etl", "sales", name("orders"));
        settings.columns = columns;
        settings.outputs[0].mapping = mapping(pairs);
        settings.outputs[0].filter = filter.map(str::to_owned);
        settings
    }

    fn text(targets: &[Target], settings: &Settings) -> String {
        match Writes::new(targets, settings) {
            Ok(writes) => {
                let tables = writes.tables(true).into_iter();
                tables.chain(writes.statements(&name("gpkafkaloadext_x"))).collect::<Vec<_>>().join(";\n")
            }
            Err(error) => error.to_string(),
        }
    }

    fn idents(names: &[&str]) -> Vec<Ident> {
        names.iter().map(|name| Ident::from_written(name)).collect()
    }

    #[test]
    fn a_mapping_is_inserted_as_it_was_written() {
        let target = target(&[("customer_id", "bigint"), ("expenses", "numeric(9,2)"), ("tax_due", "numeric(7,2)")]);
        let columns = vec![column("cust_id", "int"), column("expenses", "decimal(9,2)")];
        let mapping = [("customer_id", "cust_id"), ("expenses", "EXPENSES"), ("tax_due", "expenses * .0725")];
        expect![[r#"
            INSERT INTO "public"."orders" ("customer_id", "expenses", "tax_due")
            SELECT "cust_id",
                   "expenses",
                   expenses * .0725
              FROM "public"."gpkafkaloadext_x" AS ext
             WHERE (expenses > 3 -- dear
            )"#]]
        .assert_eq(&text(&[target], &settings(Some(columns), &mapping, Some("expenses > 3 -- dear ; "))));
    }

    #[test]
    fn names_match_without_a_mapping() {
        let target = [target(&[("a", "text"), ("B", "integer")])];
        expect![[r#"
            INSERT INTO "public"."orders" ("a", "B")
            SELECT "a",
                   "B"
              FROM "public"."gpkafkaloadext_x" AS ext"#]]
        .assert_eq(&text(&target, &settings(None, &[], None)));
        let errors = [
            settings(Some(vec![column("x", "text")]), &[], None),
            settings(Some(vec![column("a", "text"), column("b", "text")]), &[], None),
            settings(Some(vec![column("a", "text")]), &[("costumer", "a")], None),
            settings(Some(vec![column("a", "text")]), &[("a", "a"), ("a", "a")], None),
        ]
        .map(|settings| text(&target, &settings))
        .join("\n");
        expect![[r#"
            "public"."orders" has none of the source columns (x), its own are a, B; give a MAPPING
            "public"."orders" has no column "b"; there is one named "B": write it as '"B"' to keep its capitals
            "public"."orders" has no column "costumer"; its columns are a, B; correct the MAPPING
            MAPPING names column "a" twice"#]]
        .assert_eq(&errors);
    }

    fn merged(wanted: Match) -> (Target, Settings) {
        let mut target = target(&[("id", "bigint"), ("Order", "text"), ("total", "numeric(9,2)"), ("seen", "date")]);
        target.distribution = idents(&["id"]);
        let columns = vec![column("op", "text"), column("doc", "json"), column("lsn", "bigint")];
        let pairs =
            [("id", "(doc->>'id')::int"), ("\"Order\"", "doc->>'order'"), ("total", "(doc->>'total')::numeric")];
        let mut settings = settings(Some(columns), &pairs, None);
        settings.outputs[0].mode = Mode::Merge(wanted);
        (target, settings)
    }

    fn expect_merge(wanted: Match, expected: &ExpectFile) {
        let (target, settings) = merged(wanted);
        expected.assert_eq(&text(&[target], &settings));
    }

    #[test]
    fn a_merge_chooses_a_row_of_each_key() {
        let wanted = Match {
            match_columns: idents(&["id"]),
            update_columns: idents(&["id", "\"Order\"", "total"]),
            ..Match::default()
        };
        expect_merge(wanted, &expect_file!["golden/merge.sql"]);
    }

    #[test]
    fn a_merge_with_everything() {
        let wanted = Match {
            match_columns: idents(&["id", "\"Order\""]),
            update_columns: idents(&["total"]),
            order_columns: idents(&["lsn", "total"]),
            update_condition: Some("into_table.total <> ext.total;".to_owned()),
            delete_condition: Some("op = 'D'".to_owned()),
        };
        expect_merge(wanted, &expect_file!["golden/merge_with_everything.sql"]);
    }

    #[test]
    fn a_condition_on_the_target_deletes_last() {
        for (condition, is_last) in [
            ("ext.op = 'D' AND into_table.total > 0", true),
            ("op = 'D' AND seen < now()", true),
            ("op = 'into_table'", false),
            ("total < 0", false),
        ] {
            let wanted = Match {
                match_columns: idents(&["id"]),
                update_columns: idents(&["total"]),
                delete_condition: Some(condition.to_owned()),
                ..Match::default()
            };
            let (target, settings) = merged(wanted);
            let statements = Writes::new(&[target], &settings).unwrap().statements(&name("x"));
            assert_eq!(statements.last().unwrap().starts_with("DELETE"), is_last, "{condition}");
        }
    }

    #[test]
    fn an_update_neither_inserts_nor_takes_rows_without_a_key() {
        let (target, mut settings) = merged(Match::default());
        let wanted = Match {
            match_columns: idents(&["id"]),
            update_columns: idents(&["total"]),
            update_condition: Some("doc->>'kind' = 'x'".to_owned()),
            ..Match::default()
        };
        settings.outputs[0].mode = Mode::Update(wanted);
        settings.outputs[0].filter = Some("lsn > 0".to_owned());
        settings.input_filter = Some("op IS NOT NULL".to_owned());
        expect_file!["golden/update.sql"].assert_eq(&text(&[target], &settings));
    }

    #[test]
    fn several_outputs_read_from_a_stage() {
        let (other, mut settings) =
            merged(Match { match_columns: idents(&["id"]), update_columns: idents(&["total"]), ..Match::default() });
        let first = Output {
            mapping: mapping(&[("a", "op"), ("B", "lsn")]),
            filter: Some("op <> 'x'".to_owned()),
            ..Output::insert(name("log"))
        };
        settings.outputs.insert(0, first);
        settings.input_filter = Some("lsn > 0".to_owned());
        let mut log = target(&[("a", "text"), ("b", "integer")]);
        log.table = name("log");
        settings.outputs[1].mapping.truncate(3);
        let writes = Writes::new(&[log, other], &settings).unwrap();
        assert!(writes.is_filtered() && writes.has_bookkeeping());
        let tables = writes.tables(false).into_iter();
        let shown: Vec<_> = tables.chain(writes.statements(&name("gpkafkaloadext_x"))).collect();
        expect_file!["golden/several_outputs.sql"].assert_eq(&shown.join(";\n"));
        settings.input_filter = None;
        let only_outputs = Writes::unchecked(&settings).unwrap();
        assert!(!only_outputs.is_filtered(), "a stage tells filters of outputs apart");
    }

    #[test]
    fn what_cannot_be_matched_is_told() {
        let id = || Match { match_columns: idents(&["id"]), update_columns: idents(&["total"]), ..Match::default() };
        let cases = [
            Match { match_columns: Vec::new(), ..id() },
            Match { match_columns: idents(&["idd"]), ..id() },
            Match { match_columns: idents(&["order"]), ..id() },
            Match { match_columns: idents(&["id", "id"]), ..id() },
            Match { update_columns: idents(&["seen"]), ..id() },
            Match { order_columns: idents(&["lsm"]), ..id() },
            Match { order_columns: idents(&["zzz"]), ..id() },
        ];
        let mut told = cases.map(|wanted| {
            let (target, settings) = merged(wanted);
            text(&[target], &settings)
        });
        let (target, mut settings) = merged(Match::default());
        settings.outputs[0].mode = Mode::Update(Match { update_columns: idents(&["id"]), ..id() });
        told[0] += &format!("\n{}", text(std::slice::from_ref(&target), &settings));
        settings.outputs[0].mode = Mode::Merge(id());
        settings.columns.as_mut().unwrap().push(column("gpkafka_row", "int"));
        told[1] += &format!("\n{}", text(&[target], &settings));
        expect![[r#"
            MERGE into "public"."orders" needs MATCH_COLUMNS
            UPDATE of "public"."orders" needs UPDATE_COLUMNS beside those that match
            "public"."orders" has no column "idd"; did you mean "id"?
            column "gpkafka_row": MERGE keeps names that begin with gpkafka_ for itself; rename it
            "public"."orders" has no column "order"; there is one named "Order": write it as '"Order"' to keep its capitals
            MATCH_COLUMNS names column "id" twice
            UPDATE_COLUMNS names column "seen" of "public"."orders", but no value goes into it: add it to MAPPING
            ORDER_COLUMNS names "lsm", which is neither a mapped nor a source column; did you mean "lsn"?
            ORDER_COLUMNS names "zzz", which is neither a mapped nor a source column; they are id, Order, total, op, doc, lsn"#]].assert_eq(&told.join("\n"));
    }
}
