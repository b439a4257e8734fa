//! A candidate, in this process: it campaigns again and again, and leads until it is asked to resign.

use std::{error::Error, io::PipeWriter, ops::ControlFlow, sync::Arc};

use tokio::{sync::Notify, task::JoinSet};
use yourturn::{Coordinator, FencingToken, Options};

use crate::{
    lines::Reports,
    story::{Contender, ELECTION},
};

pub(crate) struct Candidate {
    name: String,
    coordinator: Coordinator,
    asked: Arc<Notify>,
    campaign: JoinSet<()>,
}

/// On paper as working while it lives.
struct AtWork {
    name: String,
    reports: Reports,
}

impl AtWork {
    fn new(name: &str, term: FencingToken, reports: Reports) -> Self {
        reports.line(format_args!("{name} works {term}"));
        Self { name: name.to_owned(), reports }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.reports.line(format_args!("{} stops", self.name));
    }
}

impl Candidate {
    pub(crate) async fn campaign(name: &str, uri: &str, reports: Reports) -> Result<Self, yourturn::Error> {
        let coordinator = Coordinator::connect_with(uri, Options::default().owner(name)).await?;
        let (election, asked) = (coordinator.election(ELECTION)?, Arc::new(Notify::new()));
        let (value, resign, who) = (format!("{name}.example:80"), asked.clone(), name.to_owned());
        let mut campaign = JoinSet::new();
        campaign.spawn(async move {
            let outcome = election.run(value, |leadership| {
                let (resign, at_work) = (&resign, AtWork::new(&who, leadership.term(), reports.clone()));
                async move {
                    let _at_work = at_work;
                    resign.notified().await;
                    ControlFlow::<()>::Continue(())
                }
            });
            if let Err(error) = outcome.await {
                eprintln!("{who}: {error}");
            }
        });
        Ok(Self { name: name.to_owned(), coordinator, asked, campaign })
    }
}

impl Contender for Candidate {
    async fn start(name: &str, uri: &str, reports: PipeWriter) -> Result<Self, Box<dyn Error>> {
        Ok(Self::campaign(name, uri, Reports::to(reports)).await?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn resign(&mut self) -> Result<(), Box<dyn Error>> {
        self.asked.notify_one();
        Ok(())
    }

    async fn crash(&mut self) -> Result<(), Box<dyn Error>> {
        self.coordinator.abandon();
        self.campaign.shutdown().await;
        Ok(())
    }

    async fn leave(mut self) -> Result<(), Box<dyn Error>> {
        // First: closing ends a guard and hands on the turn at once, when the work may not have been dropped
        // yet.
        self.campaign.shutdown().await;
        Ok(self.coordinator.close().await?)
    }
}
