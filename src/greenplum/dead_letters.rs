//! The dead-letter table: records, or single rows of them, that did not come into their targets, whole and with the
//! reason. It is written in the transaction of their batch, and emptied in the one that loads them after all.
//!
//! One table may serve many jobs. Made at the start of the first one, so that missing rights are found before a record is
//! read.

use std::collections::BTreeMap;

use fail::fail_point;
use postgres::types::ToSql;
use serde_json::{Map, Value, json};

use super::connection::Connection;
use super::failure::Error;
use super::identity::{JobId, hex};
use super::kept::Kept;
use super::sql::fill;
use crate::record::{OwnedRecord, TimestampType};
use crate::table::{Ident, TableName};

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The loader: no row could be made of the record.
    Decode,
    /// A segment: a field is none of its column's type.
    Segment,
    /// The database behind the external table: a mapping, a condition, a constraint.
    Expression,
}

impl Stage {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Segment => "segment",
            Self::Expression => "expression",
        }
    }

    /// The other way round; what a user may have written is as good as another.
    fn named(name: &str) -> Self {
        [Self::Segment, Self::Expression].into_iter().find(|stage| stage.name() == name).unwrap_or(Self::Decode)
    }
}

/// What was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub partition: i32,
    pub offset: i64,
    /// Which of the record's rows, from 0; `None` is all of the record.
    pub row: Option<i32>,
    /// How many rows the record made, where one of them was refused.
    pub of_rows: Option<i32>,
    pub stage: Stage,
    /// The database's own words where it was the database.
    pub error: String,
    /// SQLSTATE. A segment's error log does not keep it.
    pub state: Option<String>,
}

/// A refusal with its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub refusal: Refusal,
    /// The number of its batch.
    pub batch: i64,
    /// `None`: the topic no longer has it.
    pub record: Option<OwnedRecord>,
    /// Microseconds since 1970; `None` is now.
    pub written: Option<i64>,
}

/// Which letters a replay takes: those of partitions that it holds, written before it began. What it puts back is not
/// taken again.
#[derive(Debug, Clone)]
pub struct Within {
    pub partitions: Vec<i32>,
    /// The database's clock, in microseconds since 1970.
    pub before: i64,
}

/// What the table holds of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    pub letters: u64,
    /// Of them, those whose record was gone when they were written.
    pub without_record: u64,
}

/// The letters of a job, or those for which a condition is true.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    table: TableName,
    job: JobId,
    /// As a condition among others, and as it was written.
    condition: (String, String),
}

/// Records that one look at the table asks about.
const LOOK_MAX: i64 = 10_000;

/// The table's columns with their types as a server writes them.
const COLUMNS: [(&str, &str); 17] = [
    ("job", "text"),
    ("topic", "text"),
    ("partition", "integer"),
    ("offset", "bigint"),
    ("row", "integer"),
    ("of_rows", "integer"),
    ("timestamp", "timestamp with time zone"),
    ("timestamp_type", "text"),
    ("key", "bytea"),
    ("payload", "bytea"),
    ("headers", "json"),
    ("has_record", "boolean"),
    ("error", "text"),
    ("sqlstate", "text"),
    ("stage", "text"),
    ("batch", "bigint"),
    ("written_at", "timestamp with time zone"),
];

impl DeadLetters {
    /// All letters of a job.
    pub fn new(table: &TableName, job: &JobId) -> Self {
        Self { table: table.clone(), job: job.clone(), condition: ("true".to_owned(), "true".to_owned()) }
    }

    /// Those for which an SQL condition over the table's columns is true.
    #[must_use]
    pub fn only(self, condition: &str) -> Self {
        // a comment in it cannot hide the parenthesis
        Self { condition: (format!("({condition}\n)"), condition.to_owned()), ..self }
    }

    /// Its CREATE statement.
    pub fn create_sql(table: &TableName, is_greenplum: bool) -> String {
        let distribution = if is_greenplum { "\nDISTRIBUTED RANDOMLY" } else { "" };
        fill(
            include_str!("../../sql/dead_letters_create.sql").trim_end(),
            &[("table", table), ("distribution", &distribution)],
        )
    }

