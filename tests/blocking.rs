//! The API without async, through the facade alone: on memory, by threads of this process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    sync::{Arc, Mutex as StdMutex, mpsc},
    thread,
    time::Duration,
};

use yourturn::{
    Effect, ErrorKind, Health, LostReason, Memory, OnLoss, Options, Outcome, Standing,
    blocking::{Coordinator, Guard, MultiLock, Mutex},
};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than anything here takes.
const AGES: Duration = Duration::from_mins(1);

fn open(memory: &Memory) -> Coordinator {
    Coordinator::open(Arc::new(memory.clone()), Options::default()).unwrap()
}

/// Waits for something that must come to be; fails the test when it has not within a minute.
#[expect(clippy::disallowed_methods, reason = "a test on the real clock")]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio.block_on(async { tokio::time::timeout(AGES, waiting).await });
    assert!(waited.is_ok(), "never happened: {what}");
}

fn until_in_line(memory: &Memory, count: usize) {
    until(&format!("{count} in line"), || memory.residue().claims == count);
}

#[test]
fn c2_threads_are_served_in_the_order_in_which_they_came() {
    let memory = Memory::new();
    let (a, b) = (open(&memory), open(&memory));
    let held = a.mutex("x").unwrap().lock().unwrap();
    let served = StdMutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..8 {
            let mutex = if number % 2 == 0 { &a } else { &b }.mutex("x").unwrap();
            let served = &served;
            scope.spawn(move || {
                let guard = mutex.lock().unwrap();
                served.lock().unwrap().push((number, guard.token()));
                guard.release().unwrap();
            });
            until_in_line(&memory, number + 2);
        }
        assert!(served.lock().unwrap().is_empty() && held.is_valid());
        held.release().unwrap();
    });
    let served = served.into_inner().unwrap();
    assert!(served.iter().map(|(number, _)| *number).eq(0..8), "{served:?}");
    assert!(served.is_sorted_by(|(_, before), (_, after)| before < after), "{served:?}");
}

#[test]
fn c6_a_try_takes_a_free_lock_and_only_that() {
    let memory = Memory::new();
    let (a, b) = (open(&memory), open(&memory));
    let (mine, other) = (a.mutex("x").unwrap(), b.mutex("x").unwrap());
    let guard = mine.try_lock().unwrap().unwrap();
    assert!(other.try_lock().unwrap().is_none());
    assert!(other.try_lock_for(Duration::from_millis(20)).unwrap().is_none());
    assert_eq!(memory.residue().claims, 1);
    drop(guard);
    until_in_line(&memory, 0);
    assert!(other.try_lock_for(AGES).unwrap().is_some());
}

#[test]
fn a_guard_shows_its_turn_and_a_watcher_hears_of_its_end() {
    let coordinator = open(&Memory::new());
    let mutex = coordinator.mutex("x").unwrap();
    let guard = mutex.lock().unwrap();
    assert_eq!(mutex.inspect().unwrap().places[0].claim, guard.claim());
    assert!(guard.is_valid() && guard.remaining() > SECOND && guard.waited() < AGES);
    guard.check().unwrap();
    thread::scope(|scope| {
        let watching = scope.spawn(|| guard.lost().unwrap());
        assert!(mutex.evict(guard.claim()).unwrap());
        assert_eq!(watching.join().unwrap(), LostReason::Evicted);
    });
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Evicted);
    assert_eq!(guard.release().unwrap_err().kind(), ErrorKind::NotHeld);
    let short = mutex.max_hold(Duration::from_millis(10)).lock().unwrap();
    assert_eq!(short.lost().unwrap(), LostReason::MaxHold);
}

