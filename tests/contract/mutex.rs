//! The mutex: exclusion, order, tokens, tries, loss and recovery.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use lock_core::{Coordinator, Effect, ErrorKind, Guard, Health, LostReason, runtime::Runtime};

use crate::support::{MILLI, SECOND, TTL, World, background, begins, settle, waiting};

#[tokio::test(start_paused = true)]
async fn c2_c3_waiters_are_served_in_order_with_rising_tokens() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let first = a.mutex("x").unwrap().lock().await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..20 {
        let mutex = if number % 2 == 0 { &a } else { &b }.mutex("x").unwrap();
        let served = served.clone();
        waiters.push(background(async move {
            let guard = mutex.lock().await.unwrap();
            served.lock().unwrap().push((number, guard.token()));
            guard.release().await.unwrap();
        }));
        world.until_in_line(number + 2).await;
    }
    let mut last = first.token();
    first.release().await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    for (expected, (number, token)) in served.lock().unwrap().iter().enumerate() {
        assert_eq!(*number, expected);
        assert!(*token > last, "{token} after {last}");
        last = *token;
    }
}

#[tokio::test(start_paused = true)]
async fn c3_tokens_rise_over_an_empty_queue() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let mut last = None;
    for _ in 0..3 {
        let guard = mutex.lock().await.unwrap();
        assert!(Some(guard.token()) > last);
        last = Some(guard.token());
        guard.release().await.unwrap();
        assert_eq!(world.memory.residue().lines, 0, "the line is gone, its order is not");
    }
}

#[tokio::test(start_paused = true)]
async fn c4_a_release_wakes_the_next_and_nobody_else() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let holder = mutex.lock().await.unwrap();
    let mut waiters: Vec<_> = (0..50).map(|_| tokio_test_task(mutex.clone())).collect();
    for waiter in &mut waiters {
        assert!(waiter.poll().is_none());
    }
    let before = world.memory.requests(coordinator.session_id());
    holder.release().await.unwrap();
    assert_eq!(world.memory.requests(coordinator.session_id()), before + 1, "the release, and nothing else");
    let woken: Vec<usize> = (0..waiters.len()).filter(|i| waiters[*i].was_woken()).collect();
    assert_eq!(woken, [0], "one wake");
    assert!(waiters[0].poll().is_some());
}

