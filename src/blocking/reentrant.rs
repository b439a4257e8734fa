//! The lock that its owner may take again.

use std::time::Duration;

use lock_core::{FencingToken, Result};

use super::{Driven, guard::turn};

/// A lock for an owner that may take it again while it holds; see [`ReentrantMutex`](crate::ReentrantMutex).
///
/// The owner is this handle and its clones, not the thread: threads that share a handle share its turn. For
/// one owner a thread, give each its own, by [`Mutex::reentrant`](super::Mutex::reentrant).
#[derive(Clone, Debug)]
pub struct ReentrantMutex(pub(super) Driven<crate::ReentrantMutex>);

impl ReentrantMutex {
    /// The turn that this owner has, at once; or else waits for one. See
    /// [`ReentrantMutex::lock`](crate::ReentrantMutex::lock).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn lock(&self) -> Result<ReentrantGuard> {
        let held = self.0.wait("lock", crate::ReentrantMutex::lock)?;
        Ok(ReentrantGuard(self.0.beside(held)))
    }

    /// The turn that this owner has; or else takes the lock if it is free and nobody waits for it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<ReentrantGuard>> {
        let held = self.0.wait("try_lock", crate::ReentrantMutex::try_lock)?;
        Ok(held.map(|held| ReentrantGuard(self.0.beside(held))))
    }

    /// The turn that this owner has, now or within `patience`; or else waits for one as long.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock_for(&self, patience: Duration) -> Result<Option<ReentrantGuard>> {
        let held = self.0.wait("try_lock_for", |mutex| mutex.try_lock_for(patience))?;
        Ok(held.map(|held| ReentrantGuard(self.0.beside(held))))
    }

    /// How many guards of this owner's turn there are; 0 when it has none, and when it was lost.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.inner.depth()
    }
}

/// A share in its owner's turn; see [`ReentrantGuard`](crate::ReentrantGuard). It has no `run`: code that
/// blocks cannot be dropped half way.
///
/// # Drop
///
/// The last one to go leaves the line in the background; any other only counts down.
#[derive(Debug)]
#[must_use = "the share in the turn is given back when the guard is dropped"]
pub struct ReentrantGuard(Driven<crate::ReentrantGuard>);

turn!(ReentrantGuard, one claim);

impl ReentrantGuard {
    /// What a resource can tell a late holder by; the same for all guards of the turn.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.0.inner.token()
    }

    /// Gives this share in the turn back. When it is the last, gives the turn to the next in line, and waits
    /// until the store has done so.
    ///
    /// # Errors
    ///
    /// As [`ReentrantGuard::release`](crate::ReentrantGuard::release).
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync): the guard is then dropped.
    pub fn release(self) -> Result<()> {
        self.0.end("release", crate::ReentrantGuard::release)
    }
}
