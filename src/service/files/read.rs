//! Reads the files of one scan into blocks of whole rows and feeds them to its segments. One thread a scan runs this.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{Mode, OFlags, openat};

use super::{Wrong, cut, pattern, tell};
use crate::gpfdist::{Asked, Declared, Feed};

/// A block: large enough that calls and wake-ups don't count, small enough that what was read is still in the cache when
/// it is sent.
const BLOCK_BYTES: usize = 256 << 10;

/// Blocks that wait for a segment when reading rests.
const AHEAD: usize = 4;

/// Buffers kept for the next block: those that wait, and as many on their way.
const SPARE_MAX: usize = 2 * AHEAD;

/// Longest row, as far as gpfdist's `-m` goes.
pub(super) const ROW_BYTES_MAX: usize = 256 << 20;

/// Endings that gpfdist knows as compressed, or refuses.
const COMPRESSED: [&str; 5] = ["gz", "bz2", "z", "zst", "zip"];

/// Serves one scan from its opening to its end.
///
/// # Blocks
/// Until the last segment that read has gone.
pub(super) fn run(root: &Path, row_bytes_max: usize, asked: &Asked, feed: Feed) {
    let files = match files(root, &asked.path) {
        Ok(files) => files,
        Err(Wrong { status, reason }) => {
            tell(&format!("{}: refused with {status} {reason}", asked.path));
            return feed.refuse(status, &reason);
        }
    };
    feed.opened();
    match Reading::new(root, row_bytes_max, &asked.declared, &feed).all(&files) {
        Ok(true) => feed.end(),
        // nobody wants the rest
        Ok(false) => {}
        Err(reason) => {
            tell(&format!("{}: failed: {reason}", asked.path));
            feed.fail(&reason);
            feed.end();
        }
    }
}

/// The files that are asked for, each seen to be readable.
fn files(root: &Path, asked: &str) -> Result<Vec<PathBuf>, Wrong> {
    let files = pattern::files(root, asked)?;
    files.iter().try_for_each(|file| open(root, file).map(drop))?;
    Ok(files)
}

/// Opens a regular file under `root`, and no other: links are followed first, and what they lead to is then opened without
/// following any.
fn open(root: &Path, relative: &Path) -> Result<File, Wrong> {
    let path = root.join(relative);
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Wrong::new(404, "file not found"),
        _ => Wrong::new(404, format!("file open failure {}: {error}", path.display())),
    };
    let is_compressed = |ending: &OsStr| COMPRESSED.iter().any(|known| ending.eq_ignore_ascii_case(known));
    let real = path.canonicalize().map_err(failed)?;
    let Ok(inside) = real.strip_prefix(root) else {
        return Err(Wrong::new(403, format!("{} is a link out of the served folder", relative.display())));
    };
    let mut file = File::open(root).map_err(failed)?;
    for part in inside.components() {
        let Component::Normal(part) = part else { continue };
        // not to wait for whoever may write to a pipe
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        file = openat(&file, part, flags, Mode::empty()).map_err(|error| failed(error.into()))?.into();
    }
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(Wrong::new(403, "Reading a directory is forbidden."));
    }
    if !kind.is_file() {
        return Err(Wrong::new(415, format!("Unsupported File Type: {} is no regular file", relative.display())));
    }
    if relative.extension().is_some_and(is_compressed) {
        return Err(Wrong::new(415, format!("Unsupported File Type: decompress {} first", relative.display())));
    }
    Ok(file)
}

/// The files of a scan on their way.
struct Reading<'a> {
    root: &'a Path,
    row_bytes_max: usize,
    declared: &'a Declared,
    feed: &'a Feed,
    /// Buffers that have been sent.
    returned: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
}

/// One file, as far as it has been read.
struct Cursor {
    file: File,
    name: Arc<str>,
    /// Size when it was opened.
    size: u64,
    /// The row that begins the block: its byte from 0, its line from 1.
    offset: u64,
    line: u64,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are of the file.
    filled: usize,
    is_read: bool,
}

impl<'a> Reading<'a> {
    fn new(root: &'a Path, row_bytes_max: usize, declared: &'a Declared, feed: &'a Feed) -> Self {
        Self { root, row_bytes_max, declared, feed, returned: bounded(SPARE_MAX) }
    }

