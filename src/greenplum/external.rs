//! The external table: made once per definition, reused as long as the catalog says that it still is what we would make.
//! What differs between Greenplum and PostgreSQL is in `external_greenplum.rs` and `external_postgres.rs`.

use std::path::PathBuf;

use fail::fail_point;

use super::connection::Connection;
use super::failure::Error;
use super::identity::{JobId, md5_of, random_hex};
use super::partitions::Partitions;
use super::settings::{Formatter, Settings};
use super::{external_greenplum, external_postgres};
use crate::table::{Column, Ident, TableName};

/// Raised when the form of the table changes, so that older ones are not taken for it.
const FORM: &str = "1";
/// `CREATE` meets a rival at most once per rival's own attempt; more than a few is something else.
const ATTEMPTS: usize = 5;
const PREFIX: &str = "gpkafkaloadext_";

/// All that an external table is made of. Two that are equal share one table.
#[derive(Debug, Clone)]
pub struct Definition {
    pub job: JobId,
    pub partitions: Partitions,
    /// Whose table it is: another role could neither read it nor empty its error log.
    pub role: String,
    /// Where the table lives.
    pub schema: Ident,
    /// Where segments call.
    pub host: String,
    pub port: u16,
    /// Greenplum only, see [`Settings::is_gpfdists`].
    pub is_gpfdists: bool,
    /// In the order of the encoded fields.
    pub columns: Vec<Column>,
    /// Greenplum only: what reads the messages, where that is not TEXT.
    pub formatter: Option<Formatter>,
    /// PostgreSQL only, see [`Settings::segment_program`].
    pub segment_program: Option<PathBuf>,
    /// PostgreSQL only.
    pub segments: u32,
    /// A table that is there already is used again; else it is dropped and made anew.
    pub may_reuse: bool,
}

/// A table that segments read through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalTable {
    pub name: TableName,
    /// What segments ask for: `/v1/<job>/<partitions>/<token>`.
    pub path: String,
    /// The rows of a block are the database's to count.
    pub is_custom: bool,
    /// It was there already.
    pub is_reused: bool,
    /// It was there but was not what its name says, and was dropped.
    pub is_remade: bool,
    /// Earlier ones of this job that were dropped.
    pub dropped: Vec<TableName>,
}

/// What the catalog says of a table by our name.
pub(super) enum Found {
    Nothing,
    /// Some other kind of relation: not ours to drop.
    Stranger,
    /// Ours, but not as we would make it.
    Different,
    /// As we would make it, with this token.
    Same {
        token: String,
    },
}

impl Definition {
    /// The table for these columns, where segments call `host:port`.
    pub fn new(
        job: &JobId,
        partitions: &Partitions,
        settings: &Settings,
        columns: &[Column],
        host: &str,
        port: u16,
    ) -> Self {
        Self {
            job: job.clone(),
            partitions: partitions.clone(),
            role: settings.user.clone(),
            schema: settings.metadata_schema().clone(),
            host: host.to_owned(),
            port,
            is_gpfdists: settings.is_gpfdists,
            columns: columns.to_vec(),
            formatter: settings.formatter.clone(),
            segment_program: settings.segment_program.clone(),
            segments: settings.segments.max(1),
            may_reuse: true,
        }
    }

    /// The same as a dialect has it: Greenplum needs no program, and its segments are what they are.
    pub fn on(mut self, is_greenplum: bool) -> Self {
        if is_greenplum {
            (self.segment_program, self.segments) = (None, 0);
        }
        self
    }

    /// The table's name: the original's prefix and a hash over all of the definition, types as they are written.
    pub fn table(&self) -> TableName {
        let partitions = self.partitions.to_string();
        let (port, segments) = (self.port.to_string(), self.segments.to_string());
        let program = self.program();
        let mut parts = vec![FORM, self.job.hash(), &partitions, &self.role, &self.host, &port, &segments, &program];
        for column in &self.columns {
            parts.extend([column.name.as_str(), &column.sql_type]);
        }
        if let Some(Formatter { name, options, encoding }) = &self.formatter {
            parts.extend(["custom", name, options, encoding]);
        }
        if self.is_gpfdists {
            parts.push("gpfdists");
        }
        let table = Ident::exact(format!("{PREFIX}{}", md5_of(&parts)));
        TableName { schema: self.schema.clone(), table }
    }

