//! TLS to segments on the wire: who gets in, what is agreed on, and how an answer ends. OpenSSL is the client here; that
//! Greenplum's segments get through is shown in `gpfdists.rs`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gpkafka::gpfdist::{Session, Tls, TlsFiles, TlsVersion};
use openssl::pkey::PKey;
use openssl::ssl::{
    HandshakeError, SslConnector, SslConnectorBuilder, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use crate::gpfdist_peer::{Answer, End, Get, HEAD_TIMEOUT, Host, SOON, expected, index, push};
use crate::harness::{Authority, User, directory, wait_until};

/// A server that lets in who is of its authority, and one who is of another.
struct Scene {
    host: Host,
    ours: Authority,
    other: Authority,
}

impl Scene {
    fn new(min_version: TlsVersion, guests_max: usize) -> Self {
        let (ours, other) = (Authority::new("ours"), Authority::new("other"));
        let dir = directory("gpfdists", User::current());
        let (certificate, key) = ours.issue("localhost");
        for (name, bytes) in [("server.crt", certificate), ("server.key", key), ("root.crt", ours.pem())] {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        let tls = Tls::read(&TlsFiles { min_version, ..TlsFiles::of_folder(&dir) }).unwrap();
        let host = Host::start_with(|settings| {
            settings.tls = Some(tls);
            settings.guests_max = guests_max;
            settings.linger = Duration::from_secs(2);
        });
        Self { host, ours, other }
    }

    fn usual() -> Self {
        Self::new(TlsVersion::V1_2, 100)
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.host.server.port())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// A client that checks the server, with a certificate of an authority or none.
    fn client(&self, by: Option<&Authority>) -> SslConnectorBuilder {
        let mut client = SslConnector::builder(SslMethod::tls_client()).unwrap();
        client.cert_store_mut().add_cert(X509::from_pem(&self.ours.pem()).unwrap()).unwrap();
        client.set_verify(SslVerifyMode::PEER);
        if let Some(by) = by {
            let (certificate, key) = by.issue("segment");
            client.set_certificate(&X509::from_pem(&certificate).unwrap()).unwrap();
            client.set_private_key(&PKey::private_key_from_pem(&key).unwrap()).unwrap();
        }
        client
    }

    fn connect(&self, client: SslConnectorBuilder) -> Result<Peer, HandshakeError<TcpStream>> {
        Ok(Peer { stream: client.build().connect("localhost", self.tcp())?, received: Vec::new() })
    }

    /// A segment of ours that has asked.
    fn get(&self, segment: i32, proto: &str) -> Peer {
        let mut peer = self.connect(self.client(Some(&self.ours))).unwrap();
        peer.ask(&Get { segment, proto, ..Get::default() }.text());
        peer
    }
}

struct Peer {
    stream: SslStream<TcpStream>,
    received: Vec<u8>,
}

/// How it ended, as far as TLS can tell.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// With `close_notify`.
    Told,
    Cut(String),
}

impl Peer {
    fn ask(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// Reads a part; what the end was, where it is one.
    fn read(&mut self) -> Option<Ended> {
        let mut part = [0; 64 * 1024];
        loop {
            return match self.stream.read(&mut part) {
                Ok(0) => Some(Ended::Told),
                Ok(bytes) => {
                    self.received.extend_from_slice(&part[..bytes]);
                    None
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing comes: {:?}", self.answer()),
                Err(error) => Some(Ended::Cut(error.to_string())),
            };
        }
    }

    fn finish(&mut self) -> Ended {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.read() {
                return ended;
            }
            assert!(begun.elapsed() < SOON, "there is no end: {:?}", self.answer());
        }
    }

    fn answer(&self) -> Answer {
        Answer::parse(&self.received)
    }
}

/// An open scan with some rows in it.
fn scan(scene: &Scene) -> Session {
    let session = scene.host.open();
    push(&session, 3, 0, 100);
    session
}

#[test]
fn a_segment_of_ours_gets_all_rows_and_a_told_end() {
    let scene = Scene::usual();
    for proto in ["1", "0"] {
        let session = scan(&scene);
        session.seal();
        let mut peer = scene.get(0, proto);
        assert_eq!(peer.finish(), Ended::Told);
        let answer = peer.answer();
        let rows = match proto {
            "1" => answer.expect_success().rows(),
            _ => str::from_utf8(&answer.body).unwrap().lines().map(str::to_owned).collect(),
        };
        assert!(answer.is_complete);
        assert_eq!(
            {
                let mut rows = rows;
                rows.sort();
                rows
            },
            expected(3, 0..100)
        );
        session.finish();
        assert_eq!(session.failure(), None);
    }
}

/// In TLS 1.3 a client is told only when it reads.
#[test]
fn without_a_certificate_by_our_authority_there_is_nothing() {
    let scene = Scene::usual();
    let session = scan(&scene);
    for (by, why) in [(None, "certificate required"), (Some(&scene.other), "unknown ca")] {
        let mut peer = scene.connect(scene.client(by)).unwrap();
        peer.ask(&Get::default().text());
        let Ended::Cut(said) = peer.finish() else { panic!("it was let in: {:?}", peer.answer()) };
        assert!(said.contains(why), "{said}");
        assert_eq!(peer.received, b"");
        let mut older = scene.client(by);
        older.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        assert!(scene.connect(older).is_err(), "TLS 1.2 tells at once");
    }
    assert_eq!((session.status().rows_sent, session.failure()), (0, None), "the scan has not seen them");
    session.seal();
    let mut peer = scene.get(0, "1");
    peer.finish();
    peer.answer().expect_success();
}

#[test]
fn versions_below_the_least_are_refused() {
    for (least, versions) in [
        (TlsVersion::V1_2, [(SslVersion::TLS1_1, false), (SslVersion::TLS1_2, true), (SslVersion::TLS1_3, true)]),
        (TlsVersion::V1_3, [(SslVersion::TLS1_1, false), (SslVersion::TLS1_2, false), (SslVersion::TLS1_3, true)]),
    ] {
        let scene = Scene::new(least, 100);
        for (version, is_spoken) in versions {
            let mut client = scene.client(Some(&scene.ours));
            // as old as this library can be made to speak
            client.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
            client.set_min_proto_version(Some(version)).unwrap();
            client.set_max_proto_version(Some(version)).unwrap();
            let shaken = scene.connect(client);
            assert_eq!(shaken.is_ok(), is_spoken, "{least:?} {version:?}");
            if let Err(HandshakeError::Failure(failed)) = shaken {
                let said = failed.error().to_string();
                assert!(said.contains("alert protocol version"), "the server is who refuses: {said}");
            }
        }
    }
}

/// libcurl takes h2 where it can have it, and over HTTP/2 the segment would not know `X-GP-PROTO`.
#[test]
fn no_protocol_but_that_of_segments_is_agreed_on() {
    let scene = Scene::usual();
    let mut client = scene.client(Some(&scene.ours));
    client.set_alpn_protos(b"\x02h2\x08http/1.1").unwrap();
    let peer = scene.connect(client).unwrap();
    let agreed = peer.stream.ssl().selected_alpn_protocol();
    assert!(agreed.is_none_or(|agreed| agreed == b"http/1.1"), "{agreed:?}");
}

#[test]
fn who_speaks_http_is_told_to_speak_tls() {
    let scene = Scene::usual();
    let mut peer = scene.host.get(0);
    let answer = peer.finish();
    assert_eq!(answer.status_line(), "HTTP/1.1 400 this gpkafka speaks TLS: the LOCATION is to begin with gpfdists://");
    assert!(answer.is_complete && answer.body.is_empty());
    assert_eq!(peer.end, Some(End::Closed));
}

/// What fails without an end, by either protocol, looks like none.
#[test]
fn a_cut_never_looks_like_an_end() {
    for (proto, stops) in [("1", false), ("0", false), ("1", true), ("0", true)] {
        let mut scene = Scene::usual();
        let session = scan(&scene);
        let mut peer = scene.get(0, proto);
        let begun = Instant::now();
        while session.status().rows_sent < 100 || peer.received.is_empty() {
            assert!(begun.elapsed() < SOON && peer.read().is_none());
        }
        if stops {
            // as at the end of the process: nobody seals it
            scene.host = Host::start();
        } else {
            session.fail("partition 3: offset 100 is gone");
        }
        let ended = peer.finish();
        let answer = peer.answer();
        assert!(!answer.has_end(), "{answer:?}");
        if proto == "1" {
            assert!(answer.error().contains(if stops { "stopping" } else { "offset 100 is gone" }), "{answer:?}");
        } else {
            assert!(matches!(ended, Ended::Cut(_)) && !answer.is_complete, "{ended:?}: {answer:?}");
        }
    }
}

/// Records are filled from many small parts and from large ones, and a peer that reads slowly has every write tried again.
#[test]
fn rows_come_through_whole_however_they_are_cut_into_records() {
    let scene = Scene::usual();
    let session = scene.host.open();
    let mut sent = Vec::new();
    for block in 0..300_u32 {
        let bytes = [1, 17, 900, 16_384, 70_000][block as usize % 5];
        let row =
            format!("{block}\t{}\n", char::from(b'a' + u8::try_from(block % 26).unwrap()).to_string().repeat(bytes));
        sent.extend_from_slice(row.as_bytes());
        session.push(&index(3, i64::from(block), 1), Bytes::from(row));
    }
    session.seal();
    let mut peer = scene.get(0, "1");
    // the kernel takes no more from the server before this
    wait_until(SOON, "the server to have sent what fits", || session.status().rows_sent > 10);
    assert!(session.status().rows_sent < 300, "it waits for the peer");
    assert_eq!(peer.finish(), Ended::Told);
    let answer = peer.answer();
    let rows: Vec<u8> = answer.expect_success().rows().iter().flat_map(|row| format!("{row}\n").into_bytes()).collect();
    assert!(rows == sent, "{} bytes of {}", rows.len(), sent.len());
}

/// Who says nothing, or half of a handshake, is cut when its time is up, or sooner where others come.
#[test]
fn half_a_handshake_holds_up_nobody() {
    let scene = Scene::new(TlsVersion::V1_2, 4);
    let session = scan(&scene);
    session.seal();
    let begun = Instant::now();
    let idle = |said: &[u8]| {
        let mut stream = scene.tcp();
        // it may have been shown out by now
        drop(stream.write_all(said));
        stream
    };
    // a record that promises 512 bytes of a ClientHello
    let said: [&[u8]; 2] = [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"];
    let mut kept: Vec<TcpStream> = (0..40).map(|at| idle(said[at % 2])).collect();
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    wait_until(SOON, "no more to stay than there may be guests", || {
        kept.iter().filter(|stream| is_open(stream)).count() <= 4
    });
    assert!(begun.elapsed() < HEAD_TIMEOUT, "those before them are shown out when others come");
    let mut peer = scene.get(0, "1");
    peer.finish();
    peer.answer().expect_success();
    wait_until(SOON, "the rest to go when its time is up", || !kept.iter().any(is_open));
    kept.clear();
    assert_eq!(session.failure(), None);
}
