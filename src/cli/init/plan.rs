//! Which column of the messages goes into which of the table, and what must be done to it on the way. Pure.

use std::collections::HashSet;

use super::infer::Kind;
use super::shape::Field;
use crate::greenplum::TargetColumn;
use crate::table::Ident;

/// A whole number at least so large is milliseconds since 1970, and one a thousand times so large microseconds: as
/// seconds it would be the year 5138.
const MILLIS_MIN: u64 = 100_000_000_000;

/// A column under COLUMNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `None` is read past.
    pub name: Option<Ident>,
    pub sql_type: String,
    /// Where formats with names find it.
    pub path: Option<String>,
    /// What becomes of it, where it does not go in as it is.
    pub expression: Option<String>,
    /// What is worth saying beside it.
    pub note: String,
    /// No two messages had the same, and each had one.
    pub is_distinct: bool,
}

/// What a job file says of its columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub columns: Vec<Source>,
    /// Fields without a column in the table.
    pub left_out: Vec<Field>,
    /// Columns of the table without a field.
    pub unfilled: Vec<TargetColumn>,
}

impl Plan {
    /// Fields by their names into the columns of a table.
    pub fn by_name(fields: &[Field], table: &[TargetColumn]) -> Self {
        let mut plan = Self::default();
        let mut taken = HashSet::new();
        for field in fields {
            let alike: [fn(&str, &str) -> bool; 3] = [
                |one, two| one == two,
                |one, two| snake(one) == snake(two),
                |one, two| snake(one).replace('_', "") == snake(two).replace('_', ""),
            ];
            let open = || table.iter().filter(|column| !column.is_generated && !taken.contains(&column.name));
            let found = alike.iter().find_map(|is| open().find(|column| is(&field.name, column.name.as_str())));
            let Some(column) = found else {
                plan.left_out.push(field.clone());
                continue;
            };
            taken.insert(column.name.clone());
            plan.columns.push(Source { path: Some(field.name.clone()), ..fitted(field, column) });
        }
        plan.unfilled = table.iter().filter(|column| !taken.contains(&column.name)).cloned().collect();
        plan
    }

    /// Fields in their order into the columns of a table in theirs.
    pub fn by_place(fields: &[Field], table: &[TargetColumn]) -> Self {
        let open: Vec<_> = table.iter().filter(|column| !column.is_generated).collect();
        let source = |(at, field): (usize, &Field)| match open.get(at) {
            Some(column) => fitted(field, column),
            None => Source { name: None, ..alone(field, Ident::exact("")) },
        };
        let columns = fields.iter().enumerate().map(source).collect();
        let filled: HashSet<_> = open.iter().take(fields.len()).map(|column| &column.name).collect();
        let unfilled = table.iter().filter(|column| !filled.contains(&column.name)).cloned().collect();
        Self { columns, left_out: Vec::new(), unfilled }
    }

    /// Fields into a table that is yet to be made.
    pub fn of_new(fields: &[Field], has_names: bool) -> Self {
        let mut taken = HashSet::new();
        let columns = fields.iter().map(|field| {
            let base = snake(&field.name);
            let numbered = (2..).map(|number| format!("{base}_{number}"));
            let name = std::iter::once(base.clone()).chain(numbered).find(|name| taken.insert(name.clone()));
            let source = alone(field, Ident::exact(name.unwrap_or(base)));
            Source { path: has_names.then(|| field.name.clone()), ..source }
        });
        Self { columns: columns.collect(), ..Self::default() }
    }

    /// What is likely to be the key: rows of one are alike in no other column.
    pub fn key(&self) -> Option<&Ident> {
        let named = self.columns.iter().filter(|column| column.is_distinct).filter_map(|column| column.name.as_ref());
        named
            .min_by_key(|name| !matches!(name.as_str(), "id" | "key"))
            .filter(|name| matches!(name.as_str(), "id" | "key") || name.as_str().ends_with("_id"))
    }

