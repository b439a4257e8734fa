//! The fair semaphore.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    backend::{Cell, Line},
    claim::ClaimId,
    error::{Effect, Error, ErrorKind, Result},
    guard::Guard,
    line::Mode,
    recipe::{Amendment, Entrance, Mutant, Patience, Request, Terms, written},
    work,
};

/// A number of permits that holders take some of, first come, first served. Cheap to clone.
///
/// **It guarantees** that no more permits are held than there are; strict FIFO (clause C2) whatever each one
/// asks for: a request for many that waits is not overtaken by a later one for few, so it is not starved;
/// that a release wakes those who are granted by it and nobody else (C4); that a holder that crashed keeps
/// its permits for its ttl plus the store's slack at most (C8), as long as the store's leader stays (each new
/// leader may grant the dead session its full ttl once more); that clients who disagree on how many permits
/// there are get an error ([`Disagreement`](ErrorKind::Disagreement)).
///
/// **It does not guarantee** that nobody acts but the holders; see [`Mutex`](crate::Mutex). Tokens tell
/// grants apart; they do not order them, for several hold at a time.
///
/// How many permits there are is written in the line's cell by the first who acquires, and outlives them all
/// until [`forget`](Self::forget). It costs each acquire one request to read it. [`resize`](Self::resize)
/// changes it.
///
/// ```
/// # use lock_core::{Coordinator, Error, ErrorKind, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let downloads = coordinator.semaphore("downloads", 5)?;
/// let (one, four) = (downloads.acquire().await?, downloads.acquire_many(4).await?);
/// assert!(downloads.try_acquire().await?.is_none());
/// four.release().await?;
/// assert!(downloads.try_acquire().await?.is_some());
///
/// let mistaken = coordinator.semaphore("downloads", 50)?;
/// assert_eq!(mistaken.acquire().await.unwrap_err().kind(), ErrorKind::Disagreement);
/// # one.release().await
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    entrance: Entrance,
    /// How many permits there are, as far as this handle and its clones know.
    stated: Arc<AtomicU32>,
    terms: Terms,
}

/// What the cell remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// How many permits there are.
    limit: u32,
    /// How many there were before the last resize.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<u32>,
}

impl Semaphore {
    pub(crate) fn new(entrance: Entrance, limit: u32) -> Result<Self> {
        check_limit(limit).map_err(entrance.context("semaphore"))?;
        Ok(Self { entrance, stated: Arc::new(AtomicU32::new(limit)), terms: Terms::default() })
    }

