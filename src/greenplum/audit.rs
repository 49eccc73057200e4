//! The ledger row by row, and the rows of a target by the offsets that they come from: what is held against each other
//! when a job is to be proved. Only read, and all in one snapshot, so that a load may run meanwhile.

use postgres::fallible_iterator::FallibleIterator as _;

use super::account::Account;
use super::chain::{Kind, NUMBER_MAX, foreign};
use super::connection::Connection;
use super::failure::Error;
use super::identity::JobId;
use super::ledger::Ledger;
use super::settings::Output;
use super::sql::{fill, literal};
use crate::table::{Ident, TableName};

/// A row of the ledger, as it must follow the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    pub partition: i32,
    pub seq: i64,
    /// As it is written; [`Kind::parse`] says what it means.
    pub kind: String,
    pub first: i64,
    pub next: i64,
    pub topic_id: Option<String>,
    pub batch: i64,
    pub instance: String,
    pub inserted: i64,
    /// `None`: it was written before they were kept.
    pub account: Option<Account>,
}

/// Where a target keeps what its rows come from, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub target: TableName,
    pub partition: Ident,
    pub offset: Ident,
    /// A column for the topic, and which one is the job's.
    pub topic: Option<(Ident, String)>,
}

/// Offsets of a partition, under a number of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    pub at: i64,
    pub partition: i32,
    pub first: i64,
    pub next: i64,
}

/// Rows of a target that are of one partition and one stretch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub partition: Option<i64>,
    /// The stretch; `None` is no one of them.
    pub at: Option<i64>,
    pub rows: i64,
    /// Different offsets that these rows have.
    pub offsets: i64,
    /// Those of the offsets that several rows have, and the first of them.
    pub repeated: i64,
    pub first_repeated: Option<i64>,
    pub lowest: Option<i64>,
    pub highest: Option<i64>,
}

