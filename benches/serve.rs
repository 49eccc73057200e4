//! The server alone: the same file in the page cache behind Greenplum's own gpfdist and behind `gpkafka serve`, read by
//! two clients that act as segments and discard what they get, or as many as are said; interleaved rounds, each server a
//! process of its own.
//!
//! ```text
//! cargo bench --bench serve [-- 8 32 128]
//! ```
//!
//! 512 MB, 4 GB with `GPKAFKA_FULL=1`, or as many as `GPKAFKA_SERVE_MB` says. Wants a Greenplum under GPHOME. Prints
//! ratios of speed and of the servers' CPU time; exit code 1 where a promised one was missed, which is so for two clients.

#![expect(clippy::print_stdout, reason = "it prints its table")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails right there")]

#[path = "../integration/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the harness serves the tests first")]
mod harness;

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use gpkafka::gpfdist::client::{Fetched, Options, fetch};

use harness::{Loader, SOON, User, directory, gpfdist, wait_until};

const ROUNDS: usize = 7;
/// Of these the promises are.
const SEGMENTS: u32 = 2;
const FILE: &str = "rows.txt";

/// Rows in a second, ours to theirs, and CPU time of the server for the same bytes: what is promised.
const SPEED_LEAST: f64 = 1.2;
const CPU_MOST: f64 = 0.7;

/// Of Linux on every machine that we know; it falls out of the ratios.
const TICKS_A_SECOND: f64 = 100.0;

/// What one scan took.
#[derive(Clone, Copy)]
struct Taken {
    seconds: f64,
    cpu_seconds: f64,
}

fn main() {
    let dir = directory("serve", User::current());
    let (rows, bytes) = write_file(&dir.join(FILE));
    let (theirs, their_port) = gpfdist(&dir);
    let mut ours = Loader::command(["serve", dir.to_str().unwrap(), "--port", "0"]).start();
    ours.wait_for_text(SOON, "LOCATION");
    let text = ours.text();
    let port = text.split(" at 127.0.0.1:").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    let servers = [("gpfdist", theirs.pid(), their_port), ("gpkafka serve", ours.pid(), port.parse().unwrap())];
    let mut is_kept = true;
    for segments in segments() {
        println!("── {rows} rows, {} MB, {segments} discarding segments, {ROUNDS} rounds", bytes / 1_000_000);
        let mut taken = [Vec::new(), Vec::new()];
        // the first round fills caches and is not counted
        for round in 0..=ROUNDS {
            for (at, (name, pid, port)) in servers.into_iter().enumerate() {
                let scan = scan(port, pid, (segments, round), rows);
                println!("   round {round}  {name:<14} {:6.3} s  {:6.2} s of CPU", scan.seconds, scan.cpu_seconds);
                if round > 0 {
                    taken[at].push(scan);
                }
            }
        }
        let [theirs, ours] = taken;
        is_kept &= tell(rows, bytes, &theirs, &ours) || segments != SEGMENTS;
    }
    println!("   most memory of gpkafka serve: {}", memory(ours.pid()));
    if !is_kept {
        std::process::exit(1);
    }
}

fn segments() -> Vec<u32> {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let said: Vec<u32> = words.map(|word| word.parse().expect("numbers of segments")).collect();
    if said.is_empty() { vec![SEGMENTS] } else { said }
}

/// Reads the file once, and counts its rows.
fn scan(port: u16, pid: u32, (segments, round): (u32, usize), rows: u64) -> Taken {
    let (begun, cpu) = (Instant::now(), cpu_ticks(pid));
    let fetched: Vec<Fetched> = std::thread::scope(|scope| {
        let clients = (0..segments).map(|segment| scope.spawn(move || read(port, (segment, segments), round)));
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|segment| segment.join().unwrap()).collect()
    });
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(fetched.iter().map(|fetched| fetched.rows).sum::<u64>(), rows, "each row once");
    // what a server does behind the last byte is its own as well
    wait_until(Duration::from_secs(5), "the server to rest", || {
        let before = cpu_ticks(pid);
        std::thread::park_timeout(Duration::from_millis(50));
        cpu_ticks(pid) == before
    });
    #[expect(clippy::cast_precision_loss, reason = "a few hundred ticks")]
    let ticks = (cpu_ticks(pid) - cpu) as f64;
    Taken { seconds, cpu_seconds: ticks / TICKS_A_SECOND }
}

fn read(port: u16, (segment, segments): (u32, u32), round: usize) -> Fetched {
    let options = Options {
        segment_id: segment,
        segment_count: segments,
        xid: format!("bench-{segments}-{round}"),
        discard: true,
        silence_max: Some(SOON),
        ..Options::new(format!("gpfdist://127.0.0.1:{port}/{FILE}"))
    };
    fetch(&options, &mut std::io::sink()).unwrap()
}

/// User and system time of a process, of threads that have ended too.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // the name before the last bracket may hold anything
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim().to_owned()
}

/// Rows as long as those of the end to end benchmark; how many, and their bytes.
fn write_file(path: &Path) -> (u64, u64) {
    let said = std::env::var("GPKAFKA_SERVE_MB").ok().map(|mb| mb.parse::<u64>().expect("a number of MB"));
    let is_full = std::env::var("GPKAFKA_FULL").is_ok_and(|value| value == "1");
    let bytes_wanted = said.unwrap_or(if is_full { 4000 } else { 512 }) * 1_000_000;
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let (mut rows, mut bytes) = (0, 0);
    while bytes < bytes_wanted {
        let customer = rows * 7919 % 500_000;
        let row = format!("{rows}\t{customer}\t2026-11-22 13:37:00\t{}.50\tpaid\t{:a>37}\n", customer % 977, "");
        file.write_all(row.as_bytes()).unwrap();
        rows += 1;
        bytes += row.len() as u64;
    }
    file.flush().unwrap();
    (rows, bytes)
}

/// Prints medians and ratios; whether both promises were kept.
fn tell(rows: u64, bytes: u64, theirs: &[Taken], ours: &[Taken]) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "rates, shown rounded")]
    let (rows, gigabytes) = (rows as f64, bytes as f64 / 1e9);
    println!("\n{:<14} {:>12} {:>8} {:>18}", "", "rows/s", "MB/s", "CPU s for a GB");
    for (name, taken) in [("gpfdist", theirs), ("gpkafka serve", ours)] {
        let (_, seconds, _) = spread(taken.iter().map(|scan| scan.seconds));
        let (_, cpu, _) = spread(taken.iter().map(|scan| scan.cpu_seconds));
        println!("{name:<14} {:12.0} {:8.0} {:18.3}", rows / seconds, gigabytes * 1000.0 / seconds, cpu / gigabytes);
    }
    let pairs = || theirs.iter().zip(ours);
    let speed = spread(pairs().map(|(theirs, ours)| theirs.seconds / ours.seconds));
    let cpu = spread(pairs().map(|(theirs, ours)| ours.cpu_seconds / theirs.cpu_seconds));
    println!("\nours to theirs, round by round: median (least … most), and what is promised");
    let show = |name: &str, (least, median, most): (f64, f64, f64), promised: String, is_kept: bool| {
        let kept = if is_kept { "kept" } else { "MISSED" };
        println!("{name:<14} {median:5.2} ({least:.2} … {most:.2})  {promised}  {kept}");
        is_kept
    };
    let is_fast = show("rows/s", speed, format!("≥ {SPEED_LEAST}"), speed.1 >= SPEED_LEAST);
    let is_light = show("CPU for a GB", cpu, format!("≤ {CPU_MOST}"), cpu.1 <= CPU_MOST);
    is_fast && is_light
}

/// Least, median and most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
