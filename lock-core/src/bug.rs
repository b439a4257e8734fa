//! Bugs that are seeded into this project's own code, one at a time, by a program that tests it: the suite, the
//! simulator or `lock-chaos` must find every one of them (`cargo xtask mutants`). In a build without the feature
//! `testkit` there is none, and what asks for one is compiled away.

use std::fmt;
#[cfg(feature = "testkit")]
use std::sync::OnceLock;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])* $name:ident in $part:ident,)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Bug { $($(#[doc = $doc])* $name,)* }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Where it is.
            #[must_use]
            pub const fn part(self) -> Part {
                match self {
                    $(Self::$name => Part::$part,)*
                }
            }

            /// What is wrong, in a sentence.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),*).trim(),)*
                }
            }
        }
    };
}

/// Whose code has the bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// What is written once over every store.
    Core,
    /// etcd's.
    Etcd,
    /// ZooKeeper's.
    ZooKeeper,
}

bugs! {
    /// A session has no deadline of its own: guards are valid until the store says otherwise.
    NoDeadline in Core,
    /// The deadline counts from when the answer to a renewal came, not from when the renewal was sent.
    DeadlineFromReply in Core,
    /// A guard turns invalid when a timer says so, not when the clock does.
    DeadlineByTimer in Core,
    /// While the store cannot be reached, a session has no deadline.
    ValidWhileSuspect in Core,
    /// A session that is lost is used on.
    SessionReused in Core,
    /// The clock is that of std, which stands still while the machine is suspended.
    StdClock in Core,
    /// A join whose answer was lost is not looked up when it is repeated.
    LostReplyForgotten in Etcd,
    /// A claim leaves without a look whether it is still in line.
    LeaveUnchecked in Etcd,
    /// A claim that withdraws does not tell the next one whom it stands behind now.
    WithdrawUnlinked in Etcd,
    /// A claim links behind another without a look whether that one is still in line.
    LinkUnchecked in Etcd,
    /// Watches that are resumed after a break go on from now, and nobody looks at what was missed.
    ResumedFromNow in Etcd,
    /// A stream of renewals that has broken is not begun anew.
    RenewalNotResumed in Etcd,
    /// The token is the number of the claim in its session.
    TokenOfSession in Etcd,
    /// The token is the sequence number of the claim's node.
    TokenFromSequence in ZooKeeper,
    /// When the one in front has gone, it is the next one's turn, whoever else is ahead.
    FrontGoneGrants in ZooKeeper,
    /// A create that was not answered is sent again without a look whether it has landed.
    CreateRepeated in ZooKeeper,
    /// The newest beat that was answered counts, whether or not the leader has heard of it.
    NewestBeatCounts in ZooKeeper,
}

/// Set once in a process, before anything is opened.
#[cfg(feature = "testkit")]
static SEEDED: OnceLock<Bug> = OnceLock::new();

impl Bug {
    /// Seeds it into this process, if none is: the first one stands.
    #[cfg(feature = "testkit")]
    pub fn seed(self) {
        let _the_first_stands = SEEDED.set(self);
    }

    /// Whether this process has it.
    #[cfg(feature = "testkit")]
    #[must_use]
    pub fn is_seeded(self) -> bool {
        SEEDED.get() == Some(&self)
    }

    /// Whether this process has it.
    #[cfg(not(feature = "testkit"))]
    #[must_use]
    pub const fn is_seeded(self) -> bool {
        false
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
