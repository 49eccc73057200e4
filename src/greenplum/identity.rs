//! Who loads what: the identity of a job, of one running loader, and the names that both bear in the database.

use std::fmt;

use md5::{Digest, Md5};

use super::failure::Error;
use crate::table::TableName;

/// A job: Kafka topic, database, schema and table, whatever the file, its format, its brokers or its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobId {
    topic: String,
    database: String,
    target: TableName,
    hash: String,
}

impl JobId {
    /// The identity of a load of `topic` into `target`.
    pub fn new(topic: &str, database: &str, target: &TableName) -> Self {
        let hash = md5_of(&[topic, database, target.schema.as_str(), target.table.as_str()]);
        Self { topic: topic.to_owned(), database: database.to_owned(), target: target.clone(), hash }
    }

    /// 32 hex digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The Kafka topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The database of the target.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The target.
    pub fn target(&self) -> &TableName {
        &self.target
    }

    /// First key of the job's advisory locks; the second is the partition.
    pub(super) fn lock_key(&self) -> i32 {
        let digits = u32::from_str_radix(&self.hash[..8], 16).expect("a hash is hex digits");
        digits.cast_signed()
    }

    /// What every session of a loader of this job is called, at most 57 of the 63 bytes that a name may have.
    pub fn application_name(&self, instance: &Instance) -> String {
        format!("gpkafka:{}:{instance}", self.hash)
    }
}

/// One running loader, never two: 16 random hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(String);

impl Instance {
    /// A new one.
    ///
    /// # Errors
    /// The operating system has no random numbers.
    pub fn random() -> Result<Self, Error> {
        Ok(Self(random_hex(8)?))
    }

    /// One of a given name, where a run is to be repeatable.
    #[cfg(test)]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// As the ledger holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A running loader as the ledger tells it to people.
#[derive(Debug, Clone)]
pub struct Loader {
    pub instance: Instance,
    pub host: String,
    pub pid: u32,
    pub os_user: String,
}

impl Loader {
    /// This process.
    pub fn this(instance: Instance) -> Self {
        Self {
            instance,
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            os_user: whoami::username().unwrap_or_else(|_| "unknown".to_owned()),
        }
    }
}

/// 2 × `bytes` hex digits that nobody can guess.
pub(super) fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| Error::Random { text: error.to_string() })?;
    Ok(hex(&random))
}

/// 32 hex digits over parts that cannot run into each other: each is led by its length.
pub(super) fn md5_of(parts: &[&str]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(format!("{}:{part}", part.len()));
    }
    hex(&md5.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Ident;

    fn table(schema: &str, table: &str) -> TableName {
        TableName { schema: Ident::exact(schema), table: Ident::exact(table) }
    }

    #[test]
    fn a_job_is_its_four_names_and_no_two_jobs_share_a_hash_by_their_joints() {
        let orders = JobId::new("orders", "db", &table("public", "orders"));
        assert_eq!(orders.hash(), JobId::new("orders", "db", &table("public", "orders")).hash());
        assert_eq!(orders.hash(), "bfc6c76adb02107052f2a7d876b12826");
        let shifted = JobId::new("order", "sdb", &table("public", "orders"));
        assert_ne!(orders.hash(), shifted.hash());
    }

    #[test]
    fn a_session_name_fits() {
        let name = JobId::new("t", "d", &table("s", "t")).application_name(&Instance::random().unwrap());
        assert_eq!(name.len(), 57);
        assert!(name.starts_with("gpkafka:"));
    }
}
