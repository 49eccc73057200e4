//! csv: one row a record, read as COPY … CSV of Greenplum 6 reads a line. Quotes may begin and end anywhere in a field,
//! spaces belong to it, an unquoted field that equals the NULL string is NULL, and `\.` is ordinary.
//!
//! One line end after the row is dropped; any other line break must stand inside quotes.

use std::sync::Arc;

use super::columns::{Columns, Target, is_text};
use super::plain::Plain;
use super::{Cause, CsvOptions, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "csv";

pub(super) struct Csv {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    fills_missing: bool,
    columns: Columns,
    /// For each column, whether NULL becomes the NULL string.
    is_forced: Vec<bool>,
    /// Where every field is sent.
    plain: Option<Plain>,
}

/// What one look at a whole line told, so that not every field needs one.
#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    /// All of it is text, and fields are parted by ASCII.
    is_clean: bool,
    has_breaks: bool,
}

impl Csv {
    pub fn new(options: &CsvOptions, columns: Columns) -> Self {
        let forced = |column| {
            columns
                .get(column)
                .is_some_and(|target: &Target| options.force_not_null.iter().any(|name| **name == *target.name))
        };
        let sends_all = (0..columns.len()).all(|column| columns.get(column).is_some_and(|target| !target.is_ignored));
        let plain = Plain::new(options.delimiter, options.quote, options.null_string.as_bytes(), columns.len());
        Self {
            plain: plain.filter(|_| sends_all),
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null_string.clone().into_bytes(),
            fills_missing: options.fill_missing_fields,
            is_forced: (0..columns.len()).map(forced).collect(),
            columns,
        }
    }

    /// Reads the field at `at`; returns where the next begins, if there is one.
    fn field(&self, line: Line<'_>, mut at: usize, column: usize, rows: &mut Rows) -> Result<Option<usize>, Cause> {
        let target = self.columns.expect(column)?;
        let start = at;
        let mut is_quoted = false;
        loop {
            let plain = &line.bytes[at..];
            let end = memchr::memchr2(self.delimiter, self.quote, plain).unwrap_or(plain.len());
            if line.has_breaks && memchr::memchr2(b'\n', b'\r', &plain[..end]).is_some() {
                return Err(Cause::LineBreak { column: Arc::clone(&target.name) });
            }
            rows.extend(&plain[..end]);
            at += end;
            let stop = line.bytes.get(at);
            if stop != Some(&self.quote) || self.quote == self.delimiter {
                if !is_quoted && line.bytes[start..at] == *self.null {
                    self.null(column, target, rows);
                } else {
                    target.end(rows, line.is_clean)?;
                }
                return Ok(stop.map(|_| at + 1));
            }
            is_quoted = true;
            at = self.quoted(line.bytes, at + 1, target, rows)?;
        }
    }

    /// Reads to the closing quote; returns what is behind it.
    fn quoted(&self, line: &[u8], mut at: usize, target: &Target, rows: &mut Rows) -> Result<usize, Cause> {
        loop {
            let Some(length) = memchr::memchr2(self.quote, self.escape, &line[at..]) else {
                return Err(Cause::UnterminatedQuote { column: Arc::clone(&target.name) });
            };
            rows.extend(&line[at..at + length]);
            at += length;
            let next = line.get(at + 1).filter(|&&next| next == self.quote || next == self.escape);
            match next {
                Some(&escaped) if line[at] == self.escape => {
                    rows.extend(&[escaped]);
                    at += 2;
                }
                _ if line[at] == self.quote => return Ok(at + 1),
                _ => {
                    rows.extend(&[self.escape]);
                    at += 1;
                }
            }
        }
    }

    fn null(&self, column: usize, target: &Target, rows: &mut Rows) {
        target.null_or(self.is_forced[column].then_some(self.null.as_slice()), rows);
    }

    /// What follows the last field that the line has.
    fn missing(&self, line: &[u8], from: usize, rows: &mut Rows) -> Result<(), Cause> {
        let Some(first) = self.columns.get(from) else { return Ok(()) };
        if !self.fills_missing {
            return Err(Cause::MissingData { column: Arc::clone(&first.name) });
        }
        if line.is_empty() {
            return Err(Cause::EmptyLine { column: Arc::clone(&first.name) });
        }
        for column in from..self.columns.len() {
            self.null(column, self.columns.expect(column)?, rows);
        }
        Ok(())
    }
}

