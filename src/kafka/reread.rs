//! Reads single records again, by their offsets: on a connection of its own, so that what is being read goes on.
//!
//! All partitions are read at once. Records that lie near each other are read in one sweep, what is between them passed
//! over; to far ones it jumps, once all partitions have come to one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::assignment::Start;
use super::consumer::Consumer;
use super::error::Error;
use super::queue::{Item, QueueId, RecordQueue, Taker};
use super::settings::Settings;
use crate::offset::Generation;
use crate::record::Record;

/// Records that are passed over rather than jumped over: a jump costs a round trip, in which so many come anyway.
const SWEEP_MAX: i64 = 20_000;

/// The brokers may be silent for so long, as at a start.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long a look for records takes before the wish to end is looked at.
const WAIT: Duration = Duration::from_millis(50);

/// Records taken from librdkafka at once.
const RECORDS_PER_POLL: usize = 1000;

/// See the module.
pub struct Reread {
    consumer: Consumer,
    queue: RecordQueue,
    generation: Generation,
    /// Partitions that are not fetched any more.
    left: BTreeSet<i32>,
}

/// Takes a record by partition and offset, or the word that it is gone.
pub type Each<'e, E> = dyn FnMut(i32, i64, Option<&Record<'_>>) -> Result<(), E> + 'e;

impl Reread {
    /// Makes the connection to a topic that has been read before.
    ///
    /// # Errors
    /// See [`Consumer::connect`] and [`Consumer::topic`].
    ///
    /// # Blocks
    /// Until the brokers have answered, which may take as long as they may be silent.
    pub fn connect(settings: &Settings) -> Result<Self, Error> {
        let consumer = Consumer::connect(settings)?;
        consumer.doubt_refusals();
        // where the topic is not known yet, an assignment that soon replaces the first one loses its queue: seen in a test
        consumer.topic(SILENCE_MAX)?;
        let queue = consumer.queue();
        Ok(Self { consumer, queue, generation: Generation::default(), left: BTreeSet::new() })
    }

    /// Calls `each` with every record of these offsets, which ascend in each partition; with `None` for those that the
    /// topic no longer has. Those of one partition come in their order.
    ///
    /// # Errors
    /// The brokers are silent, or say that a partition cannot be read; `is_over` said so; or `each` did.
    ///
    /// # Blocks
    /// As long as it takes to read them; some seconds more where the brokers are silent.
    pub fn read<E: From<Error>>(
        &mut self,
        wanted: &BTreeMap<i32, Vec<i64>>,
        is_over: &dyn Fn() -> bool,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        debug_assert!(wanted.values().all(|offsets| offsets.is_sorted()), "offsets ascend");
        self.consumer.come_back(std::mem::take(&mut self.left))?;
        let mut sweep = Sweep::new(wanted, each);
        loop {
            let starts = sweep.starts(self.queue.id());
            if starts.is_empty() {
                return Ok(());
            }
            self.generation = self.generation.next();
            (sweep.generation, sweep.is_current) = (self.generation, false);
            self.consumer.assign(self.generation, &starts)?;
            self.sweep(&mut sweep, is_over)?;
            for (partition, first) in std::mem::take(&mut sweep.out_of_range) {
                let marks = self.consumer.watermarks(&[partition], SILENCE_MAX)?;
                let low = marks.get(&partition).map_or(first, |marks| marks.low);
                if low <= first {
                    return Err(self.unread((partition, first), "the broker has no record there", true).into());
                }
                sweep.pass(partition, low)?;
            }
        }
    }

    /// The topic's id as the brokers have it now, see [`Consumer::topic_id_now`].
    pub fn topic_id_now(&self) -> Option<String> {
        self.consumer.topic_id_now()
    }

    /// Until nothing more is wanted of what is near.
    fn sweep<E: From<Error>>(&mut self, sweep: &mut Sweep<'_, E>, is_over: &dyn Fn() -> bool) -> Result<(), E> {
        let mut heard = Instant::now();
        let mut text = "no broker answers".to_owned();
        while !sweep.is_done() {
            let taken = self.queue.poll_into(WAIT, RECORDS_PER_POLL, sweep);
            if let Some(error) = sweep.ended.take() {
                return Err(error);
            }
            if let Some((partition, cause)) = sweep.broken.take() {
                return Err(self.unread((partition, sweep.next(partition)), &cause, false).into());
            }
            for partition in std::mem::take(&mut sweep.finished) {
                self.consumer.leave(partition);
                self.left.insert(partition);
            }
            if taken > 0 {
                heard = Instant::now();
            }
            // the main queue is polled whatever else happens
            while let Some(event) = self.consumer.poll(Duration::ZERO) {
                event.text().clone_into(&mut text);
            }
            if is_over() {
                return Err(self.unread(sweep.place(), "the load has ended", true).into());
            }
            if heard.elapsed() > SILENCE_MAX {
                let cause = sweep.trouble.take().unwrap_or(text);
                return Err(self.unread(sweep.place(), &cause, true).into());
            }
        }
        Ok(())
    }

