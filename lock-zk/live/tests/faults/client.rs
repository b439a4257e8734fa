//! Sessions of a client of the user's own, and sessions with credentials.

use std::{sync::Arc, time::Duration};

use lock_core::{
    Coordinator, Error, ErrorKind, LostReason, Options, Result, SessionId, SessionOptions,
    backend::Backend as _, runtime::TokioRuntime,
};
use lock_testkit::{
    live::{soon, until},
    proxy::Fault,
};
use lock_zk::{
    Zk,
    client::{Acl, Acls, AuthId, Client, CreateMode, Permission},
};

use crate::support::{Cluster, NAMESPACE, TICK, TTL, try_user};

async fn open(client: &Client) -> Coordinator {
    let zk = Zk::from_client(client.clone(), NAMESPACE, None).unwrap();
    soon("the session", Coordinator::open(Arc::new(zk), Options::default())).await.unwrap()
}

/// With a session of 5 s.
async fn connected(servers: &str) -> Client {
    Client::connector().with_session_timeout(Duration::from_secs(5)).connect(servers).await.unwrap()
}

/// Knows the tick.
fn shared(client: &Client) -> Arc<Zk> {
    Arc::new(Zk::from_client(client.clone(), NAMESPACE, Some(TICK)).unwrap())
}

async fn try_open(client: &Client) -> Result<Coordinator> {
    soon("an answer", Coordinator::open(shared(client), Options::default())).await
}

#[tokio::test]
async fn a_coordinator_shares_the_session_of_a_client_and_leaves_it_alone() {
    let cluster = Cluster::one().await;
    // So long that its life is not known within the time that a session of our own may take to open.
    let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
    let client = connector.connect(&cluster.server.endpoints().join(",")).await.unwrap();
    let (user, other) = (open(&client).await, cluster.user().await);
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    assert!(other.mutex("x").unwrap().try_lock().await.unwrap().is_none());
    user.close().await.unwrap();
    assert!(!guard.is_valid());
    let own = |node: &String| node.contains(&other.session_id().to_string());
    assert!(cluster.ephemerals().await.iter().all(own));
    // The client's session goes on.
    client.sync("/").await.unwrap();
    let guard = other.mutex("x").unwrap().lock().await.unwrap();
    guard.release().await.unwrap();
    other.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_when_a_clients_session_is_over_that_is_told_and_nobody_waits_for_another() {
    let cluster = Cluster::one().await;
    let client = connected(&cluster.server.endpoints().join(",")).await;
    let user = try_open(&client).await.unwrap();
    let (mutex, mut observer) = (user.mutex("x").unwrap(), user.election("e").unwrap().observe());
    let guard = mutex.lock().await.unwrap();
    assert_eq!(soon("a look", observer.next()).await.unwrap(), None);
    until("it is over", async || {
        // Who takes it over ends it, unless the client comes back in between.
        let again = Client::connector().with_session(client.session().clone());
        drop(again.connect(&cluster.server.endpoints().join(",")).await);
        client.state().is_terminated()
    })
    .await;
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Expired);
    for error in [
        soon("an answer", mutex.lock()).await.unwrap_err(),
        soon("an answer", observer.next()).await.unwrap_err(),
        try_open(&client).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Refused, false), "{error}");
        assert!(error.to_string().contains("client's session is over"), "{error}");
    }
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_chroot_that_is_not_there_is_named_at_once() {
    let cluster = Cluster::proxied(1).await;
    let client = connected(&format!("{}/app", cluster.server.endpoints().join(","))).await;
    let is_told = async |error: Error| {
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Refused, false), "{error}");
        assert!(error.to_string().contains("\"/app\""), "{error}");
    };
    let before = cluster.server.requests().unwrap();
    is_told(try_open(&client).await.unwrap_err()).await;
    let asked = cluster.server.requests().unwrap() - before;
    assert!(asked < 100, "{asked}");
    cluster.put("/app", b"").await;
    let user = try_open(&client).await.unwrap();
    cluster.delete_all("/app").await;
    is_told(soon("an answer", user.mutex("x").unwrap().lock()).await.unwrap_err()).await;
    user.close().await.unwrap();
}

