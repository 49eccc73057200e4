//! The brokers by the names that the cluster tells its clients to come to: what a client is given first is only the door.

use std::time::{Duration, Instant};

use super::{Consumer, Error};

/// A broker as its cluster advertises it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: u16,
}

impl Consumer {
    /// All brokers of the cluster that are up, by their ids.
    ///
    /// # Errors
    /// No broker answers within `wait`, or they refuse us.
    ///
    /// # Blocks
    /// Up to `wait`; some milliseconds when brokers are there.
    pub fn advertised(&self, wait: Duration) -> Result<Vec<Broker>, Error> {
        // old brokers make a topic that they are asked about
        let topic = (!self.lists_first).then_some(self.topic.as_str());
        let metadata = self.metadata(topic, Instant::now() + wait, wait)?;
        let broker = |one: &rdkafka::metadata::MetadataBroker| Broker {
            id: one.id(),
            host: one.host().to_owned(),
            port: u16::try_from(one.port()).unwrap_or_default(),
        };
        let mut brokers: Vec<Broker> = metadata.brokers().iter().map(broker).collect();
        brokers.sort_unstable();
        Ok(brokers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::{Cluster, DEADLINE};

    #[test]
    fn brokers_are_told_by_their_own_names() {
        let cluster = Cluster::new(2, 1);
        let brokers = cluster.connect().advertised(DEADLINE).unwrap();
        let shown: Vec<String> = brokers.iter().map(|broker| format!("{}:{}", broker.host, broker.port)).collect();
        assert_eq!(brokers.iter().map(|broker| broker.id).collect::<Vec<_>>(), [1, 2]);
        for address in shown {
            assert!(cluster.mock.bootstrap_servers().contains(&address), "{address}");
        }
    }
}
