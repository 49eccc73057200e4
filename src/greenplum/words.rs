//! The words of an SQL expression that a user wrote, without understanding it: what it may name, literals and comments
//! left out. It errs on one side only: a word that stands there is seen.

use crate::table::Ident;

/// A word, or a character that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Ident),
    Mark(char),
}

/// The tokens of an expression.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<Token>);

impl Words {
    pub(super) fn of(sql: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = sql;
        while let Some(next) = rest.chars().next() {
            let length = match next {
                _ if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
                _ if rest.starts_with("/*") => comment(rest),
                '\'' => {
                    let is_escaped = matches!(tokens.last(), Some(Token::Word(word)) if word.as_str() == "e");
                    quoted(rest, '\'', is_escaped)
                }
                '"' => {
                    let length = quoted(rest, '"', false);
                    tokens.push(Token::Word(Ident::from_written(&rest[..length])));
                    length
                }
                '$' if dollar_quote(rest).is_some() => dollar_quote(rest).unwrap_or(1),
                _ if next.is_alphabetic() || next == '_' || !next.is_ascii() => {
                    let length = rest.find(|other: char| !is_of_word(other)).unwrap_or(rest.len());
                    tokens.push(Token::Word(Ident::from_written(&rest[..length])));
                    length
                }
                // a number's own letters, 1e5, are no word
                _ if next.is_ascii_digit() => rest.find(|other: char| !is_of_word(other)).unwrap_or(rest.len()),
                _ => {
                    if !next.is_whitespace() {
                        tokens.push(Token::Mark(next));
                    }
                    next.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        Self(tokens)
    }

    /// Whether this word stands there.
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|token| matches!(token, Token::Word(found) if found.as_str() == word))
    }

    /// Whether a table's alias may stand for its whole row: `row_to_json(ext)`, `ext.*`.
    pub(super) fn has_row_of(&self, alias: &str) -> bool {
        self.0.iter().enumerate().any(|(at, token)| {
            let is_alias = matches!(token, Token::Word(found) if found.as_str() == alias);
            let is_column =
                self.0.get(at + 1) == Some(&Token::Mark('.')) && matches!(self.0.get(at + 2), Some(Token::Word(_)));
            is_alias && !is_column
        })
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$' || !letter.is_ascii()
}

/// Length of a literal that begins here; without an end it takes the rest.
fn quoted(text: &str, quote: char, is_escaped: bool) -> usize {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if is_escaped && letter == '\\' {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

/// Length of a comment that begins here; they nest.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    text.len()
}

/// Length of a `$tag$ … $tag$` that begins here.
fn dollar_quote(text: &str) -> Option<usize> {
    let tag = text[1..].find('$').map(|end| &text[..end + 2])?;
    let is_tag = tag[1..tag.len() - 1].chars().all(|letter| letter.is_alphanumeric() || letter == '_')
        && !tag[1..].starts_with(|first: char| first.is_ascii_digit());
    let close = text[tag.len()..].find(tag).map_or(text.len(), |at| 2 * tag.len() + at);
    is_tag.then_some(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_have_no_words() {
        let hidden = [
            "'into_table'",
            "'it''s into_table'",
            r"E'it\'s into_table'",
            "$$ into_table $$",
            "$x$ into_table $y$ into_table $x$",
            "1 -- into_table",
            "/* a /* b */ into_table */ 1",
            "1e5into_table",
            "\"Into_Table\"",
            "ext.into_tables",
        ];
        for sql in hidden {
            assert!(!Words::of(sql).has("into_table"), "{sql}");
        }
        let seen = [
            "Into_Table.a > 1",
            "\"into_table\".b",
            r"'\' || into_table.c",
            "$1 || into_table.d",
            "a--\n,into_table.e",
        ];
        for sql in seen {
            assert!(Words::of(sql).has("into_table"), "{sql}");
        }
    }

    #[test]
    fn a_whole_row_is_not_a_column() {
        for (sql, is_row) in [("ext.a", false), ("ext . \"B\" > 1", false), ("row_to_json(ext)", true), ("ext.*", true)]
        {
            assert_eq!(Words::of(sql).has_row_of("ext"), is_row, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(sql in "[a-zé'\"$/*\\- \n.1E_]{0,40}") {
            Words::of(&sql).has("a");
        }
    }
}
