//! One SQL statement, put together from our own words and from what the job file says, which keeps in mind what stands
//! where: what the database refuses is told by the name that its user knows.

use postgres::error::{DbError, ErrorPosition};

use super::connection::Connection;
use super::failure::{Error, one_line};
use super::paths::as_written;
use super::sql::{Piece, nearest, pieces, value_of};
use crate::table::Ident;

/// Text of a statement with the job file's parts in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Text(Vec<Span>);

#[derive(Debug, Clone)]
struct Span {
    text: String,
    /// What the job file calls it: `the mapping of "a"`.
    name: Option<String>,
    /// The column that it fills.
    column: Option<Ident>,
}

impl Text {
    /// Our own words.
    pub(super) fn own(text: impl Into<String>) -> Self {
        Self(vec![Span { text: text.into(), name: None, column: None }])
    }

    /// Something of the job file by its name.
    pub(super) fn part(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self(vec![Span { text: text.into(), name: Some(name.into()), column: None }])
    }

    /// What goes into a column, told as `the mapping of "a" (upper(b))`.
    pub(super) fn mapping(column: &Ident, expression: &str) -> Self {
        let name = format!("the mapping of {column} ({})", flat(expression));
        Self(vec![Span { text: expression.to_owned(), name: Some(name), column: Some(column.clone()) }])
    }

    /// A condition, in parentheses whose end a comment in it cannot hide.
    pub(super) fn condition(name: &str, condition: &str) -> Self {
        let part = Self::part(format!("{name} ({})", flat(condition)), condition);
        Self::own("(").then(part).then(Self::own("\n)"))
    }

