//! The connection and the assignment.
//!
//! How records get to workers without the main queue: librdkafka fetches each partition into a queue of its own and, at
//! the start of a partition, points that queue at the main one, unless the application has pointed it elsewhere first.
//! So it is pointed at a worker's queue before the first assignment. The end of an assignment takes the pointer off
//! (and leaves the mark "pointed by the application"), a little after the call has returned; so after each assignment
//! one more round trip through librdkafka's own thread makes sure that this has happened, and then the queue is pointed
//! at the worker again, together with what it holds by then.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::offset::{Checkpoint, Generation};

use super::events::Events;
use super::ffi::{self, Client};
use super::queue::Lane;
use super::settings::property_error;
use super::{Error, Event, Ignored, QueueId, RecordQueue, Settings};

/// Where a partition begins and who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub partition: i32,
    /// The next record to read.
    pub next: i64,
    /// Leader epoch of the record before it, where known: a log that was truncated below `next` is then found out.
    pub leader_epoch: Option<i32>,
    pub queue: QueueId,
}

/// One topic's connection, shared by the threads of a job.
///
/// *Drop*: the connection closes when the last of it and its [`RecordQueue`]s goes; that takes some 100 ms.
pub struct Consumer {
    pub(super) topic: String,
    pub(super) topic_c: CString,
    pub(super) brokers: String,
    /// The brokers are too old to be asked about a topic without making it.
    pub(super) lists_first: bool,
    names_group: bool,
    ignored: Vec<Ignored>,
    assignment: Mutex<Assignment>,
    // declared last: all else points into it
    pub(super) client: Arc<Client>,
}

#[derive(Default)]
struct Assignment {
    lanes: Vec<Arc<Lane>>,
    /// Queues that librdkafka fetches into, kept from the first assignment of a partition on.
    partitions: BTreeMap<i32, ffi::Queue>,
    assigned: BTreeSet<i32>,
}

impl Consumer {
    /// Makes the client. Brokers are first spoken to by [`Self::topic`].
    ///
    /// # Errors
    /// A property is unknown, has a bad value, or may not be set; or they contradict each other.
    pub fn connect(settings: &Settings) -> Result<Self, Error> {
        let (config, ignored) = settings.configuration()?;
        let names_group = settings.names_group();
        let client: Client = create(&config, Events::new(names_group)).map_err(property_error)?;
        Ok(Self {
            topic: settings.topic.clone(),
            topic_c: ffi::c_name(&settings.topic),
            brokers: settings.brokers.clone(),
            lists_first: settings.may_create_topics(),
            names_group,
            ignored,
            assignment: Mutex::default(),
            client: Arc::new(client),
        })
    }

    /// Properties of the user's that have no effect; worth a warning each.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// A queue for one more worker. Records come once partitions are assigned to its id.
    pub fn queue(&self) -> RecordQueue {
        let lane = Arc::new(Lane::new(&self.client));
        let mut assignment = self.assignment();
        let id = QueueId(assignment.lanes.len());
        assignment.lanes.push(Arc::clone(&lane));
        RecordQueue::new(id, lane, &self.client)
    }

    /// Replaces the assignment: start, rewind, other partitions. Once it returns, every poll that begins delivers
    /// records of this assignment only; records of one before are delivered by polls that took them earlier, under the
    /// earlier generation.
    ///
    /// # Errors
    /// librdkafka refuses; then nothing is assigned.
    ///
    /// # Blocks
    /// Some milliseconds; not on what workers do with their records.
    pub fn assign(&self, generation: Generation, starts: &[Start]) -> Result<(), Error> {
        let mut assignment = self.assignment();
        let lanes = assignment.lanes.clone();
        lanes.iter().for_each(|lane| lane.close());
        let outcome = self.replace(&mut assignment, starts);
        for (at, lane) in lanes.iter().enumerate() {
            let starts = if outcome.is_ok() { starts_of(QueueId(at), starts) } else { Checkpoint::default() };
            lane.open_assigned(generation, starts);
        }
        outcome
    }

