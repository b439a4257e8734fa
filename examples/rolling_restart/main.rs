//! Six instances of a service are restarted, at most two at a time, and none before all are up.
//!
//! ```text
//! cargo run --example rolling_restart
//! cargo run --features etcd --example rolling_restart -- 'etcd://127.0.0.1:2379/demo'
//! cargo run --features zookeeper --example rolling_restart -- 'zk://127.0.0.1:2181/demo'
//! ```
//!
//! Whoever looks after an instance waits at a barrier until all are up, restarts its own under one of two
//! permits, which it gives back when the instance is up again, and waits at another barrier until all have
//! been restarted. A store in memory is one process's own: there they are tasks, with any other store
//! processes.
//!
//! Ends by itself; the exit code is 0 only if each was restarted once, after all had come up, never more than
//! two were down at a time, and nobody went on before all had been restarted. They write down when their
//! instance is up and down, all into one pipe, which keeps the order.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
mod fleet;
#[path = "../shared/hearing.rs"]
mod hearing;
mod keeper;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;

use std::time::Duration;

use clap::Parser;
use fleet::Fleet;
use hearing::Hearing;
use parts::{Failure, Stage};
use tokio::time::sleep;
use yourturn::Coordinator;

const INSTANCES: u32 = 6;
/// How many may be down at a time.
const AT_A_TIME: u32 = 2;

/// Restarts six instances, two at a time.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://rolling_restart")]
    uri: String,
    /// The instance that this process looks after, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { uri, play } = Arguments::parse();
    match play {
        Some(name) => parts::play(&name, &uri, keeper::restart).await,
        None => run(&uri).await,
    }
}

async fn run(uri: &str) -> Result<(), Failure> {
    nobody_waits(uri).await?;
    let (stage, written) = Stage::new(uri, keeper::restart)?;
    let mut hearing = Hearing::new(written, Fleet::of(INSTANCES as usize, AT_A_TIME as usize), Fleet::note);
    let names = (1..=INSTANCES).map(|number| format!("instance-{number}"));
    let keepers = stage.start_all(names).await?;
    println!("{INSTANCES} instances ({}), at most {AT_A_TIME} down at a time", stage.kind());
    hearing.until("all have been restarted", Fleet::all_are_through).await?;
    let fleet = stage.end(keepers, hearing).await?;
    println!("all have been restarted, {} at a time", fleet.most_down());
    Ok(fleet.verdict()?)
}

/// Those of an earlier run, which was killed, may still be there, and would be counted.
async fn nobody_waits(uri: &str) -> Result<(), Failure> {
    let coordinator = Coordinator::connect(uri).await?;
    for name in keeper::BARRIERS {
        let barrier = coordinator.barrier(name, INSTANCES)?;
        while !barrier.inspect().await?.places.is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(coordinator.close().await?)
}
