//! The assignment: which partitions are read, from where, into which worker's queue.
//!
//! How records get to workers without the main queue: librdkafka fetches each partition into a queue of its own and, at
//! the start of a partition, points that queue at the main one, unless the application has pointed it elsewhere first.
//! So it is pointed at a worker's queue before the first assignment. The end of an assignment takes the pointer off
//! (and leaves the mark "pointed by the application"), a little after the call has returned; so after each assignment
//! one more round trip through librdkafka's own thread makes sure that this has happened, and then the queue is pointed
//! at the worker again, together with what it holds by then.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use crate::offset::{Checkpoint, Generation};

use super::ffi;
use super::queue::Lane;
use super::{Consumer, Error, Event, QueueId, RecordQueue};

/// Where a partition begins and who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub partition: i32,
    /// The next record to read.
    pub next: i64,
    /// Leader epoch of the record before it, where known: a log that was truncated below `next` is then found out.
    pub leader_epoch: Option<i32>,
    pub queue: QueueId,
}

#[derive(Default)]
pub(super) struct Assignment {
    lanes: Vec<Arc<Lane>>,
    /// Queues that librdkafka fetches into, kept from the first assignment of a partition on.
    partitions: BTreeMap<i32, ffi::Queue>,
    assigned: BTreeSet<i32>,
}

impl Consumer {
    /// A queue for one more worker. Records come once partitions are assigned to its id.
    pub fn queue(&self) -> RecordQueue {
        let lane = Arc::new(Lane::new(&self.client));
        let mut assignment = self.assignment();
        let id = QueueId(assignment.lanes.len());
        assignment.lanes.push(Arc::clone(&lane));
        RecordQueue::new(id, lane, &self.client, self.forbidden("read").to_string())
    }

    /// Replaces the assignment: start, rewind, other partitions. Once it returns, every poll that begins delivers
    /// records of this assignment only; records of one before are delivered by polls that took them earlier, under the
    /// earlier generation.
    ///
    /// # Errors
    /// An offset is negative, or librdkafka refuses; then nothing is assigned.
    ///
    /// # Blocks
    /// Some milliseconds; not on what workers do with their records.
    pub fn assign(&self, generation: Generation, starts: &[Start]) -> Result<(), Error> {
        self.open_aside()?;
        let mut assignment = self.assignment();
        let lanes = assignment.lanes.clone();
        lanes.iter().for_each(|lane| lane.close());
        let outcome = self.replace_and_look(&mut assignment, starts);
        for (at, lane) in lanes.iter().enumerate() {
            let starts = if outcome.is_ok() { starts_of(QueueId(at), starts) } else { Checkpoint::default() };
            lane.open_assigned(generation, starts);
        }
        outcome
    }

    /// Adds partitions to the assignment; the others go on undisturbed, in the same generation.
    ///
    /// # Errors
    /// librdkafka refuses, as it does for a partition that is assigned already; then nothing is added.
    ///
    /// # Blocks
    /// Some milliseconds.
    pub fn add(&self, starts: &[Start]) -> Result<(), Error> {
        let mut assignment = self.assignment();
        let lanes = assignment.lanes.clone();
        let concerned: Vec<_> = lanes
            .iter()
            .enumerate()
            .map(|(at, lane)| (lane, starts_of(QueueId(at), starts)))
            .filter(|(_, starts)| !starts.is_empty())
            .collect();
        concerned.iter().for_each(|(lane, _)| lane.close());
        let outcome = self.extend(&mut assignment, starts);
        for (lane, starts) in &concerned {
            if outcome.is_ok() { lane.open_added(starts) } else { lane.open() }
        }
        outcome
    }