    /// Makes the table where it is not there, in a transaction of its own.
    ///
    /// # Errors
    /// [`Error::Target`]: it has other columns; [`Error::Privilege`]: this role may not write to it.
    ///
    /// # Blocks
    /// For another session that is making it.
    pub fn ensure(&self, connection: &mut Connection) -> Result<(), Error> {
        let create = Self::create_sql(&self.table, connection.dialect().is_greenplum());
        let columns = columns();
        let kept = Kept { table: &self.table, create: &create, columns: &columns, holds: "dead letters" };
        connection.batch("beginning a transaction", "BEGIN")?;
        let made = kept.ensure(connection).and_then(|()| connection.batch("committing", "COMMIT"));
        if let Err(error) = made {
            connection.roll_back()?;
            return Err(error);
        }
        self.require_rights(connection)
    }

    /// Whether it is there; it is not made.
    ///
    /// # Errors
    /// See [`DeadLetters::ensure`].
    pub fn check(&self, connection: &mut Connection) -> Result<bool, Error> {
        let columns = columns();
        let kept = Kept { table: &self.table, create: "", columns: &columns, holds: "dead letters" };
        let is_there = kept.is_there(connection)?;
        if is_there {
            self.require_rights(connection)?;
        }
        Ok(is_there)
    }

    /// How many letters there are of other jobs.
    ///
    /// # Errors
    /// The table may not be read.
    pub fn of_others(&self, connection: &mut Connection) -> Result<u64, Error> {
        let sql = format!("SELECT pg_catalog.count(*) FROM {} WHERE job <> $1", self.table);
        let row = connection.query_one("looking for dead letters", &sql, &[&self.job.hash()])?;
        Ok(row.get::<_, i64>(0).unsigned_abs())
    }

