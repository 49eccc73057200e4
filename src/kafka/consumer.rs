//! The connection: made from settings, polled all the time, left when nobody needs its answers. What it reads is in
//! `assignment`, what it knows of the topic in `topic` and `offsets`.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;

use super::assignment::Assignment;
use super::events::Events;
use super::ffi::{self, Client};
use super::settings::property_error;
use super::{Error, Event, Ignored, Settings};

/// One topic's connection, shared by the threads of a job.
///
/// *Drop*: the connection closes when the last of it and its [`super::RecordQueue`]s goes; that takes some 100 ms.
pub struct Consumer {
    pub(super) topic: String,
    pub(super) topic_c: CString,
    pub(super) brokers: String,
    /// The brokers are too old to be asked about a topic without making it.
    pub(super) lists_first: bool,
    /// The topic has been there: should a broker not know it now, that may pass.
    pub(super) was_there: AtomicBool,
    /// Nobody needs answers any more.
    given_up: AtomicBool,
    /// The consumer group that the user named.
    pub(super) group: Option<String>,
    /// Who we are to the brokers' rights.
    principal: String,
    ignored: Vec<Ignored>,
    pub(super) assignment: Mutex<Assignment>,
    config: ClientConfig,
    /// Asks what cannot wait while [`Self::client`] fetches: a broker answers a connection's requests in their order,
    /// and a fetch stays there until records come. Made with the first assignment.
    aside: OnceLock<Arc<Client>>,
    // declared last: all else points into it
    pub(super) client: Arc<Client>,
}

impl Consumer {
    /// Makes the client. Brokers are first spoken to by [`Self::topic`].
    ///
    /// # Errors
    /// A property is unknown, has a bad value, or may not be set; or they contradict each other.
    pub fn connect(settings: &Settings) -> Result<Self, Error> {
        let (config, ignored) = settings.configuration()?;
        let group = settings.group();
        let client = create(&config, Events::new(group.is_some()))?;
        Ok(Self {
            topic: settings.topic.clone(),
            topic_c: ffi::c_name(&settings.topic),
            brokers: settings.brokers.clone(),
            lists_first: settings.may_create_topics(),
            was_there: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            group,
            principal: settings.principal(),
            ignored,
            assignment: Mutex::default(),
            config,
            aside: OnceLock::new(),
            client,
        })
    }

    /// Says that these brokers have known the topic and this user before. That they do not now is then no answer yet:
    /// one that has just started says so, too, and an outage must end no load.
    pub fn doubt_refusals(&self) {
        self.was_there.store(true, Ordering::Relaxed);
        self.client.context().connected();
    }

    /// Properties of the user's that have no effect; worth a warning each.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Serves the main queue: call it all the time. Records never come this way.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn poll(&self, wait: Duration) -> Option<Event> {
        // the same is said of the client that fetches; served here, for logins may need it
        while self.aside.get().is_some_and(|aside| aside.poll(Duration::ZERO).is_some()) {}
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

    /// The brokers do not let us do this with the topic.
    pub(super) fn forbidden(&self, doing: &'static str) -> Error {
        let (brokers, topic) = (self.brokers.clone(), self.topic.clone());
        Error::Forbidden { brokers, principal: self.principal.clone(), doing, topic }
    }

    /// Ends, within some seconds, a [`Self::topic`] that waits for brokers in another thread, and all later ones: nobody
    /// needs the answer any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// To be called before anything is fetched.
    pub(super) fn open_aside(&self) -> Result<(), Error> {
        if self.aside.get().is_none() {
            let aside = create(&self.config, Events::new(false))?;
            // should another thread have made one meanwhile, that one is as good
            let _mine = self.aside.set(aside);
        }
        Ok(())
    }

    /// The client whose requests do not wait behind a fetch.
    pub(super) fn prompt(&self) -> &Arc<Client> {
        self.aside.get().unwrap_or(&self.client)
    }

