//! Servers of its own for each test, and a look into them.

use std::{sync::Arc, time::Duration};

use lock_core::{
    Coordinator, Kind, LineId, Options, Result, SessionId, SessionOptions,
    backend::{Backend as _, SharedSession},
    runtime::TokioRuntime,
};
use lock_testkit::{
    live::{PATIENCE, until},
    server::zookeeper::{ZooKeeper, ZooKeeperOptions},
};
use lock_zk::{
    Config, Zk,
    client::{Acls, Client, CreateMode, Error},
};

pub(crate) const NAMESPACE: &str = "faults";
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// Of sessions that are not to end.
pub(crate) const TTL: Duration = Duration::from_secs(20);

/// Servers, and a client that looks past their proxies' faults.
pub(crate) struct Cluster {
    pub(crate) server: ZooKeeper,
    pub(crate) spy: Client,
}

impl Cluster {
    pub(crate) async fn start(options: ZooKeeperOptions) -> Self {
        lock_check::bug::seed();
        let server = ZooKeeper::with(ZooKeeperOptions { tick: TICK, ..options }).await.unwrap();
        let direct: Vec<String> = server.servers().iter().map(|server| server.direct_endpoint()).collect();
        let spy =
            Client::connector().with_session_timeout(PATIENCE).connect(&direct.join(",")).await.unwrap();
        Self { server, spy }
    }

    /// One server, without proxies.
    pub(crate) async fn one() -> Self {
        Self::start(ZooKeeperOptions::default()).await
    }

    /// So many servers behind proxies.
    pub(crate) async fn proxied(servers: usize) -> Self {
        Self::start(ZooKeeperOptions { servers, proxied: true, ..ZooKeeperOptions::default() }).await
    }

    /// Kills all but the first server.
    pub(crate) fn lose_quorum(&self) {
        for server in &self.server.servers()[1..] {
            server.kill();
        }
    }

    pub(crate) fn config(&self) -> Config {
        config(self.server.endpoints())
    }

    /// Past the proxies.
    pub(crate) fn direct_config(&self) -> Config {
        config(self.server.servers().iter().map(|server| server.direct_endpoint()))
    }

    pub(crate) async fn user(&self) -> Coordinator {
        try_user(self.config(), TTL).await.unwrap()
    }

    pub(crate) async fn direct_user(&self) -> Coordinator {
        try_user(self.direct_config(), TTL).await.unwrap()
    }

    /// Every ephemeral node of ours: what lives with a session. Containers go by themselves, and cells stay.
    pub(crate) async fn ephemerals(&self) -> Vec<String> {
        self.ephemerals_under(NAMESPACE).await
    }

    /// The same of another namespace.
    pub(crate) async fn ephemerals_under(&self, namespace: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![format!("/{namespace}")];
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

    /// The ephemeral nodes that are in line, or hold.
    pub(crate) async fn claims(&self) -> Vec<String> {
        let mut found = self.ephemerals().await;
        found.retain(|path| !path.contains("/session/"));
        found
    }

    /// The only claim there is.
    pub(crate) async fn claim(&self) -> String {
        let claims = self.claims().await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.into_iter().next().unwrap()
    }

    /// The queue of a mutex.
    pub(crate) async fn queue(&self, mutex: &str) -> String {
        let queues = format!("/{NAMESPACE}/mutex/{mutex}/q");
        let names = self.spy.list_children(&queues).await.unwrap();
        let name = names.iter().find(|name| name.len() == 16).unwrap();
        format!("{queues}/{name}")
    }

    /// Makes a node that stays.
    pub(crate) async fn put(&self, path: &str, data: &[u8]) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.spy.create(path, data, &options).await.unwrap();
    }

    /// Deletes a node and all below it.
    pub(crate) async fn delete_all(&self, path: &str) {
        let mut all = vec![path.to_owned()];
        let mut at = 0;
        while let Some(path) = all.get(at).cloned() {
            let names = self.spy.list_children(&path).await.unwrap_or_default();
            all.extend(names.iter().map(|name| format!("{path}/{name}")));
            at += 1;
        }
        for path in all.iter().rev() {
            let deleted = self.spy.delete(path, None).await;
            assert!(matches!(deleted, Ok(()) | Err(Error::NoNode)), "{path}: {deleted:?}");
        }
    }

    /// Waits until nothing is left, once every session was closed.
    pub(crate) async fn is_empty(&self) {
        until("nothing is left", async || self.ephemerals().await.is_empty()).await;
    }
}

pub(crate) fn config<S: AsRef<str>>(endpoints: impl IntoIterator<Item = S>) -> Config {
    Config::new(endpoints).unwrap().namespace(NAMESPACE).unwrap().tick(TICK).unwrap()
}

pub(crate) async fn try_user(config: Config, ttl: Duration) -> Result<Coordinator> {
    Coordinator::open(Arc::new(Zk::new(config)?), Options::default().ttl(ttl)).await
}

/// A session, without the coordinator's care for it.
pub(crate) async fn session(config: Config, number: u64) -> SharedSession {
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let options = SessionOptions { id: SessionId::new(number), ttl: TTL, runtime };
    Zk::new(config).unwrap().open(options).await.unwrap()
}

/// A mutex's.
pub(crate) fn line(name: &str) -> LineId {
    LineId::new(Kind::Mutex, name.parse().unwrap())
}
