//! What may happen to a load in half an hour.

use std::time::{Duration, Instant};

use super::{Dice, SOON, Soak};
use crate::harness::{Loader, poll, rows, signal, wait_until};

/// How many partitions there may become.
const PARTITIONS_MAX: usize = 12;
/// Shorter than what a silent loader is given.
const FROZEN: Duration = Duration::from_secs(5);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillLoader,
    EndLoader,
    FreezeLoader,
    SecondLoader,
    TerminateSession,
    KillSegment,
    RestartBroker,
    AddPartition,
}

impl Fault {
    /// All of them, the harmless ones more often.
    const ALL: [Self; 12] = [
        Self::KillLoader,
        Self::KillLoader,
        Self::EndLoader,
        Self::FreezeLoader,
        Self::SecondLoader,
        Self::TerminateSession,
        Self::TerminateSession,
        Self::TerminateSession,
        Self::TerminateSession,
        Self::KillSegment,
        Self::RestartBroker,
        Self::AddPartition,
    ];

    pub fn thrown(dice: &mut Dice) -> Self {
        Self::ALL[usize::try_from(dice.within(0..Self::ALL.len() as u64)).unwrap()]
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::KillLoader => "the loader is killed, and another started",
            Self::EndLoader => "the loader is told to end, and another started",
            Self::FreezeLoader => "the loader stands still for 5 s",
            Self::SecondLoader => "a second loader is started beside the first",
            Self::TerminateSession => "a session of a loader is ended",
            Self::KillSegment => "a process of a segment is killed: the database recovers",
            Self::RestartBroker => "the broker is killed and started again",
            Self::AddPartition => "a partition is added",
        }
    }

    pub fn strike(self, soak: &mut Soak<'_>) {
        match self {
            Self::KillLoader => {
                soak.struck.running.signal("KILL");
                wait_until(SOON, "a killed loader to be gone", || soak.struck.running.has_ended());
                soak.struck.start();
            }
            Self::EndLoader => {
                soak.struck.running.signal("INT");
                wait_until(SOON, "the loader to end", || soak.struck.running.has_ended());
                soak.struck.start();
            }
            Self::FreezeLoader => {
                soak.struck.running.signal("STOP");
                let begun = Instant::now();
                wait_until(SOON, "it to be over", || begun.elapsed() >= FROZEN);
                soak.struck.running.signal("CONT");
            }
            Self::SecondLoader => {
                // while the first one's session is being ended and made anew, a second one may get in
                let second = Loader::load(&soak.steady.job).args(["--quit-at-eof"]).run();
                assert!(second.code == 0 || second.code == 1, "{}", second.text());
                second.expect_no_text("panicked");
            }
            Self::TerminateSession => terminate(soak),
            Self::KillSegment => {
                let flow = soak.flow(&soak.struck);
                // a batch is over before one has found it, often
                if let Some(pid) = poll(Duration::from_secs(5), || flow.reader_of(1)) {
                    signal(pid, "KILL");
                }
            }
            Self::RestartBroker => {
                soak.kafka.kill();
                soak.kafka.start_server();
            }
            Self::AddPartition => {
                let count = soak.stream.partitions() + 1;
                if count <= PARTITIONS_MAX {
                    soak.flow(&soak.struck).topic.grow_to(count);
                    soak.stream.grow_to(count);
                }
            }
        }
    }
}

/// Ends any of the loaders' sessions, where the server answers.
fn terminate(soak: &mut Soak<'_>) {
    let Ok(mut client) = soak.db.try_connect() else { return };
    let pids =
        rows(&mut client, "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'gpkafka:%' ORDER BY pid");
    if !pids.is_empty() {
        let pid = &pids[usize::try_from(soak.dice.within(0..pids.len() as u64)).unwrap()];
        rows(&mut client, &format!("SELECT pg_terminate_backend({pid})"));
    }
}
