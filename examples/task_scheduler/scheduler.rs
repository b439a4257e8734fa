//! One of the schedulers: it takes every tick of every job, and finds most of them done by another.

use std::{
    error::Error,
    io::{self, PipeWriter},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    task::JoinSet,
};
use yourturn::{Coordinator, ErrorKind, Options, Outcome, Task, Turn};

use crate::{
    event::{Event, What},
    jobs::Job,
    lines::Reports,
    plan::Plan,
    run::Member,
};

pub(crate) struct Scheduler {
    name: String,
    coordinator: Coordinator,
    jobs: JoinSet<Result<(), yourturn::Error>>,
}

/// What runs one job on one scheduler.
struct Runner {
    scheduler: String,
    job: Job,
    task: Task,
    out: PathBuf,
    reports: Reports,
}

impl Scheduler {
    pub(crate) async fn open(name: &str, plan: &Plan, reports: Reports) -> Result<Self, Box<dyn Error>> {
        let owner = format!("{name} of process {}", std::process::id());
        let coordinator = Coordinator::connect_with(&plan.uri, Options::default().owner(owner)).await?;
        let mut jobs = JoinSet::new();
        for job in &plan.jobs {
            // A tick that was interrupted is run before later ones, also when nobody was in line for it.
            let task = coordinator.task(&job.name)?.at_most_for(Duration::from_secs(10)).in_order();
            let (scheduler, job, reports, ticks) =
                (name.to_owned(), job.clone(), reports.clone(), plan.ticks(job));
            let runner = Runner { scheduler, job, task, out: plan.out.clone(), reports };
            jobs.spawn(async move { runner.run_all(ticks).await });
        }
        Ok(Self { name: name.to_owned(), coordinator, jobs })
    }

    /// Waits until every tick is settled.
    pub(crate) async fn settled(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(job) = self.jobs.join_next().await {
            job??;
        }
        Ok(())
    }

    /// Leaves nothing behind, neither in the store nor of what it runs.
    pub(crate) async fn close(mut self) -> Result<(), Box<dyn Error>> {
        self.jobs.shutdown().await;
        Ok(self.coordinator.close().await?)
    }
}

impl Member for Scheduler {
    const KIND: &str = "tasks";

    async fn start(name: &str, plan: &Plan, reports: PipeWriter) -> Result<Self, Box<dyn Error>> {
        Self::open(name, plan, Reports::to(reports)).await
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn crash(&mut self) -> Result<(), Box<dyn Error>> {
        self.coordinator.abandon();
        self.jobs.shutdown().await;
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Box<dyn Error>> {
        self.settled().await?;
        self.close().await
    }
}

impl Runner {
    async fn run_all(&self, ticks: impl Iterator<Item = u64>) -> Result<(), yourturn::Error> {
        for tick in ticks {
            let due = Duration::from_secs(tick).saturating_sub(since_1970());
            tokio::time::sleep(due).await;
            let mut due = vec![tick];
            while let Some(tick) = due.last().copied() {
                match self.task.run_with(tick, |turn| self.run(turn)).await {
                    Ok(Outcome::Interrupted { earlier }) => due.push(earlier),
                    Ok(_) => due.truncate(due.len() - 1),
                    // The turn was lost: whoever is next starts the tick again, and so do we if nobody is.
                    Err(error) if error.is_retryable() || error.kind() == ErrorKind::NotHeld => {
                        self.report(tick, What::Lost(error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Runs the job's command. When this future is dropped, because the turn was lost, the command is killed.
    async fn run(&self, turn: Turn) -> io::Result<()> {
        let (token, again) = (turn.token.get(), turn.interrupted.is_some());
        self.report(turn.tick, What::Started { token, waited: turn.waited, again });
        let mut child = Command::new("sh")
            .args(["-c", &self.job.command])
            .env("TASK", &self.job.name)
            .env("TICK", turn.tick.to_string())
            .env("TOKEN", turn.token.to_string())
            .env("OUT", &self.out)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while lines.next_line().await?.is_some() {
                self.report(turn.tick, What::Working);
            }
        }
        let status = child.wait().await?;
        let ended = if status.success() { What::Done } else { What::Failed(status.to_string()) };
        self.report(turn.tick, ended);
        Ok(())
    }

    fn report(&self, tick: u64, what: What) {
        let (scheduler, job) = (self.scheduler.clone(), self.job.name.clone());
        self.reports.line(Event { scheduler, job, tick, what });
    }
}

fn since_1970() -> Duration {
    Utc::now().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
}
