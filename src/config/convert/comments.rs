//! The comments of a file, each with the key or the element of a list that it belongs to: the one it stands beside, or
//! the next one below. Called by `mod.rs` and `rewrite.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::yaml::{Content, Node};

/// Comments by the place of what they belong to.
pub(super) struct Comments {
    /// At the head of the file, with an empty line below.
    pub head: Vec<String>,
    /// Below everything.
    foot: Vec<String>,
    by_place: RefCell<BTreeMap<usize, Around>>,
}

/// What stands around one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Around {
    pub above: Vec<String>,
    pub beside: Option<String>,
}

impl Comments {
    pub fn new(text: &str, root: &Node) -> Self {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        places(text, root, &mut keys, &mut values);
        keys.sort_unstable();
        let mut comments = Self { head: Vec::new(), foot: Vec::new(), by_place: RefCell::default() };
        let (mut line_start, mut is_head) = (0, true);
        for line in text.split_inclusive('\n') {
            let whole = line_start..line_start + line.len();
            line_start = whole.end;
            match comment(text, &whole, &values) {
                Some(at) => comments.keep(&whole, at, text[at..whole.end].trim_end().to_owned(), &keys),
                None if line.trim().is_empty() && is_head => comments.end_head(),
                None => {}
            }
            is_head &= keys.first().is_none_or(|first| whole.end <= *first);
        }
        comments
    }

    /// An empty line below the first comments parts them from the first key.
    fn end_head(&mut self) {
        for (_, around) in std::mem::take(&mut *self.by_place.borrow_mut()) {
            self.head.extend(around.above);
            self.head.push(String::new());
        }
    }

    fn keep(&mut self, line: &Range<usize>, at: usize, comment: String, keys: &[usize]) {
        let places = self.by_place.get_mut();
        let beside = keys.iter().rev().find(|key| line.contains(key) && **key < at);
        match (beside, keys.iter().find(|key| **key >= line.end)) {
            (Some(key), _) => places.entry(*key).or_default().beside = Some(comment),
            (None, Some(key)) => places.entry(*key).or_default().above.push(comment),
            (None, None) => self.foot.push(comment),
        }
    }

    /// The comments around a key, which go with it.
    pub fn take(&self, place: usize) -> Around {
        self.by_place.borrow_mut().remove(&place).unwrap_or_default()
    }

    /// What stands around the keys of a part that is left out goes with them.
    pub fn drop_within(&self, part: &Range<usize>) {
        self.by_place.borrow_mut().retain(|place, _| !part.contains(place));
    }

    /// Gives the comments of a block that version 3 does not have to the first key inside it.
    pub fn hand_down(&self, block: usize, first: usize) {
        let Around { mut above, beside } = self.take(block);
        above.extend(beside);
        if let (false, mut places) = (above.is_empty(), self.by_place.borrow_mut()) {
            places.entry(first).or_default().above.splice(0..0, above);
        }
    }

    /// What is left: below everything, after what nobody took.
    pub fn foot(self) -> Vec<String> {
        let left = self.by_place.into_inner().into_values();
        left.flat_map(|around| around.above.into_iter().chain(around.beside)).chain(self.foot).collect()
    }
}

/// Where the comment of a line begins: a `#` behind a space that is no part of a value.
fn comment(text: &str, line: &Range<usize>, values: &[Range<usize>]) -> Option<usize> {
    let is_free = |at: usize| at == line.start || text[..at].ends_with([' ', '\t']);
    let hashes = text[line.clone()].match_indices('#').map(|(at, _)| line.start + at);
    hashes.filter(|&at| is_free(at)).find(|at| !values.iter().any(|value| value.contains(at)))
}

/// What a value covers. The span that the parser gives a value on one line may run on to its line's end.
pub(super) fn extent(text: &str, span: &Range<usize>) -> Range<usize> {
    let slice = text.get(span.clone()).unwrap_or("");
    let quote = slice.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let is_block = slice.starts_with(['|', '>']) || slice.contains('\n');
    let mut escaped = false;
    for (at, c) in slice.char_indices().skip(1) {
        let ends = match quote {
            // two single quotes are one that is part of the text, and so are two texts that meet
            Some('\'') => c == '\'' && !slice[at + 1..].starts_with('\'') && slice[..at].matches('\'').count() % 2 == 1,
            Some(_) => c == '"' && !escaped,
            None => !is_block && c == '#' && slice[..at].ends_with([' ', '\t']),
        };
        escaped = !escaped && c == '\\';
        if ends {
            return span.start..span.start + if quote.is_some() { at + 1 } else { at };
        }
    }
    span.clone()
}

/// Where keys and elements of lists begin, and what keys and values cover.
fn places(text: &str, node: &Node, keys: &mut Vec<usize>, values: &mut Vec<Range<usize>>) {
    match &node.content {
        Content::Map(entries) => {
            for (key, node) in entries {
                keys.push(key.span.start);
                values.push(key.span.clone());
                places(text, node, keys, values);
            }
        }
        Content::List(nodes) => {
            for node in nodes {
                keys.push(node.span.start);
                places(text, node, keys, values);
            }
        }
        _ => values.push(extent(text, &node.span)),
    }
}
