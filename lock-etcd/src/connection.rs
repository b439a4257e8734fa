//! One member of the cluster at a time, and another when it does not answer.
//!
//! The client's own balancer sends each request to a random member, one that has gone silent included, and
//! its keepalive pings on idle connections break the server's rules about pings. A session talks to one
//! member: its renewals, its watches and its requests are one conversation, and when that falls silent, all
//! of them move on together.

use std::{
    sync::{Arc, Mutex},
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
    links: Arc<Links>,
    /// A key that the session may read, if it may read anything.
    own_key: String,
    slots: Semaphore,
}

/// The link in use, and what the next one is made with.
struct Links {
    way: Way,
    runtime: SharedRuntime,
    limits: Limits,
    state: Signal<Linked>,
}

#[derive(Default)]
struct Linked {
    /// The number of the link in use, or of the next one.
    number: u64,
    /// None before the first request and after one was given up.
    link: Option<Arc<Link>>,
    /// One is being made.
    making: bool,
    /// Whether there has been one: before, nobody waits for us, and many may log in at once, which etcd makes
    /// expensive.
    before: bool,
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

/// An attempt to make a link, one at a time. When it fails, or who asked for it has no more patience with it, another
/// member is tried next.
struct Attempt {
    links: Arc<Links>,
    made: bool,
}

impl Attempt {
    /// Within a limit, because with credentials the member is asked for a token.
    async fn make(&mut self) -> Result<Arc<Link>> {
        let Links { way, runtime, limits, state } = &*self.links;
        let (number, before) = state.read(|state| (state.number, state.before));
        let limit = if before { limits.reconnect_timeout } else { limits.connect_timeout };
        let client = tokio::select! { biased;
            client = way.client(number, runtime) => client?,
            () = runtime.sleep_until(runtime.now() + limit) => {
                return Err(unavailable(format!("no connection within {limit:?}")));
            }
        };
        let link = Arc::new(Link { client, number, heard: Heard::default() });
        self.made = true;
        state.update(|state| {
            (state.link, state.making, state.before) = (Some(link.clone()), false, true);
        });
        Ok(link)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.made {
            self.links.state.update(|state| (state.number, state.making) = (state.number + 1, false));
        }
    }
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

impl Connection {
    pub(crate) fn new(way: Way, runtime: SharedRuntime, limits: Limits, own_key: String) -> Self {
        let links = Arc::new(Links { way, runtime, limits, state: Signal::default() });
        Self { links, own_key, slots: Semaphore::new(AT_ONCE) }
    }

    /// The link in use, or a new one.
    pub(crate) async fn link(&self) -> Result<Arc<Link>> {
        loop {
            let (link, begins) = self.links.state.update_silently(|state| {
                let begins = state.link.is_none() && !state.making;
                state.making |= begins;
                (state.link.clone(), begins)
            });
            match link {
                Some(link) => return Ok(link),
                None if begins => return self.attempt().await,
                None => self.links.state.wait(|state| (!state.making).then_some(())).await,
            }
        }
    }

    /// In a task of the session's own runtime, whoever asks: the connection's tasks live where it is made, and who asks
    /// and is not polled keeps nobody else from a link.
    async fn attempt(&self) -> Result<Arc<Link>> {
        let (mut made, making) = oneshot::channel();
        let mut attempt = Attempt { links: self.links.clone(), made: false };
        self.links.runtime.spawn(Box::pin(async move {
            let outcome = tokio::select! { biased;
                () = made.closed() => return,
                outcome = attempt.make() => outcome,
            };
            let _nobody_waits = made.send(outcome);
        }));
        making.await.unwrap_or_else(|_| Err(unavailable("the runtime has ended")))
    }

    /// Moves on to the next member, unless that has been done. What is under way on this link is answered
    /// as unavailable.
    pub(crate) fn give_up(&self, link: &Link, why: &dyn std::fmt::Display) {
        if matches!(self.links.way, Way::Client(_)) {
            return;
        }
        let given_up = self.links.state.update(|state| {
            let in_use = state.link.is_some() && state.number == link.number;
            if in_use {
                (state.number, state.link) = (state.number + 1, None);
            }
            in_use
        });
        if given_up {
            let member = self.links.way.whither(link.number);
            tracing::warn!(member, %why, "the member is of no use; the next one is asked");
        }
    }

    /// Waits until a request could be sent: thousands who are not there yet need not have made theirs.
    pub(crate) async fn a_slot(&self) {
        drop(self.slots.acquire().await);
    }

