//! What a user holds while it is their turn.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use crate::{
    backend::{CellVersion, Session, SharedSession},
    claim::{ClaimId, Grant, Place, Ticket, Via},
    coordinator::Shared,
    error::{Error, Result},
    line::Mode,
    name::LineId,
    recipe::delay,
    runtime::{BoxFuture, Moment},
    session::{Health, LostReason},
    token::FencingToken,
    work::{self, Above},
};

/// Your turn, until it is released, dropped or lost.
///
/// It is `'static`, `Send` and `Sync`, and keeps its coordinator open. It does not give access to any data,
/// for it protects nothing in this process: what it protects is elsewhere, and that is where its
/// [`token`](Self::token) should be checked.
///
/// A guard cannot promise that nobody else acts: the store may give the lock away while this process is
/// stopped. It promises that it is invalid before the store gives the lock to somebody else because its
/// session ended (clause C7), so work that goes through [`run`](Self::run) or asks [`check`](Self::check)
/// stops in time, up to the one step that it is in. For that step there is the token.
///
/// An eviction is the exception: in etcd and ZooKeeper the evicted holder learns of it by an event, after the
/// line is free, and one that is cut off learns of it at its deadline at the latest.
///
/// # Drop
///
/// Leaves the line, and never blocks or panics. The in-process store is left at once, unless the guard has
/// to write first that it ends well, for the sake of a [`lock_delay`](crate::Mutex::lock_delay); else the
/// line is left in the background, on the runtime that the coordinator was opened on, so the next in line is
/// granted soon after, not at once: [`release`](Self::release) waits for it. When that runtime has ended, the
/// ttl frees the line. A guard that is lost has nothing to leave.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct Guard {
    place: Place,
    grant: Grant,
    mode: Mode,
    /// When the guard ends by its owner's wish.
    hold_until: Option<Moment>,
    waited: Duration,
    /// The write by which the cell says that this guard holds, if others would wait after an end of it that
    /// is not clean.
    mark: Option<CellVersion>,
    /// Keeps the session open.
    shared: Arc<Shared>,
}

/// The end of somebody's turn: a guard that is valid no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: no longer held (token {token}): {reason}")]
#[non_exhaustive]
pub struct Lost {
    /// Which line.
    pub line: LineId,
    /// The token of the turn that ended.
    pub token: FencingToken,
    /// Why it ended.
    pub reason: LostReason,
}

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        Self::lost(lost.reason).on(&lost.line)
    }
}

impl Guard {
    /// A guard for a claim that was just granted.
    pub(crate) fn new(
        shared: Arc<Shared>,
        place: Place,
        grant: Grant,
        mode: Mode,
        (claimed, now): (Moment, Moment),
        max_hold: Option<Duration>,
    ) -> Self {
        let runtime = &place.via().runtime;
        let waited = now.saturating_since(claimed);
        let Ticket { line, claim, .. } = place.ticket();
        tracing::debug!(%line, %claim, token = %grant.token, ?waited, "granted");
        let hold_until = max_hold.map(|max_hold| now + max_hold);
        if let Some(end) = hold_until {
            runtime.spawn(Box::pin(end_hold(
                place.via().clone(),
                place.ticket().clone(),
                grant.clone(),
                end,
            )));
        }
        Self { place, grant, mode, hold_until, waited, mark: None, shared }
    }

    /// The guard that the cell says in this write to hold.
    pub(crate) fn with_mark(mut self, mark: CellVersion) -> Self {
        self.mark = Some(mark);
        self
    }

