//! Paths into a JSON document, `doc->'customer'->>'id'`, as they stand in a user's expression; and what stands in their
//! place where the loader takes the document apart.
//!
//! A path is only seen where the server's scanner and precedence would see the same, on every version: behind `->` and
//! `->>` a name in plain quotes, before it and behind it what binds less than they do. PostgreSQL before 9.5 has another
//! precedence than later ones (its release notes, "Migration to Version 9.5"); what either reads otherwise is no path.

use std::ops::Range;

use super::tokens::{Placed, Token, tokens};
use crate::table::Ident;

/// What may stand before a path, and binds less: words.
const WORDS_BEFORE: [&str; 7] = ["and", "or", "not", "case", "when", "then", "else"];
const OPERATORS_BEFORE: [&str; 3] = ["=", "<", ">"];
/// What may stand behind it, and binds less or as much, from left to right.
const WORDS_BEHIND: [&str; 11] = ["and", "or", "not", "when", "then", "else", "end", "like", "ilike", "in", "between"];
const OPERATORS_BEHIND: [&str; 12] = ["=", "<", ">", "<=", ">=", "<>", "!=", "||", "~", "~*", "!~", "!~*"];

/// Where the batch's row may be named for its column.
const EXT: &str = "ext";

/// A path as it stands in an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub names: Vec<String>,
    /// It names the row's alias: `ext.doc->>'id'`.
    is_qualified: bool,
    place: Range<usize>,
}

impl Path {
    /// The path in its shortest writing: `doc->'customer'->>'id'`.
    pub(super) fn written(document: &Ident, names: &[String]) -> String {
        let document = match Ident::from_written(document.as_str()) == *document {
            true => document.as_str().to_owned(),
            false => document.to_string(),
        };
        let step = |(at, name): (usize, &String)| {
            let arrow = if at + 1 == names.len() { "->>" } else { "->" };
            format!("{arrow}'{}'", name.replace('\'', "''"))
        };
        let steps: String = names.iter().enumerate().map(step).collect();
        format!("{document}{steps}")
    }
}

/// What else an expression has about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    pub text: String,
    /// It would be a path in parentheses: beside what stands next to it, servers differ in what binds first.
    pub wants_parentheses: bool,
}

/// All paths into a document, if nothing else of the expression is about it; else what is.
pub(super) fn paths(expression: &str, document: &Ident) -> Result<Vec<Path>, Other> {
    let tokens = tokens(expression);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_word(&tokens, at, document.as_str()) {
            at += 1;
            continue;
        }
        let from = tokens[at].place.start;
        let other = |to: usize, wants_parentheses| {
            let end = tokens.get(to).map_or(expression.len(), |token| token.place.start);
            Other { text: expression[from..end].trim().to_owned(), wants_parentheses }
        };
        let (path, behind) = path(&tokens, at).ok_or_else(|| other(at + 3, false))?;
        if !binds_first(&tokens, &path, at, behind) {
            return Err(other(behind, true));
        }
        paths.push(path);
        at = behind;
    }
    Ok(paths)
}

/// The path whose document is the word at `at`, and the token behind it.
fn path(tokens: &[Placed], at: usize) -> Option<(Path, usize)> {
    let is_mark = |at: usize, mark: char| matches!(token(tokens, at), Some(Token::Mark(found)) if *found == mark);
    let is_qualified = at > 1 && is_mark(at - 1, '.') && is_word(tokens, at - 2, EXT);
    if at > 0 && is_mark(at - 1, '.') && !is_qualified {
        return None;
    }
    let first = if is_qualified { at - 2 } else { at };
    let mut names = Vec::new();
    let mut next = at + 1;
    loop {
        let (Some(Token::Operator(arrow)), Some(Token::Literal(name))) = (token(tokens, next), token(tokens, next + 1))
        else {
            return None;
        };
        names.push(name.clone());
        next += 2;
        match arrow.as_str() {
            "->" => {}
            "->>" => break,
            _ => return None,
        }
    }
    let place = tokens[first].place.start..tokens[next - 1].place.end;
    Some((Path { names, is_qualified, place }, next))
}

