//! TRANSFORMER, in both of its places: a module that sees each message (INPUT), an SQL function that sees each row
//! (OUTPUT). Called by `file.rs` and `output.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::job::{Plugin, Transformer};
use crate::config::output::columns;
use crate::config::scalars::{text, trimmed};
use crate::config::yaml::Node;
use crate::table::Ident;

/// INPUT.TRANSFORMER.
pub(super) fn plugin(mut block: Fields<'_>) -> Option<Plugin> {
    let path = block.require("PATH", module);
    let on_init = block.read("ON_INIT", trimmed);
    let transform = block.require("TRANSFORM", trimmed);
    let properties = properties(&mut block);
    block.finish();
    Some(Plugin { path: path?, on_init, transform: transform?, properties })
}

/// The path of a module. Go's own plugins must be of the very build of the program that loads them.
fn module(node: &Node) -> Result<PathBuf, Wrong> {
    let path = trimmed(node)?;
    let has = |ending: &str| path.to_ascii_lowercase().ends_with(ending);
    match has(".wasm") || has(".wat") {
        true => Ok(PathBuf::from(path)),
        false if has(".so") => Err(Wrong {
            text: format!("names a Go plugin, `{path}`, and those cannot be loaded here"),
            hint: Some(
                "compile the function to a WebAssembly module; `gpkafka help config` says what it exports".to_owned(),
            ),
        }),
        false => Err(must_be("the path of a .wasm or .wat file", node)),
    }
}

/// OUTPUT.TRANSFORMER.
pub(super) fn function(mut block: Fields<'_>) -> Option<Transformer> {
    let name = block.require("TRANSFORM", function_name);
    let properties = properties(&mut block);
    let columns = columns(&mut block, "COLUMNS");
    block.finish();
    let (schema, function) = name?;
    Some(Transformer { schema, function, properties, columns })
}

/// Texts, numbers and truths of the user's own, each as the text that it is written as.
pub(super) fn properties(block: &mut Fields<'_>) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    let Some(properties) = block.block("PROPERTIES") else { return read };
    for field in properties.entries() {
        match text(field.node) {
            Ok(value) => drop(read.insert(field.key.name.clone(), value)),
            Err(_) => {
                let text = format!("`{}` must be a text, a number or true or false", field.key.name);
                properties.complaints.mistake(field.span(), text, None);
            }
        }
    }
    read
}

/// A function's name, and that of its schema before a dot where it is given; without parentheses.
fn function_name(node: &Node) -> Result<(Option<Ident>, Ident), Wrong> {
    let written = trimmed(node)?;
    let wrong = || must_be("a function's name like `f` or `schema.f`", node);
    let mut parts = Vec::new();
    let mut rest = written.as_str();
    loop {
        let end = end_of_name(rest).ok_or_else(wrong)?;
        parts.push(Ident::from_written(&rest[..end]));
        match rest[end..].strip_prefix('.') {
            Some(more) => rest = more,
            None if rest[end..].is_empty() => break,
            None => return Err(wrong()),
        }
    }
    match <[Ident; 2]>::try_from(parts) {
        Ok([schema, function]) => Ok((Some(schema), function)),
        Err(mut parts) if parts.len() == 1 => Ok((None, parts.remove(0))),
        Err(_) => Err(wrong()),
    }
}

/// Where the first name of a text ends: a word, or what stands in double quotes.
fn end_of_name(text: &str) -> Option<usize> {
    if let Some(quoted) = text.strip_prefix('"') {
        let bytes = quoted.as_bytes();
        let mut at = 0;
        while let Some(found) = quoted[at..].find('"') {
            at += found + 1;
            if bytes.get(at) != Some(&b'"') {
                return (at > 1).then_some(at + 1);
            }
            at += 1;
        }
        return None;
    }
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    (end > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml::Content;

    fn name(written: &str) -> Option<String> {
        let node = Node { span: 0..0, content: Content::Text(written.to_owned()) };
        let (schema, function) = function_name(&node).ok()?;
        Some(schema.map(|schema| format!("{schema}.")).unwrap_or_default() + &function.to_string())
    }

    #[test]
    fn modules_are_of_webassembly() {
        let said = |path: &str| {
            let node = Node { span: 0..0, content: Content::Text(path.to_owned()) };
            module(&node).map_err(|wrong| format!("{} ({})", wrong.text, wrong.hint.unwrap_or_default()))
        };
        assert_eq!(said("a/b.wasm"), Ok(PathBuf::from("a/b.wasm")));
        assert_eq!(said("b.WAT"), Ok(PathBuf::from("b.WAT")));
        let go = said("unpack.so").unwrap_err();
        assert!(go.starts_with("names a Go plugin, `unpack.so`, and those cannot be loaded here (compile"), "{go}");
        assert!(said("unpack.py").unwrap_err().contains("a .wasm or .wat file"));
    }

    #[test]
    fn functions_have_names_and_no_more() {
        for (written, meant) in [
            ("F", "\"f\""),
            ("shop.orders_of", "\"shop\".\"orders_of\""),
            ("\"Shop\".f", "\"Shop\".\"f\""),
            ("\"a.\"\"b\"", "\"a.\"\"b\""),
        ] {
            assert_eq!(name(written).as_deref(), Some(meant), "{written}");
        }
        for wrong in ["f()", "a.b.c", "a.", ".a", "\"a", "\"\"", "a b", "f; DROP", "\"a\"b"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }
}
