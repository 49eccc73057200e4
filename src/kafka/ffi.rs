//! The one module with unsafe code: calls of librdkafka that the rdkafka crate does not offer.
//!
//! | call | why |
//! |---|---|
//! | `rd_kafka_consume_batch_queue` | the crate costs an event and an `Arc` a record |
//! | `rd_kafka_queue_get_partition`, `_forward` | several partitions into one worker's queue |
//! | `rd_kafka_message_leader_epoch`, `rd_kafka_DescribeTopics` | leader epochs and topic ids |
//! | `rd_kafka_message_timestamp`, `_headers` | of messages taken in batches |
//! | `rd_kafka_assign`, `rd_kafka_seek_partitions` with leader epochs | librdkafka then checks that the log was not truncated below us |
//!
//! Rules that make it sound: whatever points into a client keeps the client alive by an `Arc`; a message lives until
//! its [`Batch`] is cleared, and [`Batch`] lends it no longer; error codes are read as integers, since brokers may send
//! codes that the Rust enum does not have.
#![allow(unsafe_code, reason = "the crate does not offer these calls; each block says why it is sound")]

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::events::Events;
use crate::record::{Header, Headers, TimestampType};

/// The rdkafka crate's consumer with our callbacks.
pub(super) type Client = BaseConsumer<Events>;

/// Codes that messages carry, as librdkafka numbers them.
pub(super) mod code {
    use rdkafka_sys::rd_kafka_resp_err_t as Code;

    pub const PARTITION_EOF: i32 = Code::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32;
    pub const AUTO_OFFSET_RESET: i32 = Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET as i32;
    pub const TOPIC_AUTHORIZATION_FAILED: i32 = Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as i32;
    pub const BAD_MSG: i32 = Code::RD_KAFKA_RESP_ERR__BAD_MSG as i32;
    pub const BAD_COMPRESSION: i32 = Code::RD_KAFKA_RESP_ERR__BAD_COMPRESSION as i32;
    pub const NOT_IMPLEMENTED: i32 = Code::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED as i32;
    pub const MSG_SIZE_TOO_LARGE: i32 = Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32;
}

/// Milliseconds as the C side takes them; the longest wait it can express is more than 24 days.
fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// A queue of librdkafka, and the client it belongs to.
pub(super) struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    // declared last: the client must go after the queue
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues carry their own lock; every call made here may be made from any thread at any time.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A queue that nothing is forwarded to yet.
    pub fn new(client: &Arc<Client>) -> Self {
        // SAFETY: the client is alive, and stays so by the Arc that is kept beside the queue.
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        Self {
            queue: NonNull::new(queue).expect("librdkafka aborts the process when it has no memory"),
            client: Arc::clone(client),
        }
    }

    /// The queue that a partition's records are fetched into. `None` where librdkafka refuses the topic's name.
    pub fn of_partition(client: &Arc<Client>, topic: &CStr, partition: i32) -> Option<Self> {
        // SAFETY: the client is alive (as above), the topic is a C string that librdkafka copies.
        let queue =
            unsafe { sys::rd_kafka_queue_get_partition(client.client().native_ptr(), topic.as_ptr(), partition) };
        Some(Self { queue: NonNull::new(queue)?, client: Arc::clone(client) })
    }

    /// Sends what is in here, and all that comes, to another queue.
    pub fn forward(&self, to: &Self) {
        debug_assert!(Arc::ptr_eq(&self.client, &to.client), "queues of one client");
        // SAFETY: both queues are alive and of one client; librdkafka counts its own reference to the target.
        unsafe { sys::rd_kafka_queue_forward(self.queue.as_ptr(), to.queue.as_ptr()) }
    }

    /// Ends the wait of whoever waits for this queue.
    pub fn wake(&self) {
        // SAFETY: the queue is alive; made to be called from other threads.
        unsafe { sys::rd_kafka_queue_yield(self.queue.as_ptr()) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by new or of_partition, destroyed once, before the client that is kept beside it.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Messages taken from a queue in one go; its room is allocated once.
pub(super) struct Batch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
    // declared last: the client must go after the messages
    _client: Arc<Client>,
}

// SAFETY: messages belong to whoever took them from the queue, on whatever thread; the batch is their only owner.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty one, for queues of this client.
    pub fn new(client: &Arc<Client>) -> Self {
        Self { messages: Vec::new(), _client: Arc::clone(client) }
    }

    /// Adds up to `max` messages; waits only while there is none at all. Returns how many were added.
    pub fn take(&mut self, queue: &Queue, wait: Duration, max: usize) -> usize {
        let held = self.messages.len();
        self.messages.reserve(max);
        // SAFETY: the room behind `held` has been reserved for `max` pointers, which librdkafka fills from the front;
        // set_len covers just those that it says it has filled. Errors are negative and fill nothing.
        unsafe {
            let room = self.messages.as_mut_ptr().add(held);
            let taken = sys::rd_kafka_consume_batch_queue(queue.queue.as_ptr(), millis(wait), room, max);
            let taken = usize::try_from(taken).unwrap_or(0);
            self.messages.set_len(held + taken);
            taken
        }
    }

    /// The messages, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        self.messages.iter().map(|&message| Message { message, batch: PhantomData })
    }

    /// Gives the messages back to librdkafka.
    pub fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: taken from a queue by `take`, leaves the batch here, so it is destroyed once; nothing borrowed
            // from it outlives the `&self` of iter, which `&mut self` excludes.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// One message of a batch: a record, or an error about a partition.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    message: *const sys::rd_kafka_message_t,
    batch: PhantomData<&'a Batch>,
}

