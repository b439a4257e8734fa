//! Servers that speak TLS, and who is who to them.

use std::net::SocketAddr;

use lock_core::{Coordinator, ErrorKind, Result};
use lock_testkit::{
    live::{chain, close, soon, takes_turns},
    server::{
        ServerTls,
        certificates::{Authority, Identity},
        zookeeper::{ZooKeeper, ZooKeeperOptions},
    },
};
use lock_zk::{Config, Tls, client::Client};

use crate::support::{Cluster, TICK, TTL, config, try_user};

/// How servers present themselves, in most tests.
pub(crate) const HERE: &[&str] = &["127.0.0.1"];

/// Who may do everything: `super:open`, as ZooKeeper writes it down.
const SUPERUSER: &str =
    "zookeeper.DigestAuthenticationProvider.superDigest=super:fJFGr9DG3pjj+ZcNzWBoN2VhlLA=";

/// Servers with TLS on one port and none on another, and a client that sees everything.
pub(crate) async fn servers(tls: ServerTls, options: ZooKeeperOptions) -> Cluster {
    let properties = [options.properties, vec![SUPERUSER.to_owned()]].concat();
    let options = ZooKeeperOptions { tls: Some(tls), tick: TICK, properties, ..options };
    let server = ZooKeeper::with(options).await.unwrap();
    let connector = Client::connector().with_session_timeout(TTL).with_auth("digest", b"super:open");
    let spy = connector.connect(&server.endpoints().join(",")).await.unwrap();
    Cluster { server, spy }
}

/// One server with this certificate, that asks for client certificates of `clients`.
pub(crate) async fn server(identity: &Identity, clients: Option<&Authority>) -> Cluster {
    servers(ServerTls::new(identity, clients), ZooKeeperOptions::default()).await
}

/// Where the servers speak TLS.
pub(crate) fn secure(cluster: &Cluster) -> Vec<SocketAddr> {
    cluster.server.servers().iter().map(|server| server.secure_endpoint().unwrap()).collect()
}

/// Whoever reaches the servers there.
pub(crate) fn at<A: ToString>(addresses: impl IntoIterator<Item = A>) -> Config {
    config(addresses.into_iter().map(|address| address.to_string()))
}

pub(crate) fn trusting(authority: &Authority) -> Tls {
    Tls::new().ca(authority.certificate())
}

pub(crate) fn shown(identity: &Identity, tls: Tls) -> Tls {
    tls.identity(&identity.certificate, &identity.key)
}

pub(crate) async fn open(config: Config) -> Result<Coordinator> {
    soon("an answer", try_user(config, TTL)).await
}

/// Why it is not let in. Waits for so long that whoever tries again until the timeout fails the test.
pub(crate) async fn refusal(config: Config) -> (ErrorKind, String) {
    let config = config.connect_timeout(std::time::Duration::from_mins(5)).unwrap();
    let error = open(config).await.unwrap_err();
    (error.kind(), chain(&error))
}

/// Servers that demand client certificates, with one authority for all.
pub(crate) struct Guarded {
    pub(crate) cluster: Cluster,
    pub(crate) authority: Authority,
}

impl Guarded {
    pub(crate) async fn start() -> Self {
        Self::with(ZooKeeperOptions::default()).await
    }

    pub(crate) async fn with(options: ZooKeeperOptions) -> Self {
        let authority = Authority::new().unwrap();
        let tls = ServerTls::new(&authority.server(HERE).unwrap(), Some(&authority));
        Self { cluster: servers(tls, options).await, authority }
    }

    /// What Java does for the first time takes it so long that short sessions would not outlive it.
    pub(crate) async fn warm_up(&self) {
        for _ in 0..3 {
            let one = open(self.config("warm-up")).await.unwrap();
            let other = open(self.config("warm-up")).await.unwrap();
            takes_turns(&one, &other).await;
            close([one, other]).await;
        }
    }

    /// With a certificate of this common name.
    pub(crate) fn tls(&self, common_name: &str) -> Tls {
        shown(&self.authority.client(common_name).unwrap(), trusting(&self.authority))
    }

    pub(crate) fn config(&self, common_name: &str) -> Config {
        at(secure(&self.cluster)).tls(self.tls(common_name))
    }

    /// Past TLS, by the port that has none.
    pub(crate) fn plain_config(&self) -> Config {
        self.cluster.config()
    }
}
