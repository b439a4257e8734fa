//! Who is trusted, on either side.

use std::{env, fs, time::Duration};

use etcd_client::{ConnectOptions, TlsOptions};
use lock_core::ErrorKind;
use lock_etcd::{Config, Tls};
use lock_testkit::{
    live::{Unusable, alone, assert_refusal, chain, soon, takes_turns, until, unusable_files},
    port::Port,
    proxy::Fault,
    server::{
        ServerTls,
        certificates::{Authority, Identity},
        etcd::{Etcd as Server, EtcdOptions},
    },
};

use crate::{
    support::Cluster,
    world::{HERE, open, refusal, server, shown, trusting},
};

/// Nothing is asked of this server.
async fn unseen(identity: &Identity) -> Cluster {
    let options = EtcdOptions { tls: Some(ServerTls::new(identity, None)), ..EtcdOptions::default() };
    Cluster::seen_by(options, ConnectOptions::new().with_tls(TlsOptions::new())).await
}

#[tokio::test]
async fn c13_a_server_that_is_not_trusted_is_an_error_at_once() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let invalid = ErrorKind::InvalidOption;
    let cluster = server(&ours, &ours.server(HERE).unwrap(), None, EtcdOptions::default()).await;
    // Of the same name, as when it was made anew; and of any other.
    for tls in [trusting(&theirs), Tls::new()] {
        assert_refusal(refusal(cluster.config().tls(tls)).await, invalid, "the option ca");
    }
    let elsewhere = trusting(&ours).server_name("etcd.local");
    assert_refusal(refusal(cluster.config().tls(elsewhere)).await, invalid, "server_name");
    cluster.is_empty().await;

    let expired = unseen(&ours.expired(HERE).unwrap()).await;
    let refused = refusal(expired.config().tls(trusting(&ours))).await;
    assert_refusal(refused, ErrorKind::Unavailable, "expired");

    let named = unseen(&ours.server(&["etcd.local"]).unwrap()).await;
    assert_refusal(refusal(named.config().tls(trusting(&ours))).await, invalid, "server_name");
    let tls = trusting(&ours).server_name("etcd.local");
    open(named.config().tls(tls)).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn c13_speaking_tls_to_who_does_not_and_the_other_way_round_is_told_within_the_connect_timeout() {
    let ours = Authority::new().unwrap();
    let plain = Cluster::one().await;
    let secure = server(&ours, &ours.server(HERE).unwrap(), None, EtcdOptions::default()).await;
    for (config, word) in [
        (plain.config().tls(trusting(&ours)), "does it serve without TLS"),
        (secure.config(), "does it demand TLS (tls=true)?"),
        (secure.config().credentials("user", "password"), "does it demand TLS (tls=true)?"),
    ] {
        let config = config.connect_timeout(Duration::from_secs(1)).unwrap();
        let error = soon("an error", open(config)).await.unwrap_err();
        assert_refusal((error.kind(), chain(&error)), ErrorKind::Unavailable, word);
    }
}

#[tokio::test]
async fn c13_a_client_without_the_right_certificate_is_denied_at_once() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let cluster = server(&ours, &ours.server(HERE).unwrap(), Some(&theirs), EtcdOptions::default()).await;
    let foreign = shown(&ours.client("user").unwrap(), trusting(&ours));
    for config in [
        cluster.config().tls(trusting(&ours)),
        cluster.config().tls(trusting(&ours)).credentials("user", "password"),
        cluster.config().tls(foreign),
    ] {
        assert_refusal(refusal(config).await, ErrorKind::Denied, "client certificate");
    }
    let right = || cluster.config().tls(shown(&theirs.client("user").unwrap(), trusting(&ours)));
    let (one, other) = (open(right()).await.unwrap(), open(right()).await.unwrap());
    takes_turns(&one, &other).await;
    for user in [one, other] {
        user.close().await.unwrap();
    }
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_member_with_a_bad_certificate_stops_nobody() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let bad = unseen(&theirs.server(HERE).unwrap()).await;
    let proxied = EtcdOptions { proxied: true, ..EtcdOptions::default() };
    let good = server(&ours, &ours.server(HERE).unwrap(), None, proxied).await;
    let both = [bad.server.endpoints(), good.server.endpoints()].concat();
    let config = || {
        let config = Config::new(both.iter().map(|url| url.trim_start_matches("https://"))).unwrap();
        config.namespace(crate::support::NAMESPACE).unwrap().tls(trusting(&ours))
    };
    // Some of them begin with the bad one.
    for _ in 0..6 {
        let user = open(config()).await.unwrap();
        let (session, mutex) = (user.session_id(), user.mutex("x").unwrap());
        let guard = mutex.lock().await.unwrap();
        // It looks for another member, and comes back.
        let link = good.server.members()[0].client_proxy().unwrap();
        link.set(Fault::Reset);
        link.set(Fault::Pass);
        soon("an answer", mutex.inspect()).await.unwrap();
        let deadline = guard.deadline();
        until("renewed", async || guard.deadline() > deadline).await;
        assert_eq!(user.session_id(), session);
        guard.release().await.unwrap();
        user.close().await.unwrap();
    }
    good.is_empty().await;
}

