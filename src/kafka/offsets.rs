//! Offsets that the brokers know: log start, last stable offset, first record at or after a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};

use super::{Consumer, Error, ffi};

/// The readable part of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that has not expired.
    pub low: i64,
    /// The last stable offset: where a reader of committed records stands when it has read everything. Below the high
    /// watermark while a transaction is open.
    pub high: i64,
}

/// How long one round of requests may take before it is tried anew: a leader may have moved meanwhile.
const SLICE: Duration = Duration::from_secs(5);

impl Consumer {
    /// Log start and last stable offset of each partition, in two rounds of requests however many they are.
    ///
    /// # Errors
    /// A partition does not exist, or where the topic once did, has been missing for `wait` or 10 s; we have no right; or
    /// no answer within `wait`.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn watermarks(&self, partitions: &[i32], wait: Duration) -> Result<BTreeMap<i32, Watermarks>, Error> {
        let until = Instant::now() + wait;
        let lows = self.list_offsets(Offset::Beginning, partitions, until)?;
        let highs = self.list_offsets(Offset::End, partitions, until)?;
        Ok(lows
            .into_iter()
            .filter_map(|(partition, low)| Some((partition, Watermarks { low, high: *highs.get(&partition)? })))
            .collect())
    }

    /// The last stable offset of each partition, in one round of requests.
    ///
    /// # Errors
    /// As [`Self::watermarks`].
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn ends(&self, partitions: &[i32], wait: Duration) -> Result<BTreeMap<i32, i64>, Error> {
        self.list_offsets(Offset::End, partitions, Instant::now() + wait)
    }

    /// The ends of the partitions as their last fetches told, without asking anybody. They are high watermarks, so
    /// they may be above [`Self::ends`] while a transaction is open. Partitions never fetched are absent.
    pub fn cached_ends(&self, partitions: &[i32]) -> BTreeMap<i32, i64> {
        partitions
            .iter()
            .filter_map(|&partition| Some((partition, ffi::cached_end(&self.client, &self.topic_c, partition)?)))
            .collect()
    }

    /// The first record at or after a time, in milliseconds since 1970; the end where there is none.
    ///
    /// # Errors
    /// As [`Self::watermarks`]; brokers before 0.10.1 cannot look up times.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn offsets_at(
        &self,
        timestamp_ms: i64,
        partitions: &[i32],
        wait: Duration,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        if self.lists_first {
            return Err(Error::Unsupported {
                what: "finding offsets by time".to_owned(),
                instead: "start from the earliest or the latest record".to_owned(),
            });
        }
        let until = Instant::now() + wait;
        let mut found = self.list_offsets(Offset::Offset(timestamp_ms.max(0)), partitions, until)?;
        let late: Vec<_> = found.iter().filter(|&(_, &offset)| offset < 0).map(|(&partition, _)| partition).collect();
        if !late.is_empty() {
            found.extend(self.list_offsets(Offset::End, &late, until)?);
        }
        Ok(found)
    }

    /// One question about many partitions; asked anew until then. The answer to a time is -1 where no record matches;
    /// all others are places in the log.
    fn list_offsets(&self, at: Offset, partitions: &[i32], until: Instant) -> Result<BTreeMap<i32, i64>, Error> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let gone = self.believed_gone(until);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let cause = match self.list_offsets_once(at, partitions, left.min(SLICE)) {
                Ok(found) => match unanswered(at, partitions, &found) {
                    None => return Ok(found),
                    Some(partition) => format!("partition {partition}: the broker names no offset"),
                },
                Err(error) => self.worth_another_try(error, gone)?,
            };
            if until <= Instant::now() {
                let said = self.client.context().causes();
                let cause = said.map_or_else(|| cause.clone(), |said| format!("{cause}: {said}"));
                return Err(Error::Offsets { topic: self.topic.clone(), cause });
            }
            self.settle();
        }
    }

    fn list_offsets_once(
        &self,
        at: Offset,
        partitions: &[i32],
        wait: Duration,
    ) -> Result<BTreeMap<i32, i64>, (Option<i32>, KafkaError)> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            asked.add_partition_offset(&self.topic, partition, at).map_err(|error| (Some(partition), error))?;
        }
        let told = self.client.offsets_for_times(asked, wait).map_err(|error| (None, error))?;
        let mut found = BTreeMap::new();
        for element in told.elements() {
            element.error().map_err(|error| (Some(element.partition()), error))?;
            found.extend(element.offset().to_raw().map(|offset| (element.partition(), offset)));
        }
        Ok(found)
    }

    /// The text of an error that may pass, or the final error. A leader that has just started may not know yet what it
    /// leads.
    fn worth_another_try(&self, (partition, error): (Option<i32>, KafkaError), gone: Instant) -> Result<String, Error> {
        let is_believed = gone <= Instant::now() || self.is_given_up();
        match error.rdkafka_error_code() {
            Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition) if is_believed => {
                Err(match partition {
                    Some(partition) => Error::UnknownPartition { topic: self.topic.clone(), partition },
                    None => self.unknown_topic(Instant::now() + SLICE, SLICE),
                })
            }
            Some(Code::TopicAuthorizationFailed) => Err(self.forbidden("describe")),
            Some(code) => Ok(partition.map_or_else(|| code.to_string(), |p| format!("partition {p}: {code}"))),
            None => Ok(error.to_string()),
        }
    }
}

