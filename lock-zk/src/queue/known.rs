//! What a session knows of a queue without asking.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use lock_core::sync::locked;

use super::floor::Floor;

/// After so many claims in a row that reading the queue has told nothing, or would not have, it is not read.
const IN_VAIN: u32 = 4;

/// One queue, as this session has come to know it. Its name is used once and its floor only rises: what was
/// answered once stays true, whichever server is asked next.
pub(crate) struct Known {
    pub(super) path: Arc<str>,
    /// The highest that an answer has told of.
    floor: Mutex<Floor>,
    /// How many of the last claims had nothing of reading the queue as they came in: either the session knew
    /// that they were first, or others were there.
    in_vain: AtomicU32,
    /// Held by a claim of this session that leaves as the head, until that is answered.
    pub(super) leaving: tokio::sync::Mutex<()>,
}

impl Known {
    pub(super) fn new(path: Arc<str>) -> Self {
        let (floor, leaving) = (Mutex::new(Floor::FRESH), tokio::sync::Mutex::default());
        Self { path, floor, in_vain: AtomicU32::new(0), leaving }
    }

    pub(super) fn floor(&self) -> Floor {
        *locked(&self.floor)
    }

    /// An answer has told of this floor. Answers are not heard in the order in which they came.
    pub(super) fn learn(&self, floor: Floor) {
        let mut known = locked(&self.floor);
        if floor.gone > known.gone {
            *known = floor;
        }
    }

    /// Whether reading the queue is likely to tell a claim that comes in that nobody is ahead.
    pub(super) fn is_worth_reading(&self) -> bool {
        self.in_vain.load(Ordering::Relaxed) < IN_VAIN
    }

    /// Whether it has told a claim so, or would have.
    pub(super) fn reading_tells(&self, tells: bool) {
        if tells {
            self.in_vain.store(0, Ordering::Relaxed);
        } else {
            self.in_vain.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_that_is_told_late_changes_nothing() {
        let known = Known::new("/q".into());
        assert_eq!(known.floor(), Floor::FRESH);
        known.learn(Floor { gone: 7, held: true });
        known.learn(Floor { gone: 6, held: false });
        assert_eq!(known.floor(), Floor { gone: 7, held: true });
        known.learn(Floor { gone: 8, held: false });
        assert_eq!(known.floor(), Floor { gone: 8, held: false });
    }

    #[test]
    fn what_tells_nothing_is_not_read_until_it_would_have_told() {
        let known = Known::new("/q".into());
        for _ in 0..IN_VAIN {
            assert!(known.is_worth_reading());
            known.reading_tells(false);
        }
        assert!(!known.is_worth_reading());
        known.reading_tells(true);
        assert!(known.is_worth_reading());
    }
}
