//! The countdown latch.

use lock_core::Result;

use super::{Driven, line::line};

/// A gate that opens, for good, when so many participants have counted down; see [`Latch`](crate::Latch). Cheap
/// to clone; threads may share it.
#[derive(Clone, Debug)]
pub struct Latch(pub(super) Driven<crate::Latch>);

line!(Latch, forget);

impl Latch {
    /// Counts `participant` in, unless it has been already, and answers how many are still to come; see
    /// [`Latch::count_down`](crate::Latch::count_down).
    ///
    /// # Errors
    ///
    /// As there; [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn count_down(&self, participant: impl AsRef<str>) -> Result<u32> {
        self.0.wait("count_down", |latch| latch.count_down(participant))
    }

    /// Waits until the latch is open, however long that takes; at once when it is.
    ///
    /// # Errors
    ///
    /// As [`Latch::wait`](crate::Latch::wait); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn wait(&self) -> Result<()> {
        self.0.wait("wait", crate::Latch::wait)
    }

    /// How many are still to come; 0: the latch is open.
    ///
    /// # Errors
    ///
    /// As [`Latch::remaining`](crate::Latch::remaining); [`InsideAsync`](crate::ErrorKind::InsideAsync).
    pub fn remaining(&self) -> Result<u32> {
        self.0.wait("remaining", crate::Latch::remaining)
    }
}
