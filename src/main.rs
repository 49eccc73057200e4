//! argv → cli → exit code; the only place that prints an error or exits.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use gpkafka::cli;

#[cfg(feature = "failpoints")]
mod stand;

/// See Cargo.toml. Its `override` takes the place of malloc for librdkafka as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let _scenario = fail::FailScenario::setup();
    #[cfg(feature = "failpoints")]
    stand::arm();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // nobody is left to tell where even this cannot be printed, but for the exit code
            return match error.print() {
                _ if wrong => ExitCode::from(cli::EXIT_USAGE),
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::from(cli::EXIT_FAILED),
                _ => ExitCode::SUCCESS,
            };
        }
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if !exit.text.is_empty() {
                drop(writeln!(std::io::stderr(), "{}", exit.text.trim_end()));
            }
            ExitCode::from(exit.code)
        }
    }
}
