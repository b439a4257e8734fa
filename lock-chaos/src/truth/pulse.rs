//! When on our clock a change of the store was made: a small write every now and then, whose revision and
//! times of request and answer are known, bounds all others.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lock_check::history::Stamp;

/// How often.
pub(super) const EVERY: Duration = Duration::from_millis(25);

/// The writes so far.
#[derive(Debug, Default)]
pub(super) struct Pulses(Mutex<Vec<Pulse>>);

#[derive(Clone, Copy, Debug)]
struct Pulse {
    revision: u64,
    sent: Duration,
    answered: Duration,
}

impl Pulses {
    pub(super) fn add(&self, revision: u64, sent: Duration, answered: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Pulse { revision, sent, answered });
    }

    /// What they say.
    pub(super) fn clock(&self) -> Clock {
        let mut pulses = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        pulses.sort_unstable_by_key(|pulse| pulse.revision);
        let mut sent = Duration::ZERO;
        let after = pulses.iter().map(|pulse| {
            sent = sent.max(pulse.sent);
            (pulse.revision, sent)
        });
        let after = after.collect();
        let mut answered = Duration::MAX;
        let before = pulses.iter().rev().map(|pulse| {
            answered = answered.min(pulse.answered);
            (pulse.revision, answered)
        });
        let mut before: Vec<_> = before.collect();
        before.reverse();
        Clock { after, before }
    }
}

/// From a revision to when it was made.
#[derive(Debug)]
pub(super) struct Clock {
    /// By revision: every later one was made after this.
    after: Vec<(u64, Duration)>,
    /// By revision: every earlier one was made before this.
    before: Vec<(u64, Duration)>,
}

impl Clock {
    pub(super) fn stamp(&self, revision: u64) -> Stamp {
        let smaller = self.after.partition_point(|(of, _)| *of < revision);
        let earliest = smaller.checked_sub(1).and_then(|at| self.after.get(at)).map(|(_, sent)| *sent);
        let larger = self.before.partition_point(|(of, _)| *of <= revision);
        let latest = self.before.get(larger).map(|(_, answered)| *answered);
        Stamp {
            revision,
            earliest: earliest.unwrap_or(Duration::ZERO),
            latest: latest.unwrap_or(Duration::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_lie_between_pulses() {
        let pulses = Pulses::default();
        let seconds = Duration::from_secs;
        // The second one was answered late.
        for (revision, sent, answered) in [(10, 1, 2), (20, 3, 9), (30, 5, 6)] {
            pulses.add(revision, seconds(sent), seconds(answered));
        }
        let clock = pulses.clock();
        let bounds = |revision| {
            let stamp = clock.stamp(revision);
            (stamp.earliest, stamp.latest)
        };
        assert_eq!(bounds(5), (Duration::ZERO, seconds(2)));
        assert_eq!(bounds(15), (seconds(1), seconds(6)));
        assert_eq!(bounds(25), (seconds(3), seconds(6)));
        assert_eq!(bounds(35), (seconds(5), Duration::MAX));
    }
}
