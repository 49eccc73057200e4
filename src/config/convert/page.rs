//! A YAML text being written: blocks, lists and values as text, with the comments around them. Called by `rewrite.rs`.

use crate::config::convert::comments::Around;

/// A value to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// On the line of its key.
    Plain(String),
    /// A text of several lines.
    Lines(String),
    Block(Vec<Entry>),
    List(Vec<Element>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: String,
    pub value: Value,
    pub around: Around,
}

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub value: Value,
    pub around: Around,
}

impl Entry {
    pub fn new(key: &str, value: Value) -> Self {
        Self { key: key.to_owned(), value, around: Around::default() }
    }

    /// A block, unless there is nothing in it.
    pub fn block(key: &str, entries: Vec<Entry>) -> Option<Self> {
        (!entries.is_empty()).then(|| Self::new(key, Value::Block(entries)))
    }
}

/// The text of a block that is indented so deep.
pub(super) fn written(entries: &[Entry], indent: usize) -> String {
    let mut text = String::new();
    for entry in entries {
        write_entry(&mut text, entry, indent);
    }
    text
}

fn write_entry(text: &mut String, Entry { key, value, around }: &Entry, indent: usize) {
    let space = " ".repeat(indent);
    for comment in &around.above {
        text.push_str(&format!("{space}{comment}\n"));
    }
    let beside = around.beside.as_ref().map(|comment| format!("  {comment}")).unwrap_or_default();
    match value {
        Value::Plain(value) if value.is_empty() => text.push_str(&format!("{space}{key}:{beside}\n")),
        Value::Plain(value) => text.push_str(&format!("{space}{key}: {value}{beside}\n")),
        Value::Lines(lines) => text.push_str(&format!("{space}{key}: {}", lines_of(lines, &beside, indent + 2))),
        Value::Block(entries) if entries.is_empty() => text.push_str(&format!("{space}{key}: {{}}{beside}\n")),
        Value::Block(entries) => {
            text.push_str(&format!("{space}{key}:{beside}\n{}", written(entries, indent + 2)));
        }
        Value::List(elements) => {
            text.push_str(&format!("{space}{key}:{beside}\n"));
            elements.iter().for_each(|element| write_element(text, element, indent));
        }
    }
}

/// A dash, and the element beside it; dashes stand right below their key.
fn write_element(text: &mut String, Element { value, around }: &Element, indent: usize) {
    let space = " ".repeat(indent);
    for comment in &around.above {
        text.push_str(&format!("{space}{comment}\n"));
    }
    let beside = around.beside.as_ref().map(|comment| format!("  {comment}")).unwrap_or_default();
    match value {
        Value::Plain(value) => text.push_str(&format!("{space}- {value}{beside}\n")),
        Value::Lines(lines) => text.push_str(&format!("{space}- {}", lines_of(lines, &beside, indent + 2))),
        Value::Block(entries) if !entries.is_empty() => {
            let above = &entries[0].around.above;
            above.iter().for_each(|comment| text.push_str(&format!("{space}{comment}\n")));
            let mut entries = entries.clone();
            entries[0].around.above.clear();
            if around.beside.is_some() {
                entries[0].around.beside.clone_from(&around.beside);
            }
            let block = written(&entries, indent + 2);
            text.push_str(&format!("{space}- {}", block.trim_start_matches(' ')));
        }
        Value::Block(_) | Value::List(_) => text.push_str(&format!("{space}- {{}}{beside}\n")),
    }
}

/// A literal block, its header first.
fn lines_of(lines: &str, beside: &str, indent: usize) -> String {
    let body = lines.trim_end_matches('\n');
    let chomp = match lines.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let space = " ".repeat(indent);
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{space}{line}\n") };
    let more = "\n".repeat((lines.len() - body.len()).saturating_sub(1));
    format!("|{chomp}{beside}\n{}{more}", body.split('\n').map(line).collect::<String>())
}

/// A text in quotes, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => format!("\\U{:08x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}
