//! A future that is alive and not polled, as beside another in a `select!` by reference, keeps nobody else waiting.

use std::{pin::pin, time::Duration};

use lock_core::Coordinator;

use crate::support::{SECOND, World, begins};

async fn whose_session_was_lost(world: &World) -> Coordinator {
    let coordinator = world.coordinator().await;
    world.memory.expire_now(coordinator.session_id());
    world.until("the loss is noticed", async || coordinator.health().is_lost()).await;
    coordinator
}

/// More than anything takes that is waited for here.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn c4_who_asks_for_a_new_session_and_is_not_polled_keeps_nobody_from_it() {
    let world = World::new();
    let coordinator = whose_session_was_lost(&world).await;
    let (x, y) = (coordinator.mutex("x").unwrap(), coordinator.mutex("y").unwrap());
    let (mut first, mut second) = (pin!(x.lock()), pin!(x.lock()));
    begins(first.as_mut());
    begins(second.as_mut());
    let _other = world.within(SOON, "another lock", y.lock()).await.unwrap();
    let guard = world.within(SOON, "the first", first).await.unwrap();
    guard.release().await.unwrap();
    let _guard = world.within(SOON, "the second", second).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c16_closing_does_not_wait_for_who_is_not_polled() {
    let world = World::new();
    let coordinator = whose_session_was_lost(&world).await;
    let mutex = coordinator.mutex("x").unwrap();
    let mut waiting = pin!(mutex.lock());
    begins(waiting.as_mut());
    world.within(SOON, "close", coordinator.close()).await.unwrap();
    assert_eq!(world.memory.residue().sessions, 0, "the session that was being opened has escaped");
    assert!(world.within(SOON, "a lock", waiting).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn c16_closing_does_not_wait_for_who_closes_and_is_not_polled() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    world.memory.delay_replies(coordinator.session_id(), SECOND);
    let mut first = pin!(coordinator.close());
    begins(first.as_mut());
    world.within(SOON, "the second", coordinator.close()).await.unwrap();
    world.within(SOON, "the first", first).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_leader_who_proclaims_and_is_not_polled_may_proclaim_something_newer() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("x").unwrap();
    let leadership = election.campaign("a").await.unwrap();
    world.memory.delay_replies(coordinator.session_id(), SECOND);
    let mut first = pin!(leadership.proclaim("b"));
    begins(first.as_mut());
    world.within(SOON, "the second", leadership.proclaim("c")).await.unwrap();
    world.within(SOON, "the first", first).await.unwrap();
    assert_eq!(election.leader().await.unwrap().unwrap().value(), "c");
}

#[tokio::test(start_paused = true)]
async fn c22_a_member_that_is_changed_by_who_is_not_polled_can_be_changed_again() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let group = coordinator.group("x").unwrap();
    let membership = group.join("a", "1").await.unwrap();
    world.memory.delay_replies(coordinator.session_id(), SECOND);
    let mut first = pin!(membership.update("2"));
    begins(first.as_mut());
    world.within(SOON, "the second", membership.update("3")).await.unwrap();
    world.within(SOON, "the first", first).await.unwrap();
    assert_eq!(group.members().await.unwrap().get("a").unwrap().value(), "3");
}

#[tokio::test(start_paused = true)]
async fn c20_who_is_not_polled_keeps_no_other_call_of_its_owner_from_the_turn() {
    let world = World::new();
    let mutex = world.coordinator().await.mutex("x").unwrap();
    let (owner, held) = (mutex.reentrant(), mutex.lock().await.unwrap());
    let (mut first, mut second) = (pin!(owner.lock()), pin!(owner.lock()));
    begins(first.as_mut());
    begins(second.as_mut());
    world.until_in_line(2).await;
    held.release().await.unwrap();
    let third = world.within(SOON, "the third", owner.lock()).await.unwrap();
    let first = world.within(SOON, "the first", first).await.unwrap();
    assert_eq!((first.claim(), owner.depth()), (third.claim(), 2));
    drop((first, third));
    let second = world.within(SOON, "the second", second).await.unwrap();
    drop(second);
    world.assert_clean_soon("calls that were not polled").await;
}
