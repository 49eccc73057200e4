//! The checks of the database: login and version, the role's rights, the ledger, and the targets with what is written into
//! them.

use super::super::{Exit, tried};
use super::Case;
use super::report::{Check, Report, Verdict};
use crate::greenplum::{Chain, Connection, DeadLetters, Dialect, Error, Ledger, Target, Writes};
use crate::job::failure;
use crate::job::{run, task};
use crate::units;

/// Names of the checks, in order.
pub const NAMES: [&str; 4] = ["database", "rights", "ledger", "target"];

/// SQLSTATE of a lock that was not had in time.
const LOCKED: &str = "55P03";

/// What the database has said, each as far as what comes before it was well.
pub struct Database {
    pub connection: Result<Connection, Error>,
    /// What the server calls itself.
    version: String,
    /// What the role lacks, once the targets are known.
    rights: Option<Result<(), Error>>,
    targets: Option<Result<Vec<Target>, Error>>,
    pub writes: Option<Result<Writes, Error>>,
    /// Where the ledger has the job.
    pub chain: Option<Result<Chain, Error>>,
}

impl Database {
    /// Asks all of it. What could not be asked is told by [`examine`].
    pub fn look(case: &Case) -> Self {
        let mut settings = case.settings.clone();
        let mut connection = Connection::open(&settings, "gpkafka doctor");
        let Ok(session) = &mut connection else {
            return Self { connection, version: String::new(), rights: None, targets: None, writes: None, chain: None };
        };
        case.stop_by(session.canceller());
        settings.suit(session);
        let version = session.version().unwrap_or_default();
        let (targets, rights) = match Target::examine(session, &settings) {
            Ok((targets, rights)) => (Ok(targets), Some(rights)),
            Err(error) => (Err(error), None),
        };
        let writes = targets.as_ref().ok().map(|targets| Writes::new(targets, &settings));
        let chain = Some(tried::history(&case.job, &settings, session));
        Self { connection, version, rights, targets: Some(targets), writes, chain }
    }
}

pub fn examine(case: &Case, database: &mut Database, report: &mut Report) -> Result<(), Exit> {
    let session = match &database.connection {
        Ok(session) => session,
        Err(error) => {
            report.add(Check::failed(NAMES[0], error))?;
            return report.skip(&NAMES[1..], NAMES[0]);
        }
    };
    report.add(login(session, &database.version))?;
    report.add(rights(case, database))?;
    report.add(ledger(case, database))?;
    report.add(target(case, database))
}

fn login(session: &Connection, version: &str) -> Check {
    let (version, address, role) = (version, session.address(), session.role());
    let segments = match session.dialect() {
        Dialect::Greenplum { .. } => format!(", {}", units::counted(u64::from(session.segments()), "segment")),
        Dialect::Postgres { .. } => String::new(),
    };
    Check::ok(NAMES[0], format!("{version} at {address}, as role \"{role}\"{segments}"))
}

fn rights(case: &Case, database: &Database) -> Check {
    let name = NAMES[1];
    match &database.rights {
        None => Check::skipped(name, "which ones are needed depends on the target, and that failed"),
        Some(Err(error)) => Check::failed(name, error),
        Some(Ok(())) => {
            let metadata = case.settings.metadata_schema();
            let means = match database.connection.as_ref().is_ok_and(|session| session.dialect().is_greenplum()) {
                true => "CREATEEXTTABLE",
                false => "pg_execute_server_program",
            };
            Check::ok(name, format!("the role may write the target, make tables in schema {metadata}, and has {means}"))
        }
    }
}

fn ledger(case: &Case, database: &mut Database) -> Check {
    let name = NAMES[2];
    let metadata = case.settings.metadata_schema();
    let Ok(session) = &mut database.connection else { return Check::skipped(name, "database failed") };
    // one that is there is not made, and the rights on it are looked at
    let found = Ledger::find(session, metadata).and_then(|found| match found {
        Some(_) => Ledger::ensure(session, metadata).map(Some),
        None => Ok(None),
    });
    match (found, &database.chain) {
        (Err(error), _) => Check::failed(name, error),
        (_, Some(Err(error))) => Check::failed(name, error),
        (Ok(None), _) => Check::ok(name, format!("there is none in schema {metadata} yet: the first load makes it")),
        (Ok(Some(ledger)), Some(Ok(chain))) if !chain.is_empty() => {
            let partitions = units::counted(chain.iter().count() as u64, "partition");
            Check::ok(name, format!("{} has {partitions} of this job", ledger.table()))
        }
        (Ok(Some(ledger)), _) => Check::ok(name, format!("{} has nothing of this job yet", ledger.table())),
    }
}

fn target(case: &Case, database: &mut Database) -> Check {
    let name = NAMES[3];
    let targets = match database.targets.as_ref() {
        Some(Ok(targets)) => targets,
        Some(Err(error)) => {
            let mut check = Check::failed(name, error);
            if case.job.task.prepare.is_some() {
                check.verdict = Verdict::Warning;
                check.advise("PREPARE_SQL, which the doctor does not run, may make it");
            }
            return check;
        }
        None => return Check::skipped(name, "database failed"),
    };
    let writes = match database.writes.as_ref() {
        Some(Ok(writes)) => writes,
        Some(Err(error)) => return Check::failed(name, error),
        None => return Check::skipped(name, "database failed"),
    };
    let mut check = Check::new(name);
    for target in targets {
        let columns = units::counted(target.columns.len() as u64, "column");
        check.say(Verdict::Ok, format!("{} has {columns}", target.table));
    }
    let Ok(session) = &mut database.connection else { return Check::skipped(name, "database failed") };
    match explained(case, session, writes) {
        Ok(count) => check.say(Verdict::Ok, format!("EXPLAIN takes {}", units::counted(count, "statement"))),
        // told by a check of its own
        Err(failure::Error::Database(error)) if error.state() == Some(LOCKED) => {
            check.say(Verdict::Warning, "EXPLAIN is not tried: another session holds a lock");
        }
        // the rights are told already
        Err(_) if matches!(database.rights, Some(Err(_))) => {
            check.say(Verdict::Ok, "EXPLAIN is not tried: rights are missing")
        }
        Err(error) => return Check::failed(name, error),
    }
    check
}

/// How many statements the database would run for a batch.
fn explained(case: &Case, session: &mut Connection, writes: &Writes) -> Result<u64, failure::Error> {
    let plans = writes.try_out(session)?;
    if let Some(table) = &case.settings.dead_letters {
        DeadLetters::new(table, &run::identity(&case.job)).check(session)?;
    }
    task::check(&case.job, session)?;
    Ok(plans.len() as u64)
}
