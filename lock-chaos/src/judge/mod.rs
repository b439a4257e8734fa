//! Whether a history can have come from a store that keeps the contract: what the checker of histories says,
//! what the store's own log says, and what only a whole run can show.
//!
//! | | what must hold | held by |
//! |---|---|---|
//! | I1 | no token is granted twice | `history::check` |
//! | I2 | tokens of conflicting grants follow real time | `history::check` |
//! | I3 | the store admits nobody beside a holder who conflicts | `history::Log` |
//! | I4 | no two guards that conflict are valid at once | both; a belief ends with its deadline, also for who stands still |
//! | I5 | what was acknowledged is there, once, in the order of tokens; what was refused is not | `history::check`, `history::Log`, `whole` |
//! | I6 | grants follow places | both |
//! | I7 | no guard is valid before its claim is in line or after it is gone | `history::Log` |
//! | I8 | whoever is in line is wanted, and came once; nothing is left in the end | `whole` |
//! | I9 | a release wakes one claim | not here: the conformance suite counts requests (C4) |
//! | I10 | who was killed is gone in time | `whole`, where nothing else is broken; the report has the rest |
//! | I11 | a holder learns in time that it holds no more, at its first look when it was stopped | `whole` |
//! | I12 | in a quiet phase everybody is served | `whole` |

mod events;
mod losses;
pub(crate) mod story;
mod whole;

pub(crate) use self::whole::{claim_of, was_stopped};

use std::{collections::BTreeMap, time::Duration};

use lock_check::history::{self, Look, Violation};

pub(crate) use self::losses::Loss;
use self::story::Story;
use crate::{record::Line, register::Register, truth::Truth};

/// All that is known of a run.
pub(crate) struct Case<'a> {
    pub(crate) story: &'a Story,
    pub(crate) registers: &'a BTreeMap<Line, [Register; 2]>,
    /// None: the store is in this process, and writes nothing down.
    pub(crate) truth: Option<&'a Truth>,
    /// What sessions have left behind, once all were closed and those who were killed have run out.
    pub(crate) left: &'a [String],
    pub(crate) ttl: Duration,
}

/// What is wrong, in the order of time.
pub(crate) struct Verdict {
    /// With the library, as far as anybody can tell.
    pub(crate) violations: Vec<Violation>,
    /// With the store: what it is proved to have lost. That its servers say that their data differ excuses nothing.
    pub(crate) losses: Vec<Loss>,
    /// What was violated while it did.
    pub(crate) of_the_store: Vec<Violation>,
}

impl Case<'_> {
    pub(crate) fn judge(&self) -> Verdict {
        let lingering = self.ttl * 2 + self.story.slack;
        let mut violations = history::check(&events::of(self), lingering);
        if let Some(truth) = self.truth {
            violations.extend(truth.log.check(&looks(self.story)));
        }
        violations.extend(whole::check(self));
        violations.sort_by_key(|violation| violation.at);
        let losses = losses::find(self);
        let excused =
            |violation: &Violation| losses.iter().any(|loss| (loss.from..=loss.to).contains(&violation.at));
        let (of_the_store, violations) = violations.into_iter().partition(excused);
        Verdict { violations, losses, of_the_store }
    }
}

/// All guards that were found valid.
fn looks(story: &Story) -> Vec<Look> {
    let of_turns = story.turns.iter().filter_map(|turn| {
        let claim = turn.granted.as_ref()?.claim.parse().ok()?;
        let looks = turn.looks.iter().filter(|look| look.valid);
        Some(looks.map(move |look| Look { claim, before: look.at, after: look.at + look.took }))
    });
    of_turns.flatten().collect()
}
