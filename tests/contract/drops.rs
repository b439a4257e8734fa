//! Dropping handles: inside a runtime, outside one, after it ended (C14); and what kind of values they are.

use std::{
    future::pending,
    ops::ControlFlow,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake},
    time::Duration,
};

use lock_core::{
    Coordinator, Election, ErrorKind, Group, Guard, Leadership, LostReason, Membership, Memory, MultiGuard,
    MultiLock, Mutex, Options, ReentrantGuard, ReentrantMutex, RwLock, Semaphore, Standing, Task, WriteGuard,
    runtime::SimulatedRuntime,
};
use tokio::runtime::Builder;

use crate::support::{MILLI, TTL, World, begins, in_real_time};

fn owned_and_shareable<T: Send + Sync + 'static>() {}
fn sendable<T: Send>(value: T) -> T {
    value
}

#[test]
fn handles_are_owned_and_shareable_and_futures_are_send() {
    owned_and_shareable::<Guard>();
    owned_and_shareable::<Coordinator>();
    owned_and_shareable::<Mutex>();
    owned_and_shareable::<RwLock>();
    owned_and_shareable::<WriteGuard>();
    owned_and_shareable::<Semaphore>();
    owned_and_shareable::<MultiLock>();
    owned_and_shareable::<MultiGuard>();
    owned_and_shareable::<ReentrantMutex>();
    owned_and_shareable::<ReentrantGuard>();
    owned_and_shareable::<Task>();
    owned_and_shareable::<Election>();
    owned_and_shareable::<Leadership>();
    owned_and_shareable::<Group>();
    owned_and_shareable::<Membership>();
    owned_and_shareable::<lock_core::Error>();
    owned_and_shareable::<lock_core::Lost>();
    let _ = |mutex: ReentrantMutex, guard: ReentrantGuard| {
        drop(sendable(mutex.lock()));
        drop(sendable(mutex.try_lock()));
        drop(sendable(mutex.try_lock_for(TTL)));
        drop(sendable(guard.release()));
    };
    let _ = |multi: MultiLock, guard: MultiGuard| {
        drop(sendable(multi.lock()));
        drop(sendable(multi.try_lock_for(TTL)));
        drop(sendable(guard.run(async {})));
        drop(sendable(guard.release()));
    };
    let _ = |coordinator: Coordinator, mutex: Mutex, task: Task, guard: Guard, group: Group| {
        drop(sendable(mutex.lock()));
        drop(sendable(mutex.try_lock()));
        drop(sendable(mutex.try_lock_for(TTL)));
        drop(sendable(mutex.inspect()));
        drop(sendable(task.run(1, async {})));
        drop(sendable(group.join("a", "")));
        drop(sendable(guard.run(async {})));
        drop(sendable(guard.lost()));
        drop(sendable(guard.release()));
        drop(sendable(coordinator.watch_health().next()));
        drop(sendable(coordinator.lock_all(["a"])));
        drop(sendable(coordinator.close()));
    };
    let _ = |lock: RwLock, writing: WriteGuard, semaphore: Semaphore| {
        drop(sendable(lock.read()));
        drop(sendable(lock.try_write_for(TTL)));
        drop(sendable(writing.downgrade()));
        drop(sendable(semaphore.acquire_many(2)));
        drop(sendable(semaphore.try_acquire_for(TTL)));
        drop(sendable(semaphore.resize(2)));
    };
}

#[tokio::test(start_paused = true)]
async fn c14_a_dropped_guard_frees_the_line() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    drop(mutex.lock().await.unwrap());
    world.assert_clean_soon("a dropped guard").await;
}

#[tokio::test(start_paused = true)]
async fn c14_a_store_that_answers_at_once_is_left_at_once() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    drop(guard);
    assert_eq!(world.memory.residue().claims, 0);
    let guard = mutex.lock().await.unwrap();
    world.memory.delay_replies(guard.claim().session, MILLI);
    drop(guard);
    world.assert_clean_soon("a dropped guard").await;
}

#[tokio::test(start_paused = true)]
async fn c14_a_guard_outlives_every_other_handle_and_the_last_one_closes_the_session() {
    let world = World::new();
    let guard = world.coordinator().await.mutex("x").unwrap().lock().await.unwrap();
    world.sleep(TTL * 2).await;
    assert!(guard.is_valid(), "renewed");
    drop(guard);
    world.until("the session is closed", async || world.memory.residue().sessions == 0).await;
    assert_eq!(world.memory.residue().claims, 0);
}

#[test]
fn c14_handles_may_be_dropped_outside_a_runtime() {
    // Real time: the guard is dropped by a thread that has no runtime, while another thread drives the one it
    // belongs to.
    let tokio = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let memory = Memory::new();
    let (first, mutex) = tokio.block_on(async {
        let coordinator = Coordinator::open(Arc::new(memory.clone()), Options::default()).await.unwrap();
        let mutex = coordinator.mutex("x").unwrap();
        (mutex.lock().await.unwrap(), mutex)
    });
    let waiting = mutex.clone();
    drop(first);
    let second = tokio.block_on(in_real_time(async move { waiting.lock().await.unwrap() }));
    drop((second, mutex));
    tokio.block_on(in_real_time(async {
        while memory.residue().sessions > 0 {
            tokio::task::yield_now().await;
        }
    }));
}

