//! Turns under faults on real clusters, and a checker that can say no.
//!
//! ```text
//! cargo run --release -p lock-chaos -- --backend etcd --nodes 3 --clients 8 --locks 20 --minutes 10 --seed 7 --report DIR
//! ```
//!
//! Clients are processes that take turns in every way that there is, cancel, give up, and write to what the
//! turns protect. Storms of faults, all from the seed, alternate with quiet phases, at whose end everybody must
//! have made progress. Afterwards what the clients saw is held against the contract and against the store's own
//! log. `judge/` says what is checked.
//!
//! Holders that are killed and stopped, many at once:
//!
//! ```text
//! cargo run --release -p lock-chaos -- --backend zookeeper --faults kill,stop --every 150 --long-holds --minutes 3
//! ```
//!
//! With one of the seeded bugs of `lock_core::bug` in every client, named by `YOURTURN_BUG`, it must find one:
//! `cargo xtask mutants`.
//!
//! The exit code is 0 only if nothing is wrong. Servers, clients and their files are gone at the end, however
//! it comes.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[cfg(unix)]
mod chronicle;
#[cfg(unix)]
mod cli;
#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod crew;
#[cfg(unix)]
mod dice;
#[cfg(unix)]
mod judge;
#[cfg(unix)]
mod nemesis;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod record;
#[cfg(unix)]
mod register;
#[cfg(unix)]
mod report;
#[cfg(unix)]
mod run;
#[cfg(unix)]
mod truth;
#[cfg(unix)]
mod workload;

#[cfg(unix)]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    use clap::Parser as _;

    lock_check::bug::seed();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [role, job] if role == process::ROLE => process::be_one(job).await.map(|()| true),
        _ => run::run(&cli::Arguments::parse()).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lock-chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(unix))]
fn main() {
    eprintln!("lock-chaos: on Unix only");
}
