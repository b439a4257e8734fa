//! ZooKeeper: one server or an ensemble of them.

mod config;
mod frames;
mod server;
mod tap;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use lock_core::runtime::{SharedRuntime, TokioRuntime};
use server::{Front, Site};
pub use server::{Mode, Server};
pub use tap::Tap;

use self::config::{Installed, installed};
use super::{
    ServerTls,
    folder::Folder,
    mesh::{Door, Mesh},
    node::Setup,
    on_free_ports, patience,
};
use crate::{
    port::Port,
    proxy::{Fault, Proxy},
};

/// What a [`ZooKeeper`] is started with.
#[derive(Clone, Debug)]
pub struct ZooKeeperOptions {
    /// How many servers it has; 1, which is alone and no ensemble.
    pub servers: usize,
    /// Whether clients reach the servers, and servers each other, through proxies; no.
    pub proxied: bool,
    /// How long a tick is, of which a session lasts at least two; 100 ms.
    pub tick: Duration,
    /// For how many ticks a follower and its leader may not hear of each other; 10.
    pub sync_limit: u32,
    /// How many ticks a follower may take to get the leader's data; 30.
    pub init_limit: u32,
    /// How often empty containers are deleted; once a minute, as is ZooKeeper's own.
    pub container_check: Duration,
    /// Below which folder its data is; in memory, where there is room, when none is named.
    pub folder: Option<PathBuf>,
    /// Whether what it acknowledged survives a loss of power; no.
    pub durable: bool,
    /// Whether a server that knows no leader lets clients read who ask for no more; no.
    pub read_only: bool,
    /// Whether clients reach the servers over TLS too, at [`Server::secure_endpoint`]; no. Servers reach each
    /// other without.
    pub tls: Option<ServerTls>,
    /// More arguments of each server's Java machine; of two that contradict each other the last one counts.
    pub arguments: Vec<String>,
    /// More system properties of each server, "name=value"; of two with the same name the last one counts.
    pub properties: Vec<String>,
    /// More lines of each server's configuration; of two with the same name the last one counts.
    pub lines: Vec<String>,
}

impl Default for ZooKeeperOptions {
    fn default() -> Self {
        Self {
            servers: 1,
            proxied: false,
            tick: Duration::from_millis(100),
            sync_limit: 10,
            init_limit: 30,
            container_check: Duration::from_secs(60),
            folder: None,
            durable: false,
            read_only: false,
            tls: None,
            arguments: Vec::new(),
            properties: Vec::new(),
            lines: Vec::new(),
        }
    }
}

/// One running server, or an ensemble. Dropping it kills its servers and deletes their data.
///
/// A session lasts at most a minute. An election takes half a second to a second, after
/// [`sync_limit`](ZooKeeperOptions::sync_limit) when the leader does not answer.
#[derive(Debug)]
pub struct ZooKeeper {
    servers: Vec<Server>,
    /// Empty when nothing is proxied.
    mesh: Mesh,
    runtime: SharedRuntime,
}

