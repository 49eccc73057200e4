//! The target table: what it is, its columns, and whether the role may load it. Every refusal here is one clear line.

use super::connection::Connection;
use super::failure::Error;
use super::settings::Settings;
use super::sql::nearest;
use crate::table::{Column, Ident, TableName};

/// A column of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    pub name: Ident,
    /// As the catalog writes it: `numeric(9,2)`.
    pub sql_type: String,
    pub is_not_null: bool,
    pub has_default: bool,
    /// The database computes it; nothing can be inserted.
    pub is_generated: bool,
}

/// The target as it was when it was described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub table: TableName,
    /// In the table's order.
    pub columns: Vec<TargetColumn>,
}

impl Target {
    /// Reads the target's columns, and whether this role may load it and keep its own tables in the metadata schema.
    ///
    /// # Errors
    /// [`Error::Target`] where it is missing or cannot be inserted into, with the nearest name; [`Error::Privilege`]
    /// with every missing right and the statements that grant them.
    pub fn describe(connection: &mut Connection, settings: &Settings) -> Result<Self, Error> {
        let table = &settings.target;
        let found = find(connection, settings)?;
        let kind: String = found.get("kind");
        if let Some(text) = refusal(&kind, found.get("is_external"), found.get("is_insertable")) {
            return Err(Error::Target { text: format!("{table} {text}") });
        }
        check_rights(connection, settings, found.get("may_insert"))?;
        Ok(Self { table: table.clone(), columns: columns(connection, table)? })
    }

    /// Sees that the target is there, whatever it is and whoever may load it.
    ///
    /// # Errors
    /// [`Error::Target`] where it is missing, with the nearest name.
    pub fn require(connection: &mut Connection, settings: &Settings) -> Result<(), Error> {
        find(connection, settings).map(drop)
    }

    /// The column of this name.
    pub fn column(&self, name: &Ident) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// What a source without columns of its own has: all that can be inserted, in the table's order.
    pub fn as_source(&self) -> Vec<Column> {
        self.columns
            .iter()
            .filter(|column| !column.is_generated)
            .map(|column| Column { name: column.name.clone(), sql_type: column.sql_type.clone() })
            .collect()
    }
}

fn find(connection: &mut Connection, settings: &Settings) -> Result<postgres::Row, Error> {
    let table = &settings.target;
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&table.schema.as_str(), &table.table.as_str()];
    let found = connection.query("looking for the target", include_str!("../../sql/target_find.sql"), &params)?;
    match found.into_iter().next() {
        Some(found) => Ok(found),
        None => Err(missing(connection, settings)?),
    }
}

/// The columns of a table in its order.
pub(super) fn columns(connection: &mut Connection, table: &TableName) -> Result<Vec<TargetColumn>, Error> {
    let rows = connection.query(
        "reading the target's columns",
        include_str!("../../sql/target_columns.sql"),
        &[&table.schema.as_str(), &table.table.as_str()],
    )?;
    Ok(rows
        .iter()
        .map(|row| TargetColumn {
            name: Ident::exact(row.get::<_, String>("name")),
            sql_type: row.get("sql_type"),
            is_not_null: row.get("is_not_null"),
            has_default: row.get("has_default"),
            is_generated: row.get("is_generated"),
        })
        .collect())
}

/// Why rows cannot be inserted into this kind of relation.
fn refusal(kind: &str, is_external: bool, is_insertable: bool) -> Option<&'static str> {
    match kind {
        _ if is_external => Some("is an external table; name an ordinary one"),
        "r" | "p" => None,
        "v" if is_insertable => None,
        "v" => Some("is a view that rows cannot be inserted into; name its table"),
        "m" => Some("is a materialized view; name an ordinary table"),
        "f" => Some("is a foreign or external table; name an ordinary one"),
        _ => Some("is not a table"),
    }
}

