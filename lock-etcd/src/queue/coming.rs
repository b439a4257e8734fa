//! Whose claim comes next in a line, as far as it can be guessed. Programs that take one turn after another come back in
//! the order in which they left: who was handed its turn by a session finds the next claim of that session at the end
//! of the line when it comes back itself, and joins and links to it in one step. A guess that is wrong costs etcd an
//! inner transaction.

use std::collections::HashMap;

use lock_core::{ClaimId, LineId, sync::locked};

use super::Queue;

/// How many lines are remembered. When there are more, all are forgotten: that is simple, and lasts for a turn.
const REMEMBERED: usize = 1024;

/// The claims that are expected at the ends of lines.
#[derive(Debug, Default)]
pub(super) struct Coming(HashMap<LineId, ClaimId>);

impl Coming {
    /// A turn was handed on to a claim of this session, by one that comes back as this one.
    pub(super) fn expect(&mut self, line: &LineId, claim: Option<ClaimId>) {
        match claim {
            None => drop(self.0.remove(line)),
            Some(claim) => {
                if self.0.len() >= REMEMBERED && !self.0.contains_key(line) {
                    self.0.clear();
                }
                self.0.insert(line.clone(), claim);
            }
        }
    }
}

/// The claim that is expected to be the last of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) claim: ClaimId,
    /// [`Queue::ends`] before it was seen that the end of its session is watched.
    pub(super) ends: u64,
}

impl Queue {
    /// The claim that will be the last of the line, if the end of its session would be noticed. It is told once: after
    /// the first that goes behind it, it is not the last any more.
    pub(super) fn comes_last(&self, line: &LineId) -> Option<Last> {
        let claim = locked(&self.table).coming.0.remove(line)?;
        let ends = self.ends();
        (claim.session != self.session && self.is_watched(claim.session)).then_some(Last { claim, ends })
    }
}

#[cfg(test)]
mod tests {
    use lock_core::{Kind, SessionId};

    use super::*;

    #[test]
    fn what_was_said_last_of_a_line_counts_and_the_number_of_lines_is_bounded() {
        let line = |number: usize| LineId::new(Kind::Mutex, number.to_string().parse().unwrap());
        let claim = |number| Some(ClaimId { session: SessionId::new(2), number });
        let mut coming = Coming::default();
        coming.expect(&line(0), claim(1));
        coming.expect(&line(0), claim(2));
        assert_eq!((coming.0.get(&line(0)).copied(), coming.0.get(&line(1))), (claim(2), None));
        coming.expect(&line(0), None);
        assert!(coming.0.is_empty());
        for number in 0..3 * REMEMBERED {
            coming.expect(&line(number), claim(7));
            assert!(coming.0.contains_key(&line(number)) && coming.0.len() <= REMEMBERED);
        }
    }
}
