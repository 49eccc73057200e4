//! CSV that needs no taking apart: a line whose fields are what stands between its delimiters, none of them NULL, all of
//! them text, and no byte of it wants an escape. With a TAB for each delimiter it is the line that a segment reads.

use super::columns::is_text;
use crate::row::{Rows, is_special};

/// Bytes that are looked at together: wide enough for the compiler to use vectors.
const CHUNK_BYTES: usize = 32;

/// Longer lines are taken apart: a counter of one byte for each place of a chunk holds no more.
const LINE_BYTES_MAX: usize = CHUNK_BYTES * (u8::MAX as usize - 1);

/// So many lines are not looked at, at most, where those before them were not plain: a look in vain costs a fifth of a line.
const PASSED_OVER_MAX: u8 = 15;

/// See the module.
pub(super) struct Plain {
    delimiter: u8,
    quote: u8,
    null: Vec<u8>,
    fields: usize,
    /// A byte without a meaning.
    filler: u8,
    /// Lines that are not looked at from here on, and after the next one that is not plain.
    passed_over: u8,
    passed_over_next: u8,
}

impl Plain {
    /// For lines of so many fields; `None` where delimiter and quote are not two different bytes of ASCII.
    pub fn new(delimiter: u8, quote: u8, null: &[u8], fields: usize) -> Option<Self> {
        let is_clear = delimiter.is_ascii() && quote.is_ascii() && delimiter != quote;
        let filler = *b"012".iter().find(|&&byte| byte != delimiter && byte != quote)?;
        let (null, passed_over, passed_over_next) = (null.to_vec(), 0, 0);
        is_clear.then_some(Self { delimiter, quote, null, fields, filler, passed_over, passed_over_next })
    }

    /// Adds the fields of the line, or nothing where it is not plain, or follows several that were not.
    pub fn add(&mut self, line: &[u8], rows: &mut Rows) -> bool {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return false;
        }
        if line.is_empty() || line.len() > LINE_BYTES_MAX || !self.is_plain(line) {
            self.passed_over = self.passed_over_next;
            self.passed_over_next = (2 * self.passed_over_next + 1).min(PASSED_OVER_MAX);
            return false;
        }
        self.passed_over_next = 0;
        rows.extend_replacing(line, self.delimiter, b'\t');
        rows.end_line();
        true
    }

    fn is_plain(&self, line: &[u8]) -> bool {
        let (chunks, rest) = line.as_chunks();
        let mut last = [self.filler; CHUNK_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        let mut seen = Seen::default();
        chunks.iter().chain([&last]).for_each(|chunk| self.look(chunk, &mut seen));
        let delimiters: usize = seen.delimiters.iter().map(|&count| usize::from(count)).sum();
        let bits = seen.bits.iter().fold(0, |all, bits| all | bits);
        delimiters + 1 == self.fields
            && bits & SPECIAL == 0
            && (bits & BEYOND_ASCII == 0 || is_text(line))
            && !self.may_have_null(line)
    }

    /// Without a branch for each byte, so that it becomes vector code.
    fn look(&self, chunk: &[u8; CHUNK_BYTES], seen: &mut Seen) {
        for (at, &byte) in chunk.iter().enumerate() {
            let is_delimiter = byte == self.delimiter;
            let is_special = !is_delimiter & (is_special(byte) | (byte == self.quote) | (byte == 0));
            seen.delimiters[at] += u8::from(is_delimiter);
            seen.bits[at] |= (byte & BEYOND_ASCII) | u8::from(is_special);
        }
    }

    fn may_have_null(&self, line: &[u8]) -> bool {
        let is_delimiter = |at: usize| line.get(at) == Some(&self.delimiter);
        if !self.null.is_empty() {
            return memchr::memmem::find(line, &self.null).is_some();
        }
        let pairs = line.iter().zip(&line[1..]);
        let follows = |(&one, &next): (&u8, &u8)| u8::from((one == self.delimiter) & (next == self.delimiter));
        is_delimiter(0) || is_delimiter(line.len() - 1) || pairs.fold(0, |found, pair| found | follows(pair)) != 0
    }
}

