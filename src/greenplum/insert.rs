//! The one statement that moves rows: `INSERT INTO target SELECT … FROM external table`. Built from the job's mapping,
//! tried with EXPLAIN, and watched against changes of the target.

use postgres::error::ErrorPosition;

use super::connection::Connection;
use super::failure::{Error, one_line};
use super::settings::Settings;
use super::sql::nearest;
use super::target::{self, Target, TargetColumn};
use crate::table::{Column, Ident, TableName};

/// The statement, and the target's columns that it was built on.
#[derive(Debug, Clone)]
pub struct Insert {
    target: TableName,
    source: Vec<Column>,
    /// Target column and expression.
    fields: Vec<(Ident, String)>,
    filter: Option<String>,
    /// What must not change between batches.
    watched: Vec<TargetColumn>,
    /// The source is the target's own columns, so that any change of them changes the source.
    is_source_derived: bool,
}

impl Insert {
    /// Joins source columns, mapping and target.
    ///
    /// # Errors
    /// [`Error::Target`]: a mapping to a column that the target lacks, with the nearest name; without a mapping, a
    /// source column that the target lacks; no column at all.
    pub fn new(target: &Target, settings: &Settings) -> Result<Self, Error> {
        let is_source_derived = settings.columns.is_none();
        let source = settings.columns.clone().unwrap_or_else(|| target.as_source());
        let fields = match settings.mapping.is_empty() {
            true => by_name(target, &source)?,
            false => mapped(target, &source, settings)?,
        };
        if fields.is_empty() {
            let text = format!("nothing would be loaded: {} has no column that a value can go into", target.table);
            return Err(Error::Target { text });
        }
        let watched = match is_source_derived {
            true => target.columns.clone(),
            false => fields.iter().filter_map(|(name, _)| target.column(name).cloned()).collect(),
        };
        let filter = settings.filter.as_deref().map(condition).filter(|filter| !filter.is_empty());
        Ok(Self { target: target.table.clone(), source, fields, filter, watched, is_source_derived })
    }

    /// The same text without a server, for showing it: a source or a mapping must be given.
    pub fn unchecked(settings: &Settings) -> Option<Self> {
        let source = settings.columns.clone().unwrap_or_default();
        let mapped = settings.mapping.iter().map(|map| (map.column.clone(), expression(&map.expression, &source)));
        let fields: Vec<_> = match settings.mapping.is_empty() {
            true => source.iter().map(|column| (column.name.clone(), column.name.to_string())).collect(),
            false => mapped.collect(),
        };
        (!fields.is_empty()).then(|| Self {
            target: settings.target.clone(),
            source,
            fields,
            filter: settings.filter.as_deref().map(condition).filter(|filter| !filter.is_empty()),
            watched: Vec::new(),
            is_source_derived: false,
        })
    }

    /// The columns of the external table, in the order of the encoded fields.
    pub fn source(&self) -> &[Column] {
        &self.source
    }

    /// The target.
    pub fn target(&self) -> &TableName {
        &self.target
    }

    /// Whether the database may drop rows that it does not count.
    pub fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    /// The statement, reading from this external table.
    pub fn sql(&self, external: &TableName) -> String {
        self.text(external).0
    }

    /// The statement, and where in it (in characters) each field's expression and at last the filter begins.
    fn text(&self, external: &TableName) -> (String, Vec<usize>) {
        let columns: Vec<_> = self.fields.iter().map(|(name, _)| name.to_string()).collect();
        let mut text = format!("INSERT INTO {} ({})\nSELECT ", self.target, columns.join(", "));
        let mut starts = Vec::new();
        for (at, (_, expression)) in self.fields.iter().enumerate() {
            if at > 0 {
                text.push_str(",\n       ");
            }
            starts.push(text.chars().count());
            text.push_str(expression);
        }
        text.push_str(&format!("\n  FROM {external} AS ext"));
        if let Some(filter) = &self.filter {
            text.push_str("\n WHERE (");
            starts.push(text.chars().count());
            // on lines of its own: a comment at its end must not hide the parenthesis
            text.push_str(&format!("{filter}\n)"));
        }
        (text, starts)
    }

    /// Has the database plan the statement without running it.
    ///
    /// # Errors
    /// [`Error::Target`] naming the mapping that the database refuses.
    ///
    /// # Blocks
    /// For a planning, and for locks on the target.
    pub fn explain(&self, connection: &mut Connection, external: &TableName) -> Result<(), Error> {
        const EXPLAIN: &str = "EXPLAIN ";
        let (text, starts) = self.text(external);
        let Err(error) = connection.client().query(&format!("{EXPLAIN}{text}"), &[]) else { return Ok(()) };
        let Some(db) = error.as_db_error().filter(|db| matches!(&db.code().code()[..2], "42" | "22" | "0A")) else {
            return Err(Error::from_client("explaining the INSERT", &error));
        };
        let at = match db.position() {
            Some(ErrorPosition::Original(at)) => (*at as usize).checked_sub(1 + EXPLAIN.len()),
            _ => None,
        };
        let part = at.map_or_else(|| self.part_named(db.message()), |at| self.part_at(at, &starts));
        let state = db.code().code();
        let near = if state == "42703" && db.hint().is_none() { self.near(db.message()) } else { String::new() };
        Err(Error::Target { text: format!("the database refuses {part}: {}{near} (SQLSTATE {state})", one_line(db)) })
    }

