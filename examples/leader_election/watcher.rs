//! What can be seen from outside: who leads, by the store, and who works, by what the candidates write.

use std::{
    error::Error,
    io::PipeReader,
    time::{Duration, Instant},
};

use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use yourturn::{Election, Leader, Observer};

use crate::{lines, story::PATIENCE, tally::Tally};

pub(crate) struct Watcher {
    start: Instant,
    election: Election,
    leaders: Observer,
    written: mpsc::UnboundedReceiver<String>,
    tally: Tally,
}

impl Watcher {
    pub(crate) fn new(election: Election, written: PipeReader) -> Self {
        let (leaders, written) = (election.observe(), lines::read(written));
        Self { start: Instant::now(), election, leaders, written, tally: Tally::default() }
    }

    /// Waits until so many campaign, the leader included.
    pub(crate) async fn until_in_line(&self, wanted: usize) -> Result<(), Box<dyn Error>> {
        let reached = async {
            while self.election.inspect().await?.places.len() != wanted {
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        timeout(PATIENCE, reached).await.map_err(|_| format!("there never were {wanted} candidates"))?
    }

    /// Waits until somebody else leads, and is at work.
    pub(crate) async fn next(&mut self) -> Result<Leader, Box<dyn Error>> {
        timeout(PATIENCE, async {
            let leader = self.next_leader().await?;
            while !self.tally.has_begun(&leader.owner, &leader.term.to_string()) {
                let line = self.written.recv().await.ok_or("nobody writes any more")?;
                self.tally.note(&line);
            }
            Ok(leader)
        })
        .await?
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

    /// How many were ever at work at a time; known when all have left.
    pub(crate) async fn most_at_work(mut self) -> usize {
        while let Some(line) = self.written.recv().await {
            self.tally.note(&line);
        }
        self.tally.most()
    }
}
