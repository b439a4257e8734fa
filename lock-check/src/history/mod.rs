//! What clients of a store saw, on one clock, and whether it can have come from a store that keeps the
//! contract.
//!
//! The checker needs no search: tokens and places name the order in which things must have happened. It is
//! lenient where a client cannot know (a request under way, a session that the store has not ended yet), so
//! what it reports is wrong beyond doubt.

mod check;
mod log;

pub use check::check;
pub use log::{GuardedWrite, Log, Look, Stamp, Stay};

use std::{fmt, time::Duration};

use lock_core::{ClaimId, FencingToken, LineId, LostReason, Mode, SessionId};

/// Something that a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the one clock of the history.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What a client did or saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A join or a try is about to be sent, perhaps again.
    JoinSent {
        /// Whose.
        claim: ClaimId,
        /// Where.
        line: LineId,
        /// For what.
        mode: Mode,
    },
    /// The store gave the claim a place.
    Joined {
        /// Whose.
        claim: ClaimId,
        /// Which.
        place: u64,
    },
    /// A try was answered: somebody was in line.
    TryFailed {
        /// Whose.
        claim: ClaimId,
    },
    /// A user has a guard, and it is valid.
    Granted {
        /// Whose.
        claim: ClaimId,
        /// Its token.
        token: FencingToken,
    },
    /// The user stops believing in the guard: it is about to be released, or it was lost.
    BeliefEnds {
        /// Whose.
        claim: ClaimId,
        /// Why, when it was lost.
        lost: Option<LostReason>,
    },
    /// A leave is about to be sent, perhaps again.
    LeaveSent {
        /// Whose.
        claim: ClaimId,
    },
    /// The store has answered a leave.
    Left {
        /// Whose.
        claim: ClaimId,
    },
    /// An operator is about to evict the claim.
    Evicted {
        /// Whose.
        claim: ClaimId,
    },
    /// The session's owner knows that it is over.
    SessionLost {
        /// Which.
        session: SessionId,
    },
    /// The store has ended the session; known from the store itself.
    SessionEnded {
        /// Which.
        session: SessionId,
    },
    /// A holder wrote a value that tokens protect, and this became of it.
    Wrote {
        /// To which line's value.
        line: LineId,
        /// Under which token.
        token: FencingToken,
        /// The version that it was to replace.
        replaced: u64,
        /// The version that it got; `None`: it was refused, or nobody knows.
        version: Option<u64>,
    },
    /// The store's own view of a line.
    Seen {
        /// Which line.
        line: LineId,
        /// Those who are granted.
        holders: Vec<(ClaimId, Mode, FencingToken)>,
    },
    /// A task's tick was completed.
    Completed {
        /// Of which task.
        line: LineId,
        /// Which tick.
        tick: u64,
    },
    /// At the end, when all is quiet, this claim is still in line.
    LeftBehind {
        /// Whose.
        claim: ClaimId,
    },
}

/// What must hold of every history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// No two grants of one line carry the same token.
    TokensUnique,
    /// Tokens of conflicting grants follow real time.
    TokensOrdered,
    /// The store itself never grants what conflicts.
    StoreExclusion,
    /// No two users believe to hold what conflicts, those apart who were evicted and have not heard of it.
    BeliefExclusion,
    /// Writes follow their tokens, and a tick is completed once.
    FencedWrites,
    /// Nobody is granted while one who conflicts waits ahead.
    Fifo,
    /// Nobody is granted after the end of their session.
    Posthumous,
    /// Nothing is left in line at the end.
    Orphans,
    /// Who was killed is gone from the line in time.
    Recovery,
    /// A holder learns in time that it holds no more.
    Notice,
    /// A try fails only if somebody who conflicts may have been in line.
    Tries,
    /// No guard is lost without a cause.
    Cause,
    /// The store serves no more calls than clients make.
    Cost,
    /// When all is quiet, everybody gets a turn.
    Progress,
}

impl Invariant {
    /// Its number among the invariants I1–I12 of the field's tests, or the clause of the contract.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::TokensUnique => "I1",
            Self::TokensOrdered => "I2",
            Self::StoreExclusion => "I3",
            Self::BeliefExclusion => "I4",
            Self::FencedWrites => "I5",
            Self::Fifo => "I6",
            Self::Posthumous => "I7",
            Self::Orphans => "I8",
            Self::Recovery => "I10",
            Self::Notice => "I11",
            Self::Tries => "C6",
            Self::Cause => "C12",
            Self::Cost => "C4",
            Self::Progress => "I12",
        }
    }
}

/// A history that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// When it was seen.
    pub at: Duration,
    /// How.
    pub how: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} at {:?}: {}", self.invariant.number(), self.invariant, self.at, self.how)
    }
}
