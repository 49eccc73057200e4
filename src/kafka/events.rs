//! What librdkafka says beside records: errors and log lines, kept in a bounded list until somebody asks.
//!
//! It never prints. Each saying is judged here once: does it pass by itself, or can the job not go on?

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{ClientContext, TopicPartitionList};

/// Something that happened on the main queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// No broker can be reached at the moment. librdkafka goes on trying; so should the job.
    AllBrokersDown { text: String },
    /// Trouble that passes by itself: a connection lost, a leader moved, a name not resolved.
    Trouble { text: String },
    /// A broker says that the topic or a partition of it is not there. It may just have started and not know yet:
    /// [`super::Consumer::topic`] asks until it is sure.
    TopicMissing { text: String },
    /// Worth a line in a verbose log, no more.
    Note { text: String },
    /// The job cannot go on: rights taken away, or the client itself broken.
    Final { text: String },
}

impl Event {
    /// False for what the job cannot outwait.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Final { .. })
    }

    /// What librdkafka said.
    pub fn text(&self) -> &str {
        match self {
            Self::AllBrokersDown { text }
            | Self::Trouble { text }
            | Self::TopicMissing { text }
            | Self::Note { text }
            | Self::Final { text } => text,
        }
    }
}

/// Sayings kept while nobody polls. Older ones go first: the newest say how things are.
const KEPT: usize = 64;

#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    /// Why brokers could not be reached, newest last, for the error of whoever waits for them.
    causes: VecDeque<String>,
    /// The last refusal: wrong password, no right.
    refusal: Option<String>,
    /// Brokers have answered us before, so a failed login may pass (a broker that restarts knows no users yet).
    connected: bool,
}

/// The callbacks of one client.
pub(super) struct Events {
    kept: Mutex<Kept>,
    /// Without a group of the user's, what group coordinators complain about concerns nobody.
    names_group: bool,
}

impl Events {
    pub fn new(names_group: bool) -> Self {
        Self { kept: Mutex::default(), names_group }
    }

    /// The oldest event that nobody has seen.
    pub fn next(&self) -> Option<Event> {
        self.kept().events.pop_front()
    }

    /// Brokers have answered: what was said before is history.
    pub fn connected(&self) {
        let mut kept = self.kept();
        kept.connected = true;
        kept.causes.clear();
        kept.refusal = None;
    }

    /// Why no broker answers, as far as librdkafka has said.
    pub fn causes(&self) -> Option<String> {
        let kept = self.kept();
        (!kept.causes.is_empty()).then(|| kept.causes.iter().cloned().collect::<Vec<_>>().join("; "))
    }

    /// The last refusal since brokers answered.
    pub fn refusal(&self) -> Option<String> {
        self.kept().refusal.clone()
    }

    pub fn push(&self, event: Event) {
        keep(&mut self.kept().events, event);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, code: Code, text: &str) {
        let text = in_our_words(text);
        let mut kept = self.kept();
        let event = match code {
            Code::AllBrokersDown => Event::AllBrokersDown { text },
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => refused(&mut kept, text),
            Code::Authentication | Code::SaslAuthenticationFailed if !kept.connected => refused(&mut kept, text),
            Code::Fatal => Event::Final { text },
            code if concerns_group(code) => {
                if !self.names_group {
                    return;
                }
                Event::Note { text }
            }
            _ => troubled(&mut kept, text),
        };
        keep(&mut kept.events, event);
    }
}

fn refused(kept: &mut Kept, text: String) -> Event {
    kept.refusal = Some(text.clone());
    Event::Final { text }
}

fn troubled(kept: &mut Kept, text: String) -> Event {
    keep_cause(kept, &text);
    Event::Trouble { text }
}

fn keep_cause(kept: &mut Kept, text: &str) {
    /// Enough for three brokers, each with two addresses.
    const CAUSES: usize = 6;
    let cause = without_state(text).to_owned();
    if !kept.causes.contains(&cause) {
        if kept.causes.len() == CAUSES {
            kept.causes.pop_front();
        }
        kept.causes.push_back(cause);
    }
}

fn keep(events: &mut VecDeque<Event>, event: Event) {
    if events.len() == KEPT {
        events.pop_front();
    }
    events.push_back(event);
}

/// What is between us and a group's coordinator: the group is for lag tools only.
fn concerns_group(code: Code) -> bool {
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator
            | Code::InvalidGroupId
    )
}

/// `host:port/1: Connect to … failed: Connection refused (after 0ms in state CONNECT)` without its parenthesis, which
/// would make one cause many.
fn without_state(text: &str) -> &str {
    text.find(" (after ").map_or(text, |at| &text[..at])
}