    fn require_rights(&self, connection: &mut Connection) -> Result<(), Error> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.table.schema.as_str(), &self.table.table.as_str()];
        let sql = include_str!("../../sql/ledger_find.sql");
        let rows = connection.query("looking for the dead-letter table", sql, &params)?;
        if rows.first().is_some_and(|row| row.get("may_append")) {
            return Ok(());
        }
        let role = Ident::exact(connection.role());
        Err(Error::Privilege {
            role: connection.role().to_owned(),
            missing: format!("INSERT on {}", self.table),
            statements: format!("GRANT SELECT, INSERT, DELETE ON {} TO {role}", self.table),
        })
    }

    /// Adds letters, in the transaction that is open: as many as fit into memory with their copies.
    ///
    /// # Errors
    /// The statement failed.
    pub fn append(&self, connection: &mut Connection, letters: &[Letter]) -> Result<(), Error> {
        let is_utf8 = connection.is_utf8();
        let partitions = each(letters, |letter| letter.refusal.partition);
        let offsets = each(letters, |letter| letter.refusal.offset);
        let rows = each(letters, |letter| letter.refusal.row);
        let of_rows = each(letters, |letter| letter.refusal.of_rows);
        let errors = each(letters, |letter| storable(&letter.refusal.error, is_utf8));
        let states = each(letters, |letter| letter.refusal.state.as_deref());
        let stages = each(letters, |letter| letter.refusal.stage.name());
        let batches = each(letters, |letter| letter.batch);
        let written = each(letters, |letter| letter.written);
        let are_there = each(letters, |letter| letter.record.is_some());
        let times = each(letters, |letter| letter.record.as_ref()?.timestamp_ms);
        let kinds = each(letters, |letter| letter.record.as_ref()?.timestamp_type.map(TimestampType::name));
        let keys = each(letters, |letter| letter.record.as_ref()?.key.as_deref());
        let payloads = each(letters, |letter| letter.record.as_ref()?.payload.as_deref());
        let headers = each(letters, |letter| headers_of(letter.record.as_ref()?));
        let params: [&(dyn ToSql + Sync); 17] = [
            &self.job.hash(),
            &self.job.topic(),
            &batches,
            &partitions,
            &offsets,
            &rows,
            &times,
            &kinds,
            &keys,
            &payloads,
            &headers,
            &are_there,
            &errors,
            &states,
            &stages,
            &of_rows,
            &written,
        ];
        let sql = fill(include_str!("../../sql/dead_letters_append.sql"), &[("table", &self.table)]);
        connection.execute("writing dead letters", &sql, &params)?;
        fail_point!("dead-letters-written");
        Ok(())
    }

    /// How many letters there are, by partition.
    ///
    /// # Errors
    /// There is no such table, it may not be read, or the condition is none.
    pub fn held(&self, connection: &mut Connection) -> Result<BTreeMap<i32, Held>, Error> {
        let sql = self.fill(include_str!("../../sql/dead_letters_left.sql"));
        let rows = connection.query("looking for dead letters", &sql, &[&self.job.hash()])?;
        let count = |row: &postgres::Row, name: &str| row.get::<_, i64>(name).unsigned_abs();
        let held =
            |row: &postgres::Row| Held { letters: count(row, "letters"), without_record: count(row, "without_record") };
        Ok(rows.iter().map(|row| (row.get("partition"), held(row))).collect())
    }

    /// The database's clock, in microseconds since 1970.
    ///
    /// # Errors
    /// The session is gone.
    pub fn now(connection: &mut Connection) -> Result<i64, Error> {
        let sql = "SELECT (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8";
        connection.query_one("reading the clock", sql, &[]).map(|row| row.get(0))
    }

    /// Ends of parts behind a record, each of at most so many records and about so many bytes; none at the end of the
    /// table. There may be more parts than one look sees.
    ///
    /// # Errors
    /// See [`DeadLetters::held`].
    pub fn part_ends(
        &self,
        connection: &mut Connection,
        within: &Within,
        behind: (i32, i64),
        (records_max, bytes_max): (usize, u64),
    ) -> Result<Vec<(i32, i64)>, Error> {
        let sql = self.fill(include_str!("../../sql/dead_letters_next.sql"));
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.job.hash(), &behind.0, &behind.1, &LOOK_MAX, &within.before, &within.partitions];
        let (mut ends, mut last, mut records, mut bytes) = (Vec::new(), None, 0, 0);
        for row in connection.query("looking for dead letters", &sql, &params)? {
            let more = row.get::<_, i64>("bytes").unsigned_abs();
            if records >= records_max || (records > 0 && bytes + more > bytes_max) {
                ends.extend(last);
                (records, bytes) = (0, 0);
            }
            (records, bytes) = (records + 1, bytes + more);
            last = Some((row.get("partition"), row.get("offset")));
        }
        ends.extend(last);
        Ok(ends)
    }

    /// Takes the letters behind one record, up to and with another, out of the table: in the order of partition, offset
    /// and row. They are back if the transaction is not committed.
    ///
    /// # Errors
    /// The statement failed.
    ///
    /// # Blocks
    /// On Greenplum while another transaction writes to the table.
    pub fn take(
        &self,
        connection: &mut Connection,
        within: &Within,
        behind: (i32, i64),
        end: (i32, i64),
    ) -> Result<Vec<Letter>, Error> {
        let sql = self.fill(include_str!("../../sql/dead_letters_take.sql"));
        let params: [&(dyn ToSql + Sync); 7] =
            [&self.job.hash(), &behind.0, &behind.1, &end.0, &end.1, &within.before, &within.partitions];
        let rows = connection.query("taking dead letters", &sql, &params)?;
        let mut taken: Vec<Letter> = rows.iter().map(taken).collect();
        taken.sort_by_key(|it| (it.refusal.partition, it.refusal.offset, it.refusal.row, it.written));
        Ok(taken)
    }

    fn fill(&self, template: &str) -> String {
        fill(template, &[("table", &self.table), ("where", &self.condition.0), ("alone", &self.condition.1)])
    }
}

