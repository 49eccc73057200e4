//! How rejects of a batch stand in the log: the first by name, the rest as a count a partition. Pure.

use std::collections::BTreeMap;

use super::batch::{Batch, REJECTS_NAMED_MAX};
use crate::block::Reject;
use crate::greenplum::{SegmentReject, SegmentRejects};
use crate::line;

/// The lines: what our decoder refused, then what segments refused, [`REJECTS_NAMED_MAX`] together.
pub fn lines(topic: &str, batch: &Batch, by_segments: &SegmentRejects) -> Vec<String> {
    let mut rest = by_segments.counts.clone();
    for (&partition, sums) in batch.by_partition.iter().filter(|(_, sums)| sums.refused > 0) {
        *rest.entry(partition).or_default() += sums.refused;
    }
    let own = batch.rejects.iter().map(|reject| (reject.partition, own(topic, reject)));
    let theirs = by_segments.named.iter().map(|reject| (reject.partition, theirs(topic, batch, reject)));
    let mut lines = Vec::new();
    for (partition, line) in own.chain(theirs).take(REJECTS_NAMED_MAX) {
        lines.push(line);
        rest.entry(partition).and_modify(|count| *count = count.saturating_sub(1));
    }
    lines.extend(counted(topic, batch.number, &rest));
    lines
}

fn own(topic: &str, reject: &Reject) -> String {
    let Reject { partition, offset, reason, payload } = reject;
    let payload = String::from_utf8_lossy(payload);
    format!("rejected {topic}[{partition}]@{offset}  {reason}  payload {}", line::escaped(&payload))
}

/// The database knows the row by its place in a block, the batch knows which record that was.
fn theirs(topic: &str, batch: &Batch, reject: &SegmentReject) -> String {
    let SegmentReject { partition, first, line: row, message, raw } = reject;
    let offset = batch.offset_of(*partition, *first, *row).map(|offset| offset.to_string());
    let offset = match offset {
        Some(offset) => offset,
        // the database's own formatter knows no more than the block
        None if *row == 0 => format!("{first} or behind"),
        None => format!("{first}+{row}"),
    };
    let raw = &raw[..raw.len().min(Reject::PAYLOAD_BYTES_MAX)];
    let (message, raw) = (line::excerpt(message, MESSAGE_CHARS_MAX), String::from_utf8_lossy(raw));
    format!("rejected {topic}[{partition}]@{offset}  {message}  row {}", line::escaped(&raw))
}

fn counted(topic: &str, batch: u64, rest: &BTreeMap<i32, u64>) -> impl Iterator<Item = String> {
    let rest = rest.iter().filter(|(_, count)| **count > 0);
    rest.map(move |(partition, count)| {
        format!("rejected {count} more records of {topic}[{partition}] in batch {batch}")
    })
}

/// The database quotes the value that it refuses, however long that is.
const MESSAGE_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::block::{BlockIndex, RowBlock, Run};
    use crate::offset::{Generation, Span};

    fn batch(rejected: usize) -> Batch {
        let reject = |at: usize| Reject {
            partition: 1,
            offset: 100 + i64::try_from(at).unwrap(),
            reason: "csv  too few columns".to_owned(),
            payload: b"a\n\0\xff\x1b[2J".to_vec(),
        };
        let block = RowBlock {
            index: BlockIndex {
                partition: 1,
                span: Span::new(100, 300).unwrap(),
                rows: 5,
                runs: vec![Run { row: 0, record_rows: 1, offset: 200 }, Run { row: 2, record_rows: 1, offset: 250 }],
            },
            generation: Generation(1),
            leader_epoch: None,
            bytes: Default::default(),
            source_bytes: 0,
            records: 5,
            decoded: 5,
            dropped: 0,
            holes: 0,
            rejects: (0..rejected).map(reject).collect(),
            copies: Default::default(),
        };
        let mut batch = Batch::new(7, Instant::now(), false);
        batch.sent.push(block.index.clone());
        batch.absorb(block, Instant::now()).unwrap();
        batch
    }

    fn refused(line: u32) -> SegmentReject {
        let message = "invalid input syntax for integer".to_owned();
        SegmentReject { partition: 1, first: 100, line, message, raw: vec![b'x'; 300] }
    }

    #[test]
    fn a_reject_is_one_line() {
        let lines = lines("t", &batch(1), &SegmentRejects::default());
        assert_eq!(lines, ["rejected t[1]@100  csv  too few columns  payload a\\n\\u{0}\u{fffd}\\u{1b}[2J"]);
    }

    #[test]
    fn a_row_is_named_by_its_record_and_cut() {
        let by_segments = SegmentRejects { named: vec![refused(4)], counts: [(1, 1)].into() };
        let lines = lines("t", &batch(0), &by_segments);
        assert_eq!(lines, [format!("rejected t[1]@251  invalid input syntax for integer  row {}", "x".repeat(200))]);
    }

    #[test]
    fn a_message_that_quotes_the_record_is_one_line_too() {
        let message = format!("invalid input syntax for integer: \"\u{1b}[2J\n{}\"", "é".repeat(1000));
        let by_segments =
            SegmentRejects { named: vec![SegmentReject { message, ..refused(4) }], counts: [(1, 1)].into() };
        let line = lines("t", &batch(0), &by_segments).remove(0);
        assert!(line.contains("\"\\u{1b}[2J\\né") && !line.contains(['\n', '\u{1b}']), "{line}");
        assert!(line.chars().count() < 600, "{line}");
    }

    #[test]
    fn what_is_not_named_is_counted() {
        let by_segments = SegmentRejects { named: (1..=5).map(refused).collect(), counts: [(0, 3), (1, 9)].into() };
        let lines = lines("t", &batch(18), &by_segments);
        assert_eq!(lines.len(), 22);
        assert!(lines[19].starts_with("rejected t[1]@201 "), "{}", lines[19]);
        assert_eq!(
            lines[20..],
            ["rejected 3 more records of t[0] in batch 7", "rejected 7 more records of t[1] in batch 7"]
        );
    }
}
