//! How a load looks: log lines as the original writes them, a line a batch in a pipe, one live line on a terminal.
//!
//! Log, batch and summary lines go to stdout, where scripts grep them; the live line goes to stderr and only where both
//! are a terminal. Every log line also goes to the log file.

use std::fs::File;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{Timestamp, Zoned};

use super::{Exit, LogArgs};
use crate::job::report::{BatchReport, Level, Progress, Reporter};
use crate::job::totals::Sums;
use crate::line;
use crate::units;

/// Redraws a second at most; more only costs.
const REDRAWS_PER_SECOND: u8 = 10;

/// The rate shown is that of the last moments, not of the whole load.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// Writes to stdout; a reader that has gone away is no error of ours.
///
/// # Errors
/// Something like a full disk; a reader that has seen enough is none.
pub fn print(text: &str) -> Result<(), Exit> {
    let mut stdout = std::io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Exit::failed(format!("writing the output failed: {error}")))
        }
        _ => Ok(()),
    }
}

/// A terminal or a pipe, and a log file. See the module.
pub struct Console {
    prefix: String,
    level_min: Level,
    color: bool,
    csv: bool,
    shows_partitions: bool,
    file: Option<Mutex<File>>,
    live: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    header_is_shown: bool,
    sums: Sums,
    /// When, and how much there was.
    window: Option<(Instant, Progress)>,
    records_per_second: f64,
    rows_per_second: f64,
    bytes_per_second: f64,
}

impl Console {
    /// Opens the log file and looks whether there is a terminal.
    ///
    /// # Errors
    /// The directory that was asked for takes no file. The default one is done without in that case.
    pub fn open(args: &LogArgs, shows_partitions: bool) -> Result<Self, Exit> {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let file = match &args.log_dir {
            Some(dir) => Some(log_file(dir).map_err(|error| {
                Exit::usage(format!("can't write a log file in {}: {error}; name another --log-dir", dir.display()))
            })?),
            None => default_log_dir().and_then(|dir| log_file(&dir).ok()),
        };
        Ok(Self {
            prefix: prefix(),
            level_min: if args.verbose { Level::Debug } else { Level::Info },
            color: args.color,
            csv: args.csv_log,
            shows_partitions,
            file: file.map(Mutex::new),
            live: (is_terminal && !args.csv_log).then(live_line),
            state: Mutex::new(State::default()),
        })
    }

    /// Ends the live line, so that what comes next stands alone.
    pub fn calm(&self) {
        if let Some(live) = &self.live {
            live.finish_and_clear();
        }
    }

    /// Whether there is a live line.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// What the job had committed when it last said so.
    pub fn sums(&self) -> Sums {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sums.clone()
    }

    /// Writes to the log file alone: what `main` prints to stderr is not to stand on the screen twice.
    pub fn record(&self, level: Level, text: &str) {
        if let Some(file) = &self.file {
            let line = self.line(level, text, false);
            drop(writeln!(file.lock().unwrap_or_else(PoisonError::into_inner), "{line}"));
        }
    }

    /// Whatever the text quotes, it is one line.
    fn line(&self, level: Level, text: &str, in_color: bool) -> String {
        let text = line::escaped(text);
        let name = match level {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARNING",
            Level::Error => "ERROR",
        };
        let now = Zoned::now();
        if self.csv {
            let quoted = text.replace('"', "\"\"");
            return format!("{},{},{name},\"{quoted}\"", now.strftime("%Y%m%d %H:%M:%S%.6f"), std::process::id());
        }
        let shown = match (in_color, level) {
            (true, Level::Warn) => format!("\x1b[33m{name}\x1b[0m"),
            (true, Level::Error) => format!("\x1b[31m{name}\x1b[0m"),
            (true, Level::Info) => format!("\x1b[32m{name}\x1b[0m"),
            _ => name.to_owned(),
        };
        format!("{} {}-[{shown}]:-{text}", now.strftime("%Y%m%d:%H:%M:%S"), self.prefix)
    }

    fn write(&self, line: &str) {
        let write = || drop(writeln!(std::io::stdout(), "{line}"));
        match &self.live {
            Some(live) => live.suspend(write),
            None => write(),
        }
    }

    fn batch_lines(&self, report: &BatchReport) -> Vec<String> {
        let mut lines = Vec::new();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.header_is_shown {
            state.header_is_shown = true;
            lines.push("StartTime  EndTime  MsgNum  MsgSize  InsertedRecords  RejectedRecords  Speed".to_owned());
        }
        lines.push(batch_line(report));
        lines
    }
}

fn partition_lines(report: &BatchReport) -> impl Iterator<Item = String> {
    let line =
        |&(partition, first, next): &(i32, i64, i64)| format!("Partition {partition}: offsets {first} to {}", next - 1);
    report.moved.iter().map(line)
}

