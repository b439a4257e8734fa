//! What a user holds while it is their turn in several lines.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use crate::{
    error::{Error, Result},
    guard::{Guard, Lost, run_while},
    name::Name,
    runtime::Moment,
    token::FencingToken,
    work,
};

/// Your turn in several lines, until it is released or dropped, or until the first of them is lost. What is
/// said of a [`Guard`] holds of each.
///
/// When one is lost, the others go on until this is released or dropped: whoever is told should do that soon.
///
/// # Drop
///
/// Drops each [`Guard`], the one that was taken last at first: whoever waits for what we took first finds the
/// rest free.
#[derive(Debug, Default)]
#[must_use = "the locks are released when the guard is dropped"]
pub struct MultiGuard {
    /// In the order in which they were taken, each with its place among the locks that were given.
    taken: Vec<(usize, Guard)>,
}

impl MultiGuard {
    /// One more is held.
    pub(super) fn add(&mut self, given: usize, guard: Guard) {
        self.taken.push((given, guard));
    }

    /// What `taking` comes to, unless one of those that are held is lost meanwhile. If it fails, none is held
    /// any more.
    pub(super) async fn or_none<T>(
        &mut self,
        operation: &'static str,
        taking: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let taken = self.run(taking).await.unwrap_or_else(|lost| Err(Error::from(lost).during(operation)));
        if taken.is_err()
            && let Err(error) = self.leave(operation).await
        {
            tracing::debug!(%error, "could not give back what had been taken");
        }
        taken
    }

    /// Gives each of them back, the last at first; the first failure is told.
    pub(super) async fn leave(&mut self, operation: &'static str) -> Result<()> {
        let mut outcome = Ok(());
        while let Some((_, guard)) = self.taken.pop() {
            outcome = outcome.and(guard.leave(operation).await);
        }
        outcome
    }

    /// The guards, in the order in which the locks were given.
    pub fn guards(&self) -> impl Iterator<Item = &Guard> {
        let mut guards: Vec<_> = self.taken.iter().collect();
        guards.sort_by_key(|(given, _)| *given);
        guards.into_iter().map(|(_, guard)| guard)
    }

    /// The name and the token of each lock, in the order in which they were given.
    pub fn tokens(&self) -> impl Iterator<Item = (&Name, FencingToken)> {
        self.guards().map(|guard| (guard.line().name(), guard.token()))
    }

    /// The token of the lock with this name; of the first one given, when several stores have one of that
    /// name.
    #[must_use]
    pub fn token_of(&self, name: impl AsRef<str>) -> Option<FencingToken> {
        self.tokens().find(|(of, _)| of.as_str() == name.as_ref()).map(|(_, token)| token)
    }

    /// When the first of them turns invalid as things stand; see [`Guard::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Moment {
        let deadlines = self.taken.iter().map(|(_, guard)| guard.deadline());
        deadlines.min().unwrap_or(Moment::from_zero(Duration::ZERO))
    }

    /// How long all of them stay valid as things stand; zero when one is not.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.taken.iter().map(|(_, guard)| guard.remaining()).min().unwrap_or_default()
    }

    /// Whether all of them are valid, by the clock as it is now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.taken.iter().all(|(_, guard)| guard.is_valid())
    }

    /// `Ok` while all of them are valid, by the clock as it is now.
    ///
    /// # Errors
    ///
    /// [`Lost`], of one that is not.
    pub fn check(&self) -> Result<(), Lost> {
        self.taken.iter().try_for_each(|(_, guard)| guard.check())
    }

    /// Waits until one of them is invalid, and says which, and why.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn lost(&self) -> Lost {
        let ends = self.taken.iter().map(|(_, guard)| Box::pin(guard.lost_how()));
        let mut ends: Vec<_> = ends.collect();
        poll_fn(|context| {
            let first = ends.iter_mut().find_map(|end| match end.as_mut().poll(context) {
                Poll::Ready(lost) => Some(lost),
                Poll::Pending => None,
            });
            first.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Runs `work` while all of them are valid: drops it as soon as one is lost. The clock is read at each
    /// poll; see [`Guard::run`].
    ///
    /// # Errors
    ///
    /// [`Lost`], of the first one; `work` was dropped.
    ///
    /// # Cancel safety
    ///
    /// As cancel-safe as `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        let mut work = pin!(work);
        let above = || self.taken.iter().map(|(_, guard)| guard.above());
        let under_us = poll_fn(|context| work::poll_under(above(), || work.as_mut().poll(context)));
        run_while(|| self.check(), self.lost(), under_us).await
    }

    /// Gives each turn to the next in its line, that of the lock taken last at first, and waits until the
    /// stores have done so.
    ///
    /// # Errors
    ///
    /// The first, when one was lost before, or its store could not be told; all the others are released.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the release: it goes on in the background.
    pub async fn release(mut self) -> Result<()> {
        self.leave("release").await
    }
}

impl Drop for MultiGuard {
    fn drop(&mut self) {
        while self.taken.pop().is_some() {}
    }
}