impl<'a> Message<'a> {
    /// 0 for a record, else a code of [`code`] or any other that a broker sent.
    pub fn error(self) -> i32 {
        // SAFETY: the batch keeps the message alive; the field is 32 bits wide and read as an integer, because a
        // broker may send a code that the Rust enum lacks.
        unsafe { ptr::addr_of!((*self.message).err).cast::<i32>().read() }
    }

    pub fn partition(self) -> i32 {
        // SAFETY: the batch keeps the message alive; librdkafka does not change it once it is handed out.
        unsafe { (*self.message).partition }
    }

    pub fn offset(self) -> i64 {
        // SAFETY: as in partition.
        unsafe { (*self.message).offset }
    }

    /// The value of a record; the text of an error.
    pub fn payload(self) -> Option<&'a [u8]> {
        // SAFETY: as in partition; payload and len describe memory that lives as long as the message does.
        unsafe { bytes((*self.message).payload.cast(), (*self.message).len) }
    }

    pub fn key(self) -> Option<&'a [u8]> {
        // SAFETY: as in payload. Of an error message librdkafka leaves the key null.
        unsafe { bytes((*self.message).key.cast(), (*self.message).key_len) }
    }

    /// Milliseconds since 1970 and who set them; `None` where the broker keeps none.
    pub fn timestamp(self) -> Option<(i64, TimestampType)> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: as in partition; the kind is written to a variable of this call.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        let kind = match kind {
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::Create,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampType::LogAppend,
            sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => return None,
        };
        (timestamp >= 0).then_some((timestamp, kind))
    }

    /// `None` where the broker does not tell.
    pub fn leader_epoch(self) -> Option<i32> {
        // SAFETY: as in partition.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.message) };
        (epoch >= 0).then_some(epoch)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("partition", &self.partition()).field("offset", &self.offset()).finish()
    }
}

