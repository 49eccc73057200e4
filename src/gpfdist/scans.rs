//! Scans that nobody has announced: the first segment that asks for one has it opened, by a [`Source`] that then feeds it.
//! Each goes through a session like a load's, of which a segment may leave early. `server` asks here when it was started
//! with a source; what the rows are is the source's business.
//!
//! A scan is its path, transaction, command and scan number, as Greenplum's own gpfdist tells them apart. One that is
//! over is remembered until every segment has come: a late one gets the end, and never the rows once more.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::declared::Declared;
use super::handle::{Attached, Shared};
use super::request::{Refusal, Request, Terms};
use super::session::{Block, Cause, Phase, Place, Scan, State};
use super::settings::ScanLimits;
use crate::metrics::Metrics;

/// Where the rows of scans come from.
pub trait Source: fmt::Debug + Send + Sync {
    /// Opens a scan on a thread of its own and feeds it there: [`Feed::opened`] or [`Feed::refuse`], then blocks, then
    /// [`Feed::end`]. A feed that is dropped before has failed.
    ///
    /// # Blocks
    /// Never: it is called on a tokio thread.
    fn open(&self, asked: Asked, feed: Feed);
}

/// What a scan is of.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query as they came, still percent-encoded.
    pub path: String,
    pub declared: Declared,
}

/// A scan, told apart from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    path: String,
    xid: String,
    cid: String,
    sn: String,
}

/// Whether a scan could be opened, once that is known.
type Opened = Option<Result<(), Refusal>>;

#[derive(Debug)]
struct Known {
    shared: Arc<Shared>,
    opened: watch::Receiver<Opened>,
}

#[derive(Debug, Default)]
struct All {
    known: BTreeMap<Key, Known>,
    /// Those that are over, and since when; the oldest first.
    over: VecDeque<(Instant, Key)>,
}

/// All scans of a server.
#[derive(Debug)]
pub(super) struct Scans {
    source: Arc<dyn Source>,
    limits: ScanLimits,
    metrics: Metrics,
    all: Mutex<All>,
}

impl Scans {
    pub(super) fn new(source: Arc<dyn Source>, limits: ScanLimits, metrics: Metrics) -> Self {
        Self { source, limits, metrics, all: Mutex::default() }
    }

    /// Lets a segment into its scan, which is opened for the first. `cut` tells when the connection must go.
    pub(super) async fn attach(
        self: &Arc<Self>,
        path: &str,
        request: &Request,
        terms: Terms,
        cut: Arc<Notify>,
    ) -> Result<Attached, Refusal> {
        let (shared, mut opened) = self.known_or_opened(path, request, terms)?;
        let outcome = opened.wait_for(Option::is_some).await.map(|outcome| (*outcome).clone());
        match outcome {
            Ok(Some(Ok(()))) => shared.attach(request, cut),
            Ok(Some(Err(refusal))) => Err(refusal),
            Ok(None) | Err(_) => Err(Refusal::new(500, "opening the file failed")),
        }
    }

