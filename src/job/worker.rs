//! A worker: its own record queue → [`Hand`] → sealed blocks. It knows nothing of batches.
//!
//! A partition stays with one worker, so its blocks come out in offset order. A worker that gets no memory leaves its queue
//! unread, and Kafka waits.

use std::time::{Duration, Instant};

use fail::fail_point;

use super::hand::{Hand, Told, Waited};
use crate::kafka::{Item, RecordQueue};
use crate::metrics::Seconds;

/// How long a worker waits for records before it looks at the wish to end.
const WAIT: Duration = Duration::from_millis(50);

/// A pause in the flow of records this long sends what is there: half-full blocks are for a topic that is quiet.
const QUIET: Duration = Duration::from_millis(10);

/// So old a block is sent even though records still trickle into it. Where they come fast it is full long before.
const AGE_MAX: Duration = Duration::from_millis(20);

/// Records taken from librdkafka at once: enough that the call costs nothing beside them.
const RECORDS_PER_POLL: usize = 1000;

/// Moved into its thread.
pub struct Worker {
    pub queue: RecordQueue,
    pub hand: Hand,
    pub seconds: Seconds,
}

impl Worker {
    /// Reads until told to stop, or until nobody listens.
    ///
    /// # Blocks
    /// For as long as the attempt lasts.
    pub fn run(self) {
        let Self { mut queue, mut hand, seconds } = self;
        let mut begun = Instant::now();
        while !hand.is_over() {
            let had_ended = hand.has_ended();
            let wait = if hand.has_open_blocks() { QUIET } else { WAIT };
            let taken = queue.poll(wait, RECORDS_PER_POLL, &mut |item| take(&mut hand, item));
            if taken == 0 {
                hand.flush_all();
            } else {
                fail_point!("mid-fetch");
                hand.flush_older_than(AGE_MAX);
            }
            let now = Instant::now();
            let (kafka, Waited { memory, room }) = (queue.take_waited(), hand.take_waited());
            let busy = (now - begun).saturating_sub(kafka + memory + room);
            begun = now;
            // who has nothing left to read waits for the end of the load
            if !had_ended {
                seconds.worker_busy.inc_by(busy.as_secs_f64());
                seconds.worker_waits_for_kafka.inc_by(kafka.as_secs_f64());
                seconds.worker_waits_for_memory.inc_by(memory.as_secs_f64());
                seconds.worker_waits_for_loop.inc_by(room.as_secs_f64());
            }
        }
    }
}

fn take(hand: &mut Hand, item: Item<'_>) {
    if hand.is_over() {
        return;
    }
    match item {
        Item::Record(record) => hand.record(&record),
        Item::End { partition, offset } => hand.end(partition, offset),
        Item::CutOff { partition, end, text } => {
            // librdkafka does not always say where it was
            let offset = hand.next(partition).unwrap_or_default();
            hand.tell(Told::CutOff { partition, offset, end, reason: text.to_owned() });
        }
        Item::OutOfRange { partition, .. } => {
            hand.flush(partition);
            hand.tell(Told::OutOfRange { partition });
        }
        Item::Error { partition, text, is_passing: false } => {
            hand.tell(Told::Failed { partition, reason: text.to_owned() });
        }
        Item::Error { partition, text, is_passing: true } => {
            hand.tell(Told::Trouble { partition, of: "kafka", text: text.to_owned() });
        }
        // an attempt assigns once, and its lanes know where they begin
        Item::Assigned { .. } | Item::Added { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::hand::tests::hand;
    use super::*;

    #[test]
    fn a_partition_that_stands_still_is_told_whether_it_passes_or_not() {
        let (mut hand, told) = hand();
        take(&mut hand, Item::Error { partition: 0, text: "no leader", is_passing: true });
        take(&mut hand, Item::Error { partition: 0, text: "no right", is_passing: false });
        drop(hand);
        let told: Vec<_> = told.iter().map(|told| format!("{told:?}")).collect();
        assert_eq!(
            told,
            [
                r#"Trouble { partition: 0, of: "kafka", text: "no leader" }"#,
                r#"Failed { partition: 0, reason: "no right" }"#
            ]
        );
    }
}
