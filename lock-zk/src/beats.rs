//! Until when a session is known to live, from what the leader has acknowledged.
//!
//! A follower answers pings and reads by itself, and a committed request does not extend a session either:
//! the leader counts a session's timeout `T` from when it last *heard of it*, and it hears of a follower's
//! sessions in the follower's answers to the leader's own pings, every half tick. So the newest
//! acknowledged beat proves nothing by itself. What it proves is that an older one was heard of:
//!
//! Let `k` be the newest acknowledged beat, and `j` the newest that was acknowledged at least `h` before beat
//! `k - 1` was sent. The commit of `k - 1` reached the follower behind a ping of the leader that was at most
//! half a tick older; the follower's answer to that ping told of `j`, and left before `k` was forwarded. The
//! leader has carried out `k`, so it has heard of `j`: the session lives until `T` after `j` was sent.
//! `docs/zookeeper-protocol.md` has the whole argument, and what is wrong with simpler rules.

use std::{collections::VecDeque, time::Duration};

use lock_core::{Moment, bug::Bug};

/// A beat that was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Beat {
    sent: Moment,
    acknowledged: Moment,
}

/// The beats of one session.
#[derive(Debug)]
pub(crate) struct Beats {
    /// How long before another beat one must have been acknowledged to be heard of (`h`).
    relay: Duration,
    /// The session's timeout (`T`).
    timeout: Duration,
    /// Those acknowledged since the one that counts.
    beats: VecDeque<Beat>,
    /// When the one that counts was sent.
    base: Option<Moment>,
}

fn relay(tick: Duration) -> Duration {
    let half_tick = tick / 2;
    // A little more: the leader's clock and its timers are not exact.
    half_tick + half_tick / 20 + Duration::from_millis(20)
}

/// The shortest timeout with which sessions can be kept. The beat that counts is followed by another one that
/// does two `relay`s and five round trips later. By then its deadline must not have passed, at 97 % of the
/// timeout or at 99 % less 100 ms: a tenth of the timeout is left for the round trips.
pub(crate) fn least_timeout(tick: Duration) -> Duration {
    (relay(tick) * 2 + Duration::from_millis(100)) * 100 / 87
}

impl Beats {
    /// None yet. `tick` is the ensemble's `tickTime`; when it is not known, it is at most half the timeout:
    /// servers grant no less, unless they are told to.
    pub(crate) fn new(timeout: Duration, tick: Option<Duration>) -> Self {
        let relay = relay(tick.unwrap_or(timeout / 2));
        Self { relay, timeout, beats: VecDeque::new(), base: None }
    }

    /// The session was made by a request sent at `sent`, whose answer came at `acknowledged`: the leader has
    /// heard of that one, because it carried it out itself.
    pub(crate) fn begun(&mut self, sent: Moment, acknowledged: Moment) {
        self.base = Some(sent);
        self.acknowledged(sent, acknowledged);
    }

    /// A beat sent at `sent` was answered at `acknowledged`.
    pub(crate) fn acknowledged(&mut self, sent: Moment, acknowledged: Moment) {
        self.beats.push_back(Beat { sent, acknowledged });
        if Bug::NewestBeatCounts.is_seeded() {
            self.base = Some(sent);
            return;
        }
        let Some(before_last) = self.beats.len().checked_sub(2).and_then(|index| self.beats.get(index))
        else {
            return;
        };
        let before_last = before_last.sent;
        let relay = self.relay;
        let heard_of = self.beats.iter().rposition(|beat| beat.acknowledged + relay <= before_last);
        if let Some(index) = heard_of {
            self.beats.drain(..index);
            self.base = self.beats.front().map(|beat| beat.sent);
        }
    }

    /// Since when the leader counts the session's timeout, at the earliest.
    pub(crate) fn base(&self) -> Option<Moment> {
        self.base
    }

    /// When the next two beats are due, one right behind the other: the first of them makes the pair before
    /// count, once the second is acknowledged.
    pub(crate) fn next(&self) -> Option<Moment> {
        self.beats.back().map(|beat| beat.acknowledged + self.relay.max(self.timeout / 5))
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
