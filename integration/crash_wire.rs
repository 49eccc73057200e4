//! A wire between two of loader, database, brokers and segments that breaks when a test wants it, or at a COMMIT: what a
//! network does at the worst moment. Everything else passes as it is.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::harness::Database;

/// The simple query `COMMIT` of the protocol: kind, length, text, NUL. Nothing follows it before its reply.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// How long a read waits before it looks whether the wire is to end.
const LOOK: Duration = Duration::from_millis(20);

/// What befalls the connection that sends a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtCommit {
    /// The COMMIT goes through, and nothing comes back until [`Wire::release`].
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
    rule: Option<AtCommit>,
    /// A connection over which the server sends more than so many bytes stops behind them, until [`Wire::release`].
    stops_behind: Option<u64>,
    /// COMMITs, or such connections, that still pass unharmed.
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
    /// Bytes that the server has sent over it.
    carried_down: AtomicU64,
    /// Replies are kept until [`Wire::release`].
    is_mute: AtomicBool,
    /// The next reply cuts it.
    is_doomed: AtomicBool,
    /// The server's side stays though the client's is cut.
    outlives_client: AtomicBool,
    /// Nothing comes through any more.
    is_hole: AtomicBool,
    /// Then the client sees its end.
    hole_until: Mutex<Option<Instant>>,
    /// Both sides are to see it reset.
    is_reset: AtomicBool,
}

impl Link {
    fn new(client: TcpStream, server: TcpStream) -> Self {
        let [is_mute, is_doomed, outlives_client, is_hole, is_reset] = Default::default();
        let (carried_down, hole_until) = Default::default();
        Self { client, server, carried_down, is_mute, is_doomed, outlives_client, is_hole, hole_until, is_reset }
    }

    /// Both sides see it reset, and nothing more gets through: that is so once this returns.
    fn reset(self: Arc<Self>) {
        for stream in [&self.client, &self.server] {
            drop(SockRef::from(stream).set_linger(Some(Duration::ZERO)));
        }
        self.is_reset.store(true, Ordering::SeqCst);
        // the last who drops it closes the sockets
        while Arc::strong_count(&self) > 1 {
            std::thread::park_timeout(LOOK);
        }
    }

    fn cut(&self) {
        if self.is_reset.load(Ordering::SeqCst) {
            // the last who drops it closes the sockets, and that resets them
            return;
        }
        drop((self.client.shutdown(Shutdown::Both), self.server.shutdown(Shutdown::Both)));
    }
}

impl Wire {
    /// A wire to `db` that strikes at the COMMIT after so many.
    pub fn to(db: &Database, rule: AtCommit, spared: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self { rule: Some(rule), spared: spared.into(), ..Self::whole(listener, (db.host.clone(), db.port)) }
    }

    /// A wire from `listener` to a server on which, after so many connections that carry more, one stops when it has carried
    /// so many bytes from the server.
    pub fn stopping(listener: TcpListener, server: (String, u16), behind: u64, spared: usize) -> Self {
        Self { stops_behind: Some(behind), spared: spared.into(), ..Self::whole(listener, server) }
    }

