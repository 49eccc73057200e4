//! Dead letters once more, on the way that records take: decode, segments, the outputs' statements. What is loaded leaves
//! the table in the same transaction; what is refused again stays, with the new reason.
//!
//! ```text
//!  table ─ taken ─▶ hand ─▶ blocks ─▶ session ─▶ segments ─▶ stage ─▶ targets
//!    ▲                                                        │
//!    └──────────────── refused again ◀────────────────────────┘        COMMIT
//! ```
//!
//! Kafka is not asked, and the ledger does not move: its offsets are behind the letters. While it runs it holds the
//! partitions, so that no load runs beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::batch::{Batch, REJECTS_NAMED_MAX};
use super::dead_letters::{self, SEGMENT_REJECTS_MAX, Sheet};
use super::failure::Error;
use super::hand::{BlockLimits, Hand, Lane, SomeRows, Told};
use super::launch::{block_limits, tools};
use super::prepare;
use super::report::{Reporter, say};
use super::resolve;
use super::run::{Memory, Options, Run};
use super::schedule::Hours;
use super::threads::Threads;
use super::watch::{self, Seen};
use crate::config::Job;
use crate::decode;
use crate::gpfdist::{Scan, Session};
use crate::greenplum::dead_letters::{Held, Within};
use crate::greenplum::{self, Connection, DeadLetters, Ledger, Letter, Load, Refusal, Stage, Target, Writes, Written};
use crate::metrics::Metrics;
use crate::offset::Generation;
use crate::record::OwnedRecord;
use crate::shutdown::{Shutdown, Urgency};
use crate::transform::Program;

/// Letters of one transaction: few enough that all of them may be refused again, each with a search.
const PART_RECORDS_MAX: usize = 500;
const PART_BYTES_MAX: u64 = 16 << 20;

/// Blocks on their way to the session.
const CHANNEL: usize = 8;

/// How long a wait takes before the wish to end is looked at.
const WAIT: Duration = Duration::from_millis(50);

/// What became of the letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// What became of their rows in the targets.
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Rows that a filter dropped.
    pub filtered: u64,
    /// Letters that are no longer in the table.
    pub loaded: u64,
    /// Letters that stay, with a new reason.
    pub refused: u64,
    /// Letters that stay because their record was gone when they were written.
    pub without_record: u64,
}

impl Replayed {
    fn add(&mut self, done: Self) {
        self.inserted += done.inserted;
        self.updated += done.updated;
        self.deleted += done.deleted;
        self.filtered += done.filtered;
        self.loaded += done.loaded;
        self.refused += done.refused;
    }
}

/// A record with the letters that it has.
#[derive(Debug)]
struct Sent {
    partition: i32,
    offset: i64,
    record: OwnedRecord,
    /// `None` is all of it.
    rows: Option<SomeRows>,
    batch: i64,
    letters: u64,
}

/// Records by partition and offset.
type ByPlace<'s> = BTreeMap<(i32, i64), &'s Sent>;

/// What a replay has done.
#[derive(Debug)]
pub struct Summary {
    pub replayed: Replayed,
    /// Why it ended early. Parts before that are committed.
    pub failure: Option<Error>,
}

/// Loads all letters of the job, or those for which an SQL condition over their table is true. A job without a table for
/// them has none.
///
/// # Blocks
/// For as long as it takes; up to the end of a part once it is told to stop.
pub fn replay(
    job: &Job,
    options: &Options,
    condition: Option<&str>,
    metrics: &Metrics,
    (reporter, shutdown): (&dyn Reporter, &Shutdown),
) -> Summary {
    let mut replayed = Replayed::default();
    let run = Run::new(job, options, Hours::default(), metrics, reporter, shutdown);
    let done = run.and_then(|run| all(&run, condition, &mut replayed));
    Summary { replayed, failure: done.err() }
}

