//! Whose claim comes next in a line, as far as it can be guessed. Programs that take one turn after another come back in
//! the order in which they left: who had its turn before a claim comes back before that one does, and is the last of
//! the line by then. So that one joins and links to it in one step when it comes back; and with two, it is also who comes
//! behind while that one is on its way out. A guess that is wrong costs etcd an inner transaction.

use std::collections::HashMap;

use lock_core::{ClaimId, LineId, sync::locked};

use super::{Queue, txn::Departure};
use crate::news::News;

/// How many lines are remembered. When there are more, all are forgotten: that is simple, and lasts for a turn.
const REMEMBERED: usize = 1024;

/// How often in a row it is guessed that who has not been met comes once more. Who takes a lock again that nobody else
/// wants any more gets it cheaper without.
const GUESSES: u8 = 2;

/// The claims that are expected at the ends of lines.
#[derive(Debug, Default)]
pub(super) struct Coming(HashMap<LineId, Guess>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guess {
    claim: ClaimId,
    /// How many were made in a row, of claims that nobody has spoken of.
    in_a_row: u8,
}

impl Coming {
    /// A turn was handed on to a claim of this session, by one that comes back as this one.
    pub(super) fn expect(&mut self, line: &LineId, claim: Option<ClaimId>) {
        self.set(line, claim.map(|claim| Guess { claim, in_a_row: 0 }));
    }

    fn set(&mut self, line: &LineId, guess: Option<Guess>) {
        match guess {
            None => drop(self.0.remove(line)),
            Some(guess) => {
                if self.0.len() >= REMEMBERED && !self.0.contains_key(line) {
                    self.0.clear();
                }
                self.0.insert(line.clone(), guess);
            }
        }
    }
}

/// The claim that is expected to be the last of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) claim: ClaimId,
    /// As in [`Guess`].
    in_a_row: u8,
    /// [`Queue::ends`] before it was seen that the end of its session is watched.
    pub(super) ends: u64,
}

impl Queue {
    /// The claim that will be the last of the line, if the end of its session would be noticed. It is told once: after
    /// the first that goes behind it, it is not the last any more.
    pub(super) fn comes_last(&self, line: &LineId) -> Option<Last> {
        let Guess { claim, in_a_row } = locked(&self.table).coming.0.remove(line)?;
        let ends = self.ends();
        (claim.session != self.session && self.is_watched(claim.session)).then_some(Last {
            claim,
            in_a_row,
            ends,
        })
    }

    /// The claim of another session that may link behind one that hands its turn on and knows of nobody behind it.
    pub(super) fn comes_next(&self, departure: &Departure<'_>) -> Option<ClaimId> {
        if departure.next.is_some() || departure.news != News::Turn {
            return None;
        }
        let Guess { claim, .. } = locked(&self.table).coming.0.get(&departure.who.line).copied()?;
        (claim.session != self.session).then_some(claim)
    }

    /// The claim ahead had left when one of this session came, and its session most likely comes back with its next.
    pub(super) fn had_left(&self, line: &LineId, ahead: ClaimId) {
        if let Some(guess) = self.once_more(line, ahead, 0) {
            locked(&self.table).coming.set(line, Some(guess));
        }
    }

    /// Nobody was in line where this one had been expected: it has left, or has never come.
    pub(super) fn was_missed(&self, line: &LineId, last: Last) {
        if let Some(guess) = self.once_more(line, last.claim, last.in_a_row) {
            let coming = &mut locked(&self.table).coming;
            // What was said meanwhile is no guess.
            if !coming.0.contains_key(line) {
                coming.set(line, Some(guess));
            }
        }
    }

    /// The next claim of a session, unless that would be guessed too often, or this session has more than one claim in
    /// the line: then it comes behind itself, most likely.
    fn once_more(&self, line: &LineId, before: ClaimId, in_a_row: u8) -> Option<Guess> {
        if before.session == self.session || in_a_row == GUESSES || self.has_others_in(line) {
            return None;
        }
        let number = before.number.checked_add(1)?;
        Some(Guess { claim: ClaimId { number, ..before }, in_a_row: in_a_row + 1 })
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{Kind, SessionId};

    use super::*;
    use crate::queue::life::tests::{queue, watch};

    fn line(number: usize) -> LineId {
        LineId::new(Kind::Mutex, number.to_string().parse().unwrap())
    }

    const fn claim(number: u64) -> ClaimId {
        ClaimId { session: SessionId::new(2), number }
    }

    #[test]
    fn what_was_said_last_of_a_line_counts_and_the_number_of_lines_is_bounded() {
        let mut coming = Coming::default();
        coming.expect(&line(0), Some(claim(1)));
        coming.expect(&line(0), Some(claim(2)));
        assert_eq!(coming.0.get(&line(0)), Some(&Guess { claim: claim(2), in_a_row: 0 }));
        assert_eq!(coming.0.get(&line(1)), None);
        coming.expect(&line(0), None);
        assert!(coming.0.is_empty());
        for number in 0..3 * REMEMBERED {
            coming.expect(&line(number), Some(claim(7)));
            assert!(coming.0.contains_key(&line(number)) && coming.0.len() <= REMEMBERED);
        }
    }

    #[tokio::test]
    async fn who_has_left_is_expected_with_its_next_claim_and_not_for_ever() {
        let (queue, line) = (queue(), line(0));
        watch(&queue, claim(1).session);
        queue.had_left(&line, claim(1));
        for number in 2..2 + u64::from(GUESSES) {
            let last = queue.comes_last(&line).unwrap();
            assert_eq!(last.claim, claim(number));
            queue.was_missed(&line, last);
        }
        assert!(queue.comes_last(&line).is_none(), "it is expected for ever");
        queue.had_left(&line, ClaimId { session: queue.session, number: 1 });
        assert!(queue.comes_last(&line).is_none(), "its own session knows its claims");
    }
}
