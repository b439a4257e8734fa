//! Real servers start, serve, break as they are told to, and leave nothing behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{env, process::Output};

use lock_testkit::{
    proxy::{Direction, Fault},
    server::etcd::{Etcd, EtcdOptions, Member},
};
use tokio::process::Command;

/// Runs etcdctl for these members.
async fn control(endpoints: &[String], arguments: &[&str]) -> Output {
    let program = env::var_os("YOURTURN_ETCDCTL").unwrap_or_else(|| "etcdctl".into());
    let mut command = Command::new(program);
    command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", endpoints.join(","))).args(arguments);
    command.kill_on_drop(true).output().await.expect("etcdctl is installed, or YOURTURN_ETCDCTL names it")
}

/// What etcdctl prints, line by line.
async fn ask(endpoints: &[String], arguments: &[&str]) -> Vec<String> {
    let output = control(endpoints, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

async fn cluster(proxied: bool) -> Etcd {
    Etcd::with(EtcdOptions { members: 3, proxied, ..Default::default() }).await.unwrap()
}

#[tokio::test]
async fn one_member_serves_counts_and_keeps_its_data_when_it_is_killed() {
    let etcd = Etcd::start().await.unwrap();
    let endpoints = etcd.endpoints();
    assert_eq!((etcd.requests().await, etcd.watchers().await, etcd.leader().await), (Ok(0), Ok(0), Ok(0)));
    ask(&endpoints, &["put", "key", "value"]).await;
    assert_eq!(ask(&endpoints, &["get", "key"]).await, ["key", "value"]);
    // A lease of one second is granted; renewing one counts as nothing, nor does a read, which goes with a renewal, nor
    // does asking how the member is.
    let granted = ask(&endpoints, &["lease", "grant", "1"]).await.concat();
    assert!(granted.ends_with("TTL(1s)"), "{granted}");
    let lease = ask(&endpoints, &["lease", "grant", "60"]).await.concat();
    let lease = lease.split(' ').nth(1).unwrap();
    ask(&endpoints, &["lease", "keep-alive", "--once", lease]).await;
    ask(&endpoints, &["endpoint", "status"]).await;
    assert_eq!(etcd.requests().await, Ok(3));

    let member = &etcd.members()[0];
    member.kill();
    assert!(member.metrics().await.is_err() && member.pause().is_err());
    assert_eq!(etcd.requests().await, Ok(0));
    member.start().await.unwrap();
    assert_eq!(ask(&etcd.endpoints(), &["get", "key"]).await, ["key", "value"]);
    etcd.restart().await.unwrap();
    assert_eq!(etcd.endpoints(), endpoints);
    assert_eq!(ask(&endpoints, &["get", "key"]).await, ["key", "value"]);
}

#[tokio::test]
async fn watchers_are_counted_while_they_watch() {
    let etcd = Etcd::start().await.unwrap();
    let endpoints = etcd.endpoints();
    let watched = tokio::select! {
        output = control(&endpoints, &["watch", "key"]) => panic!("{output:?}"),
        watched = async {
            while etcd.watchers().await? == 0 {
                tokio::task::yield_now().await;
            }
            etcd.requests().await
        } => watched,
    };
    assert_eq!(watched, Ok(1));
    while etcd.watchers().await != Ok(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_member_is_ready() {
    let options = EtcdOptions { quota_backend_bytes: Some(64 << 10), ..Default::default() };
    let etcd = Etcd::with(options).await.unwrap();
    let long = "x".repeat(10_000);
    let mut refused = None;
    for _ in 0..100 {
        let output = control(&etcd.endpoints(), &["put", "key", &long]).await;
        if !output.status.success() {
            refused = Some(String::from_utf8(output.stderr).unwrap());
            break;
        }
    }
    assert!(refused.unwrap().contains("database space exceeded"));
    etcd.restart().await.unwrap();
}

#[tokio::test]
async fn another_member_leads_when_the_leader_is_paused_or_killed() {
    let etcd = cluster(false).await;
    let first = etcd.leader().await.unwrap();
    etcd.members()[first].pause().unwrap();
    let second = etcd.leader().await.unwrap();
    assert_ne!(first, second);
    etcd.members()[first].resume().unwrap();
    etcd.ready().await.unwrap();

    let second = etcd.leader().await.unwrap();
    etcd.members()[second].kill();
    let third = etcd.leader().await.unwrap();
    assert_ne!(second, third);
    ask(&etcd.endpoints(), &["put", "key", "value"]).await;
    etcd.members()[second].start().await.unwrap();
    let endpoint = [etcd.members()[second].endpoint()];
    assert_eq!(ask(&endpoint, &["get", "key"]).await, ["key", "value"]);
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_members_is_replaced_and_follows_when_it_is_back() {
    let etcd = cluster(true).await;
    let first = etcd.leader().await.unwrap();
    let endpoint = [etcd.members()[first].endpoint()];
    ask(&endpoint, &["put", "key", "before"]).await;
    etcd.isolate(first, Fault::Blackhole).unwrap();
    let second = etcd.next_leader(first).await.unwrap();
    ask(&[etcd.members()[second].endpoint()], &["put", "key", "meanwhile"]).await;
    // Clients reach the one that is cut off; it has what it had, and cannot say that it is the newest.
    assert_eq!(ask(&endpoint, &["get", "--consistency=s", "key"]).await, ["key", "before"]);
    assert!(!control(&endpoint, &["--command-timeout=200ms", "get", "key"]).await.status.success());
    etcd.heal();
    etcd.ready().await.unwrap();
    assert_eq!(ask(&endpoint, &["get", "key"]).await, ["key", "meanwhile"]);
}

#[tokio::test]
async fn one_link_is_cut_and_the_others_pass() {
    let etcd = cluster(true).await;
    let leader = etcd.leader().await.unwrap();
    let [near, far] = [(leader + 1) % 3, (leader + 2) % 3];
    etcd.separate(near, far, Fault::Blackhole).unwrap();
    ask(&etcd.endpoints(), &["put", "key", "value"]).await;
    assert_eq!(etcd.leader().await, Ok(leader));
    for member in [near, far] {
        assert_eq!(ask(&[etcd.members()[member].endpoint()], &["get", "key"]).await, ["key", "value"]);
    }
    assert!(etcd.link(near, near).is_none() && etcd.separate(near, 3, Fault::Pass).is_err());
}

#[tokio::test]
async fn a_client_proxy_stands_between_clients_and_a_member() {
    let etcd = Etcd::with(EtcdOptions { proxied: true, ..Default::default() }).await.unwrap();
    let proxy = etcd.members()[0].client_proxy().unwrap();
    assert_eq!(etcd.endpoints(), [format!("http://{}", proxy.address())]);
    let put = ["--command-timeout=300ms", "put", "key", "value"];
    for fault in [Fault::Refuse, Fault::OneWay(Direction::ToClient)] {
        proxy.set(fault);
        assert!(!control(&etcd.endpoints(), &put).await.status.success());
        etcd.ready().await.unwrap();
    }
    etcd.heal();
    ask(&etcd.endpoints(), &["put", "key", "value"]).await;
}

#[tokio::test]
async fn a_member_that_does_not_start_says_why() {
    let arguments = vec!["--heartbeat-interval=0".to_owned()];
    let error = Etcd::with(EtcdOptions { arguments, ..Default::default() }).await.unwrap_err();
    assert!(error.contains("has ended") && error.contains("heartbeat-interval"), "{error}");
}

/// A harness waits for servers on any thread.
#[test]
fn what_waits_for_servers_may_change_threads() {
    fn sends<T: Send>(_: impl FnOnce() -> T) {}
    fn any<T>() -> T {
        unreachable!("it is only compiled")
    }
    sends(Etcd::start);
    sends(|| any::<&'static Etcd>().restart());
    sends(|| any::<&'static Etcd>().requests());
    sends(|| any::<&'static Etcd>().next_leader(0));
    sends(|| any::<&'static Member>().start());
}
