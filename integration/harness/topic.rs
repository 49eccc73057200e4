//! Topics and the records in them: made, filled, cut and deleted by tests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka::Kafka;
use super::place::unique;
use super::wait::{wait_for, wait_until};

/// Long enough for any single answer of a busy broker on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

/// A topic of one test.
#[derive(Debug)]
pub struct Topic<'k> {
    pub kafka: &'k Kafka,
    pub name: String,
}

impl Kafka {
    /// A topic with a name of its own that begins with `name`.
    pub fn topic(&self, name: &str, partitions: i32) -> Topic<'_> {
        self.topic_named(&unique(name), partitions, &[])
    }

    /// A topic with exactly this name and these settings (`retention.ms`, `cleanup.policy`).
    pub fn topic_named(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Topic<'_> {
        match &self.zookeeper {
            Some(zookeeper) => self.create_by_tool(zookeeper, name, partitions),
            None => self.create(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), settings),
        }
        let topic = Topic { kafka: self, name: name.to_owned() };
        let count = usize::try_from(partitions).expect("a topic has at least one partition");
        topic.wait_for_leaders(count);
        topic
    }

    /// A topic of one partition on these brokers, of which the first leads it.
    pub fn topic_on(&self, brokers: &[i32], name: &str, settings: &[(&str, &str)]) -> Topic<'_> {
        let name = unique(name);
        self.create(NewTopic::new(&name, 1, TopicReplication::Variable(&[brokers])), settings);
        let topic = Topic { kafka: self, name };
        topic.wait_for_leaders(1);
        topic
    }

    fn create<'n>(&self, mut topic: NewTopic<'n>, settings: &[(&'n str, &'n str)]) {
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = wait_on(self.admin().create_topics([&topic], &options())).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, error)| panic!("cannot create topic {name}: {error}"));
        }
    }

    /// Brokers before 0.10.1 know no request for it.
    fn create_by_tool(&self, zookeeper: &str, name: &str, partitions: i32) {
        let count = partitions.to_string();
        let words = ["--replication-factor", "1", "--partitions", &count, "--topic", name];
        self.tool("kafka.admin.TopicCommand", &[&["--zookeeper", zookeeper, "--create"], &words[..]].concat());
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("the client's settings are right")
    }

    /// A producer that may write to any topic of this broker.
    pub fn producer(&self) -> Producer {
        Producer::new(self, None)
    }

    /// A producer whose records count only once it commits; what it aborts leaves a hole in the offsets.
    pub fn transactional_producer(&self) -> Producer {
        Producer::new(self, Some(&unique("tx")))
    }
}

impl Topic<'_> {
    /// Writes these values to one partition, in this order, and waits until the broker has them.
    pub fn produce<V: AsRef<[u8]>>(&self, partition: i32, values: impl IntoIterator<Item = V>) {
        let producer = self.kafka.producer();
        for value in values {
            producer.send(&self.name, partition, None, Some(value.as_ref()));
        }
        producer.flush();
    }

    /// Low watermark (the oldest record left) and high watermark (the next to be written).
    pub fn watermarks(&self, partition: i32) -> (i64, i64) {
        let client: BaseConsumer = self.kafka.client().create().expect("the client's settings are right");
        client.fetch_watermarks(&self.name, partition, ANSWER).expect("the broker answers")
    }

    /// Deletes the records before `offset`, as retention does, and waits until they are gone.
    pub fn delete_records_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("the offset is one");
        let result = wait_on(self.kafka.admin().delete_records(&list, &options())).expect("the broker answers");
        for element in result.elements() {
            element.error().unwrap_or_else(|error| panic!("cannot delete records of {}: {error}", self.name));
        }
        wait_until(ANSWER, "deleted records to be gone", || self.watermarks(partition).0 >= offset);
    }

    /// Adds partitions until there are `total`.
    pub fn grow_to(&self, total: usize) {
        let grown = NewPartitions::new(&self.name, total);
        let results = wait_on(self.kafka.admin().create_partitions([&grown], &options())).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, error)| panic!("cannot add partitions to {name}: {error}"));
        }
        self.wait_for_leaders(total);
    }

    /// Deletes the topic and waits until the broker has forgotten it.
    pub fn delete(&self) {
        let results = wait_on(self.kafka.admin().delete_topics(&[&self.name], &options())).expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(name, error)| panic!("cannot delete topic {name}: {error}"));
        }
        wait_until(ANSWER, "the topic to be gone", || self.partitions_with_leader() == 0);
    }

    fn wait_for_leaders(&self, count: usize) {
        wait_until(ANSWER, "every partition to have a leader", || self.partitions_with_leader() == count);
    }

    fn partitions_with_leader(&self) -> usize {
        // A client of its own each time: one that has seen the topic caches what it saw.
        let client: BaseConsumer = self.kafka.client().create().expect("the client's settings are right");
        let metadata = wait_for(ANSWER, "metadata", || client.fetch_metadata(Some(&self.name), ANSWER).ok());
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        topics.flat_map(|topic| topic.partitions()).filter(|partition| partition.leader() >= 0).count()
    }
}