    fn known_or_opened(
        self: &Arc<Self>,
        path: &str,
        request: &Request,
        terms: Terms,
    ) -> Result<(Arc<Shared>, watch::Receiver<Opened>), Refusal> {
        let Request { xid, cid, sn, .. } = request.clone();
        let key = Key { path: path.to_owned(), xid: xid.clone(), cid, sn };
        let mut all = self.all();
        all.forget_old(Instant::now(), &self.limits);
        if let Some(known) = all.known.get(&key) {
            return Ok((Arc::clone(&known.shared), known.opened.clone()));
        }
        let open_max = self.limits.open_max;
        if all.known.len() - all.over.len() >= open_max {
            return Err(Refusal::new(503, format!("{open_max} scans are open: try again when some have ended")));
        }
        let scan = Scan { path: path.to_owned(), xid: Some(xid), file_prefix: String::new() };
        let shared = Arc::new(Shared::new(State::new(scan).that_may_be_left(), self.metrics.clone()));
        let (tell, opened) = watch::channel(None);
        let known = Known { shared: Arc::clone(&shared), opened: opened.clone() };
        all.known.insert(key.clone(), known);
        drop(all);
        let feed = Feed { scans: Arc::clone(self), shared: Arc::clone(&shared), key, tell, segments: terms.segments };
        self.source.open(Asked { path: path.to_owned(), declared: terms.declared }, feed);
        Ok((shared, opened))
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scans that are open.
    pub(super) fn open(&self) -> usize {
        let all = self.all();
        all.known.len() - all.over.len()
    }

    pub(super) fn fail_all(&self, reason: &str) {
        let all: Vec<_> = self.all().known.values().map(|known| Arc::clone(&known.shared)).collect();
        for shared in all {
            shared.change(|state| state.fail(Cause::Stopped, reason));
        }
    }

    /// The scan is over. Unless all of its segments have come, it is remembered for those that have not.
    fn end(&self, key: &Key, all_came: bool) {
        let mut all = self.all();
        if all_came {
            all.known.remove(key);
        } else {
            all.over.push_back((Instant::now(), key.clone()));
        }
    }
}

impl All {
    fn forget_old(&mut self, now: Instant, limits: &ScanLimits) {
        while let Some((since, ..)) = self.over.front() {
            if self.over.len() <= limits.over_max && now.duration_since(*since) < limits.late {
                return;
            }
            if let Some((_, key)) = self.over.pop_front() {
                self.known.remove(&key);
            }
        }
    }
}

/// One scan, from the side that feeds it.
///
/// # Drop
/// Before [`Feed::end`] it fails the scan: a thread that dies never ends in some of the rows.
#[derive(Debug)]
pub struct Feed {
    scans: Arc<Scans>,
    shared: Arc<Shared>,
    key: Key,
    tell: watch::Sender<Opened>,
    /// Of the cluster.
    segments: usize,
}

impl Feed {
    /// There is something to read: segments that ask get rows from now on.
    pub fn opened(&self) {
        self.tell.send_replace(Some(Ok(())));
    }

    /// There is nothing to read: segments that ask get this status and reason, which users of the database see.
    pub fn refuse(self, status: u16, reason: &str) {
        self.tell.send_replace(Some(Err(Refusal::new(status, reason))));
        self.shared.change(|state| state.fail(Cause::Source, reason));
    }

    /// Gives a block of whole rows to whichever segment takes it first; `offset` and `line` are those of its first row.
    /// `bytes` travels uncopied.
    pub fn push(&self, name: &Arc<str>, offset: i64, line: i64, rows: u32, bytes: Bytes) {
        let place = Place::File { name: Arc::clone(name), offset, line };
        self.shared.push(Block { place, rows, bytes });
    }

    /// Fails it: segments are told the reason, and the statement fails.
    pub fn fail(&self, reason: &str) {
        self.shared.change(|state| state.fail(Cause::Source, reason));
    }

    /// Waits while `high_water` blocks or more wait for a segment. False when no more are wanted: it has failed, or
    /// everyone has left.
    ///
    /// # Blocks
    /// For as long as segments take nothing.
    pub fn wait_for_room(&self, high_water: usize) -> bool {
        let mut alone_since = None;
        loop {
            let (failed, waiting, connected, all_came) = self.shared.look(|state| {
                let (connected, came) = state.attendance();
                (state.failure().is_some(), state.blocks_waiting(), connected, came >= self.segments)
            });
            if failed || all_came && connected == 0 {
                return false;
            }
            if waiting < high_water {
                return true;
            }
            if connected > 0 {
                alone_since = None;
            } else if alone_since.get_or_insert_with(Instant::now).elapsed() > self.scans.limits.left {
                self.fail("every segment that read this file has left it before its end");
                return false;
            }
            self.shared.wait_for_room(high_water / 2, self.scans.limits.look);
        }
    }

    /// Everything has been pushed: segments get the end behind the last block.
    ///
    /// # Blocks
    /// Until the last of those that read has gone, and for some seconds where others may still come.
    pub fn end(self) {
        self.shared.change(State::seal);
        // what was read ahead stays as long as somebody may come for it
        self.wait_for_room(1);
        let nobody = |state: &State| state.attendance().0 == 0;
        let (segments, limits) = (self.segments, &self.scans.limits);
        self.shared.wait_for_change(limits.soon, |state| nobody(state) && state.attendance().1 >= segments);
        while !self.shared.look(nobody) {
            self.shared.wait_for_change(limits.look, nobody);
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let all_came = self.shared.change(|state| {
            if state.phase() != Phase::Done {
                state.fail(Cause::Source, "reading the file was given up before its end");
            }
            state.attendance().1 >= self.segments
        });
        self.tell.send_if_modified(|opened| {
            let was_unknown = opened.is_none();
            opened.get_or_insert_with(|| Err(Refusal::new(500, "opening the file failed")));
            was_unknown
        });
        self.scans.end(&self.key, all_came);
    }
}
