//! A segment's socket with TLS: the handshake, and who gets an answer instead of one. `server` calls it; what is served is
//! the same with and without.
//!
//! The rule that a cut never looks like an end holds one layer up too: `close_notify` is sent where an answer is complete
//! and nowhere else, and until then the socket is set to be reset.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::socket::Line;
use super::tls::Tls;

/// What every handshake begins with; no method of HTTP does.
const HANDSHAKE: u8 = 0x16;

/// For who speaks HTTP to us; the reason phrase is what Greenplum shows.
const PLAIN: &[u8] = b"HTTP/1.1 400 this gpkafka speaks TLS: the LOCATION is to begin with gpfdists://\r\n\
    Content-Length: 0\r\nConnection: close\r\n\r\n";

/// The most that a record of TLS holds.
const RECORD_BYTES: usize = 16 * 1024;

/// See the module.
pub(super) struct Secured {
    stream: SslStream<TcpStream>,
    /// What goes into one record together.
    record: Vec<u8>,
}

/// Why there is no handshake; whoever asked for one has been told, as far as there are words for it.
#[derive(Debug)]
pub(super) struct NoHandshake;

impl Secured {
    /// Before anything is said.
    pub(super) fn new(tls: &Tls, stream: TcpStream) -> Result<Self, NoHandshake> {
        let stream = tls.session().and_then(|ssl| SslStream::new(ssl, stream));
        Ok(Self { stream: stream.map_err(|_| NoHandshake)?, record: Vec::new() })
    }

    /// Shakes hands; for as long as the other end takes.
    pub(super) async fn shake_hands(&mut self) -> Result<(), NoHandshake> {
        let mut first = [0];
        match self.tcp().peek(&mut first).await {
            Ok(1) if first[0] == HANDSHAKE => {}
            Ok(1) => {
                drop(self.tcp().write_all(PLAIN).await);
                return Err(NoHandshake);
            }
            _ => return Err(NoHandshake),
        }
        Pin::new(&mut self.stream).accept().await.map_err(|_| NoHandshake)
    }
}

impl Line for Secured {
    fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    /// A record is filled with small parts, of which every block has some; a large one is not copied. Who is told to try
    /// again comes with the same bytes, perhaps with more behind them, which OpenSSL allows.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, record } = self.get_mut();
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        if first.len() >= RECORD_BYTES {
            return Pin::new(stream).poll_write(context, first);
        }
        record.clear();
        for part in parts {
            let room = RECORD_BYTES - record.len();
            record.extend_from_slice(&part[..part.len().min(room)]);
        }
        Pin::new(stream).poll_write(context, record)
    }

    /// So that blocks wait uncopied, their memory permits inside.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// All that was served is in the kernel's hands by now. A segment closes at once when it has its end, so that nobody may
    /// hear `close_notify` any more, which is no failure: a socket alone has none either.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_shutdown(context)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Pin::new(self.tcp()).poll_shutdown(context),
        }
    }
}
