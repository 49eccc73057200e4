//! Records → rows. Each format is one file behind the trait [`Parse`]; KEY, VALUE and META become one row in
//! `compose.rs`. What cannot become a row is a [`Reason`], a value. No I/O, no clock, and no allocation once the buffers
//! are warm.
//!
//! Types are left to the database: a field is bytes here, and the segment that casts it may still refuse it. What is
//! settled here is what a segment could not refuse cleanly: fields that are too few or too many, NUL bytes, and bytes
//! that are no UTF-8. Called by the job's workers; `encode` takes the rows on.

pub mod avro;
mod binary;
mod columns;
mod compose;
mod csv;
mod delimited;
mod hex;
mod json;
mod lines;
mod meta;
mod plain;
pub mod protobuf;
mod reason;
mod transcode;
mod whole;

use crate::record::Record;
use crate::row::{Room, Rows};
use crate::schema::Schema;

pub use avro::{AvroFraming, AvroOptions, check as check_avro};
pub use meta::{Meta, MetaField, NAMED as META_FIELDS};
pub use protobuf::{ProtobufOptions, ProtobufSource, check as check_protobuf};
pub use reason::{Cause, Part, Reason};
pub use transcode::Charset;

/// How records are read. Fields come in this order: value, key, meta.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub value: Option<Content>,
    pub key: Option<Content>,
    pub meta: Vec<Meta>,
    /// What [`MetaField::Topic`] says.
    pub topic: String,
    /// What values and keys of formats that are text are written in; `None` is UTF-8.
    pub charset: Option<Charset>,
}

impl Settings {
    /// Values alone.
    pub fn of_value(format: Format, columns: Vec<Column>) -> Self {
        Self { value: Some(Content { format, columns }), ..Self::default() }
    }

    /// Whether payloads are sent as they are.
    pub fn is_custom(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.format == Format::Custom)
    }
}

/// How keys or values are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub format: Format,
    /// In the order of the message. Formats of one field use the first.
    pub columns: Vec<Column>,
}

/// One column of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Names it in rejects.
    pub name: String,
    /// It is read past and never sent.
    pub is_ignored: bool,
    /// Where formats with named fields find it, from the outside in: `["customer", "id"]`. An element of digits also
    /// counts the elements of an array, from 0. Empty: the column is the whole message, and the only one; or it is the
    /// first, and the others are texts of a JSON document that stand in its place where it is plain, see `json`.
    pub path: Vec<String>,
    /// What a format that has types of its own writes for it.
    pub kind: ColumnKind,
}

impl Column {
    /// A text that is found by its name.
    pub fn text(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { path: vec![name.clone()], name, is_ignored: false, kind: ColumnKind::Scalar }
    }

    /// The whole message, a JSON document.
    pub fn document(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_ignored: false, path: Vec::new(), kind: ColumnKind::Json }
    }
}

/// What the database reads a column's text as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// Numbers, texts, times: the bare value.
    Scalar,
    /// json or jsonb: a document, strings in quotes.
    Json,
    /// bytea: `\x` and hex digits.
    Bytes,
    /// `text[]` and the like: an array literal.
    Array,
}

impl ColumnKind {
    /// The kind of an SQL type, as users and the catalog write it.
    pub fn of(sql_type: &str) -> Self {
        let sql_type = sql_type.trim().to_ascii_lowercase();
        match sql_type.as_str() {
            "json" | "jsonb" | "gp_json" | "gp_jsonb" => Self::Json,
            "bytea" => Self::Bytes,
            array if array.ends_with(']') => Self::Array,
            _ => Self::Scalar,
        }
    }
}

/// What a payload looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One row, as COPY … CSV of Greenplum 6 reads it.
    Csv(CsvOptions),
    /// Rows and fields parted by byte strings, no NULL: an empty field is the empty string, which a column that is no text
    /// refuses.
    Delimited(DelimitedOptions),
    /// The payload is one document: sent as it is, or taken apart by the columns' paths.
    Json,
    /// A document a line. Blank lines hold none.
    Jsonl { newline: String },
    /// The whole payload is one `bytea`, sent as hex.
    Binary,
    /// One datum: a document, or a row of columns.
    Avro(AvroOptions),
    /// The whole payload is one message, its fields found by the paths of the columns.
    Protobuf(ProtobufOptions),
    /// Nobody but the database knows: the payload is sent as it is, see [`crate::encode::BlockBuilder::push_whole`].
    Custom,
}

