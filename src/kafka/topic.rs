//! The topic: its id and its partitions, and a helpful error when it is not there.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka_sys::rd_kafka_resp_err_t as Raw;

use super::ffi::{self, TopicId};
use super::settings::nearest;
use super::{Consumer, Error};

/// A topic as the brokers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// Differs once the topic has been deleted and made anew. `None` says nothing: brokers keep ids from 2.8 on, and
    /// those asked may have been too busy to tell.
    pub id: Option<String>,
    /// In ascending order.
    pub partitions: Vec<i32>,
}

/// How long one request may take before what librdkafka has said meanwhile is looked at.
const SLICE: Duration = Duration::from_secs(1);

/// How long a broker may take to tell a topic's id; one that keeps none says so at once.
const ID_WAIT: Duration = Duration::from_secs(3);

/// How long a topic that was there must be missing until it is believed: a broker that has just started may answer
/// before it knows all topics.
const DOUBT: Duration = Duration::from_secs(10);

impl Consumer {
    /// Asks the brokers about the topic: at the start, and every some seconds for new partitions or another id.
    ///
    /// # Errors
    /// No broker answers within `wait`; they refuse us; the topic does not exist, or, where it once did, has been
    /// missing for `wait` or 10 s, whichever is shorter.
    ///
    /// # Blocks
    /// Up to `wait`; some milliseconds when brokers are there.
    pub fn topic(&self, wait: Duration) -> Result<Topic, Error> {
        let until = Instant::now() + wait;
        let gone = self.believed_gone(until);
        if self.lists_first {
            self.require_listed(until, gone, wait)?;
        }
        loop {
            let metadata = self.metadata(Some(&self.topic), until, wait)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
            match topic.map_or(Some(Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), |topic| topic.error()) {
                None => {
                    self.was_there.store(true, Ordering::Relaxed);
                    return Ok(self.described(&metadata, until));
                }
                Some(Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Raw::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
                    if gone <= Instant::now() =>
                {
                    return Err(self.unknown_topic(until, wait));
                }
                Some(Raw::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
                    return Err(self.forbidden("describe"));
                }
                Some(_) if Instant::now() < until && !self.is_given_up() => self.settle(),
                Some(error) => {
                    let cause = format!("topic \"{}\": {}", self.topic, Code::from(error));
                    return Err(self.unreachable(wait, Some(cause)));
                }
            }
        }
    }

    /// When a broker that says "there is no such thing" is to be believed.
    pub(super) fn believed_gone(&self, until: Instant) -> Instant {
        let now = Instant::now();
        if self.was_there.load(Ordering::Relaxed) { until.min(now + DOUBT) } else { now }
    }

    fn described(&self, metadata: &Metadata, until: Instant) -> Topic {
        let topics = metadata.topics().iter().filter(|topic| topic.name() == self.topic);
        let mut partitions: Vec<_> = topics.flat_map(|topic| topic.partitions()).map(|one| one.id()).collect();
        partitions.sort_unstable();
        Topic { name: self.topic.clone(), id: self.topic_id(metadata, until), partitions }
    }

    /// The topic's id at this moment; `None` also where no broker says it in time. What was delivered before the call
    /// came from the topic of this id, or of one before it.
    ///
    /// # Blocks
    /// Some seconds at most; a millisecond when brokers are there, however long fetches wait.
    pub fn topic_id_now(&self) -> Option<String> {
        let metadata = self.prompt().fetch_metadata(Some(&self.topic), SLICE).ok()?;
        self.topic_id(&metadata, Instant::now())
    }

    /// Metadata of one topic or of all; tries again until then.
    pub(super) fn metadata(&self, topic: Option<&str>, until: Instant, wait: Duration) -> Result<Metadata, Error> {
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
            if until <= Instant::now() || self.is_given_up() {
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
    fn require_listed(&self, until: Instant, gone: Instant, wait: Duration) -> Result<(), Error> {
        loop {
            let names = self.names(until, wait)?;
            if names.contains(&self.topic) {
                return Ok(());
            }
            if gone <= Instant::now() || self.is_given_up() {
                return Err(self.unknown_among(names));
            }
            self.settle();
        }
    }

    /// The names of all topics that we may see, Kafka's own left out.
    fn names(&self, until: Instant, wait: Duration) -> Result<Vec<String>, Error> {
        let all = self.metadata(None, until, wait)?;
        Ok(all.topics().iter().map(|topic| topic.name().to_owned()).filter(|name| !name.starts_with("__")).collect())
    }

    /// Asked once, and again until then where a broker that keeps ids does not tell: without an id nobody notices that
    /// the topic is another one.
    fn topic_id(&self, metadata: &Metadata, until: Instant) -> Option<String> {
        if self.lists_first {
            return None;
        }
        let answered = metadata.orig_broker_id();
        let mut brokers: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
        // the one that has just answered first
        brokers.sort_unstable_by_key(|&id| (id != answered, id));
        for &broker in brokers.iter().cycle() {
            match ffi::topic_id(self.prompt(), &self.topic_c, broker, ID_WAIT) {
                TopicId::Known(id) => return Some(id),
                TopicId::Unkept => return None,
                TopicId::Untold if until <= Instant::now() || self.is_given_up() => return None,
                TopicId::Untold => self.settle(),
            }
        }
        None
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicBool;

    use rdkafka::types::RDKafkaApiKey;

    use super::super::mock::{Cluster, DEADLINE, Seen, read_until, starts};
    use super::super::{Settings, Topic};
    use super::*;
    use crate::offset::Generation;

    #[test]
    fn a_topic_has_an_id_and_partitions() {
        let cluster = Cluster::new(1, 3);
        let consumer = cluster.connect();
        let Topic { name, id, partitions } = consumer.topic(DEADLINE).unwrap();
        assert_eq!((name.as_str(), partitions.as_slice()), ("orders", &[0, 1, 2][..]));
        assert_eq!(id.unwrap().len(), 22);
    }

    #[test]
    fn the_id_is_told_while_a_fetch_waits() {
        let cluster = Cluster::new(1, 1);
        let mut settings = cluster.settings();
        settings.properties.insert("fetch.wait.max.ms".to_owned(), "4000".to_owned());
        let consumer = Consumer::connect(&settings).unwrap();
        let id = consumer.topic(DEADLINE).unwrap().id;
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
        read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 0));
        let begun = Instant::now();
        assert_eq!(consumer.topic_id_now(), id);
        assert!(begun.elapsed() < SLICE, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_broker_that_keeps_no_ids_is_asked_once() {
        let cluster = Cluster::new(1, 1);
        // the last version of Kafka before 2.8
        cluster.mock.apiversion(RDKafkaApiKey::Metadata, Some(0), Some(9)).unwrap();
        let begun = Instant::now();
        assert_eq!(cluster.connect().topic(DEADLINE).unwrap().id, None);
        assert!(begun.elapsed() < DEADLINE / 3, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_broker_that_does_not_tell_the_id_is_asked_again() {
        let cluster = Cluster::new(1, 1);
        let consumer = cluster.connect();
        let metadata = consumer.metadata(Some("orders"), Instant::now() + DEADLINE, DEADLINE).unwrap();
        cluster.mock.broker_down(-1).unwrap();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| consumer.topic_id(&metadata, Instant::now() + DEADLINE));
            while begun.elapsed() < ID_WAIT + SLICE {
                consumer.settle();
            }
            cluster.mock.broker_up(-1).unwrap();
            assert_eq!(asking.join().unwrap().unwrap().len(), 22);
        });
    }

    #[test]
    fn a_topic_that_is_not_there_is_told_with_the_nearest_name() {
        let cluster = Cluster::new(1, 1);
        cluster.mock.create_topic("__consumer_offsets", 1, 1).unwrap();
        let brokers = cluster.mock.bootstrap_servers();
        for properties in [vec![], vec![("api.version.request", "false"), ("broker.version.fallback", "0.10.0")]] {
            let properties = properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let settings = Settings { topic: "order".to_owned(), properties, ..cluster.settings() };
            // the mock cluster makes topics as old brokers do, unless it is told to deny this one
            cluster.mock.topic_error("order", Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
            let error = Consumer::connect(&settings).unwrap().topic(DEADLINE).unwrap_err();
            assert!(error.to_string().starts_with(&format!("topic \"order\" does not exist on {brokers}")), "{error}");
        }
    }

    #[test]
    fn a_topic_that_was_there_before_this_client_may_be_missing_for_a_moment() {
        for properties in [vec![], vec![("api.version.request", "false"), ("broker.version.fallback", "0.10.0")]] {
            let cluster = Cluster::new(1, 1);
            let properties = properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let missing = |code| cluster.mock.topic_error("orders", code).unwrap();
            let consumer = Consumer::connect(&Settings { properties, ..cluster.settings() }).unwrap();
            missing(Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
            assert!(matches!(consumer.topic(DEADLINE), Err(Error::UnknownTopic { .. })));
            consumer.doubt_refusals();
            std::thread::scope(|scope| {
                let asking = scope.spawn(|| consumer.topic(DEADLINE));
                consumer.settle();
                missing(Raw::RD_KAFKA_RESP_ERR_NO_ERROR);
                assert_eq!(asking.join().unwrap().unwrap().partitions, [0]);
            });
        }
    }

    #[test]
    fn missing_rights_are_told_at_once() {
        let cluster = Cluster::new(1, 1);
        cluster.mock.topic_error("orders", Raw::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
        let error = cluster.connect().topic(DEADLINE).unwrap_err();
        assert!(error.to_string().contains("do not let User:ANONYMOUS describe topic \"orders\""), "{error}");
        assert!(!error.is_passing());
    }

    #[test]
    fn brokers_that_do_not_answer_are_told_with_the_cause() {
        let settings = Settings {
            // a port that nobody listens on, and an address that nobody uses, whose port is to be 9092
            brokers: "127.0.0.1:1, 127.0.0.77".to_owned(),
            topic: "orders".to_owned(),
            properties: BTreeMap::new(),
            queue_bytes: 16 << 20,
            workers: 1,
        };
        let begun = Instant::now();
        let error = Consumer::connect(&settings).unwrap().topic(Duration::from_secs(2)).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("no kafka broker of 127.0.0.1:1, 127.0.0.77 answered within 2 s: "), "{text}");
        assert!(text.contains("127.0.0.77:9092"), "{text}");
        assert!(text.contains("Connection refused"), "{text}");
        assert!(text.ends_with("; check BROKERS of the job file, and that the brokers run"), "{text}");
        assert!(error.is_passing());
        assert!(begun.elapsed() < DEADLINE);
    }

    /// The error of a start whose BROKERS name a port where something else says this to whatever it reads.
    fn asked_of_a_stranger(says: &[u8]) -> String {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stranger.local_addr().unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for caller in stranger.incoming().map(Result::unwrap) {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let mut caller = caller;
                    // what librdkafka does with an end that it did not expect is its own affair
                    let _heard = caller.read(&mut [0; 1024]);
                    let _said = caller.write_all(says);
                }
            });
            let settings = Settings { brokers: address.to_string(), ..Cluster::new(1, 1).settings() };
            let error = Consumer::connect(&settings).unwrap().topic(Duration::from_secs(2)).unwrap_err();
            is_over.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(address).unwrap());
            error.to_string().replace(&address.to_string(), "db:5432")
        })
    }

