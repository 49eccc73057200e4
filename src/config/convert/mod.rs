//! A job file of version 1 or 2 rewritten as version 3: the same job, with the file's own spelling of every value, its
//! comments where their keys go, and its `{{variables}}`. What version 3 cannot say is told. Called by cli.

mod comments;
mod contents;
mod page;
mod rewrite;

use std::path::Path;

use crate::config::convert::comments::Comments;
use crate::config::problem::{Complaints, Kind, Problem, Refusal};
use crate::config::template::Filled;
use crate::config::yaml::Node;
use crate::config::{Callback, Job, Variables, file, read, text_of, v3, yaml};

/// A file of version 3.
#[derive(Debug)]
pub struct Converted {
    pub text: String,
    /// What the file says that version 3 cannot, in the order of the file.
    pub left_out: Vec<Problem>,
}

/// Rewrites a job file. `variables` serve to check it; they stay variables.
///
/// # Errors
/// The file cannot be read, is wrong, or is of version 3 already.
pub fn convert(path: &Path, variables: &Variables) -> Result<Converted, Refusal> {
    convert_bytes(path, read(path)?, variables)
}

/// The same of a file's bytes; `path` only names them in complaints.
///
/// # Errors
/// As [`convert`].
pub fn convert_bytes(path: &Path, bytes: Vec<u8>, variables: &Variables) -> Result<Converted, Refusal> {
    let text = text_of(path, bytes)?;
    let wanted = meant(path, &text, variables)?;
    let marked = Marked::new(&text);
    let root = yaml::parse(&marked.filled.text).map_err(|_| {
        Refusal::of_file(path, "a variable stands for more than a value", Some("write out what it holds"))
    })?;
    if v3::is_version_3(&root) {
        return Err(Refusal::of_file(path, "the file is of version 3 already", None));
    }
    let complaints = Complaints::new(&marked.filled);
    let comments = Comments::new(&marked.filled.text, &root);
    let page = rewrite::rewritten(&marked.filled.text, &root, comments, &complaints);
    let text = marked.unmarked(&page);
    let left_out = complaints.conclude().unwrap_or_default();
    let got = meant(path, &text, variables).map_err(|refusal| own_mistake(path, &refusal.problems[0].text))?;
    if wanted.zip(got).is_some_and(|(wanted, got)| wanted != got) {
        return Err(own_mistake(path, "the new file would mean another job"));
    }
    Ok(Converted { text, left_out })
}

/// Every file is read again before anyone gets it.
fn own_mistake(path: &Path, what: &str) -> Refusal {
    Refusal::of_file(path, format!("cannot be rewritten: {what}"), Some("write the file of version 3 by hand"))
}

/// What a file means, but for what version 3 cannot say; `None` if that can't be told without the values of variables.
/// What is to come is as good as what works.
fn meant(path: &Path, text: &str, variables: &Variables) -> Result<Option<Job>, Refusal> {
    let filled = Filled::new(text.to_owned(), variables);
    let complaints = Complaints::new(&filled);
    complaints.leave_secrets();
    let is_whole = filled.missing().next().is_none();
    let job = match yaml::parse(&filled.text) {
        Ok(root) => file::job(&complaints, &root),
        Err(unreadable) => {
            complaints.mistake(&(unreadable.at..unreadable.at), unreadable.text, None);
            None
        }
    };
    match complaints.conclude() {
        Err(problems) if problems.iter().any(|problem| problem.kind == Kind::Mistake) => {
            Err(Refusal { path: path.to_owned(), text: text.to_owned(), problems })
        }
        _ => Ok(job.filter(|_| is_whole).map(|job| Job { warnings: Vec::new(), callback: Callback::default(), ..job })),
    }
}

/// A text whose variables are plain words, so that YAML takes them for values.
struct Marked {
    filled: Filled,
    /// Each word and the `{{variable}}` it stands for, as the file writes it.
    words: Vec<(String, String)>,
}

impl Marked {
    fn new(text: &str) -> Self {
        let mut stem = "variable".to_owned();
        while text.contains(&stem) {
            stem.push('x');
        }
        let names = Filled::names(text);
        let word = |at: usize| format!("{stem}{at}z");
        let words: Vec<_> =
            names.iter().enumerate().map(|(at, (written, _))| (word(at), (*written).to_owned())).collect();
        let values = names.iter().enumerate().map(|(at, (_, name))| ((*name).to_owned(), word(at))).collect();
        Self { filled: Filled::new(text.to_owned(), &values), words }
    }

    fn unmarked(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (word, written)| text.replace(word, written))
    }
}

/// Whether two values are one, wherever they stand.
fn is_same(one: &Node, other: &Node) -> bool {
    use crate::config::yaml::Content::{List, Map};
    match (&one.content, &other.content) {
        (List(one), List(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b)),
        (Map(one), Map(other)) => {
            let same = |((a, x), (b, y)): (&(yaml::Key, Node), &(yaml::Key, Node))| a.name == b.name && is_same(x, y);
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (one, other) => one == other,
    }
}
