//! At most so many in line.

use lock_core::{Effect, ErrorKind, Guard, runtime::Runtime};

use crate::support::{MILLI, SECOND, World, background};

#[tokio::test(start_paused = true)]
async fn c26_one_more_than_may_be_in_line_is_told_so_and_leaves_nothing() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap().at_most_in_line(2);
    let holder = mutex.lock().await.unwrap();
    let next = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(2).await;
    let before = world.memory.requests(coordinator.session_id());
    let error = mutex.lock().await.unwrap_err();
    assert_eq!(world.memory.requests(coordinator.session_id()), before + 2, "a try and a look");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::QueueFull, Effect::None));
    assert_eq!(error.to_string(), "lock mutex \"x\": 2 claims are in line, of 2 that may be");
    assert!(!error.is_retryable());
    assert_eq!(mutex.try_lock_for(SECOND).await.unwrap_err().kind(), ErrorKind::QueueFull);
    assert!(mutex.try_lock().await.unwrap().is_none(), "a try takes no place that could be one too many");
    assert_eq!(world.memory.residue().claims, 2);
    holder.release().await.unwrap();
    let holder = next.await.unwrap();
    let next = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(2).await;
    holder.release().await.unwrap();
    drop(next.await.unwrap());
    world.assert_clean_soon("all turns").await;
}

#[tokio::test(start_paused = true)]
async fn c26_of_many_who_come_at_once_exactly_as_many_stay_as_may() {
    for waits in [false, true] {
        let world = World::new();
        let holder = world.coordinator().await;
        let _holding = holder.rw_lock("x").unwrap().write().await.unwrap();
        let mut callers = Vec::new();
        for number in 0..10 {
            let coordinator = world.coordinator().await;
            // Every look and every join of one lies between those of the others.
            world.memory.delay_replies(coordinator.session_id(), MILLI * (1 + number % 3));
            let lock = coordinator.rw_lock("x").unwrap().at_most_in_line(4);
            callers.push(background(async move {
                if waits {
                    lock.try_read_for(SECOND * 9).await.map(Option::unwrap)
                } else {
                    lock.read().await
                }
            }));
        }
        world
            .until("seven have gone", async || callers.iter().filter(|c| c.is_finished()).count() == 7)
            .await;
        assert_eq!(world.memory.residue().claims, 4);
        for caller in callers.into_iter().filter(|caller| caller.is_finished()) {
            assert_eq!(caller.await.unwrap().unwrap_err().kind(), ErrorKind::QueueFull);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c26_those_who_hold_together_count() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap().at_most_in_line(2);
    let readers: Vec<Guard> = vec![lock.read().await.unwrap(), lock.try_read().await.unwrap().unwrap()];
    assert_eq!(lock.read().await.unwrap_err().kind(), ErrorKind::QueueFull);
    assert_eq!(lock.try_read().await.unwrap_err().kind(), ErrorKind::QueueFull);
    assert_eq!(world.memory.residue().claims, 2);
    drop(readers);
    let semaphore = coordinator.semaphore("x", 9).unwrap().at_most_in_line(1);
    let permit = semaphore.acquire().await.unwrap();
    assert_eq!(semaphore.acquire().await.unwrap_err().kind(), ErrorKind::QueueFull);
    drop(permit);
    world.assert_clean_soon("dropped guards").await;
}

#[tokio::test(start_paused = true)]
async fn c26_a_cap_costs_nothing_where_nobody_is_in_the_way() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let guard = coordinator.mutex("x").unwrap().at_most_in_line(1).lock().await.unwrap();
    assert_eq!(world.memory.requests(coordinator.session_id()), 1);
    drop(guard);
    let none = coordinator.mutex("x").unwrap().at_most_in_line(0);
    let before = world.memory.requests(coordinator.session_id());
    assert_eq!(none.lock().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(none.try_lock().await.unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(world.memory.requests(coordinator.session_id()), before);
}

#[tokio::test(start_paused = true)]
async fn c6_a_store_that_does_not_answer_when_it_is_asked_who_is_in_line_is_an_error_soon() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let lock = coordinator.rw_lock("x").unwrap().at_most_in_line(2);
    world.memory.delay_replies(coordinator.session_id(), MILLI);
    let start = world.runtime.now();
    let trying = background(async move { lock.try_read().await });
    world.until_in_line(1).await;
    world.memory.lose_all_replies(coordinator.session_id(), true);
    let error = trying.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    assert!(world.runtime.now().saturating_since(start) < SECOND * 3);
    world.memory.lose_all_replies(coordinator.session_id(), false);
    world.assert_clean_soon("a try that was given up").await;
}
