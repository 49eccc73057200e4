//! A whole job file, block by block, into one [`Job`]. Every block is read to its end whatever is
//! wrong with the others. Version 3 comes here as `v3` has put it: its keys where version 2 has them. Called by `mod.rs`.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::time::Duration;

use crate::config::around;
use crate::config::content::{ColumnsAre, Names, content, meta};
use crate::config::dead_letter::{Beside, dead_letter};
use crate::config::fields::{Field, Fields, Wrong, nearest};
use crate::config::job::{
    Callback, Commit, Connection, Consistency, Content as Part, ErrorLimit, Failing, FallbackOffset, Format, Idle, Job,
    MetaColumn, Mode, Output, Partitions, Plugin, Source, Task,
};
use crate::config::output::output;
use crate::config::password::password;
use crate::config::problem::Complaints;
use crate::config::properties::properties;
use crate::config::scalars::{
    brokers, condition, count, error_limit, ident, idle, milliseconds, mistake, own_port, partitions, port, text,
    trimmed, truth, word,
};
use crate::config::transformer;
use crate::config::v3;
use crate::config::yaml::Node;
use crate::decode::Charset;
use crate::greenplum::tls::Tls;
use crate::table::{Ident, TableName};

/// What a batch lasts when nothing is said.
const MINIMAL_INTERVAL: Duration = Duration::from_millis(5000);

/// Blocks that only version 2 has.
const CONTENT_BLOCKS: [&str; 3] = ["VALUE", "KEY", "META"];

/// The job, if the file names everything a job needs. Whether it can be used is for the complaints to say.
pub(super) fn job(complaints: &Complaints<'_>, root: &Node) -> Option<Job> {
    if v3::is_version_3(root) {
        let root = v3::rewritten(complaints, root)?;
        return whole(Fields::new(complaints, String::new(), &(0..0), &root)?, Version::Three);
    }
    let mut fields = Fields::new(complaints, String::new(), &(0..0), root)?;
    let version = version(&mut fields);
    whole(fields, version)
}

fn whole(mut fields: Fields<'_>, version: Version) -> Option<Job> {
    let connection = match version {
        Version::Three => fields.require_block("GPDB").and_then(|mut block| {
            let connection = connection(&mut block);
            block.finish();
            connection
        }),
        _ => connection(&mut fields),
    };
    let kafka = fields.require_block("KAFKA").and_then(|block| kafka_block(block, version));
    let schedule = fields.block("SCHEDULE").map(around::schedule).unwrap_or_default();
    let alert = fields.block("ALERT").and_then(around::alert);
    if let Some(file) = fields.entries().find(|field| field.key.name == "FILE") {
        fields.take("FILE");
        fields.complaints.mistake(&file.key.span, "FILE loads files; this program loads Kafka topics", None);
    }
    fields.finish();
    let kafka = kafka?;
    Some(Job {
        connection: connection?,
        source: kafka.source,
        value: kafka.input.contents.value,
        key: kafka.input.contents.key,
        meta: kafka.input.contents.meta,
        transformer: kafka.input.transformer,
        encoding: kafka.input.encoding,
        filter: kafka.input.filter,
        outputs: kafka.outputs,
        error_limit: kafka.input.error_limit.unwrap_or(ErrorLimit::Records(0)),
        dead_letters: kafka.dead_letters,
        metadata_schema: kafka.metadata_schema,
        commit: kafka.commit,
        consistency: kafka.consistency,
        task: kafka.task,
        schedule,
        alert,
        callback: kafka.input.callback,
        warnings: Vec::new(),
    })
}

/// What VERSION says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
    Three,
    /// It is mistyped, so nothing is made of it.
    Unclear,
}

fn version(fields: &mut Fields<'_>) -> Version {
    let hint = || Some("a file of version 3 says `version: v3`".to_owned());
    let one_or_two = |node: &Node| match text(node).as_deref().map(str::trim) {
        Ok("1") => Ok(Version::One),
        Ok("2") => Ok(Version::Two),
        Ok("3" | "v3" | "V3") => Err(Wrong { text: "must be 1 or 2".to_owned(), hint: hint() }),
        _ => Err(Wrong { hint: hint(), ..crate::config::fields::must_be("1 or 2", node) }),
    };
    let given = fields.read("VERSION", one_or_two);
    let is_unclear = fields.has("VERSION") || fields.entries().any(|field| is_mistyped(&field, "VERSION"));
    given.unwrap_or(if is_unclear { Version::Unclear } else { Version::One })
}

