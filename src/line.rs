//! Text that others wrote, on one line of a log or a terminal: a record and a server's words about it may hold anything,
//! of any length. A line end would forge a line, and an escape steers a terminal.

use std::borrow::Cow;

/// The text with its control characters written out: `\n`, `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    Cow::Owned(line)
}

/// The text escaped, and cut behind so many of its characters: then it ends in `…`.
pub fn excerpt(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => escaped(text).into_owned(),
        Some((at, _)) => escaped(&text[..at]).into_owned() + "…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_it_or_steers_a_terminal() {
        assert_eq!(escaped("a\tb\r\n\u{1b}[2J\u{9b}2Jä"), r"a\tb\r\n\u{1b}[2J\u{9b}2Jä");
        assert!(matches!(escaped("no need, ä"), Cow::Borrowed("no need, ä")));
    }

    #[test]
    fn an_excerpt_is_cut_at_a_character() {
        assert_eq!(excerpt("äöü", 3), "äöü");
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(excerpt("\n\nx", 2), r"\n\n…");
    }
}
