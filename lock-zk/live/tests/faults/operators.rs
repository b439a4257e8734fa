//! Operators: nodes that were written, changed or deleted by hand, and nodes that are not ours.

use std::time::{Duration, SystemTime};

use lock_core::{Claim, ClaimId, ErrorKind, Kind, LineId, LostReason, Mode, Payload, SessionId};
use lock_testkit::live::{close, soon, until, waiting};
use lock_zk::client::{Acls, CreateMode};

use crate::support::{Cluster, NAMESPACE, session};

/// What an operator deletes, all that is below it included.
#[derive(Clone, Copy, Debug)]
enum Part {
    Node,
    Queue,
    Line,
    Namespace,
}

#[tokio::test]
async fn c10_who_holds_is_told_when_its_node_or_what_it_lies_in_is_deleted() {
    let cluster = Cluster::one().await;
    for part in [Part::Node, Part::Queue, Part::Line, Part::Namespace] {
        let (holder, waiter) = (cluster.user().await, cluster.user().await);
        let mutex = waiter.mutex("x").unwrap();
        let guard = holder.mutex("x").unwrap().lock().await.unwrap();
        let token = guard.token();
        let (node, queue) = (cluster.claim().await, cluster.queue("x").await);
        let wait = waiting(&mutex).await;
        match part {
            Part::Node => cluster.delete_all(&node).await,
            Part::Queue => cluster.delete_all(&queue).await,
            Part::Line => cluster.delete_all(&format!("/{NAMESPACE}/mutex/x")).await,
            Part::Namespace => cluster.delete_all(&format!("/{NAMESPACE}")).await,
        }
        let told = soon("told", guard.lost()).await;
        // When the session's own node has gone too, it looks as if the session had.
        let session_too = matches!(part, Part::Namespace) && told == LostReason::Expired;
        assert!(told == LostReason::Evicted || session_too, "{part:?}: {told}");
        assert!(!guard.is_valid());
        // Who waited has its turn, is told that it was evicted too, or queues anew with another session.
        match soon("an answer", wait).await.unwrap() {
            Ok(next) => {
                assert!(matches!(part, Part::Node | Part::Namespace), "{part:?}");
                assert!(next.token() > token, "{part:?}");
                // A namespace is deleted node by node: the next holder's may go after its grant.
                if let Err(error) = next.release().await {
                    assert!(matches!(part, Part::Namespace), "{part:?}: {error}");
                    assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}");
                }
            }
            Err(error) => {
                assert!(!matches!(part, Part::Node), "{part:?}: {error}");
                assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotHeld, false), "{error}");
            }
        }
        // What is gone is made again.
        let again = soon("the grant", mutex.lock()).await.unwrap();
        assert!(again.token() > token, "{part:?}");
        drop(guard);
        again.release().await.unwrap();
        close([holder, waiter]).await;
        cluster.is_empty().await;
    }
}