fn is_mistyped(field: &Field<'_>, key: &str) -> bool {
    nearest(&field.key.name, [key].into_iter()).is_some()
}

fn connection(fields: &mut Fields<'_>) -> Option<Connection> {
    let database = fields.require("DATABASE", trimmed);
    let user = fields.require("USER", trimmed);
    let password = password(fields, "PASSWORD");
    let host = fields.require("HOST", host);
    let port = fields.require("PORT", port);
    Some(Connection { host: host?, port: port?, user: user?, password, database: database?, tls: Tls::default() })
}

pub(super) fn host(node: &Node) -> Result<String, Wrong> {
    let host = trimmed(node)?;
    match host.rsplit_once(':') {
        Some((_, port)) if host.matches(':').count() == 1 && port.parse::<u16>().is_ok() => Err(Wrong {
            text: format!("must be a host alone, not `{host}`"),
            hint: Some("write PORT for the port".to_owned()),
        }),
        _ if !is_host(&host) => Err(mistake(format!("must be a host, not `{host}`"))),
        _ => Ok(host),
    }
}

/// A name or an address, with nothing that belongs to a url or a list. Whether it resolves is for a server to say.
fn is_host(text: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '/' | ',' | '\'' | '"' | '|');
    let is_address = text.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
    // Greenplum keeps less than 100 bytes of it
    !text.is_empty() && text.len() < 100 && text.chars().all(is_plain) && (is_address || !text.contains(':'))
}

/// What `--gpfdist-host` may be.
///
/// # Errors
/// What is wrong with it.
pub fn callback_host(written: &str) -> Result<String, String> {
    let host = written.trim();
    if is_host(host) {
        Ok(host.to_owned())
    } else {
        Err("it must be a host name or an address alone, without port or http://".to_owned())
    }
}

struct Kafka {
    source: Source,
    input: Input,
    outputs: Vec<Output>,
    metadata_schema: Option<Ident>,
    dead_letters: Option<TableName>,
    commit: Commit,
    consistency: Consistency,
    task: Task,
}

struct Input {
    contents: Contents,
    transformer: Option<Plugin>,
    encoding: Option<Charset>,
    filter: Option<String>,
    error_limit: Option<ErrorLimit>,
    callback: Callback,
}

/// What is read of a message.
struct Contents {
    value: Option<Part>,
    key: Option<Part>,
    meta: Vec<MetaColumn>,
}

fn kafka_block(mut fields: Fields<'_>, version: Version) -> Option<Kafka> {
    let input = fields.require_block("INPUT").map(|block| input(block, version));
    let (source, input) = input.unwrap_or((None, None));
    let outputs = outputs(&mut fields);
    let metadata_schema = fields.block("METADATA").and_then(metadata);
    let (commit, consistency) = fields.block("COMMIT").map_or((DEFAULT_COMMIT, (None, Consistency::Strong)), commit);
    complain_of_custom(&fields, input.as_ref(), outputs.as_ref(), commit.failing);
    let beside = Beside {
        metadata_schema: metadata_schema.as_ref(),
        outputs: outputs.as_deref(),
        has_error_limit: input.as_ref().map(|input| input.error_limit.is_some()),
        failing: commit.failing,
        is_custom: input.as_ref().is_some_and(|input| is_custom(&input.contents.value)),
    };
    let dead_letters = fields.block("DEAD_LETTER").map(dead_letter);
    let dead_letters = dead_letters.and_then(|dead_letter| dead_letter.resolved(&fields, &beside));
    if let Some(block) = fields.block("POLL") {
        poll(block);
    }
    let task = fields.block("TASK").map(around::task).unwrap_or_default();
    let properties = fields.block("PROPERTIES").map(|block| properties(block, consistency.1)).unwrap_or_default();
    complain_of_consistency(&fields, consistency.clone(), &properties);
    let consistency = consistency.1;
    fields.finish();
    let source = Source { properties, ..source? };
    let (input, outputs) = (input?, outputs?);
    Some(Kafka { source, input, outputs, metadata_schema, dead_letters, commit, consistency, task })
}

