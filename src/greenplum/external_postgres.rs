//! The external table on one-node PostgreSQL: foreign tables of `file_fdw` under one parent, each read from a program
//! that stands for a segment.
//!
//! Children by inheritance, not partitions: a partition key's values would have to be true, and a filter on that column
//! would leave whole children unread. The shell that runs the program is a child of the backend, so `$PPID` is the pid
//! that binds the scan to its session.

use postgres::error::SqlState;

use super::connection::Connection;
use super::external::{Definition, Found};
use super::external_greenplum::{columns, token};
use super::failure::Error;
use super::sql::{fill, literal};
use super::target;
use crate::table::{Ident, TableName};

/// The CREATE statements, in a transaction of their own.
pub(super) fn create(definition: &Definition, parent: &TableName, token: &str) -> String {
    format!("BEGIN;\n{}COMMIT\n", create_inside(definition, parent, token))
}

/// The same, for a transaction that is open.
pub(super) fn create_inside(definition: &Definition, parent: &TableName, token: &str) -> String {
    let children: Vec<_> = (0..definition.segments).map(|segment| child(definition, parent, segment, token)).collect();
    fill(
        include_str!("../../sql/external_postgres_create.sql"),
        &[("table", parent), ("columns", &columns(&definition.columns)), ("children", &children.concat())],
    )
}

fn child(definition: &Definition, parent: &TableName, segment: u32, token: &str) -> String {
    let table = Ident::exact(format!("{}_{segment}", parent.table.as_str()));
    let name = TableName { schema: parent.schema.clone(), table };
    let program = literal(&program(definition, segment, token));
    let template = include_str!("../../sql/external_postgres_child.sql");
    fill(template, &[("child", &name), ("table", parent), ("program", &program)])
}

/// The command line that the server's shell runs.
fn program(definition: &Definition, segment: u32, token: &str) -> String {
    format!(
        "exec {} segment {} --segment-id {segment} --segment-count {} --xid pg-$PPID --cid 1 --sn 1",
        shell_quoted(&definition.program()),
        shell_quoted(&format!("{}{token}", definition.url())),
        definition.segments
    )
}

/// A command line that asks the loader's server whether it is there, and says on its standard output what came of it.
///
/// # Errors
/// This executable has no path.
pub(super) fn asking(definition: &Definition, seconds_max: u64) -> Result<String, Error> {
    let mut definition = definition.clone();
    name_program(&mut definition)?;
    let server = definition.url();
    let server = server.split("/v1/").next().unwrap_or_default();
    let (program, server) = (shell_quoted(&definition.program()), shell_quoted(server));
    // a connection that nobody answers would take longer; not every system has the command
    let timeout = format!("$(command -v timeout >/dev/null && echo timeout {seconds_max})");
    Ok(format!("{timeout} {program} segment {server} 2>&1; true"))
}

fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Makes `file_fdw` and its server ready, and sees that the server can run the program.
pub(super) fn prepare(connection: &mut Connection, definition: &mut Definition) -> Result<(), Error> {
    name_program(definition)?;
    make_server(connection)?;
    // no row is written, so that a program which reads nothing is no error
    let program = definition.program();
    let probe = literal(&format!("test -x {}", shell_quoted(&program)));
    match connection.batch("trying the segment program", &format!("COPY (SELECT 1 WHERE false) TO PROGRAM {probe}")) {
        Err(error) if error.is_state(&[&SqlState::EXTERNAL_ROUTINE_EXCEPTION]) => {
            let text = "it is not there, or may not be executed, for that user".to_owned();
            Err(Error::SegmentProgram { program, text })
        }
        other => other,
    }
}

/// This executable, unless another one was named.
pub(super) fn name_program(definition: &mut Definition) -> Result<(), Error> {
    if definition.segment_program.is_none() {
        let own = std::env::current_exe().map_err(|error| Error::SegmentProgram {
            program: "this executable".to_owned(),
            text: error.to_string(),
        })?;
        definition.segment_program = Some(own);
    }
    Ok(())
}

