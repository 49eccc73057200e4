//! A server to talk to and a raw socket to talk through, for the tests of the protocol: they must see bytes, not what a
//! library makes of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Once;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gpkafka::block::BlockIndex;
use gpkafka::gpfdist::{Scan, Server, Session, Settings};
use gpkafka::metrics::Metrics;
use gpkafka::offset::Span;

/// Longer than anything here takes on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

pub const HEARTBEAT: Duration = Duration::from_millis(50);
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(1);
pub const XID: &str = "1795366663-0000000023";
pub const PATH: &str = "/v1/orders/all/3c7f0a";

/// A server of its own for each test.
pub struct Host {
    pub server: Server,
    pub metrics: Metrics,
}

impl Host {
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        take_out_rules();
        let metrics = Metrics::default();
        let mut settings = Settings {
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            heartbeat: HEARTBEAT,
            head_timeout: HEAD_TIMEOUT,
            ..Settings::default()
        };
        change(&mut settings);
        let server = Server::start(&settings, &metrics).unwrap();
        server.accept_path(PATH);
        Self { server, metrics }
    }

    pub fn open(&self) -> Session {
        self.open_for(XID)
    }

    pub fn open_for(&self, xid: &str) -> Session {
        let scan = Scan { path: PATH.to_owned(), xid: Some(xid.to_owned()), file_prefix: "orders".to_owned() };
        self.server.open(scan)
    }

    pub fn connect(&self) -> Peer {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server.port())).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, received: Vec::new(), end: None }
    }

    /// Connects and asks as a segment does.
    pub fn get(&self, segment: i32) -> Peer {
        self.ask(&Get { segment, ..Get::default() }.text())
    }

    pub fn ask(&self, request: &str) -> Peer {
        let mut peer = self.connect();
        peer.send(request.as_bytes());
        peer
    }

    pub fn url(&self) -> String {
        format!("gpfdist://127.0.0.1:{}{PATH}", self.server.port())
    }
}

/// The mutation check names rules to take out in `FAILPOINTS`, as for the binary; in this process they are set here.
pub fn take_out_rules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let rules = std::env::var("FAILPOINTS").unwrap_or_default();
        for (name, action) in rules.split(';').filter_map(|rule| rule.split_once('=')) {
            fail::cfg(name.trim(), action.trim()).unwrap();
        }
    });
}

/// A block of so many rows, each `partition<TAB>offset`.
pub fn push(session: &Session, partition: i32, first: i64, rows: u32) {
    let next = first + i64::from(rows);
    let text: String = (first..next).map(|offset| format!("{partition}\t{offset}\n")).collect();
    session.push(&index(partition, first, rows), Bytes::from(text));
}

pub fn index(partition: i32, first: i64, rows: u32) -> BlockIndex {
    let span = Span::new(first, first + i64::from(rows.max(1))).unwrap();
    BlockIndex { partition, span, rows, runs: Vec::new() }
}

/// A segment's request, whole as one was captured.
pub struct Get<'a> {
    pub path: &'a str,
    pub xid: &'a str,
    pub cid: &'a str,
    pub sn: &'a str,
    pub segment: i32,
    pub proto: &'a str,
    pub version: &'a str,
    /// More header lines, each ended by CRLF.
    pub more: &'a str,
}

impl Default for Get<'_> {
    fn default() -> Self {
        Self { path: PATH, xid: XID, cid: "7", sn: "0", segment: 0, proto: "1", version: "1.1", more: "" }
    }
}

