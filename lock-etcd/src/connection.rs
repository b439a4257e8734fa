//! One member of the cluster at a time, and another when it does not answer.
//!
//! The client's own balancer sends each request to a random member, one that has gone silent included, and
//! its keepalive pings on idle connections break the server's rules about pings. A session talks to one
//! member: its renewals, its watches and its requests are one conversation, and when that falls silent, all
//! of them move on together.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use etcd_client::{
    Client, ConnectOptions, DeleteOptions, DeleteResponse, GetOptions, KeyValue, LeaseTimeToLiveResponse,
    ResponseHeader, Txn, TxnOp, TxnResponse,
};
use lock_core::{
    Error, ErrorKind, Lease, Moment, Result,
    runtime::SharedRuntime,
    sync::{Signal, locked},
};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    config::Config,
    error::{is_an_answer, is_hung_up, translated, unknown_if_unavailable},
    heard::Heard,
    tls::Secure,
    transport,
};

/// Larger than what etcd sends in one message: a look at the longest queue, or what a watch has to catch up
/// on.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The longest pause before something is tried again. Not in proportion to a long ttl: others wait for us.
pub(crate) fn retry_pause(lease: &Lease) -> Duration {
    (lease.ttl() / 20).min(Duration::from_millis(250))
}

/// How many requests of a session are under way at a time: enough to keep etcd busy. More would not be answered
/// sooner, since it commits one after another, but too late: ten thousand claims that join at once would all run into
/// the limit, and be sent again. (etcd itself refuses requests when 5,000 wait to be applied.)
const AT_ONCE: usize = 64;

/// How a session reaches the cluster.
pub(crate) struct Connection {
    way: Way,
    runtime: SharedRuntime,
    limits: Limits,
    /// Whether there has been a link: before, nobody waits for us, and many may log in at once, which etcd
    /// makes expensive.
    linked: AtomicBool,
    /// A key that the session may read, if it may read anything.
    own_key: String,
    /// The link in use; none before the first request and after one was given up.
    link: Signal<(u64, Option<Arc<Link>>)>,
    /// Held while a link is made.
    linking: tokio::sync::Mutex<()>,
    slots: Semaphore,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To connect to one member for the first time, and to log in.
    pub(crate) connect_timeout: Duration,
    /// The same later on.
    pub(crate) reconnect_timeout: Duration,
    /// For a member to answer a request.
    pub(crate) request_timeout: Duration,
}

/// Where links come from.
#[derive(Clone)]
pub(crate) enum Way {
    /// The user's own client, which finds members by itself.
    Client(Arc<Client>),
    Members(Arc<Members>),
}

pub(crate) struct Members {
    config: Config,
    /// With the certificates that were read last.
    secure: Mutex<Option<Secure>>,
    /// After how much silence a member is pinged, and after how much more it is given up.
    silence: Duration,
    /// Which one comes first.
    first: u64,
}

/// A connection to one member.
pub(crate) struct Link {
    pub(crate) client: Client,
    number: u64,
    /// When the member last answered anything.
    heard: Heard,
}