#[test]
fn futures_may_be_driven_outside_the_runtime() {
    let tokio = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let memory = Memory::new();
    let coordinator =
        tokio.block_on(Coordinator::open(Arc::new(memory.clone()), Options::default())).unwrap();
    let mutex = coordinator.mutex("x").unwrap();
    let guard = tokio.block_on(mutex.lock()).unwrap();
    // With a timer.
    let taken = driven_here(mutex.try_lock_for(Duration::from_millis(50))).unwrap();
    assert!(taken.is_none() && guard.is_valid());
}

#[test]
fn c14_futures_that_are_driven_outside_the_runtime_end_with_it() {
    let open = || {
        let tokio = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let memory = Memory::new();
        let opening = Coordinator::open(Arc::new(memory.clone()), Options::default());
        let coordinator = tokio.block_on(opening).unwrap();
        (tokio, memory, coordinator)
    };

    let (tokio, _memory, coordinator) = open();
    let election = coordinator.election("x").unwrap();
    let mut leading = pin!(election.run("a", async |_| pending::<ControlFlow<()>>().await));
    begins(leading.as_mut());
    assert!(matches!(election.standing(), Standing::Leader { .. }));
    drop(tokio);
    assert_eq!(driven_here(leading).unwrap_err().kind(), ErrorKind::RuntimeStopped);

    let (tokio, memory, coordinator) = open();
    let mutex = coordinator.mutex("x").unwrap();
    memory.lose_all_replies(coordinator.session_id(), true);
    let mut locking = pin!(mutex.lock());
    begins(locking.as_mut());
    drop(tokio);
    assert_eq!(driven_here(locking).unwrap_err().kind(), ErrorKind::RuntimeStopped);
}

/// What `future` comes to, polled by this thread, which knows no runtime.
fn driven_here<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let woken = Arc::new(Unpark(std::thread::current()));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&woken.clone().into())) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn c14_after_the_runtime_ended_handles_are_dead_and_the_ttl_frees_the_line() {
    let alive = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let simulated = alive.block_on(async { SimulatedRuntime::new(1).unwrap() });
    let memory = Memory::with_clock(simulated.shared());

    let ends = Builder::new_current_thread().enable_time().build().unwrap();
    let (coordinator, mutex, guard) = ends.block_on(async {
        let options = Options::default().ttl(TTL);
        let coordinator = Coordinator::open(Arc::new(memory.clone()), options).await.unwrap();
        let mutex = coordinator.mutex("x").unwrap();
        let guard = mutex.lock().await.unwrap();
        (coordinator, mutex, guard)
    });
    drop(ends);
    assert!(!guard.is_valid());

    alive.block_on(async {
        assert_eq!(guard.lost().await, LostReason::RuntimeStopped);
        assert_eq!(mutex.lock().await.unwrap_err().kind(), ErrorKind::RuntimeStopped);
        assert_eq!(mutex.try_lock().await.unwrap_err().kind(), ErrorKind::RuntimeStopped);
    });
    drop((coordinator, mutex, guard));
    assert_eq!(memory.residue().claims, 1, "nobody could tell the store");

    alive.block_on(async {
        let options = Options::default().ttl(TTL).runtime(simulated.shared());
        let other = Coordinator::open(Arc::new(memory.clone()), options).await.unwrap();
        let _guard = other.mutex("x").unwrap().lock().await.unwrap();
        assert_eq!(memory.residue().sessions, 1);
    });
}

/// Drops what it wakes, at once.
struct Dropping(std::sync::Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>);

impl Dropping {
    /// Begins it, and finds that it waits.
    fn begins(future: impl Future<Output = ()> + Send + 'static) {
        let dropping = Arc::new(Self(std::sync::Mutex::new(Some(Box::pin(future)))));
        let waker = dropping.clone().into();
        let mut waiting = dropping.0.lock().unwrap();
        let polled = waiting.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending(), "it does not wait");
    }
}

impl Wake for Dropping {
    fn wake(self: Arc<Self>) {
        let woken = self.0.lock().unwrap().take();
        drop(woken);
    }
}

#[tokio::test(start_paused = true)]
async fn c14_who_is_woken_may_be_dropped_at_once() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let (mutex, latch) = (coordinator.mutex("x").unwrap(), coordinator.latch("l", 2).unwrap());
    let held = mutex.lock().await.unwrap();
    let wait = |mutex: &Mutex| {
        let mutex = mutex.clone();
        Dropping::begins(async move { drop(mutex.lock().await) });
    };
    wait(&mutex);
    let waiting = mutex.inspect().await.unwrap().places[1].claim;
    assert!(mutex.evict(waiting).await.unwrap());
    assert_eq!(world.memory.residue().claims, 1);
    // As many as it takes for one of them to lie beside the holder in the store's tables.
    for _ in 0..100 {
        wait(&mutex);
    }
    held.release().await.unwrap();
    assert_eq!(world.memory.residue().claims, 0);
    Dropping::begins({
        let latch = latch.clone();
        async move { latch.wait().await.unwrap() }
    });
    assert_eq!(world.memory.residue().observers, 1);
    latch.count_down("a").await.unwrap();
    assert_eq!(world.memory.residue().observers, 0);
}
