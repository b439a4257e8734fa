//! Barriers.

use lock_core::{ClaimId, LostReason, OnLoss, Result};

use super::{Driven, line::line};

/// A place where participants wait for one another: when so many have come, they go on together; see
/// [`Barrier`](crate::Barrier). Cheap to clone; threads may share it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Barrier(pub(super) Driven<crate::Barrier>);

line!(Barrier, forget);

impl Barrier {
    /// What becomes of a round when a participant goes before all have come; see
    /// [`Barrier::when_one_goes`](crate::Barrier::when_one_goes).
    pub fn when_one_goes(self, on_loss: OnLoss) -> Self {
        Self(self.0.map(|barrier| barrier.when_one_goes(on_loss)))
    }

    /// Comes, and waits until all of the round have come, however long that takes.
    ///
    /// # Errors
    ///
    /// As [`Barrier::wait`](crate::Barrier::wait); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn wait(&self) -> Result<()> {
        self.0.wait("wait", crate::Barrier::wait)
    }
}

/// A place that participants enter together and leave together; see [`DoubleBarrier`](crate::DoubleBarrier).
/// Cheap to clone; threads may share it.
#[derive(Clone, Debug)]
#[must_use]
pub struct DoubleBarrier(pub(super) Driven<crate::DoubleBarrier>);

line!(DoubleBarrier, forget);

impl DoubleBarrier {
    /// What becomes of a round when a participant goes before all have come, or before all are leaving; see
    /// [`DoubleBarrier::when_one_goes`](crate::DoubleBarrier::when_one_goes).
    pub fn when_one_goes(self, on_loss: OnLoss) -> Self {
        Self(self.0.map(|barrier| barrier.when_one_goes(on_loss)))
    }

    /// Comes, and waits until all of the round have come, however long that takes.
    ///
    /// # Errors
    ///
    /// As [`DoubleBarrier::enter`](crate::DoubleBarrier::enter);
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn enter(&self) -> Result<Inside> {
        self.0.wait("enter", crate::DoubleBarrier::enter).map(|inside| Inside(self.0.beside(inside)))
    }
}

/// Being inside, until it is left, dropped or lost; see [`Inside`](crate::Inside). It has no `run`: code that
/// blocks cannot be dropped half way.
///
/// # Drop
///
/// Leaves the line in the background without waiting for anybody, which the others take for a crash. Never
/// blocks or panics, wherever it is dropped.
#[derive(Debug)]
#[must_use = "the others take it for a crash when this is dropped"]
pub struct Inside(Driven<crate::Inside>);

impl Inside {
    /// Waits until all of the round are leaving, and leaves with them.
    ///
    /// # Errors
    ///
    /// As [`Inside::leave`](crate::Inside::leave). [`InsideAsync`](crate::ErrorKind::InsideAsync): it is then
    /// dropped.
    pub fn leave(self) -> Result<()> {
        self.0.end("leave", crate::Inside::leave)
    }

    /// The claim behind it, as [`DoubleBarrier::inspect`] shows it.
    #[must_use]
    pub fn claim(&self) -> ClaimId {
        self.0.inner.claim()
    }

    /// Whether the others still see this participant inside, by the clock as it is now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.0.inner.is_valid()
    }

    /// Waits until this participant is inside no more, and says why: for a thread that watches over the one
    /// that works.
    ///
    /// # Errors
    ///
    /// [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn lost(&self) -> Result<LostReason> {
        self.0.wait("lost", async |inside| Ok(inside.lost().await))
    }
}
