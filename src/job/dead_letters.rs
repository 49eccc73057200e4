//! Dead letters of a batch: what was refused of it, with its records, into their table before the COMMIT. Those
//! that were likely to be refused were copied as they came, as many as a share of the memory holds; of the others places
//! and reasons are all that is known, and they are read again from Kafka.

use std::collections::{BTreeMap, BTreeSet};

use crate::block::Reject;
use crate::copies::Copies;
use crate::greenplum::{self, DeadLetters, Letter, Load, Refusal, SegmentRejects, Stage};
use crate::kafka::{self, Reread};
use crate::offset::Span;
use crate::record::OwnedRecord;

use super::batch::Batch;
use super::failure::{Error, require_same_topic};
use super::threads::Stop;

/// Rows of a batch that segments may refuse: they are in memory together for a while, at some 200 bytes each.
pub const SEGMENT_REJECTS_MAX: usize = 100_000;

/// What one statement writes.
const LETTERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 1 << 20;

/// What librdkafka may hold of records that are read again.
pub const QUEUE_BYTES: usize = 8 << 20;

/// What was refused of a batch, and those of its records that are at hand.
#[derive(Debug, Default)]
pub struct Refused {
    pub refusals: Vec<Refusal>,
    /// By partition and span, a block each.
    pub copies: Vec<(i32, Span, Copies)>,
}

/// All that was refused of a batch, in the order of partition, offset and row.
///
/// # Errors
/// A segment names a row that was never sent.
pub fn of(batch: &Batch, by_segments: &SegmentRejects, found_bad: &[Refusal]) -> Result<Vec<Refusal>, Error> {
    let blocks = batch.blocks();
    let own = batch.rejects.iter().map(|Reject { partition, offset, reason, .. }| Refusal {
        partition: *partition,
        offset: *offset,
        row: None,
        of_rows: None,
        stage: Stage::Decode,
        error: reason.clone(),
        state: None,
    });
    let theirs = by_segments.named.iter().map(|reject| {
        let block = blocks.get(&(reject.partition, reject.first));
        let place = block.and_then(|block| block.place_of(reject.line.checked_sub(1)?));
        let Some((offset, row)) = place else {
            let text = format!("a segment refuses row {} of block {}, which has none", reject.line, reject.first);
            return Err(Error::Internal(text));
        };
        Ok(Refusal {
            partition: reject.partition,
            offset,
            row: i32::try_from(row).ok(),
            of_rows: block.and_then(|block| block.rows_of(offset)).and_then(|rows| i32::try_from(rows).ok()),
            stage: Stage::Segment,
            error: reject.message.clone(),
            state: None,
        })
    });
    let theirs: Vec<Refusal> = theirs.collect::<Result<_, _>>()?;
    let found = found_bad.iter().map(|refusal| {
        // the block that begins last at or before the offset
        let mut before = blocks.range(..=(refusal.partition, refusal.offset));
        let block = before.next_back().filter(|((partition, _), _)| *partition == refusal.partition);
        let rows = block.and_then(|(_, block)| block.rows_of(refusal.offset));
        Refusal { of_rows: rows.and_then(|rows| i32::try_from(rows).ok()), ..refusal.clone() }
    });
    let mut all: Vec<Refusal> = own.chain(theirs).chain(found).collect();
    all.sort_by_key(|refusal| (refusal.partition, refusal.offset, refusal.row));
    Ok(all)
}

/// "1 dead letter", "20 dead letters".
pub fn counted(letters: u64) -> String {
    format!("{} dead {}", crate::units::count(letters), if letters == 1 { "letter" } else { "letters" })
}

/// Writes them.
pub struct Writer {
    letters: DeadLetters,
    kafka: kafka::Settings,
    topic_id: Option<String>,
    /// Made when the first one is wanted.
    reread: Option<Reread>,
    stop: Stop,
}

impl Writer {
    pub fn new(letters: DeadLetters, kafka: kafka::Settings, topic_id: Option<String>, stop: Stop) -> Self {
        Self { letters, kafka, topic_id, reread: None, stop }
    }

    /// Writes what was refused of a batch, in the transaction that is open.
    ///
    /// # Errors
    /// A record could not be read, for now or for good; the database refuses.
    ///
    /// # Blocks
    /// For as long as records take to read of which there is no copy.
    pub fn write(&mut self, load: &mut Load, batch: u64, refused: Refused) -> Result<(), Error> {
        let mut by_place: ByPlace = BTreeMap::new();
        for refusal in refused.refusals {
            by_place.entry((refusal.partition, refusal.offset)).or_default().push(refusal);
        }
        let batch = i64::try_from(batch).unwrap_or(i64::MAX);
        let mut sheet = Sheet::new(&self.letters, load);
        for (partition, span, copies) in &refused.copies {
            let here = by_place.range((*partition, span.first())..(*partition, span.next()));
            let wanted: BTreeSet<i64> = here.map(|((_, offset), _)| *offset).collect();
            if !wanted.is_empty() {
                let is_wanted = |offset| wanted.contains(&offset);
                copies.find(is_wanted, |offset, record| {
                    sheet.put_all(take(&mut by_place, (*partition, offset)), batch, Some(record))
                })?;
            }
        }
        sheet.flush()?;
        drop(refused.copies);
        if by_place.is_empty() { Ok(()) } else { self.read_again(load, batch, by_place) }
    }