/// Whether what stands before a path and behind it binds less, to every server.
fn binds_first(tokens: &[Placed], path: &Path, at: usize, next: usize) -> bool {
    let first = if path.is_qualified { at - 2 } else { at };
    let binds_less_before = first == 0
        || match &tokens[first - 1].token {
            Token::Mark(mark) => matches!(mark, '(' | ','),
            Token::Operator(operator) => OPERATORS_BEFORE.contains(&operator.as_str()),
            Token::Word(word) => WORDS_BEFORE.contains(&word.as_str()),
            Token::Literal(_) | Token::Other => false,
        };
    let binds_less_behind = match token(tokens, next) {
        None => true,
        Some(Token::Mark(mark)) => matches!(mark, ')' | ','),
        Some(Token::Operator(operator)) => OPERATORS_BEHIND.contains(&operator.as_str()),
        Some(Token::Word(word)) => WORDS_BEHIND.contains(&word.as_str()),
        Some(Token::Literal(_) | Token::Other) => false,
    };
    binds_less_before && binds_less_behind
}

fn token(tokens: &[Placed], at: usize) -> Option<&Token> {
    tokens.get(at).map(|placed| &placed.token)
}

fn is_word(tokens: &[Placed], at: usize, word: &str) -> bool {
    matches!(token(tokens, at), Some(Token::Word(found)) if found.as_str() == word)
}

/// The expression with each path replaced: by the column that the loader fills, where it has left the document out.
pub(super) fn replaced(
    expression: &str,
    document: &Ident,
    paths: &[Path],
    column_of: impl Fn(&[String]) -> Ident,
) -> String {
    let mut text = String::new();
    let mut from = 0;
    for Path { names, is_qualified, place } in paths {
        let alias = if *is_qualified { format!("{EXT}.") } else { String::new() };
        let (column, whole) = (column_of(names), &expression[place.clone()]);
        text.push_str(&expression[from..place.start]);
        text.push_str(&format!("{WHEN}{alias}{document}{THEN}{alias}{column}{ELSE}{whole}{END}"));
        from = place.end;
    }
    text.push_str(&expression[from..]);
    text
}

const WHEN: &str = "(CASE WHEN ";
const THEN: &str = " IS NULL THEN ";
const ELSE: &str = " ELSE ";
const END: &str = " END)";

/// What the user wrote of an expression with [`replaced`] paths.
pub(super) fn as_written(expression: &str) -> String {
    let mut text = String::new();
    let mut rest = expression;
    while let Some((before, inside)) = rest.split_once(WHEN) {
        text.push_str(before);
        match whole_path(inside) {
            Some((path, behind)) => {
                text.push_str(path);
                rest = behind;
            }
            None => {
                text.push_str(WHEN);
                rest = inside;
            }
        }
    }
    text + rest
}

/// The path behind `(CASE WHEN "doc" IS NULL THEN "doc->>'id'" ELSE `, and what comes behind its end.
fn whole_path(inside: &str) -> Option<(&str, &str)> {
    let column = inside.split_once(THEN)?.1;
    let placed = tokens(column);
    let path = column[placed.get(named_at(&placed))?.place.end..].strip_prefix(ELSE)?;
    let placed = tokens(path);
    let steps = placed.get(named_at(&placed) + 1..)?.iter();
    let end = steps.take_while(|step| matches!(step.token, Token::Operator(_) | Token::Literal(_))).last()?;
    Some((&path[..end.place.end], path[end.place.end..].strip_prefix(END)?))
}