impl Way {
    /// `ttl` says how soon silence must be noticed: within a third of it, and soon enough for who waits.
    /// (etcd ends a connection after three pings that are less than 5 s apart with no answer to a request
    /// between them; renewals are such requests.)
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](ErrorKind::InvalidOption) for certificates that cannot be used.
    pub(crate) fn members(config: Config, ttl: Duration, first: u64) -> Result<Self> {
        let silence = (ttl / 8).min(Duration::from_secs(10));
        let secure = Mutex::new(config.tls.as_ref().map(Secure::read).transpose()?);
        Ok(Self::Members(Arc::new(Members { config, secure, silence, first })))
    }

    /// How many members there are to choose from; unknown for the user's own client.
    fn choices(&self) -> Option<usize> {
        match self {
            Self::Client(_) => None,
            Self::Members(members) => Some(members.config.endpoints().len()),
        }
    }

    async fn client(&self, number: u64, runtime: &SharedRuntime) -> Result<Client> {
        let members = match self {
            Self::Client(client) => return Ok(Client::clone(client)),
            Self::Members(members) => &**members,
        };
        let endpoint = members.endpoint(number);
        tracing::debug!(endpoint, "connecting");
        let secure = members.secure();
        let channel = transport::connect(endpoint, secure.as_ref(), members.silence, runtime).await?;
        // Logs in, when there are credentials.
        Client::from_channel(channel, Some(members.options())).await.map_err(translated)
    }

    /// What a member may want that hangs up on us.
    fn suspicion(&self) -> &'static str {
        let tls = match self {
            Self::Client(_) => None,
            Self::Members(members) => Some(members.config.tls.is_some()),
        };
        match tls {
            Some(false) => "does it demand TLS (tls=true)?",
            Some(true) => "does it serve without TLS, or demand a client certificate (cert, key)?",
            None => "does it demand TLS, or a client certificate?",
        }
    }

    /// Which member a link leads to, for people.
    fn whither(&self, number: u64) -> &str {
        match self {
            Self::Client(_) => "etcd",
            Self::Members(members) => members.endpoint(number),
        }
    }
}

impl Members {
    fn endpoint(&self, number: u64) -> &str {
        let members = self.config.endpoints().len().max(1) as u64;
        let turn = usize::try_from(self.first.wrapping_add(number) % members).unwrap_or_default();
        self.config.endpoints().nth(turn).unwrap_or_default()
    }

    fn options(&self) -> ConnectOptions {
        let options = ConnectOptions::new().with_require_leader(true).with_auto_token_refresh(true);
        match &self.config.credentials {
            Some((user, password)) => options.with_user(user, password),
            None => options,
        }
    }

    /// With the certificates as they are now: they may have been renewed since the session was opened.
    fn secure(&self) -> Option<Secure> {
        let mut secure = locked(&self.secure);
        match self.config.tls.as_ref().map(Secure::read) {
            Some(Ok(fresh)) => *secure = Some(fresh),
            Some(Err(error)) => tracing::warn!(%error, "the certificates of before are used on"),
            None => {}
        }
        secure.clone()
    }
}

impl Link {
    /// The member has answered something.
    pub(crate) fn heard(&self, runtime: &SharedRuntime) {
        self.heard.at(runtime.now());
    }

    fn heard_since(&self, sent: Moment) -> bool {
        self.heard.last() > sent
    }
}

/// An attempt to make a link. When it fails, or somebody has no more patience with it, another member is tried next.
struct Attempt<'a> {
    connection: &'a Connection,
    made: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.made {
            self.connection.link.update(|(next, _)| *next += 1);
        }
    }
}

impl Connection {
    pub(crate) fn new(way: Way, runtime: SharedRuntime, limits: Limits, own_key: String) -> Self {
        let (link, linking) = (Signal::new((0, None)), tokio::sync::Mutex::default());
        let slots = Semaphore::new(AT_ONCE);
        Self { way, runtime, limits, linked: AtomicBool::new(false), own_key, link, linking, slots }
    }

    /// The link in use, or a new one.
    pub(crate) async fn link(&self) -> Result<Arc<Link>> {
        if let Some(link) = self.link.read(|(_, link)| link.clone()) {
            return Ok(link);
        }
        let _alone = self.linking.lock().await;
        let (number, link) = self.link.read(Clone::clone);
        if let Some(link) = link {
            return Ok(link);
        }
        let mut attempt = Attempt { connection: self, made: false };
        let client = self.connect(number).await?;
        attempt.made = true;
        self.linked.store(true, Ordering::Relaxed);
        let link = Arc::new(Link { client, number, heard: Heard::default() });
        self.link.update(|(_, current)| *current = Some(link.clone()));
        Ok(link)
    }

