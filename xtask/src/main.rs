//! The project's own commands.
//!
//! ```text
//! cargo xtask test       every test: units, properties, the contract, examples, documentation
//! cargo xtask features   compiles every package with each of its features alone, and with none
//! ```
#![forbid(unsafe_code)]

mod cargo;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands.
#[derive(Debug, Parser)]
enum Command {
    /// Runs every test.
    Test,
    /// Compiles every package with each of its features alone, and with none.
    Features,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Test => cargo::run(&["test", "--workspace", "--all-features", "--", "--show-output"]),
        Command::Features => cargo::check_features(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
