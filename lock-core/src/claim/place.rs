//! One claim's life, from join to leave, whatever is dropped on the way (clauses C5, C9, C14).

use std::{
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    backend::SharedSession,
    claim::{Claim, ClaimId, Grant, Ticket},
    error::{Effect, Error, ErrorKind, Result},
    name::LineId,
    runtime::{BoxFuture, Moment, SharedRuntime, jitter},
    session::{Lease, LostReason},
};

/// A place in line. Dropping it leaves the line in the background; [`leave`](Self::leave) waits for that.
#[derive(Debug)]
pub(crate) struct Place {
    debt: Debt,
    ticket: Ticket,
}

impl Place {
    /// Takes a place at the end of the line. If the future is dropped, the join under way is finished in the
    /// background, and left.
    pub(crate) async fn join(via: Via, line: &LineId, claim: Claim) -> Result<Self> {
        let (debt, line) = (Debt::new(via.clone(), line, claim.id), line.clone());
        let call = async move { via.repeat(None, || via.session.join(&line, &claim)).await };
        let (ticket, debt) = debt.incur(call).await?;
        tracing::debug!(line = %ticket.line, claim = %ticket.claim, place = ticket.place, "joined");
        Ok(Self { debt, ticket })
    }

    /// Takes a place if it is granted at once, and none otherwise. Gives up at `end` when the store does not
    /// answer.
    pub(crate) async fn try_join(
        via: Via,
        line: &LineId,
        claim: Claim,
        end: Moment,
    ) -> Result<Option<(Self, Grant, Moment)>> {
        let (debt, line) = (Debt::new(via.clone(), line, claim.id), line.clone());
        let call = async move { via.repeat(Some(end), || via.session.try_join(&line, &claim)).await };
        let (answer, debt) = debt.incur(call).await?;
        if answer.is_none() {
            debt.forgive();
        }
        let now = debt.via.lease().check_now()?;
        Ok(answer.map(|(ticket, grant)| (Self { debt, ticket }, grant, now)))
    }

    /// Waits for the turn, and tells when it came. When the session is lost meanwhile, so is the place:
    /// nothing is granted under a dead session (C10).
    pub(crate) async fn granted(&self) -> Result<(Grant, Moment)> {
        let session = &self.debt.via.session;
        let grant = tokio::select! { biased;
            grant = self.debt.via.repeat(None, || session.granted(&self.ticket)) => grant?,
            reason = session.lease().lost() => return Err(Error::lost(reason)),
        };
        Ok((grant, session.lease().check_now()?))
    }

    /// Leaves the line. Dropping the future does not stop it. The place is void from then on.
    pub(crate) async fn leave(&self) -> Result<()> {
        self.debt.pay().await
    }

    pub(crate) fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    pub(crate) fn via(&self) -> &Via {
        &self.debt.via
    }
}

/// The way to the store: a session, and the runtime that finishes what callers drop.
#[derive(Clone, Debug)]
pub(crate) struct Via {
    pub(crate) session: SharedSession,
    pub(crate) runtime: SharedRuntime,
}

impl Via {
    pub(crate) fn lease(&self) -> &Lease {
        self.session.lease()
    }

