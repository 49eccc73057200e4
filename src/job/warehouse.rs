//! The thread that owns the batch's SQL session. Orders in, replies out; between two of them it waits inside the server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::batch::REJECTS_NAMED_MAX;
use super::dead_letters::{Refused, SEGMENT_REJECTS_MAX, Writer};
use super::failure::Error;
use super::task;
use super::threads::Stop;
use crate::gpfdist::{Scan, Server, Session};
use crate::greenplum::{self, Chain, Commit, Load, SegmentRejects, Written};
use crate::metrics::Seconds;

/// How often a warehouse without orders looks at the wish to end.
const WAIT: Duration = Duration::from_millis(50);

/// What the brain wants of the database, one batch at a time.
#[derive(Debug)]
pub enum Order {
    /// BEGIN, then the INSERT.
    Insert { batch: u64 },
    /// POST_BATCH_SQL where it is its turn, dead letters, ledger and COMMIT. Without rows the transaction is begun for it.
    Commit { batch: u64, has_rows: bool, runs_task: bool, commit: Commit, refused: Refused },
}

/// What became of it.
#[derive(Debug)]
pub enum Reply {
    /// The transaction is open; segments that ask under its id are served from here.
    Opened {
        batch: u64,
        session: Session,
    },
    Inserted {
        batch: u64,
        written: Written,
        rejects: SegmentRejects,
    },
    Committed {
        batch: u64,
    },
    /// The transaction is rolled back, or in doubt: the ledger knows.
    Failed {
        batch: u64,
        error: Error,
    },
}

/// The thread's own things.
pub struct Warehouse {
    pub load: Load,
    /// Newest ledger rows, moved on by every commit.
    pub chain: Chain,
    pub server: Arc<Server>,
    /// Path of the external table, and the topic that names blocks.
    pub path: String,
    pub topic: String,
    pub orders: Receiver<Order>,
    pub replies: Sender<Reply>,
    pub dead_letters: Option<Writer>,
    pub stop: Stop,
    pub seconds: Seconds,
    pub post_batch: Option<String>,
    /// The target's statistics have been looked at.
    pub has_analyzed: bool,
}

