//! The wish to stop, in two degrees, shared by every thread of a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How urgent the stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody asked.
    None,
    /// First Ctrl-C or SIGTERM: seal, commit what is in hand, leave.
    Finish,
    /// Second: drop it, leave.
    Abort,
}

/// A flag that only rises. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    urgency: AtomicU8,
    has_work: AtomicBool,
    has_begun: AtomicBool,
    is_waiting: AtomicBool,
    is_asking_kafka: AtomicBool,
}

impl Shutdown {
    /// One degree more urgent: the first call asks to finish, every later one to abort.
    pub fn escalate(&self) -> Urgency {
        let before = self.0.urgency.fetch_add(1, Ordering::SeqCst);
        self.0.urgency.fetch_min(2, Ordering::SeqCst);
        if before == 0 { Urgency::Finish } else { Urgency::Abort }
    }

    /// The degree by now.
    pub fn urgency(&self) -> Urgency {
        match self.0.urgency.load(Ordering::SeqCst) {
            0 => Urgency::None,
            1 => Urgency::Finish,
            _ => Urgency::Abort,
        }
    }
}

impl Shutdown {
    /// Says whether there is something in hand that a first wish to stop should wait for.
    pub fn set_work(&self, has_work: bool) {
        self.0.has_work.store(has_work, Ordering::SeqCst);
        self.0.has_begun.fetch_or(has_work, Ordering::SeqCst);
    }

    /// Says whether the job waits for the time of its next start.
    pub fn set_waiting(&self, is_waiting: bool) {
        self.0.is_waiting.store(is_waiting, Ordering::SeqCst);
    }

    /// Whether it does.
    pub fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::SeqCst)
    }

    /// Says whether the job waits for an answer of Kafka.
    pub fn set_asking_kafka(&self, is_asking: bool) {
        self.0.is_asking_kafka.store(is_asking, Ordering::SeqCst);
    }

    /// Whether it does.
    pub fn is_asking_kafka(&self) -> bool {
        self.0.is_asking_kafka.load(Ordering::SeqCst)
    }

    /// Whether there ever was.
    pub fn has_begun(&self) -> bool {
        self.0.has_begun.load(Ordering::SeqCst)
    }

    /// Whether there is.
    pub fn has_work(&self) -> bool {
        self.0.has_work.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_and_stays() {
        let shutdown = Shutdown::default();
        assert_eq!(shutdown.urgency(), Urgency::None);
        assert_eq!(shutdown.escalate(), Urgency::Finish);
        assert_eq!(shutdown.escalate(), Urgency::Abort);
        assert_eq!(shutdown.escalate(), Urgency::Abort);
        assert_eq!(shutdown.urgency(), Urgency::Abort);
    }
}
