//! What a session asks of the cluster.

use std::{sync::Arc, time::Duration};

use etcd_client::{
    Client, DeleteOptions, DeleteResponse, GetOptions, KeyValue, LeaseTimeToLiveResponse, ResponseHeader,
    Txn, TxnOp, TxnResponse,
};
use lock_core::{Error, ErrorKind, Lease, Moment, Result};

use crate::{
    error::{is_hung_up, unknown_unless_refused},
    links::{Link, Links},
    request::Reply,
    slots::{Became, Slots},
    way::Way,
};

/// Larger than what etcd sends in one message: a look at the longest queue, or what a watch has to catch up
/// on.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The longest pause before something is tried again. Not in proportion to a long ttl: others wait for us.
pub(crate) fn retry_pause(lease: &Lease) -> Duration {
    (lease.ttl() / 20).min(Duration::from_millis(250))
}

/// How a session reaches the cluster.
pub(crate) struct Connection {
    links: Arc<Links>,
    /// A key that the session may read, if it may read anything.
    own_key: String,
    slots: Arc<Slots>,
}

impl Connection {
    pub(crate) fn new(links: Arc<Links>, own_key: String) -> Self {
        let slots = Slots::new(links.runtime.clone(), links.limits.request_timeout / 8);
        Self { links, own_key, slots }
    }

    /// The link in use, or a new one.
    pub(crate) async fn link(&self) -> Result<Arc<Link>> {
        self.links.link().await
    }

    /// Moves on to the next member, unless that has been done. What is under way on this link is answered
    /// as unavailable.
    pub(crate) fn give_up(&self, link: &Link, why: &dyn std::fmt::Display) {
        self.links.give_up(link, why);
    }

    /// Waits until the link was given up.
    pub(crate) async fn given_up(&self, link: &Link) {
        self.links.given_up(link).await;
    }

    /// Waits until a request would be made: thousands whose turn has not come yet need not have made theirs.
    pub(crate) async fn turn(&self) {
        self.slots.turn().await;
    }

    /// Asks for a transaction. When it is unavailable, it may have been carried out.
    pub(crate) async fn transact(&self, txn: Txn) -> Result<TxnResponse> {
        let call = move |client: &Client| {
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

    pub(crate) fn now(&self) -> Moment {
        self.links.runtime.now()
    }

    pub(crate) async fn sleep_until(&self, moment: Moment) {
        self.links.runtime.sleep_until(moment).await;
    }

    /// A key that the session may read, if it may read anything.
    pub(crate) fn own_key(&self) -> &str {
        &self.own_key
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
        let read = TxnOp::get(key, Some(GetOptions::new().with_revision(revision)));
        Ok(Reply::from(self.transact(Txn::new().and_then(vec![read])).await?).key())
    }

    async fn delete_with(&self, key: String, options: Option<DeleteOptions>) -> Result<DeleteResponse> {
        let call = move |client: &Client| {
            let mut kv = client.kv_client();
            async move { kv.delete(key, options).await }
        };
        self.ask(self.links.limits.request_timeout, call).await.map_err(unknown_unless_refused)
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
        let call = move |client: &Client| {
            let mut leases = client.lease_client();
            async move { leases.time_to_live(lease, None).await }
        };
        self.ask(self.links.limits.request_timeout, call).await
    }

    /// Ends a lease, and with it every key under it.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<()> {
        let call = move |client: &Client| {
            let mut leases = client.lease_client();
            async move { leases.revoke(lease).await }
        };
        self.ask(self.links.limits.request_timeout, call).await.map(drop).map_err(unknown_unless_refused)
    }

    /// Asks, and moves on to another member when this one says nothing at all within `limit`. Which of the callers make
    /// their requests themselves, and when a task does, the [slots](Slots) say.
    pub(crate) async fn ask<T, F>(
        &self,
        limit: Duration,
        call: impl FnOnce(&Client) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    {
        // Who renews a client's token keeps all others from it until it has been answered, and so must go on.
        if !self.links.way.logs_in()
            && let Some(_slot) = self.slots.take()
        {
            return asked(&self.links, &self.slots, Became::AnsweredCaller, limit, call).await;
        }
        let (links, slots) = (self.links.clone(), self.slots.clone());
        self.slots
            .leave_to_a_task(
                move || async move { asked(&links, &slots, Became::AnsweredTask, limit, call).await },
            )
            .await
    }
}

/// Asks, with a slot, and learns from how long it takes to be `answered`.
async fn asked<T, F>(
    links: &Arc<Links>,
    slots: &Slots,
    answered: Became,
    limit: Duration,
    call: impl FnOnce(&Client) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T, etcd_client::Error>>,
{
    let begun = links.runtime.now();
    let outcome = links.ask(limit, call).await;
    let failed = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable);
    slots.learn(begun, links.runtime.now(), if failed { Became::Failed } else { answered });
    outcome
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use lock_core::runtime::{Runtime as _, TokioRuntime};

    use super::*;
    use crate::{
        config::Config,
        links::tests::{links, links_by},
        slots::{AT_FIRST, RESERVE},
    };

    /// Whoever asks beyond the slots has a task do it; so do those who wait meanwhile, polled or not.
    #[tokio::test]
    async fn requests_that_nobody_polls_keep_no_other_waiting() {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let connection = Connection::new(links(&runtime), "key".to_owned());
        let ask = || Box::pin(connection.transact(Txn::new()));
        let mut idle: Vec<_> = (0..200).map(|_| ask()).collect();
        assert!(idle.iter_mut().all(|request| request.now_or_never().is_none()));
        let taken = connection.slots.taken();
        assert!((RESERVE..200).contains(&taken), "{taken}");
        for request in idle.iter_mut().map(|_| ask()) {
            tokio::select! { biased;
                answer = request => assert!(answer.is_err(), "nobody is there"),
                () = runtime.sleep_until(runtime.now() + Duration::from_secs(30)) => panic!("it waits for an idle one"),
            }
        }
        assert!(connection.slots.taken() >= AT_FIRST);
        // Who has given up keeps none.
        drop(idle);
        assert!(connection.slots.taken() < AT_FIRST);
    }

    /// Another would wait for its login.
    #[tokio::test]
    async fn who_may_have_to_log_in_has_a_task_ask() {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let config = Config::new(["127.0.0.1:1"]).unwrap().credentials("user", "password");
        let connection = Connection::new(links_by(config, &runtime), "key".to_owned());
        let mut idle = Box::pin(connection.transact(Txn::new()));
        assert!((&mut idle).now_or_never().is_none());
        assert_eq!(connection.slots.taken(), 1);
        let end = runtime.now() + Duration::from_secs(30);
        while connection.slots.taken() > 0 {
            assert!(runtime.now() < end, "it waits for who is not polled");
            tokio::task::yield_now().await;
        }
        assert!(idle.await.is_err(), "nobody is there");
    }
}
