//! gpkafka loads Kafka topics into Greenplum, in parallel and exactly once. This page is the map.

// vocabulary: words that every other module may use
pub mod block;
pub mod budget;
pub mod metrics;
pub mod offset;
pub mod record;
pub mod row;
pub mod shutdown;
pub mod table;
pub mod units;

// stages: none knows another; job joins them
pub mod decode;
pub mod encode;
pub mod gpfdist;
pub mod greenplum;
pub mod kafka;

// joined
pub mod cli;
pub mod config;
pub mod job;
pub mod service;
