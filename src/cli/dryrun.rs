//! `gpkafka dryrun FILE`: everything that can be validated without a server, and the SQL that a load would run.

use std::fmt::Write as _;
use std::time::Duration;

use super::{DryrunArgs, Exit, console, files, load};
use crate::config::Job;
use crate::greenplum::{Connection, Definition, Insert, Ledger, Partitions, Settings, Target};
use crate::job::run;
use crate::kafka::Consumer;

/// How long the brokers may take with `--connect`.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Prints the SQL; with `--connect` asks database and brokers too.
///
/// # Errors
/// 64 for a wrong file, 1 for what a server says.
pub fn run(args: &DryrunArgs) -> Result<(), Exit> {
    let (job, warnings) = files::job(&args.file)?;
    let (server_file, server_warnings) = files::server(args.gpfdist.config.as_deref())?;
    let (host, gpfdist) = load::callback(&args.gpfdist, &job, server_file.as_ref());
    let host = host.unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned());
    let settings = job.greenplum_settings();
    let mut text = String::new();
    for warning in warnings.iter().chain(&server_warnings) {
        line(&mut text, &format!("-- warning: {warning}"));
    }
    text.push_str(&plan(&job, &settings, &host, gpfdist.port));
    if args.connect {
        text.push_str(&connect(&job, &settings)?);
    }
    console::print(&text)
}

fn line(text: &mut String, line: &str) {
    // writing to a String cannot fail
    let _infallible = writeln!(text, "{line}");
}

/// The statements of a load, in their order.
fn plan(job: &Job, settings: &Settings, host: &str, port: u16) -> String {
    let id = run::identity(job);
    let mut text = String::new();
    line(&mut text, &format!("-- job {}", id.hash()));
    line(&mut text, &format!("-- topic {} at {} into {}", job.source.topic, job.source.brokers, job.target));
    line(&mut text, "\n-- once: the ledger of committed offsets");
    line(&mut text, &format!("{};", Ledger::create_sql(settings.metadata_schema(), true).trim_end()));
    let (Some(insert), Some(columns)) = (Insert::unchecked(settings), &settings.columns) else {
        line(&mut text, "\n-- COLUMNS are the target's own: --connect looks them up and shows the rest");
        return text;
    };
    let definition = definition(job, settings, columns.clone(), host, port);
    line(&mut text, "\n-- once per definition: the external table (Greenplum)");
    line(&mut text, &format!("{};", definition.sql(true).trim_end()));
    line(&mut text, "\n-- each batch");
    line(&mut text, "BEGIN;");
    line(&mut text, &format!("{};", insert.sql(&definition.table())));
    line(
        &mut text,
        "-- rows sent = inserted + rejected is checked, the ledger rows are appended and their chain checked",
    );
    line(&mut text, "COMMIT;");
    text
}

fn definition(job: &Job, settings: &Settings, columns: Vec<crate::table::Column>, host: &str, port: u16) -> Definition {
    Definition::new(&run::identity(job), &Partitions::All, settings, &columns, host, port)
}

/// What the servers say: the target, the INSERT, the topic.
fn connect(job: &Job, settings: &Settings) -> Result<String, Exit> {
    let mut text = String::new();
    let mut connection = Connection::open(settings, "gpkafka dryrun").map_err(Exit::failed)?;
    let target = Target::describe(&mut connection, settings).map_err(Exit::failed)?;
    let insert = Insert::new(&target, settings).map_err(Exit::failed)?;
    let plan = insert.try_out(&mut connection).map_err(Exit::failed)?;
    line(&mut text, "\n-- EXPLAIN of the INSERT at the database");
    for row in plan {
        line(&mut text, &format!("--   {row}"));
    }
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1)).map_err(Exit::failed)?;
    let topic = consumer.topic(KAFKA_WAIT).map_err(Exit::failed)?;
    let marks = consumer.watermarks(&topic.partitions, KAFKA_WAIT).map_err(Exit::failed)?;
    let records: i64 = marks.values().map(|marks| marks.high - marks.low).sum();
    line(
        &mut text,
        &format!("\n-- topic {}: {} partitions, about {records} records", job.source.topic, topic.partitions.len()),
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;

    use super::*;

    #[test]
    fn the_statements_of_a_load() {
        let text = include_bytes!("../config/samples/t1_csv.yaml").to_vec();
        let job = crate::config::parse(Path::new("t1.yaml"), text, &Default::default()).unwrap();
        let plan = plan(&job, &job.greenplum_settings(), "etl1", 8080);
        expect![[r#"
            -- job 03cd574a15d923eb0bc609d16321ae26
            -- topic topic_for_gpkafka at localhost:9092 into "public"."data_from_kafka"

            -- once: the ledger of committed offsets
            CREATE TABLE "public"."gpkafka_ledger" (
                job          text NOT NULL,
                "partition"  integer NOT NULL,
                seq          bigint NOT NULL,
                kind         text NOT NULL,
                first        bigint NOT NULL,
                next         bigint NOT NULL,
                topic_id     text,
                leader_epoch integer,
                batch        bigint NOT NULL,
                inserted     bigint NOT NULL,
                rejected     bigint NOT NULL,
                filtered     bigint NOT NULL,
                bytes        bigint NOT NULL,
                started_at   timestamp with time zone NOT NULL,
                ended_at     timestamp with time zone NOT NULL,
                instance     text NOT NULL,
                host         text NOT NULL,
                pid          integer NOT NULL,
                os_user      text NOT NULL,
                topic        text NOT NULL,
                database     text NOT NULL,
                schema       text NOT NULL,
                "table"      text NOT NULL,
                UNIQUE (job, "partition", seq)
            )
            DISTRIBUTED BY (job);

            -- once per definition: the external table (Greenplum)
            CREATE EXTERNAL TABLE "public"."gpkafkaloadext_517fc9f959076b267320eb0eba156b0c" (
                "cust_id" int,
                "expenses" decimal(9,2)
            )
            LOCATION ('gpfdist://etl1:8080/v1/03cd574a15d923eb0bc609d16321ae26/all/<token>')
            FORMAT 'TEXT' (DELIMITER E'\t' NULL '\N' ESCAPE '\' NEWLINE 'LF')
            ENCODING 'UTF8'
            LOG ERRORS SEGMENT REJECT LIMIT 2147483647 ROWS;

            -- each batch
            BEGIN;
            INSERT INTO "public"."data_from_kafka" ("customer_id", "expenses", "tax_due")
            SELECT "cust_id",
                   "expenses",
                   expenses * .0725
              FROM "public"."gpkafkaloadext_517fc9f959076b267320eb0eba156b0c" AS ext;
            -- rows sent = inserted + rejected is checked, the ledger rows are appended and their chain checked
            COMMIT;
        "#]]
        .assert_eq(&plan);
    }
}
