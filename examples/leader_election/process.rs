//! A candidate that is a process of its own, from either side.

use std::{
    error::Error,
    io::{self, PipeWriter},
};

use tokio::io::AsyncWriteExt;

use crate::{
    candidate::Candidate,
    child::Child,
    lines::{self, Reports},
    story::Contender,
};

const RESIGN: &str = "resign";

/// The child's side: does as it is told until there is nobody any more to tell it.
pub(crate) async fn play(name: &str, uri: &str) -> Result<(), Box<dyn Error>> {
    let mut orders = lines::read(io::stdin());
    let mut candidate = Candidate::campaign(name, uri, Reports::to(io::stdout())).await?;
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            RESIGN => candidate.resign().await?,
            _ => return Err(format!("{name} does not know how to {order:?}").into()),
        }
    }
    candidate.leave().await
}

/// The parent's side.
impl Contender for Child {
    async fn start(name: &str, uri: &str, reports: PipeWriter) -> Result<Self, Box<dyn Error>> {
        Ok(Self::start(name, [uri, "--play", name], reports)?)
    }

    fn name(&self) -> &str {
        &self.name
    }

    async fn resign(&mut self) -> Result<(), Box<dyn Error>> {
        let orders = self.orders.as_mut().ok_or("it takes no orders any more")?;
        Ok(orders.write_all(format!("{RESIGN}\n").as_bytes()).await?)
    }

    async fn crash(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.kill().await?)
    }

    async fn leave(mut self) -> Result<(), Box<dyn Error>> {
        self.orders = None;
        self.ended().await
    }
}
