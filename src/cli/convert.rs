//! `gpkafka convert FILE`: a job file of version 1 or 2 as version 3, and what could not be said in it.

use std::io::Write as _;
use std::path::Path;

use super::{ConvertArgs, Exit, console, files};
use crate::config;

/// Writes the new file to stdout, or where it was asked for; what was left out, to stderr.
///
/// # Errors
/// 64 for a wrong file, and where one is in the way; 1 where the new one cannot be written.
pub fn run(args: &ConvertArgs) -> Result<(), Exit> {
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    if let Some(output) = &args.output
        && place(output).is_some_and(|output| Some(output) == place(&args.file))
    {
        return Err(Exit::usage("the new file may not take the place of the old one: give another after -o"));
    }
    if let Some(output) = args.output.as_deref().filter(|path| !args.force && path.symlink_metadata().is_ok()) {
        return Err(files::in_the_way(output));
    }
    let variables = args.properties.iter().cloned().collect();
    let converted = config::convert(&args.file, &variables).map_err(|refusal| files::refused(&refusal))?;
    match &args.output {
        None => console::print(&converted.text)?,
        Some(path) => files::write(path, args.force, &converted.text)?,
    }
    for problem in &converted.left_out {
        // nobody is left to tell where even this cannot be printed
        drop(writeln!(std::io::stderr(), "{}", problem.one_line(&args.file)));
    }
    Ok(())
}