#[tokio::test]
async fn c10_a_holder_behind_the_gate_is_told_when_its_node_is_deleted() {
    let cluster = Cluster::one().await;
    let (holder, waiter) = (cluster.user().await, cluster.user().await);
    let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
    let guard = holder.claims(line.clone()).acquire(Mode::Shared).await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    until("it waits alone", async || cluster.claims().await.len() == 2).await;
    let nodes = cluster.claims().await;
    cluster.delete_all(nodes.iter().find(|path| path.contains("/h/")).unwrap()).await;
    assert_eq!(soon("told", guard.lost()).await, LostReason::Evicted);
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    close([holder, waiter]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_waiter_whose_node_is_deleted_is_told_and_keeps_nobody_waiting() {
    let cluster = Cluster::one().await;
    let (holder, first, second) = (cluster.user().await, cluster.user().await, cluster.user().await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let gone = waiting(&first.mutex("x").unwrap()).await;
    let mut nodes = cluster.claims().await;
    nodes.sort();
    let stays = waiting(&second.mutex("x").unwrap()).await;
    cluster.delete_all(&nodes[1]).await;
    let error = soon("told", gone).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotHeld, false), "{error}");
    assert!(guard.is_valid() && !stays.is_finished());
    guard.release().await.unwrap();
    soon("the grant", stays).await.unwrap().unwrap().release().await.unwrap();
    close([holder, first, second]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_node_of_ours_with_other_data_is_named_and_lets_nobody_in_twice() {
    let cluster = Cluster::one().await;
    let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
    for mode in [Mode::Exclusive, Mode::Shared] {
        for data in [&b""[..], b"{}", b"\xff\xfe", &vec![b'#'; 500_000], br#"{"claim":"7","mode":"?"}"#] {
            let (holder, waiter) = (cluster.user().await, cluster.user().await);
            let guard = holder.claims(line.clone()).acquire(mode).await.unwrap();
            let node = cluster.claim().await;
            cluster.spy.set_data(&node, data, None).await.unwrap();
            let mutex = waiter.mutex("x").unwrap();
            let error = mutex.inspect().await.unwrap_err();
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Garbled, false), "{error}");
            assert!(error.to_string().contains(&node), "{error}");
            // Whose it is matters to nobody in line.
            assert!(mutex.try_lock().await.unwrap().is_none());
            let wait = tokio::spawn(async move { mutex.lock().await });
            until("it is in line", async || cluster.claims().await.len() == 2).await;
            assert!(guard.is_valid() && !wait.is_finished());
            guard.release().await.unwrap();
            soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
            close([holder, waiter]).await;
            cluster.is_empty().await;
        }
    }
}

#[tokio::test]
async fn a_floor_that_is_garbled_lets_nobody_in_twice() {
    let cluster = Cluster::one().await;
    for data in
        [&b""[..], b"?", b"\xff\xfe", b"-7", b"99999999999999999999", b"1 held held", &vec![b'7'; 500_000]]
    {
        let (holder, waiter) = (cluster.user().await, cluster.user().await);
        let guard = holder.mutex("x").unwrap().lock().await.unwrap();
        cluster.spy.set_data(&cluster.queue("x").await, data, None).await.unwrap();
        let mutex = waiter.mutex("x").unwrap();
        assert!(mutex.try_lock().await.unwrap().is_none());
        let wait = waiting(&mutex).await;
        assert!(!wait.is_finished());
        guard.release().await.unwrap();
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
        close([holder, waiter]).await;
        cluster.is_empty().await;
    }
}

/// Names that are not ours, beside those that are.
const FOREIGN: [&str; 9] = [
    "lock-0000000000",
    "c-",
    "c--000000001",
    "c--2147483648",
    "c-99999999999999999999",
    "c-00000000000",
    "s-",
    "p99999999999-0000000000000001.2",
    "日本",
];

#[tokio::test]
async fn nodes_that_are_not_ours_are_counted_and_ignored_in_every_mode() {
    let cluster = Cluster::one().await;
    let line = LineId::new(Kind::Mutex, "x".parse().unwrap());
    let permits = Mode::Permits { count: 1, limit: 1 };
    // Both containers are there when somebody holds behind the gate and somebody waits.
    let (one, other) = (cluster.user().await, cluster.user().await);
    let guard = one.claims(line.clone()).acquire(Mode::Shared).await.unwrap();
    let wait = waiting(&other.mutex("x").unwrap()).await;
    let (queue, huge) = (cluster.queue("x").await, vec![0xff; 500_000]);
    for container in [queue.clone(), format!("/{NAMESPACE}/mutex/x/h"), format!("/{NAMESPACE}/mutex/x/q")] {
        for (number, name) in FOREIGN.iter().enumerate() {
            cluster.put(&format!("{container}/{name}"), if number == 0 { &huge } else { b"\xff\xfe" }).await;
        }
    }
    // One of another client's that counts along.
    let counted = CreateMode::PersistentSequential.with_acls(Acls::anyone_all());
    cluster.spy.create(&format!("{queue}/lock-"), b"?", &counted).await.unwrap();
    let seen = one.claims(line.clone()).inspect().await.unwrap();
    assert_eq!((seen.places.len(), seen.foreign), (2, 3 * FOREIGN.len() + 1));
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    for mode in [Mode::Exclusive, Mode::Shared, permits] {
        let (ones, others) = (one.claims(line.clone()), other.claims(line.clone()));
        let guard = soon("the grant", ones.acquire(mode)).await.unwrap();
        assert!(others.try_acquire(Mode::Exclusive).await.unwrap().is_none(), "{mode}");
        let waiter = others.clone();
        let wait = tokio::spawn(async move { waiter.acquire(Mode::Exclusive).await });
        until("it waits", async || ones.inspect().await.unwrap().waiters().count() == 1).await;
        assert!(!wait.is_finished(), "{mode}");
        guard.release().await.unwrap();
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
        // C6: `None` only because of somebody in line; somebody who withdrew is not.
        for withdrawn in [false, true] {
            if withdrawn {
                let guard = ones.acquire(Mode::Exclusive).await.unwrap();
                assert!(others.try_acquire_for(mode, Duration::from_millis(1)).await.unwrap().is_none());
                guard.release().await.unwrap();
            }
            let tried = soon("an answer", others.try_acquire(mode)).await.unwrap();
            tried.unwrap_or_else(|| panic!("{mode}: nobody is in line")).release().await.unwrap();
        }
    }
    close([one, other]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_node_that_is_not_ours_where_a_queue_is_to_be_made_is_named() {
    let cluster = Cluster::one().await;
    let user = cluster.user().await;
    let mutex = user.mutex("x").unwrap();
    mutex.lock().await.unwrap().release().await.unwrap();
    let queues = format!("/{NAMESPACE}/mutex/x/q");
    cluster.delete_all(&queues).await;
    let foreign = format!("{queues}/somebody-else");
    cluster.put(&queues, b"").await;
    cluster.put(&foreign, b"?").await;
    for _ in 0..2 {
        let error = soon("an answer", mutex.lock()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Garbled, false), "{error}");
        assert!(error.to_string().contains(&foreign), "{error}");
    }
    assert!(cluster.claims().await.is_empty());
    // Whoever cleans up gets the lock back.
    cluster.delete_all(&foreign).await;
    soon("the grant", mutex.lock()).await.unwrap().release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_strangers_node_where_a_claim_is_to_be_present_is_named() {
    let cluster = Cluster::one().await;
    let session = session(cluster.config(), 1).await;
    let line = LineId::new(Kind::Group, "x".parse().unwrap());
    let claim = |number| Claim {
        id: ClaimId { session: SessionId::new(1), number },
        mode: Mode::Present,
        owner: "test".into(),
        payload: Payload::default(),
        since: SystemTime::now(),
    };
    session.join(&line, &claim(0)).await.unwrap();
    let theirs = cluster.claim().await.replace(".0", ".1");
    cluster.put(&theirs, b"theirs").await;
    let error = soon("an answer", session.join(&line, &claim(1)).into_future()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Garbled, false), "{error}");
    assert!(error.to_string().contains(&theirs), "{error}");
    session.close().await.unwrap();
    cluster.is_empty().await;
}