/// A column of letters.
fn each<'l, T>(letters: &'l [Letter], of: impl Fn(&'l Letter) -> T) -> Vec<T> {
    letters.iter().map(of).collect()
}

fn columns() -> [(String, String); 17] {
    COLUMNS.map(|(name, sql_type)| (name.to_owned(), sql_type.to_owned()))
}

fn taken(row: &postgres::Row) -> Letter {
    let headers: Option<String> = row.get("headers");
    let refusal = Refusal {
        partition: row.get("partition"),
        offset: row.get("offset"),
        row: row.get("row"),
        of_rows: row.get("of_rows"),
        stage: Stage::named(row.get("stage")),
        error: row.get("error"),
        state: row.get("sqlstate"),
    };
    let record = OwnedRecord {
        timestamp_ms: row.get("ms"),
        timestamp_type: row.get::<_, Option<&str>>("timestamp_type").and_then(TimestampType::named),
        key: row.get("key"),
        payload: row.get("payload"),
        headers: headers.map(|text| headers_from(&text)).unwrap_or_default(),
    };
    Letter { refusal, batch: row.get("batch"), record: Some(record), written: row.get("written") }
}

/// A text without what the database cannot store in it.
fn storable(text: &str, is_utf8: bool) -> String {
    let text = text.replace('\0', "\\0");
    if is_utf8 || text.is_ascii() { text } else { ascii(&text) }
}

/// A text in which letters beyond ASCII are `\uXXXX`, as JSON has them.
fn ascii(text: &str) -> String {
    let mut units = [0; 2];
    let mut ascii = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_ascii() {
            true => ascii.push(letter),
            false => ascii.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    ascii
}

/// `[{"name": "trace", "value": "17"}, …]` in their order; a value that text cannot hold is `"hex"` instead.
fn headers_of(record: &OwnedRecord) -> Option<String> {
    let header = |(name, value): &(String, Option<Vec<u8>>)| match value.as_deref().map(as_text) {
        None => json!({ "name": name, "value": null }),
        Some(Ok(text)) => json!({ "name": name, "value": text }),
        Some(Err(bytes)) => json!({ "name": name, "hex": hex(bytes) }),
    };
    (!record.headers.is_empty()).then(|| ascii(&Value::Array(record.headers.iter().map(header).collect()).to_string()))
}

fn as_text(bytes: &[u8]) -> Result<&str, &[u8]> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(bytes)
}

/// The other way round, of what a user may have changed: what is no header is none.
fn headers_from(text: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let Ok(Value::Array(headers)) = serde_json::from_str(text) else { return Vec::new() };
    let header = |header: &Map<String, Value>| {
        let name = header.get("name")?.as_str()?.to_owned();
        let value = match (header.get("value"), header.get("hex")) {
            (Some(Value::String(text)), _) => Some(text.clone().into_bytes()),
            (_, Some(Value::String(digits))) => Some(unhex(digits)?),
            _ => None,
        };
        Some((name, value))
    };
    headers.iter().filter_map(Value::as_object).filter_map(header).collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were() {
        let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        let headers = vec![
            header("trace", Some("\"ä\\\n".as_bytes())),
            header("trace", None),
            header("", Some(b"")),
            header("raw", Some(b"\xff\x00a")),
            header("nul", Some(b"\0")),
        ];
        let record = OwnedRecord { headers: headers.clone(), ..OwnedRecord::default() };
        let text = headers_of(&record).unwrap();
        assert!(text.contains(r#"{"hex":"ff0061","name":"raw"}"#) && text.is_ascii(), "{text}");
        assert_eq!(headers_from(&text), headers);
        assert_eq!(headers_of(&OwnedRecord::default()), None);
        assert_eq!(
            headers_from(r#"[{"name": 7}, {"name": "x", "hex": "0"}, {"name": "x", "hex": "zz"}, 5]"#),
            [("x".to_owned(), Some(vec![0]))]
        );
        assert_eq!(headers_from("garbage"), []);
    }
}
