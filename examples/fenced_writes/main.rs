//! Why a lock needs a token: a holder is paused for longer than its ttl, somebody else gets the lock and
//! writes, and the first one wakes up and writes too, too late. The register refuses it.
//!
//! On etcd the register is a key in the same cluster, on ZooKeeper a node, and writes to it go through
//! `transact`: the store itself carries them out only while the guard holds.
//!
//! ```text
//! cargo run --example fenced_writes
//! cargo run --features etcd --example fenced_writes -- 'etcd://127.0.0.1:2379/demo?ttl=2s'
//! cargo run --features zookeeper --example fenced_writes -- 'zk://127.0.0.1:2181/demo?session_timeout=4s'
//! ```
//!
//! Ends by itself; the exit code is 0 only if the late write was refused and the paused holder knew that it
//! had lost the lock.
#![allow(clippy::disallowed_methods, reason = "a program on the real clock")]

mod register;

use std::{
    error::Error,
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use clap::Parser;
use yourturn::{Coordinator, FencingToken};

use self::register::Register;

/// Shows a late write that is refused by its token.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(default_value = "memory://fenced_writes?ttl=2s")]
    uri: String,
}

/// What the paused holder found when it woke up.
#[derive(Debug)]
struct Awake {
    believed_to_hold: bool,
    write: Result<(), Failure>,
}

type Failure = Box<dyn Error + Send + Sync>;

/// Takes the lock and writes; then its thread, with all that runs on it, stands still until `resume`.
#[tokio::main(flavor = "current_thread")]
async fn paused_holder(
    uri: &str,
    register: &Register,
    holding: &mpsc::Sender<FencingToken>,
    resume: &mpsc::Receiver<()>,
) -> Result<Awake, Failure> {
    let coordinator = Coordinator::connect(uri).await?;
    let guard = coordinator.mutex("register")?.lock().await?;
    register.write(&guard, "first").await?;
    holding.send(guard.token())?;
    // No await: nothing is renewed meanwhile, as in a long garbage collection or a virtual machine that is
    // moved.
    resume.recv()?;
    let believed_to_hold = guard.is_valid();
    // A program that does not look, and writes all the same.
    let write = register.write(&guard, "first, again").await;
    Ok(Awake { believed_to_hold, write })
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let uri = Arguments::parse().uri;
    let register = Arc::new(Register::beside(&uri).await?);
    let (holding, held) = mpsc::channel();
    let (resume, resumed) = mpsc::channel();
    let paused = thread::spawn({
        let (uri, register) = (uri.clone(), register.clone());
        move || paused_holder(&uri, &register, &holding, &resumed)
    });
    println!("the first holder has token {}, writes, and is paused", held.recv()?);

    let start = Instant::now();
    let coordinator = Coordinator::connect(&uri).await?;
    let guard = coordinator.mutex("register")?.lock().await?;
    register.write(&guard, "second").await?;
    println!("after {:.1?} the second has token {}, and writes", start.elapsed(), guard.token());

    resume.send(())?;
    let awake = paused.join().map_err(|_| "the paused holder panicked")??;
    println!("the first wakes up; it believes that it holds the lock: {}", awake.believed_to_hold);
    match &awake.write {
        Ok(()) => println!("its write: accepted"),
        Err(error) => println!("its write: refused: {error}"),
    }
    let held = register.read(&guard).await?;
    println!("the register holds {held:?}");
    guard.release().await?;
    coordinator.close().await?;
    if !awake.believed_to_hold && awake.write.is_err() && held == "second" {
        Ok(())
    } else {
        Err("the late write was not refused".into())
    }
}
