//! What the simulation shows.

use std::time::Duration;

use lock_core::Moment;

use super::{Beats, least_timeout, simulation::World};

const RUNS: u64 = 10_000;

/// In how many runs a deadline is too late, and by how long at most.
#[derive(Debug, Default)]
struct Excess {
    runs: u64,
    worst: Duration,
}

impl Excess {
    fn add(&mut self, micros: u64) {
        self.runs += u64::from(micros > 0);
        self.worst = self.worst.max(Duration::from_micros(micros));
    }
}

#[test]
fn the_leader_never_ends_a_session_before_its_deadline_and_simpler_rules_are_refuted() {
    lock_check::bug::seed();
    let mut ended = 0;
    let [mut ping, mut beat, mut half, mut last] = [(); 4].map(|()| Excess::default());
    for seed in 0..RUNS {
        let world = World::new(seed, 100, true).run();
        ended += u64::from(world.ended.is_some());
        assert_eq!(
            world.excess(|by| by.ours),
            0,
            "seed {seed}: {:?}, ended {:?}",
            world.deadlines,
            world.ended
        );
        ping.add(world.excess(|by| by.ping));
        beat.add(world.excess(|by| by.beat));
        half.add(world.excess(|by| by.half));
        last.add(world.excess(|by| by.last));
    }
    println!("{ended} of {RUNS} sessions ended, none before our deadline; too late would have been:");
    let rules = [("ping + T", ping), ("beat + T", beat), ("beat + T/2", half), ("not the one before", last)];
    for (rule, excess) in rules {
        println!("{rule}: {excess:?}");
        assert!(excess.runs > 0, "{rule} is not refuted");
    }
    assert!(ended > RUNS / 2);
}

/// As `Config::tick` warns.
#[test]
fn a_tick_that_is_longer_than_what_was_said_is_refuted() {
    let mut early = Excess::default();
    for seed in 0..RUNS {
        early.add(World::new(seed, 10, true).run().excess(|by| by.ours));
    }
    println!("a tenth of the tick: {early:?}");
    assert!(early.runs > 0);
}

#[test]
fn without_silences_no_session_ends_and_no_deadline_comes_near() {
    for seed in 0..RUNS / 10 {
        let world = World::new(seed, 100, false).run();
        assert_eq!(world.ended, None, "seed {seed}");
        let age = Duration::from_micros(world.oldest_base);
        let timeout = Duration::from_micros(world.timeout);
        assert!(age < timeout * 3 / 4 + Duration::from_millis(500), "seed {seed}: {age:?} of {timeout:?}");
    }
}

/// Whether each beat that counts is known before the deadline of the one before, on a healthy ensemble.
fn is_kept(timeout: Duration, tick: Duration) -> bool {
    let (mut beats, mut now) = (Beats::new(timeout, Some(tick)), Moment::from_zero(Duration::ZERO));
    let margin = timeout / 100 + (timeout / 50).max(Duration::from_millis(100));
    let (trusted, round_trip) = (timeout.saturating_sub(margin), timeout / 60);
    beats.begun(now, now + round_trip);
    (0..20).all(|_| {
        let deadline = beats.base().unwrap() + trusted;
        now = beats.next().unwrap();
        for _ in 0..2 {
            beats.acknowledged(now, now + round_trip);
            now = now + round_trip;
        }
        now < deadline
    })
}

#[test]
fn c7_sessions_of_the_least_timeout_are_kept_and_those_of_one_tick_are_not() {
    for tick in [50, 100, 500, 2_000, 4_000, 60_000].map(Duration::from_millis) {
        let least = least_timeout(tick);
        assert!(is_kept(least, tick), "{tick:?}: {least:?}");
        assert!(tick < least && least < tick * 13 / 10 + Duration::from_millis(200), "{tick:?}: {least:?}");
        assert!(!is_kept(tick, tick), "{tick:?}");
    }
}
