//! The scheduled task: each tick completes once, whatever happens to those who run it.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use lock_core::{Effect, ErrorKind, Outcome, runtime::Runtime};

use crate::support::{MILLI, SECOND, TTL, World, background, begins};

#[tokio::test(start_paused = true)]
async fn c17_a_tick_is_completed_by_one_of_many() {
    let world = World::new();
    let runs = Arc::new(AtomicU32::new(0));
    let mut callers = Vec::new();
    for _ in 0..5 {
        let task = world.coordinator().await.task("report").unwrap();
        let (runs, runtime) = (runs.clone(), world.runtime.clone());
        callers.push(background(async move {
            let mut completed = Vec::new();
            for tick in 1..=20 {
                let work = async {
                    runs.fetch_add(1, Ordering::SeqCst);
                    runtime.sleep_until(runtime.now() + MILLI).await;
                };
                match task.run(tick, work).await.unwrap() {
                    Outcome::Completed(()) => completed.push(tick),
                    Outcome::AlreadyDone | Outcome::Superseded => {}
                    outcome => panic!("{outcome:?}"),
                }
            }
            completed
        }));
    }
    let mut completed = Vec::new();
    for caller in callers {
        completed.extend(caller.await.unwrap());
    }
    completed.sort_unstable();
    assert_eq!(completed, (1..=20).collect::<Vec<u64>>());
    assert_eq!(runs.load(Ordering::SeqCst), 20);
    assert_eq!(world.memory.residue().claims, 0);
}

#[tokio::test(start_paused = true)]
async fn c8_an_interrupted_tick_is_started_again_by_the_next_in_line() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let turns = Arc::new(Mutex::new(Vec::new()));
    let crashing = background({
        let (task, turns) = (a.task("report").unwrap(), turns.clone());
        async move {
            let work = |turn| {
                turns.lock().unwrap().push(turn);
                std::future::pending::<()>()
            };
            task.run_with(7, work).await
        }
    });
    world.until("started", async || turns.lock().unwrap().len() == 1).await;
    let next = background({
        let (task, turns) = (b.task("report").unwrap(), turns.clone());
        async move { task.run_with(7, |turn| async move { turns.lock().unwrap().push(turn) }).await.unwrap() }
    });
    world.until_in_line(2).await;
    let crashed = world.runtime.now();
    a.abandon();
    assert_eq!(crashing.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(next.await.unwrap(), Outcome::Completed(()));
    assert!(world.runtime.now().saturating_since(crashed) <= TTL + SECOND);
    let turns = turns.lock().unwrap();
    assert_eq!(turns[0].interrupted, None);
    assert_eq!(turns[1].interrupted, Some(turns[0].token));
    assert!(turns[1].token > turns[0].token);
}

#[tokio::test(start_paused = true)]
async fn c17_a_late_finisher_is_refused() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (late, other) = (a.task("report").unwrap(), b.task("report").unwrap());
    let holder = late.clone();
    // The work ends in the very poll in which the claim is evicted, so the record of its end comes too late.
    let outcome = late.run(1, async move {
        let line = holder.inspect().await.unwrap();
        assert!(holder.evict(line.holders().next().unwrap().claim).await.unwrap());
    });
    let error = outcome.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::NotHeld, Effect::Unknown), "{error}");
    assert_eq!(other.run(1, async { "again" }).await.unwrap(), Outcome::Completed("again"));
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_takes_too_long_is_dropped_and_started_again() {
    let world = World::new();
    let task = world.coordinator().await.task("report").unwrap().at_most_for(SECOND);
    let start = world.runtime.now();
    let error = task.run(1, std::future::pending::<()>()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "run task \"report\": the claim was held for as long as its owner allowed (may have taken effect)"
    );
    assert!(world.runtime.now().saturating_since(start) < SECOND + 10 * MILLI);
    assert_eq!(task.run(1, async {}).await.unwrap(), Outcome::Completed(()));
}

