//! What a job says about its Kafka side, and how it becomes librdkafka's configuration.
//!
//! Three kinds of properties: those the guarantee rests on (fixed: another value is refused, or ignored where files of
//! the original carry it without meaning by it what it would do here), those with a default of ours, and the rest,
//! which go through as written.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::{Error, ffi};

/// Where records come from.
#[derive(Clone)]
pub struct Settings {
    /// `host[:port]`, several separated by commas; the port defaults to 9092.
    pub brokers: String,
    pub topic: String,
    /// librdkafka properties as the user gave them.
    pub properties: BTreeMap<String, String>,
    /// Bytes that librdkafka may hold in fetched records, over all partitions.
    pub queue_bytes: usize,
    /// How many [`super::RecordQueue`]s share those bytes.
    pub workers: usize,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("brokers", &self.brokers)
            .field("topic", &self.topic)
            .field("properties", &WithoutSecrets(&self.properties))
            .field("queue_bytes", &self.queue_bytes)
            .field("workers", &self.workers)
            .finish()
    }
}

/// Properties as a picture of them may have them: passwords and keys are left out.
pub struct WithoutSecrets<'a>(pub &'a BTreeMap<String, String>);

impl fmt::Debug for WithoutSecrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &'_ str, value: &'_ str| if is_secret(name) { "…".to_owned() } else { value.to_owned() };
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

/// Whether the value of a property is nobody's to see, also where the name is mistyped.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "pasw", "secret", "key.pem", "jaas", "oauthbearer"].iter().any(|part| name.contains(part))
}

/// A property of the user's that has no effect here, and why. Worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    pub name: String,
    pub why: &'static str,
}

/// Fixed, and refused with another value: the load would not be exactly once.
const REQUIRED: [(&str, &str); 1] = [("isolation.level", "read_committed")];

/// Fixed, and passed over with another value: positions are kept in the database and nowhere else, so these cannot
/// mean anything here, but files written for the original carry them.
const FIXED: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

/// Passed over: said elsewhere in the file, or about group membership, which is never entered.
const WITHOUT_EFFECT: [(&str, &str); 8] = [
    ("bootstrap.servers", "BROKERS says it"),
    ("metadata.broker.list", "BROKERS says it"),
    ("auto.commit.interval.ms", POSITIONS),
    ("offset.store.method", POSITIONS),
    ("group.protocol", MEMBERSHIP),
    ("group.instance.id", MEMBERSHIP),
    ("partition.assignment.strategy", MEMBERSHIP),
    ("log.queue", "the log of this client goes to the job's log"),
];

const POSITIONS: &str = "positions are kept in the database";
const MEMBERSHIP: &str = "partitions are assigned by the job itself, not by a consumer group";

/// What librdkafka needs for a record beside its bytes, measured (320) and rounded up.
const RECORD_OVERHEAD: usize = 400;

