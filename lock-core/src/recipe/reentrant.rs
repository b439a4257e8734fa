//! The lock that its owner may take again.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex as StdMutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    error::{Error, Result},
    guard::Guard,
    line::Mode,
    recipe::{Entrance, Mutant, Mutex, together::Together},
    sync::{Signal, locked},
    work,
};

/// A [`Mutex`] for an owner that may take it again while it holds: the same turn, with the same token. It is
/// over when each of its guards is gone.
///
/// The owner is this handle and its clones: not a thread, and not a task, for tasks move between threads and
/// one may begin what another ends. [`Mutex::reentrant`] makes another owner each time, which waits for this
/// one like anybody else; so does a plain [`Mutex`] of the same name.
///
/// **It guarantees** what a [`Mutex`] does; that a call while the owner holds is answered at once, without
/// asking the store, with the token of the turn that is under way (clause C20); that calls which wait at the
/// same time share one claim, which stays in line as long as one of them waits.
///
/// **It does not guarantee** that a part of the owner has the lock to itself: guards of one owner exclude
/// others, not one another.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let mutex = coordinator.mutex("accounts/7")?.reentrant();
/// let transfer = mutex.lock().await?;
/// let booking = mutex.lock().await?; // in a function that is called, and locks for itself
/// assert_eq!((booking.token(), mutex.depth()), (transfer.token(), 2));
/// booking.release().await?; // still held
/// transfer.release().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct ReentrantMutex {
    mutex: Mutex,
    owner: Arc<Owner>,
}

/// What the handles of one owner share.
#[derive(Debug, Default)]
struct Owner {
    /// The last turn. Its guards keep it.
    turn: Signal<Weak<Turn>>,
    /// The claim of those who wait. They keep it.
    claim: StdMutex<Weak<SharedClaim>>,
}

/// A turn, and how many guards share it. Not the count of the handles to it: who looks has one, too, for a moment.
#[derive(Debug)]
struct Turn {
    guard: Guard,
    shares: AtomicUsize,
}

/// A claim that several calls wait for.
type SharedClaim = Together<Result<Guard>>;

/// A share in its owner's turn, until it is released, dropped or lost. All that a [`Guard`] tells and does,
/// it does too, for the turn as a whole.
///
/// # Drop
///
/// The last one to go drops the [`Guard`]; any other only counts down.
#[derive(Debug)]
#[must_use = "the share in the turn is given back when the guard is dropped"]
pub struct ReentrantGuard {
    turn: Arc<Turn>,
    mutex: Mutex,
    /// The share has been given back.
    released: bool,
}

impl Mutex {
    /// A handle to this lock, with the same options, for a new owner that may take it again while it holds.
    #[must_use]
    pub fn reentrant(&self) -> ReentrantMutex {
        ReentrantMutex { mutex: self.clone(), owner: Arc::default() }
    }
}

impl ReentrantMutex {
    /// The turn that this owner has, at once; or else waits for one as [`Mutex::lock`] does. When the last
    /// turn was lost, it is a new one: the guards of the lost one stay invalid.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`], when there is a turn to wait for. An operator who evicts the claim that several
    /// calls wait for ends one of them; the others claim anew.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, others of this owner that wait keep their place. The last one to be
    /// dropped withdraws in the background; nothing stays in line.
    pub async fn lock(&self) -> Result<ReentrantGuard> {
        loop {
            let first = tokio::select! { biased;
                again = self.again() => return Ok(again),
                first = self.first() => first,
            };
            if let Some(first) = first {
                return first;
            }
        }
    }

    /// The turn that this owner has; or else takes the lock as [`Mutex::try_lock`] does. `None` only when a
    /// conflicting claim was in line (clause C6), and be it one that another call of this owner waits for.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`].
    ///
    /// # Cancel safety
    ///
    /// As [`Mutex::try_lock`].
    pub async fn try_lock(&self) -> Result<Option<ReentrantGuard>> {
        self.again_or(self.mutex.try_lock()).await
    }

    /// The turn that this owner has, now or within `patience`; or else waits for one as
    /// [`Mutex::try_lock_for`] does.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`].
    ///
    /// # Cancel safety
    ///
    /// As [`Mutex::try_lock_for`].
    pub async fn try_lock_for(&self, patience: Duration) -> Result<Option<ReentrantGuard>> {
        self.again_or(self.mutex.try_lock_for(patience)).await
    }

