//! A cluster of its own for each test, and a look into it.

use std::{sync::Arc, time::Duration};

use etcd_client::{Client, ConnectOptions, DeleteOptions, GetOptions};
use lock_core::{Coordinator, Options, Result};
use lock_etcd::{Config, Etcd};
use lock_testkit::{
    live::until,
    server::etcd::{Etcd as Server, EtcdOptions},
};

pub(crate) const NAMESPACE: &str = "faults";

/// A cluster, and a client that looks past its proxies' faults.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) etcd: Client,
}

impl Cluster {
    pub(crate) async fn start(options: EtcdOptions) -> Self {
        Self::seen_by(options, ConnectOptions::new()).await
    }

    /// With these options for the client that looks.
    pub(crate) async fn seen_by(options: EtcdOptions, client: ConnectOptions) -> Self {
        lock_check::bug::seed();
        let server = Server::with(options).await.unwrap();
        let direct: Vec<String> = server.members().iter().map(|member| member.direct_endpoint()).collect();
        let etcd = Client::connect(direct, Some(client)).await.unwrap();
        Self { server, etcd }
    }

    /// One member, without proxies.
    pub(crate) async fn one() -> Self {
        Self::start(EtcdOptions::default()).await
    }

    /// So many members behind proxies.
    pub(crate) async fn proxied(members: usize) -> Self {
        Self::start(EtcdOptions { members, proxied: true, ..EtcdOptions::default() }).await
    }

    pub(crate) fn config(&self) -> Config {
        let timeout = Duration::from_secs(2);
        let endpoints = self.server.endpoints();
        // Whether TLS is spoken is no matter of the endpoint.
        let endpoints = endpoints.iter().map(|url| url.trim_start_matches("https://"));
        let config = Config::new(endpoints).unwrap().namespace(NAMESPACE).unwrap();
        config.request_timeout(timeout).unwrap()
    }

    /// Past the proxies.
    pub(crate) fn direct_config(&self) -> Config {
        let direct = self.server.members().iter().map(|member| member.direct_endpoint());
        Config::new(direct).unwrap().namespace(NAMESPACE).unwrap()
    }

    pub(crate) async fn try_user(&self, config: Config, ttl: Duration) -> Result<Coordinator> {
        Coordinator::open(Arc::new(Etcd::new(config)), Options::default().ttl(ttl)).await
    }

    pub(crate) async fn user(&self, ttl: Duration) -> Coordinator {
        self.try_user(self.config(), ttl).await.unwrap()
    }

    /// Every key of ours, cells apart.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let all = GetOptions::new().with_prefix().with_keys_only();
        let found = self.etcd.kv_client().get(format!("{NAMESPACE}/"), Some(all)).await.unwrap();
        let keys = found.kvs().iter().map(|kv| kv.key_str().unwrap().to_owned());
        keys.filter(|key| !key.ends_with("/cell")).collect()
    }

    pub(crate) async fn leases(&self) -> usize {
        self.etcd.lease_client().leases().await.unwrap().leases().len()
    }

    /// The only key that contains `part`.
    pub(crate) async fn key(&self, part: &str) -> String {
        let keys: Vec<String> = self.keys().await.into_iter().filter(|key| key.contains(part)).collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        keys.into_iter().next().unwrap()
    }

    pub(crate) async fn put(&self, key: &str, value: &str) {
        self.etcd.kv_client().put(key, value, None).await.unwrap();
    }

    pub(crate) async fn delete(&self, key: &str) {
        self.etcd.kv_client().delete(key, None::<DeleteOptions>).await.unwrap();
    }

    /// Forgets the history until now.
    pub(crate) async fn compact(&self) {
        let now = self.etcd.kv_client().get("now", None).await.unwrap().header().unwrap().revision();
        self.etcd.kv_client().compact(now, None).await.unwrap();
    }

    /// Waits until nothing is asked any more: nobody tries again and again.
    pub(crate) async fn is_quiet(&self) {
        let before = std::cell::Cell::new(0);
        until("nothing is asked any more", async || {
            // Longer than anybody pauses before trying again.
            tokio::time::sleep(Duration::from_millis(600)).await;
            let now = self.server.requests().await.unwrap();
            before.replace(now) == now
        })
        .await;
    }

    /// Waits until nothing is left, once every session was closed.
    pub(crate) async fn is_empty(&self) {
        until("nothing is left", async || self.keys().await.is_empty() && self.leases().await == 0).await;
    }
}
