//! etcd.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_testkit::{
    proxy::Fault,
    server::etcd::{Etcd, EtcdOptions, Member},
};
use yourturn::etcd::client::{AlarmAction, AlarmType, Client, ConnectOptions, GetOptions};

use super::{Cluster, Operation, mute, said};
use crate::{
    chronicle::Chronicle,
    truth::{Kept, Truth, etcd::Observer},
};

/// How long one who leads may take to be found.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the locks lie.
const NAMESPACE: &str = "chaos";

pub(super) struct EtcdCluster {
    etcd: Etcd,
    observer: Arc<Observer>,
}

impl EtcdCluster {
    pub(super) async fn start(members: usize, chronicle: &Chronicle) -> Result<Self, String> {
        // A run writes more than the log may grow by when nothing is ever compacted; and the log is read in the end.
        let arguments = ["--snapshot-count", "5000", "--max-wals", "0"].map(str::to_owned).to_vec();
        let options = EtcdOptions { members, proxied: true, arguments, ..EtcdOptions::default() };
        let etcd = Etcd::with(options).await?;
        let direct = etcd.members().iter().map(Member::direct_endpoint).collect();
        let observer = Observer::start(direct, NAMESPACE, chronicle.clone()).await?;
        Ok(Self { etcd, observer })
    }

    fn member(&self, node: usize) -> Result<&Member, String> {
        self.etcd.members().get(node).ok_or_else(|| format!("there is no member {node}"))
    }

    /// A client of this member, past the proxies.
    async fn client(&self, node: usize) -> Result<Client, String> {
        let options = ConnectOptions::new().with_timeout(PATIENCE).with_connect_timeout(PATIENCE);
        Client::connect([self.member(node)?.direct_endpoint()], Some(options)).await.map_err(said)
    }

    /// A client of the first member that answers for the cluster.
    async fn any(&self) -> Result<Client, String> {
        let mut said = "there are no members".to_owned();
        for node in 0..self.nodes() {
            match self.client(node).await {
                Ok(mut client) => match client.get("pulse", None).await {
                    Ok(_) => return Ok(client),
                    Err(error) => said = error.to_string(),
                },
                Err(error) => said = error,
            }
        }
        Err(said)
    }

    async fn alarm(&self, action: AlarmAction) -> Result<(), String> {
        self.any().await?.alarm(action, AlarmType::Nospace, None).await.map(drop).map_err(said)
    }
}

#[async_trait]
impl Cluster for EtcdCluster {
    fn nodes(&self) -> usize {
        self.etcd.members().len()
    }

    fn doors(&self) -> Result<Vec<SocketAddr>, String> {
        let direct = self.etcd.members().iter().map(Member::direct_endpoint);
        direct.map(|url| url.trim_start_matches("http://").parse().map_err(said)).collect()
    }

    fn uri(&self, ways: &[SocketAddr], ttl: Duration) -> String {
        let hosts: Vec<String> = ways.iter().map(ToString::to_string).collect();
        let ttl = humantime::format_duration(ttl);
        format!("etcd://{}/{NAMESPACE}?ttl={ttl}&request_timeout=2s", hosts.join(","))
    }

    async fn version(&self) -> Result<String, String> {
        let metrics = self.member(0)?.metrics().await?;
        let version = metrics.keys().find_map(|name| {
            name.strip_prefix("etcd_server_version{server_version=\"")?.strip_suffix("\"}").map(str::to_owned)
        });
        Ok(format!("etcd {}", version.unwrap_or_else(|| "of an unknown version".to_owned())))
    }

    async fn leader(&self) -> Option<usize> {
        tokio::time::timeout(PATIENCE, self.etcd.leader()).await.ok()?.ok()
    }

    fn kill(&self, node: usize) {
        if let Ok(member) = self.member(node) {
            member.kill();
        }
    }

    fn launch(&self, node: usize) -> Result<(), String> {
        self.member(node)?.launch()
    }

    fn pause(&self, node: usize) -> Result<(), String> {
        self.member(node)?.pause()
    }

    fn resume(&self, node: usize) -> Result<(), String> {
        self.member(node)?.resume()
    }

    fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String> {
        self.etcd.separate(one, other, fault)
    }

    fn mute(&self, from: usize, to: usize, muted: bool) -> Result<(), String> {
        let link = |from, to| self.etcd.link(from, to).ok_or_else(|| format!("no link from {from} to {to}"));
        mute(&[link(from, to)?], &[link(to, from)?], muted);
        Ok(())
    }

    fn lose_reply(&self, _: usize, _: u64) -> Option<()> {
        None
    }

    fn heal(&self) {
        self.etcd.heal();
    }

    async fn ready(&self) -> Result<(), String> {
        self.etcd.ready().await
    }

    async fn operate(&self, operation: Operation) -> Result<(), String> {
        match operation {
            Operation::Compact => {
                // Whoever watches from before must start anew: all but the one who must see everything.
                let seen = self.observer.seen();
                self.any().await?.compact(seen, None).await.map(drop).map_err(said)
            }
            Operation::Defragment(node) => {
                self.client(node).await?.defragment().await.map(drop).map_err(said)
            }
            Operation::Fill => self.alarm(AlarmAction::Activate).await,
            Operation::Clear => self.alarm(AlarmAction::Deactivate).await,
        }
    }

    /// Cells stay; so do tails and marks, which the next claim of the line replaces.
    async fn left(&self) -> Result<Vec<String>, String> {
        let mut client = self.any().await?;
        let all = GetOptions::new().with_prefix().with_keys_only();
        let found = client.get(format!("{NAMESPACE}/"), Some(all)).await.map_err(said)?;
        let keys = found.kvs().iter().map(|kv| kv.key_str().unwrap_or("?").to_owned());
        let stays = |key: &String| ["/cell", "/tail", "/mark"].iter().any(|end| key.ends_with(end));
        let mut left: Vec<String> = keys.filter(|key| !stays(key)).collect();
        let leases = client.leases().await.map_err(said)?;
        left.extend(leases.leases().iter().map(|lease| format!("lease {:x}", lease.id())));
        Ok(left)
    }

    fn logs(&self) -> Vec<String> {
        self.etcd.members().iter().map(|member| member.log().unwrap_or_default()).collect()
    }

    async fn truth(&self) -> Result<Truth, String> {
        let mut kept = Vec::new();
        for member in self.etcd.members() {
            kept.push(Kept { transactions: member.transactions(), log: member.log().map_err(said)? });
        }
        self.observer.finish(&kept).await
    }
}