#[tokio::test(start_paused = true)]
async fn at_least_for_keeps_the_next_tick_away() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let task = a.task("report").unwrap().at_least_for(SECOND);
    let start = world.runtime.now();
    assert_eq!(task.run(1, async {}).await.unwrap(), Outcome::Completed(()));
    assert!(world.runtime.now().saturating_since(start) < 10 * MILLI, "its caller need not wait");
    assert_eq!(b.task("report").unwrap().run(2, async {}).await.unwrap(), Outcome::Completed(()));
    assert!(world.runtime.now().saturating_since(start) >= SECOND);
    world.assert_clean_soon("at_least_for").await;
}

#[tokio::test(start_paused = true)]
async fn an_earlier_tick_that_was_interrupted_is_superseded_or_run_first() {
    let world = World::new();
    let interrupt = async |tick| {
        let coordinator = world.coordinator().await;
        let task = coordinator.task("report").unwrap();
        tokio::select! { biased;
            outcome = task.run(tick, std::future::pending::<()>()) => panic!("{outcome:?}"),
            () = world.sleep(MILLI) => {}
        }
        world.assert_clean_soon("a run that was dropped").await;
    };
    let task = world.coordinator().await.task("report").unwrap();
    interrupt(1).await;
    assert_eq!(task.run(2, async {}).await.unwrap(), Outcome::Completed(()));
    assert_eq!(task.run(1, async {}).await.unwrap(), Outcome::Superseded);

    let orderly = task.clone().in_order();
    interrupt(3).await;
    assert_eq!(orderly.run(4, async {}).await.unwrap(), Outcome::Interrupted { earlier: 3 });
    assert_eq!(orderly.run(3, async {}).await.unwrap(), Outcome::Completed(()));
    assert_eq!(orderly.run(4, async {}).await.unwrap(), Outcome::Completed(()));
}

#[tokio::test(start_paused = true)]
async fn c9_a_lost_reply_does_not_run_a_tick_twice() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let task = coordinator.task("report").unwrap();
    for calls_before in 0..8 {
        let (tick, mut runs) = (100 + calls_before, 0);
        world.memory.lose_reply(coordinator.session_id(), calls_before);
        let outcome = task.run(tick, async { runs += 1 }).await.unwrap();
        assert_eq!((outcome, runs), (Outcome::Completed(()), 1), "a reply lost after {calls_before} calls");
        assert_eq!(task.run(tick, async {}).await.unwrap(), Outcome::AlreadyDone);
        assert_eq!(world.memory.residue().claims, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_done_tick_costs_one_look_and_a_forgotten_one_leaves_nothing() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let task = coordinator.task("report").unwrap();
    assert_eq!(task.run(1, async {}).await.unwrap(), Outcome::Completed(()));
    let before = world.memory.requests(coordinator.session_id());
    assert_eq!(task.run(1, async {}).await.unwrap(), Outcome::AlreadyDone);
    assert_eq!(world.memory.requests(coordinator.session_id()), before + 1);
    task.forget().await.unwrap();
    assert_eq!(world.memory.residue().cells, 0);
}

#[tokio::test(start_paused = true)]
async fn c13_an_error_after_a_start_whose_reply_was_lost_says_that_it_may_be_on_record() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let (session, task) = (coordinator.session_id(), coordinator.task("report").unwrap());
    world.memory.lose_reply(session, 3);
    let mut running = pin!(task.run(1, async {}));
    begins(running.as_mut());
    assert_eq!(world.memory.lost_replies(session), 1);
    // The repeated write is refused, for the first one was carried out; that is heard of after the end.
    world.memory.delay_replies(session, MILLI);
    world.sleep(SECOND).await;
    begins(running.as_mut());
    world.sleep(SECOND).await;
    coordinator.abandon();
    let error = running.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Closed, Effect::Unknown));
}
