//! Tells the outside that a job has stopped (ALERT): a command with what happened in its environment, and a webhook with
//! the same as JSON. Neither changes how the load ends: what goes wrong here is a warning. Called when a start of the job
//! has ended, by `starts.rs` and the command line.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::report::{Reporter, say};
use super::run::LOOK;
use super::threads;
use crate::config::Alert;
use crate::line;
use crate::shutdown::Shutdown;

/// So much of what a command prints goes to the log.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// How long a command's output may stay open behind its end: a child of its that lives on may hold it.
const REST: Duration = Duration::from_secs(1);

/// How long a webhook may take where TIMEOUT says nothing.
const WEBHOOK_MAX: Duration = Duration::from_secs(10);

/// How a job has stopped, by its original's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// By the user's wish, by its schedule, or at the ends of the topic: that, too, is `JOB_STOPPED` in the original.
    Stopped,
    Failed,
}

impl Status {
    /// As logs and alerts have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "JOB_STOPPED",
            Self::Failed => "JOB_ERROR",
        }
    }
}

/// What is told.
#[derive(Debug, Clone)]
pub struct News<'a> {
    /// What the user calls the job, or its id.
    pub job: &'a str,
    pub status: Status,
    /// The error's message; empty where there is none.
    pub detail: &'a str,
}

/// Tells everybody whom ALERT names.
///
/// # Blocks
/// Up to TIMEOUT for each; a command without one for as long as it takes. Another wish to stop ends it.
pub fn tell(alert: &Alert, news: &News<'_>, reporter: &dyn Reporter, shutdown: &Shutdown) {
    if let Some(command) = &alert.command
        && let Err(text) = run(alert, command, news, reporter, shutdown)
    {
        say!(reporter, Warn, "ALERT.COMMAND {text}; the load itself has ended as told");
    }
    if let Some(url) = &alert.webhook
        && let Err(text) = post(alert, url, news)
    {
        say!(reporter, Warn, "ALERT.WEBHOOK {text}; the load itself has ended as told");
    }
}

fn run(
    alert: &Alert,
    command: &str,
    news: &News<'_>,
    reporter: &dyn Reporter,
    shutdown: &Shutdown,
) -> Result<(), String> {
    let (output, input) = std::io::pipe().map_err(|error| format!("could not be run: {error}"))?;
    let errors = input.try_clone().map_err(|error| format!("could not be run: {error}"))?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(input).stderr(errors);
    // a group of its own: Ctrl-C is for the loader, and TIMEOUT ends all that the command has started
    shell.process_group(0);
    shell.env("GPSSJOB_NAME", news.job).env("GPSSJOB_STATUS", news.status.as_str());
    shell.env("GPSSJOB_DETAIL", news.detail.replace('\0', " "));
    if let Some(workdir) = &alert.workdir {
        shell.current_dir(workdir);
    }
    let place = alert.workdir.as_deref().map(|dir| format!(" in {dir}")).unwrap_or_default();
    let child = shell.spawn().map_err(|error| format!("could not be run{place}: {error}"))?;
    // its ends of the pipe are the only ones from here on
    drop(shell);
    let printed = threads::apart("alert", move || {
        let mut bytes = Vec::new();
        // what was read until then counts, and what is too much must not stop the command
        drop((&output).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
        drop(std::io::copy(&mut &output, &mut std::io::sink()));
        bytes
    });
    let printed = printed.map_err(|error| format!("could not be listened to: {error}"));
    let ended = wait(child, alert.timeout, shutdown);
    log(reporter, &printed?);
    ended
}

/// Waits for the command's end, or brings it about.
fn wait(mut child: Child, timeout: Option<Duration>, shutdown: &Shutdown) -> Result<(), String> {
    let begun = Instant::now();
    let urgency = shutdown.urgency();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("failed: {status}")),
            Ok(None) => {}
            Err(error) => return Err(format!("could not be waited for: {error}")),
        }
        let is_late = timeout.is_some_and(|timeout| begun.elapsed() >= timeout);
        if is_late || shutdown.urgency() > urgency {
            end(&mut child);
            let why = if is_late { "did not end within TIMEOUT" } else { "did not end before the next wish to stop" };
            return Err(format!("{why} and was killed"));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// The command and whatever it has started.
fn end(child: &mut Child) {
    let group = rustix::process::Pid::from_child(child);
    if rustix::process::kill_process_group(group, rustix::process::Signal::KILL).is_err() {
        // gone already, which is as good
    }
    drop(child.wait());
}

fn log(reporter: &dyn Reporter, printed: &Receiver<Vec<u8>>) {
    let bytes = match printed.recv_timeout(REST) {
        Ok(bytes) => bytes,
        Err(RecvTimeoutError::Timeout) => {
            say!(
                reporter,
                Debug,
                "what ALERT.COMMAND has started in the background keeps its output open: it is not logged"
            );
            return;
        }
        Err(RecvTimeoutError::Disconnected) => return,
    };
    /// So much of each line.
    const CHARS_MAX: usize = 1000;
    for text in String::from_utf8_lossy(&bytes).lines() {
        say!(reporter, Info, "ALERT.COMMAND: {}", line::excerpt(text, CHARS_MAX));
    }
}

fn post(alert: &Alert, url: &str, news: &News<'_>) -> Result<(), String> {
    let body = serde_json::json!({
        "job": news.job,
        "status": news.status.as_str(),
        "detail": news.detail,
        "time": jiff::Timestamp::now().to_string(),
    });
    let failed = |error: reqwest::Error| format!("{} was not told: {}", origin(url), chain(&error.without_url()));
    let client = reqwest::blocking::Client::builder().timeout(alert.timeout.unwrap_or(WEBHOOK_MAX)).build();
    let request = client.map_err(failed)?.post(url).header("Content-Type", "application/json");
    let answer = request.body(body.to_string()).send().map_err(failed)?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("{} was told and answered {status}", origin(url))),
    }
}

/// The address without its path, in which services keep their secrets.
fn origin(url: &str) -> String {
    reqwest::Url::parse(url).map_or_else(|_| "the address".to_owned(), |url| url.origin().ascii_serialization())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
