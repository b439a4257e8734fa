//! How long somebody who tries waits for a store that does not answer (C6).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use lock_core::{
    Coordinator, Effect, Error, ErrorKind, Memory, Result, SessionOptions,
    backend::{Backend, SharedSession},
};

use crate::support::{MILLI, SECOND, TTL, World};

#[tokio::test(start_paused = true)]
async fn c6_a_store_that_keeps_a_try_is_an_error_soon_and_what_it_does_later_is_undone() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    world.memory.delay_replies(coordinator.session_id(), TTL);
    for patience in [None, Some(MILLI)] {
        let trying = async {
            match patience {
                None => mutex.try_lock().await,
                Some(patience) => mutex.try_lock_for(patience).await,
            }
        };
        let error = world.within(SECOND * 2, "a try", trying).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    }
    assert_eq!(world.memory.residue().claims, 1, "one of them is in line, unanswered");
    world.until_in_line(0).await;
}

#[tokio::test(start_paused = true)]
async fn c6_who_gives_up_does_not_wait_for_a_store_that_does_not_answer() {
    let world = World::new();
    let (holder, other) = (world.coordinator().await, world.coordinator().await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let mutex = other.mutex("x").unwrap();
    let gives_up = async {
        let ((), taken) = tokio::join!(
            async {
                world.until_in_line(2).await;
                world.memory.lose_all_replies(other.session_id(), true);
            },
            mutex.try_lock_for(SECOND * 2),
        );
        taken
    };
    assert!(world.within(SECOND * 7 / 2, "a try", gives_up).await.unwrap().is_none());
    world.memory.lose_all_replies(other.session_id(), false);
    world.until_in_line(1).await;
    drop(guard);
}

#[tokio::test(start_paused = true)]
async fn c6_who_gives_up_several_locks_does_not_wait_for_a_store_that_does_not_answer() {
    let world = World::new();
    let (holder, other) = (world.coordinator().await, world.coordinator().await);
    let held = holder.mutex("y").unwrap().lock().await.unwrap();
    let gives_up = async {
        let ((), taken) = tokio::join!(
            async {
                world.until_in_line(3).await;
                world.memory.lose_all_replies(other.session_id(), true);
            },
            other.try_lock_all_for(["x", "y"], SECOND * 2),
        );
        taken
    };
    assert!(world.within(SECOND * 9 / 2, "a try", gives_up).await.unwrap().is_none());
    world.memory.lose_all_replies(other.session_id(), false);
    world.until_in_line(1).await;
    drop(held);
}

/// A store that cannot be reached when the second session is opened.
#[derive(Debug)]
struct Unreachable {
    memory: Memory,
    opened: AtomicU32,
    /// For how long that is tried.
    connect_timeout: Duration,
}

impl Unreachable {
    /// A store, and a coordinator whose session was lost.
    async fn new(world: &World, connect_timeout: Duration) -> (Arc<Self>, Coordinator) {
        let opened = AtomicU32::new(0);
        let backend = Arc::new(Self { memory: world.memory.clone(), opened, connect_timeout });
        let coordinator = Coordinator::open(backend.clone(), world.options()).await.unwrap();
        world.memory.expire_now(coordinator.session_id());
        world.until("the loss is noticed", async || coordinator.health().is_lost()).await;
        (backend, coordinator)
    }
}

#[async_trait]
impl Backend for Unreachable {
    async fn open(&self, options: SessionOptions) -> Result<SharedSession> {
        if self.opened.fetch_add(1, Ordering::Relaxed) == 1 {
            options.runtime.sleep_until(options.runtime.now() + self.connect_timeout).await;
            return Err(Error::new(ErrorKind::Unavailable, "no connection"));
        }
        self.memory.open(options).await
    }
}

#[tokio::test(start_paused = true)]
async fn c6_without_a_session_a_try_is_an_error_soon() {
    let world = World::new();
    let (backend, coordinator) = Unreachable::new(&world, TTL * 100).await;
    let (mutex, semaphore) = (coordinator.mutex("x").unwrap(), coordinator.semaphore("y", 2).unwrap());
    for _ in 0..3 {
        let error = world.within(SECOND * 3, "a try", mutex.try_lock()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = world.within(SECOND * 3, "a try", semaphore.try_acquire()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(backend.opened.load(Ordering::Relaxed), 2, "one attempt for all who need a session");
}

#[tokio::test(start_paused = true)]
async fn who_asks_while_an_attempt_is_failing_gets_a_session_from_the_next_one() {
    let world = World::new();
    let (backend, coordinator) = Unreachable::new(&world, SECOND * 5).await;
    let mutex = coordinator.mutex("x").unwrap();
    let later = async {
        world.sleep(SECOND * 3).await;
        mutex.lock().await
    };
    let (first, second) = tokio::join!(mutex.lock(), later);
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(second.unwrap().is_valid());
    assert_eq!(backend.opened.load(Ordering::Relaxed), 3);
}
