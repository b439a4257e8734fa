//! Opening a session.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use etcd_client::{Client, LeaseGrantOptions, Txn};
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Moment, Name, Result, SessionId, SessionOptions,
    backend::{Backend, SharedSession},
    runtime::{SharedRuntime, jitter},
};
use tokio::sync::Notify;

use crate::{
    config::Config,
    connection::{Connection, Way},
    error::unknown_if_unavailable,
    keys::Namespace,
    queue::{Bell, OwnLife, Queue, txn::put_leased},
    renewal::Renewal,
    session::EtcdSession,
    watch::{Keys, Watcher},
};

/// An etcd cluster: `etcd://host:2379/namespace`.
///
/// Fair locks at a constant cost per turn: joining, waiting, handing over and leaving cost the same however
/// long the queue is, and a release wakes the next in line and nobody else. Tokens are etcd's revisions: they
/// rise across release, crash, restart and failover, as long as the cluster is not restored from an older
/// backup (then use `etcdutl snapshot restore --bump-revision`). `docs/etcd-protocol.md` explains how.
///
/// A ttl is a whole number of seconds in etcd: a fraction is rounded up. A holder that died delays the next
/// by its ttl and at most a second; when the cluster changes its leader meanwhile, the new one grants every
/// lease its full ttl once more.
#[derive(Clone)]
pub struct Etcd {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Members(Config),
    Client(Box<Client>, Name),
}

impl Etcd {
    /// The cluster that `config` names.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { place: Place::Members(config) }
    }

    /// The cluster that `client` is connected to, with everything under `namespace`: for programs that
    /// have a client with options of their own.
    ///
    /// It must notice silence by itself: give it HTTP/2 keepalive
    /// ([`with_keep_alive`](etcd_client::ConnectOptions::with_keep_alive), an eighth of the ttl),
    /// [`with_connect_timeout`](etcd_client::ConnectOptions::with_connect_timeout) and
    /// [`with_require_leader`](etcd_client::ConnectOptions::with_require_leader). Without them a network that
    /// swallows packets goes unnoticed for minutes; guards end by their deadline all the same.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`]: the rules for a namespace are those of a [`Name`].
    pub fn from_client(client: Client, namespace: &str) -> Result<Self> {
        Ok(Self { place: Place::Client(Box::new(client), namespace.parse()?) })
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Etcd");
        match &self.place {
            Place::Members(config) => debug.field("config", config),
            Place::Client(_, namespace) => debug.field("namespace", namespace),
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
        let (way, namespace, connect_timeout, request_timeout) = match &self.place {
            Place::Client(client, namespace) => (Way::Client(client.clone()), namespace, TIMEOUT, TIMEOUT),
            Place::Members(config) => {
                let way = Way::members(config.clone(), ttl, runtime.random_u64());
                (way, &config.namespace, config.connect_timeout, config.request_timeout)
            }
        };
        let share = connect_timeout / way.members_to_try();
        let namespace = Namespace::new(namespace);
        let connection = Arc::new(Connection::new(way, runtime.clone(), request_timeout, namespace.live(id)));
        let opening = Opening { id, runtime, connection, share, request_timeout };
        let (sent, granted) = opening.grant(ttl, connect_timeout).await?;
        let lease = Arc::new(Lease::new(opening.runtime.clone(), sent, granted));
        let session = tokio::select! { biased;
            session = opening.start(&lease, namespace) => session,
            () = opening.runtime.sleep_until(sent + connect_timeout * 2) => {
                Err(Error::new(ErrorKind::Unavailable, "etcd granted a lease, and then fell silent"))
            }
        };
        if session.is_err() {
            lease.lose(LostReason::Closed);
            opening.revoke().await;
        }
        session
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
}

impl Opening {
    fn lease_id(&self) -> i64 {
        self.id.get().cast_signed()
    }

    /// The lease, with the time at which it was asked for; members are tried in turn until `limit` has
    /// passed.
    async fn grant(&self, ttl: Duration, limit: Duration) -> Result<(Moment, Duration)> {
        let asked = whole_seconds(ttl);
        let end = self.runtime.now() + limit;
        let options = LeaseGrantOptions::new().with_id(self.lease_id());
        let mut unanswered = false;
        let (sent, granted) = loop {
            let sent = self.runtime.now();
            let options = Some(options.clone());
            let call = |client: &Client| {
                let mut lease = client.lease_client();
                async move { lease.grant(asked, options).await }
            };
            match self.connection.ask(self.share, call).await {
                Ok(reply) => break (sent, reply.ttl()),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    unanswered = true;
                    if self.runtime.now() >= end {
                        return Err(error);
                    }
                    tracing::debug!(%error, "another member is asked for a lease");
                    jitter(&*self.runtime, self.share / 20).await;
                }
                // The lease is there: an earlier request was carried out, but when is not known.
                Err(error) if error.kind() == ErrorKind::Refused && unanswered => self.revoke().await,
                Err(error) => return Err(error),
            }
        };
        let granted = Duration::from_secs(u64::try_from(granted).unwrap_or_default());
        if granted > Duration::from_secs(asked.cast_unsigned()) {
            self.revoke().await;
            let message =
                format!("this etcd grants no ttl below {granted:?} (it depends on its election timeout)");
            return Err(Error::new(ErrorKind::InvalidOption, message));
        }
        Ok((sent, granted))
    }

    /// Makes the session's own keys, and starts its tasks.
    async fn start(&self, lease: &Arc<Lease>, namespace: Namespace) -> Result<SharedSession> {
        let (connection, runtime) = (self.connection.clone(), self.runtime.clone());
        let keys = [namespace.bell(self.id), namespace.live(self.id)];
        let made = keys.clone().map(|key| put_leased(key, "", self.id));
        connection.transact(Txn::new().and_then(made)).await.map_err(unknown_if_unavailable)?;

        let renewal = Renewal {
            connection: connection.clone(),
            lease: lease.clone(),
            lease_id: self.lease_id(),
            runtime: runtime.clone(),
        };
        runtime.spawn(Box::pin(renewal.run()));
        let (watcher, task) = Watcher::new();
        runtime.spawn(Box::pin(task.run(
            connection.clone(),
            lease.clone(),
            runtime.clone(),
            self.request_timeout,
        )));
        let queue = Arc::new(Queue::new(self.id, namespace, connection, lease.clone(), runtime, watcher));

        let bell = Arc::new(Bell { queue: queue.clone(), opened: Notify::new() });
        let [bell_key, live_key] = keys;
        let watches = [
            queue.watcher.watch(Keys::One(bell_key), bell.clone()),
            queue.watcher.watch(Keys::One(live_key), Arc::new(OwnLife(lease.clone()))),
        ];
        // News that come before the bell is heard would be lost.
        tokio::select! { biased;
            () = bell.opened.notified() => Ok(Arc::new(EtcdSession::new(queue, watches))),
            reason = lease.lost() => Err(Error::lost(reason)),
        }
    }

    /// As far as it can be done: otherwise the ttl ends it.
    async fn revoke(&self) {
        if let Err(error) = self.connection.revoke(self.lease_id()).await {
            tracing::debug!(%error, "could not revoke the lease; its ttl will end it");
        }
    }
}

/// Rounded up: etcd counts in seconds.
fn whole_seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
