//! Everything against real servers: one test binary, one process, servers shared by all tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod decode_differential;
mod dryrun;
mod fence;
mod flags;
mod gpfdist_client;
mod gpfdist_greenplum;
mod gpfdist_http;
mod gpfdist_peer;
mod gpfdist_sessions;
mod greenplum_external;
mod greenplum_holder;
mod greenplum_ledger;
mod greenplum_load;
mod greenplum_merge;
mod greenplum_merge_model;
mod greenplum_outputs;
mod greenplum_place;
mod greenplum_target;
mod harness;
mod history;
mod job_files;
mod json_differential;

mod alert;
mod case;
mod cases;
mod consistency;
mod crash;
mod crash_scene;
mod crash_wire;
mod database_crash;
mod encoding;
mod flow;
mod hard_rows;
mod json_fields;
mod kafka_consumer;
mod keys;
mod memory;
mod migrate;
mod old_kafka;
mod readme;
mod registry;
mod rejects;
mod schedule;
mod segments;
mod servers;
mod stop;
mod targets;
mod task;
mod terminal;
mod tidy;
mod topics;
mod values;
mod wrong_inputs;
