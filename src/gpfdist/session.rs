//! One scan of one transaction as a state machine: who may connect, which block goes where, when the end may be told,
//! and what fails it. Pure: no I/O, no clock, no waiting; `handle` puts it behind a lock and wakes who waits.
//!
//! | phase | GET of a new segment | a connection's next message | leaves it |
//! |---|---|---|---|
//! | open | accepted | a block, or wait | seal → draining; failure → failed |
//! | draining: sealed, blocks left | accepted | a block | last block handed out → done; failure → failed |
//! | done | accepted, gets an empty success | the end | failure → failed |
//! | failed | refused with the cause | the cause, once; never the end | nothing |

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::frame;
use super::request::{Refusal, Request};

/// Which scan a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Path of the external table's LOCATION, with its token; starts with `/`.
    pub path: String,
    /// The `X-GP-XID` that all segments of the scan will send. `None` where it cannot be known beforehand: the first
    /// one seen binds.
    pub xid: Option<String>,
    /// The topic: names the blocks towards the database as `topic/partition@first`.
    pub file_prefix: String,
}

/// What kind of thing failed a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A segment's connection ended before its final message was written. It may pass.
    SegmentCut { segment: i32 },
    /// A segment asked again after it had been answered: rows of the first answer may be lost. It may pass.
    SecondGet { segment: i32 },
    /// [`super::Session::fail`] was called, or the handle was dropped or misused.
    Source,
    /// The server is stopping.
    Stopped,
}

/// Why a session failed; the first cause stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub cause: Cause,
    /// Lower case, without secrets: users of the database see it.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Blocks may still come.
    Open,
    /// Sealed; blocks are left.
    Draining,
    /// Sealed, and every block handed out.
    Done,
    /// See [`Status::failure`].
    Failed,
}

/// A session at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub phase: Phase,
    /// Connections that are open.
    pub connected: usize,
    /// Every segment that ever connected → rows handed to it.
    pub served_segments: BTreeMap<i32, u64>,
    /// Rows handed out, to whomever. What the statement inserts and rejects must sum to it.
    pub rows_sent: u64,
    /// Bytes of those rows.
    pub bytes_sent: u64,
    /// Blocks pushed and not yet handed out.
    pub blocks_waiting: usize,
    pub failure: Option<Failure>,
    /// Why the latest request under this session's transaction was refused though the session goes on: a second scan.
    pub refused: Option<String>,
}

/// A connection, numbered by the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnectionId(u64);

/// Where the rows of a block come from: what an error of the database names.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A partition, from an offset on.
    Topic { partition: i32, first: i64 },
    /// A file, from a byte and a line on.
    File { name: Arc<str>, offset: i64, line: i64 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic { partition, first } => write!(f, "partition {partition}, offset {first}"),
            Self::File { name, offset, .. } => write!(f, "{name}, byte {offset}"),
        }
    }
}

/// Rows on their way.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub place: Place,
    pub rows: u32,
    pub bytes: Bytes,
}

impl Block {
    /// What goes before its rows.
    pub(super) fn head(&self, file_prefix: &str) -> Bytes {
        let bytes = i32::try_from(self.bytes.len()).expect("the session refuses larger blocks");
        match &self.place {
            Place::Topic { partition, first } => frame::block_head(file_prefix, *partition, *first, bytes),
            Place::File { name, offset, line } => frame::file_head(name, *offset, *line, bytes),
        }
    }
}

/// What a connection sends next.
#[derive(Debug)]
pub(super) enum Next {
    Block(Block),
    /// The final message; nothing may follow.
    End,
    /// The cause instead of an end; nothing may follow.
    Failed(String),
    /// Nothing yet.
    Wait,
}

#[derive(Debug)]
struct Connection {
    segment: i32,
    /// It has been handed its end, or the cause of the failure.
    closing: bool,
}

/// A scan, told apart inside its transaction.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    xid: String,
    cid: String,
    sn: String,
}

/// The state of one session.
#[derive(Debug)]
pub(super) struct State {
    scan: Scan,
    may_be_left: bool,
    bound: Option<Bound>,
    queue: VecDeque<Block>,
    sealed: bool,
    finished: bool,
    failure: Option<Failure>,
    refused: Option<String>,
    connections: BTreeMap<ConnectionId, Connection>,
    connections_ever: u64,
    served_segments: BTreeMap<i32, u64>,
    rows_sent: u64,
    bytes_sent: u64,
}

impl State {
    pub(super) fn new(scan: Scan) -> Self {
        Self {
            scan,
            may_be_left: false,
            bound: None,
            queue: VecDeque::new(),
            sealed: false,
            finished: false,
            failure: None,
            refused: None,
            connections: BTreeMap::new(),
            connections_ever: 0,
            served_segments: BTreeMap::new(),
            rows_sent: 0,
            bytes_sent: 0,
        }
    }

