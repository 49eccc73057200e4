//! A batch's statements, and what each one's count of rows means.

use std::collections::BTreeMap;

use super::dead_letters::Refusal;
use super::statement::Statement;
use crate::table::TableName;

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Reads the external table for several outputs, or where a failing batch is kept.
    Stage,
    /// Drops staged rows for which the input's filter is not true, where a failing batch is kept.
    Sift,
    /// Empties the tables of a choice, for the next part of a batch.
    Empty,
    /// Rows as they come into a target.
    Insert,
    /// Rows as they come through a mapping, for a choice among them.
    Map,
    /// One row of each key, or one of each partition that it came from.
    Choose,
    /// Counts the latter.
    LookForRivals,
    /// Chooses between them.
    Settle,
    /// Waits for other loads that merge into the same target.
    Lock,
    Update,
    InsertNew,
    Delete,
}

/// A statement of a batch.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) act: Act,
    pub(super) statement: Statement,
}

/// What became of a batch's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that came through the external table and its filter. Together with those rejected, and those filtered
    /// where [`super::Writes::is_filtered`], they are all that were sent.
    pub read: u64,
    /// Rows that segments refused.
    pub rejected: u64,
    /// One for each output, in their order.
    pub outputs: Vec<WrittenTo>,
    /// Rows that the database refused behind the external table, and that are kept; not among those read.
    pub saved: Option<Saved>,
}

/// Rows of a failing batch that are kept in a table of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub table: TableName,
    pub rows: u64,
    pub by_partition: BTreeMap<i32, u64>,
    /// What the database said, with its SQLSTATE, of the first of them.
    pub cause: String,
    /// The others are loaded; else these are all of the batch.
    pub is_part: bool,
    /// How many parts of the batch were tried to find them.
    pub trials: u64,
    /// They are to become dead letters, and nothing of them is in the table yet.
    pub refusals: Vec<Refusal>,
}

/// What became of them in one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTo {
    pub target: TableName,
    /// Rows that this output's own filter dropped of those read, where it is told apart from the input's: there are
    /// several outputs.
    pub filtered: u64,
    /// Rows that gave way to another one of their key, and under UPDATE rows without a whole key.
    pub passed_over: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// A key came from several partitions in this batch, and nothing but timestamps told which row is the last.
    pub has_several_partitions: bool,
}

impl Written {
    /// Rows that are new in a target, over all outputs.
    pub fn inserted(&self) -> u64 {
        self.outputs.iter().map(|output| output.inserted).sum()
    }

    /// Rows of a target that were set, over all outputs.
    pub fn updated(&self) -> u64 {
        self.outputs.iter().map(|output| output.updated).sum()
    }

    /// Rows that are gone from a target, over all outputs.
    pub fn deleted(&self) -> u64 {
        self.outputs.iter().map(|output| output.deleted).sum()
    }

    /// Whether any output met a key of several partitions.
    pub fn has_several_partitions(&self) -> bool {
        self.outputs.iter().any(|output| output.has_several_partitions)
    }
}

impl WrittenTo {
    pub(super) fn new(target: &TableName) -> Self {
        Self {
            target: target.clone(),
            filtered: 0,
            passed_over: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
            has_several_partitions: false,
        }
    }

    /// Takes a statement's count of rows; `read` were read by the batch.
    pub(super) fn note(&mut self, act: Act, rows: u64, read: u64) {
        match act {
            Act::Stage | Act::Sift | Act::Empty | Act::Lock => {}
            Act::Insert => (self.inserted, self.filtered) = (rows, read.saturating_sub(rows)),
            Act::Map => (self.passed_over, self.filtered) = (rows, read.saturating_sub(rows)),
            Act::Choose => self.passed_over = self.passed_over.saturating_sub(rows),
            Act::LookForRivals => self.has_several_partitions = rows > 0,
            Act::Settle => self.passed_over += rows,
            Act::Update => self.updated += rows,
            Act::InsertNew => self.inserted += rows,
            Act::Delete => self.deleted += rows,
        }
    }
}
