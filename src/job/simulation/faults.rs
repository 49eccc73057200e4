//! What can go wrong, and when it does: each seed has its own favourites, and every fault is asked for at every step
//! where it could fall. Whether the nth chance of a fault strikes depends on the seed alone, so that one can be taken out
//! of a run and the others stay.

use std::collections::BTreeSet;
use std::fmt;

use super::dice::mixed;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT after up to two minutes.
    Freeze,
    /// Another loader starts beside those that live, as if they were silent.
    Successor,
    /// It does not end the sessions of the other first.
    SpareSessions,
    /// The user asks for the end.
    Stop,
    /// The control session is gone.
    HolderLost,
    /// A statement gets an error that passes.
    StatementFails,
    /// A statement gets an error that does not.
    StatementRefused,
    /// The database connection breaks.
    ConnectionReset,
    /// The database connection says nothing any more, for 30 s.
    ConnectionDeaf,
    /// COMMIT has its effect, its reply is lost.
    CommitReplyLost,
    /// COMMIT is lost, and the transaction with it.
    CommitLost,
    /// COMMIT has its effect up to a minute after the connection broke, unless somebody ends its session.
    CommitLate,
    /// A segment's connection is cut.
    SegmentCut,
    /// A segment asks again, and the first connection does not know yet that it is dead.
    SegmentAgain,
    /// A segment says nothing for some seconds.
    SegmentStalls,
    /// A segment loses a row and tells nobody.
    RowLost,
    /// Somebody else's statement reads the external table.
    Stranger,
    /// The log grows.
    Growth,
    /// A partition is added.
    NewPartition,
    /// The beginning of a partition expires.
    Expiry,
    /// Old rows of the ledger are removed.
    Prune,
    /// A block of the attempt before arrives.
    LateBlock,
}

impl Fault {
    pub const ALL: [Self; 23] = [
        Self::Kill,
        Self::Freeze,
        Self::Successor,
        Self::SpareSessions,
        Self::Stop,
        Self::HolderLost,
        Self::StatementFails,
        Self::StatementRefused,
        Self::ConnectionReset,
        Self::ConnectionDeaf,
        Self::CommitReplyLost,
        Self::CommitLost,
        Self::CommitLate,
        Self::SegmentCut,
        Self::SegmentAgain,
        Self::SegmentStalls,
        Self::RowLost,
        Self::Stranger,
        Self::Growth,
        Self::NewPartition,
        Self::Expiry,
        Self::Prune,
        Self::LateBlock,
    ];

    /// So many chances strike once, where a seed has no other wish.
    fn odds(self) -> u64 {
        match self {
            Self::Kill | Self::Stop | Self::HolderLost | Self::StatementRefused => 700,
            Self::Freeze => 400,
            Self::Successor => 300,
            Self::SegmentCut | Self::SegmentAgain | Self::RowLost => 80,
            Self::StatementFails | Self::ConnectionReset | Self::ConnectionDeaf => 150,
            Self::CommitReplyLost | Self::CommitLost | Self::CommitLate => 12,
            Self::SegmentStalls | Self::Expiry | Self::Prune => 60,
            Self::NewPartition => 300,
            Self::Stranger | Self::Growth => 40,
            Self::SpareSessions | Self::LateBlock => 2,
        }
    }

    /// Whether an attempt may fail for it. Of the others it must not even notice.
    fn is_harmful(self) -> bool {
        !matches!(
            self,
            Self::SegmentStalls
                | Self::Stranger
                | Self::Growth
                | Self::NewPartition
                | Self::Expiry
                | Self::LateBlock
                | Self::Stop
        )
    }
}

/// The nth chance of a fault, which struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strike(pub Fault, pub u64);

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}", self.0, self.1)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Faults {
    seed: u64,
    chances: [u64; Fault::ALL.len()],
    /// None but these strike.
    only: Option<BTreeSet<Strike>>,
    pub struck: BTreeSet<Strike>,
    /// Strikes that excuse a failure.
    pub harmful: u64,
    pub is_calm: bool,
}

impl Faults {
    pub fn new(seed: u64, only: Option<BTreeSet<Strike>>) -> Self {
        Self { seed, chances: [0; Fault::ALL.len()], only, struck: BTreeSet::new(), harmful: 0, is_calm: false }
    }

    /// Whether this chance of it strikes.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        if self.is_calm {
            return false;
        }
        let chance = &mut self.chances[fault as usize];
        let strike = Strike(fault, *chance);
        *chance += 1;
        let of_kind = mixed(self.seed ^ mixed(fault as u64));
        let odds = match of_kind % 4 {
            0 => return false,
            1 => fault.odds() * 4,
            2 => fault.odds(),
            _ => fault.odds().div_ceil(3),
        };
        let strikes = mixed(of_kind ^ strike.1).is_multiple_of(odds);
        let strikes = strikes && self.only.as_ref().is_none_or(|only| only.contains(&strike));
        if strikes {
            self.struck.insert(strike);
            self.harmful += u64::from(fault.is_harmful());
        }
        strikes
    }
}
