//! What became of each case.

use std::{collections::BTreeMap, fmt};

use lock_check::Clause;
use lock_core::Mode;

use super::MODES;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The clause was held.
    Passed,
    /// The store or its harness cannot show it; why. No pass.
    Unsupported(String),
    /// The clause was broken; how.
    Failed(String),
}

/// What became of every case.
#[derive(Clone, Debug, Default)]
pub struct Report {
    outcomes: BTreeMap<(Clause, &'static str), Vec<(Mode, Outcome)>>,
}

impl Report {
    pub(super) fn add(&mut self, clause: Clause, case: &'static str, mode: Mode, outcome: Outcome) {
        self.outcomes.entry((clause, case)).or_default().push((mode, outcome));
    }

    /// The cases that failed, with the reason.
    #[must_use]
    pub fn failures(&self) -> Vec<(Clause, Mode, &str)> {
        self.reasons(|outcome| if let Outcome::Failed(why) = outcome { Some(why) } else { None })
    }

    /// The cases that could not be shown, with the reason.
    #[must_use]
    pub fn unsupported(&self) -> Vec<(Clause, Mode, &str)> {
        self.reasons(|outcome| if let Outcome::Unsupported(why) = outcome { Some(why) } else { None })
    }

    /// How many cases passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.outcomes.values().flatten().filter(|(_, outcome)| *outcome == Outcome::Passed).count()
    }

    fn reasons<'a>(
        &'a self,
        pick: impl Fn(&'a Outcome) -> Option<&'a String>,
    ) -> Vec<(Clause, Mode, &'a str)> {
        let cases = self
            .outcomes
            .iter()
            .flat_map(|((clause, _), modes)| modes.iter().map(move |case| (clause, case)));
        cases
            .filter_map(|(clause, (mode, outcome))| Some((*clause, *mode, pick(outcome)?.as_str())))
            .collect()
    }
}

/// A row for each case, a column for each mode (a case of a recipe has one), and then the reasons.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44}", "clause")?;
        for mode in MODES {
            write!(f, "{:<16}", mode.to_string())?;
        }
        for ((clause, case), outcomes) in &self.outcomes {
            write!(f, "\n{:<44}", format!("{clause}: {case}"))?;
            for mode in MODES {
                let word = match outcomes.iter().find(|(in_mode, _)| *in_mode == mode) {
                    Some((_, Outcome::Passed)) => "pass",
                    Some((_, Outcome::Unsupported(_))) => "unsupported",
                    Some((_, Outcome::Failed(_))) => "FAIL",
                    None => "",
                };
                write!(f, "{word:<16}")?;
            }
        }
        for (word, cases) in [("FAIL", self.failures()), ("unsupported", self.unsupported())] {
            for (clause, mode, why) in cases {
                write!(f, "\n{word}: {clause}, {mode}: {why}")?;
            }
        }
        Ok(())
    }
}