#[tokio::test]
async fn certificates_that_are_renewed_are_taken_by_the_sessions_that_last() {
    let (servers, old, new) =
        (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let identity = servers.server(HERE).unwrap();
    let clients = identity.certificate.with_file_name("clients.pem");
    fs::copy(old.certificate(), &clients).unwrap();
    let tls = ServerTls { clients: Some(clients.clone()), ..ServerTls::new(&identity, None) };
    let server = Server::with(EtcdOptions { tls: Some(tls), ..EtcdOptions::default() }).await.unwrap();
    let endpoints = server.endpoints();
    let mine = old.client("user").unwrap();
    let config = Config::new(endpoints.iter().map(|url| url.trim_start_matches("https://"))).unwrap();
    let etcd = lock_etcd::Etcd::new(config.tls(shown(&mine, trusting(&servers))));
    let options = lock_core::Options::default().ttl(Duration::from_mins(2));
    let user = lock_core::Coordinator::open(std::sync::Arc::new(etcd), options).await.unwrap();
    let session = user.session_id();
    let guard = user.mutex("x").unwrap().lock().await.unwrap();

    // Unreadable for a while, as when somebody writes it: what was read before is used on.
    fs::write(&mine.key, "").unwrap();
    server.restart().await.unwrap();
    soon("an answer", user.mutex("x").unwrap().inspect()).await.unwrap();

    fs::copy(new.certificate(), &clients).unwrap();
    let renewed = new.client("user").unwrap();
    for (from, to) in [(renewed.certificate, &mine.certificate), (renewed.key, &mine.key)] {
        fs::copy(from, to).unwrap();
    }
    server.restart().await.unwrap();
    soon("an answer", user.mutex("x").unwrap().inspect()).await.unwrap();
    assert_eq!(user.session_id(), session);
    guard.release().await.unwrap();
    user.close().await.unwrap();
}

#[tokio::test]
async fn c13_a_file_that_cannot_be_used_is_named_before_anything_is_sent() {
    let nobody = Port::reserve().unwrap();
    let authority = Authority::new().unwrap();
    let (unusable, secret) = unusable_files(&authority);
    let named =
        Unusable { tls: Tls::new().server_name("no name"), file: "no name".into(), why: "server_name" };
    for Unusable { tls, file, why } in unusable.into_iter().chain([named]) {
        let config = Config::new([nobody.address().to_string()]).unwrap().tls(tls);
        let (kind, text) = refusal(config).await;
        assert_eq!(kind, ErrorKind::InvalidOption, "{text}");
        assert!(text.contains(why) && text.contains(file.to_str().unwrap()), "{text}");
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test]
async fn without_an_authority_of_its_own_a_client_trusts_those_of_the_system() {
    let ours = Authority::new().unwrap();
    let cluster = server(&ours, &ours.server(HERE).unwrap(), None, EtcdOptions::default()).await;
    // What the system trusts can be set for a whole process only.
    let endpoint = &cluster.server.endpoints()[0];
    let authority = ours.certificate().to_str().unwrap();
    alone("certificates::child", &[(ENDPOINT, endpoint), ("SSL_CERT_FILE", authority)]).await;
}

const ENDPOINT: &str = "YOURTURN_TEST_ENDPOINT";

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child() {
    let endpoint = env::var(ENDPOINT).unwrap();
    let config = Config::new([endpoint.trim_start_matches("https://")]).unwrap().tls(Tls::new());
    open(config).await.unwrap().close().await.unwrap();
}
