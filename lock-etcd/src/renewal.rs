//! Keeps a session's lease alive, and tells the local deadline about it.
//!
//! That a renewal was answered proves too little. A member whose disk stands still may go on answering renewals, by way of
//! the leader, while it answers no request and tells watches nothing. And a leader that has been deposed and does not know
//! it, since its disk stands still or it is cut off, may answer them by itself, while the next one lets the lease run out
//! (etcd #15247; since 3.4.31 and 3.5.13 it asks the majority first, but not when another member has passed the renewal on).
//! So a renewal counts once a read that was asked for after it has been answered in the same term.
//!
//! That proves it, because a member's answers name the term of the last entry that it has applied: to a renewal, as of
//! before it was passed on, so not a later one than that in which whoever has renewed the lease was elected (a member knows
//! a term's leader before it applies an entry of that term). To a read, as of after it was carried out, so not an earlier one
//! than that of the leader who has confirmed it; and that one asked a majority afterwards (Ongaro, *Consensus: Bridging Theory
//! and Practice*, 6.4), which knew of the term of the renewal by then. If the two are the same, so are the leaders.

use std::{pin::pin, sync::Arc, time::Duration};

use etcd_client::{GetOptions, LeaseKeepAliveStream, LeaseKeeper, ResponseHeader};
use lock_core::{
    Error, ErrorKind, Lease, LostReason, Moment, Result,
    bug::Bug,
    runtime::{SharedRuntime, jitter},
};

use crate::{
    connection::{Connection, retry_pause},
    error::{cannot_answer, is_forbidden, translated},
    links::Link,
};

pub(crate) struct Renewal {
    pub(crate) connection: Arc<Connection>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) lease_id: i64,
    pub(crate) runtime: SharedRuntime,
}

impl Renewal {
    /// Renews every third of the ttl until the session is lost, on one stream after another. From the
    /// beginning: the stream also notices that the member has fallen silent.
    pub(crate) async fn run(self) {
        tokio::select! { biased;
            _ = self.lease.lost() => {}
            () = self.renew() => {}
        }
    }

    async fn renew(&self) {
        loop {
            let broken = self.stream().await;
            if Bug::RenewalNotResumed.is_seeded() {
                return std::future::pending().await;
            }
            // Guards stay valid until their deadline; whoever watches the session's health knows sooner.
            self.lease.suspect();
            if let Err(error) = broken {
                tracing::warn!(%error, "the session could not be renewed; it is tried again");
                let _in_time = self.answered(self.connection.renew_token()).await;
            }
            jitter(&*self.runtime, retry_pause(&self.lease)).await;
        }
    }

    fn period(&self) -> Duration {
        self.lease.ttl() / 3
    }

    /// Renews until that fails.
    async fn stream(&self) -> Result<()> {
        let link = self.connection.link().await?;
        let broken = tokio::select! { biased;
            () = self.connection.given_up(&link) => return Ok(()),
            broken = self.renew_through(&link) => broken,
        };
        match &broken {
            Err(error) if is_forbidden(error) => self.lease.lose(LostReason::Denied),
            Err(error) => self.connection.give_up(&link, error),
            Ok(()) => {}
        }
        broken
    }

    /// One ping at a time: a reply does not say which ping it answers.
    async fn renew_through(&self, link: &Link) -> Result<()> {
        let mut client = link.client.lease_client();
        // Its first reply is kept from us, and with it the ttl: the next ping counts.
        let opening = self.answered(client.keep_alive(self.lease_id)).await;
        let (mut pings, mut replies) = match opening? {
            Err(etcd_client::Error::LeaseKeepAliveError(why)) if why.contains("not found") => {
                self.lease.lose(LostReason::Expired);
                return Ok(());
            }
            other => other.map_err(translated)?,
        };
        // When the first ping was sent that does not count yet.
        let mut since = None;
        loop {
            let sent = self.runtime.now();
            let (ttl, term) = self.answered(renewed(&mut pings, &mut replies)).await??;
            let Ok(ttl @ 1..) = u64::try_from(ttl) else {
                self.lease.lose(LostReason::Expired);
                return Ok(());
            };
            let give_up = *since.get_or_insert(sent) + self.period();
            let confirmed = self.term(link, sent).await?;
            let next = if term.is_some() && confirmed == term {
                self.lease.renewed(sent, Duration::from_secs(ttl));
                since = None;
                sent + self.period()
            } else if self.runtime.now() < give_up {
                // Another leader is being elected, or has been: who has renewed the lease is not known.
                self.runtime.now() + retry_pause(&self.lease)
            } else {
                return Err(unavailable("no leader confirms that it has renewed the lease"));
            };
            tokio::select! { biased;
                () = self.runtime.sleep_until(next) => {}
                broken = replies.message() => {
                    broken.map_err(translated)?;
                    return Err(unavailable("etcd answered a renewal that was not sent, or ended the stream"));
                }
            }
        }
    }

    /// In which term a read is answered that the leader has confirmed; none when the member cannot answer it now.
    async fn term(&self, link: &Link, sent: Moment) -> Result<Option<u64>> {
        let (mut reads, keys) = (link.client.kv_client(), GetOptions::new().with_keys_only());
        let mut read = pin!(reads.get(self.connection.own_key(), Some(keys)));
        // Half of it at least, however long the renewal took.
        let mut end = (sent + self.period()).max(self.runtime.now() + self.period() / 2);
        loop {
            match self.until(end, &mut read).await {
                Some(Ok(reply)) => {
                    link.heard(&self.runtime);
                    return Ok(term_of(reply.header()));
                }
                Some(Err(error)) if cannot_answer(&error) => return Ok(None),
                Some(Err(error)) => return Err(translated(error)),
                // It answers others: it is slow, and not stuck.
                None if link.heard_since(sent) => {
                    self.lease.suspect();
                    end = end + self.period();
                }
                None => return Err(unavailable("the member renews the lease, and answers nothing else")),
            }
        }
    }

    async fn answered<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        let answer = self.until(self.runtime.now() + self.period(), call).await;
        answer.ok_or_else(|| unavailable("a renewal was not answered in time"))
    }

    /// The answer, if it comes by then.
    async fn until<T>(&self, end: Moment, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased;
            answer = call => Some(answer),
            () = self.runtime.sleep_until(end) => None,
        }
    }
}

/// For how many seconds the lease is renewed, and in which term.
async fn renewed(pings: &mut LeaseKeeper, replies: &mut LeaseKeepAliveStream) -> Result<(i64, Option<u64>)> {
    pings.keep_alive().await.map_err(translated)?;
    let reply = replies.message().await.map_err(translated)?;
    let reply = reply.ok_or_else(|| unavailable("etcd ended the stream of renewals"))?;
    Ok((reply.ttl(), term_of(reply.header())))
}

fn term_of(header: Option<&ResponseHeader>) -> Option<u64> {
    header.map(ResponseHeader::raft_term)
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
