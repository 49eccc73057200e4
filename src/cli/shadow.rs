//! `gpkafka shadow`: a password as `SHADOW:…`, for a job file that is read in company.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use super::{Exit, console};
use crate::config::shadowed;

/// Longer than any password; keeps a file that is piped in by mistake from being read whole.
const BYTES_MAX: u64 = 4096;

/// Reads a password and prints what to write into the job file.
///
/// # Errors
/// 64 where no password comes, or two that differ; 1 where the system gives no random bytes.
pub fn run() -> Result<(), Exit> {
    let password = if std::io::stdin().is_terminal() { typed()? } else { piped()? };
    if password.is_empty() {
        return Err(Exit::usage("the password is empty"));
    }
    if password.contains(['\0', '\n', '\r']) {
        return Err(Exit::usage("the password holds a NUL or a line break"));
    }
    let shadowed = shadowed(&password).map_err(Exit::failed)?;
    console::print(&format!("{shadowed}\n"))
}

/// Twice, since nobody sees what is typed.
fn typed() -> Result<String, Exit> {
    let ask = |prompt: &str| rpassword::prompt_password(prompt).map_err(Exit::failed);
    let first = ask("Password: ")?;
    if first == ask("Once more: ")? { Ok(first) } else { Err(Exit::usage("the two passwords differ")) }
}

/// The first line of what is piped in.
fn piped() -> Result<String, Exit> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Exit::usage(format!("cannot read a password from stdin: {error}")))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