    /// How many guards of this owner's turn there are; 0 when it has none, and when it was lost.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.owner.turn.read(valid).map_or(0, |turn| turn.shares.load(Ordering::Acquire))
    }

    /// Waits until this owner has a turn, whichever of its calls gets it.
    async fn again(&self) -> ReentrantGuard {
        self.guard(self.owner.turn.wait(shared).await)
    }

    async fn again_or(
        &self,
        trying: impl Future<Output = Result<Option<Guard>>>,
    ) -> Result<Option<ReentrantGuard>> {
        tokio::select! { biased;
            again = self.again() => Ok(Some(again)),
            taken = trying => Ok(taken?.map(|guard| self.begin(guard))),
        }
    }

    /// Waits for the grant of the owner's claim. `None` when another call has got what it came to.
    async fn first(&self) -> Option<Result<ReentrantGuard>> {
        let Entrance { shared, line } = self.mutex.entrance();
        // Whoever made the claim may not run under a guard, and this call may.
        if let Err(error) = work::check(shared, line, Mode::Exclusive) {
            return Some(Err(self.mutex.entrance().context("lock")(error)));
        }
        let settle = |granted: Result<_>| {
            *locked(&self.owner.claim) = Weak::new();
            granted.map(|guard| self.begin_silently(guard))
        };
        let begun = self.claim().end(settle).await?;
        self.owner.turn.ring();
        Some(begun)
    }

    /// The claim of those who wait; a new one when nobody does.
    fn claim(&self) -> Arc<SharedClaim> {
        let mut claim = locked(&self.owner.claim);
        claim.upgrade().unwrap_or_else(|| {
            let mutex = self.mutex.clone();
            let shared = Arc::new(SharedClaim::new(async move { mutex.lock().await }));
            *claim = Arc::downgrade(&shared);
            shared
        })
    }

    /// A turn of this owner begins.
    fn begin(&self, guard: Guard) -> ReentrantGuard {
        let begun = self.begin_silently(guard);
        self.owner.turn.ring();
        begun
    }

    /// Whoever calls this rings for those who wait for the turn.
    fn begin_silently(&self, guard: Guard) -> ReentrantGuard {
        let turn = Arc::new(Turn { guard, shares: AtomicUsize::new(1) });
        self.owner.turn.update_silently(|last| *last = Arc::downgrade(&turn));
        self.guard(turn)
    }

    fn guard(&self, turn: Arc<Turn>) -> ReentrantGuard {
        ReentrantGuard { turn, mutex: self.mutex.clone(), released: false }
    }
}

fn valid(turn: &Weak<Turn>) -> Option<Arc<Turn>> {
    turn.upgrade().filter(|turn| turn.guard.is_valid())
}

/// The turn with a share more, unless the last one was given back.
fn shared(turn: &Weak<Turn>) -> Option<Arc<Turn>> {
    let one_more = |shares| (shares > 0).then_some(shares + 1);
    valid(turn).filter(|turn| turn.shares.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok())
}

impl Turn {
    /// Gives a share back; tells whether it was the last.
    fn give_back(&self) -> bool {
        self.shares.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl ReentrantGuard {
    /// Gives this share in the turn back. When it is the last, gives the turn to the next in line, and waits
    /// until the store has done so.
    ///
    /// # Errors
    ///
    /// When the turn was lost before; see [`Guard::release`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the release: it goes on in the background.
    pub async fn release(mut self) -> Result<()> {
        let held = self.check();
        self.released = true;
        if self.turn.give_back() || self.mutex.entrance().is(Mutant::ForgetsDepth) {
            return self.turn.guard.leave("release").await;
        }
        held.map_err(|lost| Error::from(lost).during("release"))
    }
}

impl Deref for ReentrantGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.turn.guard
    }
}

impl Drop for ReentrantGuard {
    fn drop(&mut self) {
        if !self.released {
            self.turn.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Coordinator, Memory, Options};

    use super::*;

    #[tokio::test]
    async fn the_last_guard_is_the_last_while_somebody_looks_at_the_turn() {
        let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await.unwrap();
        let mutex = coordinator.mutex("x").unwrap();
        let owner = mutex.reentrant();
        let guard = owner.lock().await.unwrap();
        let looks = owner.owner.turn.read(valid);
        guard.release().await.unwrap();
        assert!(mutex.try_lock().await.unwrap().is_some(), "it said that the turn was given back");
        drop(looks);
    }
}
