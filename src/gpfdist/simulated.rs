//! A session for the simulation of a job: the real state machine, without its lock, its server and its sockets. Who
//! plays the segments asks it what a connection would be answered.

use bytes::Bytes;

use super::request::{Protocol, Request};
use super::session::{self, Block, Cause, ConnectionId, Failure, Next, Place, Scan, State};
use crate::block::BlockIndex;

/// One scan of one transaction.
#[derive(Debug)]
pub struct SimulatedSession(State);

/// A segment's connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection(ConnectionId);

/// What a connection is given.
#[derive(Debug)]
pub enum Given {
    Block { partition: i32, first: i64, bytes: Bytes },
    End,
    Failed(String),
    Wait,
}

impl SimulatedSession {
    pub fn open(xid: &str) -> Self {
        let scan = Scan { path: "/v1/simulated".to_owned(), xid: Some(xid.to_owned()), file_prefix: "t".to_owned() };
        Self(State::new(scan))
    }

    /// As [`super::Session::push`].
    pub fn push(&mut self, index: &BlockIndex, bytes: Bytes) {
        let place = Place::Topic { partition: index.partition, first: index.span.first() };
        self.0.push(Block { place, rows: index.rows, bytes });
    }

    pub fn seal(&mut self) {
        self.0.seal();
    }

    pub fn fail(&mut self, reason: &str) {
        self.0.fail(Cause::Source, reason);
    }

    pub fn finish(&mut self) {
        self.0.finish();
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.0.failure()
    }

    /// A GET, as the server takes it: into the session that is there for its transaction, where there is one.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn attach(&mut self, segment: i32, xid: &str) -> Result<Connection, String> {
        if !self.0.is_for(xid) {
            return Err(session::foreign(xid).reason);
        }
        let [xid, cid, sn] = [xid, "1", "0"].map(str::to_owned);
        let request = Request { xid, cid, sn, segment, protocol: Protocol::Framed };
        self.0.attach(&request).map(Connection).map_err(|refusal| refusal.reason)
    }

    pub fn next(&mut self, connection: Connection) -> Given {
        match self.0.next(connection.0) {
            Next::Block(Block { place: Place::Topic { partition, first }, bytes, .. }) => {
                Given::Block { partition, first, bytes }
            }
            Next::Block(block) => Given::Failed(format!("{} is of no topic", block.place)),
            Next::End => Given::End,
            Next::Failed(reason) => Given::Failed(reason),
            Next::Wait => Given::Wait,
        }
    }

    /// The connection is over; `written`: all that it was given has left.
    pub fn detach(&mut self, connection: Connection, written: bool) {
        self.0.detach(connection.0, written);
    }
}