    /// False when nobody wants the rest.
    fn all(&self, files: &[PathBuf]) -> Result<bool, String> {
        for (number, file) in files.iter().enumerate() {
            if !self.one(file, number + 1 == files.len())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn one(&self, relative: &Path, is_last: bool) -> Result<bool, String> {
        let path = self.root.join(relative);
        let failed = |reason: &dyn std::fmt::Display| format!("cannot read file - {}: {reason}", path.display());
        let file = open(self.root, relative).map_err(|wrong| failed(&wrong.reason))?;
        let size = file.metadata().map_err(|error| failed(&error))?.len();
        let name: Arc<str> = path.to_string_lossy().into();
        let (buffer, filled) = (self.buffer(0), 0);
        let mut cursor = Cursor { file, name, size, offset: 0, line: 1, buffer, filled, is_read: false };
        let mut skips = self.declared.header;
        loop {
            if !self.feed.wait_for_room(AHEAD) {
                return Ok(false);
            }
            cursor.fill().map_err(|error| failed(&error))?;
            let there = &cursor.buffer[..cursor.filled];
            let rows_end = match skips {
                true => cut::first_row(there, self.declared).unwrap_or(0),
                false => cut::whole_rows(there, self.declared),
            };
            if cursor.is_read && (!skips || rows_end == 0) {
                return self.rest(cursor, skips, is_last).map(|()| true).map_err(|reason| failed(&reason));
            }
            if rows_end == 0 {
                cursor.grow(self.row_bytes_max)?;
            } else if std::mem::take(&mut skips) {
                cursor.pass(rows_end, self.declared);
            } else {
                self.push(&mut cursor, rows_end);
            }
        }
    }

    /// What is left at the file's end, its last row perhaps without an end.
    fn rest(&self, mut cursor: Cursor, is_header: bool, is_last: bool) -> Result<(), &'static str> {
        if cursor.offset + (cursor.filled as u64) < cursor.size {
            return Err("it has become shorter while it was read");
        }
        if is_header || cursor.filled == 0 {
            return Ok(());
        }
        cursor.buffer.truncate(cursor.filled);
        if !is_last && cut::whole_rows(&cursor.buffer, self.declared) < cursor.buffer.len() {
            // else the next file would go on in this row
            cursor.buffer.extend_from_slice(&self.declared.row_end);
            if cut::whole_rows(&cursor.buffer, self.declared) < cursor.buffer.len() {
                return Err("it ends inside a value, and another file follows");
            }
        }
        let bytes = cursor.buffer.len();
        self.push(&mut cursor, bytes);
        Ok(())
    }

    /// Gives the first bytes of the buffer to the segments; the cursor goes on behind them.
    fn push(&self, cursor: &mut Cursor, bytes: usize) {
        let rest = cursor.filled.saturating_sub(bytes);
        let mut next = self.buffer(rest);
        next[..rest].copy_from_slice(&cursor.buffer[cursor.filled - rest..cursor.filled]);
        let buffer = std::mem::replace(&mut cursor.buffer, next);
        cursor.filled = rest;
        let lines = cut::lines(&buffer[..bytes], self.declared);
        let block = Bytes::from_owner(Block { buffer, bytes, back: self.returned.0.clone() });
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = u32::try_from(lines).unwrap_or(u32::MAX);
        self.feed.push(&cursor.name, number(cursor.offset), number(cursor.line), rows, block);
        cursor.offset += bytes as u64;
        cursor.line += lines as u64;
    }

    /// A buffer for at least one byte more than so many.
    fn buffer(&self, bytes: usize) -> Vec<u8> {
        if bytes >= BLOCK_BYTES {
            return vec![0; bytes * 2];
        }
        self.returned.1.try_recv().unwrap_or_else(|_| vec![0; BLOCK_BYTES])
    }
}

impl Cursor {
    /// Reads until the buffer is full or the file has no more.
    fn fill(&mut self) -> std::io::Result<()> {
        while self.filled < self.buffer.len() {
            match self.file.read(&mut self.buffer[self.filled..]) {
                Ok(0) => {
                    self.is_read = true;
                    break;
                }
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn grow(&mut self, row_bytes_max: usize) -> Result<(), String> {
        if self.buffer.len() >= row_bytes_max {
            return Err(format!("line too long in file {} near ({} bytes)", self.name, self.offset));
        }
        self.buffer.resize(self.buffer.len() * 2, 0);
        Ok(())
    }

    /// Leaves out the first bytes.
    fn pass(&mut self, bytes: usize, declared: &Declared) {
        self.line += cut::lines(&self.buffer[..bytes], declared) as u64;
        self.offset += bytes as u64;
        self.buffer.copy_within(bytes..self.filled, 0);
        self.filled -= bytes;
    }
}

/// The bytes of a block; their buffer goes back when the last of them is sent.
struct Block {
    buffer: Vec<u8>,
    bytes: usize,
    back: Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if self.buffer.len() == BLOCK_BYTES {
            // there are enough, or the scan is over
            drop(self.back.try_send(std::mem::take(&mut self.buffer)));
        }
    }
}
