//! A schema registry of a test's own: a small HTTP server that knows what the test has registered, and that can be told
//! to demand credentials, to speak TLS, and to fail in the ways in which servers do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslAcceptor, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use serde_json::{Value, json};

use super::wait::SOON;

/// What the server does with every request, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Answers with a status and this body.
    Says(u16, String),
    /// Takes the request and says nothing.
    Hangs,
    /// Says how long its answer is, which is too long, and no more.
    Boasts,
    /// An answer without a length that never ends.
    Floods,
    /// An answer byte by byte that is never whole.
    Drips,
    /// Closes in the middle of an answer.
    Breaks,
    /// Leads to another address, the path kept.
    Redirects(String),
}

/// How a server speaks TLS.
#[derive(Default)]
pub struct Tls<'a> {
    /// Only clients that this authority vouches for.
    pub clients: Option<&'a Authority>,
    pub max_version: Option<SslVersion>,
}

/// The server. Dropping it ends it.
pub struct Registry {
    port: u16,
    is_secure: bool,
    shared: Arc<Mutex<Shared>>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    is_over: bool,
    mood: Mood,
    /// `user:password` in base64, if they are asked for.
    credentials: Option<String>,
    /// Each with its id, its place in the list and one.
    schemas: Vec<Registered>,
    requests: Vec<String>,
}

struct Registered {
    subject: String,
    version: usize,
    /// `schema`, `schemaType` and `references`.
    told: Value,
}

impl Registry {
    /// Speaks HTTP.
    pub fn start() -> Self {
        Self::start_at(0)
    }

    /// The same on a port of one's choice, where none was before.
    pub fn start_at(port: u16) -> Self {
        Self::listening(port, None)
    }

    /// Speaks HTTPS as `localhost`, with a certificate of this authority.
    pub fn secure(authority: &Authority, tls: &Tls<'_>) -> Self {
        let (certificate, key) = authority.issue("localhost");
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
        acceptor.set_certificate(&X509::from_pem(&certificate).unwrap()).unwrap();
        acceptor.set_private_key(&PKey::private_key_from_pem(&key).unwrap()).unwrap();
        acceptor.set_max_proto_version(tls.max_version).unwrap();
        if let Some(clients) = tls.clients {
            acceptor.cert_store_mut().add_cert(clients.certificate.clone()).unwrap();
            acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        }
        Self::listening(0, Some(acceptor.build()))
    }

