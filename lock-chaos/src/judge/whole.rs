//! What only a whole run can show.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use lock_check::history::{Invariant, Stay, Violation};
use yourturn::ClaimId;

use super::{
    Case,
    story::{Looked, Turn},
};
use crate::record::Fate;

/// How late a process on a busy machine may be, without having been stopped.
const BUSY: Duration = Duration::from_millis(1500);

/// A claim that nobody wants is gone within this, when all is quiet.
const SETTLED: Duration = Duration::from_secs(2);

pub(super) fn check(case: &Case<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    progress(case, &mut violations);
    notices(case, &mut violations);
    writes(case, &mut violations);
    recoveries(case, &mut violations);
    orphans(case, &mut violations);
    violations
}

fn violated(violations: &mut Vec<Violation>, invariant: Invariant, at: Duration, how: String) {
    violations.push(Violation { invariant, at, how });
}

/// At the end of a quiet phase, whoever asked before it has had an answer. What the next fault brings is none:
/// it may be that only the fault has brought it.
fn progress(case: &Case<'_>, violations: &mut Vec<Violation>) {
    for (from, to) in &case.story.calms {
        for turn in case.story.turns.iter().filter(|turn| turn.sent < *from) {
            let killed = case.story.lives.get(&turn.client).and_then(|life| life.killed);
            let granted = turn.granted.as_ref().map(|granted| granted.at);
            if granted.or(turn.over).or(killed).is_some_and(|answered| answered <= *to) {
                continue;
            }
            let how = format!(
                "{}: {} has waited since {:?}, and through all of a quiet phase ({from:?} to {to:?})",
                turn.line, turn.client, turn.sent
            );
            violated(violations, Invariant::Progress, *to, how);
        }
        idle(case, *from, *to, violations);
    }
    for (client, life) in &case.story.lives {
        if let Some(at) = life.stuck {
            let how = format!("{client} was to finish, and has not while all was quiet");
            violated(violations, Invariant::Progress, at, how);
        }
    }
}

/// Whoever lives all through a quiet phase is granted a turn in it. What fails, is refused or is given up shows
/// no progress, and most calls wait for as long as it takes.
fn idle(case: &Case<'_>, from: Duration, to: Duration, violations: &mut Vec<Violation>) {
    let during = |turn: &&Turn| turn.granted.as_ref().is_some_and(|it| (from..=to).contains(&it.at));
    let busy: HashSet<_> = case.story.turns.iter().filter(during).map(|turn| turn.client).collect();
    let lives = case.story.lives.iter().filter(|(_, life)| life.killed.is_none_or(|killed| killed > to));
    for (client, _) in lives.filter(|(client, life)| life.started < from && !busy.contains(client)) {
        let how = format!("{client} had no turn in a quiet phase ({from:?} to {to:?})");
        violated(violations, Invariant::Progress, to, how);
    }
}

/// Who was stopped beyond the deadline sees it at the first look; who was not is told in time.
fn notices(case: &Case<'_>, violations: &mut Vec<Violation>) {
    for turn in &case.story.turns {
        // One who was late without having been stopped may have renewed meanwhile.
        let stood_still = |at| was_stopped(case, turn, at);
        let wrong = |look: &&Looked| look.valid && look.late > case.ttl && stood_still(look.at);
        if let Some(look) = turn.looks.iter().find(wrong) {
            let how = format!(
                "{}: the guard of {} was valid after its process had stood still for {:?}",
                turn.line, turn.client, look.late
            );
            violated(violations, Invariant::Notice, look.at, how);
        }
        let Some(ended) = &turn.ended else { continue };
        let late = ended.lost.is_some() && ended.at > ended.deadline + BUSY;
        if late && !was_stopped(case, turn, ended.deadline) {
            let how = format!(
                "{}: {} was told at {:?} that its guard had ended by {:?}",
                turn.line, turn.client, ended.at, ended.deadline
            );
            violated(violations, Invariant::Notice, ended.at, how);
        }
        // Nobody evicts, and nobody releases but the owner.
        if let Some(reason @ ("Evicted" | "Released" | "MaxHold" | "Denied")) = ended.lost.as_deref() {
            let how =
                format!("{}: {} lost its guard ({reason}), and nobody took it away", turn.line, turn.client);
            violated(violations, Invariant::Cause, ended.at, how);
        }
    }
}

