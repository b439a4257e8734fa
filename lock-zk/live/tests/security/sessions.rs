//! Sessions over TLS outlive their connections and servers.

use lock_core::Coordinator;
use lock_testkit::{
    live::{close, soon, until, waiting},
    proxy::{Fault, Proxy},
    server::zookeeper::ZooKeeperOptions,
};

use crate::world::{Guarded, at, open, secure};

/// What a connection does not outlive, and a session does. The last one tears a record apart.
const BREAKS: [Fault; 3] = [Fault::Reset, Fault::Refuse, Fault::CutAfter(10)];

#[tokio::test]
async fn a_session_goes_on_when_its_connection_breaks() {
    let guarded = Guarded::start().await;
    let link = Proxy::start(secure(&guarded.cluster)[0]).await.unwrap();
    let user = async || open(at([link.address()]).tls(guarded.tls("billing"))).await.unwrap();
    let (holder, waiter) = (user().await, user().await);
    let sessions = [holder.session_id(), waiter.session_id()];
    for fault in BREAKS.into_iter().cycle().take(6) {
        let guard = holder.mutex("x").unwrap().lock().await.unwrap();
        let wait = waiting(&waiter.mutex("x").unwrap()).await;
        link.set(fault);
        until("the connections break", async || link.connections() < 2 || link.fault() == Fault::Pass).await;
        link.set(Fault::Pass);
        assert!(guard.is_valid(), "{fault:?}");
        soon("the release", guard.release()).await.unwrap();
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    }
    assert_eq!([holder.session_id(), waiter.session_id()], sessions);
    close([holder, waiter]).await;
    guarded.cluster.is_empty().await;
}

#[tokio::test]
async fn a_session_goes_on_at_another_server() {
    let options = ZooKeeperOptions { servers: 3, ..ZooKeeperOptions::default() };
    let guarded = Guarded::with(options).await;
    let user = async || -> Coordinator { open(guarded.config("billing")).await.unwrap() };
    let (holder, waiter) = (user().await, user().await);
    let sessions = [holder.session_id(), waiter.session_id()];
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    for server in guarded.cluster.server.servers() {
        server.kill();
        until("the others serve", async || holder.mutex("y").unwrap().inspect().await.is_ok()).await;
        server.start().await.unwrap();
    }
    assert!(guard.is_valid());
    soon("the release", guard.release()).await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!([holder.session_id(), waiter.session_id()], sessions);
    close([holder, waiter]).await;
    guarded.cluster.is_empty().await;
}
