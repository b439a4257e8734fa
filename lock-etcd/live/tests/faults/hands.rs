//! Operators: keys that were written, changed or deleted by hand, leases that were revoked.

use std::time::Duration;

use lock_core::{ErrorKind, LostReason};
use lock_testkit::live::{soon, until, waiting};

use crate::{network::linked, support::Cluster};

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn c10_a_lease_that_is_revoked_ends_its_guards_and_its_waiters_queue_anew() {
    let cluster = Cluster::one().await;
    let (holder, waiter) = (cluster.user(TTL).await, cluster.user(TTL).await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    for session in [waiter.session_id(), holder.session_id()] {
        cluster.etcd.lease_client().revoke(session.get().cast_signed()).await.unwrap();
    }
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Expired);
    // Under a new session.
    let guard = soon("the grant", wait).await.unwrap().unwrap();
    guard.release().await.unwrap();
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_foreign_key_in_the_queue_is_named_and_nothing_is_left() {
    let cluster = Cluster::one().await;
    let (holder, user) = (cluster.user(TTL).await, cluster.user(TTL).await);
    let foreign = "faults/mutex/x/q/somebody-else";
    cluster.put(foreign, "?").await;
    // Nobody needs to look, so nobody is kept out.
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let mutex = user.mutex("x").unwrap();
    let error = mutex.inspect().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Garbled && error.to_string().contains(foreign), "{error}");
    // Who looks who is ahead finds somebody of whom nothing is known.
    let wait = tokio::spawn({
        let mutex = mutex.clone();
        async move { mutex.lock().await }
    });
    linked(&cluster).await;
    cluster.etcd.lease_client().revoke(holder.session_id().get().cast_signed()).await.unwrap();
    let error = soon("an error", wait).await.unwrap().unwrap_err();
    assert!(error.kind() == ErrorKind::Garbled && error.to_string().contains(foreign), "{error}");
    assert!(!error.is_retryable());
    drop(guard);
    let is_ours = |key: &String| key.contains("/mutex/") && key != foreign && !key.ends_with("/tail");
    until("it has left", async || !cluster.keys().await.iter().any(is_ours)).await;
    // Whoever cleans up gets the lock back.
    cluster.delete(foreign).await;
    mutex.lock().await.unwrap().release().await.unwrap();
    for user in [holder, user] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_values_that_are_not_ours_are_named() {
    let cluster = Cluster::one().await;
    let user = cluster.user(TTL).await;
    let mutex = user.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let record = cluster.key("/q/").await;
    cluster.put(&record, "{}").await;
    let error = mutex.inspect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Garbled, "{error}");
    assert!(error.to_string().contains(&record), "{error}");
    // It was put without a lease, but whoever leaves deletes it.
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_tail_that_is_garbled_lets_nobody_in_twice() {
    let cluster = Cluster::one().await;
    let (holder, other) = (cluster.user(TTL).await, cluster.user(TTL).await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    cluster.put(&cluster.key("/tail").await, "?").await;
    let mutex = other.mutex("x").unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none());
    let wait = waiting(&mutex).await;
    linked(&cluster).await;
    assert!(!wait.is_finished());
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    for user in [holder, other] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn who_leaves_finds_the_next_one_when_its_node_or_the_bell_was_changed_by_hand() {
    for part in ["node", "bell"] {
        let cluster = Cluster::one().await;
        let (holder, waiter) = (cluster.user(TTL).await, cluster.user(TTL).await);
        let guard = holder.mutex("x").unwrap().lock().await.unwrap();
        let wait = waiting(&waiter.mutex("x").unwrap()).await;
        linked(&cluster).await;
        match part {
            "node" => cluster.put(&format!("faults/mutex/x/q/{}", guard.claim()), "?").await,
            _ => cluster.delete(&format!("faults/session/{}/bell", waiter.session_id())).await,
        }
        guard.release().await.unwrap();
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
        for user in [holder, waiter] {
            user.close().await.unwrap();
        }
        cluster.is_empty().await;
    }
}

#[tokio::test]
async fn c13_a_place_that_outlived_its_session_is_an_error_and_no_end_of_the_own_one() {
    let cluster = Cluster::one().await;
    let (holder, waiter) = (cluster.user(TTL).await, cluster.user(TTL).await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    // Written by hand, it is under no lease any more.
    cluster.put(&format!("faults/mutex/x/q/{}", guard.claim()), "").await;
    cluster.etcd.lease_client().revoke(holder.session_id().get().cast_signed()).await.unwrap();
    let (session, mutex) = (waiter.session_id(), waiter.mutex("x").unwrap());
    let error = soon("an answer", mutex.lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Garbled, "{error}");
    assert_eq!(waiter.session_id(), session);
    // An operator's way out.
    assert!(mutex.evict(guard.claim()).await.is_ok_and(|evicted| evicted));
    mutex.lock().await.unwrap().release().await.unwrap();
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_come_at_once_behind_a_session_that_has_ended_are_all_granted() {
    const LOCKS: usize = 300;
    let cluster = Cluster::one().await;
    for _ in 0..3 {
        let (dead, next) = (cluster.user(TTL).await, cluster.user(TTL).await);
        let mut guards = Vec::new();
        for number in 0..LOCKS {
            guards.push(dead.mutex(format!("lock/{number}")).unwrap().lock().await.unwrap());
        }
        // The tails stay, and name claims that are gone.
        dead.abandon();
        cluster.etcd.lease_client().revoke(dead.session_id().get().cast_signed()).await.unwrap();
        let waits: Vec<_> = (0..LOCKS)
            .map(|number| {
                let mutex = next.mutex(format!("lock/{number}")).unwrap();
                tokio::spawn(async move { mutex.lock().await.unwrap().release().await.unwrap() })
            })
            .collect();
        for wait in waits {
            soon("the grant", wait).await.unwrap();
        }
        next.close().await.unwrap();
        cluster.is_empty().await;
    }
}
