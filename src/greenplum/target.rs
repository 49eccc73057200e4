//! The target table: what it is, its columns, and whether the role may load it. Every refusal here is one clear line.

use super::connection::Connection;
use super::failure::Error;
use super::settings::{Mode, Settings};
use super::sql::nearest;
use super::transformer;
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
    /// What Greenplum distributes it by; empty is something else.
    pub distribution: Vec<Ident>,
    /// The function that makes its rows may make several of one.
    pub gets_sets: bool,
}

impl Target {
    /// Reads the columns of every output's target, in their order, and whether this role may load them and keep its own
    /// tables in the metadata schema.
    ///
    /// # Errors
    /// [`Error::Target`] where one is missing or takes no rows, with the nearest name; [`Error::Privilege`] with every
    /// missing right and the statements that grant them.
    pub fn describe(connection: &mut Connection, settings: &Settings) -> Result<Vec<Self>, Error> {
        let (targets, rights) = Self::examine(connection, settings)?;
        rights.map(|()| targets)
    }

    /// As [`Self::describe`], what the targets are apart from the role's rights, which are [`Error::Privilege`] where one
    /// is missing.
    ///
    /// # Errors
    /// [`Error::Target`], or a query failed.
    pub fn examine(connection: &mut Connection, settings: &Settings) -> Result<(Vec<Self>, Result<(), Error>), Error> {
        if settings.formatter.is_some() && !connection.dialect().is_greenplum() {
            let text = "FORMAT custom needs Greenplum: PostgreSQL has no formatters for external tables; \
                        take another format";
            return Err(Error::Target { text: text.to_owned() });
        }
        let mut targets = Vec::new();
        let mut lacks = Vec::new();
        for output in &settings.outputs {
            let table = &output.target;
            let found = find(connection, settings, table)?;
            let needs = Needs::of(&output.mode);
            let takes = found.get::<_, i32>("takes") & needs.events() == needs.events();
            if let Some(text) = refusal(found.get("kind"), found.get("is_external"), takes) {
                return Err(Error::Target { text: format!("{table} {text}") });
            }
            lacks.extend(needs.lacking(&found).map(|right| (right, table)));
            let distribution = distribution(connection, table)?;
            let gets_sets = match &output.transformer {
                Some(transformer) => transformer::makes_sets(connection, transformer)?,
                None => false,
            };
            targets.push(Self { table: table.clone(), columns: columns(connection, table)?, distribution, gets_sets });
        }
        let passes_stage = !settings.is_direct() || targets.iter().any(|target| target.gets_sets);
        match check_rights(connection, settings, passes_stage, &lacks) {
            Err(error @ Error::Privilege { .. }) => Ok((targets, Err(error))),
            other => other.map(|()| (targets, Ok(()))),
        }
    }

    /// Sees that the first target is there, whatever it is and whoever may load it.
    ///
    /// # Errors
    /// [`Error::Target`] where it is missing, with the nearest name.
    pub fn require(connection: &mut Connection, settings: &Settings) -> Result<(), Error> {
        find(connection, settings, settings.target()).map(drop)
    }

    /// The columns of a table, whatever it is and whoever may load it; `None` where there is none of this name.
    ///
    /// # Errors
    /// What the server says.
    pub fn look(connection: &mut Connection, table: &TableName) -> Result<Option<Vec<TargetColumn>>, Error> {
        let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&table.schema.as_str(), &table.table.as_str()];
        let found = connection.query("looking for the table", include_str!("../../sql/target_find.sql"), &params)?;
        if found.is_empty() { Ok(None) } else { columns(connection, table).map(Some) }
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

/// What is done to a target.
struct Needs {
    reads: bool,
    inserts: bool,
    updates: bool,
    deletes: bool,
}

impl Needs {
    fn of(mode: &Mode) -> Self {
        let (inserts, wanted) = match mode {
            Mode::Insert => return Self { reads: false, inserts: true, updates: false, deletes: false },
            Mode::Update(wanted) => (false, wanted),
            Mode::Merge(wanted) => (true, wanted),
        };
        let updates = wanted.update_columns.iter().any(|name| !wanted.match_columns.contains(name));
        Self { reads: true, inserts, updates, deletes: wanted.delete_condition.is_some() }
    }

    /// As `pg_relation_is_updatable` writes them: 1 << `CmdType`.
    fn events(&self) -> i32 {
        i32::from(self.updates) << 2 | i32::from(self.inserts) << 3 | i32::from(self.deletes) << 4
    }

