//! Chance, from one machine's seed.

use std::{ops::Range, time::Duration};

use lock_core::runtime::{Runtime, SimulatedRuntime};

/// Chance, from one machine's seed.
#[derive(Clone, Debug)]
pub struct Dice(pub SimulatedRuntime);

impl Dice {
    /// A number below `end`, which is at least one.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.0.random_u64() % end.max(1)
    }

    /// True so many times out of a hundred.
    #[must_use]
    pub fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }

    /// A time between these many milliseconds.
    #[must_use]
    pub fn millis(&self, range: Range<u64>) -> Duration {
        // Odd microseconds, so that few things happen at the very same time.
        let micros = range.start * 1000 + self.below((range.end - range.start) * 1000);
        Duration::from_micros(micros)
    }

    /// One of these, of which there is at least one.
    #[must_use]
    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or_default();
        match from.get(index) {
            Some(picked) => picked,
            None => unreachable!("the simulator picks from what is there"),
        }
    }
}