fn all(run: &Run<'_>, condition: Option<&str>, replayed: &mut Replayed) -> Result<(), Error> {
    let Some(table) = &run.job.dead_letters else { return Ok(()) };
    // always through a temporary table: some of them are likely to be refused again
    let memory = Memory { is_careful: true, ..Memory::default() };
    let settings = prepare::settings(run, &memory);
    let mut connection = Connection::open_to_load(&settings, &run.id.application_name(&run.instance))?;
    let letters = DeadLetters::new(table, &run.id);
    if !letters.check(&mut connection)? {
        return Err(Error::NoLetters {
            text: format!("there is no table {table}: nothing was refused yet, or DEAD_LETTER names another one"),
        });
    }
    let letters = condition.into_iter().fold(letters, DeadLetters::only);
    let held = letters.held(&mut connection)?;
    let count = |of: fn(&Held) -> u64| held.values().map(of).sum::<u64>();
    let (there, without_record) = (count(|held| held.letters), count(|held| held.without_record));
    replayed.without_record = without_record;
    say!(run.reporter, Info, "{table} has {} of this job to load again", dead_letters::counted(there - without_record));
    if there == without_record {
        let others = letters.of_others(&mut connection)?;
        if there == 0 && condition.is_none() && others > 0 {
            let letters = dead_letters::counted(others);
            say!(
                run.reporter,
                Info,
                "{table} has {letters} of other jobs: a job is its topic, database and first table"
            );
        }
        return Ok(());
    }
    run.announce();
    let targets = Target::describe(&mut connection, &settings)?;
    let writes = Writes::new(&targets, &settings)?;
    let decoding = resolve::decode_settings(run.job, &writes)?;
    let program = run.job.transform_program()?;
    let partitions: Vec<i32> = held.keys().copied().collect();
    let holder = prepare::claim(run, &memory, &settings, &partitions)?;
    let within = Within { partitions, before: DeadLetters::now(&mut connection)? };
    let external = prepare::external(run, &memory, &mut connection, &writes, &settings)?;
    if !run.options.skip_explain {
        writes.explain(&mut connection, &external.name)?;
    }
    let ledger = Ledger::ensure(&mut connection, settings.metadata_schema())?;
    let path = external.path.clone();
    let load = Load::new(connection, run.id.clone(), prepare::loader(run), writes, external, ledger);
    let mut threads = Threads::default();
    let (seen_in, seen) = bounded(CHANNEL);
    let stop = threads.stop();
    threads.start("holder", move || watch::hold(holder, &seen_in, &stop))?;
    Parts { run, letters, within, load, path, decoding, program, seen, number: 0 }.all(replayed)
}

/// Part after part, each in a transaction of its own.
struct Parts<'a> {
    run: &'a Run<'a>,
    letters: DeadLetters,
    within: Within,
    load: Load,
    path: String,
    decoding: decode::Settings,
    program: Option<Program>,
    seen: Receiver<Seen>,
    /// Of the part, from 1.
    number: u64,
}

/// What the threads of a part have sent.
struct Fed {
    batch: Batch,
    /// What ended it before its time.
    failure: Option<Error>,
}

