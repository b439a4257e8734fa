//! On ZooKeeper.

use lock_testkit::server::zookeeper::ZooKeeper;

use super::leaves_nothing;

async fn run(zookeeper: &ZooKeeper, name: &str, arguments: &[&str]) {
    let hosts = zookeeper.endpoints().join(",");
    super::run(&format!("zk://{hosts}/{name}?session_timeout=2s&tick=100ms"), name, arguments).await;
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
