//! The barrier.

use super::{Meeting, OnLoss, State};
use crate::{
    backend::Line,
    claim::ClaimId,
    error::{Error, ErrorKind, Result},
    recipe::{Entrance, release},
};

/// A place where participants wait for one another: when so many have come, they go on together. Cheap to
/// clone, and used again and again: of all who come, in the order in which they come, the first so many make
/// up a round, the next so many the next.
///
/// **It guarantees** that nobody passes before all of its round have come; that everybody of a round is told
/// the same, for it is written into the line's cell before the first one leaves: one that is fast, passes
/// and leaves strands nobody (clause C23); that one that is seen to go breaks the round for all, unless
/// [`OnLoss::GoOn`] is asked for.
///
/// **It does not guarantee** that all who passed still live: a participant that goes after the last one has
/// come counts as one that came. One that crashed is seen to go when its session ends (C8). Which
/// participants make up a round is not said; give rounds that must not mix names of their own.
///
/// Each participant that waits reads the line's cell whenever somebody comes or goes. The cell keeps the rounds
/// that somebody in line still needs, and the last one until [`forget`](Self::forget). It has room for some 90
/// of them: 180 claims in one line, when two make up a round.
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let store = Arc::new(Memory::new());
/// # let here = Coordinator::open(store.clone(), Options::default()).await?;
/// # let there = Coordinator::open(store, Options::default()).await?;
/// let (a, b) = (here.barrier("phase-1", 2)?, there.barrier("phase-1", 2)?);
/// // In two processes, as a rule.
/// tokio::try_join!(a.wait(), b.wait())?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Barrier {
    meeting: Meeting,
}

const WAIT: &str = "wait";

impl Barrier {
    pub(crate) fn new(entrance: Entrance, participants: u32) -> Result<Self> {
        Ok(Self { meeting: Meeting::new("barrier", entrance, participants)? })
    }

    /// What becomes of a round when a participant goes before all have come; [`OnLoss::Fail`] without this.
    /// When participants ask for different things, those who fail fail all.
    pub const fn when_one_goes(mut self, on_loss: OnLoss) -> Self {
        self.meeting.on_loss = on_loss;
        self
    }

    /// Comes, and waits until all of the round have come, however long that takes.
    ///
    /// When the session is lost meanwhile, the others see this participant go, and it comes again, at the
    /// back; unless a round was settled by then that it was counted in. The cell has room to say who was
    /// counted in the last round, up to some hundreds, and, as long as somebody of them is in line, in a few
    /// before. One that was counted where there was none comes again too.
    ///
    /// # Errors
    ///
    /// [`Broken`](ErrorKind::Broken) when a participant of the round has gone, as all of the round are told
    /// then. [`Disagreement`](ErrorKind::Disagreement) when those who came before meet by another number; they
    /// do not count this one. [`TooLarge`](ErrorKind::TooLarge) when the cell has no room for one more round
    /// while somebody is still in line for each of those before. Else as [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line in the background; the others see it go.
    pub async fn wait(&self) -> Result<()> {
        let (guard, state) = self.meeting.gather(WAIT).await?;
        release(guard).await;
        match state {
            State::Passed => Ok(()),
            State::Left | State::Broken => {
                let error = Error::new(ErrorKind::Broken, "a participant has gone before all had come");
                Err(self.meeting.entrance.context(WAIT)(error))
            }
        }
    }

    /// Who waits, since when.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Safe to drop.
    pub async fn inspect(&self) -> Result<Line> {
        self.meeting.entrance.inspect().await
    }

    /// Removes somebody's claim by force; see [`Mutex::evict`](crate::Mutex::evict). The others see it go.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn evict(&self, claim: ClaimId) -> Result<bool> {
        self.meeting.entrance.evict(claim).await
    }

    /// Forgets all rounds, for a barrier that will not be used again: all that it left in the store. Not while
    /// somebody waits: who has not heard yet that its round has passed would wait for another.
    ///
    /// # Errors
    ///
    /// When the store cannot be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: it may still be carried out.
    pub async fn forget(&self) -> Result<()> {
        self.meeting.entrance.forget().await
    }
}
