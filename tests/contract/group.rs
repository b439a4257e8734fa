//! Group membership (C22): views, data, members that come back, and those that do not.

use std::time::Duration;

use lock_core::{ErrorKind, Kind, LineId, LostReason, Members, Membership, Mode, Payload};
use tokio::runtime::Builder;

use crate::{
    cancellation::{Contention, drop_at_every_await},
    support::{MILLI, TTL, World, settle},
};

/// Names and data, in order.
fn shown(members: &Members) -> Vec<(String, String)> {
    members.iter().map(|member| (member.name.to_string(), member.value())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn c22_everybody_sees_the_same_members_in_order() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (a, b) = (a.group("g").unwrap(), b.group("g").unwrap());
    assert!(a.members().await.unwrap().is_empty());
    let second = a.join("m2", "10.0.0.2:80").await.unwrap();
    let first = b.join("m1", [0xff, b'\n']).await.unwrap();
    let (here, there) = (a.members().await.unwrap(), b.members().await.unwrap());
    assert_eq!(here, there);
    assert_eq!(here.len(), 2);
    assert_eq!(here.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["m1", "m2"]);
    assert_eq!(here.get("m1").unwrap().data.as_bytes(), [0xff, b'\n']);
    assert_eq!(here.get("m2").unwrap().claim, second.claim().unwrap());
    assert_eq!(here.get("m3"), None);
    assert_eq!(here.owner_of("key"), there.owner_of("key"));
    assert_eq!(first.name().as_str(), "m1");
    let before = here.revision;
    second.leave().await.unwrap();
    let now = b.members().await.unwrap();
    assert!(now.revision > before);
    assert_eq!(now.owner_of("key").unwrap().name.as_str(), "m1");
    drop(first);
    world.assert_clean_soon("members").await;
}

#[tokio::test(start_paused = true)]
async fn c22_a_watch_tells_of_each_change_once_over_the_loss_of_its_session() {
    let world = World::new();
    let (a, watcher) = (world.coordinator().await, world.coordinator().await);
    let group = a.group("g").unwrap();
    let mut watch = watcher.group("g").unwrap().watch();
    assert!(watch.next().await.unwrap().is_empty());
    let mut last = 0;
    for round in 0..4 {
        let membership = group.join("m", "old").await.unwrap();
        for (act, expected) in [(0, [("m", "old")].as_slice()), (1, &[("m", "new")]), (2, &[])] {
            match act {
                0 => {}
                1 => membership.update("new").await.unwrap(),
                _ => break,
            }
            let seen = watch.next().await.unwrap();
            assert_eq!(shown(&seen), pairs(expected));
            assert!(seen.revision > last);
            last = seen.revision;
        }
        if round == 2 {
            world.memory.expire_now(watcher.session_id());
        }
        tokio::select! { biased;
            seen = watch.next() => panic!("told again: {seen:?}"),
            () = world.sleep(TTL) => {}
        }
        membership.leave().await.unwrap();
        assert!(watch.next().await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn c22_a_member_whose_session_was_lost_comes_back_with_its_newest_data() {
    let world = World::new();
    let (a, spy) = (world.coordinator().await, world.coordinator().await);
    let membership = a.group("g").unwrap().join("m", "first").await.unwrap();
    let group = spy.group("g").unwrap();
    let before = membership.claim().unwrap();
    membership.update("newest").await.unwrap();
    world.memory.pause_renewals(a.session_id(), true);
    world.until("the loss is noticed", async || !membership.is_registered()).await;
    assert_eq!(membership.claim(), None);
    world.until("it is back", async || membership.is_registered()).await;
    assert_ne!(membership.claim(), Some(before));
    world.until("its former claim is gone", async || group.inspect().await.unwrap().places.len() == 1).await;
    assert_eq!(shown(&group.members().await.unwrap()), pairs(&[("m", "newest")]));
    // And again.
    world.memory.expire_now(a.session_id());
    world.until("it is gone", async || group.members().await.unwrap().is_empty()).await;
    world.until("it is back", async || !group.members().await.unwrap().is_empty()).await;
    membership.leave().await.unwrap();
    assert!(group.members().await.unwrap().is_empty());
    world.sleep(TTL * 2).await;
    assert!(group.members().await.unwrap().is_empty(), "one that has left came back");
}

#[tokio::test(start_paused = true)]
async fn c22_what_is_set_while_the_session_is_lost_is_shown_afterwards() {
    let world = World::new();
    let (a, spy) = (world.coordinator().await, world.coordinator().await);
    let membership = a.group("g").unwrap().join("m", "old").await.unwrap();
    let group = spy.group("g").unwrap();
    world.memory.pause_renewals(a.session_id(), true);
    world.until("the loss is noticed", async || !membership.is_registered()).await;
    // Given up at once: it is shown all the same.
    tokio::select! { biased;
        outcome = membership.update("set") => panic!("{outcome:?} while the session is lost"),
        () = settle() => {}
    }
    world
        .until("it is shown", async || shown(&group.members().await.unwrap()) == pairs(&[("m", "set")]))
        .await;
    world.memory.pause_renewals(a.session_id(), true);
    world.until("the loss is noticed again", async || !membership.is_registered()).await;
    membership.update("waited for").await.unwrap();
    assert_eq!(shown(&group.members().await.unwrap()), pairs(&[("m", "waited for")]));
}

#[tokio::test(start_paused = true)]
async fn c9_of_several_updates_the_last_one_stands() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let group = coordinator.group("g").unwrap();
    let membership = group.join("m", "first").await.unwrap();
    world.memory.lose_all_replies(coordinator.session_id(), true);
    tokio::select! { biased;
        outcome = membership.update("old") => panic!("{outcome:?}"),
        () = world.sleep(100 * MILLI) => {}
    }
    world.memory.lose_all_replies(coordinator.session_id(), false);
    membership.update("new").await.unwrap();
    // The old one is still being repeated in the background.
    world.sleep(TTL).await;
    assert_eq!(shown(&group.members().await.unwrap()), pairs(&[("m", "new")]));
}

#[tokio::test(start_paused = true)]
async fn c9_a_member_joins_and_leaves_once_whatever_replies_are_lost() {
    for after in 0..3 {
        let world = World::new();
        let coordinator = world.coordinator().await;
        let group = coordinator.group("g").unwrap();
        world.memory.lose_reply(coordinator.session_id(), after);
        let membership = group.join("m", "").await.unwrap();
        assert_eq!(group.inspect().await.unwrap().places.len(), 1);
        membership.leave().await.unwrap();
        assert_eq!(world.memory.residue().claims, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn c22_a_member_that_was_evicted_does_not_come_back() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let group = coordinator.group("g").unwrap();
    let membership = group.join("m", "").await.unwrap();
    assert!(group.evict(membership.claim().unwrap()).await.unwrap());
    assert_eq!(membership.ended().await, LostReason::Evicted);
    assert!(!membership.is_registered());
    world.sleep(TTL * 2).await;
    assert!(group.members().await.unwrap().is_empty());
    let error = membership.update("x").await.unwrap_err();
    assert_eq!(error.to_string(), "update group \"g\": the claim was evicted by an operator");
    assert_eq!(membership.leave().await.unwrap_err().kind(), ErrorKind::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn c22_a_membership_ends_with_its_coordinator() {
    let world = World::new();
    let (closed, abandoned) = (world.coordinator().await, world.coordinator().await);
    let group = closed.group("g").unwrap();
    let membership = group.join("m", "").await.unwrap();
    let other = abandoned.group("g").unwrap().join("n", "").await.unwrap();
    closed.close().await.unwrap();
    assert_eq!(membership.ended().await, LostReason::Closed);
    assert_eq!(membership.update("x").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(membership.leave().await.unwrap_err().kind(), ErrorKind::Closed);
    abandoned.abandon();
    assert_eq!(other.ended().await, LostReason::Abandoned);
    assert_eq!(group.join("o", "").await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn c22_a_coordinator_that_is_closed_while_a_member_is_away_ends_it() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let membership = coordinator.group("g").unwrap().join("m", "").await.unwrap();
    world.memory.expire_now(coordinator.session_id());
    world.until("the loss is noticed", async || !membership.is_registered()).await;
    coordinator.close().await.unwrap();
    assert_eq!(membership.ended().await, LostReason::Closed);
}

#[test]
fn c14_a_membership_ends_with_its_runtime() {
    let tokio = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let membership = tokio.block_on(async {
        let coordinator = World::new().coordinator().await;
        coordinator.group("g").unwrap().join("m", "").await.unwrap()
    });
    drop(tokio);
    let elsewhere = Builder::new_current_thread().build().unwrap();
    assert_eq!(elsewhere.block_on(membership.ended()), LostReason::RuntimeStopped);
    drop(membership);
}

#[tokio::test(start_paused = true)]
async fn c14_a_membership_that_is_dropped_leaves_and_keeps_nothing_open() {
    let world = World::new();
    for away in [false, true] {
        let coordinator = world.coordinator().await;
        let membership = coordinator.group("g").unwrap().join("m", "").await.unwrap();
        let session = coordinator.session_id();
        drop(coordinator);
        settle().await;
        assert!(membership.is_registered(), "it keeps its coordinator open");
        if away {
            world.memory.expire_now(session);
            world.until("the loss is noticed", async || !membership.is_registered()).await;
        }
        drop(membership);
        world.assert_clean_soon("a membership that was dropped").await;
        world.until("the session is closed", async || world.memory.residue().sessions == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c22_a_name_that_is_there_twice_counts_once_where_it_came_last() {
    let world = World::new();
    let (crashed, restarted) = (world.coordinator().await, world.coordinator().await);
    let former: Membership = crashed.group("g").unwrap().join("m", "before").await.unwrap();
    crashed.abandon();
    let group = restarted.group("g").unwrap();
    let mut watch = group.watch();
    watch.next().await.unwrap();
    let membership = group.join("m", "after").await.unwrap();
    assert_eq!(group.inspect().await.unwrap().places.len(), 2);
    let members = watch.next().await.unwrap();
    assert_eq!(shown(&members), pairs(&[("m", "after")]));
    assert_eq!(members.get("m").unwrap().claim, membership.claim().unwrap());
    tokio::select! { biased;
        seen = watch.next() => panic!("the end of what did not count was told: {seen:?}"),
        () = world.sleep(TTL * 2) => {}
    }
    assert_eq!(group.inspect().await.unwrap().places.len(), 1);
    drop(former);
}

#[tokio::test(start_paused = true)]
async fn c22_what_does_not_fit_or_is_no_name_is_refused_before_any_io() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let group = coordinator.group("g").unwrap();
    let before = world.memory.served();
    let error = group.join("a\nb", "").await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidName, Some("join")));
    let most = Payload::MAX_BYTES - "m\n".len();
    assert_eq!(group.join("m", vec![0; most + 1]).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(world.memory.served(), before);
    let membership = group.join("m", vec![0; most]).await.unwrap();
    let before = world.memory.served();
    assert_eq!(membership.update(vec![0; most + 1]).await.unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(world.memory.served(), before);
}

#[tokio::test(start_paused = true)]
async fn c15_a_store_without_claims_that_are_present_has_no_groups() {
    let world = World::new();
    world.memory.declare_exclusive_only();
    let coordinator = world.coordinator().await;
    let before = world.memory.served();
    let error = coordinator.group("g").unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Some("group")));
    assert_eq!(world.memory.served(), before);
}

#[tokio::test(start_paused = true)]
async fn c22_a_member_that_cannot_be_read_is_not_left_out_of_a_view() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let group = coordinator.group("g").unwrap();
    let stranger = coordinator.claims(LineId::new(Kind::Group, "g".parse().unwrap()));
    let stranger = stranger.acquire(Mode::Present).await.unwrap();
    let error = group.members().await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Garbled, Some("members")));
    let mut watch = group.watch();
    assert_eq!(watch.next().await.unwrap_err().kind(), ErrorKind::Garbled);
    stranger.release().await.unwrap();
    assert!(watch.next().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn c5_a_member_dropped_at_any_await_leaves_nothing_behind() {
    let points = drop_at_every_await("join", Contention::Free, async |coordinator| {
        let group = coordinator.group("x").unwrap();
        let membership = group.join("m", "a").await.unwrap();
        membership.update("b").await.unwrap();
        group.watch().next().await.unwrap();
        membership.leave().await.unwrap();
    })
    .await;
    for call in ["join", "granted", "update", "changes", "leave"] {
        assert!(points.iter().any(|point| point.ends_with(&format!("before {call}"))), "{call}: {points:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c22_members_of_many_groups_share_a_session_and_come_back_apart() {
    let world = World::new();
    let (coordinator, spy) = (world.coordinator().await, world.coordinator().await);
    let mut memberships = Vec::new();
    for number in 0..20 {
        let group = coordinator.group(format!("g/{number}")).unwrap();
        memberships.push(group.join("m", "").await.unwrap());
    }
    world.memory.expire_now(coordinator.session_id());
    let all_back = async || memberships.iter().all(Membership::is_registered);
    world.until("the loss is noticed", async || !all_back().await).await;
    world.until("all are back", all_back).await;
    let mut since = Vec::new();
    for number in 0..20 {
        let members = spy.group(format!("g/{number}")).unwrap().members().await.unwrap();
        since.push(members.get("m").unwrap().since);
    }
    since.sort_unstable();
    let spread = since[19].duration_since(since[0]).unwrap();
    assert!(spread > Duration::from_millis(100), "all came back within {spread:?}");
}
