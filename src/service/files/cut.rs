//! Where the last whole row of some bytes ends. Pure; `read` asks it.

use memchr::{memchr_iter, memchr3_iter, memmem, memrchr};

use crate::gpfdist::{Declared, Quoting};

/// Bytes up to the end of the last whole row, from the beginning of a row on; 0 where none ends.
///
/// A row's end inside the quotes of CSV is none. In TEXT a backslash hides none: Greenplum 6 ends the row there too.
pub(super) fn whole_rows(bytes: &[u8], declared: &Declared) -> usize {
    let Some(quoting) = declared.csv else {
        return last_of(bytes, &declared.row_end).map_or(0, |at| at + declared.row_end.len());
    };
    if quoting.quote == quoting.escape {
        last_unquoted(bytes, &declared.row_end, quoting.quote)
    } else {
        let mut last = 0;
        each_end(bytes, &declared.row_end, quoting, |end| {
            last = end;
            true
        });
        last
    }
}

/// Bytes up to the end of the first row; `None` where it does not end.
pub(super) fn first_row(bytes: &[u8], declared: &Declared) -> Option<usize> {
    let mut first = None;
    match declared.csv {
        None => first = memmem::find(bytes, &declared.row_end).map(|at| at + declared.row_end.len()),
        Some(quoting) => each_end(bytes, &declared.row_end, quoting, |end| {
            first = Some(end);
            false
        }),
    }
    first
}

/// Lines that end in the bytes.
pub(super) fn lines(bytes: &[u8], declared: &Declared) -> usize {
    match declared.row_end[..] {
        // Greenplum counts LF in a value too, so that the number is a line of the file
        [end] => memchr_iter(end, bytes).count(),
        [.., end] if declared.row_end == b"\r\n" => memchr_iter(end, bytes).count(),
        _ => memmem::find_iter(bytes, &declared.row_end).count(),
    }
}

/// Where a row's end begins the last time.
fn last_of(bytes: &[u8], row_end: &[u8]) -> Option<usize> {
    match row_end {
        [end] => memrchr(*end, bytes),
        _ => memmem::rfind(bytes, row_end),
    }
}

/// A quote that is its own escape only ever changes sides: behind an even number of them one is outside.
fn last_unquoted(bytes: &[u8], row_end: &[u8], quote: u8) -> usize {
    let mut rest = bytes;
    let mut quotes = memchr_iter(quote, bytes).count();
    while let Some(at) = last_of(rest, row_end) {
        quotes -= memchr_iter(quote, &rest[at..]).count();
        if quotes.is_multiple_of(2) {
            return at + row_end.len();
        }
        rest = &rest[..at];
    }
    0
}

/// Calls with the end of each row until told to stop. A quote opens only outside; an escape counts only inside.
fn each_end(bytes: &[u8], row_end: &[u8], quoting: Quoting, mut at_end: impl FnMut(usize) -> bool) {
    let Quoting { quote, escape } = quoting;
    let last = row_end[row_end.len() - 1];
    let (mut is_inside, mut escaped) = (false, None);
    for at in memchr3_iter(quote, escape, last, bytes) {
        let byte = bytes[at];
        if escaped == Some(at) {
            continue;
        }
        if is_inside {
            if byte == quote {
                is_inside = false;
            } else if byte == escape {
                escaped = Some(at + 1);
            }
        } else if byte == last && bytes[..=at].ends_with(row_end) {
            if !at_end(at + 1) {
                return;
            }
        } else if byte == quote {
            is_inside = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> Declared {
        Declared::default()
    }

    fn csv(quote: u8, escape: u8) -> Declared {
        Declared { csv: Some(Quoting { quote, escape }), ..Declared::default() }
    }

    fn ended_by(row_end: &[u8], declared: Declared) -> Declared {
        Declared { row_end: row_end.to_vec(), ..declared }
    }

    fn cut<'a>(bytes: &'a str, declared: &Declared) -> &'a str {
        &bytes[..whole_rows(bytes.as_bytes(), declared)]
    }

    #[test]
    fn text_is_cut_at_line_ends() {
        assert_eq!(cut("a\nb\nc", &text()), "a\nb\n");
        assert_eq!(cut("abc", &text()), "");
        assert_eq!(cut("", &text()), "");
        assert_eq!(cut("a\"b\n\"c", &text()), "a\"b\n");
        assert_eq!(cut("a\r\nb\nc\r\nd\n", &ended_by(b"\r\n", text())), "a\r\nb\nc\r\n");
        assert_eq!(cut("a\rb\n", &ended_by(b"\r", text())), "a\r");
    }

    #[test]
    fn a_quoted_line_end_is_none() {
        let csv = csv(b'"', b'"');
        assert_eq!(cut("a,b\n\"x\ny\",z\nc", &csv), "a,b\n\"x\ny\",z\n");
        assert_eq!(cut("a,b\n\"x\ny\"\"\n", &csv), "a,b\n");
        assert_eq!(cut("\"x\ny", &csv), "");
        let crlf = ended_by(b"\r\n", csv);
        assert_eq!(cut("a\r\n\"\r\n\"\nb", &crlf), "a\r\n");
    }

    #[test]
    fn the_first_row_is_found() {
        let first = |bytes: &'static str, declared: &Declared| first_row(bytes.as_bytes(), declared);
        assert_eq!(first("a\nb\n", &text()), Some(2));
        assert_eq!(first("ab", &text()), None);
        assert_eq!(first("\"a\nb\",c\nd\n", &csv(b'"', b'"')), Some(8));
        assert_eq!(first("'a*'\nb',c\nd\n", &csv(b'\'', b'*')), Some(10));
    }

    /// As Greenplum's parser goes, byte by byte.
    fn by_bytes(bytes: &[u8], row_end: &[u8], Quoting { quote, escape }: Quoting) -> usize {
        let (mut last, mut is_inside, mut is_escaped) = (0, false, false);
        for (at, &byte) in bytes.iter().enumerate() {
            if is_inside {
                if is_escaped {
                    is_escaped = false;
                } else if byte == quote {
                    is_inside = false;
                } else {
                    is_escaped = byte == escape;
                }
            } else if bytes[..=at].ends_with(row_end) {
                last = at + 1;
            } else {
                is_inside = byte == quote;
            }
        }
        last
    }

    proptest! {
        #[test]
        fn csv_is_cut_as_a_parser_of_bytes_would(
            bytes in "[a\"*\r\n]{0,40}", escape in prop::sample::select(vec![b'"', b'*', b'\\']), crlf: bool
        ) {
            let row_end: &[u8] = if crlf { b"\r\n" } else { b"\n" };
            let declared = ended_by(row_end, csv(b'"', escape));
            let expected = by_bytes(bytes.as_bytes(), row_end, declared.csv.unwrap());
            prop_assert_eq!(whole_rows(bytes.as_bytes(), &declared), expected);
        }
    }
}
