//! The fair lock.

use std::time::Duration;

use crate::{
    backend::Line,
    claim::ClaimId,
    error::Result,
    guard::Guard,
    recipe::{Entrance, Patience, Request, Terms},
};

/// A lock that one holder has at a time, first come, first served. Cheap to clone.
///
/// **It guarantees** strict FIFO among claims still in line (clause C2); a token that rises with every grant
/// (C3); that a release wakes the next in line and nobody else (C4); that a holder that crashed delays the
/// next by its ttl plus the store's slack at most (C8).
///
/// **It does not guarantee** that nobody acts on the protected resource but the guard's owner: a process that
/// was stopped beyond its deadline may finish the step that it was in. Send the [token](Guard::token) along,
/// and let the resource refuse an older one.
///
/// It is not re-entrant: a task that locks again while it holds waits for itself.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let mutex = coordinator.mutex("invoices/2026-11")?;
/// let guard = mutex.lock().await?;
/// println!("send token {} with every write", guard.token());
/// guard.release().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Mutex {
    entrance: Entrance,
    terms: Terms,
}

impl Mutex {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, terms: Terms::default() }
    }

    /// Ends each guard this long after its grant, whatever its owner does: the guard is lost, and the next in
    /// line is granted. More than zero. Without it a guard lasts until it is released or its session is
    /// lost.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.terms.max_hold = Some(max_hold);
        self
    }

    /// Waits for the turn, however long that takes.
    ///
    /// When the session is lost meanwhile, queues anew, at the back.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, the coordinator was closed, or an operator evicted the claim
    /// ([`NotHeld`](crate::ErrorKind::NotHeld)). Never because somebody else holds the lock.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn lock(&self) -> Result<Guard> {
        self.entrance.acquire("lock", &self.request()).await
    }

    /// Takes the lock if it is free and nobody waits for it. `None` only when a conflicting claim was in line
    /// (clause C6); nothing stays in line then.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_lock(&self) -> Result<Option<Guard>> {
        self.entrance.try_acquire("try_lock", &self.request(), Patience::None).await
    }

    /// Waits for the turn for at most `patience`, then withdraws and answers `None`: no later than one round
    /// trip after that.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_lock_for(&self, patience: Duration) -> Result<Option<Guard>> {
        let end = self.entrance.now() + patience;
        self.entrance.try_acquire("try_lock_for", &self.request(), Patience::Until(end)).await
    }

    /// Who holds the lock, who waits, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// Removes somebody's claim by force, be it granted or waiting; tells whether it was there (`false` also
    /// when a first attempt removed it and its reply was lost). Its owner is told, the next in line is
    /// granted, and tokens go on rising, so a resource that checks them refuses what the evicted one still
    /// does.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }

    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    pub(super) fn request(&self) -> Request {
        Request { terms: self.terms, ..Request::exclusive() }
    }
}