    /// In the session's own runtime, whoever asks: the connection's tasks live where it is made. Within a
    /// limit, because with credentials the member is asked for a token.
    async fn connect(&self, number: u64) -> Result<Client> {
        let (mut connected, connecting) = oneshot::channel();
        let (way, runtime) = (self.way.clone(), self.runtime.clone());
        self.runtime.spawn(Box::pin(async move {
            let client = tokio::select! { biased;
                () = connected.closed() => return,
                client = way.client(number, &runtime) => client,
            };
            let _nobody_waits = connected.send(client);
        }));
        let unavailable = |message: String| Err(Error::new(ErrorKind::Unavailable, message));
        let Limits { connect_timeout, reconnect_timeout, .. } = self.limits;
        let limit = if self.linked.load(Ordering::Relaxed) { reconnect_timeout } else { connect_timeout };
        tokio::select! { biased;
            client = connecting => client.unwrap_or_else(|_| unavailable("the runtime has ended".to_owned())),
            () = self.runtime.sleep_until(self.runtime.now() + limit) => {
                unavailable(format!("no connection within {limit:?}"))
            }
        }
    }

    /// Moves on to the next member, unless that has been done. What is under way on this link is answered
    /// as unavailable.
    pub(crate) fn give_up(&self, link: &Link, why: &dyn std::fmt::Display) {
        if matches!(self.way, Way::Client(_)) {
            return;
        }
        let given_up = self.link.update(|(number, current)| {
            let in_use = current.is_some() && *number == link.number;
            if in_use {
                (*number, *current) = (*number + 1, None);
            }
            in_use
        });
        if given_up {
            let member = self.way.whither(link.number);
            tracing::warn!(member, %why, "the member is of no use; the next one is asked");
        }
    }

    /// Waits until a request could be sent: thousands who are not there yet need not have made theirs.
    pub(crate) async fn a_slot(&self) {
        drop(self.slots.acquire().await);
    }

    /// Waits until the link was given up.
    pub(crate) async fn given_up(&self, link: &Link) {
        self.link.wait(|(number, _)| (*number != link.number).then_some(())).await;
    }

    /// Asks for a transaction. When it is unavailable, it may have been carried out.
    pub(crate) async fn transact(&self, txn: Txn) -> Result<TxnResponse> {
        let call = |client: &Client| {
            let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
            async move { kv.txn(txn).await }
        };
        self.ask(self.limits.request_timeout, call).await
    }

    /// Asks for something small: that renews a token that has expired, which a stream does not do. (A new
    /// link has a new token.)
    pub(crate) async fn renew_token(&self) {
        if matches!(self.way, Way::Members(_)) {
            return;
        }
        if let Err(error) = self.may_read(TxnOp::get(&*self.own_key, None)).await {
            tracing::debug!(%error, "no answer to a small request either");
        }
    }

    /// Whether the session may read this, and so may watch it: an error when not, or when it is not known.
    /// Renews a token that has expired, as every request does.
    pub(crate) async fn may_read(&self, read: TxnOp) -> Result<()> {
        self.transact(Txn::new().and_then(vec![read])).await.map(drop)
    }

    /// How many members there are to choose from; unknown for the user's own client.
    pub(crate) fn choices(&self) -> Option<usize> {
        self.way.choices()
    }

    /// The same failure, with what to look at when the other side has hung up.
    pub(crate) fn suspect(&self, error: Error) -> Error {
        if !is_hung_up(&error) {
            return error;
        }
        let why = format!("etcd closes the connection without an answer: {}", self.way.suspicion());
        Error::new(ErrorKind::Unavailable, why).with_source(error)
    }

    /// Deletes a key, also in a store that is full and refuses transactions.
    pub(crate) async fn delete(&self, key: String) -> Result<()> {
        self.delete_with(key, None).await.map(drop)
    }

    /// Deletes the keys from one up to another; how many there were, and the revision of that.
    pub(crate) async fn delete_range(&self, key: String, end: String) -> Result<(i64, i64)> {
        let reply = self.delete_with(key, Some(DeleteOptions::new().with_range(end))).await?;
        Ok((reply.deleted(), reply.header().map_or(0, ResponseHeader::revision)))
    }

