//! Bad input, and servers that refuse: a clear error in bounded time, and nothing left.

use std::{sync::Arc, time::Duration};

use lock_core::{Coordinator, Effect, ErrorKind, LostReason, Options};
use lock_testkit::{
    live::{soon, until, waiting},
    port::Port,
    proxy::Fault,
    server::zookeeper::{Mode, ZooKeeperOptions},
};
use lock_zk::{
    Config, Zk,
    client::{Acls, Client, CreateMode},
};

use crate::support::{Cluster, NAMESPACE, TICK, TTL, config, try_user};

fn hasty(config: Config) -> Config {
    config.connect_timeout(Duration::from_secs(1)).unwrap()
}

#[tokio::test]
async fn c13_a_host_that_is_not_there_or_says_nothing_is_an_error_within_the_connect_timeout() {
    let cluster = Cluster::proxied(1).await;
    let nobody = Port::reserve().unwrap();
    cluster.server.servers()[0].client_proxy().unwrap().set(Fault::Blackhole);
    let silent = cluster.server.endpoints();
    for endpoint in
        [nobody.address().to_string(), "does-not-exist.invalid:2181".to_owned(), silent[0].clone()]
    {
        let error = soon("an error", try_user(hasty(config([&endpoint])), TTL)).await.unwrap_err();
        let told = (error.kind(), error.operation());
        assert_eq!(told, (ErrorKind::Unavailable, Some("connect")), "{endpoint}: {error}");
        assert!(error.is_retryable());
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_servers_without_a_quorum_let_nobody_in_and_guards_end() {
    let cluster = Cluster::start(ZooKeeperOptions { servers: 3, ..ZooKeeperOptions::default() }).await;
    let user = async || try_user(cluster.config(), Duration::from_secs(3)).await.unwrap();
    let (holder, waiter, late) = (user().await, user().await, user().await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    cluster.lose_quorum();
    let error = soon("an error", try_user(hasty(cluster.config()), TTL)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error}");
    // Those who are in already ask for as long as their session lives.
    let error = soon("an error", late.mutex("y").unwrap().try_lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(soon("lost", guard.lost()).await, LostReason::Deadline);
    // Who waits has lost its session too, and there is no other.
    let error = soon("an error", wait).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    for server in &cluster.server.servers()[1..] {
        server.launch().unwrap();
    }
    cluster.server.ready().await.unwrap();
    // Whoever comes now gets the lock, once the old sessions have ended.
    let again = soon("the grant", late.mutex("x").unwrap().lock()).await.unwrap();
    assert!(again.token() > guard.token());
    again.release().await.unwrap();
    soon("the grant", late.mutex("y").unwrap().lock()).await.unwrap().release().await.unwrap();
    for user in [holder, waiter, late] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_read_only_server_lets_nobody_in() {
    // Only a session that one server has for itself can be read-only.
    let lines = vec!["localSessionsEnabled=true".to_owned()];
    let options = ZooKeeperOptions { servers: 3, read_only: true, lines, ..ZooKeeperOptions::default() };
    let cluster = Cluster::start(options).await;
    cluster.lose_quorum();
    let server = &cluster.server.servers()[0];
    until("it is read-only", async || matches!(server.mode().await, Ok(Some(Mode::ReadOnly)))).await;
    let endpoint = server.endpoint();
    let error = soon("an error", try_user(hasty(config([&endpoint])), TTL)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error}");
    // Nor whoever brings a client that would do with that.
    let client = Client::connector().with_readonly(true).connect(&endpoint).await.unwrap();
    let zk = Arc::new(Zk::from_client(client, NAMESPACE, Some(TICK)).unwrap());
    let error = soon("an error", Coordinator::open(zk, Options::default().ttl(TTL))).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::None), "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn c13_a_ttl_below_the_servers_least_is_refused_and_nothing_stays() {
    let lines = vec!["minSessionTimeout=3000".to_owned()];
    let cluster = Cluster::start(ZooKeeperOptions { lines, ..ZooKeeperOptions::default() }).await;
    let error = try_user(cluster.config(), Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    assert!(error.to_string().contains("no ttl below 3s"), "{error}");
    // Renewals that are known too late are none.
    let ticks = |tick| cluster.config().tick(Duration::from_secs(tick)).unwrap();
    let error = try_user(ticks(4), Duration::from_secs(4)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    assert!(error.to_string().contains("no ttl below 4.98"), "{error}");
    try_user(ticks(4), Duration::from_secs(5)).await.unwrap().close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c11_a_forbidden_path_is_refused_before_any_request() {
    let cluster = Cluster::proxied(1).await;
    let user = cluster.user().await;
    let before = cluster.server.requests().unwrap();
    let bad = [
        "", "/", "a//b", "../a", "a/..", "a/./b", "a\0b", "a\nb", "a\u{7f}", "\u{9f}", "\u{e000}",
        "\u{f8ff}", "\u{fff0}", "\u{ffff}", "\u{feff}", "\u{202e}", "😀",
    ];
    for bad in bad {
        assert_eq!(user.mutex(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad:?}");
        let error = cluster.config().namespace(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad:?}");
    }
    for own in ["zookeeper", "zookeeper/config"] {
        assert_eq!(cluster.config().namespace(own).unwrap_err().kind(), ErrorKind::InvalidName);
    }
    assert_eq!(cluster.server.requests().unwrap(), before);
    user.close().await.unwrap();

    // Every other one is fine, and stays in its place.
    let odd = r##" !"#$%&'()*+,-.:;<=>?@[\]^_`{|}~é日"##;
    let user =
        try_user(cluster.config().namespace(&format!("{NAMESPACE}/{odd}")).unwrap(), TTL).await.unwrap();
    let guard = user.mutex(odd).unwrap().lock().await.unwrap();
    let node = cluster.claim().await;
    assert!(node.starts_with(&format!("/{NAMESPACE}/{odd}/mutex/")), "{node}");
    assert_eq!(node.matches('/').count(), 7, "{node}");
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_who_may_not_write_is_denied_and_nothing_is_left() {
    let cluster = Cluster::one().await;
    let readable = CreateMode::Persistent.with_acls(Acls::anyone_read());
    let path = format!("/{NAMESPACE}");
    cluster.spy.create(&path, b"", &readable).await.unwrap();
    let error = soon("an error", try_user(cluster.config(), TTL)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::None), "{error}");
    assert!(cluster.spy.list_children(&path).await.unwrap().is_empty());
    cluster.spy.delete(&path, None).await.unwrap();

    // The same in one line alone.
    let user = cluster.user().await;
    let other = user.mutex("other").unwrap().lock().await.unwrap();
    let line = format!("{path}/mutex/x");
    cluster.spy.create(&line, b"", &readable).await.unwrap();
    for _ in 0..2 {
        let error = soon("an error", user.mutex("x").unwrap().lock()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Denied, false), "{error}");
        let error = soon("an error", user.mutex("x").unwrap().try_lock()).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Denied, false), "{error}");
    }
    assert!(cluster.spy.list_children(&line).await.unwrap().is_empty());
    assert!(other.is_valid());
    other.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c12_a_quota_that_is_used_up_keeps_nobody_from_leaving() {
    let properties = vec!["zookeeper.enforceQuota=true".to_owned()];
    let cluster = Cluster::start(ZooKeeperOptions { properties, ..ZooKeeperOptions::default() }).await;
    let (holder, waiter) = (cluster.user().await, cluster.user().await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    let mut quota = "/zookeeper/quota".to_owned();
    for name in cluster.queue("x").await.split('/').skip(1) {
        quota = format!("{quota}/{name}");
        cluster.put(&quota, b"").await;
    }
    cluster.put(&format!("{quota}/zookeeper_limits"), b"count=-1,bytes=-1,byteHardLimit=1").await;
    cluster.put(&format!("{quota}/zookeeper_stats"), b"count=0,bytes=0").await;
    let error = soon("an answer", holder.mutex("x").unwrap().lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    soon("released", guard.release()).await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}