impl Headers for Message<'_> {
    fn read(&self) -> Vec<Header<'_>> {
        let mut read = Vec::new();
        let mut headers = ptr::null_mut();
        // SAFETY: as in partition; librdkafka parses the headers on the first call and keeps them with the message,
        // which the batch owns alone and no other thread reads.
        let code = unsafe { sys::rd_kafka_message_headers(self.message, &raw mut headers) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return read;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: headers were just given out for this message and live as long; the outs are variables of this loop.
            let code =
                unsafe { sys::rd_kafka_header_get_all(headers, at, &raw mut name, &raw mut value, &raw mut size) };
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a name is a C string and a value is size bytes, both inside the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast(), size)) };
            // a name that is no UTF-8 breaks Kafka's own protocol
            read.push(Header { name: name.to_str().unwrap_or_default(), value });
        }
        read
    }
}

/// # Safety
/// A pointer that is not null starts `len` readable bytes that live for `'a` unchanged.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, len) })
}

/// Partition, next offset, and the leader epoch of the record before it.
pub(super) type Position = (i32, i64, Option<i32>);

/// A topic-partition list of librdkafka's.
struct Positions(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl Positions {
    fn new(topic: &CStr, positions: &[Position]) -> Self {
        let room = i32::try_from(positions.len()).unwrap_or(i32::MAX);
        // SAFETY: plain allocation; room is only a hint.
        let list = NonNull::new(unsafe { sys::rd_kafka_topic_partition_list_new(room) })
            .expect("librdkafka aborts the process when it has no memory");
        for &(partition, offset, leader_epoch) in positions {
            // SAFETY: the list is alive and ours alone; the element is written before the next one may move it.
            unsafe {
                let element = sys::rd_kafka_topic_partition_list_add(list.as_ptr(), topic.as_ptr(), partition);
                (*element).offset = offset;
                if let Some(leader_epoch) = leader_epoch {
                    sys::rd_kafka_topic_partition_set_leader_epoch(element, leader_epoch);
                }
            }
        }
        Self(list)
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        // SAFETY: made by new, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) }
    }
}

/// Replaces the assignment.
pub(super) fn assign(client: &Client, topic: &CStr, positions: &[Position]) -> Result<(), RDKafkaErrorCode> {
    let list = Positions::new(topic, positions);
    // SAFETY: client and list are alive; librdkafka copies the list.
    let error = unsafe { sys::rd_kafka_assign(client.client().native_ptr(), list.0.as_ptr()) };
    match RDKafkaErrorCode::from(error) {
        RDKafkaErrorCode::NoError => Ok(()),
        error => Err(error),
    }
}

/// Adds to the assignment. The error is librdkafka's text.
pub(super) fn assign_more(client: &Client, topic: &CStr, positions: &[Position]) -> Result<(), String> {
    let list = Positions::new(topic, positions);
    // SAFETY: client and list are alive; librdkafka copies the list; an error is ours to destroy, once read.
    unsafe {
        let error = sys::rd_kafka_incremental_assign(client.client().native_ptr(), list.0.as_ptr());
        if error.is_null() {
            return Ok(());
        }
        let text = text(sys::rd_kafka_error_string(error));
        sys::rd_kafka_error_destroy(error);
        Err(text)
    }
}

/// Seeks, in partitions of the assignment, and returns those that do not take it yet. The error is librdkafka's text.
///
/// # Blocks
/// Up to `wait`; some milliseconds, whatever the brokers do.
pub(super) fn seek(client: &Client, topic: &CStr, positions: &[Position], wait: Duration) -> Result<Vec<i32>, String> {
    let list = Positions::new(topic, positions);
    // SAFETY: client and list are alive; an error is ours to destroy, once read. The elements are `cnt` in a row, each
    // with its own error, which is read as an integer.
    unsafe {
        let error = sys::rd_kafka_seek_partitions(client.client().native_ptr(), list.0.as_ptr(), millis(wait));
        if !error.is_null() {
            let text = text(sys::rd_kafka_error_string(error));
            sys::rd_kafka_error_destroy(error);
            return Err(text);
        }
        let (elements, count) = ((*list.0.as_ptr()).elems, usize::try_from((*list.0.as_ptr()).cnt).unwrap_or(0));
        let refused = (0..count)
            .map(|at| elements.add(at))
            .filter(|&element| ptr::addr_of!((*element).err).cast::<i32>().read() != 0);
        Ok(refused.map(|element| (*element).partition).collect())
    }
}

/// The high watermark of a partition as of its last fetch; `None` before the first.
pub(super) fn cached_end(client: &Client, topic: &CStr, partition: i32) -> Option<i64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: client and topic are alive, low and high are places to write to.
    let error = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (RDKafkaErrorCode::from(error) == RDKafkaErrorCode::NoError && high >= 0).then_some(high)
}

