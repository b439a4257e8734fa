//! Opening a session.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use etcd_client::{Client, LeaseGrantOptions, Txn, TxnOp};
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Moment, Name, Result, SessionId, SessionOptions,
    backend::{Backend, SharedSession},
    runtime::{SharedRuntime, jitter},
    sync::locked,
};
use tokio::sync::Notify;

use crate::{
    config::{Config, Layout, default_namespace},
    connection::Connection,
    error::{if_all_fail_so, is_forbidden, is_lease_there},
    go::{Go, GoSession, Room},
    keys::{Namespace, lease_of},
    links::{Limits, Links},
    queue::{Bell, OwnLife, Queue},
    renewal::Renewal,
    request::{get, put_leased, some_keys},
    session::EtcdSession,
    watch::{Keys, Watcher},
    way::Way,
};

/// An etcd cluster: `etcd://host:2379/namespace`.
///
/// Fair locks at a constant cost per turn: joining, waiting, handing over and leaving cost the same however
/// long the queue is, and a release wakes the next in line and nobody else. Tokens are etcd's revisions: they
/// rise across release, crash, restart and failover, as long as the cluster is not restored from an older
/// backup (then use `etcdutl snapshot restore --bump-revision N --mark-compacted`, with an N above how many
/// revisions there have been since). `docs/etcd-protocol.md` explains how.
///
/// A ttl is a whole number of seconds in etcd: a fraction is rounded up. A holder that died delays the next
/// by its ttl and at most a second; when the cluster changes its leader meanwhile, the new one grants every
/// lease its full ttl once more.
#[derive(Clone)]
pub struct Etcd {
    cluster: Cluster,
    layout: Layout,
    /// As it was given.
    namespace: Option<Name>,
}

#[derive(Clone)]
enum Cluster {
    Members(Box<Config>),
    Client(Arc<Client>),
}

/// Where a session's keys lie.
enum Place {
    Native(Namespace),
    Go(Room),
}

impl Etcd {
    /// The cluster that `config` names.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let (layout, namespace) = (config.layout, config.namespace.clone());
        Self { cluster: Cluster::Members(Box::new(config)), layout, namespace }
    }

    /// The cluster that `client` is connected to, with everything under `namespace`: for programs that
    /// have a client with options of their own. Its channel costs more than the one that is made for a
    /// [`Config`]: alone, a turn takes a third longer.
    ///
    /// It must notice silence by itself: give it HTTP/2 keepalive
    /// ([`with_keep_alive`](etcd_client::ConnectOptions::with_keep_alive), an eighth of the ttl),
    /// [`with_connect_timeout`](etcd_client::ConnectOptions::with_connect_timeout) and
    /// [`with_require_leader`](etcd_client::ConnectOptions::with_require_leader). Without them a network that
    /// swallows packets goes unnoticed for minutes; guards end by their deadline all the same. One with
    /// credentials must renew its token
    /// ([`with_auto_token_refresh`](etcd_client::ConnectOptions::with_auto_token_refresh)), or sessions end
    /// with it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]: the rules for a namespace are those of a [`Name`].
    pub fn from_client(client: Client, namespace: &str) -> Result<Self> {
        Self::from_client_in(Layout::Native, client, Some(namespace))
    }

    /// As [`from_client`](Self::from_client), in that layout; without a namespace it is `yourturn`, or none
    /// in the [layout of Go](Layout::Go).
    ///
    /// # Errors
    ///
    /// As [`from_client`](Self::from_client).
    pub fn from_client_in(layout: Layout, client: Client, namespace: Option<&str>) -> Result<Self> {
        let namespace = namespace.map(str::parse).transpose()?;
        Ok(Self { cluster: Cluster::Client(Arc::new(client)), layout, namespace })
    }

    fn place(&self) -> Result<Place> {
        Ok(match (self.layout, &self.namespace) {
            (Layout::Go, namespace) => Place::Go(Room::new(namespace.as_ref())),
            (Layout::Native, Some(namespace)) => Place::Native(Namespace::new(namespace)),
            (Layout::Native, None) => Place::Native(Namespace::new(&default_namespace()?)),
        })
    }
}

impl Place {
    /// A key of a session, which it may read if it may read anything.
    fn own_key(&self, session: SessionId) -> String {
        match self {
            Self::Native(namespace) => namespace.live(session),
            Self::Go(room) => room.probe(session),
        }
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Etcd");
        match &self.cluster {
            Cluster::Members(config) => debug.field("config", config),
            Cluster::Client(_) => debug.field("namespace", &self.namespace).field("layout", &self.layout),
        };
        debug.finish_non_exhaustive()
    }
}

/// For a client of the user's own.
const TIMEOUT: Duration = Duration::from_secs(5);