    /// Waits until the link was given up.
    pub(crate) async fn given_up(&self, link: &Link) {
        self.links.state.wait(|state| (state.number != link.number).then_some(())).await;
    }

    /// Asks for a transaction. When it is unavailable, it may have been carried out.
    pub(crate) async fn transact(&self, txn: Txn) -> Result<TxnResponse> {
        let call = |client: &Client| {
            let mut kv = client.kv_client().max_decoding_message_size(MAX_MESSAGE_BYTES);
            async move { kv.txn(txn).await }
        };
        self.ask(self.links.limits.request_timeout, call).await
    }

    /// Asks for something small: that renews a token that has expired, which a stream does not do. (A new
    /// link has a new token.)
    pub(crate) async fn renew_token(&self) {
        if matches!(self.links.way, Way::Members(_)) {
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
        self.links.way.choices()
    }

    /// The same failure, with what to look at when the other side has hung up.
    pub(crate) fn suspect(&self, error: Error) -> Error {
        if !is_hung_up(&error) {
            return error;
        }
        let why = format!("etcd closes the connection without an answer: {}", self.links.way.suspicion());
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
        let mut reply = self.ask(self.links.limits.request_timeout, call).await?;
        Ok(reply.take_kvs().pop())
    }

    async fn delete_with(&self, key: String, options: Option<DeleteOptions>) -> Result<DeleteResponse> {
        let call = |client: &Client| {
            let mut kv = client.kv_client();
            async move { kv.delete(key, options).await }
        };
        self.ask(self.links.limits.request_timeout, call).await.map_err(unknown_if_unavailable)
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
        self.ask(self.links.limits.request_timeout, call).await
    }

    /// Ends a lease, and with it every key under it.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<()> {
        let call = |client: &Client| {
            let mut leases = client.lease_client();
            async move { leases.revoke(lease).await }
        };
        self.ask(self.links.limits.request_timeout, call).await.map(drop).map_err(unknown_if_unavailable)
    }

    /// Asks, and moves on to another member when this one says nothing at all within `limit`.
    pub(crate) async fn ask<T, F>(&self, limit: Duration, call: impl FnOnce(&Client) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let runtime = &self.links.runtime;
        let silent = || unavailable(format!("etcd did not answer within {limit:?}"));
        // Nobody closes it.
        let _slot = self.slots.acquire().await;
        let end = runtime.now() + limit;
        let link = tokio::select! { biased;
            link = self.link() => link?,
            () = runtime.sleep_until(end) => return Err(silent()),
        };
        let sent = runtime.now();
        let error = tokio::select! { biased;
            // A box, so that who waits for its slot is small.
            outcome = Box::pin(call(&link.client)) => match outcome {
                Ok(value) => {
                    link.heard(runtime);
                    return Ok(value);
                }
                Err(error) => {
                    if is_an_answer(&error) {
                        link.heard(runtime);
                    }
                    translated(error)
                }
            },
            () = self.given_up(&link) => unavailable("the connection to etcd was given up"),
            () = runtime.sleep_until(end) => silent(),
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
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use lock_core::runtime::{Runtime as _, TokioRuntime};

    use super::*;

    /// To members of which none is there.
    fn connection(runtime: &Arc<TokioRuntime>) -> Connection {
        let config = Config::new(["127.0.0.1:1", "127.0.0.1:2"]).unwrap();
        let limit = Duration::from_mins(1);
        let limits = Limits { connect_timeout: limit, reconnect_timeout: limit, request_timeout: limit };
        let way = Way::members(config, limit, 0).unwrap();
        Connection::new(way, runtime.clone(), limits, "key".to_owned())
    }

    #[tokio::test]
    async fn who_has_no_more_patience_with_a_member_has_another_one_tried_next() {
        let connection = connection(&Arc::new(TokioRuntime::current().unwrap()));
        assert!(connection.link().now_or_never().is_none());
        let tried = connection.links.state.wait(|state| (!state.making).then_some(state.number));
        assert_eq!(tried.await, 1);
    }

    #[tokio::test]
    async fn who_asks_for_a_link_and_is_not_polled_keeps_nobody_else_from_one() {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let connection = connection(&runtime);
        let mut idle = pin!(connection.link());
        assert!(idle.as_mut().now_or_never().is_none());
        tokio::select! { biased;
            other = connection.link() => assert!(other.is_err(), "nobody is there"),
            () = runtime.sleep_until(runtime.now() + Duration::from_secs(30)) => panic!("it waits for the idle one"),
        }
        assert!(idle.await.is_err());
    }
}
