//! The lock-delay: waited for after an unclean end, and after no other.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use lock_core::{
    Coordinator, Effect, ErrorKind, Guard, Kind, LineId, Memory, Mode, Mutex, RwLock, WriteGuard,
    runtime::Runtime,
};
use tokio::task::JoinHandle;

use crate::support::{MILLI, SECOND, TTL, World, background, begins, settle};

const DELAY: Duration = Duration::from_secs(60);
/// By what the clock may be late.
const SOON: Duration = Duration::from_millis(20);

fn mutex(coordinator: &Coordinator) -> Mutex {
    coordinator.mutex("x").unwrap().lock_delay(DELAY)
}

fn lock(coordinator: &Coordinator) -> RwLock {
    coordinator.rw_lock("x").unwrap().lock_delay(DELAY)
}

fn locking(mutex: &Mutex) -> JoinHandle<lock_core::Result<Guard>> {
    let mutex = mutex.clone();
    background(async move { mutex.lock().await })
}

impl World {
    /// The delay has begun, and is waited for to its end.
    async fn assert_waits<T>(&self, task: JoinHandle<lock_core::Result<T>>) -> T {
        self.sleep(DELAY - SOON).await;
        assert!(!task.is_finished(), "let in before the delay was over");
        self.sleep(SOON * 2).await;
        assert!(task.is_finished(), "not let in after the delay");
        task.await.unwrap().unwrap()
    }

