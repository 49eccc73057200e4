//! Which partitions a load was asked for, and how that is written into the path of its external table.

use std::collections::BTreeSet;
use std::fmt;

/// The partitions of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// Whatever the topic has, also what it gets later.
    All,
    /// Just these.
    Only(BTreeSet<i32>),
}

impl Partitions {
    /// Whether everything that `other` may load is ours.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Only(_), Self::All) => false,
            (Self::Only(ours), Self::Only(theirs)) => theirs.is_subset(ours),
        }
    }

    /// Reads what [`fmt::Display`] wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self::All);
        }
        let mut partitions = BTreeSet::new();
        for range in text.split('.') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (i32, i32) = (first.parse().ok()?, last.parse().ok()?);
            (first <= last).then_some(())?;
            partitions.extend(first..=last);
        }
        Some(Self::Only(partitions))
    }
}

/// `all`, or ranges that need no quoting in a path: `0-3.7`.
impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Only(partitions) = self else { return f.write_str("all") };
        for (at, (first, last)) in ranges(partitions).into_iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match first == last {
                true => write!(f, "{dot}{first}")?,
                false => write!(f, "{dot}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

fn ranges(partitions: &BTreeSet<i32>) -> Vec<(i32, i32)> {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for &partition in partitions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == partition => *last = partition,
            _ => ranges.push((partition, partition)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(partitions: &[i32]) -> Partitions {
        Partitions::Only(partitions.iter().copied().collect())
    }

    #[test]
    fn the_text_is_safe_in_a_path_and_reads_back() {
        for (partitions, text) in [
            (Partitions::All, "all"),
            (only(&[7]), "7"),
            (only(&[0, 1, 2, 3, 7]), "0-3.7"),
            (only(&[0, 2, 4]), "0.2.4"),
        ] {
            assert_eq!(partitions.to_string(), text);
            assert_eq!(Partitions::parse(text), Some(partitions));
        }
        for wrong in ["", "x", "3-1", "1..2", "1-"] {
            assert_eq!(Partitions::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_load_covers_another_when_it_has_all_its_partitions() {
        assert!(Partitions::All.covers(&only(&[1])));
        assert!(Partitions::All.covers(&Partitions::All));
        assert!(only(&[1, 2]).covers(&only(&[2])));
        assert!(!only(&[1, 2]).covers(&only(&[2, 3])));
        assert!(!only(&[1, 2]).covers(&Partitions::All));
    }
}
