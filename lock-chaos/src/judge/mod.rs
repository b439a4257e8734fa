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

mod early;
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
    /// And sessions that it has ended while clients could count on them.
    pub(crate) early_ends: Vec<String>,
    /// What was violated by that.
    pub(crate) of_the_store: Vec<Violation>,
}

impl Case<'_> {
    pub(crate) fn judge(&self) -> Verdict {
        let (losses, early) = (losses::find(self), early::find(self));
        let mut violations = self.seen();
        let mut of_the_store = Vec::new();
        if !early.is_empty() {
            let story = early::let_go(self, &early);
            let without = Case { story: &story, ..*self }.seen();
            of_the_store.extend(violations.extract_if(.., |violation| !without.contains(violation)));
        }
        violations.extend(whole::check(self));
        let excused = |violation: &mut Violation| {
            losses.iter().any(|loss| (loss.from..=loss.to).contains(&violation.at))
        };
        of_the_store.extend(violations.extract_if(.., excused));
        for list in [&mut violations, &mut of_the_store] {
            list.sort_by_key(|violation| violation.at);
        }
        let early_ends = early.iter().map(ToString::to_string).collect();
        Verdict { violations, losses, early_ends, of_the_store }
    }

    /// What is wrong with what clients saw.
    fn seen(&self) -> Vec<Violation> {
        let lingering = self.ttl * 2 + self.story.slack;
        let mut violations = history::check(&events::of(self), lingering);
        if let Some(truth) = self.truth {
            violations.extend(truth.log.check(&looks(self.story)));
        }
        violations
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
