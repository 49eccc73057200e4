//! The model database: a table, dead letters and the ledger; sessions with a transaction each, unique keys that make a
//! transaction wait for another, snapshots of what is committed, and sessions that outlive their clients.

use std::collections::BTreeMap;
use std::time::Instant;

use super::dice::Dice;
use crate::greenplum::{Before, Chain, Entry, Error, Move};

pub type Pid = u32;

/// A record's place in the topic.
pub type Place = (i32, i64);

/// A row of the ledger.
#[derive(Debug, Clone)]
pub struct LedgerRow {
    pub partition: i32,
    pub entry: Entry,
    pub counts: Move,
    /// It is removed, and here for the oracle alone.
    pub is_pruned: bool,
}

/// What a transaction has written.
#[derive(Debug, Default)]
struct Transaction {
    rows: Vec<Place>,
    letters: Vec<Place>,
    ledger: Vec<LedgerRow>,
}

/// What becomes of a session whose client is gone.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Lives,
    /// The server has yet to notice.
    Dies(Instant),
    /// Its COMMIT is under way.
    Commits(Instant),
}

#[derive(Debug)]
struct Session {
    instance: String,
    transaction: Option<Transaction>,
    fate: Fate,
}

/// See the module.
#[derive(Debug)]
pub struct Warehouse {
    pub rows: Vec<Place>,
    pub letters: Vec<Place>,
    pub ledger: Vec<LedgerRow>,
    sessions: BTreeMap<Pid, Session>,
    sessions_ever: Pid,
    transactions_ever: u64,
    has_unique_key: bool,
}

/// The unique key of the ledger is violated.
pub struct Duplicate;

impl Warehouse {
    pub fn new(has_unique_key: bool) -> Self {
        Self {
            rows: Vec::new(),
            letters: Vec::new(),
            ledger: Vec::new(),
            sessions: BTreeMap::new(),
            sessions_ever: 0,
            transactions_ever: 0,
            has_unique_key,
        }
    }

    pub fn connect(&mut self, instance: &str) -> Pid {
        self.sessions_ever += 1;
        let session = Session { instance: instance.to_owned(), transaction: None, fate: Fate::Lives };
        self.sessions.insert(self.sessions_ever, session);
        self.sessions_ever
    }

    /// What sessions do by themselves, by now.
    pub fn pass_time(&mut self, now: Instant) {
        let due = |(&pid, session): (&Pid, &Session)| match session.fate {
            Fate::Dies(at) if at <= now => Some((pid, false)),
            Fate::Commits(at) if at <= now => Some((pid, true)),
            _ => None,
        };
        let due: Vec<_> = self.sessions.iter().filter_map(due).collect();
        for (pid, commits) in due {
            self.close(pid, commits);
        }
    }

    fn close(&mut self, pid: Pid, commits: bool) {
        let transaction = self.sessions.remove(&pid).and_then(|session| session.transaction);
        if let Some(transaction) = transaction.filter(|_| commits) {
            self.make_durable(transaction);
        }
    }

    fn make_durable(&mut self, mut transaction: Transaction) {
        self.rows.append(&mut transaction.rows);
        self.letters.append(&mut transaction.letters);
        self.ledger.append(&mut transaction.ledger);
    }

    /// Ends a session and waits until it is gone. A COMMIT that was under way may have come through.
    pub fn end(&mut self, pid: Pid, dice: &mut Dice) {
        let is_committing = self.sessions.get(&pid).is_some_and(|session| matches!(session.fate, Fate::Commits(_)));
        self.close(pid, is_committing && dice.is_one_in(2));
    }

    /// The sessions of others.
    pub fn others(&self, instance: &str) -> Vec<Pid> {
        self.sessions.iter().filter(|(_, session)| session.instance != instance).map(|(&pid, _)| pid).collect()
    }

    /// The client is gone.
    pub fn abandon(&mut self, pid: Pid, fate: Fate) {
        if let Some(session) = self.sessions.get_mut(&pid).filter(|session| matches!(session.fate, Fate::Lives)) {
            session.fate = fate;
        }
    }

    fn session(&mut self, pid: Pid, doing: &str) -> Result<&mut Session, Error> {
        let session = self.sessions.get_mut(&pid).filter(|session| matches!(session.fate, Fate::Lives));
        session.ok_or_else(|| lost(doing))
    }

    fn transaction(&mut self, pid: Pid, doing: &str) -> Result<&mut Transaction, Error> {
        Ok(self.session(pid, doing)?.transaction.get_or_insert_default())
    }

