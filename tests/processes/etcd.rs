//! On etcd.

use std::env;

use lock_testkit::server::etcd::Etcd;
use tokio::process::Command;

use super::{TOGETHER, leaves_nothing, run_together};

async fn run(etcd: &Etcd, name: &str, arguments: &[&str]) {
    run_with(etcd, name, "2s", arguments).await;
}

async fn run_with(etcd: &Etcd, name: &str, ttl: &str, arguments: &[&str]) {
    let hosts = etcd.endpoints().join(",");
    super::run(&format!("etcd://{}/{name}?ttl={ttl}", hosts.replace("http://", "")), name, arguments).await;
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

/// What does not outlive sessions, of the keys of a namespace. A line's cell does, and its tail, which the
/// death of the last in line leaves behind for the next to replace.
async fn of_sessions(etcd: &Etcd, namespace: &str) -> Vec<String> {
    let stays = |key: &String| ["/cell", "/tail", "/mark"].iter().any(|end| key.ends_with(end));
    keys(etcd, namespace).await.into_iter().filter(|key| !stays(key)).collect()
}

#[tokio::test]
async fn c8_leadership_moves_on_when_its_process_is_killed() {
    let etcd = Etcd::start().await.unwrap();
    leaves_nothing(run(&etcd, "leader_election", &[]), async || of_sessions(&etcd, "leader_election").await)
        .await;
}

#[tokio::test]
async fn c8_each_tick_completes_once_although_a_process_is_killed() {
    let etcd = Etcd::start().await.unwrap();
    leaves_nothing(run(&etcd, "task_scheduler", &["--for", "8s"]), async || {
        of_sessions(&etcd, "task_scheduler").await
    })
    .await;
}

#[tokio::test]
async fn c17_a_late_write_is_refused_by_etcd_itself() {
    let etcd = Etcd::start().await.unwrap();
    run(&etcd, "fenced_writes", &[]).await;
}

#[tokio::test]
async fn c8_the_examples_of_further_recipes_come_out_although_processes_are_killed() {
    let etcd = Etcd::start().await.unwrap();
    let all = run_together(async |name, ttl| run_with(&etcd, name, ttl, &[]).await);
    leaves_nothing(all, async || {
        let mut left = Vec::new();
        for (name, _) in TOGETHER {
            left.extend(of_sessions(&etcd, name).await);
        }
        left
    })
    .await;
}
