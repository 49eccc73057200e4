//! SQL of the user's taken apart into statements, as far as two questions need it: which of them would end a transaction
//! that is not theirs, and where one ends for the server to look at it before it runs. Pure. Called by `task.rs`, and by
//! `config` before there is a server.

/// Words with which a statement begins or ends a transaction. SAVEPOINT and RELEASE stay inside it.
const ENDING: [&str; 6] = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"];

/// The statements of a text, without the semicolons between them; what holds nothing but spaces and comments is none.
pub fn statements(sql: &str) -> Vec<&str> {
    let (mut found, mut first, mut at, mut body) = (Vec::new(), 0, 0, Body::default());
    while at < sql.len() {
        match sql.as_bytes()[at] {
            b';' if !body.is_open() => {
                found.push(&sql[first..at]);
                at += 1;
                (first, body) = (at, Body::default());
            }
            _ => {
                let next = after(sql, at);
                if !sql[at..next].trim().is_empty() && after_comment(sql, at).is_none() {
                    body.pass(&sql[at..next]);
                }
                at = next;
            }
        }
    }
    found.push(&sql[first..]);
    found.retain(|statement| first_word(statement).is_some());
    found
}

/// The body of a CREATE FUNCTION or PROCEDURE in SQL's own form, `BEGIN ATOMIC … END`, in which semicolons part no
/// statements.
#[derive(Default)]
struct Body {
    /// Whether the statement begins with CREATE, once it has begun.
    is_create: Option<bool>,
    is_after_begin: bool,
    /// How many END it takes; CASE has one too.
    depth: usize,
}

impl Body {
    fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// One more token of the statement, neither space nor comment.
    fn pass(&mut self, token: &str) {
        let is = |word: &str| token.eq_ignore_ascii_case(word);
        let is_create = *self.is_create.get_or_insert(is("CREATE"));
        let opens = if self.is_open() { is("CASE") } else { self.is_after_begin && is("ATOMIC") };
        if opens {
            self.depth += 1;
        } else if is("END") {
            self.depth = self.depth.saturating_sub(1);
        }
        self.is_after_begin = is_create && is("BEGIN");
    }
}

/// The word with which a text begins or ends a transaction by itself, if it does. `ROLLBACK TO` does not; `PREPARE
/// TRANSACTION` does.
pub fn transaction_word(sql: &str) -> Option<String> {
    statements(sql).into_iter().find_map(|statement| {
        let words = words(statement);
        let [first, rest @ ..] = words.as_slice() else { return None };
        let second = rest.iter().find(|word| !matches!(word.as_str(), "WORK" | "TRANSACTION"));
        let is_ending =
            ENDING.contains(&first.as_str()) && !(first == "ROLLBACK" && second.is_some_and(|to| to == "TO"));
        let is_prepared = first == "PREPARE" && rest.first().is_some_and(|word| word == "TRANSACTION");
        (is_ending || is_prepared).then(|| first.clone())
    })
}

fn first_word(statement: &str) -> Option<usize> {
    let mut at = 0;
    while at < statement.len() {
        let is_space = statement.as_bytes()[at].is_ascii_whitespace();
        if !is_space && after_comment(statement, at).is_none() {
            return Some(at);
        }
        at = after(statement, at);
    }
    None
}

/// The first bare words in upper case, up to what is none.
fn words(statement: &str) -> Vec<String> {
    const ENOUGH: usize = 3;
    let (mut words, mut at) = (Vec::new(), 0);
    while at < statement.len() && words.len() < ENOUGH {
        let next = after(statement, at);
        let token = &statement[at..next];
        if token.starts_with(|c: char| c.is_ascii_alphabetic()) && token.bytes().all(is_word) {
            words.push(token.to_ascii_uppercase());
        } else if !token.trim().is_empty() && after_comment(statement, at).is_none() {
            break;
        }
        at = next;
    }
    words
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// The end of the token at `at`: a quoted thing, a comment, a word, or one character.
fn after(sql: &str, at: usize) -> usize {
    let rest = &sql[at..];
    let bytes = rest.as_bytes();
    if let Some(end) = after_comment(sql, at) {
        return end;
    }
    let length = match bytes[0] {
        b'\'' => quoted(rest, 1, b'\'', false),
        b'"' => quoted(rest, 1, b'"', false),
        // only here may a backslash hide a quote
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => quoted(rest, 2, b'\'', true),
        b'$' => dollars(rest),
        byte if is_word(byte) => bytes.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len()),
        _ => 1,
    };
    at + length
}

