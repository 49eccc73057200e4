//! One test's own schema, topic and job file: what the acceptance tests are written with.

use crate::harness::{Database, Job, Kafka, Kind, Loader, Outcome, Topic, Version, kafka};

/// A schema and a topic, and job files that join them.
pub struct Case<'a> {
    pub db: &'a Database,
    pub schema: String,
    pub topic: Topic<'a>,
    /// What a warning of this case may say; any other WARNING or ERROR line fails it.
    pub announced: &'static [&'static str],
}

impl<'a> Case<'a> {
    /// On the current Kafka.
    pub fn new(db: &'a Database, name: &str, partitions: i32) -> Self {
        Self::on(db, kafka(Version::V4_1_1), name, partitions)
    }

    /// On a broker of one's choice.
    pub fn on(db: &'a Database, kafka: &'a Kafka, name: &str, partitions: i32) -> Self {
        // PostgreSQL counts less than Greenplum does, and a load with an ERROR_LIMIT says so.
        let announced: &[&str] = if db.kind == Kind::Postgres { &["ERROR_LIMIT"] } else { &[] };
        Self { db, schema: db.schema(name), topic: kafka.topic(name, partitions), announced }
    }

    /// Makes a table in the case's schema: `table("orders (id int, note text)", "id")`.
    pub fn table(&self, definition: &str, distributed_by: &str) {
        let distribution = self.db.distributed_by(distributed_by);
        self.db.execute(&format!("CREATE TABLE {}.{definition} {distribution}", self.schema));
    }

    /// A job file: the connection block, then this text with BROKERS, TOPIC and SCHEMA filled in.
    pub fn job(&self, text: &str) -> String {
        let text = text.replace("$BROKERS", &self.topic.kafka.bootstrap).replace("$TOPIC", &self.topic.name);
        format!("{}{}", self.db.yaml(), text.replace("$SCHEMA", &self.schema))
    }

    /// A job file into a table of the case, put together from its parts.
    pub fn job_into(&self, table: &str, columns: &str) -> Job {
        Job::new(self.db, &self.topic, &self.schema, table, columns).commit("MINIMAL_INTERVAL: 500")
    }

    /// Loads to the end of the topic.
    pub fn load(&self, job: &str) -> Outcome {
        self.load_with(job, &[])
    }

    /// Loads to the end of the topic, with more flags.
    pub fn load_with(&self, job: &str, flags: &[&str]) -> Outcome {
        let outcome = Loader::load(job).args(["--quit-at-eof"]).args(flags.iter().copied()).run();
        outcome.expect_code(0).expect_calm(self.announced)
    }

    /// Rows of a query in which `$SCHEMA` stands for the case's schema.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.db.rows(&sql.replace("$SCHEMA", &self.schema))
    }

    /// Rows of a table.
    pub fn count(&self, table: &str) -> i64 {
        self.db.number(&format!("SELECT count(*) FROM {}.{table}", self.schema))
    }
}
