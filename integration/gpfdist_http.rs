//! What a segment sees of HTTP: heads, spelling, messages, refusals, time limits. Raw bytes over sockets.

use std::time::Instant;

use crate::gpfdist_peer::{End, Get, HEAD_TIMEOUT, Host, PATH, Peer, SOON, XID, expected, push};
use crate::harness::wait_until;

/// A started server with a sealed session of three rows, so that any good request is answered to its end.
fn host_with_rows() -> (Host, gpkafka::gpfdist::Session) {
    let host = Host::start();
    let session = host.open();
    push(&session, 3, 100, 3);
    session.seal();
    (host, session)
}

#[test]
fn the_protocol_header_is_spelled_as_greenplum_compares_it() {
    for spelling in ["X-GP-PROTO", "x-gp-proto", "X-Gp-Proto"] {
        let (host, _session) = host_with_rows();
        let request = Get::default().text().replace("X-GP-PROTO", spelling);
        let answer = host.ask(&request).finish();
        assert!(answer.status_line().starts_with("HTTP/1.1 200 "), "{}", answer.head);
        assert!(answer.head.contains("\r\nX-GP-PROTO: 1\r\n"), "{}", answer.head);
        assert!(answer.head.contains("\r\nConnection: close\r\n"), "{}", answer.head);
        assert_eq!(answer.expect_success().rows(), expected(3, 100..103));
    }
}

#[test]
fn a_body_is_messages_without_remainder() {
    let host = Host::start();
    let session = host.open();
    for block in 0..10 {
        push(&session, 4, block * 100, 100);
    }
    session.seal();
    let answer = host.get(0).finish();
    let (messages, rest) = answer.messages();
    assert!(rest.is_empty());
    for (block, part) in (0..).zip(messages.chunks(4)).take(10) {
        let first: i64 = block * 100;
        assert_eq!(part[0], ('F', format!("orders/4@{first}").as_bytes()));
        assert_eq!(part[1], ('O', &first.to_be_bytes()[..]));
        assert_eq!(part[2], ('L', &1i64.to_be_bytes()[..]));
        assert_eq!(part[3].0, 'D');
        assert_eq!(part[3].1.last(), Some(&b'\n'));
    }
    assert_eq!(messages.len(), 41);
    let mut rows = answer.expect_success().rows();
    rows.sort();
    assert_eq!(rows, expected(4, 0..1000));
}

