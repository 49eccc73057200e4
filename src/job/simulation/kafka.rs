//! The model topic: logs with holes that grow and expire, and blocks as workers make them of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::dice::Dice;
use crate::block::{BlockIndex, Reject, RowBlock, Run};
use crate::copies::Copies;
use crate::kafka::Watermarks;
use crate::offset::{Generation, Span};

/// What an offset holds. What it does not hold at all is a control record, or was compacted away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Belongs into the table.
    Good,
    /// The decoder refuses it.
    Undecodable,
    /// Segments refuse its row.
    Unreadable,
    /// The job's filter drops its row.
    Filtered,
    /// Of a transaction that was aborted: nobody ever sees it.
    Aborted,
}

/// A partition.
#[derive(Debug, Default)]
pub struct Log {
    pub records: BTreeMap<i64, Kind>,
    pub low: i64,
    pub end: i64,
}

/// What a worker finds.
#[derive(Debug)]
pub enum Found {
    Block(RowBlock),
    Nothing,
    /// It was to stop here.
    End,
    OutOfRange,
}

/// See the module.
#[derive(Debug)]
pub struct Kafka {
    pub logs: BTreeMap<i32, Log>,
    has_filter: bool,
}

impl Kafka {
    pub fn new(partitions: i32, has_filter: bool) -> Self {
        Self { logs: (0..partitions).map(|partition| (partition, Log::default())).collect(), has_filter }
    }

    /// So many offsets more at the end of a partition.
    pub fn grow(&mut self, partition: i32, offsets: i64, dice: &mut Dice) {
        let has_filter = self.has_filter;
        let log = self.logs.get_mut(&partition).unwrap();
        for offset in log.end..log.end + offsets {
            let kind = match dice.roll(12) {
                0 => continue,
                1 => Kind::Aborted,
                2 => Kind::Undecodable,
                3 => Kind::Unreadable,
                4 if has_filter => Kind::Filtered,
                _ => Kind::Good,
            };
            log.records.insert(offset, kind);
        }
        log.end += offsets;
    }

    pub fn add_partition(&mut self) -> i32 {
        let partition = i32::try_from(self.logs.len()).unwrap();
        self.logs.insert(partition, Log::default());
        partition
    }

    pub fn watermarks(&self, partitions: impl IntoIterator<Item = i32>) -> BTreeMap<i32, Watermarks> {
        let marks =
            |partition| (partition, Watermarks { low: self.logs[&partition].low, high: self.logs[&partition].end });
        partitions.into_iter().map(marks).collect()
    }

    /// What a worker tells next of a partition.
    pub fn read(
        &self,
        partition: i32,
        at: i64,
        until: Option<i64>,
        (generation, dice): (Generation, &mut Dice),
    ) -> Found {
        let log = &self.logs[&partition];
        let end = until.unwrap_or(log.end).min(log.end);
        if until.is_some_and(|until| at >= until) {
            return Found::End;
        }
        if at < log.low {
            return Found::OutOfRange;
        }
        if at >= end {
            return Found::Nothing;
        }
        let most = 1 + dice.index(6);
        let visible = log.records.range(at..end).filter(|(_, kind)| **kind != Kind::Aborted);
        let records: Vec<(i64, Kind)> = visible.take(most).map(|(&offset, &kind)| (offset, kind)).collect();
        // fewer than it would take: it has read past what is behind them
        let reads_past = records.len() < most && (records.is_empty() || dice.is_one_in(2));
        let next = if reads_past { end } else { records.last().map_or(end, |(offset, _)| offset + 1) };
        Found::Block(block(partition, Span::new(at, next).unwrap(), &records, generation))
    }
}

/// Each row says what it is: `partition,offset,kind`.
fn block(partition: i32, span: Span, records: &[(i64, Kind)], generation: Generation) -> RowBlock {
    let is_row = |kind: Kind| kind != Kind::Undecodable;
    let rows: Vec<(i64, Kind)> = records.iter().copied().filter(|(_, kind)| is_row(*kind)).collect();
    let text: String = rows.iter().map(|(offset, kind)| format!("{partition},{offset},{kind:?}\n")).collect();
    let reject = |offset: i64| Reject { partition, offset, reason: "undecodable".into(), payload: Vec::new() };
    let runs = (0..).zip(&rows).map(|(row, (offset, _))| Run { row, offset: *offset, record_rows: 1 });
    RowBlock {
        index: BlockIndex { partition, span, rows: u32::try_from(rows.len()).unwrap(), runs: runs.collect() },
        generation,
        leader_epoch: None,
        bytes: Bytes::from(text),
        source_bytes: 0,
        records: u32::try_from(records.len()).unwrap(),
        decoded: u32::try_from(rows.len()).unwrap(),
        dropped: 0,
        holes: span.next().abs_diff(span.first()) - records.len() as u64,
        rejects: records.iter().filter(|(_, kind)| !is_row(*kind)).map(|(offset, _)| reject(*offset)).collect(),
        copies: Copies::default(),
    }
}

/// What [`block`] wrote.
pub fn row(line: &str) -> (i32, i64, Kind) {
    let mut parts = line.split(',');
    let mut part = || parts.next().unwrap();
    let (partition, offset) = (part().parse().unwrap(), part().parse().unwrap());
    let kind = match part() {
        "Good" => Kind::Good,
        "Unreadable" => Kind::Unreadable,
        "Filtered" => Kind::Filtered,
        other => panic!("a row of kind {other}"),
    };
    (partition, offset, kind)
}
