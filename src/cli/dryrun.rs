//! `gpkafka dryrun FILE`: everything that can be validated without a server, and the SQL that a load would run; with
//! `--connect` also what the servers say, in the steps of a load and without a trace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::callback::{Callback, callback};
use super::{DryrunArgs, Exit, console, files, sample, tried};
use crate::config::Job;
use crate::decode;
use crate::greenplum::{Chain, Connection, DeadLetters, Ledger, Settings, Target, Writes};
use crate::job::failure::Error;
use crate::job::positions::{self, Begun, Known};
use crate::job::{resolve, run};
use crate::kafka::{Consumer, Watermarks};
use crate::offset::Checkpoint;
use crate::units;

/// How long the brokers may take with `--connect`.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Prints the SQL; with `--connect` asks database and brokers too.
///
/// # Errors
/// 64 for a wrong file, 1 for what a server says; the SQL that is known without it is printed all the same.
pub fn run(args: &DryrunArgs) -> Result<(), Exit> {
    let (mut job, warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref(), &mut job)?;
    let Callback { host, gpfdist, warning } = callback(&args.gpfdist, &job, server_file.as_ref())?;
    let mut settings = job.greenplum_settings();
    settings.is_gpfdists = gpfdist.tls.is_some();
    let dryrun = Dryrun { job: &job, settings: &settings, host: &host, port: gpfdist.port };
    for warning in warnings.iter().chain(&server_warnings).chain(&warning) {
        console::print(&format!("-- warning: {warning}\n"))?;
    }
    if !args.connect {
        return console::print(&dryrun.offline());
    }
    match dryrun.connected() {
        Ok(text) => console::print(&text),
        Err(error) => console::print(&dryrun.offline()).and(Err(Exit::failed(error))),
    }
}

fn line(text: &mut String, line: &str) {
    // writing to a String cannot fail
    let _infallible = writeln!(text, "{line}");
}

/// What becomes of JSON documents on the way.
fn documents(writes: &Writes) -> String {
    let mut text = String::new();
    for taken in writes.taken() {
        let written: Vec<String> = taken.written().collect();
        line(&mut text, &format!("-- {} is taken apart by the loader: {}", taken.document, written.join(", ")));
    }
    for left in writes.left() {
        line(&mut text, &format!("-- {} is left to the database to parse: {}", left.document, left.why));
    }
    text
}

/// A job, and where its segments would call.
pub(super) struct Dryrun<'a> {
    pub job: &'a Job,
    pub settings: &'a Settings,
    pub host: &'a str,
    pub port: u16,
}