/// From inside a quote to behind its end. A quote that is written twice ends one and begins the next: all the same here.
fn quoted(rest: &str, inside: usize, quote: u8, has_escapes: bool) -> usize {
    let bytes = rest.as_bytes();
    let mut at = inside;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if has_escapes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `$$ … $$` or `$tag$ … $tag$`; a parameter's dollar is one character.
fn dollars(rest: &str) -> usize {
    let Some(end) = rest[1..].find('$').map(|end| end + 2) else { return 1 };
    let tag = &rest[..end];
    let inner = &tag.as_bytes()[1..end - 1];
    if !inner.iter().all(|&byte| is_word(byte) && byte != b'$') || inner.first().is_some_and(u8::is_ascii_digit) {
        return 1;
    }
    rest[end..].find(tag).map_or(rest.len(), |close| end + close + end)
}

/// The end of the comment at `at`, if there is one. Those of C nest.
fn after_comment(sql: &str, at: usize) -> Option<usize> {
    let rest = &sql[at..];
    if rest.starts_with("--") {
        return Some(at + rest.find('\n').map_or(rest.len(), |end| end + 1));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (bytes, mut depth, mut next) = (rest.as_bytes(), 0, 0);
    while next < bytes.len() {
        match &bytes[next..bytes.len().min(next + 2)] {
            b"/*" => (depth, next) = (depth + 1, next + 2),
            b"*/" => (depth, next) = (depth - 1, next + 2),
            _ => next += 1,
        }
        if depth == 0 {
            return Some(at + next);
        }
    }
    Some(sql.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn statements_end_at_semicolons_that_are_not_quoted() {
        assert_eq!(statements("SELECT 1; ;SELECT 2;"), ["SELECT 1", "SELECT 2"]);
        for one in [
            "SELECT ';', E'\\';', 'it''s;', \"a;b\"",
            "DO $$ BEGIN PERFORM 1; END $$",
            "DO $a$ SELECT $$;$$; $a$",
            "SELECT 1 -- ; not here\n + 1",
            "SELECT 1 /* ; /* ; */ ; */ + 1",
            "SELECT 'ä;', \u{e4}",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC; SELECT CASE WHEN 1 = 1 THEN 1 END; SELECT 2; END",
            "CREATE FUNCTION f() RETURNS int begin /* ; */ atomic SELECT 1; END",
        ] {
            assert_eq!(statements(one), [one], "{one}");
        }
        assert_eq!(statements(" -- nothing\n /* at all */ ").len(), 0);
        assert_eq!(statements("SELECT $1; SELECT a$b; SELECT $x$;$x$").len(), 3);
        assert_eq!(statements("SELECT name'x;y';SELECT 2").len(), 2);
        assert_eq!(statements("CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3;").len(), 2);
        assert_eq!(statements("SELECT begin atomic; SELECT CASE 1 WHEN 1 THEN 2 END; SELECT 3").len(), 3);
    }

    #[test]
    fn what_ends_a_transaction_is_found_and_nothing_else() {
        for sql in [
            "COMMIT",
            "SELECT 1; /* so */ commit work;",
            "SELECT 1;ROLLBACK",
            "end",
            "Abort;",
            "BEGIN",
            "START TRANSACTION",
            "-- c\nROLLBACK AND CHAIN",
            "PREPARE TRANSACTION 'x'",
            "COMMIT PREPARED 'x'",
            "BEGIN ATOMIC; SELECT 1; END",
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END; COMMIT",
        ] {
            assert!(transaction_word(sql).is_some(), "{sql}");
        }
        for sql in [
            "SELECT 1",
            "DO $$ BEGIN NULL; END $$",
            "SELECT 'a; COMMIT;'",
            "SAVEPOINT a; SELECT 1; ROLLBACK TO a",
            "ROLLBACK TRANSACTION TO SAVEPOINT a",
            "-- COMMIT;\nSELECT 1",
            "UPDATE t SET a = 1; DELETE FROM \"COMMIT\"",
            "PREPARE p AS SELECT 1",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT f()",
        ] {
            assert_eq!(transaction_word(sql), None, "{sql}");
        }
        assert_eq!(transaction_word("SELECT 1; commit").as_deref(), Some("COMMIT"));
    }

    proptest! {
        #[test]
        fn any_text_comes_apart(sql in "[a$'\"; e\\\\/*\n-ä]{0,40}") {
            let parts: usize = statements(&sql).iter().map(|part| part.len()).sum();
            prop_assert!(parts <= sql.len());
            transaction_word(&sql);
        }
    }
}
