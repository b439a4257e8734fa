//! The double barrier.

use super::{Card, Meeting, OnLoss, Participant, Rounds, State};
use crate::{
    backend::Line,
    claim::ClaimId,
    error::{Error, ErrorKind, Result},
    guard::{Guard, Lost},
    recipe::{Entrance, Mutant, published::Published, release},
    session::LostReason,
};

/// A place that participants enter together and leave together. Cheap to clone, and used again and again, as a
/// [`Barrier`](crate::Barrier) is.
///
/// **It guarantees** that nobody is inside before all of its round have come, and that nobody's
/// [`leave`](Inside::leave) succeeds before all of them are leaving, or, with [`OnLoss::GoOn`], all who are
/// left; that everybody of a round is told the same (clause C23); that one that has gone meanwhile is reported
/// to those who enter or leave.
///
/// **It does not guarantee** that all who are inside still live: who crashed is found out by those who leave,
/// when its session has ended (C8).
///
/// The line's cell has room for some 90 rounds that somebody is still inside of, or waits in, at one time; see
/// [`Barrier`](crate::Barrier).
///
/// ```
/// # use lock_core::{Coordinator, Error, Memory, Options};
/// # use std::sync::Arc;
/// # async fn example() -> Result<(), Error> {
/// # let store = Arc::new(Memory::new());
/// # let here = Coordinator::open(store.clone(), Options::default()).await?;
/// # let there = Coordinator::open(store, Options::default()).await?;
/// // In two processes, as a rule.
/// let (a, b) = (here.double_barrier("rehearsal", 2)?, there.double_barrier("rehearsal", 2)?);
/// let (a, b) = tokio::try_join!(a.enter(), b.enter())?;
/// // Both are here: what needs two is done now.
/// tokio::try_join!(a.leave(), b.leave())?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DoubleBarrier {
    meeting: Meeting,
}

/// Being inside, until it is left, dropped or lost.
///
/// Leaving twice is no error to handle: it does not compile.
///
/// ```compile_fail,E0382
/// # async fn example(inside: lock_core::Inside) -> Result<(), lock_core::Error> {
/// inside.leave().await?;
/// inside.leave().await
/// # }
/// ```
///
/// # Drop
///
/// Leaves the line without waiting for anybody, which the others take for a crash. Never blocks or panics.
#[derive(Debug)]
#[must_use = "the others take it for a crash when this is dropped"]
pub struct Inside {
    meeting: Meeting,
    guard: Guard,
}

const ENTER: &str = "enter";
const LEAVE: &str = "leave";

impl DoubleBarrier {
    pub(crate) fn new(entrance: Entrance, participants: u32) -> Result<Self> {
        Ok(Self { meeting: Meeting::new("double_barrier", entrance, participants)? })
    }

    /// What becomes of a round when a participant goes before all have come, or before all are leaving;
    /// [`OnLoss::Fail`] without this. When participants ask for different things, those who fail fail all.
    pub const fn when_one_goes(mut self, on_loss: OnLoss) -> Self {
        self.meeting.on_loss = on_loss;
        self
    }

    /// Comes, and waits until all of the round have come, however long that takes. When the session is lost
    /// meanwhile, the others see this participant go, and it comes again, at the back.
    ///
    /// # Errors
    ///
    /// As [`Barrier::wait`](crate::Barrier::wait); and when the session was lost as the round was settled, so
    /// that this participant was taken for one that entered, what it was lost by. (Where the round was too large
    /// to say who was taken for that, it comes again, as there.)
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line in the background; the others see it go.
    pub async fn enter(&self) -> Result<Inside> {
        let (guard, state) = self.meeting.gather(ENTER).await?;
        let context = self.meeting.entrance.context(ENTER);
        if state != State::Passed {
            release(guard).await;
            let error = Error::new(ErrorKind::Broken, "a participant has gone before all had come");
            return Err(context(error));
        }
        guard.check().map_err(|lost| context(lost.into()))?;
        Ok(Inside { meeting: self.meeting.clone(), guard })
    }

    /// Who has come, who is inside, since when.
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

    /// As [`Barrier::forget`](crate::Barrier::forget); not while somebody is inside either.
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

impl Inside {
    /// Waits until all of the round are leaving, and leaves with them.
    ///
    /// # Errors
    ///
    /// [`Broken`](ErrorKind::Broken) when one of them has gone without that, as all of the round are told who
    /// leave, before this call or after it; with [`OnLoss::GoOn`], the others leave without it. When this
    /// one's session was lost, or it was evicted, that.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line in the background, which the others take for a crash, unless all
    /// were leaving by then.
    pub async fn leave(self) -> Result<()> {
        let Self { meeting, guard } = self;
        let context = meeting.entrance.context(LEAVE);
        guard.check().map_err(|lost| context(lost.into()))?;
        if meeting.entrance.is(Mutant::LeavesAlone) {
            return guard.leave(LEAVE).await;
        }
        let card = Card { of: meeting.of, leaving: true };
        Published::new(card.payload().map_err(&context)?).send(&guard).await.map_err(&context)?;
        let place = guard.place().ticket().place;
        let depart =
            |rounds: &Rounds, there: &[Participant], _: &[u64]| rounds.depart(there, place, meeting.on_loss);
        let state = meeting.settled(LEAVE, &guard, depart).await?;
        release(guard).await;
        match state {
            State::Left => Ok(()),
            State::Passed | State::Broken => {
                let error = Error::new(ErrorKind::Broken, "a participant has gone before all were leaving");
                Err(context(error))
            }
        }
    }

    /// The claim behind it, as [`DoubleBarrier::inspect`] shows it.
    #[must_use]
    pub fn claim(&self) -> ClaimId {
        self.guard.claim()
    }

    /// Whether the others still see this participant inside, by the clock as it is now; see
    /// [`Guard::is_valid`].
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.guard.is_valid()
    }

    /// Waits until this participant is inside no more, and says why; see [`Guard::lost`].
    ///
    /// # Cancel safety
    ///
    /// Safe to drop and to call again.
    pub async fn lost(&self) -> LostReason {
        self.guard.lost().await
    }

    /// Runs `work` while this participant is inside; see [`Guard::run`].
    ///
    /// # Errors
    ///
    /// [`Lost`]; `work` was dropped.
    ///
    /// # Cancel safety
    ///
    /// As cancel-safe as `work`.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        self.guard.run(work).await
    }
}
