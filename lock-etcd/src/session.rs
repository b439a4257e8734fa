//! A session: a lease, and every operation on lines through it.

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
use futures_util::{StreamExt, stream};
use lock_core::{
    Capabilities, Claim, ClaimId, ErrorKind, Grant, Health, Lease, Line, LineId, LostReason, Mode, Payload,
    Result, SessionId, Ticket,
    backend::{Answer, Cell, CellVersion, Session},
};

use crate::{connection::Connection, guarded::Held, keys::lease_of, queue::Queue, watch::Watch};

/// A session with etcd.
pub(crate) struct EtcdSession {
    queue: Arc<Queue>,
    /// Its own bell and its own life.
    _watches: [Watch; 2],
    /// Whether the store has been told that it is over.
    closed: AtomicBool,
}

/// etcd looks for leases that have expired every 500 ms, and then commits their end.
pub(crate) const RECOVERY_SLACK: Duration = Duration::from_secs(1);

/// How many claims leave at a time when a session closes.
const LEAVING_AT_ONCE: usize = 32;

impl EtcdSession {
    pub(crate) fn new(queue: Arc<Queue>, watches: [Watch; 2]) -> Self {
        Self { queue, _watches: watches, closed: AtomicBool::new(false) }
    }

    pub(crate) fn held(&self, ticket: &Ticket) -> Result<Held<'_>> {
        let (queue, standing) = (&self.queue, self.queue.standing(ticket)?);
        Ok(Held { connection: &queue.connection, seat: Box::new(move || queue.seat(&standing)) })
    }
}

impl fmt::Debug for EtcdSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSession").field("id", &self.queue.session).finish_non_exhaustive()
    }
}

#[async_trait]
impl Session for EtcdSession {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::strongest();
        capabilities.recovery_slack = RECOVERY_SLACK;
        capabilities
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.queue.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (queue, line, claim) = (self.queue.clone(), line.clone(), claim.clone());
        Answer::later(async move { queue.join(&line, &claim).await })
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
        Answer::later(async move { queue.try_join(&line, &claim).await })
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
        let Queue { lease, connection, session, .. } = &*self.queue;
        let closing = Closing { lease, connection, session: *session, closed: &self.closed };
        let sweep = async {
            if let Err(error) = self.queue.sweep_all().await {
                tracing::debug!(%error, "tails stay until somebody comes");
            }
        };
        let leave = |line, claim| async move { self.queue.leave(&line, claim).await };
        closing.close(self.queue.claims(), leave, sweep).await
    }

    fn abandon(&self) {
        // The tasks of the session stop when the lease is lost; nothing else ever speaks for it.
        self.queue.lease.lose(LostReason::Abandoned);
    }
}

/// What a claim is told that leaves: that this is its owner's doing, unless it goes with its session.
pub(crate) fn why_it_leaves(lease: &Lease) -> LostReason {
    match lease.health() {
        Health::Lost(reason) => reason,
        Health::Live { .. } | Health::Suspect { .. } => LostReason::Released,
    }
}

/// The end of a session, whatever its layout.
pub(crate) struct Closing<'a> {
    pub(crate) lease: &'a Lease,
    pub(crate) connection: &'a Connection,
    pub(crate) session: SessionId,
    pub(crate) closed: &'a AtomicBool,
}

impl Closing<'_> {
    /// Has every claim leave, then does what is left to do, then ends the lease.
    pub(crate) async fn close<F: Future<Output = Result<()>>>(
        self,
        claims: Vec<(LineId, ClaimId)>,
        leave: impl Fn(LineId, ClaimId) -> F,
        afterwards: impl Future<Output = ()>,
    ) -> Result<()> {
        let until = match self.lease.health() {
            Health::Live { until } | Health::Suspect { until } => Some(until),
            // It was to be closed before, and that failed.
            Health::Lost(LostReason::Closed) => Some(self.connection.now() + self.lease.ttl()),
            Health::Lost(_) => None,
        };
        self.lease.lose(LostReason::Closed);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Each for itself, so that its neighbour is told and no tail stays. Where that fails, the end of the
        // lease will do: it makes the neighbours look. So nobody leaves after the lease has run out, and nobody waits
        // for each of thousands of claims that etcd does not answer.
        let leaving = stream::iter(claims).for_each_concurrent(LEAVING_AT_ONCE, |(line, claim)| {
            let leave = leave(line.clone(), claim);
            async move {
                if let Err(error) = leave.await {
                    tracing::debug!(%line, %claim, %error, "could not leave; its lease ends");
                }
            }
        });
        if let Some(until) = until {
            tokio::select! { biased;
                () = leaving => {}
                () = self.connection.sleep_until(until) => tracing::debug!("the lease ends before all claims have left"),
            }
        }
        afterwards.await;
        match self.connection.revoke(lease_of(self.session)).await {
            // It was over before.
            Err(error) if error.kind() == ErrorKind::SessionLost => {}
            outcome => outcome?,
        }
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{Kind, runtime::SimulatedRuntime};

    use super::*;
    use crate::{
        config::Config,
        links::{Limits, Links},
        way::Way,
    };

    #[tokio::test(start_paused = true)]
    async fn c16_closing_waits_for_no_claim_that_etcd_does_not_answer_once_the_lease_has_run_out() {
        let (runtime, ttl) = (SimulatedRuntime::new(1).unwrap().shared(), Duration::from_secs(10));
        let way = Way::members(Config::new(["127.0.0.1:1"]).unwrap(), ttl, 0).unwrap();
        let limits = Limits { connect_timeout: ttl, reconnect_timeout: ttl, request_timeout: ttl };
        let connection = Connection::new(Links::new(way, runtime.clone(), limits), "key".to_owned());
        let (lease, session) = (Lease::new(runtime.clone(), runtime.now(), ttl), SessionId::new(1));
        let closed = AtomicBool::new(false);
        let closing = Closing { lease: &lease, connection: &connection, session, closed: &closed };
        let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
        let claims = vec![(line, ClaimId { session, number: 1 })];
        let closes = closing.close(claims, |_, _| std::future::pending(), std::future::ready(()));
        tokio::select! { biased;
            closed = closes => assert_eq!(closed.unwrap_err().kind(), ErrorKind::Unavailable),
            () = runtime.sleep_until(runtime.now() + ttl * 10) => panic!("it waits for the claim"),
        }
    }
}