    /// At port 0 the system finds one that is free.
    fn listening(port: u16, acceptor: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("there is a port");
        let port = listener.local_addr().expect("it listens").port();
        let is_secure = acceptor.is_some();
        let shared =
            Shared { is_over: false, mood: Mood::Well, credentials: None, schemas: Vec::new(), requests: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let of_thread = Arc::clone(&shared);
        let accept = move || accept(&listener, acceptor.map(Arc::new), &of_thread);
        let accepting = Builder::new().name("registry".to_owned()).spawn(accept).expect("there is a thread");
        Self { port, is_secure, shared, accepting: Some(accepting) }
    }

    /// Where it is, as a job file names it.
    pub fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// The same with credentials in it.
    pub fn url_of(&self, user: &str) -> String {
        self.url().replace("://", &format!("://{user}@"))
    }

    /// Registers an Avro schema as the next version of a subject, and returns its id.
    pub fn avro(&self, subject: &str, text: &str) -> u32 {
        self.register(subject, json!({ "schema": text }))
    }

    /// Registers a Protobuf schema likewise; references are `(import path, subject, version)`.
    pub fn protobuf(&self, subject: &str, text: &str, references: &[(&str, &str, usize)]) -> u32 {
        let references: Vec<Value> = references
            .iter()
            .map(|(name, subject, version)| json!({ "name": name, "subject": subject, "version": version }))
            .collect();
        self.register(subject, json!({ "schema": text, "schemaType": "PROTOBUF", "references": references }))
    }

    /// Registers what the registry is to say of a schema: `schema`, and `schemaType` and `references` where it has them.
    pub fn register(&self, subject: &str, told: Value) -> u32 {
        let mut shared = lock(&self.shared);
        let version = 1 + shared.schemas.iter().filter(|schema| schema.subject == subject).count();
        shared.schemas.push(Registered { subject: subject.to_owned(), version, told });
        u32::try_from(shared.schemas.len()).expect("tests register a few")
    }

    /// From now on only requests with these credentials, `user:password` in base64, are served.
    pub fn demand(&self, base64: &str) {
        lock(&self.shared).credentials = Some(base64.to_owned());
    }

    pub fn set_mood(&self, mood: Mood) {
        lock(&self.shared).mood = mood;
    }

    /// Paths that were asked for, in order.
    pub fn requests(&self) -> Vec<String> {
        lock(&self.shared).requests.clone()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        lock(&self.shared).is_over = true;
        // wakes the thread that accepts
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("no thread of the registry panics with it")
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn accept(listener: &TcpListener, acceptor: Option<Arc<SslAcceptor>>, shared: &Arc<Mutex<Shared>>) {
    for stream in listener.incoming() {
        if lock(shared).is_over {
            return;
        }
        let Ok(stream) = stream else { continue };
        stream.set_read_timeout(Some(SOON)).expect("it is not zero");
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(shared));
        let serve = move || match acceptor {
            None => serve(Box::new(stream), &shared),
            Some(acceptor) => {
                let plain = stream.try_clone().expect("there is room for one more");
                match acceptor.accept(stream) {
                    Ok(stream) => serve(Box::new(stream), &shared),
                    Err(_) => say_no_more(plain),
                }
            }
        };
        // ends with its connection
        drop(Builder::new().name("registry-request".to_owned()).spawn(serve));
    }
}

/// Closes a connection whose handshake failed so that the alert of it arrives: what is left unread would reset it.
fn say_no_more(mut stream: TcpStream) {
    drop(stream.shutdown(Shutdown::Write));
    drop(std::io::copy(&mut stream, &mut std::io::sink()));
}

/// One request, one answer, and the connection is closed. What the client does not want to read any more is its business.
fn serve(stream: Box<dyn Stream>, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let path = head.split(' ').nth(1).map(str::to_owned);
    let stream = reader.get_mut();
    let Some(path) = path else {
        // what speaks something else than HTTP may not want to know
        return drop(say(stream, 400, "", ""));
    };
    let mood = {
        let mut shared = lock(shared);
        shared.requests.push(path.clone());
        shared.mood.clone()
    };
    drop(match mood {
        Mood::Well => {
            let (status, body) = answer(&lock(shared), &path, &head);
            say(stream, status, "", &body)
        }
        Mood::Says(status, body) => say(stream, status, "", &body),
        Mood::Hangs => stream.read(&mut [0]).map(drop),
        Mood::Boasts => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
            .and_then(|()| stream.flush())
            .and_then(|()| stream.read(&mut [0]).map(drop)),
        Mood::Floods => endlessly(stream, &[b' '; 65536], None),
        Mood::Drips => endlessly(stream, b" ", Some(Duration::from_millis(10))),
        Mood::Breaks => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{{").and_then(|()| stream.flush())
        }
        Mood::Redirects(to) => say(stream, 302, &format!("Location: {to}{path}\r\n"), ""),
    });
}

fn say(stream: &mut dyn Stream, status: u16, header: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} -\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    stream.flush()
}

/// Until the client has gone.
fn endlessly(stream: &mut dyn Stream, piece: &[u8], pause: Option<Duration>) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    loop {
        stream.write_all(piece)?;
        stream.flush()?;
        pause.into_iter().for_each(std::thread::park_timeout);
    }
}

fn answer(shared: &Shared, path: &str, head: &str) -> (u16, String) {
    let wants = shared.credentials.as_ref().map(|credentials| format!("basic {credentials}").to_lowercase());
    let brings = |wanted: &String| head.to_lowercase().contains(wanted);
    if !wants.as_ref().is_none_or(brings) {
        return (401, json!({ "error_code": 401, "message": "Unauthorized" }).to_string());
    }
    let path = path.split('?').next().unwrap_or_default();
    let elements: Vec<&str> = path.trim_matches('/').split('/').collect();
    match elements[..] {
        ["schemas", "ids", id] => {
            let at = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
            let found = at.and_then(|at| shared.schemas.get(at));
            found.map_or_else(|| missing(40403, "Schema"), |found| (200, found.told.to_string()))
        }
        ["subjects", subject, "versions", version] => {
            let of_subject = || shared.schemas.iter().enumerate().filter(|(_, schema)| schema.subject == subject);
            let found = match version {
                "latest" => of_subject().next_back(),
                version => of_subject().find(|(_, schema)| schema.version.to_string() == version),
            };
            let Some((at, found)) = found else { return missing(40401, "Subject") };
            let mut told = found.told.clone();
            told["subject"] = subject.into();
            told["version"] = found.version.into();
            told["id"] = (at + 1).into();
            (200, told.to_string())
        }
        _ => (404, "<html>no such page</html>".to_owned()),
    }
}

fn missing(code: u32, what: &str) -> (u16, String) {
    (404, json!({ "error_code": code, "message": format!("{what} not found") }).to_string())
}

/// Makes certificates.
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = key();
        let certificate = certificate(name, &key, None);
        Self { certificate, key }
    }

    /// Its own certificate, PEM: what a CA file holds.
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    /// A certificate for a host or a client, and its key, both PEM.
    pub fn issue(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = key();
        let certificate = certificate(name, &key, Some(self));
        (certificate.to_pem().unwrap(), key.private_key_to_pem_pkcs8().unwrap())
    }
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// Signed by an authority, or by itself as one.
fn certificate(name: &str, key: &PKey<Private>, authority: Option<&Authority>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::ONE, false).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(authority.map_or(&*subject, |by| by.certificate.subject_name())).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    if authority.is_none() {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    } else {
        let names = SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(authority.map_or(key, |by| &by.key), MessageDigest::sha256()).unwrap();
    builder.build()
}
