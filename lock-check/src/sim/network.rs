//! The way from a client to the store: it delays, loses and repeats what is sent over it, unless the store sees
//! to that, and keeps the client's part of the history.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lock_core::{
    Capabilities, Claim, ClaimId, Error, ErrorKind, Grant, Lease, Line, LineId, Mode, Payload, Result,
    SessionOptions, Ticket,
    backend::{Answer, Backend, Cell, CellVersion, Session, SharedSession},
    runtime::Runtime,
};

use super::{Dice, World};
use crate::history::What;

/// One client's way to the store.
pub(super) struct Network {
    pub(super) world: Arc<World>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) dice: Dice,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Network {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        let id = options.id;
        if self.world.store.is_remote() {
            self.world.sleep(self.dice.millis(0..5)).await;
        }
        let session = self.backend.open(options).await?;
        let (world, lease, machine) = (self.world.clone(), session.lease().clone(), self.dice.0.clone());
        self.world.spawn(async move {
            // On the true clock: the deadline also passes for one who stands still and cannot see it.
            loop {
                let left = lease.deadline().saturating_since(machine.now());
                tokio::select! { biased;
                    _ = lease.lost() => break,
                    () = world.sleep(left + Duration::from_millis(1)) => {}
                }
            }
            world.record(What::SessionLost { session: id });
        });
        Ok(Arc::new(Remote { session, world: self.world.clone(), dice: self.dice.clone() }))
    }
}

/// A session at the other end of a network.
#[derive(Clone)]
struct Remote {
    session: SharedSession,
    world: Arc<World>,
    dice: Dice,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("session", &self.session).finish_non_exhaustive()
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Unavailable, "the network lost it").with_unknown_effect()
}

impl Remote {
    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.travel().await;
        if self.loses() {
            self.world.note("requests lost");
            return Err(lost());
        }
        self.world.asked.fetch_add(1, Ordering::Relaxed);
        let reply = call.await;
        self.travel().await;
        if self.loses() {
            self.world.note("replies lost");
            return Err(lost());
        }
        reply
    }

    fn loses(&self) -> bool {
        self.world.store.is_remote() && !self.world.is_calm() && self.dice.percent(5)
    }

    async fn travel(&self) {
        if !self.world.store.is_remote() {
            return;
        }
        let late = !self.world.is_calm() && self.dice.percent(10);
        if late {
            self.world.note("messages late");
        }
        let time = if late { self.dice.millis(20..120) } else { self.dice.millis(0..2) };
        // Never none: what the store does at one instant is heard at a later one, after those who know at
        // once.
        self.world.sleep(time.max(Duration::from_micros(1))).await;
        // Nothing leaves or reaches a machine whose processes stand still.
        self.dice.0.running().await;
    }

    /// Sends the same request again, to arrive at some time after the first.
    fn repeat<T: Send + 'static>(&self, request: impl FnOnce(SharedSession) -> Answer<T> + Send + 'static) {
        if !self.world.store.is_remote() || self.world.is_calm() || !self.dice.percent(8) {
            return;
        }
        self.world.note("requests repeated by the network");
        let (world, session, delay) = (self.world.clone(), self.session.clone(), self.dice.millis(0..200));
        self.world.spawn(async move {
            world.sleep(delay).await;
            world.asked.fetch_add(1, Ordering::Relaxed);
            let _nobody_hears_it = request(session).await;
        });
    }

    fn joined(&self, ticket: &Ticket) {
        self.world.record(What::Joined { claim: ticket.claim, place: ticket.place });
    }
}

#[async_trait]
impl Session for Remote {
    fn capabilities(&self) -> Capabilities {
        self.session.capabilities()
    }

    fn lease(&self) -> &Arc<Lease> {
        self.session.lease()
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(async move {
            this.world.record(What::JoinSent { claim: claim.id, line: line.clone(), mode: claim.mode });
            let (again, of) = (line.clone(), claim.clone());
            this.repeat(move |session| session.join(&again, &of));
            let ticket = this.call(async { this.session.join(&line, &claim).await }).await?;
            this.joined(&ticket);
            Ok(ticket)
        })
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let (this, ticket) = (self.clone(), ticket.clone());
        Answer::later(async move {
            // A wait is no request: it is the answer to the join, and may be late.
            let grant = this.session.granted(&ticket).await;
            this.travel().await;
            grant
        })
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        let (this, line, claim) = (self.clone(), line.clone(), claim.clone());
        Answer::later(async move {
            this.world.record(What::JoinSent { claim: claim.id, line: line.clone(), mode: claim.mode });
            let answer = this.call(async { this.session.try_join(&line, &claim).await }).await?;
            match &answer {
                Some((ticket, _)) => this.joined(ticket),
                None => this.world.record(What::TryFailed { claim: claim.id }),
            }
            Ok(answer)
        })
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        let (this, line) = (self.clone(), line.clone());
        Answer::later(async move {
            this.world.record(What::LeaveSent { claim });
            let again = line.clone();
            this.repeat(move |session| session.leave(&again, claim));
            this.call(async { this.session.leave(&line, claim).await }).await?;
            this.world.record(What::Left { claim });
            Ok(())
        })
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.call(self.session.update(ticket, payload)).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        self.call(self.session.set_mode(ticket, weaker)).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.call(self.session.inspect(line)).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        self.call(self.session.changes(line)).await
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.call(self.session.cell(line)).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        self.call(self.session.put_cell(line, expected, bytes, under)).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        self.call(self.session.forget(line)).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.call(self.session.evict(line, claim)).await
    }

    async fn close(&self) -> Result<()> {
        self.world.asked.fetch_add(1, Ordering::Relaxed);
        self.session.close().await
    }

    fn abandon(&self) {
        self.session.abandon();
    }
}
