//! etcd: one member or a cluster of them.

mod member;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use lock_core::runtime::{SharedRuntime, TokioRuntime};

pub use member::Member;
use member::Site;

use super::{
    ServerTls, find,
    folder::Folder,
    mesh::{Door, Mesh},
    metrics::label,
    node::Setup,
    on_free_ports, patience, text,
};
use crate::{
    port::Port,
    proxy::{Fault, Proxy},
};

/// The peer port of a member, as the other members of a proxied cluster see it.
const PEER_PORT: u16 = 2380;

/// What an [`Etcd`] is started with.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// How many members it has; 1.
    pub members: usize,
    /// At which size its data is full, in bytes; etcd's own limit when there is none. The least that it
    /// takes is a few pages of 4096 bytes.
    pub quota_backend_bytes: Option<u64>,
    /// Whether clients reach the members, and members each other, through proxies; no.
    pub proxied: bool,
    /// Below which folder its data is; in memory, where there is room, when none is named.
    pub folder: Option<PathBuf>,
    /// Whether what it acknowledged survives a loss of power, where there is a choice; no.
    pub durable: bool,
    /// Whether clients reach the members over TLS; no. Members reach each other without.
    pub tls: Option<ServerTls>,
    /// More arguments of each member.
    pub arguments: Vec<String>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            members: 1,
            quota_backend_bytes: None,
            proxied: false,
            folder: None,
            durable: false,
            tls: None,
            arguments: Vec::new(),
        }
    }
}

/// A running cluster. Dropping it kills its members and deletes their data.
///
/// Elections take half a second to a second, and a lease may last as little as one second.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    /// Empty when nothing is proxied.
    mesh: Mesh,
    runtime: SharedRuntime,
}

