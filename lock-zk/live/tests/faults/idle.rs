//! Calls whose callers keep them and do not poll them keep nobody waiting.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt as _;
use lock_core::{ErrorKind, backend::CellVersion};
use lock_testkit::live::{soon, until, waiting};
use lock_zk::{
    client::{Acls, CreateMode},
    transact,
};

use crate::support::{Cluster, line, session, try_user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_a_lock_that_nobody_polls_does_not_keep_a_session_from_closing() {
    let cluster = Cluster::one().await;
    let user = cluster.user().await;
    let mutex = user.mutex("x").unwrap();
    mutex.lock().await.unwrap().release().await.unwrap();
    let mut lock = pin!(mutex.lock());
    assert!(lock.as_mut().now_or_never().is_none());
    until("it is in line", async || cluster.claims().await.len() == 1).await;
    soon("closed", user.close()).await.unwrap();
    cluster.is_empty().await;
    assert_eq!(soon("an answer", lock).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_a_release_that_nobody_polls_hands_on_the_turn_in_its_session() {
    let cluster = Cluster::one().await;
    let user = cluster.user().await;
    let mutex = user.mutex("x").unwrap();
    let guard = mutex.lock().await.unwrap();
    let wait = waiting(&mutex).await;
    let mut release = pin!(guard.release());
    assert!(release.as_mut().now_or_never().is_none());
    let next = soon("the grant", wait).await.unwrap().unwrap();
    release.await.unwrap();
    next.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c17_a_write_that_nobody_polls_keeps_no_other_cell_of_its_session_waiting() {
    let cluster = Cluster::one().await;
    let session = session(cluster.config(), 1).await;
    let (one, other) = (line("one"), line("other"));
    let mut put = pin!(session.put_cell(&one, CellVersion::ABSENT, b"1", None));
    assert!(put.as_mut().now_or_never().is_none());
    soon("written", session.put_cell(&other, CellVersion::ABSENT, b"2", None)).await.unwrap();
    let version = put.await.unwrap();
    assert_eq!(session.cell(&one).await.unwrap().version, version);
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c8_a_transaction_that_nobody_polls_keeps_no_session_alive_that_was_abandoned() {
    let cluster = Cluster::one().await;
    let user = try_user(cluster.config(), Duration::from_secs(3)).await.unwrap();
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    let mut written = pin!(transact(&guard, |then| then.add_create(
        "/written",
        b"",
        &CreateMode::Persistent.with_acls(Acls::anyone_all())
    )));
    assert!(written.as_mut().now_or_never().is_none());
    until("it is written", async || cluster.spy.check_stat("/written").await.unwrap().is_some()).await;
    user.abandon();
    cluster.is_empty().await;
    soon("an answer", written).await.unwrap();
}
