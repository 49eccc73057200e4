//! The listening socket: which port, which backlog, and what to do where it cannot be had. `server` calls it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many ports are tried, upward, where none was asked for by name: more loaders than that on one host are unlikely.
const PORTS_TRIED: u16 = 100;

/// Bytes that the system takes ahead of a segment: two blocks and more than any local network has under way.
const SEND_BUFFER: usize = 256 << 10;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "listening for segments: port {0} is taken; stop what listens there, ask for another port, or for 0: any free one"
    )]
    PortTaken(u16),
    #[error("listening for segments: ports {first} to {last} are all taken; ask for port 0: any free one")]
    NoPortFree { first: u16, last: u16 },
    #[error("listening for segments at {address}: {source}; check the address and the right to use this port")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("starting the threads that serve segments: {0}")]
    Threads(io::Error),
}

/// Listens at `port`, or where it is taken and `is_asked` is false, at the next one that is free.
///
/// # Errors
/// The ports are taken, or the address is not this machine's to listen at.
pub(super) fn listen(bind: IpAddr, port: u16, is_asked: bool, backlog: i32) -> Result<TcpListener, Error> {
    let last = if is_asked || port == 0 { port } else { port.saturating_add(PORTS_TRIED - 1) };
    for port in port..=last {
        let address = SocketAddr::new(bind, port);
        match bound(address, backlog) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(Error::Listen { address, source }),
        }
    }
    if port == last { Err(Error::PortTaken(port)) } else { Err(Error::NoPortFree { first: port, last }) }
}

/// `::` takes both families, and IPv4 alone on a machine without IPv6.
fn bound(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    match bound_exactly(address, backlog) {
        Err(error)
            if address.is_ipv6() && address.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse =>
        {
            bound_exactly(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), backlog)
        }
        other => other,
    }
}

fn bound_exactly(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // connections of the last run may still be in TIME_WAIT; another listener is refused all the same
    socket.set_reuse_address(true)?;
    // accepted sockets inherit it; the system's own choice grows to megabytes, which a segment that stands still, or has
    // come first, would hold while the others wait for work
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn port_of(listener: &TcpListener) -> u16 {
        listener.local_addr().unwrap().port()
    }

    #[test]
    fn a_port_asked_for_and_taken_is_an_error_that_says_what_to_do() {
        let other = listen(LOCAL, 0, false, 16).unwrap();
        let error = listen(LOCAL, port_of(&other), true, 16).unwrap_err();
        assert!(matches!(error, Error::PortTaken(_)));
        assert!(error.to_string().contains("any free one"), "{error}");
    }

    #[test]
    fn a_port_not_asked_for_and_taken_is_passed_over() {
        let other = listen(LOCAL, 0, false, 16).unwrap();
        match listen(LOCAL, port_of(&other), false, 16) {
            Ok(next) => assert!(port_of(&next) > port_of(&other)),
            // the last port of the range may have been given out
            Err(error) => assert_eq!(port_of(&other), u16::MAX, "{error}"),
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let error = listen("192.0.2.1".parse().unwrap(), 0, true, 16).unwrap_err();
        assert!(matches!(error, Error::Listen { .. }), "{error}");
    }

    #[test]
    fn the_unspecified_address_takes_ipv4_too() {
        let listener = listen("::".parse().unwrap(), 0, true, 16).unwrap();
        std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(&listener))).unwrap();
    }
}
