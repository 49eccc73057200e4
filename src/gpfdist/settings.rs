//! How the server runs: where it listens, how long it waits, how many threads it has. Config fills it in.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

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
    /// Time for a request's head to arrive.
    pub head_timeout: Duration,
    /// How long a session answers late segments after its statement's outcome is known, and how long connections may
    /// take to learn it.
    pub grace: Duration,
    /// Connections that may wait to be accepted: all segments of all loads come in one burst and none tries again.
    pub backlog: i32,
    /// Threads that move bytes to sockets.
    pub threads: usize,
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
            threads: 2,
        }
    }
}