impl Connection {
    /// Everything that is read until [`Connection::end_snapshot`] is of one moment.
    ///
    /// # Errors
    /// The session is gone.
    pub fn begin_snapshot(&mut self) -> Result<(), Error> {
        self.batch("beginning a transaction", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    /// # Errors
    /// The session is gone.
    pub fn end_snapshot(&mut self) -> Result<(), Error> {
        self.roll_back()
    }
}

impl Ledger {
    /// Shows all rows of a job that are kept, by partition and number, one after the other: there may be millions.
    ///
    /// # Errors
    /// The query failed.
    pub fn walk(&self, connection: &mut Connection, job: &JobId, show: &mut dyn FnMut(LedgerRow)) -> Result<(), Error> {
        let sql = self.fill(include_str!("../../sql/ledger_walk.sql"));
        let failed = |error: postgres::Error| Error::from_client("reading the ledger", &error);
        let mut rows = connection.client().query_raw(&sql, [job.hash()]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            show(ledger_row(&row));
        }
        Ok(())
    }

    /// Topics that other jobs of this ledger load into the same table.
    ///
    /// # Errors
    /// The query failed.
    pub fn other_topics(&self, connection: &mut Connection, job: &JobId) -> Result<Vec<String>, Error> {
        let sql = self.fill(include_str!("../../sql/ledger_others.sql"));
        let target = job.target();
        let params: [&(dyn postgres::types::ToSql + Sync); 4] =
            [&job.hash(), &job.database(), &target.schema.as_str(), &target.table.as_str()];
        let rows = connection.query("looking for other jobs of the table", &sql, &params)?;
        Ok(rows.iter().map(|row| row.get("topic")).collect())
    }
}

fn ledger_row(row: &postgres::Row) -> LedgerRow {
    let account = || {
        Some(Account {
            records: row.get::<_, Option<i64>>("records")?,
            holes: row.get::<_, Option<i64>>("holes")?,
            decoded: row.get::<_, Option<i64>>("decoded")?,
            refused: row.get::<_, Option<i64>>("refused")?,
            dropped: row.get::<_, Option<i64>>("dropped")?,
            rows: row.get("rows"),
            inserted: row.get("inserted"),
            rejected: row.get("rejected"),
            filtered: row.get("filtered"),
        })
    };
    LedgerRow {
        partition: row.get("partition"),
        seq: row.get("seq"),
        kind: row.get("kind"),
        first: row.get("first"),
        next: row.get("next"),
        topic_id: row.get("topic_id"),
        batch: row.get("batch"),
        instance: row.get("instance"),
        inserted: row.get("inserted"),
        account: account(),
    }
}

impl LedgerRow {
    /// `None`: no version of this program has written it.
    pub fn kind(&self) -> Option<Kind> {
        Kind::parse(&self.kind)
    }

    /// What in it no version of this program has written, so that there is nothing to reckon with.
    pub fn foreign(&self) -> Option<String> {
        let numbers = [("partition", self.partition.into()), ("first", self.first), ("next", self.next)];
        let counts = [("batch", self.batch), ("inserted", self.inserted)];
        let account: Vec<_> = self.account.iter().flat_map(Account::named).collect();
        foreign(&self.kind, self.seq, &[&numbers[..], &counts, &account].concat())
    }

    /// The nearest number that a ledger may hold.
    pub fn bent(number: i64) -> i64 {
        number.clamp(0, NUMBER_MAX)
    }
}

impl Place {
    /// The columns of an output into which these columns of the source go as they are. `None`: not both of partition
    /// and offset do.
    pub fn of(output: &Output, [partition, offset]: [&Ident; 2], topic: Option<(&Ident, &str)>) -> Option<Self> {
        Some(Self {
            target: output.target.clone(),
            partition: column_of(output, partition)?,
            offset: column_of(output, offset)?,
            topic: topic.and_then(|(column, topic)| Some((column_of(output, column)?, topic.to_owned()))),
        })
    }

    /// The target's rows by partition and stretch, those of no stretch too. Stretches do not meet. Inside a transaction,
    /// which outlives a failure.
    ///
    /// # Errors
    /// The query failed: the role may not read the table, or a column holds what is no number.
    ///
    /// # Blocks
    /// For a scan of the table, and a count of its offsets.
    pub fn count(&self, connection: &mut Connection, stretches: &[Stretch]) -> Result<Vec<Seen>, Error> {
        let of = |value: fn(&Stretch) -> i64| stretches.iter().map(value).collect::<Vec<_>>();
        let filter = |(column, topic): &(Ident, String)| format!("\n         WHERE {column} = {}", literal(topic));
        let filter = self.topic.as_ref().map(filter).unwrap_or_default();
        let sql = fill(
            include_str!("../../sql/audit_target.sql"),
            &[("partition", &self.partition), ("offset", &self.offset), ("target", &self.target), ("where", &filter)],
        );
        let params: [&(dyn postgres::types::ToSql + Sync); 4] = [
            &of(|stretch| stretch.at),
            &of(|stretch| stretch.partition.into()),
            &of(|stretch| stretch.first),
            &of(|stretch| stretch.next),
        ];
        let doing = format!("counting the rows of {}", self.target);
        connection.batch(&doing, "SAVEPOINT gpkafka_count")?;
        let rows = match connection.query(&doing, &sql, &params) {
            Ok(rows) => rows,
            Err(error) => {
                connection.batch(&doing, "ROLLBACK TO SAVEPOINT gpkafka_count")?;
                return Err(error);
            }
        };
        Ok(rows
            .iter()
            .map(|row| Seen {
                partition: row.get("partition"),
                at: row.get("at"),
                rows: row.get("rows"),
                offsets: row.get("offsets"),
                repeated: row.get("repeated"),
                first_repeated: row.get("first_repeated"),
                lowest: row.get("lowest"),
                highest: row.get("highest"),
            })
            .collect())
    }
}

fn column_of(output: &Output, source: &Ident) -> Option<Ident> {
    if output.transformer.is_some() {
        return None;
    }
    if output.mapping.is_empty() {
        return Some(source.clone());
    }
    let is_it = |written: &str| {
        let written = written.trim().trim_end_matches(|end: char| end == ';' || end.is_whitespace());
        Ident::exact(written) == *source || Ident::from_written(written) == *source
    };
    output.mapping.iter().find(|map| is_it(&map.expression)).map(|map| map.column.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greenplum::settings::Mapping;

    #[test]
    fn columns_are_found_where_nothing_is_made_of_them() {
        let name = |name: &str| Ident::exact(name);
        let (part, off, topic) = (name("part"), name("Off"), name("topic"));
        let table = TableName { schema: name("s"), table: name("t") };
        let place = |pairs: &[(&str, &str)]| {
            let map =
                |&(column, expression): &(&str, &str)| Mapping { column: name(column), expression: expression.into() };
            let output = Output { mapping: pairs.iter().map(map).collect(), ..Output::insert(table.clone()) };
            let place = Place::of(&output, [&part, &off], Some((&topic, "x")))?;
            let topic = place.topic.map(|(column, topic)| format!(" {column} = {topic}")).unwrap_or_default();
            Some(format!("{} {}{topic}", place.partition, place.offset))
        };
        assert_eq!(place(&[]).as_deref(), Some(r#""part" "Off" "topic" = x"#));
        assert_eq!(place(&[("p", " PART; "), ("o", "\"Off\""), ("a", "part + 1")]).as_deref(), Some(r#""p" "o""#));
        assert_eq!(place(&[("p", "part"), ("o", "Off"), ("t", "topic")]).as_deref(), Some(r#""p" "o" "t" = x"#));
        assert_eq!(place(&[("p", "part"), ("o", "off + 0")]), None);
    }
}
