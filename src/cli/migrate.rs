//! `gpkafka migrate FILE`: begins our ledger where the original stopped. Shows what it found and what it makes of it;
//! only with `--apply` does it write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{EndIs, Exit, MigrateArgs, console, files};
use crate::config::Job;
use crate::greenplum::{
    Chain, Claim, Commit, Connection, EndMeans, Error, HistoryColumns, Holder, Instance, Kind, Ledger, Loader, Move,
    OriginalEnd, Settings, original,
};
use crate::job::{resolve, run};
use crate::kafka::{Consumer, Watermarks};
use crate::table::{Ident, TableName};

/// How long the brokers may take.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Shows where the original stopped, and with `--apply` has our ledger begin there.
///
/// # Errors
/// 64 for a wrong file; 1 for what a server says, for history that cannot be understood, and for a job that has begun.
pub fn run(args: &MigrateArgs) -> Result<(), Exit> {
    let (job, warnings) = files::job(&args.file)?;
    for warning in &warnings {
        console::print(&format!("warning: {warning}\n"))?;
    }
    let settings = job.greenplum_settings();
    let mut connection = Connection::open(&settings, "gpkafka migrate").map_err(Exit::failed)?;
    require_fresh(&mut connection, &settings, &job)?;
    let history = find(args, &mut connection, &settings, &job)?;
    let consumer = Consumer::connect(&job.kafka_settings(1 << 20, 1)).map_err(Exit::failed)?;
    let topic = consumer.topic(KAFKA_WAIT).map_err(Exit::failed)?;
    let wanted = resolve::wanted(&job, &topic.partitions).map_err(Exit::failed)?;
    let marks = consumer.watermarks(&wanted, KAFKA_WAIT).map_err(Exit::failed)?;
    let plan = Plan::new(&history, &marks);
    console::print(&shown(&job, &history, &plan))?;
    if let Some(why) = plan.refusal() {
        return Err(Exit::failed(why));
    }
    if !args.apply {
        return console::print("nothing was written; run it again with --apply to begin there\n");
    }
    let claimed = wanted.as_slice();
    apply(&mut connection, &settings, &job, (&plan, topic.id, claimed)).map_err(Exit::failed)?;
    console::print("the ledger begins there; stop the original for good before the first load\n")
}

/// History that was understood.
struct History {
    table: TableName,
    columns: HistoryColumns,
    means: EndMeans,
    ends: Vec<OriginalEnd>,
}

/// A job that has a history of ours goes on from that.
fn require_fresh(connection: &mut Connection, settings: &Settings, job: &Job) -> Result<(), Exit> {
    let id = run::identity(job);
    let metadata = settings.metadata_schema();
    let chain = match Ledger::find(connection, metadata).map_err(Exit::failed)? {
        Some(ledger) => ledger.read(connection, &id).map_err(Exit::failed)?,
        None => Chain::default(),
    };
    if !chain.is_empty() {
        return Err(Exit::failed(
            "this job has loaded with gpkafka already: it goes on from its own history, which `gpkafka check` shows",
        ));
    }
    Ledger::require_no_other(connection, metadata, &id).map_err(Exit::failed)
}

fn find(args: &MigrateArgs, connection: &mut Connection, settings: &Settings, job: &Job) -> Result<History, Exit> {
    let table = table(args, connection, settings, job)?;
    let ident = |name: &Option<String>| name.as_deref().map(Ident::from_written);
    let named = [&args.partition_column, &args.begin_column, &args.end_column].map(ident);
    let named = [named[0].as_ref(), named[1].as_ref(), named[2].as_ref()];
    let columns = original::columns(connection, &table, named).map_err(Exit::failed)?;
    let ends = original::ends(connection, &table, &columns).map_err(Exit::failed)?;
    if ends.is_empty() {
        return Err(Exit::failed(format!(
            "{table} is empty: the original has committed nothing, so there is nothing to go on from"
        )));
    }
    let means = match args.end_offset {
        Some(EndIs::Next) => Some(EndMeans::Next),
        Some(EndIs::Last) => Some(EndMeans::Last),
        None => original::end_means(&ends),
    };
    let Some(means) = means else {
        let text = format!(
            "the rows of {table} do not tell whether {} is the last offset that was read or the next to read; compare it with the table's rows and say --end-offset last or next",
            columns.end
        );
        return Err(Exit::failed(text));
    };
    Ok(History { table, columns, means, ends })
}