    /// Whether anything must be done to any column.
    pub fn has_expressions(&self) -> bool {
        self.columns.iter().any(|column| column.expression.is_some())
    }
}

fn alone(field: &Field, name: Ident) -> Source {
    let note = match (field.seen.kind, field.is_nullable) {
        (Kind::Nothing, _) => "always null in the sample".to_owned(),
        (_, true) => "sometimes null".to_owned(),
        (_, false) => String::new(),
    };
    Source {
        name: Some(name),
        sql_type: field.seen.kind.sql_type().to_owned(),
        path: None,
        expression: None,
        note,
        is_distinct: !field.is_nullable && field.seen.is_distinct && field.seen.kind != Kind::Json,
    }
}

/// A field as this column takes it: by the column's own type where that reads its text, else by an expression.
fn fitted(field: &Field, column: &TargetColumn) -> Source {
    let kind = field.seen.kind;
    let expression = expression(kind, field.seen.largest, &column.name, &column.sql_type);
    let mut source = alone(field, column.name.clone());
    if kind != Kind::Nothing && expression.is_none() && sql_base(&column.sql_type) != sql_base(kind.sql_type()) {
        let but = if source.note.is_empty() { String::new() } else { format!(", {}", source.note) };
        source.note = format!("{} in the messages{but}", kind.sql_type());
    }
    if expression.is_none() {
        source.sql_type.clone_from(&column.sql_type);
    }
    Source { expression, ..source }
}

/// The bare name of a type, as the catalog and as people write it.
fn sql_base(sql_type: &str) -> &str {
    match sql_type.split('(').next().unwrap_or_default().trim() {
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        base => base,
    }
}

/// What makes such a value one of this type, where its text alone does not.
fn expression(kind: Kind, largest: u64, name: &Ident, sql_type: &str) -> Option<String> {
    let base = sql_base(sql_type);
    let is_whole = matches!(base, "smallint" | "integer" | "bigint");
    match (kind, base) {
        (Kind::Int | Kind::BigInt, "timestamptz" | "timestamp" | "date") => {
            let seconds = match largest {
                ..MILLIS_MIN => name.to_string(),
                largest if largest / 1000 < MILLIS_MIN => format!("{name} / 1000.0"),
                _ => format!("{name} / 1000000.0"),
            };
            Some(in_zone(&format!("to_timestamp({seconds})"), base))
        }
        (Kind::Timestamptz, "timestamp" | "date") => Some(in_zone(&name.to_string(), base)),
        (Kind::Numeric | Kind::Double, _) if is_whole => Some(format!("{name}::{base}")),
        (Kind::Boolean, "numeric" | "real" | "double precision") => Some(format!("{name}::integer")),
        (Kind::Boolean, _) if is_whole => Some(format!("{name}::integer")),
        (kind, "boolean") if kind.is_number() => Some(format!("{name} <> 0")),
        (Kind::Json, "json" | "jsonb" | "text" | "character varying" | "character") => None,
        (Kind::Json, _) if sql_type.ends_with("[]") => None,
        (Kind::Json, _) => Some(format!("{name}::text::{sql_type}")),
        _ => None,
    }
}

/// A moment as a time without a zone, or as its day.
fn in_zone(moment: &str, base: &str) -> String {
    match base {
        "timestamp" => format!("{moment} AT TIME ZONE 'UTC'"),
        "date" => format!("({moment} AT TIME ZONE 'UTC')::date"),
        _ => moment.to_owned(),
    }
}

