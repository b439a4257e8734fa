//! Money moves between accounts, each of which has a lock of its own. Two of those who move it are killed in
//! the middle of a transfer; at the end there is as much as there was.
//!
//! ```text
//! cargo run --example bank_transfer
//! cargo run --features etcd --example bank_transfer -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example bank_transfer -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! How a transfer is done is in `clerk.rs`: take the locks of both accounts, read both, and write both in one
//! step that the store itself refuses if it comes too late (`examples/shared/values.rs`). The accounts are
//! keys in the same etcd, nodes in the same ZooKeeper, or in this process.
//!
//! A store in memory is one process's own: there the clerks are tasks, and the crashes are acted. With any
//! other store each is a process, and two are killed with SIGKILL.
//!
//! Ends by itself; the exit code is 0 only if the sum of all accounts, read by a client that knows of no
//! locks, is what it was, no clerk found an account changed that it had locked, and money moved again on the
//! accounts that were locked by the dead.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

#[path = "../shared/child.rs"]
mod child;
mod clerk;
#[path = "../shared/hearing.rs"]
mod hearing;
mod ledger;
#[path = "../shared/lines.rs"]
mod lines;
#[path = "../shared/parts.rs"]
mod parts;
#[path = "../shared/values.rs"]
mod values;

use std::time::Instant;

use clap::Parser;
use hearing::Hearing;
use ledger::Ledger;
use parts::{Failure, Stage};
use values::Values;

/// What the accounts are called, and their locks.
const ACCOUNTS: [&str; 5] = ["bank/anna", "bank/bert", "bank/cleo", "bank/dora", "bank/emil"];
/// What is on each at first.
const BALANCE: u64 = 100;
const CLERKS: [&str; 4] = ["clerk-1", "clerk-2", "clerk-3", "clerk-4"];
/// How many transfers there are before somebody is killed.
const WARM: usize = 20;

/// Moves money between accounts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://bank_transfer?ttl=2s")]
    uri: String,
    /// The clerk that this process is, when the program has started itself.
    #[arg(long, hide = true)]
    play: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Arguments { uri, play } = Arguments::parse();
    match play {
        Some(name) => parts::play(&name, &uri, clerk::work).await,
        None => run(&uri).await,
    }
}

async fn run(uri: &str) -> Result<(), Failure> {
    let accounts = Values::beside(uri).await?;
    for account in ACCOUNTS {
        accounts.put(account, BALANCE).await?;
    }
    let before = sum(&accounts).await?;
    let (stage, written) = Stage::new(uri, clerk::work)?;
    let mut hearing = Hearing::new(written, Ledger::default(), Ledger::note);
    let mut clerks = stage.start_all(CLERKS).await?;
    println!("{} clerks ({}) move money between {} accounts", CLERKS.len(), stage.kind(), ACCOUNTS.len());
    hearing.until("money moves", |ledger| ledger.done() >= WARM).await?;
    for name in [CLERKS[0], CLERKS[1]] {
        let clerk = parts::named(&mut clerks, name)?;
        clerk.order(clerk::STAND_STILL).await?;
        hearing.until("it is in the middle of a transfer", |ledger| ledger.stands_still(name)).await?;
        stage.kill(clerk).await?;
        let killed = Instant::now();
        println!("{name} is killed in the middle of a transfer");
        hearing.until("somebody dies", |ledger| !ledger.stands_still(name)).await?;
        hearing
            .until("the accounts of the dead are used again", Ledger::nothing_is_locked_by_the_dead)
            .await?;
        println!("money moves again on both accounts {:.1?} later", killed.elapsed());
    }
    let (ledger, after) = (stage.end(clerks, hearing).await?, sum(&accounts).await?);
    println!("{} transfers; there was {before}, and there is {after}", ledger.done());
    ledger.verdict()?;
    if before == after { Ok(()) } else { Err("money was lost or made".into()) }
}

/// What is on all accounts.
async fn sum(accounts: &Values) -> Result<u64, Failure> {
    let mut sum = 0;
    for account in ACCOUNTS {
        let balance = accounts.read(account).await?.number;
        println!("  {account} has {balance}");
        sum += balance;
    }
    Ok(sum)
}
