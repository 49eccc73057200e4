//! Our own segment client against scripted servers: it fails wherever a segment would.

use std::io::{Read, Write};
use std::net::TcpListener;

use gpkafka::gpfdist::client::{Error, Fetched, Options, fetch};

use crate::gpfdist_peer::{Host, SOON, expected, push};
use crate::harness::{Loader, free_port};

const OK: &str = "HTTP/1.0 200 ok\r\nX-GP-PROTO: 1\r\n\r\n";

/// Serves one connection these bytes after its request, and fetches.
fn fetched(parts: &[&[u8]], change: impl FnOnce(&mut Options)) -> (Result<Fetched, Error>, Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("gpfdist://{}/v1/x", listener.local_addr().unwrap());
    let mut options = Options { silence_max: Some(SOON), ..Options::new(url) };
    change(&mut options);
    let mut rows = Vec::new();
    std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !request.ends_with(b"\r\n\r\n") {
                let bytes = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..bytes]);
            }
            parts.iter().for_each(|part| stream.write_all(part).unwrap());
            String::from_utf8(request).unwrap()
        });
        let outcome = fetch(&options, &mut rows);
        (outcome, rows, server.join().unwrap())
    })
}

fn failure(answer: &[u8]) -> String {
    fetched(&[answer], |_| ()).0.unwrap_err().to_string()
}

#[test]
fn messages_become_rows() {
    let body = b"F\0\0\0\x03t/0O\0\0\0\x08\0\0\0\0\0\0\0\x09L\0\0\0\x08\0\0\0\0\0\0\0\x01D\0\0\0\x06a\tb\nc\nD\0\0\0\x02d\nD\0\0\0\0rest";
    let (outcome, rows, request) = fetched(&[OK.as_bytes(), body], |options| options.segment_id = 3);
    assert_eq!(outcome.unwrap(), Fetched { rows: 3, bytes: 8, blocks: 2 });
    assert_eq!(rows, b"a\tb\nc\nd\n");
    for line in ["GET /v1/x HTTP/1.1", "X-GP-SEGMENT-ID: 3", "X-GP-PROTO: 1", "X-GP-CSVOPT: m0x 92q  0n1h0"] {
        assert!(request.contains(&format!("{line}\r\n")), "{request}");
    }
}

#[test]
fn a_server_tells_that_it_is_there() {
    let host = Host::start();
    let server = format!("gpfdist://127.0.0.1:{}", host.server.port());
    for url in [server.clone(), format!("{server}/"), format!("{server}/gpfdist/status")] {
        let outcome = Loader::command(["segment", &url]).run().expect_code(0);
        assert!(outcome.stdout.starts_with(&format!("{url} answers: gpkafka")), "{}", outcome.text());
    }
    let nobody = format!("gpfdist://127.0.0.1:{}", free_port());
    Loader::command(["segment", &nobody]).run().expect_code(1).expect_text("check that gpkafka runs there");
    for wrong in ["127.0.0.1:8080", "ftp://a/b", "gpfdist://", "gpfdists://a/b"] {
        Loader::command(["segment", wrong]).run().expect_code(64).expect_text("a url is gpfdist://host:port/path");
    }
}

#[test]
fn chunks_may_split_messages_anywhere() {
    let body = b"D\0\0\0\x06a\tb\nc\nO\0\0\0\x08\0\0\0\0\0\0\0\0D\0\0\0\0";
    let head = b"HTTP/1.1 200 OK\r\nX-GP-PROTO: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for size in 1..body.len() {
        let mut answer = head.to_vec();
        for part in body.chunks(size) {
            answer.extend_from_slice(format!("{:X};x=y\r\n", part.len()).as_bytes());
            answer.extend_from_slice(part);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        let (outcome, rows, _) = fetched(&[&answer], |_| ());
        assert_eq!((outcome.unwrap().rows, &rows[..]), (2, &b"a\tb\nc\n"[..]), "chunks of {size}");
    }
}

#[test]
fn a_missing_end_is_a_failure_wherever_it_is_missing() {
    let cut = |body: &str| failure(format!("{OK}{body}").as_bytes());
    assert!(cut("").contains("closed connection before its final message"));
    assert!(cut("D\0\0\0\x02a\n").contains("closed connection before its final message"));
    assert!(cut("D\0\0").contains("closed connection inside a message"));
    assert!(cut("D\0\0\0\x06a\n").contains("closed connection inside a block"));
    assert!(
        failure(b"HTTP/1.1 200 OK\r\nX-GP-PROTO: 1\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nD\0").contains("inside")
    );
    assert!(failure(b"").contains("without an answer"));
}

