//! Runs the built `gpkafka`, as a user does: a job file, flags, signals, and what it printed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::process::{Output, Supervised, User, directory};
use super::wait::poll;

/// More than any run of a test takes; a run that is still there by then hangs.
const RUN: Duration = Duration::from_secs(180);

/// A run of `gpkafka` that is being put together.
#[derive(Debug)]
pub struct Loader {
    command: Command,
    dir: PathBuf,
    /// Segments call it.
    is_called: bool,
}

impl Loader {
    /// `gpkafka load` of this job file; any free port for segments on the loopback address, unless more words say
    /// otherwise.
    pub fn load(job: &str) -> Self {
        Self { is_called: true, ..Self::with_job("load", job) }
    }

    /// Any subcommand that takes a job file: `check`, `dryrun`, or a bare `load`. Segments find `doctor` as they find
    /// [`Loader::load`].
    pub fn with_job(subcommand: &str, job: &str) -> Self {
        let loader = Self { is_called: subcommand == "doctor", ..Self::command([subcommand]) };
        let path = loader.job_path();
        std::fs::write(&path, job).expect("the scratch directory is writable");
        loader.args([path.to_str().expect("scratch paths are ASCII")])
    }

    /// `gpkafka` with just these words.
    pub fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let dir = directory("loader", User::current());
        let mut command = Command::new(executable());
        // The home of whoever runs the tests must neither matter nor get log files.
        command.env("HOME", &dir).current_dir(&dir);
        Self { command, dir, is_called: false }.args(words)
    }

    /// Where the job file is; its name is in messages.
    pub fn job_path(&self) -> PathBuf {
        self.dir.join("job.yaml")
    }

    /// More words for the command line.
    pub fn args<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(words);
        self
    }

    /// Fail points of this run, `after-begin=panic;before-commit=pause`, beside those that the tests themselves were
    /// started with: the mutation check takes out rules that way.
    pub fn failpoints(self, points: &str) -> Self {
        let all = std::env::var("FAILPOINTS").map_or_else(|_| points.to_owned(), |ours| format!("{ours};{points}"));
        self.env("FAILPOINTS", &all)
    }

    /// An environment variable of this run.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Has it begin with a signal ignored, as a shell does with `INT` for what a script runs in the background.
    pub fn ignoring(mut self, signal: &str) -> Self {
        let mut command = Command::new("env");
        command.arg(format!("--ignore-signal={signal}")).arg(self.command.get_program()).args(self.command.get_args());
        let given = self.command.get_envs().filter_map(|(key, value)| Some((key, value?)));
        command.envs(given).current_dir(&self.dir);
        self.command = command;
        self
    }

    /// Has it begin with so many descriptors that it may raise, as a login shell gives.
    pub fn with_descriptors(mut self, soft: u32) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={soft}:")).arg(self.command.get_program()).args(self.command.get_args());
        let given = self.command.get_envs().filter_map(|(key, value)| Some((key, value?)));
        command.envs(given).current_dir(&self.dir);
        self.command = command;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let says = |flag: &str| self.command.get_args().any(|word| word == flag || word == "--config");
        let missing = [("--gpfdist-host", "127.0.0.1"), ("--gpfdist-port", "0")].into_iter();
        let defaults: Vec<&str> =
            missing.filter(|(flag, _)| self.is_called && !says(flag)).flat_map(|(flag, value)| [flag, value]).collect();
        self.command.args(defaults);
        let output = Output { stdout: self.dir.join("stdout"), stderr: self.dir.join("stderr") };
        let process = Supervised::start(&self.command, User::current(), "KILL", &output);
        Running { process, output, dir: self.dir }
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it hangs.
    pub fn run(self) -> Outcome {
        self.start().wait(RUN)
    }
}

/// A run that has begun. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    process: Supervised,
    output: Output,
    dir: PathBuf,
}

impl Running {
    /// Sends a signal by its bare name: `INT`, `TERM`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Its process id, as it stands in log lines.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Everything printed so far, stdout before stderr.
    pub fn text(&self) -> String {
        read(&self.output.stdout) + &read(&self.output.stderr)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.exit_code().is_some()
    }

