//! Rights that are taken from sessions that live, as when somebody sets other access control lists.

use std::time::Duration;

use lock_core::{ErrorKind, LostReason};
use lock_testkit::{
    live::{close, soon, until, waiting},
    proxy::Fault,
};
use lock_zk::client::{Acl, AuthId, Permission};

use crate::support::{Cluster, NAMESPACE, try_user};

impl Cluster {
    /// From now on everybody may do this with the node, and nothing else.
    async fn allow(&self, path: &str, permission: Permission) {
        self.spy.set_acl(path, &[Acl::new(permission, AuthId::anyone())], None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_c16_a_session_without_the_rights_that_it_needs_ends_and_keeps_nobody_waiting() {
    let cluster = Cluster::proxied(1).await;
    let direct = async || cluster.direct_user().await;
    let (holder, waiter, leader, closed) =
        (direct().await, direct().await, cluster.user().await, direct().await);
    // So that it renews itself soon.
    let last = try_user(cluster.direct_config(), Duration::from_secs(6)).await.unwrap();

    // Who may not leave: its session must not keep its place.
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    cluster.allow(&cluster.queue("x").await, Permission::READ).await;
    let error = soon("an answer", guard.release()).await.unwrap_err();
    // What is heard first: the answer, or what became of the session.
    assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::SessionLost), "{error}");
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap_err();

    // Who may not look at its own node, when it has to, would not hear of its eviction.
    let leadership = leader.election("e").unwrap().campaign("one").await.unwrap();
    let claims = cluster.claims().await;
    let own = claims.iter().find(|path| path.contains("/election/")).unwrap();
    let link = cluster.server.servers()[0].client_proxy().unwrap();
    link.set(Fault::Refuse);
    cluster.allow(own, Permission::WRITE).await;
    cluster.spy.set_data(own, b"", None).await.unwrap();
    link.set(Fault::Pass);
    assert_eq!(soon("told, with its own node unreadable", leadership.lost()).await, LostReason::Denied);

    // To end a session takes no rights.
    let guard = closed.mutex("y").unwrap().lock().await.unwrap();
    let last_guard = last.mutex("z").unwrap().lock().await.unwrap();
    cluster.allow(&cluster.queue("y").await, Permission::READ).await;
    cluster.allow(&format!("/{NAMESPACE}/session"), Permission::READ).await;
    soon("closed", closed.close()).await.unwrap();
    assert!(!guard.is_valid());

    // Where nothing may be read, no watch tells anything.
    let deadline = last_guard.deadline();
    until("renewed", async || last_guard.deadline() > deadline).await;
    let namespace = format!("/{NAMESPACE}");
    cluster.allow(&namespace, Permission::ADMIN).await;
    assert_eq!(soon("told, with nothing readable", last_guard.lost()).await, LostReason::Denied);
    cluster.allow(&namespace, Permission::ALL).await;
    drop((guard, leadership, last_guard));
    close([holder, waiter, leader, last]).await;
    cluster.is_empty().await;
}
