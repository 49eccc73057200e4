//! The ledger: committed positions, one row per partition and commit, only ever appended to.
//!
//! `unique (job, partition, seq)` is the fence: of two transactions that write the same position one waits for the
//! other and then fails. Every row is checked against the one before it with a snapshot taken after the append, so that
//! no batch ever follows one that was rolled back or written by someone else.

use std::collections::BTreeMap;
use std::time::Duration;

use fail::fail_point;
use jiff::Timestamp;
use postgres::error::SqlState;

use super::account::Account;
use super::chain::{Before, Chain, Commit, Entry, Kind, Move, foreign};
use super::connection::Connection;
use super::failure::Error;
use super::identity::{Instance, JobId, Loader};
use super::sql::fill;
use crate::table::{Ident, TableName};

/// `CREATE TABLE` of four sessions at once: three fail with 23505 on a catalog, then find it.
const ATTEMPTS: usize = 5;
/// On Greenplum a segment knows the winner's row before a snapshot shows it: until the coordinator has ended that
/// transaction too, some milliseconds later. 5 s are for a slow machine.
const LOOKS_MAX: usize = 100;
const LOOK: Duration = Duration::from_millis(50);

/// Columns that ledgers of earlier versions lack: what [`Account`] has more than they counted.
const LATER: [&str; 6] = ["records", "holes", "decoded", "refused", "dropped", "rows"];

/// The ledger of one metadata schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    table: TableName,
}

/// One row for people: `check --show-commit-history`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub partition: i32,
    pub seq: i64,
    pub kind: Kind,
    pub first: i64,
    pub next: i64,
    pub batch: i64,
    pub inserted: i64,
    /// Records that were refused, and rows that the database rejected.
    pub rejected: i64,
    /// Records that were dropped, and rows that a filter dropped.
    pub filtered: i64,
    pub bytes: i64,
    /// The database's clock.
    pub started: Timestamp,
    pub ended: Timestamp,
    pub instance: String,
    pub host: String,
    pub pid: i32,
}

impl Ledger {
    /// The name of every ledger.
    pub const NAME: &str = "gpkafka_ledger";

    /// The ledger of this schema, made if it is not there.
    ///
    /// # Errors
    /// [`Error::Privilege`] where it is there and this role may not read or append. [`Error::Target`] where it was made
    /// before accounts were kept, with the statement that makes room for them.
    pub fn ensure(connection: &mut Connection, schema: &Ident) -> Result<Self, Error> {
        let ledger = Self::at(schema);
        for _ in 0..ATTEMPTS {
            if let Some((may_read, may_append)) = ledger.rights(connection)? {
                return ledger.allowed(connection, may_read && may_append);
            }
            let sql = Self::create_sql(schema, connection.dialect().is_greenplum());
            match connection.batch("creating the ledger", &sql) {
                Err(error) if error.is_raced_creation() => {}
                other => other?,
            }
        }
        Err(Error::Target {
            text: format!("the ledger {} cannot be made; look for someone who drops it", ledger.table),
        })
    }

    /// The ledger of this schema if it is there: for looking at history without leaving a trace.
    ///
    /// # Errors
    /// See [`Ledger::ensure`].
    pub fn find(connection: &mut Connection, schema: &Ident) -> Result<Option<Self>, Error> {
        let ledger = Self::at(schema);
        match ledger.rights(connection)? {
            None => Ok(None),
            Some((may_read, _)) => ledger.allowed(connection, may_read).map(Some),
        }
    }

    /// Its CREATE statement.
    pub fn create_sql(schema: &Ident, is_greenplum: bool) -> String {
        let unique = if has_unique_key() { ",\n    UNIQUE (job, \"partition\", seq)" } else { "" };
        let distribution = if is_greenplum { "\nDISTRIBUTED BY (job)" } else { "" };
        fill(
            include_str!("../../sql/ledger_create.sql"),
            &[("ledger", &Self::at(schema).table), ("unique", &unique), ("distribution", &distribution)],
        )
    }

    /// What appends a batch's rows, and what then reads the rows before them, for showing them.
    pub fn append_sql(schema: &Ident) -> [String; 2] {
        let ledger = Self::at(schema);
        [include_str!("../../sql/ledger_append.sql"), include_str!("../../sql/ledger_before.sql")]
            .map(|template| ledger.fill(template))
    }

    /// Its name.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The ledger of a schema, whether or not it is there.
    pub(super) fn at(schema: &Ident) -> Self {
        Self { table: TableName { schema: schema.clone(), table: Ident::exact(Self::NAME) } }
    }

