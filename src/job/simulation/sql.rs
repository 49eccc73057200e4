//! The thread that owns the batch's session, as `warehouse`, `Load` and `Ledger` are together: orders in, replies out,
//! one statement a step, and every fault of a connection before each of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::faults::Fault;
use super::segments::{Statement, Written};
use super::warehouse::{Duplicate, Fate, LedgerRow, Pid, Place, lost};
use super::world::{Checked, Rule, World};
use crate::greenplum::{Chain, Commit, Entry, Error, Instance};

/// After so long a client that hears nothing believes that its connection is gone.
const DEAF: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub enum Order {
    Insert { batch: u64 },
    Commit { batch: u64, has_rows: bool, commit: Commit, letters: Vec<Place> },
}

#[derive(Debug)]
pub enum Reply {
    Opened { batch: u64 },
    Inserted { batch: u64, written: Written },
    Committed { batch: u64 },
    Failed { error: Error },
}

#[derive(Debug)]
struct Ending {
    batch: u64,
    commit: Commit,
    rows: BTreeMap<i32, Entry>,
}

#[derive(Debug)]
enum Doing {
    Nothing,
    Reading {
        batch: u64,
    },
    Appending(Ending),
    Checking(Ending),
    Committing(Ending),
    /// It waits for a reply that never comes.
    Deaf {
        until: Instant,
        error: Error,
    },
    Gone,
}

/// See the module.
#[derive(Debug)]
pub struct Sql {
    pub pid: Pid,
    pub chain: Chain,
    instance: Instance,
    doing: Doing,
    pub orders: VecDeque<Order>,
    pub replies: VecDeque<Reply>,
    /// Until its outcome is heard of.
    pub statement: Option<Statement>,
    /// The attempt is over: an order that is in hand is cancelled or done, others are not.
    pub is_stopped: bool,
}

/// How a statement ends that does not end well.
enum Trouble {
    Now(Error),
    Later(Error),
}

impl Sql {
    pub fn new(pid: Pid, chain: Chain, instance: &Instance) -> Self {
        Self {
            pid,
            chain,
            instance: instance.clone(),
            doing: Doing::Nothing,
            orders: VecDeque::new(),
            replies: VecDeque::new(),
            statement: None,
            is_stopped: false,
        }
    }

    pub fn is_gone(&self) -> bool {
        matches!(self.doing, Doing::Gone)
    }

    /// One statement; `false`: it waits.
    pub fn step(&mut self, world: &mut World) -> Checked<bool> {
        match std::mem::replace(&mut self.doing, Doing::Gone) {
            Doing::Gone => return Ok(false),
            Doing::Deaf { until, error } if world.now < until => {
                self.doing = Doing::Deaf { until, error };
                return Ok(false);
            }
            Doing::Deaf { error, .. } => self.fail(error, world),
            Doing::Nothing if self.is_stopped => {}
            Doing::Nothing => match self.orders.pop_front() {
                None => {
                    self.doing = Doing::Nothing;
                    return Ok(false);
                }
                Some(order) => self.attempted(world, |sql, world| sql.begin(order, world)),
            },
            Doing::Reading { batch } => return Ok(self.read(batch, world)),
            Doing::Appending(_) if self.is_stopped => self.fail(cancelled(), world),
            Doing::Appending(ending) => return Ok(self.append(ending, world)),
            Doing::Checking(ending) => self.attempted(world, |sql, world| sql.check(ending, world)),
            Doing::Committing(ending) => self.commit(ending, world),
        }
        Ok(true)
    }

    /// What happens to any statement.
    fn trouble(&mut self, world: &mut World) -> Option<Trouble> {
        if world.strikes(Fault::ConnectionReset) {
            self.abandon(world);
            return Some(Trouble::Now(lost("a statement")));
        }
        if world.strikes(Fault::ConnectionDeaf) {
            self.abandon(world);
            return Some(Trouble::Later(lost("a statement")));
        }
        if world.strikes(Fault::StatementFails) {
            return Some(Trouble::Now(refused("53200")));
        }
        world.strikes(Fault::StatementRefused).then(|| Trouble::Now(refused("42501")))
    }

    fn abandon(&self, world: &mut World) {
        let at = world.within(60);
        world.warehouse.abandon(self.pid, Fate::Dies(at));
    }

    /// A statement that may meet trouble, and goes on by itself otherwise.
    fn attempted(&mut self, world: &mut World, body: impl FnOnce(&mut Self, &mut World) -> Result<Doing, Error>) {
        let done = match self.trouble(world) {
            Some(Trouble::Later(error)) => Ok(Doing::Deaf { until: world.now + DEAF, error }),
            Some(Trouble::Now(error)) => Err(error),
            None => body(self, world),
        };
        match done {
            Ok(doing) => self.doing = doing,
            Err(error) => self.fail(error, world),
        }
    }

    /// The transaction is rolled back, unless nobody can tell, and the thread ends.
    fn fail(&mut self, error: Error, world: &mut World) {
        world.warehouse.roll_back(self.pid);
        world.say(|| format!("  session {} fails: {error}", self.pid));
        self.replies.push_back(Reply::Failed { error });
        self.doing = Doing::Gone;
    }

