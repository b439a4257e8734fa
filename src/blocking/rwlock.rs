//! The fair read-write lock.

use std::time::Duration;

use lock_core::{FencingToken, Result};

use super::{Driven, Guard, guard::turn, line::line};

/// A lock that many readers hold together, or one writer alone, first come, first served; see
/// [`RwLock`](crate::RwLock). Cheap to clone; threads may share it.
#[derive(Clone, Debug)]
pub struct RwLock(pub(super) Driven<crate::RwLock>);

line!(RwLock, forget);

impl RwLock {
    /// Ends each guard this long after its grant; see [`RwLock::max_hold`](crate::RwLock::max_hold).
    #[must_use]
    pub fn max_hold(self, max_hold: Duration) -> Self {
        Self(self.0.map(|lock| lock.max_hold(max_hold)))
    }

    /// Lets nobody in for so long after a writer that did not end well; see
    /// [`RwLock::lock_delay`](crate::RwLock::lock_delay).
    #[must_use]
    pub fn lock_delay(self, delay: Duration) -> Self {
        Self(self.0.map(|lock| lock.lock_delay(delay)))
    }

    /// Lets at most so many claims be in line; see
    /// [`RwLock::at_most_in_line`](crate::RwLock::at_most_in_line).
    #[must_use]
    pub fn at_most_in_line(self, claims: usize) -> Self {
        Self(self.0.map(|lock| lock.at_most_in_line(claims)))
    }

    /// Waits for the turn to read, together with others who do.
    ///
    /// # Errors
    ///
    /// As [`RwLock::read`](crate::RwLock::read); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn read(&self) -> Result<Guard> {
        self.0.wait("read", crate::RwLock::read).map(|guard| self.reading(guard))
    }

    /// Reads if nobody writes, nor waits to; see [`RwLock::try_read`](crate::RwLock::try_read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_read(&self) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_read", crate::RwLock::try_read)?;
        Ok(taken.map(|guard| self.reading(guard)))
    }

    /// Waits for the turn to read for at most `patience`; see
    /// [`RwLock::try_read_for`](crate::RwLock::try_read_for).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn try_read_for(&self, patience: Duration) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_read_for", |lock| lock.try_read_for(patience))?;
        Ok(taken.map(|guard| self.reading(guard)))
    }

    /// Waits for the turn to write, alone.
    ///
    /// # Errors
    ///
    /// As [`RwLock::write`](crate::RwLock::write); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn write(&self) -> Result<WriteGuard> {
        self.0.wait("write", crate::RwLock::write).map(|guard| self.writing(guard))
    }

    /// Writes if nobody holds, nor waits; see [`RwLock::try_write`](crate::RwLock::try_write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn try_write(&self) -> Result<Option<WriteGuard>> {
        let taken = self.0.wait("try_write", crate::RwLock::try_write)?;
        Ok(taken.map(|guard| self.writing(guard)))
    }

    /// Waits for the turn to write for at most `patience`; see
    /// [`RwLock::try_write_for`](crate::RwLock::try_write_for).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn try_write_for(&self, patience: Duration) -> Result<Option<WriteGuard>> {
        let taken = self.0.wait("try_write_for", |lock| lock.try_write_for(patience))?;
        Ok(taken.map(|guard| self.writing(guard)))
    }

    fn reading(&self, guard: crate::Guard) -> Guard {
        Guard(self.0.beside(guard))
    }

    fn writing(&self, guard: crate::WriteGuard) -> WriteGuard {
        WriteGuard(self.0.beside(guard))
    }
}

/// Your turn to write, until it is released, downgraded, dropped or lost; see
/// [`WriteGuard`](crate::WriteGuard). It becomes a plain one with `Guard::from`, for those who treat all guards
/// alike.
///
/// # Drop
///
/// As a dropped [`Guard`].
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard(Driven<crate::WriteGuard>);

turn!(WriteGuard, one claim);

impl WriteGuard {
    /// What a resource can tell a late holder by: it has seen a higher token.
    #[must_use]
    pub fn token(&self) -> FencingToken {
        self.0.inner.token()
    }

    /// Becomes a reader where it stands; see [`WriteGuard::downgrade`](crate::WriteGuard::downgrade).
    ///
    /// # Errors
    ///
    /// As there. [`InsideAsync`](crate::ErrorKind::InsideAsync): the guard is then dropped.
    pub fn downgrade(self) -> Result<Guard> {
        let driver = self.0.driver.clone();
        let inner = self.0.end("downgrade", crate::WriteGuard::downgrade)?;
        Ok(Guard(Driven { inner, driver }))
    }

    /// Gives the turn to those who are next in line, and waits until the store has done so.
    ///
    /// # Errors
    ///
    /// As [`WriteGuard::release`](crate::WriteGuard::release).
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync): the guard is then dropped.
    pub fn release(self) -> Result<()> {
        self.0.end("release", crate::WriteGuard::release)
    }
}

impl From<WriteGuard> for Guard {
    fn from(writing: WriteGuard) -> Self {
        Self(writing.0.map(crate::Guard::from))
    }
}
