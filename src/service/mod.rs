//! What a process offers beside its jobs. So far one page for monitors; many jobs in one process will live here.

pub mod debug;
