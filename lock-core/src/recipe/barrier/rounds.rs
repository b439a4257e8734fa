//! Which rounds of a barrier have been settled, who belongs to which, and what follows from that: pure, with no
//! I/O.
//!
//! A round is a stretch of places: those after the round before, up to its last one. The line's cell says how
//! each was settled, and one writer is the first; so everybody of a round finds the same. It also says whose
//! places were counted: one that went before the others had come stood within the stretch too.

use serde::{Deserialize, Serialize};

use super::OnLoss;
use crate::{
    backend::{Line, LinePlace},
    claim::{ClaimId, Payload},
    error::{Error, ErrorKind, Result},
    recipe::written,
};

/// How a round was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// All have come.
    Passed,
    /// All have come, and all were leaving.
    Left,
    /// Somebody had gone before.
    Broken,
}

/// A round that has been settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Round {
    /// Its last place.
    pub(super) through: u64,
    /// How many it is made of.
    pub(super) of: u32,
    pub(super) state: State,
    /// Who was counted: backwards from the last place, how far it is to the one before. `None`: there was no
    /// room to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gaps: Option<Vec<u64>>,
}

/// What the cell remembers: rounds in order, without those that nobody in line needs any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rounds(Vec<Round>);

/// What a participant's claim carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    /// How many make up a round, as it believes.
    pub(super) of: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) leaving: bool,
}

/// Somebody in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Participant {
    pub(super) place: u64,
    pub(super) card: Card,
}

/// What a participant makes of a look at the line and at the cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its round is settled.
    Settled(State),
    /// A round is to be settled like this, its own or one before.
    Settle(Round),
    /// Nothing follows yet.
    Wait,
    /// It is in line no more, and its round was not settled.
    Gone,
    /// Those before it are so many.
    Disagree(u32),
}

impl Card {
    pub(super) fn payload(self) -> Result<Payload> {
        let bytes = serde_json::to_vec(&self).map_err(|source| {
            Error::new(ErrorKind::Garbled, "a participant could not be written").with_source(source)
        })?;
        Payload::new(&bytes)
    }

    fn read(claim: ClaimId, payload: &Payload) -> Result<Self> {
        serde_json::from_slice(payload.as_bytes()).map_err(|source| {
            let message = format!("claim {claim} is no participant that this version can read");
            Error::new(ErrorKind::Garbled, message).with_source(source)
        })
    }
}

/// Everybody in line, in the order in which they came.
pub(super) fn participants(line: &Line) -> Result<Vec<Participant>> {
    let read = |place: &LinePlace| {
        Ok(Participant { place: place.place, card: Card::read(place.claim, &place.payload)? })
    };
    line.places.iter().map(read).collect()
}

impl Round {
    /// One in which these places were counted, in order.
    fn new(places: &[u64], of: u32, state: State) -> Option<Self> {
        let through = *places.last()?;
        let gap = |pair: &[u64]| if let [one, next] = pair { Some(next.saturating_sub(*one)) } else { None };
        let gaps = places.windows(2).rev().filter_map(gap).collect();
        Some(Self { through, of, state, gaps: Some(gaps) })
    }

    /// Whether the one at `place` was counted. Where that is not said, whoever is still `there` was.
    fn counts(&self, place: u64, there: &[Participant]) -> bool {
        let Some(gaps) = &self.gaps else { return is_there(place, there) };
        let mut before = gaps.iter().scan(self.through, |counted, gap| {
            *counted = counted.checked_sub(*gap)?;
            Some(*counted)
        });
        place == self.through || before.any(|counted| counted == place)
    }
}

fn is_there(place: u64, there: &[Participant]) -> bool {
    there.iter().any(|who| who.place == place)
}

impl Rounds {
    /// The round that reaches up to this place, if there is one: for places in line that they belong to. The
    /// rounds of others may have been forgotten, or settled without them.
    pub(super) fn of(&self, place: u64) -> Option<&Round> {
        self.0.iter().find(|round| place <= round.through)
    }

