//! Who is trusted, on either side.

use std::{env, fs, time::Duration};

use lock_core::ErrorKind;
use lock_testkit::{
    live::{Unusable, alone, assert_refusal, chain, close, soon, takes_turns, unusable_files},
    port::Port,
    proxy::{Fault, Proxy},
    server::{ServerTls, certificates::Authority, zookeeper::ZooKeeperOptions},
};
use lock_zk::{Config, Tls, Zk};

use crate::{
    support::{Cluster, try_user},
    world::{HERE, at, open, refusal, secure, server, servers, shown, trusting},
};

#[tokio::test]
async fn c13_a_server_that_is_not_trusted_is_an_error_at_once() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let invalid = ErrorKind::InvalidOption;
    let cluster = server(&ours.server(HERE).unwrap(), None).await;
    let config = || at(secure(&cluster));
    // Of the same name, as when it was made anew; and of any other.
    for tls in [trusting(&theirs), Tls::new()] {
        assert_refusal(refusal(config().tls(tls)).await, invalid, "the option ca");
    }
    let elsewhere = at([format!("localhost:{}", secure(&cluster)[0].port())]);
    assert_refusal(refusal(elsewhere.tls(trusting(&ours))).await, invalid, "other names");
    open(config().tls(trusting(&ours))).await.unwrap().close().await.unwrap();
    cluster.is_empty().await;

    let expired = server(&ours.expired(HERE).unwrap(), None).await;
    let refused = refusal(at(secure(&expired)).tls(trusting(&ours))).await;
    assert_refusal(refused, ErrorKind::Unavailable, "expired");
}

#[tokio::test]
async fn c13_speaking_tls_to_who_does_not_and_the_other_way_round_is_told_within_the_connect_timeout() {
    let ours = Authority::new().unwrap();
    let (plain, both) = (Cluster::one().await, server(&ours.server(HERE).unwrap(), None).await);
    let to_tls = "does it demand TLS (tls=true)";
    for (config, word) in [
        (plain.config().tls(trusting(&ours)), "does it serve without TLS"),
        (both.config().tls(trusting(&ours)), "does it serve without TLS"),
        (at(secure(&both)), to_tls),
        (at(secure(&both)).credentials("user", "password"), to_tls),
    ] {
        let config = config.connect_timeout(Duration::from_secs(2)).unwrap();
        let error = open(config).await.unwrap_err();
        assert_refusal((error.kind(), chain(&error)), ErrorKind::Unavailable, word);
    }
}

#[tokio::test]
async fn c13_a_client_without_the_right_certificate_is_denied_at_once() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let cluster = server(&ours.server(HERE).unwrap(), Some(&theirs)).await;
    let config = || at(secure(&cluster));
    let foreign = shown(&ours.client("user").unwrap(), trusting(&ours));
    for config in [
        config().tls(trusting(&ours)),
        config().tls(trusting(&ours)).credentials("user", "password"),
        config().tls(foreign),
    ] {
        assert_refusal(refusal(config).await, ErrorKind::Denied, "client certificate");
    }
    let right = || config().tls(shown(&theirs.client("user").unwrap(), trusting(&ours)));
    let (one, other) = (open(right()).await.unwrap(), open(right()).await.unwrap());
    takes_turns(&one, &other).await;
    close([one, other]).await;
    cluster.is_empty().await;
}

#[tokio::test]
async fn a_server_with_a_bad_certificate_stops_nobody() {
    let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
    let bad = server(&theirs.server(HERE).unwrap(), None).await;
    let good = server(&ours.server(HERE).unwrap(), None).await;
    let link = Proxy::start(secure(&good)[0]).await.unwrap();
    // Some begin with the bad one, and all come back to the good one.
    for _ in 0..6 {
        let user = open(at([secure(&bad)[0], link.address()]).tls(trusting(&ours))).await.unwrap();
        let session = user.session_id();
        let guard = user.mutex("x").unwrap().lock().await.unwrap();
        link.set(Fault::Reset);
        link.set(Fault::Pass);
        guard.release().await.unwrap();
        assert_eq!(user.session_id(), session);
        user.close().await.unwrap();
    }
    good.is_empty().await;
    // When the good one is of no use, what the bad one lacks is told, and the good one is waited for.
    link.set(Fault::Refuse);
    let config = at([secure(&bad)[0], link.address()]).tls(trusting(&ours));
    let error = open(config.connect_timeout(Duration::from_secs(2)).unwrap()).await.unwrap_err();
    assert_refusal((error.kind(), chain(&error)), ErrorKind::Unavailable, "the option ca");
}

