//! The examples whose parts are processes, of which one is killed, on a store of their own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod etcd;
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

/// Examples that run at the same time on one store, and how long it waits for their sessions: not long for
/// those whose processes are killed.
const TOGETHER: [(&str, &str); 5] = [
    ("bank_transfer", "2s"),
    ("config_readers", "10s"),
    ("resource_pool", "2s"),
    ("rolling_restart", "10s"),
    ("work_partition", "2s"),
];

/// Beside the folder of this very program.
fn example(name: &str) -> PathBuf {
    let this = env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "no {}: cargo test --workspace builds the examples", program.display());
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

/// Runs them all to their ends.
async fn run_together(run: impl AsyncFn(&'static str, &'static str)) {
    let [a, b, c, d, e] = TOGETHER.map(|(name, ttl)| run(name, ttl));
    tokio::join!(a, b, c, d, e);
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
