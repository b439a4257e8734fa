//! What each recipe adds to the contract (C18–C26), and recipes that are broken on purpose.
//!
//! Cases drive the recipes as users do, through coordinators of their own. With a [`Mutant`], all coordinators
//! of a case are broken in that way.

mod barrier;
mod group;
mod latch;

use std::pin::Pin;

use lock_core::{Mode, Mutant};

use super::{
    context::{Check, Context},
    report::Clause,
};

/// A case of a recipe.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) clause: Clause,
    pub(super) name: &'static str,
    /// The modes of the claims that it makes; the first says in which column it is reported.
    pub(super) modes: &'static [Mode],
    pub(super) run: for<'a> fn(&'a Context) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>,
}

/// The cases, in the order of the clauses.
pub(super) const CASES: [Case; 7] = [
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
];

/// The clause that a broken recipe breaks.
#[must_use]
pub const fn clause_of(mutant: Mutant) -> Clause {
    match mutant {
        Mutant::NotAgain => Clause::C22Group,
        Mutant::NotReady | Mutant::LeavesAlone => Clause::C23Barrier,
        Mutant::CountsTwice => Clause::C24Latch,
        _ => Clause::C18RwLock,
    }
}
