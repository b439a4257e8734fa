//! Several locks at once: no deadlock, all or none, what becomes of the rest when one is lost (C21).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lock_core::{
    Coordinator, Effect, ErrorKind, Kind, LineId, LostReason, Memory, MultiGuard, MultiLock, Result,
    runtime::Runtime,
};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use crate::support::{MILLI, SECOND, TTL, World, background, settle};

fn line(name: &str) -> LineId {
    LineId::new(Kind::Mutex, name.parse().unwrap())
}

fn locking(coordinator: &Coordinator, names: &'static [&'static str]) -> JoinHandle<Result<MultiGuard>> {
    let coordinator = coordinator.clone();
    background(async move { coordinator.lock_all(names).await })
}

#[tokio::test(start_paused = true)]
async fn c21_opposite_orders_do_not_wait_for_one_another() {
    let world = World::new();
    let (holder, a, b) = (world.coordinator().await, world.coordinator().await, world.coordinator().await);
    let x = holder.mutex("x").unwrap().lock().await.unwrap();
    let y = holder.mutex("y").unwrap().lock().await.unwrap();
    let (xy, yx) = (locking(&a, &["x", "y"]), locking(&b, &["y", "x"]));
    world.until_in_line(4).await;
    x.release().await.unwrap();
    settle().await;
    y.release().await.unwrap();
    let first = xy.await.unwrap().unwrap();
    assert!(!yx.is_finished() && first.is_valid());
    first.release().await.unwrap();
    yx.await.unwrap().unwrap().release().await.unwrap();
    world.assert_clean_soon("two sets").await;
}

#[tokio::test(start_paused = true)]
async fn guards_and_tokens_come_in_the_order_of_the_names() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    for name in ["c", "c", "a"] {
        coordinator.mutex(name).unwrap().lock().await.unwrap().release().await.unwrap();
    }
    let guard = coordinator.lock_all(["b", "c", "a"]).await.unwrap();
    let tokens: Vec<_> = guard.tokens().map(|(name, token)| (name.to_string(), token)).collect();
    let held = |name: &str| world.memory.peek(&line(name)).holders().next().unwrap().token.unwrap();
    assert_eq!(tokens, ["b", "c", "a"].map(|name| (name.to_owned(), held(name))));
    assert_eq!(guard.token_of("c"), Some(held("c")));
    assert_eq!(guard.token_of("d"), None);
    let claims: Vec<_> = guard.guards().map(lock_core::Guard::claim).collect();
    assert_eq!(claims[0], world.memory.peek(&line("b")).places[0].claim);
    assert!(guard.remaining() > SECOND && guard.deadline() > world.runtime.now());
    drop(guard);
    world.assert_clean_soon("a dropped guard").await;
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_takes_all_or_leaves_nothing() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let guard = b.mutex("y").unwrap().lock().await.unwrap();
    assert!(a.try_lock_all(["x", "y", "z"]).await.unwrap().is_none());
    assert_eq!(world.memory.residue().claims, 1);
    let start = world.runtime.now();
    assert!(a.try_lock_all_for(["z", "y", "x"], SECOND * 3).await.unwrap().is_none());
    let took = world.runtime.now().saturating_since(start);
    assert!(took >= SECOND * 3 && took < SECOND * 3 + 10 * MILLI, "{took:?}");
    assert_eq!(world.memory.residue().claims, 1);
    guard.release().await.unwrap();
    let guard = a.try_lock_all(["x", "y", "z"]).await.unwrap().unwrap();
    assert!(b.mutex("z").unwrap().try_lock().await.unwrap().is_none(), "the same locks");
    guard.release().await.unwrap();
    assert_eq!(world.memory.residue().claims, 0);
}

#[tokio::test(start_paused = true)]
async fn patience_is_for_all_of_them_together() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let x = b.mutex("x").unwrap().lock().await.unwrap();
    let _y = b.mutex("y").unwrap().lock().await.unwrap();
    let start = world.runtime.now();
    let trying = background({
        let a = a.clone();
        async move { a.try_lock_all_for(["x", "y"], SECOND * 3).await.unwrap().is_none() }
    });
    world.sleep(SECOND * 2).await;
    x.release().await.unwrap();
    assert!(trying.await.unwrap());
    let took = world.runtime.now().saturating_since(start);
    assert!(took >= SECOND * 3 && took < SECOND * 3 + 10 * MILLI, "{took:?}");
    assert_eq!(world.memory.residue().claims, 1);
}

