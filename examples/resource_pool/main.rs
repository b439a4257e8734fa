//! Twenty workers share five licences: each takes one or two at a time, uses them and gives them back. One
//! never gives back what it has, and is killed: then its licences are free again.
//!
//! ```text
//! cargo run --example resource_pool
//! cargo run --features etcd --example resource_pool -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example resource_pool -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! A store in memory is one process's own: there the workers are tasks, and the crash is acted. With any
//! other store each is a process, and one is killed with SIGKILL.
//!
//! Ends by itself; the exit code is 0 only if never more than five licences were in use, all five were at
//! some time, also after the crash without those of the dead, and every other worker had its turns. They
//! write down when they begin to use licences and when they have stopped, all into one pipe, which keeps the
//! order.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/hearing.rs"]
mod hearing;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;
mod usage;
mod worker;

use std::time::Instant;

use clap::Parser;
use hearing::Hearing;
use parts::{Failure, Stage};
use usage::Usage;

const LICENCES: u32 = 5;
const WORKERS: usize = 20;
/// How often each worker has its turn, at least.
const TURNS: usize = 2;

/// Shares five licences among twenty workers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://resource_pool?ttl=2s")]
    uri: String,
    /// The worker that this process is, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { uri, play } = Arguments::parse();
    match play {
        Some(name) => parts::play(&name, &uri, worker::work).await,
        None => share(&uri).await,
    }
}

async fn share(uri: &str) -> Result<(), Failure> {
    let (stage, written) = Stage::new(uri, worker::work)?;
    let mut hearing = Hearing::new(written, Usage::new(LICENCES), Usage::note);
    let mut workers = stage.start_all((1..WORKERS).map(|number| format!("worker-{number}"))).await?;
    workers.push(stage.start(worker::KEEPER).await?);
    println!("{WORKERS} workers ({}) share {LICENCES} licences", stage.kind());

    hearing.until("the keeper has licences", |usage| usage.uses(worker::KEEPER)).await?;
    println!("{} keeps what it has, and is killed", worker::KEEPER);
    let killed = Instant::now();
    stage.kill(parts::named(&mut workers, worker::KEEPER)?).await?;
    hearing.until("all licences are in use without the dead", Usage::all_without_the_dead).await?;
    println!("all are in use without it {:.1?} later", killed.elapsed());
    let everybody = |usage: &Usage| usage.turns().filter(|turns| *turns >= TURNS).count() == WORKERS - 1;
    hearing.until("everybody else has had its turns", everybody).await?;

    let usage = stage.end(workers, hearing).await?;
    let turns = usage.turns().sum::<usize>();
    println!("{turns} turns, at least {TURNS} each; {} licences in use at a time", usage.most());
    Ok(usage.verdict()?)
}
