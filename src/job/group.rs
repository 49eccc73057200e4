//! What a consumer group has to say where CONSISTENCY gives it a say: where a start goes on, and when it hears of a batch.
//!
//! | CONSISTENCY with `group.id` | a start goes on | of a batch Kafka hears | a crash between the two commits |
//! |---|---|---|---|
//! | strong | where the ledger ends | afterwards, not waited for | costs and doubles nothing |
//! | at-least | where the group stands | after the rows are committed | doubles a batch |
//! | at-most | where the group stands | before the rows are committed | loses a batch |
//! | none, `enable.auto.commit: true` | where the group stands | afterwards, not waited for | doubles batches |
//! | none, `enable.auto.commit: false` | at FALLBACK_OFFSET, or the beginning | never | every start begins anew |
//!
//! The original's own table has the two in the middle the other way round; this is what their names say. The ledger is
//! written in every case: a start that goes on elsewhere resets it there first, attempts of one start go on from it, and
//! with `strong` again the job goes on where it ends. A group that stands nowhere leaves a partition to the ledger.

use std::collections::BTreeMap;
use std::time::Duration;

use fail::fail_point;

use super::failure::Error;
use super::positions::{self, Known, Positions};
use super::prepare::KAFKA_WAIT;
use super::report::say;
use super::run::Run;
use super::steer::Steer;
use crate::config::{Consistency, FallbackOffset};
use crate::kafka::Consumer;
use crate::offset::Checkpoint;

/// How long a start waits for what it only wants to tell.
const GROUP_WAIT: Duration = Duration::from_secs(3);

/// Where a start goes on.
///
/// # Errors
/// As [`positions::resume`], or the group could not be asked.
pub(super) fn positions(run: &Run<'_>, known: &Known<'_>, consumer: &Consumer) -> Result<Positions, Error> {
    let partitions: Vec<i32> = known.watermarks.keys().copied().collect();
    let told = match run.job.consistency() {
        Consistency::Strong => {
            return positions::resume(known).inspect(|positions| tell_of_group(run, known, positions, consumer));
        }
        Consistency::None if !run.job.tells_group() => anew(known),
        _ => consumer.group_positions(&partitions, KAFKA_WAIT)?,
    };
    let positions = positions::follow(known, &told)?;
    let group = run.job.source.properties.get("group.id").map_or("", String::as_str);
    for jump in &positions.jumps {
        say!(
            run.reporter,
            Info,
            "CONSISTENCY: {}[{}] goes on at offset {}, where consumer group \"{group}\" has it, and not at {}, where the ledger ends",
            run.job.source.topic,
            jump.partition,
            jump.next,
            jump.first
        );
    }
    Ok(positions)
}

/// The ledger decides; a group that stands elsewhere is told of, since a job may have gone by it before. What the group
/// says changes nothing, and neither does its silence.
fn tell_of_group(run: &Run<'_>, known: &Known<'_>, positions: &Positions, consumer: &Consumer) {
    let Some(group) = run.job.source.properties.get("group.id") else { return };
    let partitions: Vec<i32> = known.watermarks.keys().copied().collect();
    for (partition, stands) in consumer.group_positions(&partitions, GROUP_WAIT).unwrap_or_default() {
        if let Some(next) = positions.starts.get(partition).filter(|&next| next != stands) {
            say!(
                run.reporter,
                Info,
                "CONSISTENCY: {}[{partition}] goes on at offset {next}, as the ledger has it, and not at {stands}, where consumer group \"{group}\" stands",
                run.job.source.topic
            );
        }
    }
}

/// Nothing is stored, so nothing is known.
fn anew(known: &Known<'_>) -> BTreeMap<i32, i64> {
    let at = |marks: &crate::kafka::Watermarks| match known.fallback {
        Some(FallbackOffset::Latest) => marks.high,
        Some(FallbackOffset::Earliest) | None => marks.low,
    };
    known.watermarks.iter().map(|(&partition, marks)| (partition, at(marks))).collect()
}

impl Steer<'_> {
    /// At-most: before the rows.
    pub(super) fn tell_group_before(&self) -> Result<(), Error> {
        if self.job.consistency() != Consistency::AtMost {
            return Ok(());
        }
        let Some(front) = self.state.front() else { return Ok(()) };
        let next: Checkpoint = front.delta.iter().map(|(partition, span)| (partition, span.next())).collect();
        self.consumer.commit_to_group(&next)?;
        fail_point!("after-group-commit");
        Ok(())
    }

    /// Strong, at-least, none: after them.
    pub(super) fn tell_group_after(&self) {
        fail_point!("before-group-commit");
        match self.job.consistency() {
            Consistency::AtMost => {}
            Consistency::AtLeast => {
                if let Err(error) = self.consumer.commit_to_group(self.state.checkpoint()) {
                    say!(self.reporter, Warn, "{error}; the rows are committed, and the next batch tells it again");
                }
            }
            Consistency::Strong | Consistency::None if self.job.tells_group() => {
                self.consumer.publish(self.state.checkpoint());
            }
            Consistency::Strong | Consistency::None => {}
        }
    }
}
