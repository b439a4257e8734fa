//! The kernel: who in a line is granted. Pure, without I/O.
//!
//! A line is a list of claims in ticket order. Grants are a prefix of it: going from the head, the first
//! claim that conflicts with those ahead stops everybody behind it, so nobody overtakes (clause C2). Two
//! claims of a line conflict like this:
//!
//! | | exclusive | shared | permits | present |
//! |---|---|---|---|---|
//! | **exclusive** | yes | yes | yes | no |
//! | **shared** | yes | no | yes | no |
//! | **permits** | yes | yes | when the sum is above the limit of the one behind | no |
//! | **present** | no | no | no | no |
//!
//! Stores that keep the queue themselves call [`Occupancy`] at each step; [`decide()`] answers for one claim
//! of a whole line and says whose departure it must wait for. `tests/kernel.rs` checks both against a
//! definition that shares no code with them.

mod decide;
mod raw;

pub use decide::{Entrant, Verdict, decide};
pub use raw::RawNames;

use std::fmt;

use crate::error::{Error, ErrorKind};

/// What a claim asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Alone: a mutex, a write lock, leadership.
    Exclusive,
    /// Together with other shared claims: a read lock.
    Shared,
    /// Some of a limited number: a semaphore.
    Permits {
        /// How many permits this claim takes; at least 1.
        count: u32,
        /// How many there are, as far as this claim knows; at least `count`.
        limit: u32,
    },
    /// Just there: a member of a group. Never waits and never makes anybody wait.
    Present,
}

impl Mode {
    /// Refuses what could never be granted, or would take nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for 0 permits, and for more permits than the limit.
    pub fn validate(self) -> Result<(), Error> {
        match self {
            Self::Permits { count: 0, .. } => {
                Err(Error::new(ErrorKind::InvalidOption, "a claim takes at least 1 permit, not 0"))
            }
            Self::Permits { count, limit } if count > limit => Err(Error::new(
                ErrorKind::InvalidOption,
                format!("{count} permits can never be granted: the limit is {limit}"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a holder in this mode may change to `other` where it stands: everybody who is compatible with
    /// this mode is compatible with `other` too.
    #[must_use]
    pub fn may_weaken_to(self, other: Self) -> bool {
        match (self, other) {
            (Self::Permits { count, limit }, Self::Permits { count: fewer, limit: same }) => {
                (1..=count).contains(&fewer) && limit == same
            }
            (Self::Exclusive, Self::Permits { .. }) => other.validate().is_ok(),
            (Self::Exclusive, _) | (_, Self::Present) => true,
            (a, b) => a == b,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exclusive => f.write_str("exclusive"),
            Self::Shared => f.write_str("shared"),
            Self::Permits { count, limit } => write!(f, "{count} of {limit} permits"),
            Self::Present => f.write_str("present"),
        }
    }
}

/// What a set of claims takes up, in constant space: enough to say whether one more fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    exclusive: u64,
    shared: u64,
    permits: u64,
}

impl Occupancy {
    /// Whether a claim in this mode is compatible with all of them.
    #[must_use]
    pub fn admits(&self, mode: Mode) -> bool {
        match mode {
            Mode::Exclusive => self.exclusive == 0 && self.shared == 0 && self.permits == 0,
            Mode::Shared => self.exclusive == 0 && self.permits == 0,
            Mode::Permits { count, limit } => {
                self.exclusive == 0 && self.shared == 0 && self.permits + u64::from(count) <= u64::from(limit)
            }
            Mode::Present => true,
        }
    }

    /// One more.
    pub fn add(&mut self, mode: Mode) {
        match mode {
            Mode::Exclusive => self.exclusive += 1,
            Mode::Shared => self.shared += 1,
            Mode::Permits { count, .. } => self.permits += u64::from(count),
            Mode::Present => {}
        }
    }

    /// One less: undoes one [`add`](Self::add) of the same mode.
    pub fn remove(&mut self, mode: Mode) {
        match mode {
            Mode::Exclusive => self.exclusive = self.exclusive.saturating_sub(1),
            Mode::Shared => self.shared = self.shared.saturating_sub(1),
            Mode::Permits { count, .. } => self.permits = self.permits.saturating_sub(u64::from(count)),
            Mode::Present => {}
        }
    }
}