#[test]
fn c20_an_owner_takes_its_turn_again() {
    let coordinator = open(&Memory::new());
    let mutex = coordinator.mutex("x").unwrap();
    let owner = mutex.reentrant();
    let (one, two) = (owner.lock().unwrap(), owner.try_lock().unwrap().unwrap());
    let three = owner.try_lock_for(SECOND).unwrap().unwrap();
    assert!(one.token() == two.token() && two.claim() == three.claim() && owner.depth() == 3);
    assert!(mutex.reentrant().try_lock().unwrap().is_none());
    one.release().unwrap();
    drop(two);
    assert!(mutex.try_lock().unwrap().is_none() && three.is_valid());
    three.release().unwrap();
    assert!(mutex.try_lock().unwrap().is_some());
}

#[test]
fn c21_several_locks_of_one_coordinator_and_of_two_whose_handles_are_gone() {
    let (here, there) = (Memory::new(), Memory::new());
    let coordinator = open(&here);
    let guard = coordinator.lock_all(["b", "a"]).unwrap();
    assert!(guard.tokens().map(|(name, _)| name.as_str()).eq(["b", "a"]));
    assert!(coordinator.try_lock_all(["c", "a"]).unwrap().is_none());
    assert!(coordinator.try_lock_all_for(["a"], Duration::from_millis(5)).unwrap().is_none());
    guard.release().unwrap();
    let mutexes = [coordinator.mutex("a").unwrap(), open(&there).mutex("a").unwrap()];
    let guard = MultiLock::new(mutexes).unwrap().lock().unwrap();
    drop(coordinator);
    assert!(guard.is_valid() && guard.remaining() > SECOND);
    assert_eq!((here.residue().sessions, there.residue().sessions), (1, 1));
    thread::scope(|scope| {
        let watching = scope.spawn(|| guard.lost().unwrap());
        assert!(open(&there).mutex("a").unwrap().evict(there_claim(&there)).unwrap());
        assert_eq!(watching.join().unwrap().reason, LostReason::Evicted);
    });
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Evicted);
    drop(guard);
    until("both are closed", || here.residue().sessions + there.residue().sessions == 0);
    let none = MultiLock::new([]).unwrap_err();
    assert_eq!(none.to_string(), "multi_lock: there is nothing to lock");
}

fn there_claim(memory: &Memory) -> yourturn::ClaimId {
    open(memory).mutex("a").unwrap().inspect().unwrap().places[0].claim
}

#[test]
fn c18_readers_hold_together_and_a_writer_becomes_one() {
    let memory = Memory::new();
    let (a, b) = (open(&memory).rw_lock("x").unwrap(), open(&memory).rw_lock("x").unwrap());
    let (one, other) = (a.read().unwrap(), b.try_read().unwrap().unwrap());
    assert!(one.token() < other.token());
    assert!(a.try_write().unwrap().is_none());
    assert!(a.try_write_for(Duration::from_millis(5)).unwrap().is_none());
    thread::scope(|scope| {
        let writing = scope.spawn(|| b.write().unwrap());
        until_in_line(&memory, 3);
        assert!(a.try_read().unwrap().is_none(), "a writer waits");
        assert!(a.try_read_for(Duration::from_millis(5)).unwrap().is_none());
        drop(one);
        other.release().unwrap();
        let writing = writing.join().unwrap();
        let (token, claim) = (writing.token(), writing.claim());
        assert!(writing.is_valid() && a.try_read().unwrap().is_none());
        let reading = writing.downgrade().unwrap();
        assert_eq!((reading.token(), reading.claim()), (token, claim));
        assert_eq!(a.inspect().unwrap().holders().count(), 1);
        assert!(a.try_read_for(AGES).unwrap().is_some());
        assert!(a.evict(reading.claim()).unwrap());
        assert_eq!(reading.lost().unwrap(), LostReason::Evicted);
    });
    until_in_line(&memory, 0);
    let writing = a.try_write_for(AGES).unwrap().unwrap();
    Guard::from(writing).release().unwrap();
    b.try_write().unwrap().unwrap().release().unwrap();
    assert_eq!(memory.residue().claims, 0);
    let short = a.max_hold(Duration::from_millis(10)).write().unwrap();
    assert_eq!(short.lost().unwrap(), LostReason::MaxHold);
    assert_eq!(short.downgrade().unwrap_err().kind(), ErrorKind::NotHeld);
}