/// What a broker says when it is asked for a topic's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TopicId {
    /// In Kafka's own base64.
    Known(String),
    /// It keeps none: it is older than 2.8.
    Unkept,
    /// It does not tell, or not in time; another time it may.
    Untold,
}

/// The topic's id as this broker knows it.
///
/// # Blocks
/// Up to `wait`.
pub(super) fn topic_id(client: &Arc<Client>, topic: &CStr, broker: i32, wait: Duration) -> TopicId {
    let reply = Queue::new(client);
    let mut name = topic.as_ptr();
    // SAFETY: everything made here is destroyed here, after its last use; librdkafka copies names and options before
    // DescribeTopics returns. The reply goes to our own queue; if it comes later than we wait, the queue's end
    // discards it.
    unsafe {
        let rk = client.client().native_ptr();
        let options = sys::rd_kafka_AdminOptions_new(rk, sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let mut refusal = [0 as c_char; 256];
        let (room, size) = (refusal.as_mut_ptr(), refusal.len());
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(wait), room, size);
        // else the controller is asked, and waited for where there is none
        sys::rd_kafka_AdminOptions_set_broker(options, broker, room, size);
        let names = sys::rd_kafka_TopicCollection_of_topic_names(&raw mut name, 1);
        sys::rd_kafka_DescribeTopics(rk, names, options, reply.queue.as_ptr());
        sys::rd_kafka_TopicCollection_destroy(names);
        sys::rd_kafka_AdminOptions_destroy(options);
        let event = sys::rd_kafka_queue_poll(reply.queue.as_ptr(), millis(wait));
        if event.is_null() {
            return TopicId::Untold;
        }
        let id = described_id(event);
        sys::rd_kafka_event_destroy(event);
        id
    }
}

/// # Safety
/// The event is alive.
unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> TopicId {
    // SAFETY: results, descriptions and ids belong to the event, which outlives this function; the text is copied.
    // librdkafka returns null for an event of another kind; an answer that is an error has no topic, and the
    // description of a topic that could not be described has an error in it.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return TopicId::Untold;
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count == 0 || !sys::rd_kafka_TopicDescription_error(*topics).is_null() {
            return TopicId::Untold;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)) == (0, 0)
        {
            return TopicId::Unkept;
        }
        TopicId::Known(text(sys::rd_kafka_Uuid_base64str(id)))
    }
}

/// The names of all properties that librdkafka knows.
pub(super) fn property_names() -> Vec<String> {
    let mut count = 0;
    let mut names = Vec::new();
    // SAFETY: the dump is `count` pointers, name and value in turn, each null or a C string, alive until dump_free;
    // the configuration is ours and destroyed once.
    unsafe {
        let conf = sys::rd_kafka_conf_new();
        let dump = sys::rd_kafka_conf_dump(conf, &raw mut count);
        for at in (0..count).step_by(2) {
            names.push(text(*dump.add(at)));
        }
        sys::rd_kafka_conf_dump_free(dump, count);
        sys::rd_kafka_conf_destroy(conf);
    }
    names
}

/// # Safety
/// Null or a C string that is alive.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A name as C takes it; a NUL inside, which no topic may have, cuts it off.
pub(super) fn c_name(name: &str) -> CString {
    let name = name.split('\0').next().unwrap_or_default();
    CString::new(name).expect("cut before the first NUL")
}
