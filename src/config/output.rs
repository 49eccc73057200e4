//! OUTPUT: the target table, how rows get into it, and which expression makes which column. Called by `file.rs`.

use crate::config::fields::{Field, Fields, excerpt};
use crate::config::job::{Mapping, Match, Mode, Output};
use crate::config::scalars::{condition, ident, table, text, word};
use crate::config::transformer;
use crate::config::yaml::{Content, Node};
use crate::table::{Ident, TableName};

/// Where the original puts tables whose schema is not given.
const SCHEMA: &str = "public";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Insert,
    Update,
    Merge,
}

const MODES: [(&str, Named); 3] = [("insert", Named::Insert), ("update", Named::Update), ("merge", Named::Merge)];

/// One target. Reads and finishes the block.
pub(super) fn output(mut fields: Fields<'_>) -> Option<Output> {
    let schema = fields.read("SCHEMA", ident).unwrap_or_else(|| Ident::exact(SCHEMA));
    let table = fields.require("TABLE", table);
    let filter = fields.read("FILTER", condition);
    let mode = mode(&mut fields);
    let mapping = mapping(&mut fields);
    if fields.has("TRANSFORMER") && fields.has("MAPPING") {
        let text = "OUTPUT has both a MAPPING and a TRANSFORMER, which makes all columns itself";
        fields.complaints.mistake(&fields.span, text, Some("leave one out".to_owned()));
    }
    let transformer = fields.block("TRANSFORMER").map(transformer::function);
    fields.finish();
    let target = TableName { schema, table: table? };
    Some(Output {
        target,
        mode: mode?,
        mapping,
        transformer: transformer.map_or(Some(None), |made| made.map(Some))?,
        filter,
    })
}

/// MODE and the keys that only some modes have.
fn mode(fields: &mut Fields<'_>) -> Option<Mode> {
    let mode = fields.read_at("MODE", |node| word(node, &MODES));
    let is_unclear = mode.is_none() && fields.has("MODE");
    let matching = Match {
        match_columns: columns(fields, "MATCH_COLUMNS"),
        update_columns: columns(fields, "UPDATE_COLUMNS"),
        order_columns: columns(fields, "ORDER_COLUMNS"),
        update_condition: fields.read("UPDATE_CONDITION", condition),
        delete_condition: fields.read("DELETE_CONDITION", condition),
    };
    match mode {
        _ if is_unclear => None,
        Some((_, Named::Update)) => {
            require_columns(fields);
            warn(fields, &["DELETE_CONDITION"], "update");
            Some(Mode::Update(Match { delete_condition: None, ..matching }))
        }
        Some((_, Named::Merge)) => {
            require_columns(fields);
            Some(Mode::Merge(matching))
        }
        _ => {
            let all = ["MATCH_COLUMNS", "UPDATE_COLUMNS", "ORDER_COLUMNS", "UPDATE_CONDITION", "DELETE_CONDITION"];
            warn(fields, &all, "insert");
            Some(Mode::Insert)
        }
    }
}

/// Columns without which a row can't find its place.
fn require_columns(fields: &mut Fields<'_>) {
    for key in ["MATCH_COLUMNS", "UPDATE_COLUMNS"] {
        fields.miss(key);
    }
}

fn warn(fields: &Fields<'_>, keys: &[&str], mode: &str) {
    for field in fields.entries().filter(|field| keys.contains(&field.key.name.as_str())) {
        let text = format!("{} has no effect with MODE {mode}", field.key.name);
        fields.complaints.warning(&field.key.span, text, None);
    }
}

pub(super) fn columns(fields: &mut Fields<'_>, key: &'static str) -> Vec<Ident> {
    let mut names = Vec::new();
    let Some((_, nodes)) = fields.list(key) else { return names };
    for node in nodes {
        match ident(node) {
            Ok(name) if names.contains(&name) => {
                fields.complaints.mistake(&node.span, format!("{key} names {name} twice"), None);
            }
            Ok(name) => names.push(name),
            Err(_) => fields.complaints.mistake(&node.span, format!("{key} must hold column names"), None),
        }
    }
    names
}

/// MAPPING in either form: a list of NAME and EXPRESSION, or one map.
fn mapping(fields: &mut Fields<'_>) -> Vec<Mapping> {
    let Some(field) = fields.take("MAPPING") else { return Vec::new() };
    let mut mapping = Vec::new();
    match &field.node.content {
        Content::Null => {}
        Content::Map(entries) if !entries.is_empty() => {
            for (key, node) in entries {
                let name = Node { span: key.span.clone(), content: Content::Text(key.name.clone()) };
                add(fields, &mut mapping, &name, node);
            }
        }
        Content::List(nodes) if !nodes.is_empty() => {
            let Some((_, blocks)) = fields.blocks("MAPPING") else { return mapping };
            for block in blocks {
                mapped(block, &mut mapping);
            }
        }
        _ => {
            let name = &field.key.written;
            let text = format!("`{name}` must be a list of NAME and EXPRESSION, or a block of `column: expression`");
            fields.complaints.mistake(field.span(), text, None);
        }
    }
    mapping
}

fn mapped(mut block: Fields<'_>, mapping: &mut Vec<Mapping>) {
    let (name, expression) = (block.take("NAME"), block.take("EXPRESSION"));
    for key in ["NAME", "EXPRESSION"] {
        block.miss(key);
    }
    if let (Some(Field { node: name, .. }), Some(Field { node: expression, key })) = (name, expression) {
        let span = if expression.span.is_empty() { &key.span } else { &expression.span };
        let expression = Node { span: span.clone(), content: expression.content.clone() };
        add(&block, mapping, name, &expression);
    }
    block.finish();
}

fn add(fields: &Fields<'_>, mapping: &mut Vec<Mapping>, name: &Node, expression: &Node) {
    let complain = |node: &Node, text: String| fields.complaints.mistake(&node.span, text, None);
    let Ok(column) = ident(name) else {
        return complain(name, "a column of MAPPING must have a name".to_owned());
    };
    let sql = match text(expression) {
        Ok(sql) if !sql.trim().is_empty() => sql.trim().to_owned(),
        _ => {
            let at = if expression.span.is_empty() { name } else { expression };
            return complain(at, format!("the expression of {column} must be SQL, and not empty"));
        }
    };
    if mapping.iter().any(|mapped| mapped.column == column) {
        return complain(
            name,
            format!("MAPPING gives column {column} two expressions, the second `{}`", excerpt(&sql)),
        );
    }
    mapping.push(Mapping { column, expression: sql });
}
