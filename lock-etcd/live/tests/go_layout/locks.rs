//! Locks of theirs and ours.

use std::time::Duration;

use lock_core::{ErrorKind, LostReason};
use lock_testkit::live::{asking, soon, until};

use crate::peers::Cluster;

pub(crate) async fn c6_a_try_fails_while_they_hold_and_succeeds_afterwards(cluster: &Cluster) {
    let user = cluster.user().await;
    let mutex = user.mutex("try").unwrap();
    let mut theirs = cluster.their_lock("try");
    let key = theirs.says().await;
    assert!(key.starts_with("try/"), "{key}");
    for _ in 0..3 {
        assert!(mutex.try_lock().await.unwrap().is_none());
    }
    // It never stood in line.
    assert_eq!(cluster.keys().await, [key]);
    assert!(theirs.stop().await.success());
    let guard = mutex.try_lock().await.unwrap().expect("nobody is there");
    // And they wait for us.
    let mut theirs = cluster.their_lock("try");
    cluster.in_line("try", 2).await;
    guard.release().await.unwrap();
    theirs.says().await;
    theirs.stop().await;
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c12_a_holder_of_theirs_can_be_seen_and_evicted_once(cluster: &Cluster) {
    let user = cluster.user().await;
    let mutex = user.mutex("evict").unwrap();
    let mut theirs = cluster.their_lock("evict");
    let key = theirs.says().await;
    let lease = key.trim_start_matches("evict/").to_owned();
    let wait = asking(&mutex);
    cluster.in_line("evict", 2).await;
    let line = mutex.inspect().await.unwrap();
    let holder = line.holders().next().unwrap().clone();
    assert_eq!(&*holder.owner, format!("etcd lease {lease}"));
    assert_eq!((line.holders().count(), line.waiters().count()), (1, 1));
    assert!(mutex.evict(holder.claim).await.unwrap());
    let guard = soon("the grant", wait).await.unwrap().unwrap();
    assert!(guard.token() > holder.token.unwrap());
    // It came once, and is gone: the same lease in line again is another claim.
    assert!(!mutex.evict(holder.claim).await.unwrap());
    assert!(guard.is_valid());
    let line = mutex.inspect().await.unwrap();
    let seen: Vec<_> = line.places.iter().map(|place| (place.claim, place.token)).collect();
    assert_eq!(seen, [(guard.claim(), Some(guard.token()))]);
    guard.release().await.unwrap();
    theirs.kill().await;
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c7_a_holder_whose_key_was_deleted_is_told(cluster: &Cluster) {
    let (user, other) = (cluster.user().await, cluster.user().await);
    let guard = user.mutex("told").unwrap().lock().await.unwrap();
    let wait = asking(&other.mutex("told").unwrap());
    cluster.in_line("told", 2).await;
    cluster.delete(format!("told/{:x}", user.session_id().get())).await;
    assert_eq!(soon("it is told", guard.lost()).await, LostReason::Evicted);
    let next = soon("the grant", wait).await.unwrap().unwrap();
    // One who waits is told too.
    let wait = asking(&user.mutex("told").unwrap());
    cluster.in_line("told", 2).await;
    cluster.delete(format!("told/{:x}-1", user.session_id().get())).await;
    cluster.delete(format!("told/{:x}", user.session_id().get())).await;
    assert_eq!(soon("an end", wait).await.unwrap().unwrap_err().kind(), ErrorKind::NotHeld);
    // The guard that was lost takes nothing of anybody with it.
    drop(guard);
    assert!(next.is_valid());
    next.release().await.unwrap();
    for user in [user, other] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

pub(crate) async fn c10_a_waiter_whose_lease_was_revoked_queues_anew(cluster: &Cluster) {
    let (holder, waiter) = (cluster.user().await, cluster.user().await);
    let guard = holder.mutex("anew").unwrap().lock().await.unwrap();
    let wait = asking(&waiter.mutex("anew").unwrap());
    cluster.in_line("anew", 2).await;
    let before = waiter.session_id();
    cluster.etcd.lease_client().revoke(before.get().cast_signed()).await.unwrap();
    until("a new session", async || waiter.session_id() != before).await;
    cluster.in_line("anew", 2).await;
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

pub(crate) async fn c11_who_would_wait_for_a_name_inside_is_told(cluster: &Cluster) {
    let user = cluster.user().await;
    let outer = user.mutex("outer").unwrap();
    let mut theirs = cluster.their_lock("outer/inner");
    let key = theirs.says().await;
    let locked = soon("an error", outer.lock()).await.unwrap_err();
    until("it has left", async || cluster.keys().await == [key.clone()]).await;
    for error in [locked, outer.try_lock().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        assert!(error.to_string().contains(&key), "{error}");
    }
    // It waits like everybody else for its own name, and the outer one is refused while it does.
    let wait = asking(&user.mutex("outer/inner").unwrap());
    cluster.in_line("outer/inner", 2).await;
    let refused = soon("an error", outer.lock()).await.unwrap_err();
    assert!(refused.to_string().contains("mutex \"outer/inner\""), "{refused}");
    until("it has left", async || cluster.keys().await.len() == 2).await;
    // Who waits looks once more a while after it has come.
    let mut before = cluster.requests().await;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = cluster.requests().await;
        if now == before {
            break;
        }
        before = now;
    }
    assert_eq!(
        user.election("outer/inner").unwrap().campaign("x").await.unwrap_err().kind(),
        ErrorKind::InvalidName
    );
    assert_eq!(cluster.requests().await, before, "it was refused after it was asked for");
    theirs.stop().await;
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    outer.lock().await.unwrap().release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c1_a_plain_key_under_a_name_keeps_everybody_out(cluster: &Cluster) {
    let user = cluster.user().await;
    let mutex = user.mutex("plain").unwrap();
    cluster.put("plain/1", "by hand").await;
    let mut theirs = cluster.their_lock("plain");
    cluster.in_line("plain", 2).await;
    let wait = asking(&mutex);
    cluster.in_line("plain", 3).await;
    assert!(mutex.try_lock().await.unwrap().is_none());
    let line = mutex.inspect().await.unwrap();
    let holder = line.holders().next().unwrap();
    assert_eq!(&*holder.owner, "etcd key \"plain/1\", without a lease");
    assert!(!wait.is_finished());
    assert!(mutex.evict(holder.claim).await.unwrap());
    theirs.says().await;
    theirs.stop().await;
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c1_a_key_that_is_no_text_is_waited_for_and_evicted(cluster: &Cluster) {
    let user = cluster.user().await;
    let mutex = user.mutex("bytes").unwrap();
    for evicts in [false, true] {
        cluster.put(*b"bytes/\xff", "by hand").await;
        let wait = asking(&mutex);
        until("its key is watched", async || cluster.watchers().await > 0).await;
        if evicts {
            let line = mutex.inspect().await.unwrap();
            assert!(mutex.evict(line.holders().next().unwrap().claim).await.unwrap());
        } else {
            cluster.delete(*b"bytes/\xff").await;
        }
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
        until("nobody watches", async || cluster.watchers().await == 0).await;
    }
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c16_places_are_used_again(cluster: &Cluster) {
    let user = cluster.user().await;
    let (mutex, own) = (user.mutex("again").unwrap(), format!("again/{:x}", user.session_id().get()));
    for _ in 0..3 {
        let guard = mutex.lock().await.unwrap();
        let wait = asking(&mutex);
        cluster.in_line("again", 2).await;
        let mut keys = cluster.keys().await;
        keys.sort();
        assert_eq!(keys, [own.clone(), format!("{own}-1")]);
        let line = mutex.inspect().await.unwrap();
        let second = line.waiters().next().unwrap().claim;
        guard.release().await.unwrap();
        let guard = soon("the grant", wait).await.unwrap().unwrap();
        assert_eq!(guard.claim(), second);
        // Others see the token that it was granted with.
        let other = cluster.user().await;
        until("its token", async || {
            let line = other.mutex("again").unwrap().inspect().await.unwrap();
            line.places[0].token == Some(guard.token()) && line.places[0].claim == guard.claim()
        })
        .await;
        other.close().await.unwrap();
        guard.release().await.unwrap();
    }
    user.close().await.unwrap();
    cluster.is_empty().await;
}

pub(crate) async fn c5_watches_do_not_pile_up(cluster: &Cluster) {
    let (holder, waiter) = (cluster.user().await, cluster.user().await);
    let guard = holder.mutex("piles").unwrap().lock().await.unwrap();
    let mutex = waiter.mutex("piles").unwrap();
    for _ in 0..30 {
        let wait = asking(&mutex);
        cluster.in_line("piles", 2).await;
        wait.abort();
        cluster.in_line("piles", 1).await;
    }
    // The holder's, of its own key.
    until("one watch is left", async || cluster.watchers().await == 1).await;
    guard.release().await.unwrap();
    until("none is left", async || cluster.watchers().await == 0).await;
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}
