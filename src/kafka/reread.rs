//! Reads single records again, by their offsets: on a connection of its own, so that what is being read goes on.
//!
//! Records that lie near each other are read in one sweep, what is between them passed over; to far ones it jumps.

use std::time::{Duration, Instant};

use super::assignment::Start;
use super::consumer::Consumer;
use super::error::Error;
use super::queue::{Item, RecordQueue};
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
}

/// Takes a record, or the word that it is gone.
pub type Each<'e, E> = dyn FnMut(i64, Option<&Record<'_>>) -> Result<(), E> + 'e;

/// Why a sweep over a partition ended.
enum Sweep {
    /// Nothing more is wanted, or what is wanted is far away.
    Over,
    /// The log begins behind the place.
    OutOfRange,
}

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
        let mut queue = consumer.queue();
        queue.ask_for_headers();
        Ok(Self { consumer, queue, generation: Generation::default() })
    }

    /// Calls `each` with every record of these offsets, which ascend; with `None` for those that the topic no longer
    /// has.
    ///
    /// # Errors
    /// The brokers are silent, or say that the partition cannot be read; `is_over` said so; or `each` did.
    ///
    /// # Blocks
    /// As long as it takes to read them; some seconds more where the brokers are silent.
    pub fn read<E: From<Error>>(
        &mut self,
        partition: i32,
        offsets: &[i64],
        is_over: &dyn Fn() -> bool,
        each: &mut Each<'_, E>,
    ) -> Result<(), E> {
        debug_assert!(offsets.is_sorted(), "offsets ascend");
        let mut wanted = Wanted { rest: offsets, each };
        while let Some(first) = wanted.next() {
            self.generation = self.generation.next();
            let start = Start { partition, next: first, leader_epoch: None, queue: self.queue.id() };
            self.consumer.assign(self.generation, &[start])?;
            if let Sweep::OutOfRange = self.sweep(&mut wanted, (partition, first), is_over)? {
                let marks = self.consumer.watermarks(&[partition], SILENCE_MAX)?;
                let low = marks.get(&partition).map_or(first, |marks| marks.low);
                if low <= first {
                    return Err(self.unread(partition, first, "the broker has no record there").into());
                }
                wanted.pass(low)?;
            }
        }
        Ok(())
    }

    fn sweep<E: From<Error>>(
        &mut self,
        wanted: &mut Wanted<'_, E>,
        (partition, first): (i32, i64),
        is_over: &dyn Fn() -> bool,
    ) -> Result<Sweep, E> {
        let (consumer, generation) = (&self.consumer, self.generation);
        let mut heard = Instant::now();
        let mut text = "no broker answers".to_owned();
        let mut is_current = false;
        loop {
            let mut ended: Option<Result<Sweep, E>> = None;
            let mut is_silent = true;
            self.queue.poll(WAIT, RECORDS_PER_POLL, &mut |item| {
                if let Item::Assigned { generation: assigned, .. } = item {
                    is_current = assigned == generation;
                } else if is_current && ended.is_none() {
                    match item {
                        Item::Record(record) => {
                            is_silent = false;
                            ended = wanted.meet(&record).transpose();
                        }
                        Item::End { offset, .. } => ended = wanted.reach(offset).transpose(),
                        Item::OutOfRange { .. } => ended = Some(Ok(Sweep::OutOfRange)),
                        Item::Error { text: cause, is_passing: true, .. } => cause.clone_into(&mut text),
                        Item::Error { text: cause, is_passing: false, .. } => {
                            ended = Some(Err(unread(consumer, partition, first, cause, false).into()));
                        }
                        Item::Assigned { .. } | Item::Added { .. } => {}
                    }
                }
            });
            if let Some(ended) = ended {
                return ended;
            }
            if !is_silent {
                heard = Instant::now();
            }
            // the main queue is polled whatever else happens
            while let Some(event) = consumer.poll(Duration::ZERO) {
                event.text().clone_into(&mut text);
            }
            if is_over() {
                return Err(self.unread(partition, first, "the load has ended").into());
            }
            if heard.elapsed() > SILENCE_MAX {
                return Err(self.unread(partition, first, &text).into());
            }
        }
    }

    fn unread(&self, partition: i32, offset: i64, cause: &str) -> Error {
        unread(&self.consumer, partition, offset, cause, true)
    }
}