#[test]
fn what_the_server_says_is_shown() {
    let (outcome, rows, _) = fetched(&[OK.as_bytes(), b"D\0\0\0\x02a\nE\0\0\0\x09no broker"], |_| ());
    assert_eq!(outcome.unwrap_err().to_string(), "gpfdist error - no broker");
    assert_eq!(rows, b"a\n");
    let refused = failure(b"HTTP/1.1 409 only the load may read\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("http response code 409 from gpfdist (gpfdist://127.0.0.1:"), "{refused}");
    assert!(refused.ends_with(": HTTP/1.1 409 only the load may read"), "{refused}");
}

#[test]
fn a_header_spelled_otherwise_is_not_seen() {
    let text = failure(b"HTTP/1.1 200 OK\r\nx-gp-proto: 1\r\n\r\nD\0\0\0\0");
    assert!(text.contains("X-GP-PROTO, spelled exactly so"), "{text}");
}

#[test]
fn an_empty_success_is_one_without_the_header_too() {
    for answer in ["HTTP/1.0 200 ok\r\nContent-length: 0\r\n\r\nD\0\0\0\0", "HTTP/1.1 204 No Content\r\n\r\n"] {
        assert_eq!(fetched(&[answer.as_bytes()], |_| ()).0.unwrap(), Fetched::default());
    }
}

#[test]
fn what_is_no_gpfdist_is_told_apart() {
    assert!(failure(b"SSH-2.0-OpenSSH_9.2\r\n").contains("not gpfdist's"));
    assert!(failure(format!("{OK}X\0\0\0\0").as_bytes()).contains("unknown message type 88"));
    assert!(failure(format!("{OK}D\u{7f}\0\0\0").as_bytes()).contains("closed connection inside a block"));
    let endless = [b"HTTP/1.0 200 ok\r\n".as_slice(), &b"X-More: 1\r\n".repeat(7000)].concat();
    assert!(failure(&endless).contains("its head has no end"));
}

#[test]
fn protocol_0_ends_with_the_body() {
    let head = b"HTTP/1.1 200 OK\r\nX-GP-PROTO: 0\r\nContent-Length: 4\r\n\r\n";
    let zero = |options: &mut Options| options.proto = 0;
    assert_eq!(fetched(&[head, b"a\nb\n"], zero).0.unwrap(), Fetched { rows: 2, bytes: 4, blocks: 0 });
    let cut = fetched(&[head, b"a\n"], zero).0.unwrap_err();
    assert!(matches!(cut, Error::Cut(_)), "{cut}");
}

#[test]
fn a_wrong_url_says_what_a_right_one_is() {
    for url in ["orders", "ftp://h/x", "gpfdist://h:1", "gpfdist:///x", "gpfdist://h/a b", "gpfdists://h/x"] {
        let text = fetch(&Options::new(url), &mut Vec::new()).unwrap_err().to_string();
        assert!(text.contains("gpfdist://host:port/path"), "{text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = crate::harness::free_port();
    let text = fetch(&Options::new(format!("gpfdist://127.0.0.1:{port}/x")), &mut Vec::new()).unwrap_err().to_string();
    assert!(text.contains(&format!("connecting to 127.0.0.1:{port}")), "{text}");
}

#[test]
fn it_reads_what_our_server_gives() {
    for proto in [0, 1] {
        let host = Host::start();
        let session = host.open();
        (0..100).for_each(|block| push(&session, 0, block * 10, 10));
        session.seal();
        let options = Options { proto, xid: crate::gpfdist_peer::XID.to_owned(), ..Options::new(host.url()) };
        let mut rows = Vec::new();
        let fetched = fetch(&options, &mut rows).unwrap();
        assert_eq!((fetched.rows, fetched.bytes), (1000, session.status().bytes_sent));
        let mut rows: Vec<_> = str::from_utf8(&rows).unwrap().lines().map(str::to_owned).collect();
        rows.sort();
        assert_eq!(rows, expected(0, 0..1000));
    }
}