    /// Segments may leave before the end, as under LIMIT: nobody concludes from this session that its rows have arrived,
    /// and a statement that misses them fails with the segment that lost them.
    pub(super) fn that_may_be_left(self) -> Self {
        Self { may_be_left: true, ..self }
    }

    pub(super) fn scan(&self) -> &Scan {
        &self.scan
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    pub(super) fn phase(&self) -> Phase {
        match (&self.failure, self.sealed, self.queue.is_empty()) {
            (Some(_), ..) => Phase::Failed,
            (None, false, _) => Phase::Open,
            (None, true, false) => Phase::Draining,
            (None, true, true) => Phase::Done,
        }
    }

    pub(super) fn status(&self) -> Status {
        Status {
            phase: self.phase(),
            connected: self.connections.len(),
            served_segments: self.served_segments.clone(),
            rows_sent: self.rows_sent,
            bytes_sent: self.bytes_sent,
            blocks_waiting: self.queue.len(),
            failure: self.failure.clone(),
            refused: self.refused.clone(),
        }
    }

    /// Blocks pushed and not yet handed out.
    pub(super) fn blocks_waiting(&self) -> usize {
        self.queue.len()
    }

    /// Connections that are open, and segments that ever connected.
    pub(super) fn attendance(&self) -> (usize, usize) {
        (self.connections.len(), self.served_segments.len())
    }

    /// Queues a block for whichever connection takes it; one without rows is passed over.
    pub(super) fn push(&mut self, block: Block) {
        if self.failure.is_some() || block.bytes.is_empty() {
            return;
        }
        if self.sealed {
            return self.fail(Cause::Source, "a block came after the batch was sealed");
        }
        if i32::try_from(block.bytes.len()).is_err() {
            let Block { place, bytes, .. } = block;
            let reason = format!("{place}: a block of {} bytes is more than one message carries", bytes.len());
            return self.fail(Cause::Source, reason);
        }
        self.queue.push_back(block);
    }

    /// No block will follow.
    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Fails it, unless it has failed before. What waited is dropped, and its memory permits with it.
    pub(super) fn fail(&mut self, cause: Cause, reason: impl Into<String>) {
        if self.failure.is_none() {
            self.failure = Some(Failure { cause, reason: frame::one_line(&reason.into(), frame::ERROR_BYTES_MAX) });
        }
        self.queue.clear();
    }

    /// The statement's outcome is known. Blocks that nobody took mean that the statement did not read to the end.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        if self.phase() != Phase::Done {
            self.fail(Cause::Source, "the statement ended before all rows were taken");
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the session is there for this transaction.
    pub(super) fn is_for(&self, xid: &str) -> bool {
        fail::fail_point!("gpfdist-xid", |_| true);
        let ours = self.scan.xid.as_deref().or(self.bound.as_ref().map(|bound| bound.xid.as_str()));
        ours.is_none_or(|ours| ours == xid)
    }

    /// Lets a segment in, or tells it why not. A second GET of one segment fails the session too: what its first
    /// connection got may be lost, and nobody could tell.
    pub(super) fn attach(&mut self, request: &Request) -> Result<ConnectionId, Refusal> {
        if !self.is_for(&request.xid) {
            return Err(foreign(&request.xid));
        }
        if let Some(failure) = &self.failure {
            return Err(Refusal::new(500, &failure.reason));
        }
        self.bind(request)?;
        let segment = request.segment;
        if self.has_begun(segment) {
            let reason = format!("segment {segment} asked for its rows twice: what it got first may be lost");
            self.fail(Cause::SecondGet { segment }, reason.as_str());
            return Err(Refusal::new(409, reason));
        }
        self.served_segments.entry(segment).or_default();
        let id = ConnectionId(self.connections_ever);
        self.connections_ever += 1;
        self.connections.insert(id, Connection { segment, closing: false });
        Ok(id)
    }

    /// The first scan seen is the scan; another under the same transaction must not share its rows.
    fn bind(&mut self, request: &Request) -> Result<(), Refusal> {
        let bound = self.bound.get_or_insert_with(|| Bound {
            xid: request.xid.clone(),
            cid: request.cid.clone(),
            sn: request.sn.clone(),
        });
        if bound.cid == request.cid && bound.sn == request.sn {
            return Ok(());
        }
        let reason = "the rows of this load go to one scan: the external table cannot be read a second time";
        self.refused = Some(reason.to_owned());
        Err(Refusal::new(409, reason))
    }

    fn has_begun(&self, segment: i32) -> bool {
        fail::fail_point!("gpfdist-second-get", |_| false);
        self.served_segments.contains_key(&segment)
    }

    /// The final `D` says "that was all", so it must be true.
    fn may_end(&self) -> bool {
        fail::fail_point!("gpfdist-final-d", |_| self.queue.is_empty());
        self.sealed && self.queue.is_empty()
    }

    /// What this connection sends next. After the end or the cause it is asked no more.
    pub(super) fn next(&mut self, id: ConnectionId) -> Next {
        let may_end = self.may_end();
        let Some(connection) = self.connections.get_mut(&id) else {
            return Next::Failed("this connection is closed".to_owned());
        };
        if let Some(failure) = &self.failure {
            connection.closing = true;
            return Next::Failed(failure.reason.clone());
        }
        if may_end {
            connection.closing = true;
            return Next::End;
        }
        let Some(block) = self.queue.pop_front() else { return Next::Wait };
        *self.served_segments.entry(connection.segment).or_default() += u64::from(block.rows);
        self.rows_sent += u64::from(block.rows);
        self.bytes_sent += block.bytes.len() as u64;
        Next::Block(block)
    }

    /// The connection is over. It is well only where its end has been handed out and `written` to the last byte.
    pub(super) fn detach(&mut self, id: ConnectionId, written: bool) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if !(connection.closing && written || self.may_be_left) {
            let segment = connection.segment;
            self.fail(
                Cause::SegmentCut { segment },
                format!("the connection of segment {segment} was cut before the end of its rows"),
            );
        }
    }
}

