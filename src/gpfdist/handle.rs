//! Sessions behind locks: the [`Session`] that job and warehouse threads hold, the registry in which the server finds
//! it, and the connections' waiting line. Locks are held for moments and never across an await.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fail::fail_point;
use subtle::ConstantTimeEq as _;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::request::{Refusal, Request};
use super::session::{self, Block, Cause, ConnectionId, Failure, Next, Place, Scan, State, Status};
use crate::block::BlockIndex;
use crate::metrics::Metrics;

/// One session as its connections share it.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// Where whoever feeds it waits for room, or for its end.
    changed: Condvar,
    metrics: Metrics,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Connections that wait for a block, the longest-waiting first. One block wakes one of them, so that segments that
    /// keep up get turns, and hundreds are not woken for a block that one takes.
    waiting: VecDeque<(ConnectionId, Waker)>,
    /// Since when somebody waits for a block.
    hungry: Option<Instant>,
    /// How each open connection is told that nobody needs it any more.
    cuts: BTreeMap<ConnectionId, Arc<Notify>>,
    /// Whoever feeds it waits until no more than so many blocks do.
    low_water: Option<usize>,
}

impl Shared {
    pub(super) fn new(state: State, metrics: Metrics) -> Self {
        let inner = Inner { state, waiting: VecDeque::new(), hungry: None, cuts: BTreeMap::new(), low_water: None };
        Self { inner: Mutex::new(inner), changed: Condvar::new(), metrics }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state in a way that concerns every connection.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut inner = self.inner();
        let outcome = change(&mut inner.state);
        self.count_hunger(&mut inner);
        let woken = std::mem::take(&mut inner.waiting);
        if inner.low_water.is_some() {
            self.changed.notify_all();
        }
        drop(inner);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
        outcome
    }

    pub(super) fn push(&self, block: Block) {
        let mut inner = self.inner();
        inner.state.push(block);
        self.count_hunger(&mut inner);
        let woken = match inner.state.failure() {
            Some(_) => inner.waiting.len(),
            None => 1.min(inner.waiting.len()),
        };
        let woken: Vec<_> = inner.waiting.drain(..woken).collect();
        drop(inner);
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Looks at the state.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner().state)
    }

    /// Waits until no more than `low_water` blocks wait for a segment, a connection comes or goes, or it fails; at most
    /// `wait`. For the one thread that feeds it.
    ///
    /// # Blocks
    /// Up to `wait`; never call it on a tokio thread.
    pub(super) fn wait_for_room(&self, low_water: usize, wait: Duration) {
        let mut inner = self.inner();
        if inner.state.failure().is_some() || inner.state.blocks_waiting() <= low_water {
            return;
        }
        inner.low_water = Some(low_water);
        let (mut inner, _) = self.changed.wait_timeout(inner, wait).unwrap_or_else(PoisonError::into_inner);
        inner.low_water = None;
    }

    /// Waits until a connection comes or goes, or it fails; at most `wait`. For the one thread that feeds it.
    ///
    /// # Blocks
    /// Up to `wait`; never call it on a tokio thread.
    pub(super) fn wait_for_change(&self, wait: Duration, is_awaited: impl Fn(&State) -> bool) {
        let mut inner = self.inner();
        inner.low_water = Some(0);
        let waits = |inner: &mut Inner| !is_awaited(&inner.state);
        let (mut inner, _) =
            self.changed.wait_timeout_while(inner, wait, waits).unwrap_or_else(PoisonError::into_inner);
        inner.low_water = None;
    }

    /// There is something to take, or there will be nothing.
    fn count_hunger(&self, inner: &mut Inner) {
        if let Some(since) = inner.hungry.take() {
            self.metrics.seconds.scan_waits_for_rows.inc_by(since.elapsed().as_secs_f64());
        }
    }

    pub(super) fn file_prefix(&self) -> String {
        self.inner().state.scan().file_prefix.clone()
    }

    /// What connection `id` sends next, or the end of the waiting line for it.
    pub(super) fn poll_next(&self, id: ConnectionId, context: &Context<'_>) -> Poll<Next> {
        let mut inner = self.inner();
        let next = inner.state.next(id);
        match &next {
            Next::Wait => {
                inner.hungry.get_or_insert_with(Instant::now);
                match inner.waiting.iter_mut().find(|(waiting, _)| *waiting == id) {
                    Some((_, waker)) => waker.clone_from(context.waker()),
                    None => inner.waiting.push_back((id, context.waker().clone())),
                }
                return Poll::Pending;
            }
            Next::Block(block) => {
                self.metrics.rows_sent.inc_by(u64::from(block.rows));
                self.metrics.bytes_sent.inc_by(block.bytes.len() as u64);
                if inner.low_water.is_some_and(|low| inner.state.blocks_waiting() <= low) {
                    self.changed.notify_all();
                }
            }
            Next::End | Next::Failed(_) => {}
        }
        inner.waiting.retain(|(waiting, _)| *waiting != id);
        Poll::Ready(next)
    }

    /// Leaves the waiting line: a connection that has something else to send may be stuck in it when its turn comes.
    pub(super) fn leave_line(&self, id: ConnectionId) {
        self.inner().waiting.retain(|(waiting, _)| *waiting != id);
    }

    /// Cuts connections that outlived their session, stuck at a peer that reads no more: they hold blocks, and blocks
    /// hold memory permits.
    fn cut_all(&self) {
        self.inner().cuts.values().for_each(|cut| cut.notify_one());
    }

    pub(super) fn attach(self: &Arc<Self>, request: &Request, cut: Arc<Notify>) -> Result<Attached, Refusal> {
        // a refusal may have failed the session, which every connection must learn
        let id = self.change(|state| state.attach(request))?;
        self.inner().cuts.insert(id, cut);
        self.metrics.segments_connected.inc();
        Ok(Attached { shared: Arc::clone(self), id, written: false })
    }
}

