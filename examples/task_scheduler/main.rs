//! Three schedulers share the jobs of `examples/jobs.toml`: each tick that is due runs to its end once,
//! although one of the schedulers dies half way, in the middle of a job.
//!
//! ```text
//! cargo run --example task_scheduler
//! cargo run --example task_scheduler -- memory://x --for 60s
//! cargo run --features etcd --example task_scheduler -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example task_scheduler -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! A store in memory is one process's own: there the schedulers are tasks, and the crash is acted. With any
//! other store each is a process, and one is killed with SIGKILL, together with the jobs that it runs: those
//! are processes too, and would go on without it.
//!
//! Ends by itself; the exit code is 0 only if each tick that was due was completed once, and the tick that
//! was interrupted by the crash was started again.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
mod event;
mod jobs;
#[path = "../shared/lines.rs"]
mod lines;
mod plan;
mod process;
mod run;
mod scheduler;
mod timeline;
mod verdict;

use std::{error::Error, fs, path::PathBuf, process::ExitCode, time::Duration};

use child::Child;
use chrono::{DateTime, Utc};
use clap::Parser;
use plan::Plan;
use scheduler::Scheduler;
use verdict::Verdict;

/// Runs scheduled jobs once each, among several schedulers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://task_scheduler?ttl=2s")]
    uri: String,
    /// How long ticks fall due.
    #[arg(long = "for", default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// What to run.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/jobs.toml"))]
    jobs: PathBuf,
    /// The file that the jobs append to; by default one that is deleted at the end.
    #[arg(long)]
    out: Option<PathBuf>,
    /// How many schedulers.
    #[arg(long, default_value_t = 3)]
    schedulers: usize,
    /// The scheduler that this process is, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
    /// From when ticks fall due, in seconds since 1970; from the next second on.
    #[arg(long, hide = true)]
    start: Option<i64>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Arguments { uri, duration, jobs, out, schedulers, play, start } = Arguments::parse();
    let scratch = tempfile::tempdir()?;
    let out = out.unwrap_or_else(|| scratch.path().join("out"));
    let start = start.unwrap_or_else(|| Utc::now().timestamp() + 1);
    let start = DateTime::from_timestamp_secs(start).ok_or("there is no such time")?;
    let plan = Plan::new(uri, jobs, out, start, duration)?;
    if let Some(name) = play {
        return process::play(&name, &plan).await.map(|()| ExitCode::SUCCESS);
    }
    let timeline = if plan.uri.starts_with("memory:") {
        run::run::<Scheduler>(&plan, schedulers).await?
    } else {
        run::run::<Child>(&plan, schedulers).await?
    };
    let verdict = Verdict::new(plan.due(), &fs::read_to_string(&plan.out)?);
    println!("\n{verdict}");
    timeline.print_recovery();
    let recovered = timeline.recovered() || schedulers < 2;
    Ok(if verdict.holds() && recovered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