    /// Adds partitions to the assignment; the others go on undisturbed, in the same generation.
    ///
    /// # Errors
    /// librdkafka refuses, as it does for a partition that is assigned already; then nothing is added.
    ///
    /// # Blocks
    /// Some milliseconds.
    pub fn add(&self, starts: &[Start]) -> Result<(), Error> {
        let mut assignment = self.assignment();
        let lanes = assignment.lanes.clone();
        let concerned: Vec<_> = lanes
            .iter()
            .enumerate()
            .map(|(at, lane)| (lane, starts_of(QueueId(at), starts)))
            .filter(|(_, starts)| !starts.is_empty())
            .collect();
        concerned.iter().for_each(|(lane, _)| lane.close());
        let outcome = self.extend(&mut assignment, starts);
        for (lane, starts) in &concerned {
            if outcome.is_ok() { lane.open_added(starts) } else { lane.open() }
        }
        outcome
    }

    /// Serves the main queue: call it all the time. Records never come this way.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn poll(&self, wait: Duration) -> Option<Event> {
        let events = self.client.context();
        if let Some(event) = events.next() {
            return Some(event);
        }
        match self.client.poll(wait) {
            Some(Ok(stray)) => Some(Event::Final { text: stray_text(&stray) }),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => Some(Event::Final { text: code.to_string() }),
            // the callbacks have kept it, with its text
            Some(Err(_)) | None => events.next(),
        }
    }

    /// Tells the consumer group that the user named how far we are: for lag tools only, nobody ever reads it here.
    /// Does nothing without a group. What goes wrong comes as a note.
    pub fn publish(&self, positions: &Checkpoint) {
        if !self.names_group || positions.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::new();
        let listed = positions
            .iter()
            .try_for_each(|(partition, next)| list.add_partition_offset(&self.topic, partition, Offset::Offset(next)));
        if let Err(error) = listed.and_then(|()| self.client.commit(&list, CommitMode::Async)) {
            let text = format!("publishing positions to the consumer group: {error}");
            self.client.context().push(Event::Note { text });
        }
    }

    /// Lets events of the main queue arrive where somebody waits for an answer, before it is asked for again.
    pub(super) fn settle(&self) {
        /// Short beside any wait, long beside a round trip.
        const PAUSE: Duration = Duration::from_millis(200);
        if let Some(Ok(stray)) = self.client.poll(PAUSE) {
            self.client.context().push(Event::Final { text: stray_text(&stray) });
        }
    }

    fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        self.forward(assignment, starts)?;
        assignment.assigned.clear();
        ffi::assign(&self.client, &self.topic_c, &positions(starts)).map_err(|code| self.refused(code.to_string()))?;
        self.arrive(assignment, starts)
    }

    fn extend(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        if let Some(known) = starts.iter().find(|start| assignment.assigned.contains(&start.partition)) {
            return Err(self.refused(format!("partition {} is assigned already", known.partition)));
        }
        self.forward(assignment, starts)?;
        ffi::assign_more(&self.client, &self.topic_c, &positions(starts)).map_err(|cause| self.refused(cause))?;
        self.arrive(assignment, starts)
    }

    /// A round trip through librdkafka's own thread, which has then taken off all pointers of the assignment before;
    /// and the pointers again.
    fn arrive(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        self.client.assignment().map_err(|error| self.refused(error.to_string()))?;
        self.forward(assignment, starts)?;
        assignment.assigned.extend(starts.iter().map(|start| start.partition));
        Ok(())
    }

    fn forward(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        for start in starts {
            let lane = assignment.lanes.get(start.queue.0).ok_or_else(|| self.refused("no such queue".to_owned()))?;
            let queue = match assignment.partitions.entry(start.partition) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(
                    ffi::Queue::of_partition(&self.client, &self.topic_c, start.partition)
                        .ok_or_else(|| self.refused(format!("partition {} has no queue", start.partition)))?,
                ),
            };
            queue.forward(&lane.queue);
        }
        Ok(())
    }

    fn refused(&self, cause: String) -> Error {
        Error::Assign { topic: self.topic.clone(), cause }
    }
}

fn create(config: &ClientConfig, events: Events) -> Result<Client, KafkaError> {
    config.create_with_context(events)
}

fn stray_text(stray: &rdkafka::message::BorrowedMessage<'_>) -> String {
    use rdkafka::Message as _;
    format!("a record of partition {} at offset {} came past its queue", stray.partition(), stray.offset())
}

fn positions(starts: &[Start]) -> Vec<ffi::Position> {
    starts.iter().map(|start| (start.partition, start.next, start.leader_epoch)).collect()
}

fn starts_of(queue: QueueId, starts: &[Start]) -> Checkpoint {
    starts.iter().filter(|start| start.queue == queue).map(|start| (start.partition, start.next)).collect()
}
