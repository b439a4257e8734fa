//! A scheduler that is a process of its own, from either side.

use std::{
    error::Error,
    ffi::OsStr,
    io::{self, PipeWriter},
};

use crate::{
    child::Child,
    lines::{self, Reports},
    plan::Plan,
    run::Member,
    scheduler::Scheduler,
};

/// The child's side: works until every tick is settled, or until nobody is interested any more.
pub(crate) async fn play(name: &str, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let mut orders = lines::read(io::stdin());
    let mut scheduler = Scheduler::open(name, plan, Reports::to(io::stdout())).await?;
    tokio::select! {
        settled = scheduler.settled() => settled?,
        _ended = orders.recv() => {}
    }
    scheduler.close().await
}

/// The parent's side.
impl Member for Child {
    const KIND: &str = "processes";

    async fn start(name: &str, plan: &Plan, reports: PipeWriter) -> Result<Self, Box<dyn Error>> {
        let [start, duration] =
            [plan.start.timestamp().to_string(), humantime::format_duration(plan.duration).to_string()];
        let arguments: [&OsStr; 11] = [
            plan.uri.as_ref(),
            "--play".as_ref(),
            name.as_ref(),
            "--start".as_ref(),
            start.as_ref(),
            "--for".as_ref(),
            duration.as_ref(),
            "--jobs".as_ref(),
            plan.jobs_file.as_ref(),
            "--out".as_ref(),
            plan.out.as_ref(),
        ];
        Ok(Self::start(name, arguments, reports)?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn crash(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.kill().await?)
    }

    async fn finish(self) -> Result<(), Box<dyn Error>> {
        Ok(self.ended().await?)
    }
}
