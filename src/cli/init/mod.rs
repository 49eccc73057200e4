//! `gpkafka init`: writes a job file from what the topic's newest messages, the registry and the table are like. It reads
//! and never writes anywhere but into that file.
//!
//! | file | what |
//! |---|---|
//! | `sample.rs` | the newest messages |
//! | `shape.rs` | their format and their fields |
//! | `infer.rs` | what type takes all values of a field |
//! | `schemas.rs` | the same for messages that a registry knows the schema of |
//! | `plan.rs` | fields into columns |
//! | `draft.rs` | the texts |

mod draft;
mod infer;
mod plan;
mod sample;
mod schemas;
mod shape;

use std::io::Write as _;
use std::path::Path;

use self::draft::Draft;
use self::infer::{Kind, Seen};
use self::plan::Plan;
use self::schemas::Framed;
use self::shape::{Field, Shape};
use super::{Exit, InitArgs, InitFormat, console, passwords};
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
        return Err(in_the_way(path));
    }
    let (table, is_greenplum) = table(args)?;
    if args.create_table && table.is_some() {
        return Err(Exit::usage(format!("table {} exists already; leave --create-table away", args.table)));
    }
    let sample = sample::read(&args.brokers, &args.topic, args.records)?;
    let shape = shape(args.format, &sample.values)?;
    let framed = match shape {
        Shape::Framed => Some(schemas::look(args.registry.as_deref(), &args.topic, &sample.values)?),
        _ => None,
    };
    let fields = framed.as_ref().map_or_else(|| shape::fields(shape, &sample.values), |framed| framed.fields.clone());
    let plan = plan(&args.table, shape, fields, table.as_deref())?;
    let draft = Draft {
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
        has_tombstones: sample.has_tombstones,
        plan: &plan,
    };
    write(args.output.as_deref(), args.force, &draft.text())?;
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
    let table = TableName { schema: Ident::exact("public"), table: Ident::exact("new") };
    let shape = shape::recognise(values);
    let plan = plan(&table, shape, shape::fields(shape, values), None).ok().filter(|_| shape != Shape::Framed)?;
    let draft = Draft {
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
        has_tombstones: true,
        plan: &plan,
    };
    Some(draft.text())
}

fn in_the_way(path: &Path) -> Exit {
    Exit::usage(format!("{} exists already; give another name after -o, or --force to overwrite it", path.display()))
}

/// Beside a job file that may go to stdout.
fn tell(text: &str) {
    // nobody is left to tell where even this cannot be printed
    drop(writeln!(std::io::stderr(), "gpkafka: {text}"));
}

/// The table's columns, where it exists, and whether the server is a Greenplum.
fn table(args: &InitArgs) -> Result<(Option<Vec<TargetColumn>>, bool), Exit> {
    let (host, user, database) = (args.host.clone(), args.user.clone(), args.database.clone());
    let wanted = config::Connection { host, port: args.port, user, password: None, database };
    let found = passwords::find(&wanted);
    found.warning.iter().for_each(|warning| tell(warning));
    let mut settings = Settings::new(&args.host, args.port, &args.user, &args.database, args.table.clone());
    settings.password = found.password.map(|password| password.reveal().to_owned());
    let mut connection = Connection::open(&settings, "gpkafka init").map_err(Exit::failed)?;
    let columns = Target::look(&mut connection, &args.table).map_err(Exit::failed)?;
    Ok((columns, connection.dialect().is_greenplum()))
}

/// The format that was asked for, or the one that the messages are seen to have.
fn shape(format: InitFormat, values: &[Vec<u8>]) -> Result<Shape, Exit> {
    let seen = shape::recognise(values);
    let delimiter = match seen {
        Shape::Csv { delimiter } | Shape::Delimited { delimiter } => delimiter,
        _ => ',',
    };
    let is_alike = |wanted: Shape| std::mem::discriminant(&wanted) == std::mem::discriminant(&seen);
    let wanted = match format {
        InitFormat::Auto => return Ok(seen),
        InitFormat::Binary => return Ok(Shape::Binary),
        InitFormat::Csv => return Ok(Shape::Csv { delimiter }),
        InitFormat::Delimited => return Ok(Shape::Delimited { delimiter }),
        // a message of one line is both
        InitFormat::Jsonl if seen == Shape::Json => return Ok(Shape::Jsonl),
        InitFormat::Json => Shape::Json,
        InitFormat::Jsonl => Shape::Jsonl,
        InitFormat::Avro | InitFormat::Protobuf => Shape::Framed,
    };
    if !is_alike(wanted) {
        let text = match wanted {
            Shape::Framed => "not all messages begin with a zero and the id of a schema, as a registry's do",
            _ => "not all messages are JSON objects",
        };
        return Err(Exit::failed(format!("{text}; try --format auto")));
    }
    Ok(wanted)
}

fn plan(target: &TableName, shape: Shape, fields: Vec<Field>, table: Option<&[TargetColumn]>) -> Result<Plan, Exit> {
    let has_names = matches!(shape, Shape::Json | Shape::Jsonl | Shape::Framed);
    // what a job file would fill in is no name for one
    let (fields, odd): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|field| !field.name.contains("{{") && !field.name.contains(char::is_control));
    let mut plan = match table {
        _ if shape == Shape::Binary => whole(target, Kind::Bytes, &["bytea"], table)?,
        _ if fields.is_empty() => whole(target, Kind::Json, &["json", "jsonb"], table)?,
        None => Plan::of_new(&fields, has_names),
        Some(table) if has_names => Plan::by_name(&fields, table),
        Some(table) => Plan::by_place(&fields, table),
    };
    if plan.columns.is_empty() {
        plan = whole(target, Kind::Json, &["json", "jsonb"], table)?;
    }
    plan.left_out.extend(odd);
    Ok(plan)
}

/// A message as one value, into the first column of such a type.
fn whole(target: &TableName, kind: Kind, types: &[&str], table: Option<&[TargetColumn]>) -> Result<Plan, Exit> {
    let field = Field { name: "data".to_owned(), seen: Seen::of(kind), is_nullable: true };
    let Some(table) = table else {
        let mut plan = Plan::of_new(&[field], false);
        plan.columns.iter_mut().for_each(|column| column.note.clear());
        return Ok(plan);
    };
    let takes = |column: &&TargetColumn| !column.is_generated && types.contains(&column.sql_type.as_str());
    let Some(column) = table.iter().find(takes) else {
        return Err(Exit::failed(format!(
            "no field of the messages has the name of a column of {target}, and it has no column of type {} for whole messages",
            types.join(" or ")
        )));
    };
    let mut plan = Plan::by_place(&[field], std::slice::from_ref(column));
    plan.columns.iter_mut().for_each(|column| column.note.clear());
    plan.unfilled = table.iter().filter(|other| other.name != column.name).cloned().collect();
    Ok(plan)
}

/// Into a file that is new, unless it may be overwritten.
fn write(path: Option<&Path>, may_overwrite: bool, text: &str) -> Result<(), Exit> {
    let Some(path) = path else { return console::print(text) };
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).create_new(!may_overwrite);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => in_the_way(path),
        _ => Exit::failed(format!("cannot write {}: {error}", path.display())),
    })
}
