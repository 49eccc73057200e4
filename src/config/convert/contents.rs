//! VALUE, KEY and META, or version 1's keys right under INPUT: each becomes a block named by its format. Called by
//! `rewrite.rs`.

use crate::config::convert::page::{Element, Entry, Value};
use crate::config::convert::rewrite::{Rewriter, find, yaml_text};
use crate::config::v3::{self, FORMATS};
use crate::config::yaml::{Content, Node};

/// All contents of an INPUT.
pub(super) fn contents(rewriter: &Rewriter<'_>, input: &Node) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (name, home) in [("key_content", "KEY"), ("value_content", "VALUE"), ("meta", "META")] {
        if let Some((key, node)) = find(input, home) {
            let format = content(rewriter, node);
            entries.push(rewriter.entry(name, key, Value::Block(format.into_iter().collect())));
        }
    }
    if find(input, "FORMAT").is_some() {
        let format = content(rewriter, input);
        entries.push(Entry::new("value_content", Value::Block(format.into_iter().collect())));
    }
    entries
}

/// The format of a content, and under it columns and options. META may leave it to be json.
fn content(rewriter: &Rewriter<'_>, node: &Node) -> Option<Entry> {
    let given = find(node, "FORMAT");
    let written = given.and_then(|(_, node)| yaml_text(node)).unwrap_or_default().trim().to_lowercase();
    let format = if written == "jsonl" || written.is_empty() { "json" } else { &written };
    let (name, _) = FORMATS.iter().find(|(name, _)| *name == format)?;
    let own = option_of(&written);
    let mut entries: Vec<Entry> = columns(rewriter, node, name).into_iter().collect();
    if written == "jsonl" {
        entries.push(Entry::new("is_jsonl", Value::Plain("true".to_owned())));
    }
    let options = FORMATS.iter().filter_map(|(_, option)| *option).chain(["JSONL_OPTION"]);
    for (key, node) in options.filter_map(|option| find(node, option)) {
        if Some(key.name.as_str()) == own {
            if let Content::Map(inside) = &node.content
                && let Some((first, _)) = inside.first()
            {
                rewriter.comments.hand_down(key.span.start, first.span.start);
            }
            entries.extend(option(rewriter, node));
        } else {
            rewriter.leave_out(key, node, "it has no effect with this format");
        }
    }
    let value = Value::Block(entries);
    Some(given.map_or_else(|| Entry::new(name, value.clone()), |(key, _)| rewriter.entry(name, key, value.clone())))
}

/// The block of options of a format of version 2.
fn option_of(format: &str) -> Option<&'static str> {
    match format {
        "jsonl" => Some("JSONL_OPTION"),
        _ => FORMATS.iter().find(|(name, _)| *name == format).and_then(|(_, option)| *option),
    }
}

/// The options of a format; two of them are lists here.
fn option(rewriter: &Rewriter<'_>, node: &Node) -> Vec<Entry> {
    let Content::Map(entries) = &node.content else { return Vec::new() };
    let option = |(key, node): &(crate::config::yaml::Key, Node)| {
        let value = match (key.name.as_str(), yaml_text(node)) {
            ("SCHEMA_REGISTRY_ADDR", Some(urls)) => Value::Plain(format!("[{}]", urls_of(&urls))),
            ("PARAMSTR", Some(_)) => {
                Value::List(vec![Element { value: rewriter.value(node), around: Default::default() }])
            }
            _ => rewriter.value(node),
        };
        rewriter.entry(&v3::inner(&key.name), key, value)
    };
    entries.iter().map(option).collect()
}

fn urls_of(urls: &str) -> String {
    let urls: Vec<_> = urls.split(',').map(|url| crate::config::convert::page::quoted(url.trim())).collect();
    urls.join(", ")
}

/// COLUMNS: `column` for JSON, `source_column_name` where its type goes without saying, `columns` else.
fn columns(rewriter: &Rewriter<'_>, node: &Node, format: &str) -> Option<Entry> {
    let (key, list) = find(node, "COLUMNS")?;
    let Content::List(nodes) = &list.content else { return None };
    let default_type = if format == "binary" { "bytea" } else { "json" };
    match (format, &nodes[..]) {
        ("json", [column]) => Some(rewriter.entry("column", key, rewriter.lowered(column))),
        ("avro" | "binary", [Node { content: Content::Map(keys), .. }]) if keys.len() == 2 => {
            let name = find(&nodes[0], "NAME")?;
            let (type_key, kind) = find(&nodes[0], "TYPE")?;
            if yaml_text(kind).as_deref() != Some(default_type) {
                return Some(rewriter.entry("columns", key, list_of(rewriter, nodes)));
            }
            rewriter.comments.hand_down(type_key.span.start, key.span.start);
            rewriter.comments.hand_down(name.0.span.start, key.span.start);
            Some(rewriter.entry("source_column_name", key, rewriter.value(name.1)))
        }
        _ => Some(rewriter.entry("columns", key, list_of(rewriter, nodes))),
    }
}

fn list_of(rewriter: &Rewriter<'_>, nodes: &[Node]) -> Value {
    let element = |node| Element { value: rewriter.lowered(node), around: Default::default() };
    Value::List(nodes.iter().map(element).collect())
}
