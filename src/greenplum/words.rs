//! The words of an SQL expression that a user wrote, without understanding it: what it may name, literals and comments
//! left out. It errs on one side only: a word that stands there is seen.

use super::tokens::{Placed, Token, tokens};

/// The tokens of an expression.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<Placed>);

impl Words {
    pub(super) fn of(sql: &str) -> Self {
        Self(tokens(sql))
    }

    /// Whether this word stands there.
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|placed| is_word(placed, word))
    }

    /// Whether a table's alias may stand for its whole row: `row_to_json(ext)`, `ext.*`.
    pub(super) fn has_row_of(&self, alias: &str) -> bool {
        let token = |at: usize| self.0.get(at).map(|placed| &placed.token);
        self.0.iter().enumerate().any(|(at, placed)| {
            let is_column = token(at + 1) == Some(&Token::Mark('.')) && matches!(token(at + 2), Some(Token::Word(_)));
            is_word(placed, alias) && !is_column
        })
    }
}

fn is_word(placed: &Placed, word: &str) -> bool {
    matches!(&placed.token, Token::Word(found) if found.as_str() == word)
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
}
