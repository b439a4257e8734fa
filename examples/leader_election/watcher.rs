//! What can be seen from outside: who leads, by the store, and who works, by what the candidates write.

use std::time::{Duration, Instant};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use yourturn::{Election, Leader, Observer};

use crate::{
    hearing::Hearing,
    parts::{Failure, PATIENCE},
    tally::Tally,
};

pub(crate) struct Watcher {
    start: Instant,
    election: Election,
    leaders: Observer,
    hearing: Hearing<Tally>,
}

impl Watcher {
    pub(crate) fn new(election: Election, written: mpsc::UnboundedReceiver<String>) -> Self {
        let (leaders, hearing) = (election.observe(), Hearing::new(written, Tally::default(), Tally::note));
        Self { start: Instant::now(), election, leaders, hearing }
    }

    /// Waits until so many campaign, the leader included.
    pub(crate) async fn until_in_line(&self, wanted: usize) -> Result<(), Failure> {
        let reached = async {
            while self.election.inspect().await?.places.len() != wanted {
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, reached).await.map_err(|_| format!("there never were {wanted} candidates"))?
    }

    /// Waits until somebody else leads, and is at work.
    pub(crate) async fn next(&mut self) -> Result<Leader, Failure> {
        let leader = timeout(PATIENCE, self.next_leader()).await??;
        let term = leader.term.to_string();
        self.hearing.until("it works", |tally| tally.has_begun(&leader.owner, &term)).await?;
        Ok(leader)
    }

    async fn next_leader(&mut self) -> Result<Leader, yourturn::Error> {
        loop {
            let (leader, seconds) = (self.leaders.next().await?, self.start.elapsed().as_secs_f64());
            let Some(leader) = leader else {
                println!("{seconds:6.2} s  nobody leads");
                continue;
            };
            println!("{seconds:6.2} s  {} leads, at {}, term {}", leader.owner, leader.value(), leader.term);
            return Ok(leader);
        }
    }

    /// For what is still written.
    pub(crate) fn rest(self) -> Hearing<Tally> {
        self.hearing
    }
}
