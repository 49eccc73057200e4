//! META: what Kafka knows of a record, as one JSON document or as fields of their own.

use std::io::Write;

use super::hex;
use crate::record::{Header, Record};
use crate::row::{Room, Rows};

/// One column of META.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub field: MetaField,
    /// A timestamp is milliseconds since 1970 then, and RFC 3339 in UTC otherwise.
    pub is_number: bool,
}

/// What a column of META may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetaField {
    /// All the others but [`MetaField::Row`], as one JSON document; what Kafka does not know is null.
    Document,
    Topic,
    Partition,
    Offset,
    /// NULL where the broker keeps none.
    Timestamp,
    /// `CreateTime` or `LogAppendTime`.
    TimestampType,
    /// Bytes of the key; NULL where there is none.
    KeyLength,
    /// A JSON object: names to values. Of a name that comes twice it holds both. A value that text cannot hold is its
    /// bytes as `\x` and hex.
    Headers,
    /// Which of its record's rows it is, from 0. Must be the last.
    Row,
}

/// Those that are found by a name, as a job file calls them.
pub const NAMED: [(&str, MetaField); 7] = [
    ("topic", MetaField::Topic),
    ("partition", MetaField::Partition),
    ("offset", MetaField::Offset),
    ("timestamp", MetaField::Timestamp),
    ("timestamp_type", MetaField::TimestampType),
    ("key_length", MetaField::KeyLength),
    ("headers", MetaField::Headers),
];

impl MetaField {
    /// The field that a job file calls so, in any case.
    pub fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

/// Fills the fields of META.
pub(super) struct MetaFields {
    topic: String,
    columns: Vec<Meta>,
    counts_rows: bool,
}

/// The longest that a number, a time or a name of this file comes to.
const FIELD_BYTES_MAX: usize = 40;

impl MetaFields {
    pub fn new(topic: &str, columns: &[Meta]) -> Self {
        let columns: Vec<_> = columns.to_vec();
        let counts_rows = columns.last().is_some_and(|last| last.field == MetaField::Row);
        Self { topic: topic.to_owned(), columns, counts_rows }
    }

    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether each row gets its number, behind what [`MetaFields::add`] has added.
    pub fn counts_rows(&self) -> bool {
        self.counts_rows
    }

    /// Adds the fields of one record, all but [`MetaField::Row`].
    pub fn add(&self, record: &Record<'_>, rows: &mut Rows) {
        for column in self.columns.iter().filter(|column| column.field != MetaField::Row) {
            match self.write(*column, record, rows) {
                true => rows.end_field(),
                false => rows.null(),
            }
        }
    }

    /// Adds to the open field. `false`: NULL.
    fn write(&self, column: Meta, record: &Record<'_>, rows: &mut Rows) -> bool {
        match column.field {
            MetaField::Document => self.document(record, rows),
            MetaField::Topic => rows.extend(self.topic.as_bytes()),
            MetaField::Partition => number(record.partition.into(), rows),
            MetaField::Offset => number(record.offset, rows),
            MetaField::Timestamp => match record.timestamp_ms {
                None => return false,
                Some(ms) if column.is_number => number(ms, rows),
                Some(ms) => return time(ms, rows),
            },
            MetaField::TimestampType => match record.timestamp_type {
                None => return false,
                Some(kind) => rows.extend(kind.name().as_bytes()),
            },
            MetaField::KeyLength => match record.key {
                None => return false,
                Some(key) => number(length(key), rows),
            },
            MetaField::Headers => headers(&record.headers.read(), rows),
            MetaField::Row => return false,
        }
        true
    }

    fn document(&self, record: &Record<'_>, rows: &mut Rows) {
        rows.extend(b"{\"topic\":");
        string(self.topic.as_bytes(), rows);
        rows.extend(b",\"partition\":");
        number(record.partition.into(), rows);
        rows.extend(b",\"offset\":");
        number(record.offset, rows);
        rows.extend(b",\"timestamp\":");
        number_or_null(record.timestamp_ms, rows);
        rows.extend(b",\"timestamp_type\":");
        match record.timestamp_type {
            None => rows.extend(b"null"),
            Some(kind) => string(kind.name().as_bytes(), rows),
        }
        rows.extend(b",\"key_length\":");
        number_or_null(record.key.map(length), rows);
        rows.extend(b",\"headers\":");
        headers(&record.headers.read(), rows);
        rows.extend(b"}");
    }