    /// The CREATE statements as this dialect needs them, for showing them; the token is left as `<token>`.
    pub fn sql(&self, is_greenplum: bool) -> String {
        create(self, is_greenplum, &self.table(), "<token>")
    }

    /// Whether a dialect can have it.
    ///
    /// # Errors
    /// TLS is asked for where no segment of Greenplum's is to speak it.
    pub fn check(&self, is_greenplum: bool) -> Result<(), Error> {
        if self.is_gpfdists && !is_greenplum {
            let text = "Gpfdist.Certificate is for Greenplum, whose segments speak TLS; PostgreSQL reads through a program on \
                        its own machine, which does not: leave Certificate out of the file that --config names"
                .to_owned();
            return Err(Error::Target { text });
        }
        Ok(())
    }

    /// `gpfdist://host:port/v1/<job>/<partitions>/`, or `gpfdists://…` — the token follows.
    pub(super) fn url(&self) -> String {
        let host = match self.host.contains(':') && !self.host.starts_with('[') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let scheme = if self.is_gpfdists { "gpfdists" } else { "gpfdist" };
        format!("{scheme}://{host}:{}{}", self.port, self.path(""))
    }

    fn path(&self, token: &str) -> String {
        format!("{}{}/{token}", job_path(&self.job), self.partitions)
    }

    /// The executable that PostgreSQL runs.
    pub(super) fn program(&self) -> String {
        self.segment_program.as_ref().map_or_else(String::new, |program| program.to_string_lossy().into_owned())
    }
}

/// What every path of a job begins with.
fn job_path(job: &JobId) -> String {
    format!("/v1/{}/", job.hash())
}

impl ExternalTable {
    /// Reuses the table of this definition or makes it, then drops earlier ones of the job whose partitions are all
    /// among the definition's: call it only while these are claimed.
    ///
    /// # Errors
    /// A column type that does not exist; a lack of rights; on PostgreSQL a program that the server cannot run.
    ///
    /// # Blocks
    /// For some statements, and for locks when a table must be dropped.
    pub fn ensure(connection: &mut Connection, definition: &Definition) -> Result<Self, Error> {
        let is_greenplum = connection.dialect().is_greenplum();
        definition.check(is_greenplum)?;
        let mut definition = definition.clone().on(is_greenplum);
        if !is_greenplum {
            external_postgres::prepare(connection, &mut definition)?;
        }
        let name = definition.table();
        definition.columns = canonical(connection, &definition.columns)?;
        if !definition.may_reuse && matches!(find(connection, &definition, &name)?, Found::Same { .. }) {
            drop_table(connection, &name)?;
        }
        let mut made = Self::find_or_make(connection, &definition, name)?;
        made.dropped = sweep(connection, &definition, &made.name)?;
        Ok(made)
    }

    /// Makes the table inside the open transaction, under a name that nobody else has: no other session ever sees it, and
    /// a ROLLBACK takes it away.
    ///
    /// # Errors
    /// As [`ExternalTable::ensure`].
    pub(super) fn make_inside(connection: &mut Connection, definition: &Definition) -> Result<Self, Error> {
        let is_greenplum = connection.dialect().is_greenplum();
        definition.check(is_greenplum)?;
        let mut definition = definition.clone().on(is_greenplum);
        if !is_greenplum {
            external_postgres::prepare(connection, &mut definition)?;
        }
        definition.columns = canonical(connection, &definition.columns)?;
        let table = Ident::exact(format!("{PREFIX}{}", random_hex(16)?));
        let name = TableName { schema: definition.schema.clone(), table };
        let token = random_hex(16)?;
        let sql = match is_greenplum {
            true => external_greenplum::create(&definition, &name, &token),
            false => external_postgres::create_inside(&definition, &name, &token),
        };
        connection.batch("creating the external table", &sql)?;
        let (path, is_custom) = (definition.path(&token), definition.formatter.is_some());
        Ok(Self { name, path, is_custom, is_reused: false, is_remade: false, dropped: Vec::new() })
    }

