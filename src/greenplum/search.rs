//! Finding the bad rows among many by trying ever smaller parts, in order, each on top of the good rows before it. Pure:
//! it says what to try next and is told how that went.
//!
//! A part that passes stays; one that fails is parted, and its pieces are tried in order. Where all pieces but the last
//! pass, the last one is known to fail and is parted without being tried whole. In halves, a bad row costs at most two
//! trials for each time that the batch can be halved; in more pieces more trials pass and fewer fail. Of rows that only
//! fail together, two of one key say, the later one is the bad one.

use std::ops::Range;

/// See the module. Rows are numbered from 0.
#[derive(Debug)]
pub(super) struct Search {
    /// Parts to come, the next one last.
    parts: Vec<Part>,
    current: Part,
    /// Into how many pieces a part is parted.
    pieces: u64,
    /// Times that a part was parted.
    parted: u64,
    bad: u64,
    bad_max: u64,
}

#[derive(Debug, Clone)]
struct Part {
    rows: Range<u64>,
    /// On top of all the good rows before it.
    is_known_to_fail: bool,
    /// Pieces of one part have the same number.
    parted: u64,
    /// The last piece of a part that failed, of which no piece has failed yet.
    is_last_hope: bool,
}

impl Search {
    /// Of these rows nothing is known. A part that fails is parted into so many `pieces`, two at least; the search ends
    /// early when more than `bad_max` rows are bad.
    pub(super) fn new(rows: u64, pieces: u64, bad_max: u64) -> Self {
        let whole = Part { rows: 0..rows, is_known_to_fail: false, parted: 0, is_last_hope: false };
        let parts = if rows > 0 { vec![whole.clone()] } else { Vec::new() };
        Self { parts, current: whole, pieces: pieces.max(2), parted: 0, bad: 0, bad_max }
    }

    /// Of these rows it is known that they fail together.
    pub(super) fn of_failed(rows: u64, pieces: u64, bad_max: u64) -> Self {
        let mut search = Self::new(rows, pieces, bad_max);
        search.parts.iter_mut().for_each(|whole| whole.is_known_to_fail = true);
        search
    }

