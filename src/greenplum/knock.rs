//! A knock at the door before a session: whether what listens at an address is a database server at all. The SQL client
//! waits for the first answer without an end, so a wrong port that says nothing would hold it for ever.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// `SSLRequest` of the PostgreSQL protocol, 8 bytes: every server since 7.0 answers it with one byte, before it asks who
/// is there and with what right.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// What is wrong with the answer; `Ok` also where nobody can be connected to, which the client says better.
pub(super) fn knock(host: &str, port: u16, wait: Duration) -> Result<(), String> {
    if host.starts_with('/') {
        return Ok(());
    }
    let Ok(addresses) = (host, port).to_socket_addrs() else { return Ok(()) };
    let connected = addresses.map(|address| TcpStream::connect_timeout(&address, wait)).find_map(Result::ok);
    connected.map_or(Ok(()), |stream| listen(stream, wait))
}

fn listen(mut stream: TcpStream, wait: Duration) -> Result<(), String> {
    let mut answer = [0];
    let asked = stream.set_read_timeout(Some(wait)).and_then(|()| stream.write_all(&SSL_REQUEST));
    match asked.and_then(|()| read(&mut stream, &mut answer)) {
        // no, yes, and the error of a server that is too busy or too old
        Ok(1) if matches!(answer[0], b'N' | b'S' | b'E') => Ok(()),
        Ok(0) => Err("what listens there closes the connection, as no database server does".to_owned()),
        Ok(_) => Err("what answers there is no PostgreSQL or Greenplum server".to_owned()),
        Err(_) => Err(format!("what listens there has said nothing for {} s", wait.as_secs())),
    }
}

/// A signal interrupts a read that has a timeout, and says nothing of the server.
fn read(stream: &mut TcpStream, answer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(answer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is said of a listener that answers so.
    fn said_of(answer: &'static [u8]) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::scope(|scope| {
            let server = scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.read_exact(&mut [0; 8]).unwrap();
                stream.write_all(answer).unwrap();
            });
            let said = knock("127.0.0.1", port, Duration::from_secs(10));
            server.join().unwrap();
            said
        })
    }

    #[test]
    fn a_database_answers_with_a_letter() {
        for answer in [&b"N"[..], b"S", b"E"] {
            assert_eq!(said_of(answer), Ok(()));
        }
    }

    #[test]
    fn what_is_no_database_is_told() {
        assert!(said_of(b"HTTP/1.1 400").unwrap_err().contains("no PostgreSQL"));
        assert!(said_of(b"").unwrap_err().contains("closes the connection"));
    }

    #[test]
    fn silence_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = knock("127.0.0.1", port, Duration::from_millis(200)).unwrap_err();
        assert!(said.contains("has said nothing"), "{said}");
    }

    #[test]
    fn nobody_there_is_for_the_client_to_tell() {
        assert_eq!(knock("127.0.0.1", 1, Duration::from_millis(200)), Ok(()));
        assert_eq!(knock("nobody.invalid", 5432, Duration::from_millis(200)), Ok(()));
    }
}
