//! The seam.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Grant, Lease, Line, LineId, LostReason, Mode, Modes, Names, Payload,
    Result, Ticket,
    backend::{Answer, Cell, CellVersion, Session},
    sync::locked,
};

use super::Go;
use crate::{
    guarded::Held,
    session::{Closing, RECOVERY_SLACK},
};

/// A session with etcd, in the layout of Go.
pub(crate) struct GoSession {
    go: Arc<Go>,
    closed: AtomicBool,
}

impl GoSession {
    pub(crate) fn new(go: Arc<Go>) -> Self {
        Self { go, closed: AtomicBool::new(false) }
    }

    pub(crate) fn held(&self, ticket: &Ticket) -> Result<Held<'_>> {
        let (go, standing) = (&self.go, self.go.standing(ticket)?);
        Ok(Held { connection: &go.connection, seat: Box::new(move || go.seat(&standing)) })
    }
}

impl fmt::Debug for GoSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoSession").field("id", &self.go.session).finish_non_exhaustive()
    }
}

#[async_trait]
impl Session for GoSession {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::strongest();
        capabilities.recovery_slack = RECOVERY_SLACK;
        (capabilities.modes, capabilities.names) = (Modes::Exclusive, Names::Raw);
        capabilities
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.go.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (go, line, claim) = (self.go.clone(), line.clone(), claim.clone());
        Answer::later(async move { go.join(&line, &claim).await })
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (go, ticket) = (self.go.clone(), ticket.clone());
        Answer::later(async move {
            let standing = go.standing(&ticket)?;
            go.granted(&standing).await
        })
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (go, line, claim) = (self.go.clone(), line.clone(), claim.clone());
        Answer::later(async move { go.try_join(&line, &claim).await })
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let (go, line) = (self.go.clone(), line.clone());
        Answer::later(async move { go.leave(&line, claim).await })
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.go.update(ticket, payload).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.go.set_mode(ticket, weaker)
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.go.inspect(line).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        self.go.changes(line)
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.go.cell(line).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.go.put_cell(line, expected, bytes, under).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        self.go.forget_cell(line).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.go.evict(line, claim).await
    }

    async fn close(&self) -> Result<()> {
        let Go { lease, connection, session, .. } = &*self.go;
        let closing = Closing { lease, connection, session: *session, closed: &self.closed };
        let claims = locked(&self.go.table).claims();
        let leave = |line, claim| async move { self.go.leave(&line, claim).await };
        closing.close(claims, leave, std::future::ready(())).await
    }

    fn abandon(&self) {
        self.go.lease.lose(LostReason::Abandoned);
    }
}