#[test]
fn c19_permits_are_counted_and_a_limit_that_differs_is_told() {
    let memory = Memory::new();
    let (a, b) = (open(&memory).semaphore("s", 3).unwrap(), open(&memory).semaphore("s", 3).unwrap());
    let (one, two) = (a.acquire().unwrap(), b.acquire_many(2).unwrap());
    assert!(a.try_acquire().unwrap().is_none() && a.try_acquire_many(2).unwrap().is_none());
    assert!(a.try_acquire_for(Duration::from_millis(5)).unwrap().is_none());
    two.release().unwrap();
    let (two, three) = (a.try_acquire().unwrap().unwrap(), a.try_acquire_for(AGES).unwrap().unwrap());
    drop((one, two));
    until_in_line(&memory, 1);
    drop(b.try_acquire_many(2).unwrap().unwrap());
    assert_eq!(b.try_acquire_many_for(2, AGES).unwrap().unwrap().waited() < AGES, three.is_valid());
    assert!(a.evict(three.claim()).unwrap());
    let other = open(&memory).semaphore("s", 4).unwrap();
    assert_eq!(other.acquire().unwrap_err().kind(), ErrorKind::Disagreement);
    a.resize(4).unwrap();
    assert_eq!((other.limit().unwrap(), a.limit().unwrap()), (4, 4));
    assert_eq!(other.acquire_many(4).unwrap().claim(), other.inspect().unwrap().places[0].claim);
    until_in_line(&memory, 0);
    a.forget().unwrap();
    let short = b.max_hold(Duration::from_millis(10)).acquire().unwrap();
    assert_eq!(short.lost().unwrap(), LostReason::MaxHold);
    assert_eq!(open(&memory).semaphore("s", 0).unwrap_err().kind(), ErrorKind::InvalidOption);
}

#[test]
fn c22_members_come_and_go_and_are_followed() {
    let memory = Memory::new();
    let (a, b) = (open(&memory).group("g").unwrap(), open(&memory).group("g").unwrap());
    let mut watch = b.watch();
    assert!(watch.next().unwrap().is_empty());
    let membership = a.join("one", "here").unwrap();
    assert_eq!(watch.next().unwrap().get("one").unwrap().value(), "here");
    membership.update("there").unwrap();
    assert_eq!(b.members().unwrap().get("one").unwrap().value(), "there");
    assert!(membership.is_registered() && membership.name().as_str() == "one");
    assert_eq!(membership.claim(), Some(b.inspect().unwrap().places[0].claim));
    let evicted = b.join("two", "").unwrap();
    assert!(a.evict(evicted.claim().unwrap()).unwrap());
    assert_eq!(evicted.ended().unwrap(), LostReason::Evicted);
    membership.leave().unwrap();
    assert!(a.members().unwrap().is_empty());
}

#[test]
fn c23_threads_meet_at_barriers() {
    let memory = Memory::new();
    let (a, b) = (open(&memory), open(&memory));
    let barrier = |coordinator: &Coordinator| coordinator.barrier("b", 2).unwrap();
    let (one, other) = (barrier(&a), barrier(&b).when_one_goes(OnLoss::GoOn));
    thread::scope(|scope| {
        let first = scope.spawn(|| one.wait());
        until_in_line(&memory, 1);
        other.wait().unwrap();
        first.join().unwrap().unwrap();
        let alone = scope.spawn(|| one.wait());
        until_in_line(&memory, 1);
        assert!(other.evict(other.inspect().unwrap().places[0].claim).unwrap());
        assert_eq!(alone.join().unwrap().unwrap_err().kind(), ErrorKind::NotHeld);
    });
    one.forget().unwrap();

    let (one, other) = (a.double_barrier("d", 2).unwrap(), b.double_barrier("d", 2).unwrap());
    thread::scope(|scope| {
        let first = scope.spawn(|| one.enter().unwrap());
        until_in_line(&memory, 1);
        let second = other.enter().unwrap();
        let first = first.join().unwrap();
        assert!(first.is_valid() && first.claim() == one.inspect().unwrap().places[0].claim);
        let leaving = scope.spawn(|| first.leave());
        second.leave().unwrap();
        leaving.join().unwrap().unwrap();
        let first = scope.spawn(|| one.enter().unwrap());
        until_in_line(&memory, 1);
        let second = other.enter().unwrap();
        assert!(one.evict(second.claim()).unwrap());
        assert_eq!(second.lost().unwrap(), LostReason::Evicted);
        assert_eq!(first.join().unwrap().leave().unwrap_err().kind(), ErrorKind::Broken);
    });
    until_in_line(&memory, 0);
    other.when_one_goes(OnLoss::GoOn).forget().unwrap();
    assert_eq!(memory.residue().cells, 0);
}

