//! One Kafka record as the stages see it: borrowed, for as long as its batch of messages lives.

/// A record of one partition. Payloads are borrowed from the Kafka client, so decoding copies at most once.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, where the broker keeps timestamps.
    pub timestamp_ms: Option<i64>,
    pub timestamp_type: Option<TimestampType>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// In the order in which they were written. Empty where nobody asked for them.
    pub headers: &'a [Header<'a>],
    /// Epoch of the leader that wrote it, where the broker tells.
    pub leader_epoch: Option<i32>,
}

impl<'a> Record<'a> {
    /// A record of which nothing else is known.
    pub fn new(partition: i32, offset: i64, payload: Option<&'a [u8]>) -> Self {
        Self {
            partition,
            offset,
            timestamp_ms: None,
            timestamp_type: None,
            key: None,
            payload,
            headers: &[],
            leader_epoch: None,
        }
    }

    /// Bytes of key and payload.
    pub fn bytes(&self) -> usize {
        self.payload.map_or(0, <[u8]>::len) + self.key.map_or(0, <[u8]>::len)
    }
}

/// Who set a record's timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    Create,
    LogAppend,
}

impl TimestampType {
    /// As Kafka's own tools write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CreateTime",
            Self::LogAppend => "LogAppendTime",
        }
    }
}

/// One header. Names may come more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: Option<&'a [u8]>,
}
