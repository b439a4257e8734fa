//! Keeps a session's lease alive, and tells the local deadline about it.

use std::{sync::Arc, time::Duration};

use lock_core::{
    Error, ErrorKind, Lease, LostReason, Result,
    bug::Bug,
    runtime::{SharedRuntime, jitter},
};

use crate::{
    connection::{Connection, Link, retry_pause},
    error::translated,
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

    async fn pause(&self, duration: Duration) {
        self.runtime.sleep_until(self.runtime.now() + duration).await;
    }

    /// Renews until that fails.
    async fn stream(&self) -> Result<()> {
        let link = self.connection.link().await?;
        let broken = tokio::select! { biased;
            () = self.connection.given_up(&link) => return Ok(()),
            broken = self.renew_through(&link) => broken,
        };
        if let Err(error) = &broken {
            self.connection.give_up(&link, error);
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
        loop {
            let sent = self.runtime.now();
            pings.keep_alive().await.map_err(translated)?;
            let reply = self.answered(replies.message()).await?.map_err(translated)?;
            let reply = reply.ok_or_else(|| unavailable("etcd ended the stream of renewals"))?;
            let Ok(ttl @ 1..) = u64::try_from(reply.ttl()) else {
                self.lease.lose(LostReason::Expired);
                return Ok(());
            };
            link.heard(&self.runtime);
            self.lease.renewed(sent, Duration::from_secs(ttl));
            tokio::select! { biased;
                () = self.runtime.sleep_until(sent + self.period()) => {}
                broken = replies.message() => {
                    broken.map_err(translated)?;
                    return Err(unavailable("etcd answered a renewal that was not sent, or ended the stream"));
                }
            }
        }
    }

    async fn answered<T>(&self, call: impl Future<Output = T>) -> Result<T> {
        tokio::select! { biased;
            answer = call => Ok(answer),
            () = self.pause(self.period()) => Err(unavailable("a renewal was not answered in time")),
        }
    }
}

fn unavailable(message: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