#[test]
fn c24_a_latch_opens_for_good() {
    let memory = Memory::new();
    let (a, b) = (open(&memory).latch("l", 2).unwrap(), open(&memory).latch("l", 2).unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| a.wait());
        assert_eq!((b.count_down("one").unwrap(), b.count_down("one").unwrap()), (1, 1));
        assert_eq!(b.remaining().unwrap(), 1);
        assert_eq!(b.count_down("two").unwrap(), 0);
        waiting.join().unwrap().unwrap();
    });
    a.wait().unwrap();
    assert!(b.inspect().unwrap().places.is_empty());
    a.forget().unwrap();
    assert_eq!(b.remaining().unwrap(), 2);
}

#[test]
fn c25_nobody_is_let_in_for_a_while_after_a_bad_end() {
    let memory = Memory::new();
    let mutex = |delay| open(&memory).mutex("x").unwrap().lock_delay(delay);
    let (a, b) = (mutex(AGES), mutex(AGES));
    a.lock().unwrap().release().unwrap();
    let evicted = b.try_lock().unwrap().unwrap();
    assert!(a.evict(evicted.claim()).unwrap());
    assert!(a.try_lock().unwrap().is_none());
    a.forget().unwrap();
    assert!(a.try_lock().unwrap().is_some());
}

#[test]
fn c26_a_line_that_is_full_is_an_error() {
    let coordinator = open(&Memory::new());
    let mutex = coordinator.mutex("x").unwrap().at_most_in_line(1);
    let _held = mutex.lock().unwrap();
    assert_eq!(mutex.lock().unwrap_err().kind(), ErrorKind::QueueFull);
    let lock = coordinator.rw_lock("x").unwrap().at_most_in_line(1).lock_delay(SECOND);
    let _reading = lock.read().unwrap();
    assert_eq!(lock.write().unwrap_err().kind(), ErrorKind::QueueFull);
    lock.forget().unwrap();
    let semaphore = coordinator.semaphore("x", 1).unwrap().at_most_in_line(1);
    let _permit = semaphore.acquire().unwrap();
    assert_eq!(semaphore.acquire().unwrap_err().kind(), ErrorKind::QueueFull);
}

#[test]
fn leaders_follow_one_another_and_are_observed() {
    let memory = Memory::new();
    let (a, b) = (open(&memory).election("e").unwrap(), open(&memory).election("e").unwrap());
    let mut observer = b.observe();
    assert_eq!(observer.next().unwrap(), None);
    let first = a.campaign("a").unwrap();
    assert!(
        first.is_valid() && matches!(a.standing(), Standing::Leader { term, .. } if term == first.term())
    );
    thread::scope(|scope| {
        let second = scope.spawn(|| b.campaign("b").unwrap());
        until_in_line(&memory, 2);
        first.proclaim("still a").unwrap();
        assert_eq!(a.leader().unwrap().unwrap().value(), "still a");
        let (term, claim) = (first.term(), first.claim());
        assert_eq!(a.inspect().unwrap().places[0].claim, claim);
        first.resign().unwrap();
        let second = second.join().unwrap();
        assert!(second.term() > term);
        assert_eq!(observer.next().unwrap().unwrap().term, second.term());
        assert!(a.evict(second.claim()).unwrap());
        assert_eq!(second.lost().unwrap(), LostReason::Evicted);
    });
}

