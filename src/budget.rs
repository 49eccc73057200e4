//! One memory budget for everything in flight. A [`Permit`] rides with the bytes it stands for and returns on drop;
//! who gets none stops reading from Kafka.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    used: Mutex<usize>,
    returned: Condvar,
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

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shared { bytes_max, used: Mutex::new(0), returned: Condvar::new() }))
    }

    /// The bound in bytes.
    pub fn bytes_max(&self) -> usize {
        self.0.bytes_max
    }

    /// Bytes that are out on permits.
    pub fn used(&self) -> usize {
        *self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A permit if it can be had at once. One that is larger than the whole budget is had alone, when nothing is out.
    pub fn try_acquire(&self, bytes: usize) -> Option<Permit> {
        self.acquire(bytes, Duration::ZERO)
    }

    /// Waits for a permit, at most `wait`.
    ///
    /// # Blocks
    /// Up to `wait`; never call it on a tokio thread.
    pub fn acquire(&self, bytes: usize, wait: Duration) -> Option<Permit> {
        let used = self.0.used.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks = |used: &mut usize| *used != 0 && self.0.bytes_max.saturating_sub(*used) < bytes;
        let (mut used, _) =
            self.0.returned.wait_timeout_while(used, wait, lacks).unwrap_or_else(PoisonError::into_inner);
        if lacks(&mut used) {
            return None;
        }
        *used += bytes;
        Some(Permit { shared: Arc::clone(&self.0), bytes })
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
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = *used - self.bytes + bytes;
        self.bytes = bytes;
        drop(used);
        self.shared.returned.notify_all();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.shared.used.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.shared.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
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
}
