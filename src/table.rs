//! Names and columns of tables, and how they are written in SQL.

use std::fmt;

/// An SQL identifier, already folded: what the catalog holds. Displays quoted: `"orders"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident(String);

impl Ident {
    /// As a user writes it in a job file: `"MyTable"` in double quotes is taken exactly, anything else is folded to
    /// lower case as a UTF-8 database folds it: ASCII letters only.
    pub fn from_written(written: &str) -> Self {
        match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(exact) => Self(exact.replace("\"\"", "\"")),
            None => Self(written.to_ascii_lowercase()),
        }
    }

    /// As the catalog holds it.
    pub fn exact(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The bare name, for comparison with the catalog.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// A table with its schema. Displays as `"public"."orders"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub schema: Ident,
    pub table: Ident,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A column and its SQL type, the type as the user or the catalog writes it: `numeric(9,2)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    pub name: Ident,
    pub sql_type: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_names_fold_and_quoted_ones_do_not() {
        assert_eq!(Ident::from_written("Orders").to_string(), r#""orders""#);
        assert_eq!(Ident::from_written("ÄB").as_str(), "Äb");
        assert_eq!(Ident::from_written(r#""Orders""#).to_string(), r#""Orders""#);
        assert_eq!(Ident::from_written(r#""a""b""#).as_str(), r#"a"b"#);
        assert_eq!(Ident::exact(r#"a"b"#).to_string(), r#""a""b""#);
    }
}