/// A missing target, with what may have been meant.
fn missing(connection: &mut Connection, settings: &Settings) -> Result<Error, Error> {
    let table = &settings.target;
    let near = connection.query("looking for the target", include_str!("../../sql/target_near.sql"), &[])?;
    let near: Vec<(String, String)> = near.iter().map(|row| (row.get("schema"), row.get("name"))).collect();
    let of_schema = near.iter().filter(|(schema, _)| schema == table.schema.as_str()).map(|(_, name)| name.as_str());
    let elsewhere = near.iter().find(|(_, name)| name == table.table.as_str());
    let hint = match (nearest(table.table.as_str(), of_schema), elsewhere) {
        (Some(name), _) if name.to_lowercase() == table.table.as_str() => {
            format!("there is one named \"{name}\": write it as '\"{name}\"' to keep its capitals")
        }
        (Some(name), _) => format!("did you mean \"{name}\"?"),
        (None, Some((schema, _))) => format!("schema \"{schema}\" has a table of this name"),
        (None, None) => "create it first".to_owned(),
    };
    let schemas = schema_exists(connection, &table.schema)?;
    let text = match schemas {
        true => format!("table {table} does not exist in database \"{}\"; {hint}", settings.database),
        false => format!("schema {} does not exist in database \"{}\"; {hint}", table.schema, settings.database),
    };
    Ok(Error::Target { text })
}

fn schema_exists(connection: &mut Connection, schema: &Ident) -> Result<bool, Error> {
    let sql = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    Ok(!connection.query("looking for a schema", sql, &[&schema.as_str()])?.is_empty())
}

/// All that is missing in one go, with the statements that grant it.
fn check_rights(connection: &mut Connection, settings: &Settings, may_insert: bool) -> Result<(), Error> {
    let metadata = settings.metadata_schema();
    let sql = include_str!("../../sql/schema_rights.sql");
    let rights = connection.query("reading schema rights", sql, &[&metadata.as_str()])?;
    let Some(rights) = rights.first() else {
        let text = format!("metadata schema {metadata} does not exist; create it with: CREATE SCHEMA {metadata}");
        return Err(Error::Target { text });
    };
    let role = Ident::exact(connection.role());
    let mut lacks: Vec<(String, String)> = Vec::new();
    if !may_insert {
        let table = &settings.target;
        lacks.push((format!("INSERT on {table}"), format!("GRANT INSERT ON {table} TO {role}")));
    }
    if !rights.get::<_, bool>("may_use") || !rights.get::<_, bool>("may_create") {
        let on = format!("USAGE, CREATE ON SCHEMA {metadata}");
        lacks.push((format!("USAGE or CREATE on schema {metadata}"), format!("GRANT {on} TO {role}")));
    }
    lacks.extend(lacks_external(connection, &role)?);
    match lacks.is_empty() {
        true => Ok(()),
        false => {
            let (missing, statements): (Vec<_>, Vec<_>) = lacks.into_iter().unzip();
            Err(Error::Privilege {
                role: connection.role().to_owned(),
                missing: missing.join(", "),
                statements: statements.join("; "),
            })
        }
    }
}

/// The right to make external tables, or on PostgreSQL to have the server run a program.
fn lacks_external(connection: &mut Connection, role: &Ident) -> Result<Option<(String, String)>, Error> {
    let is_greenplum = connection.dialect().is_greenplum();
    let sql = match is_greenplum {
        true => include_str!("../../sql/role_greenplum.sql"),
        false => include_str!("../../sql/role_postgres.sql"),
    };
    let may: bool = connection.query_one("reading the role's rights", sql, &[])?.get("may_read_external");
    Ok((!may).then(|| match is_greenplum {
        true => (
            "CREATEEXTTABLE for gpfdist".to_owned(),
            format!("ALTER ROLE {role} CREATEEXTTABLE (type = 'readable', protocol = 'gpfdist')"),
        ),
        false => ("pg_execute_server_program".to_owned(), format!("GRANT pg_execute_server_program TO {role}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_takes_rows_is_a_target() {
        for kind in ["r", "p"] {
            assert_eq!(refusal(kind, false, true), None);
        }
        assert_eq!(refusal("v", false, true), None);
        assert!(refusal("v", false, false).is_some());
        assert!(refusal("r", true, true).is_some());
        for kind in ["m", "f", "S", "c"] {
            assert!(refusal(kind, false, true).is_some(), "{kind}");
        }
    }
}