    #[test]
    fn a_port_that_is_no_kafka_is_told() {
        const POSTGRES: &[u8] = b"E\0\0\0\x8bSFATAL\0VFATAL\0C0A000\0Munsupported frontend protocol 18.3\0\0";
        // of TLS an alert, and a byte more, for librdkafka reads eight
        for (says, cause) in [
            (POSTGRES, "what answers there is no kafka broker"),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no kafka broker"),
            (b"\x15\x03\x03\0\x02\x02\x46\0", "it speaks TLS; check the property security.protocol"),
            (
                b"",
                "it closes the connection at once: it is no kafka broker, or one that wants another security.protocol \
                 (or is older than 0.10)",
            ),
        ] {
            let told = format!(
                "no kafka broker of db:5432 answered within 2 s: db:5432/bootstrap: {cause}; check BROKERS of the job \
                 file, and that the brokers run"
            );
            assert_eq!(asked_of_a_stranger(says), told);
        }
    }

    #[test]
    fn who_gives_up_does_not_wait_for_brokers() {
        let cluster = Cluster::new(1, 1);
        let settings = Settings { brokers: "127.0.0.1:1".to_owned(), ..cluster.settings() };
        let consumer = Consumer::connect(&settings).unwrap();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| consumer.topic(DEADLINE));
            consumer.give_up();
            assert!(waiting.join().unwrap().unwrap_err().is_passing());
        });
        assert!(begun.elapsed() < DEADLINE / 3, "{:?}", begun.elapsed());
    }
}