impl Parts<'_> {
    fn all(&mut self, replayed: &mut Replayed) -> Result<(), Error> {
        let mut behind = (i32::MIN, i64::MIN);
        loop {
            let sizes = (PART_RECORDS_MAX, PART_BYTES_MAX);
            let ends = self.letters.part_ends(self.load.connection(), &self.within, behind, sizes)?;
            if ends.is_empty() {
                return Ok(());
            }
            for end in ends {
                // once more while letters of other records at the same places are left
                while self.round(behind, end, replayed)? {}
                if self.run.shutdown.urgency() != Urgency::None {
                    let text = "stopped before the end: what is not loaded is still in the table";
                    say!(self.run.reporter, Warn, "{text}");
                    return Ok(());
                }
                behind = end;
            }
        }
    }

    /// One transaction. Whether something of the part is left.
    fn round(&mut self, behind: (i32, i64), end: (i32, i64), replayed: &mut Replayed) -> Result<bool, Error> {
        self.number += 1;
        self.require_held()?;
        match self.part(behind, end) {
            Ok((done, is_left)) => {
                replayed.add(done);
                Ok(is_left)
            }
            Err(error) => {
                self.load.roll_back()?;
                Err(error)
            }
        }
    }

    /// Somebody else may load these partitions once the claim is gone.
    fn require_held(&self) -> Result<(), Error> {
        let lost = self.seen.try_iter().find_map(|seen| match seen {
            Seen::HolderLost(error) => Some(error),
            _ => None,
        });
        lost.map_or(Ok(()), |error| Err(error.into()))
    }

    fn part(&mut self, behind: (i32, i64), end: (i32, i64)) -> Result<(Replayed, bool), Error> {
        let xid = self.load.begin()?;
        let taken = self.letters.take(self.load.connection(), &self.within, behind, end)?;
        let (sent, left) = joined(taken);
        let sent = Arc::new(sent);
        let scan = Scan { path: self.path.clone(), xid: Some(xid), file_prefix: self.run.job.source.topic.clone() };
        let session = self.run.server.open(scan);
        let mut threads = Threads::default();
        let fed = self.feed(Arc::clone(&sent), &session, &mut threads)?;
        let written = self.load.write();
        session.finish();
        threads.stop().ask();
        let fed = fed.recv().map_err(|_| Error::Internal("a thread of the replay has ended".to_owned()));
        let Fed { batch, failure } = fed?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let written = written?;
        let by_place: ByPlace<'_> = sent.iter().map(|sent| (place(sent), sent)).collect();
        let refusals = self.refusals(&batch, &by_place, &written)?;
        let (inserted, updated, deleted) = (written.inserted(), written.updated(), written.deleted());
        let dropped = batch.counts.rows - kept(&written);
        let by_outputs: u64 = written.outputs.iter().map(|output| output.filtered).sum();
        let filtered = batch.counts.dropped + dropped + by_outputs;
        let is_left = !left.is_empty();
        let done = self.settle(&by_place, refusals, left)?;
        Ok((Replayed { inserted, updated, deleted, filtered, ..done }, is_left))
    }

    /// Starts what feeds the session; what was sent comes through the channel once all is.
    fn feed(&self, sent: Arc<Vec<Sent>>, session: &Session, threads: &mut Threads) -> Result<Receiver<Fed>, Error> {
        let (out, told) = bounded(CHANNEL);
        let mut lanes: BTreeMap<i32, Lane> = BTreeMap::new();
        for Sent { partition, offset, .. } in &*sent {
            lanes.entry(*partition).or_insert(Lane { next: *offset, until: None });
        }
        let BlockLimits { bytes, .. } = block_limits(self.run, lanes.len());
        let limits = BlockLimits { bytes, rows_max: 0 };
        let how = (&self.decoding, self.program.as_ref());
        let tools = tools(self.run, how, (limits, Generation::default()), (out, threads.stop()))?;
        let mut hand = Hand::new(tools, lanes);
        threads.start("worker-0", move || {
            for Sent { partition, offset, record, rows, .. } in &*sent {
                let record = record.at(*partition, *offset);
                match rows {
                    None => hand.record(&record),
                    Some(rows) => hand.take_rows(&record, rows.clone()),
                }
            }
            hand.flush_all();
        })?;
        let (fed_in, fed) = bounded(1);
        let (session, stop, shutdown) = (session.clone(), threads.stop(), self.run.shutdown.clone());
        let topic = self.run.job.source.topic.clone();
        threads.start("feeder", move || {
            let is_aborted = || shutdown.urgency() == Urgency::Abort;
            let fed = push(&told, &session, &topic, &|| stop.is_asked(), &is_aborted);
            if let Some(failure) = &fed.failure {
                session.fail(failure.to_string());
            }
            session.seal();
            // who does not listen has failed already
            drop(fed_in.send(fed));
        })?;
        Ok(fed)
    }

    /// What was refused this time, by the places that letters have. All rows must be accounted for.
    fn refusals(&mut self, batch: &Batch, sent: &ByPlace<'_>, written: &Written) -> Result<Vec<Refusal>, Error> {
        let rejects = match written.rejected {
            0 => Default::default(),
            _ => self.load.rejects(SEGMENT_REJECTS_MAX, REJECTS_NAMED_MAX)?,
        };
        let found_bad = written.saved.as_ref().map_or(&[][..], |saved| &saved.refusals);
        let kept = kept(written);
        let is_complete = kept == batch.counts.rows || (self.load.is_filtered() && kept < batch.counts.rows);
        if !is_complete || written.rejected != rejects.named.len() as u64 {
            let text = format!("{} rows were sent and {kept} are accounted for", batch.counts.rows);
            return Err(Error::Batch { batch: batch.number, text, passes: false });
        }
        let refusals = dead_letters::of(batch, &rejects, found_bad)?.into_iter();
        Ok(refusals.flat_map(|refusal| of_letters(refusal, sent)).collect())
    }

    /// Puts the refused ones back, and those whose turn is yet to come, and commits.
    fn settle(&mut self, by_place: &ByPlace<'_>, refusals: Vec<Refusal>, left: Vec<Letter>) -> Result<Replayed, Error> {
        let mut sheet = Sheet::new(&self.letters, &mut self.load);
        for refusal in &refusals {
            let Some(sent) = by_place.get(&(refusal.partition, refusal.offset)) else { continue };
            let record = Some(sent.record.clone());
            sheet.put(Letter { refusal: refusal.clone(), batch: sent.batch, record, written: None })?;
        }
        left.into_iter().try_for_each(|letter| sheet.put(letter))?;
        sheet.flush()?;
        self.load.commit_alone(i64::try_from(self.number).unwrap_or(i64::MAX)).map_err(|error| match error {
            greenplum::Error::InDoubt { text, .. } => Error::ReplayInDoubt { text },
            error => error.into(),
        })?;
        for refusal in refusals.iter().take(REJECTS_NAMED_MAX) {
            let Refusal { partition, offset, error, .. } = refusal;
            let topic = &self.run.job.source.topic;
            say!(
                self.run.reporter,
                Warn,
                "refused again {topic}[{partition}]@{offset}  {}",
                crate::line::escaped(error)
            );
        }
        let refused = refusals.len() as u64;
        let mut stay: BTreeMap<(i32, i64), u64> = BTreeMap::new();
        for refusal in &refusals {
            *stay.entry((refusal.partition, refusal.offset)).or_default() += 1;
        }
        let left = |sent: &Sent| sent.letters.saturating_sub(stay.get(&place(sent)).copied().unwrap_or(0));
        let loaded = by_place.values().map(|sent| left(sent)).sum();
        Ok(Replayed { loaded, refused, ..Replayed::default() })
    }
}