    /// Whether it is there, may be read, may be appended to.
    fn rights(&self, connection: &mut Connection) -> Result<Option<(bool, bool)>, Error> {
        let params: [&(dyn postgres::types::ToSql + Sync); 3] =
            [&self.table.schema.as_str(), &self.table.table.as_str(), &&LATER[..]];
        let rows = connection.query("looking for the ledger", include_str!("../../sql/ledger_rights.sql"), &params)?;
        let Some(row) = rows.first() else { return Ok(None) };
        match row.get::<_, Vec<String>>("lacking") {
            lacking if lacking.is_empty() => Ok(Some((row.get("may_read"), row.get("may_append")))),
            lacking => Err(self.older(&lacking)),
        }
    }

    /// Rows that are there already then say of themselves that they have no accounts.
    fn older(&self, lacking: &[String]) -> Error {
        let table = &self.table;
        let columns: Vec<_> =
            lacking.iter().map(|name| format!("ADD COLUMN {} bigint", Ident::exact(name.as_str()))).collect();
        let text = format!(
            "the ledger {table} was made by an earlier gpkafka, which kept no accounts; have its owner run: ALTER TABLE {table} {}; \
             nothing was loaded, and offsets are unchanged",
            columns.join(", ")
        );
        Error::Target { text }
    }

    fn allowed(self, connection: &Connection, is_allowed: bool) -> Result<Self, Error> {
        if is_allowed {
            return Ok(self);
        }
        let role = Ident::exact(connection.role());
        Err(Error::Privilege {
            role: connection.role().to_owned(),
            missing: format!("SELECT or INSERT on {}", self.table),
            statements: format!("GRANT SELECT, INSERT ON {} TO {role}", self.table),
        })
    }

    pub(super) fn fill(&self, template: &str) -> String {
        fill(template, &[("ledger", &self.table)])
    }

    /// The newest row of each partition of a job.
    ///
    /// # Errors
    /// The query failed; [`Error::Target`]: a row holds what this program never wrote, such as an offset below 0, which
    /// Kafka would take for the end of the topic.
    pub fn read(&self, connection: &mut Connection, job: &JobId) -> Result<Chain, Error> {
        let sql = self.fill(include_str!("../../sql/ledger_read.sql"));
        let rows = connection.query("reading the ledger", &sql, &[&job.hash()])?;
        rows.iter().map(|row| Ok((row.get("partition"), self.entry(row)?))).collect()
    }

    fn entry(&self, row: &postgres::Row) -> Result<Entry, Error> {
        let (partition, seq, kind): (i32, i64, &str) = (row.get("partition"), row.get("seq"), row.get("kind"));
        let epoch: Option<i32> = row.get("leader_epoch");
        let numbers = ["first", "next", "batch"].map(|column| (column, row.get(column)));
        let more = [("partition", partition.into()), ("leader_epoch", epoch.unwrap_or(0).into())];
        let numbers = [&numbers[..], &more].concat();
        let entry = |kind| Entry {
            seq,
            kind,
            first: row.get("first"),
            next: row.get("next"),
            topic_id: row.get("topic_id"),
            leader_epoch: epoch,
            instance: row.get("instance"),
            batch: row.get("batch"),
        };
        match (foreign(kind, seq, &numbers), Kind::parse(kind)) {
            (None, Some(kind)) => Ok(entry(kind)),
            (found, _) => Err(Error::Target {
                text: format!(
                    "the ledger {} was changed by somebody else: in partition {partition}'s newest row {}, which no gpkafka writes; put the row right, or the table back from a backup",
                    self.table,
                    found.unwrap_or_default()
                ),
            }),
        }
    }

    /// Whether a commit of this loader is in the ledger: the answer to [`Error::InDoubt`], asked after the old session was
    /// ended, see [`super::Holder::end_earlier`]. All rows are looked at: others may have followed it by then.
    ///
    /// # Errors
    /// The query failed.
    pub fn holds(
        &self,
        connection: &mut Connection,
        job: &JobId,
        instance: &Instance,
        batch: i64,
    ) -> Result<bool, Error> {
        let sql = self.fill(include_str!("../../sql/ledger_holds.sql"));
        let params: [&(dyn postgres::types::ToSql + Sync); 3] = [&job.hash(), &instance.as_str(), &batch];
        connection.query_one("looking for a commit in doubt", &sql, &params).map(|row| row.get("holds"))
    }

    /// A job's commits, oldest first; the newest of each partition only, or all that were not pruned.
    ///
    /// # Errors
    /// The query failed.
    pub fn history(&self, connection: &mut Connection, job: &JobId, all: bool) -> Result<Vec<HistoryRow>, Error> {
        let sql = self.fill(include_str!("../../sql/ledger_history.sql"));
        let rows = connection.query("reading the commit history", &sql, &[&job.hash(), &all])?;
        let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or_default();
        Ok(rows
            .iter()
            .map(|row| HistoryRow {
                partition: row.get("partition"),
                seq: row.get("seq"),
                kind: Kind::parse(row.get("kind")).unwrap_or(Kind::Load),
                first: row.get("first"),
                next: row.get("next"),
                batch: row.get("batch"),
                inserted: row.get("inserted"),
                rejected: row.get("rejected"),
                filtered: row.get("filtered"),
                bytes: row.get("bytes"),
                started: time(row.get("started")),
                ended: time(row.get("ended")),
                instance: row.get("instance"),
                host: row.get("host"),
                pid: row.get("pid"),
            })
            .collect())
    }

