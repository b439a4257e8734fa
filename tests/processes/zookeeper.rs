//! On ZooKeeper.

use lock_testkit::server::zookeeper::ZooKeeper;

use super::{leaves_nothing, run_together};

async fn run(zookeeper: &ZooKeeper, name: &str, arguments: &[&str]) {
    run_with(zookeeper, name, "2s", arguments).await;
}

async fn run_with(zookeeper: &ZooKeeper, name: &str, timeout: &str, arguments: &[&str]) {
    let hosts = zookeeper.endpoints().join(",");
    let uri = format!("zk://{hosts}/{name}?session_timeout={timeout}&tick=100ms");
    super::run(&uri, name, arguments).await;
}

/// The nodes that live with a session.
async fn of_sessions(zookeeper: &ZooKeeper) -> Vec<String> {
    let mut nodes = Vec::new();
    for server in zookeeper.servers() {
        let dump = server.ask("dump").await.unwrap();
        nodes.extend(dump.lines().map(str::trim).filter(|line| line.starts_with('/')).map(str::to_owned));
    }
    nodes
}

#[tokio::test]
async fn c8_leadership_moves_on_when_its_process_is_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    leaves_nothing(run(&zookeeper, "leader_election", &[]), async || of_sessions(&zookeeper).await).await;
}

#[tokio::test]
async fn c8_each_tick_completes_once_although_a_process_is_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    leaves_nothing(run(&zookeeper, "task_scheduler", &["--for", "8s"]), async || {
        of_sessions(&zookeeper).await
    })
    .await;
}

#[tokio::test]
async fn c17_a_late_write_is_refused_by_zookeeper_itself() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    run(&zookeeper, "fenced_writes", &[]).await;
}

#[tokio::test]
async fn c8_the_examples_of_further_recipes_come_out_although_processes_are_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let all = run_together(async |name, timeout| run_with(&zookeeper, name, timeout, &[]).await);
    leaves_nothing(all, async || of_sessions(&zookeeper).await).await;
}
