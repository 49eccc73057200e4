//! Payload bytes → rows. Each format is one file behind the trait [`Decoder`]; what cannot become a row is a
//! [`Reason`], a value. No I/O, no clock, and no allocation once the buffers are warm.
//!
//! Types are left to the database: a field is bytes here, and the segment that casts it may still refuse it. What is
//! settled here is what a segment could not refuse cleanly: fields that are too few or too many, NUL bytes, and bytes
//! that are no UTF-8. Called by the job's workers; `encode` takes the rows on.

mod binary;
mod columns;
mod csv;
mod delimited;
mod json;
mod lines;
mod reason;

use crate::record::Record;
use crate::row::{Room, Rows};

pub use reason::{Cause, Reason};

/// How payloads are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
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
}

/// What a payload looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One row, as COPY … CSV of Greenplum 6 reads it.
    Csv(CsvOptions),
    /// A row a line, fields parted by one byte, no quoting and no NULL: an empty field is the empty string, which a
    /// column that is no text refuses.
    Delimited { delimiter: u8 },
    /// The whole payload is one document.
    Json,
    /// A document a line. Blank lines hold none.
    Jsonl { newline: String },
    /// The whole payload is one `bytea`, sent as hex.
    Binary,
}

impl Format {
    /// As the job file calls it, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Csv(_) => csv::NAME,
            Self::Delimited { .. } => delimited::NAME,
            Self::Json => json::NAME,
            Self::Jsonl { .. } => json::LINES_NAME,
            Self::Binary => binary::NAME,
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

/// Turns records into rows.
pub trait Decoder: Send {
    /// Adds the rows of one record to `rows`: all of them, or none.
    ///
    /// # Errors
    /// Why the record has no row. `rows` is as it was before.
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason>;

    /// The most that [`Decoder::decode`] adds to `rows` for a record, on the way to an error too. Some formats look at
    /// all of the payload for it: for records that are large enough to be worth the question.
    fn room(&self, record: &Record<'_>) -> Room;
}

/// The decoder of a format.
pub fn decoder(settings: &Settings) -> Box<dyn Decoder> {
    let columns = columns::Columns::new(&settings.columns);
    match &settings.format {
        Format::Csv(options) => Box::new(csv::Csv::new(options, columns)),
        Format::Delimited { delimiter } => Box::new(delimited::Delimited::new(*delimiter, columns)),
        Format::Json => Box::new(json::Json::new(&columns)),
        Format::Jsonl { newline } => Box::new(json::Jsonl::new(newline, &columns)),
        Format::Binary => Box::new(binary::Binary),
    }
}

/// One format: only its bytes. What holds for all of them is in the [`Decoder`] made of it.
trait Parse: Send {
    const FORMAT: &'static str;

    /// Adds the payload's rows; on an error it may leave some behind.
    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause>;

    /// The most that it adds.
    fn room(&self, payload: &[u8]) -> Room;
}

impl<P: Parse> Decoder for P {
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
        let mark = rows.mark();
        let payload = record.payload.ok_or(Cause::NoValue);
        payload.and_then(|payload| self.parse(payload, rows)).map_err(|cause| {
            rows.rewind(mark);
            Reason { format: P::FORMAT, cause }
        })
    }

    fn room(&self, record: &Record<'_>) -> Room {
        record.payload.map_or_else(Room::default, |payload| Parse::room(self, payload))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a payload becomes: rows as `a|NULL|''` joined by ` / `, or the reason.
    pub(crate) fn decoded(settings: &Settings, payload: Option<&[u8]>) -> String {
        let record = Record { partition: 0, offset: 0, timestamp_ms: None, key: None, payload, leader_epoch: None };
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
        let column = |name: &str| Column { name: name.to_owned(), is_ignored: name == "-" };
        Settings { format, columns: columns.split_whitespace().map(column).collect() }
    }

    #[test]
    fn a_record_without_a_value_is_rejected_in_every_format() {
        for format in [
            Format::Csv(CsvOptions::default()),
            Format::Delimited { delimiter: b'|' },
            Format::Json,
            Format::Jsonl { newline: "\n".to_owned() },
            Format::Binary,
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
                Just(Format::Delimited { delimiter: b',' }),
                Just(Format::Json),
                Just(Format::Jsonl { newline: "\n".to_owned() }),
                Just(Format::Jsonl { newline: "xx".to_owned() }),
                Just(Format::Jsonl { newline: String::new() }),
                Just(Format::Binary),
            ],
            columns in prop_oneof![Just("a"), Just("a b c"), Just("- b")],
            payload in "[x,\"\n\r\u{0}ä]{0,40}",
        ) {
            let payload = Some(payload.as_bytes());
            let record = Record { partition: 0, offset: 0, timestamp_ms: None, key: None, payload, leader_epoch: None };
            let mut decoder = decoder(&settings(format, columns));
            let mut rows = Rows::default();
            rows.reserve(decoder.room(&record));
            let held = rows.held();
            drop(decoder.decode(&record, &mut rows));
            prop_assert_eq!(rows.held(), held);
        }
    }
}