#[test]
fn a_head_may_come_in_any_legal_form() {
    let many: String = (0..105).map(|at| format!("X-Other-{at}: {at}\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(15 * 1024));
    let good = Get::default();
    let forms = [
        ("lower case", good.text().replace("X-GP-", "x-gp-")),
        ("mixed case", good.text().replace("X-GP-", "X-gP-")),
        ("unknown headers", Get { more: "X-GP-ZSTD: 1\r\nX-GP-NEW: 2\r\n", ..Get::default() }.text()),
        ("128 headers", Get { more: &many, ..Get::default() }.text()),
        ("16 KiB", Get { more: &large, ..Get::default() }.text()),
        ("a header twice", Get { more: &format!("X-GP-XID: {XID}\r\n"), ..Get::default() }.text()),
        ("HTTP/1.0", Get { version: "1.0", ..Get::default() }.text()),
        ("a query", Get { path: &format!("{PATH}?u=1"), ..Get::default() }.text()),
        ("an absolute path", Get { path: &format!("http://127.0.0.1:28080{PATH}"), ..Get::default() }.text()),
    ];
    for (form, request) in forms {
        let (host, _session) = host_with_rows();
        let mut peer = host.ask(&request);
        let answer = peer.finish();
        assert_eq!(answer.code(), 200, "{form}: {}", answer.head);
        assert!(answer.head.contains("\r\nX-GP-PROTO: 1\r\n"), "{form}: {}", answer.head);
        assert!(answer.has_end(), "{form}: {answer:?}");
        assert_eq!((peer.end, answer.rows()), (Some(End::Closed), expected(3, 100..103)), "{form}");
    }
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let (host, _session) = host_with_rows();
    let mut peer = host.connect();
    for byte in Get::default().text().bytes() {
        peer.send(&[byte]);
    }
    assert_eq!(peer.finish().expect_success().rows(), expected(3, 100..103));
}

#[test]
fn a_doubtful_head_is_refused_and_never_hangs() {
    let huge = format!("X-Huge: {}\r\n", "x".repeat(128 * 1024));
    let forms = [
        ("a header twice, differently", Get { more: "X-GP-XID: other\r\n", ..Get::default() }.text(), 400),
        ("a folded line", Get { more: "X-Folded: a\r\n b\r\n", ..Get::default() }.text(), 400),
        ("128 KiB", Get { more: &huge, ..Get::default() }.text(), 431),
        ("no HTTP", "GET\r\n\r\n".to_owned(), 400),
        ("a newer HTTP", Get { version: "3.0", ..Get::default() }.text(), 400),
    ];
    for (form, request, code) in forms {
        let (host, session) = host_with_rows();
        let answer = host.ask(&request).finish();
        assert_eq!(answer.code(), code, "{form}: {}", answer.head);
        assert_eq!(session.status().connected, 0, "{form}");
    }
}

#[test]
fn a_refusal_says_why_in_its_status_line() {
    let (host, session) = host_with_rows();
    let good = Get::default().text();
    let without = |name: &str| {
        good.split_inclusive("\r\n").filter(|line| !line.starts_with(&format!("{name}:"))).collect::<String>()
    };
    let refused = [
        (without("X-GP-PROTO"), "400 header X-GP-PROTO is missing"),
        (without("X-GP-XID"), "400 header X-GP-XID is missing"),
        (without("X-GP-CID"), "400 header X-GP-CID is missing"),
        (without("X-GP-SN"), "400 header X-GP-SN is missing"),
        (without("X-GP-SEGMENT-ID"), "400 header X-GP-SEGMENT-ID is missing"),
        (Get { proto: "2", ..Get::default() }.text(), "400 header X-GP-PROTO is neither 0 nor 1"),
        (
            Get { path: "/v1/orders/all/guess", ..Get::default() }.text(),
            "404 this gpkafka serves no such external table",
        ),
        (good.replace("CSVOPT: m0", "CSVOPT: m1"), "400 the external table is declared CSV"),
        (good.replace("GET ", "HEAD "), "405 method HEAD is not supported"),
        (good.replace("GET ", "PUT "), "405 method PUT is not supported"),
        (good.replace("GET ", "DELETE "), "405 method DELETE is not supported"),
        (good.replace("GET ", "POST "), "405 gpkafka only gives rows"),
    ];
    let count = u64::try_from(refused.len()).unwrap();
    for (request, reason) in refused {
        let mut peer = host.ask(&request);
        let answer = peer.finish();
        assert!(answer.status_line().contains(reason), "{reason}: {}", answer.head);
        assert_eq!(peer.end, Some(End::Closed), "{reason}");
    }
    assert_eq!(host.metrics.scans_refused.get(), count);
    let status = session.status();
    assert_eq!((status.rows_sent, status.failure), (0, None));
}

#[test]
fn the_status_page_needs_no_headers() {
    let (host, _session) = host_with_rows();
    let answer = host.ask("GET /gpfdist/status HTTP/1.1\r\nHost: x\r\n\r\n").finish();
    assert_eq!(answer.code(), 200);
    assert!(answer.is_complete && answer.body.starts_with(b"gpkafka ") && answer.body.len() < 255, "{answer:?}");
}

#[test]
fn a_head_that_never_ends_is_cut_and_keeps_nobody_waiting() {
    let (host, _session) = host_with_rows();
    let started = Instant::now();
    let mut slow: Vec<_> = (0..50).map(|_| host.ask("GET /v1/orders HTTP/1.1\r\nX-GP-XID: ")).collect();
    host.get(0).finish().expect_success();
    for peer in &mut slow {
        peer.finish();
    }
    let took = started.elapsed();
    assert!(HEAD_TIMEOUT <= took + HEAD_TIMEOUT / 10 && took < SOON, "{took:?}");
}

#[test]
fn a_connection_carries_one_answer_only() {
    for more in ["Connection: keep-alive\r\n", "Keep-Alive: timeout=5\r\nConnection: Keep-Alive\r\n"] {
        for version in ["1.0", "1.1"] {
            let (host, session) = host_with_rows();
            let first = Get { more, version, ..Get::default() }.text();
            let second = Get { segment: 1, ..Get::default() }.text();
            let mut peer = host.ask(&(first + &second));
            let answer = peer.finish();
            assert!(answer.has_end());
            assert_eq!(answer.rows(), expected(3, 100..103));
            assert_eq!(peer.received.windows(9).filter(|bytes| bytes.starts_with(b"HTTP/1.")).count(), 1);
            assert_eq!(session.status().served_segments, [(0, 3)].into());
        }
    }
}

#[test]
fn protocol_0_is_bare_rows() {
    for version in ["1.0", "1.1"] {
        let (host, session) = host_with_rows();
        let mut peer = host.ask(&Get { proto: "0", version, ..Get::default() }.text());
        let answer = peer.finish();
        assert!(answer.head.contains("\r\nX-GP-PROTO: 0\r\n"), "{}", answer.head);
        assert_eq!(str::from_utf8(&answer.body).unwrap(), "3\t100\n3\t101\n3\t102\n");
        assert_eq!((answer.is_complete, peer.end), (version == "1.1", Some(End::Closed)));
        assert_eq!(session.failure(), None);
    }
}

/// Protocol 0 has no word for a failure, and a body that just ends looks whole: so it never just ends.
#[test]
fn protocol_0_is_reset_when_the_session_fails() {
    for version in ["1.0", "1.1"] {
        let host = Host::start();
        let session = host.open();
        push(&session, 3, 100, 3);
        let mut peer = host.ask(&Get { proto: "0", version, ..Get::default() }.text());
        peer.wait_for("the rows", |answer| answer.body.ends_with(b"102\n"));
        session.fail("topic orders is gone");
        let answer = peer.finish();
        assert_eq!((answer.is_complete, peer.end), (false, Some(End::Reset)), "HTTP/{version}");
    }
}

/// A byte every now and then keeps no connection: what counts is when the head is whole.
#[test]
fn a_head_that_drips_is_cut_too() {
    let (host, _session) = host_with_rows();
    let started = Instant::now();
    let mut slow: Vec<_> = (0..20).map(|_| host.connect()).collect();
    let head = Get::default().text();
    let mut drops = head.bytes().cycle();
    let mut served = false;
    let drip = |byte: u8, slow: &mut Vec<Peer>| {
        slow.iter_mut().filter_map(|peer| peer.try_send(&[byte]).then_some(())).count()
    };
    while drip(drops.next().unwrap(), &mut slow) > 0 {
        assert!(started.elapsed() < SOON, "they are still there");
        if !served {
            host.get(0).finish().expect_success();
            served = true;
        }
        std::thread::park_timeout(HEAD_TIMEOUT / 10);
    }
    assert!(started.elapsed() >= HEAD_TIMEOUT / 2, "it is the deadline that cuts them");
}

/// Whoever has no token can keep nobody from reading: guests are shown out, the oldest first.
#[test]
fn idle_connections_keep_no_segment_out() {
    let host = Host::start_with(|settings| (settings.guests_max, settings.head_timeout) = (8, SOON * 10));
    let session = host.open();
    let mut segment = host.get(0);
    segment.wait_for("a head", |answer| !answer.head.is_empty());
    let idle: Vec<_> =
        (0..20).map(|at| if at % 2 == 0 { host.connect() } else { host.ask("GET / HTTP/1.1\r\nX-") }).collect();
    push(&session, 3, 100, 3);
    session.seal();
    // the one that was there before, and one that comes now
    let rows = [segment, host.get(1)].map(|mut peer| peer.finish().expect_success().rows().len());
    assert_eq!(rows.iter().sum::<usize>(), 3);
    let there = || idle.iter().filter(|peer| peer.is_open()).count();
    wait_until(SOON, "guests to be shown out", || there() <= 8);
    assert!(there() >= 4, "no more than there must be");
}

#[test]
fn what_is_no_head_at_all_is_refused_and_harms_nobody() {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100 * 1024));
    let many: String = (0..1000).map(|at| format!("X-{at}: {at}\r\n")).collect();
    let forms: [(&str, &[u8], &[u16]); 14] = [
        ("nothing but zeros", &[0; 512], &[400]),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", &[400]),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0]),
        ("a path of 100 KiB", long.as_bytes(), &[414, 431]),
        ("1000 headers", &format!("GET / HTTP/1.1\r\n{many}\r\n").into_bytes(), &[431]),
        ("a NUL in a name", b"GET / HTTP/1.1\r\nX\0: 1\r\n\r\n", &[400]),
        ("a NUL in a value", b"GET / HTTP/1.1\r\nX: \0\r\n\r\n", &[400]),
        ("no colon", b"GET / HTTP/1.1\r\nX\r\n\r\n", &[400]),
        ("no name", b"GET / HTTP/1.1\r\n: 1\r\n\r\n", &[400]),
        ("a space before the colon", b"GET / HTTP/1.1\r\nX : 1\r\n\r\n", &[400]),
        ("a path with a space", b"GET /a b HTTP/1.1\r\n\r\n", &[400]),
        ("two lengths", b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &[400]),
        ("a negative length", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", &[400]),
        (
            "a length and chunks",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            &[400, 405],
        ),
    ];
    let (host, session) = host_with_rows();
    for (form, bytes, codes) in forms {
        let mut peer = host.connect();
        peer.send(bytes);
        let answer = peer.finish();
        assert!(codes.contains(&answer.code()), "{form}: {}", answer.head);
        assert!(!answer.has_end(), "{form}");
    }
    assert_eq!((session.status().connected, session.failure()), (0, None));
    assert_eq!(host.get(0).finish().expect_success().rows(), expected(3, 100..103));
}
