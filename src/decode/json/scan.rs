//! The tokens of JSON as RFC 8259 and PostgreSQL have them, each from its place in a document to its end. What is said
//! of a mistake counts bytes from 1.

/// What is wrong with a document, and with which field's value if that is known. In a box, so that what goes right is
/// handed on in registers.
#[derive(Debug)]
pub(super) struct Problem(Box<(String, Option<usize>)>);

impl Problem {
    pub fn new(text: String) -> Self {
        Self(Box::new((text, None)))
    }

    /// The same, of this field.
    pub fn of(mut self, field: Option<usize>) -> Self {
        self.0.1 = field;
        self
    }

    /// The text, and the field.
    pub fn parts(self) -> (String, Option<usize>) {
        *self.0
    }
}

/// What stands at a place that should hold something else.
#[cold]
pub(super) fn unexpected(document: &[u8], at: usize, expected: &str) -> Problem {
    let place = at + 1;
    let found = match document.get(at) {
        None => "found its end".to_owned(),
        Some(byte @ 0x21..=0x7e) => format!("found `{}`", char::from(*byte)),
        Some(byte) => format!("found byte 0x{byte:02x}"),
    };
    Problem::new(format!("invalid JSON at byte {place}: expected {expected}, {found}"))
}

/// Behind whitespace.
#[inline]
pub(super) fn space(document: &[u8], at: usize) -> usize {
    let mut at = at;
    while matches!(document.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Behind a string whose opening quote is before `at`, and whether it has escapes.
pub(super) fn string(document: &[u8], mut at: usize) -> Result<(usize, bool), Problem> {
    let mut has_escapes = false;
    loop {
        at += ordinary(&document[at..]);
        match document.get(at) {
            Some(b'"') => return Ok((at + 1, has_escapes)),
            Some(b'\\') => (at, has_escapes) = (escape(document, at)?, true),
            Some(byte) => {
                let place = at + 1;
                let text = format!("invalid JSON at byte {place}: byte 0x{byte:02x} in a string must be escaped");
                return Err(Problem::new(text));
            }
            None => return Err(unexpected(document, at, "the end of a string")),
        }
    }
}

fn escape(document: &[u8], at: usize) -> Result<usize, Problem> {
    match document.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match (at + 2..at + 6).find(|&at| !document.get(at).is_some_and(u8::is_ascii_hexdigit)) {
            None => Ok(at + 6),
            Some(at) => Err(unexpected(document, at, "four hex digits")),
        },
        _ => Err(unexpected(document, at + 1, "an escape")),
    }
}

/// How many bytes at the beginning neither end a string nor mean something in it. Eight at a time: most text is that.
fn ordinary(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // the lowest byte that is flagged is one that is sought; what a borrow flags stands above it
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes"));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = control | is_zero(word ^ (ONES * u64::from(b'"'))) | is_zero(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_ordinary = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    at + bytes[at..].iter().take_while(is_ordinary).count()
}

/// Behind a number, or `true`, `false` or `null`.
pub(super) fn plain(document: &[u8], at: usize) -> Result<usize, Problem> {
    let word = match document.get(at) {
        Some(b'-' | b'0'..=b'9') => return number(document, at),
        Some(b't') => &b"true"[..],
        Some(b'f') => b"false",
        Some(b'n') => b"null",
        _ => return Err(unexpected(document, at, "a value")),
    };
    if document[at..].starts_with(word) { Ok(at + word.len()) } else { Err(unexpected(document, at, "a value")) }
}

fn number(document: &[u8], mut at: usize) -> Result<usize, Problem> {
    if document[at] == b'-' {
        at += 1;
    }
    at = if document.get(at) == Some(&b'0') { at + 1 } else { digits(document, at)? };
    if document.get(at) == Some(&b'.') {
        at = digits(document, at + 1)?;
    }
    if matches!(document.get(at), Some(b'e' | b'E')) {
        let is_signed = matches!(document.get(at + 1), Some(b'+' | b'-'));
        at = digits(document, at + 1 + usize::from(is_signed))?;
    }
    Ok(at)
}

fn digits(document: &[u8], at: usize) -> Result<usize, Problem> {
    let count = document[at.min(document.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { Err(unexpected(document, at, "a digit")) } else { Ok(at + count) }
}
