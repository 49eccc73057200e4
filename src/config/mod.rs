//! Job files: YAML of versions 1 and 2 as people have them, read whole and strictly, into one [`Job`].
//!
//! Everything that is wrong with a file is found in one go, each with its place. What a later version will bring is
//! checked as strictly and then refused by name; nothing is ignored in silence. Called by cli and service.

mod job;
mod problem;

pub use job::*;
pub use problem::{Kind, Problem, Refusal};

use std::collections::BTreeMap;
use std::path::Path;

/// Values for `{{variables}}`, as `-p name=value` gives them.
pub type Variables = BTreeMap<String, String>;

/// Reads a job file.
///
/// # Errors
/// The file cannot be read, is wrong, or asks for what is not yet supported.
pub fn load(path: &Path, variables: &Variables) -> Result<Job, Refusal> {
    match std::fs::read(path) {
        Ok(bytes) => parse(path, bytes, variables),
        Err(error) => Err(Refusal::of_file(path, format!("cannot read the job file: {error}"), None)),
    }
}

/// A job file's bytes; `path` only names them in complaints.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, bytes: Vec<u8>, variables: &Variables) -> Result<Job, Refusal> {
    let _ = (bytes, variables);
    Err(Refusal::of_file(path, "job files are not yet read", None))
}

/// Draws a refusal, one line a problem: `file:line:col: text (hint)`; on a terminal with the place in the file under
/// each.
pub fn render(refusal: &Refusal, on_terminal: bool, with_color: bool) -> String {
    let _ = (on_terminal, with_color);
    refusal.problems.iter().map(|problem| format!("{}: {}\n", refusal.path.display(), problem.text)).collect()
}

/// The gpfdist part of a gpss.json file (`--config`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFile {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub bind_address: Option<std::net::IpAddr>,
    /// Keep an external table of the same definition; the default.
    pub reuse_tables: Option<bool>,
    pub warnings: Vec<Problem>,
}

/// Reads a gpss.json file.
///
/// # Errors
/// As [`load`].
pub fn load_server_file(path: &Path) -> Result<ServerFile, Refusal> {
    Err(Refusal::of_file(path, "server files are not yet read", None))
}
