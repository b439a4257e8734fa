//! Each invariant passes a good history and fails a bad one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use lock_check::history::{Event, Invariant, What, check};
use lock_core::{ClaimId, FencingToken, Kind, LineId, LostReason, Mode, SessionId};

const LINGERING: Duration = Duration::from_secs(10);

fn line() -> LineId {
    LineId::new(Kind::Mutex, "x".parse().unwrap())
}

fn claim(number: u64) -> ClaimId {
    ClaimId { session: SessionId::new(number), number: 0 }
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).unwrap()
}

fn joins(number: u64, place: u64, mode: Mode) -> [What; 2] {
    let claim = claim(number);
    [What::JoinSent { claim, line: line(), mode }, What::Joined { claim, place }]
}

fn granted(number: u64, value: u64) -> What {
    What::Granted { claim: claim(number), token: token(value) }
}

fn leaves(number: u64) -> [What; 3] {
    let claim = claim(number);
    [What::BeliefEnds { claim, lost: None }, What::LeaveSent { claim }, What::Left { claim }]
}

/// What is violated, when these happen one second after the other.
fn violated(parts: &[&[What]]) -> Vec<Invariant> {
    let events: Vec<Event> = parts
        .concat()
        .into_iter()
        .zip(1..)
        .map(|(what, at)| Event { at: Duration::from_secs(at), what })
        .collect();
    let violations = check(&events, LINGERING);
    for violation in &violations {
        println!("{violation}");
    }
    violations.into_iter().map(|violation| violation.invariant).collect()
}

const X: Mode = Mode::Exclusive;

#[test]
fn a_good_history_violates_nothing() {
    let none = violated(&[
        &joins(1, 1, X),
        &[granted(1, 1)],
        &joins(2, 2, Mode::Shared),
        &joins(3, 3, Mode::Shared),
        &joins(4, 4, X),
        &[What::JoinSent { claim: claim(5), line: line(), mode: X }, What::TryFailed { claim: claim(5) }],
        &[What::Wrote { line: line(), token: token(1), replaced: 0, version: Some(1) }],
        &leaves(1),
        &[granted(3, 3), granted(2, 2)],
        &leaves(3),
        &leaves(2),
        &[What::Seen { line: line(), holders: vec![(claim(4), X, token(4))] }],
        &[granted(4, 4), What::Wrote { line: line(), token: token(1), replaced: 1, version: None }],
        &[What::Evicted { claim: claim(4) }],
        &[What::BeliefEnds { claim: claim(4), lost: Some(LostReason::Evicted) }],
    ]);
    assert_eq!(none, []);
}

#[test]
fn i4_who_was_evicted_may_not_know_yet_when_the_next_has_its_turn() {
    let both = [joins(1, 1, X), joins(2, 2, X)].concat();
    let evicted = [What::Evicted { claim: claim(1) }];
    let knows = [What::BeliefEnds { claim: claim(1), lost: Some(LostReason::Evicted) }];
    assert_eq!(violated(&[&both, &[granted(1, 1)], &evicted, &[granted(2, 2)], &knows]), []);
    assert_eq!(violated(&[&both, &evicted, &[granted(1, 1), granted(2, 2)], &knows]), []);
    let third = [&joins(3, 3, X)[..], &[granted(3, 3)]].concat();
    let found = violated(&[&both, &[granted(1, 1)], &evicted, &[granted(2, 2)], &knows, &third]);
    assert_eq!(found, [Invariant::BeliefExclusion], "the next one is let in beside nobody else");
}

#[test]
fn i1_a_token_that_comes_twice_is_found() {
    let found = violated(&[&joins(1, 1, X), &[granted(1, 7)], &leaves(1), &joins(2, 2, X), &[granted(2, 7)]]);
    assert_eq!(found, [Invariant::TokensUnique]);
}

#[test]
fn i2_tokens_that_fall_are_found() {
    let found = violated(&[&joins(1, 1, X), &[granted(1, 7)], &leaves(1), &joins(2, 2, X), &[granted(2, 3)]]);
    assert_eq!(found, [Invariant::TokensOrdered]);
}

#[test]
fn i2_tokens_that_fall_when_a_turn_is_handed_on_are_found() {
    let both = |mode, next| [joins(1, 1, mode), joins(2, 2, next)].concat();
    let handed_on =
        |mode, next| violated(&[&both(mode, next), &[granted(1, 9)], &leaves(1), &[granted(2, 5)]]);
    assert_eq!(handed_on(X, X), [Invariant::TokensOrdered]);
    assert_eq!(handed_on(Mode::Shared, X), [Invariant::TokensOrdered]);
    assert_eq!(handed_on(X, Mode::Shared), [Invariant::TokensOrdered]);
    assert_eq!(handed_on(Mode::Shared, Mode::Shared), [], "they hold together, and hear of it in any order");
    let permit = Mode::Permits { count: 1, limit: 1 };
    assert_eq!(handed_on(permit, permit), [], "permit tokens identify, they do not order");
}

#[test]
fn i2_who_was_evicted_may_hear_late_of_its_turn() {
    let both = [joins(1, 1, X), joins(2, 2, X)].concat();
    let evicted = [What::Evicted { claim: claim(1) }];
    assert_eq!(violated(&[&both, &evicted, &[granted(2, 2), granted(1, 1)]]), []);
    let asked_later = [&joins(2, 2, X)[..], &[granted(2, 2)], &joins(1, 3, X), &evicted, &[granted(1, 1)]];
    assert_eq!(violated(&asked_later), [Invariant::TokensOrdered]);
}

