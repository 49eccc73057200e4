//! A wire between loader and database that breaks at COMMIT: what a network does at the worst moment. Everything else
//! passes as it is.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

use crate::harness::Database;

/// The simple query `COMMIT` of the protocol: kind, length, text, NUL. Nothing follows it before its reply.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// How long a read waits before it looks whether the wire is to end.
const LOOK: Duration = Duration::from_millis(20);

/// What befalls the connection that sends a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtCommit {
    /// The COMMIT goes through, and nothing comes back any more.
    HoldReply,
    /// The COMMIT goes through, and instead of its reply the connection is cut.
    CutAfter,
    /// The connection is cut and the COMMIT does not go through.
    CutBefore,
    /// All of the loader's connections are cut, but the server does not notice; it gets the COMMIT when
    /// [`Wire::release`] is called.
    KeepBack,
}

/// The wire. It listens from the start and carries bytes inside [`Wire::during`].
pub struct Wire {
    listener: TcpListener,
    server: (String, u16),
    rule: AtCommit,
    /// COMMITs that still pass unharmed.
    spared: AtomicUsize,
    has_struck: AtomicBool,
    is_released: AtomicBool,
    is_over: AtomicBool,
    links: Mutex<Vec<Arc<Link>>>,
}

/// One connection on both sides.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Replies are swallowed.
    is_mute: AtomicBool,
    /// The next reply cuts it.
    is_doomed: AtomicBool,
    /// The server's side stays though the client's is cut.
    outlives_client: AtomicBool,
}

impl Link {
    fn cut(&self) {
        drop((self.client.shutdown(Shutdown::Both), self.server.shutdown(Shutdown::Both)));
    }
}

impl Wire {
    /// A wire to `db` that strikes at the COMMIT after so many.
    pub fn to(db: &Database, rule: AtCommit, spared: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            server: (db.host.clone(), db.port),
            rule,
            spared: AtomicUsize::new(spared),
            has_struck: AtomicBool::new(false),
            is_released: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            links: Mutex::default(),
        }
    }

    /// Where the loader connects.
    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Carries bytes while `work` runs.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        struct End<'w>(&'w Wire);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.is_over.store(true, Ordering::SeqCst);
            }
        }
        std::thread::scope(|scope| {
            // also when `work` panics: the threads of this scope must end
            let _end = End(self);
            scope.spawn(|| self.accept(scope));
            work()
        })
    }

    /// Whether a COMMIT has met its fate.
    pub fn has_struck(&self) -> bool {
        self.has_struck.load(Ordering::SeqCst)
    }

    /// Lets the COMMIT through that was kept back.
    pub fn release(&self) {
        self.is_released.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn accept<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        while !self.is_over() {
            let Ok((client, _)) = self.listener.accept() else {
                std::thread::park_timeout(LOOK);
                continue;
            };
            let server = TcpStream::connect((self.server.0.as_str(), self.server.1)).unwrap();
            for stream in [&client, &server] {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LOOK)).unwrap();
                stream.set_nodelay(true).unwrap();
            }
            let [is_mute, is_doomed, outlives_client] = Default::default();
            let link = Arc::new(Link { client, server, is_mute, is_doomed, outlives_client });
            self.links.lock().unwrap().push(Arc::clone(&link));
            let down = Arc::clone(&link);
            scope.spawn(move || self.carry_up(&link));
            scope.spawn(move || self.carry_down(&down));
        }
    }

    /// The next piece from one side; empty at its end.
    fn read(&self, mut from: &TcpStream, buffer: &mut [u8]) -> usize {
        while !self.is_over() {
            match from.read(buffer) {
                Ok(bytes) => return bytes,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(_) => return 0,
            }
        }
        0
    }

    fn carry_up(&self, link: &Link) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = self.read(&link.client, &mut buffer);
            if bytes == 0 {
                break;
            }
            // what closes an earlier statement may come in the same piece
            if let Some(before) = buffer[..bytes].strip_suffix(COMMIT).filter(|_| self.is_due()) {
                self.strike(link, before);
            } else if (&link.server).write_all(&buffer[..bytes]).is_err() {
                break;
            }
        }
        if !link.outlives_client.load(Ordering::SeqCst) {
            link.cut();
        }
    }

    fn carry_down(&self, link: &Link) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let bytes = self.read(&link.server, &mut buffer);
            if bytes == 0 || link.is_doomed.load(Ordering::SeqCst) {
                return link.cut();
            }
            if !link.is_mute.load(Ordering::SeqCst) {
                // who is cut off hears nothing
                drop((&link.client).write_all(&buffer[..bytes]));
            }
        }
    }

    fn is_due(&self) -> bool {
        let spared = self.spared.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spared.is_err() && !self.has_struck.swap(true, Ordering::SeqCst)
    }

    fn strike(&self, link: &Link, before: &[u8]) {
        match self.rule {
            AtCommit::HoldReply => link.is_mute.store(true, Ordering::SeqCst),
            AtCommit::CutAfter => link.is_doomed.store(true, Ordering::SeqCst),
            AtCommit::CutBefore => return link.cut(),
            AtCommit::KeepBack => self.sever_and_wait(),
        }
        drop((&link.server).write_all(&[before, COMMIT].concat()));
    }

    /// The loader loses all connections, the server none.
    fn sever_and_wait(&self) {
        for link in &*self.links.lock().unwrap() {
            link.outlives_client.store(true, Ordering::SeqCst);
            drop(link.client.shutdown(Shutdown::Both));
        }
        while !self.is_released.load(Ordering::SeqCst) && !self.is_over() {
            std::thread::park_timeout(LOOK);
        }
    }
}
