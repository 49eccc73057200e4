//! What surrounds the batches: TASK, SCHEDULE and ALERT. Called by `file.rs`.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::config::fields::{Fields, Wrong, must_be};
use crate::config::job::{Alert, PostBatch, Schedule, Task, Times};
use crate::config::scalars::{clock, count, duration, signed, trimmed};
use crate::config::yaml::Node;
use crate::greenplum;

/// TASK: SQL around the batches.
pub(super) fn task(mut block: Fields<'_>) -> Task {
    let sql = block.read_at("POST_BATCH_SQL", inside_a_transaction);
    let interval = block.read("BATCH_INTERVAL", count);
    let task = Task {
        prepare: block.read("PREPARE_SQL", trimmed),
        post_batch: sql.map(|(_, sql)| PostBatch { sql, interval: every(interval) }),
        teardown: block.read("TEARDOWN_SQL", trimmed),
    };
    if interval.is_some() && !block.has("POST_BATCH_SQL") && !block.has_unknown() {
        block.complaints.warning(&block.span, "BATCH_INTERVAL has no effect without POST_BATCH_SQL", None);
    }
    block.finish();
    task
}

/// SQL that runs in the batch's own transaction, whose end is not for it to say.
fn inside_a_transaction(node: &Node) -> Result<String, Wrong> {
    let sql = trimmed(node)?;
    match greenplum::transaction_word(&sql) {
        None => Ok(sql),
        Some(word) => Err(Wrong {
            text: format!("runs inside the transaction of its batch, which it may not begin or end: it says {word}"),
            hint: Some("PREPARE_SQL and TEARDOWN_SQL have transactions of their own".to_owned()),
        }),
    }
}

/// 0, the original's default, is every batch too.
pub(super) fn every(interval: Option<u64>) -> NonZeroU64 {
    interval.and_then(NonZeroU64::new).unwrap_or(NonZeroU64::MIN)
}

/// SCHEDULE: retries and hours. What has no effect without another key is said so.
pub(super) fn schedule(mut block: Fields<'_>) -> Schedule {
    let default = Schedule::default();
    let schedule = Schedule {
        max_retries: block.read("MAX_RETRIES", times).unwrap_or(default.max_retries),
        retry_interval: block.read("RETRY_INTERVAL", no_less_than_nothing).unwrap_or(default.retry_interval),
        running_duration: block.read("RUNNING_DURATION", no_less_than_nothing).filter(|span| !span.is_zero()),
        auto_stop_restart_interval: block.read("AUTO_STOP_RESTART_INTERVAL", no_less_than_nothing),
        max_restart_times: block.read("MAX_RESTART_TIMES", times).unwrap_or(default.max_restart_times),
        quit_at_eof_after: block.read("QUIT_AT_EOF_AFTER", clock),
    };
    if !block.has_unknown() {
        warn_of_idle_keys(&block, &schedule);
    }
    block.finish();
    schedule
}

fn warn_of_idle_keys(block: &Fields<'_>, schedule: &Schedule) {
    let none = Times::Limited(0);
    let stops = schedule.running_duration.is_some() || schedule.quit_at_eof_after.is_some();
    let restarts = schedule.auto_stop_restart_interval.is_some() && schedule.max_restart_times != none;
    let warn = |key: &str, why: &str| {
        if let Some(field) = block.entries().find(|field| field.key.name == key) {
            block.complaints.warning(&field.key.span, format!("{key} has no effect {why}"), None);
        }
    };
    if schedule.max_retries == none {
        warn("RETRY_INTERVAL", "while MAX_RETRIES is 0");
    }
    if schedule.auto_stop_restart_interval.is_some() && !restarts {
        warn("AUTO_STOP_RESTART_INTERVAL", "while MAX_RESTART_TIMES is 0");
    } else if schedule.max_restart_times != none && !restarts {
        warn("MAX_RESTART_TIMES", "without AUTO_STOP_RESTART_INTERVAL");
    } else if restarts && !stops {
        warn("AUTO_STOP_RESTART_INTERVAL", "without RUNNING_DURATION or QUIT_AT_EOF_AFTER");
    }
}

/// Less than 0 is for ever.
pub(super) fn times(node: &Node) -> Result<Times, Wrong> {
    let number = signed(node)?;
    Ok(u64::try_from(number).map_or(Times::Unlimited, Times::Limited))
}

pub(super) fn no_less_than_nothing(node: &Node) -> Result<Duration, Wrong> {
    never_below_zero(node)?.ok_or_else(|| must_be("a duration, no less than nothing", node))
}

/// `None`: less than nothing, which is never.
pub(super) fn never_below_zero(node: &Node) -> Result<Option<Duration>, Wrong> {
    let milliseconds = duration(node)?;
    Ok(u64::try_from(milliseconds).ok().map(Duration::from_millis))
}

/// ALERT: what hears of the job's end. WEBHOOK is ours.
pub(super) fn alert(mut block: Fields<'_>) -> Option<Alert> {
    let command = block.read("COMMAND", trimmed);
    let workdir = block.read("WORKDIR", trimmed);
    let timeout = block.read("TIMEOUT", never_below_zero).flatten();
    let webhook = block.read("WEBHOOK", web_address);
    if !block.has("COMMAND") && !block.has("WEBHOOK") {
        block.miss("COMMAND");
    }
    block.finish();
    Some(Alert { command, workdir, timeout, webhook })
}

/// An address of the web, as the client that will call it reads it.
fn web_address(node: &Node) -> Result<String, Wrong> {
    let address = trimmed(node)?;
    match reqwest::Url::parse(&address) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(address),
        _ => Err(must_be("an address like `https://example.com/hook`", node)),
    }
}