impl Get<'_> {
    pub fn text(&self) -> String {
        let Self { path, xid, cid, sn, segment, proto, version, more } = self;
        format!(
            "GET {path} HTTP/{version}\r\nHost: 127.0.0.1:28080\r\nAccept: */*\r\nX-GP-XID: {xid}\r\nX-GP-CID: {cid}\r\n\
             X-GP-SN: {sn}\r\nX-GP-SEGMENT-ID: {segment}\r\nX-GP-SEGMENT-COUNT: 2\r\nX-GP-LINE-DELIM-STR: 0A\r\n\
             X-GP-LINE-DELIM-LENGTH: 1\r\nX-GP-PROTO: {proto}\r\nX-GP-MASTER_HOST: 127.0.0.1\r\n\
             X-GP-MASTER_PORT: 26000\r\nX-GP-CSVOPT: m0x 92q  0n1h0\r\nX-GP_SEG_PG_CONF: /seg0/postgresql.conf\r\n\
             X-GP_SEG_DATADIR: /seg0\r\nX-GP-DATABASE: postgres\r\nX-GP-USER: gpadmin\r\nX-GP-SEG-PORT: 26002\r\n\
             X-GP-SESSION-ID: 6\r\n{more}\r\n"
        )
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

/// The other end of one connection.
pub struct Peer {
    pub stream: TcpStream,
    pub received: Vec<u8>,
    pub end: Option<End>,
}

impl Peer {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// As [`Peer::send`]; false where the other side has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Whether the other side has not ended it.
    pub fn is_open(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        seen.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |bytes| bytes > 0)
    }

    /// Reads what is there; false at the end.
    fn read(&mut self, what: &str) -> bool {
        let mut part = [0; 64 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(bytes) => self.received.extend_from_slice(&part[..bytes]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.end = Some(End::Reset),
            // a read with a timeout is interrupted by any signal; the next one goes on
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("waited for {what}: {error}; got {:?}", self.answer()),
        }
        self.end.is_none()
    }

    /// Reads until the answer so far is as wanted.
    pub fn wait_for(&mut self, what: &str, is_there: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.answer();
            if is_there(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited for {what}; got {answer:?}");
            assert!(self.read(what), "waited for {what}, but the connection ended; got {answer:?}");
        }
    }

    /// Reads up to the end of the connection.
    pub fn finish(&mut self) -> Answer {
        let deadline = Instant::now() + SOON;
        while self.read("the end") {
            assert!(Instant::now() < deadline, "waited for the end; got {:?}", self.answer());
        }
        self.answer()
    }

    pub fn answer(&self) -> Answer {
        Answer::parse(&self.received)
    }

    /// Goes away with a reset, as a killed segment does.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// What came over a connection, as far as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Raw, with the empty line; empty until it is whole.
    pub head: String,
    pub body: Vec<u8>,
    /// The transfer encoding's own end was there.
    pub is_complete: bool,
}

impl Answer {
    pub fn parse(received: &[u8]) -> Self {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return Self { head: String::new(), body: Vec::new(), is_complete: false };
        };
        let (head, rest) = received.split_at(end + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let folded = head.to_lowercase();
        let (body, is_complete) = if folded.contains("transfer-encoding: chunked") {
            chunks(rest)
        } else if let Some(length) = folded.split("content-length: ").nth(1) {
            (rest.to_vec(), rest.len() == length.lines().next().unwrap().parse::<usize>().unwrap())
        } else {
            (rest.to_vec(), false)
        };
        Self { head, body, is_complete }
    }

    pub fn status_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub fn code(&self) -> u16 {
        self.status_line().split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Whole messages, and the bytes behind them.
    pub fn messages(&self) -> (Vec<(char, &[u8])>, &[u8]) {
        let mut messages = Vec::new();
        let mut rest = &self.body[..];
        while let Some((&[kind, a, b, c, d], payload)) = rest.split_first_chunk() {
            let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap();
            let Some((payload, behind)) = payload.split_at_checked(length) else { break };
            messages.push((char::from(kind), payload));
            rest = behind;
        }
        (messages, rest)
    }

    pub fn count(&self, kind: char) -> usize {
        self.messages().0.iter().filter(|message| message.0 == kind).count()
    }

    pub fn has_end(&self) -> bool {
        self.messages().0.contains(&('D', b""))
    }

    /// The text of its one `E`.
    pub fn error(&self) -> String {
        let errors: Vec<_> = self.messages().0.into_iter().filter(|message| message.0 == 'E').collect();
        assert_eq!(errors.len(), 1, "{self:?}");
        String::from_utf8(errors[0].1.to_vec()).unwrap()
    }

    /// The rows of all its `D`.
    pub fn rows(&self) -> Vec<String> {
        let data = self.messages().0.into_iter().filter(|message| message.0 == 'D');
        data.flat_map(|(_, rows)| str::from_utf8(rows).unwrap().lines()).map(str::to_owned).collect()
    }

    /// Asserts a scan that went well: the end is there, once, and nothing behind it.
    pub fn expect_success(&self) -> &Self {
        let (messages, rest) = self.messages();
        assert_eq!(self.code(), 200, "{}", self.head);
        assert!(self.is_complete && rest.is_empty(), "{self:?}");
        assert_eq!(messages.last(), Some(&('D', &b""[..])), "{self:?}");
        assert_eq!(messages.iter().filter(|&&message| message == ('D', b"")).count(), 1);
        assert!(messages.iter().all(|(kind, _)| "FOLD".contains(*kind)), "{self:?}");
        self
    }
}

/// A chunked body as far as it came, and whether its last chunk did.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|bytes| bytes == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        if size == 0 {
            assert!(rest.len() <= 2, "bytes behind the last chunk: {rest:?}");
            return (body, rest == b"\r\n");
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(behind) = rest.get(size + 2..) else { return (body, false) };
        rest = behind;
    }
}

/// All rows of a session by [`push`], sorted.
pub fn expected(partition: i32, rows: std::ops::Range<i64>) -> Vec<String> {
    let mut rows: Vec<_> = rows.map(|offset| format!("{partition}\t{offset}")).collect();
    rows.sort();
    rows
}
