//! The HTTP server that segments read from: sockets, heads, bodies, and how a connection ends. Who may read and what
//! comes next is decided in `request` and `session`. Job starts one per process; beside `body` the only gpfdist file that names hyper.
//!
//! Facts it stands on: Greenplum compares `X-GP-PROTO` with its case and takes anything else for protocol 0; a kept-alive
//! connection makes libcurl repeat a GET unseen; HTTP/2 would lower-case every name.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fail::fail_point;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::body::{Answer, Rows};
use super::guests::{Guest, Guests};
use super::handle::{Attached, Registry, Session};
use super::listen::{Error, listen};
use super::request::{self, Protocol, Refusal};
use super::scans::{Scans, Source};
use super::secured::{NoHandshake, Secured};
use super::session::Scan;
use super::settings::Settings;
use super::socket::{Line, close, prepare, unless_cut};
use super::tls::Tls;
use crate::metrics::Metrics;

/// Greenplum's heads take about 1 KiB, but names of databases and paths vary. It also bounds what waits inside hyper
/// before a connection takes another block.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Greenplum sends 17; proxies add some.
const HEADERS_MAX: usize = 256;

/// How long stopping waits for connections to be told.
const STOP: Duration = Duration::from_secs(1);

/// How long accepting rests when the machine has no descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The running server. One serves any number of external tables and loads.
///
/// # Drop
/// Fails what is open, tells the connections for at most a second, and stops. Never call it on a tokio thread.
#[derive(Debug)]
pub struct Server {
    /// Taken by drop alone.
    runtime: Option<Runtime>,
    accepting: tokio::task::JoinHandle<()>,
    /// Ends when the last connection has.
    ended: mpsc::Receiver<Infallible>,
    served: Arc<Served>,
    address: SocketAddr,
    grace: Duration,
}

/// What every connection shares.
#[derive(Debug)]
struct Served {
    registry: Arc<Registry>,
    /// Where every path is one of a source's.
    scans: Option<Arc<Scans>>,
    metrics: Metrics,
    guests: Arc<Guests>,
    heartbeat: Duration,
    linger: Duration,
    /// Time for a handshake, and then for a head.
    head_timeout: Duration,
    tls: Option<Tls>,
    http: http1::Builder,
    /// A response with these extensions spells `X-GP-PROTO` as Greenplum does, however the request did.
    spelling: hyper::http::Extensions,
}

impl Server {
    /// Starts listening and serving.
    ///
    /// # Errors
    /// The port is taken, the address is not ours, or threads cannot be started.
    ///
    /// # Blocks
    /// For moments; never call it on a tokio thread.
    pub fn start(settings: &Settings, metrics: &Metrics) -> Result<Self, Error> {
        Self::start_with(settings, metrics, None)
    }

    /// As [`Server::start`], but that each path is asked of a source: nothing is to be announced or opened.
    ///
    /// # Errors
    /// As [`Server::start`].
    ///
    /// # Blocks
    /// As [`Server::start`].
    pub fn serve(settings: &Settings, metrics: &Metrics, source: Arc<dyn Source>) -> Result<Self, Error> {
        Self::start_with(settings, metrics, Some(Arc::new(Scans::new(source, settings.scans.clone(), metrics.clone()))))
    }

