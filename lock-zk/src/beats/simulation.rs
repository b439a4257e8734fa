//! The rule, and simpler ones, against a leader and a follower whose every delay is drawn by chance.
//!
//! One session at a follower. Its client, and each way between the client, the follower and the leader, falls
//! silent now and then and goes on. The leader is told of the session in answers to its pings and in no other
//! way; what it is told late keeps the order. Times are in microseconds.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range, time::Duration};

use lock_core::Moment;

use super::Beats;

const MS: u64 = 1_000;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// Mostly quick, and now and then not.
    fn delay(&mut self) -> u64 {
        let longest = if self.below(20) == 0 { 40 * MS } else { 2 * MS };
        self.below(longest)
    }
}

/// When something stands still; in order.
#[derive(Default)]
struct Silences(Vec<Range<u64>>);

impl Silences {
    /// Each 0.3 to 0.9 of a session's timeout, after up to `apart` without.
    fn draw(chance: &mut Chance, timeout: u64, apart: u64, end: u64) -> Self {
        let (mut silences, mut at) = (Vec::new(), 0);
        while at < end {
            let start = at + chance.below(apart);
            at = start + timeout * 3 / 10 + chance.below(timeout * 6 / 10);
            silences.push(start..at);
        }
        Self(silences)
    }

    /// The first moment from `at` on that is in none.
    fn after(&self, at: u64) -> u64 {
        self.0.iter().find(|silence| silence.contains(&at)).map_or(at, |silence| silence.end)
    }
}

/// One way of a connection: late, but in order.
#[derive(Default)]
struct Way {
    silences: Silences,
    last: u64,
}

impl Way {
    fn arrival(&mut self, chance: &mut Chance, at: u64) -> u64 {
        self.last = self.last.max(self.silences.after(at + chance.delay()));
        self.last
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The leader pings the follower, which answers whether it has heard of the session since.
    LeaderPings,
    PingAtFollower,
    AnswerAtLeader(bool),
    /// The leader may have to end the session.
    Boundary,
    EndAtFollower,
    /// The client pings the follower, which answers by itself.
    ClientPings,
    ClientPingAtFollower(u64),
    PongAtClient(u64),
    /// A beat, from the client to the leader and back.
    ClientBeats,
    BeatAtFollower,
    BeatAtLeader,
    BeatCommitted,
    CommitAtFollower,
    BeatAtClient,
}

/// What the deadline would have been at most by each rule.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    pub(super) ours: u64,
    /// The last ping that was answered, and T.
    pub(super) ping: u64,
    /// The last beat that was answered, and T.
    pub(super) beat: u64,
    /// The last beat that was answered, and T/2.
    pub(super) half: u64,
    /// Ours with the last beat in place of the one before it.
    pub(super) last: u64,
}

pub(super) struct World {
    chance: Chance,
    pub(super) timeout: u64,
    tick: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    scheduled: u64,

    stalls: Silences,
    client_to_follower: Way,
    follower_to_client: Way,
    follower_to_leader: Way,
    leader_to_follower: Way,

    /// When the leader's ticks are.
    phase: u64,
    /// When the leader ends the session.
    expires: u64,
    pub(super) ended: Option<u64>,
    last_commit: u64,
    /// Whether the follower has heard of the session since it told of it.
    touched: bool,
    closed: bool,

    beats: Beats,
    /// All that were answered, from when to when.
    answered: Vec<Range<u64>>,
    sent: u64,
    second: bool,
    pub(super) deadlines: Deadlines,
    /// How long ago what the deadline counts from was, at most, when a beat was answered.
    pub(super) oldest_base: u64,
}

fn moment(at: u64) -> Moment {
    Moment::from_zero(Duration::from_micros(at))
}

fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.since_zero().as_micros()).unwrap()
}

impl World {
    /// `said`: what share of the tick, in percent, the client takes for the whole.
    pub(super) fn new(seed: u64, said: u64, silent: bool) -> Self {
        let mut chance = Chance(seed);
        let tick = (100 + chance.below(1_900)) * MS;
        let timeout = tick * (20 + chance.below(8) * chance.below(8)) / 10;
        let mut silences = |apart: u64| match silent && chance.below(3) > 0 {
            true => Silences::draw(&mut chance, timeout, apart, 20 * timeout),
            false => Silences::default(),
        };
        let stalls = silences(timeout * 2);
        let mut way = || Way { silences: silences(timeout * 6), last: 0 };
        let (client_to_follower, follower_to_client) = (way(), way());
        let (follower_to_leader, leader_to_follower) = (way(), way());
        let phase = chance.below(tick);
        let beats =
            Beats::new(Duration::from_micros(timeout), Some(Duration::from_micros(tick * said / 100)));
        Self {
            chance,
            timeout,
            tick,
            events: BinaryHeap::new(),
            scheduled: 0,
            stalls,
            client_to_follower,
            follower_to_client,
            follower_to_leader,
            leader_to_follower,
            phase,
            expires: 0,
            ended: None,
            last_commit: 0,
            touched: false,
            closed: false,
            beats,
            answered: Vec::new(),
            sent: 0,
            second: false,
            deadlines: Deadlines::default(),
            oldest_base: 0,
        }
    }

