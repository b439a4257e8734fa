//! What each recipe adds to the contract (C18–C26), and recipes that are broken on purpose.
//!
//! Cases drive the recipes as users do, through coordinators of their own. With a [`Mutant`], all coordinators
//! of a case are broken in that way.

mod barrier;
mod cap;
mod delay;
mod group;
mod latch;
mod multi;
mod reentry;
mod rwlock;
mod semaphore;

use std::pin::Pin;

use lock_check::Clause;
use lock_core::{Mode, Mutant};

use super::context::{Check, Context};

/// A case of a recipe.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) clause: Clause,
    pub(super) name: &'static str,
    /// The modes of the claims that it makes; the first says in which column it is reported.
    pub(super) modes: &'static [Mode],
    pub(super) run: for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>,
}

/// How many need no other than exclusive claims.
pub(super) const fn exclusive() -> usize {
    let (mut count, mut cases) = (0, CASES.as_slice());
    while let [case, rest @ ..] = cases {
        if let [Mode::Exclusive] = case.modes {
            count += 1;
        }
        cases = rest;
    }
    count
}

/// The cases, in the order of the clauses.
pub(super) const CASES: [Case; 23] = [
    Case {
        clause: Clause::C18RwLock,
        name: "readers, and a writer who waits",
        modes: &[Mode::Shared, Mode::Exclusive],
        run: |context| Box::pin(rwlock::turns(context)),
    },
    Case {
        clause: Clause::C18RwLock,
        name: "tokens",
        modes: &[Mode::Shared, Mode::Exclusive],
        run: |context| Box::pin(rwlock::tokens(context)),
    },
    Case {
        clause: Clause::C18RwLock,
        name: "a writer who becomes a reader",
        modes: &[Mode::Shared, Mode::Exclusive],
        run: |context| Box::pin(rwlock::downgrades(context)),
    },
    Case {
        clause: Clause::C18RwLock,
        name: "what a release costs",
        modes: &[Mode::Shared, Mode::Exclusive],
        run: |context| Box::pin(rwlock::cost(context)),
    },
    Case {
        clause: Clause::C19Semaphore,
        name: "one who asks for many",
        modes: &[PERMITS],
        run: |context| Box::pin(semaphore::by_weight(context)),
    },
    Case {
        clause: Clause::C19Semaphore,
        name: "those who disagree",
        modes: &[PERMITS],
        run: |context| Box::pin(semaphore::disagreement(context)),
    },
    Case {
        clause: Clause::C19Semaphore,
        name: "another size",
        modes: &[PERMITS],
        run: |context| Box::pin(semaphore::resizes(context)),
    },
    Case {
        clause: Clause::C19Semaphore,
        name: "what a release costs",
        modes: &[PERMITS],
        run: |context| Box::pin(semaphore::cost(context)),
    },
    Case {
        clause: Clause::C20Reentry,
        name: "another owner",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(reentry::another_owner(context)),
    },
    Case {
        clause: Clause::C20Reentry,
        name: "one turn",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(reentry::one_turn(context)),
    },
    Case {
        clause: Clause::C21MultiLock,
        name: "opposite orders",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(multi::opposite_orders(context)),
    },
    Case {
        clause: Clause::C21MultiLock,
        name: "all or nothing",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(multi::all_or_nothing(context)),
    },
    Case {
        clause: Clause::C21MultiLock,
        name: "two coordinators",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(multi::coordinators(context)),
    },
    Case {
        clause: Clause::C22Group,
        name: "views",
        modes: &[Mode::Present],
        run: |context| Box::pin(group::views(context)),
    },
    Case {
        clause: Clause::C22Group,
        name: "a member whose session was lost",
        modes: &[Mode::Present],
        run: |context| Box::pin(group::returns(context)),
    },
    Case {
        clause: Clause::C23Barrier,
        name: "one that is fast",
        modes: &[Mode::Present],
        run: |context| Box::pin(barrier::fast(context)),
    },
    Case {
        clause: Clause::C23Barrier,
        name: "one that crashes",
        modes: &[Mode::Present],
        run: |context| Box::pin(barrier::crash(context)),
    },
    Case {
        clause: Clause::C23Barrier,
        name: "in and out",
        modes: &[Mode::Present],
        run: |context| Box::pin(barrier::double(context)),
    },
    Case {
        clause: Clause::C24Latch,
        name: "lost replies",
        modes: &[Mode::Present],
        run: |context| Box::pin(latch::once(context)),
    },
    Case {
        clause: Clause::C24Latch,
        name: "those who wait",
        modes: &[Mode::Present],
        run: |context| Box::pin(latch::wakes(context)),
    },
    Case {
        clause: Clause::C25LockDelay,
        name: "after an unclean end",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(delay::unclean_ends(context)),
    },
    Case {
        clause: Clause::C25LockDelay,
        name: "after a clean end",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(delay::clean_ends(context)),
    },
    Case {
        clause: Clause::C26QueueCap,
        name: "one too many",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(cap::one_too_many(context)),
    },
];

/// The mode by which permits are reported.
const PERMITS: Mode = Mode::Permits { count: 2, limit: 3 };
/// The clause that a broken recipe breaks.
#[must_use]
pub const fn clause_of(mutant: Mutant) -> Clause {
    match mutant {
        Mutant::ReaderOvertakes => Clause::C18RwLock,
        Mutant::AnyLimit => Clause::C19Semaphore,
        Mutant::ForgetsDepth => Clause::C20Reentry,
        Mutant::AnyOrder => Clause::C21MultiLock,
        Mutant::NotAgain => Clause::C22Group,
        Mutant::NotReady | Mutant::LeavesAlone => Clause::C23Barrier,
        Mutant::CountsTwice => Clause::C24Latch,
        Mutant::NoDelay | Mutant::DelayAfterRelease => Clause::C25LockDelay,
        Mutant::NoCap => Clause::C26QueueCap,
        // There is an arm for each; other crates must have one for those to come.
        _ => unreachable!(),
    }
}
