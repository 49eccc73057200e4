//! Temporary tables of a session that rows of a batch pass: made once, emptied by each COMMIT.
//!
//! `ON COMMIT DELETE ROWS` empties a table in place; TRUNCATE, and tables made for each batch, would grow the catalog
//! with every batch. For the same reason they are never analyzed: the planner is told to look at their size instead.

use super::connection::Connection;
use super::external_greenplum::columns;
use super::failure::Error;
use super::sql::fill;
use crate::table::{Column, Ident, TableName};

/// A table of `pg_temp`.
#[derive(Debug, Clone)]
pub(super) struct Scratch {
    pub(super) table: TableName,
    pub(super) columns: Vec<Column>,
    /// As the target that it is joined to, so that a join moves no rows; empty is at random. Greenplum only.
    pub(super) distribution: Vec<Ident>,
}

impl Scratch {
    pub(super) fn new(name: impl Into<String>, columns: Vec<Column>, distribution: Vec<Ident>) -> Self {
        let table = TableName { schema: Ident::exact("pg_temp"), table: Ident::exact(name) };
        Self { table, columns, distribution }
    }

    /// The CREATE statement. A role may have made append-only tables its default: those are not emptied in place.
    pub(super) fn create(&self, is_greenplum: bool) -> String {
        let (storage, distribution) = match is_greenplum {
            false => ("", String::new()),
            true if self.distribution.is_empty() => (" WITH (appendonly=false)", "\nDISTRIBUTED RANDOMLY".to_owned()),
            true => (" WITH (appendonly=false)", format!("\nDISTRIBUTED BY ({})", list(&self.distribution))),
        };
        let template = include_str!("../../sql/scratch_create.sql").trim_end();
        let columns = columns(&self.columns);
        fill(
            template,
            &[("table", &self.table), ("columns", &columns), ("storage", &storage), ("distribution", &distribution)],
        )
    }

    pub(super) fn names(&self) -> Vec<Ident> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// Makes a session's tables, each where it is not there, and has Greenplum's planner ask segments how large they are,
/// and think of indexes of the target: a small batch then neither hashes nor scans a large target.
pub(super) fn lay_out<'s>(
    connection: &mut Connection,
    tables: impl IntoIterator<Item = &'s Scratch>,
) -> Result<(), Error> {
    let is_greenplum = connection.dialect().is_greenplum();
    let mut is_any = false;
    for table in tables {
        connection.batch("creating a temporary table", &table.create(is_greenplum))?;
        is_any = true;
    }
    if is_any && is_greenplum {
        connection.query("setting up the planner", include_str!("../../sql/scratch_planner.sql"), &[])?;
    }
    Ok(())
}

/// Quoted names for a column list.
pub(super) fn list<'i>(names: impl IntoIterator<Item = &'i Ident>) -> String {
    names.into_iter().map(Ident::to_string).collect::<Vec<_>>().join(", ")
}
