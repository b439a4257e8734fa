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
//! assert!(report.failures().is_empty());
//! # }
//! ```

mod cells;
mod context;
mod exclusion;
mod grants;
mod lines;
mod losses;
mod observers;
mod report;
mod requests;

pub use report::{Clause, Outcome, Report};

use std::pin::Pin;

use context::{Check, Context, Stop};
use futures_util::{StreamExt, stream};
use lock_core::Mode;

use crate::harness::Harness;

type Case = for<'a> fn(&'a Context, Mode) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// The cases, in the order of the clauses.
const CASES: [(Clause, &str, Case); 23] = [
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
    (Clause::C7Lost, "the deadline", |context, mode| Box::pin(losses::lost(context, mode))),
    (Clause::C7Lost, "a suspended machine", |context, mode| Box::pin(losses::suspended(context, mode))),
    (Clause::C8Recovery, "crashes", |context, mode| Box::pin(losses::recovery(context, mode))),
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

/// Runs every case on a store of its own.
pub async fn run(harness: &dyn Harness) -> Report {
    let cases = CASES.into_iter().flat_map(|case| MODES.map(|mode| (case, mode)));
    let outcomes = stream::iter(cases).map(|((clause, name, case), mode)| async move {
        (clause, name, mode, run_case(harness, clause, case, mode).await)
    });
    let collect = |mut report: Report, (clause, name, mode, outcome)| async move {
        report.add(clause, name, mode, outcome);
        report
    };
    outcomes.buffered(harness.at_once()).fold(Report::default(), collect).await
}

async fn run_case(harness: &dyn Harness, clause: Clause, case: Case, mode: Mode) -> Outcome {
    let store = match harness.store().await {
        Ok(store) => store,
        Err(error) => return Outcome::Failed(format!("there is no store: {error}")),
    };
    let context = Context::new(store);
    let check = async {
        if clause != Clause::C15Capability && !context.declares(mode).await? {
            return Err(Stop::Unsupported(
                "the store does not declare this mode; C15 holds it to that".to_owned(),
            ));
        }
        case(&context, mode).await
    };
    let outcome = context.within_patience(check).await;
    context.store.finish().await;
    match outcome {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(why)) => Outcome::Failed(why),
        Err(Stop::Unsupported(why)) => Outcome::Unsupported(why),
    }
}