    /// What no copy was kept of.
    fn read_again(&mut self, load: &mut Load, batch: i64, mut by_place: ByPlace) -> Result<(), Error> {
        if self.reread.is_none() {
            self.reread = Some(Reread::connect(&self.kafka)?);
        }
        let reread = self.reread.as_mut().expect("it has just been made");
        let is_over = || self.stop.is_asked();
        let mut sheet = Sheet::new(&self.letters, load);
        let mut wanted: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for &(partition, offset) in by_place.keys() {
            wanted.entry(partition).or_default().push(offset);
        }
        reread.read::<Error>(&wanted, &is_over, &mut |partition, offset, record| {
            let here = take(&mut by_place, (partition, offset));
            Ok(sheet.put_all(here, batch, record.map(OwnedRecord::from))?)
        })?;
        sheet.flush()?;
        // all of them have been read by now: under the old id they are the ones that were refused
        require_same_topic(&self.kafka.topic, self.topic_id.as_deref(), || reread.topic_id_now())
    }
}

/// Refusals by partition and offset.
type ByPlace = BTreeMap<(i32, i64), Vec<Refusal>>;

fn take(by_place: &mut ByPlace, place: (i32, i64)) -> Vec<Refusal> {
    by_place.remove(&place).unwrap_or_default()
}

/// Letters for one statement.
pub(super) struct Sheet<'s> {
    letters: &'s DeadLetters,
    load: &'s mut Load,
    written: Vec<Letter>,
    bytes: usize,
}

impl<'s> Sheet<'s> {
    pub fn new(letters: &'s DeadLetters, load: &'s mut Load) -> Self {
        Self { letters, load, written: Vec::new(), bytes: 0 }
    }

    /// Writes a letter, or keeps it until there are some more.
    pub fn put(&mut self, letter: Letter) -> Result<(), greenplum::Error> {
        self.bytes += letter.refusal.error.len() + letter.record.as_ref().map_or(0, OwnedRecord::bytes);
        self.written.push(letter);
        match self.written.len() >= LETTERS_MAX || self.bytes >= BYTES_MAX {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// All that was refused of one record; `None` is gone.
    fn put_all(
        &mut self,
        mut refusals: Vec<Refusal>,
        batch: i64,
        record: Option<OwnedRecord>,
    ) -> Result<(), greenplum::Error> {
        let Some(last) = refusals.pop() else { return Ok(()) };
        for refusal in refusals {
            self.put(Letter { refusal, batch, record: record.clone(), written: None })?;
        }
        self.put(Letter { refusal: last, batch, record, written: None })
    }

    /// Writes those that are kept.
    pub fn flush(&mut self) -> Result<(), greenplum::Error> {
        if !self.written.is_empty() {
            self.letters.append(self.load.connection(), &self.written)?;
        }
        self.written.clear();
        self.bytes = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::block::{BlockIndex, RowBlock, Run};
    use crate::greenplum::SegmentReject;
    use crate::offset::Generation;

    #[test]
    fn what_three_refuse_is_named_by_record_and_row() {
        let index = BlockIndex {
            partition: 1,
            span: Span::new(100, 110).unwrap(),
            rows: 6,
            runs: vec![Run { row: 0, record_rows: 1, offset: 100 }, Run { row: 2, record_rows: 2, offset: 105 }],
        };
        let block = RowBlock {
            index: index.clone(),
            generation: Generation(1),
            leader_epoch: None,
            bytes: Default::default(),
            source_bytes: 0,
            records: 6,
            decoded: 5,
            dropped: 0,
            holes: 0,
            rejects: vec![Reject { partition: 1, offset: 103, reason: "csv  bad".to_owned(), payload: vec![] }],
            copies: Copies::default(),
        };
        let mut batch = Batch::new(7, Instant::now(), true);
        batch.absorb(block, Instant::now()).unwrap();
        batch.sent.push(index);
        let named =
            |line| SegmentReject { partition: 1, first: 100, line, message: format!("line {line}"), raw: vec![] };
        let by_segments = SegmentRejects { named: vec![named(2), named(6)], counts: [(1, 2)].into() };
        let found = Refusal {
            partition: 1,
            offset: 105,
            row: Some(0),
            of_rows: None,
            stage: Stage::Expression,
            error: "division by zero".to_owned(),
            state: Some("22012".to_owned()),
        };
        let shown: Vec<_> = of(&batch, &by_segments, &[found])
            .unwrap()
            .iter()
            .map(|it| {
                let row = it.row.zip(it.of_rows).map(|(row, of)| format!("{row} of {of}"));
                format!("{}@{} {row:?} {} {}", it.partition, it.offset, it.stage.name(), it.error)
            })
            .collect();
        assert_eq!(
            shown,
            [
                r#"1@101 Some("0 of 1") segment line 2"#,
                "1@103 None decode csv  bad",
                r#"1@105 Some("0 of 2") expression division by zero"#,
                r#"1@106 Some("1 of 2") segment line 6"#,
            ]
        );
    }
}