/// The one that is named, or the only one that there is.
fn table(args: &MigrateArgs, connection: &mut Connection, settings: &Settings, job: &Job) -> Result<TableName, Exit> {
    let schema = settings.metadata_schema();
    if let Some(name) = &args.history_table {
        return Ok(TableName { schema: schema.clone(), table: Ident::from_written(name) });
    }
    let found = original::tables(connection, schema, &job.target().table).map_err(Exit::failed)?;
    match found.as_slice() {
        [table] => Ok(table.clone()),
        [] => Err(Exit::failed(format!(
            "schema {schema} has no table gpkafka_{}_<32 hex digits>; name the original's with --history-table, and its schema with METADATA.SCHEMA",
            job.target().table.as_str()
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|table| table.table.as_str()).collect();
            Err(Exit::failed(format!(
                "several history tables may be this job's, one a topic that was loaded into the table: {}; choose one with --history-table",
                names.join(", ")
            )))
        }
    }
}

/// Where each partition of the topic goes on, as far as the original has read it.
struct Plan(BTreeMap<i32, Step>);

struct Step {
    next: i64,
    /// `None`: the topic does not have the partition, or the job does not want it.
    marks: Option<Watermarks>,
}

impl Plan {
    fn new(history: &History, marks: &BTreeMap<i32, Watermarks>) -> Self {
        let step = |end: &OriginalEnd| {
            (end.partition, Step { next: end.next(history.means), marks: marks.get(&end.partition).copied() })
        };
        Self(history.ends.iter().map(step).collect())
    }

    /// Why it cannot be this topic's history.
    fn refusal(&self) -> Option<String> {
        let beyond = |(partition, step): (&i32, &Step)| {
            let marks = step.marks.filter(|marks| step.next > marks.high)?;
            Some(format!(
                "the history says that partition {partition} was read up to offset {}, but the topic ends at {}: it is another topic's history, or the topic was made anew",
                step.next, marks.high
            ))
        };
        if !self.0.values().any(|step| step.marks.is_some()) {
            return Some("the history has none of the partitions that this job reads".to_owned());
        }
        self.0.iter().find_map(beyond)
    }

    fn moves(&self) -> Vec<Move> {
        let ours = self.0.iter().filter(|(_, step)| step.marks.is_some());
        ours.map(|(&partition, step)| Move::bare(partition, Kind::Reset, step.next, step.next)).collect()
    }
}

fn shown(job: &Job, history: &History, plan: &Plan) -> String {
    let mut text = String::new();
    let HistoryColumns { partition, begin, end } = &history.columns;
    let means = match history.means {
        EndMeans::Next => "the next offset to read",
        EndMeans::Last => "the last offset that was read",
    };
    let mut line = |written: String| {
        // writing to a String cannot fail
        let _infallible = writeln!(text, "{written}");
    };
    line(format!("topic {} into {}", job.source.topic, job.target()));
    line(format!("history table  {}", history.table));
    line(format!("partition      {partition}"));
    line(format!("begin          {begin}"));
    line(format!("end            {end}: {means}"));
    for (partition, step) in &plan.0 {
        line(match step.marks {
            None => format!("partition {partition}  is left out: this job does not read it"),
            Some(marks) if step.next < marks.low => format!(
                "partition {partition}  goes on at offset {}, which has expired: the topic begins at {}, so FALLBACK_OFFSET will decide",
                step.next, marks.low
            ),
            Some(marks) => format!(
                "partition {partition}  goes on at offset {}, with {} more in the topic",
                step.next,
                (marks.high - step.next).max(0)
            ),
        });
    }
    text
}

fn apply(
    connection: &mut Connection,
    settings: &Settings,
    job: &Job,
    (plan, topic_id, claimed): (&Plan, Option<String>, &[i32]),
) -> Result<(), Error> {
    let id = run::identity(job);
    let loader = Loader::this(Instance::random()?);
    let mut holder = Holder::open(settings, &id, &loader.instance)?;
    if let Claim::Held(held) = holder.claim(claimed)? {
        return Err(Error::Target { text: format!("the job is being loaded by {held}; stop it first") });
    }
    let ledger = Ledger::ensure(connection, settings.metadata_schema())?;
    let mut chain = ledger.read(connection, &id)?;
    let commit = Commit { batch: 1, topic_id, moves: plan.moves() };
    ledger.commit_alone(connection, &id, &loader, &mut chain, &commit)
}
