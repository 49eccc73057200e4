//! How the server runs: where it listens, how long it waits, how many threads it has. Config fills it in.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::tls::Tls;

/// How the server runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address to listen at. `::` takes IPv4 too, and IPv4 alone where the machine has no IPv6.
    pub bind: IpAddr,
    /// 0: any free one.
    pub port: u16,
    /// The user named the port: taken, it is an error. Otherwise the next free one above is used.
    pub port_is_asked: bool,
    /// Pause after which an idle connection gets an `O`.
    pub heartbeat: Duration,
    /// Time for a request's head to arrive, and for a handshake before it.
    pub head_timeout: Duration,
    /// How long a session answers late segments after its statement's outcome is known, and how long connections may
    /// take to learn it.
    pub grace: Duration,
    /// Connections that may wait to be accepted: all segments of all loads come in one burst and none tries again.
    pub backlog: i32,
    /// How long a peer may take to close after the last byte. Closing at once could reset the connection under that byte.
    pub linger: Duration,
    /// Connections that are no segment's, at once; each may make us keep a head of 64 KiB.
    pub guests_max: usize,
    /// Threads that move bytes to sockets.
    pub threads: usize,
    /// Of scans that nobody has announced.
    pub scans: ScanLimits,
    /// With it segments are to call `gpfdists://`, and nobody is served without.
    pub tls: Option<Tls>,
}

/// How many scans that nobody has announced may be, and how long.
#[derive(Debug, Clone)]
pub struct ScanLimits {
    /// Scans that may be open at once: each has a thread, an open file and some blocks.
    pub open_max: usize,
    /// How long a scan that is over waits for segments that have never come. One may be held up for long by another part
    /// of its statement; after this it would read everything again.
    pub late: Duration,
    /// Scans that are over and remembered, of a few hundred bytes each.
    pub over_max: usize,
    /// How long a scan waits for somebody to go on when everyone who came has left before its end.
    pub left: Duration,
    /// How long a scan that has been read stays as it is for the segments that have not come yet. Mostly all come at once,
    /// and then nothing of it needs to be remembered.
    pub soon: Duration,
    /// How often the end of a scan is looked for where nothing tells of it.
    pub look: Duration,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            open_max: 1000,
            late: Duration::from_secs(3600),
            over_max: 10_000,
            left: Duration::from_secs(60),
            soon: Duration::from_secs(5),
            look: Duration::from_secs(5),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: Ipv6Addr::UNSPECIFIED.into(),
            port: 8080,
            port_is_asked: false,
            heartbeat: Duration::from_secs(1),
            head_timeout: Duration::from_secs(10),
            grace: Duration::from_secs(60),
            backlog: 1024,
            linger: Duration::from_secs(30),
            guests_max: 2048,
            threads: 2,
            scans: ScanLimits::default(),
            tls: None,
        }
    }
}
