//! gpkafka loads Kafka topics into Greenplum, in parallel and exactly once. This page is the map.
//!
//! # Bird's-eye view
//!
//! A job is one topic into one table. The loader makes a readable external table that points at its own HTTP server,
//! which speaks the protocol of gpfdist. For each batch it opens a transaction, runs `INSERT … SELECT` from the external
//! table, and every segment of the cluster pulls rows from the server in parallel. The offsets that were read are
//! appended to a ledger in the same transaction. So rows and offsets commit together or not at all.
//!
//! ```text
//!            records            rows          blocks             HTTP, all segments at once
//!  Kafka ──▶ kafka::RecordQueue ──▶ decode ──▶ encode ──▶ job ──▶ gpfdist::Server ──▶ segments ──▶ target table
//!                                                          │                                         │
//!                                                          └──▶ greenplum: BEGIN, INSERT, ledger, COMMIT ┘
//! ```
//!
//! # Reading order
//!
//! 1. [`offset`]: spans and checkpoints; an offset always means the next record to read.
//! 2. [`block`]: what travels; [`budget`]: why memory is bounded; [`copies`]: records that may be refused later.
//! 3. [`job::state`]: the pure brain of a job, and [`job::steer`], the loop around it.
//! 4. [`gpfdist`]: sessions, where the end of a scan may be told only when a batch is sealed; [`service::files`]: files
//!    in place of records.
//! 5. [`greenplum`]: the batch's transaction, the ledger's chain, who holds a job.
//! 6. [`kafka`]: records by batch, positions by assignment; [`registry`]: the schemas that records name; [`transform`]:
//!    modules that change them.
//! 7. [`config`] and [`cli`]: from what is written and typed to what is meant.
//!
//! Arrows point one way: vocabulary ← stages ← config ← job ← service ← cli ← main. Stages never name each other; `job`
//! joins them. A test holds this (`integration/tidy.rs`).
//!
//! # Threads
//!
//! The table is in [`job::threads`], which starts them all. Blocking work has its own named thread; tokio only moves
//! bytes to sockets, inside [`gpfdist::Server`]. A partition stays with one worker, so its blocks come out in order.
//! Back pressure runs from the far end: socket full → server polls no block → blocks keep their permits → workers get
//! none → record queues stay unread → librdkafka stops fetching.
//!
//! # Invariants
//!
//! 1. An offset means the next record to read, everywhere.
//! 2. The ledger lives in the database, is only appended to, and moves only in the transaction that inserts its rows, or
//!    in a reset's own.
//! 3. A block holds whole rows of one partition and one generation.
//! 4. The end of a scan is told only when its batch is sealed and every block handed out.
//! 5. No queue is unbounded; every wait has a deadline.
//! 6. There is one way back: roll back, read the ledger, start the attempt anew.
//! 7. tokio threads never block; the SQL client never meets tokio.
//! 8. The main Kafka queue is polled whatever else happens.
//! 9. Decoding, encoding, framing, sessions and the job's state do no I/O and read no clock.

// vocabulary: words that every other module may use
pub mod block;
pub mod budget;
pub mod copies;
pub mod line;
pub mod metrics;
pub mod offset;
pub mod password;
pub mod pem;
pub mod record;
pub mod row;
pub mod schema;
pub mod shutdown;
pub mod table;
pub mod units;

// stages: none knows another; job joins them
pub mod decode;
pub mod encode;
pub mod gpfdist;
pub mod greenplum;
pub mod kafka;
pub mod registry;
pub mod transform;

// joined, each on those above it
pub mod cli;
pub mod config;
pub mod job;
pub mod service;
