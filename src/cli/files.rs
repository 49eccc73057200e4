//! Files named on the command line, read and refused alike by every subcommand.

use std::io::IsTerminal as _;
use std::path::Path;

use super::{EXIT_USAGE, Exit, FileArgs};
use crate::config::{self, Job, Problem, Refusal, ServerFile};

/// Reads a job file; its warnings are for the log.
///
/// # Errors
/// 64, with everything that is wrong with the file.
pub fn job(args: &FileArgs) -> Result<(Job, Vec<Problem>), Exit> {
    let variables = args.properties.iter().cloned().collect();
    let job = config::load(&args.file, &variables).map_err(|refusal| refused(&refusal))?;
    let warnings = job.warnings.clone();
    Ok((job, warnings))
}

/// Reads a gpss.json, if one is named.
///
/// # Errors
/// As [`job`].
pub fn server(path: Option<&Path>) -> Result<Option<ServerFile>, Exit> {
    path.map(|path| config::load_server_file(path).map_err(|refusal| refused(&refusal))).transpose()
}

/// A warning as a log line.
pub fn one_line(path: &Path, problem: &Problem) -> String {
    problem.one_line(path)
}

fn refused(refusal: &Refusal) -> Exit {
    let is_terminal = std::io::stderr().is_terminal();
    Exit { code: EXIT_USAGE, text: config::render(refusal, is_terminal, is_terminal) }
}
