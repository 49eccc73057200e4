//! One walk over a document: all of it is checked, and where the wanted values stand is noted.

use super::plan::Plan;
use super::scan::{Problem, plain, space, string, unexpected};
use super::{DEPTH_MAX, too_deep};

/// What a walk needs, kept from one document to the next.
#[derive(Default)]
pub(super) struct Walk {
    /// The objects and arrays around the place.
    open: Vec<Open>,
    found: Vec<Option<Value>>,
    /// A name that was written with escapes.
    name: Vec<u8>,
}

struct Open {
    start: usize,
    is_object: bool,
    /// Of an array, the element that is being read.
    element: u64,
    /// Its node of the plan, if something of it is wanted.
    node: Option<usize>,
}

/// A value of the document.
#[derive(Clone, Copy)]
pub(super) struct Value {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Numbers, `true`, `false`.
    Plain,
    /// In its quotes.
    Text {
        has_escapes: bool,
    },
    Array,
    Object,
}

impl Walk {
    /// The values of the plan's fields, in their order; nothing for null, and for what is not there.
    pub fn document(&mut self, document: &[u8], plan: &Plan) -> Result<&[Option<Value>], Problem> {
        self.open.clear();
        self.found.clear();
        self.found.resize(plan.fields().len(), None);
        let start = space(document, 0);
        if document.get(start) != Some(&b'{') {
            return Err(unexpected(document, start, "an object"));
        }
        let end = self.values(document, start, plan)?;
        let end = space(document, end);
        if end < document.len() {
            return Err(unexpected(document, end, "the end of the document"));
        }
        Ok(&self.found)
    }

    /// Walks to the end of the value at `at`, and of all in it.
    fn values(&mut self, document: &[u8], mut at: usize, plan: &Plan) -> Result<usize, Problem> {
        let mut node = Some(0);
        loop {
            at = space(document, at);
            let begun = self.begin(document, at, node, plan);
            let (end, is_empty) = begun.map_err(|problem| self.naming(problem, node, plan))?;
            at = end;
            if !is_empty {
                let next = self.first(document, at, plan);
                (at, node) = next.map_err(|problem| self.naming(problem, None, plan))?;
                continue;
            }
            let next = self.close(document, at, plan).map_err(|problem| self.naming(problem, None, plan))?;
            match next {
                (at, None) => return Ok(at),
                (next, Some(wanted)) => (at, node) = (next, wanted),
            }
        }
    }

    /// A value's beginning, or all of it; and whether nothing more is to come of it.
    fn begin(
        &mut self,
        document: &[u8],
        at: usize,
        node: Option<usize>,
        plan: &Plan,
    ) -> Result<(usize, bool), Problem> {
        let (end, kind) = match document.get(at) {
            Some(&byte @ (b'{' | b'[')) => {
                if self.open.len() == DEPTH_MAX {
                    return Err(Problem::new(too_deep(at)));
                }
                self.open.push(Open { start: at, is_object: byte == b'{', element: 0, node });
                let next = space(document, at + 1);
                let closing = if byte == b'{' { b'}' } else { b']' };
                return Ok((next, document.get(next) == Some(&closing)));
            }
            Some(b'"') => {
                let (end, has_escapes) = string(document, at + 1)?;
                (end, Kind::Text { has_escapes })
            }
            _ => (plain(document, at)?, Kind::Plain),
        };
        if document[at] != b'n' {
            self.find(node, Value { start: at, end, kind }, plan);
        }
        Ok((end, true))
    }

    /// Behind the opening of what is open: the place and the node of its first value.
    fn first(&mut self, document: &[u8], at: usize, plan: &Plan) -> Result<(usize, Option<usize>), Problem> {
        match self.open.last() {
            Some(Open { is_object: false, node, .. }) => Ok((at, node.and_then(|node| plan.element(node, 0)))),
            Some(Open { is_object: true, node, .. }) => self.member(document, at, *node, plan),
            None => Ok((at, None)),
        }
    }

    /// Behind a value: closes all that ends here. The place and the node of the next value; without one, all is closed.
    fn close(
        &mut self,
        document: &[u8],
        mut at: usize,
        plan: &Plan,
    ) -> Result<(usize, Option<Option<usize>>), Problem> {
        loop {
            let Some(open) = self.open.last_mut() else { return Ok((at, None)) };
            at = space(document, at);
            match (document.get(at), open.is_object) {
                (Some(b','), true) => {
                    let node = open.node;
                    let (at, node) = self.member(document, space(document, at + 1), node, plan)?;
                    return Ok((at, Some(node)));
                }
                (Some(b','), false) => {
                    open.element += 1;
                    return Ok((at + 1, Some(open.node.and_then(|node| plan.element(node, open.element)))));
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    at += 1;
                    let kind = if open.is_object { Kind::Object } else { Kind::Array };
                    let (node, value) = (open.node, Value { start: open.start, end: at, kind });
                    self.open.pop();
                    self.find(node, value, plan);
                }
                (_, true) => return Err(unexpected(document, at, "`,` or `}`")),
                (_, false) => return Err(unexpected(document, at, "`,` or `]`")),
            }
        }
    }

    /// A member's name and colon: the place of its value, and its node.
    fn member(
        &mut self,
        document: &[u8],
        at: usize,
        node: Option<usize>,
        plan: &Plan,
    ) -> Result<(usize, Option<usize>), Problem> {
        if document.get(at) != Some(&b'"') {
            return Err(unexpected(document, at, "a name in quotes"));
        }
        let (end, has_escapes) = string(document, at + 1)?;
        let colon = space(document, end);
        if document.get(colon) != Some(&b':') {
            return Err(unexpected(document, colon, "`:`"));
        }
        let node = node.and_then(|node| self.named(node, (&document[at + 1..end - 1], has_escapes), plan));
        // of two members of one name the last counts, with all that is in it
        node.iter().flat_map(|&node| plan.below(node)).for_each(|&field| self.found[field] = None);
        Ok((colon + 1, node))
    }

    fn named(&mut self, node: usize, (written, has_escapes): (&[u8], bool), plan: &Plan) -> Option<usize> {
        if !has_escapes {
            return plan.member(node, written);
        }
        self.name.clear();
        let name = &mut self.name;
        // what no text can hold is the name of nothing
        super::write::unescape(written, 0, true, |bytes| name.extend_from_slice(bytes)).ok()?;
        plan.member(node, &self.name)
    }

    fn find(&mut self, node: Option<usize>, value: Value, plan: &Plan) {
        node.iter().flat_map(|&node| plan.at(node)).for_each(|&field| self.found[field] = Some(value));
    }

    /// The innermost column whose value holds the place.
    fn naming(&self, problem: Problem, node: Option<usize>, plan: &Plan) -> Problem {
        let nodes = node.into_iter().chain(self.open.iter().rev().filter_map(|open| open.node));
        let field = nodes.flat_map(|node| plan.at(node)).next().copied();
        problem.of(field)
    }
}