const SPECIAL: u8 = 1;
const BEYOND_ASCII: u8 = 0x80;

/// What was seen at each place of the chunks.
#[derive(Default)]
struct Seen {
    delimiters: [u8; CHUNK_BYTES],
    bits: [u8; CHUNK_BYTES],
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a line that is plain.
    fn added(plain: &mut Plain, line: &[u8]) -> Option<Vec<Vec<u8>>> {
        (plain.passed_over, plain.passed_over_next) = (0, 0);
        let mut rows = Rows::default();
        let is_plain = plain.add(line, &mut rows);
        rows.end_row();
        let fields: Vec<_> = rows.iter().next()?.map(|field| field.unwrap().to_vec()).collect();
        assert_eq!(is_plain, !fields.is_empty());
        is_plain.then_some(fields)
    }

    #[test]
    fn a_line_with_anything_to_see_to_is_not_plain_wherever_it_stands() {
        let mut plain = Plain::new(b',', b'"', b"", 2).unwrap();
        for length in [3, 31, 32, 33, 64, 65, 100, LINE_BYTES_MAX] {
            let mut line = vec![b'x'; length];
            line[length / 2] = b',';
            assert_eq!(
                added(&mut plain, &line).unwrap(),
                [vec![b'x'; length / 2], vec![b'x'; length - length / 2 - 1]]
            );
            for at in (0..length).filter(|at| *at != length / 2) {
                for byte in *b",\"\\\t\n\r\0\x0b\x0c\xff\xc3" {
                    let kept = std::mem::replace(&mut line[at], byte);
                    assert_eq!(added(&mut plain, &line), None, "{:?} at {at} of {length}", char::from(byte));
                    line[at] = kept;
                }
            }
        }
        let longer = [vec![b'x'; LINE_BYTES_MAX - 1], b",x".to_vec()].concat();
        assert_eq!(added(&mut plain, &longer), None);
    }

    #[test]
    fn lines_that_are_never_plain_are_seldom_looked_at() {
        let mut plain = Plain::new(b',', b'"', b"", 1).unwrap();
        let mut rows = Rows::default();
        let mut looks = 0;
        for _ in 0..160 {
            looks += u32::from(plain.passed_over == 0);
            assert!(!plain.add(b"\"a\"", &mut rows));
        }
        assert!((10..=15).contains(&looks), "{looks}");
        let taken = (0..30).filter(|_| plain.add(b"a", &mut rows)).count();
        assert!(taken >= 15, "{taken}");
        assert!(!plain.add(b"\"a\"", &mut rows) && plain.add(b"a", &mut rows));
    }

    #[test]
    fn what_may_be_null_is_not_plain() {
        let mut empty = Plain::new(b',', b'"', b"", 3).unwrap();
        for line in [&b""[..], b",a,b", b"a,,b", b"a,b,", b",,"] {
            assert_eq!(added(&mut empty, line), None);
        }
        let mut word = Plain::new(b',', b'"', b"none", 3).unwrap();
        assert_eq!(added(&mut word, b"a,,non").unwrap(), [&b"a"[..], b"", b"non"]);
        assert_eq!(added(&mut word, b"a,b,none"), None);
    }

    #[test]
    fn a_delimiter_may_be_what_wants_an_escape() {
        let mut tab = Plain::new(b'\t', b'"', b"", 2).unwrap();
        assert_eq!(added(&mut tab, b"a,b\tc").unwrap(), [&b"a,b"[..], b"c"]);
        assert_eq!(added(&mut tab, b"a\\b\tc"), None);
        let mut digit = Plain::new(b'0', b'1', b"", 2).unwrap();
        assert_eq!(added(&mut digit, "ä02".as_bytes()).unwrap(), ["ä".as_bytes(), b"2"]);
        assert!(Plain::new(b',', b',', b"", 2).is_none() && Plain::new(0xa9, b'"', b"", 2).is_none());
    }
}
