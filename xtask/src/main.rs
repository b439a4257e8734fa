//! The project's own commands.
//!
//! ```text
//! cargo xtask test       every test: units, properties, the contract, examples, documentation
//! cargo xtask tools      installs the programs that building and testing need, where there is apt-get
//! cargo xtask bench      runs a benchmark of a store and writes its figures into docs/performance.md
//! cargo xtask chaos      runs lock-chaos for long, and writes what it says into docs/reliability.md
//! cargo xtask mutants    seeds bugs into our own code, one at a time, and tells what finds them
//! cargo xtask features   compiles every package with each of its features alone, and with none
//! ```
#![forbid(unsafe_code)]

mod bench;
mod cargo;
mod chaos;
mod mutants;
mod page;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
enum Command {
    /// Runs every test.
    Test,
    /// Installs the programs that building and testing need, where there is apt-get; else says what is
    /// missing.
    Tools,
    /// Runs a benchmark and writes its figures into docs/performance.md.
    Bench {
        /// Of which store.
        #[command(subcommand)]
        store: Store,
    },
    /// Breaks real clusters for long, and writes what came of it into docs/reliability.md.
    Chaos(chaos::Options),
    /// Seeds bugs into our own code, one at a time, and writes what finds them into docs/reliability.md.
    Mutants(mutants::Options),
    /// Compiles every package with each of its features alone, and with none.
    Features,
}

#[derive(Debug, Subcommand)]
enum Store {
    /// The in-process store.
    Memory,
    /// etcd with `lock-bench`, and Go's `concurrency.Mutex` beside it.
    Etcd(bench::servers::Options),
    /// ZooKeeper with `lock-bench`, and the locks of Curator and of kazoo beside it.
    Zookeeper(bench::servers::Options),
    /// What one release asks of each store with servers, before many who wait.
    Releases,
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Test => test::run(),
        Command::Tools => tools::ensure(),
        Command::Bench { store: Store::Memory } => bench::memory::run(),
        Command::Bench { store: Store::Etcd(options) } => bench::servers::run(&bench::servers::ETCD, options),
        Command::Bench { store: Store::Zookeeper(options) } => {
            bench::servers::run(&bench::servers::ZOOKEEPER, options)
        }
        Command::Bench { store: Store::Releases } => {
            bench::servers::releases::run(&[&bench::servers::ETCD, &bench::servers::ZOOKEEPER])
        }
        Command::Chaos(options) => chaos::run(&options),
        Command::Mutants(options) => mutants::run(&options),
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
