//! Programs that never outlive the tests. Each runs under a small shell that holds the read end of a pipe; the test
//! process holds the other end. When that end closes — a stop, a normal exit, a panic, a SIGKILL of the tests — the
//! shell stops the program. The run's scratch directory is guarded the same way. So there is nothing to clean up.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::place::unique;
use super::wait::{poll, wait_until};

/// Arguments: the signal to stop with, where stdout and stderr go, the command. Fd 3 is the life line. The program gets
/// 10 s to obey the signal. `env` gives back the two signals that a shell makes its background programs ignore.
const SUPERVISE: &str = r#"
signal=$1 out=$2 err=$3; shift 3
exec 3<&0 0</dev/null
env --default-signal=INT,QUIT "$@" 3<&- >>"$out" 2>>"$err" & pid=$!
{
  read -r _ <&3
  kill -s "$signal" $pid
  i=0; while [ $i -lt 100 ] && kill -0 $pid; do sleep 0.1; i=$((i + 1)); done
  kill -s KILL $pid
} >/dev/null 2>&1 & watcher=$!
echo $pid; exec >/dev/null 2>&1
wait $pid; code=$?
kill $watcher 2>/dev/null
exit $code
"#;

/// Argument: a directory to remove at the end, tried again while servers that are being stopped still write into it.
const GUARD: &str = r#"
read -r _
i=0; while [ $i -lt 150 ]; do rm -rf "$1" 2>/dev/null; [ -e "$1" ] || exit; sleep 0.1; i=$((i + 1)); done
"#;

/// The OS user that a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// Who runs the tests.
    pub fn current() -> Self {
        let number = |flag| id(&[flag]).expect("`id` knows who we are");
        Self { uid: number("-u"), gid: number("-g") }
    }

    /// A user by name, if the system has it.
    pub fn named(name: &str) -> Option<Self> {
        Some(Self { uid: id(&["-u", name])?, gid: id(&["-g", name])? })
    }

    /// Makes a command run as this user; only root may name another one than itself.
    pub fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if *self != Self::current() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

fn id(args: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(args).stderr(Stdio::null()).output().ok()?;
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

/// A scratch directory, owned by `user`, that other users may look into. All of them go when the tests end.
pub fn directory(name: &str, user: User) -> PathBuf {
    static RUN: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (run, _) = RUN.get_or_init(|| {
        let run = std::env::temp_dir().join(format!("gpkafka-integration-{}", std::process::id()));
        make_directory(&run, User::current());
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(&run).stdin(Stdio::piped()).process_group(0);
        let guard = guard.spawn().expect("a POSIX shell starts");
        (run, guard)
    });
    let dir = run.join(unique(name));
    make_directory(&dir, user);
    dir
}

fn make_directory(dir: &Path, user: User) {
    std::fs::create_dir(dir).unwrap_or_else(|error| panic!("cannot make {}: {error}", dir.display()));
    std::fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("it is ours");
    if user != User::current() {
        chown(dir, Some(user.uid), Some(user.gid)).expect("root may give a directory away");
    }
}

/// Where a program's output goes.
#[derive(Debug, Clone)]
pub struct Output {
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

impl Output {
    /// Both into one file, emptied first.
    pub fn log(path: &Path) -> Self {
        File::create(path).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        Self { stdout: path.into(), stderr: path.into() }
    }
}

/// A running program and its supervising shell. Dropping it stops the program and waits for its end.
#[derive(Debug)]
pub struct Supervised {
    /// Starts the shell, again too.
    command: Command,
    shell: Child,
    pid: u32,
}

impl Supervised {
    /// Starts `command` (its environment and directory count; its output settings do not) as `user`.
    pub fn start(command: &Command, user: User, stop: &str, output: &Output) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SUPERVISE, "supervise", stop]).arg(&output.stdout).arg(&output.stderr);
        if user != User::current() {
            // Here, not for the shell: its log files may stand where this user cannot reach.
            shell.args(["setpriv", "--clear-groups", "--reuid"]).arg(user.uid.to_string());
            shell.arg("--regid").arg(user.gid.to_string());
        }
        shell.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        shell.current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
        // A group of its own: a Ctrl-C on the terminal ends the tests, and their end the servers, in that order.
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let (child, pid) = spawn(&mut shell);
        Self { command: shell, shell: child, pid }
    }

    /// Starts it again after its end.
    pub fn restart(&mut self) {
        assert!(self.exit_code().is_some(), "process {} still runs", self.pid);
        (self.shell, self.pid) = spawn(&mut self.command);
    }

    /// Of the program, not of the shell.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by its bare name: `KILL`, `STOP`, `CONT`, `INT`.
    pub fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// The exit code if the program has ended; 128 + n after signal n.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = self.shell.try_wait().expect("the shell is our child")?;
        status.code().or(Some(-1))
    }

    /// Waits for the end; `None` when it has not come after `deadline`.
    pub fn wait(&mut self, deadline: Duration) -> Option<i32> {
        poll(deadline, || self.exit_code())
    }
}

/// The shell, and the process id that it says.
fn spawn(shell: &mut Command) -> (Child, u32) {
    let mut shell = shell.spawn().expect("a POSIX shell starts");
    let mut pid = String::new();
    let stdout = shell.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut pid).expect("the shell says a pid");
    let pid = pid.trim().parse().unwrap_or_else(|_| panic!("the shell said {pid:?} for a pid"));
    (shell, pid)
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell gives the program 10 s, then kills it.
        let ended = poll(Duration::from_secs(15), || self.exit_code());
        if ended.is_none() && !std::thread::panicking() {
            panic!("process {} did not end", self.pid);
        }
    }
}

/// Sends a signal to a process, if it is still there.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\" 2>/dev/null", name, &pid.to_string()]).status();
    status.expect("a POSIX shell starts");
}

/// Runs a command to its end and returns its stdout.
///
/// # Panics
/// With the command's words and output when it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout
}

/// Waits until a server answers; fails at once, with the end of its log, when it has died.
pub fn wait_ready(server: &mut Supervised, what: &str, log: &Path, mut is_ready: impl FnMut() -> bool) {
    wait_until(Duration::from_secs(120), what, || {
        if let Some(code) = server.exit_code() {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            panic!("{what}: it ended with code {code}:\n{tail}");
        }
        is_ready()
    });
}