    /// Lets events of the main queue arrive where somebody waits for an answer, before it is asked for again: all that
    /// come meanwhile, for the one that tells the cause may stand behind others.
    pub(super) fn settle(&self) {
        /// Short beside any wait, long beside a round trip.
        const PAUSE: Duration = Duration::from_millis(200);
        let until = Instant::now() + PAUSE;
        while let Some(event) = self.client.poll(until.saturating_duration_since(Instant::now())) {
            if let Ok(stray) = event {
                self.client.context().push(Event::Final { text: stray_text(&stray) });
            }
        }
    }
}

fn create(config: &ClientConfig, events: Events) -> Result<Arc<Client>, Error> {
    config.create_with_context(events).map(Arc::new).map_err(property_error)
}

fn stray_text(stray: &rdkafka::message::BorrowedMessage<'_>) -> String {
    use rdkafka::Message as _;
    format!("a record of partition {} at offset {} came past its queue", stray.partition(), stray.offset())
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaApiKey;
    use rdkafka::{Offset, TopicPartitionList};
    use rdkafka_sys::rd_kafka_resp_err_t as Raw;

    use super::super::mock::{Cluster, DEADLINE, Seen, read_until, starts, wait_for};
    use super::*;
    use crate::offset::Generation;

    /// What should not come would have come by then, most of the time.
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn an_outage_passes_and_reading_goes_on() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
        read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
        cluster.mock.broker_down(-1).unwrap();
        wait_for("the outage", || match consumer.poll(Duration::from_millis(20)) {
            Some(event) => {
                assert!(event.is_passing(), "{event:?}");
                matches!(event, Event::AllBrokersDown { .. })
            }
            None => false,
        });
        cluster.mock.broker_up(-1).unwrap();
        cluster.produce(0, 10, 20);
        let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::Record(0, 19));
        let records: Vec<_> = seen.into_iter().filter(|seen| matches!(seen, Seen::Record(..))).collect();
        assert_eq!(records, (10..20).map(|offset| Seen::Record(0, offset)).collect::<Vec<_>>());
    }

    #[test]
    fn leaders_may_move_and_fetches_may_fail() {
        let cluster = Cluster::new(3, 1);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
        let mut records = Vec::new();
        for round in 0..6 {
            cluster.mock.partition_leader(&cluster.topic, 0, Some(round % 3 + 1)).unwrap();
            cluster.mock.request_errors(
                RDKafkaApiKey::Fetch,
                &[
                    Raw::RD_KAFKA_RESP_ERR__TRANSPORT,
                    Raw::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                    Raw::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
                ],
            );
            let first = i64::from(round) * 50;
            cluster.produce(0, first, first + 50);
            let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::Record(0, first + 49));
            records.extend(seen.into_iter().filter(|seen| matches!(seen, Seen::Record(..))));
        }
        assert_eq!(records, (0..300).map(|offset| Seen::Record(0, offset)).collect::<Vec<_>>());
    }

    #[test]
    fn positions_are_published_only_to_a_group_of_the_users() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let mut settings = cluster.settings();
        let published = |settings: &Settings| {
            let consumer = Consumer::connect(settings).unwrap();
            let mut queue = consumer.queue();
            consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
            read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
            consumer.publish(&[(0, 7)].into_iter().collect());
            // it is told when there is time
            let until = Instant::now() + if settings.properties.contains_key("group.id") { DEADLINE } else { SHORT };
            loop {
                let mut asked = TopicPartitionList::new();
                asked.add_partition(&cluster.topic, 0);
                let told = consumer.client.committed_offsets(asked, DEADLINE).unwrap();
                let offset = told.elements()[0].offset();
                if offset != Offset::Invalid || Instant::now() > until {
                    return offset;
                }
                consumer.poll(Duration::from_millis(10));
            }
        };
        assert_eq!(published(&settings), Offset::Invalid);
        settings.properties.insert("group.id".to_owned(), "watchers".to_owned());
        assert_eq!(published(&settings), Offset::Offset(7));
    }
}