    async fn cell(&self, kind: Kind) -> String {
        let claims = self.coordinator().await.claims(LineId::new(kind, "x".parse().unwrap()));
        String::from_utf8(claims.cell().await.unwrap().bytes.to_vec()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn c25_after_an_unclean_end_nobody_is_let_in_for_the_delay() {
    type End = fn(&Memory, &Coordinator, &Guard);
    let evicted: End = |_, _, _| {};
    let expired: End = |memory, coordinator, _| assert!(memory.expire_now(coordinator.session_id()));
    let closed: End = |_, coordinator, _| {
        let coordinator = coordinator.clone();
        background(async move { coordinator.close().await.unwrap() });
    };
    for (number, end) in [evicted, expired, closed].into_iter().enumerate() {
        let world = World::new();
        let (a, b, c) = (world.coordinator().await, world.coordinator().await, world.coordinator().await);
        let holder = mutex(&a).lock().await.unwrap();
        let next = locking(&mutex(&b));
        world.until_in_line(2).await;
        let _third = locking(&mutex(&c));
        world.until_in_line(3).await;
        if number == 0 {
            assert!(mutex(&b).evict(holder.claim()).await.unwrap());
        }
        end(&world.memory, &a, &holder);
        world.until("it is gone", async || !holder.is_valid() && world.memory.residue().claims == 2).await;
        let holders = mutex(&c).inspect().await.unwrap().holders().count();
        assert_eq!(holders, 1, "the store has granted");
        let next = world.assert_waits(next).await;
        assert!(next.is_valid() && next.waited() >= DELAY);
    }
}

#[tokio::test(start_paused = true)]
async fn c25_a_holder_that_reached_its_max_hold_did_not_end_well() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let holder = mutex(&coordinator).max_hold(SECOND).lock().await.unwrap();
    let next = locking(&mutex(&coordinator));
    holder.lost().await;
    // Also when it goes afterwards.
    drop(holder);
    world.assert_waits(next).await.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c25_a_holder_that_was_killed_delays_the_next_beyond_its_ttl() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let _holder = mutex(&a).lock().await.unwrap();
    let next = locking(&mutex(&b));
    world.until_in_line(2).await;
    a.abandon();
    world.until_in_line(1).await;
    world.assert_waits(next).await.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c25_after_a_release_or_a_drop_nobody_waits() {
    let world = World::new();
    let b = world.coordinator().await;
    for end in 0..6 {
        let a = world.coordinator().await;
        let holder = mutex(&a).lock().await.unwrap();
        let next = locking(&mutex(&b));
        world.until_in_line(2).await;
        let start = world.runtime.now();
        match end {
            0 => holder.release().await.unwrap(),
            1 => drop(holder),
            // The last handle: the session is closed, but not before the store knows that all is well.
            2 => drop((holder, a)),
            3 => {
                drop(holder);
                a.close().await.unwrap();
            }
            _ => {
                world.memory.delay_replies(a.session_id(), MILLI);
                let mut release = Box::pin(holder.release());
                let mut context = Context::from_waker(Waker::noop());
                assert!(release.as_mut().poll(&mut context).is_pending());
                drop(release);
                if end == 5 {
                    a.close().await.unwrap();
                }
            }
        }
        let next = next.await.unwrap().unwrap();
        assert!(world.runtime.now().saturating_since(start) < SOON, "{end}");
        assert!(world.cell(Kind::Mutex).await.contains(&format!("{{\"held\":{{\"token\":{}", next.token())));
        next.release().await.unwrap();
        assert!(world.cell(Kind::Mutex).await.contains("released"));
    }
}

/// A lock whose holder has just been evicted.
async fn evicted(world: &World) -> Coordinator {
    let coordinator = world.coordinator().await;
    let holder = mutex(&coordinator).lock().await.unwrap();
    assert!(mutex(&coordinator).evict(holder.claim()).await.unwrap());
    coordinator
}

#[tokio::test(start_paused = true)]
async fn c6_while_the_delay_lasts_a_try_fails_and_leaves_all_as_it_was() {
    let world = World::new();
    let a = evicted(&world).await;
    let before = world.cell(Kind::Mutex).await;
    let start = world.runtime.now();
    assert!(mutex(&a).try_lock().await.unwrap().is_none());
    assert_eq!(world.memory.residue().claims, 0);
    assert!(mutex(&a).try_lock_for(DELAY / 2).await.unwrap().is_none());
    let took = world.runtime.now().saturating_since(start);
    assert!(took >= DELAY / 2 && took < DELAY / 2 + SOON, "{took:?}");
    assert_eq!((world.memory.residue().claims, world.cell(Kind::Mutex).await), (0, before));
    // Those who try again and again are let in at last: the delay goes on while they are away.
    world.sleep(DELAY / 2 - SOON).await;
    assert!(mutex(&a).try_lock().await.unwrap().is_none());
    world.sleep(SOON * 2).await;
    mutex(&a).try_lock().await.unwrap().unwrap().release().await.unwrap();
    // For others it would have begun with their own turn; but now all is well again.
    let b = world.coordinator().await;
    assert!(mutex(&b).try_lock().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_with_enough_patience_waits_for_the_delay() {
    let world = World::new();
    let _a = evicted(&world).await;
    let b = world.coordinator().await;
    let mutex = mutex(&b);
    let trying = background(async move { mutex.try_lock_for(DELAY + SOON).await });
    world.assert_waits(trying).await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c25_another_unclean_end_begins_another_delay() {
    let world = World::new();
    let a = evicted(&world).await;
    assert!(mutex(&a).try_lock().await.unwrap().is_none());
    world.sleep(DELAY).await;
    let second = mutex(&a).try_lock().await.unwrap().unwrap();
    assert!(mutex(&a).evict(second.claim()).await.unwrap());
    assert!(mutex(&a).try_lock().await.unwrap().is_none());
    // Also when it was another coordinator's, and this one has known of an earlier one for long.
    let b = world.coordinator().await;
    let third = world.assert_waits(locking(&mutex(&b))).await;
    assert!(mutex(&b).evict(third.claim()).await.unwrap());
    let next = locking(&mutex(&a));
    world.assert_waits(next).await.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c25_readers_wait_too_and_leave_nothing_to_wait_for() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let writer = lock(&a).write().await.unwrap();
    assert!(lock(&a).evict(writer.claim()).await.unwrap());
    let readers = [&a, &b].map(|coordinator| {
        let lock = lock(coordinator);
        background(async move { lock.read().await })
    });
    assert!(lock(&b).try_read().await.unwrap().is_none(), "a reader stands there, but must wait itself");
    let [one, other] = readers;
    let one = world.assert_waits(one).await;
    let other = other.await.unwrap().unwrap();
    assert_eq!(world.cell(Kind::RwLock).await, format!("{{\"released\":{}}}", writer.token()));
    // A reader's end, however unclean, is nothing to wait for.
    assert!(lock(&a).evict(one.claim()).await.unwrap());
    other.release().await.unwrap();
    assert!(lock(&b).try_write().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c25_a_writer_who_becomes_a_reader_is_nobody_to_wait_for() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let writing = lock(&a).write().await.unwrap();
    let reader = background({
        let lock = lock(&b);
        async move { lock.read().await.unwrap() }
    });
    world.until_in_line(2).await;
    let start = world.runtime.now();
    let reading = writing.downgrade().await.unwrap();
    reader.await.unwrap().release().await.unwrap();
    assert!(world.runtime.now().saturating_since(start) < SOON);
    assert!(lock(&b).evict(reading.claim()).await.unwrap());
    let writing: WriteGuard = lock(&b).try_write().await.unwrap().unwrap();
    // As a plain guard it still has to say that it ends well.
    drop(Guard::from(writing));
    world.assert_clean_soon("a dropped writer").await;
    assert!(lock(&a).try_write().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c25_one_who_is_lost_while_it_waits_for_the_delay_is_told_and_leaves_it_to_others() {
    let world = World::new();
    let _a = evicted(&world).await;
    let before = world.cell(Kind::Mutex).await;
    let (b, c) = (world.coordinator().await, world.coordinator().await);
    let waiting = locking(&mutex(&b));
    world.until_in_line(1).await;
    settle().await;
    let claim = mutex(&b).inspect().await.unwrap().places[0].claim;
    assert!(mutex(&b).evict(claim).await.unwrap());
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::NotHeld);

    let waiting = locking(&mutex(&b));
    world.until_in_line(1).await;
    let next = locking(&mutex(&c));
    world.until_in_line(2).await;
    let session = b.session_id();
    world.memory.expire_now(session);
    world.until("it is back, at the end", async || b.session_id() != session).await;
    assert_eq!(world.cell(Kind::Mutex).await, before);
    let next = next.await.unwrap().unwrap();
    assert!(next.waited() >= DELAY);
    next.release().await.unwrap();
    assert_ne!(waiting.await.unwrap().unwrap().claim().session, session);
}

#[tokio::test(start_paused = true)]
async fn c9_a_reply_that_is_lost_is_no_reason_to_wait() {
    for lost in 0..6 {
        let world = World::new();
        let coordinator = world.coordinator().await;
        world.memory.lose_reply(coordinator.session_id(), lost);
        let start = world.runtime.now();
        for _ in 0..3 {
            mutex(&coordinator).lock().await.unwrap().release().await.unwrap();
        }
        assert!(world.runtime.now().saturating_since(start) < SECOND, "the reply after {lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn c25_a_delay_costs_two_writes_and_a_look_and_can_be_forgotten() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = mutex(&coordinator);
    let guard = mutex.lock().await.unwrap();
    let requests = || world.memory.requests(coordinator.session_id());
    assert_eq!(requests(), 3, "join, look, mark");
    guard.release().await.unwrap();
    assert_eq!(requests(), 5, "mark, leave");
    mutex.forget().await.unwrap();
    lock(&coordinator).forget().await.unwrap();
    assert_eq!(world.memory.residue().cells, 0);
    let (before, none) = (requests(), coordinator.mutex("x").unwrap().lock_delay(Duration::ZERO));
    assert_eq!(none.lock().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(none.try_lock().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(requests(), before);
}

#[tokio::test(start_paused = true)]
async fn a_garbled_record_of_a_holder_is_reported_and_kept() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let claims = coordinator.claims(LineId::new(Kind::Mutex, "x".parse().unwrap()));
    let guard = claims.acquire(Mode::Present).await.unwrap();
    let absent = lock_core::backend::CellVersion::ABSENT;
    let written = claims.put_cell(absent, b"{]", &guard).await.unwrap();
    assert_eq!(mutex(&coordinator).lock().await.unwrap_err().kind(), ErrorKind::Garbled);
    world.until_in_line(1).await;
    assert_eq!(claims.cell().await.unwrap().version, written);
}

#[tokio::test(start_paused = true)]
async fn c6_a_store_that_does_not_answer_when_it_is_asked_for_the_record_is_an_error_soon() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    world.memory.delay_replies(coordinator.session_id(), MILLI);
    let start = world.runtime.now();
    let trying = background({
        let mutex = mutex(&coordinator);
        async move { mutex.try_lock().await }
    });
    world.until_in_line(1).await;
    world.memory.lose_all_replies(coordinator.session_id(), true);
    assert_eq!(trying.await.unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(world.runtime.now().saturating_since(start) < SECOND * 3);
    world.memory.lose_all_replies(coordinator.session_id(), false);
    world.assert_clean_soon("a try that was given up").await;
    assert!(world.runtime.now().saturating_since(start) < TTL);
}

#[tokio::test(start_paused = true)]
async fn c10_one_who_waits_for_the_delay_and_learns_first_of_the_end_of_its_lost_session_queues_anew() {
    let world = World::new();
    let _a = evicted(&world).await;
    let machine = world.runtime.machine(2, 1.0);
    let options = world.options().runtime(machine.shared());
    let coordinator = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
    let (x, y) = (mutex(&coordinator), coordinator.mutex("y").unwrap());
    let mut waiting = pin!(x.lock());
    begins(waiting.as_mut());
    assert_eq!(world.memory.residue().claims, 1, "it stands there");
    let lost = coordinator.session_id();
    machine.suspend(TTL);
    y.lock().await.unwrap().release().await.unwrap();
    world.until_in_line(0).await;
    assert_ne!(waiting.await.unwrap().claim().session, lost);
}

#[tokio::test(start_paused = true)]
async fn c13_an_error_after_a_mark_whose_reply_was_lost_says_that_it_may_be_there() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let (session, mutex) = (coordinator.session_id(), mutex(&coordinator));
    world.memory.lose_reply(session, 2);
    let mut locking = pin!(mutex.lock());
    begins(locking.as_mut());
    assert_eq!(world.memory.lost_replies(session), 1);
    // The repeated write is refused, for the first one was carried out; that is heard of after the end.
    world.memory.delay_replies(session, MILLI);
    world.sleep(SOON).await;
    begins(locking.as_mut());
    world.sleep(SOON).await;
    coordinator.abandon();
    let error = locking.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Closed, Effect::Unknown));
}
