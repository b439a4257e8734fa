//! Whose the nodes are that we make, and what becomes of who finds those of others.

use lock_core::{Coordinator, ErrorKind, Kind, LineId, Mode, Outcome};
use lock_testkit::{
    live::{close, soon, takes_turns, waiting},
    server::{ServerTls, certificates::Authority, zookeeper::ZooKeeperOptions},
};
use lock_zk::{
    Config,
    client::{Acl, Acls, AuthId, CreateMode, Permission},
};

use crate::{
    support::{Cluster, NAMESPACE},
    world::{Guarded, HERE, at, open, refusal, secure, server, servers, shown, trusting},
};

/// Every node of ours, with those to whom everything is allowed.
async fn owners(cluster: &Cluster) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut left = vec![format!("/{NAMESPACE}")];
    while let Some(path) = left.pop() {
        let names = cluster.spy.list_children(&path).await.unwrap();
        left.extend(names.iter().map(|name| format!("{path}/{name}")));
        let (acls, _) = cluster.spy.get_acl(&path).await.unwrap();
        assert!(acls.iter().all(|acl| acl.permission() == Permission::ALL), "{path}: {acls:?}");
        let mut owners: Vec<_> = acls.iter().map(|acl| format!("{}:{}", acl.scheme(), acl.id())).collect();
        owners.sort();
        found.push((path, owners));
    }
    found
}

/// Has a node of each kind made, and looks whose they are.
async fn owners_of_every_kind(cluster: &Cluster, user: &Coordinator) -> Vec<(String, Vec<String>)> {
    let guard = user.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&user.mutex("x").unwrap()).await;
    let line = |name: &str| LineId::new(Kind::Mutex, name.parse().unwrap());
    let reader = user.claims(line("shared")).acquire(Mode::Shared).await.unwrap();
    let present = user.claims(line("present")).acquire(Mode::Present).await.unwrap();
    let done = user.task("t").unwrap().run(1, async {}).await.unwrap();
    assert_eq!(done, Outcome::Completed(()));
    let found = owners(cluster).await;
    for part in ["/session/", "/q/", "/c-", "/h/s-", "/m/", "/cell", "/i-"] {
        assert!(found.iter().any(|(path, _)| path.contains(part)), "{part}: {found:?}");
    }
    for guard in [guard, reader, present] {
        guard.release().await.unwrap();
    }
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    found
}

#[track_caller]
fn assert_all(found: &[(String, Vec<String>)], owners: &[&str]) {
    for (path, found) in found {
        assert_eq!(found, owners, "{path}");
    }
}

/// It is told which node it may not make: this one, or one in it.
async fn is_denied(config: Config, node: &str) {
    let (kind, text) = refusal(config).await;
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    assert!(text.contains(&format!("node \"{node}")), "{text}");
}

#[tokio::test]
async fn with_a_certificate_every_node_is_its_subjects_alone() {
    let guarded = Guarded::start().await;
    let (one, other) =
        (open(guarded.config("billing")).await.unwrap(), open(guarded.config("billing")).await.unwrap());
    takes_turns(&one, &other).await;
    assert_all(&owners_of_every_kind(&guarded.cluster, &one).await, &["x509:CN=billing"]);
    // Another subject, a user, and nobody.
    for stranger in [
        guarded.config("billing2"),
        guarded.plain_config().credentials("billing", "open"),
        guarded.plain_config(),
    ] {
        is_denied(stranger, &format!("/{NAMESPACE}/session")).await;
    }
    close([one, other]).await;
    guarded.cluster.is_empty().await;
}

/// `billing:right`, as ZooKeeper writes it down.
const RIGHT: &str = "digest:billing:rCPq8Re07BtRgnDGwMBpyPzwAA4=";

