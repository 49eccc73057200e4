//! Records in: the Kafka side of a job, on librdkafka.
//!
//! Responsible for the connection, the topic's identity and partitions, offsets (log start, last stable offset, by
//! time), the assignment and its rewinds, and for handing records to workers in batches without a copy. Positions are
//! the caller's: nothing is ever read from or kept in a consumer group. Leaves to others what a record means, when to
//! rewind, and what to do about expired data: it reports, `job` decides.
//!
//! Who calls it: the job's `kafka` thread polls [`Consumer::poll`] and looks for new partitions; each worker owns one
//! [`RecordQueue`]; the job thread assigns. Only this module names rdkafka.
//!
//! Reading order: [`Settings`], [`Consumer`], [`RecordQueue`], [`Reread`]; `ffi` and `waits` are the two places with
//! unsafe code.

mod assignment;
mod brokers;
mod consumer;
mod error;
mod events;
mod ffi;
mod group;
mod offsets;
mod queue;
mod reread;
mod settings;
mod topic;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod waits;

#[cfg(test)]
mod mock;

pub use assignment::Start;
pub use brokers::Broker;
pub use consumer::Consumer;
pub use error::Error;
pub use events::Event;
pub use offsets::Watermarks;
pub use queue::{Item, QueueId, RecordQueue};
pub use reread::Reread;
pub use settings::{Ignored, Settings, WithoutSecrets, check_properties, check_property, is_secret};
pub use topic::Topic;
