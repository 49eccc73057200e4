//! `gpkafka init`: writes a job file from what the topic's newest messages, the registry and the table are like. It reads
//! and never writes anywhere but into that file.
//!
//! | file | what |
//! |---|---|
//! | `shape.rs` | their format and their fields |
//! | `infer.rs` | what type takes all values of a field |
//! | `schemas.rs` | the same for messages that a registry knows the schema of |
//! | `plan.rs` | fields into columns |
//! | `draft.rs` | the texts |
//! | `trial.rs` | what the file would refuse of the messages |

mod draft;
mod infer;
mod plan;
mod schemas;
pub(super) mod shape;
mod trial;

use std::io::Write as _;

use self::draft::Draft;
use self::infer::{Kind, Seen};
use self::plan::Plan;
use self::schemas::Framed;
use self::shape::{Field, Shape};
use super::sample::{self, Sample};
use super::trial::Refused;
use super::{Exit, InitArgs, InitFormat, console, files, passwords};
use crate::config;
use crate::greenplum::{Connection, Settings, Target, TargetColumn};
use crate::table::{Ident, TableName};

/// Looks at topic and table, and writes the file.
///
/// # Errors
/// 64 where a file is in the way or something is missing on the command line; 1 for what a server says, and for messages
/// that do not go with the table.
pub fn run(args: &InitArgs) -> Result<(), Exit> {
    if let Some(path) = args.output.as_deref().filter(|path| !args.force && path.symlink_metadata().is_ok()) {
        return Err(files::in_the_way(path));
    }
    let (table, is_greenplum) = table(args)?;
    if args.create_table && table.is_some() {
        return Err(Exit::usage(format!("table {} exists already; leave --create-table away", args.table)));
    }
    let sample = sample::read(&args.brokers, &args.topic, args.records)?;
    let shape = shape(args.format, &sample)?;
    if args.format == InitFormat::Auto && shape == Shape::Binary {
        tell("the messages look like no other format, so each is one value of FORMAT binary; --format says otherwise");
    }
    let framed = match shape {
        Shape::Framed => Some(schemas::look(args.registry.as_deref(), &args.topic, &sample.values)?),
        _ => None,
    };
    let fields = framed.as_ref().map_or_else(|| shape::fields(shape, &sample.values), |framed| framed.fields.clone());
    let plan = plan(&args.table, shape, fields, table.as_deref())?;
    let mut draft = Draft {
        host: &args.host,
        port: args.port,
        user: &args.user,
        database: &args.database,
        brokers: &args.brokers,
        topic: &args.topic,
        table: &args.table,
        table_exists: table.is_some(),
        shape,
        registry: framed.map(|Framed { url, user, kind, .. }| (url, user, kind)),
        sampled: sample.values.len(),
        has_keys: sample.has_keys,
        tombstones: sample.tombstones,
        narrower: shape::narrower(shape, &sample.values),
        refused: None,
        plan: &plan,
    };
    draft.refused = trial::refused(&draft.text(), &sample.values, &sample.places);
    if let Some(Refused { count, place, reason }) = &draft.refused
        && *count == sample.values.len()
    {
        let text = format!("as FORMAT {} every message is refused, {place} first: {reason}", shape.name());
        return Err(Exit::failed(format!("{text}; say another after --format")));
    }
    match &args.output {
        None => console::print(&draft.text())?,
        Some(path) => files::write(path, args.force, &draft.text())?,
    }
    if args.create_table {
        console::print(&draft.create_table(is_greenplum))?;
    } else if table.is_none() {
        tell(&format!("table {} does not exist yet; --create-table prints a statement that makes it", args.table));
    }
    Ok(())
}

/// The job file for messages like these, and a table that is yet to be made: for whoever wants to know that no message
/// makes a file that cannot be read. `None` where it takes a registry to tell.
pub fn drafted(values: &[Vec<u8>]) -> Option<String> {
    drafted_as(shape::recognise(values), values)
}

/// The same for messages of a format that is told.
fn drafted_as(shape: Shape, values: &[Vec<u8>]) -> Option<String> {
    let table = TableName { schema: Ident::exact("public"), table: Ident::exact("new") };
    let plan = plan(&table, shape, shape::fields(shape, values), None).ok().filter(|_| shape != Shape::Framed)?;
    let mut draft = Draft {
        host: "host",
        port: 5432,
        user: "user",
        database: "database",
        brokers: "broker:9092",
        topic: "topic",
        table: &table,
        table_exists: false,
        shape,
        registry: None,
        sampled: values.len(),
        has_keys: true,
        tombstones: 1,
        narrower: shape::narrower(shape, values),
        refused: None,
        plan: &plan,
    };
    draft.refused = trial::refused(&draft.text(), values, &[]);
    Some(draft.text())
}

/// Beside a job file that may go to stdout.
fn tell(text: &str) {
    // nobody is left to tell where even this cannot be printed
    drop(writeln!(std::io::stderr(), "gpkafka: {text}"));
}

