//! Curator's layout on connections that break.

use lock_core::ErrorKind;
use lock_testkit::live::{soon, until, waiting};
use lock_zk::Layout;

use crate::{
    link::Link,
    support::{Cluster, TTL, config, try_user},
};

/// When the watches are set again, the server may tell what has gone in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_who_was_evicted_while_it_was_cut_off_is_not_granted() {
    let cluster = Cluster::one().await;
    let link = Link::start(cluster.server.endpoints()[0].parse().unwrap()).await;
    let holder = try_user(cluster.config().layout(Layout::Curator), TTL).await.unwrap();
    let waiter = try_user(config([link.address()]).layout(Layout::Curator), TTL).await.unwrap();
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let held = cluster.claim().await;
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    let own = cluster.claims().await.into_iter().find(|claim| *claim != held).unwrap();
    let server = &cluster.server.servers()[0];
    until("it waits", async || {
        let watches = server.ask("wchp").await.unwrap();
        [&own, &held].iter().all(|path| watches.lines().any(|line| line == **path))
    })
    .await;
    link.cut();
    cluster.spy.delete(&own, None).await.unwrap();
    guard.release().await.unwrap();
    link.heal(&own);
    let error = soon("an answer", wait).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld, "{error}");
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}
