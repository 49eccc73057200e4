//! One Kafka record as the stages see it: borrowed, for as long as its batch of messages lives.

/// A record of one partition. Payloads are borrowed from the Kafka client, so decoding copies at most once.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, where the broker keeps timestamps.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Epoch of the leader that wrote it, where the broker tells.
    pub leader_epoch: Option<i32>,
}