/// A task that is polled by hand and knows whether it was woken.
struct ByHand<F> {
    future: std::pin::Pin<Box<F>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

fn tokio_test_task(
    mutex: lock_core::Mutex,
) -> ByHand<impl Future<Output = lock_core::Result<lock_core::Guard>>> {
    ByHand { future: Box::pin(async move { mutex.lock().await }), woken: Arc::default() }
}

impl<F: Future> ByHand<F> {
    fn poll(&mut self) -> Option<F::Output> {
        self.woken.0.store(false, std::sync::atomic::Ordering::SeqCst);
        let waker = self.woken.clone().into();
        match self.future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    fn was_woken(&self) -> bool {
        self.woken.0.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_over_a_free_lock_does_not_starve_its_runtime() {
    for tries in [false, true] {
        let world = World::new();
        let mutex = world.coordinator().await.mutex("x").unwrap();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let greedy = background({
            let stop = stop.clone();
            async move {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let guard = if tries { mutex.try_lock().await.unwrap() } else { mutex.lock().await.ok() };
                    guard.unwrap().release().await.unwrap();
                }
            }
        });
        settle().await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        greedy.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_takes_a_free_lock_and_only_that() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let guard = a.mutex("x").unwrap().try_lock().await.unwrap().unwrap();
    assert!(b.mutex("x").unwrap().try_lock().await.unwrap().is_none());
    assert!(a.mutex("x").unwrap().try_lock().await.unwrap().is_none(), "not re-entrant");
    assert_eq!(world.memory.residue().claims, 1, "a try that fails leaves nothing");
    guard.release().await.unwrap();
    assert!(b.mutex("x").unwrap().try_lock().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c6_a_try_with_patience_withdraws_when_it_ends_and_is_served_before() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let start = world.runtime.now();
    assert!(mutex.try_lock_for(SECOND * 3).await.unwrap().is_none());
    let took = world.runtime.now().saturating_since(start);
    assert!(took >= SECOND * 3 && took < SECOND * 3 + 10 * MILLI, "{took:?}");
    assert_eq!(world.memory.residue().claims, 1);

    let patient = background({
        let mutex = mutex.clone();
        async move { mutex.try_lock_for(SECOND * 3).await.unwrap() }
    });
    world.until_in_line(2).await;
    guard.release().await.unwrap();
    let guard = patient.await.unwrap().unwrap();
    guard.release().await.unwrap();
    assert!(mutex.try_lock_for(Duration::ZERO).await.unwrap().is_some(), "no patience, no need of any");
}

#[tokio::test(start_paused = true)]
async fn c6_a_slow_store_is_no_reason_to_say_that_a_free_lock_is_taken() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    world.memory.delay_replies(coordinator.session_id(), SECOND);
    let mutex = coordinator.mutex("x").unwrap();
    assert!(mutex.try_lock_for(MILLI).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c6_patience_ends_within_a_round_trip_however_slow_the_store_is() {
    let world = World::new();
    let (holder, slow) = (world.coordinator().await, world.coordinator().await);
    let _guard = holder.mutex("x").unwrap().lock().await.unwrap();
    world.memory.delay_replies(slow.session_id(), SECOND);
    let start = world.runtime.now();
    assert!(slow.mutex("x").unwrap().try_lock_for(SECOND * 3 / 2).await.unwrap().is_none());
    assert!(world.runtime.now().saturating_since(start) <= SECOND * 5 / 2);
    world.until_in_line(1).await;
}

#[tokio::test(start_paused = true)]
async fn c6_a_store_that_does_not_answer_is_an_error_soon() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    world.memory.lose_all_replies(coordinator.session_id(), true);
    let start = world.runtime.now();
    let error = mutex.try_lock().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    assert!(world.runtime.now().saturating_since(start) < SECOND * 3);
    world.memory.lose_all_replies(coordinator.session_id(), false);
    world.assert_clean_soon("a try that got no answer").await;
}

#[tokio::test(start_paused = true)]
async fn c13_a_session_lost_under_a_call_leaves_its_effect_unknown_and_the_call_is_finished() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let guard = coordinator.mutex("x").unwrap().lock().await.unwrap();
    world.memory.delay_replies(coordinator.session_id(), TTL * 2);
    world.memory.pause_renewals(coordinator.session_id(), true);
    let error = guard.release().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::SessionLost, Effect::Unknown), "{error}");
}

#[tokio::test(start_paused = true)]
async fn c7_a_guard_is_dead_at_its_deadline_and_before_the_next_is_granted() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let guard = a.mutex("x").unwrap().lock().await.unwrap();
    world.memory.pause_renewals(a.session_id(), true);
    let next = background({
        let mutex = b.mutex("x").unwrap();
        async move { mutex.lock().await.unwrap() }
    });
    assert!(guard.is_valid() && guard.remaining() > SECOND);
    let deadline = guard.deadline();
    assert_eq!(guard.lost().await, LostReason::Deadline);
    assert!(world.runtime.now().saturating_since(deadline) < 10 * MILLI);
    assert!(!guard.is_valid() && guard.remaining().is_zero());
    assert!(!next.is_finished(), "the store waits for the whole ttl");
    let next = next.await.unwrap();
    assert!(next.is_valid() && next.token() > guard.token());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::SessionLost);
    settle().await;
    assert!(next.is_valid(), "C12: the late release touched nothing");
}

#[tokio::test(start_paused = true)]
async fn c7_a_process_that_was_stopped_sees_it_at_once_and_does_not_take_one_step() {
    let world = World::new();
    let guard = world.coordinator().await.mutex("x").unwrap().lock().await.unwrap();
    let steps = std::cell::Cell::new(0);
    let work = guard.run(async {
        loop {
            steps.set(steps.get() + 1);
            tokio::task::yield_now().await;
            if steps.get() == 3 {
                world.runtime.suspend(TTL);
            }
        }
    });
    let lost = work.await.map(|never: std::convert::Infallible| never).unwrap_err();
    assert_eq!(lost.reason, LostReason::Deadline);
    // The suspend comes within step 3; the fourth is taken before `run` regains control? No: it is checked at
    // each poll.
    assert_eq!(steps.get(), 4, "the loop goes on to its next await, and not beyond");
}

