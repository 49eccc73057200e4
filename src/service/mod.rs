//! What a process offers beside its jobs: a page for monitors, the files of a folder. Many jobs in one process will live
//! here.

pub mod debug;
pub mod files;
