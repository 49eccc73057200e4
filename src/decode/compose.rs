//! One row of value, key and meta. The value makes rows, one or many; key and meta of their record follow on each.

use super::meta::MetaFields;
use super::{Cause, Charset, Column, Content, Decoder, Parse, Part, Reason, Settings, parser};
use crate::record::Record;
use crate::row::{Room, Rows};
use crate::schema::Schema;

/// See the module.
pub(super) struct Composed {
    value: Option<Half>,
    key: Option<Half>,
    meta: MetaFields,
    /// Key and meta of one record, before they follow its rows.
    tail: Rows,
}

/// Keys or values.
struct Half {
    parser: Box<dyn Parse>,
    /// How many fields it makes.
    fields: usize,
}

impl Half {
    fn new(content: &Content, charset: Option<Charset>) -> Self {
        let is_sent = |column: &&Column| !column.is_ignored;
        Self { parser: parser(content, charset), fields: content.columns.iter().filter(is_sent).count().max(1) }
    }

    fn reason(&self, part: Part, cause: Cause) -> Reason {
        Reason { part, format: self.parser.format(), cause }
    }

    fn nulls(&self, rows: &mut Rows) {
        (0..self.fields).for_each(|_| rows.null());
    }
}

impl Composed {
    pub fn new(settings: &Settings) -> Self {
        Self {
            value: settings.value.as_ref().map(|value| Half::new(value, settings.charset)),
            key: settings.key.as_ref().map(|key| Half::new(key, settings.charset)),
            meta: MetaFields::new(&settings.topic, &settings.meta),
            tail: Rows::default(),
        }
    }

    /// What follows every row of the record.
    fn tail(&mut self, record: &Record<'_>) -> Result<(), Reason> {
        self.tail.clear();
        if let Some(key) = &mut self.key {
            match record.key {
                None => key.nulls(&mut self.tail),
                Some(bytes) => key_fields(key, bytes, &mut self.tail)?,
            }
        }
        self.meta.add(record, &mut self.tail);
        self.tail.end_row();
        Ok(())
    }

    fn rows(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
        let Some(value) = &mut self.value else {
            rows.end_row();
            return Ok(());
        };
        match record.payload {
            Some(payload) => {
                let parsed = value.parser.parse(payload, rows);
                parsed.map_err(|cause| value.reason(Part::Value, cause))
            }
            // what the tombstone is for, the key tells
            None if self.key.is_some() => {
                value.nulls(rows);
                rows.end_row();
                Ok(())
            }
            None => Err(value.reason(Part::Value, Cause::NoValue)),
        }
    }
}

/// A key is one row, and stays open: meta comes behind it.
fn key_fields(key: &mut Half, bytes: &[u8], tail: &mut Rows) -> Result<(), Reason> {
    let parsed = key.parser.parse(bytes, tail);
    parsed.map_err(|cause| key.reason(Part::Key, cause))?;
    match tail.len() {
        1 => {
            tail.reopen_row();
            Ok(())
        }
        rows => Err(key.reason(Part::Key, Cause::KeyRows { rows })),
    }
}

impl Decoder for Composed {
    fn decode(&mut self, record: &Record<'_>, rows: &mut Rows) -> Result<(), Reason> {
        let mark = rows.mark();
        let has_tail = self.key.is_some() || !self.meta.is_empty();
        if has_tail {
            self.tail(record)?;
            if let Some(tail) = self.tail.iter().next() {
                rows.end_rows_with(tail, self.meta.counts_rows());
            }
        }
        let decoded = self.rows(record, rows);
        if has_tail {
            rows.end_rows_plainly();
        }
        decoded.inspect_err(|_| rows.rewind(mark))
    }

    fn room(&self, record: &Record<'_>) -> Room {
        let of = |half: &Option<Half>, bytes: Option<&[u8]>| match (half, bytes) {
            (Some(half), Some(bytes)) => half.parser.room(bytes),
            (Some(half), None) => Room { bytes: 0, fields: half.fields, rows: 1 },
            (None, _) => Room { bytes: 0, fields: 0, rows: 1 },
        };
        let value = of(&self.value, record.payload);
        let key = of(&self.key, record.key);
        let meta = self.meta.room(record);
        Room {
            bytes: value.bytes.saturating_add(value.rows.saturating_mul(key.bytes + meta.bytes)),
            fields: value.fields.saturating_add(value.rows.saturating_mul(key.fields + meta.fields)),
            rows: value.rows,
        }
    }