    /// From the session's begin to its end.
    pub(super) fn run(mut self) -> Self {
        let sent = self.chance.below(self.tick);
        let made = sent + self.chance.delay();
        let answered = made + self.chance.delay();
        self.beats.begun(moment(sent), moment(answered));
        self.touch(made);
        let pings = self.chance.below(self.tick / 2);
        self.at(pings, Event::LeaderPings);
        self.at(answered, Event::ClientPings);
        self.at_next_beats(answered);
        while let Some(Reverse((now, _, event))) = self.events.pop()
            && now < 20 * self.timeout
        {
            self.step(now, event);
        }
        self
    }

    fn at(&mut self, when: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((when, self.scheduled, event)));
    }

    fn at_next_beats(&mut self, now: u64) {
        let due = self.beats.next().map_or(now, micros);
        let due = self.stalls.after(now.max(due) + self.chance.below(2 * MS));
        self.at(due, Event::ClientBeats);
    }

    /// The leader counts from here: the session ends at the first tick after its timeout.
    fn touch(&mut self, now: u64) {
        if self.ended.is_none() {
            let ticks = (now + self.timeout - self.phase.min(now)) / self.tick + 1;
            self.expires = self.phase.min(now) + ticks * self.tick;
            self.at(self.expires, Event::Boundary);
        }
    }

    fn send_leader(&mut self, now: u64, event: Event) {
        let arrives = self.follower_to_leader.arrival(&mut self.chance, now);
        self.at(arrives, event);
    }

    fn send_follower(&mut self, now: u64, event: Event) {
        let arrives = self.leader_to_follower.arrival(&mut self.chance, now);
        self.at(arrives, event);
    }

    /// From the client, which may stall between a look at its clock and the sending.
    fn client_sends(&mut self, now: u64, event: Event) {
        let leaves = self.stalls.after(now + self.chance.below(MS / 2));
        let arrives = self.client_to_follower.arrival(&mut self.chance, leaves);
        self.at(arrives, event);
    }

    fn send_client(&mut self, now: u64, event: Event) {
        let arrives = self.follower_to_client.arrival(&mut self.chance, now);
        self.at(self.stalls.after(arrives), event);
    }

    fn step(&mut self, now: u64, event: Event) {
        match event {
            Event::LeaderPings => {
                self.send_follower(now, Event::PingAtFollower);
                let late = self.chance.below(self.tick / 2 / 20 + 20 * MS);
                self.at(now + self.tick / 2 + late, Event::LeaderPings);
            }
            Event::PingAtFollower => {
                let touched = std::mem::take(&mut self.touched);
                self.send_leader(now, Event::AnswerAtLeader(touched));
            }
            Event::AnswerAtLeader(true) => self.touch(now),
            Event::AnswerAtLeader(false) => {}
            Event::Boundary if now == self.expires && self.ended.is_none() => {
                self.ended = Some(now);
                let committed = self.committed(now);
                self.send_follower(committed, Event::EndAtFollower);
            }
            Event::Boundary => {}
            Event::EndAtFollower => self.closed = true,
            _ => self.step_of_client(now, event),
        }
    }

    fn step_of_client(&mut self, now: u64, event: Event) {
        match event {
            Event::ClientPings => {
                self.client_sends(now, Event::ClientPingAtFollower(now));
                let next = self.stalls.after(now + self.timeout / 6);
                self.at(next, Event::ClientPings);
            }
            Event::ClientPingAtFollower(sent) if !self.closed => {
                self.touched = true;
                self.send_client(now, Event::PongAtClient(sent));
            }
            Event::PongAtClient(sent) => self.deadlines.ping = sent + self.timeout,
            Event::ClientBeats => {
                self.sent = now;
                self.client_sends(now, Event::BeatAtFollower);
            }
            Event::BeatAtFollower if !self.closed => {
                self.touched = true;
                self.send_leader(now, Event::BeatAtLeader);
            }
            Event::BeatAtLeader if self.ended.is_none() => {
                let committed = self.committed(now);
                self.at(committed, Event::BeatCommitted);
            }
            Event::BeatCommitted => self.send_follower(now, Event::CommitAtFollower),
            Event::CommitAtFollower => self.send_client(now, Event::BeatAtClient),
            Event::BeatAtClient => self.acknowledged(now),
            // The session is over.
            _ => {}
        }
    }

    /// When a quorum has what the leader proposes now.
    fn committed(&mut self, now: u64) -> u64 {
        self.last_commit = self.last_commit.max(now + self.chance.delay());
        self.last_commit
    }

    fn acknowledged(&mut self, now: u64) {
        if let Some(base) = self.beats.base() {
            self.oldest_base = self.oldest_base.max(now - micros(base));
        }
        self.beats.acknowledged(moment(self.sent), moment(now));
        self.answered.push(self.sent..now);
        let relay = u64::try_from(self.beats.relay.as_micros()).unwrap();
        let heard_of = self.answered.iter().rev().find(|beat| beat.end + relay <= self.sent);
        self.deadlines.last = heard_of.map_or(0, |beat| beat.start + self.timeout);
        self.deadlines.ours = self.beats.base().map_or(0, micros) + self.timeout;
        self.deadlines.beat = self.sent + self.timeout;
        self.deadlines.half = self.sent + self.timeout / 2;
        self.second = !self.second;
        if self.second { self.at(now, Event::ClientBeats) } else { self.at_next_beats(now) }
    }

    /// By how long a deadline is too late.
    pub(super) fn excess(&self, deadline: impl Fn(&Deadlines) -> u64) -> u64 {
        self.ended.map_or(0, |ended| deadline(&self.deadlines).saturating_sub(ended))
    }
}
