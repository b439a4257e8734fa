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

use crate::{backend::Owned, queue::Queue};

/// A session with ZooKeeper.
pub(crate) struct ZkSession {
    queue: Arc<Queue>,
    /// How its end is told to the ensemble; none when the client is the user's.
    owned: Option<Owned>,
    slack: Duration,
    /// Whether the store has been told that it is over.
    closed: AtomicBool,
}

impl ZkSession {
    pub(crate) fn new(queue: Arc<Queue>, owned: Option<Owned>, slack: Duration) -> Self {
        Self { queue, owned, slack, closed: AtomicBool::new(false) }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Ends a wait with the session. What was asked for meanwhile may have been done.
    fn while_alive<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Answer<T> {
        let lease = self.lease().clone();
        Answer::later(async move {
            tokio::select! { biased;
                outcome = call => outcome,
                reason = lease.lost() => Err(Error::lost(reason).with_unknown_effect()),
            }
        })
    }
}

impl fmt::Debug for ZkSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZkSession").field("id", &self.queue.session).finish_non_exhaustive()
    }
}

#[async_trait]
impl Session for ZkSession {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::strongest();
        capabilities.recovery_slack = self.slack;
        capabilities
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.queue.connection.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (queue, line, claim) = (self.queue.clone(), line.clone(), claim.clone());
        self.while_alive(async move { queue.join(&line, &claim).await })
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (queue, ticket) = (self.queue.clone(), ticket.clone());
        Answer::later(async move {
            let standing = queue.standing(&ticket)?;
            queue.granted(&standing).await
        })
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (queue, line, claim) = (self.queue.clone(), line.clone(), claim.clone());
        self.while_alive(async move { queue.try_join(&line, &claim).await })
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let (queue, line) = (self.queue.clone(), line.clone());
        Answer::later(async move { queue.leave(&line, claim).await })
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.queue.update(ticket, payload).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.queue.set_mode(ticket, weaker).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.queue.inspect(line).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        Ok(self.queue.changes(line))
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.queue.cell(line).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.queue.put_cell(line, expected, bytes, under).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        self.queue.forget_cell(line).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.queue.evict(line, claim).await
    }

    async fn close(&self) -> Result<()> {
        self.lease().lose(LostReason::Closed);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.queue.leave_all(LostReason::Closed).await;
        self.queue.end_session(self.owned.as_ref()).await?;
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn abandon(&self) {
        // The tasks of the session stop when the lease is lost; nothing else ever speaks for it.
        self.lease().lose(LostReason::Abandoned);
        drop(self.queue.connection.cut());
    }
}
