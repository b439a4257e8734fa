//! What happens to the candidates, and whether it came out as it should.

use std::{
    error::Error,
    io::{self, PipeWriter},
    time::{Duration, Instant},
};

use tokio::time::timeout;
use yourturn::{Coordinator, Leader};

use crate::{lines::Reports, watcher::Watcher};

pub(crate) const ELECTION: &str = "the/throne";

const NAMES: [&str; 3] = ["anna", "bert", "cleo"];

/// If something has not happened by then, it never will.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A candidate, wherever it runs.
pub(crate) trait Contender: Sized {
    /// Lets it campaign; it writes down when it works.
    async fn start(name: &str, uri: &str, reports: PipeWriter) -> Result<Self, Box<dyn Error>>;

    fn name(&self) -> &str;

    async fn resign(&mut self) -> Result<(), Box<dyn Error>>;

    /// Says nothing to the store. It does not work any more when this is done.
    async fn crash(&mut self) -> Result<(), Box<dyn Error>>;

    /// Leaves nothing behind, if it has not crashed.
    async fn leave(self) -> Result<(), Box<dyn Error>>;
}

pub(crate) async fn tell<C: Contender>(uri: &str) -> Result<(), Box<dyn Error>> {
    let coordinator = Coordinator::connect(uri).await?;
    let (written, reports) = io::pipe()?;
    let mut watcher = Watcher::new(coordinator.election(ELECTION)?, written);
    // Those of an earlier run, which was killed, may still be there.
    watcher.until_in_line(0).await?;
    let mut candidates = Vec::new();
    for name in NAMES {
        candidates.push(C::start(name, uri, reports.try_clone()?).await?);
    }
    // Who resigns while nobody waits is the next to lead.
    watcher.until_in_line(NAMES.len()).await?;

    let first = watcher.next().await?;
    println!("          {} is asked to resign", first.owner);
    named(&mut candidates, &first)?.resign().await?;
    let second = watcher.next().await?;
    println!("          {} crashes", second.owner);
    let crashed = Instant::now();
    named(&mut candidates, &second)?.crash().await?;
    // The dead do not write.
    Reports::to(reports).line(format_args!("{} stops", second.owner));
    let third = watcher.next().await?;
    println!("\n{} followed {} {:.1?} after the crash", third.owner, second.owner, crashed.elapsed());

    for candidate in candidates {
        timeout(PATIENCE, candidate.leave()).await??;
    }
    let most = watcher.most_at_work().await;
    coordinator.close().await?;
    println!("terms {}, {}, {}; {most} at work at a time", first.term, second.term, third.term);
    let moved = first.owner != second.owner && second.owner != third.owner;
    let rose = first.term < second.term && second.term < third.term;
    if moved && rose && most == 1 { Ok(()) } else { Err("leadership did not move as it should have".into()) }
}

fn named<'a, C: Contender>(candidates: &'a mut [C], leader: &Leader) -> Result<&'a mut C, String> {
    let candidate = candidates.iter_mut().find(|candidate| candidate.name() == &*leader.owner);
    candidate.ok_or_else(|| format!("{} is none of ours", leader.owner))
}