/// Rows of which it is known that they came through, or that they were refused.
fn kept(written: &Written) -> u64 {
    written.read + written.rejected + written.saved.as_ref().map_or(0, |saved| saved.rows)
}

fn place(sent: &Sent) -> (i32, i64) {
    (sent.partition, sent.offset)
}

/// Letters of one record as one. What is left are letters of other records at the same place: of a topic that was made
/// anew, or mended apart.
fn joined(taken: Vec<Letter>) -> (Vec<Sent>, Vec<Letter>) {
    let (mut all, mut left): (Vec<Sent>, Vec<Letter>) = (Vec::new(), Vec::new());
    for letter in taken {
        let Refusal { partition, offset, row, of_rows, .. } = letter.refusal;
        let row = row.map(i32::cast_unsigned);
        match all.last_mut().filter(|last| place(last) == (partition, offset)) {
            None => {
                let rows = row.map(|row| SomeRows { rows: vec![row], of: of_rows.map(i32::cast_unsigned) });
                let record = letter.record.unwrap_or_default();
                all.push(Sent { partition, offset, record, rows, batch: letter.batch, letters: 1 });
            }
            Some(last) if letter.record.as_ref() == Some(&last.record) => {
                last.letters += 1;
                last.rows = match (last.rows.take(), row) {
                    (Some(mut some), Some(row)) => {
                        // after a reset the same row may have been refused twice
                        if !some.rows.contains(&row) {
                            some.rows.push(row);
                        }
                        Some(some)
                    }
                    // one letter wants all of it
                    _ => None,
                };
            }
            Some(_) => left.push(letter),
        }
    }
    (all, left)
}

/// A refusal in the terms of its letters: which of the wanted rows it is, or each of them.
fn of_letters(refusal: Refusal, sent: &ByPlace<'_>) -> Vec<Refusal> {
    let wanted = sent.get(&(refusal.partition, refusal.offset)).and_then(|sent| sent.rows.as_ref());
    let Some(SomeRows { rows, of }) = wanted else { return vec![refusal] };
    let refusal = Refusal { of_rows: of.map(u32::cast_signed), ..refusal };
    match (refusal.row, refusal.stage) {
        (None, _) => rows.iter().map(|row| Refusal { row: Some(row.cast_signed()), ..refusal.clone() }).collect(),
        // a segment counts the rows that it was sent
        (Some(row), Stage::Segment) => {
            let row = usize::try_from(row).ok().and_then(|row| rows.get(row)).map(|row| row.cast_signed());
            vec![Refusal { row, ..refusal }]
        }
        _ => vec![refusal],
    }
}

