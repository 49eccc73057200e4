//! `{{variables}}`: replaced in the text before YAML sees it, so that `TOPIC: {{topic}}` needs no quotes, with the way
//! back from a place in the filled text to its place in the file. Called by `mod.rs` alone.

use std::ops::Range;

use crate::config::Variables;

/// A file's text with its variables filled in.
#[derive(Debug)]
pub(super) struct Filled {
    /// As in the file.
    pub file: String,
    /// What YAML gets.
    pub text: String,
    /// In ascending order.
    holes: Vec<Hole>,
}

/// One `{{name}}`.
#[derive(Debug)]
struct Hole {
    name: String,
    /// Where its value stands in the filled text.
    at: Range<usize>,
    /// Where `{{name}}` stands in the file.
    from: Range<usize>,
    is_known: bool,
}

/// Takes the place of a value that nobody gave: a plain word wherever it stands.
const STAND_IN: &str = "x";

impl Filled {
    /// Every variable of a text: as it is written, and its name.
    pub fn names(text: &str) -> Vec<(&str, &str)> {
        variables_of(text).map(|(at, name)| (&text[at], name)).collect()
    }

    /// Fills in what is known. A name nobody gave a value is missing, unless it stands in a comment.
    pub fn new(file: String, variables: &Variables) -> Self {
        let mut text = String::with_capacity(file.len());
        let mut holes = Vec::new();
        let mut copied = 0;
        for (from, name) in variables_of(&file) {
            let value = match variables.get(name) {
                Some(value) => value,
                None if is_in_comment(&file, from.start) => continue,
                None => STAND_IN,
            };
            text.push_str(&file[copied..from.start]);
            let at = text.len()..text.len() + value.len();
            text.push_str(value);
            copied = from.end;
            holes.push(Hole { name: name.to_owned(), at, from, is_known: variables.contains_key(name) });
        }
        text.push_str(&file[copied..]);
        Self { file, text, holes }
    }

    /// Where a part of the filled text comes from. What came from a variable is its whole `{{name}}`.
    pub fn origin(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.back(span.start, |hole| hole.from.start);
        let end = self.back(span.end, |hole| hole.from.end);
        start..end.max(start)
    }

    fn back(&self, place: usize, within: fn(&Hole) -> usize) -> usize {
        let before = self.holes.partition_point(|hole| hole.at.start <= place);
        match self.holes[..before].last() {
            None => place,
            Some(hole) if place < hole.at.end => within(hole),
            Some(hole) => place - hole.at.end + hole.from.end,
        }
    }

    /// Whether a part of the filled text touches a value that is missing, so that nothing can be said about it.
    pub fn is_unknown(&self, span: &Range<usize>) -> bool {
        self.holes.iter().any(|hole| !hole.is_known && hole.at.start < span.end && span.start < hole.at.end)
    }

    /// Names without a value, each where it stands in the filled text.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &Range<usize>)> {
        self.holes.iter().filter(|hole| !hole.is_known).map(|hole| (hole.name.as_str(), &hole.at))
    }

    /// Whether the file uses a variable of this name.
    pub fn uses(&self, name: &str) -> bool {
        self.holes.iter().any(|hole| hole.name == name)
    }
}

/// All `{{name}}` of a text. Braces around anything but a name are the file's own: SQL arrays look like that.
fn variables_of(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text[from..].find("{{")?;
            from = start + 2;
            let Some(length) = text[from..].find("}}") else { continue };
            let name = text[from..from + length].trim_matches([' ', '\t']);
            if is_name(name) {
                from += length + 2;
                return Some((start..from, name));
            }
        }
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn is_in_comment(text: &str, place: usize) -> bool {
    let line = text[..place].rfind('\n').map_or(0, |newline| newline + 1);
    text[line..].trim_start_matches([' ', '\t']).starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(file: &str, variables: &[(&str, &str)]) -> Filled {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Filled::new(file.to_owned(), &variables)
    }

    #[test]
    fn places_lead_back_to_the_file() {
        let filled = filled("A: {{a}}\nB: {{ b }}!\n", &[("a", "long value"), ("b", "")]);
        assert_eq!(filled.text, "A: long value\nB: !\n");
        let origin = |of: &str| {
            let start = filled.text.find(of).unwrap();
            &filled.file[filled.origin(&(start..start + of.len()))]
        };
        assert_eq!(origin("A"), "A");
        assert_eq!(origin("long"), "{{a}}");
        assert_eq!(origin("value\nB"), "{{a}}\nB");
        assert_eq!(origin("!"), "!");
    }

    #[test]
    fn only_names_are_variables() {
        let sql = "xpath('/n', x, '{{n, http://a}}') {{}} {{ {{a}}";
        assert_eq!(filled(sql, &[("a", "1")]).text, "xpath('/n', x, '{{n, http://a}}') {{}} {{ 1");
    }

    #[test]
    fn what_nobody_gave_is_missing_but_for_comments() {
        let filled = filled("# {{old}}\nA: {{a}}\n  # {{a}}\nB: {{b}}\n", &[("a", "1")]);
        assert_eq!(filled.missing().map(|(name, _)| name).collect::<Vec<_>>(), ["b"]);
        assert!(filled.uses("a") && !filled.uses("old"));
        let at = filled.text.find("B: x").unwrap();
        assert!(filled.is_unknown(&(at + 3..at + 4)));
        assert!(!filled.is_unknown(&(at..at + 2)));
    }
}
