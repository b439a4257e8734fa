//! The conformance suite: named cases for each clause, run for each mode.
//!
//! A case checks its own clause and nothing else, so that what fails says what is wrong: it tolerates a store
//! that breaks another clause.
//!
//! ```no_run
//! # async fn example() {
//! use lock_testkit::{memory::MemoryHarness, suite};
//!
//! let report = suite::run(&MemoryHarness::default()).await;
//! println!("{report}");
//! assert_eq!(report.failures(), []);
//! # }
//! ```

mod cells;
mod context;
mod exclusion;
mod grants;
mod lines;
mod losses;
mod observers;
mod recipes;
mod report;
mod requests;

pub use recipes::clause_of;
pub use report::{Outcome, Report};

use std::pin::Pin;

use context::{Check, Context, Stop};
use futures_util::{StreamExt, stream};
use lock_check::Clause;
use lock_core::{Mode, Mutant};

use crate::harness::Harness;

type Case = for<'a> fn(&'a Context, Mode) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// The cases, in the order of the clauses.
const CASES: [(Clause, &str, Case); 25] = [
    (Clause::C1Exclusion, "rivals", |context, mode| Box::pin(exclusion::rivals(context, mode))),
    (Clause::C1Exclusion, "behind a third", |context, mode| {
        Box::pin(exclusion::behind_a_third(context, mode))
    }),
    (Clause::C1Exclusion, "those who leave the middle", |context, mode| {
        Box::pin(exclusion::middle(context, mode))
    }),
    (Clause::C1Exclusion, "one that weakens its mode", |context, mode| {
        Box::pin(exclusion::weakened(context, mode))
    }),
    (Clause::C2Fifo, "turns", |context, mode| Box::pin(grants::fifo(context, mode))),
    (Clause::C3Fencing, "tokens", |context, mode| Box::pin(grants::fencing(context, mode))),
    (Clause::C3Fencing, "what observers see", |context, mode| Box::pin(observers::observed(context, mode))),
    (Clause::C3Fencing, "over a restart", |context, mode| {
        Box::pin(grants::fencing_over_a_restart(context, mode))
    }),
    (Clause::C4OneWake, "a release", |context, mode| Box::pin(requests::one_wake(context, mode))),
    (Clause::C5Cancellation, "dropped acquires", |context, mode| {
        Box::pin(lines::cancellation(context, mode))
    }),
    (Clause::C6Try, "tries", |context, mode| Box::pin(grants::tries(context, mode))),
    (Clause::C6Try, "a try that is repeated", |context, mode| {
        Box::pin(grants::repeated_tries(context, mode))
    }),
    (Clause::C7Lost, "the deadline", |context, mode| Box::pin(losses::lost(context, mode))),
    (Clause::C7Lost, "a suspended machine", |context, mode| Box::pin(losses::suspended(context, mode))),
    (Clause::C8Recovery, "crashes", |context, mode| Box::pin(losses::recovery(context, mode))),
    (Clause::C8Recovery, "calls that nobody polls", |context, mode| {
        Box::pin(losses::unpolled(context, mode))
    }),
    (Clause::C9LostReply, "replies", |context, mode| Box::pin(requests::lost_reply(context, mode))),
    (Clause::C10Posthumous, "a session that ended", |context, mode| {
        Box::pin(losses::posthumous(context, mode))
    }),
    (Clause::C11Names, "names and kinds", |context, mode| Box::pin(lines::names(context, mode))),
    (Clause::C12Release, "releases", |context, mode| Box::pin(lines::release(context, mode))),
    (Clause::C13Errors, "context and effect", |context, mode| Box::pin(requests::errors(context, mode))),
    (Clause::C14Drop, "guards", |context, mode| Box::pin(losses::drops(context, mode))),
    (Clause::C15Capability, "modes", |context, mode| Box::pin(requests::capability(context, mode))),
    (Clause::C16Close, "sessions", |context, mode| Box::pin(lines::close(context, mode))),
    (Clause::C17Cells, "writes", |context, mode| Box::pin(cells::cells(context, mode))),
];