    /// The most that the fields of a record come to.
    pub fn room(&self, record: &Record<'_>) -> Room {
        // a byte of a header is at most six of JSON
        let of_header = |header: &Header<'_>| 6 * (header.name.len() + header.value.map_or(0, <[u8]>::len)) + 10;
        let headers = || record.headers.read().iter().map(of_header).sum::<usize>() + 2;
        let of = |column: &Meta| match column.field {
            MetaField::Document => 6 * self.topic.len() + headers() + 8 * FIELD_BYTES_MAX,
            MetaField::Topic => self.topic.len(),
            MetaField::Headers => headers(),
            _ => FIELD_BYTES_MAX,
        };
        Room { bytes: self.columns.iter().map(of).sum(), fields: self.columns.len(), rows: 0 }
    }
}

fn length(key: &[u8]) -> i64 {
    i64::try_from(key.len()).unwrap_or(i64::MAX)
}

fn number(number: i64, rows: &mut Rows) {
    let mut text = [0; FIELD_BYTES_MAX];
    let mut rest = &mut text[..];
    let written = write!(rest, "{number}").map(|()| FIELD_BYTES_MAX - rest.len());
    rows.extend(&text[..written.expect("an i64 has 20 characters at most")]);
}

fn number_or_null(value: Option<i64>, rows: &mut Rows) {
    match value {
        Some(value) => number(value, rows),
        None => rows.extend(b"null"),
    }
}

/// `false`: a year that no calendar has.
fn time(ms: i64, rows: &mut Rows) -> bool {
    let Ok(time) = jiff::Timestamp::from_millisecond(ms) else { return false };
    let mut text = [0; FIELD_BYTES_MAX];
    let mut rest = &mut text[..];
    let Ok(()) = write!(rest, "{time:.3}") else { return false };
    let written = FIELD_BYTES_MAX - rest.len();
    rows.extend(&text[..written]);
    true
}

fn headers(headers: &[Header<'_>], rows: &mut Rows) {
    rows.extend(b"{");
    for (at, header) in headers.iter().enumerate() {
        if at > 0 {
            rows.extend(b",");
        }
        string(header.name.as_bytes(), rows);
        rows.extend(b":");
        match header.value {
            None => rows.extend(b"null"),
            Some(value) => string(value, rows),
        }
    }
    rows.extend(b"}");
}

/// A JSON string; bytes that text cannot hold as `\x` and hex.
fn string(bytes: &[u8], rows: &mut Rows) {
    rows.extend(b"\"");
    if super::columns::is_text(bytes) {
        bytes.iter().for_each(|&byte| escaped(byte, rows));
    } else {
        rows.extend(br"\\x");
        hex::write(bytes, |digits| rows.extend(digits));
    }
    rows.extend(b"\"");
}

fn escaped(byte: u8, rows: &mut Rows) {
    match byte {
        b'"' => rows.extend(br#"\""#),
        b'\\' => rows.extend(br"\\"),
        0..0x20 => {
            rows.extend(br"\u00");
            rows.extend(&hex::of(byte));
        }
        byte => rows.extend(&[byte]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TimestampType;

    fn fields(columns: &[MetaField], record: &Record<'_>) -> Vec<Option<String>> {
        let columns: Vec<_> = columns.iter().map(|&field| Meta { field, is_number: false }).collect();
        let mut rows = Rows::default();
        MetaFields::new("orders", &columns).add(record, &mut rows);
        rows.end_row();
        let text = |field: Option<&[u8]>| field.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        rows.iter().next().unwrap().map(text).collect()
    }

    #[test]
    fn all_that_kafka_knows() {
        let headers = [
            Header { name: "trace", value: Some(b"a\"b\\c\n") },
            Header { name: "raw", value: Some(b"\xff\0") },
            Header { name: "none", value: None },
        ];
        let record = Record {
            timestamp_ms: Some(1_569_339_237_053),
            timestamp_type: Some(TimestampType::Create),
            key: Some(b"abc"),
            headers: &headers,
            ..Record::new(2, 41, None)
        };
        let named = NAMED.map(|(_, field)| field);
        let headers = r#"{"trace":"a\"b\\c\u000a","raw":"\\xff00","none":null}"#;
        let expected = ["orders", "2", "41", "2019-09-24T15:33:57.053Z", "CreateTime", "3", headers];
        assert_eq!(fields(&named, &record), expected.map(|text| Some(text.to_owned())));
        let document = format!(
            r#"{{"topic":"orders","partition":2,"offset":41,"timestamp":1569339237053,"timestamp_type":"CreateTime","key_length":3,"headers":{headers}}}"#
        );
        assert_eq!(fields(&[MetaField::Document], &record), [Some(document)]);
    }

    #[test]
    fn what_kafka_does_not_know_is_null() {
        let record = Record::new(2, 41, None);
        let unknown = [MetaField::Timestamp, MetaField::TimestampType, MetaField::KeyLength];
        assert_eq!(fields(&unknown, &record), [None, None, None]);
        let document = r#"{"topic":"orders","partition":2,"offset":41,"timestamp":null,"timestamp_type":null,"key_length":null,"headers":{}}"#;
        assert_eq!(fields(&[MetaField::Document], &record), [Some(document.to_owned())]);
    }
}
