//! The examples whose parts are processes, of which one is killed, on a store of their own.
#![cfg(all(unix, any(feature = "etcd", feature = "zookeeper")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::{
    env,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::Command;

/// A session that was killed ends with its ttl, of two seconds, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Beside the folder of this very program.
fn example(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(
        program.is_file(),
        "no {}: cargo test without a target filter builds the examples",
        program.display()
    );
    program
}

/// Runs an example to its end; panics unless what it shows did happen.
async fn run(uri: &str, name: &str, arguments: &[&str]) {
    let mut command = Command::new(example(name));
    command.arg(uri).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}", output.status);
}

/// While it runs, something lies in the store that lives with a session; afterwards nothing does.
async fn leaves_nothing(run: impl Future<Output = ()>, left: impl AsyncFn() -> Vec<String>) {
    tokio::join!(run, until(&left, |left| !left.is_empty()));
    until(&left, <[_]>::is_empty).await;
}

async fn until(left: impl AsyncFn() -> Vec<String>, good: impl Fn(&[String]) -> bool) {
    let start = Instant::now();
    loop {
        let left = left().await;
        if good(&left) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "in the store: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
