//! The fair read-write lock.

use std::{ops::Deref, time::Duration};

use crate::{
    backend::Line,
    claim::ClaimId,
    error::{Error, Result},
    guard::Guard,
    line::Mode,
    recipe::{Entrance, Mutant, Patience, Request, Terms},
};

/// A lock that many readers hold together, or one writer alone, first come, first served. Cheap to clone.
///
/// **It guarantees** what a [`Mutex`](crate::Mutex) does, for readers and writers alike: strict FIFO (clause
/// C2), so that a writer who waits is never overtaken by a reader who comes later, and readers who wait
/// behind one another are let in together; a token with every grant, reads included; that a release wakes
/// those who are granted by it and nobody else.
///
/// **It does not guarantee** that nobody acts on the protected resource but those who hold; see
/// [`Mutex`](crate::Mutex). A resource that checks tokens remembers the highest that a *writer* came with,
/// and refuses whoever comes with a lower one, be it to write or to read (clause C3). Tokens of readers it
/// need not remember: those hold together, and come in any order.
///
/// A reader cannot become a writer in place: two who tried would wait for each other for ever. Release, and
/// ask for [`write`](Self::write); what was read may have changed by then. A writer becomes a reader with
/// [`downgrade`](WriteGuard::downgrade).
///
/// It is not re-entrant: who asks for a write lock while holding, or for a read lock while writing, waits for
/// itself. Where that is certain, within [`Guard::run`], it gets [`Deadlock`](crate::ErrorKind::Deadlock)
/// instead. A reader who asks for another read lock while it holds one waits for any writer that came in
/// between, who waits for the reader.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let catalogue = coordinator.rw_lock("catalogue")?;
/// let (one, other) = (catalogue.read().await?, catalogue.read().await?);
/// assert!(catalogue.try_write().await?.is_none());
/// one.release().await?;
/// other.release().await?;
///
/// let writing = catalogue.write().await?;
/// println!("send token {} with every write", writing.token());
/// let reading = writing.downgrade().await?;
/// assert!(catalogue.try_read().await?.is_some());
/// reading.release().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    entrance: Entrance,
    terms: Terms,
}

/// Your turn to write, until it is released, downgraded, dropped or lost. It can do all that a [`Guard`] can,
/// and becomes a plain one with `Guard::from`, for those who treat all guards alike.
///
/// # Drop
///
/// As a dropped [`Guard`].
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard(Guard);

impl RwLock {
    pub(crate) fn new(entrance: Entrance) -> Self {
        Self { entrance, terms: Terms::default() }
    }

    /// Ends each guard this long after its grant; see [`Mutex::max_hold`](crate::Mutex::max_hold). A writer
    /// that is downgraded gets no more time by that.
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.terms.max_hold = Some(max_hold);
        self
    }

    /// Lets nobody in for so long after a writer that did not end well; see
    /// [`Mutex::lock_delay`](crate::Mutex::lock_delay). Readers wait too, but nobody waits after a reader,
    /// nor after a writer that has become one.
    #[must_use]
    pub fn lock_delay(mut self, delay: Duration) -> Self {
        self.terms.lock_delay = Some(delay);
        self
    }

    /// Lets at most so many claims be in line; see [`Mutex::at_most_in_line`](crate::Mutex::at_most_in_line).
    #[must_use]
    pub fn at_most_in_line(mut self, claims: usize) -> Self {
        self.terms.at_most_in_line = Some(claims);
        self
    }

    /// Waits for the turn to read, together with others who do.
    ///
    /// When the session is lost meanwhile, queues anew, at the back.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock); [`Unsupported`](crate::ErrorKind::Unsupported) by a store that
    /// has no read-write locks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn read(&self) -> Result<Guard> {
        self.entrance.acquire("read", &self.request(self.reading())).await
    }

    /// Reads if nobody writes, nor waits to. `None` only when a writer was in line (clause C6); nothing stays
    /// in line then.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_read(&self) -> Result<Option<Guard>> {
        self.entrance.try_acquire("try_read", &self.request(self.reading()), Patience::None).await
    }

    /// Waits for the turn to read for at most `patience`, then withdraws and answers `None`, as
    /// [`Mutex::try_lock_for`](crate::Mutex::try_lock_for) does.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`Mutex::try_lock_for`](crate::Mutex::try_lock_for).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_read_for(&self, patience: Duration) -> Result<Option<Guard>> {
        let patience = Patience::Until(self.entrance.now() + patience);
        self.entrance.try_acquire("try_read_for", &self.request(self.reading()), patience).await
    }

    /// Waits for the turn to write, alone.
    ///
    /// When the session is lost meanwhile, queues anew, at the back.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn write(&self) -> Result<WriteGuard> {
        self.entrance.acquire("write", &self.request(Mode::Exclusive)).await.map(WriteGuard)
    }

    /// Writes if nobody holds, nor waits. `None` only when somebody was in line (clause C6); nothing stays in
    /// line then.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_write(&self) -> Result<Option<WriteGuard>> {
        let request = self.request(Mode::Exclusive);
        let taken = self.entrance.try_acquire("try_write", &request, Patience::None).await?;
        Ok(taken.map(WriteGuard))
    }

    /// Waits for the turn to write for at most `patience`, then withdraws and answers `None`, as
    /// [`Mutex::try_lock_for`](crate::Mutex::try_lock_for) does.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`Mutex::try_lock_for`](crate::Mutex::try_lock_for).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_write_for(&self, patience: Duration) -> Result<Option<WriteGuard>> {
        let patience = Patience::Until(self.entrance.now() + patience);
        let request = self.request(Mode::Exclusive);
        let taken = self.entrance.try_acquire("try_write_for", &request, patience).await?;
        Ok(taken.map(WriteGuard))
    }

    /// Who reads, who writes, who waits, since when.
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

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict).
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

    /// Forgets what [`lock_delay`](Self::lock_delay) remembers; see [`Mutex::forget`](crate::Mutex::forget).
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

    fn request(&self, mode: Mode) -> Request {
        Request { terms: self.terms, ..Request::new(mode) }
    }

    fn reading(&self) -> Mode {
        if self.entrance.is(Mutant::ReaderOvertakes) { Mode::Present } else { Mode::Shared }
    }
}

impl WriteGuard {
    /// Becomes a reader where it stands: the token stays, no writer comes in between, and readers who wait
    /// right behind are let in. What was written is what this reader reads.
    ///
    /// # Errors
    ///
    /// When the guard was lost before; [`Unsupported`](crate::ErrorKind::Unsupported) by a store in
    /// which a writer cannot keep its place, as in the layout of Curator. The lock is not held any more then.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the lock is released in the background.
    pub async fn downgrade(self) -> Result<Guard> {
        let Self(guard) = self;
        let line = guard.line().clone();
        let context = move |error: Error| error.during("downgrade").on(&line);
        guard.check().map_err(|lost| context(lost.into()))?;
        let via = guard.place().via().clone();
        // The guard goes along: a claim does not leave while its mode is changing.
        via.finish(Box::pin(guard.weakened(Mode::Shared))).await.map_err(context)
    }

    /// Gives the turn to those who are next in line; see [`Guard::release`].
    ///
    /// # Errors
    ///
    /// As [`Guard::release`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the release: it goes on in the background.
    pub async fn release(self) -> Result<()> {
        self.0.release().await
    }
}

impl Deref for WriteGuard {
    type Target = Guard;

    fn deref(&self) -> &Guard {
        &self.0
    }
}

impl From<WriteGuard> for Guard {
    fn from(writing: WriteGuard) -> Self {
        writing.0
    }
}