    fn start_with(settings: &Settings, metrics: &Metrics, scans: Option<Arc<Scans>>) -> Result<Self, Error> {
        let listener = listen(settings.bind, settings.port, settings.port_is_asked, settings.backlog)?;
        let address = listener.local_addr().map_err(Error::Threads)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(settings.threads)
            .thread_name("gpfdist")
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let served = Arc::new(Served {
            registry: Arc::default(),
            scans,
            metrics: metrics.clone(),
            guests: Guests::new(settings.guests_max),
            heartbeat: settings.heartbeat,
            linger: settings.linger,
            head_timeout: settings.head_timeout,
            tls: settings.tls.clone(),
            http: http(settings.head_timeout),
            spelling: runtime.block_on(spelling()),
        });
        let (alive, ended) = mpsc::channel(1);
        let accepting = runtime.spawn(accept(listener, Arc::clone(&served), alive));
        Ok(Self { runtime: Some(runtime), accepting, ended, served, address, grace: settings.grace })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens at.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Knows a path from now on: without a session a request for it is told so (409), not that there is no such path.
    pub fn accept_path(&self, path: &str) {
        self.served.registry.accept(path);
    }

    /// Forgets a path and its sessions for later requests.
    pub fn forget_path(&self, path: &str) {
        self.served.registry.forget(path);
    }

    /// Whether segments are to call it `gpfdists://`.
    pub fn has_tls(&self) -> bool {
        self.served.tls.is_some()
    }

    /// Opens a session. Open it before the statement is sent: segments that come earlier are refused.
    pub fn open(&self, scan: Scan) -> Session {
        let runtime = self.runtime.as_ref().expect("only drop takes it").handle();
        Session::open(scan, &self.served.registry, &self.served.metrics, runtime, self.grace)
    }

    /// Sessions that are open, or over for less than the grace period.
    pub fn sessions(&self) -> usize {
        self.served.sessions()
    }
}

impl Served {
    fn sessions(&self) -> usize {
        self.registry.sessions() + self.scans.as_ref().map_or(0, |scans| scans.open())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.served.registry.fail_all("gpkafka is stopping");
        self.served.scans.iter().for_each(|scans| scans.fail_all("gpkafka is stopping"));
        self.accepting.abort();
        if let Some(runtime) = self.runtime.take() {
            // late ones are cut, which they can tell from an end
            let told = runtime.block_on(async { timeout(STOP, self.ended.recv()).await });
            drop(told);
            runtime.shutdown_timeout(STOP);
        }
    }
}

fn http(head_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.keep_alive(false)
        .preserve_header_case(true)
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    http
}

/// hyper keeps the spelling of header names in a private extension that only a parsed request has; so one is parsed.
async fn spelling() -> hyper::http::Extensions {
    let (mut near, far) = tokio::io::duplex(1024);
    let kept = Arc::new(Mutex::new(hyper::http::Extensions::new()));
    let service = service_fn(|request: HttpRequest<Incoming>| {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = request.extensions().clone();
        async { Ok::<_, Infallible>(Response::new(Answer::Text(None))) }
    });
    let request = near.write_all(b"GET / HTTP/1.1\r\nX-GP-PROTO: 1\r\n\r\n").await;
    let mut builder = http1::Builder::new();
    let served =
        builder.keep_alive(false).preserve_header_case(true).serve_connection(TokioIo::new(far), service).await;
    debug_assert!(request.is_ok() && served.is_ok(), "a canned request in memory is served");
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.clone()
}

async fn accept(listener: StdListener, served: Arc<Served>, alive: mpsc::Sender<Infallible>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (served, alive) = (Arc::clone(&served), alive.clone());
                drop(tokio::spawn(async move {
                    serve(stream, served).await;
                    drop(alive);
                }));
            }
            Err(_) => {
                served.guests.show_half_out();
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One connection, one request.
///
/// It is set to be reset rather than closed until its answer is complete: so even a killed process can't make a cut look
/// like the end of a protocol 0 body.
async fn serve(stream: TcpStream, served: Arc<Served>) {
    if prepare(&stream).is_err() {
        return;
    }
    let cut = Arc::new(Notify::new());
    let guest = served.guests.admit(&cut);
    match &served.tls {
        None => answer_on(stream, &served, &cut, guest).await,
        Some(tls) => {
            let Ok(line) = Secured::new(tls, stream) else { return };
            if let Some(line) = shaken(line, &served, &cut).await {
                answer_on(line, &served, &cut, guest).await;
            }
        }
    }
}

/// The connection after its handshake. Who takes too long is cut off as who is slow with a head is; who is refused can
/// read why.
async fn shaken(mut line: Secured, served: &Served, cut: &Notify) -> Option<Secured> {
    let mut cut_off = pin!(cut.notified());
    match unless_cut(&mut cut_off, timeout(served.head_timeout, line.shake_hands())).await {
        Some(Ok(Ok(()))) => Some(line),
        Some(Ok(Err(NoHandshake))) => {
            let half_closed = line.tcp().shutdown().await;
            close(line, served.linger, cut_off).await;
            drop(half_closed);
            None
        }
        Some(Err(_)) | None => None,
    }
}

async fn answer_on(line: impl Line, served: &Served, cut: &Arc<Notify>, guest: Guest) {
    let attached = Mutex::new(None);
    let guest = Mutex::new(Some(guest));
    let service = service_fn(|request: HttpRequest<Incoming>| {
        let (attached, guest) = (&attached, &guest);
        async move {
            let (answer, segment) = answer(served, request, cut).await;
            if segment.is_some() {
                drop(taken(guest));
            }
            *attached.lock().unwrap_or_else(PoisonError::into_inner) = segment;
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = served.http.serve_connection(TokioIo::new(line), service);
    let mut cut_off = pin!(cut.notified());
    let outcome = unless_cut(&mut cut_off, poll_fn(|context| Pin::new(&mut connection).poll(context))).await;
    let line = connection.into_parts().io.into_inner();
    let attached = attached.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (outcome, attached) {
        (Some(Ok(())), attached) => {
            let has_rows = attached.is_some();
            attached.into_iter().for_each(Attached::written);
            let begun = Instant::now();
            close(line, served.linger, cut_off).await;
            // what the kernel still held for the segment is taken by now
            if has_rows {
                served.metrics.seconds.segment_taking.inc_by(begun.elapsed().as_secs_f64());
            }
        }
        // hyper has answered a malformed head, or where it is of HTTP/2 leaves that to us, who have no answer
        (Some(Err(error)), None) if !error.is_timeout() => {
            let mut line = line;
            let half_closed = timeout(served.linger, line.shutdown()).await;
            close(line, served.linger, cut_off).await;
            drop(half_closed);
        }
        (_, attached) => drop((attached, line)),
    }
    drop(taken(&guest));
}

fn taken(guest: &Mutex<Option<Guest>>) -> Option<Guest> {
    guest.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The answer to a request, and the session's connection where there is one.
async fn answer(
    served: &Served,
    request: HttpRequest<Incoming>,
    cut: &Arc<Notify>,
) -> (Response<Answer>, Option<Attached>) {
    // its body, which is none, is nothing to hold on to
    let (head, _) = request.into_parts();
    let checked = request::check_method(head.method.as_str());
    if checked.is_ok() && head.uri.path() == request::STATUS_PATH {
        let text = format!("gpkafka {}: {} sessions\n", env!("CARGO_PKG_VERSION"), served.sessions());
        return (Response::new(Answer::Text(Some(text.into()))), None);
    }
    fail_point!("segment-asks");
    let attached = match (checked, &served.scans) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), None) => attach(served, &head, cut),
        (Ok(()), Some(scans)) => attach_to_scan(scans, &head, cut).await,
    };
    match attached {
        Ok((attached, protocol)) => (rows(served, &attached, protocol), Some(attached)),
        Err(refusal) => {
            served.metrics.scans_refused.inc();
            (refused(refusal), None)
        }
    }
}

fn headers(head: &Parts) -> impl Iterator<Item = (&str, &[u8])> {
    head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

fn attach(served: &Served, head: &Parts, cut: &Arc<Notify>) -> Result<(Attached, Protocol), Refusal> {
    let path = head.uri.path();
    if !served.registry.is_accepted(path) {
        return Err(Refusal::new(404, "this gpkafka serves no such external table"));
    }
    let request = request::parse(headers(head))?;
    Ok((served.registry.attach(path, &request, Arc::clone(cut))?, request.protocol))
}

async fn attach_to_scan(scans: &Arc<Scans>, head: &Parts, cut: &Arc<Notify>) -> Result<(Attached, Protocol), Refusal> {
    let (request, terms) = request::parse_for_file(headers(head))?;
    // a question mark is a sign of a pattern as any other
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let attached = scans.attach(path, &request, terms, Arc::clone(cut)).await?;
    Ok((attached, request.protocol))
}

fn rows(served: &Served, attached: &Attached, protocol: Protocol) -> Response<Answer> {
    let number = match protocol {
        Protocol::Framed => "1",
        Protocol::Raw => "0",
    };
    let rows = Rows::new(attached, protocol, served.heartbeat, served.metrics.seconds.clone());
    let mut response = Response::new(Answer::Rows(rows));
    *response.extensions_mut() = served.spelling.clone();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-gp-proto"), HeaderValue::from_static(number));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

fn refused(refusal: Refusal) -> Response<Answer> {
    let mut response = Response::new(Answer::Text(Some(format!("{}\n", refusal.reason).into())));
    *response.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if refusal.status == 405 {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    }
    if let Ok(reason) = ReasonPhrase::try_from(refusal.reason) {
        response.extensions_mut().insert(reason);
    }
    response
}