/// A partition whose offset is not known. Negative numbers are librdkafka's names for places: one that passed for a
/// position would make it read from the end, and what is before it would never be loaded.
fn unanswered(at: Offset, partitions: &[i32], found: &BTreeMap<i32, i64>) -> Option<i32> {
    /// What a broker says of a time that no record is as new as.
    const NO_RECORD: i64 = -1;
    let is_time = matches!(at, Offset::Offset(_));
    let is_answer = |offset: i64| offset >= 0 || (is_time && offset == NO_RECORD);
    partitions.iter().copied().find(|partition| !found.get(partition).copied().is_some_and(is_answer))
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaApiKey;
    use rdkafka_sys::rd_kafka_resp_err_t as Raw;

    use super::super::mock::{Cluster, DEADLINE, Seen, read_until, starts};
    use super::*;
    use crate::offset::Generation;

    #[test]
    fn watermarks_and_ends() {
        let cluster = Cluster::new(2, 3);
        cluster.produce(0, 0, 10);
        cluster.produce(2, 0, 5);
        let consumer = cluster.connect();
        let marks = consumer.watermarks(&[0, 1, 2], DEADLINE).unwrap();
        let expected = [(0, 10), (1, 0), (2, 5)].map(|(partition, high)| (partition, Watermarks { low: 0, high }));
        assert_eq!(marks, expected.into_iter().collect());
        assert_eq!(consumer.ends(&[2], DEADLINE).unwrap(), [(2, 5)].into_iter().collect());
        assert!(consumer.ends(&[], DEADLINE).unwrap().is_empty());

        assert!(consumer.cached_ends(&[0, 1]).is_empty());
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
        read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
        assert_eq!(consumer.cached_ends(&[0, 1]), [(0, 10)].into_iter().collect());
    }

    #[test]
    fn a_partition_that_is_not_there_is_told() {
        let cluster = Cluster::new(1, 1);
        let consumer = cluster.connect();
        let error = consumer.watermarks(&[0, 7], DEADLINE).unwrap_err();
        assert_eq!(error.to_string(), "topic \"orders\" has no partition 7");
    }

    #[test]
    fn a_leader_that_does_not_know_its_partition_yet_is_asked_again() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let consumer = cluster.connect();
        consumer.topic(DEADLINE).unwrap();
        let unknown = [Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART; 3];
        cluster.mock.request_errors(RDKafkaApiKey::ListOffsets, &unknown);
        let marks = consumer.watermarks(&[0], DEADLINE).unwrap();
        assert_eq!(marks[&0], Watermarks { low: 0, high: 10 });
    }

    #[test]
    fn a_name_of_a_place_is_no_offset() {
        let told = |offset| BTreeMap::from([(3, 0), (4, offset)]);
        for at in [Offset::Beginning, Offset::End] {
            assert_eq!(unanswered(at, &[3, 4], &told(7)), None);
            for named in [-1, -2, -1001] {
                assert_eq!(unanswered(at, &[3, 4], &told(named)), Some(4));
            }
            assert_eq!(unanswered(at, &[3, 4, 5], &told(7)), Some(5));
        }
        let time = Offset::Offset(1_700_000_000_000);
        assert_eq!(unanswered(time, &[3, 4], &told(-1)), None);
        assert_eq!(unanswered(time, &[3, 4], &told(-1001)), Some(4));
    }
}