    /// A wire from `listener` to a server that breaks only where it is told to.
    pub fn whole(listener: TcpListener, server: (String, u16)) -> Self {
        listener.set_nonblocking(true).unwrap();
        Self {
            listener,
            server,
            rule: None,
            stops_behind: None,
            spared: AtomicUsize::default(),
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

    /// Whether a COMMIT has met its fate, or a connection has stopped.
    pub fn has_struck(&self) -> bool {
        self.has_struck.load(Ordering::SeqCst)
    }

    /// Resets the connections of those clients whose ports are meant, and says how many these were.
    pub fn reset(&self, is_meant: impl Fn(u16) -> bool) -> usize {
        let meant = |link: &Arc<Link>| link.client.peer_addr().is_ok_and(|address| is_meant(address.port()));
        let mut links = self.links.lock().unwrap();
        forget_ended(&mut links);
        let (reset, left): (Vec<_>, Vec<_>) = links.drain(..).partition(meant);
        *links = left;
        let number = reset.len();
        reset.into_iter().for_each(Link::reset);
        number
    }

    /// Resets the connection over which the server has sent most; whether there was any.
    pub fn reset_busiest(&self) -> bool {
        let mut links = self.links.lock().unwrap();
        forget_ended(&mut links);
        let carried = |link: &Arc<Link>| link.carried_down.load(Ordering::SeqCst);
        let busiest = links.iter().enumerate().max_by_key(|(_, link)| carried(link)).map(|(at, _)| at);
        let link = busiest.map(|at| links.swap_remove(at));
        link.map(Link::reset).is_some()
    }

    /// From now on nothing comes through the connections there are; says how many these are. The clients see their end
    /// after so long, as TCP gives up on a peer that acknowledges nothing; the server never does.
    pub fn black_hole(&self, tcp: Duration) -> usize {
        let mut links = self.links.lock().unwrap();
        forget_ended(&mut links);
        let until = Instant::now() + tcp;
        links.iter().for_each(|link| *link.hole_until.lock().unwrap() = Some(until));
        links.iter().for_each(|link| link.is_hole.store(true, Ordering::SeqCst));
        links.len()
    }

    /// Lets through what was kept back: the COMMIT, or its reply.
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
            let Ok(server) = TcpStream::connect((self.server.0.as_str(), self.server.1)) else { continue };
            for stream in [&client, &server] {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(LOOK)).unwrap();
                stream.set_nodelay(true).unwrap();
            }
            let link = Arc::new(Link::new(client, server));
            let mut links = self.links.lock().unwrap();
            forget_ended(&mut links);
            links.push(Arc::clone(&link));
            drop(links);
            let down = Arc::clone(&link);
            scope.spawn(move || self.carry_up(&link));
            scope.spawn(move || self.carry_down(&down));
        }
    }

    /// The next piece from one side; empty at its end.
    fn read(&self, link: &Link, mut from: &TcpStream, buffer: &mut [u8]) -> usize {
        while !self.is_over() && !link.is_reset.load(Ordering::SeqCst) && !link.is_hole.load(Ordering::SeqCst) {
            match from.read(buffer) {
                Ok(_) if link.is_reset.load(Ordering::SeqCst) => return 0,
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
            let bytes = self.read(link, &link.client, &mut buffer);
            if link.is_hole.load(Ordering::SeqCst) {
                return self.swallow(link);
            }
            if bytes == 0 {
                break;
            }
            // what closes an earlier statement may come in the same piece
            if let Some(before) = buffer[..bytes].strip_suffix(COMMIT).filter(|_| self.rule.is_some() && self.is_due())
            {
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
            let bytes = self.read(link, &link.server, &mut buffer);
            if link.is_hole.load(Ordering::SeqCst) {
                return self.swallow(link);
            }
            if bytes == 0 || link.is_doomed.load(Ordering::SeqCst) {
                return link.cut();
            }
            self.hold(link);
            if link.is_hole.load(Ordering::SeqCst) {
                return self.swallow(link);
            }
            let before = self.bytes_before_stop(link, bytes);
            self.hand_down(link, &buffer[..before]);
            if before < bytes {
                link.is_mute.store(true, Ordering::SeqCst);
                self.has_struck.store(true, Ordering::SeqCst);
                self.hold(link);
                self.hand_down(link, &buffer[before..bytes]);
            }
        }
    }

    fn hand_down(&self, link: &Link, bytes: &[u8]) {
        if link.is_reset.load(Ordering::SeqCst) || link.is_hole.load(Ordering::SeqCst) {
            return;
        }
        // who is cut off hears nothing
        drop((&link.client).write_all(bytes));
        link.carried_down.fetch_add(bytes.len() as u64, Ordering::SeqCst);
    }

    /// How many of the next bytes go through before the connection is to stop, which only one is.
    fn bytes_before_stop(&self, link: &Link, bytes: usize) -> usize {
        let carried = link.carried_down.load(Ordering::SeqCst);
        match self.stops_behind {
            Some(behind) if carried <= behind && carried + bytes as u64 > behind && self.is_due() => {
                usize::try_from(behind - carried).unwrap()
            }
            _ => bytes,
        }
    }

    /// Keeps a reply that is not to go through yet.
    fn hold(&self, link: &Link) {
        let is_over = || self.is_over() || self.is_released.load(Ordering::SeqCst);
        let is_broken = || link.is_hole.load(Ordering::SeqCst) || link.is_reset.load(Ordering::SeqCst);
        while link.is_mute.load(Ordering::SeqCst) && !is_over() && !is_broken() {
            std::thread::park_timeout(LOOK);
        }
    }

    /// Neither side hears of the other any more, and the server does not hear of the client's end.
    fn swallow(&self, link: &Link) {
        while !self.is_over() {
            let is_given_up = link.hole_until.lock().unwrap().is_some_and(|until| Instant::now() >= until);
            if is_given_up {
                drop(link.client.shutdown(Shutdown::Both));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    fn is_due(&self) -> bool {
        let spared = self.spared.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spared.is_err() && !self.has_struck.swap(true, Ordering::SeqCst)
    }

    fn strike(&self, link: &Link, before: &[u8]) {
        match self.rule {
            None => {}
            Some(AtCommit::HoldReply) => link.is_mute.store(true, Ordering::SeqCst),
            Some(AtCommit::CutAfter) => link.is_doomed.store(true, Ordering::SeqCst),
            Some(AtCommit::CutBefore) => return link.cut(),
            Some(AtCommit::KeepBack) => self.sever_and_wait(),
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

/// Nobody carries anything over them any more.
fn forget_ended(links: &mut Vec<Arc<Link>>) {
    links.retain(|link| Arc::strong_count(link) > 1);
}