impl ZooKeeper {
    /// Starts one server, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub async fn start() -> Result<Self, String> {
        Self::with(ZooKeeperOptions::default()).await
    }

    /// Starts an ensemble of so many servers, and waits until all are ready.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub async fn ensemble(servers: usize) -> Result<Self, String> {
        Self::with(ZooKeeperOptions { servers, ..Default::default() }).await
    }

    /// Starts one server or an ensemble, and waits until all servers are ready.
    ///
    /// The program is what the variable `YOURTURN_JAVA` names, else `java` on `PATH`; the variable
    /// `YOURTURN_ZOOKEEPER_CLASSPATH` is its class path, else it is where Debian has ZooKeeper.
    ///
    /// # Errors
    ///
    /// In words, with the last lines of a server's log: when Java or ZooKeeper is not installed, does not
    /// start or is not ready within a minute; and outside a tokio runtime.
    pub async fn with(options: ZooKeeperOptions) -> Result<Self, String> {
        let installed = installed()?;
        on_free_ports(|| Self::attempt(&installed, &options)).await
    }

    async fn attempt(installed: &Installed, options: &ZooKeeperOptions) -> Result<Self, String> {
        let prepared = Self::prepare(installed, options).await;
        let zookeeper = prepared.map_err(|error| format!("zookeeper: {error}"))?;
        for server in &zookeeper.servers {
            server.launch()?;
        }
        zookeeper.ready().await?;
        Ok(zookeeper)
    }

    /// Everything but the processes.
    async fn prepare(installed: &Installed, options: &ZooKeeperOptions) -> io::Result<Self> {
        let runtime: SharedRuntime = Arc::new(TokioRuntime::current().map_err(io::Error::other)?);
        let folder = Arc::new(Folder::new(options.folder.as_deref())?);
        let mut sites = Vec::new();
        for _ in 0..options.servers {
            let [client, quorum, election] = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
            let secure = if options.tls.is_some() { Some(Port::reserve()?) } else { None };
            let front = if options.proxied { Some(Front::start(client.address()).await?) } else { None };
            sites.push(Site { client, secure, quorum, election, front });
        }
        // A server tells the others where it listens, and they go there: so the way must lead through a link,
        // whatever the address.
        let doors = |site: &Site| {
            [&site.quorum, &site.election].map(|port| Door { known: port.address(), real: port.address() })
        };
        let doors: Vec<_> = sites.iter().filter(|_| options.proxied).map(|site| doors(site).into()).collect();
        let mesh = Mesh::start(&doors).await?;

        let mut files = Vec::new();
        for number in 0..options.servers {
            files.push(config::write(folder.path(), options, number, &sites)?);
        }
        let servers = sites.into_iter().zip(files).enumerate().map(|(number, (site, file))| {
            let setup = Setup {
                name: format!("s{number}"),
                program: installed.java.clone(),
                arguments: config::arguments(installed, options, mesh.way_out(number), &file),
                environment: Vec::new(),
                folder: Arc::clone(&folder),
                runtime: Arc::clone(&runtime),
            };
            Server::new(setup, site)
        });
        Ok(Self { servers: servers.collect(), mesh, runtime })
    }

    /// The addresses for clients, as those of a [`Server`], through the proxies if there are any.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.servers.iter().map(Server::endpoint).collect()
    }

    /// The servers, running or not.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The links on which server `from` connects to server `to`: first the one to where it follows it when
    /// that one leads, then the one to where it votes. None when nothing is proxied.
    ///
    /// Who leads sends to its followers over the connections that they opened. Of two servers, the one with
    /// the higher number opens the connection on which both vote. See [`separate`](Self::separate).
    #[must_use]
    pub fn links(&self, from: usize, to: usize) -> Option<[&Proxy; 2]> {
        let [quorum, election] = self.mesh.links(from, to)? else { return None };
        Some([quorum, election])
    }

    /// Sets a fault on all links between two servers.
    ///
    /// # Errors
    ///
    /// When nothing is proxied, or there is no such server.
    pub fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String> {
        self.mesh.separate(one, other, fault)
    }

    /// Sets a fault on all links between a server and the others. Clients still reach it.
    ///
    /// # Errors
    ///
    /// As [`separate`](Self::separate).
    pub fn isolate(&self, server: usize, fault: Fault) -> Result<(), String> {
        self.mesh.isolate(server, fault)
    }

    /// Ends the faults of all proxies, those of clients included; taps lose nothing any more.
    pub fn heal(&self) {
        self.mesh.heal();
        for server in &self.servers {
            if let Some(proxy) = server.client_proxy() {
                proxy.set(Fault::Pass);
            }
            if let Some(tap) = server.tap() {
                tap.lose_nothing();
            }
        }
    }

    /// Kills all servers at once. Their data stays.
    pub fn stop(&self) {
        for server in &self.servers {
            server.kill();
        }
    }

    /// Kills all servers and starts them again with their data, and waits until they are ready.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub async fn restart(&self) -> Result<(), String> {
        self.stop();
        for server in &self.servers {
            server.launch()?;
        }
        self.ready().await
    }

    /// Waits until each server that runs and is not paused is ready: it leads, follows or is alone.
    ///
    /// # Errors
    ///
    /// With the last lines of its log, when a server ends or is not ready within a minute.
    pub async fn ready(&self) -> Result<(), String> {
        for server in self.servers.iter().filter(|server| server.serves()) {
            server.ready().await?;
        }
        Ok(())
    }

    /// The server that leads or is alone, once there is exactly one that says so; killed and paused ones say
    /// nothing.
    ///
    /// A leader that is cut off from the others still believes that it leads, for
    /// [`sync_limit`](ZooKeeperOptions::sync_limit): after that, ask for the
    /// [`next_leader`](Self::next_leader).
    ///
    /// # Errors
    ///
    /// When there is none within a minute.
    pub async fn leader(&self) -> Result<usize, String> {
        self.find_leader(None).await
    }

    /// The server that leads, once there is exactly one that says so and it is not `former`.
    ///
    /// # Errors
    ///
    /// When there is none within a minute.
    pub async fn next_leader(&self, former: usize) -> Result<usize, String> {
        self.find_leader(Some(former)).await
    }

    async fn find_leader(&self, former: Option<usize>) -> Result<usize, String> {
        let leader = patience::leader(&*self.runtime, &self.servers, former, Server::leads).await;
        leader.ok_or_else(|| "zookeeper: no server leads".to_owned())
    }

    /// How many requests clients have sent through the proxies since the start, over restarts of servers too;
    /// what renews sessions does not count, see [`Tap`].
    ///
    /// # Errors
    ///
    /// When nothing is proxied: servers themselves count what comes from clients and what does not as one.
    pub fn requests(&self) -> Result<u64, String> {
        let counts: Option<Vec<u64>> =
            self.servers.iter().map(|server| Some(server.tap()?.requests())).collect();
        Ok(counts.ok_or("zookeeper: nothing is proxied, so nobody counts")?.iter().sum())
    }
}
