//! Who stands ahead in the queue. Sequences are dense, so the name of the one in front is known without a
//! listing.

use super::floor::Floor;

/// Who of those ahead has not been seen to be gone. Nobody comes in ahead, so this only shrinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Everybody from this sequence up to the claim's own is gone.
    Below(i64),
    /// Nobody but these was there when the queue was listed; in ascending order.
    Listed(Vec<i64>),
    /// The claim is the head.
    Nobody,
}

impl Ahead {
    /// The nearest who may still be there, above the floor.
    pub(crate) fn nearest(&self, floor: Floor) -> Option<i64> {
        let nearest = match self {
            Self::Below(gone) => Some(gone - 1),
            Self::Listed(listed) => listed.last().copied(),
            Self::Nobody => None,
        };
        nearest.filter(|sequence| *sequence > floor.gone)
    }

    /// The nearest one is gone.
    pub(crate) fn passed(&mut self) {
        match self {
            Self::Below(gone) => *gone -= 1,
            Self::Listed(listed) => drop(listed.pop()),
            Self::Nobody => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn floor(gone: i64) -> Floor {
        Floor { gone, held: false }
    }

    #[test]
    fn the_nearest_is_the_sequence_before_until_the_floor() {
        let mut ahead = Ahead::Below(3);
        assert_eq!(ahead.nearest(floor(-1)), Some(2));
        ahead.passed();
        assert_eq!((ahead.nearest(floor(0)), ahead.nearest(floor(1))), (Some(1), None));
        ahead.passed();
        ahead.passed();
        assert_eq!(ahead.nearest(floor(-1)), None);
    }

    #[test]
    fn of_those_listed_each_is_passed() {
        let mut ahead = Ahead::Listed(vec![2, 9]);
        assert_eq!(ahead.nearest(floor(-1)), Some(9));
        ahead.passed();
        assert_eq!((ahead.nearest(floor(-1)), ahead.nearest(floor(2))), (Some(2), None));
        ahead.passed();
        assert_eq!(ahead.nearest(floor(-1)), None);
    }
}