#[tokio::test(start_paused = true)]
async fn c7_max_hold_ends_the_guard_and_serves_the_next() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let guard = mutex.clone().max_hold(SECOND * 2).lock().await.unwrap();
    let next = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    assert!(guard.remaining() <= SECOND * 2);
    let lost = guard.run(std::future::pending::<()>()).await.unwrap_err();
    assert_eq!((lost.reason, lost.token), (LostReason::MaxHold, guard.token()));
    assert!(next.await.unwrap().is_valid());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn c8_a_crashed_holder_delays_the_next_by_its_ttl_at_most() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let guard = a.mutex("x").unwrap().lock().await.unwrap();
    // Just renewed, as late as it can be.
    world.sleep(TTL / 3 + MILLI).await;
    let slack = b.capabilities().recovery_slack;
    let crashed = world.runtime.now();
    a.abandon();
    assert_eq!(guard.lost().await, LostReason::Abandoned);
    let _next = b.mutex("x").unwrap().lock().await.unwrap();
    let took = world.runtime.now().saturating_since(crashed);
    assert!(took <= TTL + slack, "{took:?}");
    assert!(took > TTL / 2, "the store was not told: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn c8_after_a_crash_the_first_try_succeeds_even_if_nobody_was_there_to_notice() {
    let world = World::new();
    let a = world.coordinator().await;
    let _guard = a.mutex("x").unwrap().lock().await.unwrap();
    a.abandon();
    world.sleep(TTL + SECOND).await;
    let b = world.coordinator().await;
    assert!(b.mutex("x").unwrap().try_lock().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c8_a_shorter_lived_session_that_comes_later_is_ended_in_time_too() {
    let world = World::new();
    let long =
        lock_core::Coordinator::open(Arc::new(world.memory.clone()), world.options().ttl(600 * SECOND))
            .await
            .unwrap();
    let mutex = long.mutex("x").unwrap();
    settle().await;
    let short = world.coordinator().await;
    let _guard = short.mutex("x").unwrap().lock().await.unwrap();
    let crashed = world.runtime.now();
    short.abandon();
    let _next = mutex.lock().await.unwrap();
    let took = world.runtime.now().saturating_since(crashed);
    assert!(took <= TTL + long.capabilities().recovery_slack, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn c10_a_waiter_whose_session_ended_queues_anew_at_the_back() {
    let world = World::new();
    let (holder, unlucky, other) =
        (world.coordinator().await, world.coordinator().await, world.coordinator().await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for (who, coordinator) in [("unlucky", &unlucky), ("other", &other)] {
        let (mutex, order) = (coordinator.mutex("x").unwrap(), order.clone());
        let before = world.memory.residue().claims;
        waiters.push(background(async move {
            let guard = mutex.lock().await.unwrap();
            order.lock().unwrap().push(who);
            guard.release().await.unwrap();
        }));
        world.until_in_line(before + 1).await;
    }
    let lost_session = unlucky.session_id();
    world.memory.expire_now(lost_session);
    let mutex = holder.mutex("x").unwrap();
    world.until("back in line", async || waiting(&mutex.inspect().await.unwrap()) == 2).await;
    assert_ne!(unlucky.session_id(), lost_session);
    guard.release().await.unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["other", "unlucky"]);
}

#[tokio::test(start_paused = true)]
async fn c10_a_session_that_expires_hands_no_turn_from_one_of_its_claims_to_the_next() {
    let world = World::new();
    let (dead, alive) = (world.coordinator().await, world.coordinator().await);
    let mutex = dead.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let posthumous = background(async move { mutex.lock().await.map(|guard| guard.token()) });
    world.until_in_line(2).await;
    let next = background({
        let mutex = alive.mutex("x").unwrap();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(3).await;
    world.memory.expire_now(dead.session_id());
    let next = next.await.unwrap();
    assert_eq!(guard.lost().await, LostReason::Expired);
    assert_eq!(next.token().get(), guard.token().get() + 2, "granted straight over the dead waiter");
    next.release().await.unwrap();
    assert!(posthumous.await.unwrap().unwrap() > guard.token(), "served under a new session");
}

#[tokio::test(start_paused = true)]
async fn c10_a_grant_that_is_heard_of_after_the_deadline_is_none() {
    let world = World::new();
    for impatient in [false, true] {
        let machine = world.runtime.machine(2, 1.0);
        let options = world.options().runtime(machine.shared());
        let coordinator = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
        let lost = coordinator.session_id();
        world.memory.delay_replies(lost, SECOND);
        let locking = background({
            let mutex = coordinator.mutex("x").unwrap();
            async move {
                if impatient { mutex.try_lock().await.unwrap() } else { Some(mutex.lock().await.unwrap()) }
            }
        });
        world.until_in_line(1).await;
        // The machine sleeps while the reply is on its way; when it wakes up, both are there, the grant and
        // the deadline.
        machine.suspend(TTL);
        let guard = locking.await.unwrap();
        assert!(guard.as_ref().is_none_or(Guard::is_valid) && coordinator.session_id() != lost);
        coordinator.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_evicted_holder_is_told_and_an_evicted_waiter_too() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (mutex, operator) = (a.mutex("x").unwrap(), b.mutex("x").unwrap());
    let guard = mutex.lock().await.unwrap();
    let waiter = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await }
    });
    world.until_in_line(2).await;
    let last = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(3).await;

    let line = operator.inspect().await.unwrap();
    let (holder, next) = (line.holders().next().unwrap(), line.waiters().next().unwrap());
    assert_eq!(holder.token, Some(guard.token()));
    assert!(operator.evict(next.claim).await.unwrap());
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
    assert_eq!(error.to_string(), "lock mutex \"x\": the claim was evicted by an operator");

    assert!(operator.evict(holder.claim).await.unwrap());
    assert!(!operator.evict(holder.claim).await.unwrap(), "it is gone");
    assert_eq!(guard.lost().await, LostReason::Evicted);
    let last = last.await.unwrap();
    assert!(last.token() > guard.token() && !guard.is_valid());
    drop(guard);
    settle().await;
    assert!(last.is_valid(), "C12: the late release touched nothing");
}

#[tokio::test(start_paused = true)]
async fn inspect_shows_who_holds_and_who_waits_and_since_when() {
    let world = World::new();
    let options = world.options().owner("worker-7");
    let a = lock_core::Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
    let mutex = a.mutex("x").unwrap();
    assert!(mutex.inspect().await.unwrap().places.is_empty());
    let guard = mutex.lock().await.unwrap();
    let since = world.runtime.wall_clock();
    world.sleep(SECOND).await;
    let b = world.coordinator().await;
    let waiter = background({
        let mutex = b.mutex("x").unwrap();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(2).await;
    let line = mutex.inspect().await.unwrap();
    let [holder, next] = &line.places[..] else { panic!("{line:?}") };
    assert_eq!(
        (&*holder.owner, holder.claim, holder.token),
        ("worker-7", guard.claim(), Some(guard.token()))
    );
    assert_eq!(holder.since, since);
    assert_eq!((next.claim.session, next.token), (b.session_id(), None));
    assert!(next.owner.ends_with(&format!("/{}", std::process::id())), "{}", next.owner);
    assert!(next.since > holder.since && next.place > holder.place);
    guard.release().await.unwrap();
    let waited = waiter.await.unwrap().waited();
    assert!(waited < SECOND);
    assert!(mutex.inspect().await.unwrap().revision > line.revision);
}

#[tokio::test(start_paused = true)]
async fn c16_close_leaves_the_store_as_it_was_and_ends_everything() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let guard = a.mutex("x").unwrap().lock().await.unwrap();
    let _other = b.mutex("y").unwrap().lock().await.unwrap();
    let waiter = background({
        let mutex = a.mutex("y").unwrap();
        async move { mutex.lock().await.map(drop) }
    });
    world.until_in_line(3).await;
    a.close().await.unwrap();
    assert_eq!(world.memory.residue().claims, 1, "b's own");
    assert_eq!(world.memory.residue().sessions, 1);
    assert_eq!(guard.lost().await, LostReason::Closed);
    assert_eq!(waiter.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    for _ in 0..2 {
        let error = a.mutex("x").unwrap().lock().await.unwrap_err();
        assert_eq!(error.to_string(), "lock mutex \"x\": the coordinator was closed");
        a.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c16_close_waits_for_the_session_that_was_replaced_while_it_may_be_there() {
    let world = World::new();
    for (seed, delay) in [(2, SECOND * 5), (3, TTL * 100)] {
        // The clock of its machine has moved on, that of the store has not.
        let machine = world.runtime.machine(seed, 1.0);
        let options = world.options().runtime(machine.shared());
        let coordinator = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
        world.memory.delay_replies(coordinator.session_id(), delay);
        machine.suspend(TTL);
        let _guard = coordinator.mutex("x").unwrap().lock().await.unwrap();
        let replaced = world.runtime.now();
        coordinator.close().await.unwrap();
        let (least, waited) = (delay.min(TTL), world.runtime.now().saturating_since(replaced));
        assert!(waited > least - SECOND && waited < least + SECOND, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_is_followed_over_loss_and_replacement() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mut watch = coordinator.watch_health();
    assert!(matches!(watch.next().await, Some(Health::Live { .. })));
    world.sleep(TTL * 3).await;
    assert!(matches!(coordinator.health(), Health::Live { .. }), "renewed");
    world.memory.pause_renewals(coordinator.session_id(), true);
    assert!(matches!(watch.next().await, Some(Health::Suspect { .. })));
    world.memory.pause_renewals(coordinator.session_id(), false);
    assert!(matches!(watch.next().await, Some(Health::Live { .. })));
    world.memory.pause_renewals(coordinator.session_id(), true);
    assert!(matches!(watch.next().await, Some(Health::Suspect { .. })));
    assert_eq!(watch.next().await, Some(Health::Lost(LostReason::Deadline)));
    let _guard = coordinator.mutex("x").unwrap().lock().await.unwrap();
    assert!(matches!(watch.next().await, Some(Health::Live { .. })));
    coordinator.close().await.unwrap();
    assert_eq!(watch.next().await, Some(Health::Lost(LostReason::Closed)));
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_health_ends_with_a_coordinator_that_ends_while_its_session_is_lost() {
    let world = World::new();
    for abandon in [false, true] {
        let coordinator = world.coordinator().await;
        let mut watch = coordinator.watch_health();
        world.memory.expire_now(coordinator.session_id());
        while !watch.next().await.unwrap().is_lost() {}
        let last = background(async move { watch.next().await });
        settle().await;
        if abandon {
            coordinator.abandon()
        } else {
            coordinator.close().await.unwrap()
        }
        let last = world.within(SECOND, "the last", last).await.unwrap();
        assert_eq!(last, None);
    }
}

#[tokio::test(start_paused = true)]
async fn c7_a_guard_whose_session_was_lost_says_so_also_when_that_has_been_closed_since() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let guard = coordinator.mutex("x").unwrap().lock().await.unwrap();
    world.memory.pause_renewals(coordinator.session_id(), true);
    world.until("the loss is noticed", async || coordinator.health().is_lost()).await;
    // The session that replaces it closes it.
    drop(coordinator.mutex("y").unwrap().lock().await.unwrap());
    world.until_in_line(0).await;
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Deadline);
    assert_eq!(guard.lost().await, LostReason::Deadline);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::SessionLost);
}

#[tokio::test(start_paused = true)]
async fn c10_a_waiter_that_learns_first_of_the_end_of_its_lost_session_queues_anew() {
    let world = World::new();
    let held = world.coordinator().await.mutex("x").unwrap().lock().await.unwrap();
    let machine = world.runtime.machine(2, 1.0);
    let options = world.options().runtime(machine.shared());
    let coordinator = Coordinator::open(Arc::new(world.memory.clone()), options).await.unwrap();
    let (x, y) = (coordinator.mutex("x").unwrap(), coordinator.mutex("y").unwrap());
    let mut waiting = pin!(x.lock());
    begins(waiting.as_mut());
    let lost = coordinator.session_id();
    machine.suspend(TTL);
    let _other = y.lock().await.unwrap();
    // The lost session is closed.
    world.until_in_line(2).await;
    begins(waiting.as_mut());
    assert_eq!(world.memory.residue().claims, 3, "it is in line anew");
    held.release().await.unwrap();
    assert_ne!(waiting.await.unwrap().claim().session, lost);
}
