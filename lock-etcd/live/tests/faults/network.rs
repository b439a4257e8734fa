//! Silence, resets, dead members, changes of leader, watches that have to be resumed.

use std::time::{Duration, Instant};

use lock_core::{Coordinator, Health, LostReason};
use lock_testkit::{
    live::{soon, until, waiting},
    proxy::{Direction, Fault, Proxy},
};

use crate::support::Cluster;

const TTL: Duration = Duration::from_secs(3);

fn link(cluster: &Cluster) -> &Proxy {
    cluster.server.members()[0].client_proxy().unwrap()
}

/// The next health that is not `Live`.
async fn trouble(coordinator: &Coordinator) -> Health {
    let mut health = coordinator.watch_health();
    loop {
        match health.next().await.unwrap() {
            Health::Live { .. } => {}
            trouble => return trouble,
        }
    }
}

#[tokio::test]
async fn c7_silence_makes_a_session_suspect_and_then_lost_at_its_deadline() {
    for fault in [Fault::Blackhole, Fault::OneWay(Direction::ToServer), Fault::OneWay(Direction::ToClient)] {
        let cluster = Cluster::proxied(1).await;
        let user = cluster.user(TTL).await;
        let guard = user.mutex("x").unwrap().lock().await.unwrap();
        let cut = Instant::now();
        link(&cluster).set(fault);
        let Health::Suspect { until } = soon("suspect", trouble(&user)).await else {
            panic!("{fault:?}: it was never suspect")
        };
        println!("{fault:?}: suspect {:?} later; a third of the ttl is {:?}", cut.elapsed(), TTL / 3);
        // A warning that comes in time to do something about it.
        assert!(guard.is_valid(), "{fault:?}");
        assert_eq!(guard.deadline(), until, "{fault:?}: silence moves no deadline");
        assert_eq!(soon("lost", guard.lost()).await, LostReason::Deadline, "{fault:?}");
        println!("{fault:?}: lost {:?} later, with a ttl of {TTL:?}", cut.elapsed());
        assert!(!guard.is_valid());
        // A new session, once the network is back.
        link(&cluster).set(Fault::Pass);
        drop(guard);
        let again = soon("a new session", user.mutex("x").unwrap().lock()).await.unwrap();
        again.release().await.unwrap();
        user.close().await.unwrap();
        cluster.is_empty().await;
    }
}

#[tokio::test]
async fn c7_a_deadline_counts_from_when_the_renewal_was_sent() {
    const DELAY: Duration = Duration::from_millis(400);
    // Of a ttl of 10 s: 10 s × 0.99 − 10 s / 50.
    const TRUSTED: Duration = Duration::from_millis(9_700);
    let cluster = Cluster::proxied(1).await;
    let user = cluster.user(Duration::from_secs(10)).await;
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    link(&cluster).set(Fault::Delay(DELAY));
    for round in 0..3 {
        let deadline = guard.deadline();
        until("renewed", async || guard.deadline() > deadline).await;
        // It took at least so long to come back, but for one that was under way.
        let remaining = guard.remaining();
        assert!(round == 0 || remaining <= TRUSTED - DELAY, "{remaining:?} remain");
    }
    link(&cluster).set(Fault::Pass);
    guard.release().await.unwrap();
    user.close().await.unwrap();
}

