//! An SQL function in place of a mapping (TRANSFORMER): it gets the whole source row and the job's properties, and makes a
//! row of the target, or a set of them.
//!
//! It is called once a row. `SELECT (f(x)).*` would be expanded into `(f(x)).a, (f(x)).b` and call it for each column,
//! and the planner does the same to a function in a subquery that it pulls up. `OFFSET 0` keeps it from that; the plan
//! of Greenplum 6 is a subquery scan on every segment, with no motion before it, where LATERAL brings all rows together
//! in one process first.
//!
//! A call that makes no row, or NULL, filters its source row. One that makes several rows cannot be told from it by a
//! count of rows, so where a set may come, rows pass the stage: what segments read is counted there.

use super::connection::Connection;
use super::failure::Error;
use super::mapping::{Fields, unknown_column};
use super::scratch::list;
use super::settings::Transformer;
use super::sql::literal;
use super::statement::{Statement, Text};
use super::target::Target;
use crate::table::{Ident, TableName};

/// The columns that a function's result fills, in its order; what goes into each is the function's to say.
///
/// # Errors
/// [`Error::Target`]: COLUMNS names what the target lacks or computes itself.
pub(super) fn fields(target: &Target, transformer: &Transformer) -> Result<Fields, Error> {
    if transformer.columns.is_empty() {
        let all = target.columns.iter().filter(|column| !column.is_generated);
        return Ok(all.map(|column| (column.name.clone(), String::new())).collect());
    }
    for name in &transformer.columns {
        match target.column(name) {
            None => return Err(unknown_column(target, name, "correct COLUMNS of the TRANSFORMER")),
            Some(column) if column.is_generated => {
                let table = &target.table;
                let text = format!("column {name} of {table} is computed by the database; take it out of COLUMNS");
                return Err(Error::Target { text });
            }
            Some(_) => {}
        }
    }
    Ok(unchecked(transformer))
}

/// The same without a server: none where the file names none.
pub(super) fn unchecked(transformer: &Transformer) -> Fields {
    transformer.columns.iter().map(|name| (name.clone(), String::new())).collect()
}

/// Whether a function of this name returns sets; of several, whether any does.
///
/// # Errors
/// The session is gone.
pub(super) fn makes_sets(connection: &mut Connection, transformer: &Transformer) -> Result<bool, Error> {
    let schema = transformer.schema.as_ref().map(Ident::as_str);
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&transformer.function.as_str(), &schema];
    let sql = include_str!("../../sql/transformer_sets.sql");
    let found = connection.query_one("looking for the transformer", sql, &params)?;
    Ok(found.get("makes_sets"))
}

/// `INSERT INTO … SELECT` of what the function makes of every row for which all filters are true. `carried` are source
/// columns that go along as they are.
pub(super) fn insert(
    transformer: &Transformer,
    (target, fields): (&TableName, &Fields),
    carried: &[Ident],
    from: &TableName,
    filters: &[&str],
    known: &[Ident],
) -> Statement {
    let columns = list(fields.iter().map(|(name, _)| name).chain(carried));
    let each = |of: &str| carried.iter().map(|name| format!(", {of}.{name}")).collect::<String>();
    let name = transformer.name();
    let conditions = filters.iter().map(|filter| Text::condition("the filter", filter));
    let filter = match filters.is_empty() {
        true => Text::default(),
        false => Text::own("\n         WHERE ").then(Text::joined(conditions, "\n           AND ")),
    };
    let values = [
        ("target", &Text::own(target.to_string())),
        ("columns", &Text::part(format!("what the transformer {name} makes for the columns of {target}"), columns)),
        ("more", &Text::own(each("made"))),
        ("function", &Text::part(format!("the transformer {name}"), name.clone())),
        ("properties", &Text::own(literal(&serde_json::json!(transformer.properties).to_string()))),
        ("carried", &Text::own(each("ext"))),
        ("source", &Text::own(from.to_string())),
        ("filter", &filter),
    ];
    let doing = format!("inserting into {target} what the transformer {name} makes");
    Statement::fill(doing, include_str!("../../sql/write_made.sql"), &values, known)
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;
    use crate::greenplum::settings::{Match, Mode, Settings};
    use crate::greenplum::target::tests::target;
    use crate::greenplum::writes::Writes;
    use crate::table::Column;

    fn idents(names: &[&str]) -> Vec<Ident> {
        names.iter().map(|name| Ident::exact(*name)).collect()
    }

    fn settings(columns: &[&str]) -> Settings {
        let name = |table: &str| TableName { schema: Ident::exact("public"), table: Ident::exact(table) };
        let mut settings = Settings::new("db", 5432, "etl", "sales", name("orders"));
        settings.columns = Some(vec![Column { name: Ident::exact("doc"), sql_type: "json".to_owned() }]);
        settings.outputs[0].transformer = Some(Transformer {
            schema: Some(Ident::exact("Shop")),
            function: Ident::exact("orders_of"),
            properties: [("a".to_owned(), "it's".to_owned())].into(),
            columns: idents(columns),
        });
        settings
    }

    fn orders() -> Target {
        target(&[("id", "bigint"), ("name", "text"), ("total", "numeric(9,2)")])
    }

    fn shown(target: Target, settings: &Settings) -> String {
        match Writes::new(&[target], settings) {
            Ok(writes) => {
                let external = TableName { schema: Ident::exact("public"), table: Ident::exact("gpkafkaloadext_x") };
                let tables = writes.tables(true).into_iter();
                tables.chain(writes.statements(&external)).collect::<Vec<_>>().join(";\n")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_function_makes_the_columns_that_it_is_said_to() {
        let mut given = settings(&["total", "id"]);
        given.outputs[0].filter = Some("doc IS NOT NULL".to_owned());
        expect_file!["golden/transformer.sql"].assert_eq(&shown(orders(), &given));
        let unchecked = Writes::unchecked(&given).unwrap();
        assert!(unchecked.is_filtered());
        assert!(Writes::unchecked(&settings(&[])).is_none(), "all columns are known to the database alone");
    }

    #[test]
    fn sets_pass_a_stage_where_rows_are_counted() {
        let target = Target { gets_sets: true, ..orders() };
        let given = settings(&[]);
        assert!(!Writes::new(std::slice::from_ref(&target), &given).unwrap().is_filtered());
        expect_file!["golden/transformer_sets.sql"].assert_eq(&shown(target, &given));
    }

    #[test]
    fn what_it_makes_can_be_merged() {
        let mut given = settings(&["id", "total"]);
        given.outputs[0].mode = Mode::Merge(Match {
            match_columns: idents(&["id"]),
            update_columns: idents(&["total"]),
            order_columns: idents(&["doc"]),
            ..Match::default()
        });
        expect_file!["golden/transformer_merge.sql"].assert_eq(&shown(orders(), &given));
        given.outputs[0].mode = Mode::Merge(Match {
            match_columns: idents(&["id"]),
            update_columns: idents(&["name"]),
            ..Match::default()
        });
        let told = shown(orders(), &given);
        assert!(told.ends_with("but no value goes into it: add it to COLUMNS of the TRANSFORMER"), "{told}");
    }

    #[test]
    fn columns_are_the_targets() {
        let told = shown(orders(), &settings(&["totl"]));
        assert_eq!(told, r#""public"."orders" has no column "totl"; did you mean "total"?"#);
        let mut target = orders();
        target.columns[2].is_generated = true;
        let told = shown(target, &settings(&["total"]));
        assert!(told.contains("is computed by the database; take it out of COLUMNS"), "{told}");
    }
}
