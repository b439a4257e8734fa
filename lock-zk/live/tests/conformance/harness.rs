//! ZooKeeper for the suite: each case has a server or an ensemble to itself, and a namespace that nobody had
//! before. Servers are used again: starting one takes longer than most cases.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lock_core::{SessionId, backend::Backend, runtime::SharedRuntime};
use lock_testkit::{
    harness::{self, Control, Harness},
    live::{Lent, Pool},
    machine::Machine,
    proxy::{Fault, Proxy},
    server::zookeeper::{Tap, ZooKeeper, ZooKeeperOptions},
};
use lock_zk::{Config, Layout, Zk, client::Client};

/// Short, because cases wait for sessions to end; a machine that stands still for a second ends none.
const TTL: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct ZkHarness {
    layout: Layout,
    servers: Pool<ZooKeeper>,
    at_once: usize,
    cases: AtomicU64,
}

impl ZkHarness {
    /// Starts so many ensembles of so many servers; behind proxies when there are several.
    pub(crate) async fn start(layout: Layout, servers: usize, at_once: usize) -> Self {
        let mut pool = Vec::new();
        for _ in 0..at_once {
            let proxied = servers > 1;
            // The servers speak through this process: while it stands still they keep their leader.
            let options = ZooKeeperOptions {
                servers,
                proxied,
                tick: TICK,
                sync_limit: 20,
                ..ZooKeeperOptions::default()
            };
            pool.push(ZooKeeper::with(options).await.unwrap());
        }
        Self { layout, servers: pool.into_iter().collect(), at_once, cases: AtomicU64::new(0) }
    }
}

#[async_trait]
impl Harness for ZkHarness {
    async fn store(&self) -> Result<Box<dyn harness::Store>, String> {
        let server = self.servers.lend()?;
        let namespace = format!("suite/{}", self.cases.fetch_add(1, Ordering::Relaxed));
        let machine = Machine::new().map_err(|error| error.to_string())?;
        let spy = Client::connect(&server.endpoints().join(",")).await.map_err(|error| error.to_string())?;
        Ok(Box::new(Store { layout: self.layout, server, namespace, machine, spy, ways: Arc::default() }))
    }

    fn at_once(&self) -> usize {
        self.at_once
    }
}

/// One client's way to one server: a link that knows what it carries, behind one that can fall silent.
struct Way {
    proxy: Proxy,
    tap: Tap,
}

struct Store {
    layout: Layout,
    server: Lent<ZooKeeper>,
    namespace: String,
    machine: Machine,
    /// Looks at what is left.
    spy: Client,
    /// The ways of all clients.
    ways: Arc<Mutex<Vec<Arc<Way>>>>,
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
        let mut ways = Vec::new();
        for endpoint in self.server.endpoints() {
            let tap = Tap::start(endpoint.parse().unwrap()).await.unwrap();
            let proxy = Proxy::start(tap.address()).await.unwrap();
            ways.push(Arc::new(Way { proxy, tap }));
        }
        self.ways.lock().unwrap().extend(ways.iter().cloned());
        let config = Config::new(ways.iter().map(|way| way.proxy.address().to_string())).unwrap();
        let config = config.namespace(&self.namespace).unwrap().layout(self.layout).tick(TICK).unwrap();
        Box::new(Party {
            backend: Arc::new(Zk::new(config).unwrap()),
            ways,
            machine: Machine::new().unwrap(),
        })
    }

    async fn requests(&self) -> Option<u64> {
        Some(self.ways.lock().unwrap().iter().map(|way| way.tap.requests()).sum())
    }

    /// What lives with a session. Containers go by themselves, and cells stay.
    async fn residue(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![format!("/{}", self.namespace)];
        self.spy.sync("/").await.unwrap();
        while let Some(path) = left.pop() {
            let Ok((names, stat)) = self.spy.get_children(&path).await else { continue };
            left.extend(names.iter().map(|name| format!("{path}/{name}")));
            if stat.ephemeral_owner != 0 {
                found.push(path);
            }
        }
        found
    }

    async fn restart(&self) -> Control {
        self.server.restart().await.unwrap();
        Control::Done
    }
}

struct Party {
    backend: Arc<Zk>,
    ways: Vec<Arc<Way>>,
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

    /// Every request renews a session, so none may pass.
    async fn freeze_renewals(&self, _: SessionId, frozen: bool) -> Control {
        for way in &self.ways {
            way.proxy.set(if frozen { Fault::Blackhole } else { Fault::Pass });
        }
        Control::Done
    }

    async fn lose_reply(&self, _: SessionId, after: u64) -> Control {
        let in_use = self.ways.iter().find(|way| way.proxy.connections() > 0);
        in_use.unwrap().tap.lose_reply(after);
        Control::Done
    }

    async fn lost_replies(&self, _: SessionId) -> u64 {
        self.ways.iter().map(|way| way.tap.lost()).sum()
    }

    async fn advance_clock(&self, by: Duration) -> Control {
        self.machine.suspend(by);
        Control::Done
    }
}