    /// Rows to be tried next on top of those that were good; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Range<u64>> {
        if self.is_given_up() {
            return None;
        }
        let mut part = self.parts.pop()?;
        // a single row is tried even so: its error is wanted
        while part.is_known_to_fail && part.rows.end - part.rows.start > 1 {
            self.part(&part.rows);
            part = self.parts.pop()?;
        }
        self.current = part;
        Some(self.current.rows.clone())
    }

    fn part(&mut self, rows: &Range<u64>) {
        self.parted += 1;
        let each = (rows.end - rows.start).div_ceil(self.pieces);
        let mut end = rows.end;
        // the last one may be short, and is pushed first
        let mut start = rows.start + (rows.end - rows.start - 1) / each * each;
        loop {
            let is_last_hope = end == rows.end;
            self.parts.push(Part { rows: start..end, is_known_to_fail: false, parted: self.parted, is_last_hope });
            if start == rows.start {
                return;
            }
            (start, end) = (start - each, start);
        }
    }

    /// What was tried passed, and stays.
    pub(super) fn passed(&mut self) {
        let of = self.current.parted;
        if let Some(last) = self.parts.last_mut().filter(|last| last.is_last_hope && last.parted == of) {
            // all pieces together failed on top of the same rows
            last.is_known_to_fail = true;
        }
    }

    /// What was tried failed, and is taken back. `true`: it was a single row.
    pub(super) fn failed(&mut self) -> bool {
        let failed = self.current.clone();
        let siblings = self.parts.iter_mut().rev().take_while(|part| part.parted == failed.parted);
        siblings.for_each(|sibling| sibling.is_last_hope = false);
        if failed.rows.end - failed.rows.start == 1 {
            self.bad += 1;
            return true;
        }
        self.parts.push(Part { is_known_to_fail: true, ..failed });
        false
    }

    /// How many bad rows were found.
    pub(super) fn bad(&self) -> u64 {
        self.bad
    }

    /// More are bad than the search was made for.
    pub(super) fn is_given_up(&self) -> bool {
        self.bad > self.bad_max
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Runs a search over rows of which `is_bad` says, given the good ones before, whether a row fails on top of them.
    /// Returns the bad rows and the number of trials.
    fn found(rows: u64, pieces: u64, bad_max: u64, is_bad: impl Fn(u64, &BTreeSet<u64>) -> bool) -> (Vec<u64>, u64) {
        let mut search = Search::of_failed(rows, pieces, bad_max);
        let (mut good, mut bad, mut trials) = (BTreeSet::new(), Vec::new(), 0);
        while let Some(part) = search.next() {
            trials += 1;
            let mut with = good.clone();
            let passes = part.clone().all(|row| {
                let is_good = !is_bad(row, &with);
                with.insert(row);
                is_good
            });
            if passes {
                good = with;
                search.passed();
            } else if search.failed() {
                bad.push(part.start);
            }
        }
        assert_eq!(search.bad(), bad.len() as u64);
        if !search.is_given_up() {
            let all: BTreeSet<u64> = good.iter().chain(&bad).copied().collect();
            assert_eq!(all, (0..rows).collect(), "every row was either good or bad");
        }
        (bad, trials)
    }

    fn log2_up(rows: u64) -> u64 {
        u64::from(64 - rows.saturating_sub(1).leading_zeros())
    }

    proptest! {
        #[test]
        fn exactly_the_bad_rows_are_found_in_few_trials(
            rows in 1u64..3000,
            pieces in 2u64..40,
            picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let wanted: BTreeSet<u64> =
                picks.iter().map(|pick| pick.index(usize::try_from(rows).unwrap()) as u64).collect();
            let (bad, trials) = found(rows, pieces, 1000, |row, _| wanted.contains(&row));
            prop_assert_eq!(&bad, &wanted.iter().copied().collect::<Vec<_>>());
            if pieces == 2 {
                prop_assert!(trials <= bad.len() as u64 * (2 * log2_up(rows) + 1), "{} trials", trials);
            }
            prop_assert!(trials <= bad.len() as u64 * (pieces * log2_up(rows) + 1), "{} trials", trials);
        }

        /// As a unique key has it.
        #[test]
        fn of_rows_that_fail_together_the_later_ones_are_bad(keys in proptest::collection::vec(0u8..40, 2..200), pieces in 2u64..9) {
            let key = |row: u64| keys[usize::try_from(row).unwrap()];
            let (bad, _) = found(keys.len() as u64, pieces, 1000, |row, before| before.iter().any(|&other| key(other) == key(row)));
            let mut seen = BTreeSet::new();
            let wanted: Vec<u64> = (0..keys.len() as u64).filter(|&row| !seen.insert(key(row))).collect();
            prop_assert_eq!(bad, wanted);
        }
    }

    #[test]
    fn too_many_end_it() {
        let (bad, trials) = found(100_000, 2, 1000, |_, _| true);
        assert_eq!(bad.len(), 1001);
        assert!(trials < 2100, "{trials}");
        assert_eq!(found(1000, 2, 1000, |_, _| true).0.len(), 1000);
    }

    #[test]
    fn seven_of_a_hundred_thousand_take_a_hundred_trials() {
        let (bad, trials) = found(100_000, 2, 1000, |row, _| row % 14_285 == 14_284);
        assert_eq!(bad.len(), 7);
        assert!(trials < 160, "{trials}");
    }

    #[test]
    fn what_passes_after_all_is_good() {
        assert_eq!(found(64, 2, 10, |_, _| false).0, [0u64; 0]);
        assert_eq!(found(0, 2, 10, |_, _| true), (Vec::new(), 0));
        let mut search = Search::new(64, 2, 10);
        assert_eq!(search.next(), Some(0..64));
        search.passed();
        assert_eq!(search.next(), None);
    }
}
