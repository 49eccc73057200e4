//! VALUE, KEY and META: the columns of a message and the format they come in, with every format's options. Version 1
//! has the same keys right under INPUT. Called by `file.rs`.

use crate::config::fields::{Field, Fields, Wrong, excerpt, must_be};
use crate::config::job::{Content as Part, Csv, Delimited, Format, MetaColumn, SourceColumn};
use crate::config::scalars::{byte, bytes, ident, mistake, text, trimmed, truth, word};
use crate::config::schemas;
use crate::config::yaml::{Content, Node};
use crate::decode::{self, MetaField};
use crate::table::Ident;

/// What a column that is read and dropped is called.
const IGNORED: &str = "__IGNORED__";

/// Types that hold a JSON document.
const JSON_TYPES: [&str; 5] = ["json", "jsonb", "gp_json", "gp_jsonb", "text"];

/// FORMAT, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Avro,
    Binary,
    Csv,
    Custom,
    Delimited,
    Json,
    Jsonl,
    Protobuf,
}

const FORMATS: [(&str, Named); 8] = [
    ("avro", Named::Avro),
    ("binary", Named::Binary),
    ("csv", Named::Csv),
    ("custom", Named::Custom),
    ("delimited", Named::Delimited),
    ("json", Named::Json),
    ("jsonl", Named::Jsonl),
    ("protobuf", Named::Protobuf),
];

/// The block of options that belongs to a format.
const OPTIONS: [(&str, Named); 6] = [
    ("AVRO_OPTION", Named::Avro),
    ("CSV_OPTION", Named::Csv),
    ("CUSTOM_OPTION", Named::Custom),
    ("DELIMITED_OPTION", Named::Delimited),
    ("JSONL_OPTION", Named::Jsonl),
    ("PROTOBUF_OPTION", Named::Protobuf),
];

/// Column names that are taken; those of KEY, VALUE and META live side by side.
#[derive(Default)]
pub(super) struct Names(Vec<Ident>);

/// The version of the file, as far as content goes: in version 2 only JSON may leave its columns to the target table.
/// Versions 1 and 3 let every format do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnsAre {
    Optional,
    ForJsonOptional,
}

/// COLUMNS, FORMAT and its options. Asks for all of them; the caller finishes the block.
pub(super) fn content(fields: &mut Fields<'_>, columns_are: ColumnsAre, names: &mut Names) -> Option<Part> {
    let columns = columns(fields, names);
    let named = fields.require("FORMAT", |node| word(node, &FORMATS));
    let options = options(fields);
    let named = named?;
    warn_of_other_options(fields, named);
    let is_json = matches!(named, Named::Json | Named::Jsonl | Named::Avro);
    if columns_are == ColumnsAre::ForJsonOptional && !is_json {
        fields.miss("COLUMNS");
    }
    if let Some((field, columns)) = &columns {
        let name = FORMATS.iter().find(|(_, format)| *format == named).map_or("", |(name, _)| name);
        complain_of_columns(fields, *field, columns, name, if named == Named::Binary { &["bytea"] } else { &[] });
        if !is_json && named != Named::Protobuf {
            complain_of_paths(fields, *field, name);
        }
    }
    let format = format(fields, named, options)?;
    Some(Part { format, columns: columns.map(|(_, columns)| columns) })
}

/// COLUMNS: every element of the message, in its order. `None` if one is wrong in itself, so nothing can be said of all.
fn columns<'a>(fields: &mut Fields<'a>, names: &mut Names) -> Option<(Field<'a>, Vec<SourceColumn>)> {
    let (field, blocks) = fields.blocks("COLUMNS")?;
    let Content::List(nodes) = &field.node.content else { return None };
    let mut columns = Vec::new();
    for mut block in blocks {
        let name = block.require("NAME", |node| column_name(node, names));
        let sql_type = block.require("TYPE", trimmed);
        let path = block.read_at("PATH", path).map(|(field, path)| {
            warn_of_other_paths(&block, field);
            path
        });
        block.finish();
        if let (Some(name), Some(sql_type)) = (name, sql_type) {
            columns.push(SourceColumn { name, sql_type, path });
        }
    }
    (columns.len() == nodes.len()).then_some((field, columns))
}

/// `a.b.0`, or a list of the names, which may hold dots then and may be empty, as a member of an object may.
fn path(node: &Node) -> Result<Vec<String>, Wrong> {
    let wrong = || must_be("a path like `customer.items.0.id`, or a list of its names", node);
    let names: Vec<String> = match &node.content {
        Content::List(names) => names.iter().map(text).collect::<Result<_, _>>().map_err(|_| wrong())?,
        _ => {
            let names: Vec<String> = text(node).map_err(|_| wrong())?.split('.').map(str::to_owned).collect();
            if names.iter().any(String::is_empty) { Vec::new() } else { names }
        }
    };
    if names.is_empty() { Err(wrong()) } else { Ok(names) }
}