#[async_trait]
impl Backend for Etcd {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let SessionOptions { id, ttl, runtime } = options;
        let (way, share, connect_timeout, request_timeout) = match &self.cluster {
            Cluster::Client(client) => (Way::Client(client.clone()), TIMEOUT, TIMEOUT, TIMEOUT),
            Cluster::Members(config) => {
                let way = Way::members(Config::clone(config), ttl, runtime.random_u64())?;
                (way, config.share(), config.connect_timeout, config.request_timeout)
            }
        };
        let place = self.place()?;
        let limits =
            Limits { connect_timeout: share, reconnect_timeout: share.min(ttl / 3), request_timeout };
        let connection = Connection::new(Links::new(way, runtime.clone(), limits), place.own_key(id));
        let (connection, trouble) = (Arc::new(connection), Trouble::default());
        let opening = Opening { id, runtime, connection, share, request_timeout, trouble };
        let end = opening.runtime.now() + connect_timeout;
        let opened = tokio::select! { biased;
            opened = opening.open(ttl, place) => opened,
            () = opening.runtime.sleep_until(end) => {
                let message = format!("etcd did not open a session within {connect_timeout:?}");
                let trouble = opening.trouble.take().map(|trouble| opening.connection.suspect(trouble));
                Err(trouble.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, message)))
            }
        };
        if opened.is_err() {
            let runtime = opening.runtime.clone();
            // Whatever has been granted by now.
            runtime.spawn(Box::pin(async move { opening.revoke().await }));
        }
        opened
    }
}

/// A session that is being opened.
struct Opening {
    id: SessionId,
    runtime: SharedRuntime,
    connection: Arc<Connection>,
    /// For how long each member is tried.
    share: Duration,
    request_timeout: Duration,
    trouble: Trouble,
}

/// Ends the tasks of a session that is not opened after all.
struct UnlessOpened(Option<Arc<Lease>>);

impl Drop for UnlessOpened {
    fn drop(&mut self) {
        if let Some(lease) = &self.0 {
            lease.lose(LostReason::Closed);
        }
    }
}

/// What has kept a session from being opened so far: the failure that says most.
#[derive(Default)]
struct Trouble(Mutex<Option<Error>>);

impl Trouble {
    fn note(&self, error: Error) {
        let mut known = locked(&self.0);
        let says_more = |known: &Error| if_all_fail_so(known).is_some() && if_all_fail_so(&error).is_none();
        if !known.as_ref().is_some_and(says_more) {
            *known = Some(error);
        }
    }

    fn take(&self) -> Option<Error> {
        locked(&self.0).take()
    }
}

impl Opening {
    async fn open(&self, ttl: Duration, place: Place) -> Result<SharedSession> {
        let (sent, granted) = self.grant(ttl).await?;
        let lease = Arc::new(Lease::new(self.runtime.clone(), sent, granted));
        let mut unless_opened = UnlessOpened(Some(lease.clone()));
        let session = match place {
            Place::Native(namespace) => self.start(&lease, namespace).await?,
            Place::Go(room) => self.start_as_go(&lease, room).await?,
        };
        unless_opened.0 = None;
        Ok(session)
    }

    /// The lease, with the time at which it was asked for; members are tried in turn, until each of them has
    /// shown that there is no use in trying again.
    async fn grant(&self, ttl: Duration) -> Result<(Moment, Duration)> {
        let asked = whole_seconds(ttl);
        let (mut hopeless, mut unanswered) = (0, None);
        let (sent, granted) = loop {
            let sent = self.runtime.now();
            let id = lease_of(self.id);
            let call = move |client: &Client| {
                let mut leases = client.lease_client();
                async move { leases.grant(asked, Some(LeaseGrantOptions::new().with_id(id))).await }
            };
            match self.connection.ask(self.share, call).await {
                Ok(reply) => break (sent, reply.ttl()),
                Err(error) if is_lease_there(&error) => {
                    self.trouble.note(error.with_kind(ErrorKind::Unavailable));
                    if let Some(granted) = self.granted_before(unanswered, ttl).await {
                        break granted;
                    }
                }
                Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    let kind = if_all_fail_so(&error);
                    hopeless = if kind.is_some() { hopeless + 1 } else { 0 };
                    if let Some(kind) = kind.filter(|_| Some(hopeless) == self.connection.choices()) {
                        return Err(error.with_kind(kind));
                    }
                    tracing::debug!(%error, "another member is asked for a lease");
                    self.trouble.note(error);
                    unanswered.get_or_insert(sent);
                }
            }
            self.pause().await;
        };
        let granted = Duration::from_secs(u64::try_from(granted).unwrap_or_default());
        if granted > Duration::from_secs(asked.cast_unsigned()) {
            let message =
                format!("this etcd grants no ttl below {granted:?} (it depends on its election timeout)");
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        Ok((sent, granted))
    }