#[tokio::test(start_paused = true)]
async fn none_and_twice_are_refused_before_any_request() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = |name| coordinator.mutex(name).unwrap();
    let errors = [
        (coordinator.lock_all([""; 0]).await.unwrap_err(), "lock_all: there is nothing to lock"),
        (
            coordinator.try_lock_all(["x", "y", "x"]).await.unwrap_err(),
            "try_lock_all: mutex \"x\" is there twice, and would wait for itself",
        ),
        (
            coordinator.try_lock_all_for(["x", "x"], SECOND).await.unwrap_err(),
            "try_lock_all_for: mutex \"x\" is there twice, and would wait for itself",
        ),
        (
            MultiLock::new([mutex("x"), mutex("y"), mutex("y")]).unwrap_err(),
            "multi_lock: mutex \"y\" is there twice, and would wait for itself",
        ),
        (
            MultiLock::new([mutex("x"), mutex("y").max_hold(std::time::Duration::ZERO)])
                .unwrap()
                .lock()
                .await
                .unwrap_err(),
            "lock mutex \"y\": a hold of no time at all is not a hold",
        ),
    ];
    for (error, text) in errors {
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidOption, text));
    }
    assert_eq!(coordinator.lock_all(["x", "a//b"]).await.unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(world.memory.requests(coordinator.session_id()), 0);
}

#[tokio::test(start_paused = true)]
async fn two_coordinators_of_one_store_find_out_that_a_lock_is_there_twice() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let same = MultiLock::new([a.mutex("x").unwrap(), b.mutex("y").unwrap(), b.mutex("x").unwrap()]).unwrap();
    for error in [same.lock().await.unwrap_err(), same.try_lock().await.unwrap_err()] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::InvalidOption, Effect::None));
        assert!(error.to_string().contains("mutex \"x\" is there twice"), "{error}");
    }
    assert_eq!((world.memory.residue().claims, world.memory.residue().cells), (0, 1));
    let (x, y) = (a.mutex("x").unwrap(), b.mutex("y").unwrap());
    let guard = MultiLock::new([y, x]).unwrap().lock().await.unwrap();
    assert_eq!(guard.tokens().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), ["y", "x"]);
    assert!(a.try_lock_all(["x"]).await.unwrap().is_none());
    guard.release().await.unwrap();
    world.assert_clean_soon("locks of two coordinators").await;
}

