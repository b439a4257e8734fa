//! Sessions that a deposed leader of etcd has had ended while clients could count on them (`truth::deposed` says how):
//! the store's own fault.
//!
//! What comes of it is told apart by judging twice: what clients saw, and the same as if each of them had let go when its
//! session ended. What is wrong then, too, is not the store's.

use std::{collections::HashMap, fmt, time::Duration};

use super::{
    Case,
    story::{Ended, Story, Turn},
};
use crate::truth::EndedByDeposed;

/// A session that has ended too early.
#[derive(Debug)]
pub(super) struct EarlyEnd<'a> {
    of: &'a EndedByDeposed,
    /// Before the last deadline that a client had in it.
    by: Duration,
}

impl fmt::Display for EarlyEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EndedByDeposed { session, at, how } = self.of;
        write!(f, "session {session} at {:?}, {:?} before its deadline: {how}", at.latest, self.by)
    }
}

/// A session that ended while nobody counted on it was ended by its client, or might have run out.
pub(super) fn find<'a>(case: &Case<'a>) -> Vec<EarlyEnd<'a>> {
    let mut latest = HashMap::<&str, Duration>::new();
    let Some(truth) = case.truth else { return Vec::new() };
    let of_session: HashMap<_, _> = truth.ended_by_deposed.iter().map(|end| (&*end.session, end)).collect();
    for turn in &case.story.turns {
        let Some(end) = session(turn).and_then(|session| of_session.get(session)) else { continue };
        if let Some(deadline) = counted_on_until(case, turn, end) {
            let latest = latest.entry(&end.session).or_default();
            *latest = deadline.max(*latest);
        }
    }
    let early = |end: &'a EndedByDeposed| {
        Some(EarlyEnd { of: end, by: latest.get(&*end.session)?.checked_sub(end.at.latest)? })
    };
    truth.ended_by_deposed.iter().filter_map(early).collect()
}

/// What would have happened if everybody had let go of what they held in these sessions when those ended.
pub(super) fn let_go(case: &Case<'_>, early: &[EarlyEnd<'_>]) -> Story {
    let of_session: HashMap<_, _> = early.iter().map(|end| (&*end.of.session, end.of)).collect();
    let mut story = case.story.clone();
    story.turns.retain_mut(|turn| {
        let end = session(turn).and_then(|session| of_session.get(session));
        let Some(end) = end.filter(|end| counted_on_until(case, turn, end).is_some()) else { return true };
        let at = end.at.earliest;
        turn.looks.retain(|look| look.at < at);
        turn.ended = Some(Ended { at, deadline: at, lost: None });
        // Who was told of a grant afterwards was told late.
        turn.granted.as_ref().is_some_and(|granted| granted.at < at)
    });
    story
}

/// The session that a turn was had in.
fn session(turn: &Turn) -> Option<&str> {
    Some(turn.granted.as_ref()?.claim.split_once('.')?.0)
}

