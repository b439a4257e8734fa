//! The servers, as faults and the truth need them.

mod etcd;
mod zookeeper;

use std::{fmt::Display, io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_testkit::proxy::{Direction, Fault, Proxy};

use self::{etcd::EtcdCluster, zookeeper::ZooKeeperCluster};
use crate::{chronicle::Chronicle, cli::Backend, truth::Truth};

/// Servers of one kind, behind proxies.
#[async_trait]
pub(crate) trait Cluster: Send + Sync {
    /// How many there are.
    fn nodes(&self) -> usize;

    /// Where each client's own way to each of them leads.
    fn doors(&self) -> Result<Vec<SocketAddr>, String>;

    /// The store's URI for a client whose ways begin there.
    fn uri(&self, ways: &[SocketAddr], ttl: Duration) -> String;

    /// Which version it is.
    async fn version(&self) -> Result<String, String>;

    /// Who leads, as soon as that is clear.
    async fn leader(&self) -> Option<usize>;

    /// SIGKILL. Its data stays.
    fn kill(&self, node: usize);

    /// Starts it again, and does not wait.
    fn launch(&self, node: usize) -> Result<(), String>;

    /// SIGSTOP.
    fn pause(&self, node: usize) -> Result<(), String>;

    /// SIGCONT.
    fn resume(&self, node: usize) -> Result<(), String>;

    /// Sets a fault on all links between two of them.
    fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String>;

    /// Sets a fault on what one of them sends to another.
    fn mute(&self, from: usize, to: usize, muted: bool) -> Result<(), String>;

    /// Loses the reply that comes after so many others. None when only bytes can be counted.
    fn lose_reply(&self, node: usize, after: u64) -> Option<()>;

    /// Ends the faults of all links between servers.
    fn heal(&self);

    /// Waits until all servers serve.
    async fn ready(&self) -> Result<(), String>;

    /// Does to the store what operators do.
    async fn operate(&self, operation: Operation) -> Result<(), String>;

    /// What sessions have left behind in the store.
    async fn left(&self) -> Result<Vec<String>, String>;

    /// What each server has said.
    fn logs(&self) -> Vec<String>;

    /// Everything that the store has written down; nobody uses it any more.
    async fn truth(&self) -> Result<Truth, String>;
}

/// What operators do to a store, and what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Forgets its history.
    Compact,
    /// Gives back room; one member stands still meanwhile.
    Defragment(usize),
    /// Says that there is no room left.
    Fill,
    /// Says that there is room.
    Clear,
}

/// Starts servers of this kind; none for the store in memory. `pulse`: what happens to them is noted there.
pub(crate) async fn start(
    backend: Backend,
    nodes: usize,
    lines: usize,
    chronicle: &Chronicle,
) -> Result<Option<Arc<dyn Cluster>>, String> {
    Ok(match backend {
        Backend::Etcd => Some(Arc::new(EtcdCluster::start(nodes, chronicle).await?)),
        Backend::Zookeeper => Some(Arc::new(ZooKeeperCluster::start(nodes, lines, chronicle).await?)),
        Backend::Memory => None,
    })
}

/// A way from each client to each server, of its own.
pub(crate) struct Ways(Vec<Vec<Proxy>>);

impl Ways {
    pub(crate) async fn new(clients: usize, doors: &[SocketAddr]) -> io::Result<Self> {
        let mut ways = Vec::new();
        for _ in 0..clients {
            let mut of_client = Vec::new();
            for door in doors {
                of_client.push(Proxy::start(*door).await?);
            }
            ways.push(of_client);
        }
        Ok(Self(ways))
    }

    /// Where the ways of each client begin.
    pub(crate) fn starts(&self) -> Vec<Vec<SocketAddr>> {
        self.0.iter().map(|ways| ways.iter().map(Proxy::address).collect()).collect()
    }

    /// Sets a fault on the ways of a client to this server, or to all.
    pub(crate) fn set(&self, client: usize, node: Option<usize>, fault: Fault) {
        let ways = self.0.get(client).into_iter().flatten().enumerate();
        for (_, way) in ways.filter(|(number, _)| node.is_none_or(|node| node == *number)) {
            way.set(fault);
        }
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        self.0.iter().flatten().for_each(|way| way.set(Fault::Pass));
    }
}

/// Sets a fault on what one server sends to the other: their links carry it as answers, too.
fn mute(there: &[&Proxy], back: &[&Proxy], muted: bool) {
    let fault = |direction| if muted { Fault::OneWay(direction) } else { Fault::Pass };
    there.iter().for_each(|link| link.set(fault(Direction::ToServer)));
    back.iter().for_each(|link| link.set(fault(Direction::ToClient)));
}

fn said(error: impl Display) -> String {
    error.to_string()
}
