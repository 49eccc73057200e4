//! targets/gpdb/tables: each is an OUTPUT, its mode a word and keys beside it. Called by `mod.rs`.

use crate::config::fields::Fields;
use crate::config::v3::names::{MODES, TABLE};
use crate::config::v3::tree::{Tree, map, named, uppered, uppered_list};
use crate::config::yaml::{Content, Key, Node};

/// All tables. If there is none, version 2's reader misses its OUTPUT.
pub(super) fn tables(fields: &mut Fields<'_>, tree: &mut Tree) {
    let Some(field) = fields.take("tables").filter(|field| field.node.content != Content::Null) else { return };
    let blocks = fields.blocks("tables").map_or_else(Vec::new, |(_, blocks)| blocks);
    let mut tables: Vec<Node> = blocks.into_iter().map(table).collect();
    if tables.is_empty() {
        // wrong, which has been said: a table that nothing more can be said of
        let name = Node { span: field.key.span.clone(), content: Content::Text("x".to_owned()) };
        tables.push(map(&field.key.span, vec![(Key::new(field.key.span.clone(), "TABLE"), name)]));
    }
    if let [table] = &tables[..] {
        tree.put("KAFKA.OUTPUT", &Key::new(table.span.clone(), "OUTPUT"), table.clone());
    } else {
        let list = Node { span: field.node.span.clone(), content: Content::List(tables) };
        tree.put("KAFKA.OUTPUTS", &Key::new(field.key.span.clone(), "OUTPUTS"), list);
    }
}

fn table(mut fields: Fields<'_>) -> Node {
    let mut entries = Vec::new();
    for (key, name) in TABLE {
        if let Some(field) = fields.take(key) {
            let node = match key {
                "transformer" => uppered(field.node),
                "mapping" => uppered_list(field.node),
                _ => field.node.clone(),
            };
            entries.push((named(field.key, name), node));
        }
    }
    if let Some(block) = fields.block("mode") {
        mode(block, &mut entries);
    }
    let table = map(&fields.span, entries);
    fields.finish();
    table
}

/// `mode: {merge: {…}}` becomes MODE and its keys.
fn mode(mut fields: Fields<'_>, entries: &mut Vec<(Key, Node)>) {
    let mut is_given = false;
    for (mode, keys) in MODES {
        let (Some(field), Some(mut block)) = (fields.take(mode), fields.block(mode)) else { continue };
        let span = &field.key.span;
        let keys: Vec<_> = keys.iter().filter_map(|&(key, name)| Some((name, block.take(key)?))).collect();
        block.finish();
        if is_given {
            fields.complaints.mistake(span, "mode is one of insert, update and merge, not several", None);
            continue;
        }
        is_given = true;
        let key = Key { span: span.clone(), name: "MODE".to_owned(), written: "mode".to_owned() };
        entries.push((key, Node { span: span.clone(), content: Content::Text(mode.to_owned()) }));
        entries.extend(keys.into_iter().map(|(name, field)| (named(field.key, name), field.node.clone())));
    }
    if !is_given && !fields.has_unknown() {
        fields.complaints.mistake(&fields.span, "mode must say one of insert, update and merge", None);
    }
    fields.finish();
}