/// A claim in each mode that the contract knows.
pub const MODES: [Mode; 4] =
    [Mode::Exclusive, Mode::Shared, Mode::Permits { count: 2, limit: 3 }, Mode::Present];

/// How many cases there are of a store, each run in every mode.
pub const OF_STORES: usize = CASES.len();

/// How many outcomes a report has: a case of a store in each mode, a case of a recipe once.
pub const OUTCOMES: usize = OF_STORES * MODES.len() + recipes::CASES.len();

/// How many of the recipes' cases a store can pass that has exclusive claims alone.
pub const EXCLUSIVE_RECIPES: usize = recipes::exclusive();

/// Runs every case on a store of its own.
pub async fn run(harness: &dyn Harness) -> Report {
    run_with(harness, None).await
}

/// As [`run`], with recipes that are broken in this way. For tests of the suite itself.
pub async fn run_broken(harness: &dyn Harness, mutant: Mutant) -> Report {
    run_with(harness, Some(mutant)).await
}

/// One case in one mode.
struct Trial {
    clause: Clause,
    name: &'static str,
    mode: Mode,
    /// The modes that the store must declare for it.
    needs: &'static [Mode],
    check: Run,
}

enum Run {
    InMode(Case),
    Recipe(recipes::Case),
}

fn trials() -> impl Iterator<Item = Trial> {
    let of_stores = CASES.into_iter().flat_map(|(clause, name, case)| {
        MODES.iter().map(move |mode| {
            // C15 is what holds a store to the modes that it does not declare.
            let needs = if clause == Clause::C15Capability { &[] } else { std::slice::from_ref(mode) };
            Trial { clause, name, mode: *mode, needs, check: Run::InMode(case) }
        })
    });
    let of_recipes = recipes::CASES.into_iter().map(|case| Trial {
        clause: case.clause,
        name: case.name,
        mode: case.modes.first().copied().unwrap_or(Mode::Exclusive),
        needs: case.modes,
        check: Run::Recipe(case),
    });
    of_stores.chain(of_recipes)
}

async fn run_with(harness: &dyn Harness, mutant: Option<Mutant>) -> Report {
    lock_check::bug::seed();
    let outcomes = stream::iter(trials().enumerate()).map(|(number, trial)| async move {
        let outcome = run_trial(harness, &trial, mutant).await;
        (number, trial, outcome)
    });
    // Unordered: behind a case that takes long, the others go on.
    let mut outcomes: Vec<_> = outcomes.buffer_unordered(harness.at_once()).collect().await;
    outcomes.sort_by_key(|(number, ..)| *number);
    let mut report = Report::default();
    for (_, trial, outcome) in outcomes {
        report.add(trial.clause, trial.name, trial.mode, outcome);
    }
    report
}

/// One case on a store of its own.
async fn run_trial(harness: &dyn Harness, trial: &Trial, mutant: Option<Mutant>) -> Outcome {
    let store = match harness.store().await {
        Ok(store) => store,
        Err(error) => return Outcome::Failed(format!("there is no store: {error}")),
    };
    let context = Context::new(store, mutant);
    let check = async {
        for mode in trial.needs {
            let declared = match trial.check {
                Run::InMode(_) => context.declares(*mode).await?,
                Run::Recipe(_) => context.has_recipes_of(*mode).await?,
            };
            if !declared {
                return Err(Stop::Unsupported(format!(
                    "the store does not declare {mode} claims; C15 holds it to that"
                )));
            }
        }
        match &trial.check {
            Run::InMode(case) => case(&context, trial.mode).await,
            Run::Recipe(case) => (case.run)(&context).await,
        }
    };
    let outcome = context.within_patience(check).await;
    context.store.finish().await;
    match outcome {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(why)) => Outcome::Failed(why),
        Err(Stop::Unsupported(why)) => Outcome::Unsupported(why),
    }
}