    /// A key as it was at a revision.
    pub(crate) async fn get_at(&self, key: String, revision: i64) -> Result<Option<KeyValue>> {
        let call = |client: &Client| {
            let mut kv = client.kv_client();
            async move { kv.get(key, Some(GetOptions::new().with_revision(revision))).await }
        };
        let mut reply = self.ask(self.limits.request_timeout, call).await?;
        Ok(reply.take_kvs().pop())
    }

    async fn delete_with(&self, key: String, options: Option<DeleteOptions>) -> Result<DeleteResponse> {
        let call = |client: &Client| {
            let mut kv = client.kv_client();
            async move { kv.delete(key, options).await }
        };
        self.ask(self.limits.request_timeout, call).await.map_err(unknown_if_unavailable)
    }

    /// Whether a lease has not ended: else its ttl is -1. In its last second it is 0.
    pub(crate) async fn lives(&self, lease: i64) -> Result<bool> {
        self.time_to_live(lease).await.map(|reply| reply.ttl() >= 0)
    }

    /// For how many seconds a lease was granted.
    pub(crate) async fn granted_ttl(&self, lease: i64) -> Result<i64> {
        self.time_to_live(lease).await.map(|reply| reply.granted_ttl())
    }

    async fn time_to_live(&self, lease: i64) -> Result<LeaseTimeToLiveResponse> {
        let call = |client: &Client| {
            let mut leases = client.lease_client();
            async move { leases.time_to_live(lease, None).await }
        };
        self.ask(self.limits.request_timeout, call).await
    }

    /// Ends a lease, and with it every key under it.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<()> {
        let call = |client: &Client| {
            let mut leases = client.lease_client();
            async move { leases.revoke(lease).await }
        };
        self.ask(self.limits.request_timeout, call).await.map(drop).map_err(unknown_if_unavailable)
    }

    /// Asks, and moves on to another member when this one says nothing at all within `limit`.
    pub(crate) async fn ask<T, F>(&self, limit: Duration, call: impl FnOnce(&Client) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let unavailable = |message: String| Error::new(ErrorKind::Unavailable, message);
        let silent = || unavailable(format!("etcd did not answer within {limit:?}"));
        // Nobody closes it.
        let _slot = self.slots.acquire().await;
        let end = self.runtime.now() + limit;
        let link = tokio::select! { biased;
            link = self.link() => link?,
            () = self.runtime.sleep_until(end) => return Err(silent()),
        };
        let sent = self.runtime.now();
        let error = tokio::select! { biased;
            // A box, so that who waits for its slot is small.
            outcome = Box::pin(call(&link.client)) => match outcome {
                Ok(value) => {
                    link.heard(&self.runtime);
                    return Ok(value);
                }
                Err(error) => {
                    if is_an_answer(&error) {
                        link.heard(&self.runtime);
                    }
                    translated(error)
                }
            },
            () = self.given_up(&link) => unavailable("the connection to etcd was given up".to_owned()),
            () = self.runtime.sleep_until(end) => silent(),
        };
        // A member that answers others is slow, not gone: moving on would only cut those off.
        if error.kind() == ErrorKind::Unavailable && !link.heard_since(sent) {
            self.give_up(&link, &error);
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lock_core::runtime::TokioRuntime;

    use super::*;

    #[tokio::test]
    async fn who_has_no_more_patience_with_a_member_has_another_one_tried_next() {
        let config = Config::new(["127.0.0.1:1", "127.0.0.1:2"]).unwrap();
        let (runtime, limit) = (Arc::new(TokioRuntime::current().unwrap()), Duration::from_mins(1));
        let limits = Limits { connect_timeout: limit, reconnect_timeout: limit, request_timeout: limit };
        let way = Way::members(config, limit, 0).unwrap();
        let connection = Connection::new(way, runtime, limits, "key".to_owned());
        assert!(connection.link().now_or_never().is_none());
        assert_eq!(connection.link.read(|(number, _)| *number), 1);
    }
}
