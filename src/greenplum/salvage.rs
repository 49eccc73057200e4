//! What becomes of a staged batch of which the database refuses rows: all of it is kept aside, or the bad rows alone.
//!
//! ```text
//!  external table ─▶ stage ─ SAVEPOINT ─ outputs' statements ─ fine ─▶ COMMIT
//!                                            │ a data error: ROLLBACK TO
//!                       Save ────────────────┼───────────────▶ all rows into the backup table
//!                       Recover ─▶ numbered ─▶ trials, see `search` ─ ROLLBACK TO ─▶ bad rows into the backup table,
//!                                                                    the others once more, all together
//! ```
//!
//! On Greenplum a statement that fails while it sends rows from segment to segment costs a quarter of a second: those that
//! receive look up from their wait no sooner. So there a rehearsal comes first, whose trials move no row; it finds what
//! mappings, NOT NULL and CHECK refuse. What only the targets know, keys above all, they say as they receive: that is quick.
//!
//! Trials only find out which rows are bad; what is written in the end is one run over all the good ones, so that the
//! choice among rows of one key sees all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::backup::Backup;
use super::connection::Connection;
use super::dead_letters::{Refusal, Stage};
use super::failure::Error;
use super::scratch::{Scratch, list};
use super::search::Search;
use super::settings::Failing;
use super::sql::fill;
use super::step::{Saved, Written};
use super::steps::run_all;
use super::writes::{Script, Writes, number};
use crate::table::TableName;

/// More bad rows in a batch are no accident: somebody has to look at the mapping or at the source.
const BAD_ROWS_MAX: u64 = 1000;

/// A search in halves has the fewest trials; in more pieces it has fewer that fail.
const PIECES_WHERE_FAILURES_ARE_DEAR: u64 = 8;

const BACK_TO_PART: &str = "ROLLBACK TO SAVEPOINT gpkafka_part; RELEASE SAVEPOINT gpkafka_part";

/// How far a search for bad rows has come, for who watches it from another thread.
#[derive(Debug, Default)]
pub struct Searching {
    trials: AtomicU64,
    found: AtomicU64,
}

impl Searching {
    /// Parts of the batch that were tried so far; 0 while nothing is searched.
    pub fn trials(&self) -> u64 {
        self.trials.load(Ordering::Relaxed)
    }

    /// Bad rows that were found so far.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    fn set(&self, trials: u64, found: u64) {
        self.trials.store(trials, Ordering::Relaxed);
        self.found.store(found, Ordering::Relaxed);
    }
}

/// The batch that is in hand.
pub(super) struct Salvage<'b> {
    pub(super) connection: &'b mut Connection,
    pub(super) writes: &'b Writes,
    /// The rows as they were staged.
    pub(super) stage: &'b Scratch,
    pub(super) aside: Aside,
    pub(super) searching: &'b Searching,
}

/// A row that the database refuses, by its number.
struct Bad {
    number: i64,
    cause: Cause,
}

/// The database's own words, with their SQLSTATE.
#[derive(Debug, Clone)]
struct Cause {
    text: String,
    state: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.text, self.state)
    }
}

/// Where rows go that are kept.
pub(super) enum Aside {
    Backup(Backup),
    /// They are handed back as refusals: whoever knows their records writes them there.
    DeadLetters(TableName),
}