    /// What stands at a character of the statement.
    fn part_at(&self, at: usize, starts: &[usize]) -> String {
        match starts.partition_point(|start| *start <= at).checked_sub(1) {
            None => format!("the column list of {}", self.target),
            Some(field) => match self.fields.get(field) {
                Some((name, expression)) => format!("the mapping of {name} ({})", flat(expression)),
                None => format!("the filter ({})", flat(self.filter.as_deref().unwrap_or_default())),
            },
        }
    }

    /// Greenplum 6 gives no position for `column "tax_due" is of type …`.
    fn part_named(&self, message: &str) -> String {
        let name = named_column(message);
        let field = self.fields.iter().find(|(field, _)| Some(field.as_str()) == name);
        field.map_or("the INSERT".to_owned(), |(name, expression)| {
            format!("the mapping of {name} ({})", flat(expression))
        })
    }

    /// `column "expences" does not exist`: the source column that may have been meant.
    fn near(&self, message: &str) -> String {
        let names = || self.source.iter().map(|column| column.name.as_str());
        match named_column(message).map(|name| nearest(name, names())) {
            None => String::new(),
            Some(Some(name)) => format!("; did you mean the source column \"{name}\"?"),
            Some(None) => format!("; the source columns are {}", names().collect::<Vec<_>>().join(", ")),
        }
    }

    /// Compares the target with what the statement was built on. Called in the batch's transaction after its INSERT,
    /// whose lock keeps the target as it is until the transaction ends.
    ///
    /// # Errors
    /// [`Error::TargetChanged`].
    pub(super) fn check_unchanged(&self, connection: &mut Connection) -> Result<(), Error> {
        let now = target::columns(connection, &self.target)?;
        match self.change(&now) {
            None => Ok(()),
            Some(change) => Err(Error::TargetChanged { table: self.target.to_string(), change }),
        }
    }

    fn change(&self, now: &[TargetColumn]) -> Option<String> {
        let shape = |column: &TargetColumn| (column.name.clone(), column.sql_type.clone());
        for was in &self.watched {
            match now.iter().find(|column| column.name == was.name) {
                None => return Some(format!("column {} is gone", was.name)),
                Some(is) if is.sql_type != was.sql_type => {
                    return Some(format!("column {} was {} and is {}", was.name, was.sql_type, is.sql_type));
                }
                Some(_) => {}
            }
        }
        let is_same_order = || now.iter().map(shape).eq(self.watched.iter().map(shape));
        (self.is_source_derived && !is_same_order()).then(|| {
            let added = now.iter().find(|column| !self.watched.iter().any(|was| was.name == column.name));
            added.map_or("their order".to_owned(), |column| format!("column {} is new", column.name))
        })
    }
}

fn by_name(target: &Target, source: &[Column]) -> Result<Vec<(Ident, String)>, Error> {
    let names = || target.columns.iter().map(|column| column.name.as_str());
    let lacking: Vec<_> = source.iter().filter(|column| target.column(&column.name).is_none()).collect();
    match lacking.first() {
        None => Ok(source.iter().map(|column| (column.name.clone(), column.name.to_string())).collect()),
        Some(_) if lacking.len() == source.len() => {
            let source: Vec<_> = source.iter().map(|column| column.name.as_str()).collect();
            let (table, names) = (&target.table, names().collect::<Vec<_>>().join(", "));
            let text = format!(
                "{table} has none of the source columns ({}), its own are {names}; give a MAPPING",
                source.join(", ")
            );
            Err(Error::Target { text })
        }
        Some(column) => Err(unknown_column(target, &column.name, "name it __IGNORED__ or give a MAPPING")),
    }
}

fn mapped(target: &Target, source: &[Column], settings: &Settings) -> Result<Vec<(Ident, String)>, Error> {
    let mut fields: Vec<(Ident, String)> = Vec::new();
    for map in &settings.mapping {
        let Some(column) = target.column(&map.column) else {
            return Err(unknown_column(target, &map.column, "correct the MAPPING"));
        };
        if column.is_generated {
            let text = format!(
                "column {} of {} is computed by the database; take it out of the MAPPING",
                column.name, target.table
            );
            return Err(Error::Target { text });
        }
        if fields.iter().any(|(name, _)| *name == map.column) {
            return Err(Error::Target { text: format!("MAPPING names column {} twice", map.column) });
        }
        fields.push((map.column.clone(), expression(&map.expression, source)));
    }
    Ok(fields)
}

