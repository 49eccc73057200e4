//! Job files: YAML of versions 1, 2 and 3 as people have them, read whole and strictly, into one [`Job`].
//!
//! Everything that is wrong with a file is found in one go, each with its place. What a later version will bring is
//! checked as strictly and then refused by name; nothing is ignored in silence. Called by cli and service.
//!
//! text → `template` (variables) → `yaml` (what and where) → `fields` (a cursor that knows which keys were asked for)
//! → `v3` (keys of version 3 to where version 2 has them) → `file`, `content`, `output`, `around` (what each block may
//! say) → [`Job`], or a [`Refusal`] for `render` to draw.

mod around;
mod content;
mod convert;
mod dead_letter;
mod fields;
mod file;
#[cfg(any(test, feature = "failpoints"))]
mod ignored;
mod job;
mod keys;
mod output;
mod password;
mod places;
mod problem;
mod properties;
mod render;
mod scalars;
mod schemas;
mod server;
mod shadow;
mod stages;
mod template;
#[cfg(test)]
mod tests;
mod transformer;
mod v3;
mod yaml;

pub use convert::{Converted, convert, convert_bytes};
pub use file::callback_host;
pub use job::*;
pub use keys::{KEYS, KeyOf, REFERENCE, REFERENCE_V3, Standing, table};
pub use problem::{Kind, Problem, Refusal};
pub use render::render;
pub use server::{ServerFile, load_server_file};
pub use shadow::shadowed;
pub use stages::SchemaFile;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::config::problem::Complaints;
use crate::config::template::Filled;
use crate::config::yaml::Node;

/// Values for `{{variables}}`, as `-p name=value` gives them.
pub type Variables = BTreeMap<String, String>;

/// No job file is longer; it keeps a wrong argument, say a data file, from being read whole.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a job file.
///
/// # Errors
/// The file cannot be read, or is wrong.
pub fn load(path: &Path, variables: &Variables) -> Result<Job, Refusal> {
    parse(path, read(path)?, variables)
}

/// A job file's bytes; `path` only names them in complaints.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, bytes: Vec<u8>, variables: &Variables) -> Result<Job, Refusal> {
    let filled = Filled::new(text_of(path, bytes)?, variables);
    let (job, warnings) = understood(path, &filled, |complaints, root| {
        for name in variables.keys().filter(|name| !filled.uses(name)) {
            complaints.warning_of_file(format!("there is no {{{{{name}}}}} in the file to give a value to"));
        }
        #[cfg(feature = "failpoints")]
        if let Some(root) = ignored::by_fail_point(root) {
            return file::job(complaints, &root);
        }
        file::job(complaints, root)
    })?;
    Ok(Job { warnings, ..job })
}

/// As [`parse`], of a file of which one key is passed over, see `ignored.rs`.
#[cfg(test)]
pub(crate) fn parse_without(path: &Path, text: &str, key: &str) -> Result<Job, Refusal> {
    let filled = Filled::new(text.to_owned(), &Variables::new());
    let (job, warnings) =
        understood(path, &filled, |complaints, root| file::job(complaints, &ignored::without(root, key)))?;
    Ok(Job { warnings, ..job })
}

/// The bytes of a file that could be one of ours.
fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::of_file(path, "no such file", None)),
        Err(error) => Err(Refusal::of_file(path, format!("cannot read the file: {error}"), None)),
        Ok(_) if bytes.len() as u64 > FILE_BYTES_MAX => {
            Err(Refusal::of_file(path, "longer than 1 MiB, which no job file is", None))
        }
        Ok(_) => Ok(bytes),
    }
}

/// The text of a file, without a byte order mark.
fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, Refusal> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let (valid, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let valid = String::from_utf8_lossy(valid).into_owned();
        let (line, column) = problem::position(&valid, valid.len());
        let mut refusal = Refusal::of_file(path, "not UTF-8: this byte is part of no character", None);
        (refusal.problems[0].line, refusal.problems[0].column) = (line, column);
        refusal
    })?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    if text.trim().is_empty() {
        return Err(Refusal::of_file(path, "the file is empty", None));
    }
    Ok(text)
}

/// Parses a file's text and lets `read` make something of it; with its warnings, or all that is wrong with it.
fn understood<T>(
    path: &Path,
    filled: &Filled,
    read: impl FnOnce(&Complaints<'_>, &Node) -> Option<T>,
) -> Result<(T, Vec<Problem>), Refusal> {
    let complaints = Complaints::new(filled);
    for (name, span) in filled.missing() {
        complaints.missing_variable(name, span);
    }
    let read = match yaml::parse(&filled.text) {
        Err(unreadable) => {
            let rest = filled.text.get(unreadable.at..).unwrap_or("");
            let length = rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
            complaints.mistake(&(unreadable.at..unreadable.at + length), unreadable.text, None);
            None
        }
        Ok(Node { content: yaml::Content::Null, .. }) => {
            complaints.mistake(&(0..0), "the file holds nothing but comments", None);
            None
        }
        Ok(root) => read(&complaints, &root),
    };
    let refusal = |problems| Refusal { path: path.to_owned(), text: filled.file.clone(), problems };
    let warnings = complaints.conclude().map_err(refusal)?;
    let read = read.ok_or_else(|| Refusal::of_file(path, "the file could not be understood", None))?;
    Ok((read, warnings))
}