impl Format {
    /// As the job file calls it, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => csv::NAME,
            Self::Delimited(_) => delimited::NAME,
            Self::Json => json::NAME,
            Self::Jsonl { .. } => json::LINES_NAME,
            Self::Binary => binary::NAME,
            Self::Avro(_) => avro::NAME,
            Self::Protobuf(_) => protobuf::NAME,
            Self::Custom => whole::NAME,
        }
    }

    /// Whether a payload is written in a charset.
    pub fn is_text(&self) -> bool {
        match self {
            Self::Csv(_) | Self::Delimited { .. } | Self::Json | Self::Jsonl { .. } => true,
            Self::Binary | Self::Avro(_) | Self::Protobuf(_) | Self::Custom => false,
        }
    }
}

/// The options of COPY … CSV, with its defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    pub delimiter: u8,
    pub quote: u8,
    /// The byte that makes a quote or itself ordinary inside quotes.
    pub escape: u8,
    /// An unquoted field that is exactly this is NULL.
    pub null_string: String,
    /// Columns in which NULL becomes `null_string`, as text.
    pub force_not_null: Vec<String>,
    /// Missing trailing fields are NULL, but in an empty line.
    pub fill_missing_fields: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: b'"',
            escape: b'"',
            null_string: String::new(),
            force_not_null: Vec::new(),
            fill_missing_fields: false,
        }
    }
}

/// How rows and fields of [`Format::Delimited`] are parted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelimitedOptions {
    /// At least one byte.
    pub delimiter: Vec<u8>,
    /// What makes a LF behind it a row's end. Empty: every LF is one, and CR LF.
    pub eol_prefix: Vec<u8>,
    /// Needs `escape`.
    pub quote: Option<u8>,
    pub escape: Option<u8>,
}

impl DelimitedOptions {
    /// A row a line, fields parted by one byte, nothing special.
    pub fn of_byte(delimiter: u8) -> Self {
        Self { delimiter: vec![delimiter], eol_prefix: Vec::new(), quote: None, escape: None }
    }
}

/// Turns records into rows.
pub trait Decoder: Send {
    /// Adds the rows of one record to `rows`: all of them, or none.
    ///
    /// # Errors
    /// Why the record has no row. `rows` is as it was before. Where [`Reason::wanted_schema`] names a schema the record
    /// is not refused: it can be decoded once [`Decoder::learn`] has been told of it.
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason>;

    /// The most that [`Decoder::decode`] adds to `rows` for a record, on the way to an error too. Some formats look at
    /// all of the payload for it: for records that are large enough to be worth the question.
    fn room(&self, record: &Record<'_>) -> Room;

    /// Bytes of memory that [`Decoder::decode`] and [`Decoder::room`] take on the way, beside the rows: at most so many,
    /// where it is so much more than the payload that it should be asked for. Nothing is allocated to tell.
    fn scratch(&self, _record: &Record<'_>) -> usize {
        0
    }

    /// The schema that keys or values name by this id, or why there is none; then every record that names it is refused
    /// with that.
    fn learn(&mut self, part: Part, id: u32, schema: Result<&Schema, &str>);
}

/// The decoder of a job.
pub fn decoder(settings: &Settings) -> Box<dyn Decoder> {
    Box::new(compose::Composed::new(settings))
}

fn parser(content: &Content, charset: Option<Charset>) -> Box<dyn Parse> {
    let columns = columns::Columns::new(&content.columns);
    let parser: Box<dyn Parse> = match &content.format {
        Format::Csv(options) => Box::new(csv::Csv::new(options, columns)),
        Format::Delimited(options) => Box::new(delimited::Delimited::new(options, columns)),
        Format::Json => Box::new(json::Json::new(&content.columns)),
        Format::Jsonl { newline } => Box::new(json::Jsonl::new(newline, &content.columns)),
        Format::Binary => Box::new(binary::Binary),
        Format::Avro(options) => Box::new(avro::Avro::new(options, &content.columns)),
        Format::Protobuf(options) => Box::new(protobuf::Protobuf::new(options, &content.columns)),
        Format::Custom => Box::new(whole::Whole),
    };
    match charset.filter(|charset| content.format.is_text() && !charset.is_utf8()) {
        Some(charset) => Box::new(transcode::Transcoded::new(parser, charset)),
        None => parser,
    }
}

/// One format: only its bytes. What holds for all of them is in `compose.rs`.
trait Parse: Send {
    /// As the job file calls it.
    fn format(&self) -> &'static str;

    /// Adds the payload's rows; on an error it may leave some behind.
    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause>;

    /// The most that it adds.
    fn room(&self, payload: &[u8]) -> Room;

