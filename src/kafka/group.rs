//! Positions of the consumer group that the user named. Nobody joins it: they are read and written as a client that
//! assigns partitions by itself does, so a group with members of its own refuses them.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::{Consumer, Error, Event};
use crate::offset::Checkpoint;

impl Consumer {
    /// Where the group stands, in each of these partitions in which it stands anywhere.
    ///
    /// # Errors
    /// No broker answered, or the group is not ours to read.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn group_positions(&self, partitions: &[i32], wait: Duration) -> Result<BTreeMap<i32, i64>, Error> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition(&self.topic, partition);
        }
        let refused = |error| self.group_error("reading the positions", &error);
        let told = self.client.committed_offsets(asked, wait).map_err(refused)?;
        let mut found = BTreeMap::new();
        for element in told.elements() {
            element.error().map_err(refused)?;
            if let Offset::Offset(next) = element.offset() {
                found.insert(element.partition(), next);
            }
        }
        Ok(found)
    }

    /// Sets the group's positions and waits for the brokers to say that they have them.
    ///
    /// # Errors
    /// They do not: where the group stands then is open.
    ///
    /// # Blocks
    /// For an answer, or until librdkafka gives up: `socket.timeout.ms`, a minute by default.
    pub fn commit_to_group(&self, positions: &Checkpoint) -> Result<(), Error> {
        let list = self.group_list(positions);
        let committed = list.and_then(|list| self.client.commit(&list, CommitMode::Sync));
        committed.map_err(|error| self.group_error("committing the positions", &error))
    }

    /// Tells the group how far we are, when there is time. Does nothing without a group of the user's. What goes wrong
    /// comes as a note.
    pub fn publish(&self, positions: &Checkpoint) {
        if self.group.is_none() || positions.is_empty() {
            return;
        }
        let list = self.group_list(positions);
        if let Err(error) = list.and_then(|list| self.client.commit(&list, CommitMode::Async)) {
            let text = format!("publishing positions to the consumer group: {error}");
            self.client.context().push(Event::Note { text });
        }
    }

    fn group_list(&self, positions: &Checkpoint) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in positions.iter() {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(next))?;
        }
        Ok(list)
    }

    fn group_error(&self, doing: &'static str, error: &KafkaError) -> Error {
        let refusals = [
            Code::GroupAuthorizationFailed,
            Code::TopicAuthorizationFailed,
            Code::InvalidGroupId,
            Code::UnknownMemberId,
        ];
        let passes = error.rdkafka_error_code().is_none_or(|code| !refusals.contains(&code));
        let group = self.group.clone().unwrap_or_default();
        Error::Group { group, doing, cause: error.to_string(), passes }
    }
}