    /// Waits until something printed contains `words`.
    ///
    /// # Panics
    /// With all that was printed, when it does not come or the run ends before it.
    pub fn wait_for_text(&mut self, deadline: Duration, words: &str) {
        let said = poll(deadline, || {
            let has_ended = self.has_ended();
            let text = self.text();
            assert!(!has_ended || text.contains(words), "gpkafka ended without saying {words:?}:\n{text}");
            text.contains(words).then_some(())
        });
        assert!(said.is_some(), "gpkafka did not say {words:?} within {deadline:?}:\n{}", self.text());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// With all that was printed, when it has not ended by `deadline`.
    pub fn wait(mut self, deadline: Duration) -> Outcome {
        let code = self.process.wait(deadline);
        let code = code.unwrap_or_else(|| panic!("gpkafka still runs after {deadline:?}:\n{}", self.text()));
        Outcome { code, stdout: read(&self.output.stdout), stderr: read(&self.output.stderr), dir: self.dir.clone() }
    }

    /// Kills it as a crash does, and waits until it is gone.
    pub fn kill(self) -> Outcome {
        self.signal("KILL");
        self.wait(Duration::from_secs(10))
    }
}

/// How a run ended and what it printed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code; 128 + n after signal n.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The run's HOME, in which its log files are.
    pub dir: PathBuf,
}

impl Outcome {
    /// Stdout and stderr, one after the other.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails with all that was printed unless the exit code is this one.
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "gpkafka printed:\n{}", self.text());
        self
    }

    /// Fails with all that was printed unless it contains `words`.
    pub fn expect_text(self, words: &str) -> Self {
        assert!(self.text().contains(words), "gpkafka did not say {words:?}, it printed:\n{}", self.text());
        self
    }

    /// Fails if it contains `words`.
    pub fn expect_no_text(self, words: &str) -> Self {
        assert!(!self.text().contains(words), "gpkafka said {words:?}:\n{}", self.text());
        self
    }

    /// Fails on a panic, and on a WARNING or ERROR line that says none of what was announced.
    pub fn expect_calm(self, announced: &[&str]) -> Self {
        let text = self.text();
        let is_loud =
            |line: &&str| line.contains("-[WARNING]:-") || line.contains("-[ERROR]:-") || line.contains("panicked");
        let mut loud = text.lines().filter(is_loud);
        let unannounced = loud.find(|line| !announced.iter().any(|words| line.contains(words)));
        assert!(unannounced.is_none(), "not announced: {unannounced:?}, in:\n{text}");
        self
    }

    /// The batch lines: start, end, records, bytes, inserted, rejected, speed.
    pub fn batches(&self) -> Vec<Vec<String>> {
        let text = self.text();
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let is_batch = |fields: &Vec<String>| fields.len() == 7 && fields[6].ends_with("/sec");
        text.lines().map(fields).filter(is_batch).collect()
    }
}

/// A GET of the page that `--debug-port` gives; `None` where nobody answers.
pub fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// A number on that page, by its name without the program's.
pub fn metric(port: u16, name: &str) -> Option<i64> {
    let text = ask(port, "/metrics")?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("gpkafka_{name} ")))?;
    line.trim().parse().ok()
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// The built program, at a path that the database's OS user may run too: PostgreSQL starts it for `gpkafka segment`.
pub fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| {
        let built = option_env!("CARGO_BIN_EXE_gpkafka").map_or_else(beside_this_program, PathBuf::from);
        let open = directory("bin", User::current()).join("gpkafka");
        // A link when both are on one file system: a debug build is large.
        if std::fs::hard_link(&built, &open).is_err() {
            std::fs::copy(&built, &open).unwrap_or_else(|error| panic!("cannot copy {}: {error}", built.display()));
        }
        open
    })
}

/// Examples stand in a folder beside the program.
fn beside_this_program() -> PathBuf {
    let this = std::env::current_exe().expect("the system knows our path");
    this.ancestors().nth(2).expect("examples are in a folder of the target directory").join("gpkafka")
}
