//! A segment's socket: how it is set up, and how it is closed without its last bytes being lost. `server` calls it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use tokio::time::timeout;

pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    // a segment host that vanished is noticed within two minutes even while nothing is sent
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)
}

/// Waits for the peer to close, so long at most and not once it is cut off, then closes.
pub(super) async fn close(mut stream: TcpStream, linger: Duration, mut cut_off: Pin<&mut Notified<'_>>) {
    let mut rest = [0; 4096];
    let mut drained = pin!(async { while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} });
    let ended = poll_fn(|context| match drained.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => cut_off.as_mut().poll(context),
    });
    let peer_closed = timeout(linger, ended).await.is_ok();
    // a failure here leaves a reset instead, to a peer that has everything
    let lingers = SockRef::from(&stream).set_linger(None);
    drop((peer_closed, lingers));
}
