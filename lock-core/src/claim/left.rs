//! Which claims of a session have left.

use std::collections::BTreeMap;

/// Which claims of a session have left, so that no join of theirs may follow: a set of claim numbers, kept as
/// runs. Claims are numbered without gaps and nearly all of them have left, so this takes space for those
/// that have not, not for those that have. For implementors of a store.
#[derive(Debug, Default)]
pub struct Left {
    /// All below this number are in the set.
    below: u64,
    /// First number of each run above that, and its last.
    runs: BTreeMap<u64, u64>,
}

impl Left {
    /// Whether it is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        number < self.below || self.runs.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    #[cfg(test)]
    pub(crate) fn runs(&self) -> usize {
        self.runs.len() + usize::from(self.below > 0)
    }

    /// Puts it into the set; again is harmless.
    pub fn insert(&mut self, number: u64) {
        if self.contains(number) {
            return;
        }
        let next = number.checked_add(1).and_then(|next| self.runs.remove(&next));
        let last = next.unwrap_or(number);
        if number == self.below {
            self.below = last.saturating_add(1);
            return;
        }
        match self.runs.range_mut(..number).next_back() {
            Some((_, before)) if *before + 1 == number => *before = last,
            _ => {
                self.runs.insert(number, last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_greatest_number_is_one_like_others() {
        for numbers in [[u64::MAX, u64::MAX - 1], [u64::MAX - 1, u64::MAX]] {
            let mut left = Left::default();
            numbers.iter().for_each(|number| left.insert(*number));
            assert!(numbers.iter().all(|number| left.contains(*number)) && !left.contains(u64::MAX - 2));
            assert_eq!(left.runs(), 1);
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set_in_as_few_runs_as_there_are_gaps(numbers in prop::collection::vec(0..40_u64, 0..60)) {
            let (mut left, mut set) = (Left::default(), BTreeSet::new());
            for number in numbers {
                left.insert(number);
                set.insert(number);
                for candidate in 0..41 {
                    prop_assert_eq!(left.contains(candidate), set.contains(&candidate));
                }
                let runs = set.iter().filter(|n| !set.contains(&(**n + 1))).count();
                prop_assert_eq!(left.runs(), runs);
            }
        }
    }
}
