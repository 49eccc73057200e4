//! The limits of scans that nobody has announced, each made small enough to be met. A source in memory stands for files,
//! but where the limit is one of reading a file.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gpkafka::gpfdist::{Asked, Feed, ScanLimits, Server, Settings, Source};
use gpkafka::job::threads;
use gpkafka::metrics::Metrics;
use gpkafka::service::files::Files;

use crate::gpfdist_peer::{Answer, Get, Host, Peer, SOON};
use crate::harness::{User, directory, wait_until};

/// Longer than any run of the tests.
const NEVER: Duration = Duration::from_secs(3600);

/// What sockets cannot hold many of.
const ROW_BYTES: usize = 64 << 10;

/// Scans of so many rows each.
#[derive(Debug)]
struct Memory {
    rows: i64,
}

impl Source for Memory {
    fn open(&self, _asked: Asked, feed: Feed) {
        let rows = self.rows;
        drop(threads::apart("scan", move || {
            feed.opened();
            let (name, row) = ("rows".into(), Bytes::from("x".repeat(ROW_BYTES - 1) + "\n"));
            for at in 0..rows {
                if !feed.wait_for_room(4) {
                    return;
                }
                feed.push(&name, at, at + 1, 1, row.clone());
            }
            feed.end();
        }));
    }
}

const ENDLESS: Memory = Memory { rows: i64::MAX };
const ONE_ROW: Memory = Memory { rows: 1 };

fn serve(source: impl Source + 'static, change: impl FnOnce(&mut ScanLimits)) -> Host {
    let metrics = Metrics::default();
    let mut settings = Settings { bind: Ipv4Addr::LOCALHOST.into(), port: 0, ..Settings::default() };
    change(&mut settings.scans);
    let server = Server::serve(&settings, &metrics, Arc::new(source)).unwrap();
    Host { server, metrics }
}

/// One of the two segments asks for a scan.
fn ask(host: &Host, path: &str, segment: i32) -> Peer {
    host.ask(&Get { path, segment, ..Get::default() }.text())
}

/// A segment that has got some rows.
fn reads(host: &Host, path: &str, segment: i32) -> Peer {
    let mut peer = ask(host, path, segment);
    peer.wait_for("rows", |answer| answer.body.len() > ROW_BYTES);
    peer
}

/// Rows that a segment gets up to the end of the scan.
fn rows(host: &Host, path: &str, segment: i32) -> usize {
    ask(host, path, segment).finish().expect_success().rows().len()
}

fn wait_for_sessions(host: &Host, wanted: usize) {
    wait_until(SOON, &format!("{wanted} scans to be open"), || host.server.sessions() == wanted);
}

fn expect_status(answer: &Answer, words: &str) {
    assert!(answer.status_line().contains(words), "{words}: {}", answer.head);
}

#[test]
fn no_more_scans_are_open_at_once_than_may_be() {
    let host = serve(ENDLESS, |limits| limits.open_max = 2);
    let (a, _b) = (reads(&host, "/a", 0), reads(&host, "/b", 0));
    let refused = ask(&host, "/c", 0).wait_for("a status", |answer| !answer.head.is_empty());
    expect_status(&refused, "503 2 scans are open: try again when some have ended");
    // one more segment is no scan more
    let other = reads(&host, "/a", 1);
    drop((a, other));
    wait_for_sessions(&host, 1);
    reads(&host, "/c", 0);
}

#[test]
fn a_scan_that_is_over_is_remembered_for_so_long() {
    for (late, expected) in [(NEVER, 0), (Duration::ZERO, 1)] {
        let host = serve(ONE_ROW, |limits| (limits.soon, limits.late) = (Duration::ZERO, late));
        assert_eq!(rows(&host, "/a", 0), 1);
        wait_for_sessions(&host, 0);
        assert_eq!(rows(&host, "/a", 1), expected, "{late:?}");
    }
}

#[test]
fn so_many_scans_that_are_over_are_remembered() {
    let host = serve(ONE_ROW, |limits| (limits.soon, limits.over_max) = (Duration::ZERO, 1));
    for path in ["/a", "/b"] {
        assert_eq!(rows(&host, path, 0), 1);
        wait_for_sessions(&host, 0);
    }
    assert_eq!(rows(&host, "/b", 1), 0, "the newer one is known");
    assert_eq!(rows(&host, "/a", 1), 1, "the older one is forgotten");
}

#[test]
fn a_scan_that_everyone_has_left_waits_for_so_long() {
    let briefly = Duration::from_millis(50);
    let host = serve(ENDLESS, |limits| (limits.left, limits.look) = (briefly, briefly));
    drop(reads(&host, "/a", 0));
    wait_for_sessions(&host, 0);
    expect_status(&ask(&host, "/a", 1).finish(), "500 every segment that read this file has left it before its end");
}

#[test]
fn a_scan_that_is_read_waits_for_the_others_for_so_long() {
    let host = serve(ONE_ROW, |limits| limits.soon = NEVER);
    assert_eq!(rows(&host, "/a", 0), 1);
    assert_eq!(host.server.sessions(), 1);
    assert_eq!(rows(&host, "/a", 1), 0);
    wait_for_sessions(&host, 0);
    let host = serve(ONE_ROW, |limits| limits.soon = Duration::from_millis(50));
    assert_eq!(rows(&host, "/a", 0), 1);
    wait_for_sessions(&host, 0);
}

#[test]
fn who_does_not_close_is_left_behind() {
    let host = Host::start_with(|settings| settings.linger = Duration::from_millis(50));
    let session = host.open();
    session.seal();
    let mut peer = host.get(0);
    peer.finish().expect_success();
    // what comes after the server has gone is answered with a reset
    wait_until(SOON, "the server to go", || peer.stream.write_all(b"still here").is_err());
}

#[test]
fn a_row_has_a_longest() {
    let dir = directory("serve", User::current());
    let files = Files::under(&dir).unwrap().with_row_bytes_max(1 << 20);
    let host = serve(files, |_| ());
    for (name, bytes) in [("short.txt", 600 << 10), ("long.txt", 3 << 20)] {
        std::fs::write(dir.join(name), format!("a\n{}\nb\n", "x".repeat(bytes))).unwrap();
    }
    assert_eq!(rows(&host, "/short.txt", 0), 3);
    let answer = ask(&host, "/long.txt", 0).finish();
    let path = dir.canonicalize().unwrap().join("long.txt");
    let expected = format!("line too long in file {} near (2 bytes)", path.display());
    assert_eq!(answer.error(), expected);
}
