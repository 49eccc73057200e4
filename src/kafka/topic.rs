//! The topic: its id and its partitions, and a helpful error when it is not there.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka_sys::rd_kafka_resp_err_t as Raw;

use super::settings::nearest;
use super::{Consumer, Error, ffi};

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Differs once the topic has been deleted and made anew. `None` where the brokers keep no ids (before 2.8).
    pub id: Option<String>,
    /// In ascending order.
    pub partitions: Vec<i32>,
}

/// How long one request may take before what librdkafka has said meanwhile is looked at.
const SLICE: Duration = Duration::from_secs(1);

impl Consumer {
    /// Asks the brokers about the topic: at the start, and every some seconds for new partitions or another id.
    ///
    /// # Errors
    /// No broker answers within `wait`; they refuse us; the topic does not exist.
    ///
    /// # Blocks
    /// Up to `wait`; some milliseconds when brokers are there.
    pub fn topic(&self, wait: Duration) -> Result<Topic, Error> {
        let until = Instant::now() + wait;
        if self.lists_first {
            self.require_listed(until, wait)?;
        }
        loop {
            let metadata = self.metadata(Some(&self.topic), until, wait)?;
            let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == self.topic) else {
                return Err(self.unknown_topic(until, wait));
            };
            match topic.error() {
                None => {
                    let mut partitions: Vec<_> = topic.partitions().iter().map(|partition| partition.id()).collect();
                    partitions.sort_unstable();
                    return Ok(Topic { name: self.topic.clone(), id: self.topic_id(until), partitions });
                }
                Some(Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Raw::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION) => {
                    return Err(self.unknown_topic(until, wait));
                }
                Some(Raw::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
                    let cause = format!("no right to describe topic \"{}\"", self.topic);
                    return Err(Error::Refused { brokers: self.brokers.clone(), cause });
                }
                Some(_) if Instant::now() < until => self.settle(),
                Some(error) => {
                    let cause = format!("topic \"{}\": {}", self.topic, Code::from(error));
                    return Err(self.unreachable(wait, Some(cause)));
                }
            }
        }
    }

    /// Metadata of one topic or of all; tries again until then.
    fn metadata(&self, topic: Option<&str>, until: Instant, wait: Duration) -> Result<Metadata, Error> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let error = match self.client.fetch_metadata(topic, left.min(SLICE)) {
                Ok(metadata) => {
                    self.client.context().connected();
                    return Ok(metadata);
                }
                Err(error) => error,
            };
            // what went wrong waits in the main queue as text
            self.settle();
            if let Some(cause) = self.client.context().refusal() {
                return Err(Error::Refused { brokers: self.brokers.clone(), cause });
            }
            if until <= Instant::now() {
                return Err(self.unreachable(wait, said(&error)));
            }
        }
    }

    fn unreachable(&self, waited: Duration, said: Option<String>) -> Error {
        let cause = self.client.context().causes().or(said).unwrap_or_else(|| "no answer".to_owned());
        Error::Unreachable { brokers: self.brokers.clone(), waited, cause }
    }

    pub(super) fn unknown_topic(&self, until: Instant, wait: Duration) -> Error {
        let names = self.names(until.max(Instant::now() + SLICE), wait).unwrap_or_default();
        self.unknown_among(names)
    }

    fn unknown_among(&self, names: Vec<String>) -> Error {
        Error::UnknownTopic {
            topic: self.topic.clone(),
            brokers: self.brokers.clone(),
            topics: names.len(),
            nearest: nearest(&self.topic, names),
        }
    }

    /// Brokers before 0.11 make a topic by being asked about it, so it is looked up in the list of all.
    fn require_listed(&self, until: Instant, wait: Duration) -> Result<(), Error> {
        let names = self.names(until, wait)?;
        if names.contains(&self.topic) { Ok(()) } else { Err(self.unknown_among(names)) }
    }

    /// The names of all topics that we may see, Kafka's own left out.
    fn names(&self, until: Instant, wait: Duration) -> Result<Vec<String>, Error> {
        let all = self.metadata(None, until, wait)?;
        Ok(all.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| !name.starts_with("__")).collect())
    }

    /// Brokers that do not know the request say so at once.
    fn topic_id(&self, until: Instant) -> Option<String> {
        let left = until.saturating_duration_since(Instant::now());
        ffi::topic_id(&self.client, &self.topic_c, left.max(SLICE))
    }
}

/// The text of an error code, unless it is only "timed out", which says nothing.
fn said(error: &KafkaError) -> Option<String> {
    match error.rdkafka_error_code() {
        Some(Code::OperationTimedOut) => None,
        Some(code) => Some(code.to_string()),
        None => Some(error.to_string()),
    }
}
