//! Leader election: terms, proclamations, observers, and the helper that leads again and again.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use lock_core::{ErrorKind, Leader, Leadership, LostReason, Payload, Standing};

use crate::support::{TTL, World, background, settle};

#[tokio::test(start_paused = true)]
async fn candidates_lead_in_turn_with_rising_terms() {
    let world = World::new();
    let (a, b) = (world.coordinator().await, world.coordinator().await);
    let (a, b) = (a.election("e").unwrap(), b.election("e").unwrap());
    assert_eq!(a.leader().await.unwrap(), None);
    let first = a.campaign("a:1").await.unwrap();
    let second = background({
        let b = b.clone();
        async move { b.campaign("b:1").await.unwrap() }
    });
    world.until_in_line(2).await;
    let leader = b.leader().await.unwrap().unwrap();
    assert_eq!((leader.term, leader.value(), leader.claim), (first.term(), "a:1".to_owned(), first.claim()));
    let term = first.term();
    first.resign().await.unwrap();
    let second = second.await.unwrap();
    assert!(second.term() > term);
    assert_eq!(a.leader().await.unwrap().unwrap().value(), "b:1");
}

#[tokio::test(start_paused = true)]
async fn a_proclamation_is_seen_and_a_late_one_refused() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    let leadership = election.campaign("a").await.unwrap();
    leadership.proclaim("b").await.unwrap();
    assert_eq!(election.leader().await.unwrap().unwrap().value(), "b");
    let error = leadership.proclaim([0; Payload::MAX_BYTES + 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(election.evict(leadership.claim()).await.unwrap());
    let error = leadership.proclaim("c").await.unwrap_err();
    assert_eq!(error.to_string(), "proclaim election \"e\": the claim was evicted by an operator",);
    assert_eq!(leadership.resign().await.unwrap_err().kind(), ErrorKind::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn c9_a_lost_reply_to_a_proclamation_is_repeated() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    let leadership = election.campaign("a").await.unwrap();
    world.memory.lose_reply(coordinator.session_id(), 0);
    leadership.proclaim("b").await.unwrap();
    assert_eq!(election.leader().await.unwrap().unwrap().value(), "b");
}

#[tokio::test(start_paused = true)]
async fn observers_see_terms_rise_over_the_loss_of_their_own_session() {
    let world = World::new();
    let (a, b, watcher) = (world.coordinator().await, world.coordinator().await, world.coordinator().await);
    let seen: Arc<Mutex<Vec<Option<Leader>>>> = Arc::default();
    let observing = background({
        let (mut observer, seen) = (watcher.election("e").unwrap().observe(), seen.clone());
        async move {
            loop {
                let leader = observer.next().await.unwrap();
                seen.lock().unwrap().push(leader);
            }
        }
    });
    let count = || seen.lock().unwrap().len();
    world.until("nobody leads", async || count() == 1).await;
    for round in 0..5 {
        let before = count();
        let candidate = if round % 2 == 0 { &a } else { &b }.election("e").unwrap();
        let leadership = candidate.campaign(round.to_string()).await.unwrap();
        world.until("the leader is seen", async || count() == before + 1).await;
        leadership.proclaim(format!("{round}, again")).await.unwrap();
        world.until("the proclamation is seen", async || count() == before + 2).await;
        if round == 2 {
            world.memory.expire_now(watcher.session_id());
            world.sleep(TTL).await;
            assert_eq!(count(), before + 2, "what is known is not told again");
        }
        leadership.resign().await.unwrap();
        world.until("nobody leads", async || count() == before + 3).await;
    }
    observing.abort();
    let seen = seen.lock().unwrap();
    let terms: Vec<_> = seen.iter().flatten().map(|leader| leader.term).collect();
    assert!(terms.is_sorted() && terms.len() == 10, "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn run_leads_again_after_a_loss_and_drops_the_work_at_once() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    let terms: Arc<Mutex<Vec<_>>> = Arc::default();
    let running: Arc<()> = Arc::default();
    let leading = background({
        let (election, terms, running) = (election.clone(), terms.clone(), running.clone());
        async move {
            let work = |leadership: Arc<Leadership>| {
                terms.lock().unwrap().push(leadership.term());
                let (round, running) = (terms.lock().unwrap().len(), running.clone());
                async move {
                    match round {
                        1 | 2 => std::future::pending().await,
                        3 => ControlFlow::Continue(()),
                        _ => ControlFlow::Break((round, Arc::strong_count(&running))),
                    }
                }
            };
            election.run("a", work).await.unwrap()
        }
    });
    let led = |rounds: usize| terms.lock().unwrap().len() == rounds;
    world.until("the first term", async || led(1)).await;
    let leader = election.leader().await.unwrap().unwrap();
    assert!(election.evict(leader.claim).await.unwrap());
    world.until("the second term", async || led(2)).await;
    world.memory.expire_now(coordinator.session_id());
    let (rounds, handles) = leading.await.unwrap();
    assert_eq!(rounds, 4, "lost twice, stepped down once, then ended");
    assert_eq!(
        handles, 3,
        "the work of earlier terms is dropped: one in the test, the closure and the work each"
    );
    assert!(terms.lock().unwrap().is_sorted());
    world.assert_clean_soon("run").await;
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_with_the_work_even_if_its_handle_is_kept() {
    let world = World::new();
    let election = world.coordinator().await.election("e").unwrap();
    let kept = election.run("a", async |leadership| ControlFlow::Break(leadership)).await.unwrap();
    assert_eq!(world.memory.residue().claims, 0);
    assert_eq!(kept.lost().await, LostReason::Released);
    let next = election.campaign("b").await.unwrap();
    drop(kept);
    settle().await;
    assert!(next.is_valid());
}

#[tokio::test(start_paused = true)]
async fn run_ends_when_the_coordinator_is_closed() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    let leading = background({
        let election = election.clone();
        async move { election.run("a", |_| std::future::pending::<ControlFlow<()>>()).await }
    });
    world.until_in_line(1).await;
    coordinator.close().await.unwrap();
    assert_eq!(leading.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(
        election.run("a", async |_| ControlFlow::Break(())).await.unwrap_err().kind(),
        ErrorKind::Closed
    );
}

#[tokio::test(start_paused = true)]
async fn the_standing_tells_a_health_check_when_a_leader_is_overdue() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    assert_eq!(election.standing(), Standing::Follower);
    let leadership = election.campaign("a").await.unwrap();
    let term = leadership.term();
    world.sleep(TTL * 2).await;
    assert!(matches!(election.standing(), Standing::Leader { term: t, .. } if t == term));
    assert!(election.standing().is_healthy());
    world.memory.pause_renewals(coordinator.session_id(), true);
    world.until("a renewal is overdue", async || !election.standing().is_healthy()).await;
    assert_eq!(election.standing(), Standing::Overdue { term, until: leadership.deadline() });
    assert!(leadership.is_valid());
    assert_eq!(leadership.lost().await, LostReason::Deadline);
    assert_eq!(election.standing(), Standing::Follower);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_resigns_even_if_its_handle_is_kept() {
    let world = World::new();
    let election = world.coordinator().await.election("e").unwrap();
    let kept: Arc<Mutex<Option<Arc<Leadership>>>> = Arc::default();
    let running = background({
        let (election, kept) = (election.clone(), kept.clone());
        async move {
            let work = |leadership| {
                *kept.lock().unwrap() = Some(leadership);
                std::future::pending::<ControlFlow<()>>()
            };
            election.run("a", work).await
        }
    });
    world.until("leading", async || kept.lock().unwrap().is_some()).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let kept = kept.lock().unwrap().take().unwrap();
    assert!(!kept.is_valid());
    world.assert_clean_soon("a run that was dropped").await;
    drop(election.campaign("b").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn c9_a_proclamation_that_was_given_up_does_not_overtake_a_newer_one() {
    let world = World::new();
    let coordinator = world.coordinator().await;
    let election = coordinator.election("e").unwrap();
    let leadership = election.campaign("a").await.unwrap();
    world.memory.lose_all_replies(coordinator.session_id(), true);
    tokio::select! { biased;
        outcome = leadership.proclaim("old") => panic!("{outcome:?}"),
        () = world.sleep(std::time::Duration::from_millis(100)) => {}
    }
    world.memory.lose_all_replies(coordinator.session_id(), false);
    leadership.proclaim("new").await.unwrap();
    // The old one is still being repeated in the background.
    world.sleep(TTL).await;
    assert_eq!(election.leader().await.unwrap().unwrap().value(), "new");
}
