//! What a store promises, as enums that a test can hold it to (clause C15).

use std::time::Duration;

use crate::{
    error::{Error, ErrorKind, Result},
    line::Mode,
    name::Kind,
};

/// In which order waiting claims are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fairness {
    /// In no order that is promised.
    Unordered,
    /// In ticket order, always (clause C2).
    StrictFifo,
}

/// How a store notices that a holder died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Liveness {
    /// It was not renewed for its ttl.
    Lease,
    /// Its connection broke, or stayed silent.
    Connection,
    /// The kernel of the machine says so, at once.
    Kernel,
}

/// How far a line's tokens keep rising. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TokenScope {
    /// As long as the process lives.
    Process,
    /// Until the machine reboots.
    Boot,
    /// Across restarts of the store.
    Durable,
    /// Across restarts, and across failover to another member of it.
    Failover,
}

/// What the store's answers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// Usually right; after a failover two claims may hold. Check tokens at the resource.
    Advisory,
    /// Every operation takes effect at one point between call and reply.
    Linearizable,
}

/// How a waiting claim learns that its turn has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WakeUp {
    /// It asks from time to time.
    Poll,
    /// It is told.
    Push,
}

/// The [`Mode`]s that a store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Modes {
    /// [`Mode::Exclusive`] only, and no read-write locks.
    Exclusive,
    /// As [`Exclusive`](Self::Exclusive), and read-write locks, in which there are [`Mode::Shared`] claims too.
    ReadWrite,
    /// Every mode.
    All,
}

impl Modes {
    /// Whether claims in this mode can be made in lines of this kind.
    #[must_use]
    pub fn include(self, kind: Kind, mode: Mode) -> bool {
        match (self, kind, mode) {
            (Self::All, ..) | (Self::ReadWrite, Kind::RwLock, Mode::Shared | Mode::Exclusive) => true,
            (_, Kind::RwLock, _) => false,
            (_, _, mode) => mode == Mode::Exclusive,
        }
    }
}

/// What is made of claims in this mode.
fn kind_of(mode: Mode) -> Kind {
    match mode {
        Mode::Exclusive => Kind::Mutex,
        Mode::Shared => Kind::RwLock,
        Mode::Permits { .. } => Kind::Semaphore,
        Mode::Present => Kind::Group,
    }
}

/// Which lines of a store are independent of one another (clause C11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Names {
    /// Names lie in the store as they are, because other programs use the same ones: all kinds share them,
    /// and one name must not lie inside another (`a/b` inside `a`). A session refuses to use two that
    /// would be in each other's way ([`ErrorKind::InvalidName`]).
    Raw,
    /// Any two names, and any two kinds.
    Independent,
}

/// What one session's store promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The order of grants.
    pub fairness: Fairness,
    /// How death is noticed.
    pub liveness: Liveness,
    /// How much later than the ttl a dead holder's claim may go, when the store itself is well and keeps its
    /// leader (clause C8).
    pub recovery_slack: Duration,
    /// How far tokens keep rising.
    pub tokens: TokenScope,
    /// What answers mean.
    pub consistency: Consistency,
    /// How waiters are woken.
    pub wake_up: WakeUp,
    /// The modes that claims can have.
    pub modes: Modes,
    /// Which lines are independent of one another.
    pub names: Names,
    /// The longest time that one claim can be held; `None`: no limit.
    pub longest_hold: Option<Duration>,
}

impl Capabilities {
    /// The strongest promises; a store weakens what it cannot keep.
    #[must_use]
    pub const fn strongest() -> Self {
        Self {
            fairness: Fairness::StrictFifo,
            liveness: Liveness::Lease,
            recovery_slack: Duration::ZERO,
            tokens: TokenScope::Failover,
            consistency: Consistency::Linearizable,
            wake_up: WakeUp::Push,
            modes: Modes::All,
            names: Names::Independent,
            longest_hold: None,
        }
    }

    /// Refuses a store that promises less than `needed`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`], with what is needed and what there is.
    pub fn require(&self, needed: Requirement) -> Result<()> {
        let missing = |have: &dyn std::fmt::Debug| {
            Err(Error::new(ErrorKind::Unsupported, format!("{needed:?} is required, the store has {have:?}")))
        };
        match needed {
            Requirement::Fairness(least) if self.fairness < least => missing(&self.fairness),
            Requirement::Tokens(least) if self.tokens < least => missing(&self.tokens),
            Requirement::Consistency(least) if self.consistency < least => missing(&self.consistency),
            Requirement::WakeUp(least) if self.wake_up < least => missing(&self.wake_up),
            Requirement::Mode(mode) if !self.modes.include(kind_of(mode), mode) => missing(&self.modes),
            Requirement::Names(least) if self.names < least => missing(&self.names),
            Requirement::Hold(least) if self.longest_hold.is_some_and(|longest| longest < least) => {
                missing(&self.longest_hold)
            }
            _ => Ok(()),
        }
    }
}

/// What a user cannot live without; see [`Coordinator::require`](crate::Coordinator::require).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// Grants in at least this order.
    Fairness(Fairness),
    /// Tokens that rise at least this far.
    Tokens(TokenScope),
    /// Answers that mean at least this.
    Consistency(Consistency),
    /// Waiters woken at least like this.
    WakeUp(WakeUp),
    /// What is made of claims in this mode: mutexes, read-write locks, semaphores, groups.
    Mode(Mode),
    /// Lines that are at least this independent.
    Names(Names),
    /// Claims that can be held this long.
    Hold(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c15_a_requirement_is_met_by_as_much_or_more_and_refused_by_less() {
        let weak = Capabilities {
            fairness: Fairness::Unordered,
            tokens: TokenScope::Boot,
            consistency: Consistency::Advisory,
            wake_up: WakeUp::Poll,
            modes: Modes::Exclusive,
            names: Names::Raw,
            longest_hold: Some(Duration::from_mins(1)),
            ..Capabilities::strongest()
        };
        let met = [Requirement::Tokens(TokenScope::Process), Requirement::Hold(Duration::from_secs(60))];
        let refused = [
            Requirement::Fairness(Fairness::StrictFifo),
            Requirement::Tokens(TokenScope::Durable),
            Requirement::Consistency(Consistency::Linearizable),
            Requirement::WakeUp(WakeUp::Push),
            Requirement::Mode(Mode::Shared),
            Requirement::Names(Names::Independent),
            Requirement::Hold(Duration::from_secs(61)),
        ];
        for needed in met {
            assert!(weak.require(needed).is_ok(), "{needed:?}");
        }
        for needed in refused {
            assert_eq!(weak.require(needed).unwrap_err().kind(), ErrorKind::Unsupported, "{needed:?}");
            assert!(Capabilities::strongest().require(needed).is_ok(), "{needed:?}");
        }
    }

    #[test]
    fn c15_shared_claims_may_be_those_of_read_write_locks_alone() {
        let permits = Mode::Permits { count: 1, limit: 1 };
        let cases = [
            (Modes::Exclusive, [true, false, false, false]),
            (Modes::ReadWrite, [true, true, false, false]),
            (Modes::All, [true; 4]),
        ];
        for (modes, included) in cases {
            let asked = [Mode::Exclusive, Mode::Shared, permits, Mode::Present];
            assert_eq!(asked.map(|mode| modes.include(kind_of(mode), mode)), included, "{modes:?}");
            assert_eq!(modes.include(Kind::Mutex, Mode::Shared), modes == Modes::All);
            // One in which nobody may read is none.
            assert_eq!(modes.include(Kind::RwLock, Mode::Exclusive), modes != Modes::Exclusive);
        }
    }
}
