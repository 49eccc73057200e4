//! The checks of Kafka: brokers, the addresses that they advertise, the topic, what is left of it to load, and whether its
//! newest records are rows.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::tried::{self, Tried};
use super::super::{Exit, sample};
use super::database::Database;
use super::net::{self, Address};
use super::report::{Check, Report, Verdict};
use super::{Case, Urgency};
use crate::greenplum::{Chain, Writes};
use crate::job::positions::{self, Begun, Known, Positions};
use crate::job::resolve;
use crate::kafka::{Broker, Consumer, Topic, Watermarks};
use crate::units;

/// How long brokers may take, each of whom has taken a connection before.
const KAFKA_WAIT: Duration = Duration::from_secs(10);

/// The same where some cannot be reached: the answer comes from those that can.
const SHORT_WAIT: Duration = Duration::from_secs(3);

/// Names of the checks, in order.
const NAMES: [&str; 5] = ["brokers", "advertised", "topic", "offsets", "records"];

/// Makes them, as far as each has what it needs.
pub fn examine(case: &Case, database: &mut Database, report: &mut Report) -> Result<(), Exit> {
    let check = brokers(&case.job.source.brokers);
    let has_failed = check.has_failed();
    report.add(check)?;
    if has_failed {
        return report.skip(&NAMES[1..], NAMES[0]);
    }
    let connected = Consumer::connect(&case.job.kafka_settings(sample::BYTES_MAX, 1));
    let asked = connected.and_then(|consumer| consumer.advertised(KAFKA_WAIT).map(|brokers| (consumer, brokers)));
    let (consumer, brokers) = match asked {
        Ok(answer) => answer,
        Err(error) => {
            report.add(Check::failed(NAMES[1], error))?;
            return report.skip(&NAMES[2..], NAMES[1]);
        }
    };
    let addresses: Vec<Address> = brokers.iter().map(|broker| (broker.host.clone(), broker.port)).collect();
    let check = advertised(&brokers, &net::reach(&addresses));
    let all_reached = !check.has_failed();
    report.add(check)?;
    let (check, topic) = topic(case, &consumer, if all_reached { KAFKA_WAIT } else { SHORT_WAIT });
    report.add(check)?;
    let Some((topic, partitions)) = topic else { return report.skip(&NAMES[3..], NAMES[2]) };
    if !all_reached {
        return report.skip(&NAMES[3..], NAMES[1]);
    }
    if case.shutdown.urgency() != Urgency::None {
        return Ok(());
    }
    let marks = match consumer.watermarks(&partitions, KAFKA_WAIT) {
        Ok(marks) => marks,
        Err(error) => {
            report.add(Check::failed(NAMES[3], error))?;
            return report.skip(&NAMES[4..], NAMES[3]);
        }
    };
    report.add(offsets(case, database, &topic, &marks))?;
    report.add(records(case, database, &consumer, &marks))
}

fn brokers(written: &str) -> Check {
    let addresses = net::addresses(written);
    let answers = net::reach(&addresses);
    let mut check = Check::new(NAMES[0]);
    let any = answers.iter().any(Result::is_ok);
    for ((host, port), answer) in addresses.iter().zip(answers) {
        match answer {
            Ok(()) => check.say(Verdict::Ok, format!("{host}:{port} takes connections")),
            Err(why) => {
                let verdict = if any { Verdict::Warning } else { Verdict::Failed };
                check.say(verdict, format!("{host}:{port}: {why}"));
                check.advise(
                    "check BROKERS of the job file, that the brokers run, and firewalls between here and there",
                );
            }
        }
    }
    check
}

/// What a client is told to come to, after the first answer.
fn advertised(brokers: &[Broker], answers: &[Result<(), String>]) -> Check {
    let mut check = Check::new(NAMES[1]);
    for (Broker { id, host, port }, answer) in brokers.iter().zip(answers) {
        match answer {
            Ok(()) => check.say(Verdict::Ok, format!("broker {id} at {host}:{port} takes connections")),
            Err(why) => {
                check.say(Verdict::Failed, format!("broker {id} has clients come to {host}:{port}: {why}"));
                check.advise(
                    "advertised.listeners of that broker must name an address that this machine reaches; or have this \
                     machine resolve the name to one",
                );
            }
        }
    }
    if brokers.is_empty() {
        check.say(Verdict::Failed, "the cluster names no broker");
    }
    check
}

/// The topic, and which of its partitions the job loads.
fn topic(case: &Case, consumer: &Consumer, wait: Duration) -> (Check, Option<(Topic, Vec<i32>)>) {
    let topic = match consumer.topic(wait) {
        Ok(topic) => topic,
        Err(error) => return (Check::failed(NAMES[2], error), None),
    };
    let wanted = match resolve::wanted(&case.job, &topic.partitions) {
        Ok(wanted) => wanted,
        Err(error) => return (Check::failed(NAMES[2], error), None),
    };
    let mut check = Check::new(NAMES[2]);
    let count = units::counted(topic.partitions.len() as u64, "partition");
    let asked = case.job.source.partitions.as_ref();
    let of = asked.map_or_else(String::new, |_| format!(", of which the job loads {}", wanted.len()));
    check.say(Verdict::Ok, format!("{} has {count}{of}", topic.name));
    if let Some(missing) = asked.and_then(|asked| asked.beyond(&topic.partitions)) {
        check.say(Verdict::Warning, format!("PARTITIONS names {missing}, which are not there"));
        check.advise("correct PARTITIONS; if these are still to come, a load reads them when they appear");
    }
    (check, Some((topic, wanted)))
}

