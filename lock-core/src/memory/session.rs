//! A session with the store in memory.

#[cfg(feature = "testkit")]
use std::sync::atomic::Ordering;
use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_core::{Stream, stream::BoxStream};

use super::store::{Member, Observer, Store};
use crate::{
    backend::{Answer, Cell, CellVersion, Line, Session},
    capability::{Capabilities, Modes, TokenScope},
    claim::{Claim, ClaimId, Fate, Grant, Payload, Ticket},
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::LineId,
    runtime::{BoxFuture, SharedRuntime},
    session::{Lease, LostReason},
    token::FencingToken,
};

#[derive(Debug)]
pub(super) struct MemorySession {
    store: Arc<Store>,
    member: Arc<Member>,
    lease: Arc<Lease>,
    /// Unused without test hooks: this store's replies are not lost, and come at once.
    #[cfg_attr(not(feature = "testkit"), expect(dead_code))]
    runtime: SharedRuntime,
}

impl MemorySession {
    pub(super) fn new(
        store: Arc<Store>,
        member: Arc<Member>,
        lease: Arc<Lease>,
        runtime: SharedRuntime,
    ) -> Self {
        Self { store, member, lease, runtime }
    }

    #[cfg(feature = "testkit")]
    fn modes(&self) -> Modes {
        if self.store.exclusive_only.load(Ordering::Relaxed) { Modes::Exclusive } else { Modes::All }
    }

    #[cfg(not(feature = "testkit"))]
    #[expect(clippy::unused_self, reason = "test hooks may declare less")]
    fn modes(&self) -> Modes {
        Modes::All
    }

    /// The reply to a call that the store has served.
    #[cfg(feature = "testkit")]
    fn answer<T: Send + 'static>(&self, reply: Result<T>) -> Answer<T> {
        self.store.served.fetch_add(1, Ordering::Relaxed);
        self.member.faults.on_reply(&self.runtime, reply)
    }

    #[cfg(not(feature = "testkit"))]
    #[expect(clippy::unused_self, reason = "test hooks may lose or delay the reply")]
    fn answer<T>(&self, reply: Result<T>) -> Answer<T> {
        Answer::Now(reply)
    }
}

/// Renews the session, and ends those of others whose ttl has passed, until this one is over.
pub(super) async fn keep(store: Arc<Store>, member: Arc<Member>, lease: Arc<Lease>, runtime: SharedRuntime) {
    let mut due = runtime.now() + lease.ttl() / 3;
    loop {
        let mut opened = pin!(store.opened().notified());
        opened.as_mut().enable();
        let next = due.min(runtime.now() + store.next_expiry());
        tokio::select! { biased;
            _ = lease.lost() => return,
            // It may be the next to expire. No reason to renew: only the timer knows that this process runs.
            () = opened => continue,
            () = runtime.sleep_until(next) => {}
        }
        store.sweep();
        let sent = runtime.now();
        if sent < due {
            continue;
        }
        due = sent + lease.ttl() / 3;
        #[cfg(feature = "testkit")]
        if member.faults.renewals_paused() {
            continue;
        }
        if store.renew(&member) {
            #[cfg(feature = "testkit")]
            runtime.sleep_until(runtime.now() + member.faults.renewals_late()).await;
            lease.renewed(sent, lease.ttl());
        } else {
            lease.lose(LostReason::Expired);
        }
    }
}

#[async_trait]
impl Session for MemorySession {
    fn capabilities(&self) -> Capabilities {
        let recovery_slack = std::time::Duration::from_millis(10);
        let modes = self.modes();
        Capabilities { tokens: TokenScope::Process, recovery_slack, modes, ..Capabilities::strongest() }
    }

    fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    fn join(&self, line: &LineId, claim: &Claim) -> Answer<Ticket> {
        match claim.mode.validate() {
            Ok(()) => self.answer(self.store.join(&self.member, line, claim)),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn granted(&self, ticket: &Ticket) -> Answer<Grant> {
        let fate = match self.store.fate(&self.member, ticket) {
            Ok(fate) => fate,
            Err(error) => return Answer::Now(Err(error)),
        };
        match fate.decided() {
            Some(decided) => Answer::Now(granted(decided, fate)),
            None => Answer::later(async move { granted(fate.granted().await, fate) }),
        }
    }

    fn try_join(&self, line: &LineId, claim: &Claim) -> Answer<Option<(Ticket, Grant)>> {
        match claim.mode.validate() {
            Ok(()) => self.answer(self.store.try_join(&self.member, line, claim)),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn leave(&self, line: &LineId, claim: ClaimId) -> Answer<()> {
        self.answer(self.store.leave(&self.member, line, claim))
    }

    async fn update(&self, ticket: &Ticket, payload: Payload) -> Result<()> {
        self.answer(self.store.update(ticket, payload)).await
    }

    async fn set_mode(&self, ticket: &Ticket, weaker: Mode) -> Result<()> {
        weaker.validate()?;
        if !self.modes().include(ticket.line.kind(), weaker) {
            return Err(Error::new(ErrorKind::Unsupported, format!("the store has no {weaker} claims")));
        }
        self.answer(self.store.set_mode(ticket, weaker)).await
    }

    async fn inspect(&self, line: &LineId) -> Result<Line> {
        self.answer(Ok(self.store.inspect(line))).await
    }

    async fn changes(&self, line: &LineId) -> Result<BoxStream<'static, Result<Line>>> {
        let observer = Arc::new(self.store.observe(line));
        let changes = Changes { next: None, seen: None, observer, lease: self.lease.clone(), over: false };
        self.answer(Ok(Box::pin(changes) as BoxStream<'static, _>)).await
    }

    async fn cell(&self, line: &LineId) -> Result<Cell> {
        self.answer(Ok(self.store.cell(line))).await
    }

    async fn put_cell(
        &self,
        line: &LineId,
        expected: CellVersion,
        bytes: &[u8],
        under: Option<&Ticket>,
    ) -> Result<CellVersion> {
        Cell::check_size(bytes)?;
        self.member.check()?;
        self.answer(self.store.put_cell(line, expected, bytes, under)).await
    }

    async fn forget(&self, line: &LineId) -> Result<()> {
        self.store.forget(line);
        self.answer(Ok(())).await
    }

    async fn evict(&self, line: &LineId, claim: ClaimId) -> Result<bool> {
        self.answer(self.store.evict(line, claim)).await
    }

    async fn close(&self) -> Result<()> {
        self.lease.lose(LostReason::Closed);
        self.store.close(self.member.id());
        self.answer(Ok(())).await
    }

    fn abandon(&self) {
        // The keeper stops when the lease is lost; nothing else ever speaks for the session.
        self.lease.lose(LostReason::Abandoned);
    }
}

fn granted(decided: Result<FencingToken, LostReason>, fate: Arc<Fate>) -> Result<Grant> {
    decided.map(|token| Grant { token, fate }).map_err(Error::lost)
}

/// A line, now and whenever it has changed.
struct Changes {
    next: Option<BoxFuture<Result<(u64, Line)>>>,
    /// How often it had changed when it was seen last.
    seen: Option<u64>,
    observer: Arc<Observer>,
    lease: Arc<Lease>,
    over: bool,
}

impl Stream for Changes {
    type Item = Result<Line>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Line>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let (observer, lease, seen) = (self.observer.clone(), self.lease.clone(), self.seen);
        let next = self.next.get_or_insert_with(|| {
            Box::pin(async move {
                tokio::select! { biased;
                    reason = lease.lost() => Err(Error::lost(reason)),
                    next = observer.next(seen) => Ok(next),
                }
            })
        });
        let outcome = std::task::ready!(next.as_mut().poll(cx));
        self.next = None;
        Poll::Ready(Some(match outcome {
            Ok((changes, line)) => {
                self.seen = Some(changes);
                Ok(line)
            }
            Err(error) => {
                self.over = true;
                Err(error)
            }
        }))
    }
}
