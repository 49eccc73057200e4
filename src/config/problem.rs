//! What is wrong with a file, and where. Collected by everything that reads one; drawn by `render.rs`.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// What kind of complaint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The file is wrong.
    Mistake,
    /// The file is right, and asks for what this version does not do yet.
    NotYet,
    /// The file is right, and something in it has no effect.
    Warning,
}

/// One complaint about one place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: Kind,
    /// From 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// Bytes of the file's text.
    pub span: Range<usize>,
    /// What is wrong: lower case, without full stop.
    pub text: String,
    /// What to do: "did you mean `TOPIC`?".
    pub hint: Option<String>,
}

/// A file that cannot be used: everything that is wrong with it, in the order of the file. Only mistakes, if there are
/// any; else what is not yet supported. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub path: PathBuf,
    /// The file's text, for pictures; empty where it could not be read.
    pub text: String,
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// About the file as a whole.
    pub(super) fn of_file(path: &Path, text: impl Into<String>, hint: Option<&str>) -> Self {
        let problem = Problem {
            kind: Kind::Mistake,
            line: 0,
            column: 0,
            span: 0..0,
            text: text.into(),
            hint: hint.map(str::to_owned),
        };
        Self { path: path.to_owned(), text: String::new(), problems: vec![problem] }
    }
}
