//! The semaphore: who holds how many permits, in which order, and how many there are.

use std::sync::{Arc, Mutex};

use lock_core::{
    Coordinator, Effect, ErrorKind, Guard, Mode, Semaphore, backend::CellVersion, runtime::Runtime,
};

use crate::support::{MILLI, SECOND, TTL, World, background, settle};

fn semaphore(coordinator: &Coordinator, limit: u32) -> Semaphore {
    coordinator.semaphore("x", limit).unwrap()
}

/// Waits for permits in the background; guards lie in the vector from their grant on.
fn waits(semaphore: &Semaphore, permits: u32, granted: &Arc<Mutex<Vec<Guard>>>) {
    let (semaphore, granted) = (semaphore.clone(), granted.clone());
    background(async move {
        let guard = semaphore.acquire_many(permits).await.unwrap();
        granted.lock().unwrap().push(guard);
    });
}

#[tokio::test(start_paused = true)]
async fn c19_requests_are_served_in_order_by_weight() {
    let world = World::new();
    let semaphore = semaphore(&world.coordinator().await, 4);
    let holding = semaphore.acquire_many(2).await.unwrap();
    let granted: Arc<Mutex<Vec<Guard>>> = Arc::default();
    for (number, permits) in [3, 1, 2, 4].into_iter().enumerate() {
        waits(&semaphore, permits, &granted);
        world.until_in_line(number + 2).await;
    }
    assert!(granted.lock().unwrap().is_empty(), "nobody overtakes the one who asks for three");
    holding.release().await.unwrap();
    for together in [2, 1, 1] {
        settle().await;
        let guards = std::mem::take(&mut *granted.lock().unwrap());
        assert_eq!(guards.len(), together);
        for guard in guards {
            guard.release().await.unwrap();
        }
    }
    world.assert_clean_soon("all turns").await;
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_heeds_those_who_wait() {
    let world = World::new();
    let semaphore = semaphore(&world.coordinator().await, 3);
    let holding = semaphore.try_acquire_many(2).await.unwrap().unwrap();
    assert!(semaphore.try_acquire_many(2).await.unwrap().is_none());
    let start = world.runtime.now();
    assert!(semaphore.try_acquire_many_for(2, SECOND).await.unwrap().is_none());
    assert!(world.runtime.now().saturating_since(start) < SECOND + 10 * MILLI);
    let third = semaphore.try_acquire_for(SECOND).await.unwrap().unwrap();
    assert!(semaphore.try_acquire().await.unwrap().is_none());
    assert_eq!(world.memory.residue().claims, 2, "a try that fails leaves nothing");
    drop((holding, third));
    world.assert_clean_soon("dropped guards").await;
}

#[tokio::test(start_paused = true)]
async fn c19_what_can_never_be_granted_is_refused_with_nothing_in_line() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let error = coordinator.semaphore("x", 0).unwrap_err();
    assert_eq!(error.to_string(), "semaphore semaphore \"x\": a semaphore has at least 1 permit, not 0");
    let five = semaphore(&coordinator, 5);
    assert_eq!(five.acquire_many(0).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(five.resize(0).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    let in_no_time = five.clone().max_hold(std::time::Duration::ZERO);
    assert_eq!(in_no_time.acquire().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(world.memory.requests(coordinator.session_id()), 0);
    let error = five.acquire_many(6).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert_eq!(
        error.to_string(),
        "acquire_many semaphore \"x\": 6 permits can never be granted: the limit is 5"
    );
    assert_eq!(five.try_acquire_many_for(6, TTL).await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(world.memory.residue().claims, 0);
}

#[tokio::test(start_paused = true)]
async fn c19_those_who_disagree_get_an_error_that_names_both_limits() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let holding = semaphore(&a, 3).acquire().await.unwrap();
    let error = semaphore(&b, 50).acquire().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disagreement, Effect::None));
    assert_eq!(
        error.to_string(),
        "acquire semaphore \"x\": there are 3 permits, not 50; resize the semaphore to change that"
    );
    assert!(!error.is_retryable());
    assert_eq!(world.memory.residue().claims, 1);
    assert_eq!(semaphore(&b, 50).limit().await.unwrap(), 3);
    // Until nobody remembers.
    semaphore(&b, 50).forget().await.unwrap();
    assert_eq!(semaphore(&b, 50).limit().await.unwrap(), 50);
    assert_eq!(world.memory.residue().cells, 0);
    drop(holding);
}

#[tokio::test(start_paused = true)]
async fn c19_a_resize_takes_nothing_away_and_gives_to_those_who_come_later() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let two = semaphore(&a, 2);
    let held = two.acquire_many(2).await.unwrap();
    let granted: Arc<Mutex<Vec<Guard>>> = Arc::default();
    waits(&two, 1, &granted);
    world.until_in_line(2).await;
    two.resize(4).await.unwrap();
    let four = semaphore(&b, 4);
    waits(&four, 3, &granted);
    world.until_in_line(3).await;
    settle().await;
    assert!(granted.lock().unwrap().is_empty(), "the older one goes by two");
    held.release().await.unwrap();
    settle().await;
    assert_eq!(granted.lock().unwrap().len(), 2);
    let modes: Vec<_> = four.inspect().await.unwrap().holders().map(|holder| holder.mode).collect();
    assert_eq!(modes, [Mode::Permits { count: 1, limit: 2 }, Mode::Permits { count: 3, limit: 4 }]);
    four.resize(1).await.unwrap();
    assert!(granted.lock().unwrap().iter().all(Guard::is_valid));
    assert!(semaphore(&a, 1).try_acquire().await.unwrap().is_none());
    granted.lock().unwrap().clear();
    assert!(semaphore(&a, 1).try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c19_those_who_state_the_limit_before_live_on_until_the_next_resize() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (operator, old) = (semaphore(&a, 2), semaphore(&b, 2));
    operator.resize(3).await.unwrap();
    assert_eq!(
        old.acquire_many(3).await.unwrap().token(),
        old.inspect().await.unwrap().places[0].token.unwrap()
    );
    world.assert_clean_soon("a dropped guard").await;
    // Again says nothing new, so it does not make the old number older.
    operator.resize(3).await.unwrap();
    drop(old.acquire().await.unwrap());
    operator.resize(4).await.unwrap();
    assert_eq!(old.acquire().await.unwrap_err().kind(), ErrorKind::Disagreement);
    drop(operator.acquire_many(4).await.unwrap());
    old.resize(4).await.unwrap();
    drop(old.acquire_many(4).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn c9_a_lost_reply_to_a_write_of_the_limit_is_no_disagreement() {
    for lost in 0..4 {
        let world = World::new();
        let coordinator = world.coordinator().await;
        world.memory.lose_reply(coordinator.session_id(), lost);
        let two = semaphore(&coordinator, 2);
        drop(two.acquire().await.unwrap());
        world.memory.lose_reply(coordinator.session_id(), lost);
        two.resize(3).await.unwrap();
        drop(semaphore(&coordinator, 2).acquire().await.unwrap());
        drop(semaphore(&coordinator, 3).acquire().await.unwrap());
        assert_eq!(two.limit().await.unwrap(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn c9_a_resize_whose_reply_is_lost_does_not_undo_a_later_one() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (ours, theirs) = (semaphore(&a, 5), semaphore(&b, 5));
    drop(theirs.acquire().await.unwrap());
    world.memory.lose_reply(a.session_id(), 1);
    let resizing = background({
        let ours = ours.clone();
        async move { ours.resize(10).await }
    });
    settle().await;
    assert_eq!((world.memory.lost_replies(a.session_id()), theirs.limit().await.unwrap()), (1, 10));
    theirs.resize(7).await.unwrap();
    resizing.await.unwrap().unwrap();
    assert_eq!(theirs.limit().await.unwrap(), 7);
    // Those who state what it was before live on.
    drop(ours.acquire().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn c9_a_resize_that_may_have_been_overtaken_is_not_made_twice() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (ours, theirs) = (semaphore(&a, 5), semaphore(&b, 5));
    drop(theirs.acquire().await.unwrap());
    world.memory.lose_reply(a.session_id(), 1);
    let resizing = background(async move { ours.resize(10).await });
    settle().await;
    theirs.resize(7).await.unwrap();
    theirs.resize(8).await.unwrap();
    let error = resizing.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disagreement, Effect::Unknown));
    assert_eq!(
        error.to_string(),
        "resize semaphore \"x\": the reply to a write was lost, and others have written since \
         (may have taken effect)"
    );
    assert_eq!(theirs.limit().await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn c13_an_error_after_a_write_whose_reply_was_lost_says_that_it_may_be_there() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let claims = b.claims(lock_core::LineId::new(lock_core::Kind::Semaphore, "x".parse().unwrap()));
    let guard = claims.acquire(Mode::Present).await.unwrap();
    world.memory.lose_reply(a.session_id(), 1);
    let resizing = background(async move { semaphore(&a, 5).resize(10).await });
    settle().await;
    let written = claims.cell().await.unwrap().version;
    claims.put_cell(written, b"{]", &guard).await.unwrap();
    let error = resizing.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Garbled, Effect::Unknown));
}

#[tokio::test(start_paused = true)]
async fn c19_who_queues_anew_goes_by_the_number_that_is_there_then() {
    for patience in [None, Some(TTL * 6)] {
        let world = World::new();
        let (a, b) = (world.coordinator().await, world.coordinator().await);
        let operator = semaphore(&b, 2);
        let (one, other) = (operator.acquire().await.unwrap(), operator.acquire().await.unwrap());
        let waiting = background({
            let semaphore = semaphore(&a, 2);
            async move {
                match patience {
                    None => semaphore.acquire().await,
                    Some(patience) => semaphore.try_acquire_for(patience).await.map(Option::unwrap),
                }
            }
        });
        world.until_in_line(3).await;
        operator.resize(1).await.unwrap();
        world.memory.expire_now(a.session_id());
        assert_eq!(world.memory.residue().claims, 2);
        world.until_in_line(3).await;
        let modes: Vec<_> = operator.inspect().await.unwrap().waiters().map(|waiter| waiter.mode).collect();
        assert_eq!(modes, [Mode::Permits { count: 1, limit: 1 }]);
        one.release().await.unwrap();
        settle().await;
        assert!(!waiting.is_finished(), "two are held of one");
        other.release().await.unwrap();
        waiting.await.unwrap().unwrap().release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c19_who_queues_anew_and_disagrees_by_then_gets_an_error() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let operator = semaphore(&b, 2);
    let _held = operator.acquire_many(2).await.unwrap();
    let waiting = background({
        let semaphore = semaphore(&a, 2);
        async move { semaphore.acquire().await }
    });
    world.until_in_line(2).await;
    operator.resize(1).await.unwrap();
    operator.resize(3).await.unwrap();
    world.memory.expire_now(a.session_id());
    let outcome = world.within(TTL, "the next attempt", waiting).await;
    assert_eq!(outcome.unwrap().unwrap_err().kind(), ErrorKind::Disagreement);
    assert_eq!(world.memory.residue().claims, 1);
}

#[tokio::test(start_paused = true)]
async fn c6_a_store_that_does_not_answer_is_an_error_soon() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let semaphore = semaphore(&coordinator, 2);
    world.memory.lose_all_replies(coordinator.session_id(), true);
    let start = world.runtime.now();
    let error = semaphore.try_acquire().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    assert!(world.runtime.now().saturating_since(start) < SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn c10_a_session_that_is_lost_while_the_limit_is_read_is_replaced() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let semaphore = semaphore(&coordinator, 2);
    let before = coordinator.session_id();
    world.memory.lose_all_replies(before, true);
    world.memory.pause_renewals(before, true);
    let guard = semaphore.acquire().await.unwrap();
    assert_ne!(guard.claim().session, before);
}

#[tokio::test(start_paused = true)]
async fn a_garbled_limit_is_reported_and_kept() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let semaphore = semaphore(&coordinator, 2);
    let claims = coordinator.claims(lock_core::LineId::new(lock_core::Kind::Semaphore, "x".parse().unwrap()));
    let guard = claims.acquire(Mode::Present).await.unwrap();
    let written = claims.put_cell(CellVersion::ABSENT, b"{]", &guard).await.unwrap();
    for error in [
        semaphore.acquire().await.unwrap_err(),
        semaphore.limit().await.unwrap_err(),
        semaphore.resize(3).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Garbled);
    }
    assert_eq!(claims.cell().await.unwrap().version, written);
}

#[tokio::test(start_paused = true)]
async fn c4_a_release_before_a_thousand_costs_what_it_grants() {
    let world = World::new();
    let (holder, party) = (world.coordinator().await, world.coordinator().await);
    let all = semaphore(&holder, 8).acquire_many(8).await.unwrap();
    let granted: Arc<Mutex<Vec<Guard>>> = Arc::default();
    let semaphore = semaphore(&party, 8);
    for _ in 0..1000 {
        waits(&semaphore, 1, &granted);
    }
    world.until_in_line(1001).await;
    let served = world.memory.served();
    all.release().await.unwrap();
    settle().await;
    assert_eq!(granted.lock().unwrap().len(), 8);
    assert_eq!(world.memory.served(), served + 1, "the release, and nothing else");
}

#[tokio::test(start_paused = true)]
async fn c15_a_store_without_permits_is_not_asked() {
    let world = World::new();
    world.memory.declare_exclusive_only();
    let coordinator = world.coordinator().await;
    let semaphore = semaphore(&coordinator, 2);
    assert_eq!(semaphore.acquire().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(semaphore.try_acquire().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(world.memory.requests(coordinator.session_id()), 0);
}
