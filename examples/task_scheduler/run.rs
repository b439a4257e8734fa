//! Several schedulers at work, of which one crashes.

use std::{
    error::Error,
    io::{self, PipeWriter},
};

use chrono::Utc;
use tokio::sync::mpsc;

use crate::{
    event::{Event, What},
    lines,
    plan::Plan,
    timeline::Timeline,
};

/// A scheduler, wherever it runs.
pub(crate) trait Member: Sized {
    /// What several of them are called.
    const KIND: &str;

    /// Lets it work; it writes down its events.
    async fn start(name: &str, plan: &Plan, reports: PipeWriter) -> Result<Self, Box<dyn Error>>;

    fn name(&self) -> &str;

    /// Says nothing to the store any more, and ends the jobs that it runs.
    async fn crash(&mut self) -> Result<(), Box<dyn Error>>;

    /// Waits until every tick is settled, if it has not crashed.
    async fn finish(self) -> Result<(), Box<dyn Error>>;
}

/// Prints what happens until every tick is settled.
pub(crate) async fn run<M: Member>(plan: &Plan, number: usize) -> Result<Timeline, Box<dyn Error>> {
    let (written, reports) = io::pipe()?;
    let mut members = Vec::new();
    for number in 1..=number {
        members.push(M::start(&format!("scheduler-{number}"), plan, reports.try_clone()?).await?);
    }
    drop(reports);
    println!("{} schedulers ({}), {} jobs, {:?} of ticks\n", number, M::KIND, plan.jobs.len(), plan.duration);

    let timeline = watch(lines::read(written), &mut members, plan).await?;
    for member in members {
        member.finish().await?;
    }
    Ok(timeline)
}

/// Half way lets a scheduler crash while it runs a job.
async fn watch<M: Member>(
    mut written: mpsc::UnboundedReceiver<String>,
    members: &mut [M],
    plan: &Plan,
) -> Result<Timeline, Box<dyn Error>> {
    let mut timeline = Timeline::new(plan.start);
    let several = members.len() > 1;
    while let Some(line) = written.recv().await {
        let event: Event = serde_json::from_str(&line)?;
        timeline.print(&event);
        let working = matches!(event.what, What::Working);
        let time_has_come = working && timeline.nobody_crashed() && Utc::now() >= plan.half_way() && several;
        if time_has_come
            && let Some(victim) = members.iter_mut().find(|member| member.name() == event.scheduler)
        {
            victim.crash().await?;
            timeline.crashed(&event);
        }
    }
    Ok(timeline)
}
