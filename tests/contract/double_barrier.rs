//! The double barrier (C23): in together, out together.

use std::{
    future::Future,
    task::{Context, Waker},
};

use lock_core::{Coordinator, DoubleBarrier, ErrorKind, Inside, LostReason, OnLoss, Result};
use tokio::task::JoinHandle;

use crate::{
    cancellation::{Contention, drop_at_every_await},
    support::{TTL, World, background, settle},
};

struct Party {
    coordinator: Coordinator,
    barrier: DoubleBarrier,
}

impl Party {
    fn enter(&self) -> JoinHandle<Result<Inside>> {
        let barrier = self.barrier.clone();
        background(async move { barrier.enter().await })
    }
}

async fn parties(world: &World, count: u32, on_loss: OnLoss) -> Vec<Party> {
    let mut parties = Vec::new();
    for _ in 0..count {
        let coordinator = world.coordinator().await;
        let barrier = coordinator.double_barrier("b", count).unwrap().when_one_goes(on_loss);
        parties.push(Party { coordinator, barrier });
    }
    parties
}

async fn all_inside(parties: &[Party]) -> Vec<Inside> {
    let entering: Vec<_> = parties.iter().map(Party::enter).collect();
    let mut inside = Vec::new();
    for entering in entering {
        inside.push(entering.await.unwrap().unwrap());
    }
    inside
}

fn leave(inside: Inside) -> JoinHandle<Result<()>> {
    background(inside.leave())
}

