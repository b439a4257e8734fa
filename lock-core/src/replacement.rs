//! A session in place of one that was lost.
//!
//! One attempt at a time, for everybody who needs it, and in a task of its own: whoever asks may not be polled for a
//! while, and must not keep the others from their session meanwhile.

use std::sync::{Arc, Mutex};

use crate::{
    claim::Via,
    coordinator::Shared,
    error::{Error, Result},
    session::LostReason,
    sync::{Signal, locked},
};

/// The attempt that is under way.
#[derive(Debug, Default)]
pub(crate) struct Replacement(Mutex<Option<Arc<Attempt>>>);

/// What an attempt has come to; `None` while it is under way.
type Attempt = Signal<Option<Result<Arc<Via>>>>;

/// Tells what an attempt has come to, also when its task is dropped because the runtime has ended.
struct UnderWay {
    shared: Arc<Shared>,
    attempt: Arc<Attempt>,
    outcome: Option<Result<Arc<Via>>>,
}

/// How many sessions that were replaced are being closed: they are lost here, but the store may keep their claims for a
/// while yet.
#[derive(Debug, Default)]
pub(crate) struct LostOnes(Arc<Signal<usize>>);

/// One of them.
pub(crate) struct LostOne(Arc<Signal<usize>>);

impl LostOnes {
    pub(crate) fn one_more(&self) -> LostOne {
        self.0.update_silently(|closing| *closing += 1);
        LostOne(self.0.clone())
    }

    /// Waits until each has been closed, or that has failed.
    pub(crate) async fn are_closed(&self) {
        self.0.wait(|closing| (*closing == 0).then_some(())).await;
    }
}

impl Drop for LostOne {
    fn drop(&mut self) {
        self.0.update(|closing| *closing -= 1);
    }
}

impl Shared {
    /// A session that is not lost, from the attempt that is under way or else from a new one.
    ///
    /// # Errors
    ///
    /// What an attempt came to that has begun since: one from before may have met what is over by now.
    pub(crate) async fn replaced(self: &Arc<Self>) -> Result<Arc<Via>> {
        let mut has_begun_since = false;
        loop {
            let (begins, outcome) = self.attempt().await;
            has_begun_since |= begins;
            match outcome {
                // What took long to open, or to be asked for, may be lost again.
                Ok(open) if open.lease.check().is_ok() => return Ok(open),
                Err(error) if has_begun_since => return Err(error),
                _ => has_begun_since = true,
            }
        }
    }

    /// Whether a new attempt begins here, and what the one that is under way comes to.
    async fn attempt(self: &Arc<Self>) -> (bool, Result<Arc<Via>>) {
        let (attempt, begins) = self.replacement.attempt();
        if begins {
            let under_way = UnderWay { shared: self.clone(), attempt: attempt.clone(), outcome: None };
            self.runtime.spawn(Box::pin(async move {
                let outcome = under_way.shared.replace().await;
                under_way.ends(outcome);
            }));
        }
        (begins, attempt.wait(Clone::clone).await)
    }
}

impl Replacement {
    /// The attempt that is under way, or a new one and that somebody must make it.
    fn attempt(&self) -> (Arc<Attempt>, bool) {
        let mut under_way = locked(&self.0);
        let begins = under_way.is_none();
        (under_way.get_or_insert_default().clone(), begins)
    }

    /// Waits for the end of the attempt that is under way, if there is one.
    pub(crate) async fn ended(&self) {
        let under_way = locked(&self.0).clone();
        if let Some(attempt) = under_way {
            attempt.wait(|outcome| outcome.as_ref().map(drop)).await;
        }
    }
}

impl UnderWay {
    fn ends(mut self, outcome: Result<Arc<Via>>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // First this: an attempt that somebody asks for from here on is a new one.
        locked(&self.shared.replacement.0).take();
        let stopped = || Err(Error::lost(LostReason::RuntimeStopped));
        let outcome = self.outcome.take().unwrap_or_else(stopped);
        self.attempt.update(|current| *current = Some(outcome));
    }
}