    /// The bytes for the cell. When it has no room for all, who was counted in the earliest rounds is left
    /// out: those who were lost last ask for the latest.
    pub(super) fn write(mut self) -> Result<Vec<u8>> {
        const WHAT: &str = "rounds of a barrier";
        loop {
            let written = written::write(&self, WHAT);
            let is_too_large = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::TooLarge);
            match self.0.iter_mut().find(|round| round.gaps.is_some()) {
                Some(round) if is_too_large => round.gaps = None,
                _ => return written,
            }
        }
    }

    /// All places up to this one belong to rounds that are settled.
    fn settled(&self) -> u64 {
        self.0.last().map_or(0, |round| round.through)
    }

    /// The place before the first of `round`, as far as that is remembered.
    fn before(&self, round: &Round) -> u64 {
        self.0.iter().map(|other| other.through).filter(|through| *through < round.through).max().unwrap_or(0)
    }

    /// Writes down how a round was settled, and forgets rounds of which nobody is left, but not the last.
    ///
    /// Whoever settles saw the line after it had joined itself: of the rounds before its own, all who are
    /// still in line were there to be seen. Of later rounds nobody may have been there yet, when it leaves.
    pub(super) fn settle(&mut self, round: Round, there: &[Participant]) {
        let last = self.settled();
        let needed = |one: &Round| {
            let from = self.before(one);
            one.through == last
                || one.through > round.through
                || there.iter().any(|who| from < who.place && who.place <= one.through)
        };
        let mut rounds: Vec<Round> = self.0.iter().filter(|one| needed(one)).cloned().collect();
        rounds.retain(|one| one.through != round.through);
        rounds.push(round);
        rounds.sort_unstable_by_key(|one| one.through);
        self.0 = rounds;
    }

    /// What the one at `place` makes of who is `there`, when it saw those at the places `seen` before. `self`
    /// is no older than `there`: those who have passed settled their round first, and left then. So it may
    /// have gone after that look, and others may have come, and have settled a round without it.
    pub(super) fn arrive(
        &self,
        there: &[Participant],
        place: u64,
        of: u32,
        on_loss: OnLoss,
        seen: &[u64],
    ) -> Verdict {
        if let Some(round) = self.of(place) {
            return if round.of == of && round.counts(place, there) {
                Verdict::Settled(round.state)
            } else if round.of != of && is_there(place, there) {
                Verdict::Disagree(round.of)
            } else {
                Verdict::Gone
            };
        }
        // Whoever came first says how many make up the round.
        match there.iter().find(|who| who.place > self.settled()) {
            Some(first) if first.card.of != of => return Verdict::Disagree(first.card.of),
            _ => {}
        }
        let waiting = there.iter().filter(|who| who.place > self.settled() && who.card.of == of);
        let waiting: Vec<u64> = waiting.map(|who| who.place).collect();
        if !waiting.contains(&place) {
            return Verdict::Gone;
        }
        let mut missed = seen.iter().filter(|one| **one > self.settled() && !waiting.contains(one));
        let round = if on_loss == OnLoss::Fail && missed.next().is_some() {
            Round::new(&waiting, of, State::Broken)
        } else {
            let all = waiting.get(..usize::try_from(of).unwrap_or(usize::MAX));
            all.and_then(|all| Round::new(all, of, State::Passed))
        };
        round.map_or(Verdict::Wait, Verdict::Settle)
    }

    /// What the one at `place`, whose round has passed and who is leaving, makes of who is `there`.
    pub(super) fn depart(&self, there: &[Participant], place: u64, on_loss: OnLoss) -> Verdict {
        let round = match self.of(place) {
            // Its own has been forgotten, since it is in line no more.
            Some(round) if !round.counts(place, there) => return Verdict::Gone,
            Some(round) if round.state == State::Passed => round,
            Some(round) => return Verdict::Settled(round.state),
            // Somebody has made the barrier forget.
            None => return Verdict::Settled(State::Broken),
        };
        let from = self.before(round);
        let members = there.iter().filter(|who| from < who.place && who.place <= round.through);
        let members: Vec<_> = members.filter(|who| who.card.of == round.of).collect();
        if !members.iter().any(|who| who.place == place) {
            return Verdict::Gone;
        }
        let complete = u32::try_from(members.len()).is_ok_and(|count| count >= round.of);
        let all_leave = members.iter().all(|who| who.card.leaving);
        let settled = |state| Verdict::Settle(Round { state, ..round.clone() });
        match on_loss {
            OnLoss::Fail if !complete => settled(State::Broken),
            _ if all_leave => settled(State::Left),
            OnLoss::Fail | OnLoss::GoOn => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn who(place: u64) -> Participant {
        Participant { place, card: Card { of: 2, leaving: false } }
    }

    fn round(through: u64, state: State) -> Round {
        Round { through, of: 2, state, gaps: None }
    }

    #[test]
    fn what_is_written_is_pinned() {
        // On the wire: processes of other versions read it.
        let rounds = Rounds(vec![round(7, State::Passed), round(9, State::Left), round(12, State::Broken)]);
        let text = concat!(
            r#"[{"through":7,"of":2,"state":"passed"},{"through":9,"of":2,"state":"left"},"#,
            r#"{"through":12,"of":2,"state":"broken"}]"#
        );
        assert_eq!(serde_json::to_string(&rounds).unwrap(), text);
        let rounds = Rounds(vec![Round::new(&[3, 4, 9], 3, State::Passed).unwrap()]);
        let text = r#"[{"through":9,"of":3,"state":"passed","gaps":[5,1]}]"#;
        assert_eq!(serde_json::to_string(&rounds).unwrap(), text);
        let card = Card { of: 3, leaving: false };
        assert_eq!(card.payload().unwrap().as_bytes(), br#"{"of":3}"#);
        let card = Card { leaving: true, ..card };
        assert_eq!(card.payload().unwrap().as_bytes(), br#"{"of":3,"leaving":true}"#);
    }

    #[test]
    fn whoever_comes_later_with_another_number_is_refused_and_not_counted() {
        let of = |place, of| Participant { place, card: Card { of, leaving: false } };
        let (rounds, there) = (Rounds::default(), [of(1, 3), of(2, 2), of(3, 3)]);
        assert_eq!(rounds.arrive(&there, 2, 2, OnLoss::Fail, &[]), Verdict::Disagree(3));
        assert_eq!(rounds.arrive(&there, 1, 3, OnLoss::Fail, &[]), Verdict::Wait);
        // That it goes does not break anything.
        assert_eq!(rounds.arrive(&[of(1, 3), of(3, 3)], 1, 3, OnLoss::Fail, &[1, 3]), Verdict::Wait);
        // It came too late to see them, and learns it from their round.
        let settled = Rounds(vec![Round { of: 3, ..round(4, State::Passed) }]);
        assert_eq!(settled.arrive(&[of(2, 2)], 2, 2, OnLoss::Fail, &[]), Verdict::Disagree(3));
    }

    #[test]
    fn those_who_leave_wait_for_all_and_notice_who_has_gone() {
        let leaving = |place, leaving| Participant { place, card: Card { of: 2, leaving } };
        let rounds = Rounds(vec![round(3, State::Passed), round(6, State::Passed)]);
        let depart = |there: &[Participant], on_loss| rounds.depart(there, 4, on_loss);
        let (mine, other) = (leaving(4, true), leaving(6, false));
        assert_eq!(depart(&[leaving(3, true), mine, other], OnLoss::Fail), Verdict::Wait);
        assert_eq!(
            depart(&[mine, leaving(7, false)], OnLoss::Fail),
            Verdict::Settle(round(6, State::Broken))
        );
        assert_eq!(depart(&[mine, leaving(7, false)], OnLoss::GoOn), Verdict::Settle(round(6, State::Left)));
        let all = [mine, leaving(6, true), leaving(7, false)];
        assert_eq!(depart(&all, OnLoss::Fail), Verdict::Settle(round(6, State::Left)));
        assert_eq!(depart(&[other], OnLoss::Fail), Verdict::Gone);
        assert_eq!(Rounds::default().depart(&all, 4, OnLoss::Fail), Verdict::Settled(State::Broken));
    }

    #[test]
    fn c23_who_leaves_an_early_round_forgets_none_that_came_after_its_look() {
        let mut rounds = Rounds([2, 4, 6].map(|through| round(through, State::Passed)).to_vec());
        rounds.settle(round(2, State::Left), &[who(1), who(2)]);
        assert_eq!([4, 6].map(|place| rounds.of(place).map(|round| round.through)), [Some(4), Some(6)]);
        assert_eq!(rounds.of(1), Some(&round(2, State::Left)));
    }

    #[test]
    fn c23_who_is_gone_believes_a_round_only_that_it_was_counted_in() {
        let passed = |places: &[u64]| Round::new(places, 2, State::Passed).unwrap();
        let arrives = |rounds: &Rounds, there: &[_], place| rounds.arrive(there, place, 2, OnLoss::GoOn, &[]);
        let rounds = Rounds(vec![passed(&[3, 5])]);
        for there in [vec![], vec![who(1), who(3), who(4), who(5)]] {
            for place in [1, 4] {
                assert_eq!(arrives(&rounds, &there, place), Verdict::Gone, "{place}, {there:?}");
            }
            for place in [3, 5] {
                assert_eq!(arrives(&rounds, &there, place), Verdict::Settled(State::Passed));
            }
        }
        // Where nobody says who was counted, those were who are there.
        let rounds = Rounds(vec![round(5, State::Passed)]);
        assert_eq!(arrives(&rounds, &[], 3), Verdict::Gone);
        assert_eq!(arrives(&rounds, &[who(3)], 3), Verdict::Settled(State::Passed));
        // Its own was broken and is forgotten; a later one has left.
        let rounds = Rounds(vec![Round { state: State::Left, ..passed(&[8, 9]) }]);
        assert_eq!(rounds.depart(&[], 5, OnLoss::Fail), Verdict::Gone);
        assert_eq!(rounds.depart(&[], 8, OnLoss::Fail), Verdict::Settled(State::Left));
    }

    #[test]
    fn who_was_counted_takes_no_room_from_rounds() {
        let all = |from: u64, of: u32| {
            let places: Vec<u64> = (0..of).map(|number| from + 10 * u64::from(number)).collect();
            Round::new(&places, of, State::Passed).unwrap()
        };
        let kept = |rounds: Vec<Round>| {
            let bytes = Rounds(rounds).write().unwrap();
            let Rounds(rounds) = serde_json::from_slice(&bytes).unwrap();
            rounds.iter().map(|round| round.gaps.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(kept(vec![all(1, 1000), all(20_000, 1000)]), [false, true]);
        assert_eq!(kept(vec![all(1, 10), all(200, 2000)]), [false, false]);
        let many = kept((0..90).map(|number| all(100 * number, 2)).collect());
        assert!(many.len() == 90 && many.is_sorted() && many[89]);
        let error = Rounds((0..200).map(|number| all(100 * number, 2)).collect()).write().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    /// A line, its cell, and a cell that forgets nothing, with who was counted.
    #[derive(Default)]
    struct World {
        last: u64,
        line: Vec<Participant>,
        /// Those who have gone, and do not know what became of their round.
        lost: Vec<u64>,
        cell: Rounds,
        all: Vec<Round>,
        counted: BTreeMap<u64, BTreeSet<u64>>,
        looks: BTreeMap<u64, (Vec<Participant>, Vec<u64>)>,
        passed: BTreeMap<u64, BTreeSet<u64>>,
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Join,
        Look(prop::sample::Index),
        Act(prop::sample::Index),
        Crash(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Join),
            6 => any::<prop::sample::Index>().prop_map(Step::Look),
            6 => any::<prop::sample::Index>().prop_map(Step::Act),
            1 => any::<prop::sample::Index>().prop_map(Step::Crash),
        ];
        prop::collection::vec(step, 0..120)
    }

    impl World {
        fn pick(&self, index: prop::sample::Index) -> Option<u64> {
            let all = self.line.iter().map(|who| who.place).chain(self.lost.iter().copied());
            let all: Vec<u64> = all.collect();
            if all.is_empty() { None } else { Some(*index.get(&all)) }
        }

        fn leave(&mut self, place: u64) {
            self.line.retain(|who| who.place != place);
            self.lost.retain(|lost| *lost != place);
            self.looks.remove(&place);
        }

        /// Its next look finds a line without it; it may act on an earlier one first.
        fn lose(&mut self, place: u64) {
            self.line.retain(|who| who.place != place);
            if !self.lost.contains(&place) {
                self.lost.push(place);
            }
        }

        /// By definition: the first of all rounds that reaches as far.
        fn by_definition(&self, place: u64) -> Option<&Round> {
            self.all.iter().filter(|round| round.through >= place).min_by_key(|round| round.through)
        }

        fn was_counted(&self, place: u64) -> bool {
            self.counted.values().any(|counted| counted.contains(&place))
        }

        /// One that looked a while ago acts on what it saw, and on the cell as it is.
        fn act(&mut self, place: u64, on_loss: OnLoss) -> Result<(), TestCaseError> {
            let Some((there, seen)) = self.looks.get(&place).cloned() else { return Ok(()) };
            match self.cell.arrive(&there, place, 2, on_loss, &seen) {
                Verdict::Settle(round) => {
                    prop_assert!(self.all.iter().all(|before| before.through < round.through));
                    let before = self.all.last().map_or(0, |round| round.through);
                    let members = there.iter().filter(|who| before < who.place && who.place <= round.through);
                    let members: BTreeSet<u64> = members.map(|who| who.place).collect();
                    let count = members.len();
                    match round.state {
                        State::Passed => prop_assert_eq!(count, 2),
                        State::Broken => prop_assert!(count >= 1 && on_loss == OnLoss::Fail),
                        State::Left => prop_assert!(false, "nobody was inside"),
                    }
                    self.counted.insert(round.through, members);
                    self.cell.settle(round.clone(), &there);
                    // One for each who is there, the last one before, and this.
                    prop_assert!(self.cell.0.len() <= there.len() + 2, "{:?}", self.cell);
                    self.all.push(round);
                }
                Verdict::Settled(state) => {
                    prop_assert!(self.was_counted(place));
                    let round = self.by_definition(place).unwrap().clone();
                    prop_assert_eq!(state, round.state);
                    if state == State::Passed {
                        let passed = self.passed.entry(round.through).or_default();
                        passed.insert(place);
                        prop_assert!(passed.len() <= 2, "{passed:?} passed together");
                    }
                    self.leave(place);
                }
                Verdict::Wait => {
                    let seen = there.iter().map(|who| who.place).collect();
                    self.looks.insert(place, (there, seen));
                }
                Verdict::Gone => {
                    prop_assert!(self.lost.contains(&place), "it is there");
                    let forgotten =
                        self.by_definition(place).is_some_and(|round| self.cell.of(place) != Some(round));
                    prop_assert!(!self.was_counted(place) || forgotten);
                    self.leave(place);
                }
                Verdict::Disagree(_) => prop_assert!(false, "they agree"),
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn c23_everybody_in_line_finds_its_round_as_if_nothing_were_forgotten(
            steps in steps(),
            fails in any::<bool>(),
        ) {
            let (mut world, on_loss) = (World::default(), if fails { OnLoss::Fail } else { OnLoss::GoOn });
            for step in steps {
                match step {
                    Step::Join => {
                        world.last += 1;
                        world.line.push(who(world.last));
                    }
                    Step::Look(index) => if let Some(place) = world.pick(index) {
                        let seen = world.looks.get(&place).map(|(_, seen)| seen.clone()).unwrap_or_default();
                        world.looks.insert(place, (world.line.clone(), seen));
                    },
                    Step::Act(index) => if let Some(place) = world.pick(index) {
                        world.act(place, on_loss)?;
                    },
                    Step::Crash(index) => if let Some(place) = world.pick(index) {
                        world.lose(place);
                    },
                }
                for who in &world.line {
                    prop_assert_eq!(world.cell.of(who.place), world.by_definition(who.place));
                }
            }
        }
    }
}
