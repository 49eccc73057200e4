//! A wall clock that jumps, for one run of `gpkafka`: see `clock.c`, which is preloaded into it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::loader::Loader;
use super::process::{User, directory, run};

/// A clock, which is right at first.
#[derive(Debug)]
pub struct Clock {
    path: PathBuf,
    file: File,
}

impl Clock {
    pub fn new() -> Self {
        let path = directory("clock", User::current()).join("seconds");
        let file = File::create(&path).expect("the directory is writable");
        let clock = Self { path, file };
        clock.jump_to(0);
        clock
    }

    /// It is off by so many seconds from now on.
    pub fn jump_to(&self, seconds: i64) {
        self.file.write_all_at(&seconds.to_ne_bytes(), 0).expect("the file is writable");
    }

    /// The run reads this clock.
    pub fn shown_to(&self, loader: Loader) -> Loader {
        let text = |path: &Path| path.to_str().expect("scratch paths are ASCII").to_owned();
        loader.env("GPKAFKA_CLOCK", &text(&self.path)).env("LD_PRELOAD", &text(library()))
    }
}

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = directory("clock", User::current()).join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/harness/clock.c");
        run(Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source));
        library
    })
}
