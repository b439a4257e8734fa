//! Silence, resets, dead servers, changes of leader, watches that are set again.

use std::time::Duration;

use futures_util::future::join_all;
use lock_core::{Coordinator, Guard, Health, LostReason, Mutex};
use lock_testkit::{
    live::{close, soon, until, waiting},
    proxy::{Direction, Fault, Proxy},
};
use tokio::task::JoinHandle;

use crate::support::{Cluster, try_user};

fn link(cluster: &Cluster) -> &Proxy {
    cluster.server.servers()[0].client_proxy().unwrap()
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
    tokio::join!(
        silence(Fault::Blackhole),
        silence(Fault::OneWay(Direction::ToServer)),
        silence(Fault::OneWay(Direction::ToClient)),
    );
}

async fn silence(fault: Fault) {
    let cluster = Cluster::proxied(1).await;
    let user = try_user(cluster.config(), Duration::from_secs(3)).await.unwrap();
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    link(&cluster).set(fault);
    let Health::Suspect { until } = soon("suspect", trouble(&user)).await else {
        panic!("{fault:?}: it was never suspect")
    };
    // A warning that comes in time to do something about it.
    assert!(guard.is_valid(), "{fault:?}");
    assert_eq!(guard.deadline(), until, "{fault:?}: silence moves no deadline");
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Deadline, "{fault:?}");
    assert!(!guard.is_valid());
    // A new session, once the network is back.
    link(&cluster).set(Fault::Pass);
    drop(guard);
    soon("a new session", user.mutex("x").unwrap().lock()).await.unwrap().release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

/// What a connection does not outlive, and a session does.
const BREAKS: [Fault; 3] = [Fault::Reset, Fault::Refuse, Fault::CutAfter(1)];