    /// Appends a skip or a reset in a transaction of its own, under the same rules as a batch's rows.
    ///
    /// # Errors
    /// As [`Ledger::append`]; rolled back, the chain unchanged.
    pub fn commit_alone(
        &self,
        connection: &mut Connection,
        job: &JobId,
        loader: &Loader,
        chain: &mut Chain,
        commit: &Commit,
    ) -> Result<(), Error> {
        connection.batch("beginning a transaction", "BEGIN ISOLATION LEVEL READ COMMITTED")?;
        let appended = self.append(connection, job, loader, chain, commit);
        self.settle(connection, job, loader, chain, commit, appended)
    }

    /// Inserts a commit's rows, sorted by partition in one statement, and checks with a fresh snapshot that each follows
    /// the row that this loader read or wrote. Inside the caller's transaction, just before its COMMIT.
    ///
    /// # Errors
    /// [`Error::OutOfStep`] before anything is sent; [`Error::PositionTaken`]; 23505 as it comes.
    pub(super) fn append(
        &self,
        connection: &mut Connection,
        job: &JobId,
        loader: &Loader,
        chain: &Chain,
        commit: &Commit,
    ) -> Result<BTreeMap<i32, Entry>, Error> {
        let rows = chain.follow(commit, &loader.instance)?;
        if rows.is_empty() {
            return Ok(rows);
        }
        fail_point!("before-ledger-append");
        self.insert(connection, job, loader, commit, &rows)?;
        fail_point!("after-ledger-append");
        self.check_chain(connection, job, chain, &rows)?;
        Ok(rows)
    }

    fn insert(
        &self,
        connection: &mut Connection,
        job: &JobId,
        loader: &Loader,
        commit: &Commit,
        rows: &BTreeMap<i32, Entry>,
    ) -> Result<(), Error> {
        let steps: BTreeMap<_, _> = commit.moves.iter().map(|step| (step.partition, step)).collect();
        let of = |value: fn(&Move) -> i64| steps.values().map(|step| value(step)).collect::<Vec<_>>();
        let counted = |value: fn(&Account) -> i64| steps.values().map(|step| value(&step.account)).collect::<Vec<_>>();
        let sent: Vec<Option<i64>> = steps.values().map(|step| step.account.rows).collect();
        let partitions: Vec<_> = rows.keys().copied().collect();
        let seqs: Vec<_> = rows.values().map(|row| row.seq).collect();
        let kinds: Vec<_> = rows.values().map(|row| row.kind.as_str()).collect();
        let epochs: Vec<_> = rows.values().map(|row| row.leader_epoch).collect();
        let target = job.target();
        let appended = connection.execute(
            "appending to the ledger",
            &self.fill(include_str!("../../sql/ledger_append.sql")),
            &[
                &job.hash(),
                &partitions,
                &seqs,
                &kinds,
                &of(|step| step.first),
                &of(|step| step.next),
                &epochs,
                &counted(|account| account.inserted),
                &counted(|account| account.rejected),
                &counted(|account| account.filtered),
                &of(|step| step.bytes),
                &commit.topic_id,
                &commit.batch,
                &loader.instance.as_str(),
                &loader.host,
                &i32::try_from(loader.pid).unwrap_or(i32::MAX),
                &loader.os_user,
                &job.topic(),
                &job.database(),
                &target.schema.as_str(),
                &target.table.as_str(),
                &counted(|account| account.records),
                &counted(|account| account.holes),
                &counted(|account| account.decoded),
                &counted(|account| account.refused),
                &counted(|account| account.dropped),
                &sent,
            ],
        )?;
        assert_eq!(appended, rows.len() as u64, "one ledger row a partition");
        Ok(())
    }

    /// READ COMMITTED gives this statement a snapshot of its own, newer than the append.
    fn check_chain(
        &self,
        connection: &mut Connection,
        job: &JobId,
        chain: &Chain,
        rows: &BTreeMap<i32, Entry>,
    ) -> Result<(), Error> {
        if is_chain_check_off() {
            return Ok(());
        }
        let sql = self.fill(include_str!("../../sql/ledger_before.sql"));
        let partitions: Vec<_> = rows.keys().copied().collect();
        let seqs: Vec<_> = rows.values().map(|row| row.seq - 1).collect();
        let before = connection.query("checking the ledger's chain", &sql, &[&job.hash(), &partitions, &seqs])?;
        let shown = |row: &postgres::Row| Before {
            next: row.get("next"),
            batch: row.get("batch"),
            instance: row.get("instance"),
            by: taker(row),
        };
        let before: BTreeMap<i32, _> = before.iter().map(|row| (row.get("partition"), shown(row))).collect();
        chain.check_before(rows, &before)
    }

