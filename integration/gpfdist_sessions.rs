//! What keeps a load exact between the first GET and the last byte: who gets rows, when the end is told, and what becomes
//! of a scan that something happened to. Raw sockets; the rules' fail points are named at their tests.

use std::time::Duration;

use gpkafka::block::under_permit;
use gpkafka::budget::Budget;
use gpkafka::gpfdist::client::{self, Options};
use gpkafka::gpfdist::{Cause, Phase, Session};

use crate::gpfdist_peer::{End, Get, Host, PATH, Peer, SOON, XID, expected, index, push};
use crate::harness::wait_until;

fn failure(session: &Session) -> Cause {
    wait_until(SOON, "the session to fail", || session.failure().is_some());
    session.failure().unwrap().cause
}

/// Asserts that a connection ended with the failure's cause and without an end.
fn expect_told(peer: &mut Peer, cause: &str) {
    let answer = peer.finish();
    assert!(answer.error().contains(cause), "{answer:?}");
    assert!(!answer.has_end(), "{answer:?}");
}

#[test]
fn segments_share_the_rows_and_each_is_told_the_end() {
    let host = Host::start();
    let session = host.open();
    let mut peers: Vec<_> = (0..5).map(|segment| host.get(segment)).collect();
    wait_until(SOON, "all segments to be in", || session.status().connected == 5);
    for block in 0..200 {
        push(&session, 0, block * 10, 10);
    }
    session.seal();
    let mut rows: Vec<_> = peers.iter_mut().flat_map(|peer| peer.finish().expect_success().rows()).collect();
    rows.sort();
    assert_eq!(rows, expected(0, 0..2000));
    session.finish();
    let status = session.status();
    assert_eq!((status.phase, status.rows_sent, status.served_segments.len()), (Phase::Done, 2000, 5));
    assert_eq!(status.served_segments.values().sum::<u64>(), 2000);
    assert_eq!(host.metrics.rows_sent.get(), 2000);
    wait_until(SOON, "all to be gone", || host.metrics.segments_connected.get() == 0);
}

/// As blocks come one by one, segments that wait get them in turn: one partition feeds all.
#[test]
fn waiting_segments_take_turns() {
    let host = Host::start();
    let session = host.open();
    let mut peers: Vec<_> = (0..3).map(|segment| host.get(segment)).collect();
    for peer in &mut peers {
        peer.wait_for("a heartbeat", |answer| answer.count('O') > 0);
    }
    for block in 0..90 {
        push(&session, 0, block, 1);
        wait_until(SOON, "the block to be taken", || session.status().blocks_waiting == 0);
    }
    session.seal();
    for peer in &mut peers {
        peer.finish().expect_success();
    }
    let served = session.status().served_segments;
    assert!(served.values().all(|&rows| (18..=45).contains(&rows)), "{served:?}");
}

#[test]
fn a_segment_that_comes_alone_gets_everything() {
    let host = Host::start();
    let session = host.open();
    (0..50).for_each(|block| push(&session, 0, block * 10, 10));
    session.seal();
    assert_eq!(host.get(3).finish().expect_success().rows().len(), 500);
}

#[test]
fn a_late_segment_gets_an_empty_success_at_once() {
    let host = Host::start_with(|settings| settings.grace = SOON);
    let session = host.open();
    push(&session, 0, 0, 3);
    session.seal();
    host.get(0).finish().expect_success();
    assert!(host.get(1).finish().expect_success().rows().is_empty());
    session.finish();
    let answer = host.get(2).finish();
    assert!(answer.head.contains("\r\nX-GP-PROTO: 1\r\n"));
    assert_eq!(answer.body, b"D\0\0\0\0");
    assert_eq!(session.failure(), None);
}

#[test]
fn a_segment_later_than_the_grace_period_is_refused() {
    let host = Host::start_with(|settings| settings.grace = Duration::ZERO);
    let session = host.open();
    session.seal();
    session.finish();
    wait_until(SOON, "the tombstone to go", || host.server.sessions() == 0);
    assert_eq!(host.get(0).finish().code(), 409);
}

