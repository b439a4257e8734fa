//! Chance, from a seed: the same in every process and version.

use std::{ops::Range, time::Duration};

/// A stream of random numbers (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA
/// 2014: SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The stream of this seed that these numbers name; others have nothing to do with it.
    pub(crate) fn new(seed: u64, stream: &[u64]) -> Self {
        let mut dice = Self(seed);
        for number in stream {
            dice.0 = dice.next() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// An index into so many.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn between(&mut self, range: Range<Duration>) -> Duration {
        let nanos = range.end.saturating_sub(range.start).as_nanos();
        range.start + Duration::from_nanos(self.below(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        self.between(Duration::from_millis(range.start)..Duration::from_millis(range.end))
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream_and_streams_differ() {
        let draw = |seed, stream: &[u64]| {
            let mut dice = Dice::new(seed, stream);
            [dice.next(), dice.next(), dice.next()]
        };
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        assert_eq!(
            draw(7, &[]),
            [7_191_089_600_892_374_487, 309_689_372_594_955_804, 16_616_101_746_815_609_346]
        );
        let all = [draw(1, &[2, 3]), draw(1, &[3, 2]), draw(2, &[2, 3]), draw(1, &[2])];
        assert!(all.iter().enumerate().all(|(at, one)| !all[at + 1..].contains(one)));
    }
}
