//! Rows → Greenplum's TEXT form → sealed blocks. Knows nothing of where rows come from or go to.
//!
//! [`text`] writes rows, [`BlockBuilder`] collects them with the offsets that they came from. Called by the job's
//! workers.

mod block;
pub mod text;

pub use block::BlockBuilder;
