//! A worker's queue: records of its partitions in batches, each stamped with the assignment it was fetched under.
//!
//! The stamp is exact. [`Lane`] is a gate between a worker that takes messages and a thread that assigns: while an
//! assignment is being replaced nobody takes, and librdkafka drops what was fetched for the old one. So whatever a poll
//! delivers belongs to the [`Item::Assigned`] before it, even if another thread has assigned anew meanwhile: then the
//! next poll begins with that.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::offset::{Checkpoint, Generation};
use crate::record::Record;

use super::ffi::{Batch, Client, Message, Queue, code};

/// Names a [`RecordQueue`] in an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub(super) usize);

/// What a worker meets in its queue.
#[derive(Debug)]
pub enum Item<'a> {
    /// All items from here on belong to this generation, and the queue's partitions begin at these offsets. What a
    /// worker has not handed on from before is to be dropped. Comes once for each assignment, even one that gives this
    /// queue nothing.
    Assigned { generation: Generation, starts: &'a Checkpoint },
    /// More partitions, in the same generation; the others go on.
    Added { starts: &'a Checkpoint },
    /// A record. Those of one partition come in the order of their offsets; offsets may have holes.
    Record(Record<'a>),
    /// Everything below `offset` has been read, holes at the end included. Comes again whenever the end is reached
    /// anew.
    End { partition: i32, offset: i64 },
    /// The broker has no record at this offset: expired, or above the end. The partition delivers nothing more until it
    /// is assigned anew. Look at the watermarks: when the position turns out to be between them, the question had crossed
    /// with an assignment, and assigning anew is all there is to do.
    OutOfRange { partition: i32, offset: i64 },
    /// The log was cut off below the next record, at `end` where the broker knows, and may have been written anew. The
    /// partition delivers nothing more.
    CutOff { partition: i32, end: Option<i64>, text: &'a str },
    /// Something else about a partition. What is not passing stays until somebody does something.
    Error { partition: i32, text: &'a str, is_passing: bool },
}

/// News that a worker has not yet taken.
#[derive(Debug, Clone)]
struct News {
    generation: Generation,
    starts: Checkpoint,
    replaces: bool,
}

#[derive(Debug, Default)]
struct Gate {
    is_closed: bool,
    is_taking: bool,
    news: Option<News>,
}

/// A queue and its gate, shared by the worker that takes and the consumer that assigns.
pub(super) struct Lane {
    pub(super) queue: Queue,
    gate: Mutex<Gate>,
    changed: Condvar,
}

/// A wake-up may be spent on the non-blocking part of a poll; it is repeated this often.
const WAKE_AGAIN: Duration = Duration::from_millis(5);

impl Lane {
    pub fn new(client: &Arc<Client>) -> Self {
        Self { queue: Queue::new(client), gate: Mutex::default(), changed: Condvar::new() }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody takes messages once this returns. A poll that waits is woken, one that is handing items to its worker
    /// goes on: those have their stamp.
    pub fn close(&self) {
        let mut gate = self.gate();
        gate.is_closed = true;
        while gate.is_taking {
            self.queue.wake();
            gate = self.changed.wait_timeout(gate, WAKE_AGAIN).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the worker on, after telling it of a new assignment.
    pub fn open_assigned(&self, generation: Generation, starts: Checkpoint) {
        self.gate().news = Some(News { generation, starts, replaces: true });
        self.open();
    }

    /// Lets the worker on, after telling it of more partitions.
    pub fn open_added(&self, starts: &Checkpoint) {
        let mut gate = self.gate();
        let news = gate.news.get_or_insert_with(|| News {
            generation: Generation::default(),
            starts: Checkpoint::default(),
            replaces: false,
        });
        for (partition, next) in starts.iter() {
            news.starts.set(partition, next);
        }
        drop(gate);
        self.open();
    }

    /// Lets the worker on.
    pub fn open(&self) {
        self.gate().is_closed = false;
        self.changed.notify_all();
    }

    /// Waits for an open gate and passes it. `None` if it stays closed.
    fn enter(&self, wait: Duration) -> Option<Option<News>> {
        let (mut gate, _) = self
            .changed
            .wait_timeout_while(self.gate(), wait, |gate| gate.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        if gate.is_closed {
            return None;
        }
        gate.is_taking = true;
        Some(gate.news.take())
    }

    fn leave(&self) {
        self.gate().is_taking = false;
        self.changed.notify_all();
    }
}

/// Records of the partitions that were assigned to one worker.
///
/// *Drop*: the partitions stay assigned and deliver to nobody.
pub struct RecordQueue {
    id: QueueId,
    batch: Batch,
    /// Records to ask for at once, so that a batch of large ones stays small.
    records_max: usize,
    waited: Duration,
    /// What to say where the brokers do not let us read.
    forbidden: String,
    // declared last: the queue must outlive the messages taken from it
    lane: Arc<Lane>,
}

/// Who takes items out of a queue.
pub(super) trait Taker {
    /// Whether a record is looked at.
    fn wants(&self, partition: i32, offset: i64) -> bool;

    fn take(&mut self, item: Item<'_>);
}

/// Takes everything.
struct Each<'e>(&'e mut dyn FnMut(Item<'_>));

impl Taker for Each<'_> {
    fn wants(&self, _partition: i32, _offset: i64) -> bool {
        true
    }

    fn take(&mut self, item: Item<'_>) {
        (self.0)(item);
    }
}

/// Bytes of records that one poll should about take out of librdkafka's own limits. Large enough that its costs vanish,
/// small beside any memory budget.
const BATCH_BYTES: usize = 1 << 20;

impl RecordQueue {
    pub(super) fn new(id: QueueId, lane: Arc<Lane>, client: &Arc<Client>, forbidden: String) -> Self {
        Self { id, batch: Batch::new(client), records_max: 64, waited: Duration::ZERO, forbidden, lane }
    }

    /// Its name in assignments.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// How long polls have waited for a first record since this was asked last.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Hands over what is there, at most `max` records or about 1 MiB; waits only while there is nothing. Returns the
    /// number of items.
    ///
    /// Payloads are borrowed for the call of `each` only. Does not allocate once warm, unless headers are read.
    ///
    /// # Blocks
    /// Up to `wait`, less when an assignment arrives meanwhile; and as long as `each` does, which holds nobody up.
    pub fn poll(&mut self, wait: Duration, max: usize, each: &mut dyn FnMut(Item<'_>)) -> usize {
        self.poll_into(wait, max, &mut Each(each))
    }

    /// The same for who passes over most records: of those nothing but the offset is looked at.
    pub(super) fn poll_into(&mut self, wait: Duration, max: usize, taker: &mut impl Taker) -> usize {
        let until = Instant::now() + wait;
        let Some(news) = self.lane.enter(wait) else { return 0 };
        let mut items = usize::from(news.is_some());
        let wait = if items > 0 { Duration::ZERO } else { until.saturating_duration_since(Instant::now()) };
        self.take(wait, max);
        self.lane.leave();
        if let Some(news) = &news {
            taker.take(news.item());
        }
        let mut bytes = 0;
        let mut records = 0;
        for message in self.batch.iter() {
            if message.error() == 0 && !taker.wants(message.partition(), message.offset()) {
                items += 1;
                continue;
            }
            let item = item(&message, &self.forbidden);
            if let Item::Record(record) = &item {
                records += 1;
                bytes += record.bytes();
            }
            taker.take(item);
            items += 1;
        }
        self.batch.clear();
        if let Some(mean) = bytes.checked_div(records) {
            self.records_max = (BATCH_BYTES / mean.max(1)).max(1);
        }
        items
    }

    /// librdkafka waits until a batch is full, which would hold a few records back for the whole wait: so one is
    /// waited for, and the others are taken if they are there.
    fn take(&mut self, wait: Duration, max: usize) {
        let max = max.min(self.records_max).max(1);
        let taken = self.batch.take(&self.lane.queue, Duration::ZERO, max);
        if taken > 0 || wait.is_zero() {
            return;
        }
        let begun = Instant::now();
        let taken = self.batch.take(&self.lane.queue, wait, 1);
        self.waited += begun.elapsed();
        if taken > 0 && max > 1 {
            self.batch.take(&self.lane.queue, Duration::ZERO, max - 1);
        }
    }
}

impl News {
    fn item(&self) -> Item<'_> {
        if self.replaces {
            Item::Assigned { generation: self.generation, starts: &self.starts }
        } else {
            Item::Added { starts: &self.starts }
        }
    }
}

fn item<'a>(message: &'a Message<'a>, forbidden: &'a str) -> Item<'a> {
    let (partition, offset) = (message.partition(), message.offset());
    let timestamp = message.timestamp();
    match message.error() {
        0 => Item::Record(Record {
            partition,
            offset,
            timestamp_ms: timestamp.map(|(ms, _)| ms),
            timestamp_type: timestamp.map(|(_, kind)| kind),
            key: message.key(),
            payload: message.payload(),
            headers: message,
            leader_epoch: message.leader_epoch(),
        }),
        code::PARTITION_EOF => Item::End { partition, offset },
        code::AUTO_OFFSET_RESET => {
            let text = text(*message);
            match TRUNCATED.iter().any(|words| text.contains(words)) {
                true => Item::CutOff { partition, end: end_told(text), text },
                false => Item::OutOfRange { partition, offset },
            }
        }
        code::TOPIC_AUTHORIZATION_FAILED => Item::Error { partition, text: forbidden, is_passing: false },
        error => Item::Error { partition, text: text(*message), is_passing: is_passing(error) },
    }
}

/// How librdkafka words one of the two causes that it reports under the same code (`rdkafka_offset.c`): the epoch of the
/// record before ours ends below us, or the leader knows of no epoch so old.
const TRUNCATED: [&str; 2] = ["truncation detected", "No epoch found"];

/// Where the log ends for the epoch of our position, as that text says; -1 is no offset.
fn end_told(text: &str) -> Option<i64> {
    let (_, end) = text.split_once("broker end offset is ")?;
    end.split(' ').next()?.parse().ok().filter(|&end: &i64| end >= 0)
}

fn text(message: Message<'_>) -> &str {
    message
        .payload()
        .and_then(|text| std::str::from_utf8(text).ok())
        .unwrap_or("an error without text")
        .trim_end_matches('\0')
}

/// Data that cannot be read stays so; all else librdkafka tries again.
fn is_passing(error: i32) -> bool {
    !matches!(error, code::BAD_MSG | code::BAD_COMPRESSION | code::NOT_IMPLEMENTED | code::MSG_SIZE_TOO_LARGE)
}
