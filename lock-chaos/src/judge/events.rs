//! The history in the words of the checker.

use std::collections::HashMap;

use lock_check::history::{Event, Stay, What};
use yourturn::{ClaimId, FencingToken};

use super::{Case, story::Turn};

/// In the order of time.
pub(super) fn of(case: &Case<'_>) -> Vec<Event> {
    let stays: HashMap<ClaimId, &Stay> =
        case.truth.iter().flat_map(|it| &it.log.stays).map(|stay| (stay.claim, stay)).collect();
    let mut events = Vec::new();
    for turn in case.story.turns.iter().filter(|turn| turn.was_held()) {
        of_turn(case, turn, &stays, &mut events);
    }
    let end = case.story.end;
    for (line, [fenced, _]) in case.registers {
        let Some(line) = line.id() else { continue };
        for (write, version) in fenced.writes.iter().zip(1..) {
            let Ok(token) = FencingToken::new(write.token) else { continue };
            let what =
                What::Wrote { line: line.clone(), token, replaced: write.replaced, version: Some(version) };
            events.push(Event { at: end, what });
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// What a turn's claim did. Claims that were never granted are known to the store alone: its own log has them.
fn of_turn(
    case: &Case<'_>,
    turn: &Turn,
    stays: &HashMap<ClaimId, &Stay>,
    events: &mut Vec<Event>,
) -> Option<()> {
    let granted = turn.granted.as_ref()?;
    let (claim, token) = (granted.claim.parse().ok()?, FencingToken::new(granted.token).ok()?);
    let (line, mode) = (turn.line.id()?, turn.wish.into());
    let mut happens = |at, what| events.push(Event { at, what });
    happens(turn.sent, What::JoinSent { claim, line, mode });
    if let Some(stay) = stays.get(&claim).filter(|stay| stay.entered.latest < granted.at) {
        happens(stay.entered.latest, What::Joined { claim, place: stay.place });
    }
    happens(granted.at, What::Granted { claim, token });
    let until = turn.believed_until(&case.story.lives)?;
    happens(until, What::BeliefEnds { claim, lost: None });
    happens(until, What::LeaveSent { claim });
    if let Some(released) = turn.released {
        happens(released.max(until), What::Left { claim });
    }
    Some(())
}
