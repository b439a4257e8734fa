//! One server.

use std::{fmt, fs, io, net::SocketAddr, path::PathBuf};

use tokio::net::TcpStream;

use super::tap::Tap;
use crate::{
    port::Port,
    proxy::Proxy,
    server::{
        ask,
        node::{Node, Setup},
    },
};

/// A server of a [`ZooKeeper`](super::ZooKeeper).
pub struct Server {
    node: Node,
    site: Site,
}

/// Where a server is.
pub(super) struct Site {
    pub(super) client: Port,
    /// Where clients speak TLS.
    pub(super) secure: Option<Port>,
    /// Where the others follow it.
    pub(super) quorum: Port,
    /// Where the others vote.
    pub(super) election: Port,
    pub(super) front: Option<Front>,
}

/// What is between clients and a server: first the proxy, then the tap.
pub(super) struct Front {
    pub(super) proxy: Proxy,
    pub(super) tap: Tap,
}

impl Front {
    pub(super) async fn start(server: SocketAddr) -> io::Result<Self> {
        let tap = Tap::start(server).await?;
        Ok(Self { proxy: Proxy::start(tap.address()).await?, tap })
    }
}

/// What a server is to the others, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is the only one.
    Standalone,
    /// It leads.
    Leader,
    /// It follows a leader.
    Follower,
    /// It knows no leader, and lets clients read who ask for no more.
    ReadOnly,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.node.name()).field(&self.endpoint()).finish()
    }
}

impl Server {
    pub(super) const fn new(setup: Setup, site: Site) -> Self {
        Self { node: Node::new(setup), site }
    }

    /// Its address for clients, "127.0.0.1:port", through the proxy and the tap if it is proxied.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let direct = self.site.client.address();
        self.client_proxy().map_or(direct, Proxy::address).to_string()
    }

    /// Its address for clients as [`endpoint`](Self::endpoint), past the proxy and the tap.
    #[must_use]
    pub fn direct_endpoint(&self) -> String {
        self.site.client.address().to_string()
    }

    /// Where clients speak TLS with it, past the proxy and the tap; none when they do not.
    #[must_use]
    pub fn secure_endpoint(&self) -> Option<SocketAddr> {
        self.site.secure.as_ref().map(Port::address)
    }

    /// The proxy between clients and this server, if it is proxied.
    #[must_use]
    pub fn client_proxy(&self) -> Option<&Proxy> {
        self.site.front.as_ref().map(|front| &front.proxy)
    }

    /// The tap between the proxy and this server, if it is proxied.
    #[must_use]
    pub fn tap(&self) -> Option<&Tap> {
        self.site.front.as_ref().map(|front| &front.tap)
    }

    /// Where it writes down its transactions: the folder of its files `log.*`.
    #[must_use]
    pub fn transactions(&self) -> PathBuf {
        self.node.folder().join(self.node.name()).join("version-2")
    }

    /// What it has said since it was first started.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn log(&self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.node.log())?).into_owned())
    }

    /// Kills it with SIGKILL, paused or not; what is dead already stays dead. Its data stays.
    pub fn kill(&self) {
        self.node.kill();
    }

    /// Starts it with the data that it has and on the same ports, and waits until it is ready: so enough of
    /// the other servers must run. Does not start it a second time.
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

    /// Waits until it serves: it leads, follows or is alone.
    ///
    /// # Errors
    ///
    /// With the last lines of its log, when it ends or is not ready within a minute.
    pub async fn ready(&self) -> Result<(), String> {
        let ready = self.node.ready(|| self.is_ready()).await;
        ready.map_err(|error| format!("zookeeper: {error}"))
    }

    async fn is_ready(&self) -> bool {
        // It listens for TLS last.
        let listens = match self.secure_endpoint() {
            Some(secure) => TcpStream::connect(secure).await.is_ok(),
            None => true,
        };
        listens && self.mode().await.is_ok_and(|mode| mode.is_some_and(|mode| mode != Mode::ReadOnly))
    }

    pub(super) async fn leads(&self) -> bool {
        self.serves() && matches!(self.mode().await, Ok(Some(Mode::Leader | Mode::Standalone)))
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

    /// What it says it is; none when it serves nobody, as during an election.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub async fn mode(&self) -> Result<Option<Mode>, String> {
        Ok(mode(&self.ask("srvr").await?))
    }

    /// What it answers to one of ZooKeeper's four letter words, all of which are allowed: "srvr", "mntr",
    /// "dump"... It is asked directly, past its proxy.
    ///
    /// # Errors
    ///
    /// When it does not answer within two seconds.
    pub async fn ask(&self, word: &str) -> Result<String, String> {
        let answer: io::Result<String> = ask(&**self.node.runtime(), self.site.client.address(), word).await;
        answer.map_err(|error| format!("server {}: {error}", self.node.name()))
    }
}

/// The mode in an answer to "srvr".
fn mode(answer: &str) -> Option<Mode> {
    match answer.lines().find_map(|line| line.strip_prefix("Mode: "))? {
        "standalone" => Some(Mode::Standalone),
        "leader" => Some(Mode::Leader),
        "follower" => Some(Mode::Follower),
        "read-only" => Some(Mode::ReadOnly),
        _ => None,
    }
}
