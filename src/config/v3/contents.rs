//! value_content, key_content and meta: a format's block becomes COLUMNS, FORMAT and the format's options. Called by
//! `mod.rs`.

use std::ops::Range;

use crate::config::fields::{Field, Fields, nearest};
use crate::config::scalars::truth;
use crate::config::v3::names::{FORMATS, canonical};
use crate::config::v3::tree::{Tree, map, named, uppered, uppered_list};
use crate::config::yaml::{Content, Key, Node};

/// Keys that say which columns there are, in place of options.
const COLUMN_KEYS: [&str; 3] = ["columns", "column", "source_column_name"];

/// Puts what there is of the three to its home.
pub(super) fn contents(fields: &mut Fields<'_>, tree: &mut Tree) {
    for (key, home) in [("value_content", "KAFKA.INPUT.VALUE"), ("key_content", "KAFKA.INPUT.KEY")] {
        if let (Some(field), Some(block)) = (fields.take(key), fields.block(key)) {
            let formats = FORMATS.map(|(name, _)| name);
            let format = one_of(block, &formats);
            let entries = format.map_or_else(|| stand_in(field.key), |(field, format)| content(field, format));
            tree.put(home, field.key, map(&field.node.span, entries));
        }
    }
    if let (Some(field), Some(block)) = (fields.take("meta"), fields.block("meta")) {
        let format = one_of(block, &["json"]);
        let entries = format.map_or_else(|| stand_in(field.key), |(field, format)| meta(field, format));
        tree.put("KAFKA.INPUT.META", field.key, map(&field.node.span, entries));
    }
}

/// The one format that a content names, and its block.
fn one_of<'a>(mut fields: Fields<'a>, formats: &[&'static str]) -> Option<(Field<'a>, Fields<'a>)> {
    let mut found = None;
    for &format in formats {
        let (Some(field), block) = (fields.take(format), fields.block(format)) else { continue };
        if found.is_some() {
            fields.complaints.mistake(&field.key.span, "a second format: a content has one", None);
        }
        found = found.or(block.map(|block| (field, block)));
    }
    if fields.entries().next().is_none() {
        let text = format!("{} must name a format: {}", fields.path, formats.join(", "));
        fields.complaints.mistake(&fields.span, text, None);
    }
    fields.finish();
    found
}

/// Takes the place of a content that is wrong, which has been said: nothing more can be said of it.
fn stand_in(key: &Key) -> Vec<(Key, Node)> {
    let entry = |name: &str, node: Node| (Key::new(key.span.clone(), name), node);
    let column = vec![entry("NAME", word(&key.span, &key.name)), entry("TYPE", word(&key.span, "json"))];
    let columns = Node { span: key.span.clone(), content: Content::List(vec![map(&key.span, column)]) };
    vec![entry("COLUMNS", columns), entry("FORMAT", word(&key.span, "json"))]
}

/// A content as version 2 writes it.
fn content(field: Field<'_>, mut block: Fields<'_>) -> Vec<(Key, Node)> {
    let name = field.key.name.as_str();
    let mut entries: Vec<(Key, Node)> = columns(&mut block, default_type(name)).into_iter().collect();
    let option = FORMATS.iter().find(|(format, _)| *format == name).and_then(|(_, option)| *option);
    let (format, option) = if name == "json" { json(&mut block, &mut entries) } else { (name, option) };
    entries.push((named(field.key, "FORMAT"), word(&field.key.span, format)));
    match option {
        Some(option) => entries.push((named(field.key, option), map(&field.node.span, options(&block)))),
        None => block.finish(),
    }
    entries
}

fn word(span: &Range<usize>, text: &str) -> Node {
    Node { span: span.clone(), content: Content::Text(text.to_owned()) }
}

/// What a source column is when only its name is given.
fn default_type(format: &str) -> &'static str {
    if format == "binary" { "bytea" } else { "json" }
}

/// COLUMNS, from whichever key says them.
fn columns(block: &mut Fields<'_>, default_type: &str) -> Option<(Key, Node)> {
    let given: Vec<Field<'_>> = COLUMN_KEYS.iter().filter_map(|&key| block.take(key)).collect();
    if let [first, second, ..] = given[..] {
        let text = format!("`{}` and `{}` say the same: leave one out", first.key.written, second.key.written);
        block.complaints.mistake(&second.key.span, text, None);
    }
    let field = given.first().filter(|field| field.node.content != Content::Null)?;
    let list = |node| Node { span: field.node.span.clone(), content: Content::List(vec![node]) };
    let node = match field.key.name.as_str() {
        "columns" => uppered_list(field.node),
        "column" => list(uppered(field.node)),
        _ => {
            let kind = word(&field.node.span, default_type);
            let column = vec![(named(field.key, "NAME"), field.node.clone()), (named(field.key, "TYPE"), kind)];
            list(map(&field.node.span, column))
        }
    };
    // the path to a column goes through its format
    let written = block.path.rsplit('.').next().map(|format| format!("{format}.{}", field.key.written));
    Some((Key { written: written.unwrap_or_default(), ..named(field.key, "COLUMNS") }, node))
}

/// `json` is two formats, by `is_jsonl`. Its columns are typed by paths like those of the others.
fn json(block: &mut Fields<'_>, entries: &mut Vec<(Key, Node)>) -> (&'static str, Option<&'static str>) {
    let is_jsonl = block.read("is_jsonl", truth).unwrap_or(false);
    let newline = block.take("newline");
    match newline {
        Some(newline) if is_jsonl => {
            let option = vec![(named(newline.key, "NEWLINE"), newline.node.clone())];
            entries.push((named(newline.key, "JSONL_OPTION"), map(&newline.key.span, option)));
        }
        Some(newline) => {
            block.complaints.warning(&newline.key.span, "newline has no effect without is_jsonl", None);
        }
        None => {}
    }
    (if is_jsonl { "jsonl" } else { "json" }, None)
}

/// What is left of a format's block once its columns are taken.
fn options(block: &Fields<'_>) -> Vec<(Key, Node)> {
    let mut options: Vec<(Key, Node)> = Vec::new();
    for field in block.entries().filter(|field| !COLUMN_KEYS.contains(&field.key.name.as_str())) {
        let written = &field.key.written;
        if let Some(meant) = nearest(written, COLUMN_KEYS.into_iter()) {
            let text = format!("unknown key `{written}` under {}", block.path);
            block.complaints.mistake(&field.key.span, text, Some(format!("did you mean `{meant}`?")));
        } else if !options.iter().any(|(key, _)| key.written == *written) {
            options.push((named(field.key, &canonical(written)), joined(written, field.node)));
        }
    }
    options
}

/// Two options are lists here and texts in version 2.
fn joined(written: &str, node: &Node) -> Node {
    let separator = match written {
        "schema_url" => ",",
        "options" => ", ",
        _ => return node.clone(),
    };
    let texts = |nodes: &[Node]| nodes.iter().map(crate::config::scalars::text).collect::<Result<Vec<_>, _>>();
    match &node.content {
        Content::List(nodes) => match texts(nodes) {
            Ok(texts) => word(&node.span, &texts.join(separator)),
            Err(_) => node.clone(),
        },
        _ => node.clone(),
    }
}

fn meta(field: Field<'_>, mut block: Fields<'_>) -> Vec<(Key, Node)> {
    let columns = columns(&mut block, "json");
    block.finish();
    columns.into_iter().chain([(named(field.key, "FORMAT"), word(&field.key.span, "json"))]).collect()
}
