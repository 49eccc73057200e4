//! What a hand is given, and what it tells.

use std::time::Duration;

use crossbeam_channel::Sender;

use super::super::doubt::Copying;
use super::super::schemas::Registries;
use super::super::threads::Stop;
use crate::block::RowBlock;
use crate::budget::Budget;
use crate::decode::Decoder;
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::row::Rows;
use crate::transform::Transform;

/// What a worker tells the brain.
#[derive(Debug)]
pub enum Told {
    Block(RowBlock),
    /// A partition is read up to its end mark, see [`Lane::until`].
    End {
        partition: i32,
    },
    /// The broker no longer has, or not yet has, the offset that was asked for.
    OutOfRange {
        partition: i32,
    },
    /// The log was cut off below the offset that was asked for, at `end` if that is known, and maybe written anew.
    CutOff {
        partition: i32,
        offset: i64,
        end: Option<i64>,
        reason: String,
    },
    /// A partition stands still; whoever is in trouble, or waits for it, goes on trying.
    Trouble {
        partition: i32,
        /// Who is, for the head of a line.
        of: &'static str,
        text: String,
    },
    /// The transformer stops the job at a record.
    Stopped {
        partition: i32,
        offset: i64,
        text: String,
    },
    /// Reading of a partition failed for good.
    Failed {
        partition: i32,
        reason: String,
    },
}

/// One partition of a worker.
#[derive(Debug)]
pub struct Lane {
    /// The next offset to read.
    pub next: i64,
    /// Stop before this offset, and say so once.
    pub until: Option<i64>,
}

/// Sizes of what a worker makes.
#[derive(Debug, Clone, Copy)]
pub struct BlockLimits {
    /// A block is sealed when its encoded rows have come to this.
    pub bytes: usize,
    /// A block has at most so many rows; 0 is no limit.
    pub rows_max: u64,
}

/// What a hand works with.
pub struct Tools {
    pub transform: Option<Transform>,
    pub decoder: Box<dyn Decoder>,
    /// Payloads are sent as they are, not as rows.
    pub sends_payloads: bool,
    pub registries: Registries,
    pub limits: BlockLimits,
    pub generation: Generation,
    pub budget: Budget,
    /// Records that are likely to be refused are copied.
    pub copying: Option<Copying>,
    pub metrics: Metrics,
    pub out: Sender<Told>,
    pub stop: Stop,
}

/// Some of a record's rows, as they count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeRows {
    pub rows: Vec<u32>,
    /// How many it must make, so that they are the ones that are meant; `None` is not known.
    pub of: Option<u32>,
}

impl SomeRows {
    /// Takes them out, or says why they are not to be had.
    pub(super) fn of(&self, all: &Rows) -> Result<Rows, String> {
        let makes = all.len();
        if let Some(of) = self.of.filter(|of| usize::try_from(*of) != Ok(makes)) {
            let what = "put that right, or set its \"row\" to NULL to have all of them";
            return Err(format!(
                "the record makes {makes} rows now and made {of} when row {} was refused: {what}",
                self.first()
            ));
        }
        all.only(&self.rows)
            .ok_or_else(|| format!("the record makes {makes} rows now, so there is no row {}", self.last()))
    }

    fn first(&self) -> u32 {
        self.rows.first().copied().unwrap_or_default()
    }

    fn last(&self) -> u32 {
        self.rows.iter().max().copied().unwrap_or_default()
    }
}

/// What a hand has waited for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waited {
    pub memory: Duration,
    /// Room in its channel.
    pub room: Duration,
}
