//! Three candidates for one leadership: it moves on when the leader resigns, and when the leader crashes. An
//! observer prints each change.
//!
//! ```text
//! cargo run --example leader_election
//! cargo run --features etcd --example leader_election -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example leader_election -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! A store in memory is one process's own: there the candidates are tasks, and the crash is acted. With any
//! other store each is a process, and one is killed with SIGKILL.
//!
//! Ends by itself; the exit code is 0 only if leadership moved both times, terms rose, and no two candidates
//! worked at a time. They write down when they begin to work and when they have stopped, all into one pipe,
//! which keeps the order; the one that crashes has stopped when it is dead.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod candidate;
#[path = "../shared/child.rs"]
mod child;
#[path = "../shared/hearing.rs"]
mod hearing;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;
mod story;
mod tally;
mod watcher;

use clap::Parser;
use parts::Failure;

/// Moves leadership among three candidates.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://leader_election?ttl=2s")]
    uri: String,
    /// The candidate that this process is, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { uri, play } = Arguments::parse();
    match play {
        Some(name) => parts::play(&name, &uri, candidate::campaign).await,
        None => story::tell(&uri).await,
    }
}
