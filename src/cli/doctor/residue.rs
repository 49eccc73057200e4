//! The checks of what surrounds a load in the database: its clock, what earlier loads have left there, and who would hold
//! the next one up.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::Exit;
use super::Case;
use super::database::Database;
use super::report::{Check, Report, Verdict};
use crate::greenplum::{Connection, Error, InTheWay, Leftover, Writes};
use crate::job::{resolve, run};

/// Clocks that are set from a time server differ by milliseconds.
const SKEW_MAX: f64 = 5.0;

/// A loader is idle inside a transaction for moments only, unless it hangs or its machine is gone.
const IDLE_MAX: f64 = 60.0;

/// Names of the checks, in order.
const NAMES: [&str; 3] = ["clock", "leftovers", "locks"];

pub fn examine(case: &Case, database: &mut Database, report: &mut Report) -> Result<(), Exit> {
    let Ok(session) = &mut database.connection else {
        return report.skip(&NAMES, "database");
    };
    case.stop_by(session.canceller());
    report.add(skew(session).map_or_else(|error| Check::failed(NAMES[0], error), clock))?;
    let writes = database.writes.as_ref().and_then(|writes| writes.as_ref().ok());
    report.add(leftovers(case, session, writes).unwrap_or_else(|error| Check::failed(NAMES[1], error)))?;
    report.add(locks(case, session).unwrap_or_else(|error| Check::failed(NAMES[2], error)))
}

/// By how many seconds the database's clock is ahead of this machine's.
fn skew(session: &mut Connection) -> Result<f64, Error> {
    let here = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let before = here();
    let there = session.clock()?;
    Ok(there - f64::midpoint(before, here()))
}

fn clock(skew: f64) -> Check {
    let mut check = Check::new(NAMES[0]);
    let word = if skew < 0.0 { "behind" } else { "ahead of" };
    let verdict = if skew.abs() > SKEW_MAX { Verdict::Warning } else { Verdict::Ok };
    check.say(verdict, format!("the database's clock is {:.1} s {word} this machine's", skew.abs()));
    if verdict == Verdict::Warning {
        check.advise("set both from a time server: times in logs and ledger do not fit together");
    }
    check
}

fn leftovers(case: &Case, session: &mut Connection, writes: Option<&Writes>) -> Result<Check, Error> {
    let mut check = Check::new(NAMES[1]);
    if let Some(writes) = writes {
        let definition =
            resolve::definition(&case.job, &case.settings, &writes.columns(), &case.host, case.gpfdist.port);
        for Leftover { table, is_own } in Leftover::find(session, &definition)? {
            if is_own && case.gpfdist.port == 0 {
                check.say(Verdict::Ok, format!("{table} is the last load's: port 0 gives each start another one"));
            } else if is_own {
                check.say(Verdict::Warning, format!("{table} is of this job by another file, address or port"));
                check.advise("a load of all its partitions drops it at its start, unless another load is using it");
            } else {
                check.say(Verdict::Warning, format!("{table} is of a job that has nothing in the ledger here"));
                check.advise(
                    "drop it where no load is using it: DROP EXTERNAL TABLE on Greenplum, DROP TABLE … CASCADE",
                );
            }
        }
    }
    for session in InTheWay::idle(session, IDLE_MAX)? {
        check.say(Verdict::Warning, format!("{} is idle inside a transaction{}", named(&session), since(&session)));
        check.advise(format!("if that loader is gone: SELECT pg_terminate_backend({})", session.pid));
    }
    if check.found.is_empty() {
        let what = if writes.is_some() { "no external table and no transaction" } else { "no transaction" };
        check.say(Verdict::Ok, format!("{what} of an earlier load is left"));
    }
    Ok(check)
}

fn locks(case: &Case, session: &mut Connection) -> Result<Check, Error> {
    let found = InTheWay::locks(session, &case.settings, &run::identity(&case.job))?;
    Ok(judge(&found))
}

fn judge(found: &[InTheWay]) -> Check {
    let mut check = Check::new(NAMES[2]);
    for session in found {
        let lock = session.lock.as_ref().map(|(mode, table)| format!(" has {mode} on {table}")).unwrap_or_default();
        check.say(Verdict::Warning, format!("{}{lock}{}", named(session), since(session)));
        check.advise("a batch waits for it, five minutes at most; pg_stat_activity tells what it is doing");
    }
    if found.is_empty() {
        check.say(Verdict::Ok, "nobody holds a lock on the target that a batch would wait for");
    }
    check
}

fn named(session: &InTheWay) -> String {
    let InTheWay { pid, role, application_name, .. } = session;
    let name = if application_name.is_empty() { String::new() } else { format!(" ({application_name})") };
    format!("database session {pid} of role \"{role}\"{name}")
}

fn since(session: &InTheWay) -> String {
    session.seconds.map(|seconds| format!(", for {seconds:.0} s")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Ident, TableName};

    #[test]
    fn clocks_may_differ_a_little() {
        let judged = |skew| {
            let check = clock(skew);
            (check.verdict, check.found[0].clone())
        };
        assert_eq!(judged(-0.04), (Verdict::Ok, "the database's clock is 0.0 s behind this machine's".to_owned()));
        assert_eq!(judged(5.1).0, Verdict::Warning);
        let behind = (Verdict::Warning, "the database's clock is 61.3 s behind this machine's".to_owned());
        assert_eq!(judged(-61.34), behind);
    }

    #[test]
    fn a_lock_is_told_with_its_session() {
        let table = TableName { schema: Ident::exact("public"), table: Ident::exact("orders") };
        let held = InTheWay {
            pid: 7,
            role: "etl".to_owned(),
            application_name: "psql".to_owned(),
            lock: Some(("AccessExclusiveLock".to_owned(), table)),
            seconds: Some(61.2),
        };
        let check = judge(&[held]);
        assert_eq!(check.verdict, Verdict::Warning);
        let text =
            "database session 7 of role \"etl\" (psql) has AccessExclusiveLock on \"public\".\"orders\", for 61 s";
        assert_eq!(check.found, [text]);
        assert_eq!(judge(&[]).verdict, Verdict::Ok);
    }
}