/// Rows of FORMAT custom are the database's own, so that nothing can stand beside their columns, nor be known of them.
fn complain_of_custom(fields: &Fields<'_>, input: Option<&Input>, outputs: Option<&Vec<Output>>, failing: Failing) {
    let Some(Contents { value, key, meta }) = input.map(|input| &input.contents) else { return };
    let complain = |text: &str| fields.complaints.mistake(&fields.span, text, None);
    if is_custom(key) {
        return complain("FORMAT custom is for VALUE, not for KEY");
    }
    if !is_custom(value) {
        return;
    }
    if key.is_some() || !meta.is_empty() {
        complain("FORMAT custom makes all columns of a row; neither KEY nor META can stand beside it");
    }
    if value.iter().flat_map(|part| &part.columns).flatten().any(|column| column.name.is_none()) {
        complain("FORMAT custom makes all columns of a row; none can be ignored");
    }
    if outputs.is_some_and(|outputs| outputs.iter().any(|output| output.mode != Mode::Insert)) {
        complain(
            "FORMAT custom goes with MODE insert: which message a row comes from is not known, so none is the latest",
        );
    }
    if failing != Failing::Fail {
        complain("FORMAT custom cannot save a failing batch: which message a row comes from is not known");
    }
}

fn is_custom(part: &Option<Part>) -> bool {
    part.as_ref().is_some_and(|part| matches!(part.format, Format::Custom { .. }))
}

/// OUTPUT, or OUTPUTS with several.
fn outputs(fields: &mut Fields<'_>) -> Option<Vec<Output>> {
    let one = fields.block("OUTPUT").map(output);
    let several = fields.blocks("OUTPUTS");
    if let Some((field, blocks)) = several {
        if fields.has("OUTPUT") {
            fields.complaints.mistake(&field.key.span, "KAFKA has both OUTPUT and OUTPUTS", None);
        }
        let outputs: Vec<_> = blocks.into_iter().map(output).collect();
        return outputs.into_iter().collect();
    }
    if one.is_none() && !fields.has("OUTPUT") && !fields.has("OUTPUTS") {
        fields.miss("OUTPUT");
    }
    one.flatten().map(|output| vec![output])
}

fn input(mut fields: Fields<'_>, version: Version) -> (Option<Source>, Option<Input>) {
    let source = fields.require_block("SOURCE").and_then(source);
    let contents = contents(&mut fields, version);
    let transformer = fields.block("TRANSFORMER").map(transformer::plugin);
    let filter = fields.read("FILTER", condition);
    let encoding = encoding(&mut fields, contents.as_ref());
    let limit = fields.read("ERROR_LIMIT", error_limit);
    // one that is written and wrong has been told of
    let is_meant =
        || fields.entries().any(|field| field.key.name == "ERROR_LIMIT" || is_mistyped(&field, "ERROR_LIMIT"));
    let error_limit = limit.or_else(|| is_meant().then_some(ErrorLimit::Records(0)));
    let callback = Callback { host: fields.read("LOCAL_HOSTNAME", host), port: fields.read("LOCAL_PORT", own_port) };
    fields.finish();
    (
        source,
        contents.map(|contents| Input {
            contents,
            transformer: transformer.flatten(),
            encoding,
            filter,
            error_limit,
            callback,
        }),
    )
}

/// ENCODING, for formats that are text.
fn encoding(fields: &mut Fields<'_>, contents: Option<&Contents>) -> Option<Charset> {
    let (field, charset) = fields.read_at("ENCODING", charset)?;
    let parts = contents.map(|contents| [&contents.value, &contents.key]);
    let is_text = |part: &Part| !matches!(part.format, Format::Binary);
    if parts.is_some_and(|parts| !parts.into_iter().flatten().any(is_text)) {
        fields.complaints.warning(&field.key.span, "ENCODING has no effect on FORMAT binary", None);
    }
    Some(charset)
}

fn charset(node: &Node) -> Result<Charset, Wrong> {
    let written = trimmed(node)?;
    Charset::named(&written).ok_or_else(|| Wrong {
        text: format!("must be a charset that can be read, not `{written}`"),
        hint: Some(format!("one of {}", Charset::names().collect::<Vec<_>>().join(", "))),
    })
}

