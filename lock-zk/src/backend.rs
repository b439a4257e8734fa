//! Opening a session, and ending it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Name, Result, SessionId, SessionOptions,
    backend::{Backend, SharedSession},
    runtime::{SharedRuntime, jitter},
};
use lock_tls::Tls;
use zookeeper_client::{Acls, Client, MultiWriteError, SessionInfo};

use crate::{
    beats::{Beats, least_timeout},
    cell::{make_own_node, remove_own_node},
    claims::{Claims, Protocol},
    classic::{Classic, Fleet},
    config::{Config, Layout, default_namespace, invalid, path_of},
    connection::{Connection, PAUSE},
    error::{is_unanswered, translated},
    paths::Namespace,
    queue::Native,
    renewal::Renewal,
    session::ZkSession,
    trouble::Trouble,
    way::Way,
};

/// A ZooKeeper ensemble: `zk://host:2181/namespace`.
///
/// Fair locks at a constant cost per turn: joining, waiting, handing over and leaving cost the same however
/// long the queue is, and a release wakes the next in line and nobody else. Tokens are the transactions that
/// brought claims into line (`czxid`): they rise across release, crash, restart and failover.
/// `docs/zookeeper-protocol.md` explains how.
///
/// The ttl is ZooKeeper's session timeout, in milliseconds; the ensemble grants none below its minimum (by
/// default two ticks: 4 s), which is an error, and none above its maximum (twenty ticks), to which it is
/// lowered. A guard's deadline counts what the *leader* has heard of, so it ends earlier than the ensemble
/// would end the session. When renewals stop, guards are valid for another 44 to 71 % of a ttl of 10 s, less
/// what requests take; for longer where the [tick](Config::tick) is known to be short.
///
/// A holder that died delays the next by its ttl and at most a tick and a half and 500 ms. (Half the ttl counts
/// for a tick that was not given.) When the ensemble changes its leader meanwhile, the new one grants every
/// session its full ttl once more.
///
/// Servers from 3.6 on. A session takes about 1,000 waiting claims: with more, a broken connection ends it
/// (`docs/zookeeper-protocol.md`).
#[derive(Clone)]
pub struct Zk {
    ensemble: Ensemble,
    place: Place,
    tick: Option<Duration>,
    connect_timeout: Duration,
    acls: Acls<'static>,
}

#[derive(Clone)]
enum Ensemble {
    Servers(Box<Config>),
    Client(Box<Client>),
}

/// Where locks lie.
#[derive(Clone, Debug)]
enum Place {
    Native(Namespace),
    Classic(Classic),
}

impl Place {
    fn new(layout: Layout, namespace: Option<&Name>) -> Result<Self> {
        if let Some(namespace) = namespace {
            path_of(namespace)?;
        }
        Ok(match (layout, namespace) {
            (Layout::Curator, namespace) => Self::Classic(Classic::new(Fleet::Curator, namespace)),
            (Layout::Kazoo, namespace) => Self::Classic(Classic::new(Fleet::Kazoo, namespace)),
            (Layout::Native, Some(namespace)) => Self::Native(Namespace::new(&path_of(namespace)?)),
            (Layout::Native, None) => Self::Native(Namespace::new(&path_of(&default_namespace()?)?)),
        })
    }

    /// Where sessions' own nodes and cells are.
    fn namespace(&self) -> Namespace {
        match self {
            Self::Native(namespace) => namespace.clone(),
            Self::Classic(classic) => Namespace::new(&classic.own()),
        }
    }
}

/// A session whose end is ours to tell.
#[derive(Clone)]
pub(crate) struct Owned {
    pub(crate) way: Arc<Way>,
    session: SessionInfo,
}

/// For a client of the user's own.
const TIMEOUT: Duration = Duration::from_secs(5);

impl Zk {
    /// The ensemble that `config` names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] for a namespace that ZooKeeper keeps for itself;
    /// [`ErrorKind::InvalidOption`] for a [`server_name`](crate::Tls::server_name).
    pub fn new(config: Config) -> Result<Self> {
        if config.tls.as_ref().is_some_and(Tls::has_server_name) {
            return Err(invalid(
                "ZooKeeper's certificates are checked for the host by which a server is reached: there is no server_name",
            ));
        }
        Ok(Self {
            place: Place::new(config.layout, config.namespace.as_ref())?,
            tick: config.tick,
            connect_timeout: config.connect_timeout,
            acls: if config.is_somebodys() { Acls::creator_all() } else { Acls::anyone_all() },
            ensemble: Ensemble::Servers(Box::new(config)),
        })
    }

