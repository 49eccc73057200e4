//! Files named on the command line, read and refused alike by every subcommand.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use super::{EXIT_USAGE, Exit, FileArgs, passwords};
use crate::config::{self, Job, Problem, Refusal, ServerFile};
use crate::gpfdist::TlsFiles;
use crate::greenplum::tls::Tls;

/// Reads a job file, and looks for a password where it has none; with its warnings, a line each.
///
/// # Errors
/// 64, with everything that is wrong with the file.
pub fn job(args: &FileArgs) -> Result<(Job, Vec<String>), Exit> {
    let variables = args.properties.iter().cloned().collect();
    let mut job = config::load(&args.file, &variables).map_err(|refusal| refused(&refusal))?;
    job.connection.tls = tls()?;
    let mut warnings = lines(&args.file, &job.warnings);
    if job.connection.password.is_none() {
        let found = passwords::find(&job.connection);
        warnings.extend(found.warning);
        job.connection.password = found.password;
    }
    Ok((job, warnings))
}

/// Reads a gpss.json, if one is named; with its warnings, a line each. A certificate that it wants shared is the job's to
/// the database too.
///
/// # Errors
/// As [`job`].
pub fn server(path: Option<&Path>, job: &mut Job) -> Result<(Option<ServerFile>, Vec<String>), Exit> {
    let Some(path) = path else { return Ok((None, Vec::new())) };
    let file = config::load_server_file(path).map_err(|refusal| refused(&refusal))?;
    let warnings = lines(path, &file.warnings);
    if let Some(shared) = file.certificate.as_ref().filter(|_| file.shares_certificate) {
        job.connection.tls = tls_with(Some(shared))?;
    }
    Ok((Some(file), warnings))
}

/// What the environment says of TLS to the database, as PostgreSQL's own clients read it.
///
/// # Errors
/// 64: a variable has no meaning.
pub fn tls() -> Result<Tls, Exit> {
    tls_with(None)
}

/// The same, but that files stand in for variables that are not set.
fn tls_with(files: Option<&TlsFiles>) -> Result<Tls, Exit> {
    let file = |name: &str| match name {
        "PGSSLCERT" => files.map(|files| &files.certificate),
        "PGSSLKEY" => files.map(|files| &files.key),
        "PGSSLROOTCERT" => files.and_then(|files| files.authorities.as_ref()),
        _ => None,
    };
    let named = |name: &str| file(name).map(|path| path.to_string_lossy().into_owned());
    Tls::from_environment(|name| std::env::var(name).ok().or_else(|| named(name))).map_err(Exit::usage)
}

fn lines(path: &Path, warnings: &[Problem]) -> Vec<String> {
    warnings.iter().map(|warning| warning.one_line(path)).collect()
}

/// There is a file already where one is to be written.
pub fn in_the_way(path: &Path) -> Exit {
    Exit::usage(format!("{} exists already; give another name after -o, or --force to overwrite it", path.display()))
}

/// Into a file that is new, unless it may be overwritten.
///
/// # Errors
/// 64 where one is in the way, 1 where it cannot be written.
pub fn write(path: &Path, may_overwrite: bool, text: &str) -> Result<(), Exit> {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).create_new(!may_overwrite);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => in_the_way(path),
        _ => Exit::failed(format!("cannot write {}: {error}", path.display())),
    })
}

/// Everything that is wrong with a file, as it is printed.
pub fn refused(refusal: &Refusal) -> Exit {
    let is_terminal = std::io::stderr().is_terminal();
    Exit { code: EXIT_USAGE, text: config::render(refusal, is_terminal, is_terminal) }
}
