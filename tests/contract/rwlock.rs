//! The read-write lock: who holds together, in which order, with which token, and a writer who becomes a
//! reader.

use std::sync::{Arc, Mutex};

use lock_core::{Effect, ErrorKind, Guard, LostReason, Mode, runtime::Runtime};

use crate::support::{MILLI, SECOND, TTL, World, background, settle};

#[tokio::test(start_paused = true)]
async fn c18_those_who_wait_are_served_in_order_and_readers_together() {
    let world = World::new();
    let lock = world.coordinator().await.rw_lock("x").unwrap();
    let first = lock.write().await.unwrap();
    let served: Arc<Mutex<Vec<Guard>>> = Arc::default();
    for (number, writes) in [false, false, true, false, true].into_iter().enumerate() {
        let (lock, served) = (lock.clone(), served.clone());
        background(async move {
            let guard = if writes { lock.write().await.unwrap().into() } else { lock.read().await.unwrap() };
            served.lock().unwrap().push(guard);
        });
        world.until_in_line(number + 2).await;
    }
    let mut token = first.token();
    first.release().await.unwrap();
    for together in [2, 1, 1, 1] {
        settle().await;
        let guards = std::mem::take(&mut *served.lock().unwrap());
        assert_eq!(guards.len(), together);
        assert!(guards.iter().all(|guard| guard.token() > token), "{guards:?} after {token}");
        token = guards.iter().map(Guard::token).max().unwrap();
        for guard in guards {
            guard.release().await.unwrap();
        }
    }
    world.assert_clean_soon("all turns").await;
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_heeds_those_who_wait() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (a, b) = (a.rw_lock("x").unwrap(), b.rw_lock("x").unwrap());
    let reading = a.try_read().await.unwrap().unwrap();
    let beside = b.try_read_for(SECOND).await.unwrap().unwrap();
    assert!(b.try_write().await.unwrap().is_none());
    let start = world.runtime.now();
    assert!(b.try_write_for(SECOND).await.unwrap().is_none());
    assert!(world.runtime.now().saturating_since(start) < SECOND + 10 * MILLI);
    assert_eq!(world.memory.residue().claims, 2, "a try that fails leaves nothing");
    beside.release().await.unwrap();

    let writer = background({
        let b = b.clone();
        async move { b.write().await.unwrap() }
    });
    world.until_in_line(2).await;
    assert!(a.try_read().await.unwrap().is_none(), "a writer waits");
    assert!(a.try_read_for(MILLI).await.unwrap().is_none(), "a writer waits");
    reading.release().await.unwrap();
    writer.await.unwrap().release().await.unwrap();
    let writing = a.try_write_for(MILLI).await.unwrap().unwrap();
    assert!(a.try_read().await.unwrap().is_none());
    drop(writing);
    world.assert_clean_soon("a dropped writer").await;
}

#[tokio::test(start_paused = true)]
async fn c18_a_writer_becomes_a_reader_where_it_stands() {
    let world = World::new();
    let (coordinator, other) = (world.coordinator().await, world.coordinator().await);
    let (lock, others) = (coordinator.rw_lock("x").unwrap(), other.rw_lock("x").unwrap());
    let writing = lock.max_hold(TTL * 2).write().await.unwrap();
    let (token, claim) = (writing.token(), writing.claim());
    let reader = background({
        let others = others.clone();
        async move { others.read().await.unwrap() }
    });
    world.until_in_line(2).await;
    let writer = background({
        let others = others.clone();
        async move { others.write().await.unwrap() }
    });
    world.until_in_line(3).await;
    world.sleep(TTL).await;

    world.memory.lose_reply(coordinator.session_id(), 0);
    let reading = writing.downgrade().await.unwrap();
    assert_eq!((reading.token(), reading.claim()), (token, claim));
    let held: Vec<_> =
        others.inspect().await.unwrap().holders().map(|held| (held.mode, held.token)).collect();
    let reader = reader.await.unwrap();
    assert_eq!(held, [(Mode::Shared, Some(token)), (Mode::Shared, Some(reader.token()))]);
    reader.release().await.unwrap();
    settle().await;
    assert!(!writer.is_finished() && reading.is_valid());
    assert_eq!(reading.lost().await, LostReason::MaxHold, "counted from the grant");
    writer.await.unwrap().release().await.unwrap();
    drop(reading);
    world.assert_clean_soon("a downgraded writer").await;
}