impl Etcd {
    /// Starts one member, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub async fn start() -> Result<Self, String> {
        Self::with(EtcdOptions::default()).await
    }

    /// Starts a cluster of so many members, and waits until all are ready.
    ///
    /// # Errors
    ///
    /// As [`with`](Self::with).
    pub async fn cluster(members: usize) -> Result<Self, String> {
        Self::with(EtcdOptions { members, ..Default::default() }).await
    }

    /// Starts a cluster, and waits until all members are ready.
    ///
    /// The program is what the variable `YOURTURN_ETCD` names, else `etcd` on `PATH`.
    ///
    /// # Errors
    ///
    /// In words, with the last lines of a member's log: when etcd is not installed, does not start or is not
    /// ready within a minute; and outside a tokio runtime.
    pub async fn with(options: EtcdOptions) -> Result<Self, String> {
        let program = find("YOURTURN_ETCD", "etcd").ok_or(
            "there is no etcd: install it (Debian's package is etcd-server), or name the program in YOURTURN_ETCD",
        )?;
        on_free_ports(|| Self::attempt(&program, &options)).await
    }

    async fn attempt(program: &Path, options: &EtcdOptions) -> Result<Self, String> {
        let etcd = Self::prepare(program, options).await.map_err(|error| format!("etcd: {error}"))?;
        for member in &etcd.members {
            member.launch()?;
        }
        etcd.ready().await?;
        Ok(etcd)
    }

    /// Everything but the processes.
    async fn prepare(program: &Path, options: &EtcdOptions) -> io::Result<Self> {
        let runtime: SharedRuntime = Arc::new(TokioRuntime::current().map_err(io::Error::other)?);
        let folder = Arc::new(Folder::new(options.folder.as_deref())?);
        let mut sites = Vec::new();
        for number in 0..options.members {
            let (client, peer) = (Port::reserve()?, Port::reserve()?);
            let proxy = if options.proxied { Some(Proxy::start(client.address()).await?) } else { None };
            let peer_url = if options.proxied { front(number) } else { peer.address() };
            let look = if options.tls.is_some() { Some(Port::reserve()?) } else { None };
            sites.push(Site { client, peer, look, proxy, peer_url: format!("http://{peer_url}") });
        }
        let doors =
            |(number, site): (usize, &Site)| vec![Door { known: front(number), real: site.peer.address() }];
        let doors: Vec<_> =
            sites.iter().enumerate().filter(|(_, site)| site.proxy.is_some()).map(doors).collect();
        let mesh = Mesh::start(&doors).await?;

        let named: Vec<String> =
            sites.iter().enumerate().map(|(number, site)| format!("m{number}={}", site.peer_url)).collect();
        let common = common_arguments(program, options, &named.join(","), &text(folder.path()));
        let members = sites.into_iter().enumerate().map(|(number, site)| {
            let setup = Setup {
                name: format!("m{number}"),
                program: PathBuf::from(program),
                arguments: common.clone(),
                environment: environment(mesh.way_out(number)),
                folder: Arc::clone(&folder),
                runtime: Arc::clone(&runtime),
            };
            Member::new(setup, site)
        });
        Ok(Self { members: members.collect(), mesh, runtime })
    }

    /// The addresses for clients, as those of a [`Member`], through the proxies if there are any.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// The members, running or not.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The link on which member `from` connects to member `to`; none when nothing is proxied.
    ///
    /// Each pair has two links, and uses both for either way: most of what one member sends goes over
    /// connections that the other one opened, as answers. See [`separate`](Self::separate).
    #[must_use]
    pub fn link(&self, from: usize, to: usize) -> Option<&Proxy> {
        self.mesh.links(from, to)?.first()
    }

    /// Sets a fault on both links between two members.
    ///
    /// # Errors
    ///
    /// When nothing is proxied, or there is no such member.
    pub fn separate(&self, one: usize, other: usize, fault: Fault) -> Result<(), String> {
        self.mesh.separate(one, other, fault)
    }

    /// Sets a fault on all links between a member and the others. Clients still reach it.
    ///
    /// # Errors
    ///
    /// As [`separate`](Self::separate).
    pub fn isolate(&self, member: usize, fault: Fault) -> Result<(), String> {
        self.mesh.isolate(member, fault)
    }

    /// Ends the faults of all proxies, those of clients included.
    pub fn heal(&self) {
        self.mesh.heal();
        for proxy in self.members.iter().filter_map(Member::client_proxy) {
            proxy.set(Fault::Pass);
        }
    }

    /// Kills all members at once. Their data stays.
    pub fn stop(&self) {
        for member in &self.members {
            member.kill();
        }
    }

    /// Kills all members and starts them again with their data, and waits until they are ready. What clients
    /// sent before is no more counted by [`requests`](Self::requests).
    ///
    /// # Errors
    ///
    /// As [`Member::start`].
    pub async fn restart(&self) -> Result<(), String> {
        self.stop();
        for member in &self.members {
            member.launch()?;
        }
        self.ready().await
    }

    /// Waits until each member that runs and is not paused is ready: it serves, and knows a leader.
    ///
    /// # Errors
    ///
    /// With the last lines of its log, when a member ends or is not ready within a minute.
    pub async fn ready(&self) -> Result<(), String> {
        for member in self.members.iter().filter(|member| member.serves()) {
            member.ready().await?;
        }
        Ok(())
    }

    /// The member that leads, once there is exactly one that says so; killed and paused members say nothing.
    ///
    /// A leader that is cut off from the others believes for half a second that it still leads: after that,
    /// ask for the [`next_leader`](Self::next_leader).
    ///
    /// # Errors
    ///
    /// When there is none within a minute.
    pub async fn leader(&self) -> Result<usize, String> {
        self.find_leader(None).await
    }

    /// The member that leads, once there is exactly one that says so and it is not `former`.
    ///
    /// # Errors
    ///
    /// When there is none within a minute.
    pub async fn next_leader(&self, former: usize) -> Result<usize, String> {
        self.find_leader(Some(former)).await
    }

    async fn find_leader(&self, former: Option<usize>) -> Result<usize, String> {
        let leader = patience::leader(&*self.runtime, &self.members, former, Member::leads).await;
        leader.ok_or_else(|| "etcd: no member leads".to_owned())
    }

    /// How many messages clients have sent over gRPC to the members that run, since those started; renewals
    /// of leases do not count, nor the read that goes with each (`lock-etcd` makes no other `Range`: what it
    /// reads for its lines, it reads in transactions), nor does what concerns the members and not the data (the
    /// services `Maintenance`, `Cluster` and `Health`). A message of a watch's stream counts, as it starts or
    /// ends a watch.
    ///
    /// # Errors
    ///
    /// When a member that runs and is not paused does not answer.
    pub async fn requests(&self) -> Result<u64, String> {
        self.sum(|metric| {
            metric.starts_with("grpc_server_msg_received_total{")
                && !matches!(label(metric, "grpc_method"), Some("LeaseKeepAlive" | "Range"))
                && !matches!(
                    label(metric, "grpc_service"),
                    None | Some(
                        "etcdserverpb.Maintenance" | "etcdserverpb.Cluster" | "grpc.health.v1.Health"
                    )
                )
        })
        .await
    }

    /// How many watches are open in the members that run.
    ///
    /// # Errors
    ///
    /// As [`requests`](Self::requests).
    pub async fn watchers(&self) -> Result<u64, String> {
        self.sum(|metric| metric == "etcd_debugging_mvcc_watcher_total").await
    }

    /// The sum over the members that serve of these metrics, which are whole numbers.
    async fn sum(&self, wanted: impl Fn(&str) -> bool) -> Result<u64, String> {
        let mut sum = 0.0;
        for member in self.members.iter().filter(|member| member.serves()) {
            let metrics = member.metrics().await?;
            sum += metrics.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum::<f64>();
        }
        Ok(sum as u64)
    }
}