/// Where something else than a plain Kafka broker answers, librdkafka reads the answer as one and gives advice that leads
/// astray: what comes is no size, so a larger limit helps nobody.
fn in_our_words(text: &str) -> String {
    /// Before it has been seen to be a broker.
    const GREETING: &str = "in state APIVERSION_QUERY";
    /// No broker sends a response so large: its first byte is then a letter.
    const LETTERS: u32 = 0x4100_0000;
    let Some((broker, said)) = text.split_once(": ") else { return text.to_owned() };
    let is_greeting = text.contains(GREETING);
    match invalid_size(said) {
        Some(size) if size >> 16 == TLS_ALERT => {
            format!("{broker}: it speaks TLS; check the property security.protocol")
        }
        Some(size) if is_greeting || size >= LETTERS => format!("{broker}: what answers there is no kafka broker"),
        None if is_greeting && said.starts_with("Disconnected") => format!(
            "{broker}: it closes the connection at once: it is no kafka broker, or one that wants another \
             security.protocol (or is older than 0.10)"
        ),
        _ => text.to_owned(),
    }
}

/// How TLS says no to what is not TLS: record type 21, version 3.
const TLS_ALERT: u32 = 0x1503;

/// The first four bytes of an answer, where librdkafka says that they are no size.
fn invalid_size(said: &str) -> Option<u32> {
    let (_, size) = said.split_once("Invalid response size ")?;
    let size: i64 = size.split(' ').next()?.parse().ok()?;
    u32::try_from(size & i64::from(u32::MAX)).ok()
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match facility {
            // errors that librdkafka meets in a worker's queue and has no other way to tell
            "ERROR" => {
                let text = text.split_once(": ").map_or(text, |(_, text)| text).to_owned();
                let is_missing = ["does not exist", "not available", "no longer available"];
                let is_missing = is_missing.iter().any(|words| text.contains(words));
                self.push(if is_missing { Event::TopicMissing { text } } else { Event::Trouble { text } });
            }
            // a connection that was closed; all worse ones come as an event, too
            "FAIL" if (level as i32) > (RDKafkaLogLevel::Error as i32) => {
                let text = text.split_once("]: ").map_or(text, |(_, text)| text);
                keep_cause(&mut self.kept(), &in_our_words(text));
            }
            "FAIL" => {}
            _ if (level as i32) <= (RDKafkaLogLevel::Warning as i32) => {
                self.push(Event::Note { text: text.to_owned() })
            }
            _ => {}
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.judge(error.rdkafka_error_code().unwrap_or(Code::Fail), reason);
    }
}

impl ConsumerContext for Events {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            self.push(Event::Note { text: format!("publishing positions to the consumer group: {error}") });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outages_pass_and_refusals_do_not() {
        let events = Events::new(false);
        events.judge(Code::AllBrokersDown, "1/1 brokers are down");
        events.judge(Code::GroupAuthorizationFailed, "no");
        for after in [1, 2] {
            events.judge(Code::BrokerTransportFailure, &format!("a:1: refused (after {after}ms in state CONNECT)"));
        }
        events.judge(Code::TopicAuthorizationFailed, "no right");
        let seen: Vec<_> = std::iter::from_fn(|| events.next()).map(|event| event.is_passing()).collect();
        assert_eq!(seen, [true, true, true, false]);
        assert_eq!(events.causes().unwrap(), "a:1: refused");
        assert_eq!(events.refusal().unwrap(), "no right");
    }

    #[test]
    fn a_failed_login_ends_a_start_but_not_a_run() {
        let events = Events::new(false);
        events.judge(Code::Authentication, "wrong password");
        assert!(!events.next().unwrap().is_passing());
        events.connected();
        events.judge(Code::Authentication, "no users yet");
        assert!(events.next().unwrap().is_passing());
        assert_eq!(events.refusal(), None);
        assert_eq!(events.causes().unwrap(), "no users yet");
        events.judge(Code::TopicAuthorizationFailed, "no right");
        assert_eq!(events.refusal().unwrap(), "no right");
    }

    #[test]
    fn a_missing_topic_is_told_by_a_log_line() {
        let events = Events::new(false);
        events.log(RDKafkaLogLevel::Error, "FAIL", "rdkafka#consumer-1: a:1: connection refused");
        events.log(RDKafkaLogLevel::Error, "ERROR", "rdkafka#consumer-1: t [0]: topic does not exist (Broker: no)");
        let text = "t [0]: topic does not exist (Broker: no)".to_owned();
        assert_eq!(events.next(), Some(Event::TopicMissing { text }));
        assert_eq!(events.next(), None);
    }

    #[test]
    fn a_large_response_of_a_broker_keeps_its_advice() {
        let text = "a:1/1: Receive failed: Invalid response size 200000000 (0..100000000): increase \
                    receive.message.max.bytes (after 9ms in state UP)";
        assert_eq!(in_our_words(text), text);
        assert_eq!(
            in_our_words("a:1/1: Disconnected (after 9ms in state UP)"),
            "a:1/1: Disconnected (after 9ms in state UP)"
        );
    }

    #[test]
    fn the_list_is_bounded() {
        let events = Events::new(false);
        for n in 0..1000 {
            events.push(Event::Note { text: n.to_string() });
        }
        assert_eq!(events.next().unwrap().text(), (1000 - KEPT).to_string());
    }
}
