//! Reads a gpfdist url as one Greenplum segment does, and fails as one fails: for `gpkafka segment`, which stands in for
//! a segment under PostgreSQL and probes a server from a segment's host, and for tests. Blocking, no hyper.
//!
//! Everything written before an error belongs to a scan that failed: whoever reads the output must see the exit code.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::frame::{self, Kind};
use super::request::STATUS_PATH;

/// One read of the socket: large enough that the system calls don't count, small enough to stay in the cache.
const BUFFER_BYTES: usize = 256 * 1024;

/// Greenplum's default where a url names no port.
const PORT: u16 = 8080;

/// More than any server's head; a peer that sends more is no gpfdist.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Which segment to be, of which scan.
#[derive(Debug, Clone)]
pub struct Options {
    /// `gpfdist://host[:port]/path`, or `http://…`.
    pub url: String,
    /// Content id, from 0.
    pub segment_id: u32,
    pub segment_count: u32,
    /// The transaction. PostgreSQL's stand-in has `pg-<backend pid>`.
    pub xid: String,
    pub cid: String,
    pub sn: String,
    /// 1, or 0 for old servers, where a cut can look like the end.
    pub proto: u8,
    /// Count the rows only.
    pub discard: bool,
    /// How long connecting may take, for each address of the host.
    pub connect_wait: Duration,
    /// How long the server may say nothing. gpkafka's says something every second; `None` waits as a segment does.
    pub silence_max: Option<Duration>,
}

impl Options {
    /// Segment 0 of 1, protocol 1, with ids that no Greenplum has.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            segment_id: 0,
            segment_count: 1,
            xid: format!("segment-{}", std::process::id()),
            cid: "0".to_owned(),
            sn: "0".to_owned(),
            proto: 1,
            discard: false,
            connect_wait: Duration::from_secs(30),
            silence_max: None,
        }
    }
}

/// What a scan brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetched {
    /// LF-ended rows.
    pub rows: u64,
    pub bytes: u64,
    /// `D` messages with rows; 0 under protocol 0.
    pub blocks: u64,
}