impl Dryrun<'_> {
    pub fn offline(&self) -> String {
        let writes = Writes::unchecked(self.settings).filter(|_| self.settings.columns.is_some());
        let mut text = self.heading();
        match writes {
            Some(writes) => text.push_str(&self.statements(&writes, true)),
            None => line(&mut text, "\n-- COLUMNS are the target's own: --connect looks them up and shows the rest"),
        }
        text
    }

    fn heading(&self) -> String {
        let job = self.job;
        let mut text = String::new();
        line(&mut text, &format!("-- job {}", run::identity(job).hash()));
        line(&mut text, &format!("-- topic {} at {} into {}", job.source.topic, job.source.brokers, job.target()));
        text
    }

    /// The statements of a load, in their order.
    fn statements(&self, writes: &Writes, is_greenplum: bool) -> String {
        let metadata = self.settings.metadata_schema();
        let definition = resolve::definition(self.job, self.settings, &writes.columns(), self.host, self.port);
        let definition = definition.on(is_greenplum);
        let database = if is_greenplum { "Greenplum" } else { "PostgreSQL" };
        let mut text = documents(writes);
        line(&mut text, "\n-- once: the ledger of committed offsets");
        line(&mut text, &format!("{};", Ledger::create_sql(metadata, is_greenplum).trim_end()));
        if let Some(table) = &self.settings.dead_letters {
            line(&mut text, "\n-- once: the table of refused records");
            line(&mut text, &format!("{};", DeadLetters::create_sql(table, is_greenplum)));
        }
        line(&mut text, &format!("\n-- once per definition: the external table ({database})"));
        line(&mut text, &format!("{};", definition.sql(is_greenplum).trim_end()));
        let tables = writes.tables(is_greenplum);
        if !tables.is_empty() {
            line(&mut text, "\n-- once per session: what rows pass on their way");
        }
        for table in tables {
            line(&mut text, &format!("{table};"));
        }
        line(&mut text, "\n-- each batch");
        line(&mut text, "BEGIN;");
        for statement in writes.statements(&definition.table()) {
            line(&mut text, &format!("{statement};"));
        }
        if let Some(table) = &self.settings.dead_letters {
            line(&mut text, &format!("-- what was refused of it, read from Kafka again, into {table};"));
            line(&mut text, "-- if that is a statement's rows, the batch is loaded again through a temporary table");
        }
        line(&mut text, "-- rows sent = inserted + rejected, or the batch fails; then the offsets, a row a partition");
        let [append, before] = Ledger::append_sql(metadata);
        line(&mut text, &format!("{};", append.trim_end()));
        line(&mut text, "-- the rows before them must be the ones that this load knows");
        line(&mut text, &format!("{};", before.trim_end()));
        line(&mut text, "COMMIT;");
        text
    }

    /// All of it with the servers' own knowledge, and where a load would go on.
    fn connected(&self) -> Result<String, Error> {
        let mut connection = Connection::open(self.settings, "gpkafka dryrun")?;
        let mut settings = self.settings.clone();
        settings.suit(&connection);
        let targets = Target::describe(&mut connection, &settings)?;
        let writes = Writes::new(&targets, &settings)?;
        let definition = resolve::definition(self.job, &settings, &writes.columns(), self.host, self.port);
        definition.check(connection.dialect().is_greenplum())?;
        let decoding = resolve::decode_settings(self.job, &writes)?;
        if let Some(program) = self.job.transform_program()? {
            program.start()?;
        }
        if let Some(table) = &self.settings.dead_letters {
            DeadLetters::new(table, &run::identity(self.job)).check(&mut connection)?;
        }
        let plans = writes.try_out(&mut connection)?;
        let chain = tried::history(self.job, self.settings, &mut connection)?;
        let mut text = self.heading();
        // what was found out comes before pages of SQL
        text.push_str(&self.topic(&chain, decoding)?);
        line(&mut text, "");
        text.push_str(&self.statements(&writes, connection.dialect().is_greenplum()));
        for (doing, plan) in plans {
            line(&mut text, &format!("\n-- EXPLAIN at the database: {doing}"));
            for row in plan {
                line(&mut text, &format!("--   {row}"));
            }
        }
        Ok(text)
    }

    /// Where each partition would go on, and what would become of the newest records.
    fn topic(&self, chain: &Chain, decoding: decode::Settings) -> Result<String, Error> {
        let consumer = Consumer::connect(&self.job.kafka_settings(sample::BYTES_MAX, 1))?;
        let topic = consumer.topic(KAFKA_WAIT)?;
        let partitions = resolve::wanted(self.job, &topic.partitions)?;
        let watermarks = consumer.watermarks(&partitions, KAFKA_WAIT)?;
        let known = Known {
            topic: &topic.name,
            topic_id: topic.id.as_deref(),
            chain,
            begun: &Begun::default(),
            watermarks: &watermarks,
            fallback: self.job.source.fallback_offset,
        };
        let positions = positions::resume(&known)?;
        let told = self.told(&positions.starts, &watermarks);
        Ok(told + &self.tried(&consumer, &watermarks, decoding)?)
    }

    /// What a slip in the file would do in silence.
    fn tried(
        &self,
        consumer: &Consumer,
        watermarks: &BTreeMap<i32, Watermarks>,
        decoding: decode::Settings,
    ) -> Result<String, Error> {
        let mut text = String::new();
        let Some(tried) = tried::newest(self.job, consumer, watermarks, decoding)? else {
            line(&mut text, "-- no record is tried: TRANSFORMER would see it first");
            return Ok(text);
        };
        let trial = tried.trial;
        if trial.records > 0 {
            let (records, rows) = (trial.records, units::counted(trial.rows as u64, "row"));
            line(
                &mut text,
                &format!(
                    "-- tried with the newest records: {rows} of {records}; types and mappings are the database's to try: bench --to table"
                ),
            );
        }
        for warning in trial.warnings() {
            line(&mut text, &format!("-- warning: {warning}"));
        }
        Ok(text)
    }

    fn told(&self, starts: &Checkpoint, watermarks: &BTreeMap<i32, Watermarks>) -> String {
        let mut text = String::new();
        let next = |partition: i32, marks: &Watermarks| starts.get(partition).unwrap_or(marks.low);
        let left: i64 = watermarks.iter().map(|(&partition, marks)| marks.high - next(partition, marks)).sum();
        let topic = &self.job.source.topic;
        let partitions = units::counted(watermarks.len() as u64, "partition");
        let records = units::counted(left.unsigned_abs(), "record");
        line(&mut text, &format!("-- topic {topic}: {partitions}, {records} to load"));
        for (&partition, marks) in watermarks {
            let next = next(partition, marks);
            line(&mut text, &format!("--   partition {partition} goes on at offset {next} of {}", marks.high));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_statements_of_a_load() {
        let text = include_bytes!("../config/samples/t1_csv.yaml").to_vec();
        let job = crate::config::parse(Path::new("t1.yaml"), text, &Default::default()).unwrap();
        let settings = job.greenplum_settings();
        let plan = Dryrun { job: &job, settings: &settings, host: "etl1", port: 8080 }.offline();
        expect_file!["dryrun.txt"].assert_eq(&plan);
    }
}
