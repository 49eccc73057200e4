//! What every test against real servers stands on. One process runs all tests; each server is started once, by the
//! first test that asks for it, is shared by all, and goes when the process does, however it ends. Tests run in
//! parallel in topics, schemas and ports of their own ([`unique`], [`Database::schema`], [`Kafka::topic`]).

mod acl;
mod clock;
mod cluster;
mod database;
mod greenplum;
mod guarded;
mod job;
mod kafka;
mod loader;
mod place;
mod postgres;
mod process;
mod python;
mod registry;
mod tap;
mod topic;
mod wait;

pub use acl::Right;
pub use clock::Clock;
pub use cluster::cluster;
pub use database::{Database, Kind, rows};
pub use greenplum::{gpfdist, greenplum, own_greenplum, segments_authority};
pub use guarded::Guarded;
pub use job::Job;
pub use kafka::{Kafka, Version, kafka};
pub use loader::{Loader, Outcome, Running, ask, executable, metric};
pub use place::{free_port, full, unique, without_root};
pub use postgres::{Manner, own_postgres, own_postgres_in, postgres, psql};
pub use process::{Output, Supervised, User, directory, signal};
#[allow(unused_imports, reason = "a benchmark wants other packages than the tests")]
pub use python::{has_python_client, python_packages};
pub use registry::{Authority, Mood, Registry as SchemaRegistry, Tls};
pub use tap::Tap;
pub use topic::{Producer, Topic};
pub use wait::{SOON, poll, wait_for, wait_until};

/// Makes a test of one function for each database: `NAME::postgres` and `NAME::greenplum` (two segments).
macro_rules! on_each_database {
    ($($(#[$attribute:meta])* fn $name:ident($db:ident) $body:block)*) => { $(
        $(#[$attribute])*
        fn $name($db: &$crate::harness::Database) $body

        mod $name {
            #[test]
            fn postgres() {
                super::$name($crate::harness::postgres());
            }

            #[test]
            fn greenplum() {
                if let Some(db) = $crate::harness::greenplum(2) {
                    super::$name(db);
                }
            }
        }
    )* };
}
pub(crate) use on_each_database;