/// Hands blocks on until there are no more, or until something fails.
fn push(
    told: &Receiver<Told>,
    session: &Session,
    topic: &str,
    is_over: &dyn Fn() -> bool,
    is_aborted: &dyn Fn() -> bool,
) -> Fed {
    let mut batch = Batch::new(0, Instant::now(), true);
    let failed = |batch, failure| Fed { batch, failure: Some(failure) };
    loop {
        match told.recv_timeout(WAIT) {
            Ok(Told::Block(mut block)) => {
                let bytes = std::mem::take(&mut block.bytes);
                let index = block.index.clone();
                if let Err(error) = batch.absorb(block, Instant::now()) {
                    return failed(batch, error.into());
                }
                if index.rows > 0 {
                    session.push(&index, bytes);
                    batch.sent.push(index);
                }
            }
            Ok(Told::Stopped { partition, offset, text }) => {
                let topic = topic.to_owned();
                return failed(batch, Error::Transformed { topic, partition, offset, text });
            }
            Ok(Told::Failed { partition, reason }) => {
                return failed(batch, Error::Partition { topic: topic.to_owned(), partition, reason });
            }
            // the letters would be locked for as long as that lasts
            Ok(Told::Trouble { partition, of, text }) => {
                let reason = format!("{of}: {text}; the letters are still in the table");
                return failed(batch, Error::Partition { topic: topic.to_owned(), partition, reason });
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => return Fed { batch, failure: None },
            Err(RecvTimeoutError::Timeout) if is_over() => return Fed { batch, failure: None },
            Err(RecvTimeoutError::Timeout) if is_aborted() => return failed(batch, Error::Aborted),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(offset: i64, row: Option<i32>, payload: &str) -> Letter {
        let (stage, error) = (Stage::Decode, String::new());
        let of_rows = row.map(|_| 3);
        let refusal = Refusal { partition: 1, offset, row, of_rows, stage, error, state: None };
        let record = OwnedRecord { payload: Some(payload.as_bytes().to_vec()), ..OwnedRecord::default() };
        Letter { refusal, batch: 3, record: Some(record), written: Some(7) }
    }

    #[test]
    fn letters_of_one_record_are_sent_once() {
        let letters = vec![
            letter(5, None, "a"),
            letter(6, Some(0), "b"),
            letter(6, Some(0), "b"),
            letter(6, Some(1), "mended"),
            letter(6, Some(2), "b"),
            letter(7, None, "c"),
            letter(7, Some(1), "c"),
        ];
        let (sent, left) = joined(letters);
        assert_eq!(left, [letter(6, Some(1), "mended")]);
        let rows_of = |sent: &Sent| sent.rows.as_ref().map(|some| (some.rows.clone(), some.of));
        let shown: Vec<_> =
            sent.iter().map(|sent| format!("{} {:?} {}", sent.offset, rows_of(sent), sent.letters)).collect();
        assert_eq!(shown, ["5 None 1", "6 Some(([0, 2], Some(3))) 3", "7 None 2"]);
        let by_place: BTreeMap<_, _> = sent.iter().map(|sent| (place(sent), sent)).collect();
        let rows = |offset, row, stage| {
            let refusal =
                Refusal { partition: 1, offset, row, of_rows: None, stage, error: String::new(), state: None };
            of_letters(refusal, &by_place).iter().map(|refusal| refusal.row).collect::<Vec<_>>()
        };
        assert_eq!(rows(5, None, Stage::Decode), [None]);
        assert_eq!(rows(5, Some(3), Stage::Segment), [Some(3)]);
        assert_eq!(rows(6, None, Stage::Decode), [Some(0), Some(2)]);
        assert_eq!(rows(6, Some(1), Stage::Segment), [Some(2)]);
        assert_eq!(rows(6, Some(2), Stage::Expression), [Some(2)]);
    }
}
