//! A job file of which one key is passed over, as if the reader forgot it, or takes another value than the file's. So
//! tests find out whether anybody would miss the key. No part of a program that is built without fail points. Called by
//! `mod.rs`.

use std::ops::Range;

use crate::config::yaml::{self, Content, Key, Node};

/// The fail point: `ignored-key=return(KAFKA.COMMIT.MAX_ROW)`, see [`without`].
#[cfg(feature = "failpoints")]
pub(super) fn by_fail_point(root: &Node) -> Option<Node> {
    fail::fail_point!("ignored-key", |key| key.map(|key| without(root, &key)));
    None
}

/// The file without a key, which is told by its path as the table of all keys has it; `PATH=value`: with this value, in
/// YAML, wherever the key is. Without a reader's knowledge of the key the file would say just that.
pub(super) fn without(root: &Node, key: &str) -> Node {
    let (path, value) = key.split_once('=').map_or((key, None), |(path, value)| (path, Some(value)));
    let value =
        value.map(|value| yaml::parse(value).map_or_else(|_| Content::Text(value.to_owned()), |node| node.content));
    let path: Vec<&str> = path.split('.').collect();
    less(root, &path, value.as_ref())
}

fn less(node: &Node, path: &[&str], value: Option<&Content>) -> Node {
    let content = match &node.content {
        Content::List(nodes) => Content::List(nodes.iter().map(|node| less(node, path, value)).collect()),
        Content::Map(entries) => {
            Content::Map(entries.iter().filter_map(|(key, node)| entry(key, node, path, value)).collect())
        }
        other => other.clone(),
    };
    Node { span: node.span.clone(), content }
}

fn entry(key: &Key, node: &Node, path: &[&str], value: Option<&Content>) -> Option<(Key, Node)> {
    let node = match path {
        [last] if *last == key.name => placed(value?, &node.span),
        [block, rest @ ..] if !rest.is_empty() && is_block(block, rest, &key.name) => less(node, rest, value),
        // version 1 has the keys of VALUE right under INPUT
        ["VALUE", rest @ ..] if !rest.is_empty() && *rest == [key.name.as_str()] => placed(value?, &node.span),
        ["VALUE", block, rest @ ..] if *block == key.name && !rest.is_empty() => less(node, rest, value),
        _ => node.clone(),
    };
    Some((key.clone(), node))
}

/// Whether the table means this block too: it has one name for blocks that are alike.
fn is_block(block: &str, rest: &[&str], name: &str) -> bool {
    let alike: &[&str] = match block {
        "VALUE" => &["KEY"],
        "OUTPUT" => &["OUTPUTS"],
        "value_content" => &["key_content"],
        "task" => &["window"],
        "merge" => &["update"],
        "columns" => &["column"],
        "column" => &["columns"],
        // all formats have columns
        "csv" if rest.first() == Some(&"columns") => return true,
        _ => &[],
    };
    block == name || alike.contains(&name)
}

/// A value where another stood.
fn placed(content: &Content, span: &Range<usize>) -> Node {
    let content = match content {
        Content::List(nodes) => Content::List(nodes.iter().map(|node| placed(&node.content, span)).collect()),
        Content::Map(entries) => {
            let entry =
                |(key, node): &(Key, Node)| (Key { span: span.clone(), ..key.clone() }, placed(&node.content, span));
            Content::Map(entries.iter().map(entry).collect())
        }
        other => other.clone(),
    };
    Node { span: span.clone(), content }
}