/// Counts what the broker did not take, so that a flush can tell.
#[derive(Debug, Default, Clone)]
struct Delivery(Arc<AtomicU64>);

impl ClientContext for Delivery {}

impl ProducerContext for Delivery {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes records fast: they are queued and sent in large batches; [`Producer::flush`] waits for all of them.
pub struct Producer {
    inner: BaseProducer<Delivery>,
    lost: Delivery,
}

impl Producer {
    fn new(kafka: &Kafka, transactional_id: Option<&str>) -> Self {
        let lost = Delivery::default();
        let mut config = kafka.client();
        config.set("topic.metadata.refresh.interval.ms", "1000");
        config.set("linger.ms", "5").set("queue.buffering.max.messages", "500000").set("message.max.bytes", "15000000");
        // a request that is sent again, since its answer was late, must not double a record
        config.set("enable.idempotence", if kafka.zookeeper.is_some() { "false" } else { "true" });
        if let Some(id) = transactional_id {
            config.set("transactional.id", id);
        }
        let inner: BaseProducer<Delivery> = config.create_with_context(lost.clone()).expect("the settings are right");
        if transactional_id.is_some() {
            inner.init_transactions(ANSWER).expect("the broker has a transaction coordinator");
        }
        Self { inner, lost }
    }

    /// Queues a record; without a value it is a tombstone. Waits while the queue is full.
    pub fn send(&self, topic: &str, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.send_with(topic, partition, key, value, &[], None);
    }

    /// Queues a record with headers, and with a timestamp in milliseconds; `None` is now.
    pub fn send_with(
        &self,
        topic: &str,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
        timestamp_ms: Option<i64>,
    ) {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition);
        if !headers.is_empty() {
            let add = |all: OwnedHeaders, &(key, value): &(&str, Option<&[u8]>)| all.insert(Header { key, value });
            record = record.headers(headers.iter().fold(OwnedHeaders::new(), add));
        }
        if let Some(timestamp_ms) = timestamp_ms {
            record = record.timestamp(timestamp_ms);
        }
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        let begun = Instant::now();
        loop {
            match self.inner.send(record) {
                Ok(()) => return self.inner.poll(Duration::ZERO),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.inner.poll(Duration::from_millis(50));
                    record = back;
                }
                // a partition that was added a moment ago
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition), back))
                    if begun.elapsed() < ANSWER =>
                {
                    self.inner.poll(Duration::from_millis(50));
                    record = back;
                }
                Err((error, _)) => panic!("cannot produce to {topic}: {error}"),
            }
        }
    }

    /// Waits until the broker has everything.
    ///
    /// # Panics
    /// When it has refused anything.
    pub fn flush(&self) {
        self.inner.flush(2 * ANSWER).expect("the broker takes what is queued");
        assert_eq!(self.lost.0.load(Ordering::Relaxed), 0, "records that the broker refused");
    }

    /// Begins a transaction.
    pub fn begin(&self) {
        self.inner.begin_transaction().expect("no transaction is open");
    }

    /// Commits it: readers see its records from now on.
    pub fn commit(&self) {
        self.inner.commit_transaction(ANSWER).expect("the transaction commits");
    }

    /// Aborts it, after its records have reached the broker: their offsets stay empty for good.
    pub fn abort(&self) {
        self.flush();
        self.inner.abort_transaction(ANSWER).expect("the transaction aborts");
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER))
}

fn wait_on<F: Future>(answer: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread starts").block_on(answer)
}
