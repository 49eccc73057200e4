//! `gpkafka check FILE --verify`: proves what was committed, from the ledger, against the topic, and against the target
//! where that keeps partition and offset. Only looks; a load may run meanwhile.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Exit, check, console};
use crate::config::Job;
use crate::greenplum::{Connection, Error, JobId, Ledger};
use crate::job::proof::{Findings, Part, Proof, table, topic};
use crate::kafka::{self, Consumer, Watermarks};
use crate::units::counted;

/// How long the brokers may take: without them half the proof is missing.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Prints what each partition's commits come to, and then a line for each thing that was proved, does not hold or could not
/// be looked at.
///
/// # Errors
/// 1: something does not hold, or topic, ledger or table cannot be asked.
pub(super) fn run(
    (job, id): (&Job, &JobId),
    ledger: &Ledger,
    connection: &mut Connection,
    head: &str,
) -> Result<(), Exit> {
    let mut findings = Findings::default();
    connection.begin_snapshot().map_err(Exit::failed)?;
    let parts = walked(ledger, connection, id, &mut findings).map_err(Exit::failed)?;
    let found = against_tables(job, (ledger, id), connection, &parts, &mut findings);
    connection.end_snapshot().map_err(Exit::failed)?;
    found.map_err(Exit::failed)?;
    // after the ledger: positions only move towards the topic's end
    let brokers = marks(job);
    if let Ok((id, marks)) = &brokers {
        let is_wanted = |partition| check::is_wanted(job, partition);
        topic::check(&parts, id.as_deref(), marks, &is_wanted, &mut findings);
    }
    let marks = brokers.as_ref().map(|(_, marks)| marks.clone()).unwrap_or_default();
    console::print(&shown(head, &parts, &marks, &findings))?;
    match (findings.count(), brokers) {
        (0, Ok(_)) => Ok(()),
        (0, Err(error)) => Err(Exit::failed(format!("nothing could be proved against the topic: {error}"))),
        (count, _) => Err(Exit::failed(format!("{} not hold", does(count)))),
    }
}

fn walked(
    ledger: &Ledger,
    connection: &mut Connection,
    id: &JobId,
    findings: &mut Findings,
) -> Result<BTreeMap<i32, Part>, Error> {
    let mut proof = Proof::default();
    ledger.walk(connection, id, &mut |row| proof.take(&row))?;
    Ok(proof.end(findings))
}

/// A table that cannot be counted is no reason to say nothing of the others.
fn against_tables(
    job: &Job,
    (ledger, id): (&Ledger, &JobId),
    connection: &mut Connection,
    parts: &BTreeMap<i32, Part>,
    findings: &mut Findings,
) -> Result<(), Error> {
    let others = ledger.other_topics(connection, id)?;
    let stretches = table::stretches(parts);
    for terms in table::terms(job) {
        let terms = match terms {
            Ok(terms) => terms,
            Err(why) => {
                findings.unproved.push(why);
                continue;
            }
        };
        if terms.place.topic.is_none() && !others.is_empty() && terms.place.target == *job.target() {
            let (target, others) = (&terms.place.target, others.join(", "));
            let text =
                format!("the rows of {target}: no column of it holds META's topic, and {others} is loaded into it too");
            findings.unproved.push(text);
            continue;
        }
        match terms.place.count(connection, &stretches) {
            Ok(seen) => table::judge(&terms, parts, &seen, findings),
            Err(error @ Error::Sql { .. }) => findings.unproved.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The topic's id, and what it has in all of its partitions: other loads of the job may have those that this one has not.
fn marks(job: &Job) -> Result<(Option<String>, BTreeMap<i32, Watermarks>), kafka::Error> {
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1))?;
    let topic = consumer.topic(KAFKA_WAIT)?;
    let marks = consumer.watermarks(&topic.partitions, KAFKA_WAIT)?;
    Ok((topic.id, marks))
}

/// Sums of each partition by the ledger's own names; `-` is not known.
const HEAD: [&str; 15] = [
    "PartitionID",
    "Commits",
    "BeginOffset",
    "EndOffset",
    "Expired",
    "Records",
    "Holes",
    "Decoded",
    "Refused",
    "Dropped",
    "Rows",
    "Inserted",
    "Rejected",
    "Filtered",
    "Lag",
];

fn shown(head: &str, parts: &BTreeMap<i32, Part>, marks: &BTreeMap<i32, Watermarks>, findings: &Findings) -> String {
    let mut cells = vec![HEAD.map(str::to_owned)];
    for (partition, part) in parts {
        let account = &part.account;
        let lag = marks.get(partition).map(|marks| (marks.high - part.next).max(0));
        let or_unknown = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        cells.push([
            partition.to_string(),
            (part.last_seq - part.first_seq + 1).to_string(),
            part.first.to_string(),
            part.next.to_string(),
            part.skipped.to_string(),
            account.records.to_string(),
            account.holes.to_string(),
            account.decoded.to_string(),
            account.refused.to_string(),
            account.dropped.to_string(),
            or_unknown(account.rows),
            account.inserted.to_string(),
            account.rejected.to_string(),
            account.filtered.to_string(),
            or_unknown(lag),
        ]);
    }
    let mut text = format!("{head}{}", check::aligned(&cells));
    for (what, lines) in
        [("proved", &findings.proved), ("not proved", &findings.unproved), ("DOES NOT HOLD", &findings.wrong)]
    {
        for line in lines {
            // writing to a String cannot fail
            let _infallible = writeln!(text, "{what:13}  {}", crate::line::escaped(line));
        }
    }
    if findings.wrong_more > 0 {
        let _infallible = writeln!(text, "and {} more that do not hold", crate::units::count(findings.wrong_more));
    }
    text
}

fn does(count: u64) -> String {
    format!("{} {}", counted(count, "thing"), if count == 1 { "does" } else { "do" })
}