/// A connection that the session counts. Dropped without [`Attached::written`], it fails the session.
#[derive(Debug)]
pub(super) struct Attached {
    pub shared: Arc<Shared>,
    pub id: ConnectionId,
    written: bool,
}

impl Attached {
    /// Everything handed out is in the kernel's hands.
    pub(super) fn written(mut self) {
        self.written = true;
        fail_point!("segment-served");
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.metrics.segments_connected.dec();
        self.shared.inner().cuts.remove(&self.id);
        self.shared.change(|state| state.detach(self.id, self.written));
    }
}

/// Which paths are served, and which sessions are there for each.
#[derive(Debug, Default)]
pub(super) struct Registry {
    paths: Mutex<Vec<Known>>,
}

/// A path with its token, and the sessions under it.
#[derive(Debug)]
struct Known {
    path: String,
    sessions: Vec<Arc<Shared>>,
}

/// The path that is this one. How long that takes tells nobody how much of a token was right: each is compared whole.
fn find<'k>(known: &'k mut [Known], path: &str) -> Option<&'k mut Known> {
    let mut found = None;
    for (at, known) in known.iter().enumerate() {
        if bool::from(known.path.as_bytes().ct_eq(path.as_bytes())) {
            found = Some(at);
        }
    }
    found.and_then(|at| known.get_mut(at))
}

