//! The lock that its owner may take again: one turn for all, until its last guard is gone (C20).

use lock_core::{Effect, ErrorKind, LostReason, ReentrantGuard, ReentrantMutex, Result};
use tokio::task::JoinHandle;

use crate::support::{MILLI, SECOND, TTL, World, background, settle};

fn locking(mutex: &ReentrantMutex) -> JoinHandle<Result<ReentrantGuard>> {
    let mutex = mutex.clone();
    background(async move { mutex.lock().await })
}

#[tokio::test(start_paused = true)]
async fn c20_an_owner_takes_its_turn_again_and_gives_it_back_with_the_last_guard() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let owner = mutex.reentrant();
    assert_eq!(owner.depth(), 0);
    let first = owner.lock().await.unwrap();
    let before = world.memory.requests(coordinator.session_id());
    let mut guards = vec![
        owner.lock().await.unwrap(),
        owner.clone().lock().await.unwrap(),
        owner.try_lock().await.unwrap().unwrap(),
        owner.try_lock_for(SECOND).await.unwrap().unwrap(),
    ];
    assert_eq!(world.memory.requests(coordinator.session_id()), before, "nobody asks the store");
    assert_eq!(owner.depth(), 5);
    for guard in &guards {
        assert_eq!((guard.token(), guard.claim()), (first.token(), first.claim()));
    }
    drop(first);
    while let Some(guard) = guards.pop() {
        assert!(mutex.try_lock().await.unwrap().is_none(), "{} guards are left", guards.len() + 1);
        if guards.len() % 2 == 0 {
            guard.release().await.unwrap()
        } else {
            drop(guard)
        }
        assert_eq!(owner.depth(), guards.len());
    }
    assert_eq!(world.memory.residue().claims, 0);
    assert!(mutex.try_lock().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn c20_another_owner_and_a_plain_handle_wait_in_the_same_line() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, other) = (mutex.reentrant(), mutex.reentrant());
    let (one, two) = (owner.lock().await.unwrap(), owner.lock().await.unwrap());
    assert!(other.try_lock().await.unwrap().is_none());
    let second = locking(&other);
    world.until_in_line(2).await;
    let third = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(3).await;
    let token = one.token();
    one.release().await.unwrap();
    settle().await;
    assert!(!second.is_finished());
    two.release().await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert!(second.token() > token && !third.is_finished());
    assert!(owner.try_lock().await.unwrap().is_none(), "it is another's turn now");
    drop(second);
    assert!(third.await.unwrap().is_valid());
}

#[tokio::test(start_paused = true)]
async fn c20_calls_of_one_owner_that_wait_share_one_claim() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, held) = (mutex.reentrant(), mutex.lock().await.unwrap());
    let waiting: Vec<_> = (0..5).map(|_| locking(&owner)).collect();
    world.until_in_line(2).await;
    settle().await;
    assert_eq!(world.memory.residue().claims, 2);
    // Whoever has driven the claim goes; it stays in line.
    let place = mutex.inspect().await.unwrap().places[1].clone();
    let last = background({
        let mutex = mutex.clone();
        async move { mutex.lock().await.unwrap() }
    });
    world.until_in_line(3).await;
    let [first, second, rest @ ..] = &waiting[..] else { unreachable!() };
    for gone in [first, second] {
        gone.abort();
        settle().await;
        assert_eq!(mutex.inspect().await.unwrap().places[1], place);
    }
    held.release().await.unwrap();
    world.until("all have it", async || rest.iter().all(JoinHandle::is_finished)).await;
    assert_eq!(owner.depth(), rest.len());
    let mut guards = Vec::new();
    for waiting in waiting.into_iter().skip(2) {
        guards.push(waiting.await.unwrap().unwrap());
    }
    assert!(guards.iter().all(|guard| guard.claim() == place.claim));
    assert!(!last.is_finished());
    drop(guards);
    drop(last.await.unwrap());
    world.assert_clean_soon("shared claims").await;
}

