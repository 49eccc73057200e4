//! Everything against real servers: one test binary, one process, servers shared by all tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod decode_differential;
#[allow(dead_code, unused_imports, reason = "what no test uses yet is for tests that come with the stages they test")]
mod harness;
mod servers;
mod tidy;
