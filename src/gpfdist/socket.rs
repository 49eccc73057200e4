//! A segment's socket: how it is set up, and how it is closed without its last bytes being lost. `server` calls it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::time::timeout;

/// What a segment is served over: its socket, or TLS on it.
pub(super) trait Line: AsyncRead + AsyncWrite + Unpin {
    /// The socket itself, for what is no matter of bytes served.
    fn tcp(&mut self) -> &mut TcpStream;
}

impl Line for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    // a segment host that vanished is noticed within two minutes even while nothing is sent
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)
}

/// What comes of `work`, or `None` where the connection is cut off before.
pub(super) async fn unless_cut<T>(cut_off: &mut Pin<&mut Notified<'_>>, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    poll_fn(|context| match cut_off.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context).map(Some),
    })
    .await
}

/// Waits for the peer to close, so long at most and not once it is cut off, then closes.
pub(super) async fn close(mut line: impl Line, linger: Duration, mut cut_off: Pin<&mut Notified<'_>>) {
    let mut rest = [0; 4096];
    let stream = line.tcp();
    let drained =
        unless_cut(&mut cut_off, async { while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} });
    let peer_closed = timeout(linger, drained).await.is_ok();
    // a failure here leaves a reset instead, to a peer that has everything
    let lingers = SockRef::from(&*stream).set_linger(None);
    drop((peer_closed, lingers));
}
