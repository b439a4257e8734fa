//! The fair lock.

use std::time::Duration;

use lock_core::Result;

use super::{Driven, Guard, ReentrantMutex, line::line};

/// A lock that one holder has at a time, first come, first served; see [`Mutex`](crate::Mutex). Cheap to
/// clone; threads may share it.
#[derive(Clone, Debug)]
pub struct Mutex(pub(super) Driven<crate::Mutex>);

line!(Mutex, forget);

impl Mutex {
    /// Ends each guard this long after its grant; see [`Mutex::max_hold`](crate::Mutex::max_hold).
    #[must_use]
    pub fn max_hold(self, max_hold: Duration) -> Self {
        Self(self.0.map(|mutex| mutex.max_hold(max_hold)))
    }

    /// Lets nobody in for so long after a holder that did not end well; see
    /// [`Mutex::lock_delay`](crate::Mutex::lock_delay).
    #[must_use]
    pub fn lock_delay(self, delay: Duration) -> Self {
        Self(self.0.map(|mutex| mutex.lock_delay(delay)))
    }

    /// Lets at most so many claims be in line; see [`Mutex::at_most_in_line`](crate::Mutex::at_most_in_line).
    #[must_use]
    pub fn at_most_in_line(self, claims: usize) -> Self {
        Self(self.0.map(|mutex| mutex.at_most_in_line(claims)))
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
}
