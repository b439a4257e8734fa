//! What each recipe adds to the contract (C18–C26), and recipes that are broken on purpose.
//!
//! Cases drive the recipes as users do, through coordinators of their own. With a [`Mutant`], all coordinators
//! of a case are broken in that way.

mod multi;
mod reentry;

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
pub(super) const CASES: [Case; 5] = [
    Case {
        clause: Clause::C20Reentry,
        name: "one turn",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(reentry::one_turn(context)),
    },
    Case {
        clause: Clause::C20Reentry,
        name: "another owner",
        modes: &[Mode::Exclusive],
        run: |context| Box::pin(reentry::another_owner(context)),
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
];

/// The clause that a broken recipe breaks.
#[must_use]
pub const fn clause_of(mutant: Mutant) -> Clause {
    match mutant {
        Mutant::ForgetsDepth => Clause::C20Reentry,
        Mutant::AnyOrder => Clause::C21MultiLock,
        _ => Clause::C18RwLock,
    }
}
