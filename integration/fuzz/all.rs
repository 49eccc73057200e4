//! One program for `cargo fuzz`: `GPKAFKA_FUZZ` names what it gives its inputs to, see `targets.rs`.
//!
//! ```text
//! GPKAFKA_FUZZ=avro cargo +nightly fuzz run --fuzz-dir integration/fuzz all integration/fuzz/seeds/avro
//! ```

#![no_main]

mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<targets::Target> = OnceLock::new();
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("GPKAFKA_FUZZ").unwrap_or_default();
        let found = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
        let names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
        found.unwrap_or_else(|| panic!("GPKAFKA_FUZZ is to name one of {names:?}")).1
    });
    target(data);
});