#[tokio::test]
async fn with_a_certificate_and_credentials_every_node_is_of_either() {
    let guarded = Guarded::start().await;
    let with = |subject, password| guarded.config(subject).credentials("billing", password);
    let one = open(with("one", "right")).await.unwrap();
    let found = owners_of_every_kind(&guarded.cluster, &one).await;
    assert_all(&found, &[RIGHT, "x509:CN=one"]);
    // The same certificate or the same user will do, over TLS or not.
    for either in [
        with("two", "right"),
        with("one", "wrong"),
        guarded.config("one"),
        guarded.plain_config().credentials("billing", "right"),
    ] {
        let other = open(either).await.unwrap();
        takes_turns(&one, &other).await;
        other.close().await.unwrap();
    }
    for stranger in [with("two", "wrong"), guarded.config("two")] {
        is_denied(stranger, &format!("/{NAMESPACE}/session")).await;
    }
    one.close().await.unwrap();
    guarded.cluster.is_empty().await;
}

#[tokio::test]
async fn c13_what_belongs_to_somebody_else_is_named_and_nothing_is_left_there() {
    let guarded = Guarded::start().await;
    let theirs = [Acl::new(Permission::ALL, AuthId::new("x509", "CN=admin"))];
    let put = async |path: &str| {
        let owned = CreateMode::Persistent.with_acls(Acls::new(&theirs));
        guarded.cluster.spy.create(path, b"", &owned).await.unwrap();
    };
    put("/owned").await;
    put("/owned/here").await;
    // A parent of the namespace, the namespace, and a line.
    let config = |namespace| guarded.config("billing").namespace(namespace).unwrap();
    is_denied(config("owned/ours"), "/owned/ours").await;
    is_denied(config("owned/here"), "/owned/here/session").await;
    let user = open(guarded.config("billing")).await.unwrap();
    user.mutex("mine").unwrap().lock().await.unwrap().release().await.unwrap();
    let line = format!("/{NAMESPACE}/mutex/x");
    put(&line).await;
    for _ in 0..2 {
        let error = soon("an error", user.mutex("x").unwrap().lock()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Denied, false), "{error}");
        assert!(error.to_string().contains(&line), "{error}");
    }
    for path in ["/owned", &line] {
        let children = guarded.cluster.spy.list_children(path).await.unwrap();
        assert!(children.iter().all(|name| name == "here"), "{path}: {children:?}");
    }
    // Their owner gets on with them.
    open(config("owned/here").tls(guarded.tls("admin"))).await.unwrap().close().await.unwrap();
    user.close().await.unwrap();
    guarded.cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_certificate_that_nobody_asks_for_is_nobodys_and_that_is_told() {
    let authority = Authority::new().unwrap();
    let cluster = server(&authority.server(HERE).unwrap(), None).await;
    let tls = shown(&authority.client("billing").unwrap(), trusting(&authority));
    let (kind, text) = refusal(at(secure(&cluster)).tls(tls.clone())).await;
    assert_eq!(kind, ErrorKind::Denied, "{text}");
    assert!(text.contains("ssl.clientAuth"), "{text}");
    assert!(cluster.spy.check_stat(&format!("/{NAMESPACE}")).await.unwrap().is_none());
    // A user is somebody all the same.
    let user = open(at(secure(&cluster)).tls(tls).credentials("billing", "right")).await.unwrap();
    assert_all(&owners_of_every_kind(&cluster, &user).await, &[RIGHT]);
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_server_may_leave_it_to_clients_whether_they_show_a_certificate() {
    let authority = Authority::new().unwrap();
    let tls = ServerTls::new(&authority.server(HERE).unwrap(), Some(&authority));
    let lines = vec!["ssl.clientAuth=want".to_owned()];
    let cluster = servers(tls, ZooKeeperOptions { lines, ..ZooKeeperOptions::default() }).await;
    let without = || at(secure(&cluster)).tls(trusting(&authority));
    let certified = shown(&authority.client("billing").unwrap(), trusting(&authority));
    let nobody = open(without()).await.unwrap();
    assert_all(&owners_of_every_kind(&cluster, &nobody).await, &["world:anyone"]);
    nobody.close().await.unwrap();
    cluster.is_empty().await;
    cluster.delete_all(&format!("/{NAMESPACE}")).await;
    let somebody = open(at(secure(&cluster)).tls(certified)).await.unwrap();
    assert_all(&owners_of_every_kind(&cluster, &somebody).await, &["x509:CN=billing"]);
    is_denied(without(), &format!("/{NAMESPACE}/session")).await;
    somebody.close().await.unwrap();
    cluster.is_empty().await;
}
