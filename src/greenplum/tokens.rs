//! The tokens of an SQL expression that a user wrote, each with its place; comments are left out. As PostgreSQL's scanner
//! has them, in so far as that can be told without its settings: sessions have `standard_conforming_strings` on.

use std::ops::Range;

use crate::table::Ident;

/// Characters that operators are made of.
const OF_OPERATORS: &str = "+-*/<>=~!@#%^&|`?";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Ident),
    /// What stands between simple quotes; a prefix such as `E` is a word before it.
    Literal(String),
    /// A number, or a literal in dollar quotes.
    Other,
    /// As many characters of operators as stand together: no fewer than the server takes for one.
    Operator(String),
    /// Any other character.
    Mark(char),
}

/// A token and its place in the text.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub token: Token,
    pub place: Range<usize>,
}

/// All of them, in order.
pub(super) fn tokens(sql: &str) -> Vec<Placed> {
    let mut tokens: Vec<Placed> = Vec::new();
    let mut at = 0;
    while let Some(next) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let is_escaped = matches!(tokens.last(), Some(Placed { token: Token::Word(word), .. }) if word.as_str() == "e");
        let (length, token) = token(rest, next, is_escaped);
        tokens.extend(token.map(|token| Placed { token, place: at..at + length }));
        at += length;
    }
    tokens
}

/// What begins here: its length, and what it is unless nothing.
fn token(rest: &str, next: char, is_escaped: bool) -> (usize, Option<Token>) {
    let word = || rest.find(|other: char| !is_of_word(other)).unwrap_or(rest.len());
    match next {
        _ if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), None),
        _ if rest.starts_with("/*") => (comment(rest), None),
        '\'' => {
            let length = quoted(rest, '\'', is_escaped);
            let inside = rest[1..length].strip_suffix('\'').unwrap_or(&rest[1..length]);
            (length, Some(Token::Literal(inside.replace("''", "'"))))
        }
        '"' => {
            let length = quoted(rest, '"', false);
            (length, Some(Token::Word(Ident::from_written(&rest[..length]))))
        }
        '$' if dollar_quote(rest).is_some() => (dollar_quote(rest).unwrap_or(1), Some(Token::Other)),
        _ if next.is_alphabetic() || next == '_' || !next.is_ascii() => {
            let length = word();
            (length, Some(Token::Word(Ident::from_written(&rest[..length]))))
        }
        // a number's own letters, 1e5, are no word
        _ if next.is_ascii_digit() => (word(), Some(Token::Other)),
        _ if OF_OPERATORS.contains(next) => {
            let length = operator(rest);
            (length, Some(Token::Operator(rest[..length].to_owned())))
        }
        _ => (next.len_utf8(), (!next.is_whitespace()).then_some(Token::Mark(next))),
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$' || !letter.is_ascii()
}

/// Length of an operator that begins here; a comment ends it.
fn operator(text: &str) -> usize {
    let run = text.find(|other: char| !OF_OPERATORS.contains(other)).unwrap_or(text.len());
    let comments = ["--", "/*"].iter().filter_map(|comment| text[..run].find(comment));
    comments.min().unwrap_or(run)
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

    fn shown(sql: &str) -> String {
        let shown = |placed: &Placed| match &placed.token {
            Token::Word(word) => format!("w:{}", word.as_str()),
            Token::Literal(inside) => format!("l:{inside}"),
            Token::Other => format!("o:{}", &sql[placed.place.clone()]),
            Token::Operator(operator) => format!("op:{operator}"),
            Token::Mark(mark) => format!("m:{mark}"),
        };
        tokens(sql).iter().map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_token_is_what_it_is_to_the_server() {
        for (sql, expected) in [
            ("J->'it''s'->>\"B\"", "w:j op:-> l:it's op:->> w:B"),
            ("a->>-1", "w:a op:->>- o:1"),
            ("a->>--x\n'b'", "w:a op:->> l:b"),
            ("a->/* 'x' */'b'", "w:a op:-> l:b"),
            ("E'a\\'b'", "w:e l:a\\'b"),
            ("(a::text)", "m:( w:a m:: m:: w:text m:)"),
            ("1e5 + $x$ 'q' $x$", "o:1e5 op:+ o:$x$ 'q' $x$"),
            ("'open", "l:open"),
        ] {
            assert_eq!(shown(sql), expected, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn places_are_in_order_and_nothing_panics(sql in "[a-zé'\"$/*\\->| \n.1E_]{0,40}") {
            let places: Vec<_> = tokens(&sql).into_iter().map(|placed| placed.place).collect();
            let is_in_order = places.iter().zip(places.iter().skip(1)).all(|(one, next)| one.end <= next.start);
            proptest::prop_assert!(is_in_order && places.last().is_none_or(|last| last.end <= sql.len()));
        }
    }
}