    fn find_or_make(connection: &mut Connection, definition: &Definition, name: TableName) -> Result<Self, Error> {
        let (mut is_reused, mut is_remade) = (true, false);
        for _ in 0..ATTEMPTS {
            match find(connection, definition, &name)? {
                Found::Same { token } => {
                    let path = definition.path(&token);
                    let is_custom = definition.formatter.is_some();
                    return Ok(Self { name, path, is_custom, is_reused, is_remade, dropped: Vec::new() });
                }
                Found::Stranger => {
                    let text = "a relation of this name exists and is none of gpkafka's; move it away".to_owned();
                    return Err(Error::External { table: name.to_string(), text });
                }
                Found::Different => {
                    drop_table(connection, &name)?;
                    is_remade = true;
                }
                Found::Nothing => is_reused = !make(connection, definition, &name)?,
            }
        }
        let text = "it is not what was just made; look for someone who alters it".to_owned();
        Err(Error::External { table: name.to_string(), text })
    }
}

fn find(connection: &mut Connection, definition: &Definition, name: &TableName) -> Result<Found, Error> {
    match connection.dialect().is_greenplum() {
        true => external_greenplum::find(connection, definition, name),
        false => external_postgres::find(connection, definition, name),
    }
}

fn create(definition: &Definition, is_greenplum: bool, name: &TableName, token: &str) -> String {
    match is_greenplum {
        true => external_greenplum::create(definition, name, token),
        false => external_postgres::create(definition, name, token),
    }
}

/// Whether it was us who made it: a rival may have been quicker.
fn make(connection: &mut Connection, definition: &Definition, name: &TableName) -> Result<bool, Error> {
    let token = random_hex(16)?;
    let sql = create(definition, connection.dialect().is_greenplum(), name, &token);
    let Err(error) = connection.batch("creating the external table", &sql) else { return Ok(true) };
    connection.roll_back()?;
    match error.is_raced_creation() {
        true => Ok(false),
        false => Err(error),
    }
}

/// Column types as the catalog writes them, so that they can be compared with it: `decimal(9,2)` is `numeric(9,2)`.
fn canonical(connection: &mut Connection, columns: &[Column]) -> Result<Vec<Column>, Error> {
    let mut known = Vec::with_capacity(columns.len());
    for column in columns {
        let statement = connection.client().prepare(&format!("SELECT NULL::{}", column.sql_type)).map_err(|error| {
            match Error::from_client("reading a column type", &error) {
                Error::Sql { state, text, .. } if state.starts_with("42") => Error::Target {
                    text: format!(
                        "source column {} has a type that the database does not know, {}: {text}",
                        column.name, column.sql_type
                    ),
                },
                other => other,
            }
        })?;
        let result = statement.columns().first().expect("a SELECT of one value has one column");
        let (oid, modifier) = (result.type_().oid(), result.type_modifier());
        let sql = "SELECT pg_catalog.format_type($1, $2)";
        let row = connection.query_one("reading a column type", sql, &[&oid, &modifier])?;
        known.push(Column { name: column.name.clone(), sql_type: row.get(0) });
    }
    Ok(known)
}

fn drop_table(connection: &mut Connection, name: &TableName) -> Result<(), Error> {
    let sql = match connection.dialect().is_greenplum() {
        true => format!("DROP EXTERNAL TABLE IF EXISTS {name}"),
        false => format!("DROP TABLE IF EXISTS {name} CASCADE"),
    };
    connection.batch("dropping an external table", &sql)
}

/// External tables of loads in the definition's schema but its own, each with the hash of its job.
///
/// # Errors
/// A query failed; on PostgreSQL this executable has no path.
pub(super) fn others(connection: &mut Connection, definition: &Definition) -> Result<Vec<(TableName, String)>, Error> {
    let is_greenplum = connection.dialect().is_greenplum();
    let mut definition = definition.clone().on(is_greenplum);
    if !is_greenplum {
        external_postgres::name_program(&mut definition)?;
    }
    let own = definition.table();
    let mut others = listed(connection, &definition.schema)?;
    others.retain(|(name, _)| *name != own);
    let job = |location: &str| Some(location.split_once("/v1/")?.1.split('/').next()?.to_owned());
    // those of the original have another location
    Ok(others.into_iter().filter_map(|(name, location)| Some((name, job(&location)?))).collect())
}

