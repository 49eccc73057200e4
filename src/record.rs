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
    pub headers: &'a dyn Headers,
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
            headers: &NO_HEADERS,
            leader_epoch: None,
        }
    }

    /// Bytes of key and payload.
    pub fn bytes(&self) -> usize {
        self.payload.map_or(0, <[u8]>::len) + self.key.map_or(0, <[u8]>::len)
    }
}

/// A record that is kept: beside its batch of messages, or in a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedRecord {
    pub timestamp_ms: Option<i64>,
    pub timestamp_type: Option<TimestampType>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnedRecord {
    /// The record at a place.
    pub fn at(&self, partition: i32, offset: i64) -> Record<'_> {
        Record {
            timestamp_ms: self.timestamp_ms,
            timestamp_type: self.timestamp_type,
            key: self.key.as_deref(),
            headers: &self.headers,
            ..Record::new(partition, offset, self.payload.as_deref())
        }
    }

    /// Bytes of all that it holds.
    pub fn bytes(&self) -> usize {
        let length = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        length(&self.key) + length(&self.payload) + headers
    }
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> Self {
        let header = |header: &Header<'_>| (header.name.to_owned(), header.value.map(<[u8]>::to_vec));
        Self {
            timestamp_ms: record.timestamp_ms,
            timestamp_type: record.timestamp_type,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: record.headers.read().iter().map(header).collect(),
        }
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

    /// The other way round.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Create, Self::LogAppend].into_iter().find(|kind| kind.name() == name)
    }
}

/// One header. Names may come more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: Option<&'a [u8]>,
}

/// The headers of a record. The Kafka client keeps them as they came: taking them apart costs something even where there
/// are none, so that is done for who asks.
pub trait Headers: std::fmt::Debug {
    /// All of them, in the order in which they were written.
    fn read(&self) -> Vec<Header<'_>>;
}

const NO_HEADERS: [Header<'static>; 0] = [];

impl<const COUNT: usize> Headers for [Header<'_>; COUNT] {
    fn read(&self) -> Vec<Header<'_>> {
        self.to_vec()
    }
}

impl Headers for Vec<(String, Option<Vec<u8>>)> {
    fn read(&self) -> Vec<Header<'_>> {
        self.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect()
    }
}