#[test]
fn a_tick_is_run_once_by_work_that_may_lock_for_itself() {
    let memory = Memory::new();
    let (a, b) = (open(&memory), open(&memory));
    let (task, mutex) = (a.task("t").unwrap(), a.mutex("x").unwrap());
    // Neither what work captures nor what it returns is sent anywhere.
    let value = std::rc::Rc::new(7);
    let work = |turn: yourturn::Turn| {
        let guard = mutex.lock().unwrap();
        assert_eq!((turn.tick, turn.interrupted), (1, None));
        guard.release().unwrap();
        value.clone()
    };
    assert_eq!(task.run_with(1, work).unwrap(), Outcome::Completed(value.clone()));
    let other = b.task("t").unwrap();
    assert_eq!(other.run(1, || unreachable!("it is done")).unwrap(), Outcome::<()>::AlreadyDone);
    assert_eq!(other.run(2, || "two").unwrap(), Outcome::Completed("two"));
    assert_eq!(other.run(1, || unreachable!("it is over")).unwrap(), Outcome::<()>::Superseded);
    other.forget().unwrap();
    assert_eq!(other.in_order().run(1, || "again").unwrap(), Outcome::Completed("again"));
}

#[test]
fn c17_work_that_has_lost_its_turn_runs_to_its_end_and_does_not_count() {
    let memory = Memory::new();
    let (a, b) = (open(&memory), open(&memory));
    let (task, other) = (a.task("t").unwrap().at_most_for(AGES), b.task("t").unwrap());
    let mut steps = Vec::new();
    let late = task.run(1, || {
        let claim = other.inspect().unwrap().places[0].claim;
        assert!(other.evict(claim).unwrap());
        steps.push("evicted");
        assert_eq!(other.run(1, || "done by another").unwrap(), Outcome::Completed("done by another"));
        steps.push("the end");
    });
    let error = late.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::NotHeld, Effect::Unknown), "{error}");
    assert_eq!(steps, ["evicted", "the end"]);
    assert_eq!(task.run(1, || unreachable!("it is done")).unwrap(), Outcome::<()>::AlreadyDone);
    let contradictory = task.at_most_for(SECOND).at_least_for(AGES).run(2, || ()).unwrap_err();
    assert_eq!(contradictory.kind(), ErrorKind::InvalidOption);
}

#[test]
fn c14_work_that_panics_leaves_the_line() {
    let memory = Memory::new();
    let task = open(&memory).task("t").unwrap();
    let work = std::panic::AssertUnwindSafe(|| task.run(1, || panic!("work that fails")));
    assert!(std::panic::catch_unwind(work).is_err());
    until_in_line(&memory, 0);
    assert_eq!(task.run(1, || 1).unwrap(), Outcome::Completed(1));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own thread")]
fn c14_the_last_handle_that_is_dropped_closes_the_session() {
    let memory = Memory::new();
    let guard = open(&memory).mutex("x").unwrap().lock().unwrap();
    let (sender, receiver) = mpsc::channel::<Guard>();
    let dropping = thread::spawn(move || drop(receiver.recv()));
    assert!(guard.is_valid(), "it keeps its coordinator");
    assert_eq!(memory.residue().sessions, 1);
    sender.send(guard).unwrap();
    dropping.join().unwrap();
    until("the session is closed", || memory.residue().sessions == 0);
    assert_eq!(memory.residue().claims, 0);
}

#[test]
fn c16_closing_tells_those_who_wait() {
    let memory = Memory::new();
    let coordinator = open(&memory);
    let mut health = coordinator.watch_health();
    assert!(matches!(health.next().unwrap(), Some(Health::Live { .. })));
    assert_eq!(coordinator.session_id(), coordinator.clone().session_id());
    coordinator.require(&[]).unwrap();
    let mutex = coordinator.mutex("x").unwrap();
    let guard = mutex.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| mutex.lock().map(|guard| guard.token()));
        until_in_line(&memory, 2);
        coordinator.close().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    assert!(!guard.is_valid() && coordinator.health().is_lost());
    assert_eq!(mutex.lock().unwrap_err().to_string(), "lock mutex \"x\": the coordinator was closed");
    assert_eq!(health.next().unwrap(), Some(Health::Lost(LostReason::Closed)));
    assert_eq!(health.next().unwrap(), None);
    assert_eq!(memory.residue().sessions, 0);
    coordinator.close().unwrap();
}

