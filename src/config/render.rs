//! Draws what is wrong with a file: one line a problem for scripts, and on a terminal with the place in the file under
//! each. Called by cli.

use std::ops::Range;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::problem::{Problem, Refusal};
use crate::kafka;

/// One line a problem, `file:line:col: text (hint)`; on a terminal with a picture. Ends with a line break.
pub fn render(refusal: &Refusal, on_terminal: bool, with_color: bool) -> String {
    let path = refusal.path.display().to_string();
    refusal.problems.iter().map(|problem| drawn(problem, &path, &refusal.text, on_terminal, with_color)).collect()
}

fn drawn(problem: &Problem, path: &str, text: &str, on_terminal: bool, with_color: bool) -> String {
    let has_place = problem.line > 0 && problem.span.end <= text.len() && !text.is_empty();
    let has_picture = on_terminal && has_place && !may_hold_secret(text.lines().nth(problem.line - 1).unwrap_or(""));
    if !has_picture {
        return line(problem, path, problem.hint.as_deref()) + "\n";
    }
    let title = line(problem, path, None);
    let title = if with_color { format!("\u{1b}[1m{title}\u{1b}[0m") } else { title };
    format!("{title}\n{}\n", picture(problem, text, with_color))
}

/// Whether a line is not to be drawn: a password may stand in it, under a key that is mistyped too, or in an address.
fn may_hold_secret(line: &str) -> bool {
    kafka::is_secret(line) || line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

impl Problem {
    /// In one line without its end, for a log: `file:line:col: text (hint)`.
    pub fn one_line(&self, path: &Path) -> String {
        line(self, &path.display().to_string(), self.hint.as_deref())
    }
}

fn line(problem: &Problem, path: &str, hint: Option<&str>) -> String {
    let place = if problem.line > 0 { format!(":{}:{}", problem.line, problem.column) } else { String::new() };
    // whatever a file holds, a problem is one line
    let text = problem.text.replace(['\n', '\r'], " ");
    let hint = hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{path}{place}: {text}{hint}")
}

fn picture(problem: &Problem, text: &str, with_color: bool) -> String {
    let span = within_line(text, &problem.span);
    let hint = problem.hint.as_deref().unwrap_or("");
    let annotation = AnnotationKind::Primary.span(span).label(hint);
    let snippet = Snippet::source(text).annotation(annotation);
    let renderer = if with_color { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[Group::with_level(Level::ERROR).element(snippet)])
}

/// The first line of a span, since blocks and long texts go over many.
fn within_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let shown = text.get(span.clone()).unwrap_or("");
    let first = shown.lines().next().unwrap_or("").trim_end();
    span.start..span.start + first.len()
}