fn kind<T>(outcome: Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn c23_nobody_is_in_before_all_have_come_nor_out_before_all_leave() {
    let world = World::new();
    let parties = parties(&world, 3, OnLoss::Fail).await;
    for _ in 0..3 {
        let first: Vec<_> = parties[..2].iter().map(Party::enter).collect();
        world.until_in_line(2).await;
        world.sleep(TTL).await;
        assert!(first.iter().all(|entering| !entering.is_finished()));
        let last = parties[2].barrier.enter().await.unwrap();
        let mut leaving = Vec::new();
        for entering in first {
            let inside = entering.await.unwrap().unwrap();
            assert!(inside.is_valid());
            assert_eq!(inside.run(async { 7 }).await.unwrap(), 7);
            leaving.push(leave(inside));
        }
        world.sleep(TTL).await;
        assert!(leaving.iter().all(|leaving| !leaving.is_finished()));
        assert_eq!(world.memory.residue().claims, 3);
        last.leave().await.unwrap();
        for leaving in leaving {
            leaving.await.unwrap().unwrap();
        }
        world.assert_clean_soon("a round").await;
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_is_slow_to_notice_that_all_have_come_is_waited_for() {
    let world = World::new();
    let parties = parties(&world, 2, OnLoss::Fail).await;
    let barrier = parties[0].barrier.clone();
    let mut slow = Box::pin(async move { barrier.enter().await });
    while world.memory.residue().claims == 0 {
        assert!(slow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let leaving = leave(parties[1].barrier.enter().await.unwrap());
    world.sleep(TTL).await;
    assert!(!leaving.is_finished());
    slow.await.unwrap().leave().await.unwrap();
    leaving.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_goes_while_inside_is_reported_to_all_who_leave() {
    for how in ["crash", "drop", "evict"] {
        for late in [false, true] {
            let world = World::new();
            let parties = parties(&world, 3, OnLoss::Fail).await;
            let mut inside = all_inside(&parties).await;
            let (going, last) = (inside.pop().unwrap(), inside.pop().unwrap());
            let first = leave(inside.pop().unwrap());
            settle().await;
            match how {
                "crash" => parties[2].coordinator.abandon(),
                "drop" => drop(going),
                _ => {
                    assert!(parties[0].barrier.evict(going.claim()).await.unwrap());
                    assert_eq!(going.lost().await, LostReason::Evicted);
                    assert_eq!(kind(going.leave().await), Some(ErrorKind::NotHeld));
                }
            }
            if late {
                world.until_in_line(1).await;
            }
            for outcome in [last.leave().await, first.await.unwrap()] {
                let error = outcome.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Broken, "{how}");
                let text = "leave double-barrier \"b\": a participant has gone before all were leaving";
                assert_eq!(error.to_string(), text);
            }
            world.assert_clean_soon("a broken round").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c23_those_who_go_on_leave_without_the_one_who_has_gone() {
    let world = World::new();
    let parties = parties(&world, 3, OnLoss::GoOn).await;
    let mut inside = all_inside(&parties).await;
    drop(inside.pop());
    let last = inside.pop().unwrap();
    let first = leave(inside.pop().unwrap());
    world.sleep(TTL).await;
    assert!(!first.is_finished(), "one is still inside");
    last.leave().await.unwrap();
    first.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_goes_before_all_have_come_is_reported_or_replaced() {
    for (on_loss, expected) in [(OnLoss::Fail, Some(ErrorKind::Broken)), (OnLoss::GoOn, None)] {
        let world = World::new();
        let parties = parties(&world, 3, on_loss).await;
        let first: Vec<_> = parties[..2].iter().map(Party::enter).collect();
        world.until_in_line(2).await;
        settle().await;
        first[1].abort();
        world.until("it has gone", async || world.memory.residue().claims < 2).await;
        settle().await;
        if on_loss == OnLoss::GoOn {
            let others = [parties[1].enter(), parties[2].enter()];
            for other in others {
                drop(other.await.unwrap().unwrap());
            }
        }
        let [first, _] = <[_; 2]>::try_from(first).unwrap();
        assert_eq!(kind(first.await.unwrap()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_whose_session_is_lost_inside_cannot_leave_and_the_others_are_told() {
    let world = World::new();
    let parties = parties(&world, 2, OnLoss::Fail).await;
    let mut inside = all_inside(&parties).await;
    let (second, first) = (inside.pop().unwrap(), inside.pop().unwrap());
    world.memory.expire_now(parties[0].coordinator.session_id());
    assert_eq!(kind(second.leave().await), Some(ErrorKind::Broken));
    let reason = first.lost().await;
    assert!(matches!(reason, LostReason::Expired | LostReason::Deadline), "{reason:?}");
    assert!(!first.is_valid());
    assert_eq!(kind(first.leave().await), Some(ErrorKind::SessionLost));
}

#[tokio::test(start_paused = true)]
async fn c23_one_whose_session_is_lost_while_it_leaves_is_told() {
    let world = World::new();
    let parties = parties(&world, 2, OnLoss::Fail).await;
    let mut inside = all_inside(&parties).await;
    let (second, first) = (inside.pop().unwrap(), inside.pop().unwrap());
    let leaving = leave(first);
    settle().await;
    world.memory.expire_now(parties[0].coordinator.session_id());
    assert_eq!(kind(second.leave().await), Some(ErrorKind::Broken));
    // By whichever it learns first.
    let told = kind(leaving.await.unwrap());
    assert!(matches!(told, Some(ErrorKind::Broken | ErrorKind::SessionLost)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn c9_all_enter_and_leave_whichever_reply_is_lost() {
    for (one, after) in [0, 1].into_iter().flat_map(|one| (0..14).map(move |after| (one, after))) {
        let world = World::new();
        let parties = parties(&world, 2, OnLoss::Fail).await;
        world.memory.lose_reply(parties[one].coordinator.session_id(), after);
        let leaving: Vec<_> = all_inside(&parties).await.into_iter().map(leave).collect();
        for leaving in leaving {
            leaving.await.unwrap().unwrap();
        }
        world.assert_clean_soon("a lost reply").await;
    }
}

#[tokio::test(start_paused = true)]
async fn c23_a_double_barrier_of_nobody_is_refused() {
    let world = World::new();
    let error = world.coordinator().await.double_barrier("b", 0).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidOption, Some("double_barrier")));
}

#[tokio::test(start_paused = true)]
async fn c5_entering_and_leaving_dropped_at_any_await_leave_nothing_behind() {
    let points = drop_at_every_await("double barrier", Contention::Free, async |coordinator| {
        let inside = coordinator.double_barrier("x", 1).unwrap().enter().await.unwrap();
        inside.leave().await.unwrap();
    })
    .await;
    for call in ["join", "granted", "changes", "cell", "put_cell", "update", "leave"] {
        assert!(points.iter().any(|point| point.ends_with(&format!("before {call}"))), "{call}: {points:?}");
    }
}