#[tokio::test]
async fn c16_a_session_of_a_client_leaves_nothing_or_says_so() {
    let cluster = Cluster::proxied(1).await;
    let client = connected(&cluster.server.endpoints().join(",")).await;
    let user = try_open(&client).await.unwrap();
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    let queue = cluster.queue("x").await;
    let but_delete = Permission::READ | Permission::WRITE | Permission::CREATE | Permission::ADMIN;
    cluster.spy.set_acl(&queue, &[Acl::new(but_delete, AuthId::anyone())], None).await.unwrap();
    assert_eq!(user.close().await.unwrap_err().kind(), ErrorKind::Denied);
    assert!(!guard.is_valid());
    assert_eq!(cluster.claims().await.len(), 1);
    cluster.spy.set_acl(&queue, &Acls::anyone_all(), None).await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;

    // Nor does one that is given up while it is opened.
    let runtime = Arc::new(TokioRuntime::current().unwrap());
    let options = SessionOptions { id: SessionId::new(1), ttl: TTL, runtime };
    let link = cluster.server.servers()[0].client_proxy().unwrap();
    let zk = shared(&client);
    let made = async {
        link.set(Fault::Delay(Duration::from_millis(300)));
        until("its node is made", async || !cluster.ephemerals().await.is_empty()).await;
    };
    tokio::select! { biased;
        () = made => {}
        opened = zk.open(options) => opened.unwrap().close().await.unwrap(),
    }
    link.set(Fault::Pass);
    cluster.is_empty().await;
    client.sync("/").await.unwrap();
}

#[tokio::test]
async fn with_credentials_every_node_is_its_creators_alone() {
    let cluster = Cluster::one().await;
    let config = |password| cluster.config().credentials("billing", password);
    let (one, other) = (try_user(config("right"), TTL).await.unwrap(), try_user(config("right"), TTL).await);
    let other = other.unwrap();
    let guard = one.mutex("x").unwrap().lock().await.unwrap();
    assert!(other.mutex("x").unwrap().try_lock().await.unwrap().is_none());
    let connector = Client::connector().with_auth("digest", b"billing:right");
    let spy = connector.connect(&cluster.server.endpoints().join(",")).await.unwrap();
    let mut left = vec![format!("/{NAMESPACE}")];
    let mut nodes = 0;
    while let Some(node) = left.pop() {
        left.extend(spy.list_children(&node).await.unwrap().iter().map(|name| format!("{node}/{name}")));
        let (acls, _) = spy.get_acl(&node).await.unwrap();
        assert!(acls.iter().all(|acl| acl.auth_id().scheme() == "digest"), "{node}: {acls:?}");
        nodes += 1;
    }
    // From the namespace to the places of sessions and of a claim.
    assert!(nodes >= 9, "{nodes}");
    // Another password is another user, and none is nobody.
    for stranger in [config("wrong"), cluster.config()] {
        let error = try_user(stranger, TTL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(&format!("/{NAMESPACE}/session")), "{error}");
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    }
    guard.release().await.unwrap();
    for user in [one, other] {
        user.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_namespace_within_somebody_elses_node_can_be_used_when_it_is_there() {
    let cluster = Cluster::one().await;
    let client = Client::connector().with_auth("digest", b"admin:x");
    let admin = client.connect(&cluster.server.endpoints().join(",")).await.unwrap();
    let owned = CreateMode::Persistent.with_acls(Acls::creator_all());
    admin.create("/owned", b"", &owned).await.unwrap();
    let config = || cluster.config().namespace("owned/ours").unwrap();
    let error = try_user(config(), TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("/owned/ours"), "{error}");
    admin.create("/owned/ours", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let user = try_user(config(), TTL).await.unwrap();
    user.mutex("x").unwrap().lock().await.unwrap().release().await.unwrap();
    user.close().await.unwrap();
}