/// The address by which the members of a proxied cluster know one of them: of a network for documentation
/// (RFC 5737), to which nothing is ever sent.
fn front(number: usize) -> SocketAddr {
    let host = u8::try_from(number + 1).unwrap_or(u8::MAX);
    (Ipv4Addr::new(192, 0, 2, host), PEER_PORT).into()
}

/// The variables of a member whose connections to the others go out there.
fn environment(way_out: Option<SocketAddr>) -> Vec<(String, String)> {
    let out = way_out.map(|out| ("HTTP_PROXY".to_owned(), format!("socks5://{out}")));
    // etcd 3.4 starts on nothing but amd64 without it.
    let arm = cfg!(target_arch = "aarch64").then(|| ("ETCD_UNSUPPORTED_ARCH".to_owned(), "arm64".to_owned()));
    out.into_iter().chain(arm).collect()
}

/// The arguments that all members have.
fn common_arguments(program: &Path, options: &EtcdOptions, members: &str, token: &str) -> Vec<String> {
    let mut arguments: Vec<String> = [
        ["--initial-cluster", members],
        ["--initial-cluster-token", token],
        ["--initial-cluster-state", "new"],
        ["--heartbeat-interval", "50"],
        // A lease lasts at least one and a half times this long, rounded up to a second.
        ["--election-timeout", "500"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    if let Some(bytes) = options.quota_backend_bytes {
        arguments.extend(["--quota-backend-bytes".to_owned(), bytes.to_string()]);
    }
    if let Some(ServerTls { certificate, key, clients }) = &options.tls {
        let files = [("--cert-file", Some(certificate)), ("--key-file", Some(key))];
        let files = files.into_iter().chain([("--trusted-ca-file", clients.as_ref())]);
        let given = files.filter_map(|(flag, file)| Some(format!("{flag}={}", file?.display())));
        arguments.extend(given.chain(clients.iter().map(|_| "--client-cert-auth".to_owned())));
    }
    // From version 3.5 on. A test needs what it wrote to survive a killed process, and no lost power.
    let help = Command::new(program).arg("--help").output();
    if !options.durable
        && help
            .is_ok_and(|help| [help.stdout, help.stderr].iter().any(|it| mentions(it, "--unsafe-no-fsync")))
    {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

fn mentions(output: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(output).contains(word)
}

/// Metrics by name and labels, as [`Member::metrics`] gives them.
pub type Metrics = BTreeMap<String, f64>;