fn unread(consumer: &Consumer, partition: i32, offset: i64, cause: &str, passes: bool) -> Error {
    Error::Unread { topic: consumer.topic.clone(), partition, offset, cause: cause.to_owned(), passes }
}

/// Offsets that are still to be found.
struct Wanted<'a, E> {
    rest: &'a [i64],
    each: &'a mut Each<'a, E>,
}

impl<E> Wanted<'_, E> {
    fn next(&self) -> Option<i64> {
        self.rest.first().copied()
    }

    /// A record came: all that is wanted before it is not there.
    fn meet(&mut self, record: &Record<'_>) -> Result<Option<Sweep>, E> {
        self.pass(record.offset)?;
        if self.next() == Some(record.offset) {
            self.rest = &self.rest[1..];
            (self.each)(record.offset, Some(record))?;
        }
        let is_far = self.next().is_none_or(|next| next - record.offset > SWEEP_MAX);
        Ok(is_far.then_some(Sweep::Over))
    }

    /// The end of the log came. What is wanted behind it has been there: after a change of leaders the end may lag.
    fn reach(&mut self, end: i64) -> Result<Option<Sweep>, E> {
        self.pass(end)?;
        Ok(self.next().is_none().then_some(Sweep::Over))
    }

    /// Nothing is there below an offset.
    fn pass(&mut self, below: i64) -> Result<(), E> {
        while let Some(next) = self.next().filter(|next| *next < below) {
            self.rest = &self.rest[1..];
            (self.each)(next, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::mock::{Cluster, payload};
    use super::*;

    fn read(reread: &mut Reread, offsets: &[i64]) -> Result<Vec<(i64, Option<String>)>, Error> {
        let mut found = Vec::new();
        reread.read(0, offsets, &|| false, &mut |offset, record: Option<&Record<'_>>| {
            let text = record.map(|record| String::from_utf8_lossy(record.payload.unwrap()).into_owned());
            found.push((offset, text));
            Ok::<_, Error>(())
        })?;
        Ok(found)
    }

    #[test]
    fn single_records_are_found_near_and_far() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, SWEEP_MAX + 5000);
        let mut reread = Reread::connect(&cluster.settings()).unwrap();
        for offsets in [&[3, 4, 700, SWEEP_MAX + 4000, SWEEP_MAX + 4999][..], &[0], &[], &[9, 10]] {
            let expected: Vec<_> = offsets.iter().map(|&offset| (offset, Some(payload(0, offset)))).collect();
            assert_eq!(read(&mut reread, offsets).unwrap(), expected);
        }
    }

    #[test]
    fn who_reads_may_stop() {
        let cluster = Cluster::new(1, 1);
        cluster.produce(0, 0, 10);
        let mut reread = Reread::connect(&cluster.settings()).unwrap();
        // behind the end nothing comes: only the wish to end ends it
        let error = reread.read(0, &[5, 50], &|| true, &mut |_, _| Ok::<_, Error>(())).unwrap_err();
        assert!(error.is_passing() && error.to_string().contains("the load has ended"), "{error}");
        let mut count = 0;
        let error = reread.read(0, &[1, 2, 3], &|| false, &mut |offset, _| {
            count += 1;
            match offset {
                2 => Err(Error::Client { cause: "enough".to_owned() }),
                _ => Ok(()),
            }
        });
        assert_eq!((error, count), (Err(Error::Client { cause: "enough".to_owned() }), 2));
        assert_eq!(read(&mut reread, &[3]).unwrap(), [(3, Some(payload(0, 3)))]);
    }

    #[test]
    fn what_is_below_a_record_is_not_there() {
        let mut found = Vec::new();
        let each: &mut Each<'_, Error> = &mut |offset, record| {
            found.push((offset, record.is_some()));
            Ok(())
        };
        let mut wanted = Wanted { rest: &[3, 5, 6, 9, 40_000], each };
        assert!(wanted.meet(&Record::new(0, 5, None)).unwrap().is_none());
        assert!(wanted.reach(8).unwrap().is_none());
        assert!(matches!(wanted.meet(&Record::new(0, 9, None)).unwrap(), Some(Sweep::Over)));
        assert!(matches!(wanted.reach(40_001).unwrap(), Some(Sweep::Over)));
        assert_eq!(found, [(3, false), (5, true), (6, false), (9, true), (40_000, false)]);
    }
}