    fn begin(&mut self, order: Order, world: &mut World) -> Result<Doing, Error> {
        match order {
            Order::Insert { batch } => {
                let xid = world.warehouse.begin(self.pid)?;
                self.statement = Some(Statement::begin(xid, world));
                self.replies.push_back(Reply::Opened { batch });
                Ok(Doing::Reading { batch })
            }
            Order::Commit { batch, has_rows, commit, letters } => {
                if !has_rows {
                    world.warehouse.begin(self.pid)?;
                }
                world.warehouse.insert_letters(self.pid, &letters)?;
                let rows = self.chain.follow(&commit, &self.instance)?;
                Ok(Doing::Appending(Ending { batch, commit, rows }))
            }
        }
    }

    fn read(&mut self, batch: u64, world: &mut World) -> bool {
        let reply = self.statement.as_mut().and_then(Statement::reply);
        if reply.is_none() && !self.is_stopped {
            self.doing = Doing::Reading { batch };
            let is_there = world.warehouse.is_there(self.pid);
            if let Err(error) = is_there {
                self.fail(error, world);
                return true;
            }
            return false;
        }
        self.attempted(world, |sql, world| {
            let written = reply.unwrap_or_else(|| Err(cancelled()))?;
            world.warehouse.insert(sql.pid, written.rows.clone())?;
            sql.replies.push_back(Reply::Inserted { batch, written });
            Ok(Doing::Nothing)
        });
        true
    }

    fn append(&mut self, ending: Ending, world: &mut World) -> bool {
        let rows = ledger_rows(&ending);
        let mut has_moved = true;
        self.attempted(world, |sql, world| match world.warehouse.append(sql.pid, &rows)? {
            Ok(true) => Ok(Doing::Checking(ending)),
            Ok(false) => {
                has_moved = false;
                Ok(Doing::Appending(ending))
            }
            Err(Duplicate) => Err(sql.taken(&rows, world)),
        });
        has_moved
    }

    /// Who was first.
    fn taken(&self, rows: &[LedgerRow], world: &World) -> Error {
        let shown = rows.iter().find_map(|row| Some((row, world.warehouse.show(row.partition, row.entry.seq)?)));
        let (row, found) = shown.expect("a duplicate is of a row that is there");
        let is_own = found.instance == self.instance.as_str();
        Error::PositionTaken { partition: row.partition, seq: row.entry.seq, by: found.by, is_own }
    }

    fn check(&mut self, ending: Ending, world: &mut World) -> Result<Doing, Error> {
        world.warehouse.is_there(self.pid)?;
        let show = |(&partition, row): (&i32, &Entry)| Some((partition, world.warehouse.show(partition, row.seq - 1)?));
        let is_checked = |(_, row): &(&i32, &Entry)| row.seq > 1 || world.has(Rule::FirstRow);
        if world.has(Rule::ChainCheck) {
            let before = ending.rows.iter().filter(is_checked).filter_map(show).collect();
            self.chain.check_before(&ending.rows, &before)?;
        }
        Ok(Doing::Committing(ending))
    }

    fn commit(&mut self, ending: Ending, world: &mut World) {
        let in_doubt = Error::InDoubt { batch: ending.commit.batch, text: "the connection broke".to_owned() };
        if let Err(error) = world.warehouse.is_there(self.pid) {
            // COMMIT was sent into a connection that had been broken before
            let text = error.to_string();
            return self.fail(Error::InDoubt { batch: ending.commit.batch, text }, world);
        }
        let fate = world.within(60);
        if world.strikes(Fault::CommitReplyLost) {
            drop(world.warehouse.commit(self.pid));
            world.warehouse.abandon(self.pid, Fate::Dies(fate));
        } else if world.strikes(Fault::CommitLost) {
            world.warehouse.abandon(self.pid, Fate::Dies(fate));
        } else if world.strikes(Fault::CommitLate) {
            world.warehouse.abandon(self.pid, Fate::Commits(fate));
        } else {
            return self.commit_well(ending, world);
        }
        // the break is noticed at once, or when nothing has come for long
        match world.dice.is_one_in(2) {
            true => self.doing = Doing::Deaf { until: world.now + DEAF, error: in_doubt },
            false => {
                world.say(|| format!("  session {}: {in_doubt}", self.pid));
                self.replies.push_back(Reply::Failed { error: in_doubt });
            }
        }
    }

    /// An ERROR in place of its reply says that the transaction is rolled back.
    fn commit_well(&mut self, ending: Ending, world: &mut World) {
        if world.strikes(Fault::StatementFails) {
            return self.fail(refused("40001"), world);
        }
        match world.warehouse.commit(self.pid) {
            Err(error) => self.fail(error, world),
            Ok(()) => {
                world.say(|| format!("  session {} commits batch {}", self.pid, ending.batch));
                self.chain.advance(ending.rows);
                self.replies.push_back(Reply::Committed { batch: ending.batch });
                self.doing = Doing::Nothing;
            }
        }
    }
}

/// What the server says of a statement that it does not do.
fn refused(state: &str) -> Error {
    Error::Sql { doing: "a statement".to_owned(), state: state.to_owned(), text: "the server says no".to_owned() }
}

fn cancelled() -> Error {
    refused("57014")
}

fn ledger_rows(ending: &Ending) -> Vec<LedgerRow> {
    let counts = |partition: i32| ending.commit.moves.iter().find(|step| step.partition == partition).cloned().unwrap();
    let row = |(&partition, entry): (&i32, &Entry)| LedgerRow {
        partition,
        entry: entry.clone(),
        counts: counts(partition),
        is_pruned: false,
    };
    ending.rows.iter().map(row).collect()
}
