//! Whether every segment fetches from here: the server of a load at the address and port of a load, an external table
//! like a load's, and a statement that has each segment fetch a row. Where that fails, it finds out for each segment
//! whether it can, with what any role may do: the server knows who came, an error names one who could not, and the rest
//! is tried one at a time, until all are known or the time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::RecvTimeoutError;

use super::super::Exit;
use super::database::Database;
use super::report::{Check, Report, Verdict};
use super::{Case, LOOK, Urgency};
use crate::block::{BlockIndex, Run};
use crate::gpfdist::{Scan, Server};
use crate::greenplum::{Astray, Connection, Error, Probe, trial};
use crate::job::{resolve, threads};
use crate::metrics::Metrics;
use crate::offset::Span;
use crate::table::{Column, Ident};

const NAME: &str = "segments";

/// How long rows are kept back for the segments that have not come: so each is likely to get one.
const GATHER: Duration = Duration::from_secs(2);

/// How long a statement may take: who has not come by then meets a firewall that says nothing, or an address of nobody.
const WAIT: Duration = Duration::from_secs(8);

/// How long segments are tried one at a time, all together. Which one a statement tries is chance, so that the last few
/// take as long as all the others.
const SINGLES: Duration = Duration::from_secs(20);

/// What is known of all segments.
#[derive(Debug, Default)]
struct Known {
    reached: BTreeSet<u32>,
    astray: BTreeMap<u32, Astray>,
    /// Not known by the end.
    open: BTreeSet<u32>,
    hosts: BTreeMap<u32, String>,
}

/// What a statement came to.
struct Fetched {
    probe: Probe,
    rows: Result<u64, Error>,
    /// Segments that came.
    came: BTreeSet<u32>,
    is_late: bool,
}

pub fn examine(case: &Case, database: &mut Database, report: &mut Report) -> Result<(), Exit> {
    let check = match &mut database.connection {
        Ok(session) => tried(case, session).unwrap_or_else(|check| check),
        Err(_) => Check::skipped(NAME, "database failed"),
    };
    let lacks_rights = report.lacks("rights") && check.has_failed() && !check.found.iter().any(|text| told(text));
    match lacks_rights {
        true => report.add(Check::skipped(NAME, "rights failed")),
        false => report.add(check),
    }
}

/// Whether a line is about segments, and not about what kept them from being tried.
fn told(text: &str) -> bool {
    text.starts_with("segment")
}

fn tried(case: &Case, session: &mut Connection) -> Result<Check, Check> {
    let failed = |error: Error| Check::failed(NAME, error);
    let server = Server::start(&case.gpfdist, &Metrics::default()).map_err(|error| Check::failed(NAME, error))?;
    let scheme = if server.has_tls() { "https" } else { "http" };
    let address = format!("{scheme}://{}:{}", bracketed(&case.host), server.port());
    let hosts = session.segment_hosts().map_err(failed)?;
    let all: BTreeSet<u32> = (0..session.segments()).collect();
    let connection = Connection::open_to_load(&case.settings, "gpkafka doctor").map_err(failed)?;
    let column = Column { name: Ident::exact("line"), sql_type: "text".to_owned() };
    let mut definition = resolve::definition(&case.job, &case.settings, &[column], &case.host, server.port());
    // what is tried is the way of the rows, not what they are
    definition.formatter = None;
    let mut probe = Probe::begin(connection, &definition).map_err(failed)?;
    case.stop_by(probe.canceller());
    let mut check = Check::new(NAME);
    let asked = case.gpfdist.port;
    if asked != 0 && asked != server.port() {
        check.say(Verdict::Ok, format!("port {asked} is taken here, the next free one is {}", server.port()));
    }
    if let Some(Err(why)) = probe.answer().map_err(failed)? {
        let why = why.split("; ").next().unwrap_or_default();
        check.say(
            Verdict::Failed,
            format!("segment 0, a program of the database server, could not fetch from {address}: {why}"),
        );
        advise(&mut check, &address);
        return Ok(check);
    }
    let trial = Trial { case, server: &server, all: &all };
    let known = trial.run(probe, hosts)?;
    judge(&mut check, &known, &all, &address);
    Ok(check)
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

struct Trial<'a> {
    case: &'a Case,
    server: &'a Server,
    all: &'a BTreeSet<u32>,
}

