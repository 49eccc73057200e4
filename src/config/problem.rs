//! What is wrong with a file, and where. Collected by everything that reads one; drawn by `render.rs`.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::config::template::Filled;
use crate::config::v3;

/// What kind of complaint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The file is wrong.
    Mistake,
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
    /// Bytes of the file's text; beyond its end where the line is not to be shown.
    pub span: Range<usize>,
    /// What is wrong: lower case, without full stop.
    pub text: String,
    /// What to do: "did you mean `TOPIC`?".
    pub hint: Option<String>,
}

/// A file that cannot be used: everything that is wrong with it, in the order of the file. Never empty.
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
        let hint = hint.map(str::to_owned);
        let problem = Problem { kind: Kind::Mistake, line: 0, column: 0, span: 0..0, text: text.into(), hint };
        Self { path: path.to_owned(), text: String::new(), problems: vec![problem] }
    }
}

/// Takes complaints from everyone who reads a part of the file. Places are given in the filled text and kept as the
/// file's own.
#[derive(Debug)]
pub(super) struct Complaints<'a> {
    filled: &'a Filled,
    problems: RefCell<Vec<Problem>>,
    /// Whether keys are called what version 3 calls them.
    is_version_3: Cell<bool>,
    leaves_secrets: Cell<bool>,
}

/// The span of what no picture may show: beyond the end of any text.
const NOT_SHOWN: Range<usize> = usize::MAX..usize::MAX;

impl<'a> Complaints<'a> {
    pub fn new(filled: &'a Filled) -> Self {
        Self { filled, problems: RefCell::default(), is_version_3: Cell::new(false), leaves_secrets: Cell::new(false) }
    }

    /// From here on keys are told by the names of version 3.
    pub fn speak_version_3(&self) {
        self.is_version_3.set(true);
    }

    pub fn is_of_version_3(&self) -> bool {
        self.is_version_3.get()
    }

    /// What the file's version calls a key.
    pub fn spelled(&self, key: &str) -> String {
        if self.is_of_version_3() { v3::spelled(key) } else { key.to_owned() }
    }

    /// The file is wrong here.
    pub fn mistake(&self, span: &Range<usize>, text: impl Into<String>, hint: Option<String>) {
        self.push(Kind::Mistake, span, text.into(), hint);
    }

    /// This has no effect.
    pub fn warning(&self, span: &Range<usize>, text: impl Into<String>, hint: Option<String>) {
        self.push(Kind::Warning, span, text.into(), hint);
    }

    /// The file is wrong at a secret: its place is told, and its line not shown.
    pub fn mistake_in_secret(&self, span: &Range<usize>, text: impl Into<String>, hint: Option<String>) {
        self.push(Kind::Mistake, span, text.into(), hint);
        if let Some(problem) = self.problems.borrow_mut().last_mut() {
            problem.span = NOT_SHOWN;
        }
    }

    /// From here on a password is what is written, not what it stands for.
    pub fn leave_secrets(&self) {
        self.leaves_secrets.set(true);
    }

    pub fn leaves_secrets(&self) -> bool {
        self.leaves_secrets.get()
    }

    /// A variable without a value.
    pub fn missing_variable(&self, name: &str, span: &Range<usize>) {
        let hint = Some(format!("give it with `-p {name}=…`"));
        self.keep(Kind::Mistake, span, format!("no value is given for {{{{{name}}}}}"), hint);
    }

    /// Something has no effect that is not in the file.
    pub fn warning_of_file(&self, text: String) {
        let problem = Problem { kind: Kind::Warning, line: 0, column: 0, span: 0..0, text, hint: None };
        self.problems.borrow_mut().push(problem);
    }

    /// The line of a place, from 1.
    pub fn line(&self, span: &Range<usize>) -> usize {
        position(&self.filled.file, self.filled.origin(span).start).0
    }

    /// Nothing is said about a value that is not known.
    fn push(&self, kind: Kind, span: &Range<usize>, text: String, hint: Option<String>) {
        if !self.filled.is_unknown(span) {
            self.keep(kind, span, text, hint);
        }
    }

    fn keep(&self, kind: Kind, span: &Range<usize>, text: String, hint: Option<String>) {
        let text = if self.is_of_version_3() { v3::told(&text) } else { text };
        let span = self.filled.origin(span);
        let (line, column) = position(&self.filled.file, span.start);
        self.problems.borrow_mut().push(Problem { kind, line, column, span, text, hint });
    }

    /// Warnings, if the file can be used; else why it can't.
    pub fn conclude(self) -> Result<Vec<Problem>, Vec<Problem>> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        let worst = problems.iter().map(|problem| problem.kind).min().unwrap_or(Kind::Warning);
        problems.retain(|problem| problem.kind == worst);
        if worst == Kind::Warning { Ok(problems) } else { Err(problems) }
    }
}

/// Line and column, both from 1, the column in characters.
pub(super) fn position(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line..].chars().count() + 1)
}