    /// Commits what was appended, or rolls back; on success the chain moves on.
    ///
    /// # Errors
    /// [`Error::PositionTaken`] with who took it; [`Error::InDoubt`]; whatever failed before.
    pub(super) fn settle(
        &self,
        connection: &mut Connection,
        job: &JobId,
        loader: &Loader,
        chain: &mut Chain,
        commit: &Commit,
        appended: Result<BTreeMap<i32, Entry>, Error>,
    ) -> Result<(), Error> {
        let rows = match appended {
            Ok(rows) => rows,
            Err(error) => {
                connection.roll_back()?;
                return Err(self.explained(connection, job, loader, chain, commit, error));
            }
        };
        fail_point!("before-commit");
        connection.commit(commit.batch)?;
        fail_point!("after-commit");
        chain.advance(rows);
        Ok(())
    }

    /// Makes a 23505 on the ledger tell who was first.
    fn explained(
        &self,
        connection: &mut Connection,
        job: &JobId,
        loader: &Loader,
        chain: &Chain,
        commit: &Commit,
        error: Error,
    ) -> Error {
        let Some(first) = commit.moves.first().filter(|_| error.is_state(&[&SqlState::UNIQUE_VIOLATION])) else {
            return error;
        };
        let seq_of = |partition| chain.get(partition).map_or(0, |last| last.seq) + 1;
        let sql = self.fill(include_str!("../../sql/ledger_before.sql"));
        let partitions: Vec<_> = commit.moves.iter().map(|step| step.partition).collect();
        let seqs: Vec<_> = partitions.iter().map(|&partition| seq_of(partition)).collect();
        for _ in 0..LOOKS_MAX {
            match connection.query("looking for who took the position", &sql, &[&job.hash(), &partitions, &seqs]) {
                Ok(rows) if rows.is_empty() => {}
                Ok(rows) => {
                    let row = &rows[0];
                    let is_own = row.get::<_, String>("instance") == loader.instance.as_str();
                    let (partition, seq) = (row.get("partition"), row.get("seq"));
                    return Error::PositionTaken { partition, seq, by: taker(row), is_own };
                }
                Err(_) => break,
            }
            if connection.pause(LOOK).is_err() {
                break;
            }
        }
        let (partition, by) = (first.partition, format!("a transaction that cannot be seen yet ({error})"));
        Error::PositionTaken { partition, seq: seq_of(partition), by, is_own: false }
    }
}

fn taker(row: &postgres::Row) -> String {
    format!(
        "loader {} (pid {} on {}), whose batch {} ends at offset {}",
        row.get::<_, String>("instance"),
        row.get::<_, i32>("pid"),
        row.get::<_, String>("host"),
        row.get::<_, i64>("batch"),
        row.get::<_, i64>("next")
    )
}

/// `FAILPOINTS=ledger-unique-key=return` makes a ledger without its fence, to show that tests notice.
fn has_unique_key() -> bool {
    fail_point!("ledger-unique-key", |_| false);
    true
}

/// `FAILPOINTS=ledger-chain-check=return` leaves the seq − 1 check out, to show that tests notice.
fn is_chain_check_off() -> bool {
    fail_point!("ledger-chain-check", |_| true);
    false
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_statement() {
        expect![[r#"
            CREATE TABLE "public"."gpkafka_ledger" (
                job          text NOT NULL,
                "partition"  integer NOT NULL,
                seq          bigint NOT NULL,
                kind         text NOT NULL,
                first        bigint NOT NULL,
                next         bigint NOT NULL,
                topic_id     text,
                leader_epoch integer,
                batch        bigint NOT NULL,
                inserted     bigint NOT NULL,
                rejected     bigint NOT NULL,
                filtered     bigint NOT NULL,
                bytes        bigint NOT NULL,
                started_at   timestamp with time zone NOT NULL,
                ended_at     timestamp with time zone NOT NULL,
                instance     text NOT NULL,
                host         text NOT NULL,
                pid          integer NOT NULL,
                os_user      text NOT NULL,
                topic        text NOT NULL,
                database     text NOT NULL,
                schema       text NOT NULL,
                "table"      text NOT NULL,
                records      bigint,
                holes        bigint,
                decoded      bigint,
                refused      bigint,
                dropped      bigint,
                "rows"       bigint,
                UNIQUE (job, "partition", seq)
            )
            DISTRIBUTED BY (job)
        "#]]
        .assert_eq(&Ledger::create_sql(&Ident::exact("public"), true));
    }
}