    pub(super) fn then(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    pub(super) fn joined(texts: impl IntoIterator<Item = Self>, between: &str) -> Self {
        let mut joined = Self::default();
        for text in texts {
            if !joined.0.is_empty() {
                joined = joined.then(Self::own(between));
            }
            joined = joined.then(text);
        }
        joined
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// A participle: `inserting into "public"."orders"`.
    doing: String,
    sql: String,
    parts: Vec<Part>,
    /// Columns that its expressions may name.
    columns: Vec<Ident>,
}

#[derive(Debug, Clone)]
struct Part {
    /// In characters of the statement.
    start: usize,
    end: usize,
    name: String,
    column: Option<Ident>,
}

const EXPLAIN: &str = "EXPLAIN ";

impl Statement {
    /// Fills `{name}` marks of a statement of `sql/`. `columns` are those that its expressions may name.
    pub(super) fn fill(doing: String, template: &str, values: &[(&str, &Text)], columns: &[Ident]) -> Self {
        let mut filled = Self { doing, sql: String::new(), parts: Vec::new(), columns: columns.to_vec() };
        for piece in pieces(template.trim_end()) {
            match piece {
                Piece::Own(own) => filled.sql.push_str(own),
                Piece::Mark(name) => filled.push(value_of(values, name)),
            }
        }
        filled
    }

    fn push(&mut self, text: &Text) {
        for piece in &text.0 {
            let start = self.sql.chars().count();
            self.sql.push_str(&piece.text);
            if let Some(name) = &piece.name {
                let end = self.sql.chars().count();
                self.parts.push(Part { start, end, name: name.clone(), column: piece.column.clone() });
            }
        }
    }

    pub(super) fn sql(&self) -> &str {
        &self.sql
    }

    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    /// Has the database plan the statement without running it; what it says, line by line.
    ///
    /// # Errors
    /// [`Error::Target`] naming the part that the database refuses.
    pub(super) fn explain(&self, connection: &mut Connection) -> Result<Vec<String>, Error> {
        let error = match connection.client().query(&format!("{EXPLAIN}{}", self.sql), &[]) {
            Ok(rows) => return Ok(rows.iter().map(|row| row.get(0)).collect()),
            Err(error) => error,
        };
        match error.as_db_error().filter(|db| matches!(&db.code().code()[..2], "42" | "22" | "0A")) {
            None => Err(Error::from_client(&format!("explaining what is {}", self.doing), &error)),
            Some(db) => Err(self.refused(db)),
        }
    }

    fn refused(&self, db: &DbError) -> Error {
        let at = match db.position() {
            Some(ErrorPosition::Original(at)) => (*at as usize).checked_sub(1 + EXPLAIN.len()),
            _ => None,
        };
        let state = db.code().code();
        let part = at.and_then(|at| match state {
            "42601" => self.part_before(at),
            _ => self.part_at(at),
        });
        let part = part.or_else(|| self.part_named(db.message()));
        let part = part.map_or_else(|| self.doing.clone(), |part| part.name.clone());
        let hint = match state {
            "42703" if db.hint().is_none() => self.near(db.message()),
            "42702" => self.qualified(db.message()),
            _ => String::new(),
        };
        Error::Target { text: format!("the database refuses {part}: {}{hint} (SQLSTATE {state})", one_line(db)) }
    }

    /// What stands at a character of the statement.
    fn part_at(&self, at: usize) -> Option<&Part> {
        self.parts.iter().find(|part| (part.start..part.end).contains(&at))
    }

    /// What a syntax error is about: it stands at the first word that cannot follow, which may be ours.
    fn part_before(&self, at: usize) -> Option<&Part> {
        self.parts.iter().rfind(|part| part.start <= at)
    }

    /// Greenplum 6 gives no position for `column "tax_due" is of type …`.
    fn part_named(&self, message: &str) -> Option<&Part> {
        let name = named_column(message)?;
        self.parts.iter().find(|part| part.column.as_ref().is_some_and(|column| column.as_str() == name))
    }

    /// `column "expences" does not exist`: the column that may have been meant.
    fn near(&self, message: &str) -> String {
        let names = || self.columns.iter().map(Ident::as_str);
        match named_column(message).map(|name| nearest(name, names())) {
            None => String::new(),
            Some(Some(name)) => format!("; did you mean the source column \"{name}\"?"),
            Some(None) => format!("; the source columns are {}", names().collect::<Vec<_>>().join(", ")),
        }
    }

    /// `column reference "qty" is ambiguous`
    fn qualified(&self, message: &str) -> String {
        let name = message.split('"').nth(1).map(|name| Ident::exact(name).to_string()).unwrap_or_default();
        format!("; write into_table.{name} for the target's or ext.{name} for the batch's")
    }
}

fn named_column(message: &str) -> Option<&str> {
    message.strip_prefix("column \"")?.split('"').next()
}

fn flat(text: &str) -> String {
    as_written(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_names_its_part() {
        let fields = [("a", "b || 'ä'"), ("b", "upper(a)")]
            .map(|(column, expression)| Text::mapping(&Ident::exact(column), expression));
        let values =
            [("fields", &Text::joined(fields, ", ")), ("filter", &Text::condition("the filter", "a > b -- really"))];
        let statement = Statement::fill(String::new(), "SELECT {fields} FROM t WHERE {filter}\n", &values, &[]);
        assert_eq!(statement.sql(), "SELECT b || 'ä', upper(a) FROM t WHERE (a > b -- really\n)");
        let at = |part: &str| {
            let at = statement.sql[..statement.sql.find(part).unwrap()].chars().count();
            statement.part_at(at).map(|part| part.name.as_str())
        };
        assert_eq!(at("|| 'ä'"), Some(r#"the mapping of "a" (b || 'ä')"#));
        assert_eq!(at("upper"), Some(r#"the mapping of "b" (upper(a))"#));
        assert_eq!(at("> b"), Some("the filter (a > b -- really)"));
        assert_eq!(at("FROM"), None);
        let end = statement.sql.chars().count();
        assert_eq!(statement.part_before(end - 1).map(|part| part.name.as_str()), at("> b"));
        let named = statement.part_named("column \"b\" is of type date").map(|part| part.name.as_str());
        assert_eq!(named, Some(r#"the mapping of "b" (upper(a))"#));
    }
}
