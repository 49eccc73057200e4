//! What can go wrong between this process and the brokers, as one type; and which of it passes by itself.

/// An error of the Kafka side, with what to do about it in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A property that librdkafka does not know, whose value it refuses, or that would break exactly-once.
    #[error("property {name}: {cause}")]
    Property { name: String, cause: String },

    /// The client could not be made: usually properties that contradict each other, or a file that is missing.
    #[error("making a kafka client: {cause}")]
    Client { cause: String },

    /// No broker answered within the wait.
    #[error(
        "no kafka broker of {brokers} answered within {} s: {cause}; check BROKERS of the job file, and that the brokers run",
        .waited.as_secs()
    )]
    Unreachable { brokers: String, waited: std::time::Duration, cause: String },

    /// The brokers answered and said no.
    #[error("the kafka brokers {brokers} refuse us: {cause}; check the security properties and this user's rights")]
    Refused { brokers: String, cause: String },

    /// They know us, and we may not.
    #[error(
        "the kafka brokers {brokers} do not let {principal} {doing} topic \"{topic}\"; their administrator lets it with: \
         kafka-acls.sh --bootstrap-server {brokers} --add --allow-principal '{principal}' --operation Read --topic '{topic}'"
    )]
    Forbidden { brokers: String, principal: String, doing: &'static str, topic: String },

    /// The topic is not there.
    #[error("topic \"{topic}\" does not exist on {brokers}, which has {}{}", how_many(*.topics), did_you_mean(.nearest.as_deref()))]
    UnknownTopic { topic: String, brokers: String, topics: usize, nearest: Option<String> },

    /// A partition that was asked about is not there.
    #[error("topic \"{topic}\" has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },

    /// The brokers are too old for what was asked.
    #[error("{what}: these brokers cannot do that; {instead}")]
    Unsupported { what: String, instead: String },

    /// Offsets could not be read within the wait.
    #[error("reading offsets of topic \"{topic}\": {cause}")]
    Offsets { topic: String, cause: String },

    /// The consumer group's positions could not be read or set.
    #[error("{doing} of consumer group \"{group}\": {cause}")]
    Group { group: String, doing: &'static str, cause: String, passes: bool },

    /// A record that was read before could not be read again.
    #[error("reading {topic}[{partition}] again from offset {offset}: {cause}")]
    Unread { topic: String, partition: i32, offset: i64, cause: String, passes: bool },

    /// The assignment could not be set; nothing is assigned now.
    #[error("assigning partitions of topic \"{topic}\": {cause}")]
    Assign { topic: String, cause: String, passes: bool },
}

impl Error {
    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Offsets { .. }
                | Self::Group { passes: true, .. }
                | Self::Assign { passes: true, .. }
                | Self::Unread { passes: true, .. }
        )
    }
}

fn how_many(count: usize) -> String {
    match count {
        0 => "no topics that we may see".to_owned(),
        1 => "1 topic".to_owned(),
        n => format!("{n} topics"),
    }
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_topic_names_the_nearest() {
        let error = Error::UnknownTopic {
            topic: "ordrs".to_owned(),
            brokers: "etl:9092".to_owned(),
            topics: 12,
            nearest: Some("orders".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "topic \"ordrs\" does not exist on etl:9092, which has 12 topics; did you mean \"orders\"?"
        );
        assert!(!error.is_passing());
    }
}
