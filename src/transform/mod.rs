//! A WebAssembly module that sees each message's value before it is decoded (INPUT.TRANSFORMER): it lets it pass, changes
//! it, drops it, rejects it, or stops the job. Called by the job's workers, each of which has an instance of its own.
//!
//! # What a module is
//!
//! A `.wasm` file, or its text, `.wat`; in any language that compiles to WebAssembly without WASI. It exports
//!
//! | export | type | |
//! |---|---|---|
//! | `memory` | memory | |
//! | `gpkafka_alloc` | `(length) -> address` | room for what comes in, used until the next call |
//! | the name under TRANSFORM | `(address, length) -> verdict` | called for each value; not for tombstones, which have none |
//! | the name under ON_INIT | `(address, length) -> verdict` | called once an instance with PROPERTIES, an object of JSON whose values are texts |
//!
//! and may import from `gpkafka`
//!
//! | import | type | |
//! |---|---|---|
//! | `output` | `(address, length)` | adds bytes to what becomes of the message |
//! | `reason` | `(address, length)` | says in UTF-8 why it is rejected, or why the job must stop |
//! | `key_length` | `() -> length` | of the message's key; −1: it has none |
//! | `key` | `(address)` | copies the key to there |
//!
//! All numbers are `i32`. A verdict is
//!
//! | | |
//! |---|---|
//! | 0, accept | the message is `output`, or as it was where nothing was put out |
//! | 1, reject | without a reason it is dropped, and counted as filtered. With one it is a rejected record as any other: told with its coordinates, and counted for ERROR_LIMIT |
//! | 2, error | the job stops, and tells the reason |
//!
//! A trap, a pointer outside of the memory, and any other verdict stop the job too, as does a call that takes more than
//! its [`Settings::fuel`]. Nothing of the open batch is then committed, and the message is named.
//!
//! # A whole one
//!
//! ```wat
#![doc = include_str!("upper.wat")]
//! ```
//!
//! # The runtime
//!
//! wasmi interprets. Of the example above, reading and checking takes 80 µs, an instance 4 µs, a call that changes nothing
//! 0.2 µs, and one that looks at each of 95 bytes 6 µs; `cargo bench --bench transform` shows it. An endless loop is
//! ended after some 3 s. wasmtime compiles to native code, and should be many times faster in such loops; it was not
//! measured beside it. It would bring a compiler of dozens of crates, and executable memory into a process that holds
//! database passwords.
//!
//! There is no WASI: a module has no files, no clock and no network.

mod instance;
mod sections;

use std::path::PathBuf;
use std::sync::Arc;

use wasmi::{Config, Engine, Module};

pub use instance::{Transform, Verdict};

/// Which module, and what it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Names it in errors.
    pub path: PathBuf,
    pub on_init: Option<String>,
    pub transform: String,
    /// What ON_INIT gets: an object of JSON.
    pub properties: String,
    /// Of an instance, and of what it puts out for one message.
    pub memory_bytes_max: usize,
    /// What one call may take, about an instruction each.
    pub fuel: u64,
}

impl Settings {
    /// Room for the largest message that Kafka takes unless told otherwise, many times over.
    pub const MEMORY_BYTES_MAX: usize = 64 << 20;
    /// Some seconds: a hundred instructions for each byte of a large message, and an end for an endless loop.
    pub const FUEL: u64 = 1_000_000_000;

    /// Settings with every default.
    pub fn new(path: impl Into<PathBuf>, transform: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            on_init: None,
            transform: transform.into(),
            properties: "{}".to_owned(),
            memory_bytes_max: Self::MEMORY_BYTES_MAX,
            fuel: Self::FUEL,
        }
    }
}

/// What is wrong with a module, or what it did.
#[derive(Debug, thiserror::Error)]
#[error("transformer {}: {text}", path.display())]
pub struct Error {
    pub path: PathBuf,
    pub text: String,
}

/// A module that was read and checked; every worker makes an instance of it.
#[derive(Debug, Clone)]
pub struct Program {
    module: Module,
    settings: Arc<Settings>,
}

impl Program {
    /// Checks a module's bytes, or its text.
    ///
    /// # Errors
    /// It is none, or wants what the runtime does not have.
    pub fn new(bytes: &[u8], settings: Settings) -> Result<Self, Error> {
        let mut config = Config::default();
        config.consume_fuel(true);
        let module = match sections::overstated(bytes) {
            None => Module::new(&Engine::new(&config), bytes).map_err(|error| one_line(&error.to_string())),
            Some(why) => Err(why),
        };
        let module = module.map_err(|why| Error {
            path: settings.path.clone(),
            text: format!("it is no WebAssembly module that can be loaded: {why}"),
        })?;
        Ok(Self { module, settings: Arc::new(settings) })
    }

    /// An instance, with ON_INIT behind it.
    ///
    /// # Errors
    /// An export is missing or of another type, an import is unknown, or ON_INIT refuses.
    pub fn start(&self) -> Result<Transform, Error> {
        Transform::start(&self.module, &self.settings).map_err(|text| Error { path: self.settings.path.clone(), text })
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