/// Without the rule (`gpfdist-xid`) the stranger is answered 200 and takes rows that the load then misses.
#[test]
fn only_the_transaction_that_the_session_is_for_may_read() {
    let host = Host::start();
    let session = host.open();
    push(&session, 0, 0, 10);
    session.seal();
    for xid in ["6-0000000007", "1795366663-0000000024", "1795366663-000000002"] {
        let answer = host.ask(&Get { xid, ..Get::default() }.text()).finish();
        let line = answer.status_line();
        assert!(line.starts_with("HTTP/1.1 409 ") && line.contains(xid) && line.contains("gpkafka"), "{line}");
    }
    assert_eq!(session.status().rows_sent, 0);
    assert_eq!(host.get(0).finish().expect_success().rows(), expected(0, 0..10));
    assert_eq!(session.failure(), None);
}

#[test]
fn two_loads_over_one_external_table_do_not_mix() {
    let host = Host::start();
    let other = "1795366663-0000000099";
    let sessions = [(XID, host.open()), (other, host.open_for(other))];
    for (partition, (_, session)) in (0..).zip(&sessions) {
        push(session, partition, 0, 10);
        session.seal();
    }
    for (partition, (xid, _)) in (0..).zip(&sessions) {
        let answer = host.ask(&Get { xid, ..Get::default() }.text()).finish();
        assert_eq!(answer.expect_success().rows(), expected(partition, 0..10));
    }
}

#[test]
fn a_table_joined_with_itself_is_refused_not_split() {
    let host = Host::start();
    let session = host.open();
    let mut first = host.get(0);
    first.wait_for("the answer", |answer| answer.code() == 200);
    for other in [Get { sn: "1", ..Get::default() }, Get { cid: "8", ..Get::default() }] {
        let answer = host.ask(&Get { segment: 1, ..other }.text()).finish();
        assert!(answer.status_line().contains(" 409 the rows of this load go to one scan"), "{}", answer.head);
    }
    push(&session, 0, 0, 10);
    session.seal();
    assert_eq!(first.finish().expect_success().rows(), expected(0, 0..10));
    assert!(session.status().refused.is_some());
}

#[test]
fn a_path_without_a_session_is_refused_with_the_reason() {
    let host = Host::start();
    let line = host.get(0).finish().status_line().to_owned();
    assert!(line.contains(" 409 ") && line.contains("only the gpkafka load behind it"), "{line}");
    host.server.forget_path(PATH);
    assert_eq!(host.get(0).finish().code(), 404);
}

/// Without the rule (`gpfdist-second-get`) the second GET is answered 200 and the session ends well, though what the first
/// connection got went nowhere.
#[test]
fn a_second_get_of_a_segment_is_refused_and_fails_the_session() {
    for has_rows in [false, true] {
        let host = Host::start();
        let session = host.open();
        let mut peers = [host.get(0), host.get(1)];
        for (block, peer) in (0..).zip(&mut peers) {
            peer.wait_for("a heartbeat", |answer| answer.count('O') > 0);
            if has_rows {
                push(&session, 0, block, 1);
            }
        }
        let line = host.get(0).finish().status_line().to_owned();
        assert!(line.contains(" 409 ") && line.contains("segment 0 asked for its rows twice"), "{line}");
        assert_eq!(failure(&session), Cause::SecondGet { segment: 0 });
        peers.iter_mut().for_each(|peer| expect_told(peer, "asked for its rows twice"));
    }
}

#[test]
fn a_second_get_after_the_end_fails_the_session_too() {
    let host = Host::start();
    let session = host.open();
    push(&session, 0, 0, 1);
    session.seal();
    host.get(0).finish().expect_success();
    assert_eq!(host.get(0).finish().code(), 409);
    assert_eq!(failure(&session), Cause::SecondGet { segment: 0 });
}

#[test]
fn a_segment_that_goes_away_fails_the_session() {
    for by_reset in [true, false] {
        let host = Host::start();
        let session = host.open();
        let mut leaver = host.get(0);
        push(&session, 0, 0, 10);
        leaver.wait_for("rows", |answer| answer.rows().len() == 10);
        let mut other = host.get(1);
        other.wait_for("the answer", |answer| answer.code() == 200);
        if by_reset {
            leaver.reset()
        } else {
            drop(leaver)
        }
        assert_eq!(failure(&session), Cause::SegmentCut { segment: 0 }, "reset: {by_reset}");
        session.seal();
        expect_told(&mut other, "connection of segment 0 was cut");
        assert!(host.get(2).finish().status_line().contains(" 500 the connection of segment 0 was cut"));
    }
}

