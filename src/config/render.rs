//! Draws what is wrong with a file: one line a problem for scripts, and on a terminal with the place in the file under
//! each. Called by cli.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::config::problem::{Problem, Refusal};

/// One line a problem, `file:line:col: text (hint)`; on a terminal with a picture. Ends with a line break.
pub fn render(refusal: &Refusal, on_terminal: bool, with_color: bool) -> String {
    let path = refusal.path.display().to_string();
    refusal.problems.iter().map(|problem| drawn(problem, &path, &refusal.text, on_terminal, with_color)).collect()
}

/// One problem, as [`render`] draws it; `text` is the file's.
pub fn drawn(problem: &Problem, path: &str, text: &str, on_terminal: bool, with_color: bool) -> String {
    let has_picture = on_terminal && problem.line > 0 && problem.span.end <= text.len() && !text.is_empty();
    if !has_picture {
        return line(problem, path, problem.hint.as_deref());
    }
    let mut drawn = line(problem, path, None);
    if with_color {
        drawn = format!("\u{1b}[1m{}\u{1b}[0m\n", drawn.trim_end());
    }
    drawn + &picture(problem, text, with_color) + "\n"
}

fn line(problem: &Problem, path: &str, hint: Option<&str>) -> String {
    let mut line = path.to_owned();
    if problem.line > 0 {
        write!(line, ":{}:{}", problem.line, problem.column).expect("a string takes everything");
    }
    // whatever a file holds, a problem is one line
    write!(line, ": {}", problem.text.replace(['\n', '\r'], " ")).expect("a string takes everything");
    if let Some(hint) = hint {
        write!(line, " ({hint})").expect("a string takes everything");
    }
    line + "\n"
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