    fn unread(&self, (partition, offset): (i32, i64), cause: &str, passes: bool) -> Error {
        Error::Unread { topic: self.consumer.topic.clone(), partition, offset, cause: cause.to_owned(), passes }
    }
}

/// What is still to be found of one partition.
struct Lane<'a> {
    rest: &'a [i64],
    /// The next is far away, or the place was out of range: assigned anew it will be found.
    is_parked: bool,
}

/// The way through the partitions, and what comes beside records.
struct Sweep<'a, E> {
    lanes: BTreeMap<i32, Lane<'a>>,
    each: &'a mut Each<'a, E>,
    generation: Generation,
    /// What comes is of this generation.
    is_current: bool,
    /// What `each` has said.
    ended: Option<E>,
    /// Of these nothing more is wanted.
    finished: Vec<i32>,
    out_of_range: Vec<(i32, i64)>,
    /// It may pass.
    trouble: Option<String>,
    /// A partition that cannot be read, and why.
    broken: Option<(i32, String)>,
}

impl<'a, E> Sweep<'a, E> {
    fn new(wanted: &'a BTreeMap<i32, Vec<i64>>, each: &'a mut Each<'a, E>) -> Self {
        let lane = |(&partition, rest): (&i32, &'a Vec<i64>)| (partition, Lane { rest, is_parked: false });
        Self {
            lanes: wanted.iter().map(lane).collect(),
            each,
            generation: Generation::default(),
            is_current: false,
            ended: None,
            finished: Vec::new(),
            out_of_range: Vec::new(),
            trouble: None,
            broken: None,
        }
    }

    fn starts(&mut self, queue: QueueId) -> Vec<Start> {
        let start = |(&partition, lane): (&i32, &mut Lane<'_>)| {
            lane.is_parked = false;
            let next = *lane.rest.first()?;
            Some(Start { partition, next, leader_epoch: None, queue })
        };
        self.lanes.iter_mut().filter_map(start).collect()
    }

    fn is_done(&self) -> bool {
        self.lanes.values().all(|lane| lane.is_parked || lane.rest.is_empty())
    }

    fn next(&self, partition: i32) -> i64 {
        self.lanes.get(&partition).and_then(|lane| lane.rest.first()).copied().unwrap_or_default()
    }

    /// One that is still looked for.
    fn place(&self) -> (i32, i64) {
        let left = self.lanes.iter().find(|(_, lane)| !lane.is_parked && !lane.rest.is_empty());
        left.map_or((0, 0), |(&partition, lane)| (partition, lane.rest[0]))
    }

    fn meet(&mut self, record: &Record<'_>) -> Result<(), E> {
        self.pass(record.partition, record.offset)?;
        let Some(lane) = self.lanes.get_mut(&record.partition) else { return Ok(()) };
        if lane.rest.first() == Some(&record.offset) {
            lane.rest = &lane.rest[1..];
            (self.each)(record.partition, record.offset, Some(record))?;
        }
        match lane.rest.first() {
            None => self.finished.push(record.partition),
            Some(next) => lane.is_parked = next - record.offset > SWEEP_MAX,
        }
        Ok(())
    }

    /// Nothing is there below an offset.
    fn pass(&mut self, partition: i32, below: i64) -> Result<(), E> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        while let Some(&next) = lane.rest.first().filter(|next| **next < below) {
            lane.rest = &lane.rest[1..];
            (self.each)(partition, next, None)?;
        }
        Ok(())
    }

    fn park_out_of_range(&mut self, partition: i32) {
        let first = self.next(partition);
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.is_parked = true;
            self.out_of_range.push((partition, first));
        }
    }
}

