//! What happens to the candidates, and whether it came out as it should.

use std::time::Instant;

use yourturn::Coordinator;

use crate::{
    candidate::{RESIGN, campaign},
    parts::{self, Failure, Stage},
    watcher::Watcher,
};

pub(crate) const ELECTION: &str = "the/throne";

const NAMES: [&str; 3] = ["anna", "bert", "cleo"];

pub(crate) async fn tell(uri: &str) -> Result<(), Failure> {
    let coordinator = Coordinator::connect(uri).await?;
    let (stage, written) = Stage::new(uri, campaign)?;
    let mut watcher = Watcher::new(coordinator.election(ELECTION)?, written);
    // Those of an earlier run, which was killed, may still be there.
    watcher.until_in_line(0).await?;
    let mut candidates = stage.start_all(NAMES).await?;
    // Who resigns while nobody waits is the next to lead.
    watcher.until_in_line(NAMES.len()).await?;

    let first = watcher.next().await?;
    println!("          {} is asked to resign", first.owner);
    parts::named(&mut candidates, &first.owner)?.order(RESIGN).await?;
    let second = watcher.next().await?;
    println!("          {} crashes", second.owner);
    let crashed = Instant::now();
    stage.kill(parts::named(&mut candidates, &second.owner)?).await?;
    let third = watcher.next().await?;
    println!("\n{} followed {} {:.1?} after the crash", third.owner, second.owner, crashed.elapsed());

    let most = stage.end(candidates, watcher.rest()).await?.most();
    coordinator.close().await?;
    println!("terms {}, {}, {}; {most} at work at a time", first.term, second.term, third.term);
    let moved = first.owner != second.owner && second.owner != third.owner;
    let rose = first.term < second.term && second.term < third.term;
    if moved && rose && most == 1 { Ok(()) } else { Err("leadership did not move as it should have".into()) }
}