    /// Fetches no more of a partition, until [`Self::come_back`]: it has been read as far as it is wanted, and
    /// the others get its share of the bandwidth. Their records and queues stay as they are; what was fetched of this
    /// one is dropped. What goes wrong comes as a note: then it is fetched for nothing, no more.
    ///
    /// # Blocks
    /// Some milliseconds.
    pub fn leave(&self, partition: i32) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.client.pause(&list) {
            let text = format!("pausing partition {partition}, which is read to its end: {error}");
            self.client.context().push(Event::Note { text });
        }
    }

    /// Takes back [`Self::leave`], before such partitions are assigned anew.
    ///
    /// # Errors
    /// librdkafka refuses.
    pub fn come_back(&self, partitions: impl IntoIterator<Item = i32>) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        if list.count() == 0 {
            return Ok(());
        }
        self.client.resume(&list).map_err(|error| self.refused(error.to_string()))
    }

    fn assignment(&self) -> MutexGuard<'_, Assignment> {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// librdkafka fetches at once from where it is told to begin, and asks about the leader epoch only when it hears of a
    /// newer one (its issue 5158): a log that was cut off and written anew while nobody read would be read on as if it
    /// were the same. Before a seek it asks, so there is one; and nothing is fetched before it.
    fn replace_and_look(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        let known: Vec<_> =
            positions(starts).into_iter().filter(|(_, next, epoch)| *next > 0 && epoch.is_some()).collect();
        self.forward(assignment, starts)?;
        known.iter().for_each(|&(partition, ..)| self.leave(partition));
        let outcome = self.replace(assignment, starts).and_then(|()| self.look_back(&known));
        self.come_back(known.iter().map(|&(partition, ..)| partition))?;
        outcome
    }

    fn look_back(&self, known: &[ffi::Position]) -> Result<(), Error> {
        /// A partition of the assignment before ends first, which takes some milliseconds.
        const WAIT: Duration = Duration::from_secs(10);
        let late = |cause| Error::Assign { topic: self.topic.clone(), cause, passes: true };
        let until = Instant::now() + WAIT;
        let mut left = known.to_vec();
        while !left.is_empty() {
            let undone = ffi::seek(&self.client, &self.topic_c, &left, WAIT).map_err(late)?;
            left.retain(|(partition, ..)| undone.contains(partition));
            match undone.first() {
                Some(partition) if until <= Instant::now() => {
                    return Err(late(format!("partition {partition} does not begin")));
                }
                Some(_) => self.settle(),
                None => {}
            }
        }
        Ok(())
    }

    fn replace(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        self.forward(assignment, starts)?;
        assignment.assigned.clear();
        ffi::assign(&self.client, &self.topic_c, &positions(starts)).map_err(|code| self.refused(code.to_string()))?;
        self.arrive(assignment, starts)
    }

    fn extend(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        if let Some(known) = starts.iter().find(|start| assignment.assigned.contains(&start.partition)) {
            return Err(self.refused(format!("partition {} is assigned already", known.partition)));
        }
        self.forward(assignment, starts)?;
        ffi::assign_more(&self.client, &self.topic_c, &positions(starts)).map_err(|cause| self.refused(cause))?;
        self.arrive(assignment, starts)
    }

    /// A round trip through librdkafka's own thread, which has then taken off all pointers of the assignment before;
    /// and the pointers again.
    fn arrive(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        self.client.assignment().map_err(|error| self.refused(error.to_string()))?;
        self.forward(assignment, starts)?;
        assignment.assigned.extend(starts.iter().map(|start| start.partition));
        Ok(())
    }

    fn forward(&self, assignment: &mut Assignment, starts: &[Start]) -> Result<(), Error> {
        for start in starts {
            // librdkafka takes negative numbers for names of places: -1 is the end
            if start.next < 0 {
                return Err(self.refused(format!("partition {} cannot begin at {}", start.partition, start.next)));
            }
            let lane = assignment.lanes.get(start.queue.0).ok_or_else(|| self.refused("no such queue".to_owned()))?;
            let queue = match assignment.partitions.entry(start.partition) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(
                    ffi::Queue::of_partition(&self.client, &self.topic_c, start.partition)
                        .ok_or_else(|| self.refused(format!("partition {} has no queue", start.partition)))?,
                ),
            };
            queue.forward(&lane.queue);
        }
        Ok(())
    }

    fn refused(&self, cause: String) -> Error {
        Error::Assign { topic: self.topic.clone(), cause, passes: false }
    }
}

fn positions(starts: &[Start]) -> Vec<ffi::Position> {
    starts.iter().map(|start| (start.partition, start.next, start.leader_epoch)).collect()
}