/// The external tables of a schema by their names, each with its location.
fn listed(connection: &mut Connection, schema: &Ident) -> Result<Vec<(TableName, String)>, Error> {
    let sql = match connection.dialect().is_greenplum() {
        true => include_str!("../../sql/external_greenplum_list.sql"),
        false => include_str!("../../sql/external_postgres_list.sql"),
    };
    let rows = connection.query("looking for earlier external tables", sql, &[&schema.as_str()])?;
    let table =
        |row: &postgres::Row| TableName { schema: schema.clone(), table: Ident::exact(row.get::<_, String>("name")) };
    Ok(rows.iter().map(|row| (table(row), row.get("location"))).collect())
}

/// Drops what earlier loads of these partitions left. One that is in use, or someone else's, stays.
fn sweep(connection: &mut Connection, definition: &Definition, keep: &TableName) -> Result<Vec<TableName>, Error> {
    // for tests that let loaders of one job run at once, where nothing is anybody's own
    fail_point!("sweep-off", |_| Ok(Vec::new()));
    let mut dropped = Vec::new();
    for (name, location) in listed(connection, &definition.schema)? {
        if name == *keep || !covers(definition, &location) {
            continue;
        }
        let what = if connection.dialect().is_greenplum() { "EXTERNAL TABLE" } else { "TABLE" };
        let drop_now = format!("BEGIN; SET LOCAL lock_timeout = '1s'; DROP {what} {name} CASCADE; COMMIT");
        match connection.batch("dropping an earlier external table", &drop_now) {
            Ok(()) => dropped.push(name),
            Err(error @ Error::Lost { .. }) => return Err(error),
            Err(_) => connection.roll_back()?,
        }
    }
    Ok(dropped)
}