impl Trial<'_> {
    fn run(&self, probe: Probe, hosts: BTreeMap<u32, String>) -> Result<Known, Check> {
        let mut known = Known { hosts, ..Known::default() };
        let expected = self.all.len();
        let Fetched { mut probe, rows, came, is_late } = self.fetch(probe, expected, Probe::all)?;
        known.reached.extend(&came);
        match rows {
            Ok(rows) if came.len() == expected && rows == expected as u64 => {}
            Ok(rows) => {
                let text = format!("{expected} rows were sent, {rows} came, and {} segments fetched", came.len());
                return Err(Check::failed(NAME, text));
            }
            Err(error) => {
                if !is_late && known.note(&error).is_none() {
                    return Err(Check::failed(NAME, error));
                }
                if is_late {
                    self.silent(&mut known);
                }
            }
        }
        let begun = Instant::now();
        while !known.lacking(self.all).is_empty() && begun.elapsed() < SINGLES && !self.is_over() {
            let fetched = self.fetch(probe, 1, Probe::one)?;
            probe = fetched.probe;
            known.reached.extend(&fetched.came);
            match fetched.rows {
                Ok(_) => {}
                Err(error) if fetched.is_late => drop(error),
                Err(error) => {
                    if known.note(&error).is_none() {
                        return Err(Check::failed(NAME, error));
                    }
                }
            }
        }
        known.open = known.lacking(self.all);
        // the transaction is rolled back whatever is said here
        drop(probe.end());
        Ok(known)
    }

    fn is_over(&self) -> bool {
        self.case.shutdown.urgency() != Urgency::None
    }

    /// All had the same time, and these have not come.
    fn silent(&self, known: &mut Known) {
        for segment in known.lacking(self.all) {
            let cause = format!("no answer within {} s: a firewall, or an address of nobody", WAIT.as_secs());
            known.astray.insert(segment, Astray { segment, resolved: None, cause, advice: None });
        }
    }

    /// One statement, with as many rows as segments are expected.
    fn fetch(
        &self,
        probe: Probe,
        expected: usize,
        read: fn(&mut Probe) -> Result<u64, Error>,
    ) -> Result<Fetched, Check> {
        let scan = Scan {
            path: probe.path().to_owned(),
            xid: Some(probe.xid().to_owned()),
            file_prefix: self.case.job.source.topic.clone(),
        };
        let (session, canceller) = (self.server.open(scan), probe.canceller());
        let reply = threads::apart("warehouse", move || {
            let mut probe = probe;
            let rows = read(&mut probe);
            (probe, rows)
        });
        let reply = reply.map_err(|error| Check::failed(NAME, error))?;
        let (begun, mut is_fed, mut is_late) = (Instant::now(), false, false);
        let (probe, rows) = loop {
            match reply.recv_timeout(LOOK) {
                Ok(reply) => break reply,
                Err(RecvTimeoutError::Disconnected) => return Err(Check::failed(NAME, "the trial's thread died")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let came = session.status().served_segments.len();
            if !is_fed && (came >= expected || begun.elapsed() > GATHER) {
                is_fed = true;
                (0..expected).for_each(|row| push(&session, row));
                session.seal();
            }
            if begun.elapsed() > WAIT || self.is_over() {
                is_late = true;
                // asked again: one that comes before the statement has begun is lost
                drop(canceller.cancel());
            }
        };
        let came = session.status().served_segments.keys().map(|segment| segment.unsigned_abs()).collect();
        session.finish();
        Ok(Fetched { probe, rows, came, is_late })
    }
}

/// A row of one column.
fn push(session: &crate::gpfdist::Session, row: usize) {
    let first = i64::try_from(row).unwrap_or_default();
    let span = Span::new(first, first + 1).expect("one after the other");
    let runs = vec![Run { row: 0, offset: first, record_rows: 1 }];
    session.push(&BlockIndex { partition: 0, span, rows: 1, runs }, Bytes::from_static(b"x\n"));
}

impl Known {
    /// Takes down what an error says of a segment, if it is about one.
    fn note(&mut self, error: &Error) -> Option<()> {
        let astray = error.astray()?;
        self.reached.remove(&astray.segment);
        self.astray.insert(astray.segment, astray);
        Some(())
    }

    fn lacking(&self, all: &BTreeSet<u32>) -> BTreeSet<u32> {
        let is_known = |segment: &&u32| self.reached.contains(segment) || self.astray.contains_key(segment);
        all.iter().filter(|segment| !is_known(segment)).copied().collect()
    }

    /// Segments in words, those of one host together: `segments 0–3 (sdw1), 7 (sdw2)`.
    fn named(&self, segments: &BTreeSet<u32>) -> String {
        let mut parts: Vec<(u32, u32, Option<&String>)> = Vec::new();
        for &segment in segments {
            let host = self.hosts.get(&segment);
            match parts.last_mut() {
                Some((_, last, of)) if *last + 1 == segment && *of == host => *last = segment,
                _ => parts.push((segment, segment, host)),
            }
        }
        let part = |(first, last, host): &(u32, u32, Option<&String>)| {
            let numbers = if first == last { first.to_string() } else { format!("{first}–{last}") };
            host.map_or_else(|| numbers.clone(), |host| format!("{numbers} ({host})"))
        };
        let word = if segments.len() == 1 { "segment" } else { "segments" };
        format!("{word} {}", parts.iter().map(part).collect::<Vec<_>>().join(", "))
    }
}

fn judge(check: &mut Check, known: &Known, all: &BTreeSet<u32>, address: &str) {
    if known.reached == *all {
        let at_once = if all.len() > 1 { ", all at once" } else { "" };
        check.say(Verdict::Ok, format!("{} fetched from {address}{at_once}", known.named(all)));
        return;
    }
    let mut causes: BTreeMap<(&Option<String>, &str), BTreeSet<u32>> = BTreeMap::new();
    let advices: BTreeSet<&str> = known.astray.values().filter_map(|astray| astray.advice).collect();
    for (segment, Astray { resolved, cause, .. }) in &known.astray {
        causes.entry((resolved, cause)).or_default().insert(*segment);
    }
    for ((resolved, cause), segments) in causes {
        let to = resolved.as_ref().map(|to| format!(" (resolved to {to})")).unwrap_or_default();
        check.say(Verdict::Failed, format!("{} could not fetch from {address}{to}: {cause}", known.named(&segments)));
    }
    if !known.reached.is_empty() {
        check.say(Verdict::Ok, format!("{} fetched", known.named(&known.reached)));
    }
    if !known.open.is_empty() {
        check.say(Verdict::Failed, format!("{} had no turn before the time was up", known.named(&known.open)));
    }
    advices.into_iter().for_each(|advice| check.advise(advice));
    advise(check, address);
}

fn advise(check: &mut Check, address: &str) {
    if check.advice.is_empty() {
        check.advise(
            "give --gpfdist-host an address of this machine that every segment host can reach, and open its port",
        );
    }
    let (scheme, at) = address.split_once("://").unwrap_or_default();
    check.advise(format!("to try it from a segment's host: {}", trial(at, scheme == "https")));
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn judged(reached: &[u32], astray: &[(u32, Option<&str>, &str)], open: &[u32]) -> String {
        let hosts = (0..6).map(|segment| (segment, format!("sdw{}", segment / 3 + 1))).collect();
        let astray = astray.iter().map(|&(segment, resolved, cause)| {
            (segment, Astray { segment, resolved: resolved.map(str::to_owned), cause: cause.to_owned(), advice: None })
        });
        let known = Known {
            reached: reached.iter().copied().collect(),
            astray: astray.collect(),
            open: open.iter().copied().collect(),
            hosts,
        };
        let mut check = Check::new(NAME);
        judge(&mut check, &known, &(0..6).collect(), "http://etl1:8080");
        format!("{:?}: {}", check.verdict, check.found.join("\n"))
    }

    #[test]
    fn who_could_not_is_told_with_what_it_resolved() {
        expect!["Ok: segments 0–2 (sdw1), 3–5 (sdw2) fetched from http://etl1:8080, all at once"].assert_eq(&judged(
            &[0, 1, 2, 3, 4, 5],
            &[],
            &[],
        ));
        let here = Some("127.0.1.1");
        expect![[r#"
            Failed: segment 1 (sdw1) could not fetch from http://etl1:8080: the name does not resolve there
            segments 3–4 (sdw2) could not fetch from http://etl1:8080 (resolved to 127.0.1.1): connection refused
            segments 0 (sdw1), 2 (sdw1) fetched
            segment 5 (sdw2) had no turn before the time was up"#]]
        .assert_eq(&judged(
            &[0, 2],
            &[
                (3, here, "connection refused"),
                (4, here, "connection refused"),
                (1, None, "the name does not resolve there"),
            ],
            &[5],
        ));
    }
}