/// The table's columns, where it exists, and whether the server is a Greenplum.
fn table(args: &InitArgs) -> Result<(Option<Vec<TargetColumn>>, bool), Exit> {
    let (host, user, database) = (args.host.clone(), args.user.clone(), args.database.clone());
    let tls = files::tls()?;
    let wanted = config::Connection { host, port: args.port, user, password: None, database, tls };
    let found = passwords::find(&wanted);
    found.warning.iter().for_each(|warning| tell(warning));
    let mut settings = Settings::new(&args.host, args.port, &args.user, &args.database, args.table.clone());
    settings.password = found.password;
    settings.tls = wanted.tls;
    let mut connection = Connection::open(&settings, "gpkafka init").map_err(Exit::failed)?;
    let columns = Target::look(&mut connection, &args.table).map_err(Exit::failed)?;
    Ok((columns, connection.dialect().is_greenplum()))
}

/// The format that was asked for, or the one that the messages are seen to have.
fn shape(format: InitFormat, sample: &Sample) -> Result<Shape, Exit> {
    let seen = shape::recognise(&sample.values);
    let delimiter = match seen {
        Shape::Csv { delimiter } | Shape::Delimited { delimiter } => delimiter,
        _ => ',',
    };
    match format {
        InitFormat::Auto => Ok(seen),
        InitFormat::Binary => Ok(Shape::Binary),
        InitFormat::Csv => Ok(Shape::Csv { delimiter }),
        InitFormat::Delimited => Ok(Shape::Delimited { delimiter }),
        InitFormat::Json => of_objects(Shape::Json, sample),
        InitFormat::Jsonl => of_objects(Shape::Jsonl, sample),
        InitFormat::Avro | InitFormat::Protobuf if seen == Shape::Framed => Ok(seen),
        InitFormat::Avro | InitFormat::Protobuf => Err(Exit::failed(
            "not all messages begin with a zero and the id of a schema, as a registry's do; try --format auto",
        )),
    }
}

/// A shape of JSON, if nearly all messages are of it.
fn of_objects(shape: Shape, sample: &Sample) -> Result<Shape, Exit> {
    let (strangers, all) = (shape::strangers(shape, &sample.values), sample.values.len());
    if shape::are_few(strangers.len(), all) {
        return Ok(shape);
    }
    let what = if shape == Shape::Jsonl { "lines of JSON objects" } else { "JSON objects" };
    let first = strangers.first().and_then(|&at| sample.places.get(at)).copied().unwrap_or_default();
    Err(Exit::failed(format!(
        "only {} of {all} messages are {what}, which are too few to go by; the first that is none is at {first}",
        all - strangers.len()
    )))
}

fn plan(target: &TableName, shape: Shape, fields: Vec<Field>, table: Option<&[TargetColumn]>) -> Result<Plan, Exit> {
    let has_names = matches!(shape, Shape::Json | Shape::Jsonl | Shape::Framed);
    // what a job file would fill in is no name for one
    let (fields, odd): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|field| !field.name.contains("{{") && !field.name.contains(char::is_control));
    let mut plan = match table {
        _ if shape == Shape::Binary => whole(target, shape, table)?,
        _ if fields.is_empty() => whole(target, shape, table)?,
        None => Plan::of_new(&fields, has_names),
        Some(table) if has_names => Plan::by_name(&fields, table),
        Some(table) => Plan::by_place(&fields, table),
    };
    if plan.columns.is_empty() {
        plan = whole(target, shape, table)?;
    }
    plan.left_out.extend(odd);
    Ok(plan)
}

/// A message as one value, into the first column of such a type.
fn whole(target: &TableName, shape: Shape, table: Option<&[TargetColumn]>) -> Result<Plan, Exit> {
    let (kind, types): (_, &[&str]) = match shape {
        Shape::Binary => (Kind::Bytes, &["bytea"]),
        _ => (Kind::Json, &["json", "jsonb"]),
    };
    let field = Field { name: "data".to_owned(), seen: Seen::of(kind), is_nullable: true };
    let Some(table) = table else {
        let mut plan = Plan::of_new(&[field], false);
        plan.columns.iter_mut().for_each(|column| column.note.clear());
        return Ok(plan);
    };
    let takes = |column: &&TargetColumn| !column.is_generated && types.contains(&column.sql_type.as_str());
    let Some(column) = table.iter().find(takes) else {
        let fields = match shape {
            Shape::Binary => String::new(),
            _ => format!("no field of the messages has the name of a column of {target}, and "),
        };
        return Err(Exit::failed(format!(
            "{fields}table {target} has no column of type {} for whole messages; they were taken for FORMAT {}, and --format says otherwise",
            types.join(" or "),
            shape.name()
        )));
    };
    let mut plan = Plan::by_place(&[field], std::slice::from_ref(column));
    plan.columns.iter_mut().for_each(|column| column.note.clear());
    plan.unfilled = table.iter().filter(|other| other.name != column.name).cloned().collect();
    Ok(plan)
}