#[test]
fn i3_a_store_that_grants_twice_is_found() {
    let both = vec![(claim(1), X, token(1)), (claim(2), Mode::Shared, token(2))];
    assert_eq!(violated(&[&[What::Seen { line: line(), holders: both }]]), [Invariant::StoreExclusion]);
    let seen = |number| What::Seen { line: line(), holders: vec![(claim(number), X, token(number))] };
    assert_eq!(violated(&[&[seen(2), seen(1)]]), [Invariant::StoreExclusion]);
}

#[test]
fn i4_two_who_believe_to_hold_are_found() {
    let found = violated(&[&joins(1, 1, X), &[granted(1, 1)], &joins(2, 2, Mode::Shared), &[granted(2, 2)]]);
    assert_eq!(found, [Invariant::BeliefExclusion]);
}

#[test]
fn i5_a_write_with_an_older_token_and_a_tick_done_twice_are_found() {
    let wrote = |number, replaced, version| What::Wrote {
        line: line(),
        token: token(number),
        replaced,
        version: Some(version),
    };
    assert_eq!(violated(&[&[wrote(2, 0, 1), wrote(1, 1, 2)]]), [Invariant::FencedWrites]);
    assert_eq!(violated(&[&[wrote(2, 1, 2), wrote(1, 0, 1)]]), [], "written before, heard of later");
    let late = [wrote(5, 1, 2), wrote(1, 0, 1), wrote(3, 2, 3)];
    assert_eq!(violated(&[&late]), [Invariant::FencedWrites], "whatever is heard of in between");
    assert_eq!(
        violated(&[&[wrote(1, 0, 1), wrote(2, 0, 2)]]),
        [Invariant::FencedWrites],
        "an update is lost"
    );
    let done = What::Completed { line: line(), tick: 5 };
    assert_eq!(violated(&[&[done.clone(), done]]), [Invariant::FencedWrites]);
}

#[test]
fn i6_one_who_overtakes_is_found() {
    let found = violated(&[
        &joins(1, 1, X),
        &[granted(1, 1)],
        &joins(2, 2, X),
        &joins(3, 3, X),
        &leaves(1),
        &[granted(3, 3)],
    ]);
    assert_eq!(found, [Invariant::Fifo]);
    // Not when the one ahead may be on its way out.
    let lost = What::SessionLost { session: claim(2).session };
    let found = violated(&[
        &joins(1, 1, X),
        &[granted(1, 1)],
        &joins(2, 2, X),
        &joins(3, 3, X),
        &[lost],
        &leaves(1),
        &[granted(3, 3)],
    ]);
    assert_eq!(found, []);
}

#[test]
fn i6_one_who_overtakes_because_others_hold_is_found() {
    let permits = |count| Mode::Permits { count, limit: 3 };
    let [first, second] = [joins(1, 1, permits(1)), joins(2, 2, permits(1))].map(Vec::from);
    let waits = joins(3, 3, permits(2));
    let late = [&joins(4, 4, permits(1))[..], &[granted(4, 4)]].concat();
    let beside_two = violated(&[&first, &second, &[granted(1, 1), granted(2, 2)], &waits, &late]);
    assert_eq!(beside_two, [Invariant::Fifo], "the one who waits could not have been granted beside three");
    let beside_none = violated(&[&first, &[granted(1, 1)], &leaves(1), &waits, &late]);
    assert_eq!(beside_none, [], "the one ahead may not have heard of its turn yet");
}

#[test]
fn i6_one_who_comes_later_and_gets_an_earlier_place_is_found() {
    assert_eq!(violated(&[&joins(1, 5, X), &joins(2, 3, X)]), [Invariant::Fifo]);
    let [sent, joined] = joins(2, 3, X);
    assert_eq!(violated(&[&[sent], &joins(1, 5, X), &[joined]]), [], "they came at the same time");
}

#[test]
fn i7_a_grant_after_the_end_is_found() {
    let ended = What::SessionEnded { session: claim(1).session };
    assert_eq!(violated(&[&joins(1, 1, X), &[ended, granted(1, 1)]]), [Invariant::Posthumous]);
}

#[test]
fn i8_an_orphan_is_found() {
    assert_eq!(violated(&[&[What::LeftBehind { claim: claim(1) }]]), [Invariant::Orphans]);
}

#[test]
fn c6_a_try_that_fails_on_a_free_line_is_found() {
    let tried =
        [What::JoinSent { claim: claim(9), line: line(), mode: X }, What::TryFailed { claim: claim(9) }];
    assert_eq!(violated(&[&tried]), [Invariant::Tries]);
    let after_a_leave = violated(&[&joins(1, 1, X), &[granted(1, 1)], &leaves(1), &tried]);
    assert_eq!(after_a_leave, [Invariant::Tries], "whoever has left keeps nobody out");
    let late = Event { at: Duration::from_secs(100), what: tried[0].clone() };
    let failed = Event { at: Duration::from_secs(101), what: tried[1].clone() };
    let lost = Event { at: Duration::from_secs(3), what: What::SessionLost { session: claim(1).session } };
    let before: Vec<Event> = joins(1, 1, X).map(|what| Event { at: Duration::from_secs(1), what }).into();
    let events = [before, vec![lost, late, failed]].concat();
    assert_eq!(check(&events, LINGERING).len(), 1, "the dead one is gone by then");
    assert_eq!(check(&events, Duration::from_secs(200)).len(), 0, "or may not be");
}

#[test]
fn c12_a_guard_that_is_lost_for_no_reason_is_found() {
    let lost = What::BeliefEnds { claim: claim(1), lost: Some(LostReason::Released) };
    assert_eq!(violated(&[&joins(1, 1, X), &[granted(1, 1), lost]]), [Invariant::Cause]);
}