#[tokio::test]
async fn certificates_that_are_renewed_are_taken_by_the_sessions_that_last() {
    let (own, old, new) = (Authority::new().unwrap(), Authority::new().unwrap(), Authority::new().unwrap());
    let identity = own.server(HERE).unwrap();
    let clients = identity.certificate.with_file_name("clients.pem");
    fs::copy(old.certificate(), &clients).unwrap();
    let tls = ServerTls { clients: Some(clients.clone()), ..ServerTls::new(&identity, None) };
    let cluster = servers(tls, ZooKeeperOptions::default()).await;
    let mine = old.client("user").unwrap();
    let config = at(secure(&cluster)).tls(shown(&mine, trusting(&own)));
    // In time for two restarts.
    let user = soon("a session", try_user(config, Duration::from_mins(1))).await.unwrap();
    let session = user.session_id();
    let guard = user.mutex("x").unwrap().lock().await.unwrap();

    // Unreadable for a while, as when somebody writes it: what was read before is used on.
    fs::write(&mine.key, "").unwrap();
    cluster.server.restart().await.unwrap();
    soon("an answer", user.mutex("x").unwrap().inspect()).await.unwrap();

    fs::copy(new.certificate(), &clients).unwrap();
    let renewed = new.client("user").unwrap();
    for (from, to) in [(renewed.certificate, &mine.certificate), (renewed.key, &mine.key)] {
        fs::copy(from, to).unwrap();
    }
    cluster.server.restart().await.unwrap();
    soon("an answer", user.mutex("x").unwrap().inspect()).await.unwrap();
    assert_eq!(user.session_id(), session);
    guard.release().await.unwrap();
    user.close().await.unwrap();
    cluster.is_empty().await;
}

#[tokio::test]
async fn c13_a_file_that_cannot_be_used_is_named_before_anything_is_sent() {
    let nobody = Port::reserve().unwrap();
    let authority = Authority::new().unwrap();
    let (unusable, secret) = unusable_files(&authority);
    for Unusable { tls, file, why } in unusable {
        let (kind, text) = refusal(at([nobody.address()]).tls(tls)).await;
        assert_eq!(kind, ErrorKind::InvalidOption, "{text}");
        assert!(text.contains(why) && text.contains(file.to_str().unwrap()), "{text}");
        assert!(!text.contains(&secret), "{text}");
    }
    let named = Zk::new(at([nobody.address()]).tls(Tls::new().server_name("zookeeper.local")));
    assert_eq!(named.unwrap_err().kind(), ErrorKind::InvalidOption);
}

#[tokio::test]
async fn without_an_authority_of_its_own_a_client_trusts_those_of_the_system() {
    let ours = Authority::new().unwrap();
    let cluster = server(&ours.server(HERE).unwrap(), None).await;
    // What the system trusts can be set for a whole process only.
    let endpoint = secure(&cluster)[0].to_string();
    let authority = ours.certificate().to_str().unwrap();
    alone("certificates::child", &[(ENDPOINT, &endpoint), ("SSL_CERT_FILE", authority)]).await;
    // When it trusts nobody at all, it says so.
    let empty = ours.certificate().with_file_name("empty.pem");
    fs::write(&empty, "").unwrap();
    let nobody = empty.to_str().unwrap();
    alone("certificates::child_of_nobody", &[(ENDPOINT, &endpoint), ("SSL_CERT_FILE", nobody)]).await;
}

const ENDPOINT: &str = "YOURTURN_TEST_ENDPOINT";

fn by_the_system() -> Config {
    at([env::var(ENDPOINT).unwrap()]).tls(Tls::new())
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child() {
    open(by_the_system()).await.unwrap().close().await.unwrap();
}

#[tokio::test]
#[ignore = "a part of the test above"]
async fn child_of_nobody() {
    assert_refusal(refusal(by_the_system()).await, ErrorKind::InvalidOption, "the option ca");
}