#[tokio::test(start_paused = true)]
async fn c5_when_all_that_wait_are_dropped_nothing_stays_in_line() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let (owner, held) = (mutex.reentrant(), mutex.lock().await.unwrap());
    let waiting: Vec<_> = (0..3).map(|_| locking(&owner)).collect();
    world.until_in_line(2).await;
    waiting.iter().for_each(JoinHandle::abort);
    world.until_in_line(1).await;
    drop(held);
    drop(owner.lock().await.unwrap());
    world.assert_clean_soon("calls that were dropped").await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_a_try_gets_is_that_of_those_who_wait() {
    let world = World::new();
    let (coordinator, other) = (world.coordinator().await, world.coordinator().await);
    let mutex = coordinator.mutex("x").unwrap();
    let (owner, held) = (mutex.reentrant(), other.mutex("x").unwrap().lock().await.unwrap());
    let trying = background({
        let owner = owner.clone();
        async move { owner.try_lock_for(TTL).await.unwrap().unwrap() }
    });
    world.until_in_line(2).await;
    let waiting = locking(&owner);
    world.until_in_line(3).await;
    held.release().await.unwrap();
    let (tried, waited) = (trying.await.unwrap(), waiting.await.unwrap().unwrap());
    assert_eq!(tried.token(), waited.token());
    world.until_in_line(1).await;
    assert_eq!(owner.depth(), 2);
}

#[tokio::test(start_paused = true)]
async fn c6_patience_ends_and_leaves_nothing() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, _held) = (mutex.reentrant(), mutex.lock().await.unwrap());
    assert!(owner.try_lock().await.unwrap().is_none());
    assert!(owner.try_lock_for(SECOND).await.unwrap().is_none());
    assert_eq!((world.memory.residue().claims, owner.depth()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn c7_after_a_loss_there_is_a_new_turn_and_the_old_guards_stay_invalid() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let mutex = coordinator.mutex("x").unwrap();
    let owner = mutex.reentrant();
    for evicted in [true, false] {
        let (one, two) = (owner.lock().await.unwrap(), owner.lock().await.unwrap());
        if evicted {
            assert!(mutex.evict(one.claim()).await.unwrap());
        } else {
            world.memory.expire_now(coordinator.session_id());
        }
        let reason = two.lost().await;
        assert_eq!(reason, if evicted { LostReason::Evicted } else { LostReason::Expired });
        assert_eq!(owner.depth(), 0);
        let anew = owner.lock().await.unwrap();
        assert!(anew.token() > one.token() && anew.is_valid() && !one.is_valid());
        assert_eq!(one.run(async {}).await.unwrap_err().reason, reason);
        let kind = if evicted { ErrorKind::NotHeld } else { ErrorKind::SessionLost };
        for old in [one, two] {
            let error = old.release().await.unwrap_err();
            assert_eq!((error.kind(), error.operation()), (kind, Some("release")));
        }
        assert!(anew.is_valid() && owner.depth() == 1, "C12: late releases touched nothing");
        anew.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_evicted_ends_one_call_and_the_others_claim_anew() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, held) = (mutex.reentrant(), mutex.lock().await.unwrap());
    let waiting: Vec<_> = (0..3).map(|_| locking(&owner)).collect();
    world.until_in_line(2).await;
    let claim = mutex.inspect().await.unwrap().places[1].claim;
    assert!(mutex.evict(claim).await.unwrap());
    world.until("one is told", async || waiting.iter().any(JoinHandle::is_finished)).await;
    world.until_in_line(2).await;
    held.release().await.unwrap();
    let mut outcomes = Vec::new();
    for waiting in waiting {
        outcomes.push(waiting.await.unwrap());
    }
    let errors: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].kind(), errors[0].effect()), (ErrorKind::NotHeld, Effect::None));
    assert_eq!(owner.depth(), 2);
}

#[tokio::test(start_paused = true)]
async fn c9_lost_replies_change_nothing() {
    for after in 0..4 {
        let world = World::new();
        let coordinator = world.coordinator().await;
        let owner = coordinator.mutex("x").unwrap().reentrant();
        world.memory.lose_reply(coordinator.session_id(), after);
        let (one, two) = (owner.lock().await.unwrap(), owner.lock().await.unwrap());
        assert_eq!(one.token(), two.token());
        one.release().await.unwrap();
        two.release().await.unwrap();
        world.assert_clean_soon("a lost reply").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_options_of_the_lock_are_those_of_its_owners() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let owner = mutex.clone().max_hold(SECOND).reentrant();
    let (one, two) = (owner.lock().await.unwrap(), owner.lock().await.unwrap());
    assert_eq!(one.lost().await, LostReason::MaxHold);
    assert!(!two.is_valid());
    let refused = mutex.max_hold(MILLI - MILLI).reentrant().lock().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidOption);
}
