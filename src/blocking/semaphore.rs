//! The fair semaphore.

use std::time::Duration;

use lock_core::Result;

use super::{Driven, Guard, line::line};

/// A number of permits that holders take some of, first come, first served; see
/// [`Semaphore`](crate::Semaphore). Cheap to clone; threads may share it.
#[derive(Clone, Debug)]
pub struct Semaphore(pub(super) Driven<crate::Semaphore>);

line!(Semaphore, forget);

impl Semaphore {
    /// Ends each guard this long after its grant; see [`Mutex::max_hold`](crate::Mutex::max_hold).
    #[must_use]
    pub fn max_hold(self, max_hold: Duration) -> Self {
        Self(self.0.map(|semaphore| semaphore.max_hold(max_hold)))
    }

    /// Lets at most so many claims be in line; see [`Mutex::at_most_in_line`](crate::Mutex::at_most_in_line).
    #[must_use]
    pub fn at_most_in_line(self, claims: usize) -> Self {
        Self(self.0.map(|semaphore| semaphore.at_most_in_line(claims)))
    }

    /// Waits for one permit.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire(&self) -> Result<Guard> {
        self.0.wait("acquire", crate::Semaphore::acquire).map(|guard| self.held(guard))
    }

    /// Waits for so many permits, and takes them together.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::acquire_many`](crate::Semaphore::acquire_many);
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn acquire_many(&self, permits: u32) -> Result<Guard> {
        let acquired = self.0.wait("acquire_many", |semaphore| semaphore.acquire_many(permits));
        acquired.map(|guard| self.held(guard))
    }

    /// Takes one permit if there is one and nobody waits.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn try_acquire(&self) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_acquire", crate::Semaphore::try_acquire)?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    /// Takes so many permits if there are as many and nobody waits; see
    /// [`Semaphore::try_acquire_many`](crate::Semaphore::try_acquire_many).
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn try_acquire_many(&self, permits: u32) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_acquire_many", |semaphore| semaphore.try_acquire_many(permits))?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    /// Waits for one permit for at most `patience`.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn try_acquire_for(&self, patience: Duration) -> Result<Option<Guard>> {
        let taken = self.0.wait("try_acquire_for", |semaphore| semaphore.try_acquire_for(patience))?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    /// Waits for so many permits for at most `patience`; see
    /// [`Semaphore::try_acquire_many_for`](crate::Semaphore::try_acquire_many_for).
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn try_acquire_many_for(&self, permits: u32, patience: Duration) -> Result<Option<Guard>> {
        const OPERATION: &str = "try_acquire_many_for";
        let taken = self.0.wait(OPERATION, |semaphore| semaphore.try_acquire_many_for(permits, patience))?;
        Ok(taken.map(|guard| self.held(guard)))
    }

    /// How many permits there are; see [`Semaphore::limit`](crate::Semaphore::limit).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn limit(&self) -> Result<u32> {
        self.0.wait("limit", crate::Semaphore::limit)
    }

    /// Changes how many permits there are, for everybody; see [`Semaphore::resize`](crate::Semaphore::resize).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn resize(&self, limit: u32) -> Result<()> {
        self.0.wait("resize", |semaphore| semaphore.resize(limit))
    }

    fn held(&self, guard: crate::Guard) -> Guard {
        Guard(self.0.beside(guard))
    }
}