    /// Rights that the role does not have.
    fn lacking(&self, found: &postgres::Row) -> impl Iterator<Item = &'static str> {
        let needed = [
            (self.inserts, "INSERT", "may_insert"),
            (self.updates, "UPDATE", "may_update"),
            (self.deletes, "DELETE", "may_delete"),
            (self.reads, "SELECT", "may_select"),
        ];
        let lacking = needed.map(|(is_needed, right, may)| (is_needed && !found.get::<_, bool>(may)).then_some(right));
        lacking.into_iter().flatten()
    }
}

fn distribution(connection: &mut Connection, table: &TableName) -> Result<Vec<Ident>, Error> {
    if !connection.dialect().is_greenplum() {
        return Ok(Vec::new());
    }
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&table.schema.as_str(), &table.table.as_str()];
    let sql = include_str!("../../sql/target_distribution.sql");
    let mut rows = connection.query("reading the target's distribution", sql, &params)?;
    rows.sort_by_key(|row| {
        let (number, key): (i16, Vec<i16>) = (row.get("number"), row.get("key"));
        key.iter().position(|of_key| *of_key == number)
    });
    Ok(rows.iter().map(|row| Ident::exact(row.get::<_, String>("name"))).collect())
}

fn find(connection: &mut Connection, settings: &Settings, table: &TableName) -> Result<postgres::Row, Error> {
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&table.schema.as_str(), &table.table.as_str()];
    let found = connection.query("looking for the target", include_str!("../../sql/target_find.sql"), &params)?;
    match found.into_iter().next() {
        Some(found) => Ok(found),
        None => Err(missing(connection, settings, table)?),
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

/// Why rows cannot be written into this kind of relation.
fn refusal(kind: &str, is_external: bool, takes: bool) -> Option<&'static str> {
    match kind {
        _ if is_external => Some("is an external table; name an ordinary one"),
        "r" | "p" => None,
        "v" if takes => None,
        "v" => Some("is a view that rows cannot be written into; name its table"),
        "m" => Some("is a materialized view; name an ordinary table"),
        "f" => Some("is a foreign or external table; name an ordinary one"),
        _ => Some("is not a table"),
    }
}

/// A missing target, with what may have been meant.
fn missing(connection: &mut Connection, settings: &Settings, table: &TableName) -> Result<Error, Error> {
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
fn check_rights(
    connection: &mut Connection,
    settings: &Settings,
    passes_stage: bool,
    lacking: &[(&'static str, &TableName)],
) -> Result<(), Error> {
    let metadata = settings.metadata_schema();
    let sql = include_str!("../../sql/schema_rights.sql");
    let rights = connection.query("reading schema rights", sql, &[&metadata.as_str()])?;
    let Some(rights) = rights.first() else {
        let text = format!("metadata schema {metadata} does not exist; create it with: CREATE SCHEMA {metadata}");
        return Err(Error::Target { text });
    };
    let role = Ident::exact(connection.role());
    let on_target = |(right, table): &(&str, &TableName)| {
        (format!("{right} on {table}"), format!("GRANT {right} ON {table} TO {role}"))
    };
    let mut lacks: Vec<(String, String)> = lacking.iter().map(on_target).collect();
    if passes_stage && !may_have_temporary(connection)? {
        let database = Ident::exact(&settings.database);
        let grant = format!("GRANT TEMPORARY ON DATABASE {database} TO {role}");
        lacks.push((format!("TEMPORARY on database {database}"), grant));
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

fn may_have_temporary(connection: &mut Connection) -> Result<bool, Error> {
    let sql = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')";
    Ok(connection.query_one("reading the database's rights", sql, &[])?.get(0))
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
pub(super) mod tests {
    use super::*;

    /// A table `orders` with these columns.
    pub(in super::super) fn target(columns: &[(&str, &str)]) -> Target {
        let columns = columns.iter().map(|(name, sql_type)| TargetColumn {
            name: Ident::exact(*name),
            sql_type: (*sql_type).to_owned(),
            is_not_null: false,
            has_default: false,
            is_generated: false,
        });
        let table = TableName { schema: Ident::exact("public"), table: Ident::exact("orders") };
        Target { table, columns: columns.collect(), distribution: Vec::new(), gets_sets: false }
    }

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