/// What a message holds: in blocks of its own in version 2, right here in version 1.
fn contents(fields: &mut Fields<'_>, version: Version) -> Option<Contents> {
    let first_block = fields.entries().find(|field| CONTENT_BLOCKS.contains(&field.key.name.as_str()));
    let is_flat = fields.has("FORMAT") || fields.has("COLUMNS");
    let mut names = Names::default();
    match (version, first_block) {
        (Version::One, Some(field)) => {
            let hint = Some("add `VERSION: 2` at the top level".to_owned());
            fields.complaints.mistake(&field.key.span, format!("`{}` needs `VERSION: 2`", field.key.name), hint);
        }
        (Version::One, None) => return flat(fields, &mut names),
        (Version::Unclear, None) if is_flat => return flat(fields, &mut names),
        _ => {}
    }
    for key in ["COLUMNS", "FORMAT"] {
        if let Some(field) = fields.take(key) {
            let hint = Some("`KEY`, `VALUE` and `META` each have their own".to_owned());
            fields.complaints.mistake(&field.key.span, format!("`{key}` belongs under VALUE in version 2"), hint);
        }
    }
    let columns_are = if version == Version::Three { ColumnsAre::Optional } else { ColumnsAre::ForJsonOptional };
    blocks(fields, is_flat, columns_are, &mut names)
}

fn flat(fields: &mut Fields<'_>, names: &mut Names) -> Option<Contents> {
    let value = content(fields, ColumnsAre::Optional, names)?;
    complain_of_forced_columns(fields, &value);
    Some(Contents { value: Some(value), key: None, meta: Vec::new() })
}

fn blocks(fields: &mut Fields<'_>, is_flat: bool, columns_are: ColumnsAre, names: &mut Names) -> Option<Contents> {
    let value = part(fields, "VALUE", columns_are, names);
    let key = part(fields, "KEY", columns_are, names);
    let has_meta = fields.has("META");
    let meta = fields.block("META").map(|block| meta(block, names)).unwrap_or_default();
    if !is_flat && !fields.has("VALUE") && !fields.has("KEY") {
        fields.miss("VALUE");
    }
    let is_more = fields.has("KEY") || has_meta;
    for (name, part) in [("VALUE", &value), ("KEY", &key)] {
        if is_more && matches!(part, Some(Some(Part { columns: None, .. }))) {
            let text = format!("{name} needs COLUMNS: beside others it cannot have the target's own");
            fields.complaints.mistake(&fields.span, text, None);
        }
    }
    match (value, key) {
        (Some(None), _) | (_, Some(None)) | (None, None) => None,
        (value, key) => Some(Contents { value: value.flatten(), key: key.flatten(), meta }),
    }
}

/// VALUE or KEY. `Some(None)`: it is there and wrong.
fn part(
    fields: &mut Fields<'_>,
    key: &'static str,
    columns_are: ColumnsAre,
    names: &mut Names,
) -> Option<Option<Part>> {
    fields.block(key).map(|mut block| {
        let part = content(&mut block, columns_are, names);
        if let Some(part) = &part {
            complain_of_forced_columns(&block, part);
        }
        block.finish();
        part
    })
}

/// FORCE_NOT_NULL names columns of the message.
fn complain_of_forced_columns(fields: &Fields<'_>, part: &Part) {
    let Part { format: Format::Csv(csv), columns: Some(columns) } = part else { return };
    let is_column = |name: &Ident| columns.iter().any(|column| column.name.as_ref() == Some(name));
    for name in csv.force_not_null.iter().filter(|name| !is_column(name)) {
        let text = format!("FORCE_NOT_NULL names {name}, which is none of the COLUMNS");
        let at = fields.entries().find(|field| field.key.name == "CSV_OPTION");
        fields.complaints.mistake(at.map_or(&fields.span, |field| &field.key.span), text, None);
    }
}

