//! The countdown latch (C24): who counts, once, and who is woken.

use lock_core::{Coordinator, ErrorKind, Kind, Latch, LineId, Mode, backend::CellVersion};

use crate::{
    cancellation::{Contention, drop_at_every_await},
    support::{MILLI, TTL, World, background, settle},
};

fn latch(coordinator: &Coordinator, count: u32) -> Latch {
    coordinator.latch("l", count).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c24_those_who_wait_go_on_when_all_have_counted_down() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let waiters: Vec<_> = [&a, &a, &b]
        .map(|coordinator| {
            let latch = latch(coordinator, 2);
            background(async move { latch.wait().await.unwrap() })
        })
        .into();
    settle().await;
    assert_eq!(latch(&a, 2).remaining().await.unwrap(), 2);
    assert_eq!(latch(&a, 2).count_down("one").await.unwrap(), 1);
    settle().await;
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    assert_eq!(latch(&b, 2).count_down("two").await.unwrap(), 0);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    // It stays open, and those who come later change nothing.
    latch(&a, 2).wait().await.unwrap();
    assert_eq!(latch(&b, 2).count_down("three").await.unwrap(), 0);
    assert_eq!(latch(&b, 2).remaining().await.unwrap(), 0);
    world.assert_clean_soon("a latch").await;
}

