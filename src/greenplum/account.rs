//! The accounts of a ledger row: what became of the offsets, the records and the rows of its span, and the sums that must
//! hold before it is written and ever after. Pure.
//!
//! | of a load | |
//! |---|---|
//! | next − first | = records + holes |
//! | records | = decoded + refused + dropped |
//! | rows | = inserted + rejected + filtered |
//!
//! A skip and a reset load nothing: of them nothing is counted, how many offsets they pass is next − first.

use std::ops::AddAssign;

use super::chain::Kind;

/// What is counted of one partition in one batch, or of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Records that Kafka gave.
    pub records: i64,
    /// Offsets without one: markers of transactions, records that were aborted or compacted away.
    pub holes: i64,
    /// Records that became rows, each any number of them.
    pub decoded: i64,
    /// Records that could not.
    pub refused: i64,
    /// Records that were not to.
    pub dropped: i64,
    /// Rows that were sent to the database; `None`: messages were, of which it alone makes rows.
    pub rows: Option<i64>,
    /// Rows that came through: into the target where there is one, into the table that several targets are filled from.
    pub inserted: i64,
    /// Rows that the database refused: a segment, or a mapping or constraint where such rows are kept aside.
    pub rejected: i64,
    /// Rows that a filter dropped. It is the database that does, and counts them by batch: a batch's partitions are
    /// charged in ascending order, each at most with the rows that it has. So the sums of a row hold, and the batch's own
    /// sum is right, but which of its partitions lost them is not known.
    pub filtered: i64,
}

impl Default for Account {
    fn default() -> Self {
        let rows = Some(0);
        Self { records: 0, holes: 0, decoded: 0, refused: 0, dropped: 0, rows, inserted: 0, rejected: 0, filtered: 0 }
    }
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    #[error("offsets {first} to {next} are {}, but {records} records and {holes} holes are counted", next - first)]
    Offsets { first: i64, next: i64, records: i64, holes: i64 },
    #[error("{records} records were read, but {decoded} decoded, {refused} refused and {dropped} dropped are counted")]
    Records { records: i64, decoded: i64, refused: i64, dropped: i64 },
    #[error("{rows} rows were sent, but {inserted} inserted, {rejected} rejected and {filtered} filtered are counted")]
    Rows { rows: i64, inserted: i64, rejected: i64, filtered: i64 },
    #[error("{count} {what} are counted, less than none")]
    Negative { what: &'static str, count: i64 },
    #[error("a {} loads nothing, but {count} {what} are counted", kind.as_str())]
    Loads { kind: Kind, what: &'static str, count: i64 },
}

impl Account {
    /// Of a span in which there is no record.
    pub fn of_holes(first: i64, next: i64) -> Self {
        Self { holes: next - first, ..Self::default() }
    }

    /// Holds a row's accounts against its span and against each other.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn check(&self, kind: Kind, first: i64, next: i64) -> Result<(), Unbalanced> {
        let Self { records, holes, decoded, refused, dropped, rows, inserted, rejected, filtered } = *self;
        if let Some((what, count)) = self.named().find(|(_, count)| *count < 0) {
            return Err(Unbalanced::Negative { what, count });
        }
        if kind != Kind::Load {
            let counted = self.named().find(|(_, count)| *count > 0);
            return counted.map_or(Ok(()), |(what, count)| Err(Unbalanced::Loads { kind, what, count }));
        }
        if next - first != records + holes {
            return Err(Unbalanced::Offsets { first, next, records, holes });
        }
        if records != decoded + refused + dropped {
            return Err(Unbalanced::Records { records, decoded, refused, dropped });
        }
        match rows {
            Some(rows) if rows != inserted + rejected + filtered => {
                Err(Unbalanced::Rows { rows, inserted, rejected, filtered })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&'static str, i64)> {
        [
            ("records", self.records),
            ("holes", self.holes),
            ("decoded", self.decoded),
            ("refused", self.refused),
            ("dropped", self.dropped),
            ("rows", self.rows.unwrap_or(0)),
            ("inserted", self.inserted),
            ("rejected", self.rejected),
            ("filtered", self.filtered),
        ]
        .into_iter()
    }
}

impl AddAssign for Account {
    /// Rows that nobody counted make a sum that nobody knows; a ledger that somebody changed must not overflow it.
    fn add_assign(&mut self, other: Self) {
        let add = |sum: &mut i64, more: i64| *sum = sum.saturating_add(more);
        add(&mut self.records, other.records);
        add(&mut self.holes, other.holes);
        add(&mut self.decoded, other.decoded);
        add(&mut self.refused, other.refused);
        add(&mut self.dropped, other.dropped);
        self.rows = self.rows.zip(other.rows).map(|(rows, more)| rows.saturating_add(more));
        add(&mut self.inserted, other.inserted);
        add(&mut self.rejected, other.rejected);
        add(&mut self.filtered, other.filtered);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn good() -> Account {
        Account {
            records: 8,
            holes: 2,
            decoded: 5,
            refused: 2,
            dropped: 1,
            rows: Some(9),
            inserted: 4,
            rejected: 3,
            filtered: 2,
        }
    }

    #[test]
    fn each_rule_says_its_numbers() {
        let load = |account: Account| account.check(Kind::Load, 10, 20);
        assert_eq!((load(good()), load(Account::of_holes(10, 20))), (Ok(()), Ok(())));
        let told = [
            load(Account { holes: 3, ..good() }),
            load(Account { decoded: 4, ..good() }),
            load(Account { inserted: 5, ..good() }),
            load(Account { rows: Some(8), ..good() }),
            load(Account { filtered: -2, ..good() }),
            good().check(Kind::Skip, 10, 20),
            Account::of_holes(10, 20).check(Kind::Reset, 10, 20),
        ];
        let told = told.map(|told| told.unwrap_err().to_string()).join("\n");
        expect![[r#"
            offsets 10 to 20 are 10, but 8 records and 3 holes are counted
            8 records were read, but 4 decoded, 2 refused and 1 dropped are counted
            9 rows were sent, but 5 inserted, 3 rejected and 2 filtered are counted
            8 rows were sent, but 4 inserted, 3 rejected and 2 filtered are counted
            -2 filtered are counted, less than none
            a skip loads nothing, but 8 records are counted
            a reset loads nothing, but 10 holes are counted"#]]
        .assert_eq(&told);
        for kind in [Kind::Skip, Kind::Reset] {
            assert_eq!(Account::default().check(kind, 10, 20), Ok(()));
        }
    }

    #[test]
    fn what_nobody_counted_is_no_fault_and_has_no_sum() {
        let custom = Account { rows: None, inserted: 700, ..good() };
        assert_eq!(custom.check(Kind::Load, 10, 20), Ok(()));
        let mut sum = good();
        sum += good();
        assert_eq!((sum.rows, sum.records, sum.filtered), (Some(18), 16, 4));
        sum += custom;
        assert_eq!((sum.rows, sum.inserted), (None, 708));
    }
}
