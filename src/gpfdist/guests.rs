//! Connections that are no segment's, or not yet: anybody who reaches the port can open them, so there are only so many.
//! One more shows the oldest out. A segment sends its head at once and is no guest from then on, so it is never the oldest
//! unless thousands come within the same moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

/// Everybody who is a guest, by when they came.
#[derive(Debug)]
pub(super) struct Guests {
    max: usize,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    came: u64,
    cuts: BTreeMap<u64, Arc<Notify>>,
}

impl Guests {
    /// No more than `max`, and no more than half of the descriptors that this process may have: the rest is for segments,
    /// Kafka and the database.
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.min(descriptors() / 2).max(1);
        Arc::new(Self { max, all: Mutex::default() })
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection has come; `cut` tells when it must go.
    pub(super) fn admit(self: &Arc<Self>, cut: &Arc<Notify>) -> Guest {
        let mut all = self.all();
        let id = all.came;
        all.came += 1;
        all.cuts.insert(id, Arc::clone(cut));
        let oldest = if all.cuts.len() > self.max { all.cuts.pop_first() } else { None };
        drop(all);
        oldest.into_iter().for_each(|(_, cut)| cut.notify_one());
        Guest { guests: Arc::clone(self), id }
    }

    /// No descriptor is left: the older half goes.
    pub(super) fn show_half_out(&self) {
        let mut all = self.all();
        let middle = all.cuts.keys().nth(all.cuts.len() / 2).copied();
        let newer = middle.map(|middle| all.cuts.split_off(&middle)).unwrap_or_default();
        let older = std::mem::replace(&mut all.cuts, newer);
        drop(all);
        older.values().for_each(|cut| cut.notify_one());
    }
}

/// A connection while it is a guest.
///
/// # Drop
/// It has gone, or has become a segment's.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Arc<Guests>,
    id: u64,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.guests.all().cuts.remove(&self.id);
    }
}

/// How many descriptors this process may have; as many as the system lets it have without asking anybody. Shells give
/// 1024 of them for the sake of programs of old.
fn descriptors() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let allowed = limits.maximum.unwrap_or(u64::MAX);
    let before = limits.current.unwrap_or(u64::MAX);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let now = if before < allowed && setrlimit(Resource::Nofile, raised).is_ok() { allowed } else { before };
    usize::try_from(now).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these were shown out.
    fn out(cuts: &[Arc<Notify>]) -> Vec<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let now = std::time::Duration::ZERO;
        let was_told =
            |cut: &Arc<Notify>| runtime.block_on(async { tokio::time::timeout(now, cut.notified()).await.is_ok() });
        cuts.iter().map(was_told).collect()
    }

    fn cuts() -> Vec<Arc<Notify>> {
        (0..4).map(|_| Arc::default()).collect()
    }

    #[test]
    fn one_more_shows_the_oldest_out() {
        let (guests, cuts) = (Guests::new(2), cuts());
        let kept: Vec<_> = cuts[..3].iter().map(|cut| guests.admit(cut)).collect();
        assert_eq!(out(&cuts), [true, false, false, false]);
        drop(kept.into_iter().nth(1));
        let _last = guests.admit(&cuts[3]);
        assert_eq!(out(&cuts), [false; 4], "who has gone makes room");
    }

    #[test]
    fn half_of_them_go_where_nothing_is_left() {
        let (guests, cuts) = (Guests::new(9), cuts());
        let _kept: Vec<_> = cuts.iter().map(|cut| guests.admit(cut)).collect();
        guests.show_half_out();
        assert_eq!(out(&cuts), [true, true, false, false]);
    }
}
