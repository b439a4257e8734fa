//! The countdown latch.

use serde::{Deserialize, Serialize};

use crate::{
    backend::{Cell, Line},
    claim::ClaimId,
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::Name,
    recipe::{Amendment, Entrance, LineWatch, Mutant, Request, release, written},
};

/// A gate that opens, for good, when so many participants have counted down. Cheap to clone.
///
/// **It guarantees** that each participant counts once, by its name, however often it says so: across retries,
/// lost replies and restarts (clause C24); that the latch is open from the count on, whoever has crashed
/// since; that everybody who waits learns of it, at the latest when a participant that crashed in the middle
/// of its call has been given up by the store (C8).
///
/// **It does not guarantee** that a participant whose call failed has not counted: call again. The names of
/// those who have counted are kept in the line's cell, which has room for some 100 names of 32 bytes;
/// [`forget`](Self::forget) empties it.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let coordinator = Coordinator::open(Arc::new(Memory::new()), Options::default()).await?;
/// let loaded = coordinator.latch("import/2026-11/loaded", 2)?;
/// assert_eq!(loaded.count_down("shard-1").await?, 1);
/// assert_eq!(loaded.count_down("shard-1").await?, 1, "it has been restarted, and says so again");
/// assert_eq!(loaded.count_down("shard-2").await?, 0);
/// loaded.wait().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Latch {
    entrance: Entrance,
    count: u32,
}

/// What the cell remembers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    count: u32,
    /// Who has counted down, in order.
    done: Vec<String>,
}

impl Record {
    fn remaining(&self) -> u32 {
        self.count.saturating_sub(u32::try_from(self.done.len()).unwrap_or(u32::MAX))
    }
}

const COUNT_DOWN: &str = "count_down";
const WAIT: &str = "wait";

impl Latch {
    pub(crate) fn new(entrance: Entrance, count: u32) -> Result<Self> {
        if count == 0 {
            let error = Error::new(ErrorKind::InvalidOption, "a latch of nobody would always be open");
            return Err(entrance.context("latch")(error));
        }
        Ok(Self { entrance, count })
    }

    /// Counts `participant` in, a name by the rules of [`Name`], unless it has been already.
    /// Answers how many are still to come; 0: the latch is open. Others may count down too: their names then
    /// change nothing.
    ///
    /// Repeats itself when the session is lost meanwhile.
    ///
    /// # Errors
    ///
    /// [`InvalidName`](ErrorKind::InvalidName) before any I/O. [`Disagreement`](ErrorKind::Disagreement) when
    /// somebody has counted down with another count, and [`TooLarge`](ErrorKind::TooLarge) when the cell has
    /// no room for one more name, both without effect; else as [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line in the background; the participant may or may not have counted.
    pub async fn count_down(&self, participant: impl AsRef<str>) -> Result<u32> {
        let name: Name = participant.as_ref().parse().map_err(self.entrance.context(COUNT_DOWN))?;
        loop {
            match self.count_in(&name).await {
                Err(error) if error.kind() == ErrorKind::SessionLost => {
                    tracing::warn!(line = %self.entrance.line, %error, "the session was lost; counts down again");
                }
                outcome => return outcome,
            }
        }
    }

    /// A write wakes nobody, but whoever leaves a line wakes those who watch it. So the cell is written while
    /// a claim is in line, and that goes afterwards, be it by the end of its session.
    async fn count_in(&self, name: &Name) -> Result<u32> {
        let guard = self.entrance.acquire(COUNT_DOWN, &Request::new(Mode::Present)).await?;
        let amend = |cell: &Cell, _| self.with(cell, name);
        let counted = self.entrance.amend_cell(COUNT_DOWN, Some(&guard), amend).await;
        release(guard).await;
        counted
    }

    fn with(&self, cell: &Cell, name: &Name) -> Result<Amendment<u32>> {
        let mut record = self.read(cell)?;
        let known = record.done.iter().any(|done| done == name.as_str());
        if known && !self.entrance.is(Mutant::CountsTwice) {
            return Ok(Amendment::Stands(record.remaining()));
        }
        record.done.push(name.to_string());
        record.done.sort_unstable();
        Ok(Amendment::Write(written::write(&record, "count of a latch")?, record.remaining()))
    }

    /// Waits until the latch is open, however long that takes; at once when it is. Takes no place in line, so
    /// any number may wait.
    ///
    /// # Errors
    ///
    /// As [`remaining`](Self::remaining). The loss of a session is none: it goes on under the next.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn wait(&self) -> Result<()> {
        let mut watch = LineWatch::new(self.entrance.clone());
        loop {
            // Opened before the cell is read: what is written after that is followed by news.
            watch.next(WAIT).await?;
            match self.look(WAIT).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::SessionLost => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many are still to come; 0: the latch is open.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked, and [`Disagreement`](ErrorKind::Disagreement) when somebody has
    /// counted down with another count.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn remaining(&self) -> Result<u32> {
        self.look("remaining").await
    }

    async fn look(&self, operation: &'static str) -> Result<u32> {
        let cell = self.entrance.cell(operation).await?;
        let record = self.read(&cell).map_err(self.entrance.context(operation))?;
        Ok(record.remaining())
    }

    fn read(&self, cell: &Cell) -> Result<Record> {
        let fresh = || Record { count: self.count, done: Vec::new() };
        let record = written::read(cell, "count of a latch")?.unwrap_or_else(fresh);
        if record.count != self.count {
            let message = format!("others count down from {}, this one from {}", record.count, self.count);
            return Err(Error::new(ErrorKind::Disagreement, message));
        }
        Ok(record)
    }

    /// Closes the latch again and forgets who has counted down: all that it left in the store. Those who wait
    /// go on waiting.
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

    /// Who is counting down at this moment.
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
}
