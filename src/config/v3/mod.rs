//! Version 3: every key is taken from where it stands and put where version 2 has it, so that one reader judges the
//! values of all versions. What belongs to version 3 alone is judged here: which keys there are, one target, one source,
//! one format of a content, one mode of a table. Called by `file.rs`; `problem.rs` asks it for names.

mod contents;
mod names;
mod tables;
mod tree;

pub(super) use names::{
    ANYWHERE, BATCH, FORMATS, GPDB, Home, KAFKA, MODES, OPTION, TABLE, TASK, belongs, inner, spelled, told,
};

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::problem::Complaints;
use crate::config::scalars::text;
use crate::config::v3::tree::{Tree, uppered};
use crate::config::yaml::{Content, Node};

/// Sources of the original that are no topics.
const OTHER_SOURCES: [&str; 3] = ["file", "rabbitmq", "s3"];

/// Whether a file says that it is of version 3, or can only be meant so.
pub(super) fn is_version_3(root: &Node) -> bool {
    let Content::Map(entries) = &root.content else { return false };
    let has = |name: &str| entries.iter().any(|(key, _)| key.name == name);
    let says = |(_, node): &(_, Node)| {
        text(node).is_ok_and(|version| ["v3", "3"].contains(&version.trim().to_lowercase().as_str()))
    };
    match entries.iter().find(|(key, _)| key.name == "version") {
        Some(version) => says(version) || has("targets") || has("sources"),
        None => !has("VERSION") && (has("targets") || has("sources")),
    }
}

/// A file of version 3 in the shape of version 2, with every place kept. `None`: it has not one target and one source,
/// so there is nothing to judge further.
pub(super) fn rewritten(complaints: &Complaints<'_>, root: &Node) -> Option<Node> {
    complaints.speak_version_3();
    let mut fields = Fields::new(complaints, String::new(), &(0..0), root)?;
    fields.require("version", version);
    let mut tree = Tree::default();
    let target = the_one(&mut fields, "targets", "gpdb").map(|block| target(block, &mut tree));
    let source = the_one(&mut fields, "sources", "kafka").map(|block| source(block, &mut tree));
    if let Some(mut block) = fields.block("option") {
        for (key, home) in OPTION {
            if let Some(field) = block.take(key) {
                tree.put(home, field.key, uppered(field.node));
            }
        }
        block.finish();
    }
    fields.finish();
    target.and(source).map(|()| tree.into_node())
}

fn version(node: &Node) -> Result<(), Wrong> {
    match text(node) {
        Ok(text) if text.trim().eq_ignore_ascii_case("v3") => Ok(()),
        _ => Err(must_be("`v3`", node)),
    }
}

/// The block of the one target or source there is.
fn the_one<'a>(fields: &mut Fields<'a>, list: &'static str, kind: &'static str) -> Option<Fields<'a>> {
    fields.miss(list);
    let (_, entries) = fields.blocks(list)?;
    let mut found = None;
    for mut entry in entries {
        for other in OTHER_SOURCES.into_iter().filter(|_| list == "sources") {
            if let Some(field) = entry.take(other) {
                let text = format!("{other} is no source of this program, which loads Kafka topics");
                entry.complaints.mistake(&field.key.span, text, None);
            }
        }
        entry.miss(kind);
        let block = entry.take(kind).and_then(|field| {
            if found.is_some() {
                let text = format!("a second {kind} among the {list}: a job has one");
                fields.complaints.mistake(&field.key.span, text, Some("make it a job of its own".to_owned()));
            }
            Fields::new(fields.complaints, format!("{list}.{kind}"), &field.key.span, field.node)
        });
        let is_other = entry.entries().all(|field| OTHER_SOURCES.contains(&field.key.name.as_str()));
        if !(is_other && block.is_none()) {
            entry.finish();
        }
        found = found.or(block);
    }
    found
}

/// Moves whatever is there of some keys.
fn moved(fields: &mut Fields<'_>, tree: &mut Tree, homes: &[Home]) {
    for (key, home) in homes {
        if let Some(field) = fields.take(key) {
            tree.put(home, field.key, field.node.clone());
        }
    }
}

fn target(mut fields: Fields<'_>, tree: &mut Tree) {
    tree.open("GPDB", &fields.span);
    tree.open("KAFKA", &fields.span);
    moved(&mut fields, tree, &GPDB);
    tables::tables(&mut fields, tree);
    fields.finish();
}

fn source(mut fields: Fields<'_>, tree: &mut Tree) {
    tree.open("KAFKA.INPUT", &fields.span);
    tree.open("KAFKA.INPUT.SOURCE", &fields.span);
    moved(&mut fields, tree, &KAFKA);
    if let Some(field) = fields.take("transformer") {
        tree.put("KAFKA.INPUT.TRANSFORMER", field.key, uppered(field.node));
    }
    contents::contents(&mut fields, tree);
    let mut task = task(&mut fields);
    for (key, home) in ANYWHERE {
        let fields = [fields.take(key), task.as_mut().and_then(|task| task.take(key))];
        if let [Some(first), Some(second)] = fields {
            let line = task.as_ref().map_or(0, |task| task.complaints.line(&first.key.span));
            let text = format!("`{key}` is given twice, in line {line} and under task");
            task.iter().for_each(|task| task.complaints.mistake(&second.key.span, text.clone(), None));
        }
        if let Some(field) = fields.into_iter().flatten().next() {
            tree.put(home, field.key, field.node.clone());
        }
    }
    if let Some(mut task) = task {
        moved(&mut task, tree, &TASK);
        if let Some(mut batch) = task.block("batch_size") {
            moved(&mut batch, tree, &BATCH);
            batch.finish();
        }
        task.finish();
    }
    fields.finish();
}

/// `task`, which version 1.8 of the original called `window`.
fn task<'a>(fields: &mut Fields<'a>) -> Option<Fields<'a>> {
    let (task, window) = (fields.block("task"), fields.block("window"));
    if let (Some(_), Some(window)) = (&task, &window) {
        let text = "`window` is the old name of `task`: both are given";
        window.complaints.mistake(&window.span, text, Some("move its keys into `task`".to_owned()));
    }
    task.or(window)
}
