//! Tables of corners, and a reader that looks at every byte.

use proptest::prelude::*;

use super::super::tests::{decoded, settings};
use super::super::{Format, decoder};
use super::*;
use crate::record::Record;

fn options(delimiter: &str, eol_prefix: &str, quote: Option<u8>, escape: Option<u8>) -> DelimitedOptions {
    let (delimiter, eol_prefix) = (delimiter.as_bytes().to_vec(), eol_prefix.as_bytes().to_vec());
    DelimitedOptions { delimiter, eol_prefix, quote, escape }
}

fn check(options: &DelimitedOptions, columns: &str, cases: &[(&[u8], &str)]) {
    let settings = settings(Format::Delimited(options.clone()), columns);
    for (payload, expected) in cases {
        assert_eq!(decoded(&settings, Some(payload)), *expected, "{}", payload.escape_ascii());
    }
}

#[test]
fn a_row_a_line_without_any_marks() {
    check(
        &DelimitedOptions::of_byte(b'|'),
        "a b c",
        &[
            (b"1|2|3", "1|2|3"),
            (b"1|2|3\n", "1|2|3"),
            (b"1|2|3\r\n4|5|6\r\n", "1|2|3 / 4|5|6"),
            (b"||\n", "''|''|''"),
            (b"\"1|2\"|\\N", r#"\"1|2\"|\\N"#),
            (b"1|\\.|\\", r"1|\\.|\\"),
            (b" 1 |\t|\r", r" 1 |\t|''"),
            (b"1\r|2|3\r\r\n", r"1\r|2|3\r"),
            (b"1|2", r#"delimited  missing data for column "c""#),
            (b"1|2|3\n\n", r#"delimited  missing data for column "b""#),
            (b"", r#"delimited  missing data for column "b""#),
            (b"1|2|3|", "delimited  extra data after last expected column"),
            (b"1|2|3\n4|5|\xff", r#"delimited  column "c": invalid UTF-8 at byte 1"#),
            (b"1|2|3\n4|\0|6", r#"delimited  column "b": a NUL byte at byte 1, which text cannot hold"#),
        ],
    );
}

#[test]
fn one_column_takes_whole_lines() {
    check(&DelimitedOptions::of_byte(b'\t'), "a", &[(b"", "''"), (b"x,y\n\nz", "x,y / '' / z")]);
}

#[test]
fn ignored_columns_and_delimiters_that_are_no_ascii() {
    check(&DelimitedOptions::of_byte(b','), "- a -", &[(b"\xff,1,2\n3,4,\0", "1 / 4")]);
    let not_utf8 = r#"delimited  column "a": invalid UTF-8 at byte 1"#;
    check(&DelimitedOptions::of_byte(0xa9), "a b", &[(b"1\xa92", "1|2"), ("é".as_bytes(), not_utf8)]);
    check(&options("é", "", None, None), "a b", &[("ü1éü".as_bytes(), r"\xc3\xbc1|\xc3\xbc")]);
    let cuts = DelimitedOptions { eol_prefix: vec![0xa9], ..DelimitedOptions::of_byte(b'|') };
    check(&cuts, "a", &[(b"1\xa9\n2", "1 / 2"), ("é\n".as_bytes(), not_utf8)]);
}

#[test]
fn delimiters_and_row_ends_of_several_bytes() {
    check(
        &options("<>", "", None, None),
        "a b",
        &[
            (b"1<>2\n<1><>>2<", "1|2 / <1>|>2<"),
            (b"1<<>>2", "1<|>2"),
            (b"1<\n>2", r#"delimited  missing data for column "b""#),
        ],
    );
    check(
        &options("|", "@@", None, None),
        "a b",
        &[
            (b"1|x\ny\r\n@@\n2|z", r"1|x\ny\r\n / 2|z"),
            (b"1|x@@@\n2|y@\n@@\n", r"1|x@ / 2|y@\n"),
            (b"1|x@@", "1|x@@"),
            (b"1|x@@\r\n", r"1|x@@\r\n"),
        ],
    );
    check(&options("|", "\r", None, None), "a b", &[(b"1|x\n\r\n2|y\r", r"1|x\n / 2|y\r")]);
}

#[test]
fn a_row_end_goes_before_a_delimiter_that_overlaps_it() {
    for (quote, escape) in [(None, None), (None, Some(b'\\')), (Some(b'"'), Some(b'"'))] {
        check(&options("||", "|", quote, escape), "a", &[(b"a||\n", "a|"), (b"a|\n|\n", "a / ''")]);
        check(&options("||", "|", quote, escape), "a b", &[(b"a|||\nb||c|\n", "a|'' / b|c")]);
        check(&options("|", "||", quote, escape), "a b", &[(b"a|b||\nc|||\n", "a|b / c|''")]);
        check(&options("|", "|", quote, escape), "a b", &[(b"a|b|\nc||\n", "a|b / c|''")]);
    }
}

#[test]
fn an_escape_alone() {
    check(
        &options("||", "", None, Some(b'\\')),
        "a b",
        &[
            (br"a\||b||c\\", r"a||b|c\\"),
            (br"a\|b||\x\n\N", r"a\\|b|\\x\\n\\N"),
            (br"a||b\", r"a|b\\"),
            (br"a\\||b", r"a\\|b"),
            (br"a\\\||b||", r"a\\||b|''"),
            (b"a||b\\\nc\nd||\\\r\ne\\\r", r"a|b\nc / d|\r\ne\\"),
            (br#"a||"\.""#, r#"a|\"\\.\""#),
            (b"\\\xff||b", r#"delimited  column "a": invalid UTF-8 at byte 2"#),
        ],
    );
    check(
        &options("|", "@@", None, Some(b'\\')),
        "a b",
        &[(b"a|b\\@@\n@@\nc|\\@\n\\|@@\n", r"a|b@@\n / c|\\@\n|"), (b"a|b\\\n", r"a|b\\\n")],
    );
}

#[test]
fn quotes_with_an_escape_of_their_own() {
    let unterminated = |column| format!(r#"delimited  column "{column}": unterminated quoted field"#);
    let (a, b) = (unterminated("a"), unterminated("b"));
    check(
        &options("||", "", Some(b'"'), Some(b'\\')),
        "a b",
        &[
            (br#""a||b"||"c""#, "a||b|c"),
            (br#"x"a||b"y||"p"q"r""#, "xa||by|pqr"),
            (br#"""||"""""#, "''|''"),
            (br#"a|""|b||c"#, "a||b|c"),
            (br#""\"\\\x\|"||\"\\\x"#, r#"\"\\\\x\\||\"\\\\x"#),
            (br"a\||b", r"a\\|b"),
            (b"\"a\nb\r\n\"||\r\nc||\"\n\"\n", r"a\nb\r\n|'' / c|\n"),
            (br"a||b\", r"a|b\\"),
            (br#""a||b"#, &a),
            (br#"a||"b\""#, &b),
            (br#"a||"b"""#, &b),
            (b"\"\0||\"||b", r#"delimited  column "a": a NUL byte at byte 1, which text cannot hold"#),
        ],
    );
    check(&options("|", "@", Some(b'"'), Some(b'\\')), "a", &[(b"\"a@\n\"@\n\\@\nb", r"a@\n / \\ / b")]);
}

#[test]
fn quotes_that_are_their_own_escape() {
    check(
        &options("|", "", Some(b'"'), Some(b'"')),
        "a b",
        &[
            (br#""a""|b"|"""""#, r#"a\"|b|\""#),
            (br#"a""b|"x"y"#, "ab|xy"),
            (br#""a|"b"#, r#"delimited  missing data for column "b""#),
            (br#"a|"b"""#, r#"delimited  column "b": unterminated quoted field"#),
        ],
    );
}

type Table = Vec<Vec<Vec<u8>>>;

/// The rules of the module's head, a byte at a time.
fn reference(options: &DelimitedOptions, payload: &[u8]) -> Option<Table> {
    let DelimitedOptions { delimiter, eol_prefix, quote, escape } = options;
    let eol = [&eol_prefix[..], b"\n"].concat();
    let row_end = |at: usize| {
        let rest = &payload[at..];
        let is_cr = eol_prefix.is_empty() && (rest.starts_with(b"\r\n") || rest == b"\r");
        if is_cr {
            rest.len().min(2)
        } else if rest.starts_with(&eol) {
            eol.len()
        } else {
            0
        }
    };
    let (mut rows, mut row, mut field): (Table, Vec<Vec<u8>>, Vec<u8>) = <_>::default();
    let (mut at, mut is_quoted, mut is_begun) = (0, false, true);
    while let Some(&byte) = payload.get(at) {
        is_begun = true;
        let rest = &payload[at + 1..];
        let next = rest.first().copied();
        let is_mark = next.is_some() && (next == *quote || next == *escape);
        let is_escape = Some(byte) == *escape && (is_quoted || escape != quote);
        if is_escape && quote.is_some() && is_mark || is_escape && quote.is_none() && next == *escape {
            field.extend(next);
            at += 2;
        } else if is_escape && quote.is_none() && rest.starts_with(delimiter) {
            field.extend(delimiter);
            at += 1 + delimiter.len();
        } else if is_escape && quote.is_none() && !eol_prefix.is_empty() && rest.starts_with(eol_prefix) {
            field.extend(eol_prefix);
            at += 1 + eol_prefix.len();
        } else if is_escape && quote.is_none() && eol_prefix.is_empty() && rest != b"\r" && row_end(at + 1) > 0 {
            field.extend(&rest[..row_end(at + 1)]);
            at += 1 + row_end(at + 1);
        } else if Some(byte) == *quote {
            is_quoted = !is_quoted;
            at += 1;
        } else if !is_quoted && row_end(at) > 0 {
            row.push(std::mem::take(&mut field));
            rows.push(std::mem::take(&mut row));
            is_begun = false;
            at += row_end(at);
        } else if !is_quoted
            && payload[at..].starts_with(delimiter)
            && (1..delimiter.len()).all(|inside| row_end(at + inside) == 0)
        {
            row.push(std::mem::take(&mut field));
            at += delimiter.len();
        } else {
            field.push(byte);
            at += 1;
        }
    }
    if is_begun {
        row.push(field);
        rows.push(row);
    }
    (!is_quoted).then_some(rows)
}

/// What our reader makes of it, for rows of any one width.
fn ours(options: &DelimitedOptions, payload: &[u8], width: usize) -> Option<Table> {
    let names: Vec<_> = (0..width).map(|n| n.to_string()).collect();
    let payload = Some(payload);
    let mut decoder = decoder(&settings(Format::Delimited(options.clone()), &names.join(" ")));
    let mut rows = Rows::default();
    decoder.decode(&Record::new(0, 0, payload), &mut rows).ok()?;
    Some(rows.iter().map(|row| row.map(|field| field.unwrap().to_vec()).collect()).collect())
}

fn marks() -> impl Strategy<Value = (Option<u8>, Option<u8>)> {
    prop::sample::select(vec![(None, None), (None, Some(b'\\')), (Some(b'"'), Some(b'\\')), (Some(b'"'), Some(b'"'))])
}

/// A field as a careful producer writes it.
fn written(options: &DelimitedOptions, field: &[u8]) -> Vec<u8> {
    let DelimitedOptions { delimiter, eol_prefix, quote, escape } = options;
    let Some(escape) = *escape else { return field.to_vec() };
    let mut out: Vec<u8> = quote.iter().copied().collect();
    let mut at = 0;
    while let Some(&byte) = field.get(at) {
        let rest = &field[at..];
        let length = match quote {
            Some(quote) if byte == *quote || byte == escape => 1,
            Some(_) => 0,
            None if byte == escape => 1,
            None if rest.starts_with(delimiter) => delimiter.len(),
            None if !eol_prefix.is_empty() && rest.starts_with(eol_prefix) => eol_prefix.len(),
            None if eol_prefix.is_empty() && rest.starts_with(b"\r\n") => 2,
            None if eol_prefix.is_empty() && byte == b'\n' => 1,
            None => 0,
        };
        out.extend((length > 0).then_some(escape));
        out.extend(&rest[..length.max(1)]);
        at += length.max(1);
    }
    out.extend(quote);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_of_single_bytes_agrees(
        delimiter in prop::sample::select(vec!["|", "||", "|!", "é", "|!|"]),
        eol_prefix in prop::sample::select(vec!["", "|", "!", "!|", "|!", "\r", "\\n"]),
        (quote, escape) in marks(),
        payload in prop_oneof!["[|!\"\\\\\n\ra\u{e9}]{0,24}", "([|!a]{1,3}|[|]{2}|\\\\[|!\n]|\"[|!\n\\\\]{0,3}\"|\r?\n){0,12}"],
    ) {
        let options = options(delimiter, eol_prefix, quote, escape);
        let theirs = reference(&options, payload.as_bytes());
        let width = theirs.as_ref().map_or(3, |rows| rows[0].len());
        let meant = theirs.filter(|rows| rows.iter().all(|row| row.len() == width));
        prop_assert_eq!(ours(&options, payload.as_bytes(), width), meant);
    }

    #[test]
    fn what_is_written_is_read(
        rows in (1..5usize).prop_flat_map(|width| {
            prop::collection::vec(prop::collection::vec("[<>~!\"\\\\\n\ra\u{e9}]{0,8}", width), 1..5)
        }),
        eol_prefix in prop::sample::select(vec!["", "~!"]),
        (quote, escape) in marks(),
    ) {
        let options = options("<>", eol_prefix, quote, escape);
        // without any marks, fields that hold what parts them cannot be written
        let hurts = |byte: char| escape.is_none() && (byte == '>' || byte == '~' || byte == '\n' && eol_prefix.is_empty());
        let writable = |row: Vec<String>| row.into_iter().map(|field| field.replace(hurts, "")).collect();
        let rows: Vec<Vec<String>> = rows.into_iter().map(writable).collect();
        let row = |row: &Vec<String>| {
            let fields: Vec<_> = row.iter().map(|field| written(&options, field.as_bytes())).collect();
            let end = if eol_prefix.is_empty() { "\r\n" } else { "~!\n" };
            [fields.join(&b"<>"[..]), end.as_bytes().to_vec()].concat()
        };
        let payload: Vec<u8> = rows.iter().flat_map(row).collect();
        let meant: Table = rows.iter().map(|row| row.iter().map(|field| field.as_bytes().to_vec()).collect()).collect();
        prop_assert_eq!(ours(&options, &payload, rows[0].len()), Some(meant));
    }
}
