//! A session, and every operation on lines through it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Error, Grant, Lease, Line, LineId, LostReason, Mode, Payload, Result,
    Ticket,
    backend::{Answer, Cell, CellVersion, Session},
};

use crate::{
    backend::Owned,
    claims::{Claims, Protocol},
};

/// A session with ZooKeeper.
pub(crate) struct ZkSession<P: Protocol> {
    claims: Arc<Claims<P>>,
    /// How its end is told to the ensemble; none when the client is the user's.
    owned: Option<Owned>,
    slack: Duration,
    /// Whether the store has been told that it is over.
    closed: AtomicBool,
}

impl<P: Protocol> ZkSession<P> {
    pub(crate) fn new(claims: Arc<Claims<P>>, owned: Option<Owned>, slack: Duration) -> Self {
        Self { claims, owned, slack, closed: AtomicBool::new(false) }
    }

    pub(crate) fn claims(&self) -> &Arc<Claims<P>> {
        &self.claims
    }

    /// Has the runtime drive a call: see [`Connection::driven`](crate::connection::Connection::driven).
    fn driven<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        call: impl FnOnce(Arc<Claims<P>>) -> F,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        self.claims.connection.driven(call(self.claims.clone()))
    }

    /// Ends a wait with the session. What was asked for meanwhile may have been done.
    fn while_alive<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        call: impl FnOnce(Arc<Claims<P>>) -> F,
    ) -> Answer<T> {
        let lease = self.lease().clone();
        Answer::later(self.driven(|claims| {
            let call = call(claims);
            async move {
                tokio::select! { biased;
                    outcome = call => outcome,
                    reason = lease.lost() => Err(Error::lost(reason).with_unknown_effect()),
                }
            }
        }))
    }
}

impl<P: Protocol> fmt::Debug for ZkSession<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZkSession").field("id", &self.claims.session).finish_non_exhaustive()
    }
}

#[async_trait]
impl<P: Protocol> Session for ZkSession<P> {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::strongest();
        capabilities.recovery_slack = self.slack;
        (capabilities.modes, capabilities.names) = (self.claims.protocol.modes(), P::NAMES);
        capabilities
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.claims.connection.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (line, claim) = (line.clone(), claim.clone());
        self.while_alive(|claims| async move { claims.join(&line, &claim).await })
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (claims, ticket) = (self.claims.clone(), ticket.clone());
        Answer::later(async move {
            let standing = claims.standing(&ticket)?;
            claims.granted(&standing).await
        })
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (line, claim) = (line.clone(), claim.clone());
        self.while_alive(|claims| async move { claims.try_join(&line, &claim).await })
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let line = line.clone();
        Answer::later(self.driven(|claims| async move { claims.leave(&line, claim).await }))
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        let ticket = ticket.clone();
        self.driven(|claims| async move { claims.update(&ticket, payload).await }).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        let ticket = ticket.clone();
        self.driven(|claims| async move { claims.set_mode(&ticket, weaker).await }).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        let line = line.clone();
        self.driven(|claims| async move { claims.inspect(&line).await }).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        Ok(self.claims.changes(line))
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        let line = line.clone();
        self.driven(|claims| async move { claims.cell(&line).await }).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        let (line, bytes, under) = (line.clone(), bytes.to_owned(), under.cloned());
        let put = async move |claims: Arc<Claims<P>>| {
            claims.put_cell(&line, expected, &bytes, under.as_ref()).await
        };
        self.driven(put).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        let line = line.clone();
        self.driven(|claims| async move { claims.forget_cell(&line).await }).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        let line = line.clone();
        self.driven(|claims| async move { claims.evict(&line, claim).await }).await
    }

    async fn close(&self) -> Result<()> {
        self.lease().lose(LostReason::Closed);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let left = self.claims.leave_all(LostReason::Closed).await;
        self.claims.end_session(self.owned.as_ref(), left).await?;
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn abandon(&self) {
        // The tasks of the session stop when the lease is lost; nothing else ever speaks for it.
        self.lease().lose(LostReason::Abandoned);
        drop(self.claims.connection.cut());
    }
}