/// What other programs write for a path finds nothing here, unless a field is really called so.
fn warn_of_other_paths(block: &Fields<'_>, field: Field<'_>) {
    // in a list each name is meant to the letter
    let Content::Text(written) = &field.node.content else { return };
    let Some(meant) = plain_path(written) else { return };
    let text = format!("PATH is names parted by dots, and elements of a list by their number: `{}`", excerpt(written));
    let hint = match meant.as_str() {
        "" => "a whole message is the only column, of type json and without a path".to_owned(),
        meant if meant.split('.').any(|name| name == "*") => {
            "no path stands for all elements: a column of type json takes the list whole".to_owned()
        }
        meant => {
            format!("did you mean `{meant}`? Fields that are really called so stand in a list: `[{}]`", listed(written))
        }
    };
    block.complaints.warning(field.span(), text, Some(hint));
}

/// Its names, as a list of YAML that a path may be.
fn listed(written: &str) -> String {
    written.split('.').map(|name| format!("'{}'", name.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
}

/// `$.items[0]['sku']` as `items.0.sku`; `None` where a path is no such thing.
fn plain_path(written: &str) -> Option<String> {
    let rest = written.strip_prefix('$').filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let (is_rooted, mut rest) = (rest.is_some(), rest.unwrap_or(written));
    let (mut plain, mut has_elements) = (String::new(), false);
    while let Some((name, behind)) = rest.split_once('[') {
        let (element, behind) = behind.split_once(']')?;
        let bare = element.trim_matches(['\'', '"']);
        let is_number = bare == "*" || bare.bytes().all(|byte| byte.is_ascii_digit());
        let is_element = !bare.is_empty() && (bare.len() < element.len() || is_number);
        if !is_element || !(behind.is_empty() || behind.starts_with(['.', '['])) {
            return None;
        }
        plain.push_str(&format!("{name}.{bare}"));
        (rest, has_elements) = (behind, true);
    }
    plain.push_str(rest);
    (is_rooted || has_elements).then(|| plain.trim_start_matches('.').to_owned())
}

/// A column of csv, say, is known by its place alone.
fn complain_of_paths(fields: &Fields<'_>, field: Field<'_>, format: &str) {
    let Content::List(nodes) = &field.node.content else { return };
    for node in nodes {
        let Content::Map(entries) = &node.content else { continue };
        for (key, _) in entries.iter().filter(|(key, _)| key.name == "PATH") {
            let text = format!("PATH finds fields by name, and those of FORMAT {format} have none");
            let hint = Some("it is for json, jsonl, avro and protobuf".to_owned());
            fields.complaints.mistake(&key.span, text, hint);
        }
    }
}

fn column_name(node: &Node, names: &mut Names) -> Result<Option<Ident>, Wrong> {
    if matches!(&node.content, Content::Text(text) if text.trim() == IGNORED) {
        return Ok(None);
    }
    let name = ident(node)?;
    if names.0.contains(&name) {
        return Err(mistake(format!("is given to two columns: {name}")));
    }
    names.0.push(name.clone());
    Ok(Some(name))
}

/// A message that is one value is one column of a type for it; of all others there is at least one.
fn complain_of_columns(fields: &Fields<'_>, field: Field<'_>, columns: &[SourceColumn], format: &str, one: &[&str]) {
    let article = if one.contains(&"json") { "type json or jsonb" } else { "type bytea" };
    let Content::List(nodes) = &field.node.content else { return };
    let text = match columns {
        [column] if !one.is_empty() && !one.contains(&column.sql_type.to_lowercase().as_str()) => {
            format!("the column of FORMAT {format} has {article}, not `{}`", column.sql_type)
        }
        [_, _, ..] if !one.is_empty() => {
            format!("FORMAT {format} makes one column, of {article}, not {}", columns.len())
        }
        _ if columns.iter().all(|column| column.name.is_none()) => "all COLUMNS are ignored".to_owned(),
        _ => return,
    };
    let at = if columns.len() == 1 { &nodes[0].span } else { &field.key.span };
    fields.complaints.mistake(at, text, None);
}

/// What the option blocks say, whichever format is named.
struct Options {
    csv: Option<Csv>,
    delimited: Option<Delimited>,
    newline: Option<String>,
    avro: Option<Format>,
    protobuf: Option<Format>,
    custom: Option<Format>,
}

/// Every option block there is, read and finished.
fn options(fields: &mut Fields<'_>) -> Options {
    let csv = fields.block("CSV_OPTION").map(csv);
    let delimited = fields.block("DELIMITED_OPTION").and_then(delimited);
    let newline = fields.block("JSONL_OPTION").and_then(|mut block| {
        let newline = block.read("NEWLINE", newline);
        block.finish();
        newline
    });
    let avro = fields.block("AVRO_OPTION").and_then(schemas::avro);
    let protobuf = fields.block("PROTOBUF_OPTION").and_then(schemas::protobuf);
    let custom = fields.block("CUSTOM_OPTION").and_then(custom);
    Options { csv, delimited, newline, avro, protobuf, custom }
}

fn csv(mut block: Fields<'_>) -> Csv {
    let delimiter = block.read("DELIMITER", byte);
    let quote = block.read_at("QUOTE", byte);
    let escape = block.read("ESCAPE", byte);
    let null_string = block.take("NULL_STRING").filter(|field| field.node.content != Content::Null);
    let null_string = null_string.and_then(|field| match text(field.node) {
        Ok(null_string) => Some(null_string),
        Err(_) => {
            block.complaints.mistake(field.span(), format!("`{}` must be a text", field.key.written), None);
            None
        }
    });
    let force_not_null = block.read("FORCE_NOT_NULL", names).unwrap_or_default();
    let fill_missing_fields = block.read("FILL_MISSING_FIELDS", truth).unwrap_or(false);
    let csv = Csv {
        delimiter: delimiter.unwrap_or(b','),
        quote: quote.map_or(b'"', |(_, quote)| quote),
        escape: escape.unwrap_or_else(|| quote.map_or(b'"', |(_, quote)| quote)),
        null_string: null_string.unwrap_or_default(),
        fill_missing_fields,
        force_not_null,
    };
    if csv.delimiter == csv.quote {
        let at = quote.map_or(&block.span, |(field, _)| field.span());
        block.complaints.mistake(at, "DELIMITER and QUOTE of CSV_OPTION may not be the same character", None);
    }
    block.finish();
    csv
}

/// `a, b` or a list of names.
fn names(node: &Node) -> Result<Vec<Ident>, Wrong> {
    let names = match &node.content {
        Content::List(nodes) => nodes.iter().map(ident).collect::<Result<Vec<_>, _>>()?,
        _ => {
            let text = text(node).map_err(|_| must_be("column names parted by commas", node))?;
            text.split(',').map(|name| Ident::from_written(name.trim())).collect()
        }
    };
    let is_blank = names.iter().any(|name| name.as_str().is_empty());
    if is_blank { Err(must_be("column names parted by commas", node)) } else { Ok(names) }
}

fn delimited(mut block: Fields<'_>) -> Option<Delimited> {
    let delimiter = block.require("DELIMITER", delimiter);
    let eol_prefix = block.read_at("EOL_PREFIX", eol_prefix);
    let quote = block.read_at("QUOTE", byte);
    let escape = block.read_at("ESCAPE", byte);
    let is_blank = |content: &Content| *content == Content::Null || *content == Content::Text(String::new());
    let has_escape = block.take("ESCAPE").is_some_and(|field| !is_blank(&field.node.content));
    if quote.is_some() && !has_escape && !block.has_unknown() {
        block.complaints.mistake(&block.span, "DELIMITED_OPTION has a QUOTE without an ESCAPE", None);
    }
    let parts = [("DELIMITER", delimiter.as_ref()), ("EOL_PREFIX", eol_prefix.as_ref().map(|(_, bytes)| bytes))];
    for (part, bytes) in parts.iter().filter_map(|(part, bytes)| Some((part, (*bytes)?))) {
        for (key, mark) in [("QUOTE", &quote), ("ESCAPE", &escape)] {
            if let Some((field, _)) = mark.as_ref().filter(|(_, mark)| bytes.contains(mark)) {
                let text = format!("{key} of DELIMITED_OPTION may not be part of its {part}");
                block.complaints.mistake(field.span(), text, None);
            }
        }
    }
    if let Some((field, _)) = eol_prefix.as_ref().filter(|(_, bytes)| Some(bytes) == delimiter.as_ref()) {
        let text = "DELIMITER and EOL_PREFIX of DELIMITED_OPTION may not be the same";
        block.complaints.mistake(field.span(), text, None);
    }
    block.finish();
    Some(Delimited {
        delimiter: delimiter?,
        eol_prefix: eol_prefix.map_or_else(Vec::new, |(_, bytes)| bytes),
        quote: quote.map(|(_, quote)| quote),
        escape: escape.map(|(_, escape)| escape),
    })
}

fn delimiter(node: &Node) -> Result<Vec<u8>, Wrong> {
    let bytes = eol_prefix(node)?;
    if bytes.contains(&b'\r') { Err(mistake("may not hold a line break or NUL")) } else { Ok(bytes) }
}

/// CR may stand before the LF of a row's end.
fn eol_prefix(node: &Node) -> Result<Vec<u8>, Wrong> {
    const BYTES_MAX: usize = 32; // the original's bound
    let bytes = bytes(node)?;
    if bytes.iter().any(|byte| matches!(byte, 0 | b'\n')) {
        return Err(mistake("may not hold a line break or NUL"));
    }
    if bytes.is_empty() || bytes.len() > BYTES_MAX {
        return Err(must_be("a text of 1 to 32 bytes", node));
    }
    Ok(bytes)
}

fn newline(node: &Node) -> Result<String, Wrong> {
    let newline = String::from_utf8(bytes(node)?).map_err(|_| must_be("a text", node))?;
    if newline.contains('\0') { Err(mistake("may not hold a NUL byte")) } else { Ok(newline) }
}

fn custom(mut block: Fields<'_>) -> Option<Format> {
    let formatter = block.require("NAME", trimmed);
    let options = block.read("PARAMSTR", text).unwrap_or_default();
    block.finish();
    let options = options.trim().trim_end_matches([',', ';']).to_owned();
    Some(Format::Custom { formatter: formatter?, options })
}

fn warn_of_other_options(fields: &Fields<'_>, named: Named) {
    for (option, format) in OPTIONS {
        if let Some(field) = fields.entries().find(|field| field.key.name == option && format != named) {
            let name = FORMATS.iter().find(|(_, format)| *format == named).map_or("", |(name, _)| name);
            fields.complaints.warning(&field.key.span, format!("{option} has no effect with FORMAT {name}"), None);
        }
    }
}

fn format(fields: &mut Fields<'_>, named: Named, options: Options) -> Option<Format> {
    match named {
        Named::Csv => return Some(Format::Csv(options.csv.unwrap_or_default())),
        Named::Json => return Some(Format::Json),
        Named::Jsonl => {
            return Some(Format::Jsonl { newline: options.newline.unwrap_or_else(|| "\n".to_owned()) });
        }
        Named::Binary => return Some(Format::Binary),
        Named::Delimited if fields.has("DELIMITED_OPTION") => {
            return options.delimited.map(Format::Delimited);
        }
        Named::Delimited => fields.miss("DELIMITED_OPTION"),
        Named::Avro if fields.has("AVRO_OPTION") => return options.avro,
        Named::Avro => fields.miss("AVRO_OPTION"),
        Named::Custom if fields.has("CUSTOM_OPTION") => return options.custom,
        Named::Custom => fields.miss("CUSTOM_OPTION"),
        Named::Protobuf if fields.has("PROTOBUF_OPTION") => return options.protobuf,
        Named::Protobuf => fields.miss("PROTOBUF_OPTION"),
    }
    None
}

impl Default for Csv {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null_string: String::new(),
            fill_missing_fields: false,
            force_not_null: Vec::new(),
        }
    }
}