impl Settings {
    /// librdkafka's configuration, and the properties that it does not contain.
    pub(super) fn configuration(&self) -> Result<(ClientConfig, Vec<Ignored>), Error> {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in self.defaults() {
            config.set(name, value);
        }
        let mut ignored = Vec::new();
        for (name, value) in &self.properties {
            match ruling(name, value)? {
                Some(why) => ignored.push(Ignored { name: name.clone(), why }),
                None => {
                    config.set(name, value);
                }
            }
        }
        for (name, value) in REQUIRED.into_iter().chain(FIXED) {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.create_native_config().map_err(property_error)?;
        Ok((config, ignored))
    }

    /// The consumer group that the user named.
    pub(super) fn group(&self) -> Option<String> {
        self.properties.get("group.id").cloned()
    }

    /// Who the brokers take us for, as their rules name it by default. Where a certificate says it, they know better.
    pub(super) fn principal(&self) -> String {
        let value = |name: &str| self.properties.get(name).map(String::as_str);
        let protocol = value("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let mechanism = value("sasl.mechanism").or(value("sasl.mechanisms")).unwrap_or("GSSAPI");
        let name = match (protocol.as_str(), mechanism) {
            ("plaintext", _) => "ANONYMOUS",
            ("ssl", _) => "(the subject of its certificate)",
            (_, "GSSAPI") => {
                let principal = value("sasl.kerberos.principal").unwrap_or("kafkaclient");
                principal.split(['/', '@']).next().unwrap_or(principal)
            }
            _ => value("sasl.username").unwrap_or("(the name in its token)"),
        };
        format!("User:{name}")
    }

    /// Whether the brokers are told to be too old for requests that leave a missing topic missing.
    pub(super) fn may_create_topics(&self) -> bool {
        self.properties.get("api.version.request").is_some_and(|value| value == "false")
    }

    /// Ours, unless the user says otherwise.
    ///
    /// A quarter of the bytes is for responses in flight, three eighths each for record bytes and for librdkafka's own
    /// per-record cost. librdkafka measures the queue that a partition is forwarded to, so limits are per worker.
    fn defaults(&self) -> [(&'static str, String); 12] {
        let workers = self.workers.max(1);
        let share = self.queue_bytes / 8;
        let queue_kbytes = (share * 3 / workers / 1024).clamp(256, 2_000_000);
        let queue_records = (share * 3 / workers / RECORD_OVERHEAD).clamp(1000, 10_000_000);
        // two brokers may each have a response under way; more of them seldom answer at once
        let fetch_bytes = share.clamp(1 << 20, 50 << 20);
        let partition_bytes = (share / 4).clamp(256 << 10, 1 << 20);
        [
            // needed by assign(), though no group is ever joined
            ("group.id", "gpkafka".to_owned()),
            ("client.id", "gpkafka".to_owned()),
            // a full queue otherwise idles for a whole second
            ("fetch.queue.backoff.ms", "2".to_owned()),
            // a rewind waits for the fetch under way, which waits so long where there is nothing new
            ("fetch.wait.max.ms", "100".to_owned()),
            // a new partition is to be found within 30 s
            ("topic.metadata.refresh.interval.ms", "10000".to_owned()),
            ("queued.min.messages", queue_records.to_string()),
            ("queued.max.messages.kbytes", queue_kbytes.to_string()),
            ("fetch.max.bytes", fetch_bytes.to_string()),
            ("fetch.message.max.bytes", partition_bytes.to_string()),
            // a connection that a firewall forgot is found out while nothing flows
            ("socket.keepalive.enable", "true".to_owned()),
            ("allow.auto.create.topics", "false".to_owned()),
            // bytes that a disk or a wire has changed would otherwise be loaded as data
            ("check.crcs", "true".to_owned()),
        ]
    }
}

/// Whether one property of a job file can be used, asked before there is a server to ask; `Some` says why it has no
/// effect.
///
/// # Errors
/// librdkafka doesn't know the name or the value, or the guarantee rests on another value.
pub fn check_property(name: &str, value: &str) -> Result<Option<&'static str>, Error> {
    let passed_over = ruling(name, value)?;
    if passed_over.is_none() {
        require_file(name, value)?;
        ClientConfig::new().set(name, value).create_native_config().map_err(property_error)?;
    }
    Ok(passed_over)
}

/// Where a property names a file, it must be there; librdkafka would tell it with a number of OpenSSL's.
fn require_file(name: &str, value: &str) -> Result<(), Error> {
    let names_file = (name.ends_with(".location") && value != "probe") || name == "sasl.kerberos.keytab";
    if !names_file || value.is_empty() || std::path::Path::new(value).exists() {
        return Ok(());
    }
    Err(Error::Property { name: name.to_owned(), cause: format!("there is no file {value} on this machine") })
}

/// Whether the properties of a job file go together: librdkafka says so when a client is made, which speaks to nobody
/// until it is asked to.
///
/// # Errors
/// [`Error::Client`] with librdkafka's words.
///
/// # Blocks
/// Some milliseconds, and not at all without security properties: no others depend on each other.
pub fn check_properties(properties: &BTreeMap<String, String>) -> Result<(), Error> {
    let is_joint = |name: &String| ["ssl.", "sasl.", "security.", "https."].iter().any(|part| name.starts_with(part));
    if !properties.keys().any(is_joint) {
        return Ok(());
    }
    let settings = Settings {
        brokers: "localhost:0".to_owned(),
        topic: String::new(),
        properties: properties.clone(),
        queue_bytes: 0,
        workers: 1,
    };
    let (config, _) = settings.configuration()?;
    config.create::<rdkafka::consumer::BaseConsumer>().map(drop).map_err(property_error)
}

/// Why a property is passed over, if it is.
fn ruling(name: &str, value: &str) -> Result<Option<&'static str>, Error> {
    if let Some((_, fixed)) = REQUIRED.iter().find(|(known, _)| *known == name)
        && *fixed != value
    {
        let cause = format!("\"{value}\" would load records of aborted transactions; only \"{fixed}\" is possible");
        return Err(Error::Property { name: name.to_owned(), cause });
    }
    if let Some((_, fixed)) = FIXED.iter().find(|(known, _)| *known == name) {
        return Ok((*fixed != value).then_some(POSITIONS));
    }
    Ok(WITHOUT_EFFECT.iter().find(|(known, _)| *known == name).map(|(_, why)| *why))
}

/// librdkafka's complaint about a property, with the nearest name if it knows none such.
pub(super) fn property_error(error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, cause, name, value) => {
            let cause = cause.trim_end_matches('.').to_owned();
            let cause = match nearest_property(&name) {
                _ if !cause.contains("No such configuration property") && is_secret(&name) => cause,
                _ if !cause.contains("No such configuration property") => format!("\"{value}\": {cause}"),
                Some(nearest) => format!("librdkafka knows no such property; did you mean {nearest}?"),
                None => "librdkafka knows no such property".to_owned(),
            };
            Error::Property { name, cause }
        }
        KafkaError::ClientCreation(cause) => Error::Client { cause },
        other => Error::Client { cause: other.to_string() },
    }
}