#[tokio::test]
async fn a_session_survives_what_is_over_before_its_deadline() {
    let cluster = Cluster::proxied(1).await;
    let user = cluster.user(Duration::from_secs(10)).await;
    let (session, mutex) = (user.session_id(), user.mutex("x").unwrap());
    let guard = mutex.lock().await.unwrap();
    for fault in [Fault::Reset, Fault::Refuse, Fault::CutAfter(1), Fault::Delay(Duration::from_millis(300))] {
        link(&cluster).set(fault);
        // Long enough that requests meet the fault; the renewals' streams break with the connection.
        let during = tokio::time::timeout(Duration::from_millis(700), mutex.inspect()).await;
        link(&cluster).set(Fault::Pass);
        drop(during);
        let line = soon("it is there again", mutex.inspect()).await.unwrap();
        assert_eq!(line.places.len(), 1, "{fault:?}");
        assert!(guard.is_valid(), "{fault:?}");
    }
    link(&cluster).set(Fault::Blackhole);
    soon("suspect", trouble(&user)).await;
    link(&cluster).set(Fault::Pass);
    until("live again", async || matches!(user.health(), Health::Live { .. })).await;
    assert_eq!(user.session_id(), session, "it is still the same session");
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_session_survives_the_loss_of_any_member_and_changes_of_leader() {
    let cluster = Cluster::proxied(3).await;
    let user = cluster.user(Duration::from_secs(10)).await;
    let (session, mutex) = (user.session_id(), user.mutex("x").unwrap());
    let guard = mutex.lock().await.unwrap();
    // From everybody, and from the other members alone: then it still talks to us.
    for (member, silent) in (0..3).flat_map(|member| [(member, true), (member, false)]) {
        let leader = cluster.server.leader().await.unwrap();
        println!("member {member} is cut off, from us too: {silent}; {leader} leads");
        cluster.server.isolate(member, Fault::Blackhole).unwrap();
        if silent {
            cluster.server.members()[member].client_proxy().unwrap().set(Fault::Blackhole);
        }
        if member == leader {
            cluster.server.next_leader(leader).await.unwrap();
        }
        soon("an answer from another member", mutex.inspect()).await.unwrap();
        // Renewed through another member.
        let deadline = guard.deadline();
        until("renewed", async || guard.deadline() > deadline).await;
        cluster.server.heal();
        cluster.server.ready().await.unwrap();
    }
    for _ in 0..2 {
        let leader = cluster.server.leader().await.unwrap();
        println!("leader {leader} is killed");
        cluster.server.members()[leader].kill();
        soon("an answer from another member", mutex.inspect()).await.unwrap();
        let deadline = guard.deadline();
        until("renewed", async || guard.deadline() > deadline).await;
        cluster.server.members()[leader].start().await.unwrap();
    }
    assert!(guard.is_valid());
    assert_eq!(user.session_id(), session, "it is still the same session");
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_waiter_whose_watch_resumes_after_a_compaction_is_granted() {
    let cluster = Cluster::proxied(1).await;
    let holder = cluster.try_user(cluster.direct_config(), TTL).await.unwrap();
    let waiter = cluster.user(Duration::from_secs(20)).await;
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    linked(&cluster).await;
    link(&cluster).set(Fault::Refuse);
    guard.release().await.unwrap();
    // As whoever hands over in a full store does.
    let bell = format!("session/{}/bell", waiter.session_id());
    let bell = cluster.keys().await.into_iter().find(|key| key.ends_with(&bell)).unwrap();
    cluster.etcd.kv_client().delete(&*bell, None).await.unwrap();
    cluster.compact().await;
    link(&cluster).set(Fault::Pass);
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    until("its bell is back", async || cluster.keys().await.contains(&bell)).await;
    cluster.is_quiet().await;
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_holder_that_was_evicted_during_a_compaction_is_told() {
    let cluster = Cluster::proxied(1).await;
    let operator = cluster.try_user(cluster.direct_config(), TTL).await.unwrap();
    let holder = cluster.user(Duration::from_secs(20)).await;
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    link(&cluster).set(Fault::Refuse);
    assert!(operator.mutex("x").unwrap().evict(guard.claim()).await.unwrap());
    cluster.compact().await;
    link(&cluster).set(Fault::Pass);
    assert_eq!(soon("the news", guard.lost()).await, LostReason::Evicted);
    for user in [holder, operator] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn an_observer_whose_watch_resumes_after_a_compaction_sees_the_line_as_it_is() {
    let cluster = Cluster::proxied(1).await;
    let candidate = cluster.try_user(cluster.direct_config(), TTL).await.unwrap();
    let observing = cluster.user(Duration::from_secs(20)).await;
    let mut leaders = observing.election("e").unwrap().observe();
    let election = candidate.election("e").unwrap();
    let first = election.campaign("first").await.unwrap();
    let seen = soon("the first leader", leaders.next()).await.unwrap();
    assert_eq!(seen.map(|leader| leader.term), Some(first.term()));
    link(&cluster).set(Fault::Refuse);
    first.resign().await.unwrap();
    let second = election.campaign("second").await.unwrap();
    cluster.compact().await;
    link(&cluster).set(Fault::Pass);
    let seen = soon("the second leader", leaders.next()).await.unwrap();
    assert_eq!(seen.map(|leader| leader.term), Some(second.term()));
    drop((second, leaders));
    for user in [candidate, observing] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

/// Waits until the second in line has told the first that it waits: what lies at the first's node names it.
pub(crate) async fn linked(cluster: &Cluster) {
    until("linked", async || {
        let nodes = etcd_client::GetOptions::new().with_prefix();
        let nodes = cluster.etcd.kv_client().get("faults/mutex/x/q/", Some(nodes)).await.unwrap();
        nodes.kvs().iter().any(|kv| kv.key().ends_with(b"/next"))
    })
    .await;
}
