//! Workers share sixty keys without a word to one another: each works on those that rendezvous hashing over
//! the members of their group says are its own. One comes, one goes and one is killed; only their keys move.
//!
//! ```text
//! cargo run --example work_partition
//! cargo run --features etcd --example work_partition -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example work_partition -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! A store in memory is one process's own: there the workers are tasks, and the crash is acted. With any
//! other store each is a process, and one is killed with SIGKILL.
//!
//! Ends by itself; the exit code is 0 only if, each time that all had seen the same members, each key was
//! worked on by one of them, and no key had moved but those of the worker that came or went, about one
//! n-th. They write down, into one pipe, whom they see and what they work on.
//!
//! Until all have seen a change, two may work on one key, or nobody does. Where that would do harm, take a
//! lock for the key.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/hearing.rs"]
mod hearing;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;
mod roster;
mod worker;

use std::time::Instant;

use clap::Parser;
use hearing::Hearing;
use parts::{Failure, Player, Stage};
use roster::{Owners, Roster};

const KEYS: usize = 60;
/// How many more than one n-th of the keys may move: they are spread by chance.
const TOLERANCE: f64 = 0.1;

/// Shares keys among workers that come and go.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://work_partition?ttl=2s")]
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
        None => run(&uri).await,
    }
}

async fn run(uri: &str) -> Result<(), Failure> {
    let (stage, written) = Stage::new(uri, worker::work)?;
    let mut hearing = Hearing::new(written, Roster::default(), Roster::note);
    let mut workers = stage.start_all(["anna", "bert", "cleo", "dora"]).await?;
    println!("{} workers ({}) share {KEYS} keys", workers.len(), stage.kind());
    let first = settled(&mut hearing, &workers).await?;

    workers.push(stage.start("emil").await?);
    let second = settled(&mut hearing, &workers).await?;
    check_move("emil came", roster::moved(&first, &second, "emil")?, workers.len())?;

    let bert = workers.remove(1);
    bert.ended().await?;
    let third = settled(&mut hearing, &workers).await?;
    check_move("bert left", roster::moved(&second, &third, "bert")?, workers.len() + 1)?;

    let mut cleo = workers.remove(1);
    stage.kill(&mut cleo).await?;
    let killed = Instant::now();
    let fourth = settled(&mut hearing, &workers).await?;
    println!("cleo is killed; {:.1?} later the others have her keys", killed.elapsed());
    check_move("cleo died", roster::moved(&third, &fourth, "cleo")?, workers.len() + 1)?;
    stage.end(workers, hearing).await.map(drop)
}

/// Who works on what, once these have seen that they are the members, and nobody else.
async fn settled(hearing: &mut Hearing<Roster>, workers: &[Player]) -> Result<Owners, Failure> {
    let names: Vec<_> = workers.iter().map(Player::name).collect();
    hearing.until("all see the same members", |roster| roster.agrees_on(&names)).await?;
    Ok(hearing.judge.owners(KEYS)?)
}

/// One of so many came or went.
fn check_move(what: &str, moved: usize, members: usize) -> Result<(), String> {
    let (share, fair) = (moved as f64 / KEYS as f64, 1.0 / members as f64);
    println!("{what}: {moved} of {KEYS} keys moved, {share:.2} of all; one n-th is {fair:.2}");
    if share <= fair + TOLERANCE { Ok(()) } else { Err(format!("{what}, and too many keys moved")) }
}
