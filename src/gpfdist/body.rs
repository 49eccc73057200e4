//! What an answer's body is, as hyper asks for it: the rows of one connection, or a short text. `server` makes them;
//! what comes next is decided in `session`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use fail::fail_point;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::frame;
use super::handle::{Attached, Shared};
use super::request::Protocol;
use super::session::{ConnectionId, Next};
use crate::metrics::Seconds;

/// A response's body.
pub(super) enum Answer {
    /// A short text, until it is taken.
    Text(Option<Bytes>),
    Rows(Rows),
}

/// The rows of one connection, as hyper asks for them.
pub(super) struct Rows {
    shared: Arc<Shared>,
    id: ConnectionId,
    protocol: Protocol,
    file_prefix: String,
    heartbeat: Duration,
    alarm: Pin<Box<Sleep>>,
    /// Whether the alarm counts from the last message.
    alarm_is_set: bool,
    ended: bool,
    /// Since when it waits for rows, or for the peer to take the last ones.
    since: Instant,
    waits_for_rows: bool,
    seconds: Seconds,
}

/// Ends a protocol 0 body without an end: the connection is reset.
#[derive(Debug, thiserror::Error)]
#[error("the session failed, and protocol 0 has no words for it")]
pub(super) struct Aborted;

/// A message, and the rows that follow it uncopied.
pub(super) type Message = Chain<Bytes, Bytes>;

impl Rows {
    pub(super) fn new(attached: &Attached, protocol: Protocol, heartbeat: Duration, seconds: Seconds) -> Self {
        Self {
            file_prefix: attached.shared.file_prefix(),
            shared: Arc::clone(&attached.shared),
            id: attached.id,
            protocol,
            heartbeat,
            alarm: Box::pin(tokio::time::sleep(heartbeat)),
            alarm_is_set: true,
            ended: false,
            since: Instant::now(),
            waits_for_rows: true,
            seconds,
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, Aborted>>> {
        self.count_time();
        if self.ended {
            return Poll::Ready(None);
        }
        self.waits_for_rows = true;
        let Poll::Ready(next) = self.shared.poll_next(self.id, context) else {
            ready!(self.poll_heartbeat(context));
            self.shared.leave_line(self.id);
            return Poll::Ready(Some(Ok(frame::heartbeat().chain(Bytes::new()))));
        };
        self.count_time();
        self.waits_for_rows = false;
        self.alarm_is_set = false;
        self.ended = !matches!(next, Next::Block(_));
        if matches!(next, Next::End) {
            fail_point!("segment-ends");
        }
        Poll::Ready(match (self.protocol, next) {
            (Protocol::Framed, Next::Block(block)) => Some(Ok(block.head(&self.file_prefix).chain(block.bytes))),
            (Protocol::Raw, Next::Block(block)) => Some(Ok(Bytes::new().chain(block.bytes))),
            (Protocol::Framed, Next::End) => Some(Ok(frame::end().chain(Bytes::new()))),
            (Protocol::Raw, Next::End) => None,
            (Protocol::Framed, Next::Failed(reason)) => Some(Ok(frame::error(&reason).chain(Bytes::new()))),
            (Protocol::Raw, Next::Failed(_)) => Some(Err(Aborted)),
            (_, Next::Wait) => unreachable!("a connection that waits is pending"),
        })
    }

    /// Counts the time since the last look: hyper asks for the next message once the peer, or the kernel for it, has taken
    /// the last one.
    fn count_time(&mut self) {
        let spent =
            if self.waits_for_rows { &self.seconds.segment_waits_for_rows } else { &self.seconds.segment_taking };
        spent.inc_by(self.since.elapsed().as_secs_f64());
        self.since = Instant::now();
    }

    /// Ready when a message should be sent just to send one. Protocol 0 has none.
    fn poll_heartbeat(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.protocol == Protocol::Raw {
            return Poll::Pending;
        }
        if !self.alarm_is_set {
            self.alarm.as_mut().reset(tokio::time::Instant::now() + self.heartbeat);
            self.alarm_is_set = true;
        }
        ready!(self.alarm.as_mut().poll(context));
        self.alarm_is_set = false;
        Poll::Ready(())
    }
}

impl Body for Answer {
    type Data = Message;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Message>, Aborted>>> {
        let message = match &mut *self {
            Self::Text(text) => text.take().map(|text| Ok(text.chain(Bytes::new()))),
            Self::Rows(rows) => ready!(rows.poll_message(context)),
        };
        Poll::Ready(message.map(|message| message.map(Frame::data)))
    }

    /// True right after the last message, so that hyper writes it and the end of the body in one go.
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Rows(rows) => rows.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Rows(_) => SizeHint::default(),
        }
    }
}