/// Why a scan failed. None of its rows count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {url}: {what}; a url is gpfdist://host:port/path")]
    Url { url: String, what: &'static str },
    #[error("connecting to {address}: {source}; check that gpkafka runs there and that this host can reach it")]
    Connect { address: String, source: io::Error },
    /// The status line, as Greenplum shows it.
    #[error("http response code {code} from gpfdist ({url}): {line}")]
    Refused { code: u16, line: String, url: String },
    /// The server sent an `E`.
    #[error("gpfdist error - {0}")]
    Told(String),
    #[error("gpfdist server closed connection {0}: the rows so far are not all")]
    Cut(&'static str),
    #[error("reading from gpfdist: {0}; the rows so far are not all")]
    Read(io::Error),
    #[error("gpfdist has said nothing for too long: the rows so far are not all")]
    Silent,
    #[error("the answer is not gpfdist's: {0}")]
    Malformed(String),
    #[error("writing rows: {0}")]
    Write(io::Error),
}

/// Reads the whole scan and writes its rows to `out`.
///
/// # Errors
/// As a segment: not reached, refused with a status, told an `E`, cut before the final `D`.
///
/// # Blocks
/// Until the scan is over.
pub fn fetch(options: &Options, out: &mut dyn Write) -> Result<Fetched, Error> {
    let mut body = open(options)?;
    let mut sink = Sink { out: (!options.discard).then_some(out), fetched: Fetched::default() };
    let proto = body.head.proto;
    match proto {
        Some(1) => framed(&mut body, &mut sink)?,
        None if options.proto == 1 && !body.is_empty()? => {
            return Err(Error::Malformed(
                "it has no header X-GP-PROTO, spelled exactly so; a segment would take messages for rows".to_owned(),
            ));
        }
        Some(0) | None => raw(&mut body, &mut sink)?,
        Some(other) => return Err(Error::Malformed(format!("header X-GP-PROTO is {other}"))),
    }
    sink.flush()?;
    Ok(sink.fetched)
}

/// Whether a url names a server alone, and no scan of it.
pub fn is_server(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.find('/').is_none_or(|slash| matches!(&rest[slash..], "/" | STATUS_PATH)) && !rest.is_empty()
}

/// What the server behind a url says of itself: any loader, and any gpfdist, that can be reached from here.
///
/// # Errors
/// As [`fetch`].
///
/// # Blocks
/// Until it has answered.
pub fn status(options: &Options) -> Result<String, Error> {
    let server = options.url.trim_end_matches('/').trim_end_matches(STATUS_PATH);
    let mut body = open(&Options { url: format!("{server}{STATUS_PATH}"), ..options.clone() })?;
    let mut text = Vec::new();
    loop {
        let there = body.fill()?;
        let bytes = there.len();
        if bytes == 0 || text.len() > HEAD_BYTES_MAX {
            return Ok(String::from_utf8_lossy(&text).trim_end().to_owned());
        }
        text.extend_from_slice(there);
        body.consume(bytes);
    }
}

/// Messages up to the final `D`; what follows it is nobody's business.
fn framed(body: &mut Body, sink: &mut Sink<'_>) -> Result<(), Error> {
    loop {
        let Some(head) = body.message_head()? else { return Err(Error::Cut("before its final message")) };
        let (kind, bytes) = frame::parse_head(head).map_err(|error| Error::Malformed(error.to_string()))?;
        match kind {
            Kind::Data if bytes == 0 => return Ok(()),
            Kind::Data => {
                body.copy(bytes, sink)?;
                sink.fetched.blocks += 1;
            }
            Kind::Error => return Err(Error::Told(body.text(bytes)?)),
            Kind::Name | Kind::Offset | Kind::Line => body.skip(bytes)?,
        }
    }
}

/// Rows up to the end of the body.
fn raw(body: &mut Body, sink: &mut Sink<'_>) -> Result<(), Error> {
    loop {
        let bytes = match body.fill()? {
            [] => return Ok(()),
            rows => {
                sink.take(rows)?;
                rows.len()
            }
        };
        body.consume(bytes);
    }
}

/// Where rows go.
struct Sink<'a> {
    out: Option<&'a mut dyn Write>,
    fetched: Fetched,
}

impl Sink<'_> {
    fn take(&mut self, rows: &[u8]) -> Result<(), Error> {
        self.fetched.rows += memchr::memchr_iter(b'\n', rows).count() as u64;
        self.fetched.bytes += rows.len() as u64;
        match &mut self.out {
            Some(out) => out.write_all(rows).map_err(Error::Write),
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out.as_mut().map_or(Ok(()), |out| out.flush()).map_err(Error::Write)
    }
}

/// Connects, asks, and reads the answer's head.
fn open(options: &Options) -> Result<Body, Error> {
    let (authority, path) = address(&options.url)?;
    let mut stream = connect(&authority, options)?;
    stream.write_all(request(&authority, &path, options).as_bytes()).map_err(Error::Read)?;
    let mut input = Input { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 };
    let head = Head::read(&mut input)?;
    if !(200..300).contains(&head.code) {
        return Err(Error::Refused { code: head.code, line: head.line, url: options.url.clone() });
    }
    Ok(Body { input, left: head.left, head })
}