#[test]
fn a_segment_that_goes_away_in_the_middle_of_a_block_fails_the_session() {
    let host = Host::start();
    let session = host.open();
    let mut leaver = host.get(0);
    // more than the sockets' buffers hold
    let large = format!("{}\n", "x".repeat(64 << 20));
    session.push(&index(0, 0, 1), large.into());
    session.seal();
    leaver.wait_for("the block's beginning", |answer| answer.body.len() > 100_000);
    leaver.reset();
    assert_eq!(failure(&session), Cause::SegmentCut { segment: 0 });
}

/// Without the rule (`gpfdist-final-d`) the end arrives as soon as the queue is empty, and what is pushed later is lost.
#[test]
fn the_end_is_told_only_when_sealed_and_drained() {
    let host = Host::start();
    let session = host.open();
    let mut peer = host.get(0);
    push(&session, 0, 0, 5);
    let answer = peer.wait_for("rows and some heartbeats", |answer| answer.rows().len() == 5 && answer.count('O') > 4);
    assert!(!answer.has_end());
    push(&session, 0, 5, 5);
    session.seal();
    let mut rows = peer.finish().expect_success().rows();
    rows.sort();
    assert_eq!(rows, expected(0, 0..10));
}

#[test]
fn an_idle_scan_is_kept_alive_without_harm_to_its_rows() {
    let host = Host::start();
    let session = host.open();
    let mut peer = host.get(0);
    let mut bare = host.ask(&Get { segment: 1, proto: "0", ..Get::default() }.text());
    bare.wait_for("the head", |answer| answer.code() == 200);
    let idle = peer.wait_for("heartbeats", |answer| answer.count('O') >= 3);
    assert!(idle.messages().0.iter().all(|&message| message == ('O', &[0; 8][..])), "{idle:?}");
    for block in 0..20 {
        push(&session, 0, block * 10, 10);
        let before = peer.answer().count('O');
        peer.wait_for("a heartbeat", |answer| answer.count('O') > before);
    }
    session.seal();
    let (framed, bare) = (peer.finish(), bare.finish());
    let mut rows = framed.expect_success().rows();
    rows.extend(str::from_utf8(&bare.body).unwrap().lines().map(str::to_owned));
    rows.sort();
    assert_eq!(rows, expected(0, 0..200));
}

/// A segment that stops reading holds what it has taken and no more; the rest waits under the budget, and nothing is lost.
#[test]
fn a_segment_may_stop_reading_and_go_on() {
    const BLOCK_BYTES: usize = 64 * 1024;
    let blocks: i64 = 1000;
    let host = Host::start();
    let session = host.open();
    let budget = Budget::new(20 * BLOCK_BYTES);
    let row = |block: i64| format!("{block:0width$}\n", width = BLOCK_BYTES - 1);
    let feed = |blocks: &mut dyn Iterator<Item = i64>, wait| {
        for block in blocks {
            let Some(permit) = budget.acquire(BLOCK_BYTES, wait) else { return block };
            session.push(&index(0, block, 1), under_permit(row(block).into(), permit));
        }
        -1
    };
    let mut peer = host.get(0);
    peer.wait_for("the answer", |answer| answer.code() == 200);
    // the socket's buffers fill, then the queue, then the budget: only then no permit is had for so long
    let stuck_at = feed(&mut (0..blocks), Duration::from_secs(1));
    assert!((20..blocks - 20).contains(&stuck_at), "stuck at block {stuck_at}");
    assert!(budget.used() <= budget.bytes_max());
    assert_eq!(session.failure(), None);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(feed(&mut (stuck_at..blocks), SOON), -1);
            session.seal();
        });
        let mut got = host.get(1).finish().expect_success().rows();
        got.extend(peer.finish().expect_success().rows());
        got.sort();
        assert!(got.iter().map(|row| row.parse::<i64>().unwrap()).eq(0..blocks));
    });
    wait_until(SOON, "all permits to return", || budget.used() == 0);
}

/// Segments that hang for good would otherwise keep some of the memory budget of every batch that failed by them.
#[test]
fn a_stuck_segment_is_cut_when_its_statement_is_long_over() {
    let host = Host::start_with(|settings| settings.grace = Duration::from_millis(100));
    let session = host.open();
    let budget = Budget::new(64 << 20);
    let row = format!("{}\n", "x".repeat((64 << 20) - 1));
    session.push(&index(0, 0, 1), under_permit(row.into(), budget.try_acquire(64 << 20).unwrap()));
    let mut stuck = host.get(0);
    stuck.wait_for("the block's beginning", |answer| answer.body.len() > 100_000);
    session.fail("the statement was cancelled");
    assert_ne!(budget.used(), 0);
    session.finish();
    wait_until(SOON, "the permit to return", || budget.used() == 0);
    let answer = stuck.finish();
    assert_eq!((stuck.end, answer.is_complete), (Some(End::Reset), false));
}