/// Until when the client of a turn could count on its session, if it did so beyond this end, and with reason: etcd
/// promises a ttl from when it was asked, which was before.
fn counted_on_until(case: &Case<'_>, turn: &Turn, end: &EndedByDeposed) -> Option<Duration> {
    let believed_until = turn.believed_until(&case.story.lives)?;
    let deadline = turn.ended.as_ref().map_or(believed_until, |ended| ended.deadline);
    (believed_until > end.at.latest && deadline <= end.at.latest + case.ttl).then_some(deadline)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lock_check::history::{Invariant, Stamp, Stay};
    use yourturn::Mode;

    use super::*;
    use crate::{
        judge::Verdict,
        record::{Client, Line, Record, Way, What, Wish},
        truth::Truth,
    };

    const fn seconds(at: u64) -> Duration {
        Duration::from_secs(at)
    }

    fn stamp(revision: u64, earliest: u64, latest: u64) -> Stamp {
        Stamp { revision, earliest: seconds(earliest), latest: seconds(latest) }
    }

    /// A turn of a client in its own session: when it is granted, until when it is promised, when it stops believing, and
    /// when it looks at its guard, if it does.
    struct Held {
        client: usize,
        line: usize,
        granted: u64,
        deadline: u64,
        ended: u64,
        looks: Option<u64>,
    }

    const FIRST: Held = Held { client: 1, line: 0, granted: 2, deadline: 6, ended: 6, looks: None };
    const SECOND: Held = Held { client: 2, line: 0, granted: 5, deadline: 9, ended: 8, looks: None };

    /// What is found when the session of the first client was ended between the third and the fourth second, and these
    /// were its and others' turns. A ttl is two seconds.
    fn judged(turns: &[Held]) -> Verdict {
        judged_by(&Truth { ended_by_deposed: vec![the_end()], ..Truth::default() }, turns)
    }

    fn the_end() -> EndedByDeposed {
        EndedByDeposed { session: name(1), at: stamp(45, 3, 4), how: "m0".to_owned() }
    }

    fn judged_by(truth: &Truth, turns: &[Held]) -> Verdict {
        let mut records = Vec::new();
        for (turn, Held { client, line, granted, deadline, ended, looks }) in (0..).zip(turns) {
            let (claim, until) = (format!("{}.{turn}", name(*client)), seconds(*deadline));
            let sent = What::Sent { turn, line: Line(*line), mode: Wish::Exclusive, way: Way::Wait };
            let holds = What::Granted { turn, claim, token: granted * 10 + turn, deadline: until };
            let lets_go = What::Ended { turn, deadline: until, lost: None };
            let (took, late) = (Duration::ZERO, Duration::ZERO);
            let looked = looks.map(|at| (at, What::Looked { turn, valid: true, took, late }));
            let happens = [(1, sent), (*granted, holds), (*ended, lets_go)];
            for (at, what) in happens.into_iter().chain(looked) {
                let client = Some(Client { number: *client, life: 0 });
                records.push(Record { at: seconds(at), client, what });
            }
        }
        records.sort_by_key(|record| record.at);
        let (story, registers) = (Story::read(&records), BTreeMap::new());
        Case { story: &story, registers: &registers, truth: Some(truth), left: &[], ttl: seconds(2) }.judge()
    }

    fn name(client: usize) -> String {
        format!("{client:016x}")
    }

    /// What is the library's, and what is the store's.
    fn found(verdict: &Verdict) -> [Vec<Invariant>; 2] {
        [&verdict.violations, &verdict.of_the_store].map(|list| list.iter().map(|it| it.invariant).collect())
    }

    #[test]
    fn two_who_hold_are_the_stores_fault_if_it_ended_the_session_of_one_too_early() {
        let verdict = judged(&[FIRST, SECOND]);
        assert_eq!(verdict.early_ends, ["session 0000000000000001 at 4s, 2s before its deadline: m0"]);
        assert_eq!(found(&verdict), [vec![], vec![Invariant::BeliefExclusion]]);
        let nothing = judged_by(&Truth::default(), &[FIRST, SECOND]);
        assert_eq!(found(&nothing), [vec![Invariant::BeliefExclusion], vec![]]);
    }

    #[test]
    fn who_is_told_of_a_grant_after_the_session_has_ended_is_told_late() {
        let verdict = judged(&[Held { granted: 5, ..FIRST }, SECOND]);
        assert_eq!(found(&verdict), [vec![], vec![Invariant::BeliefExclusion]]);
    }

    #[test]
    fn a_guard_that_is_valid_after_its_session_has_ended_is_the_stores_fault() {
        let stay = Stay {
            claim: format!("{}.0", name(1)).parse().unwrap(),
            line: Line(0).id().unwrap(),
            mode: Mode::Exclusive,
            place: 20,
            entered: stamp(20, 1, 2),
            admitted: None,
            gone: Some(the_end().at),
        };
        let looks = [Held { looks: Some(5), ..FIRST }];
        let mut truth = Truth::default();
        truth.log.stays.push(stay);
        assert_eq!(found(&judged_by(&truth, &looks)), [vec![Invariant::Posthumous], vec![]]);
        truth.ended_by_deposed.push(the_end());
        assert_eq!(found(&judged_by(&truth, &looks)), [vec![], vec![Invariant::Posthumous]]);
    }

    #[test]
    fn two_who_held_before_a_session_ended_are_no_fault_of_the_store() {
        let verdict = judged(&[FIRST, Held { granted: 2, ..SECOND }]);
        assert_eq!(found(&verdict), [vec![Invariant::BeliefExclusion], vec![]]);
    }

    #[test]
    fn two_others_who_hold_meanwhile_are_no_fault_of_the_store() {
        let [third, fourth] = [3, 4].map(|client| Held { client, line: 1, ..SECOND });
        let verdict = judged(&[FIRST, SECOND, third, fourth]);
        assert_eq!(found(&verdict), [vec![Invariant::BeliefExclusion], vec![Invariant::BeliefExclusion]]);
    }

    #[test]
    fn a_client_that_had_let_go_may_have_ended_its_session_itself() {
        let verdict = judged(&[Held { ended: 4, ..FIRST }]);
        assert_eq!(verdict.early_ends, Vec::<String>::new());
    }

    #[test]
    fn nobody_may_count_on_a_session_for_longer_than_its_ttl() {
        let verdict = judged(&[Held { deadline: 3600, ..FIRST }, SECOND]);
        assert_eq!(verdict.early_ends, Vec::<String>::new());
        assert_eq!(found(&verdict), [vec![Invariant::BeliefExclusion], vec![]]);
    }
}
