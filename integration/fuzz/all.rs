//! One program for `cargo fuzz`: `GPKAFKA_FUZZ` names what it gives its inputs to, see `targets.rs`. The script `run` beside
//! it runs all of them; one by hand is
//!
//! ```text
//! GPKAFKA_FUZZ=avro cargo +nightly fuzz run --fuzz-dir integration/fuzz --target-dir target/fuzz --sanitizer none all \
//!     integration/fuzz/seeds/avro
//! ```
//!
//! An input that takes more memory than [`BYTES_MAX`] is a finding.

#![no_main]

mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;

/// What one input may have in memory at once: a thousand times the longest that `run` makes.
const BYTES_MAX: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("GPKAFKA_FUZZ").unwrap_or_default();
        let found = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
        let names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
        found.unwrap_or_else(|| panic!("GPKAFKA_FUZZ is to name one of {names:?}")).1
    });
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    target(data);
    let taken = PEAK.load(Relaxed).saturating_sub(before);
    assert!(taken <= BYTES_MAX, "{} bytes of input take {taken} of memory", data.len());
});

/// The system's allocator, with a count.
struct Counted;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // the growth alone: what it was is counted
        LIVE.fetch_sub(layout.size(), Relaxed);
        PEAK.fetch_max(LIVE.fetch_add(size, Relaxed) + size, Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
