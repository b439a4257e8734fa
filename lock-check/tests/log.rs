//! The store's own log: each invariant passes a good one and fails a bad one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lock_check::history::{GuardedWrite, Invariant, Log, Look, Stamp, Stay};
use lock_core::{ClaimId, Kind, LineId, Mode, SessionId};

const X: Mode = Mode::Exclusive;
const PERMITS: Mode = Mode::Permits { count: 2, limit: 3 };

fn claim(number: u64) -> ClaimId {
    ClaimId { session: SessionId::new(number), number: 0 }
}

/// Each revision is made in its second, half a second more or less.
fn stamp(revision: u64) -> Stamp {
    let at = Duration::from_secs(revision);
    let half = Duration::from_millis(500);
    Stamp { revision, earliest: at.saturating_sub(half), latest: at + half }
}

/// One that holds where it queued.
fn queued(number: u64, entered: u64, gone: u64) -> Stay {
    Stay {
        claim: claim(number),
        line: LineId::new(Kind::Mutex, "x".parse().unwrap()),
        mode: X,
        place: entered,
        entered: stamp(entered),
        admitted: None,
        gone: Some(stamp(gone)),
    }
}

/// One that holds behind the gate.
fn admitted(number: u64, mode: Mode, entered: u64, admitted: u64, gone: u64) -> Stay {
    Stay { mode, admitted: Some(stamp(admitted)), ..queued(number, entered, gone) }
}

fn found(stays: Vec<Stay>, writes: &[(u64, u64)], looks: &[(u64, u64)]) -> Vec<Invariant> {
    let writes =
        writes.iter().map(|(number, revision)| GuardedWrite { claim: claim(*number), revision: *revision });
    let log = Log { stays, writes: writes.collect() };
    let looks: Vec<Look> = looks
        .iter()
        .map(|(number, at)| {
            let at = Duration::from_secs(*at);
            Look { claim: claim(*number), before: at, after: at }
        })
        .collect();
    let violations = log.check(&looks);
    for violation in &violations {
        println!("{violation}");
    }
    violations.into_iter().map(|violation| violation.invariant).collect()
}

#[test]
fn a_good_log_violates_nothing() {
    let stays = vec![
        queued(1, 10, 20),
        // Two readers, one after the other through the gate.
        admitted(2, Mode::Shared, 11, 21, 30),
        admitted(3, Mode::Shared, 12, 22, 31),
        // A withdrawal, and a writer behind it.
        queued(4, 13, 15),
        queued(5, 14, 40),
        admitted(6, PERMITS, 41, 41, 50),
        admitted(7, Mode::Permits { count: 1, limit: 3 }, 42, 42, 50),
        Stay { gone: None, ..queued(8, 60, 60) },
    ];
    let looks = [(1, 10), (1, 19), (2, 22), (3, 30), (5, 31), (5, 40), (6, 42), (7, 43), (8, 99)];
    assert_eq!(found(stays, &[(1, 12), (5, 39), (8, 70)], &looks), []);
}

#[test]
fn i3_one_who_is_admitted_beside_another_is_found() {
    let stays = vec![admitted(1, PERMITS, 10, 10, 20), admitted(2, PERMITS, 11, 12, 20)];
    assert_eq!(found(stays, &[], &[]), [Invariant::StoreExclusion]);
    let stays = vec![admitted(1, Mode::Shared, 10, 10, 20), admitted(2, PERMITS, 11, 12, 20)];
    assert_eq!(found(stays, &[], &[]), [Invariant::StoreExclusion]);
}

#[test]
fn i4_two_guards_that_are_valid_at_once_are_found() {
    let stays = vec![queued(1, 10, 20), queued(2, 11, 30)];
    assert_eq!(found(stays.clone(), &[], &[(1, 12), (2, 20)]), []);
    assert_eq!(found(stays, &[], &[(1, 12), (2, 18)]), [Invariant::BeliefExclusion]);
    // A reader need not wait for readers.
    let readers = vec![admitted(1, Mode::Shared, 10, 10, 20), admitted(2, Mode::Shared, 11, 11, 30)];
    assert_eq!(found(readers, &[], &[(2, 12)]), []);
    let behind_a_writer = vec![queued(1, 10, 20), admitted(2, Mode::Shared, 11, 21, 30)];
    assert_eq!(found(behind_a_writer, &[], &[(2, 15)]), [Invariant::BeliefExclusion]);
}

#[test]
fn i5_a_write_of_one_who_does_not_hold_is_found() {
    let stays = || vec![queued(1, 10, 20), queued(2, 11, 30)];
    assert_eq!(found(stays(), &[(1, 19), (2, 21)], &[]), []);
    assert_eq!(found(stays(), &[(2, 15)], &[]), [Invariant::FencedWrites], "somebody is ahead");
    assert_eq!(found(stays(), &[(1, 25)], &[]), [Invariant::FencedWrites], "it is gone");
    let behind_a_reader = vec![admitted(1, Mode::Shared, 10, 10, 20), queued(2, 11, 30)];
    assert_eq!(found(behind_a_reader, &[(2, 15)], &[]), [Invariant::FencedWrites]);
}

#[test]
fn i6_one_who_passes_another_at_the_gate_is_found() {
    let stays = vec![queued(1, 10, 30), admitted(2, Mode::Shared, 11, 12, 20)];
    assert_eq!(found(stays, &[], &[]), [Invariant::Fifo]);
}

#[test]
fn i6_one_who_passes_those_that_are_as_good_as_granted_overtakes_nobody() {
    let reader = |number, entered| admitted(number, Mode::Shared, entered, 15, 20);
    assert_eq!(found(vec![reader(1, 10), admitted(2, Mode::Shared, 11, 12, 20)], &[], &[]), []);
    let behind_a_writer = vec![queued(1, 10, 18), Stay { admitted: Some(stamp(18)), ..reader(2, 11) }];
    let passes_both = [behind_a_writer, vec![admitted(3, Mode::Shared, 12, 13, 20)]].concat();
    assert_eq!(found(passes_both, &[], &[]), [Invariant::Fifo]);
    let waits = Stay { admitted: Some(stamp(15)), ..admitted(1, PERMITS, 10, 15, 20) };
    assert_eq!(found(vec![waits, admitted(2, PERMITS, 11, 12, 14)], &[], &[]), [Invariant::Fifo]);
}

#[test]
fn i7_a_guard_that_outlives_its_claim_is_found() {
    assert_eq!(found(vec![queued(1, 10, 20)], &[], &[(1, 20)]), []);
    assert_eq!(found(vec![queued(1, 10, 20)], &[], &[(1, 21)]), [Invariant::Posthumous]);
    assert_eq!(found(vec![queued(1, 10, 20)], &[], &[(1, 9)]), [Invariant::Posthumous], "not yet in line");
    assert_eq!(found(Vec::new(), &[], &[(1, 9)]), [Invariant::Posthumous], "never in line");
}
