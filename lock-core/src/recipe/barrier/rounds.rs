//! Which rounds of a barrier have been settled, who belongs to which, and what follows from that: pure, with no
//! I/O.
//!
//! A round is a stretch of places: those after the round before, up to its last one. The line's cell says how
//! each was settled, and one writer is the first; so everybody of a round finds the same.

use serde::{Deserialize, Serialize};

use super::OnLoss;
use crate::{
    backend::{Line, LinePlace},
    claim::{ClaimId, Payload},
    error::{Error, ErrorKind, Result},
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Round {
    /// Its last place.
    pub(super) through: u64,
    /// How many it is made of.
    pub(super) of: u32,
    pub(super) state: State,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Rounds {
    /// The round that this place belongs to, if it is settled. Asked for places in line only: the rounds of
    /// others may have been forgotten.
    pub(super) fn of(&self, place: u64) -> Option<Round> {
        self.0.iter().copied().find(|round| place <= round.through)
    }

    /// All places up to this one belong to rounds that are settled.
    fn settled(&self) -> u64 {
        self.0.last().map_or(0, |round| round.through)
    }

    /// The place before the first of `round`, as far as that is remembered.
    fn before(&self, round: Round) -> u64 {
        self.0.iter().map(|other| other.through).filter(|through| *through < round.through).max().unwrap_or(0)
    }

    /// Writes down how a round was settled, and forgets rounds of which nobody is left, but not the last.
    ///
    /// Whoever settles saw the line after it had joined itself: of the rounds before its own, all who are
    /// still in line were there to be seen. Of later rounds nobody may have been there yet, when it leaves.
    pub(super) fn settle(&mut self, round: Round, there: &[Participant]) {
        let last = self.settled();
        let needed = |one: &Round| {
            let from = self.before(*one);
            one.through == last
                || one.through > round.through
                || there.iter().any(|who| from < who.place && who.place <= one.through)
        };
        let mut rounds: Vec<Round> = self.0.iter().copied().filter(needed).collect();
        rounds.retain(|one| one.through != round.through);
        rounds.push(round);
        rounds.sort_unstable_by_key(|one| one.through);
        self.0 = rounds;
    }

    /// What the one at `place` makes of who is `there`, when it saw those at the places `seen` before. `self`
    /// is no older than `there`: those who have passed settled their round first, and left then.
    pub(super) fn arrive(
        &self,
        there: &[Participant],
        place: u64,
        of: u32,
        on_loss: OnLoss,
        seen: &[u64],
    ) -> Verdict {
        if let Some(round) = self.of(place) {
            return if round.of == of { Verdict::Settled(round.state) } else { Verdict::Disagree(round.of) };
        }
        // Whoever came first says how many make up the round.
        match there.iter().find(|who| who.place > self.settled()) {
            Some(first) if first.card.of != of => return Verdict::Disagree(first.card.of),
            _ => {}
        }
        let waiting = there.iter().filter(|who| who.place > self.settled() && who.card.of == of);
        let waiting: Vec<u64> = waiting.map(|who| who.place).collect();
        let Some(last) = waiting.last().copied().filter(|_| waiting.contains(&place)) else {
            return Verdict::Gone;
        };
        let mut missed = seen.iter().filter(|one| **one > self.settled() && !waiting.contains(one));
        if on_loss == OnLoss::Fail && missed.next().is_some() {
            return Verdict::Settle(Round { through: last, of, state: State::Broken });
        }
        match waiting.get(usize::try_from(of - 1).unwrap_or(usize::MAX)) {
            Some(through) => Verdict::Settle(Round { through: *through, of, state: State::Passed }),
            None => Verdict::Wait,
        }
    }

    /// What the one at `place`, whose round has passed and who is leaving, makes of who is `there`.
    pub(super) fn depart(&self, there: &[Participant], place: u64, on_loss: OnLoss) -> Verdict {
        let round = match self.of(place) {
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
        match on_loss {
            OnLoss::Fail if !complete => Verdict::Settle(Round { state: State::Broken, ..round }),
            _ if all_leave => Verdict::Settle(Round { state: State::Left, ..round }),
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
        Round { through, of: 2, state }
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
        let settled = Rounds(vec![Round { through: 4, of: 3, state: State::Passed }]);
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
        assert_eq!(rounds.of(1), Some(round(2, State::Left)));
    }

    /// A line, its cell, and a cell that forgets nothing.
    #[derive(Default)]
    struct World {
        last: u64,
        line: Vec<Participant>,
        cell: Rounds,
        all: Vec<Round>,
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
            if self.line.is_empty() { None } else { Some(self.line[index.index(self.line.len())].place) }
        }

        fn leave(&mut self, place: u64) {
            self.line.retain(|who| who.place != place);
            self.looks.remove(&place);
        }

        /// By definition: the first of all rounds that reaches as far.
        fn by_definition(&self, place: u64) -> Option<Round> {
            self.all.iter().copied().filter(|round| round.through >= place).min_by_key(|round| round.through)
        }

        /// One that looked a while ago acts on what it saw, and on the cell as it is.
        fn act(&mut self, place: u64, on_loss: OnLoss) -> Result<(), TestCaseError> {
            let Some((there, seen)) = self.looks.get(&place).cloned() else { return Ok(()) };
            match self.cell.arrive(&there, place, 2, on_loss, &seen) {
                Verdict::Settle(round) => {
                    prop_assert!(self.all.iter().all(|before| before.through < round.through));
                    let before = self.all.last().map_or(0, |round| round.through);
                    let members = there.iter().filter(|who| before < who.place && who.place <= round.through);
                    let count = members.count();
                    match round.state {
                        State::Passed => prop_assert_eq!(count, 2),
                        State::Broken => prop_assert!(count >= 1 && on_loss == OnLoss::Fail),
                        State::Left => prop_assert!(false, "nobody was inside"),
                    }
                    self.cell.settle(round, &there);
                    // One for each who is there, the last one before, and this.
                    prop_assert!(self.cell.0.len() <= there.len() + 2, "{:?}", self.cell);
                    self.all.push(round);
                }
                Verdict::Settled(state) => {
                    let round = self.by_definition(place).unwrap();
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
                Verdict::Gone | Verdict::Disagree(_) => prop_assert!(false, "it is there, and they agree"),
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
                        world.leave(place);
                    },
                }
                for who in &world.line {
                    prop_assert_eq!(world.cell.of(who.place), world.by_definition(who.place));
                }
            }
        }
    }
}