fn starts_of(queue: QueueId, starts: &[Start]) -> Checkpoint {
    starts.iter().filter(|start| start.queue == queue).map(|start| (start.partition, start.next)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use super::super::Item;
    use super::super::mock::{Cluster, DEADLINE, Seen, payload, read_until, starts, wait_for};
    use super::*;

    const PARTITIONS: i32 = 4;
    const RECORDS: i64 = 3000;

    /// What one worker believes: the next offset of each of its partitions in the current generation.
    struct Worker<'a> {
        queue: RecordQueue,
        generation: Generation,
        next: BTreeMap<i32, i64>,
        current: &'a AtomicU64,
        read: &'a AtomicU64,
        /// Records of the last generation alone.
        read_last: &'a AtomicU64,
    }

    /// The generation that is read to its end.
    const LAST: Generation = Generation(201);

    impl Worker<'_> {
        fn poll(&mut self) {
            // what has been assigned by now must be what this poll delivers
            let at_least = Generation(self.current.load(Ordering::SeqCst));
            let (generation, next) = (&mut self.generation, &mut self.next);
            let (read, read_last) = (self.read, self.read_last);
            self.queue.poll(Duration::from_millis(20), 100, &mut |item| match item {
                Item::Assigned { generation: new, starts } => {
                    assert!(*generation < new);
                    *generation = new;
                    *next = starts.iter().collect();
                }
                Item::Record(record) => {
                    assert!(at_least <= *generation, "{generation:?} after {at_least:?} was assigned");
                    let next = next.get_mut(&record.partition).expect("a partition of ours");
                    assert_eq!(record.offset, *next, "partition {} in {generation:?}", record.partition);
                    assert_eq!(record.payload.unwrap(), payload(record.partition, record.offset).as_bytes());
                    *next += 1;
                    read.fetch_add(1, Ordering::Relaxed);
                    read_last.fetch_add(u64::from(*generation == LAST), Ordering::Relaxed);
                }
                Item::End { partition, offset } => assert_eq!(Some(&offset), next.get(&partition)),
                other => panic!("{other:?}"),
            });
        }
    }

    /// Ends the workers also when the test fails.
    struct AtEnd<'a>(&'a AtomicBool);

    impl Drop for AtEnd<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    /// Numbers that differ, the same in every run.
    fn scramble(seed: u64) -> u64 {
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 27)
    }

    #[test]
    fn rewinding_while_reading_loses_nothing_and_doubles_nothing() {
        let cluster = Cluster::new(2, PARTITIONS);
        (0..PARTITIONS).for_each(|partition| cluster.produce(partition, 0, RECORDS));
        let mut settings = cluster.settings();
        // a rewind waits for the fetch under way; 200 of them should not take half a minute
        settings.properties.insert("fetch.wait.max.ms".to_owned(), "5".to_owned());
        let consumer = Consumer::connect(&settings).unwrap();
        let (current, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let (read, read_last) = (AtomicU64::new(0), AtomicU64::new(0));
        let queues = [consumer.queue(), consumer.queue()];
        let ids = queues.each_ref().map(RecordQueue::id);
        std::thread::scope(|scope| {
            let at_end = AtEnd(&is_over);
            let workers = queues.map(|queue| {
                let (current, read, read_last, is_over) = (&current, &read, &read_last, &is_over);
                scope.spawn(move || {
                    let next = BTreeMap::new();
                    let mut worker = Worker { queue, generation: Generation(0), next, current, read, read_last };
                    while !is_over.load(Ordering::SeqCst) {
                        worker.poll();
                    }
                    worker.next
                })
            });
            for round in 1..=200 {
                let starts: Vec<_> = (0..PARTITIONS)
                    .filter(|&partition| !scramble(round * 100 + u64::try_from(partition).unwrap()).is_multiple_of(8))
                    .map(|partition| {
                        let random = scramble(round * 1000 + u64::try_from(partition).unwrap());
                        let next = i64::try_from(random % (u64::try_from(RECORDS).unwrap() / 2)).unwrap();
                        // most stay with their worker, some move
                        let queue =
                            ids[usize::try_from((u64::try_from(partition).unwrap() + random % 9 / 8) % 2).unwrap()];
                        Start { partition, next, leader_epoch: None, queue }
                    })
                    .collect();
                let before = read.load(Ordering::Relaxed);
                consumer.assign(Generation(round), &starts).unwrap();
                current.store(round, Ordering::SeqCst);
                // from not one record to many
                let some = scramble(round) % 700 * u64::from(!starts.is_empty());
                wait_for("records", || {
                    let event = consumer.poll(Duration::from_millis(1));
                    assert!(event.is_none(), "{event:?}");
                    read.load(Ordering::Relaxed) >= before + some
                });
            }
            let all: Vec<_> = (0..PARTITIONS)
                .map(|partition| Start { partition, next: 0, leader_epoch: None, queue: ids[0] })
                .collect();
            consumer.assign(LAST, &all).unwrap();
            current.store(LAST.0, Ordering::SeqCst);
            let expected = u64::try_from(i64::from(PARTITIONS) * RECORDS).unwrap();
            wait_for("every record", || {
                assert_eq!(consumer.poll(Duration::from_millis(1)), None);
                read_last.load(Ordering::Relaxed) >= expected
            });
            drop(at_end);
            let [first, second] = workers.map(|worker| worker.join().unwrap());
            assert_eq!(first, (0..PARTITIONS).map(|partition| (partition, RECORDS)).collect());
            assert!(second.is_empty());
        });
    }

    #[test]
    fn a_worker_that_is_busy_with_old_records_holds_nobody_up() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 100);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        let id = queue.id();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0)])).unwrap();
        let mut generation = Generation(0);
        let mut read = Vec::new();
        let until = Instant::now() + DEADLINE;
        while read.last() != Some(&(Generation(2), 99)) {
            queue.poll(Duration::from_millis(50), 1000, &mut |item| match item {
                Item::Assigned { generation: new, .. } => generation = new,
                Item::Record(record) => {
                    if generation == Generation(1) && record.offset == 3 {
                        let start = Start { partition: 0, next: 50, leader_epoch: None, queue: id };
                        consumer.assign(Generation(2), &[start]).unwrap();
                    }
                    read.push((generation, record.offset));
                }
                _ => {}
            });
            assert!(Instant::now() < until, "{read:?}");
        }
        let (old, new): (Vec<_>, Vec<_>) = read.into_iter().partition(|(generation, _)| *generation == Generation(1));
        assert_eq!(new, (50..100).map(|offset| (Generation(2), offset)).collect::<Vec<_>>());
        // the rest of the batch in hand, under its own stamp
        assert!(old.iter().enumerate().all(|(at, (_, offset))| i64::try_from(at).unwrap() == *offset));
    }

    #[test]
    fn partitions_are_added_while_the_others_go_on() {
        let cluster = Cluster::new(1, 2);
        cluster.produce(0, 0, 20);
        cluster.produce(1, 0, 10);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        consumer.assign(Generation(7), &starts(&queue, &[(0, 5)])).unwrap();
        let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 20));
        assert_eq!(seen[0], Seen::Assigned(Generation(7), vec![(0, 5)]));
        assert_eq!(seen[1..16], (5..20).map(|offset| Seen::Record(0, offset)).collect::<Vec<_>>());

        consumer.add(&starts(&queue, &[(1, 0)])).unwrap();
        cluster.produce(0, 20, 21);
        let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::End(1, 10));
        assert_eq!(seen[0], Seen::Added(vec![(1, 0)]));
        let again = seen.iter().filter(|seen| matches!(seen, Seen::Record(0, offset) if *offset < 20)).count();
        assert_eq!(again, 0);
        let error = consumer.add(&starts(&queue, &[(1, 0)])).unwrap_err();
        assert_eq!(error.to_string(), "assigning partitions of topic \"orders\": partition 1 is assigned already");
    }

    #[test]
    fn a_partition_that_is_left_delivers_no_more_and_the_others_go_on() {
        let cluster = Cluster::new(1, 2);
        cluster.produce(0, 0, 10);
        cluster.produce(1, 0, RECORDS);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 0), (1, 0)])).unwrap();
        let mut seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
        consumer.leave(0);
        for more in [10, 20] {
            cluster.produce(0, more, more + 10);
            cluster.produce(1, RECORDS + more - 10, RECORDS + more);
            seen.extend(read_until(&consumer, &mut queue, |seen| *seen == Seen::Record(1, RECORDS + more - 1)));
        }
        let offsets = |wanted| {
            let of_it = |seen: &Seen| match seen {
                Seen::Record(partition, offset) if *partition == wanted => Some(*offset),
                _ => None,
            };
            seen.iter().filter_map(of_it).collect::<Vec<_>>()
        };
        assert_eq!(offsets(0), (0..10).collect::<Vec<_>>());
        assert_eq!(offsets(1), (0..RECORDS + 20).collect::<Vec<_>>());
    }

    #[test]
    fn a_negative_offset_is_never_assigned() {
        let cluster = Cluster::new(1, 2);
        let consumer = cluster.connect();
        let queue = consumer.queue();
        let error = consumer.assign(Generation(1), &starts(&queue, &[(0, 0), (1, -1)])).unwrap_err();
        assert_eq!(error.to_string(), "assigning partitions of topic \"orders\": partition 1 cannot begin at -1");
        consumer.assign(Generation(2), &starts(&queue, &[(0, 0)])).unwrap();
        let error = consumer.add(&starts(&queue, &[(1, -1)])).unwrap_err();
        assert_eq!(error.to_string(), "assigning partitions of topic \"orders\": partition 1 cannot begin at -1");
    }

    #[test]
    fn offsets_that_are_not_there_are_told() {
        let cluster = Cluster::new(1, 2);
        cluster.produce(0, 0, 10);
        cluster.produce(1, 0, 10);
        let consumer = cluster.connect();
        let mut queue = consumer.queue();
        consumer.assign(Generation(1), &starts(&queue, &[(0, 11), (1, 10)])).unwrap();
        let seen = read_until(&consumer, &mut queue, |seen| matches!(seen, Seen::OutOfRange { .. }));
        let told = Seen::OutOfRange { partition: 0, offset: 11 };
        assert!(seen.contains(&told), "{seen:?}");

        // a partition that stopped so goes on once it is assigned anew
        consumer.assign(Generation(2), &starts(&queue, &[(0, 8)])).unwrap();
        let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
        assert!(seen.contains(&Seen::Record(0, 8)) && seen.contains(&Seen::Record(0, 9)), "{seen:?}");
    }

    /// Also where there are records at and behind the position: they are others.
    #[test]
    fn a_log_that_was_cut_off_below_us_is_told() {
        for next in [12, 7] {
            let cluster = Cluster::new(1, 1);
            cluster.produce(0, 0, 5);
            // a leader of a later epoch
            cluster.mock.partition_leader(&cluster.topic, 0, Some(1)).unwrap();
            cluster.produce(0, 5, 10);
            let consumer = cluster.connect();
            consumer.topic(DEADLINE).unwrap();
            let mut queue = consumer.queue();
            let start = Start { partition: 0, next, leader_epoch: Some(0), queue: queue.id() };
            consumer.assign(Generation(1), &[start]).unwrap();
            let seen = read_until(&consumer, &mut queue, |seen| matches!(seen, Seen::CutOff { .. }));
            let expected =
                [Seen::Assigned(Generation(1), vec![(0, next)]), Seen::CutOff { partition: 0, end: Some(5) }];
            assert_eq!(seen, expected);
        }
    }

    #[test]
    fn a_position_whose_epoch_the_leader_knows_is_read_from() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let consumer = cluster.connect();
        consumer.topic(DEADLINE).unwrap();
        let mut queue = consumer.queue();
        for generation in 1..5 {
            let start = Start { partition: 0, next: 7, leader_epoch: Some(0), queue: queue.id() };
            consumer.assign(Generation(generation), &[start]).unwrap();
            let seen = read_until(&consumer, &mut queue, |seen| *seen == Seen::End(0, 10));
            let records: Vec<_> = seen.into_iter().filter(|seen| matches!(seen, Seen::Record(..))).collect();
            assert_eq!(records, (7..10).map(|offset| Seen::Record(0, offset)).collect::<Vec<_>>());
        }
    }
}
