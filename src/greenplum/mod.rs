//! The database stage: everything that is said to Greenplum, or to PostgreSQL in its place, in SQL.
//!
//! It owns sessions and their settings, the target's description, the external table, a batch's transaction, the
//! ledger with its fence, and who holds a job. It knows neither Kafka nor the server that segments read from: `job`
//! joins them. All of it is synchronous and must stay off tokio's threads; every statement longer than a line is a file
//! in `sql/`.
//!
//! | to do | call |
//! |---|---|
//! | open a session | [`Connection::open`] |
//! | learn what the target is, and that the role may load it | [`Target::describe`] |
//! | build and try a batch's statements | [`Writes::new`], [`Writes::explain`] |
//! | make or reuse the external table | [`ExternalTable::ensure`] |
//! | hold partitions against other loaders | [`Holder::claim`], [`Holder::beat`] |
//! | read and move the committed positions | [`Ledger`], [`Chain`]; prune them: [`Ledger::prune`] |
//! | hold what was committed against itself and the target | [`Account::check`], [`Ledger::walk`], [`Place::count`] |
//! | go on from the original's history | [`original::tables`], [`original::ends`] |
//! | run the user's own SQL | [`Connection::run_task`], [`Connection::check_task`], [`Load::run_inside`] |
//! | keep what was refused, and take it out again | [`DeadLetters`] |
//! | try whether segments can fetch from a loader | [`Probe`] |
//! | look around without a trace | [`Leftover::find`], [`InTheWay::locks`] |
//! | run a batch | [`Load::begin`], [`Load::write`], [`Load::commit`] |

mod account;
mod audit;
mod backup;
mod chain;
mod connection;
pub mod dead_letters;
mod dial;
mod dialect;
mod external;
mod external_greenplum;
mod external_postgres;
mod failure;
mod holder;
mod identity;
mod insert;
mod kept;
mod knock;
mod ledger;
mod liveness;
mod load;
mod mapping;
mod merge;
pub mod original;
mod partitions;
pub mod passfile;
mod paths;
mod probe;
mod reach;
mod rejects;
mod salvage;
mod scratch;
mod search;
mod settings;
mod sql;
mod statement;
mod statements;
mod step;
mod steps;
mod survey;
mod taken;
mod target;
mod task;
pub mod tls;
mod tokens;
mod transformer;
mod trust;
mod tryout;
mod upkeep;
mod watch;
mod words;
mod writes;

pub use account::{Account, Unbalanced};
pub use audit::{LedgerRow, Place, Seen, Stretch};
pub use chain::{Before, Chain, Commit, Entry, Kind, Move};
pub use connection::Connection;
pub use dead_letters::{DeadLetters, Letter, Refusal, Stage};
pub use dial::Canceller;
pub use dialect::Dialect;
pub use external::{Definition, ExternalTable};
pub use failure::Error;
pub use holder::{Claim, Held, Holder};
pub use identity::{Instance, JobId, Loader};
pub use ledger::{HistoryRow, Ledger};
pub use liveness::Liveness;
pub use load::Load;
pub use original::{EndMeans, HistoryColumns, OriginalEnd};
pub use partitions::Partitions;
pub use probe::Probe;
pub use reach::{Astray, trial};
pub use rejects::{SegmentReject, SegmentRejects};
pub use salvage::Searching;
pub use settings::{Failing, Formatter, Mapping, Match, Mode, Output, Settings, Transformer};
pub use statements::transaction_word;
pub use step::{Saved, Written, WrittenTo};
pub use survey::{InTheWay, Leftover};
pub use taken::{Left, Taken, TakenField};
pub use target::{Target, TargetColumn};
pub use writes::Writes;
