//! The examples whose parts are processes, of which one is killed, on an etcd of their own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::{
    env,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use lock_testkit::server::etcd::Etcd;
use tokio::process::Command;

/// A session that was killed ends with its lease, of two seconds, on a machine that may be busy.
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
async fn run(etcd: &Etcd, name: &str, arguments: &[&str]) {
    let hosts = etcd.endpoints().join(",");
    let uri = format!("etcd://{}/{name}?ttl=2s", hosts.replace("http://", ""));
    let mut command = Command::new(example(name));
    command.arg(uri).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}", output.status);
}

/// All keys of a namespace.
async fn keys(etcd: &Etcd, namespace: &str) -> Vec<String> {
    let program = env::var_os("YOURTURN_ETCDCTL").unwrap_or_else(|| "etcdctl".into());
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3").arg("--endpoints").arg(etcd.endpoints().join(","));
    command.args(["get", "--prefix", "--keys-only"]).arg(format!("{namespace}/")).kill_on_drop(true);
    let output = command.output().await.expect("etcdctl is installed, or YOURTURN_ETCDCTL names it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let keys = String::from_utf8(output.stdout).unwrap();
    keys.lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

/// Waits until nothing is left but what outlives sessions: a line's cell, and its tail, which the death of
/// the last in line leaves behind for the next to replace.
async fn only_cells_and_pointers_stay(etcd: &Etcd, namespace: &str) {
    let start = Instant::now();
    loop {
        let keys = keys(etcd, namespace).await;
        let (stays, goes): (Vec<_>, Vec<_>) =
            keys.iter().partition(|key| ["/cell", "/tail", "/mark"].iter().any(|end| key.ends_with(end)));
        if goes.is_empty() {
            println!("left in etcd: {stays:?}");
            return;
        }
        assert!(start.elapsed() < PATIENCE, "left behind: {goes:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn c8_leadership_moves_on_when_its_process_is_killed() {
    let etcd = Etcd::start().await.unwrap();
    run(&etcd, "leader_election", &[]).await;
    only_cells_and_pointers_stay(&etcd, "leader_election").await;
}

#[tokio::test]
async fn c8_each_tick_completes_once_although_a_process_is_killed() {
    let etcd = Etcd::start().await.unwrap();
    run(&etcd, "task_scheduler", &["--for", "8s"]).await;
    only_cells_and_pointers_stay(&etcd, "task_scheduler").await;
}

#[tokio::test]
async fn c17_a_late_write_is_refused_by_etcd_itself() {
    let etcd = Etcd::start().await.unwrap();
    run(&etcd, "fenced_writes", &[]).await;
}
