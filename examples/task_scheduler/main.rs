//! Three schedulers share the jobs of `examples/jobs.toml`: each tick that is due runs to its end once,
//! although one of the schedulers dies half way, in the middle of a job.
//!
//! ```text
//! cargo run --example task_scheduler                            # in this process
//! cargo run --example task_scheduler -- memory://x --for 60s
//! ```
//!
//! With a store that is reached over a network, start it in several processes with the same `--out`: they
//! share the work.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod jobs;
mod scheduler;
mod timeline;
mod verdict;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use clap::Parser;
use scheduler::{Event, Scheduler, What};
use timeline::Timeline;
use tokio::sync::mpsc;
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
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let jobs = jobs::read(&arguments.jobs)?;
    let scratch = tempfile::tempdir()?;
    let out = arguments.out.unwrap_or_else(|| scratch.path().join("out"));

    let start: DateTime<Utc> = Utc::now().trunc_subsecs(0) + TimeDelta::seconds(1);
    let end = start + TimeDelta::from_std(arguments.duration)?;
    let (events, received) = mpsc::unbounded_channel();
    let mut schedulers = Vec::new();
    for number in 1..=arguments.schedulers {
        let name = format!("scheduler-{number}");
        schedulers
            .push(Scheduler::start(&name, &arguments.uri, &jobs, &out, (start, end), events.clone()).await?);
    }
    drop(events);
    println!("{} schedulers, {} jobs, {:?} of ticks\n", schedulers.len(), jobs.len(), arguments.duration);

    let half_way = start + TimeDelta::from_std(arguments.duration / 2)?;
    let timeline = watch(received, &mut schedulers, half_way, Timeline::new(start)).await;
    for scheduler in schedulers {
        scheduler.finish().await?;
    }

    let verdict = Verdict::read(&jobs, (start, end), &out)?;
    println!("\n{verdict}");
    timeline.print_recovery();
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what happens, and half way abandons a scheduler while it runs a job.
async fn watch(
    mut events: mpsc::UnboundedReceiver<Event>,
    schedulers: &mut [Scheduler],
    half_way: DateTime<Utc>,
    mut timeline: Timeline,
) -> Timeline {
    while let Some(event) = events.recv().await {
        timeline.print(&event);
        let working = matches!(event.what, What::Working);
        let time_has_come =
            working && timeline.nobody_abandoned() && Utc::now() >= half_way && schedulers.len() > 1;
        if time_has_come
            && let Some(victim) = schedulers.iter().find(|scheduler| scheduler.name() == event.scheduler)
        {
            victim.abandon();
            timeline.abandoned(&event);
        }
    }
    timeline
}
