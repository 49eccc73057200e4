//! Listens on the wire between a client and a server: who can read the network reads that much.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was carried each way.
type Heard = Arc<Mutex<[Vec<u8>; 2]>>;

/// Carries bytes both ways, and keeps them.
#[derive(Debug)]
pub struct Tap {
    pub port: u16,
    heard: Heard,
}

impl Tap {
    /// Listens at an address; connects to another for each who comes.
    pub fn start(at: &str, to: (&'static str, u16)) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Heard::default();
        let kept = Arc::clone(&heard);
        spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(to).unwrap());
                let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
                for (way, (from, into)) in ways.into_iter().enumerate() {
                    let kept = Arc::clone(&kept);
                    spawn(move || carry(from, into, |bytes| kept.lock().unwrap()[way].extend(bytes)));
                }
            }
        });
        Self { port, heard }
    }

    /// Whether these bytes were carried, either way.
    pub fn has_heard(&self, bytes: &[u8]) -> bool {
        self.heard.lock().unwrap().iter().any(|heard| heard.windows(bytes.len()).any(|window| window == bytes))
    }

    /// How many bytes were carried.
    pub fn bytes(&self) -> usize {
        self.heard.lock().unwrap().iter().map(Vec::len).sum()
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(work).unwrap();
}

fn carry(mut from: TcpStream, mut into: TcpStream, keep: impl Fn(&[u8])) {
    let mut buffer = [0; 16384];
    while let Ok(bytes @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..bytes]);
        if into.write_all(&buffer[..bytes]).is_err() {
            break;
        }
    }
    drop(into.shutdown(Shutdown::Both));
}