/// Whether a location is of this job, and all of its partitions are the definition's. A list that was too long to be
/// written can only be told to be the same one.
fn covers(definition: &Definition, location: &str) -> bool {
    let path = job_path(&definition.job);
    let Some(theirs) = location.split_once(&path).and_then(|(_, rest)| rest.split('/').next()) else { return false };
    let ours = &definition.partitions;
    *ours == Partitions::All
        || theirs == ours.to_string()
        || Partitions::parse(theirs).is_some_and(|theirs| ours.covers(&theirs))
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::expect;

    use super::*;

    pub(in super::super) fn definition() -> Definition {
        let target = TableName { schema: Ident::exact("public"), table: Ident::exact("orders") };
        let job = JobId::new("orders", "sales", &target);
        let settings = Settings::new("db", 5432, "etl", "sales", target);
        let columns = [("a", "integer"), ("B \"x\"", "numeric(9,2)")]
            .map(|(name, sql_type)| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() });
        let partitions = Partitions::Only([0, 1, 2, 7].into_iter().collect());
        let mut definition = Definition::new(&job, &partitions, &settings, &columns, "etl1", 8080);
        definition.segment_program = Some("/srv/it's here/gpkafka".into());
        definition.segments = 2;
        definition
    }

    #[test]
    fn the_statements() {
        expect![[r#"
            CREATE EXTERNAL TABLE "public"."gpkafkaloadext_0" (
                "a" integer,
                "B ""x""" numeric(9,2)
            )
            LOCATION ('gpfdist://etl1:8080/v1/0/0-2.7/<token>')
            FORMAT 'TEXT' (DELIMITER E'\t' NULL '\N' ESCAPE '\' NEWLINE 'LF')
            ENCODING 'UTF8'
            LOG ERRORS SEGMENT REJECT LIMIT 2147483647 ROWS
        "#]]
        .assert_eq(&without_hashes(&definition().sql(true)));
        expect![[r#"
            BEGIN;
            CREATE TABLE "public"."gpkafkaloadext_0" (
                "a" integer,
                "B ""x""" numeric(9,2)
            );
            CREATE FOREIGN TABLE "public"."gpkafkaloadext_0_0" () INHERITS ("public"."gpkafkaloadext_0") SERVER gpkafka_segments
            OPTIONS (program 'exec ''/srv/it''\''''s here/gpkafka'' segment ''gpfdist://etl1:8080/v1/0/0-2.7/<token>'' --segment-id 0 --segment-count 2 --xid pg-$PPID --cid 1 --sn 1', format 'text', delimiter E'\t', null '\N', encoding 'UTF8');
            CREATE FOREIGN TABLE "public"."gpkafkaloadext_0_1" () INHERITS ("public"."gpkafkaloadext_0") SERVER gpkafka_segments
            OPTIONS (program 'exec ''/srv/it''\''''s here/gpkafka'' segment ''gpfdist://etl1:8080/v1/0/0-2.7/<token>'' --segment-id 1 --segment-count 2 --xid pg-$PPID --cid 1 --sn 1', format 'text', delimiter E'\t', null '\N', encoding 'UTF8');
            COMMIT
        "#]]
        .assert_eq(&without_hashes(&definition().sql(false)));
    }

    #[test]
    fn a_formatter_takes_the_place_of_text() {
        let mut definition = definition();
        let text = definition.table();
        let formatter =
            Formatter { name: "it's".to_owned(), options: "a='1'".to_owned(), encoding: "LATIN1".to_owned() };
        definition.formatter = Some(formatter.clone());
        let sql = definition.sql(true);
        assert!(sql.contains("FORMAT 'CUSTOM' (FORMATTER='it''s', a='1')\nENCODING 'LATIN1'\n"), "{sql}");
        let custom = definition.table();
        definition.formatter = Some(Formatter { options: String::new(), ..formatter });
        assert!(definition.sql(true).contains("FORMAT 'CUSTOM' (FORMATTER='it''s')\n"));
        assert!(text != custom && custom != definition.table(), "each has a table of its own");
    }

    fn without_hashes(sql: &str) -> String {
        let table = definition().table();
        sql.replace(&table.table.as_str()[PREFIX.len()..], "0").replace(definition().job.hash(), "0")
    }

    #[test]
    fn every_part_of_a_definition_makes_another_table() {
        let name = definition().table();
        assert_eq!(name.table.as_str().len(), PREFIX.len() + 32);
        let changes: [fn(&mut Definition); 7] = [
            |other| other.role = "another".to_owned(),
            |other| other.port = 8081,
            |other| other.host = "etl2".to_owned(),
            |other| other.partitions = Partitions::All,
            |other| other.columns[0].sql_type = "text".to_owned(),
            |other| other.segments = 3,
            |other| other.is_gpfdists = true,
        ];
        for change in changes {
            let mut other = definition();
            change(&mut other);
            assert_ne!(other.table(), name);
        }
    }

    #[test]
    fn a_location_tells_its_partitions() {
        let of = |partitions: Partitions| Definition { partitions, ..definition() };
        let only = |partitions: &[i32]| of(Partitions::Only(partitions.iter().copied().collect()));
        let odd = |count: i32| of(Partitions::Only((0..count).map(|n| 2 * n + 1).collect()));
        let location = |definition: &Definition| format!("{}token", definition.url());
        let mut other = definition();
        other.job = JobId::new("other", "sales", other.job.target());
        for (ours, theirs, is_covered) in [
            (definition(), definition(), true),
            (definition(), only(&[7]), true),
            (only(&[7]), definition(), false),
            (definition(), other, false),
            (odd(500), odd(500), true),
            (odd(500), odd(501), false),
            (of(Partitions::All), odd(500), true),
            (odd(500), of(Partitions::All), false),
        ] {
            assert_eq!(covers(&ours, &location(&theirs)), is_covered, "{} {}", ours.partitions, theirs.partitions);
        }
    }

    #[test]
    fn tls_is_for_greenplum() {
        let definition = Definition { is_gpfdists: true, ..definition() };
        assert!(definition.url().starts_with("gpfdists://etl1:8080/v1/"));
        assert!(definition.check(true).is_ok() && definition.check(false).is_err());
    }

    #[test]
    fn an_ipv6_address_is_bracketed() {
        let mut definition = definition();
        definition.host = "fd00::1".to_owned();
        assert!(definition.url().starts_with("gpfdist://[fd00::1]:8080/v1/"));
    }
}