/// The refusal for a transaction that no session is there for.
pub(super) fn foreign(xid: &str) -> Refusal {
    Refusal::new(
        409,
        format!("transaction {xid} may not read this external table: only the gpkafka load behind it may"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::request::Protocol;
    use super::*;

    fn state() -> State {
        State::new(Scan { path: "/v1/j/all/t".to_owned(), xid: Some("7-1".to_owned()), file_prefix: "t".to_owned() })
    }

    fn get(segment: i32) -> Request {
        let [xid, cid, sn] = ["7-1", "1f", "0"].map(str::to_owned);
        Request { xid, cid, sn, segment, protocol: Protocol::Framed }
    }

    fn block(rows: u32) -> Block {
        Block { place: Place::Topic { partition: 0, first: 40 }, rows, bytes: Bytes::from("x\n".repeat(rows as usize)) }
    }

    fn reason(next: Next) -> String {
        match next {
            Next::Failed(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_scan_runs_from_open_to_done() {
        let mut state = state();
        let id = state.attach(&get(0)).unwrap();
        assert!(matches!(state.next(id), Next::Wait));
        state.push(block(3));
        state.push(block(4));
        state.seal();
        assert_eq!(state.phase(), Phase::Draining);
        assert!(matches!(state.next(id), Next::Block(Block { rows: 3, .. })));
        assert!(matches!(state.next(id), Next::Block(Block { rows: 4, .. })));
        assert_eq!(state.phase(), Phase::Done);
        assert!(matches!(state.next(id), Next::End));
        state.detach(id, true);
        state.finish();
        let status = state.status();
        assert_eq!((status.phase, status.connected, status.rows_sent, status.bytes_sent), (Phase::Done, 0, 7, 14));
        assert_eq!(status.served_segments, [(0, 7)].into());
    }

    #[test]
    fn a_late_segment_gets_an_empty_success() {
        let mut state = state();
        state.seal();
        for segment in 0..2 {
            let id = state.attach(&get(segment)).unwrap();
            assert!(matches!(state.next(id), Next::End));
            state.detach(id, true);
            state.finish();
        }
        assert_eq!(state.phase(), Phase::Done);
    }

    #[test]
    fn a_connection_that_ends_early_fails_it_and_the_others_learn_why() {
        // (messages taken, written to the last byte) of a session with one block
        for (taken, written) in [(0, true), (0, false), (1, true), (1, false), (2, false)] {
            let mut state = state();
            let [cut, other] = [0, 1].map(|segment| state.attach(&get(segment)).unwrap());
            state.push(block(1));
            state.seal();
            (0..taken).for_each(|_| drop(state.next(cut)));
            state.detach(cut, written);
            assert_eq!(state.failure().unwrap().cause, Cause::SegmentCut { segment: 0 }, "{taken} {written}");
            assert!(reason(state.next(other)).contains("segment 0 was cut"));
        }
    }

    #[test]
    fn of_one_that_may_be_left_the_others_get_the_rest() {
        let mut state = state().that_may_be_left();
        let [leaves, stays] = [0, 1].map(|segment| state.attach(&get(segment)).unwrap());
        state.push(block(1));
        state.push(block(2));
        state.seal();
        assert!(matches!(state.next(leaves), Next::Block(Block { rows: 1, .. })));
        state.detach(leaves, false);
        assert!(matches!(state.next(stays), Next::Block(Block { rows: 2, .. })));
        assert!(matches!(state.next(stays), Next::End));
        assert_eq!(state.attach(&get(0)).unwrap_err().status, 409);
    }

    #[test]
    fn a_second_get_of_a_segment_is_refused_and_fails_it() {
        for is_open in [true, false] {
            let mut state = state();
            let first = state.attach(&get(5)).unwrap();
            if !is_open {
                state.seal();
                assert!(matches!(state.next(first), Next::End));
                state.detach(first, true);
            }
            assert_eq!(state.attach(&get(5)).unwrap_err().status, 409);
            assert_eq!(state.failure().unwrap().cause, Cause::SecondGet { segment: 5 });
            assert_eq!(state.attach(&get(6)).unwrap_err().status, 500);
        }
    }

    #[test]
    fn strangers_are_refused_and_change_nothing() {
        let mut state = state();
        let before = state.status();
        let stranger = Request { xid: "7-2".to_owned(), ..get(0) };
        assert_eq!(state.attach(&stranger).unwrap_err().status, 409);
        assert_eq!(state.status(), before);
        state.attach(&get(0)).unwrap();
    }

    #[test]
    fn a_second_scan_of_the_transaction_is_refused_and_told() {
        let mut state = state();
        state.attach(&get(0)).unwrap();
        for other in [Request { sn: "1".to_owned(), ..get(1) }, Request { cid: "20".to_owned(), ..get(1) }] {
            assert_eq!(state.attach(&other).unwrap_err().status, 409);
        }
        assert!(state.status().refused.unwrap().contains("one scan"));
        assert_eq!(state.failure(), None);
        state.attach(&get(1)).unwrap();
    }

    #[test]
    fn without_a_known_transaction_the_first_seen_binds() {
        let mut state = State::new(Scan { xid: None, ..state().scan });
        assert!(state.is_for("7-1") && state.is_for("7-2"));
        state.attach(&get(0)).unwrap();
        assert!(state.is_for("7-1") && !state.is_for("7-2"));
    }

    #[test]
    fn the_first_cause_stays_and_what_waited_is_dropped() {
        let mut state = state();
        state.push(block(1));
        state.fail(Cause::Source, "topic\ngone");
        state.fail(Cause::Stopped, "stopping");
        state.push(block(1));
        let status = state.status();
        assert_eq!(status.failure.unwrap().to_string(), "topic gone");
        assert_eq!(status.blocks_waiting, 0);
    }

    #[test]
    fn a_statement_that_ends_early_or_a_block_that_comes_late_fails_it() {
        let mut early = state();
        early.push(block(1));
        early.seal();
        early.finish();
        assert!(early.failure().unwrap().reason.contains("before all rows were taken"));
        let mut late = state();
        late.seal();
        late.push(block(1));
        assert!(late.failure().unwrap().reason.contains("after the batch was sealed"));
    }

    #[test]
    fn a_block_without_rows_is_not_sent() {
        let mut state = state();
        let id = state.attach(&get(0)).unwrap();
        state.push(block(0));
        assert!(matches!(state.next(id), Next::Wait));
    }

    proptest! {
        /// Whatever the order of events: no row goes out twice, and an end is told only after all rows of a sealed,
        /// healthy session went out.
        #[test]
        fn an_end_means_that_everything_went_out(events in prop::collection::vec((0u8..7, 0i32..4), 1..80)) {
            let mut state = state();
            let mut open: BTreeMap<i32, ConnectionId> = BTreeMap::new();
            let (mut pushed, mut sent, mut sealed) = (0, 0, false);
            for (event, segment) in events {
                match (event, open.get(&segment).copied()) {
                    (0, _) if !sealed => {
                        state.push(block(1));
                        pushed += 1;
                    }
                    (1, _) => drop(state.attach(&get(segment)).map(|id| open.insert(segment, id))),
                    (2, _) if segment == 0 => {
                        state.seal();
                        sealed = true;
                    }
                    (3, Some(id)) => {
                        state.detach(id, false);
                        open.remove(&segment);
                    }
                    (_, Some(id)) => match state.next(id) {
                        Next::Block(_) => sent += 1,
                        Next::End => {
                            prop_assert!(sealed && sent == pushed && state.failure().is_none());
                            state.detach(id, true);
                            open.remove(&segment);
                        }
                        Next::Failed(_) => prop_assert!(state.failure().is_some()),
                        Next::Wait => prop_assert!(!sealed && sent == pushed),
                    },
                    _ => {}
                }
                prop_assert_eq!(state.status().rows_sent, sent);
                prop_assert!(state.status().served_segments.values().sum::<u64>() == sent);
            }
        }
    }
}