impl<E> Taker for Sweep<'_, E> {
    /// Of a parked partition too: the far one may come before the others are found.
    fn wants(&self, partition: i32, offset: i64) -> bool {
        let next = self.lanes.get(&partition).and_then(|lane| lane.rest.first());
        self.is_current && self.ended.is_none() && next.is_some_and(|next| *next <= offset)
    }

    fn take(&mut self, item: Item<'_>) {
        if let Item::Assigned { generation, .. } = item {
            self.is_current = generation == self.generation;
            return;
        }
        if !self.is_current || self.ended.is_some() {
            return;
        }
        let met = match item {
            Item::Record(record) => self.meet(&record),
            // what is wanted behind the end has been there: after a change of leaders the end may lag
            Item::End { partition, offset } => self.pass(partition, offset),
            Item::OutOfRange { partition, .. } | Item::CutOff { partition, .. } => {
                self.park_out_of_range(partition);
                Ok(())
            }
            Item::Error { text, is_passing: true, .. } => {
                self.trouble = Some(text.to_owned());
                Ok(())
            }
            Item::Error { partition, text, is_passing: false } => {
                self.broken = Some((partition, text.to_owned()));
                Ok(())
            }
            Item::Assigned { .. } | Item::Added { .. } => Ok(()),
        };
        self.ended = met.err();
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::{Cluster, payload};
    use super::*;

    type Found = Vec<(i32, i64, Option<String>)>;

    fn wanted(offsets: &[(i32, &[i64])]) -> BTreeMap<i32, Vec<i64>> {
        offsets.iter().map(|(partition, offsets)| (*partition, offsets.to_vec())).collect()
    }

    fn read(reread: &mut Reread, offsets: &[(i32, &[i64])]) -> Result<Found, Error> {
        let mut found = Vec::new();
        reread.read(&wanted(offsets), &|| false, &mut |partition, offset, record| {
            let text = record.map(|record| String::from_utf8_lossy(record.payload.unwrap()).into_owned());
            found.push((partition, offset, text));
            Ok::<_, Error>(())
        })?;
        found.sort();
        Ok(found)
    }

    #[test]
    fn single_records_are_found_near_and_far() {
        let cluster = Cluster::new(1, 3);
        let last = 2 * SWEEP_MAX + 5000;
        for partition in [0, 1] {
            cluster.produce(partition, 0, last);
        }
        cluster.produce(2, 0, 10);
        let mut reread = Reread::connect(&cluster.settings()).unwrap();
        let far: [(i32, &[i64]); 3] = [(0, &[3, 4, 700, last - 1]), (1, &[last - 2, last - 1]), (2, &[0, 9])];
        for offsets in [&far[..], &[(1, &[0])], &[], &[(0, &[9, 10]), (2, &[])], &far] {
            let expected = offsets.iter().flat_map(|(partition, offsets)| {
                offsets.iter().map(|&offset| (*partition, offset, Some(payload(*partition, offset))))
            });
            assert_eq!(read(&mut reread, offsets).unwrap(), expected.collect::<Found>());
        }
    }

    #[test]
    fn who_reads_may_stop() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let mut reread = Reread::connect(&cluster.settings()).unwrap();
        // behind the end nothing comes: only the wish to end ends it
        let behind = wanted(&[(0, &[5, 50])]);
        let error = reread.read(&behind, &|| true, &mut |_, _, _| Ok::<_, Error>(())).unwrap_err();
        assert!(error.is_passing() && error.to_string().contains("the load has ended"), "{error}");
        let mut count = 0;
        let error = reread.read(&wanted(&[(0, &[1, 2, 3])]), &|| false, &mut |_, offset, _| {
            count += 1;
            match offset {
                2 => Err(Error::Client { cause: "enough".to_owned() }),
                _ => Ok(()),
            }
        });
        assert_eq!((error, count), (Err(Error::Client { cause: "enough".to_owned() }), 2));
        assert_eq!(read(&mut reread, &[(0, &[3])]).unwrap(), [(0, 3, Some(payload(0, 3)))]);
    }

    #[test]
    fn what_is_below_a_record_is_not_there() {
        let mut found = Vec::new();
        let each: &mut Each<'_, Error> = &mut |partition, offset, record| {
            found.push((partition, offset, record.is_some()));
            Ok(())
        };
        let offsets = wanted(&[(0, &[3, 5, 6, 9, 40_000]), (1, &[1])]);
        let mut sweep = Sweep::new(&offsets, each);
        sweep.is_current = true;
        assert!(!sweep.wants(0, 2) && sweep.wants(0, 3) && sweep.wants(0, 4) && !sweep.wants(2, 4));
        sweep.take(Item::Record(Record::new(0, 5, None)));
        sweep.take(Item::End { partition: 0, offset: 8 });
        sweep.take(Item::Record(Record::new(1, 1, None)));
        assert!(!sweep.is_done() && sweep.finished == [1]);
        sweep.take(Item::Record(Record::new(0, 9, None)));
        assert!(sweep.is_done() && sweep.lanes[&0].is_parked);
        sweep.take(Item::End { partition: 0, offset: 40_001 });
        assert!(sweep.ended.is_none());
        let expected = [(0, 3, false), (0, 5, true), (0, 6, false), (1, 1, true), (0, 9, true), (0, 40_000, false)];
        assert_eq!(found, expected);
    }
}
