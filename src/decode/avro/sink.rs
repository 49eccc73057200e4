//! Where text goes: into rows, or nowhere but into a count, the one as long as the other; and on the way through
//! quotes.

use super::super::hex;
use crate::row::Rows;

/// Takes text.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Rows {
    fn put(&mut self, bytes: &[u8]) {
        self.extend(bytes);
    }
}

/// Fields as a row has them.
pub(super) trait Fields: Sink {
    /// Closes the field that was put.
    fn end(&mut self);

    /// A NULL.
    fn null(&mut self);
}

impl Fields for Rows {
    fn end(&mut self) {
        self.end_field();
    }

    fn null(&mut self) {
        Rows::null(self);
    }
}

/// Counts bytes.
#[derive(Default)]
pub(super) struct Count {
    pub bytes: usize,
}

impl Sink for Count {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }
}

impl Fields for Count {
    fn end(&mut self) {}

    fn null(&mut self) {}
}

/// Inside the quotes of an array literal: `"` and `\` get a backslash.
pub(super) struct InQuotes<'a, S>(pub &'a mut S);

impl<S: Sink> Sink for InQuotes<'_, S> {
    fn put(&mut self, mut bytes: &[u8]) {
        while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
            self.0.put(&bytes[..at]);
            self.0.put(&[b'\\', bytes[at]]);
            bytes = &bytes[at + 1..];
        }
        self.0.put(bytes);
    }
}

/// As two digits a byte.
pub(super) struct AsHex<'a, S>(pub &'a mut S);

impl<S: Sink> Sink for AsHex<'_, S> {
    fn put(&mut self, bytes: &[u8]) {
        hex::write(bytes, |digits| self.0.put(digits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(Vec<u8>);

    impl Sink for Text {
        fn put(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    #[test]
    fn quotes_and_hex() {
        let mut text = Text(Vec::new());
        InQuotes(&mut text).put(br#"a"b\c"#);
        InQuotes(&mut text).put(b"\\");
        assert_eq!(text.0, br#"a\"b\\c\\"#);
        let mut text = Text(Vec::new());
        let bytes: Vec<u8> = (0..=255).collect();
        AsHex(&mut text).put(&bytes);
        assert_eq!(text.0, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
    }
}
