//! Locks and elections of theirs and ours.

use lock_core::{ErrorKind, LostReason};
use lock_testkit::live::{asking, soon, until};
use lock_zk::client::{Acls, CreateMode};

use crate::peers::Meeting;

pub(crate) async fn c6_a_try_fails_while_they_hold_and_succeeds_afterwards(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("try"), meeting.user().await);
    let mutex = user.mutex(&*name).unwrap();
    let theirs = meeting.their_holder(&name).await;
    for _ in 0..3 {
        assert!(mutex.try_lock().await.unwrap().is_none());
    }
    // It never stood in line.
    assert_eq!(meeting.nodes(&name).await.len(), 1);
    theirs.release().await;
    let guard = mutex.try_lock().await.unwrap().expect("nobody is there");
    // And they wait for us.
    let mut theirs = meeting.peer().await;
    theirs.tell(&format!("hold /{name}")).await;
    meeting.in_line(&name, 2).await;
    guard.release().await.unwrap();
    assert_eq!(theirs.says().await, "held");
    theirs.release().await;
    user.close().await.unwrap();
    meeting.in_line(&name, 0).await;
}

pub(crate) async fn c12_a_holder_of_theirs_can_be_seen_and_evicted_once(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("evict"), meeting.user().await);
    let mutex = user.mutex(&*name).unwrap();
    let mut theirs = meeting.their_holder(&name).await;
    let node = meeting.nodes(&name).await.remove(0);
    let wait = asking(&mutex);
    meeting.in_line(&name, 2).await;
    let line = mutex.inspect().await.unwrap();
    assert_eq!((line.holders().count(), line.waiters().count()), (1, 1));
    let holder = line.holders().next().unwrap().clone();
    let stat = meeting.spy.check_stat(&format!("/{name}/{node}")).await.unwrap().unwrap();
    assert_eq!(&*holder.owner, format!("ZooKeeper session {:#x}", stat.ephemeral_owner));
    assert_eq!(holder.token.unwrap().get(), stat.czxid.cast_unsigned());
    assert!(mutex.evict(holder.claim).await.unwrap());
    let guard = soon("the grant", wait).await.unwrap().unwrap();
    assert!(guard.token() > holder.token.unwrap());
    assert!(!mutex.evict(holder.claim).await.unwrap());
    assert!(guard.is_valid());
    let line = mutex.inspect().await.unwrap();
    let seen: Vec<_> = line.places.iter().map(|place| (place.claim, place.token)).collect();
    assert_eq!(seen, [(guard.claim(), Some(guard.token()))]);
    guard.release().await.unwrap();
    theirs.kill().await;
    user.close().await.unwrap();
    meeting.in_line(&name, 0).await;
}

pub(crate) async fn c7_a_holder_whose_node_was_deleted_is_told(meeting: &Meeting<'_>) {
    let (name, user, other) = (meeting.name("told"), meeting.user().await, meeting.user().await);
    let guard = user.mutex(&*name).unwrap().lock().await.unwrap();
    let delete_newest = async || {
        let mut nodes = meeting.nodes(&name).await;
        nodes.sort_unstable_by_key(|node| node[node.len() - 10..].to_owned());
        meeting.spy.delete(&format!("/{name}/{}", nodes.last().unwrap()), None).await.unwrap();
    };
    delete_newest().await;
    assert_eq!(soon("it is told", guard.lost()).await, LostReason::Evicted);
    let next = other.mutex(&*name).unwrap().lock().await.unwrap();
    // One who waits is told too.
    let wait = asking(&user.mutex(&*name).unwrap());
    meeting.in_line(&name, 2).await;
    delete_newest().await;
    assert_eq!(soon("an end", wait).await.unwrap().unwrap_err().kind(), ErrorKind::NotHeld);
    // The guard that was lost takes nothing of anybody with it.
    drop(guard);
    assert!(next.is_valid());
    next.release().await.unwrap();
    for user in [user, other] {
        user.close().await.unwrap();
    }
    meeting.in_line(&name, 0).await;
}

pub(crate) async fn nodes_of_others_are_ignored_and_counted(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("strangers"), meeting.user().await);
    let mutex = user.mutex(&*name).unwrap();
    mutex.lock().await.unwrap().release().await.unwrap();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for stranger in ["0", "x-lock-12", "__rlock__0000000000", "é"] {
        let path = format!("/{name}/{stranger}");
        // The server may have removed the lock's node.
        meeting.spy.mkdir(&format!("/{name}"), &options).await.ok();
        meeting.spy.create(&path, b"", &options).await.unwrap();
    }
    let guard = soon("a turn beside strangers", mutex.lock()).await.unwrap();
    assert!(mutex.try_lock().await.unwrap().is_none());
    let line = mutex.inspect().await.unwrap();
    assert_eq!((line.places.len(), line.foreign), (1, 4));
    guard.release().await.unwrap();
    user.close().await.unwrap();
}

pub(crate) async fn they_see_our_leader(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("election"), meeting.user().await);
    let election = user.election(&*name).unwrap();
    let leadership = election.campaign("host-7").await.unwrap();
    let mut peer = meeting.peer().await;
    peer.tell(&format!("leader /{name}")).await;
    assert_eq!(peer.says().await, "host-7");
    leadership.proclaim("host-8").await.unwrap();
    peer.tell(&format!("leader /{name}")).await;
    assert_eq!(peer.says().await, "host-8");
    leadership.resign().await.unwrap();
    user.close().await.unwrap();
    until("nobody is left", async || meeting.nodes(&name).await.is_empty()).await;
}