fn offsets(case: &Case, database: &Database, topic: &Topic, marks: &BTreeMap<i32, Watermarks>) -> Check {
    let chain = database.chain.as_ref().and_then(|chain| chain.as_ref().ok());
    let nothing = Chain::default();
    let known = Known {
        topic: &topic.name,
        topic_id: topic.id.as_deref(),
        chain: chain.unwrap_or(&nothing),
        begun: &Begun::default(),
        watermarks: marks,
        fallback: case.job.source.fallback_offset,
    };
    match positions::resume(&known) {
        Ok(positions) => told(&positions, marks, chain),
        Err(error) => Check::failed(NAMES[3], error),
    }
}

fn told(positions: &Positions, marks: &BTreeMap<i32, Watermarks>, chain: Option<&Chain>) -> Check {
    let mut check = Check::new(NAMES[3]);
    let next = |partition: i32, marks: &Watermarks| positions.starts.get(partition).unwrap_or(marks.low);
    let left: i64 = marks.iter().map(|(&partition, marks)| marks.high - next(partition, marks)).sum();
    let records = units::counted(left.unsigned_abs(), "record");
    let from = match chain {
        Some(chain) if chain.is_empty() => "nothing is loaded yet",
        Some(_) => "the rest is loaded",
        None => "what is loaded of them only the database's ledger knows",
    };
    check.say(Verdict::Ok, format!("{records} to load; {from}"));
    for jump in &positions.jumps {
        let (count, partition) = (units::counted((jump.next - jump.first).unsigned_abs(), "offset"), jump.partition);
        let text =
            format!("{count} of partition {partition} expired before they were read, from offset {}", jump.first);
        check.say(Verdict::Warning, text);
        check.advise("FALLBACK_OFFSET of the file has the load go on behind them");
    }
    check
}

fn records(case: &Case, database: &Database, consumer: &Consumer, marks: &BTreeMap<i32, Watermarks>) -> Check {
    let unchecked = || Writes::unchecked(&case.settings).filter(|_| case.settings.columns.is_some());
    let known = database.writes.as_ref().and_then(|writes| writes.as_ref().ok().cloned());
    let Some(writes) = known.or_else(unchecked) else {
        return Check::skipped(NAMES[4], "their columns are the target's own, which is not known");
    };
    let tried = || {
        if let Some(program) = case.job.transform_program()? {
            program.start()?;
        }
        let decoding = resolve::decode_settings(&case.job, &writes)?;
        tried::newest(&case.job, consumer, marks, decoding)
    };
    match tried() {
        Err(error) => Check::failed(NAMES[4], error),
        Ok(None) => Check::ok(NAMES[4], "not tried: TRANSFORMER would see them first"),
        Ok(Some(tried)) => judge(&tried),
    }
}

fn judge(Tried { trial, unread }: &Tried) -> Check {
    if let Some(why) = unread {
        return Check::failed(NAMES[4], why);
    }
    let mut check = Check::new(NAMES[4]);
    let refused = trial.refused.as_ref().map_or(0, |refused| refused.count);
    let what = match trial.records {
        0 => "there are none with a value yet to try".to_owned(),
        some => {
            let rows = units::counted(trial.rows as u64, "row");
            format!("{rows} of the newest {}", units::counted(some as u64, "record"))
        }
    };
    check.say(Verdict::Ok, what);
    let all_are_refused = refused > 0 && refused == trial.records;
    for warning in trial.warnings() {
        check.say(if all_are_refused { Verdict::Failed } else { Verdict::Warning }, warning);
        check.advise("compare FORMAT and COLUMNS of the file with what is in the topic; `gpkafka init` proposes both");
    }
    check
}

#[cfg(test)]
mod tests {
    use super::super::super::sample::Place;
    use super::super::super::trial::{Refused, Trial};
    use super::*;

    fn broker(id: i32) -> Broker {
        Broker { id, host: format!("k{id}"), port: 9092 }
    }

    #[test]
    fn every_advertised_address_must_be_reached() {
        let brokers = [broker(1), broker(2)];
        assert_eq!(advertised(&brokers, &[Ok(()), Ok(())]).verdict, Verdict::Ok);
        let check = advertised(&brokers, &[Ok(()), Err("connection refused".to_owned())]);
        assert_eq!(check.verdict, Verdict::Failed);
        assert_eq!(check.found[1], "broker 2 has clients come to k2:9092: connection refused");
        assert!(check.advice[0].starts_with("advertised.listeners"));
    }

    #[test]
    fn records_that_are_all_refused_fail_and_some_warn() {
        let trial = |records, refused| Trial {
            records,
            rows: records - refused,
            refused: (refused > 0).then(|| Refused {
                count: refused,
                place: Place::default(),
                reason: "no".to_owned(),
            }),
            empty: Vec::new(),
        };
        let judged = |trial, unread: Option<&str>| judge(&Tried { trial, unread: unread.map(str::to_owned) }).verdict;
        assert_eq!(judged(trial(0, 0), None), Verdict::Ok);
        assert_eq!(judged(trial(5, 0), None), Verdict::Ok);
        assert_eq!(judged(trial(5, 1), None), Verdict::Warning);
        assert_eq!(judged(trial(5, 5), None), Verdict::Failed);
        assert_eq!(judged(trial(0, 0), Some("partition 0: Topic authorization failed")), Verdict::Failed);
    }
}
