//! Lines of a payload, for the formats that have many rows in one.

use memchr::memmem::Finder;

/// Parts payloads into lines.
pub(super) struct Lines {
    newline: Finder<'static>,
    /// Only after the usual newline is a CR part of it.
    drops_cr: bool,
}

impl Lines {
    /// Lines that end with `newline`, or, where that is LF, with CR LF. An empty newline ends none.
    pub fn new(newline: &[u8]) -> Self {
        Self { newline: Finder::new(newline).into_owned(), drops_cr: newline == b"\n" }
    }

    /// How many lines there are at most.
    pub fn count(&self, payload: &[u8]) -> usize {
        match self.newline.needle() {
            [] => 1,
            _ => 1 + self.newline.find_iter(payload).count(),
        }
    }

    /// The lines; the last may lack its end. A payload without bytes is one empty line.
    pub fn of<'a>(&self, payload: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Some(payload);
        std::iter::from_fn(move || {
            let payload = rest?;
            let length = self.newline.needle().len();
            let (line, behind) = match self.newline.find(payload) {
                Some(at) if length > 0 => (&payload[..at], Some(&payload[at + length..])),
                _ => (payload, None),
            };
            rest = behind.filter(|behind| !behind.is_empty());
            Some(if self.drops_cr { line.strip_suffix(b"\r").unwrap_or(line) } else { line })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_the_newline_or_the_payload() {
        for (newline, payload, expected) in [
            ("\n", "", vec![""]),
            ("\n", "\n", vec![""]),
            ("\n", "a", vec!["a"]),
            ("\n", "a\r\nb\r\n", vec!["a", "b"]),
            ("\n", "a\n\nb", vec!["a", "", "b"]),
            ("\n", "a\n\n", vec!["a", ""]),
            ("", "a\nb", vec!["a\nb"]),
            ("<>", "a\r<>b\n<>", vec!["a\r", "b\n"]),
        ] {
            let lines = Lines::new(newline.as_bytes());
            let lines: Vec<_> = lines.of(payload.as_bytes()).map(|line| std::str::from_utf8(line).unwrap()).collect();
            assert_eq!(lines, expected, "{payload:?} by {newline:?}");
        }
    }
}
