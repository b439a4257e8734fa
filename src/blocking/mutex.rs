//! The fair lock.

use std::time::Duration;

use lock_core::{ClaimId, Line, Result};

use super::{Driven, Guard, ReentrantMutex};

/// A lock that one holder has at a time, first come, first served; see [`Mutex`](crate::Mutex). Cheap to
/// clone; threads may share it.
#[derive(Clone, Debug)]
pub struct Mutex(pub(super) Driven<crate::Mutex>);

impl Mutex {
    /// Ends each guard this long after its grant; see [`Mutex::max_hold`](crate::Mutex::max_hold).
    #[must_use]
    pub fn max_hold(self, max_hold: Duration) -> Self {
        Self(self.0.map(|mutex| mutex.max_hold(max_hold)))
    }

    /// A handle to this lock for a new owner that may take it again while it holds.
    #[must_use]
    pub fn reentrant(&self) -> ReentrantMutex {
        ReentrantMutex(self.0.beside(self.0.inner.reentrant()))
    }

    /// Waits for the turn, however long that takes. Only the end of the coordinator, or an eviction, ends the
    /// wait sooner: use [`try_lock_for`](Self::try_lock_for) where that is too long.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn lock(&self) -> Result<Guard> {
        self.0.wait("lock", crate::Mutex::lock).map(|guard| Guard(self.0.beside(guard)))
    }

    /// Takes the lock if it is free and nobody waits for it; see [`Mutex::try_lock`](crate::Mutex::try_lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_lock", crate::Mutex::try_lock)?;
        Ok(taken.map(|guard| Guard(self.0.beside(guard))))
    }

    /// Waits for the turn for at most `patience`; see [`Mutex::try_lock_for`](crate::Mutex::try_lock_for).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock_for(&self, patience: Duration) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_lock_for", |mutex| mutex.try_lock_for(patience))?;
        Ok(taken.map(|guard| Guard(self.0.beside(guard))))
    }

    /// Who holds the lock, who waits, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn inspect(&self) -> Result<Line> {
        self.0.wait("inspect", crate::Mutex::inspect)
    }

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.0.wait("evict", |mutex| mutex.evict(claim))
    }
}