/// `host:port` and path of a url.
fn address(url: &str) -> Result<(String, String), Error> {
    let wrong = |what| Error::Url { url: url.to_owned(), what };
    let (rest, port) = match url.split_once("://") {
        Some(("gpfdist", rest)) => (rest, PORT),
        Some(("http", rest)) => (rest, 80),
        Some(("gpfdists" | "https", _)) => {
            return Err(wrong(
                "this client speaks no TLS: try curl with the files of gpfdists in the segment's data directory",
            ));
        }
        _ => return Err(wrong("it does not begin with gpfdist://")),
    };
    let rest = rest.split('#').next().unwrap_or(rest);
    let slash = rest.find('/').ok_or_else(|| wrong("it has no path"))?;
    let (host, path) = rest.split_at(slash);
    if host.is_empty() || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(wrong("its host is empty, or its path holds a space"));
    }
    let has_port = host.rfind(':').is_some_and(|colon| !host[colon..].contains(']'));
    Ok((if has_port { host.to_owned() } else { format!("{host}:{port}") }, path.to_owned()))
}

/// The first address of the host that answers.
fn connect(authority: &str, options: &Options) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { address: authority.to_owned(), source };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in authority.to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&address, options.connect_wait) {
            Ok(stream) => {
                stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(options.silence_max)).map_err(failed)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// A segment's request, less the headers that tell its files, names and ports.
fn request(authority: &str, path: &str, options: &Options) -> String {
    let Options { segment_id, segment_count, xid, cid, sn, proto, .. } = options;
    format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nAccept: */*\r\nX-GP-XID: {xid}\r\nX-GP-CID: {cid}\r\n\
         X-GP-SN: {sn}\r\nX-GP-SEGMENT-ID: {segment_id}\r\nX-GP-SEGMENT-COUNT: {segment_count}\r\n\
         X-GP-LINE-DELIM-STR: 0A\r\nX-GP-LINE-DELIM-LENGTH: 1\r\nX-GP-PROTO: {proto}\r\n\
         X-GP-CSVOPT: m0x 92q  0n1h0\r\n\r\n"
    )
}

/// What a failed read of the socket means.
fn unread(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset => Error::Cut("by resetting it"),
        // what a socket's read timeout looks like
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Silent,
        _ => Error::Read(error),
    }
}

/// The socket, buffered.
struct Input {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What is there, after a read if nothing is; empty at the end.
    fn fill(&mut self) -> Result<&[u8], Error> {
        if self.start == self.end {
            self.start = 0;
            self.end = loop {
                match self.stream.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(unread)?,
                }
            };
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.fill()?.first().ok_or(Error::Cut("inside its answer"))?;
        self.start += 1;
        Ok(byte)
    }

    /// A line without its end; `budget` bounds all lines of one head.
    fn line(&mut self, budget: &mut usize) -> Result<String, Error> {
        let mut line = Vec::new();
        loop {
            let byte = self.byte()?;
            *budget = budget.checked_sub(1).ok_or_else(|| Error::Malformed("its head has no end".to_owned()))?;
            match byte {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy)]
enum Left {
    /// So many bytes are left of this chunk; `first` while none has begun.
    Chunked {
        bytes: u64,
        first: bool,
    },
    Bytes(u64),
    UntilClose,
    Nothing,
}

/// The head of an answer.
struct Head {
    line: String,
    code: u16,
    proto: Option<u8>,
    left: Left,
}

impl Head {
    /// The first head that is not 1xx.
    fn read(input: &mut Input) -> Result<Self, Error> {
        loop {
            let head = Self::read_one(input)?;
            if !(100..200).contains(&head.code) {
                return Ok(head);
            }
        }
    }

    fn read_one(input: &mut Input) -> Result<Self, Error> {
        let mut budget = HEAD_BYTES_MAX;
        if input.fill()?.is_empty() {
            return Err(Error::Cut("without an answer"));
        }
        let line = input.line(&mut budget)?;
        let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let code = code.ok_or_else(|| Error::Malformed(format!("it begins with {line:.80?}")))?;
        let left = if code == 204 { Left::Nothing } else { Left::UntilClose };
        let mut head = Self { line, code, proto: None, left };
        loop {
            let header = input.line(&mut budget)?;
            let Some((name, value)) = header.split_once(':') else { break };
            head.take(name, value.trim())?;
        }
        Ok(head)
    }

    /// Greenplum compares `X-GP-PROTO` with its case, and so is it here.
    fn take(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let wrong = || Error::Malformed(format!("header {name}: {value}"));
        if name == "X-GP-PROTO" {
            self.proto = Some(value.parse().map_err(|_| wrong())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            self.left = Left::Chunked { bytes: 0, first: true };
        } else if name.eq_ignore_ascii_case("content-length") && !matches!(self.left, Left::Chunked { .. }) {
            self.left = Left::Bytes(value.parse().map_err(|_| wrong())?);
        }
        Ok(())
    }
}

/// A body without its transfer encoding.
struct Body {
    input: Input,
    head: Head,
    left: Left,
}

impl Body {
    /// The next bytes that are there; empty at the body's own end.
    fn fill(&mut self) -> Result<&[u8], Error> {
        let bytes_max = match self.left {
            Left::Nothing | Left::Bytes(0) => return Ok(&[]),
            Left::UntilClose => u64::MAX,
            Left::Bytes(bytes) => bytes,
            Left::Chunked { bytes: 0, first } => match self.next_chunk(first)? {
                0 => return Ok(&[]),
                bytes => bytes,
            },
            Left::Chunked { bytes, .. } => bytes,
        };
        let there = self.input.fill()?;
        if there.is_empty() && bytes_max != u64::MAX {
            return Err(Error::Cut("inside its answer"));
        }
        Ok(&there[..there.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX))])
    }

    /// Gives back what [`Body::fill`] lent.
    fn consume(&mut self, bytes: usize) {
        self.input.start += bytes;
        if let Left::Bytes(left) | Left::Chunked { bytes: left, .. } = &mut self.left {
            *left -= bytes as u64;
        }
    }

    /// The size of the chunk that begins here; 0 is the last.
    fn next_chunk(&mut self, first: bool) -> Result<u64, Error> {
        let mut budget = HEAD_BYTES_MAX;
        if !first {
            self.input.line(&mut budget)?;
        }
        let line = self.input.line(&mut budget)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size =
            u64::from_str_radix(size, 16).map_err(|_| Error::Malformed(format!("a chunk of size {line:.80?}")))?;
        self.left = if size == 0 { Left::Nothing } else { Left::Chunked { bytes: size, first: false } };
        Ok(size)
    }

    fn is_empty(&mut self) -> Result<bool, Error> {
        Ok(self.fill()?.is_empty())
    }

    /// Five bytes, or `None` where the body ends before the first.
    fn message_head(&mut self) -> Result<Option<[u8; frame::HEAD_BYTES]>, Error> {
        if self.is_empty()? {
            return Ok(None);
        }
        let mut head = [0; frame::HEAD_BYTES];
        let mut at = 0;
        self.each(head.len(), "inside a message", |part| {
            head[at..at + part.len()].copy_from_slice(part);
            at += part.len();
            Ok(())
        })?;
        Ok(Some(head))
    }

    fn copy(&mut self, bytes: usize, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.each(bytes, "inside a block", |part| sink.take(part))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Error> {
        self.each(bytes, "inside a message", |_| Ok(()))
    }

    /// The text of an `E`; a peer that sends a book gets its first page read.
    fn text(&mut self, bytes: usize) -> Result<String, Error> {
        let mut text = Vec::new();
        self.each(bytes.min(HEAD_BYTES_MAX), "inside a message", |part| {
            text.extend_from_slice(part);
            Ok(())
        })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn each(
        &mut self,
        bytes: usize,
        place: &'static str,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut left = bytes;
        while left > 0 {
            let there = self.fill()?;
            let part = &there[..there.len().min(left)];
            if part.is_empty() {
                return Err(Error::Cut(place));
            }
            take(part)?;
            let taken = part.len();
            self.consume(taken);
            left -= taken;
        }
        Ok(())
    }
}
