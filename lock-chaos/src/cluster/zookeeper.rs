//! ZooKeeper.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use lock_testkit::{
    proxy::Fault,
    server::zookeeper::{Server, ZooKeeper, ZooKeeperOptions},
};

use super::{Cluster, Operation, mute, said};
use crate::{
    chronicle::Chronicle,
    truth::{Kept, Truth, zookeeper::Observer},
};

const PATIENCE: Duration = Duration::from_secs(2);

/// Where the locks lie.
const NAMESPACE: &str = "chaos";

const TICK: Duration = Duration::from_millis(100);

pub(super) struct ZooKeeperCluster {
    zookeeper: ZooKeeper,
    observer: Observer,
}

impl ZooKeeperCluster {
    pub(super) async fn start(servers: usize, lines: usize, chronicle: &Chronicle) -> Result<Self, String> {
        let options = ZooKeeperOptions { servers, proxied: true, tick: TICK, ..ZooKeeperOptions::default() };
        let zookeeper = ZooKeeper::with(options).await?;
        let direct: Vec<String> = zookeeper.servers().iter().map(Server::direct_endpoint).collect();
        let observer = Observer::start(&direct.join(","), lines, chronicle.clone()).await?;
        Ok(Self { zookeeper, observer })
    }

    fn server(&self, node: usize) -> Result<&Server, String> {
        self.zookeeper.servers().get(node).ok_or_else(|| format!("there is no server {node}"))
    }
}

#[async_trait]
impl Cluster for ZooKeeperCluster {
    fn nodes(&self) -> usize {
        self.zookeeper.servers().len()
    }

    fn doors(&self) -> Result<Vec<SocketAddr>, String> {
        let taps = self.zookeeper.servers().iter().map(Server::tap);
        taps.map(|tap| Ok(tap.ok_or("nothing is proxied")?.address())).collect()
    }

    fn uri(&self, ways: &[SocketAddr], ttl: Duration) -> String {
        let hosts: Vec<String> = ways.iter().map(ToString::to_string).collect();
        let (ttl, tick) = (humantime::format_duration(ttl), humantime::format_duration(TICK));
        format!("zk://{}/{NAMESPACE}?ttl={ttl}&tick={tick}", hosts.join(","))
    }

    async fn version(&self) -> Result<String, String> {
        let status = self.server(0)?.ask("srvr").await?;
        let version = status.lines().find_map(|line| line.strip_prefix("Zookeeper version: "));
        let version = version.and_then(|version| version.split(['-', ',']).next());
        Ok(format!("ZooKeeper {}", version.unwrap_or("of an unknown version")))
    }

    async fn leader(&self) -> Option<usize> {
        tokio::time::timeout(PATIENCE, self.zookeeper.leader()).await.ok()?.ok()
    }

    fn kill(&self, node: usize) {
        if let Ok(server) = self.server(node) {
            server.kill();
        }
    }

    fn launch(&self, node: usize) -> Result<(), String> {
        self.server(node)?.launch()
    }

    fn pause(&self, node: usize) -> Result<(), String> {
        self.server(node)?.pause()
    }

    fn resume(&self, node: usize) -> Result<(), String> {
        self.server(node)?.resume()
    }

    fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String> {
        self.zookeeper.separate(one, other, fault)
    }

    fn mute(&self, from: usize, to: usize, muted: bool) -> Result<(), String> {
        let links =
            |from, to| self.zookeeper.links(from, to).ok_or_else(|| format!("no link from {from} to {to}"));
        mute(&links(from, to)?, &links(to, from)?, muted);
        Ok(())
    }

    fn lose_reply(&self, node: usize, after: u64) -> Option<()> {
        self.server(node).ok()?.tap()?.lose_reply(after);
        Some(())
    }

    fn heal(&self) {
        self.zookeeper.heal();
    }

    async fn ready(&self) -> Result<(), String> {
        self.zookeeper.ready().await
    }

    async fn operate(&self, operation: Operation) -> Result<(), String> {
        Err(format!("ZooKeeper knows no {operation:?}"))
    }

    /// The nodes that live with a session; a server's dump has them, and it is asked for all of them.
    async fn left(&self) -> Result<Vec<String>, String> {
        let mut left = Vec::new();
        for server in self.zookeeper.servers() {
            let dump = server.ask("dump").await?;
            let nodes =
                dump.lines().map(str::trim).filter(|line| line.starts_with(&format!("/{NAMESPACE}/")));
            left.extend(nodes.map(str::to_owned));
        }
        left.sort_unstable();
        left.dedup();
        Ok(left)
    }

    fn logs(&self) -> Vec<String> {
        self.zookeeper.servers().iter().map(|server| server.log().unwrap_or_default()).collect()
    }

    async fn truth(&self) -> Result<Truth, String> {
        let mut kept = Vec::new();
        for server in self.zookeeper.servers() {
            kept.push(Kept { transactions: server.transactions(), log: server.log().map_err(said)? });
        }
        self.observer.finish(&kept, NAMESPACE).map_err(said)
    }
}