#[tokio::test(start_paused = true)]
async fn c18_a_downgrade_after_the_end_is_an_error_and_leaves_nothing() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap();
    let evicted = lock.write().await.unwrap();
    assert!(lock.evict(evicted.claim()).await.unwrap());
    let error = evicted.downgrade().await.unwrap_err();
    assert_eq!(error.to_string(), "downgrade rwlock \"x\": the claim was evicted by an operator");

    let slow = lock.write().await.unwrap();
    world.memory.delay_replies(coordinator.session_id(), TTL * 2);
    world.memory.pause_renewals(coordinator.session_id(), true);
    let error = slow.downgrade().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::SessionLost, Effect::Unknown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn c18_a_downgrade_that_is_dropped_ends_before_the_lock_is_left() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap();
    let writing = lock.write().await.unwrap();
    world.memory.lose_all_replies(coordinator.session_id(), true);
    tokio::select! { biased;
        outcome = writing.downgrade() => panic!("{outcome:?}"),
        () = world.sleep(MILLI) => {}
    }
    let held: Vec<_> = world.memory.peek(&line()).holders().map(|held| held.mode).collect();
    assert_eq!(held, [Mode::Shared], "still under way");
    world.memory.lose_all_replies(coordinator.session_id(), false);
    world.assert_clean_soon("a downgrade that was dropped").await;
}

fn line() -> lock_core::LineId {
    lock_core::LineId::new(lock_core::Kind::RwLock, "x".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn c10_readers_who_wait_under_a_lost_session_queue_anew_at_the_back() {
    let world = World::new();
    let (holder, lost) = (world.coordinator().await, world.coordinator().await);
    let lock = holder.rw_lock("x").unwrap();
    let writing = lock.write().await.unwrap();
    let reader = background({
        let lock = lost.rw_lock("x").unwrap();
        async move { lock.read().await.unwrap() }
    });
    world.until_in_line(2).await;
    let writer = background(async move { lock.write().await.unwrap() });
    world.until_in_line(3).await;
    let before = lost.session_id();
    world.memory.expire_now(before);
    world.until("the reader is back", async || lost.session_id() != before).await;
    world.until_in_line(3).await;
    writing.release().await.unwrap();
    let writing = writer.await.unwrap();
    settle().await;
    assert!(!reader.is_finished(), "it has lost its place");
    writing.release().await.unwrap();
    assert_ne!(reader.await.unwrap().claim().session, before);
}

#[tokio::test(start_paused = true)]
async fn c4_a_release_before_a_thousand_costs_what_it_grants() {
    for (writes, lets_in) in [(false, 1000), (true, 1)] {
        let world = World::new();
        let (holder, party) = (world.coordinator().await, world.coordinator().await);
        let writing = holder.rw_lock("x").unwrap().write().await.unwrap();
        let lock = party.rw_lock("x").unwrap();
        let granted: Arc<Mutex<Vec<Guard>>> = Arc::default();
        for _ in 0..1000 {
            let (lock, granted) = (lock.clone(), granted.clone());
            background(async move {
                let guard =
                    if writes { lock.write().await.unwrap().into() } else { lock.read().await.unwrap() };
                granted.lock().unwrap().push(guard);
            });
        }
        world.until_in_line(1001).await;
        let served = world.memory.served();
        writing.release().await.unwrap();
        settle().await;
        assert_eq!(granted.lock().unwrap().len(), lets_in);
        assert_eq!(world.memory.served(), served + 1, "the release, and nothing else");
    }
}

#[tokio::test(start_paused = true)]
async fn c15_a_store_without_shared_claims_has_no_read_write_locks() {
    let world = World::new();
    world.memory.declare_exclusive_only();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap();
    assert_eq!(lock.read().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(lock.write().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(world.memory.requests(coordinator.session_id()), 0);
}
