//! The conformance suite: one named case for each clause and mode.
//!
//! A case checks its own clause and nothing else, so that what fails says what is wrong: it tolerates a store that breaks another clause.
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
mod grants;
mod lines;
mod losses;
mod report;
mod requests;

pub use report::{Clause, Outcome, Report};

use std::pin::Pin;

use context::{Check, Context, Stop};
use lock_core::Mode;

use crate::harness::Harness;

type Case = for<'a> fn(&'a Context, Mode) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>;

/// The cases, in the order of the clauses.
const CASES: [(Clause, Case); 17] = [
    (Clause::C1Exclusion, |context, mode| Box::pin(grants::exclusion(context, mode))),
    (Clause::C2Fifo, |context, mode| Box::pin(grants::fifo(context, mode))),
    (Clause::C3Fencing, |context, mode| Box::pin(grants::fencing(context, mode))),
    (Clause::C4OneWake, |context, mode| Box::pin(requests::one_wake(context, mode))),
    (Clause::C5Cancellation, |context, mode| Box::pin(lines::cancellation(context, mode))),
    (Clause::C6Try, |context, mode| Box::pin(grants::tries(context, mode))),
    (Clause::C7Lost, |context, mode| Box::pin(losses::lost(context, mode))),
    (Clause::C8Recovery, |context, mode| Box::pin(losses::recovery(context, mode))),
    (Clause::C9LostReply, |context, mode| Box::pin(requests::lost_reply(context, mode))),
    (Clause::C10Posthumous, |context, mode| Box::pin(losses::posthumous(context, mode))),
    (Clause::C11Names, |context, mode| Box::pin(lines::names(context, mode))),
    (Clause::C12Release, |context, mode| Box::pin(lines::release(context, mode))),
    (Clause::C13Errors, |context, mode| Box::pin(requests::errors(context, mode))),
    (Clause::C14Drop, |context, mode| Box::pin(losses::drops(context, mode))),
    (Clause::C15Capability, |context, mode| Box::pin(requests::capability(context, mode))),
    (Clause::C16Close, |context, mode| Box::pin(lines::close(context, mode))),
    (Clause::C17Cells, |context, mode| Box::pin(cells::cells(context, mode))),
];

/// A claim in each mode that the contract knows.
pub const MODES: [Mode; 4] =
    [Mode::Exclusive, Mode::Shared, Mode::Permits { count: 2, limit: 3 }, Mode::Present];

/// Runs every case on a store of its own.
pub async fn run(harness: &dyn Harness) -> Report {
    let mut report = Report::default();
    for (clause, case) in CASES {
        for mode in MODES {
            let outcome = run_case(harness, clause, case, mode).await;
            report.add(clause, mode, outcome);
        }
    }
    report
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
    match context.within_patience(check).await {
        Ok(()) => Outcome::Passed,
        Err(Stop::Failed(why)) => Outcome::Failed(why),
        Err(Stop::Unsupported(why)) => Outcome::Unsupported(why),
    }
}
