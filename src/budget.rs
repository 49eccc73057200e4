//! One memory budget for everything in flight. A [`Permit`] rides with the bytes it stands for and returns on drop;
//! who gets none stops reading from Kafka.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Who waits, longest first.
    line: VecDeque<u64>,
    next_place: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is larger than the whole budget is had alone, when nothing is out.
    fn lacks(&self, state: &State, bytes: usize) -> bool {
        state.used != 0 && self.bytes_max.saturating_sub(state.used) < bytes
    }
}

/// Bytes in memory, bounded. Clones share one budget.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

/// A share of the budget, given back on drop.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

/// A place in the line of those who wait. Who came first is served first, however much it wants: else a large record
/// would wait for ever while small ones take each byte that returns.
///
/// *Drop*: leaves the line.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shared { bytes_max, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// The bound in bytes.
    pub fn bytes_max(&self) -> usize {
        self.0.bytes_max
    }

    /// Bytes that are out on permits.
    pub fn used(&self) -> usize {
        self.0.state().used
    }

    /// A permit if it can be had at once and nobody waits for one. One that is larger than the whole budget is had
    /// alone, when nothing is out.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        let mut state = self.0.state();
        if !state.line.is_empty() || self.0.lacks(&state, bytes) {
            return None;
        }
        state.used += bytes;
        Some(Permit { shared: Arc::clone(&self.0), bytes })
    }

    /// Goes to the end of the line.
    pub fn stand_in_line(&self) -> Place {
        let mut state = self.0.state();
        let number = state.next_place;
        state.next_place += 1;
        state.line.push_back(number);
        Place { shared: Arc::clone(&self.0), number }
    }

    /// Waits for a permit, at most `wait`.
    ///
    /// # Blocks
    /// Up to `wait`; never call it on a tokio thread.
    pub fn acquire(&self, bytes: usize, wait: Duration) -> Option<Permit> {
        self.stand_in_line().wait(bytes, wait)
    }
}

impl Place {
    /// Waits for a permit, at most `wait`; who asks again has kept its place. With a permit, drop the place: it holds the
    /// others up.
    ///
    /// # Blocks
    /// Up to `wait`; never call it on a tokio thread.
    pub fn wait(&self, bytes: usize, wait: Duration) -> Option<Permit> {
        let must_wait = |state: &mut State| state.line.front() != Some(&self.number) || self.shared.lacks(state, bytes);
        let state = self.shared.state();
        let (mut state, _) =
            self.shared.changed.wait_timeout_while(state, wait, must_wait).unwrap_or_else(PoisonError::into_inner);
        if must_wait(&mut state) {
            return None;
        }
        state.used += bytes;
        Some(Permit { shared: Arc::clone(&self.shared), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.state().line.retain(|number| *number != self.number);
        self.shared.changed.notify_all();
    }
}

impl Permit {
    /// What it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets it to what the data really takes: less gives the rest back; more is granted, so that a row that has
    /// already been read is never stuck, and the next reader waits longer.
    pub fn resize(&mut self, bytes: usize) {
        let mut state = self.shared.state();
        state.used = state.used - self.bytes + bytes;
        self.bytes = bytes;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Permit {
    /// Parts it: `bytes` of it, at most all, stand under a permit of their own from now on.
    pub fn split_off(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { shared: Arc::clone(&self.shared), bytes }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.state().used -= self.bytes;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_is_out_is_bounded() {
        let budget = Budget::new(100);
        let mut first = budget.try_acquire(60).unwrap();
        assert!(budget.try_acquire(41).is_none());
        first.resize(50);
        let second = budget.try_acquire(50).unwrap();
        assert_eq!(budget.used(), 100);
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_parts_of_a_permit_return_one_by_one() {
        let budget = Budget::new(100);
        let mut whole = budget.try_acquire(60).unwrap();
        let part = whole.split_off(25);
        assert_eq!((whole.bytes(), part.bytes(), budget.used()), (35, 25, 60));
        drop(part);
        assert_eq!(budget.used(), 35);
        assert_eq!(whole.split_off(99).bytes(), 35);
        drop(whole);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_giant_is_admitted_alone() {
        let budget = Budget::new(100);
        let giant = budget.try_acquire(1000).unwrap();
        assert!(budget.try_acquire(1).is_none());
        drop(giant);
        let small = budget.try_acquire(1).unwrap();
        assert!(budget.try_acquire(1000).is_none());
        drop(small);
    }

    #[test]
    fn a_waiter_goes_on_when_a_permit_returns() {
        let budget = Budget::new(10);
        let held = budget.try_acquire(10).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| budget.acquire(5, Duration::from_secs(10)).is_some());
            drop(held);
            assert!(waiter.join().unwrap());
        });
    }

    /// Blocks that come and go, so that something is always out; another one wants nearly all.
    #[test]
    fn who_wants_much_is_not_passed_by_for_ever() {
        let budget = Budget::new(100);
        let is_over = AtomicBool::new(false);
        let come_and_go = || {
            while !is_over.load(Ordering::Relaxed) {
                let held = budget.acquire(30, Duration::from_millis(5));
                std::thread::park_timeout(Duration::from_millis(1));
                drop(held);
            }
        };
        std::thread::scope(|scope| {
            (0..3).for_each(|_| drop(scope.spawn(come_and_go)));
            let large = budget.acquire(95, Duration::from_secs(10));
            is_over.store(true, Ordering::Relaxed);
            assert!(large.is_some(), "it was passed by");
        });
    }

    #[test]
    fn who_gives_up_leaves_the_line() {
        let budget = Budget::new(10);
        let held = budget.try_acquire(10).unwrap();
        assert!(budget.acquire(5, Duration::from_millis(1)).is_none());
        let place = budget.stand_in_line();
        drop(held);
        assert!(budget.try_acquire(1).is_none(), "somebody waits");
        drop(place);
        assert!(budget.try_acquire(10).is_some());
    }

    #[test]
    fn who_asks_again_has_kept_its_place() {
        let budget = Budget::new(100);
        let mut held = budget.try_acquire(100).unwrap();
        let (first, second) = (budget.stand_in_line(), budget.stand_in_line());
        let now = Duration::ZERO;
        held.resize(50);
        assert!(first.wait(80, now).is_none());
        assert!(second.wait(10, now).is_none(), "there is room, but the first is in front");
        held.resize(20);
        assert!(second.wait(10, now).is_none());
        let large = first.wait(80, now).unwrap();
        drop((first, held));
        assert!(second.wait(10, now).is_some());
        drop(large);
    }
}