    /// The lease that a request was granted whose answer was lost: no sooner than the first of those was sent.
    /// When that is too long ago, it ends by itself, since nobody renews it. It must not be revoked: should
    /// that not be answered either, it might be carried out on the lease that is granted next.
    async fn granted_before(&self, unanswered: Option<Moment>, ttl: Duration) -> Option<(Moment, i64)> {
        let sent = unanswered.filter(|sent| self.runtime.now() < *sent + ttl / 2)?;
        match self.connection.granted_ttl(lease_of(self.id)).await {
            Ok(granted @ 1..) => Some((sent, granted)),
            // It has ended meanwhile.
            Ok(_) => None,
            Err(error) => {
                tracing::debug!(%error, "it is not known for how long the lease was granted");
                None
            }
        }
    }

    /// Makes the session's own keys, and starts its tasks.
    async fn start(&self, lease: &Arc<Lease>, namespace: Namespace) -> Result<SharedSession> {
        let (connection, runtime) = (self.connection.clone(), self.runtime.clone());
        let keys = [namespace.bell(self.id), namespace.live(self.id)];
        let made = keys.clone().map(|key| put_leased(key, "", self.id)).to_vec();
        self.first_request(made, namespace.all()).await?;
        let watcher = self.start_tasks(lease);
        let queue = Arc::new(Queue::new(self.id, namespace, connection, lease.clone(), runtime, watcher));

        let bell = Arc::new(Bell { queue: queue.clone(), opened: Notify::new() });
        let [bell_key, live_key] = keys;
        let watches = [
            queue.watcher.watch(Keys::One(bell_key.into()), bell.clone()),
            queue.watcher.watch(Keys::One(live_key.into()), Arc::new(OwnLife(lease.clone()))),
        ];
        // News that come before the bell is heard would be lost.
        tokio::select! { biased;
            () = bell.opened.notified() => Ok(Arc::new(EtcdSession::new(queue, watches))),
            reason = lease.lost() => Err(match reason {
                LostReason::Denied => Error::new(ErrorKind::Denied, reason.to_string()),
                reason => Error::lost(reason),
            }),
        }
    }

    /// Has no keys of its own: a look proves that it is let in.
    async fn start_as_go(&self, lease: &Arc<Lease>, room: Room) -> Result<SharedSession> {
        let probe = room.probe(self.id);
        self.first_request(vec![get(&*probe)], &probe).await?;
        let watcher = self.start_tasks(lease);
        let (connection, runtime) = (self.connection.clone(), self.runtime.clone());
        let go = Go::new(self.id, room, connection, lease.clone(), runtime, watcher);
        Ok(Arc::new(GoSession::new(go)))
    }

    /// Until it is answered. Its other branch is never carried out, but etcd asks for the rights to all of
    /// it: what lies anywhere under `anywhere` is read, and written, sooner or later.
    async fn first_request(&self, operations: Vec<TxnOp>, anywhere: &str) -> Result<()> {
        let rights = vec![some_keys(anywhere, 1), TxnOp::put(anywhere, "", None)];
        let txn = Txn::new().and_then(operations).or_else(rights);
        while let Err(error) = self.connection.transact(txn.clone()).await {
            if is_forbidden(&error) {
                let needs = format!("the user needs a role to read and write everything under {anywhere:?}");
                return Err(Error::new(ErrorKind::Denied, needs).with_source(error));
            }
            if error.kind() != ErrorKind::Unavailable {
                return Err(error);
            }
            tracing::debug!(%error, "the session's first request is made again");
            self.trouble.note(error);
            self.pause().await;
        }
        Ok(())
    }

    /// Renewals and watches.
    fn start_tasks(&self, lease: &Arc<Lease>) -> Watcher {
        let (connection, runtime) = (self.connection.clone(), self.runtime.clone());
        let renewal = Renewal {
            connection: connection.clone(),
            lease: lease.clone(),
            lease_id: lease_of(self.id),
            runtime: runtime.clone(),
        };
        runtime.spawn(Box::pin(renewal.run()));
        let (watcher, task) = Watcher::new();
        runtime.clone().spawn(Box::pin(task.run(connection, lease.clone(), runtime, self.request_timeout)));
        watcher
    }

    /// Before something is tried again.
    async fn pause(&self) {
        jitter(&*self.runtime, (self.share / 20).min(Duration::from_millis(250))).await;
    }

    /// As far as it can be done: otherwise the ttl ends it.
    async fn revoke(&self) {
        if let Err(error) = self.connection.revoke(lease_of(self.id)).await {
            tracing::debug!(%error, "could not revoke the lease; its ttl will end it");
        }
    }
}

/// Rounded up: etcd counts in seconds.
fn whole_seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