    /// Ends each guard this long after its grant; see [`Mutex::max_hold`](crate::Mutex::max_hold).
    #[must_use]
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.terms.max_hold = Some(max_hold);
        self
    }

    /// Lets at most so many claims be in line; see [`Mutex::at_most_in_line`](crate::Mutex::at_most_in_line).
    #[must_use]
    pub fn at_most_in_line(mut self, claims: usize) -> Self {
        self.terms.at_most_in_line = Some(claims);
        self
    }

    /// Waits for one permit.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn acquire(&self) -> Result<Guard> {
        self.acquired("acquire", 1).await
    }

    /// Waits for so many permits, and takes them together.
    ///
    /// When the session is lost meanwhile, queues anew, at the back.
    ///
    /// # Errors
    ///
    /// With nothing in line: [`InvalidOption`](ErrorKind::InvalidOption) for no permits and for more than
    /// there are; [`Disagreement`](ErrorKind::Disagreement) when the cell gives another number of permits
    /// than this handle; [`Garbled`](ErrorKind::Garbled) when it holds something else;
    /// [`Unsupported`](ErrorKind::Unsupported) by a store that has no permits. Else as
    /// [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn acquire_many(&self, permits: u32) -> Result<Guard> {
        self.acquired("acquire_many", permits).await
    }

    /// Takes one permit if there is one and nobody waits; see [`try_acquire_many`](Self::try_acquire_many).
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_acquire(&self) -> Result<Option<Guard>> {
        self.tried("try_acquire", 1, Patience::None).await
    }

    /// Takes so many permits if there are as many and nobody waits. `None` only when others held too many or
    /// were waiting (clause C6); nothing stays in line then.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_acquire_many(&self, permits: u32) -> Result<Option<Guard>> {
        self.tried("try_acquire_many", permits, Patience::None).await
    }

    /// Waits for one permit for at most `patience`; see [`try_acquire_many_for`](Self::try_acquire_many_for).
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_acquire_for(&self, patience: Duration) -> Result<Option<Guard>> {
        self.tried("try_acquire_for", 1, self.until(patience)).await
    }

    /// Waits for so many permits for at most `patience`, then withdraws and answers `None`, as
    /// [`Mutex::try_lock_for`](crate::Mutex::try_lock_for) does.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many), and [`Mutex::try_lock_for`](crate::Mutex::try_lock_for).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future withdraws in the background; nothing stays in line.
    pub async fn try_acquire_many_for(&self, permits: u32, patience: Duration) -> Result<Option<Guard>> {
        self.tried("try_acquire_many_for", permits, self.until(patience)).await
    }

    /// How many permits there are: what the cell says, or this handle while nobody has acquired.
    ///
    /// # Errors
    ///
    /// [`Garbled`](ErrorKind::Garbled) when the cell holds something else; when the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn limit(&self) -> Result<u32> {
        let cell = self.entrance.cell("limit").await?;
        let record = Record::read(&cell).map_err(self.entrance.context("limit"))?;
        Ok(record.map_or_else(|| self.stated(), |record| record.limit))
    }

    /// Changes how many permits there are, for everybody. This handle and its clones state the new number
    /// from then on; so need others who are configured anew. Those that state the number that was there
    /// before live on as they are, until the next resize: so change the configuration of all between two.
    ///
    /// Each claim goes by the number that was there when it was made. So nobody's permits are taken away:
    /// after the number has shrunk, those who hold and those who wait already are served by the old one, and
    /// later ones wait until few enough are held. When it has grown, later ones make use of it, once those
    /// who wait already are served by the old one.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`](ErrorKind::InvalidOption) for 0, before any I/O;
    /// [`Disagreement`](ErrorKind::Disagreement) when the reply of the store was lost, and others have changed
    /// the number meanwhile, so that it is not known whether this call did before them;
    /// [`Garbled`](ErrorKind::Garbled) when the cell holds something else; when the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the number may have changed or not.
    pub async fn resize(&self, limit: u32) -> Result<()> {
        check_limit(limit).map_err(self.entrance.context("resize"))?;
        let amend = |cell: &Cell, written: Effect| match Record::read(cell)? {
            Some(found) if found.limit == limit => Ok(Amendment::Stands(())),
            found if written == Effect::Unknown => overtaken(limit, found),
            found => {
                let before = found.map_or_else(|| self.stated(), |found| found.limit);
                let before = Some(before).filter(|before| *before != limit);
                Ok(Amendment::Write(Record { limit, before }.write()?, ()))
            }
        };
        self.entrance.amend_cell("resize", None, amend).await?;
        self.stated.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// Forgets how many permits there are, for a semaphore that will not be used again: all that it left in
    /// the store. The next who acquires says anew how many there are, also while others hold.
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

    /// Who holds how many permits, who waits for how many, since when.
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

    /// Removes somebody's claim by force, with all its permits; see [`Mutex::evict`](crate::Mutex::evict).
    /// Tokens of permits do not order grants: make sure that its owner has stopped.
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

    async fn acquired(&self, operation: &'static str, count: u32) -> Result<Guard> {
        let (asked, claimed) = (self.at_least(count), self.entrance.now());
        let attempt = |via| async {
            let request = self.request(operation, count, None).await?;
            work::check(&self.entrance.shared, &self.entrance.line, request.mode)?;
            self.entrance.wait_under(via, &request, claimed).await
        };
        self.entrance.under_a_session(operation, &asked, None, claimed, attempt).await
    }

    async fn tried(&self, operation: &'static str, count: u32, patience: Patience) -> Result<Option<Guard>> {
        let (asked, claimed) = (self.at_least(count), self.entrance.now());
        let attempt = |via| async {
            let request = self.request(operation, count, Some(patience)).await?;
            self.entrance.try_under(via, &request, patience, claimed).await
        };
        self.entrance.under_a_session(operation, &asked, Some(patience), claimed, attempt).await
    }

    fn until(&self, patience: Duration) -> Patience {
        Patience::Until(self.entrance.now() + patience)
    }

    fn stated(&self) -> u32 {
        self.stated.load(Ordering::Relaxed)
    }

    fn permits(&self, count: u32, limit: u32) -> Request {
        Request { terms: self.terms, ..Request::new(Mode::Permits { count, limit }) }
    }

    /// What is asked for before it is known how many permits there are. What nobody can be granted, and what
    /// the store cannot do, is refused whatever the cell says.
    fn at_least(&self, count: u32) -> Request {
        self.permits(count, self.stated().max(count))
    }

    /// A request for so many permits of those that there are now: who queues anew asks anew. A try does not
    /// ask the store for longer than it asks it for the turn.
    async fn request(
        &self,
        operation: &'static str,
        count: u32,
        patience: Option<Patience>,
    ) -> Result<Request> {
        let limit = self.entrance.ask(patience, self.agreed_limit(operation)).await?;
        let request = self.permits(count, limit);
        request.mode.validate().map(|()| request)
    }

    /// What the cell says, after it was written if need be, and if this handle agrees.
    async fn agreed_limit(&self, operation: &'static str) -> Result<u32> {
        let stated = self.stated();
        if self.entrance.is(Mutant::AnyLimit) {
            return Ok(stated);
        }
        let amend = |cell: &Cell, _| match Record::read(cell)? {
            None => Ok(Amendment::Write(Record { limit: stated, before: None }.write()?, stated)),
            Some(Record { limit, before }) if limit == stated || before == Some(stated) => {
                Ok(Amendment::Stands(limit))
            }
            Some(Record { limit, .. }) => Err(Error::new(
                ErrorKind::Disagreement,
                format!("there are {limit} permits, not {stated}; resize the semaphore to change that"),
            )),
        };
        self.entrance.amend_cell(operation, None, amend).await
    }
}

impl Record {
    /// `None`: nobody has written it yet.
    fn read(cell: &Cell) -> Result<Option<Self>> {
        written::read(cell, "limit of a semaphore")
    }

    fn write(self) -> Result<Vec<u8>> {
        written::write(&self, "limit of a semaphore")
    }
}

/// What a resize to `limit` makes of another number there, when the reply to its write was lost. To write once
/// more might undo what others did after it.
fn overtaken(limit: u32, found: Option<Record>) -> Result<Amendment<()>> {
    if found.is_some_and(|found| found.before == Some(limit)) {
        return Ok(Amendment::Stands(()));
    }
    let why = "the reply to a write was lost, and others have written since";
    Err(Error::new(ErrorKind::Disagreement, why))
}

fn check_limit(limit: u32) -> Result<()> {
    if limit == 0 {
        return Err(Error::new(ErrorKind::InvalidOption, "a semaphore has at least 1 permit, not 0"));
    }
    Ok(())
}
