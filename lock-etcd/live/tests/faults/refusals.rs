//! Bad input, and servers that refuse: a clear error in bounded time, and nothing left.

use std::{error::Error as _, sync::Arc, time::Duration};

use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ConnectOptions};

use lock_core::{Coordinator, Effect, ErrorKind, Options};
use lock_etcd::{Config, Etcd, Layout};
use lock_testkit::{
    live::{soon, until, waiting},
    port::Port,
    proxy::Fault,
    server::etcd::EtcdOptions,
};

use crate::support::{Cluster, NAMESPACE};

const TTL: Duration = Duration::from_secs(10);

#[tokio::test]
async fn c13_a_host_that_is_not_there_or_says_nothing_is_an_error_within_the_connect_timeout() {
    let cluster = Cluster::proxied(1).await;
    let nobody = Port::reserve().unwrap();
    cluster.server.members()[0].client_proxy().unwrap().set(Fault::Blackhole);
    let silent = cluster.server.endpoints();
    for endpoint in
        [nobody.address().to_string(), "does-not-exist.invalid:2379".to_owned(), silent[0].clone()]
    {
        let config = Config::new([&endpoint]).unwrap().connect_timeout(Duration::from_secs(1)).unwrap();
        let error = soon("an error", cluster.try_user(config, TTL)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (ErrorKind::Unavailable, Some("connect")),
            "{endpoint}"
        );
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn c13_a_ttl_below_the_servers_least_is_refused_and_no_lease_stays() {
    let arguments = ["--heartbeat-interval=200", "--election-timeout=2000"].map(str::to_owned).to_vec();
    let cluster = Cluster::start(EtcdOptions { arguments, ..EtcdOptions::default() }).await;
    let error = cluster.try_user(cluster.config(), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
    assert!(error.to_string().contains("no ttl below 3s"), "{error}");
    cluster.is_empty().await;
    // A fraction of a second is rounded up.
    let user = cluster.user(Duration::from_millis(2500)).await;
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c11_a_name_with_a_forbidden_character_is_refused_before_any_request() {
    let cluster = Cluster::one().await;
    let user = cluster.user(TTL).await;
    // By then the server has counted what the session began with, its watches too.
    user.mutex("good").unwrap().lock().await.unwrap().release().await.unwrap();
    let before = cluster.server.requests().await.unwrap();
    for bad in
        ["", "/", "a//b", "../a", "a/..", "a\0b", "a\nb", "a\u{7f}", "\u{e000}", "\u{feff}", "\u{202e}"]
    {
        assert_eq!(user.mutex(bad).unwrap_err().kind(), ErrorKind::InvalidName, "{bad:?}");
    }
    assert_eq!(cluster.server.requests().await.unwrap(), before);
    // Every other one is fine, and stays in its place.
    let odd = r##" !"#$%&'()*+,-.:;<=>?@[\]^_`{|}~é日"##;
    let guard = user.mutex(odd).unwrap().lock().await.unwrap();
    assert!(
        cluster
            .keys()
            .await
            .iter()
            .filter(|key| key.contains("/q/"))
            .all(|key| key.matches('/').count() == 4)
    );
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

/// Lets in `root`, who may do everything, and `stranger`, who may do nothing.
async fn enable_authentication(cluster: &Cluster) {
    let mut etcd = cluster.etcd.clone();
    etcd.user_add("root", "secret", None).await.unwrap();
    etcd.user_grant_role("root", "root").await.unwrap();
    etcd.user_add("stranger", "pass", None).await.unwrap();
    etcd.auth_enable().await.unwrap();
}

#[tokio::test]
async fn a_token_that_has_expired_is_renewed() {
    let arguments = vec!["--auth-token-ttl=1".to_owned()];
    let options = EtcdOptions { arguments, proxied: true, ..EtcdOptions::default() };
    let cluster = Cluster::start(options).await;
    enable_authentication(&cluster).await;
    let config = cluster.direct_config().credentials("root", "secret");
    let holder = cluster.try_user(config, TTL).await.unwrap();
    // With a client of the user's own, which goes on with the token that it has until a request is refused.
    let options = ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
    let client = Client::connect(cluster.server.endpoints(), Some(options)).await.unwrap();
    let etcd = Arc::new(Etcd::from_client(client, NAMESPACE).unwrap());
    let waiter = Coordinator::open(etcd, Options::default().ttl(TTL)).await.unwrap();
    let session = holder.session_id();

    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let wait = waiting(&waiter.mutex("x").unwrap()).await;
    // By the server's clock, when it is not used for so long; nobody is told.
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Nothing but the streams speaks for the one that waits.
    let link = cluster.server.members()[0].client_proxy().unwrap();
    link.set(Fault::Reset);
    link.set(Fault::Pass);
    guard.release().await.unwrap();
    soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(holder.session_id(), session);
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
}

#[tokio::test]
async fn who_may_not_is_denied_and_who_may_is_let_in() {
    let cluster = Cluster::one().await;
    enable_authentication(&cluster).await;
    let wrong = cluster.config().credentials("root", "wrong");
    let stranger = cluster.config().credentials("stranger", "pass");
    for config in [wrong, stranger, cluster.config()] {
        let error = soon("an error", cluster.try_user(config, TTL)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::None), "{error}");
        let mut printed = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            printed += &cause.to_string();
            source = cause.source();
        }
        assert!(!printed.contains("wrong") && !printed.contains("pass\""), "{printed}");
    }
    let right = cluster.config().credentials("root", "secret");
    let user = cluster.try_user(right, TTL).await.unwrap();
    user.mutex("x").unwrap().lock().await.unwrap().release().await.unwrap();
    user.close().await.unwrap();
}

#[tokio::test]
async fn c13_a_full_store_refuses_newcomers_and_lets_holders_hand_over() {
    // Nearly full, so that it refuses what needs space; and more than full, so that it refuses transactions.
    for filler in [64 * 1024, 512] {
        for layout in [Layout::Native, Layout::Go] {
            full_store(&"#".repeat(filler), layout).await;
        }
    }
}

async fn full_store(filler: &str, layout: Layout) {
    let cluster =
        Cluster::start(EtcdOptions { quota_backend_bytes: Some(256 * 1024), ..EtcdOptions::default() }).await;
    let config = cluster.config().layout(layout);
    let user = async || cluster.try_user(config.clone(), TTL).await.unwrap();
    let (holder, waiter, late) = (user().await, user().await, user().await);
    let mut turns = Vec::new();
    for name in ["x", "another"] {
        let guard = holder.mutex(name).unwrap().lock().await.unwrap();
        turns.push((guard, waiting(&waiter.mutex(name).unwrap()).await));
    }
    if layout == Layout::Native {
        until("both are linked", async || {
            cluster.keys().await.iter().filter(|key| key.ends_with("/next")).count() == turns.len()
        })
        .await;
    }
    // Not polled for: it takes hundreds.
    while cluster.etcd.kv_client().put("filler", filler, None).await.is_ok() {}
    let error = soon("an answer", late.mutex("x").unwrap().lock()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect(), error.is_retryable()),
        (ErrorKind::Full, Effect::None, false),
        "{error}"
    );
    let error = soon("an answer", late.mutex("y").unwrap().try_lock()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(cluster.try_user(config, TTL).await.is_err_and(|error| error.kind() == ErrorKind::Full));
    // Whoever holds can hand over, and the next one learns of it; so does the next one of that session, whose bell has
    // been deleted for the first.
    for (guard, wait) in turns {
        guard.release().await.unwrap();
        soon("the grant", wait).await.unwrap().unwrap().release().await.unwrap();
    }
    if layout == Layout::Native {
        make_room(&cluster).await;
        let bells = async || cluster.keys().await.into_iter().filter(|key| key.ends_with("/bell")).count();
        until("its bell is back", async || bells().await == 3).await;
    }
    for user in [holder, waiter, late] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

async fn make_room(cluster: &Cluster) {
    let mut etcd = cluster.etcd.clone();
    let revision = etcd.delete("filler", None).await.unwrap().header().unwrap().revision();
    etcd.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    etcd.defragment().await.unwrap();
    let alarms = etcd.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap();
    for alarm in alarms.alarms() {
        let mut of = AlarmOptions::new();
        of.with_member(alarm.member_id());
        etcd.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(of)).await.unwrap();
    }
}

#[tokio::test]
async fn c5_watches_do_not_pile_up() {
    let cluster = Cluster::one().await;
    let (holder, waiter) = (cluster.user(TTL).await, cluster.user(TTL).await);
    let guard = holder.mutex("x").unwrap().lock().await.unwrap();
    let mutex = waiter.mutex("x").unwrap();
    let wait = waiting(&mutex).await;
    wait.abort();
    until("it has left", async || mutex.inspect().await.unwrap().places.len() == 1).await;
    // One for the other session's life, from the first time on.
    let before = cluster.server.watchers().await.unwrap();
    for _ in 0..50 {
        let wait = waiting(&mutex).await;
        wait.abort();
        until("it has left", async || mutex.inspect().await.unwrap().places.len() == 1).await;
    }
    assert_eq!(cluster.server.watchers().await.unwrap(), before);
    guard.release().await.unwrap();
    for user in [holder, waiter] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
    until("no watch is left", async || cluster.server.watchers().await.unwrap() == 0).await;
}
