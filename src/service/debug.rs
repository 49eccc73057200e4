//! `--debug-port`: health and metrics over HTTP, on the loopback address only. The command line starts it.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::metrics::Metrics;

/// A monitor says what it wants at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The page, for as long as this lives.
#[derive(Debug)]
pub struct DebugServer {
    /// Dropping the runtime ends the server.
    _runtime: Runtime,
    port: u16,
}

impl DebugServer {
    /// Listens on 127.0.0.1; port 0 takes any free one.
    ///
    /// # Errors
    /// The port is taken or may not be used.
    pub fn start(port: u16, metrics: &Metrics) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("debug").enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))?;
        let port = listener.local_addr()?.port();
        let metrics = metrics.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let metrics = metrics.clone();
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let response = answer(&request, &metrics);
                        async move { Ok::<_, Infallible>(response) }
                    });
                    // a monitor that hangs up is no concern of ours
                    let mut http = http1::Builder::new();
                    http.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
                    drop(http.serve_connection(TokioIo::new(stream), answer).await);
                });
            }
        });
        Ok(Self { _runtime: runtime, port })
    }

    /// The port that it got.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.text()),
        (&Method::GET, "/health") if metrics.up.get() == 1 => (StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET, "/health") => {
            (StatusCode::SERVICE_UNAVAILABLE, "the job is starting, or waits to try again; see its log\n".to_owned())
        }
        (&Method::GET, _) => (StatusCode::NOT_FOUND, "there is /health and /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn it_tells_health_and_metrics() {
        let metrics = Metrics::default();
        metrics.rows_inserted.inc_by(3);
        let server = DebugServer::start(0, &metrics).unwrap();
        let ask = |path: &str| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        };
        assert!(ask("/health").starts_with("HTTP/1.1 503"));
        metrics.up.set(1);
        assert!(ask("/health").starts_with("HTTP/1.1 200 OK"));
        assert!(ask("/metrics").contains("gpkafka_rows_inserted_total 3"));
        assert!(ask("/other").starts_with("HTTP/1.1 404"));
    }
}