/// Which of these tokens names a column: the first one, or the one behind the row's alias.
fn named_at(tokens: &[Placed]) -> usize {
    if is_word(tokens, 0, EXT) && token(tokens, 1) == Some(&Token::Mark('.')) { 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc() -> Ident {
        Ident::exact("doc")
    }

    fn found(expression: &str) -> Result<String, String> {
        let written = |path: &Path| Path::written(&doc(), &path.names);
        let found = paths(expression, &doc()).map_err(|other| {
            let hint = if other.wants_parentheses { "(…)" } else { "" };
            format!("{}{hint}", other.text)
        });
        found.map(|paths| paths.iter().map(written).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_path_is_names_in_plain_quotes() {
        for (expression, expected) in [
            ("doc->>'id'", "doc->>'id'"),
            ("(DOC ->> 'id')::bigint", "doc->>'id'"),
            ("\"doc\"->'it''s' -- here\n->>'B c'", "doc->'it''s'->>'B c'"),
            ("coalesce(doc->'after'->>'id', doc->'before'->>'id')::int", "doc->'after'->>'id' doc->'before'->>'id'"),
            ("ext.doc->>'op' = 'D' AND NOT doc->>'x' IN ('a')", "doc->>'op' doc->>'x'"),
            ("doc->>'a' || '-' || b", "doc->>'a'"),
            ("CASE doc->>'a' WHEN 'x' THEN 1 END", "doc->>'a'"),
            ("documents || 'doc->x' || d.other", ""),
        ] {
            assert_eq!(found(expression).as_deref(), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_could_mean_anything_else_is_none() {
        for (expression, what) in [
            ("doc", "doc"),
            ("doc->'items'", "doc->'items'"),
            ("doc->0->>'id'", "doc->0"),
            ("doc->>1", "doc->>1"),
            ("doc->>-1", "doc->>-1"),
            ("doc->>name", "doc->>name"),
            ("doc->>E'a\\n'", "doc->>E"),
            ("doc->>U&'a'", "doc->>U"),
            ("doc->>$$a$$", "doc->>$$a$$"),
            ("doc->>'id'::bigint", "doc->>'id'(…)"),
            ("doc->>'a' 'b'", "doc->>'a'(…)"),
            ("doc->>'a' IS NULL", "doc->>'a'(…)"),
            ("doc->>'a' COLLATE \"C\"", "doc->>'a'(…)"),
            ("'x' || doc->>'a'", "doc->>'a'(…)"),
            ("'x' <= doc->>'a'", "doc->>'a'(…)"),
            ("x LIKE doc->>'a'", "doc->>'a'(…)"),
            ("into_table.doc->>'a'", "doc->>'a'"),
            ("doc.doc->>'a'", "doc.doc"),
            ("doc#>>'{a}'", "doc#>>'{a}'"),
            ("doc->>'a'->'b'", "doc->>'a'(…)"),
            ("json_typeof(doc)", "doc)"),
        ] {
            assert_eq!(found(expression).as_ref().map_err(|found| found.trim()), Err(what), "{expression}");
        }
    }

    #[test]
    fn a_path_is_replaced_and_shown_as_it_was_written() {
        for (expression, expected) in [
            (
                "coalesce(doc->>'id', '0')::int",
                r#"coalesce((CASE WHEN "doc" IS NULL THEN "1" ELSE doc->>'id' END), '0')::int"#,
            ),
            (
                "ext.doc -> 'a'\n->> 'x END)' = doc->>'b'",
                "(CASE WHEN ext.\"doc\" IS NULL THEN ext.\"2\" ELSE ext.doc -> 'a'\n->> 'x END)' END) = (CASE WHEN \"doc\" IS NULL THEN \"1\" ELSE doc->>'b' END)",
            ),
            ("id + 1", "id + 1"),
        ] {
            let paths = paths(expression, &doc()).unwrap();
            let replaced = replaced(expression, &doc(), &paths, |names| Ident::exact(names.len().to_string()));
            assert_eq!(replaced, expected);
            assert_eq!(as_written(&replaced), expression);
        }
        let own = r#"(CASE WHEN x IS NULL THEN "y" ELSE 1 END) || (CASE WHEN a THEN b END)"#;
        assert_eq!(as_written(own), own);
    }

    #[test]
    fn a_name_that_needs_quotes_has_them() {
        assert_eq!(Path::written(&Ident::exact("My doc"), &["a'b".to_owned()]), "\"My doc\"->>'a''b'");
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(sql in "[docext'\"$/*\\->| \n.1E_()]{0,60}", tail in "[docext'\"-> .]{0,30}") {
            drop(paths(&sql, &doc()));
            as_written(&sql);
            as_written(&format!("(CASE WHEN {sql} IS NULL THEN {tail} ELSE {sql}"));
        }
    }
}