#[test]
fn what_is_abandoned_says_nothing_to_the_store() {
    let memory = Memory::new();
    let coordinator = open(&memory);
    let guard = coordinator.mutex("x").unwrap().lock().unwrap();
    coordinator.abandon();
    assert_eq!(guard.check().unwrap_err().reason, LostReason::Abandoned);
    drop((guard, coordinator));
    assert_eq!(memory.residue().claims, 1);
}

/// Every call that would block.
fn blocking_calls(
    coordinator: &Coordinator,
    mutex: &Mutex,
    held: Guard,
) -> Vec<(ErrorKind, Option<&'static str>)> {
    let (owner, election) = (mutex.reentrant(), coordinator.election("e").unwrap());
    let (task, claim) = (coordinator.task("t").unwrap(), held.claim());
    let multi = MultiLock::new([mutex.clone()]).unwrap();
    let lock = coordinator.rw_lock("r").unwrap();
    let (semaphore, group) = (coordinator.semaphore("s", 1).unwrap(), coordinator.group("g").unwrap());
    let (barrier, double) =
        (coordinator.barrier("b", 1).unwrap(), coordinator.double_barrier("d", 1).unwrap());
    let latch = coordinator.latch("l", 1).unwrap();
    let errors = [
        Coordinator::connect("memory://x").map(drop),
        Coordinator::connect_with("memory://x", Options::default()).map(drop),
        mutex.lock().map(drop),
        mutex.try_lock().map(drop),
        mutex.try_lock_for(SECOND).map(drop),
        mutex.inspect().map(drop),
        mutex.evict(claim).map(drop),
        owner.lock().map(drop),
        owner.try_lock().map(drop),
        owner.try_lock_for(SECOND).map(drop),
        multi.lock().map(drop),
        multi.try_lock().map(drop),
        multi.try_lock_for(SECOND).map(drop),
        coordinator.lock_all(["x"]).map(drop),
        coordinator.try_lock_all(["x"]).map(drop),
        coordinator.try_lock_all_for(["x"], SECOND).map(drop),
        mutex.forget(),
        lock.read().map(drop),
        lock.try_read().map(drop),
        lock.try_read_for(SECOND).map(drop),
        lock.write().map(drop),
        lock.try_write().map(drop),
        lock.try_write_for(SECOND).map(drop),
        lock.inspect().map(drop),
        lock.evict(claim).map(drop),
        lock.forget(),
        semaphore.acquire().map(drop),
        semaphore.acquire_many(1).map(drop),
        semaphore.try_acquire().map(drop),
        semaphore.try_acquire_many(1).map(drop),
        semaphore.try_acquire_for(SECOND).map(drop),
        semaphore.try_acquire_many_for(1, SECOND).map(drop),
        semaphore.limit().map(drop),
        semaphore.resize(2),
        semaphore.inspect().map(drop),
        semaphore.evict(claim).map(drop),
        semaphore.forget(),
        group.join("a", "").map(drop),
        group.members().map(drop),
        group.watch().next().map(drop),
        group.inspect().map(drop),
        group.evict(claim).map(drop),
        barrier.wait(),
        barrier.inspect().map(drop),
        barrier.evict(claim).map(drop),
        barrier.forget(),
        double.enter().map(drop),
        double.inspect().map(drop),
        double.evict(claim).map(drop),
        double.forget(),
        latch.count_down("a").map(drop),
        latch.wait(),
        latch.remaining().map(drop),
        latch.inspect().map(drop),
        latch.evict(claim).map(drop),
        latch.forget(),
        election.campaign("a").map(drop),
        election.leader().map(drop),
        election.inspect().map(drop),
        election.evict(claim).map(drop),
        election.observe().next().map(drop),
        task.run(1, || unreachable!("it must not be begun")).map(|_: Outcome<()>| ()),
        task.inspect().map(drop),
        task.evict(claim).map(drop),
        task.forget(),
        coordinator.watch_health().next().map(drop),
        coordinator.close(),
        held.lost().map(drop),
        held.release(),
    ];
    errors
        .into_iter()
        .map(|refused| refused.unwrap_err())
        .map(|error| (error.kind(), error.operation()))
        .collect()
}

