//! etcd for the suite: a server or a cluster for each case.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Channel, Client, ConnectOptions, GetOptions};
use lock_core::{SessionId, backend::Backend, runtime::SharedRuntime};
use lock_etcd::{Etcd, Layout};
use lock_testkit::{
    harness::{self, Control, Harness},
    machine::Machine,
    server::etcd::{Etcd as Server, EtcdOptions},
};
use tonic::transport::Endpoint;
use tower::util::BoxCloneSyncService;

use crate::channel::{Faults, Faulty};

/// Everything of the suite lies here.
pub(crate) const NAMESPACE: &str = "suite";

/// Short, because cases wait for sessions to end; the least that the test servers grant is 1 s.
pub(crate) const TTL: Duration = Duration::from_secs(2);

/// Makes servers of so many members; behind proxies when there are several.
pub(crate) struct EtcdHarness {
    pub(crate) layout: Layout,
    pub(crate) members: usize,
    pub(crate) at_once: usize,
}

#[async_trait]
impl Harness for EtcdHarness {
    async fn store(&self) -> Result<Box<dyn harness::Store>, String> {
        // Members speak through this process: while it stands still they keep their leader.
        let arguments = vec!["--election-timeout=1300".to_owned()];
        let (members, proxied) = (self.members, self.members > 1);
        let options = EtcdOptions { members, proxied, arguments, ..EtcdOptions::default() };
        let server = Server::with(options).await?;
        let machine = Machine::new().map_err(|error| error.to_string())?;
        let spy = client_of(server.endpoints().into_iter().take(1), Arc::default()).await?;
        Ok(Box::new(Store { layout: self.layout, server, machine, spy }))
    }

    fn at_once(&self) -> usize {
        self.at_once
    }
}

/// A client of all members, with faults of its own.
pub(crate) async fn client(server: &Server, faults: Arc<Faults>) -> Result<Client, String> {
    client_of(server.endpoints(), faults).await
}

async fn client_of(
    endpoints: impl IntoIterator<Item = String>,
    faults: Arc<Faults>,
) -> Result<Client, String> {
    let endpoints: Result<Vec<Endpoint>, _> = endpoints.into_iter().map(Endpoint::from_shared).collect();
    // No pings: no case cuts the network, and nobody repeats the calls to a server that stood still for a moment.
    let endpoints = endpoints.map_err(|error| error.to_string())?;
    let endpoints = endpoints.into_iter().map(|endpoint| endpoint.connect_timeout(TTL));
    let inner = tonic::transport::Channel::balance_list(endpoints);
    let channel = Channel::Custom(BoxCloneSyncService::new(Faulty { inner, faults }));
    let options = ConnectOptions::new().with_require_leader(true);
    Client::from_channel(channel, Some(options)).await.map_err(|error| error.to_string())
}

struct Store {
    layout: Layout,
    server: Server,
    machine: Machine,
    /// Looks at what is left; its own requests are served too, so it is quiet while requests are counted. It asks
    /// one member alone: each lists the leases that it knows of itself, and has those of all when it has just
    /// answered a linearizable read.
    spy: Client,
}

#[async_trait]
impl harness::Store for Store {
    fn runtime(&self) -> SharedRuntime {
        self.machine.shared()
    }

    fn ttl(&self) -> Duration {
        TTL
    }

    async fn client(&self) -> Box<dyn harness::Client> {
        let faults = Arc::new(Faults::default());
        let etcd = client(&self.server, faults.clone()).await.unwrap();
        let backend = Arc::new(Etcd::from_client_in(self.layout, etcd, Some(NAMESPACE)).unwrap());
        Box::new(Party { backend, faults, machine: Machine::new().unwrap() })
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.server.requests().await.unwrap())
    }

    async fn residue(&self) -> Vec<String> {
        let everything = GetOptions::new().with_prefix().with_keys_only();
        let keys = self.spy.kv_client().get(format!("{NAMESPACE}/"), Some(everything)).await.unwrap();
        let keys = keys.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned());
        let leases = self.spy.lease_client().leases().await.unwrap();
        let leases = leases.leases().iter().map(|lease| format!("lease {}", lease.id()));
        keys.filter(|key| !key.ends_with("/cell")).chain(leases).collect()
    }

    async fn finish(&self) {
        self.server.stop();
    }

    async fn restart(&self) -> Control {
        self.server.restart().await.unwrap();
        Control::Done
    }
}

struct Party {
    backend: Arc<Etcd>,
    faults: Arc<Faults>,
    machine: Machine,
}

#[async_trait]
impl harness::Client for Party {
    fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    fn runtime(&self) -> SharedRuntime {
        self.machine.shared()
    }

    async fn freeze_renewals(&self, _: SessionId, frozen: bool) -> Control {
        self.faults.freeze_renewals(frozen);
        Control::Done
    }

    async fn lose_reply(&self, _: SessionId, after: u64) -> Control {
        self.faults.lose_reply(after);
        Control::Done
    }

    async fn lost_replies(&self, _: SessionId) -> u64 {
        self.faults.lost_replies()
    }

    async fn advance_clock(&self, by: Duration) -> Control {
        self.machine.suspend(by);
        Control::Done
    }
}