#[test]
fn a_failed_source_is_told_to_everyone_once() {
    let host = Host::start();
    let session = host.open();
    let mut peers: Vec<_> = (0..4).map(|segment| host.get(segment)).collect();
    push(&session, 0, 0, 10);
    for peer in &mut peers {
        peer.wait_for("a heartbeat", |answer| answer.count('O') > 0);
    }
    session.fail("partition 3 of topic orders: offset 120 is gone\nfrom the broker");
    push(&session, 0, 10, 10);
    session.seal();
    for peer in &mut peers {
        expect_told(peer, "offset 120 is gone from the broker");
    }
    let line = host.get(9).finish().status_line().to_owned();
    assert!(line.ends_with(" 500 partition 3 of topic orders: offset 120 is gone from the broker"), "{line}");
    assert_eq!(session.failure().unwrap().cause, Cause::Source);
}

#[test]
fn a_handle_dropped_before_the_end_fails_the_session() {
    let host = Host::start();
    let session = host.open();
    let clone = session.clone();
    let mut peer = host.get(0);
    push(&session, 0, 0, 10);
    peer.wait_for("rows", |answer| answer.rows().len() == 10);
    drop(session);
    assert_eq!(clone.failure(), None);
    drop(clone);
    expect_told(&mut peer, "given up");
}

#[test]
fn a_server_that_stops_never_tells_an_end_of_what_is_not_all() {
    let host = Host::start();
    let session = host.open();
    let mut reader = host.get(0);
    push(&session, 0, 0, 10);
    reader.wait_for("rows", |answer| answer.rows().len() == 10);
    let mut stuck = host.get(1);
    let mut bare = host.ask(&Get { segment: 2, proto: "0", version: "1.0", ..Get::default() }.text());
    wait_until(SOON, "all to be in", || session.status().connected == 3);
    let large = format!("{}\n", "x".repeat(64 << 20));
    for block in 0..3 {
        session.push(&index(0, 10 + block, 1), large.clone().into());
    }
    session.seal();
    stuck.wait_for("the head", |answer| answer.code() == 200);
    bare.wait_for("the head", |answer| answer.code() == 200);
    drop(host);
    assert_eq!(session.failure().unwrap().cause, Cause::Stopped);
    for mut peer in [reader, stuck] {
        let answer = peer.finish();
        assert!(!answer.has_end() && answer.is_complete == (answer.count('E') == 1), "{:?} {}", peer.end, answer.head);
    }
    bare.finish();
    assert_eq!(bare.end, Some(End::Reset));
}

#[test]
fn a_thousand_sessions_leave_nothing_behind() {
    let host = Host::start_with(|settings| settings.grace = Duration::from_millis(10));
    for load in 0..1000i64 {
        let xid = format!("1-{load:010}");
        let session = host.open_for(&xid);
        push(&session, 0, load, 1);
        session.seal();
        let options = Options { xid, discard: true, ..Options::new(host.url()) };
        assert_eq!(client::fetch(&options, &mut Vec::new()).unwrap().rows, 1);
        session.finish();
        assert_eq!(session.failure(), None);
    }
    wait_until(SOON, "the tombstones to go", || host.server.sessions() == 0);
    wait_until(SOON, "the connections to go", || host.metrics.segments_connected.get() == 0);
    wait_until(SOON, "the sockets to go", || open_sockets(host.server.port()) == 0);
}

/// Connections of a local port that some process still holds.
fn open_sockets(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().unwrap_or_default().ends_with(&format!(":{port:04X}"));
        // ESTABLISHED, CLOSE_WAIT
        local && matches!(words.nth(1), Some("01" | "08"))
    };
    table.lines().filter(is_open).count()
}

/// A segment closes on the final message, perhaps with the transfer encoding's last bytes unread: that is no cut.
#[test]
fn a_segment_may_close_on_the_final_message() {
    for _ in 0..50 {
        let host = Host::start();
        let session = host.open();
        push(&session, 0, 0, 3);
        let mut peer = host.get(0);
        session.seal();
        peer.wait_for("the end", |answer| answer.has_end());
        assert_ne!(peer.end, Some(End::Reset));
        drop(peer);
        wait_until(SOON, "the connection to go", || session.status().connected == 0);
        assert_eq!(session.failure(), None);
    }
}
