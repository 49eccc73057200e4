//! Names and addresses, tried from this machine: whether a name resolves, and whether somebody listens at an address. All
//! at once and each with a deadline, since a resolver or a firewall may say nothing for minutes.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::job::threads;

/// How long a name may take.
const RESOLVE: Duration = Duration::from_secs(10);

/// How long a connection may take: on any network that a load could run over a small part of this.
const CONNECT: Duration = Duration::from_secs(5);

/// A host and its port, as the job file or a cluster has them.
pub type Address = (String, u16);

/// The addresses of each name, without doubles, or why there are none.
pub fn resolve(names: &[String]) -> Vec<Result<Vec<IpAddr>, String>> {
    let ask = |name: &String| {
        let name = name.clone();
        threads::apart("resolver", move || found(&name, 0).map(|all| all.iter().map(SocketAddr::ip).collect()))
    };
    answers(names.iter().map(ask).collect(), RESOLVE, "no answer from the resolver")
}

/// Whether each address takes a connection, or why not.
pub fn reach(addresses: &[Address]) -> Vec<Result<(), String>> {
    let ask = |(host, port): &Address| {
        let (host, port) = (host.clone(), *port);
        threads::apart("connector", move || connect(&host, port))
    };
    answers(addresses.iter().map(ask).collect(), RESOLVE + CONNECT, "no answer")
}

fn answers<T>(
    asked: Vec<std::io::Result<Receiver<Result<T, String>>>>,
    wait: Duration,
    silence: &str,
) -> Vec<Result<T, String>> {
    let until = Instant::now() + wait;
    let answer = |asked: std::io::Result<Receiver<Result<T, String>>>| {
        let asked = asked.map_err(|error| error.to_string())?;
        let left = until.saturating_duration_since(Instant::now());
        asked.recv_timeout(left).unwrap_or_else(|_| Err(format!("{silence} within {} s", wait.as_secs())))
    };
    asked.into_iter().map(answer).collect()
}

fn found(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let text = error.to_string();
        text.rsplit(": ").next().unwrap_or(&text).to_lowercase()
    })?;
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { Err("the name has no address".to_owned()) } else { Ok(all) }
}

fn connect(host: &str, port: u16) -> Result<(), String> {
    let mut why = String::new();
    for address in found(host, port)? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => {
                let at = if address.ip().to_string() == host { String::new() } else { format!("{}: ", address.ip()) };
                why = format!("{at}{}", in_words(&error));
            }
        }
    }
    Err(why)
}

fn in_words(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused: nobody listens there".to_owned(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => format!("no answer within {} s: a firewall?", CONNECT.as_secs()),
        _ => error.to_string().to_lowercase(),
    }
}

/// The hosts and ports of `host:port, [::1]:port`.
pub fn addresses(written: &str) -> Vec<Address> {
    let address = |one: &str| {
        let (host, port) = one.trim().rsplit_once(':')?;
        let host = host.rsplit('/').next().unwrap_or(host);
        Some((host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?))
    };
    written.split(',').filter_map(address).collect()
}

/// The host of a url, without the credentials in it.
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let shown = |written| {
            addresses(written).iter().map(|(host, port)| format!("{host} {port}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(shown("k1:9092, [::1]:9093,SSL://k2:9094"), "k1 9092, ::1 9093, k2 9094");
        assert_eq!(shown("k1"), "");
        for (url, host) in [
            ("http://r:8081/x", Some("r")),
            ("https://u:p@r.example.com", Some("r.example.com")),
            ("http://[fd00::1]:8081", Some("fd00::1")),
            ("r:8081", None),
            ("http://", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn what_does_not_answer_says_why() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = reach(&[("127.0.0.1".to_owned(), port), ("127.0.0.1".to_owned(), 1)]);
        assert_eq!(answers[0], Ok(()));
        assert_eq!(answers[1], Err("connection refused: nobody listens there".to_owned()));
        let names = resolve(&["127.0.0.1".to_owned(), "nobody.invalid".to_owned()]);
        assert_eq!(names[0], Ok(vec!["127.0.0.1".parse().unwrap()]));
        assert!(names[1].as_ref().is_err_and(|why| !why.is_empty()), "{names:?}");
    }
}