    /// See [`Decoder::scratch`].
    fn scratch(&self, _payload: &[u8]) -> usize {
        0
    }

    /// See [`Decoder::learn`]; for formats that ask for schemas by [`Cause::SchemaWanted`].
    fn learn(&mut self, _id: u32, _schema: Result<&Schema, &str>) {}
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a payload becomes: rows as `a|NULL|''` joined by ` / `, or the reason.
    pub(crate) fn decoded(settings: &Settings, payload: Option<&[u8]>) -> String {
        let record = Record::new(0, 0, payload);
        let mut rows = Rows::default();
        rows.field(b"before");
        rows.end_row();
        let outcome = decoder(settings).decode(&record, &mut rows);
        let shown = |field: Option<&[u8]>| match field {
            None => "NULL".to_owned(),
            Some(b"") => "''".to_owned(),
            Some(bytes) => bytes.escape_ascii().to_string(),
        };
        let mut shown: Vec<String> = rows.iter().map(|row| row.map(shown).collect::<Vec<_>>().join("|")).collect();
        assert_eq!(shown.remove(0), "before");
        match outcome {
            Ok(()) => shown.join(" / "),
            Err(reason) => {
                assert!(shown.is_empty() && rows.open_fields() == 0 && rows.open_field().is_empty());
                reason.to_string()
            }
        }
    }

    /// Columns by name; `-` is an ignored one.
    pub(crate) fn settings(format: Format, columns: &str) -> Settings {
        Settings::of_value(format, columns_of(columns))
    }

    pub(crate) fn columns_of(columns: &str) -> Vec<Column> {
        let column = |name: &str| Column { is_ignored: name == "-", ..Column::text(name) };
        columns.split_whitespace().map(column).collect()
    }

    fn avro(schema: &str) -> Format {
        let framing = AvroFraming::Fixed(Schema::alone(crate::schema::SchemaKind::Avro, schema));
        Format::Avro(AvroOptions { framing, bytes_to_base64: false })
    }

    #[test]
    fn a_record_without_a_value_is_rejected_in_every_format() {
        for format in [
            Format::Csv(CsvOptions::default()),
            Format::Delimited(DelimitedOptions::of_byte(b'|')),
            Format::Json,
            Format::Jsonl { newline: "\n".to_owned() },
            Format::Binary,
            Format::Custom,
            avro(r#""string""#),
        ] {
            let expected = format!("{}  no value to load (a tombstone)", format.name());
            assert_eq!(decoded(&settings(format, "a"), None), expected);
        }
    }

    proptest! {
        /// Memory for the room that was asked for is enough, whether the payload is good or not.
        #[test]
        fn no_payload_takes_more_than_its_room(
            format in prop_oneof![
                Just(Format::Csv(CsvOptions::default())),
                Just(Format::Csv(CsvOptions {
                    null_string: "none".to_owned(),
                    force_not_null: vec!["a".to_owned(), "c".to_owned()],
                    fill_missing_fields: true,
                    ..CsvOptions::default()
                })),
                Just(Format::Delimited(DelimitedOptions::of_byte(b','))),
                Just(Format::Delimited(DelimitedOptions {
                    delimiter: b",x".to_vec(),
                    eol_prefix: b"x".to_vec(),
                    quote: Some(b'"'),
                    escape: Some(b'"'),
                })),
                Just(Format::Delimited(DelimitedOptions { escape: Some(b'x'), ..DelimitedOptions::of_byte(b',') })),
                Just(Format::Json),
                Just(Format::Jsonl { newline: "\n".to_owned() }),
                Just(Format::Jsonl { newline: "xx".to_owned() }),
                Just(Format::Jsonl { newline: String::new() }),
                Just(Format::Binary),
                Just(Format::Custom),
                Just(avro(r#"["string","bytes"]"#)),
                Just(avro(r#"{"type":"record","name":"r","fields":[
                    {"name":"a","type":"string"},
                    {"name":"c","type":{"type":"array","items":"int"}},
                    {"name":"b","type":["null","string"]}]}"#)),
            ],
            columns in prop_oneof![Just("a"), Just("a b c"), Just("- b")],
            payload in "[x,\"\n\r\u{0}\u{2}\u{4}ä]{0,40}",
        ) {
            let payload = Some(payload.as_bytes());
            let record = Record::new(0, 0, payload);
            let mut decoder = decoder(&settings(format, columns));
            let mut rows = Rows::default();
            rows.reserve(decoder.room(&record));
            let held = rows.held();
            drop(decoder.decode(&record, &mut rows));
            prop_assert_eq!(rows.held(), held);
        }
    }
}
