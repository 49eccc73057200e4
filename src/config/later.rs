//! Blocks that a later version will bring. They are checked as strictly as all others, and then refused by name: a file
//! that is refused today for what it asks must not turn out to be wrong tomorrow. Called by `file.rs` and `output.rs`.

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::scalars::{clock, count, duration, signed, text, trimmed};
use crate::config::yaml::Node;

/// Refuses an optional block by name after `check` has read all of it.
pub(super) fn refuse(fields: &mut Fields<'_>, key: &'static str, check: impl FnOnce(&mut Fields<'_>)) {
    let Some(mut block) = fields.block(key) else { return };
    check(&mut block);
    block.complaints.not_yet(&block.span, key);
    block.finish();
}

/// TASK: SQL around the batches.
pub(super) fn task(block: &mut Fields<'_>) {
    for key in ["POST_BATCH_SQL", "PREPARE_SQL", "TEARDOWN_SQL"] {
        block.read(key, trimmed);
    }
    block.read("BATCH_INTERVAL", count);
}

/// SCHEDULE: retries and hours.
pub(super) fn schedule(block: &mut Fields<'_>) {
    for key in ["RETRY_INTERVAL", "RUNNING_DURATION", "AUTO_STOP_RESTART_INTERVAL"] {
        block.read(key, no_less_than_nothing);
    }
    for key in ["MAX_RETRIES", "MAX_RESTART_TIMES"] {
        block.read(key, signed);
    }
    block.read("QUIT_AT_EOF_AFTER", clock);
}

fn no_less_than_nothing(node: &Node) -> Result<(), Wrong> {
    if duration(node)? < 0 { Err(must_be("a duration, no less than nothing", node)) } else { Ok(()) }
}

/// ALERT: a command that hears of the job's end.
pub(super) fn alert(block: &mut Fields<'_>) {
    block.require("COMMAND", trimmed);
    block.read("WORKDIR", trimmed);
    block.read("TIMEOUT", duration);
}

/// INPUT.TRANSFORMER: a plugin that sees each message.
pub(super) fn plugin(block: &mut Fields<'_>) {
    block.require("PATH", trimmed);
    block.read("ON_INIT", trimmed);
    block.require("TRANSFORM", trimmed);
    properties(block);
}

/// OUTPUT.TRANSFORMER: an SQL function that sees each row.
pub(super) fn function(block: &mut Fields<'_>) {
    block.require("TRANSFORM", trimmed);
    properties(block);
    block.list("COLUMNS");
}

fn properties(block: &mut Fields<'_>) {
    let Some(properties) = block.block("PROPERTIES") else { return };
    for field in properties.entries() {
        if text(field.node).is_err() {
            let text = format!("`{}` must be a text, a number or true or false", field.key.name);
            properties.complaints.mistake(field.span(), text, None);
        }
    }
}