    /// A call that only looks: repeated while the store does not answer and the session lives. It may be
    /// dropped at any time.
    pub(crate) async fn look<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        self.lease().check()?;
        tokio::select! { biased;
            outcome = self.repeat(None, call) => outcome,
            reason = self.lease().lost() => Err(Error::lost(reason)),
        }
    }

    /// A write that the store guards by a version and a ticket: repeated in the same way, and it may be
    /// dropped too.
    pub(crate) async fn guarded<T, F: Future<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        self.lease().check()?;
        self.look(call).await.map_err(|error| {
            // The session was lost meanwhile: it may have been written just before.
            if self.lease().check().is_err() { error.with_unknown_effect() } else { error }
        })
    }

    /// An idempotent call that changes the store, repeated in the same way. When the caller drops it, or when
    /// the session is lost, the call under way is finished in the background.
    pub(crate) async fn change<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        call: impl Fn(SharedSession) -> F + Send + Sync + 'static,
    ) -> Result<T> {
        self.lease().check()?;
        let via = self.clone();
        self.finish(Box::pin(async move { via.repeat(None, || call(via.session.clone())).await })).await
    }

    /// Leaves, repeatedly if need be.
    pub(crate) fn leave(&self, line: &LineId, claim: ClaimId) -> BoxFuture<Result<()>> {
        let (via, line) = (self.clone(), line.clone());
        Box::pin(async move {
            via.repeat(None, || via.session.leave(&line, claim)).await?;
            tracing::debug!(%line, %claim, "left");
            Ok(())
        })
    }

    async fn finish<T: Send + 'static>(&self, call: BoxFuture<Result<T>>) -> Result<T> {
        tokio::select! { biased;
            outcome = Unfinished::new(&self.runtime, call) => outcome,
            reason = self.lease().lost() => Err(Error::lost(reason).with_unknown_effect()),
        }
    }

    /// Repeats an idempotent call while the store does not answer, the session lives (as it does at first),
    /// and `end` has not come.
    async fn repeat<T, F: Future<Output = Result<T>>>(
        &self,
        end: Option<Moment>,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let mut pause = Duration::from_millis(10);
        let mut effect = Effect::None;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if error.effect() == Effect::Unknown {
                effect = Effect::Unknown;
            }
            if error.kind() == ErrorKind::SessionLost {
                // The store may know before the lease does; the first reason stands.
                self.lease().lose(LostReason::Expired);
            }
            let too_late = end.is_some_and(|end| self.runtime.now() >= end) || self.lease().check().is_err();
            if error.kind() != ErrorKind::Unavailable || too_late {
                return Err(if effect == Effect::Unknown { error.with_unknown_effect() } else { error });
            }
            tracing::debug!(%error, "will be repeated");
            jitter(&*self.runtime, pause).await;
            pause = (pause * 2).min(self.lease().ttl() / 10).min(Duration::from_secs(1));
        }
    }
}

/// A `leave` that is owed to the store for one claim. Dropping it pays in the background.
#[derive(Debug)]
struct Debt {
    via: Via,
    line: LineId,
    claim: ClaimId,
    owed: AtomicBool,
}

impl Debt {
    fn new(via: Via, line: &LineId, claim: ClaimId) -> Self {
        Self { via, line: line.clone(), claim, owed: AtomicBool::new(true) }
    }

    /// Runs the call that makes the claim. What may have taken effect when it fails is undone in the
    /// background.
    fn incur<T: Send + 'static>(
        self,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> impl Future<Output = Result<(T, Self)>> {
        let via = self.via.clone();
        // The debt travels with the call: whoever finishes the call gets it. Boxed here and not in a future
        // that would hold it twice.
        let call: BoxFuture<_> = Box::pin(async move {
            let outcome = call.await;
            if outcome.as_ref().is_err_and(|error| error.effect() == Effect::None) {
                self.forgive();
            }
            Ok((outcome?, self))
        });
        async move { via.finish(call).await }
    }

    /// Leaves, and waits for it.
    async fn pay(&self) -> Result<()> {
        self.forgive();
        self.via.finish(self.via.leave(&self.line, self.claim)).await
    }

    fn forgive(&self) {
        self.owed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        // With a session that is lost the claim is gone too; one that was abandoned says nothing more.
        if *self.owed.get_mut() && self.via.lease().check().is_ok() {
            let payment = self.via.leave(&self.line, self.claim);
            self.via.runtime.spawn(Box::pin(async move {
                if let Err(error) = payment.await {
                    tracing::debug!(%error, "could not leave; the end of the session will free the line");
                }
            }));
        }
    }
}

/// A call that must not be torn: when it is dropped half way, the runtime finishes it, and drops what it
/// returns.
pub(crate) struct Unfinished<T: Send + 'static> {
    call: Option<BoxFuture<T>>,
    runtime: SharedRuntime,
}

impl<T: Send + 'static> Unfinished<T> {
    pub(crate) fn new(runtime: &SharedRuntime, call: BoxFuture<T>) -> Self {
        Self { call: Some(call), runtime: runtime.clone() }
    }
}

impl<T: Send + 'static> Future for Unfinished<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(call) = &mut self.call else { return Poll::Pending };
        let outcome = std::task::ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(outcome)
    }
}

impl<T: Send + 'static> Drop for Unfinished<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.runtime.spawn(Box::pin(async move { drop(call.await) }));
        }
    }
}