#[tokio::test]
async fn c8_a_session_lost_at_its_deadline_keeps_nobody_waiting_although_zookeeper_keeps_it() {
    let cluster = Cluster::proxied(1).await;
    let user = try_user(cluster.config(), Duration::from_secs(6)).await.unwrap();
    let next = cluster.direct_user().await;
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&next.mutex("x").unwrap()).await;
    link(&cluster).set(Fault::Blackhole);
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Deadline);
    // In time for the client to come back; its pings keep the session from then on.
    link(&cluster).set(Fault::Pass);
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    drop(guard);
    close([user, next]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn connections_may_break_while_somebody_joins_waits_and_holds() {
    let cluster = Cluster::proxied(1).await;
    let (holder, waiter) = (cluster.user().await, cluster.user().await);
    let sessions = [holder.session_id(), waiter.session_id()];
    let mut last = None;
    for fault in BREAKS.into_iter().cycle().take(12) {
        link(&cluster).set(fault);
        let lock = waiting_unheard(&holder.mutex("x").unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
        link(&cluster).set(Fault::Pass);
        let guard = soon("the grant", lock).await.unwrap();
        assert!(last < Some(guard.token()), "{fault:?}");

        link(&cluster).set(fault);
        let wait = waiting_unheard(&waiter.mutex("x").unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
        link(&cluster).set(Fault::Pass);
        until("it is in line", async || cluster.claims().await.len() == 2).await;
        assert!(guard.is_valid() && !wait.is_finished(), "{fault:?}");

        // Both are connected, and then both are not.
        holder.mutex("x").unwrap().inspect().await.unwrap();
        waiter.mutex("x").unwrap().inspect().await.unwrap();
        link(&cluster).set(fault);
        let release = tokio::spawn(guard.release());
        tokio::time::sleep(Duration::from_millis(20)).await;
        link(&cluster).set(Fault::Pass);
        soon("released", release).await.unwrap().unwrap();
        let guard = soon("the grant", wait).await.unwrap();
        last = Some(guard.token());
        guard.release().await.unwrap();
    }
    assert_eq!([holder.session_id(), waiter.session_id()], sessions, "they are still the same sessions");
    close([holder, waiter]).await;
    cluster.is_empty().await;
}

/// Locks in a task that may not even have joined yet.
fn waiting_unheard(mutex: &Mutex) -> JoinHandle<Guard> {
    let mutex = mutex.clone();
    tokio::spawn(async move { mutex.lock().await.unwrap() })
}

#[tokio::test]
async fn a_waiter_and_a_holder_hear_of_what_was_done_while_they_were_not_connected() {
    let cluster = Cluster::proxied(1).await;
    let (other, user) = (cluster.direct_user().await, cluster.user().await);
    for _ in 0..5 {
        let guard = other.mutex("x").unwrap().lock().await.unwrap();
        let wait = waiting(&user.mutex("x").unwrap()).await;
        link(&cluster).set(Fault::Refuse);
        guard.release().await.unwrap();
        link(&cluster).set(Fault::Pass);
        let guard = soon("the grant", wait).await.unwrap().unwrap();
        link(&cluster).set(Fault::Refuse);
        assert!(other.mutex("x").unwrap().evict(guard.claim()).await.unwrap());
        link(&cluster).set(Fault::Pass);
        assert_eq!(soon("the news", guard.lost()).await, LostReason::Evicted);
    }
    close([other, user]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_session_survives_the_loss_of_any_server() {
    let cluster = Cluster::proxied(3).await;
    let user = try_user(cluster.config(), Duration::from_secs(10)).await.unwrap();
    let waiter = cluster.user().await;
    let (session, mutex) = (user.session_id(), user.mutex("x").unwrap());
    let guard = mutex.lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    for (number, server) in cluster.server.servers().iter().enumerate() {
        println!("server {number} is killed; {} leads", cluster.server.leader().await.unwrap());
        server.kill();
        assert_eq!(soon("an answer from another server", mutex.inspect()).await.unwrap().places.len(), 2);
        // Renewed through another server.
        let deadline = guard.deadline();
        until("renewed", async || guard.deadline() > deadline).await;
        server.start().await.unwrap();
        cluster.server.ready().await.unwrap();
    }
    assert!(guard.is_valid() && !wait.is_finished());
    assert_eq!(user.session_id(), session, "it is still the same session");
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    close([user, waiter]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_queue_of_waiters_outlives_its_leader_in_order() {
    const WAITERS: usize = 12;
    let cluster = Cluster::proxied(3).await;
    let mut users = Vec::new();
    for _ in 0..4 {
        users.push(cluster.user().await);
    }
    let guard = users[0].mutex("x").unwrap().lock().await.unwrap();
    let mut waits = Vec::new();
    for number in 0..WAITERS {
        waits.push(waiting(&users[number % users.len()].mutex("x").unwrap()).await);
    }
    // Half of them without the first leader, and the others without the next one.
    let mut last = guard.token();
    let mut held = Some(guard);
    for (number, wait) in waits.into_iter().enumerate() {
        if number % (WAITERS / 2) == 0 {
            let leader = cluster.server.leader().await.unwrap();
            println!("leader {leader} is killed");
            cluster.server.servers()[leader].kill();
            let next = async {
                cluster.server.next_leader(leader).await.unwrap();
                cluster.server.servers()[leader].start().await.unwrap();
            };
            // While it is being handed on.
            tokio::join!(next, async { held.take().unwrap().release().await.unwrap() });
        } else {
            assert!(!wait.is_finished(), "{number} does not hold beside another");
            held.take().unwrap().release().await.unwrap();
        }
        let guard = soon("the grant", wait).await.unwrap().unwrap();
        assert!(guard.is_valid() && guard.token() > last, "{number}: {} after {last}", guard.token());
        last = guard.token();
        held = Some(guard);
    }
    held.take().unwrap().release().await.unwrap();
    close(users).await;
    cluster.is_empty().await;
}

/// As one that stands still, or that a firewall cuts off from its clients: it takes connections and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_one_silent_server_keeps_no_session_from_opening_and_ends_none() {
    const USERS: usize = 20;
    let cluster = Cluster::proxied(3).await;
    let silence = |server: usize, fault| cluster.server.servers()[server].client_proxy().unwrap().set(fault);
    silence(0, Fault::Blackhole);
    // Each begins with a server drawn at random.
    let open = async || try_user(cluster.config(), Duration::from_secs(15)).await.unwrap();
    let users = join_all((0..USERS).map(|_| open())).await;
    let lock = async |number: usize| users[number].mutex(format!("x{number}")).unwrap().lock().await.unwrap();
    let guards = join_all((0..USERS).map(lock)).await;
    silence(0, Fault::Pass);
    // All are connected to the other two.
    silence(1, Fault::Blackhole);
    let before: Vec<_> = guards.iter().map(Guard::deadline).collect();
    until("all are renewed, or lost", async || {
        guards.iter().zip(&before).all(|(guard, before)| guard.deadline() > *before || !guard.is_valid())
    })
    .await;
    let lost = guards.iter().filter(|guard| !guard.is_valid()).count();
    assert_eq!(lost, 0, "of {USERS}");
    silence(1, Fault::Pass);
    drop(guards);
    close(users).await;
    cluster.is_empty().await;
}