/// The original counts one line end a message.
fn batch_line(report: &BatchReport) -> String {
    let size = report.counts.source_bytes + report.counts.records;
    let seconds = report.end.duration_since(report.start).as_secs_f64().max(1e-6);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown rounded")]
    let speed = (units::as_f64(size) / seconds) as u64;
    format!(
        "{:.6} {:.6} {} {size} {} {} {}/sec",
        report.start,
        report.end,
        report.counts.records,
        report.outcome.inserted,
        report.outcome.rejected,
        units::bytes(speed)
    )
}

impl Reporter for Console {
    fn log(&self, level: Level, text: &str) {
        self.record(level, text);
        if level >= self.level_min {
            self.write(&self.line(level, text, self.color));
        }
    }

    /// In a pipe a line a batch, on a terminal the live line instead; the log file has lines of one form.
    fn batch(&self, report: &BatchReport) {
        self.record(Level::Info, &format!("batch {}: {}", report.number, batch_line(report)));
        if self.live.is_none() {
            self.batch_lines(report).iter().for_each(|line| self.write(line));
        }
        if self.shows_partitions {
            partition_lines(report).for_each(|line| self.write(&line));
        }
    }

    fn sums(&self, sums: &Sums) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).sums = sums.clone();
    }

    fn progress(&self, progress: &Progress) {
        let Some(live) = &self.live else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.measure(progress);
        live.set_message(live_text(&state, progress));
        live.tick();
    }
}

impl State {
    fn measure(&mut self, progress: &Progress) {
        let now = Instant::now();
        let Some((since, then)) = &self.window else {
            self.window = Some((now, progress.clone()));
            return;
        };
        let seconds = now.duration_since(*since).as_secs_f64();
        let rate = |now: u64, then: u64| units::as_f64(now.saturating_sub(then)) / seconds;
        if seconds > 0.2 {
            self.records_per_second = rate(progress.records, then.records);
            self.rows_per_second = rate(progress.rows, then.rows);
            self.bytes_per_second = rate(progress.bytes, then.bytes);
        }
        if seconds >= RATE_WINDOW.as_secs_f64() {
            self.window = Some((now, progress.clone()));
        }
    }
}

/// What matters most comes first: a narrow terminal cuts the rest off.
fn live_text(state: &State, progress: &Progress) -> String {
    let lag = match progress.lag {
        None => "lag ?".to_owned(),
        Some(lag) if state.records_per_second > 1.0 => {
            format!("lag {} ({:.0} s)", units::count(lag), units::as_f64(lag) / state.records_per_second)
        }
        Some(lag) => format!("lag {}", units::count(lag)),
    };
    format!(
        "{} rows/s  {:.1} MB/s │ {lag} │ {} of {} segments │ batch {}: {} rows, {:.1} s",
        scaled(state.rows_per_second),
        state.bytes_per_second / 1e6,
        progress.segments_connected,
        progress.segments,
        progress.batch,
        scaled(units::as_f64(progress.batch_rows)),
        progress.batch_seconds
    )
}

fn scaled(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

fn live_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
    let style = ProgressStyle::with_template(" {spinner} {wide_msg}").expect("the template is a constant");
    bar.set_style(style);
    bar
}

fn prefix() -> String {
    let user = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    let host = gethostname::gethostname();
    format!("gpkafka:{user}:{}:{}", host.to_string_lossy(), std::process::id())
}

/// Where the log goes if nothing is said; `None` without a HOME.
pub fn default_log_dir() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| Path::new(&home).join("gpAdminLogs"))
}

fn log_file(dir: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(dir)?;
    let name = format!("gpkafka_{}.log", Zoned::now().strftime("%Y%m%d"));
    File::options().create(true).append(true).open(dir.join(name))
}

/// The time as the original's last line shows it.
pub fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::batch::Counts;
    use crate::job::state::Outcome;

    #[test]
    fn a_batch_line_is_the_originals() {
        let report = BatchReport {
            number: 1,
            start: "2020-04-01T09:05:11.923504Z".parse().unwrap(),
            end: "2020-04-01T09:05:12.163744Z".parse().unwrap(),
            counts: Counts { records: 9, decoded: 9, rows: 9, source_bytes: 208, bytes: 217, ..Counts::default() },
            outcome: Outcome { inserted: 9, rejected: 0, filtered: 0 },
            moved: vec![(0, 0, 9)],
        };
        assert_eq!(batch_line(&report), "2020-04-01T09:05:11.923504Z 2020-04-01T09:05:12.163744Z 9 217 9 0 903B/sec");
    }

    #[test]
    fn whatever_a_text_quotes_is_one_line() {
        let console = |csv| Console {
            prefix: String::new(),
            level_min: Level::Debug,
            color: false,
            csv,
            shows_partitions: false,
            file: None,
            live: None,
            state: Mutex::default(),
        };
        for csv in [false, true] {
            let line = console(csv).line(Level::Warn, "quoted \"a\n\u{1b}[2J\"", false);
            assert!(line.contains("a\\n\\u{1b}[2J") && !line.contains(char::is_control), "{line}");
        }
    }
}
