//! One member.

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lock_core::runtime::SharedRuntime;

use super::{Metrics, Patience};
use crate::{
    port::Port,
    proxy::Proxy,
    server::{folder::Folder, http, metrics, process::Process, tail, text},
};

/// A member of an [`Etcd`](super::Etcd).
pub struct Member {
    /// First, so that it is killed before its folder is deleted.
    process: Mutex<Option<Process>>,
    setup: Setup,
}

/// What stays the same over a member's restarts.
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) site: Site,
    /// What leads its connections to the other members through their links.
    pub(super) out: Option<SocketAddr>,
    pub(super) folder: Arc<Folder>,
    pub(super) runtime: SharedRuntime,
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
        f.debug_tuple("Member").field(&self.setup.name).field(&self.endpoint()).finish()
    }
}

impl Member {
    pub(super) const fn new(setup: Setup) -> Self {
        Self { process: Mutex::new(None), setup }
    }

    /// Its address for clients, "http://127.0.0.1:port" or with TLS "https://127.0.0.1:port", through the
    /// proxy if there is one.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let direct = self.setup.site.client.address();
        self.url(self.client_proxy().map_or(direct, Proxy::address))
    }

    /// Its address for clients as [`endpoint`](Self::endpoint), past the proxy if there is one.
    #[must_use]
    pub fn direct_endpoint(&self) -> String {
        self.url(self.setup.site.client.address())
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("http{}://{address}", if self.setup.site.look.is_some() { "s" } else { "" })
    }

    /// The proxy between clients and this member, if it is proxied.
    #[must_use]
    pub const fn client_proxy(&self) -> Option<&Proxy> {
        self.setup.site.proxy.as_ref()
    }

    /// Kills it with SIGKILL, paused or not; what is dead already stays dead. Its data stays.
    pub fn kill(&self) {
        *self.process() = None;
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
        let mut process = self.process();
        if process.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        let started =
            Process::start(&self.setup.program, &self.arguments(), &self.environment(), &self.log());
        *process = Some(started.map_err(|error| format!("{}: {error}", self.setup.program.display()))?);
        Ok(())
    }

    /// Waits until it serves and knows a leader.
    ///
    /// # Errors
    ///
    /// With the last lines of its log, when it ends or is not ready within a minute.
    pub async fn ready(&self) -> Result<(), String> {
        let patience = Patience::new(&*self.setup.runtime);
        let mut problem = "is not ready".to_owned();
        while patience.lasts().await {
            let ended = self.process().as_mut().map(Process::ended);
            match ended {
                Some(None) if self.is_ready().await => return Ok(()),
                Some(None) => continue,
                None => problem = "is not started".to_owned(),
                Some(Some(status)) => problem = format!("has ended: {status}"),
            }
            break;
        }
        Err(format!("etcd: member {} {problem}; its log:\n{}", self.setup.name, tail(&self.log())))
    }

    async fn is_ready(&self) -> bool {
        // A member that is full is as ready as it can be.
        let health = self.get("/health?exclude=NOSPACE").await.unwrap_or_default();
        health.contains(r#""health":"true""#)
            && self.metrics().await.is_ok_and(|it| it.get("etcd_server_has_leader") == Some(&1.0))
    }

    pub(super) async fn leads(&self) -> bool {
        self.metrics().await.is_ok_and(|it| it.get("etcd_server_is_leader") == Some(&1.0))
    }

    /// Stops it in its tracks (SIGSTOP): its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause(&self) -> Result<(), String> {
        self.signal(Process::pause)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume(&self) -> Result<(), String> {
        self.signal(Process::resume)
    }

    fn signal(&self, signal: impl FnOnce(&mut Process) -> io::Result<()>) -> Result<(), String> {
        let mut process = self.process();
        let process = process.as_mut().ok_or_else(|| format!("member {} is not started", self.setup.name))?;
        signal(process).map_err(|error| format!("member {}: {error}", self.setup.name))
    }

    /// Whether it runs and is not paused.
    pub(super) fn serves(&self) -> bool {
        self.process().as_mut().is_some_and(|process| !process.is_paused() && process.ended().is_none())
    }

    /// Its metrics by name and labels as they are written: `name{label="value"}`. It is asked directly, past
    /// its proxy.
    ///
    /// # Errors
    ///
    /// When it does not answer within two seconds.
    pub async fn metrics(&self) -> Result<Metrics, String> {
        let text = self.get("/metrics").await;
        Ok(metrics::parse(&text.map_err(|error| format!("member {}: {error}", self.setup.name))?))
    }

    async fn get(&self, path: &str) -> io::Result<String> {
        let site = &self.setup.site;
        let server = site.look.as_ref().unwrap_or(&site.client).address();
        http::get(&*self.setup.runtime, server, path).await
    }

    fn arguments(&self) -> Vec<String> {
        let setup = &self.setup;
        let (client, peer) = (setup.site.client.address(), setup.site.peer.address());
        let own = [
            ("--name", setup.name.clone()),
            ("--data-dir", text(&setup.folder.path().join(&setup.name))),
            ("--listen-client-urls", self.url(client)),
            ("--advertise-client-urls", self.endpoint()),
            ("--listen-peer-urls", format!("http://{peer}")),
            ("--initial-advertise-peer-urls", setup.site.peer_url.clone()),
        ];
        let look = setup.site.look.as_ref().map(|look| format!("http://{}", look.address()));
        let own = own.into_iter().chain(look.map(|url| ("--listen-metrics-urls", url)));
        let own = own.flat_map(|(flag, value)| [flag.to_owned(), value]);
        own.chain(setup.arguments.iter().cloned()).collect()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let out = self.setup.out.map(|out| ("HTTP_PROXY".to_owned(), format!("socks5://{out}")));
        // etcd 3.4 starts on nothing but amd64 without it.
        let arm =
            cfg!(target_arch = "aarch64").then(|| ("ETCD_UNSUPPORTED_ARCH".to_owned(), "arm64".to_owned()));
        out.into_iter().chain(arm).collect()
    }

    fn log(&self) -> PathBuf {
        self.setup.folder.path().join(format!("{}.log", self.setup.name))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