fn nearest_property(name: &str) -> Option<String> {
    nearest(name, ffi::property_names())
}

/// The name that reads most like this one, if any is near.
pub(super) fn nearest(name: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    /// Below it two names have little in common; the value that spell checkers take.
    const ALIKE: f64 = 0.8;
    names
        .into_iter()
        .map(|known| (strsim::jaro_winkler(name, &known), known))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_a_picture() {
        let secret = ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.config", "sasl.pasword"];
        let mut given = settings(&secret.map(|name| (name, "sesame")));
        given.properties.insert("sasl.username".to_owned(), "etl".to_owned());
        let shown = format!("{given:?}");
        assert!(!shown.contains("sesame") && shown.contains("sasl.pasword") && shown.contains("\"etl\""), "{shown}");
    }

    fn settings(properties: &[(&str, &str)]) -> Settings {
        Settings {
            brokers: "127.0.0.1:1".to_owned(),
            topic: "t".to_owned(),
            properties: properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            queue_bytes: 64 << 20,
            workers: 2,
        }
    }

    #[test]
    fn what_the_guarantee_rests_on_cannot_be_changed() {
        let (config, ignored) = settings(&[
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "true"),
            ("enable.partition.eof", "true"),
            ("group.id", "mine"),
            ("session.timeout.ms", "10000"),
        ])
        .configuration()
        .unwrap();
        let names: Vec<_> = ignored.iter().map(|ignored| ignored.name.as_str()).collect();
        assert_eq!(names, ["auto.offset.reset", "enable.auto.commit"]);
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("group.id"), Some("mine"));
        assert_eq!(config.get("isolation.level"), Some("read_committed"));

        let error = settings(&[("isolation.level", "read_uncommitted")]).configuration().unwrap_err();
        assert!(error.to_string().starts_with("property isolation.level: \"read_uncommitted\" would load"));
    }

    #[test]
    fn checksums_are_looked_at_unless_the_user_says_otherwise() {
        let check = |properties| settings(properties).configuration().unwrap().0.get("check.crcs").map(str::to_owned);
        assert_eq!(check(&[]).as_deref(), Some("true"));
        assert_eq!(check(&[("check.crcs", "false")]).as_deref(), Some("false"));
    }

    #[test]
    fn mistakes_name_the_property() {
        let text = |name, value| settings(&[(name, value)]).configuration().unwrap_err().to_string();
        assert_eq!(
            text("security.protocl", "ssl"),
            "property security.protocl: librdkafka knows no such property; did you mean security.protocol?"
        );
        let bad = text("fetch.wait.max.ms", "soon");
        assert!(bad.starts_with("property fetch.wait.max.ms: \"soon\": Invalid value"), "{bad}");
        assert!(text("api.version.request", "maybe").starts_with("property api.version.request:"));
    }

    #[test]
    fn old_brokers_settings_go_through() {
        let old = settings(&[("api.version.request", "false"), ("broker.version.fallback", "0.10.0")]);
        let (config, ignored) = old.configuration().unwrap();
        assert_eq!(config.get("broker.version.fallback"), Some("0.10.0"));
        assert!(ignored.is_empty());
        assert!(old.may_create_topics());
    }

    #[test]
    fn limits_stay_inside_the_bytes_given() {
        for (queue_bytes, workers) in [(64 << 20, 1), (64 << 20, 2), (512 << 20, 4), (1 << 30, 16)] {
            let (config, _) = Settings { queue_bytes, workers, ..settings(&[]) }.configuration().unwrap();
            let number = |name| config.get(name).unwrap().parse::<usize>().unwrap();
            let queues = workers
                * (number("queued.max.messages.kbytes") * 1024 + number("queued.min.messages") * RECORD_OVERHEAD);
            let in_flight = 2 * number("fetch.max.bytes");
            assert!(queues + in_flight <= queue_bytes, "{queues} + {in_flight} of {queue_bytes}");
            assert!(number("fetch.message.max.bytes") <= number("fetch.max.bytes"));
        }
    }
}
