//! Claims in any mode, with cells: the whole seam through the code that every recipe is made of. For tests.

use std::time::Duration;

use crate::{
    backend::{Cell, CellVersion, Line},
    claim::ClaimId,
    coordinator::Coordinator,
    error::Result,
    guard::Guard,
    line::Mode,
    name::LineId,
    recipe::{Entrance, Patience, Request},
};

/// One line, for claims in any mode; see [`Coordinator::claims`].
#[derive(Clone, Debug)]
pub struct Claims {
    entrance: Entrance,
}

impl Coordinator {
    /// Claims on `line` in any mode, for tests of a store.
    #[must_use]
    pub fn claims(&self, line: LineId) -> Claims {
        Claims { entrance: self.entrance_of(line) }
    }
}

impl Claims {
    /// Which line.
    #[must_use]
    pub fn line(&self) -> &LineId {
        &self.entrance.line
    }

    /// As [`Mutex::lock`](crate::Mutex::lock), in this mode.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn acquire(&self, mode: Mode) -> Result<Guard> {
        self.entrance.acquire("acquire", &Request::new(mode)).await
    }

    /// As [`Mutex::try_lock`](crate::Mutex::try_lock), in this mode.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn try_acquire(&self, mode: Mode) -> Result<Option<Guard>> {
        self.entrance.try_acquire("try_acquire", &Request::new(mode), Patience::None).await
    }

    /// As [`Mutex::try_lock_for`](crate::Mutex::try_lock_for), in this mode.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn try_acquire_for(&self, mode: Mode, patience: Duration) -> Result<Option<Guard>> {
        let end = self.entrance.now() + patience;
        self.entrance.try_acquire("try_acquire_for", &Request::new(mode), Patience::Until(end)).await
    }

    /// The line's cell.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn cell(&self) -> Result<Cell> {
        self.entrance.cell("cell").await
    }

    /// Writes the cell while `guard` holds; `bytes` must differ from all other writes.
    ///
    /// # Errors
    ///
    /// As [`Session::put_cell`](crate::backend::Session::put_cell).
    pub async fn put_cell(&self, expected: CellVersion, bytes: &[u8], guard: &Guard) -> Result<CellVersion> {
        self.entrance.put_cell("put_cell", expected, bytes, guard).await
    }

    /// As [`Mutex::inspect`](crate::Mutex::inspect).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// As [`Mutex::evict`](crate::Mutex::evict).
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }
}
