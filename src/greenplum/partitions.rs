//! Which partitions a load was asked for, and how that is written into the path of its external table.

use std::collections::BTreeSet;
use std::fmt;

use super::identity::md5_of;

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

    /// Reads what [`fmt::Display`] wrote; `None` for anything else, and for a list that was too long to be written.
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

/// Of a list in a path. Greenplum cuts what it notes of a refused row's place, our path and the block's name, at 1024
/// bytes; paths are also typed and read.
const WRITTEN_MAX: usize = 200;

/// `all`, or ranges that need no quoting in a path: `0-3.7`; a long list is a hash, `x` and 32 hex digits.
impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Only(partitions) = self else { return f.write_str("all") };
        let range = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let written = ranges(partitions).into_iter().map(range).collect::<Vec<_>>().join(".");
        match written.len() > WRITTEN_MAX {
            true => write!(f, "x{}", md5_of(&[&written])),
            false => f.write_str(&written),
        }
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
    fn a_long_list_is_a_hash_of_itself() {
        let odd = |count: i32| Partitions::Only((0..count).map(|n| 2 * n + 1).collect());
        let (text, other) = (odd(500).to_string(), odd(501).to_string());
        assert_eq!((text.len(), Partitions::parse(&text)), (33, None));
        assert_ne!(text, other);
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
