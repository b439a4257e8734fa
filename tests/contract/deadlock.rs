//! Work that waits for the guard that it runs under is told so; what may yet be granted waits as ever.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
};

use lock_core::{Effect, ErrorKind, Outcome};

use crate::support::{MILLI, SECOND, World, background, settle};

#[tokio::test(start_paused = true)]
async fn locking_again_from_the_work_under_the_guard_is_an_error_before_any_request() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let before = world.memory.requests(coordinator.session_id());
    // Another handle, and however deep.
    let again = coordinator.mutex("x").unwrap();
    let error = guard.run(async { tokio::join!(again.lock(), async {}).0 }).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Deadlock, Effect::None));
    assert_eq!(
        error.to_string(),
        "lock mutex \"x\": the work that asks for this runs under a guard of the same line, and would wait for it for ever"
    );
    assert!(!error.is_retryable());
    assert_eq!(world.memory.requests(coordinator.session_id()), before);
    assert!(guard.run(again.try_lock()).await.unwrap().unwrap().is_none(), "a try does not wait");
    assert!(guard.run(again.try_lock_for(MILLI)).await.unwrap().unwrap().is_none(), "nor for ever");
    let other = coordinator.mutex("y").unwrap();
    let inner = guard.run(other.lock()).await.unwrap().unwrap();
    let error = inner.run(guard.run(again.lock())).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    drop(guard);
    drop(again.lock().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_claim_others_wait_for_is_told_too() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, guard) = (mutex.reentrant(), mutex.lock().await.unwrap());
    let waiting = background({
        let owner = owner.clone();
        async move { owner.lock().await.unwrap() }
    });
    world.until_in_line(2).await;
    let error = world.within(SECOND, "the work", guard.run(owner.lock())).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Deadlock, Effect::None));
    assert!(error.to_string().starts_with("lock mutex \"x\": the work that asks for this"), "{error}");
    // It has its turn by now, and work under the other guard is no reason to wait.
    drop(guard);
    let turn = waiting.await.unwrap();
    drop(turn.run(owner.lock()).await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn only_what_can_never_be_granted_is_refused() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap();
    let reading = lock.read().await.unwrap();
    let beside = reading.run(lock.read()).await.unwrap().unwrap();
    let error = reading.run(lock.write()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "readers do not become writers in place");
    drop((reading, beside));
    let writing = lock.write().await.unwrap();
    assert_eq!(writing.run(lock.read()).await.unwrap().unwrap_err().kind(), ErrorKind::Deadlock);
    let reading = writing.downgrade().await.unwrap();
    drop(reading.run(lock.read()).await.unwrap().unwrap());

    let semaphore = coordinator.semaphore("x", 4).unwrap();
    let (two, one) = (semaphore.acquire_many(2).await.unwrap(), semaphore.acquire().await.unwrap());
    let work = two.run(one.run(semaphore.acquire_many(2)));
    assert_eq!(work.await.unwrap().unwrap().unwrap_err().kind(), ErrorKind::Deadlock);
    drop(two.run(one.run(semaphore.acquire())).await.unwrap().unwrap().unwrap());
    // Two are there as soon as the other one goes, which is not held by this work.
    let mut pending = pin!(two.run(semaphore.acquire_many(2)));
    assert!(poll(pending.as_mut()).is_pending());
    drop(one);
    drop(pending.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn elections_and_tasks_are_lines_too() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("x").unwrap();
    let leadership = election.campaign("a").await.unwrap();
    let error = leadership.run(election.campaign("b")).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let task = coordinator.task("x").unwrap();
    let Outcome::Completed(inner) = task.run(1, task.run(2, async {})).await.unwrap() else {
        panic!("it did not run");
    };
    assert_eq!(inner.unwrap_err().kind(), ErrorKind::Deadlock);
}

#[tokio::test(start_paused = true)]
async fn what_runs_elsewhere_or_afterwards_waits_as_ever() {
    let world = World::new();
    let (coordinator, other) = (world.coordinator().await, world.coordinator().await);
    let mutex = coordinator.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    // Other work, which is polled in between.
    let mut running = pin!(guard.run(std::future::pending::<()>()));
    assert!(poll(running.as_mut()).is_pending());
    let mut pending = pin!(mutex.lock());
    assert!(poll(pending.as_mut()).is_pending());
    // A task of its own, which is not waited for.
    let (waiting, mut spawned) = (mutex.clone(), None);
    let work = async { spawned = Some(background(async move { waiting.lock().await })) };
    guard.run(work).await.unwrap();
    settle().await;
    assert!(!spawned.unwrap().is_finished());
    // A coordinator of its own, which is another process for all that we know.
    let others = other.mutex("x").unwrap();
    let mut foreign = pin!(guard.run(others.lock()));
    assert!(poll(foreign.as_mut()).is_pending());
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_runs_no_more() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let mut running = Box::pin(guard.run(poll_fn(|_| -> Poll<()> { panic!("as it was told") })));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(running.as_mut()))).is_err());
    drop(running);
    let mut waiting = pin!(mutex.lock());
    assert!(poll(waiting.as_mut()).is_pending(), "it waits, and is not refused");
    drop(guard);
    drop(waiting.await.unwrap());
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