impl Registry {
    fn paths(&self) -> MutexGuard<'_, Vec<Known>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn accept(&self, path: &str) {
        let mut paths = self.paths();
        if find(&mut paths, path).is_none() {
            paths.push(Known { path: path.to_owned(), sessions: Vec::new() });
        }
    }

    pub(super) fn forget(&self, path: &str) {
        self.paths().retain(|known| known.path != path);
    }

    pub(super) fn is_accepted(&self, path: &str) -> bool {
        find(&mut self.paths(), path).is_some()
    }

    /// Lets a request into the session that is there for it; the newest first, since older ones are tombstones. `cut`
    /// tells when the connection must go.
    pub(super) fn attach(&self, path: &str, request: &Request, cut: Arc<Notify>) -> Result<Attached, Refusal> {
        let sessions = find(&mut self.paths(), path).map(|known| known.sessions.clone()).unwrap_or_default();
        let session = sessions.iter().rev().find(|shared| shared.inner().state.is_for(&request.xid));
        session.ok_or_else(|| session::foreign(&request.xid))?.attach(request, cut)
    }

    /// Sessions that are open or whose grace has not run out.
    pub(super) fn sessions(&self) -> usize {
        self.paths().iter().map(|known| known.sessions.len()).sum()
    }

    pub(super) fn fail_all(&self, reason: &str) {
        let sessions: Vec<_> = self.paths().iter().flat_map(|known| known.sessions.clone()).collect();
        for shared in sessions {
            shared.change(|state| state.fail(Cause::Stopped, reason));
        }
    }

    fn open(&self, shared: &Arc<Shared>, path: &str) {
        self.accept(path);
        if let Some(known) = find(&mut self.paths(), path) {
            known.sessions.push(Arc::clone(shared));
        }
    }

    fn remove(&self, shared: &Arc<Shared>) {
        for known in self.paths().iter_mut() {
            known.sessions.retain(|held| !Arc::ptr_eq(held, shared));
        }
        shared.cut_all();
    }
}

/// One scan of one transaction, from the side that feeds it. Clones are one session.
///
/// The session's end is told to segments only after [`Session::seal`]. Whoever commits must have seen
/// [`Session::status`] without a failure *after* the statement returned, and its `rows_sent` accounted for.
///
/// # Drop
/// The last clone dropped without [`Session::finish`] fails the session, so that a thread that dies never ends in a
/// partial success.
#[derive(Debug, Clone)]
pub struct Session(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    runtime: Handle,
    grace: Duration,
}

impl Session {
    pub(super) fn open(
        scan: Scan,
        registry: &Arc<Registry>,
        metrics: &Metrics,
        runtime: &Handle,
        grace: Duration,
    ) -> Self {
        let path = scan.path.clone();
        let shared = Arc::new(Shared::new(State::new(scan), metrics.clone()));
        registry.open(&shared, &path);
        Self(Arc::new(Owner { shared, registry: Arc::clone(registry), runtime: runtime.clone(), grace }))
    }

    /// Gives a block to whichever segment takes it first; one without rows is passed over. After a failure it is dropped.
    ///
    /// `bytes` travels uncopied, its memory permit inside; the permit returns when the socket has taken the last byte.
    pub fn push(&self, index: &BlockIndex, bytes: Bytes) {
        let place = Place::Topic { partition: index.partition, first: index.span.first() };
        self.0.shared.push(Block { place, rows: index.rows, bytes });
    }

    /// No block will follow: segments are told the end once all blocks are handed out.
    pub fn seal(&self) {
        self.0.shared.change(State::seal);
    }

    /// Fails it: open connections are told the reason, later ones are refused with it, and the statement fails. The
    /// reason is seen by users of the database; the first one stays.
    pub fn fail(&self, reason: impl Into<String>) {
        self.0.shared.change(|state| state.fail(Cause::Source, reason));
    }

    /// The statement's outcome is known, whatever it is. For the grace period a late segment still gets an empty
    /// success, or the cause of the failure; then the session is forgotten, and connections that are still open are cut.
    ///
    /// Called before all rows were taken it fails the session.
    pub fn finish(&self) {
        self.0.finish();
    }

    /// The session at this moment.
    pub fn status(&self) -> Status {
        self.0.shared.inner().state.status()
    }

    /// Why it failed, if it has.
    pub fn failure(&self) -> Option<Failure> {
        self.0.shared.inner().state.failure().cloned()
    }
}

impl Owner {
    fn finish(&self) {
        let first_time = self.shared.change(|state| {
            let first_time = !state.is_finished();
            state.finish();
            first_time
        });
        if first_time {
            let (registry, shared, grace) = (Arc::clone(&self.registry), Arc::clone(&self.shared), self.grace);
            drop(self.runtime.spawn(async move {
                tokio::time::sleep(grace).await;
                registry.remove(&shared);
            }));
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.shared.inner().state.is_finished() {
            self.shared.change(|state| state.fail(Cause::Source, "the load was given up before its end"));
            self.finish();
        }
    }
}
