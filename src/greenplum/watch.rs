//! Whether a target is still what the statements were built on.

use super::connection::Connection;
use super::failure::Error;
use super::mapping::Fields;
use super::target::{self, Target, TargetColumn};
use crate::table::TableName;

/// The columns of a target that must not change between batches.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    table: TableName,
    columns: Vec<TargetColumn>,
    /// The source is the target's own columns, so that any change of them changes the source.
    is_whole: bool,
}

impl Watched {
    /// The columns that are written, or all of them where they are the source too.
    pub(super) fn new(target: &Target, fields: &Fields, is_whole: bool) -> Self {
        let columns = match is_whole {
            true => target.columns.clone(),
            false => fields.iter().filter_map(|(name, _)| target.column(name).cloned()).collect(),
        };
        Self { table: target.table.clone(), columns, is_whole }
    }

    /// Compares the target with what it was. Called in the batch's transaction after its statements, whose lock keeps
    /// the target as it is until the transaction ends.
    ///
    /// # Errors
    /// [`Error::TargetChanged`].
    pub(super) fn check(&self, connection: &mut Connection) -> Result<(), Error> {
        let now = target::columns(connection, &self.table)?;
        match self.change(&now) {
            None => Ok(()),
            Some(change) => Err(Error::TargetChanged { table: self.table.to_string(), change }),
        }
    }

    fn change(&self, now: &[TargetColumn]) -> Option<String> {
        let shape = |column: &TargetColumn| (column.name.clone(), column.sql_type.clone());
        for was in &self.columns {
            match now.iter().find(|column| column.name == was.name) {
                None => return Some(format!("column {} is gone", was.name)),
                Some(is) if is.sql_type != was.sql_type => {
                    return Some(format!("column {} was {} and is {}", was.name, was.sql_type, is.sql_type));
                }
                Some(_) => {}
            }
        }
        let is_same_order = || now.iter().map(shape).eq(self.columns.iter().map(shape));
        (self.is_whole && !is_same_order()).then(|| {
            let added = now.iter().find(|column| !self.columns.iter().any(|was| was.name == column.name));
            added.map_or("their order".to_owned(), |column| format!("column {} is new", column.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greenplum::target::tests::target;
    use crate::table::Ident;

    #[test]
    fn changes_that_would_move_values_to_other_columns_are_seen() {
        let before = target(&[("a", "text"), ("b", "text")]);
        let fields = |names: &[&str]| names.iter().map(|name| (Ident::exact(*name), String::new())).collect();
        let derived = Watched::new(&before, &fields(&["a", "b"]), true);
        let given = Watched::new(&before, &fields(&["a"]), false);
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("a", "text"), ("b", "text")], "None None"),
            (&[("b", "text"), ("a", "text")], r#"Some("their order") None"#),
            (&[("a", "text"), ("b", "text"), ("c", "text")], r#"Some("column \"c\" is new") None"#),
            (&[("a", "text")], r#"Some("column \"b\" is gone") None"#),
            (
                &[("a", "date"), ("b", "text")],
                r#"Some("column \"a\" was text and is date") Some("column \"a\" was text and is date")"#,
            ),
        ];
        for (now, seen) in cases {
            let now = target(now).columns;
            assert_eq!(format!("{:?} {:?}", derived.change(&now), given.change(&now)), seen);
        }
    }
}