/// Extension and server, each only tried where it is missing; a rival may make it in between.
fn make_server(connection: &mut Connection) -> Result<(), Error> {
    let row = connection.query_one("looking for file_fdw", include_str!("../../sql/file_fdw_state.sql"), &[])?;
    let (has_wrapper, has_server): (bool, bool) = (row.get("has_wrapper"), row.get("has_server"));
    let role = Ident::exact(connection.role());
    if !has_wrapper {
        let tried = connection.batch("creating the extension file_fdw", "CREATE EXTENSION IF NOT EXISTS file_fdw");
        allowed(tried, connection, "the extension file_fdw", "CREATE EXTENSION file_fdw".to_owned())?;
    }
    if !has_server {
        let sql = "CREATE SERVER IF NOT EXISTS gpkafka_segments FOREIGN DATA WRAPPER file_fdw";
        let tried = connection.batch("creating the foreign server", sql);
        let grant = format!("GRANT USAGE ON FOREIGN DATA WRAPPER file_fdw TO {role}");
        allowed(tried, connection, "USAGE on the foreign data wrapper file_fdw", grant)?;
    }
    let sql = "SELECT pg_catalog.has_server_privilege('gpkafka_segments', 'USAGE')";
    match connection.query_one("reading the foreign server's rights", sql, &[])?.get(0) {
        true => Ok(()),
        false => Err(Error::Privilege {
            role: connection.role().to_owned(),
            missing: "USAGE on the foreign server gpkafka_segments".to_owned(),
            statements: format!("GRANT USAGE ON FOREIGN SERVER gpkafka_segments TO {role}"),
        }),
    }
}

fn allowed(tried: Result<(), Error>, connection: &Connection, missing: &str, statement: String) -> Result<(), Error> {
    match tried {
        Err(error) if error.is_state(&[&SqlState::INSUFFICIENT_PRIVILEGE]) => Err(Error::Privilege {
            role: connection.role().to_owned(),
            missing: missing.to_owned(),
            statements: statement,
        }),
        Err(error) if error.is_state(&[&SqlState::UNIQUE_VIOLATION, &SqlState::DUPLICATE_OBJECT]) => Ok(()),
        other => other,
    }
}

/// Compares the catalog with the definition.
pub(super) fn find(connection: &mut Connection, definition: &Definition, name: &TableName) -> Result<Found, Error> {
    let sql = include_str!("../../sql/external_postgres_read.sql");
    let params: [&(dyn postgres::types::ToSql + Sync); 2] = [&name.schema.as_str(), &name.table.as_str()];
    let rows = connection.query("reading the external table's definition", sql, &params)?;
    let Some(first) = rows.first() else { return Ok(Found::Nothing) };
    if !first.get::<_, bool>("is_parent") {
        return Ok(Found::Stranger);
    }
    let is_same_columns = target::columns(connection, name)?
        .iter()
        .map(|column| (&column.name, &column.sql_type))
        .eq(definition.columns.iter().map(|column| (&column.name, &column.sql_type)));
    let programs: Vec<Option<Vec<String>>> = rows.iter().map(|row| row.get("options")).collect();
    let found = first_token(definition, programs.first().and_then(Option::as_ref));
    let Found::Same { token } = &found else { return Ok(found) };
    let wanted = (0..definition.segments).map(|segment| Some(options(definition, segment, token)));
    match is_same_columns && programs.into_iter().eq(wanted) {
        true => Ok(found),
        false => Ok(Found::Different),
    }
}

/// The options of a child as the catalog holds them.
fn options(definition: &Definition, segment: u32, token: &str) -> Vec<String> {
    let program = format!("program={}", program(definition, segment, token));
    let fixed = ["format=text", "delimiter=\t", "null=\\N", "encoding=UTF8"].map(str::to_owned);
    [vec![program], fixed.to_vec()].concat()
}

fn first_token(definition: &Definition, options: Option<&Vec<String>>) -> Found {
    let location = options
        .and_then(|options| options.iter().find_map(|option| option.strip_prefix("program=")))
        .and_then(|program| program.split('\'').find(|part| part.starts_with("gpfdist://")));
    location.map_or(Found::Different, |location| token(location, &definition.url()))
}