    /// BEGIN, and the transaction's distributed id.
    pub fn begin(&mut self, pid: Pid) -> Result<String, Error> {
        self.session(pid, "beginning a transaction")?.transaction = Some(Transaction::default());
        self.transactions_ever += 1;
        Ok(format!("7-{}", self.transactions_ever))
    }

    pub fn roll_back(&mut self, pid: Pid) {
        if let Ok(session) = self.session(pid, "rolling back") {
            session.transaction = None;
        }
    }

    pub fn is_there(&mut self, pid: Pid) -> Result<(), Error> {
        self.session(pid, "loading").map(drop)
    }

    pub fn insert(&mut self, pid: Pid, rows: Vec<Place>) -> Result<(), Error> {
        self.transaction(pid, "inserting")?.rows.extend(rows);
        Ok(())
    }

    pub fn insert_letters(&mut self, pid: Pid, letters: &[Place]) -> Result<(), Error> {
        self.transaction(pid, "writing dead letters")?.letters.extend(letters);
        Ok(())
    }

    /// Appends rows to the ledger one after the other; `false` while another transaction has written one of them.
    pub fn append(&mut self, pid: Pid, rows: &[LedgerRow]) -> Result<Result<bool, Duplicate>, Error> {
        let done = self.transaction(pid, "appending to the ledger")?.ledger.len();
        for row in &rows[done..] {
            let is_same = |other: &LedgerRow| (other.partition, other.entry.seq) == (row.partition, row.entry.seq);
            if self.has_unique_key && self.visible().any(is_same) {
                return Ok(Err(Duplicate));
            }
            let mut open = self.sessions.iter().filter(|(other, _)| **other != pid);
            let is_locked = |session: &Session| session.transaction.iter().any(|open| open.ledger.iter().any(is_same));
            if self.has_unique_key && open.any(|(_, session)| is_locked(session)) {
                return Ok(Ok(false));
            }
            self.transaction(pid, "appending to the ledger")?.ledger.push(row.clone());
        }
        Ok(Ok(true))
    }

    /// COMMIT that has its effect.
    pub fn commit(&mut self, pid: Pid) -> Result<(), Error> {
        let transaction = self.session(pid, "committing")?.transaction.take();
        self.make_durable(transaction.unwrap_or_default());
        Ok(())
    }

    fn visible(&self) -> impl Iterator<Item = &LedgerRow> {
        self.ledger.iter().filter(|row| !row.is_pruned)
    }

    /// The newest row of each partition.
    pub fn chain(&self) -> Chain {
        let mut newest: BTreeMap<i32, &Entry> = BTreeMap::new();
        for row in self.visible() {
            let known = newest.entry(row.partition).or_insert(&row.entry);
            if row.entry.seq > known.seq {
                *known = &row.entry;
            }
        }
        newest.into_iter().map(|(partition, entry)| (partition, entry.clone())).collect()
    }

    /// A row of the ledger as a loader is shown it; for 0 any but the first.
    pub fn show(&self, partition: i32, seq: i64) -> Option<Before> {
        let is_wanted = |row: &&LedgerRow| row.entry.seq == seq || seq == 0 && row.entry.seq > 1;
        let row = self.visible().filter(|row| row.partition == partition).find(is_wanted)?;
        let Entry { next, batch, instance, .. } = row.entry.clone();
        Some(Before { next, batch, by: format!("loader {instance}"), instance })
    }

    /// Whether the ledger has a batch of a loader, in any of its rows or only in the newest of each partition. What is kept of a real ledger outlives every doubt, so what this one has
    /// pruned counts.
    pub fn holds(&self, instance: &str, batch: i64, asks_all: bool) -> bool {
        let is_it = |entry: &Entry| (entry.instance.as_str(), entry.batch) == (instance, batch);
        match asks_all {
            true => self.ledger.iter().any(|row| is_it(&row.entry)),
            false => self.chain().iter().any(|(_, entry)| is_it(entry)),
        }
    }

    /// Removes all but the newest `kept` rows of each partition.
    pub fn prune(&mut self, kept: i64) {
        let newest = self.chain();
        for row in &mut self.ledger {
            let last = newest.get(row.partition).map_or(0, |entry| entry.seq);
            row.is_pruned |= row.entry.seq <= last - kept;
        }
    }
}

pub fn lost(doing: &str) -> Error {
    Error::Lost { doing: doing.to_owned(), text: "the connection broke".to_owned() }
}