impl Parse for Csv {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        let bytes = without_line_end(payload);
        if self.plain.as_mut().is_some_and(|plain| plain.add(bytes, rows)) {
            rows.end_row();
            return Ok(());
        }
        let parted_by_ascii = self.delimiter.is_ascii() && self.quote.is_ascii() && self.escape.is_ascii();
        let line = Line {
            bytes,
            is_clean: parted_by_ascii && is_text(bytes),
            has_breaks: memchr::memchr2(b'\n', b'\r', bytes).is_some(),
        };
        let mut column = 0;
        let mut next = Some(0);
        while let Some(at) = next {
            next = self.field(line, at, column, rows)?;
            column += 1;
        }
        self.missing(bytes, column, rows)?;
        rows.end_row();
        Ok(())
    }

    /// Beside the payload, a column that is missing may become the NULL string.
    fn room(&self, payload: &[u8]) -> Room {
        let fields = self.columns.len();
        Room { bytes: payload.len() + fields * self.null.len(), fields, rows: 1 }
    }
}

/// A line may come with the end that it had in a file: CR LF, LF or CR.
fn without_line_end(payload: &[u8]) -> &[u8] {
    let payload = payload.strip_suffix(b"\n").map_or(payload, |line| line);
    payload.strip_suffix(b"\r").unwrap_or(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{decoded, settings};
    use super::super::{Format, decoder};
    use super::*;
    use crate::record::Record;

    fn check(options: &CsvOptions, columns: &str, cases: &[(&str, &str)]) {
        let settings = settings(Format::Csv(options.clone()), columns);
        for (payload, expected) in cases {
            assert_eq!(decoded(&settings, Some(payload.as_bytes())), *expected, "{payload:?}");
        }
    }

    #[test]
    fn fields_as_copy_reads_them() {
        check(
            &CsvOptions::default(),
            "a b c",
            &[
                ("1,2,3", "1|2|3"),
                (",,", "NULL|NULL|NULL"),
                (r#""","",x"#, "''|''|x"),
                (r#" a , "b" ,c "#, " a | b |c "),
                (r#""a""b","""",c"#, r#"a\"b|\"|c"#),
                (r#"x"y"z,"p"q,r"s""#, "xyz|pq|rs"),
                (r#"1,"a,b","c"#, r#"csv  column "c": unterminated CSV quoted field"#),
                (r"\.,\N,\", r"\\.|\\N|\\"),
                ("a,'b',c", r"a|\'b\'|c"),
                ("\u{feff}a,b,ü", r"\xef\xbb\xbfa|b|\xc3\xbc"),
                ("a,b", r#"csv  missing data for column "c""#),
                ("", r#"csv  missing data for column "b""#),
                ("a,b,c,", "csv  extra data after last expected column"),
                ("a,b,c,d,e", "csv  extra data after last expected column"),
            ],
        );
        check(&CsvOptions::default(), "a", &[("", "NULL"), (r#""""#, "''"), (r"\.", r"\\."), ("\n", "NULL")]);
    }

    #[test]
    fn a_line_end_after_the_row_is_dropped_and_none_may_stand_inside() {
        let inside =
            |column| format!(r#"csv  column "{column}": a line break outside quotes; a message holds one row"#);
        check(
            &CsvOptions::default(),
            "a b",
            &[
                ("1,2\n", "1|2"),
                ("1,2\r\n", "1|2"),
                ("1,2\r", "1|2"),
                ("1,\n", "1|NULL"),
                ("1,\"\n\"\n", r"1|\n"),
                ("1,\"x\r\ny\rz\"\r\n", r"1|x\r\ny\rz"),
                ("1,2\n\n", &inside("b")),
                ("1,2\r\r\n", &inside("b")),
                ("1,2\n3,4", &inside("b")),
                ("1\r,2", &inside("a")),
                ("1,\"\n\"\nx", &inside("b")),
                ("1,\"2\n", r#"csv  column "b": unterminated CSV quoted field"#),
            ],
        );
    }

    #[test]
    fn options_are_copys() {
        let options = CsvOptions { delimiter: b'|', quote: b'\'', escape: b'\\', ..CsvOptions::default() };
        check(
            &options,
            "a b",
            &[
                (r"1|'\'\\'", r"1|\'\\"),
                (r"\'|'x\y'", r#"csv  column "a": unterminated CSV quoted field"#),
                (r"\'\''\|'x\y'", r"\\\'\\|x\\y"),
                (r"\|'x\y\'", r#"csv  column "b": unterminated CSV quoted field"#),
                (r"\|'x\y\\'", r"\\|x\\y\\"),
                (r#"","|"x""#, r#"\",\"|\"x\""#),
                (r"''''|''", "''|''"),
            ],
        );
        let options = CsvOptions {
            null_string: "\\N".to_owned(),
            force_not_null: vec!["b".to_owned(), "of_no_column".to_owned()],
            ..CsvOptions::default()
        };
        check(
            &options,
            "a b c",
            &[(r#"\N,\N,"\N""#, r"NULL|\\N|\\N"), (",x,", "''|x|''"), (r" \N,,\N", r" \\N|''|NULL")],
        );
    }

    #[test]
    fn missing_fields_are_filled_on_request() {
        let options =
            CsvOptions { fill_missing_fields: true, force_not_null: vec!["c".to_owned()], ..CsvOptions::default() };
        check(
            &options,
            "a b c d",
            &[
                ("1", "1|NULL|''|NULL"),
                ("1,2,3,4", "1|2|3|4"),
                ("", r#"csv  missing data for column "b", found empty data line"#),
                ("1,2,3,4,5", "csv  extra data after last expected column"),
            ],
        );
        check(&options, "a", &[("", "NULL")]);
    }

    #[test]
    fn ignored_columns_are_read_and_never_sent() {
        let ignores = settings(Format::Csv(CsvOptions::default()), "a - b -");
        for (payload, expected) in [
            (&b"1,\"x,y\",2,"[..], "1|2"),
            (b"1,\xff,2,\0", "1|2"),
            (b"1,2", r#"csv  missing data for column "b""#),
            (b"1,2,3", r#"csv  missing data for column "-""#),
        ] {
            assert_eq!(decoded(&ignores, Some(payload)), expected);
        }
    }

    #[test]
    fn what_is_no_text_is_never_sent() {
        let settings = settings(Format::Csv(CsvOptions::default()), "a b");
        for (payload, expected) in [
            (&b"1,x\0"[..], r#"csv  column "b": a NUL byte at byte 2, which text cannot hold"#),
            (b"\xff,2", r#"csv  column "a": invalid UTF-8 at byte 1"#),
            (b"1,ab\xed\xa0\x80", r#"csv  column "b": invalid UTF-8 at byte 3"#),
            (b"\xc3,\xa9", r#"csv  column "a": invalid UTF-8 at byte 1"#),
            (b"\xc3\xa9,\xe2\x82", r#"csv  column "b": invalid UTF-8 at byte 1"#),
            (b"1,\xc0\x80", r#"csv  column "b": invalid UTF-8 at byte 1"#),
        ] {
            assert_eq!(decoded(&settings, Some(payload)), expected);
        }
        let by_latin1 = CsvOptions { delimiter: 0xa9, ..CsvOptions::default() };
        let by_latin1 = super::super::tests::settings(Format::Csv(by_latin1), "a b");
        assert_eq!(decoded(&by_latin1, Some("é".as_bytes())), r#"csv  column "a": invalid UTF-8 at byte 1"#);
    }

    /// A field, and whether it is written in quotes although it need not be.
    fn written(fields: &[Option<(String, bool)>]) -> String {
        let field = |field: &Option<(String, bool)>| match field {
            None => String::new(),
            Some((text, quotes)) if *quotes || text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Some((text, _)) => text.clone(),
        };
        fields.iter().map(field).collect::<Vec<_>>().join(",")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in prop::collection::vec(prop::option::of(("[a\"',\\\\\r\n .\u{e9}]{0,40}", any::<bool>())), 1..9),
            end in prop::sample::select(vec!["", "\n", "\r\n", "\r"]),
        ) {
            let names: Vec<_> = (0..fields.len()).map(|n| n.to_string()).collect();
            let settings = settings(Format::Csv(CsvOptions::default()), &names.join(" "));
            let payload = written(&fields) + end;
            let payload = Some(payload.as_bytes());
            let record = Record::new(0, 0, payload);
            let mut rows = Rows::default();
            decoder(&settings).decode(&record, &mut rows).unwrap();
            let read: Vec<_> = rows.iter().next().unwrap().map(|field| field.map(<[u8]>::to_vec)).collect();
            let meant: Vec<_> = fields.into_iter().map(|field| field.map(|(text, _)| text.into_bytes())).collect();
            prop_assert_eq!(read, meant);
        }

        #[test]
        fn any_bytes_are_a_row_or_a_reason(payload in "[a,\"\\\\\r\n]{0,30}", fills in any::<bool>()) {
            let options = CsvOptions { fill_missing_fields: fills, escape: b'\\', ..CsvOptions::default() };
            decoded(&settings(Format::Csv(options), "a b c"), Some(payload.as_bytes()));
        }
    }
}