impl Salvage<'_> {
    /// Runs the statements behind the stage; of `written`, `read` and `rejected` are known.
    ///
    /// # Errors
    /// One that is not about the batch's rows; [`Error::TooManyBad`]; the good rows fail together.
    ///
    /// # Blocks
    /// For at most [`BAD_ROWS_MAX`] searches.
    pub(super) fn run(&mut self, script: &Script, failing: Failing, written: &mut Written) -> Result<(), Error> {
        let staged = written.clone();
        self.savepoint()?;
        let cause = match self.outputs(script, written) {
            Ok(()) => return Ok(()),
            Err(error) => of_rows(error)?,
        };
        self.back()?;
        *written = staged;
        let saved = match &self.aside {
            Aside::Backup(backup) if failing != Failing::Recover => {
                let backup = backup.clone();
                self.save(&backup, written, &cause)?
            }
            // what is to become dead letters must be known row by row
            Aside::Backup(_) | Aside::DeadLetters(_) => {
                let saved = self.recover(written);
                self.searching.set(0, 0);
                saved?
            }
        };
        written.read -= saved.rows;
        if saved.is_part && written.read > 0 {
            let rest = self.writes.part(&numbered(self.stage).table, None);
            self.outputs(&rest, written)?;
        }
        written.saved = Some(saved);
        Ok(())
    }

    /// Constraints that wait for the COMMIT are asked here: there it would be too late.
    fn outputs(&mut self, script: &Script, written: &mut Written) -> Result<(), Error> {
        run_all(self.connection, &script.0, written)?;
        match self.connection.dialect().is_greenplum() {
            true => Ok(()),
            false => self.connection.batch("checking deferred constraints", "SET CONSTRAINTS ALL IMMEDIATE"),
        }
    }

    fn savepoint(&mut self) -> Result<(), Error> {
        self.connection.batch("setting a savepoint", "SAVEPOINT gpkafka_outputs")
    }

    /// To before the outputs, which have then written nothing.
    fn back(&mut self) -> Result<(), Error> {
        let sql = "ROLLBACK TO SAVEPOINT gpkafka_outputs; RELEASE SAVEPOINT gpkafka_outputs";
        self.connection.batch("rolling back to a savepoint", sql)
    }

    fn save(&mut self, backup: &Backup, written: &Written, cause: &Cause) -> Result<Saved, Error> {
        let cause = cause.to_string();
        let mut saved = self.nothing_saved();
        backup.ensure(self.connection, &self.stage.table)?;
        let sql = backup.fill(include_str!("../../sql/backup_whole.sql"), ("stage", &self.stage.table));
        self.connection.execute("keeping a failing batch", &sql, &[&cause])?;
        let sql = format!("SELECT gpkafka_partition, pg_catalog.count(*) FROM {} GROUP BY 1", self.stage.table);
        saved.by_partition = self.counted(&sql, &[])?;
        Ok(Saved { rows: written.read, cause, is_part: false, ..saved })
    }

    fn nothing_saved(&self) -> Saved {
        let table = match &self.aside {
            Aside::Backup(backup) => backup.table.clone(),
            Aside::DeadLetters(table) => table.clone(),
        };
        let (by_partition, cause, refusals) = (BTreeMap::new(), String::new(), Vec::new());
        Saved { table, rows: 0, by_partition, cause, is_part: true, trials: 0, refusals }
    }

    fn recover(&mut self, written: &Written) -> Result<Saved, Error> {
        let numbered = self.number()?;
        let mut saved = self.nothing_saved();
        let is_greenplum = self.connection.dialect().is_greenplum();
        if is_greenplum {
            self.savepoint()?;
            let bad = self.rehearse(&numbered.table, written, &mut saved)?;
            self.back()?;
            self.set_aside(&numbered.table, &bad, &mut saved)?;
        }
        self.savepoint()?;
        let bad_max = BAD_ROWS_MAX - saved.rows;
        let search = match is_greenplum {
            true => Search::new(written.read, PIECES_WHERE_FAILURES_ARE_DEAR, bad_max),
            false => Search::of_failed(written.read, 2, bad_max),
        };
        let bad = self.search(search, &numbered.table, written, &mut saved)?;
        self.back()?;
        self.set_aside(&numbered.table, &bad, &mut saved)?;
        Ok(saved)
    }

    /// Keeps bad rows, and takes them out of the numbered ones.
    fn set_aside(&mut self, numbered: &TableName, bad: &[Bad], saved: &mut Saved) -> Result<(), Error> {
        let Some(first) = bad.first() else { return Ok(()) };
        if saved.cause.is_empty() {
            saved.cause = first.cause.to_string();
        }
        saved.rows += bad.len() as u64;
        let numbers: Vec<i64> = bad.iter().map(|bad| bad.number).collect();
        match &self.aside {
            Aside::Backup(backup) => {
                let errors: Vec<String> = bad.iter().map(|bad| bad.cause.to_string()).collect();
                backup.ensure(self.connection, &self.stage.table)?;
                let sql = backup.fill(include_str!("../../sql/backup_bad.sql"), ("numbered", numbered));
                self.connection.execute("keeping the bad rows of a batch", &sql, &[&numbers, &errors])?;
            }
            Aside::DeadLetters(_) => saved.refusals.extend(self.refusals(numbered, bad, &numbers)?),
        }
        let are_bad = "gpkafka_number = ANY ($1)";
        let count = format!("SELECT gpkafka_partition, pg_catalog.count(*) FROM {numbered} WHERE {are_bad} GROUP BY 1");
        for (partition, rows) in self.counted(&count, &[&numbers])? {
            *saved.by_partition.entry(partition).or_default() += rows;
        }
        let delete = format!("DELETE FROM {numbered} WHERE {are_bad}");
        self.connection.execute("setting the bad rows of a batch aside", &delete, &[&numbers]).map(drop)
    }

    /// Bad rows by the records that they are of.
    fn refusals(&mut self, numbered: &TableName, bad: &[Bad], numbers: &[i64]) -> Result<Vec<Refusal>, Error> {
        let sql = fill(include_str!("../../sql/numbered_places.sql"), &[("numbered", numbered)]);
        let rows = self.connection.query("naming the bad rows of a batch", &sql, &[&numbers])?;
        let causes: BTreeMap<i64, &Cause> = bad.iter().map(|bad| (bad.number, &bad.cause)).collect();
        let refusal = |row: &postgres::Row| {
            let cause = causes.get(&row.get("gpkafka_number"))?;
            Some(Refusal {
                partition: row.get("gpkafka_partition"),
                offset: row.get("gpkafka_offset"),
                row: row.get("gpkafka_row"),
                of_rows: None,
                stage: Stage::Expression,
                error: cause.text.clone(),
                state: Some(cause.state.clone()),
            })
        };
        Ok(rows.iter().filter_map(refusal).collect())
    }

    fn counted(
        &mut self,
        sql: &str,
        params: &[&(dyn postgres::types::ToSql + Sync)],
    ) -> Result<BTreeMap<i32, u64>, Error> {
        let rows = self.connection.query("counting the bad rows of a batch", sql, params)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get::<_, i64>(1).unsigned_abs())).collect())
    }

    /// Numbers the staged rows from 0 in the order of partition, offset and row, in a table that the session gets when it
    /// first needs one.
    fn number(&mut self) -> Result<Scratch, Error> {
        let numbered = numbered(self.stage);
        let doing = "numbering the rows of a batch";
        let is_there = self.connection.query_one(
            doing,
            "SELECT pg_catalog.count(*) > 0 FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relname = $1",
            &[&numbered.table.table.as_str()],
        )?;
        if !is_there.get::<_, bool>(0) {
            let create = numbered.create(self.connection.dialect().is_greenplum());
            let index = format!("CREATE INDEX ON {} (gpkafka_number)", numbered.table);
            self.connection.batch(doing, &format!("{create}; {index}"))?;
        }
        let columns = list(&self.stage.names());
        let fill = fill(
            include_str!("../../sql/numbered_fill.sql"),
            &[("numbered", &numbered.table), ("columns", &columns), ("stage", &self.stage.table)],
        );
        self.connection.execute(doing, &fill, &[])?;
        Ok(numbered)
    }

    fn search(
        &mut self,
        mut search: Search,
        numbered: &TableName,
        written: &Written,
        saved: &mut Saved,
    ) -> Result<Vec<Bad>, Error> {
        let mut bad = Vec::new();
        while let Some(rows) = search.next() {
            saved.trials += 1;
            self.searching.set(saved.trials, saved.rows + bad.len() as u64);
            let part = self.writes.part(numbered, Some(&within(&rows)));
            match self.try_part(&part, written)? {
                None => search.passed(),
                Some(cause) if search.failed() => bad.push(Bad { number: rows.start.cast_signed(), cause }),
                Some(_) => {}
            }
        }
        require_few(&search, &bad, saved)?;
        Ok(bad)
    }

    /// What is bad by itself, whatever else is in the targets. Nothing is found where tables like the targets cannot be
    /// had, or say otherwise than the targets themselves.
    fn rehearse(&mut self, numbered: &TableName, written: &Written, saved: &mut Saved) -> Result<Vec<Bad>, Error> {
        if self.writes.has_transformer() {
            return Ok(Vec::new());
        }
        let doing = "rehearsing a batch";
        self.connection.batch(doing, "SAVEPOINT gpkafka_part")?;
        for create in self.writes.rehearsal_tables() {
            match self.connection.batch(doing, &create) {
                Ok(()) => {}
                Err(Error::Sql { .. }) => return self.connection.batch(doing, BACK_TO_PART).map(|()| Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let mut search = Search::of_failed(written.read, 2, BAD_ROWS_MAX);
        let mut bad = Vec::new();
        while let Some(rows) = search.next() {
            saved.trials += 1;
            self.searching.set(saved.trials, saved.rows + bad.len() as u64);
            let part = self.writes.rehearsal(numbered, &within(&rows));
            let Some(mut cause) = self.try_part(&part, written)? else {
                search.passed();
                continue;
            };
            if !search.failed() {
                continue;
            }
            if cause.state.starts_with("23") {
                // in the target's name, if it is of the same mind
                let part = self.writes.part(numbered, Some(&within(&rows)));
                match self.try_part(&part, written)? {
                    Some(own) => cause = own,
                    None => return Ok(Vec::new()),
                }
            }
            bad.push(Bad { number: rows.start.cast_signed(), cause });
        }
        require_few(&search, &bad, saved)?;
        Ok(bad)
    }

    /// `None`: it passed and stays, until the search is over.
    fn try_part(&mut self, part: &Script, written: &Written) -> Result<Option<Cause>, Error> {
        self.connection.batch("setting a savepoint", "SAVEPOINT gpkafka_part")?;
        let refused = self.outputs(part, &mut written.clone()).err().map(of_rows).transpose()?;
        let sql = match refused {
            None => "RELEASE SAVEPOINT gpkafka_part",
            Some(_) => BACK_TO_PART,
        };
        self.connection.batch("ending a trial", sql)?;
        Ok(refused)
    }
}

/// Of the numbered rows, some.
fn within(rows: &Range<u64>) -> String {
    format!("gpkafka_number >= {} AND gpkafka_number < {}", rows.start, rows.end)
}

fn require_few(search: &Search, bad: &[Bad], saved: &Saved) -> Result<(), Error> {
    match bad.first().filter(|_| search.is_given_up()) {
        None => Ok(()),
        Some(first) => {
            let first = if saved.cause.is_empty() { first.cause.to_string() } else { saved.cause.clone() };
            Err(Error::TooManyBad { found: saved.rows + search.bad(), max: BAD_ROWS_MAX, first })
        }
    }
}

/// The staged rows with their numbers.
fn numbered(stage: &Scratch) -> Scratch {
    let mut columns = stage.columns.clone();
    columns.push(number());
    Scratch::new("gpkafka_numbered", columns, vec![number().name])
}

/// What the database says of a row; any other error comes back.
fn of_rows(error: Error) -> Result<Cause, Error> {
    if !error.is_of_rows() {
        return Err(error);
    }
    match error {
        Error::Sql { state, text, .. } => Ok(Cause { text, state }),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_rows_are_told_from_all_others() {
        let is_of_rows =
            |state: &str| of_rows(Error::Sql { doing: String::new(), state: state.to_owned(), text: String::new() });
        for state in ["22012", "22P02", "23505", "23502", "23514", "P0001", "21000", "54000", "38000", "44000"] {
            assert!(is_of_rows(state).is_ok(), "{state}");
        }
        for state in ["40P01", "53100", "57014", "42703", "42501", "25006", "55P03", "XX000", "08006"] {
            assert!(is_of_rows(state).is_err(), "{state}");
        }
        assert!(of_rows(Error::Lost { doing: String::new(), text: String::new() }).is_err());
    }
}