/// Whether the client stood still around this time.
pub(crate) fn was_stopped(case: &Case<'_>, turn: &Turn, at: Duration) -> bool {
    let name = format!("c{}", turn.client.number);
    let stops = case.story.faults.values().filter(|fault| fault.kind == "stop" && fault.target == name);
    let mut spans = stops.map(|fault| (fault.from, fault.to.unwrap_or(case.story.end)));
    spans.any(|(from, to)| from <= at + BUSY && to + BUSY >= at)
}

/// What was acknowledged is there, what was refused is not: in the register, and in the store.
fn writes(case: &Case<'_>, violations: &mut Vec<Violation>) {
    for (line, [fenced, _]) in case.registers {
        let value: HashSet<u64> = fenced.value().collect();
        let accepted: HashSet<u64> = fenced.writes.iter().map(|write| write.id).collect();
        for turn in case.story.turns.iter().filter(|turn| turn.line == *line) {
            for (id, fate, _) in &turn.wrote {
                let wrong = match fate {
                    Fate::Done(_) => !value.contains(id),
                    Fate::Refused => accepted.contains(id),
                    Fate::Unknown => false,
                };
                if wrong {
                    let how =
                        format!("{line}: the fenced write {id} of {} is {fate:?}, and is not", turn.client);
                    violated(violations, Invariant::FencedWrites, turn.sent, how);
                }
            }
        }
    }
    let Some(truth) = case.truth else { return };
    for turn in &case.story.turns {
        for (at, id, fate) in &turn.guarded {
            let revision = truth.written.get(id);
            let wrong = match fate {
                Fate::Done(answered) => revision != Some(answered),
                Fate::Refused => revision.is_some(),
                Fate::Unknown => false,
            };
            if wrong {
                let line = turn.line;
                let how =
                    format!("{line}: the guarded write {id} is {fate:?}, in the store it is {revision:?}");
                violated(violations, Invariant::FencedWrites, *at, how);
            }
        }
    }
}

/// Who was killed is gone from the store after the ttl and the store's slack, unless something else is broken.
fn recoveries(case: &Case<'_>, violations: &mut Vec<Violation>) {
    let Some(truth) = case.truth else { return };
    let bound = case.ttl + case.story.slack + BUSY;
    let of_owner = owners(case);
    for (client, killed) in case.story.lives.iter().filter_map(|(client, life)| Some((client, life.killed?)))
    {
        let disturbed = case.story.faults.values().any(|fault| {
            let client = matches!(fault.kind.as_str(), "kill" | "stop");
            !client && fault.from < killed + bound && fault.to.is_none_or(|to| to + bound > killed)
        });
        if disturbed || killed + bound > case.story.end {
            continue;
        }
        for claim in of_owner.get(client.to_string().as_str()).into_iter().flatten() {
            let Some(stay) = truth.log.stays.get(*claim) else { continue };
            let late = stay.gone.is_none_or(|gone| gone.earliest > killed + bound);
            if late {
                let how = format!(
                    "{}: {client} was killed at {killed:?}, and {} was in line until {:?}",
                    stay.line,
                    stay.claim,
                    stay.gone.map(|gone| gone.earliest)
                );
                violated(violations, Invariant::Recovery, killed, how);
            }
        }
    }
}

/// The places in the log of each owner's claims.
fn owners<'a>(case: &'a Case<'_>) -> HashMap<&'a str, Vec<usize>> {
    let mut of_owner: HashMap<&str, Vec<usize>> = HashMap::new();
    let Some(truth) = case.truth else { return of_owner };
    for (number, stay) in truth.log.stays.iter().enumerate() {
        if let Some(owner) = truth.owners.get(&stay.claim) {
            of_owner.entry(owner).or_default().push(number);
        }
    }
    of_owner
}

/// Nobody comes into line twice; when it has been quiet for a while, whoever is in line is wanted; and nothing is
/// left at the end.
fn orphans(case: &Case<'_>, violations: &mut Vec<Violation>) {
    for left in case.left {
        violated(violations, Invariant::Orphans, case.story.end, format!("{left} is left in the store"));
    }
    let Some(truth) = case.truth else { return };
    for (claim, line, stamp) in &truth.repeated {
        let how = format!("{line}: {claim} came into line once more (revision {})", stamp.revision);
        violated(violations, Invariant::Orphans, stamp.earliest, how);
    }
    for (_, to) in &case.story.calms {
        let there = truth.log.stays.iter().filter(|stay| {
            stay.entered.latest < to.saturating_sub(SETTLED)
                && stay.gone.is_none_or(|gone| gone.earliest > *to)
        });
        let mut of_owner: BTreeMap<(&str, &str), Vec<&Stay>> = BTreeMap::new();
        for stay in there {
            let owner = truth.owners.get(&stay.claim).map_or("nobody", String::as_str);
            of_owner.entry((owner, stay.line.key())).or_default().push(stay);
        }
        for ((owner, line), stays) in of_owner {
            let wanted = wanted(case, owner, line, *to);
            if stays.len() > wanted {
                let claims: Vec<_> = stays.iter().map(|stay| stay.claim).collect();
                let how = format!("{line}: {owner} wants {wanted} turns, and has {claims:?} in line");
                violated(violations, Invariant::Orphans, *to, how);
            }
        }
    }
}

