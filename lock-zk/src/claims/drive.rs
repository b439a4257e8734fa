//! One task for all claims of a session, whether anybody waits for them or not: it takes each to its turn,
//! and then watches over its node. So a claim that nobody polls keeps nobody waiting at the gate, and one
//! whose node goes without having left is told so.

use std::sync::{Arc, Weak};

use futures_util::{StreamExt, stream::FuturesUnordered};
use lock_core::{LostReason, Result};
use tokio::sync::mpsc;
use zookeeper_client as zk;

use super::{Claims, Protocol, Standing, Watch, vigil::news};
use crate::{
    backend::Owned,
    connection::persist,
    error::{is_forbidden, translated},
};

/// Drives the claims of one session.
pub(crate) struct Driver<P: Protocol> {
    claims: Weak<Claims<P>>,
    joined: mpsc::UnboundedReceiver<Arc<Standing<P>>>,
}

impl<P: Protocol> Driver<P> {
    pub(super) fn new(claims: &Arc<Claims<P>>, joined: mpsc::UnboundedReceiver<Arc<Standing<P>>>) -> Self {
        Self { claims: Arc::downgrade(claims), joined }
    }

    /// Until the session is over, which is ended if it is ours.
    pub(crate) async fn run(mut self, owned: Option<Owned>) {
        let Some(lease) = self.claims.upgrade().map(|claims| claims.connection.lease.clone()) else { return };
        let mut driven = FuturesUnordered::new();
        loop {
            tokio::select! { biased;
                reason = lease.lost() => {
                    drop(driven);
                    return self.leave_unless_told(reason, owned).await;
                }
                Some(()) = driven.next(), if !driven.is_empty() => {}
                joined = self.joined.recv() => match joined {
                    Some(standing) => driven.push(drive(self.claims.clone(), standing)),
                    None => return,
                },
            }
        }
    }

    /// A session whose deadline has passed may live on in the store, and the client keeps it alive: its
    /// claims would keep their lines waiting for as long. Where one cannot leave, it takes the end of the session.
    async fn leave_unless_told(self, reason: LostReason, owned: Option<Owned>) {
        if !matches!(reason, LostReason::Closed | LostReason::Abandoned)
            && let Some(claims) = self.claims.upgrade()
            && let (Err(error), Some(owned)) = (claims.leave_all(reason).await, &owned)
        {
            drop(claims.end_session(Some(owned), Err(error)).await);
        }
    }
}

/// From joined to the claim's end.
async fn drive<P: Protocol>(claims: Weak<Claims<P>>, standing: Arc<Standing<P>>) {
    let outcome = async {
        let turn = async {
            let Some(claims) = claims.upgrade() else { return Ok(None) };
            claims.reach_its_turn(&standing).await
        };
        let watch = tokio::select! { biased;
            _ = standing.fate.ended() => return Ok(()),
            watch = turn => watch?,
        };
        watch_over(&claims, &standing, watch).await
    };
    if let Err(error) = outcome.await {
        tracing::debug!(claim = %standing.id, %error, "is not driven any more");
        // A holder that is not watched would not hear of its eviction.
        if is_forbidden(&error)
            && standing.fate.token().is_some()
            && let Some(claims) = claims.upgrade()
        {
            claims.connection.lease.lose(LostReason::Denied);
        }
        standing.fail(error);
    }
}

/// Until the node of a claim that holds has gone for good. A watch is not given up before: that would cost a
/// request.
async fn watch_over<P: Protocol>(
    claims: &Weak<Claims<P>>,
    standing: &Standing<P>,
    mut watch: Option<Watch>,
) -> Result<()> {
    while standing.fate.end_reason().is_none() {
        if let Some(watch) = watch.take() {
            news(&watch.await)?;
        } else if let Some(claims) = claims.upgrade() {
            watch = claims.watch_holder(standing).await?;
        } else {
            return Ok(());
        }
    }
    if let Some(watch) = watch {
        watch.await;
    }
    Ok(())
}

impl<P: Protocol> Claims<P> {
    /// Has the claim driven on, once.
    pub(super) fn set_off(&self, standing: &Arc<Standing<P>>) {
        if standing.drives() {
            return;
        }
        // The task is gone when the session is over.
        let _ = self.joined.send(standing.clone());
    }

    /// Waits for the claim's turn; the watch on its node, if there is one.
    async fn reach_its_turn(&self, standing: &Standing<P>) -> Result<Option<Watch>> {
        let mut work = standing.work.lock().await;
        if standing.fate.token().is_some() {
            return Ok(None);
        }
        self.locate(standing, &mut work).await?;
        let watch = P::take_turn(self, standing, &mut work).await?;
        // Nothing is granted under a session that is over (C10).
        self.connection.lease.check()?;
        standing.grant()?;
        Ok(watch)
    }

    /// Watches the node of a claim that holds, wherever it is now; `None` when it has left.
    async fn watch_holder(&self, standing: &Standing<P>) -> Result<Option<Watch>> {
        let client = self.connection.client()?;
        while let Some(path) = self.holds_at(standing).await? {
            // Meanwhile it may be released, or taken to another seat: neither waits for this answer.
            match persist!(self.connection, client.get_and_watch_data(&path)) {
                Ok((_, _, watch)) => return Ok(Some(Box::pin(watch.changed()))),
                Err(zk::Error::NoNode) => {
                    if self.holds_at(standing).await? == Some(path) {
                        return Err(self.missing(standing).await);
                    }
                }
                Err(error) => return Err(translated(error)),
            }
        }
        Ok(None)
    }

    /// Where the node of a claim that holds is; `None` when it has left.
    async fn holds_at(&self, standing: &Standing<P>) -> Result<Option<String>> {
        // It may be on its way to another seat.
        let mut work = standing.work.lock().await;
        if standing.fate.end_reason().is_some() {
            return Ok(None);
        }
        self.locate(standing, &mut work).await?;
        match work.seat.path() {
            None => Err(self.missing(standing).await),
            path => Ok(path),
        }
    }
}
