//! Several locks at once.

use std::{sync::Arc, time::Duration};

use lock_core::{Error, ErrorKind, FencingToken, Lost, Name, Result};

use super::{Driven, Mutex, driver::Driver, guard::turn};

/// The runtimes of all coordinators whose locks they are. One of them drives the calls; the others go on
/// renewing their sessions.
type Drivers = Arc<[Arc<Driver>]>;

/// Several locks that are taken together or not at all; see [`MultiLock`](crate::MultiLock). Cheap to clone.
#[derive(Clone, Debug)]
pub struct MultiLock(Driven<crate::MultiLock>, Drivers);

impl MultiLock {
    /// All of these, with the options that each of them has.
    ///
    /// # Errors
    ///
    /// As [`MultiLock::new`](crate::MultiLock::new).
    pub fn new(mutexes: impl IntoIterator<Item = Mutex>) -> Result<Self> {
        let mutexes = mutexes.into_iter().map(|Mutex(Driven { inner, driver })| (inner, driver));
        let (mutexes, drivers): (Vec<_>, Vec<_>) = mutexes.unzip();
        let driver = drivers.first().cloned().ok_or_else(|| {
            Error::new(ErrorKind::InvalidOption, "there is nothing to lock").during("multi_lock")
        })?;
        Ok(Self(Driven { inner: crate::MultiLock::new(mutexes)?, driver }, drivers.into()))
    }

    /// Waits until it has all of the locks, however long that takes; see
    /// [`MultiLock::lock`](crate::MultiLock::lock).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](ErrorKind::InsideAsync).
    pub fn lock(&self) -> Result<MultiGuard> {
        self.0.wait("lock", crate::MultiLock::lock).map(|guard| self.held(guard))
    }

    /// Takes all of the locks if each of them is free and nobody waits for it; see
    /// [`MultiLock::try_lock`](crate::MultiLock::try_lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<MultiGuard>> {
        let taken = self.0.wait("try_lock", crate::MultiLock::try_lock)?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    /// Waits for all of the locks for at most `patience` in all; see
    /// [`MultiLock::try_lock_for`](crate::MultiLock::try_lock_for).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock_for(&self, patience: Duration) -> Result<Option<MultiGuard>> {
        let taken = self.0.wait("try_lock_for", |locks| locks.try_lock_for(patience))?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    fn held(&self, guard: crate::MultiGuard) -> MultiGuard {
        MultiGuard(self.0.beside(guard), self.1.clone())
    }
}

/// Your turn in several lines; see [`MultiGuard`](crate::MultiGuard). It has no `run`: code that blocks
/// cannot be dropped half way.
///
/// # Drop
///
/// Leaves all lines in the background, and never blocks or panics, wherever it is dropped.
#[derive(Debug)]
#[must_use = "the locks are released when the guard is dropped"]
pub struct MultiGuard(Driven<crate::MultiGuard>, #[expect(dead_code, reason = "kept alive")] Drivers);

turn!(MultiGuard);

impl MultiGuard {
    /// Of locks that are all of one coordinator.
    pub(super) fn of_one(held: Driven<crate::MultiGuard>) -> Self {
        Self(held, Drivers::default())
    }

    /// The name and the token of each lock, in the order in which they were given.
    pub fn tokens(&self) -> impl Iterator<Item = (&Name, FencingToken)> {
        self.0.inner.tokens()
    }

    /// The token of the lock with this name; see [`MultiGuard::token_of`](crate::MultiGuard::token_of).
    #[must_use]
    pub fn token_of(&self, name: impl AsRef<str>) -> Option<FencingToken> {
        self.0.inner.token_of(name)
    }

    /// Waits until one of them is invalid, and says which, and why: for a thread that watches over the one
    /// that works.
    ///
    /// # Errors
    ///
    /// [`InsideAsync`](ErrorKind::InsideAsync).
    pub fn lost(&self) -> Result<Lost> {
        self.0.wait("lost", async |held| Ok(held.lost().await))
    }

    /// Gives each turn to the next in its line, and waits until the stores have done so.
    ///
    /// # Errors
    ///
    /// As [`MultiGuard::release`](crate::MultiGuard::release). [`InsideAsync`](ErrorKind::InsideAsync): the
    /// guard is then dropped.
    pub fn release(self) -> Result<()> {
        self.0.end("release", crate::MultiGuard::release)
    }
}
