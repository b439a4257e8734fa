//! One of the schedulers: it takes every tick of every job, and finds most of them done by another.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    sync::mpsc::UnboundedSender,
    task::JoinSet,
};
use yourturn::{Coordinator, ErrorKind, Options, Outcome, Task, Turn};

use crate::jobs::Job;

pub(crate) struct Scheduler {
    name: String,
    coordinator: Coordinator,
    jobs: JoinSet<Result<(), yourturn::Error>>,
}

/// Something to show.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) scheduler: String,
    pub(crate) job: String,
    pub(crate) tick: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Started(Turn),
    /// It has written something, so it is in the middle of its work.
    Working,
    Ended(ExitStatus),
    Lost(String),
}

/// What runs one job on one scheduler.
struct Runner {
    scheduler: String,
    job: Job,
    task: Task,
    out: PathBuf,
    events: UnboundedSender<Event>,
}

impl Scheduler {
    pub(crate) async fn start(
        name: &str,
        uri: &str,
        jobs: &[Job],
        out: &Path,
        (start, end): (DateTime<Utc>, DateTime<Utc>),
        events: UnboundedSender<Event>,
    ) -> Result<Self, Box<dyn Error>> {
        let owner = format!("{name} of process {}", std::process::id());
        let coordinator = Coordinator::connect_with(uri, Options::default().owner(owner)).await?;
        let mut running = JoinSet::new();
        for job in jobs {
            // A tick that was interrupted is run before later ones, also when nobody was in line for it.
            let task = coordinator.task(&job.name)?.at_most_for(Duration::from_secs(10)).in_order();
            let (job, events) = (job.clone(), events.clone());
            let ticks = job.ticks(start, end);
            let runner = Runner { scheduler: name.to_owned(), job, task, out: out.to_owned(), events };
            running.spawn(async move { runner.run_all(ticks).await });
        }
        Ok(Self { name: name.to_owned(), coordinator, jobs: running })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Crashes, as far as the others can tell.
    pub(crate) fn abandon(&self) {
        self.coordinator.abandon();
    }

    /// Waits until every tick is settled.
    pub(crate) async fn finish(mut self) -> Result<(), Box<dyn Error>> {
        while let Some(job) = self.jobs.join_next().await {
            match job? {
                Err(error) if error.kind() != ErrorKind::Closed => return Err(error.into()),
                _ => {}
            }
        }
        Ok(self.coordinator.close().await?)
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
        self.report(turn.tick, What::Started(turn));
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
        self.report(turn.tick, What::Ended(child.wait().await?));
        Ok(())
    }

    fn report(&self, tick: u64, what: What) {
        let (scheduler, job) = (self.scheduler.clone(), self.job.name.clone());
        // Nobody listens any more once the program ends.
        let _ = self.events.send(Event { scheduler, job, tick, what });
    }
}

fn since_1970() -> Duration {
    Utc::now().signed_duration_since(DateTime::UNIX_EPOCH).to_std().unwrap_or_default()
}