impl Warehouse {
    /// Serves orders until told to stop.
    ///
    /// # Blocks
    /// For as long as the attempt lasts; inside an INSERT until the session is sealed or fails.
    pub fn run(mut self) {
        let mut since = Instant::now();
        while !self.stop.is_asked() {
            let order = self.orders.recv_timeout(WAIT);
            self.seconds.database_idle.inc_by(lap(&mut since));
            let spent = match order {
                Ok(Order::Insert { .. }) => self.seconds.database_insert.clone(),
                _ => self.seconds.database_commit.clone(),
            };
            let (batch, done) = match order {
                Ok(Order::Insert { batch }) => (batch, self.insert(batch)),
                Ok(Order::Commit { batch, has_rows, runs_task, commit, refused }) => {
                    (batch, self.commit(batch, (has_rows, runs_task), &commit, refused))
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            spent.inc_by(lap(&mut since));
            let reply = done.unwrap_or_else(|error| Reply::Failed { batch, error });
            let (has_failed, has_committed) =
                (matches!(reply, Reply::Failed { .. }), matches!(reply, Reply::Committed { .. }));
            if self.replies.send(reply).is_err() || has_failed {
                return;
            }
            if has_committed {
                self.analyze_once();
                spent.inc_by(lap(&mut since));
            }
        }
    }

    /// Loads run without autostats, so a table that never had statistics gets them after the first commit. A session
    /// that is lost here is told of by the next order.
    fn analyze_once(&mut self) {
        if !self.has_analyzed && self.load.analyze_if_never().is_ok() {
            self.has_analyzed = true;
        }
    }

    fn insert(&mut self, batch: u64) -> Result<Reply, Error> {
        let xid = self.load.begin()?;
        let scan = Scan { path: self.path.clone(), xid: Some(xid), file_prefix: self.topic.clone() };
        let session = self.server.open(scan);
        hand_over(&self.replies, &self.stop, batch, &session);
        let written = self.load.write();
        session.finish();
        let written = written.map_err(|error| match error.is_of_rows() && !error.is_passing() {
            true => Error::Refused(error),
            false => error.into(),
        })?;
        let rejects = match written.rejected {
            0 => SegmentRejects { named: Vec::new(), counts: BTreeMap::new() },
            _ if self.dead_letters.is_none() => self.load.rejects(REJECTS_NAMED_MAX, REJECTS_NAMED_MAX)?,
            _ => self.all_rejects()?,
        };
        Ok(Reply::Inserted { batch, written, rejects })
    }

    /// Each of them is to become a dead letter.
    fn all_rejects(&mut self) -> Result<SegmentRejects, greenplum::Error> {
        let rejects = self.load.rejects(SEGMENT_REJECTS_MAX, REJECTS_NAMED_MAX)?;
        let (found, max): (u64, u64) = (rejects.counts.values().sum(), SEGMENT_REJECTS_MAX as u64);
        if found > max {
            let text = format!(
                "segments refuse {found} rows of this batch, and {max} can become dead letters together; nothing of it was loaded; make batches smaller with MAX_ROW"
            );
            return Err(greenplum::Error::Target { text });
        }
        Ok(rejects)
    }

    fn commit(
        &mut self,
        batch: u64,
        (has_rows, runs_task): (bool, bool),
        commit: &Commit,
        refused: Refused,
    ) -> Result<Reply, Error> {
        if !has_rows {
            self.load.begin()?;
        }
        if let Some(sql) = self.post_batch.as_ref().filter(|_| runs_task) {
            self.load.run_inside(task::POST_BATCH, sql)?;
        }
        if let Some(dead_letters) = &mut self.dead_letters {
            dead_letters.write(&mut self.load, batch, refused)?;
        }
        self.load.commit(&mut self.chain, commit)?;
        Ok(Reply::Committed { batch })
    }
}

/// Seconds since the last lap.
fn lap(since: &mut Instant) -> f64 {
    let now = Instant::now();
    (now - std::mem::replace(since, now)).as_secs_f64()
}

/// Tells the brain of a session, and fails it where the brain has stopped listening: an INSERT that nobody feeds would
/// never end, and neither would the thread that waits in it.
///
/// Who stops asks first and looks for sessions in the channel then, see [`fail_opened`]; here it is the other way round,
/// so one of the two sees the session.
fn hand_over(replies: &Sender<Reply>, stop: &Stop, batch: u64, session: &Session) {
    let told = replies.send(Reply::Opened { batch, session: session.clone() });
    if told.is_err() || stop.is_asked() {
        session.fail("the loader has stopped");
    }
}

/// Fails the sessions that were opened and never heard of. To be called after the warehouse was asked to stop.
pub fn fail_opened(replies: &Receiver<Reply>, reason: &str) {
    for reply in replies.try_iter() {
        if let Reply::Opened { session, .. } = reply {
            session.fail(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::gpfdist::Settings;
    use crate::metrics::Metrics;

    fn open(server: &Server) -> Session {
        server.open(Scan { path: "/v1/x".to_owned(), xid: None, file_prefix: "t".to_owned() })
    }

    #[test]
    fn a_session_that_opens_when_the_brain_has_stopped_is_failed_on_either_side() {
        let settings = Settings { bind: [127, 0, 0, 1].into(), port: 0, ..Settings::default() };
        let server = Server::start(&settings, &Metrics::default()).unwrap();
        let (replies, heard) = bounded(2);
        let stop = Stop::default();

        let session = open(&server);
        hand_over(&replies, &stop, 1, &session);
        assert!(session.failure().is_none());
        fail_opened(&heard, "interrupted");
        assert_eq!(session.failure().unwrap().reason, "interrupted");

        stop.ask();
        let session = open(&server);
        hand_over(&replies, &stop, 2, &session);
        assert_eq!(session.failure().unwrap().reason, "the loader has stopped");
    }
}
