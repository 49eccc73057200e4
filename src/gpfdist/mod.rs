//! Row blocks out to segments: a server that Greenplum reads through `gpfdist://` or `gpfdists://`, and a client that reads as a segment
//! does. Blocks come from job, rows go to sockets; what the rows mean, and when they are committed, is for others.
//!
//! - [`Server`] listens and answers; [`Session`] is one scan of one transaction, fed by push, closed by seal.
//! - [`Source`] is where scans come from that no load has announced: a server started with one has each opened by the
//!   first segment that asks, for `gpkafka serve`.
//! - `request`, `declared`, `frame` and `session` are pure: no I/O, no clock. `server` and `body` alone name hyper.
//! - `simulated` is a session without its server, for the simulation of a job.
//! - [`Tls`] is what the server shows and demands over TLS; `secured` is a connection with it. What is served is the same.
//! - [`client`] is the other end: `gpkafka segment`, PostgreSQL's stand-in for a segment, and the tests.
//!
//! The rules that keep a load exact, each with the test that goes red without it (`integration/gpfdist_sessions.rs`):
//!
//! | rule | fail point that takes it out |
//! |---|---|
//! | a segment gets rows on one connection only; a second GET is refused and fails the session | `gpfdist-second-get` |
//! | the final `D` needs a sealed session with every block handed out | `gpfdist-final-d` |
//! | only the transaction that the session was opened for may read | `gpfdist-xid` |

mod body;
mod declared;
mod guests;
mod handle;
mod listen;
mod request;
mod scans;
mod secured;
mod server;
mod session;
mod settings;
#[cfg(test)]
pub mod simulated;
mod socket;
mod tls;

pub mod client;
pub mod frame;

pub use declared::{Declared, Quoting};
pub use handle::Session;
pub use listen::Error;
pub use request::check as check_request;
pub use scans::{Asked, Feed, Source};
pub use server::Server;
pub use session::{Cause, Failure, Phase, Scan, Status};
pub use settings::{ScanLimits, Settings};
pub use tls::{Tls, TlsError, TlsFiles, TlsVersion};