    /// What a resource can tell a late holder by: it has seen a higher token.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.grant.token
    }

    /// The claim behind this guard, as [`inspect`](crate::Mutex::inspect) shows it.
    #[must_use]
    pub fn claim(&self) -> ClaimId {
        self.place.ticket().claim
    }

    /// How long it took from the call to the grant.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// When this guard turns invalid as things stand, on the clock of the coordinator's runtime. Renewals
    /// move it; what ends the guard sooner, such as an eviction, does not show here.
    #[must_use]
    pub fn deadline(&self) -> Moment {
        let session = self.place.via().lease.deadline();
        self.hold_until.map_or(session, |hold| hold.min(session))
    }

    /// How long this guard stays valid as things stand; zero when it is not.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        if self.is_valid() { self.deadline().saturating_since(self.now()) } else { Duration::ZERO }
    }

    /// Whether it is still your turn, by the clock as it is now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.loss().is_none()
    }

    /// `Ok` while it is still your turn, by the clock as it is now.
    ///
    /// # Errors
    ///
    /// [`Lost`], with the reason.
    pub fn check(&self) -> Result<(), Lost> {
        self.loss().map_or(Ok(()), |reason| Err(self.lost_by(reason)))
    }

    /// Waits until the guard is invalid, and says why.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn lost(&self) -> LostReason {
        let reason = tokio::select! { biased;
            reason = self.grant.fate.ended() => reason,
            reason = self.place.via().lease.lost() => reason,
        };
        self.place.via().first_reason(reason)
    }

    /// Runs `work` while it is your turn: drops it as soon as the guard is lost. The clock is read at each
    /// poll, so a process that was stopped or suspended beyond its deadline does not take one step more.
    ///
    /// An acquire within `work` that waits for this very guard would never end. It answers
    /// [`Deadlock`](crate::ErrorKind::Deadlock) at once, without asking the store.
    ///
    /// # Errors
    ///
    /// [`Lost`]; `work` was dropped.
    ///
    /// # Cancel safety
    ///
    /// As cancel-safe as `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        let mut work = pin!(work);
        let under_us = poll_fn(|context| work::poll_under([self.above()], || work.as_mut().poll(context)));
        run_while(|| self.check(), self.lost_how(), under_us).await
    }

    /// The session that holds, and the ticket that it holds by: for what a store offers beyond the seam, such
    /// as etcd's guarded transactions. It reaches its own session through [`Any`](std::any::Any).
    #[must_use]
    pub fn held(&self) -> (&dyn Session, &Ticket) {
        (&*self.place.via().session, self.place.ticket())
    }

    /// Gives the turn to the next in line, and waits until the store has done so.
    ///
    /// # Errors
    ///
    /// When the guard was lost before: then somebody else may have had a turn already. That is harmless to
    /// them (clause C12).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the release: it goes on in the background.
    pub async fn release(self) -> Result<()> {
        self.leave("release").await
    }

    /// Releases, whoever else has a handle. What the guard owes the store when it is dropped is owed no more.
    pub(crate) async fn leave(&self, operation: &'static str) -> Result<()> {
        let context = |error: Error| error.during(operation).on(self.line());
        self.check().map_err(|lost| context(lost.into()))?;
        if let Some(ending) = self.clean_end() {
            return self.place.via().finish(ending).await.map_err(context);
        }
        self.end();
        self.place.leave().await.map_err(context)
    }

    /// What it takes to leave so that others need not wait after it, if they would.
    fn clean_end(&self) -> Option<BoxFuture<Result<()>>> {
        let mark = self.mark.filter(|_| self.place.disown())?;
        Some(delay::end_well(self.shared.clone(), &self.place, &self.grant, mark))
    }

    /// Weakens the mode where the claim stands. When the future is dropped, or fails, the claim may be in
    /// either.
    pub(crate) async fn weakened(mut self, weaker: Mode) -> Result<Self> {
        let (via, ticket) = (self.place.via().clone(), self.place.ticket().clone());
        // Nobody waits after one who does not hold alone.
        if let Some(mark) = self.mark {
            delay::say_released(&via, &ticket, &self.grant, mark).await?;
            self.mark = None;
        }
        let call = move |session: SharedSession| {
            let ticket = ticket.clone();
            async move { session.set_mode(&ticket, weaker).await }
        };
        via.change(call).await?;
        self.mode = weaker;
        Ok(self)
    }

    /// Ends the guard here, before the store may grant the next: other handles must not believe in it any
    /// more (C7).
    pub(crate) fn end(&self) {
        self.grant.fate.end(LostReason::Released);
    }

    pub(crate) fn health(&self) -> Health {
        self.place.via().lease.health()
    }

    pub(crate) fn line(&self) -> &LineId {
        &self.place.ticket().line
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn now(&self) -> Moment {
        self.shared.runtime.now()
    }

    fn loss(&self) -> Option<LostReason> {
        if let Some(reason) = self.grant.fate.end_reason() {
            return Some(self.place.via().first_reason(reason));
        }
        let now = self.now();
        let max_hold = || self.hold_until.filter(|end| now >= *end).map(|_| LostReason::MaxHold);
        self.place.via().lease.loss_at(now).or_else(max_hold)
    }

    /// For the account of what work runs under.
    pub(crate) fn above(&self) -> Above {
        Above::new(&self.shared, self.line(), self.mode)
    }

    /// As [`lost`](Self::lost), with all that there is to say.
    pub(crate) async fn lost_how(&self) -> Lost {
        self.lost_by(self.lost().await)
    }

    fn lost_by(&self, reason: LostReason) -> Lost {
        Lost { line: self.line().clone(), token: self.token(), reason }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // All other guards leave as their places do.
        if self.mark.is_some()
            && self.is_valid()
            && let Some(ending) = self.clean_end()
        {
            self.shared.runtime.spawn(Box::pin(async move {
                if let Err(error) = ending.await {
                    tracing::debug!(%error, "could not leave; the end of the session will free the line");
                }
            }));
        }
    }
}

/// Runs `work` for as long as `check` lets it, and drops it then. It is asked at each poll; `lost` sees to it
/// that there is one.
pub(crate) async fn run_while<F: Future>(
    check: impl Fn() -> Result<(), Lost>,
    lost: impl Future<Output = Lost>,
    work: F,
) -> Result<F::Output, Lost> {
    let (mut lost, mut work) = (pin!(lost), pin!(work));
    poll_fn(|context| {
        check()?;
        if let Poll::Ready(lost) = lost.as_mut().poll(context) {
            return Poll::Ready(Err(lost));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

/// Ends a guard when its owner's limit is reached, unless it ends before.
async fn end_hold(via: Arc<Via>, ticket: Ticket, grant: Grant, end: Moment) {
    tokio::select! { biased;
        _ = grant.fate.ended() => return,
        _ = via.lease.lost() => return,
        () = via.runtime.sleep_until(end) => grant.fate.end(LostReason::MaxHold),
    }
    tracing::warn!(line = %ticket.line, claim = %ticket.claim, "held for as long as its owner allowed");
    if let Err(error) = via.leave(&ticket.line, ticket.claim).await {
        tracing::warn!(%error, "could not leave; the end of the session will free the line");
    }
}