    fn scratch(&self, record: &Record<'_>) -> usize {
        let of = |half: &Option<Half>, bytes: Option<&[u8]>| {
            half.as_ref().zip(bytes).map_or(0, |(half, bytes)| half.parser.scratch(bytes))
        };
        // one after the other
        of(&self.value, record.payload).max(of(&self.key, record.key))
    }

    fn learn(&mut self, part: Part, id: u32, schema: Result<&Schema, &str>) {
        let half = match part {
            Part::Key => &mut self.key,
            Part::Value => &mut self.value,
        };
        if let Some(half) = half {
            half.parser.learn(id, schema);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::columns_of;
    use super::super::{CsvOptions, Format, Meta, MetaField, decoder};
    use super::*;

    fn shown(settings: &Settings, record: &Record<'_>) -> String {
        let mut rows = Rows::default();
        rows.reserve(decoder(settings).room(record));
        let held = rows.held();
        let mut decoder = decoder(settings);
        if let Err(reason) = decoder.decode(record, &mut rows) {
            assert!(rows.is_empty() && rows.open_fields() == 0);
            return reason.to_string();
        }
        assert_eq!(rows.held(), held);
        let field = |field: Option<&[u8]>| field.map_or("NULL".to_owned(), |bytes| bytes.escape_ascii().to_string());
        rows.iter().map(|row| row.map(field).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join(" / ")
    }

    fn settings() -> Settings {
        Settings {
            value: Some(Content {
                format: Format::Jsonl { newline: "\n".to_owned() },
                columns: vec![Column::document("j")],
            }),
            key: Some(Content { format: Format::Csv(CsvOptions::default()), columns: columns_of("- a b") }),
            meta: vec![
                Meta { field: MetaField::Partition, is_number: true },
                Meta { field: MetaField::Offset, is_number: true },
                Meta { field: MetaField::Row, is_number: true },
            ],
            topic: "t".to_owned(),
            charset: None,
        }
    }

    #[test]
    fn key_and_meta_follow_every_row_of_the_value() {
        let record = Record { key: Some(b"x,1,2"), ..Record::new(3, 7, Some(b"{}\n[]\n")) };
        assert_eq!(shown(&settings(), &record), "{}|1|2|3|7|0 / []|1|2|3|7|1");
    }

    #[test]
    fn what_is_not_there_is_null() {
        let tombstone = Record { key: Some(b"x,1,2"), ..Record::new(3, 7, None) };
        assert_eq!(shown(&settings(), &tombstone), "NULL|1|2|3|7|0");
        assert_eq!(shown(&settings(), &Record::new(3, 7, Some(b"{}"))), "{}|NULL|NULL|3|7|0");
        assert_eq!(shown(&settings(), &Record::new(3, 7, None)), "NULL|NULL|NULL|3|7|0");
    }

    #[test]
    fn a_job_may_read_keys_or_meta_alone() {
        let keys = Settings { value: None, meta: Vec::new(), ..settings() };
        assert_eq!(shown(&keys, &Record { key: Some(b"x,1,2"), ..Record::new(3, 7, Some(b"{}")) }), "1|2");
    }

    #[test]
    fn either_half_may_be_refused_and_says_so() {
        let record = Record { key: Some(b"x,1"), ..Record::new(3, 7, Some(b"{}")) };
        assert_eq!(shown(&settings(), &record), r#"csv key  missing data for column "b""#);
        let record = Record { key: Some(b"x,1,2"), ..Record::new(3, 7, Some(b"{}\n\xff")) };
        assert_eq!(shown(&settings(), &record), r#"jsonl  column "j": invalid UTF-8 at byte 1"#);
        let lines =
            Content { format: Format::Jsonl { newline: "\n".to_owned() }, columns: vec![Column::document("k")] };
        let by_lines = Settings { key: Some(lines), ..settings() };
        let record = Record { key: Some(b"1\n2"), ..Record::new(3, 7, Some(b"{}")) };
        assert_eq!(shown(&by_lines, &record), "jsonl key  it makes 2 rows; a key makes one");
        let record = Record { key: Some(b" "), ..Record::new(3, 7, Some(b"{}")) };
        assert_eq!(shown(&by_lines, &record), "jsonl key  it is empty");
    }
}