fn source(mut fields: Fields<'_>) -> Option<Source> {
    let brokers = fields.require("BROKERS", brokers);
    let topic = fields.require("TOPIC", topic);
    let partitions: Option<Partitions> = fields.read("PARTITIONS", partitions);
    let offsets = [("earliest", FallbackOffset::Earliest), ("latest", FallbackOffset::Latest)];
    let fallback_offset = fields.read("FALLBACK_OFFSET", |node| word(node, &offsets));
    if let Some((field, _)) = fields.read_at("ENCRYPTION", truth) {
        let hint = Some("say `security.protocol` under KAFKA.PROPERTIES".to_owned());
        fields.complaints.warning(&field.key.span, "ENCRYPTION has no effect", hint);
    }
    fields.finish();
    Some(Source { brokers: brokers?, topic: topic?, partitions, fallback_offset, properties: BTreeMap::new() })
}

/// What Kafka takes as a name.
fn topic(node: &Node) -> Result<String, Wrong> {
    const CHARACTERS_MAX: usize = 249; // Kafka's own bound
    let topic = trimmed(node)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match topic.chars().find(|&c| !is_legal(c)) {
        Some(',') => Err(mistake(format!("must be one topic, not `{topic}`"))),
        Some(c) => Err(mistake(format!("must be a topic's name, in which Kafka allows no `{c}`"))),
        None if topic.len() > CHARACTERS_MAX => Err(mistake("is longer than the 249 characters that Kafka allows")),
        None => Ok(topic),
    }
}

fn metadata(mut fields: Fields<'_>) -> Option<Ident> {
    let schema = fields.read("SCHEMA", ident);
    fields.finish();
    schema
}

const DEFAULT_COMMIT: Commit =
    Commit { max_row: None, minimal_interval: Some(MINIMAL_INTERVAL), idle: Idle::Off, failing: Failing::Fail };

fn commit(mut fields: Fields<'_>) -> (Commit, (Option<Range<usize>>, Consistency)) {
    let max_row = fields.read("MAX_ROW", count).and_then(NonZeroU64::new);
    let interval = fields.read_at("MINIMAL_INTERVAL", milliseconds);
    let minimal_interval = interval.map_or(MINIMAL_INTERVAL, |(_, interval)| interval);
    let idle = fields.read("IDLE_DURATION", idle).unwrap_or(Idle::Off);
    let consistency = fields.read_at("CONSISTENCY", |node| word(node, &CONSISTENCIES));
    let consistency = consistency
        .map_or((None, Consistency::Strong), |(field, consistency)| (Some(field.span().clone()), consistency));
    let saves = fields.read("SAVE_FAILING_BATCH", truth).unwrap_or(false);
    let failing = match fields.read("RECOVER_FAILING_BATCH", truth).unwrap_or(false) {
        // the bad rows go where SAVE_FAILING_BATCH puts them, whether or not that is said too: they are never lost
        true => Failing::Recover,
        false if saves => Failing::Save,
        false => Failing::Fail,
    };
    let is_endless = max_row.is_none() && minimal_interval.is_zero() && !fields.has_unknown();
    if let Some((field, _)) = interval.filter(|_| is_endless) {
        let text = "MINIMAL_INTERVAL and MAX_ROW may not both be 0: no batch would ever end";
        fields.complaints.mistake(field.span(), text, None);
    }
    fields.finish();
    let minimal_interval = Some(minimal_interval).filter(|interval| !interval.is_zero());
    (Commit { max_row, minimal_interval, idle, failing }, consistency)
}

/// CONSISTENCY, by its original's names.
pub(super) const CONSISTENCIES: [(&str, Consistency); 4] = [
    ("strong", Consistency::Strong),
    ("at-least", Consistency::AtLeast),
    ("at-most", Consistency::AtMost),
    ("none", Consistency::None),
];

/// Says where CONSISTENCY and PROPERTIES do not mean anything together.
fn complain_of_consistency(
    fields: &Fields<'_>,
    (span, consistency): (Option<Range<usize>>, Consistency),
    properties: &BTreeMap<String, String>,
) {
    let Some(span) = span.filter(|_| consistency != Consistency::Strong && !properties.contains_key("group.id")) else {
        return;
    };
    let text = "CONSISTENCY has no effect without `group.id` under PROPERTIES: offsets are kept in the database, with the rows";
    fields.complaints.warning(&span, text, None);
}

/// The old client's knobs.
fn poll(mut fields: Fields<'_>) {
    fields.read("BATCHSIZE", count);
    fields.read("TIMEOUT", count);
    fields.complaints.warning(&fields.span, "POLL has no effect", None);
    fields.finish();
}
