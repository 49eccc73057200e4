//! TRANSFORMER, in both of its places: a module that sees each message (INPUT), an SQL function that sees each row
//! (OUTPUT). Called by `file.rs` and `output.rs`.

use std::collections::BTreeMap;

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::job::Transformer;
use crate::config::output::columns;
use crate::config::scalars::{text, trimmed};
use crate::config::yaml::Node;
use crate::table::Ident;

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