fn unknown_column(target: &Target, name: &Ident, else_do: &str) -> Error {
    let names = || target.columns.iter().map(|column| column.name.as_str());
    let hint = match nearest(name.as_str(), names()) {
        Some(near) if near.to_lowercase() == name.as_str().to_lowercase() => {
            format!("there is one named \"{near}\": write it as '\"{near}\"' to keep its capitals")
        }
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("its columns are {}; {else_do}", names().collect::<Vec<_>>().join(", ")),
    };
    Error::Target { text: format!("{} has no column {name}; {hint}", target.table) }
}

/// As the user wrote it; just the name of a source column is quoted, so that capitals and reserved words work.
fn expression(written: &str, source: &[Column]) -> String {
    let written = trimmed(written);
    let folded = Ident::from_written(written);
    let exact = Ident::exact(written);
    let column = source.iter().find(|column| column.name == exact || column.name == folded);
    column.map_or_else(|| written.to_owned(), |column| column.name.to_string())
}

/// Filters end in a semicolon in the wild.
fn condition(written: &str) -> String {
    trimmed(written).to_owned()
}

fn trimmed(written: &str) -> &str {
    written.trim().trim_end_matches(|end: char| end == ';' || end.is_whitespace())
}

fn named_column(message: &str) -> Option<&str> {
    message.strip_prefix("column \"")?.split('"').next()
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::greenplum::settings::Mapping;

    fn column(name: &str, sql_type: &str) -> Column {
        Column { name: Ident::from_written(name), sql_type: sql_type.to_owned() }
    }

    fn name(table: &str) -> TableName {
        TableName { schema: Ident::exact("public"), table: Ident::exact(table) }
    }

    fn target(columns: &[(&str, &str)]) -> Target {
        let columns = columns.iter().map(|(name, sql_type)| TargetColumn {
            name: Ident::exact(*name),
            sql_type: (*sql_type).to_owned(),
            is_not_null: false,
            has_default: false,
            is_generated: false,
        });
        Target { table: name("orders"), columns: columns.collect() }
    }

    fn settings(columns: Option<Vec<Column>>, mapping: &[(&str, &str)], filter: Option<&str>) -> Settings {
        let mut settings = Settings::new("db", 5432, "etl", "sales", name("orders"));
        settings.columns = columns;
        settings.mapping = mapping
            .iter()
            .map(|(column, expression)| Mapping {
                column: Ident::from_written(column),
                expression: (*expression).to_owned(),
            })
            .collect();
        settings.filter = filter.map(str::to_owned);
        settings
    }

    fn text(target: &Target, settings: &Settings) -> String {
        match Insert::new(target, settings) {
            Ok(insert) => insert.sql(&name("gpkafkaloadext_x")),
            Err(error) => error.to_string(),
        }
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
        .assert_eq(&text(&target, &settings(Some(columns), &mapping, Some("expenses > 3 -- dear ; "))));
    }

    #[test]
    fn names_match_without_a_mapping() {
        let target = target(&[("a", "text"), ("B", "integer")]);
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

    #[test]
    fn changes_that_would_move_values_to_other_columns_are_seen() {
        let before = target(&[("a", "text"), ("b", "text")]);
        let derived = Insert::new(&before, &settings(None, &[], None)).unwrap();
        let given = Insert::new(&before, &settings(Some(vec![column("a", "text")]), &[], None)).unwrap();
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("a", "text"), ("b", "text")], "None None"),
            (&[("b", "text"), ("a", "text")], r#"Some("their order") None"#),
            (&[("a", "text"), ("b", "text"), ("c", "text")], r#"Some("column \"c\" is new") None"#),
            (&[("a", "text")], r#"Some("column \"b\" is gone") None"#),
            (
                &[("a", "date"), ("b", "text")],
                r#"Some("column \"a\" was text and is date") Some("column \"a\" was text and is date")"#,
            ),
        ];
        for (now, seen) in cases {
            let now = target(now).columns;
            assert_eq!(format!("{:?} {:?}", derived.change(&now), given.change(&now)), seen);
        }
    }

    #[test]
    fn a_position_names_its_part() {
        let target = target(&[("a", "text"), ("b", "text")]);
        let insert =
            Insert::new(&target, &settings(None, &[("a", "b || 'ä'"), ("b", "upper(a)")], Some("a > b"))).unwrap();
        let (text, starts) = insert.text(&name("x"));
        let at = |part: &str| insert.part_at(text[..text.find(part).unwrap()].chars().count(), &starts);
        assert_eq!(at("orders"), r#"the column list of "public"."orders""#);
        assert_eq!(at("|| 'ä'"), r#"the mapping of "a" (b || 'ä')"#);
        assert_eq!(at("upper"), r#"the mapping of "b" (upper(a))"#);
        assert_eq!(at("a > b"), "the filter (a > b)");
    }
}