/// How many turns an owner has under way in a line, or had until a short while ago.
fn wanted(case: &Case<'_>, owner: &str, line: &str, at: Duration) -> usize {
    let wants = |turn: &&Turn| {
        turn.sent <= at
            && turn.over.is_none_or(|over| over + SETTLED > at)
            && turn.client.to_string() == owner
            && turn.line.id().is_some_and(|id| id.key() == line)
    };
    case.story.turns.iter().filter(wants).count()
}

/// The claim of a turn.
pub(crate) fn claim_of(turn: &Turn) -> Option<ClaimId> {
    turn.granted.as_ref()?.claim.parse().ok()
}

#[cfg(test)]
mod tests {
    use lock_check::history::Stamp;

    use super::*;
    use crate::{
        judge::story::Story,
        record::{Client, Line, Record, Way, What, Wish},
        truth::Truth,
    };

    const fn seconds(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    /// What is wrong when this happens to one client, at these seconds, and all is quiet from 5 to 9.
    fn found(happens: &[(u64, What)]) -> Vec<(Invariant, Duration)> {
        let client = Some(Client { number: 1, life: 0 });
        let of_client =
            happens.iter().map(|(at, what)| Record { at: seconds(*at), client, what: what.clone() });
        let calm = [(5, What::Calm), (9, What::Storm)];
        let of_all = calm.map(|(at, what)| Record { at: seconds(at), client: None, what });
        let mut records: Vec<_> = of_client.chain(of_all).collect();
        records.sort_by_key(|record| record.at);
        checked(&Story::read(&records), None)
    }

    fn checked(story: &Story, truth: Option<&Truth>) -> Vec<(Invariant, Duration)> {
        let case = Case { story, registers: &BTreeMap::new(), truth, left: &[], ttl: seconds(2) };
        check(&case).iter().map(|it| (it.invariant, it.at)).collect()
    }

    fn sent(turn: u64) -> What {
        What::Sent { turn, line: Line(0), mode: Wish::Exclusive, way: Way::Wait }
    }

    fn granted(turn: u64) -> What {
        What::Granted { turn, claim: format!("1.{turn}"), token: turn + 1, deadline: seconds(20) }
    }

    #[test]
    fn who_does_not_finish_is_stuck() {
        let stuck = [(6, What::Started), (10, What::Stuck), (11, What::Killed)];
        assert_eq!(found(&stuck), [(Invariant::Progress, seconds(10))]);
    }

    #[test]
    fn who_waits_through_a_quiet_phase_is_not_served_by_the_next_fault() {
        let waits =
            |until| [(1, What::Started), (2, sent(0)), (6, sent(1)), (7, granted(1)), (until, granted(0))];
        assert_eq!(found(&waits(8)), []);
        assert_eq!(found(&waits(12)), [(Invariant::Progress, seconds(9))]);
    }

    #[test]
    fn who_is_granted_nothing_in_a_quiet_phase_makes_no_progress() {
        let failed = What::Failed { turn: 0, kind: "Unavailable".to_owned(), said: String::new() };
        for answer in [failed, What::Busy { turn: 0 }, What::Cancelled { turn: 0 }] {
            let alone = [(1, What::Started), (6, sent(0)), (7, answer)];
            assert_eq!(found(&alone), [(Invariant::Progress, seconds(9))]);
            let beside_a_turn = [&alone[..], &[(7, sent(1)), (8, granted(1))]].concat();
            assert_eq!(found(&beside_a_turn), []);
        }
    }

    #[test]
    fn nobody_wants_a_claim_that_comes_into_line_once_more() {
        let stamp = Stamp { revision: 7, earliest: seconds(3), latest: seconds(4) };
        let claim = "0000000000000007.1".parse().unwrap();
        let truth = Truth { repeated: vec![(claim, Line(0).id().unwrap(), stamp)], ..Truth::default() };
        assert_eq!(checked(&Story::default(), Some(&truth)), [(Invariant::Orphans, seconds(3))]);
    }
}
