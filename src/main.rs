//! argv → cli → exit code; the only place that prints an error or exits.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use gpkafka::cli;

fn main() -> ExitCode {
    let _scenario = fail::FailScenario::setup();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            // nobody is left to tell where even this cannot be printed
            drop(error.print());
            return if wrong { ExitCode::from(cli::EXIT_USAGE) } else { ExitCode::SUCCESS };
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
