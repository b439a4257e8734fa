//! The way to the store, whatever is dropped on it (clauses C5, C9, C14).

use std::{
    future::IntoFuture,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use super::{ClaimId, unfinished::Unfinished};
use crate::{
    answer::Answer,
    backend::SharedSession,
    error::{Effect, Error, ErrorKind, Result},
    name::LineId,
    runtime::{BoxFuture, Moment, SharedRuntime, jitter},
    session::{Lease, LostReason, SessionId},
};

/// The way to the store: a session, the runtime that finishes what callers drop, and the number of the next
/// claim.
#[derive(Debug)]
pub(crate) struct Via {
    pub(crate) id: SessionId,
    pub(crate) session: SharedSession,
    pub(crate) lease: Arc<Lease>,
    pub(crate) runtime: SharedRuntime,
    pub(crate) claims: AtomicU64,
}

impl Via {
    /// A call that only looks: repeated while the store does not answer and the session lives. It may be
    /// dropped at any time.
    pub(crate) async fn look<T, F: IntoFuture<Output = Result<T>>>(&self, call: impl Fn() -> F) -> Result<T> {
        self.lease.check()?;
        self.hear(call(), call).await
    }

    /// As [`look`](Self::look), after a first answer.
    pub(crate) async fn hear<T, F: IntoFuture<Output = Result<T>>>(
        &self,
        first: F,
        call: impl Fn() -> F,
    ) -> Result<T> {
        tokio::select! { biased;
            outcome = self.repeat(None, first, call) => outcome,
            reason = self.lease.lost() => Err(Error::lost(reason)),
        }
    }

    /// A write that the store guards by a version and a ticket: repeated in the same way, and it may be
    /// dropped too.
    pub(crate) async fn guarded<T, F: IntoFuture<Output = Result<T>>>(
        &self,
        call: impl Fn() -> F,
    ) -> Result<T> {
        self.lease.check()?;
        self.look(call).await.map_err(|error| {
            // The session was lost meanwhile: it may have been written just before.
            if self.lease.check().is_err() { error.with_unknown_effect() } else { error }
        })
    }

    /// An idempotent call that changes the store, repeated in the same way. When the caller drops it, or when
    /// the session is lost, the call under way is finished in the background.
    pub(crate) async fn change<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        self: &Arc<Self>,
        call: impl Fn(SharedSession) -> F + Send + Sync + 'static,
    ) -> Result<T> {
        self.lease.check()?;
        let via = self.clone();
        let again = move || call(via.session.clone());
        let via = self.clone();
        self.finish(Box::pin(async move { via.repeat(None, again(), again).await })).await
    }

    /// Leaves, repeatedly if need be. It is finished in the background when the caller drops it, and when the
    /// store has no room for it.
    pub(crate) async fn leave(self: &Arc<Self>, line: &LineId, claim: ClaimId) -> Result<()> {
        let outcome = match self.leaving(line, claim) {
            Answer::Now(outcome) => outcome,
            Answer::Later(call) => self.finish(call).await,
        };
        if self.lacks_room(&outcome) {
            self.leave_unheard(line, claim);
        }
        outcome
    }

    /// As [`leave`](Self::leave), for those who do not wait for it.
    pub(crate) fn leave_unheard(self: &Arc<Self>, line: &LineId, claim: ClaimId) {
        if let Answer::Later(call) = self.leaving(line, claim) {
            let (via, line) = (self.clone(), line.clone());
            self.runtime.spawn(Box::pin(async move {
                let mut outcome = call.await;
                // A store that is full may be unable to promise that a join under way will not land; and when
                // it has room again, the join lands. The claim would be in line for as long as the session
                // lives, and nobody would want it.
                while via.lacks_room(&outcome) {
                    let pause = (via.lease.ttl() / 10).min(Duration::from_millis(250));
                    via.runtime.sleep_until(via.runtime.now() + pause).await;
                    outcome = via.leaving(&line, claim).await;
                }
                if let Err(error) = outcome {
                    tracing::debug!(%error, "could not leave; the end of the session will free the line");
                }
            }));
        }
    }

    /// Whether it may succeed once the store has room.
    fn lacks_room(&self, outcome: &Result<()>) -> bool {
        outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Full) && self.lease.check().is_ok()
    }

    fn leaving(self: &Arc<Self>, line: &LineId, claim: ClaimId) -> Answer<()> {
        let first = self.session.leave(line, claim);
        if let Answer::Now(Ok(())) = first {
            tracing::debug!(%line, %claim, "left");
            return first;
        }
        let (via, line) = (self.clone(), line.clone());
        Answer::later(async move {
            via.repeat(None, first, || via.session.leave(&line, claim)).await?;
            tracing::debug!(%line, %claim, "left");
            Ok(())
        })
    }

    /// Waits for `call` while the session lives; it is finished in the background in any case.
    pub(crate) async fn finish<T: Send + 'static>(&self, call: BoxFuture<Result<T>>) -> Result<T> {
        tokio::select! { biased;
            outcome = Unfinished::new(&self.runtime, call) => outcome,
            reason = self.lease.lost() => Err(Error::lost(reason).with_unknown_effect()),
        }
    }

    /// Why a claim has ended, of which the store says this: a session that was lost is closed afterwards, and
    /// that is not what ended its claims.
    pub(crate) fn first_reason(&self, reason: LostReason) -> LostReason {
        let session = || self.lease.loss_at(self.runtime.now());
        if reason == LostReason::Closed { session().unwrap_or(reason) } else { reason }
    }

    /// The same for a call.
    fn first_cause(&self, error: Error) -> Error {
        match self.lease.check() {
            Err(lost) if error.kind() == ErrorKind::Closed => lost.after(error.effect()),
            _ => error,
        }
    }

    /// Repeats an idempotent call, after its first answer, while the store does not answer, the session lives
    /// (as it does at first), and `end` has not come.
    pub(crate) async fn repeat<T, F: IntoFuture<Output = Result<T>>>(
        &self,
        end: Option<Moment>,
        first: F,
        call: impl Fn() -> F,
    ) -> Result<T> {
        let mut answer = first;
        let mut pause = Duration::from_millis(10);
        let mut effect = Effect::None;
        loop {
            let error = match answer.await {
                Ok(value) => return Ok(value),
                Err(error) => self.first_cause(error),
            };
            if error.effect() == Effect::Unknown {
                effect = Effect::Unknown;
            }
            if error.kind() == ErrorKind::SessionLost {
                // The store may know before the lease does; the first reason stands.
                self.lease.lose(LostReason::Expired);
            }
            let too_late = end.is_some_and(|end| self.runtime.now() >= end) || self.lease.check().is_err();
            if error.kind() != ErrorKind::Unavailable || too_late {
                return Err(error.after(effect));
            }
            tracing::debug!(%error, "will be repeated");
            jitter(&*self.runtime, pause).await;
            pause = (pause * 2).min(self.lease.ttl() / 10).min(Duration::from_secs(1));
            answer = call();
        }
    }
}
