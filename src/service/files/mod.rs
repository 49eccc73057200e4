//! The files of a folder, served as Greenplum's own gpfdist serves them: the source behind `gpkafka serve`. Read-only;
//! protocol and sessions are gpfdist's.
//!
//! Differences to Greenplum's: a row may be longer than a block (up to 256 MiB), each block carries its line number, a
//! file whose last row does not end gets its row's end where another file follows, a file that shrinks fails the scan,
//! and compressed files, pipes and transformations are refused.

mod cut;
mod pattern;
mod read;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::gpfdist::{Asked, Feed, Source};
use crate::job::threads;
use crate::line;

/// The files under a folder.
#[derive(Debug)]
pub struct Files {
    /// Canonical.
    root: PathBuf,
    row_bytes_max: usize,
}

impl Files {
    /// The files under `dir`.
    ///
    /// # Errors
    /// It is no folder that can be read, or the root of everything.
    pub fn under(dir: &Path) -> Result<Self, String> {
        let wrong = |what: &dyn std::fmt::Display| format!("serving {}: {what}", dir.display());
        let root = dir.canonicalize().map_err(|error| wrong(&error))?;
        if root.parent().is_none() {
            return Err(wrong(&"it holds every file of this machine; name a folder in it"));
        }
        std::fs::read_dir(&root).map_err(|error| wrong(&error))?;
        Ok(Self { root, row_bytes_max: read::ROW_BYTES_MAX })
    }

    /// With another limit for the longest row.
    pub fn with_row_bytes_max(self, row_bytes_max: usize) -> Self {
        Self { row_bytes_max, ..self }
    }

    /// The folder's own path, without links.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Source for Files {
    fn open(&self, asked: Asked, feed: Feed) {
        let (root, row_bytes_max) = (self.root.clone(), self.row_bytes_max);
        // without a thread the feed is dropped with the body, which refuses the scan
        drop(threads::apart("scan", move || read::run(&root, row_bytes_max, &asked, feed)));
    }
}

/// Why a scan cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wrong {
    /// HTTP status.
    status: u16,
    /// In gpfdist's words where it has some.
    reason: String,
}

impl Wrong {
    fn new(status: u16, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }
}

/// A line for whoever runs the server.
fn tell(text: &str) {
    // a terminal that has gone is no reason to stop
    drop(writeln!(std::io::stderr(), "gpkafka: {}", line::escaped(text)));
}