#[tokio::test(start_paused = true)]
async fn c21_locks_of_two_stores_are_taken_in_one_order_by_every_process() {
    let (world, other) = (World::new(), World::with_seed(2));
    let (holder, a, b) = (world.coordinator().await, world.coordinator().await, world.coordinator().await);
    let (held_elsewhere, a2, b2) =
        (other.coordinator().await, other.coordinator().await, other.coordinator().await);
    // The same name in both stores: two locks.
    let both = |one: &Coordinator, two: &Coordinator| [one.mutex("x").unwrap(), two.mutex("x").unwrap()];
    let here = holder.mutex("x").unwrap().lock().await.unwrap();
    let there = held_elsewhere.mutex("x").unwrap().lock().await.unwrap();
    let [forth, back] = [both(&a, &a2), both(&b2, &b)].map(|locks| {
        let lock = MultiLock::new(locks).unwrap();
        background(async move { lock.lock().await })
    });
    let waiting = || world.memory.residue().claims + other.memory.residue().claims - 2;
    world.until("both wait", async || waiting() == 2).await;
    let queued = world.memory.residue().claims;
    assert!(queued == 1 || queued == 3, "both wait in one line: {queued}");
    drop((here, there));
    world.until("one has both", async || forth.is_finished() || back.is_finished()).await;
    for locking in [forth, back] {
        let guard = locking.await.unwrap().unwrap();
        assert_eq!(guard.token_of("x"), guard.guards().next().map(lock_core::Guard::token));
        guard.release().await.unwrap();
    }
    assert_eq!((world.memory.residue().cells, other.memory.residue().cells), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_calls_itself_what_nobody_can_read_is_reported() {
    let (world, other) = (World::new(), World::with_seed(2));
    let (a, b) = (world.coordinator().await, other.coordinator().await);
    let id = LineId::new(Kind::Store, "id".parse().unwrap());
    let party = world.party().await;
    for bytes in [b"12".as_slice(), b"+000000000000012", b"\xff"] {
        party.put_cell(&id, party.cell(&id).await.unwrap().version, bytes, None).await.unwrap();
        let lock = MultiLock::new([a.mutex("x").unwrap(), b.mutex("x").unwrap()]).unwrap();
        let error = lock.lock().await.unwrap_err();
        assert_eq!(error.to_string(), "lock store \"id\": the cell holds no id of a store");
        assert_eq!(error.kind(), ErrorKind::Garbled);
    }
}

#[tokio::test(start_paused = true)]
async fn when_one_fails_those_that_were_taken_are_released_before_it_is_told() {
    let world = World::new();
    let (holder, coordinator) = (world.coordinator().await, world.coordinator().await);
    // The one that is waited for is evicted; then one that was taken.
    for evicted in ["z", "x"] {
        let _z = holder.mutex("z").unwrap().lock().await.unwrap();
        let waiting = locking(&coordinator, &["z", "y", "x"]);
        world.until_in_line(4).await;
        let claim = world.memory.peek(&line(evicted)).places.last().unwrap().claim;
        assert!(holder.mutex(evicted).unwrap().evict(claim).await.unwrap());
        let error = waiting.await.unwrap().unwrap_err();
        let text = format!("lock_all mutex \"{evicted}\": the claim was evicted by an operator");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotHeld, text));
        for name in ["x", "y"] {
            assert!(world.memory.peek(&line(name)).places.is_empty(), "{name}");
        }
        drop(_z);
        world.assert_clean_soon("an eviction").await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_held_for_as_long_as_its_owner_allowed_ends_the_wait_for_the_others() {
    let world = World::new();
    let (holder, coordinator) = (world.coordinator().await, world.coordinator().await);
    let _y = holder.mutex("y").unwrap().lock().await.unwrap();
    let x = coordinator.mutex("x").unwrap().max_hold(SECOND);
    let lock = MultiLock::new([x, coordinator.mutex("y").unwrap()]).unwrap();
    let error = lock.lock().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}");
    world.until_in_line(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_meanwhile_begins_anew() {
    let world = World::new();
    let (holder, unlucky) = (world.coordinator().await, world.coordinator().await);
    let y = holder.mutex("y").unwrap().lock().await.unwrap();
    let waiting = locking(&unlucky, &["x", "y"]);
    world.until_in_line(3).await;
    let lost = unlucky.session_id();
    world.memory.expire_now(lost);
    world
        .until("back in line", async || world.memory.residue().claims == 3 && unlucky.session_id() != lost)
        .await;
    y.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert!(guard.is_valid() && guard.guards().all(|guard| guard.claim().session == unlucky.session_id()));
}

#[tokio::test(start_paused = true)]
async fn c7_the_loss_of_one_ends_the_work_and_the_others_can_still_be_released() {
    let world = World::new();
    let (coordinator, operator) = (world.coordinator().await, world.coordinator().await);
    for lost in ["x", "y", "z"] {
        let guard = coordinator.lock_all(["z", "x", "y"]).await.unwrap();
        let mutex = operator.mutex(lost).unwrap();
        let claim = mutex.inspect().await.unwrap().places[0].claim;
        let evicting = background(async move { mutex.evict(claim).await.unwrap() });
        let end = guard.run(std::future::pending::<()>()).await.unwrap_err();
        assert_eq!((end.line.clone(), end.reason), (line(lost), LostReason::Evicted));
        assert_eq!(Some(end.token), guard.token_of(lost));
        assert!(evicting.await.unwrap());
        assert_eq!(guard.lost().await, end);
        assert_eq!(guard.check().unwrap_err(), end);
        assert!(!guard.is_valid() && guard.remaining().is_zero());
        assert_eq!(world.memory.residue().claims, 2, "the others are held until the guard goes");
        let error = guard.release().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("release mutex \"{lost}\": the claim was evicted by an operator")
        );
        assert_eq!(world.memory.residue().claims, 0, "all the others are released");
    }
}

#[tokio::test(start_paused = true)]
async fn c7_a_suspended_process_does_not_take_one_step() {
    let world = World::new();
    let guard = world.coordinator().await.lock_all(["x", "y"]).await.unwrap();
    assert_eq!(guard.run(async { 7 }).await.unwrap(), 7);
    world.runtime.suspend(TTL);
    let lost =
        guard.run(async { unreachable!("the clock is read before the first poll") }).await.unwrap_err();
    assert_eq!(lost.reason, LostReason::Deadline);
}

#[tokio::test(start_paused = true)]
async fn c9_lost_replies_change_nothing() {
    for after in 0..12 {
        let (world, other) = (World::new(), World::with_seed(2));
        let (a, b) = (world.coordinator().await, other.coordinator().await);
        for coordinator in [&a, &b] {
            world.memory.lose_reply(coordinator.session_id(), after);
            other.memory.lose_reply(coordinator.session_id(), after);
        }
        let locks = [a.mutex("y").unwrap(), b.mutex("x").unwrap(), a.mutex("x").unwrap()];
        let lock = MultiLock::new(locks).unwrap();
        let guard = lock.lock().await.unwrap();
        assert!(guard.is_valid() && lock.try_lock().await.unwrap().is_none());
        guard.release().await.unwrap();
        assert_eq!((world.memory.residue().claims, other.memory.residue().claims), (0, 0), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn c5_a_call_across_stores_that_is_dropped_at_any_await_leaves_nothing() {
    for polls in 0.. {
        let (world, other) = (World::new(), World::with_seed(2));
        let (a, b) = (world.coordinator().await, other.coordinator().await);
        for memory in [&world.memory, &other.memory] {
            memory.delay_replies(a.session_id(), MILLI * 3);
            memory.delay_replies(b.session_id(), MILLI * 3);
        }
        let lock = MultiLock::new([a.mutex("x").unwrap(), b.mutex("x").unwrap()]).unwrap();
        let finished = {
            let mut locking = std::pin::pin!(lock.lock());
            let mut finished = false;
            for _ in 0..polls {
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                finished = finished || locking.as_mut().poll(&mut context).is_ready();
                world.sleep(MILLI).await;
            }
            finished
        };
        if finished {
            assert!(polls > 12, "six calls, each of them slow");
            break;
        }
        world.assert_clean_soon("a call that was dropped").await;
        other.assert_clean_soon("a call that was dropped").await;
        assert!(lock.try_lock().await.unwrap().is_some(), "after {polls} polls");
    }
}

const LOCKS: usize = 5;

/// Where a lock is, and whether somebody has it.
type Taken = Arc<[AtomicBool; LOCKS]>;

/// Locks these again and again, and sees to it that nobody else has them.
async fn take_turns(lock: MultiLock, locks: Vec<usize>, taken: Taken) {
    for _ in 0..4 {
        let guard = lock.lock().await.unwrap();
        for at in &locks {
            assert!(!taken[*at].swap(true, Ordering::SeqCst), "two have lock {at}");
        }
        tokio::task::yield_now().await;
        for at in &locks {
            assert!(taken[*at].swap(false, Ordering::SeqCst));
        }
        guard.release().await.unwrap();
    }
}

/// Sets of locks, each in some order.
fn sets() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let set = proptest::sample::subsequence((0..LOCKS).collect::<Vec<_>>(), 1..=4).prop_shuffle();
    prop::collection::vec(set, 2..10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Three of the locks are in one store and two in another; each task has coordinators of its own.
    #[test]
    fn c21_overlapping_sets_always_finish_and_each_lock_is_exclusive(sets in sets(), delay in 0..3_u32) {
        let tokio =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        tokio.block_on(async {
            let (world, elsewhere) = (World::new(), Memory::new());
            let taken = Taken::default();
            let mut tasks = Vec::new();
            for locks in sets {
                let here = world.coordinator().await;
                let there =
                    Coordinator::open(Arc::new(elsewhere.clone()), world.options()).await.unwrap();
                world.memory.delay_replies(here.session_id(), MILLI * delay);
                let mutex = |at: &usize| {
                    let coordinator = if *at < 3 { &here } else { &there };
                    coordinator.mutex(format!("lock/{at}")).unwrap()
                };
                let lock = MultiLock::new(locks.iter().map(mutex)).unwrap();
                tasks.push(background(take_turns(lock, locks, taken.clone())));
            }
            world.until("all have had their turns", async || tasks.iter().all(JoinHandle::is_finished)).await;
            for task in tasks {
                task.await.unwrap();
            }
            world.assert_clean_soon("all turns").await;
        });
    }
}
