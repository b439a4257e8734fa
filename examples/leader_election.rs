//! Three candidates for one leadership: it moves on when the leader resigns, and when the leader crashes. An
//! observer prints each change.
//!
//! ```text
//! cargo run --example leader_election [-- URI]
//! ```
//!
//! Ends by itself; the exit code is 0 only if leadership moved both times, terms rose, and no two candidates
//! worked at a time.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

use std::{
    error::Error,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use yourturn::{Coordinator, Leader, Options};

/// Moves leadership among three candidates.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://leader_election?ttl=2s")]
    uri: String,
}

const ELECTION: &str = "the/throne";

/// If leadership has not moved by then, it never will.
const PATIENCE: Duration = Duration::from_mins(1);

struct Candidate {
    name: String,
    coordinator: Coordinator,
    resign: Arc<Notify>,
    campaign: JoinHandle<Result<(), yourturn::Error>>,
}

/// How many candidates work at this moment, and how many ever did at a time.
#[derive(Default)]
struct Working {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Counts one candidate as working while it lives.
struct AtWork(Arc<Working>);

impl AtWork {
    fn new(working: Arc<Working>) -> Self {
        let now = working.now.fetch_add(1, Ordering::SeqCst) + 1;
        working.most.fetch_max(now, Ordering::SeqCst);
        Self(working)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Candidate {
    async fn start(name: &str, uri: &str, working: Arc<Working>) -> Result<Self, yourturn::Error> {
        let coordinator = Coordinator::connect_with(uri, Options::default().owner(name)).await?;
        let (election, resign) = (coordinator.election(ELECTION)?, Arc::new(Notify::new()));
        let (value, asked) = (format!("{name}.example:80"), resign.clone());
        let campaign = tokio::spawn(async move {
            let lead = |_| {
                let (asked, at_work) = (asked.clone(), AtWork::new(working.clone()));
                async move {
                    let _at_work = at_work;
                    asked.notified().await;
                    ControlFlow::Continue(())
                }
            };
            election.run(value, lead).await
        });
        Ok(Self { name: name.to_owned(), coordinator, resign, campaign })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let working = Arc::new(Working::default());
    let mut candidates = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        candidates.push(Candidate::start(name, &arguments.uri, working.clone()).await?);
    }
    let watcher = Coordinator::connect(&arguments.uri).await?;
    let mut observer = watcher.election(ELECTION)?.observe();
    let start = Instant::now();
    let mut next = async || -> Result<Leader, Box<dyn Error>> {
        loop {
            match timeout(PATIENCE, observer.next()).await?? {
                Some(leader) => {
                    let (seconds, term) = (start.elapsed().as_secs_f64(), leader.term);
                    println!("{seconds:6.2} s  {} leads, at {}, term {term}", leader.owner, leader.value());
                    return Ok(leader);
                }
                None => println!("{:6.2} s  nobody leads", start.elapsed().as_secs_f64()),
            }
        }
    };

    let first = next().await?;
    println!("          {} is asked to resign", first.owner);
    named(&candidates, &first)?.resign.notify_one();
    let second = next().await?;
    println!("          {} crashes", second.owner);
    let crashed = Instant::now();
    named(&candidates, &second)?.coordinator.abandon();
    let third = next().await?;
    println!("\n{} followed {} {:.1?} after the crash", third.owner, second.owner, crashed.elapsed());

    // Before they are closed: that ends a guard and hands on the turn at once, while the work is still being
    // dropped.
    let most = working.most.load(Ordering::SeqCst);
    for candidate in candidates {
        candidate.coordinator.close().await?;
        // It ends with `Closed`: that is how a campaign without end is ended.
        let _ended = candidate.campaign.await?;
    }
    watcher.close().await?;
    println!("terms {}, {}, {}; {most} at work at a time", first.term, second.term, third.term);
    let moved = first.owner != second.owner && second.owner != third.owner;
    let rose = first.term < second.term && second.term < third.term;
    if moved && rose && most == 1 { Ok(()) } else { Err("leadership did not move as it should have".into()) }
}

fn named<'a>(candidates: &'a [Candidate], leader: &Leader) -> Result<&'a Candidate, String> {
    let candidate = candidates.iter().find(|candidate| candidate.name == *leader.owner);
    candidate.ok_or_else(|| format!("{} is none of ours", leader.owner))
}