/// META: what Kafka knows of a message, as one column of JSON or as fields of their own.
pub(super) fn meta(mut block: Fields<'_>, names: &mut Names) -> Vec<MetaColumn> {
    block.read("FORMAT", |node| word(node, &[("json", Named::Json)]));
    let mut columns = Vec::new();
    match block.blocks("COLUMNS") {
        None => block.miss("COLUMNS"),
        Some((_, blocks)) => {
            let is_one = blocks.len() == 1;
            columns.extend(blocks.into_iter().filter_map(|block| meta_column(block, is_one, names)));
        }
    }
    block.finish();
    columns
}

/// NAME, TYPE and, where the name is not the field's own, FIELD. A single column of JSON is all of them.
fn meta_column(mut block: Fields<'_>, is_one: bool, names: &mut Names) -> Option<MetaColumn> {
    let name = block.require("NAME", |node| match column_name(node, names)? {
        Some(name) => Ok(name),
        None => Err(mistake(format!("may not be {IGNORED} here: leave the column out"))),
    });
    let sql_type = block.require("TYPE", trimmed);
    let field = block.read("FIELD", |node| word(node, &decode::META_FIELDS));
    let is_unclear = field.is_none() && block.has("FIELD");
    let (name, sql_type) = (name?, sql_type?);
    let is_json = JSON_TYPES.contains(&sql_type.to_lowercase().as_str());
    let named = MetaField::named(name.as_str());
    let field = field.or(if is_one && is_json && named != Some(MetaField::Headers) {
        Some(MetaField::Document)
    } else {
        named
    });
    if field.is_none() && !is_unclear && !block.has_unknown() {
        let fields: Vec<_> = decode::META_FIELDS.iter().map(|(name, _)| *name).collect();
        let text = format!("{name} is no field of META: give its FIELD, one of {}", fields.join(", "));
        block.complaints.mistake(&block.span, text, None);
    }
    block.finish();
    Some(MetaColumn { name, sql_type, field: field? })
}