    /// The ensemble that `client` is connected to, with everything under `namespace`: for programs that have
    /// a client with options of their own.
    ///
    /// Its session is shared: what a coordinator puts into the store ends with the client's session, its
    /// timeout is the ttl, whatever the options say, and closing the coordinator takes away what is the
    /// coordinator's and leaves the session alone. Abandoning one leaves its claims in line until the
    /// client's session ends.
    ///
    /// Once the client's session is over, every call that needs one answers [`ErrorKind::Refused`]: a new client
    /// takes a new coordinator. A guard whose claim may not be deleted any more ends with its coordinator's
    /// session ([`LostReason::Denied`]), but stays in line until the client's does.
    ///
    /// `tick` is the ensemble's `tickTime`, if it is known (see [`Config::tick`]).
    ///
    /// One that speaks TLS panics when it connects, where more than one cryptography is compiled in (as it is
    /// with etcd's TLS) and the program has chosen none: `CryptoProvider::install_default`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]: the rules for a namespace are those of a [`Name`].
    pub fn from_client(client: Client, namespace: &str, tick: Option<Duration>) -> Result<Self> {
        Self::from_client_in(Layout::Native, client, Some(namespace), tick)
    }

    /// As [`from_client`](Self::from_client), in another [`Layout`]. Without a namespace, locks lie where the
    /// layout has them by default.
    ///
    /// # Errors
    ///
    /// As [`from_client`](Self::from_client).
    pub fn from_client_in(
        layout: Layout,
        client: Client,
        namespace: Option<&str>,
        tick: Option<Duration>,
    ) -> Result<Self> {
        let namespace = namespace.map(str::parse).transpose()?;
        let place = Place::new(layout, namespace.as_ref())?;
        let (ensemble, acls) = (Ensemble::Client(Box::new(client)), Acls::anyone_all());
        Ok(Self { ensemble, place, tick, connect_timeout: TIMEOUT, acls })
    }

    /// Gives all rights on the nodes that it makes to whoever its sessions are authenticated as, and none to
    /// others, instead of all to all: for a [client](Self::from_client) that is authenticated. With
    /// [credentials](Config::credentials) or a [client certificate](Config::tls) it is so anyway.
    #[must_use]
    pub const fn owned_by_creator(mut self) -> Self {
        self.acls = Acls::creator_all();
        self
    }
}

impl fmt::Debug for Zk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Zk");
        match &self.ensemble {
            Ensemble::Servers(config) => debug.field("config", config),
            Ensemble::Client(_) => debug.field("place", &self.place),
        };
        debug.finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Zk {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let (runtime, limit) = (options.runtime.clone(), self.open_timeout());
        let (end, trouble) = (runtime.now() + limit, Trouble::default());
        tokio::select! { biased;
            opened = self.open_session(options, &trouble) => opened,
            () = runtime.sleep_until(end) => {
                let message = format!("ZooKeeper did not open a session within {limit:?}");
                Err(trouble.instead_of(Error::new(ErrorKind::Unavailable, message)))
            }
        }
    }
}

/// A session of ZooKeeper's that nothing has been done with yet.
struct Opened {
    id: SessionId,
    client: Client,
    owned: Option<Owned>,
    beats: Beats,
    lease: Arc<Lease>,
    runtime: SharedRuntime,
}

/// Ends the session that was not opened after all.
struct UnlessOpened(Option<(Arc<Connection>, Namespace, SessionId, Option<Owned>)>);

impl Drop for UnlessOpened {
    fn drop(&mut self) {
        if let Some((connection, namespace, id, owned)) = self.0.take() {
            connection.lease.lose(LostReason::Closed);
            let runtime = connection.runtime.clone();
            runtime.spawn(Box::pin(async move {
                match owned {
                    Some(owned) => {
                        drop(connection.cut());
                        drop(owned.end().await);
                    }
                    // The user's goes on, and its node may just be made.
                    None => drop(remove_own_node(&connection, &namespace, id).await),
                }
            }));
        }
    }
}

impl Zk {
    /// For how long a session may take to open: of a client of somebody else's, beats that are apart must say
    /// first since when it lives.
    fn open_timeout(&self) -> Duration {
        match &self.ensemble {
            Ensemble::Servers(_) => self.connect_timeout,
            Ensemble::Client(client) => self.connect_timeout + client.session_timeout(),
        }
    }

    async fn open_session(&self, options: SessionOptions, trouble: &Trouble) -> Result<SharedSession> {
        let SessionOptions { id, ttl, runtime } = options;
        let (client, owned, beats) = self.session(ttl, &runtime, trouble).await?;
        let base = beats.base().unwrap_or_else(|| runtime.now());
        let lease = Arc::new(Lease::new(runtime.clone(), base, client.session_timeout()));
        let opened = Opened { id, client, owned, beats, lease, runtime };
        match &self.place {
            Place::Native(namespace) => self.begin(opened, Native::new(namespace.clone())).await,
            Place::Classic(classic) => self.begin(opened, classic.clone()).await,
        }
    }

    async fn begin(&self, opened: Opened, protocol: impl Protocol) -> Result<SharedSession> {
        let Opened { id, client, owned, beats, lease, runtime } = opened;
        let (states, namespace, ttl) = (client.state_watcher(), self.place.namespace(), lease.ttl());
        let connection =
            Arc::new(Connection::new(client, namespace.root(), self.acls, lease, runtime.clone()));
        let unless_opened = (connection.clone(), namespace.clone(), id, owned.clone());
        let mut unless_opened = UnlessOpened(Some(unless_opened));
        make_own_node(&connection, &namespace, id).await?;

        let (claims, driver) = Claims::new(id, namespace, connection.clone(), protocol);
        let way = owned.as_ref().map(|owned| owned.way.clone());
        runtime.spawn(Box::pin(Renewal { connection, way, states, beats, allowed: false }.run()));
        runtime.spawn(Box::pin(driver.run(owned.clone())));
        unless_opened.0 = None;
        Ok(Arc::new(ZkSession::new(claims, owned, self.slack(ttl))))
    }