#[test]
fn inside_an_async_runtime_every_call_that_would_block_is_refused_before_it_does_anything() {
    let memory = Memory::new();
    let coordinator = open(&memory);
    let mutex = coordinator.mutex("x").unwrap();
    for threads in [false, true] {
        let held = mutex.lock().unwrap();
        let tokio = if threads {
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
        } else {
            tokio::runtime::Builder::new_current_thread().build().unwrap()
        };
        let before = memory.served();
        let refused = tokio.block_on(async {
            assert!(held.is_valid() && held.check().is_ok() && held.remaining() > SECOND);
            assert!(coordinator.health() != Health::Lost(LostReason::Closed));
            blocking_calls(&coordinator, &mutex, held)
        });
        for (kind, operation) in refused {
            assert_eq!(kind, ErrorKind::InsideAsync);
            assert!(operation.is_some());
        }
        until_in_line(&memory, 0);
        assert_eq!(memory.served(), before + 1, "the guard that could not be released was dropped");
    }
    let error = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { mutex.lock().unwrap_err() });
    assert_eq!(
        error.to_string(),
        "lock: this would block a thread of an async runtime; use the async API there"
    );
    assert_eq!((error.effect(), error.is_retryable()), (Effect::None, false));
}

#[test]
fn c14_handles_may_be_dropped_inside_an_async_runtime_the_last_one_too() {
    for threads in [false, true] {
        let memory = Memory::new();
        let coordinator = open(&memory);
        let mutex = coordinator.mutex("x").unwrap();
        let (owner, guard) = (mutex.reentrant(), mutex.lock().unwrap());
        let leadership = coordinator.election("e").unwrap().campaign("a").unwrap();
        let writing = coordinator.rw_lock("r").unwrap().write().unwrap();
        let membership = coordinator.group("g").unwrap().join("a", "").unwrap();
        let inside = coordinator.double_barrier("d", 1).unwrap().enter().unwrap();
        let tokio = if threads {
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap()
        } else {
            tokio::runtime::Builder::new_current_thread().build().unwrap()
        };
        tokio.block_on(async { drop((coordinator, mutex, owner, leadership, guard)) });
        tokio.block_on(async { drop((writing, membership, inside)) });
        until("the session is closed", || memory.residue().sessions == 0);
    }
}

/// The thread of a coordinator ends with its last handle. The only test here that counts them by name: others
/// have threads of that name too, so it looks in a process of its own.
#[test]
#[cfg(target_os = "linux")]
fn the_thread_ends_with_the_last_handle() {
    const ALONE: &str = "YOURTURN_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().unwrap();
        let test = ["--exact", "the_thread_ends_with_the_last_handle"];
        assert!(std::process::Command::new(this).args(test).env(ALONE, "1").status().unwrap().success());
        return;
    }
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.trim() == "yourturn").count()
    };
    let coordinators: Vec<_> = (0..3).map(|_| open(&Memory::new())).collect();
    until("each has its thread", || threads() == 3);
    drop(coordinators);
    until("the threads are gone", || threads() == 0);
}
