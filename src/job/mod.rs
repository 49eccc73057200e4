//! One job: the brain and its hands. It alone joins the stages.
//!
//! ```text
//!  starts ── start after start, as SCHEDULE has it (schedule: pure)
//!  run ── attempt after attempt, each from the ledger; task: the user's SQL around them
//!   └─ prepare   topic, claim, target, external table, ledger, positions; told by announce
//!   └─ launch    threads, assignment
//!   └─ steer     the loop: events of all threads → state → actions on all threads
//!        lookout, tell   what nobody would tell the loop, and what the user sees; profile  where the time went
//!        state   (pure)  batches, when they are full, what may commit
//!        worker, hand  records → decode → encode → blocks  warehouse  BEGIN … INSERT … ledger … COMMIT
//!  measure ── the same threads for `bench`: into clients that throw rows away, or a transaction that is rolled back
//!  replay ── dead letters once more, without Kafka
//!        dead_letters  what was refused, kept before the COMMIT: copied as it came (doubt), or read again
//!        watch   main Kafka queue, new partitions, control session
//!  proof ── whether what was committed adds up, for `check` (pure)
//! ```

pub mod alert;
mod announce;
pub mod batch;
pub mod commit;
pub mod dead_letters;
mod doubt;
pub mod failure;
mod group;
pub mod hand;
pub mod launch;
mod lookout;
pub mod measure;
pub mod positions;
pub mod prepare;
pub mod profile;
pub mod proof;
pub mod rejects;
pub mod replay;
pub mod report;
pub mod resolve;
pub mod run;
pub mod schedule;
pub mod schemas;
#[cfg(test)]
mod simulation;
pub mod starts;
pub mod state;
pub mod steer;
pub mod task;
mod tell;
pub mod threads;
pub mod totals;
pub mod warehouse;
pub mod watch;
pub mod worker;