    /// A session of ZooKeeper's, and since when it is known to live.
    async fn session(
        &self,
        ttl: Duration,
        runtime: &SharedRuntime,
        trouble: &Trouble,
    ) -> Result<(Client, Option<Owned>, Beats)> {
        match &self.ensemble {
            Ensemble::Servers(config) => {
                self.can_keep(ttl)?;
                let way = Arc::new(Way::new(Config::clone(config))?);
                let (sent, client) = way.connect(ttl, &**runtime, trouble).await?;
                let granted = client.session_timeout();
                let owned = Owned { way, session: client.session().clone() };
                let agreed = if granted > ttl {
                    Err(invalid(format!("this ensemble grants no ttl below {granted:?}")))
                } else {
                    self.can_keep(granted)
                };
                if let Err(error) = agreed {
                    drop(client);
                    drop(owned.end().await);
                    return Err(error);
                }
                let mut beats = Beats::new(granted, self.tick);
                beats.begun(sent, runtime.now());
                Ok((client, Some(owned), beats))
            }
            Ensemble::Client(client) => {
                self.can_keep(client.session_timeout())?;
                let known = self.beat_until_known(client, runtime).await;
                let beats = known.map_err(|error| unless_over(client, error))?;
                Ok((Client::clone(client), None, beats))
            }
        }
    }

    /// Whether beats can keep a session of this ttl up, as far as the tick is known.
    fn can_keep(&self, ttl: Duration) -> Result<()> {
        match self.tick {
            Some(tick) if ttl < least_timeout(tick) => {
                let least = least_timeout(tick);
                Err(invalid(format!("no ttl below {least:?} can be kept where a tick takes {tick:?}")))
            }
            _ => Ok(()),
        }
    }

    /// How long the leader has known of somebody else's session shows only by beats.
    async fn beat_until_known(&self, client: &Client, runtime: &SharedRuntime) -> Result<Beats> {
        let mut beats = Beats::new(client.session_timeout(), self.tick);
        while beats.base().is_none() {
            for _ in 0..2 {
                let sent = runtime.now();
                let mut writer = client.new_multi_writer();
                writer.add_check_version("/", -1).map_err(translated)?;
                match writer.commit().await {
                    Err(MultiWriteError::RequestFailed { source }) if is_unanswered(&source) => {
                        tracing::debug!(error = %source, "a beat was not answered");
                        jitter(&**runtime, PAUSE).await;
                        break;
                    }
                    Err(MultiWriteError::RequestFailed { source }) => return Err(translated(source)),
                    // A refusal has been through the leader too.
                    Ok(_) | Err(MultiWriteError::OperationFailed { .. }) => {}
                }
                beats.acknowledged(sent, runtime.now());
            }
            if beats.base().is_none() {
                runtime.sleep_until(beats.next().unwrap_or_else(|| runtime.now())).await;
            }
        }
        Ok(beats)
    }

    /// The leader looks once a tick, and hears of a session by half a tick late.
    fn slack(&self, ttl: Duration) -> Duration {
        let tick = self.tick.unwrap_or(ttl / 2);
        tick + tick / 2 + Duration::from_millis(500)
    }
}

/// No other session comes after that of a client of the user's.
fn unless_over(client: &Client, error: Error) -> Error {
    if client.state().is_terminated() && error.kind() == ErrorKind::SessionLost {
        let over = "the client's session is over: a coordinator takes a new client";
        return Error::new(ErrorKind::Refused, over).with_source(error);
    }
    error
}

impl Owned {
    /// Tells the ensemble that the session is over, whose client is gone. That one was told not to do so by
    /// itself: a session that is abandoned must end as in a crash. So another client takes it over, and
    /// closes it.
    async fn end(&self) -> Result<()> {
        match self.way.take_over(self.session.clone()).await {
            Ok(client) => {
                let mut states = client.state_watcher();
                drop(client);
                while !states.changed().await.is_terminated() {}
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::SessionLost => Ok(()),
            Err(error) => {
                tracing::debug!(%error, "the session could not be closed; its timeout ends it");
                Err(error)
            }
        }
    }
}

impl<P: Protocol> Claims<P> {
    /// Takes away what is left of the session; `left`: whether all of its claims have left.
    ///
    /// # Errors
    ///
    /// Something is left, in a session of our own until its timeout ends it. May be called again.
    pub(crate) async fn end_session(&self, owned: Option<&Owned>, left: Result<()>) -> Result<()> {
        let all_left = left.and(remove_own_node(&self.connection, &self.namespace, self.session).await);
        let Some(owned) = owned else {
            all_left?;
            drop(self.connection.cut());
            return Ok(());
        };
        drop(self.connection.cut());
        // That takes no rights, and whatever is left goes with the session.
        owned.end().await.or(all_left)
    }
}
