//! `gpkafka convert FILE`: a job file of version 1 or 2 as version 3, and what could not be said in it.

use std::io::Write as _;
use std::path::Path;

use super::{ConvertArgs, Exit, console, files};
use crate::config;

/// Writes the new file to stdout, or where it was asked for; what was left out, to stderr.
///
/// # Errors
/// 64 for a wrong file, 1 where the new one cannot be written.
pub fn run(args: &ConvertArgs) -> Result<(), Exit> {
    let place = |path: &Path| std::fs::canonicalize(path).ok();
    if let Some(output) = &args.output
        && place(output).is_some_and(|output| Some(output) == place(&args.file))
    {
        return Err(Exit::usage("the new file may not take the place of the old one: give another after -o"));
    }
    let variables = args.properties.iter().cloned().collect();
    let converted = config::convert(&args.file, &variables).map_err(|refusal| files::refused(&refusal))?;
    match &args.output {
        None => console::print(&converted.text)?,
        Some(path) => {
            let written = std::fs::write(path, &converted.text);
            written.map_err(|error| Exit::failed(format!("cannot write {}: {error}", path.display())))?;
        }
    }
    for problem in &converted.left_out {
        // nobody is left to tell where even this cannot be printed
        drop(writeln!(std::io::stderr(), "{}", problem.one_line(&args.file)));
    }
    Ok(())
}
