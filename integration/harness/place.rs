//! Where things of a run live: downloads that outlive it, scratch directories that do not, log files, ports, and
//! names that no other test has.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// Servers take their ports from here: below the range from which the system gives ports to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Where downloaded jars stay from run to run: `GPKAFKA_CACHE`, or a folder of the user's cache.
pub fn cache() -> PathBuf {
    let of_user = || {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
        std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("gpkafka-integration")
    };
    let dir = std::env::var_os("GPKAFKA_CACHE").map_or_else(of_user, PathBuf::from);
    std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("cannot make the cache {}: {error}", dir.display()));
    dir
}

/// A path for the log of a server, kept after the run: `target/tmp/NAME.log`.
pub fn log(name: &str) -> PathBuf {
    let dir = option_env!("CARGO_TARGET_TMPDIR").map_or_else(std::env::temp_dir, PathBuf::from);
    dir.join(format!("{name}.log"))
}

/// A name that nothing else in this run or on these servers has: `orders_4711_3`.
pub fn unique(name: &str) -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}_{}", std::process::id(), TAKEN.fetch_add(1, Ordering::Relaxed))
}

/// A port that nobody listens on, and that this run gives to nobody else.
pub fn free_port() -> u16 {
    static CURSOR: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Two runs on one machine begin at different ends of the range.
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(count)).expect("it is below a u16");
    let candidate = || PORTS.start + start.wrapping_add(CURSOR.fetch_add(1, Ordering::Relaxed)) % count;
    (0..count)
        .map(|_| candidate())
        .find(|&port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok())
        .expect("one of 12,000 ports is free")
}

/// A size as it is promised when `GPKAFKA_FULL=1` (`integration/test --full`), else a tenth of it.
pub fn full(size: i64) -> i64 {
    let is_full = std::env::var_os("GPKAFKA_FULL").is_some_and(|value| value == "1");
    if is_full { size } else { size / 10 }
}

/// Notes that the calling test does not run for want of this: `integration/test` counts them by it.
pub fn note_not_run(want: &str) {
    let Some(list) = std::env::var_os("GPKAFKA_NOT_RUN") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(PathBuf::from(list).with_extension(want));
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(file.expect("the list is writable"), "{name}").expect("the list is writable");
}

/// Whether the tests do not run as root, which the calling one wants; it is then noted as one that does not run.
pub fn without_root() -> bool {
    let is_without = super::process::User::current().uid != 0;
    if is_without {
        note_not_run("root");
    }
    is_without
}
