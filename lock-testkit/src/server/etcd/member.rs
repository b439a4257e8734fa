//! One member.

use std::{fmt, fs, io, net::SocketAddr, path::PathBuf};

use super::Metrics;
use crate::{
    port::Port,
    proxy::Proxy,
    server::{
        http, metrics,
        node::{Node, Setup},
        text,
    },
};

/// A member of an [`Etcd`](super::Etcd).
pub struct Member {
    node: Node,
    site: Site,
}

/// Where a member is.
pub(super) struct Site {
    pub(super) client: Port,
    pub(super) peer: Port,
    /// Where it says without TLS how it is, when clients use TLS.
    pub(super) look: Option<Port>,
    /// Where the other members look for it.
    pub(super) peer_url: String,
    /// Between clients and it.
    pub(super) proxy: Option<Proxy>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.node.name()).field(&self.endpoint()).finish()
    }
}

impl Member {
    /// The arguments of `setup` are what it shares with the other members.
    pub(super) fn new(mut setup: Setup, site: Site) -> Self {
        let mut arguments = site.arguments(&setup);
        arguments.append(&mut setup.arguments);
        Self { node: Node::new(Setup { arguments, ..setup }), site }
    }

    /// Its address for clients, "http://127.0.0.1:port" or with TLS "https://127.0.0.1:port", through the
    /// proxy if there is one.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.site.advertised()
    }

    /// Its address for clients as [`endpoint`](Self::endpoint), past the proxy if there is one.
    #[must_use]
    pub fn direct_endpoint(&self) -> String {
        self.site.url(self.site.client.address())
    }

    /// The proxy between clients and this member, if it is proxied.
    #[must_use]
    pub const fn client_proxy(&self) -> Option<&Proxy> {
        self.site.proxy.as_ref()
    }

    /// Kills it with SIGKILL, paused or not; what is dead already stays dead. Its data stays.
    pub fn kill(&self) {
        self.node.kill();
    }

    /// Starts it with the data that it has and on the same ports, and waits until it is ready: so enough of
    /// the other members must run. Does not start it a second time.
    ///
    /// # Errors
    ///
    /// As [`launch`](Self::launch) and [`ready`](Self::ready).
    pub async fn start(&self) -> Result<(), String> {
        self.launch()?;
        self.ready().await
    }

    /// Starts it as [`start`](Self::start) does, and does not wait.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn launch(&self) -> Result<(), String> {
        self.node.launch()
    }

    /// Waits until it serves and knows a leader.
    ///
    /// # Errors
    ///
    /// With the last lines of its log, when it ends or is not ready within a minute.
    pub async fn ready(&self) -> Result<(), String> {
        let ready = self.node.ready(|| self.is_ready()).await;
        ready.map_err(|error| format!("etcd: {error}"))
    }

    async fn is_ready(&self) -> bool {
        // A member that is full is as ready as it can be.
        let health = self.get("/health?exclude=NOSPACE").await.unwrap_or_default();
        health.contains(r#""health":"true""#)
            && self.metrics().await.is_ok_and(|it| it.get("etcd_server_has_leader") == Some(&1.0))
    }

    pub(super) async fn leads(&self) -> bool {
        self.serves() && self.metrics().await.is_ok_and(|it| it.get("etcd_server_is_leader") == Some(&1.0))
    }

    /// Stops it in its tracks (SIGSTOP): its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause(&self) -> Result<(), String> {
        self.node.pause()
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume(&self) -> Result<(), String> {
        self.node.resume()
    }

    /// Whether it runs and is not paused.
    pub(super) fn serves(&self) -> bool {
        self.node.serves()
    }

    /// Where it writes down its transactions: the folder of its files `*.wal`.
    #[must_use]
    pub fn transactions(&self) -> PathBuf {
        self.node.folder().join(self.node.name()).join("member").join("wal")
    }

    /// What it has said since it was first started.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn log(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.node.log())?).into_owned())
    }

    /// Its metrics by name and labels as they are written: `name{label="value"}`. It is asked directly, past
    /// its proxy.
    ///
    /// # Errors
    ///
    /// When it does not answer within two seconds.
    pub async fn metrics(&self) -> Result<Metrics, String> {
        let text = self.get("/metrics").await;
        Ok(metrics::parse(&text.map_err(|error| format!("member {}: {error}", self.node.name()))?))
    }

    async fn get(&self, path: &str) -> io::Result<String> {
        let server = self.site.look.as_ref().unwrap_or(&self.site.client).address();
        http::get(&**self.node.runtime(), server, path).await
    }
}

impl Site {
    fn url(&self, address: SocketAddr) -> String {
        format!("http{}://{address}", if self.look.is_some() { "s" } else { "" })
    }

    /// Where clients look for it.
    fn advertised(&self) -> String {
        self.url(self.proxy.as_ref().map_or(self.client.address(), Proxy::address))
    }

    /// The arguments of the member that is here.
    fn arguments(&self, setup: &Setup) -> Vec<String> {
        let own = [
            ("--name", setup.name.clone()),
            ("--data-dir", text(&setup.folder.path().join(&setup.name))),
            ("--listen-client-urls", self.url(self.client.address())),
            ("--advertise-client-urls", self.advertised()),
            ("--listen-peer-urls", format!("http://{}", self.peer.address())),
            ("--initial-advertise-peer-urls", self.peer_url.clone()),
        ];
        let look = self.look.as_ref().map(|look| format!("http://{}", look.address()));
        let own = own.into_iter().chain(look.map(|url| ("--listen-metrics-urls", url)));
        own.flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}
