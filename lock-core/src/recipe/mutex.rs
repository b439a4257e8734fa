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
/// next by its ttl plus the store's slack at most (C8), as long as the store's leader stays; each new leader
/// may grant the dead session its full ttl once more.
///
/// **It does not guarantee** that nobody acts on the protected resource but the guard's owner: a process that
/// was stopped beyond its deadline may finish the step that it was in. Send the [token](Guard::token) along,
/// and let the resource refuse an older one.
///
/// It is not re-entrant: a task that locks again while it holds waits for itself. Where that is certain,
/// within [`Guard::run`], it gets [`Deadlock`](crate::ErrorKind::Deadlock) instead. For work that may lock
/// again there is `reentrant()`.
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

    /// Lets nobody in for so long after a holder that did not end well: one that was killed or cut off, that
    /// was evicted, that reached its [`max_hold`](Self::max_hold), whose coordinator was closed while it held
    /// (clause C25). For resources that check no tokens: what such a holder still does, or has sent on its
    /// way, is done by the time that the next one begins. After a guard that was released or dropped nobody
    /// waits. (Burrows, *The Chubby lock service for loosely-coupled distributed systems*, OSDI 2006, section
    /// 2.4.)
    ///
    /// The next in line is granted by the store as ever, and waits while it stands there as the holder; its
    /// guard comes when the delay is over. The delay is that of the holder that was lost. It is counted from
    /// the first grant after it that this coordinator was given, so it is never too short, and may be longer
    /// after one who waited for it was lost too. While it lasts, [`try_lock`](Self::try_lock) answers `None`,
    /// as does [`try_lock_for`](Self::try_lock_for) when its patience ends before. Who only tries is let in once
    /// its coordinator has known of the loss for so long; a process that does not live that long should have
    /// more patience than the delay.
    ///
    /// All who use the lock must ask for a delay: one who does not neither waits nor is waited for. It costs
    /// each turn a look at the line's cell and two writes to it. More than zero.
    #[must_use]
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.terms.lock_delay = Some(delay);
        self
    }

    /// Lets at most so many claims be in line, holders among them: who would be one more gets
    /// [`QueueFull`](crate::ErrorKind::QueueFull) instead of a place, and nothing of it stays in line (clause
    /// C26). For a store that must not be filled by those who wait. At least 1, which is to say that nobody
    /// waits.
    ///
    /// It binds those who ask through this handle and its clones, whoever else is in line; so let all have
    /// the same. However many come at once, no more stay. Who must wait is counted: that costs a try, and two
    /// listings of the line.
    #[must_use]
    pub fn at_most_in_line(mut self, claims: usize) -> Self {
        self.terms.at_most_in_line = Some(claims);
        self
    }

    /// Waits for the turn, however long that takes.
    ///
    /// When the session is lost meanwhile, queues anew, at the back.
    ///
    /// # Errors
    ///
    /// When the store cannot be reached, the coordinator was closed, or an operator evicted the claim
    /// ([`NotHeld`](crate::ErrorKind::NotHeld)). Never because somebody else holds the lock, but
    /// [`QueueFull`](crate::ErrorKind::QueueFull) with [`at_most_in_line`](Self::at_most_in_line), and
    /// [`Deadlock`](crate::ErrorKind::Deadlock) within [`Guard::run`] of a guard of this very lock. With
    /// [`lock_delay`](Self::lock_delay) also [`Garbled`](crate::ErrorKind::Garbled), when the line's cell holds
    /// something else.
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
    /// As [`lock`](Self::lock). A store that does not answer is asked for a second, and for up to two seconds more
    /// for a session where the last was lost: then it is [`Unavailable`](crate::ErrorKind::Unavailable), and
    /// what it may still do is undone in the background.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_lock(&self) -> Result<Option<Guard>> {
        self.entrance.try_acquire("try_lock", &self.request(), Patience::None).await
    }

    /// Waits for the turn for at most `patience`, then withdraws and answers `None`: no later than one round
    /// trip after that, or a second if that is less.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock); a store that does not answer is asked for as long as `patience` lasts, if
    /// that is more than a second.
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
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn inspect(&self) -> Result<Line> {
        self.entrance.inspect().await
    }

    /// Removes somebody's claim by force, be it granted or waiting; tells whether it was there (`false` also
    /// when a first attempt removed it and its reply was lost). Its owner is told, the next in line is
    /// granted, and tokens go on rising.
    ///
    /// Except in memory, the next in line may hold before the evicted owner has heard; one that is cut off
    /// hears of it at its deadline at the latest. Make sure that it has stopped, or that the resource checks
    /// tokens; a resource refuses the old token only after it has seen the new one.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.entrance.evict(claim).await
    }

    /// Forgets what [`lock_delay`](Self::lock_delay) remembers, for a lock that will not be used again: all
    /// that it left in the store. While somebody holds it, or should be waited for, that is forgotten too.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn forget(&self) -> Result<()> {
        self.entrance.forget().await
    }

    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    pub(super) fn request(&self) -> Request {
        Request { terms: self.terms, ..Request::exclusive() }
    }
}