#[tokio::test(start_paused = true)]
async fn c24_a_participant_counts_once_however_often_it_says_so() {
    let world = World::new();
    for _ in 0..3 {
        // It has been restarted.
        let coordinator = world.coordinator().await;
        for _ in 0..3 {
            assert_eq!(latch(&coordinator, 2).count_down("one").await.unwrap(), 1);
        }
        coordinator.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn c24_a_participant_counts_once_whichever_reply_is_lost() {
    let mut lost = 0;
    for after in 0..8 {
        let world = World::new();
        let (a, b) = (world.coordinator().await, world.coordinator().await);
        world.memory.lose_reply(a.session_id(), after);
        assert_eq!(latch(&a, 3).count_down("one").await.unwrap(), 2, "reply {after}");
        lost += world.memory.lost_replies(a.session_id());
        assert_eq!(latch(&b, 3).remaining().await.unwrap(), 2, "reply {after}");
        world.assert_clean_soon("a lost reply").await;
    }
    assert!(lost >= 4, "a join, a read, a write and a leave have replies, not {lost}");
}

#[tokio::test(start_paused = true)]
async fn c24_a_participant_whose_session_is_lost_half_way_counts_once() {
    for moment in 1..8 {
        let world = World::new();
        let (a, b) = (world.coordinator().await, world.coordinator().await);
        world.memory.delay_replies(a.session_id(), 10 * MILLI);
        let counting = background({
            let latch = latch(&a, 3);
            async move { latch.count_down("one").await.unwrap() }
        });
        world.sleep(moment * 5 * MILLI).await;
        world.memory.expire_now(a.session_id());
        assert_eq!(counting.await.unwrap(), 2);
        assert_eq!(latch(&b, 3).remaining().await.unwrap(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn c24_one_that_crashes_after_its_write_wakes_those_who_wait_when_its_session_ends() {
    let world = World::new();
    let (crashing, patient) = (world.coordinator().await, world.coordinator().await);
    let waiting = background({
        let latch = latch(&patient, 1);
        async move { latch.wait().await.unwrap() }
    });
    settle().await;
    world.memory.lose_all_replies(crashing.session_id(), true);
    let counting = background({
        let latch = latch(&crashing, 1);
        async move { latch.count_down("one").await }
    });
    // The join is made again and again, and so nothing is written yet.
    world.until_in_line(1).await;
    world.memory.lose_all_replies(crashing.session_id(), false);
    world.memory.lose_reply(crashing.session_id(), 2);
    world.until("it is written", async || latch(&patient, 1).remaining().await.unwrap() == 0).await;
    crashing.abandon();
    assert_eq!(counting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(!waiting.is_finished(), "nothing has told it yet");
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c24_one_that_comes_and_goes_while_a_waiter_looks_elsewhere_wakes_it() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    // The waiter's reply to its look at the cell is on its way while somebody counts down.
    let waiting = background({
        let latch = latch(&a, 1);
        async move { latch.wait().await.unwrap() }
    });
    world.memory.delay_replies(a.session_id(), 10 * MILLI);
    world.sleep(15 * MILLI).await;
    latch(&b, 1).count_down("one").await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c24_a_waiter_goes_on_after_the_loss_of_its_session() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let waiting = background({
        let latch = latch(&a, 1);
        async move { latch.wait().await.unwrap() }
    });
    settle().await;
    world.memory.expire_now(a.session_id());
    latch(&b, 1).count_down("one").await.unwrap();
    waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn c24_two_who_disagree_on_the_count_are_told_so() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    latch(&coordinator, 2).count_down("one").await.unwrap();
    let other = latch(&coordinator, 3);
    let error = other.count_down("two").await.unwrap_err();
    assert_eq!(error.to_string(), "count_down latch \"l\": others count down from 2, this one from 3");
    assert_eq!(error.kind(), ErrorKind::Disagreement);
    assert_eq!(other.remaining().await.unwrap_err().kind(), ErrorKind::Disagreement);
    assert_eq!(other.wait().await.unwrap_err().kind(), ErrorKind::Disagreement);
    assert_eq!(latch(&coordinator, 2).remaining().await.unwrap(), 1);
    // Once it is forgotten, another count may begin.
    other.forget().await.unwrap();
    assert_eq!(other.count_down("two").await.unwrap(), 2);
    other.forget().await.unwrap();
    assert_eq!(world.memory.residue().cells, 0);
}

#[tokio::test(start_paused = true)]
async fn c24_what_is_no_name_or_does_not_fit_is_refused_without_effect() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let error = coordinator.latch("l", 0).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidOption, Some("latch")));
    let latch = latch(&coordinator, 1000);
    let before = world.memory.served();
    assert_eq!(latch.count_down("a\nb").await.unwrap_err().kind(), ErrorKind::InvalidName);
    assert_eq!(world.memory.served(), before);
    let mut counted = 0;
    let error = loop {
        match latch.count_down(format!("{counted:0>32}")).await {
            Ok(_) => counted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(counted > 100, "{counted}");
    assert_eq!(latch.remaining().await.unwrap(), 1000 - counted);
    world.assert_clean_soon("a name too many").await;
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_holds_something_else_is_not_written_over() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let line = coordinator.claims(LineId::new(Kind::Latch, "l".parse().unwrap()));
    let guard = line.acquire(Mode::Present).await.unwrap();
    line.put_cell(CellVersion::ABSENT, br#"{"count":1,"done":[],"more":1}"#, &guard).await.unwrap();
    let error = latch(&coordinator, 1).count_down("one").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Garbled);
    assert_eq!(*line.cell().await.unwrap().bytes, *br#"{"count":1,"done":[],"more":1}"#);
}

#[tokio::test(start_paused = true)]
async fn c5_counting_down_and_waiting_dropped_at_any_await_leave_nothing_behind() {
    let points = drop_at_every_await("latch", Contention::Free, async |coordinator| {
        let latch = latch(&coordinator, 1);
        latch.count_down("one").await.unwrap();
        latch.wait().await.unwrap();
    })
    .await;
    for call in ["join", "cell", "put_cell", "leave", "changes"] {
        assert!(points.iter().any(|point| point.ends_with(&format!("before {call}"))), "{call}: {points:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn c24_a_waiter_of_a_closed_coordinator_is_told() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let waiting = background({
        let latch = latch(&coordinator, 1);
        async move { latch.wait().await }
    });
    world.sleep(TTL).await;
    coordinator.close().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
}
