//! What a turn costs in a store: time, requests, memory.
//!
//! ```text
//! cargo run --release -p lock-bench -- --backend memory://bench --mode uncontended
//! cargo run --release -p lock-bench -- --backend etcd://127.0.0.1:2379/bench --mode contended --clients 256 --sessions 64
//! ```
//!
//! Client `i` uses session `i mod M`. Measuring starts when all clients are in line and each has had a turn.
//! Then turns are counted for so many seconds; then the clients stop, each after its turn, and the sessions
//! are closed. What is printed is explained in `report.rs`.
//!
//! With `--releases` instead of a mode, it counts what one release asks of the store before many who wait
//! (`releases.rs`).
//!
//! The exit code is 0 only if nothing went wrong: no client met an error, no session was lost, and where the
//! order was judged, it was kept.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod crew;
mod http;
mod judge;
mod load;
mod meter;
mod problems;
mod releases;
mod report;
mod store;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    load::{Mode, Plan},
    meter::rounded,
    problems::folded,
    report::Report,
};

/// Measures what a turn costs.
#[derive(Parser)]
struct Arguments {
    /// The store's URI, such as memory://bench, etcd://127.0.0.1:2379/bench or zk://127.0.0.1:2181/bench.
    #[arg(long, value_name = "URI")]
    backend: String,
    /// Who is in whose way.
    #[arg(long, value_enum, required_unless_present = "releases")]
    mode: Option<Mode>,
    /// Instead of turns, counts what one release asks of the store before so many clients who wait: readers,
    /// writers, and for permits of a semaphore.
    #[arg(long, conflicts_with_all = ["mode", "seconds"])]
    releases: bool,
    /// How many clients there are.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How many sessions they share; no more than there are clients.
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// For how many seconds turns are counted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

type Result<T, E = String> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            for problem in folded(problems) {
                eprintln!("lock-bench: {problem}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("lock-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the report; answers what went wrong.
async fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let Arguments { mode, clients, sessions, seconds, .. } = *arguments;
    let uri = arguments.backend.parse().map_err(|error: yourturn::Error| error.to_string())?;
    let store = store::from_uri(&uri)?;
    let Some(mode) = mode else { return count_releases(arguments, store.as_deref()).await };
    let plan = Plan::new(mode, clients, sessions, seconds)?;
    let (measured, mut problems) = load::run(&plan, &arguments.backend, store.as_deref()).await?;
    let mut report = Report::new(&plan, uri.scheme(), measured, &mut problems);
    if let Some(store) = &store {
        let (version, speed) = (store.version().await, store.puts_per_second().await);
        report.store_version = version.map_err(|error| problems.push(error)).ok();
        report.put_per_s = speed.map_err(|error| problems.push(error)).ok().map(|puts| rounded(puts, 1));
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        println!("{report}");
    }
    Ok(problems)
}

/// Prints what releases cost.
async fn count_releases(arguments: &Arguments, store: Option<&dyn store::Store>) -> Result<Vec<String>> {
    let Arguments { backend, clients, sessions, json, .. } = arguments;
    let store = store.ok_or("this store has no servers that count requests")?;
    let releases = releases::run(backend, store, *clients, *sessions).await?;
    if *json {
        println!("{}", serde_json::to_string(&releases).map_err(|error| error.to_string())?);
    } else {
        releases.iter().for_each(|release| println!("{release}"));
    }
    Ok(Vec::new())
}