/// `customerId`, `Customer-ID` and `customer_id` are the same: `customer_id`. Never empty, and never longer than a name
/// may be.
pub fn snake(name: &str) -> String {
    /// Of 63 that PostgreSQL has; the rest is for numbers behind it.
    const CHARS_MAX: usize = 55;
    let mut snake = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (at, &char) in chars.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| chars[at]);
        let begins = char.is_ascii_uppercase()
            && before.is_some_and(|before| {
                let is_last_of_capitals = chars.get(at + 1).is_some_and(char::is_ascii_lowercase);
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && is_last_of_capitals)
            });
        if begins && !snake.ends_with('_') {
            snake.push('_');
        }
        if char.is_ascii_alphanumeric() {
            snake.push(char.to_ascii_lowercase());
        } else if !snake.ends_with('_') {
            snake.push('_');
        }
    }
    snake.truncate(CHARS_MAX);
    match snake.as_bytes().first() {
        None => "c".to_owned(),
        Some(byte) if byte.is_ascii_digit() => format!("c{snake}"),
        Some(_) => snake,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::infer::Seen;
    use super::*;

    fn field(name: &str, kind: Kind, text: &str) -> Field {
        let mut seen = Seen::default();
        seen.add(kind, text);
        Field { name: name.to_owned(), seen, is_nullable: false }
    }

    fn column(name: &str, sql_type: &str) -> TargetColumn {
        let (name, sql_type) = (Ident::exact(name), sql_type.to_owned());
        TargetColumn { name, sql_type, is_not_null: false, has_default: false, is_generated: false }
    }

    #[test]
    fn names_are_alike_however_they_are_written() {
        for (name, expected) in [
            ("customerId", "customer_id"),
            ("CustomerID", "customer_id"),
            ("customer-id", "customer_id"),
            ("HTTPServer", "http_server"),
            ("v2Name", "v2_name"),
            ("2x", "c2x"),
            ("", "c"),
            ("é", "_"),
        ] {
            assert_eq!(snake(name), expected, "{name}");
        }
    }

    #[test]
    fn fields_find_their_columns_and_what_they_need() {
        let table = [
            column("id", "bigint"),
            column("customer_id", "text"),
            column("created", "timestamp without time zone"),
            column("changed", "date"),
            column("amount", "integer"),
            column("extra", "integer"),
        ];
        let fields = [
            field("ID", Kind::Int, "1"),
            field("customerId", Kind::Int, "7"),
            field("created", Kind::BigInt, "1700000000000"),
            field("changed", Kind::Timestamptz, "2024-01-01T00:00:00Z"),
            field("amount", Kind::Numeric, "1.5"),
            field("other", Kind::Text, "x"),
        ];
        let plan = Plan::by_name(&fields, &table);
        let shown: Vec<_> = plan
            .columns
            .iter()
            .map(|column| format!("{} {:?} {:?}", column.sql_type, column.expression, column.note))
            .collect();
        assert_eq!(
            shown,
            [
                r#"bigint None "integer in the messages""#,
                r#"text None "integer in the messages""#,
                r#"bigint Some("to_timestamp(\"created\" / 1000.0) AT TIME ZONE 'UTC'") """#,
                r#"timestamptz Some("(\"changed\" AT TIME ZONE 'UTC')::date") """#,
                r#"numeric Some("\"amount\"::integer") """#,
            ]
        );
        assert_eq!((plan.left_out.len(), plan.unfilled.len()), (1, 1));
        assert_eq!(plan.unfilled[0].name.as_str(), "extra");
        let plan = Plan::by_place(&fields[..2], &table[..1]);
        assert_eq!(plan.columns.iter().map(|column| column.name.is_some()).collect::<Vec<_>>(), [true, false]);
    }

    proptest! {
        /// Each column of a new table has a name of its own, which the database takes as it is.
        #[test]
        fn names_of_a_new_table_are_names(names in prop::collection::vec("[a-cA-C_é0-9 .-]{0,80}", 0..20)) {
            let fields: Vec<_> = names.iter().map(|name| field(name, Kind::Int, "1")).collect();
            let plan = Plan::of_new(&fields, true);
            let names: HashSet<_> = plan.columns.iter().map(|column| column.name.clone().unwrap()).collect();
            prop_assert_eq!(names.len(), fields.len());
            for name in names {
                let name = name.as_str();
                prop_assert!(name.len() <= 63 && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit()));
                prop_assert!(!name.as_bytes()[0].is_ascii_digit());
            }
        }
    }
}
