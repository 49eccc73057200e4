//! A tree in the shape of version 2, grown key by key. Called by the other files of `v3`.

use std::ops::Range;

use crate::config::v3::names;
use crate::config::yaml::{Content, Key, Node};

/// Blocks and values at their homes.
#[derive(Debug, Default)]
pub(super) struct Tree(Vec<(Key, Node)>);

impl Tree {
    /// Puts a value at its home, `KAFKA.INPUT.FILTER`. Blocks on the way that are not there yet stand where the key does.
    pub fn put(&mut self, home: &str, key: &Key, node: Node) {
        let (block, name) = home.rsplit_once('.').unwrap_or(("", home));
        self.block(block, &key.span).push((named(key, name), node));
    }

    /// Makes a block, which stands where complaints about what it lacks shall.
    pub fn open(&mut self, home: &str, span: &Range<usize>) {
        self.block(home, span);
    }

    fn block(&mut self, home: &str, span: &Range<usize>) -> &mut Vec<(Key, Node)> {
        home.split('.').filter(|name| !name.is_empty()).fold(&mut self.0, |entries, name| child(entries, name, span))
    }

    pub fn into_node(self) -> Node {
        Node { span: 0..0, content: Content::Map(self.0) }
    }
}

/// The entries of a block of this name, which is made if it is not there.
fn child<'a>(entries: &'a mut Vec<(Key, Node)>, name: &str, span: &Range<usize>) -> &'a mut Vec<(Key, Node)> {
    let is_block = |(key, node): &(Key, Node)| key.name == name && matches!(node.content, Content::Map(_));
    let at = entries.iter().position(is_block).unwrap_or_else(|| {
        entries.push((Key::new(span.clone(), name), map(span, Vec::new())));
        entries.len() - 1
    });
    match &mut entries[at].1.content {
        Content::Map(entries) => entries,
        _ => unreachable!("the position is that of a map"),
    }
}

pub(super) fn map(span: &Range<usize>, entries: Vec<(Key, Node)>) -> Node {
    Node { span: span.clone(), content: Content::Map(entries) }
}

/// A key under another name; complaints still call it what the file does.
pub(super) fn named(key: &Key, name: &str) -> Key {
    Key { span: key.span.clone(), name: name.to_owned(), written: key.written.clone() }
}

/// A block with the names that version 2 gives its keys; blocks inside it stay as they are.
pub(super) fn uppered(node: &Node) -> Node {
    let content = match &node.content {
        Content::Map(entries) => {
            let entries = entries.iter().map(|(key, node)| (named(key, &names::canonical(&key.written)), node.clone()));
            Content::Map(entries.collect())
        }
        other => other.clone(),
    };
    Node { span: node.span.clone(), content }
}

/// A list whose blocks get the names of version 2.
pub(super) fn uppered_list(node: &Node) -> Node {
    match &node.content {
        Content::List(nodes) => {
            Node { span: node.span.clone(), content: Content::List(nodes.iter().map(uppered).collect()) }
        }
        _ => node.clone(),
    }
}
