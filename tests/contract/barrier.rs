//! The barrier (C23): all of a round pass together, or all are told that somebody has gone.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
};

use lock_core::{Barrier, Coordinator, ErrorKind, OnLoss, Result};
use tokio::task::JoinHandle;

use crate::{
    cancellation::{Contention, drop_at_every_await},
    support::{MILLI, TTL, World, background, settle},
};

type Waiting = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

struct Party {
    coordinator: Coordinator,
    barrier: Barrier,
}

impl Party {
    async fn new(world: &World, participants: u32, on_loss: OnLoss) -> Self {
        let coordinator = world.coordinator().await;
        let barrier = coordinator.barrier("b", participants).unwrap().when_one_goes(on_loss);
        Self { coordinator, barrier }
    }

    fn wait(&self) -> JoinHandle<Result<()>> {
        let barrier = self.barrier.clone();
        background(async move { barrier.wait().await })
    }

    /// One that has come, and then is not polled.
    async fn comes(&self, world: &World) -> Waiting {
        let (barrier, before) = (self.barrier.clone(), world.memory.residue().claims);
        let mut waiting: Waiting = Box::pin(async move { barrier.wait().await });
        while world.memory.residue().claims == before {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        waiting
    }
}

async fn parties(world: &World, count: usize, participants: u32, on_loss: OnLoss) -> Vec<Party> {
    let mut parties = Vec::new();
    for _ in 0..count {
        parties.push(Party::new(world, participants, on_loss).await);
    }
    parties
}

fn kind(outcome: Result<()>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn c23_nobody_passes_before_all_have_come() {
    let world = World::new();
    let parties = parties(&world, 3, 3, OnLoss::Fail).await;
    let first: Vec<_> = parties[..2].iter().map(Party::wait).collect();
    world.until_in_line(2).await;
    world.sleep(TTL * 2).await;
    assert!(first.iter().all(|waiting| !waiting.is_finished()));
    parties[2].barrier.wait().await.unwrap();
    for waiting in first {
        waiting.await.unwrap().unwrap();
    }
    world.assert_clean_soon("a round").await;
    parties[0].barrier.forget().await.unwrap();
    assert_eq!(world.memory.residue().cells, 0);
}

#[tokio::test(start_paused = true)]
async fn c23_a_barrier_is_used_again_and_nobody_gets_ahead() {
    const ROUNDS: usize = 20;
    let world = World::new();
    let parties = parties(&world, 3, 3, OnLoss::Fail).await;
    let passed = std::sync::Arc::new(std::sync::Mutex::new([0; 3]));
    let mut running = Vec::new();
    for (index, party) in parties.iter().enumerate() {
        let (barrier, passed, runtime) = (party.barrier.clone(), passed.clone(), world.runtime.clone());
        running.push(background(async move {
            for round in 0..ROUNDS {
                let pause = MILLI * u32::try_from((round * 7 + index * 11) % 5).unwrap();
                lock_core::runtime::Runtime::sleep_until(
                    &runtime,
                    lock_core::runtime::Runtime::now(&runtime) + pause,
                )
                .await;
                barrier.wait().await.unwrap();
                let mut passed = passed.lock().unwrap();
                passed[index] += 1;
                assert!(passed.iter().all(|count| *count == round || *count == round + 1), "{passed:?}");
            }
        }));
    }
    for running in running {
        running.await.unwrap();
    }
    world.assert_clean_soon("many rounds").await;
}

#[tokio::test(start_paused = true)]
async fn c23_of_many_every_so_many_pass_in_the_order_in_which_they_came() {
    let world = World::new();
    let parties = parties(&world, 7, 3, OnLoss::Fail).await;
    let mut slow = Vec::new();
    for party in &parties[..2] {
        slow.push(party.comes(&world).await);
    }
    let mut later = Vec::new();
    for party in &parties[2..] {
        let before = world.memory.residue().claims;
        later.push(party.wait());
        // The third one passes, and goes again.
        world
            .until("it has come", async || world.memory.residue().claims != before || later[0].is_finished())
            .await;
        settle().await;
    }
    // 0, 1, 2 are a round; 3, 4, 5 another; 6 waits.
    for waiting in later.drain(..4) {
        waiting.await.unwrap().unwrap();
    }
    for waiting in slow {
        waiting.await.unwrap();
    }
    world.sleep(TTL).await;
    assert!(!later[0].is_finished());
}

#[tokio::test(start_paused = true)]
async fn c23_a_fast_participant_that_passes_and_leaves_strands_nobody() {
    for on_loss in [OnLoss::Fail, OnLoss::GoOn] {
        for newcomers in 0..3 {
            let world = World::new();
            let parties = parties(&world, 6, 3, on_loss).await;
            let slow = parties[0].comes(&world).await;
            let fast = parties[1].wait();
            parties[2].barrier.wait().await.unwrap();
            fast.await.unwrap().unwrap();
            // They have passed and left; others wait for the next round, so that as many are in line.
            let next: Vec<_> = parties[3..3 + newcomers].iter().map(Party::wait).collect();
            world.until_in_line(1 + newcomers).await;
            slow.await.unwrap();
            world.sleep(TTL).await;
            assert!(
                next.iter().all(|waiting| !waiting.is_finished()),
                "the slow one counted for the next round"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_looked_before_the_others_came_is_not_stranded_by_them() {
    for on_loss in [OnLoss::Fail, OnLoss::GoOn] {
        let world = World::new();
        let parties = parties(&world, 3, 2, on_loss).await;
        let mut slow = parties[0].comes(&world).await;
        // It has seen the line with itself alone.
        for _ in 0..10 {
            assert!(slow.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        parties[1].barrier.wait().await.unwrap();
        // For it the line is as it was.
        world.until_in_line(1).await;
        slow.await.unwrap();
        let next = parties[2].wait();
        world.sleep(TTL).await;
        assert!(!next.is_finished());
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_goes_breaks_the_round_for_all() {
    for how in ["crash", "withdraw", "evict", "lose"] {
        let world = World::new();
        let parties = parties(&world, 4, 4, OnLoss::Fail).await;
        let waiting: Vec<_> = parties[..2].iter().map(Party::wait).collect();
        let going = parties[2].wait();
        world.until_in_line(3).await;
        settle().await;
        match how {
            "crash" => parties[2].coordinator.abandon(),
            "withdraw" => going.abort(),
            "evict" => {
                let claim = parties[0].barrier.inspect().await.unwrap().places[2].claim;
                assert!(parties[0].barrier.evict(claim).await.unwrap());
                assert_eq!(kind(going.await.unwrap()), Some(ErrorKind::NotHeld));
            }
            _ => drop(world.memory.expire_now(parties[2].coordinator.session_id())),
        }
        for waiting in waiting {
            let error = waiting.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Broken, "{how}");
            assert_eq!(error.to_string(), "wait barrier \"b\": a participant has gone before all had come");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c23_after_a_broken_round_comes_another() {
    let world = World::new();
    let parties = parties(&world, 3, 3, OnLoss::Fail).await;
    for _ in 0..3 {
        let (waiting, going) = (parties[0].wait(), parties[1].wait());
        world.until_in_line(2).await;
        settle().await;
        going.abort();
        assert_eq!(kind(waiting.await.unwrap()), Some(ErrorKind::Broken));
        let all: Vec<_> = parties.iter().map(Party::wait).collect();
        for waiting in all {
            waiting.await.unwrap().unwrap();
        }
    }
    world.assert_clean_soon("rounds, broken and not").await;
}

#[tokio::test(start_paused = true)]
async fn c23_those_who_go_on_wait_for_somebody_else_to_come() {
    let world = World::new();
    let parties = parties(&world, 4, 3, OnLoss::GoOn).await;
    let waiting: Vec<_> = parties[..2].iter().map(Party::wait).collect();
    world.until_in_line(2).await;
    parties[1].coordinator.abandon();
    world.until_in_line(1).await;
    let third = parties[2].wait();
    world.until_in_line(2).await;
    world.sleep(TTL).await;
    assert!(!waiting[0].is_finished() && !third.is_finished());
    parties[3].barrier.wait().await.unwrap();
    third.await.unwrap().unwrap();
    for (waiting, expected) in waiting.into_iter().zip([None, Some(ErrorKind::Closed)]) {
        assert_eq!(kind(waiting.await.unwrap()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_whose_session_is_lost_comes_again() {
    let world = World::new();
    let parties = parties(&world, 2, 2, OnLoss::GoOn).await;
    let waiting = parties[0].wait();
    world.until_in_line(1).await;
    let before = parties[1].barrier.inspect().await.unwrap().places[0].claim;
    world.memory.expire_now(parties[0].coordinator.session_id());
    world
        .until("it is there again", async || {
            let line = parties[1].barrier.inspect().await.unwrap();
            line.places.first().is_some_and(|place| place.claim != before)
        })
        .await;
    parties[1].barrier.wait().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c23_one_whose_round_was_settled_as_its_session_was_lost_has_passed() {
    let world = World::new();
    let parties = parties(&world, 2, 2, OnLoss::GoOn).await;
    let slow = parties[0].comes(&world).await;
    parties[1].barrier.wait().await.unwrap();
    world.memory.expire_now(parties[0].coordinator.session_id());
    world.until_in_line(0).await;
    slow.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_went_before_the_others_came_has_not_passed_with_them() {
    for on_loss in [OnLoss::Fail, OnLoss::GoOn] {
        let world = World::new();
        let parties = parties(&world, 4, 2, on_loss).await;
        let slow = parties[0].comes(&world).await;
        world.memory.expire_now(parties[0].coordinator.session_id());
        world.until_in_line(0).await;
        let second = parties[1].wait();
        parties[2].barrier.wait().await.unwrap();
        second.await.unwrap().unwrap();
        let slow = background(slow);
        world.sleep(TTL).await;
        assert!(!slow.is_finished(), "three have passed a round of two");
        parties[3].barrier.wait().await.unwrap();
        slow.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c23_one_that_was_evicted_before_the_others_came_has_not_passed_with_them() {
    for on_loss in [OnLoss::Fail, OnLoss::GoOn] {
        let world = World::new();
        let parties = parties(&world, 3, 2, on_loss).await;
        let slow = parties[0].comes(&world).await;
        let claim = parties[1].barrier.inspect().await.unwrap().places[0].claim;
        assert!(parties[1].barrier.evict(claim).await.unwrap());
        let second = parties[1].wait();
        parties[2].barrier.wait().await.unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(kind(slow.await), Some(ErrorKind::NotHeld));
    }
}

#[tokio::test(start_paused = true)]
async fn c23_whoever_comes_later_with_another_number_is_refused() {
    let world = World::new();
    let party = Party::new(&world, 2, OnLoss::Fail).await;
    let waiting = party.wait();
    world.until_in_line(1).await;
    let other = Party::new(&world, 3, OnLoss::Fail).await;
    let error = other.barrier.wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disagreement);
    assert_eq!(error.to_string(), "wait barrier \"b\": others meet here by 2, this one by 3");
    world.until_in_line(1).await;
    Party::new(&world, 2, OnLoss::Fail).await.barrier.wait().await.unwrap();
    waiting.await.unwrap().unwrap();
    let error = world.coordinator().await.barrier("b", 0).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidOption, Some("barrier")));
}

#[tokio::test(start_paused = true)]
async fn c9_all_pass_whichever_reply_is_lost() {
    for (one, after) in [0, 1].into_iter().flat_map(|one| (0..8).map(move |after| (one, after))) {
        let world = World::new();
        let parties = parties(&world, 2, 2, OnLoss::Fail).await;
        world.memory.lose_reply(parties[one].coordinator.session_id(), after);
        let waiting = parties[0].wait();
        parties[1].barrier.wait().await.unwrap();
        waiting.await.unwrap().unwrap();
        world.assert_clean_soon("a lost reply").await;
    }
}

#[tokio::test(start_paused = true)]
async fn c5_waiting_dropped_at_any_await_leaves_nothing_behind() {
    let points = drop_at_every_await("barrier", Contention::Free, async |coordinator| {
        coordinator.barrier("x", 1).unwrap().wait().await.unwrap();
    })
    .await;
    for call in ["join", "granted", "changes", "cell", "put_cell", "leave"] {
        assert!(points.iter().any(|point| point.ends_with(&format!("before {call}"))), "{call}: {points:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_participant_of_a_closed_coordinator_is_told() {
    let world = World::new();
    let party = Party::new(&world, 2, OnLoss::Fail).await;
    let waiting = party.wait();
    world.until_in_line(1).await;
    party.coordinator.close().await.unwrap();
    assert_eq!(kind(waiting.await.unwrap()), Some(ErrorKind::Closed));
}
