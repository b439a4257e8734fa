//! Real ZooKeepers start, serve, break as they are told to, and leave nothing behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{future::Future, time::Duration};

use lock_testkit::{
    proxy::Fault,
    server::zookeeper::{Mode, Server, ZooKeeper, ZooKeeperOptions},
};
use zookeeper_client::{Acls, Client, CreateMode, EventType};

/// For what must happen.
const LONG: Duration = Duration::from_secs(30);

#[allow(clippy::disallowed_methods, reason = "servers take real time")]
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("nothing happens")
}

async fn ensemble(proxied: bool) -> ZooKeeper {
    ZooKeeper::with(ZooKeeperOptions { servers: 3, proxied, ..Default::default() }).await.unwrap()
}

async fn client(server: &Server) -> Client {
    let connector = Client::connector().with_session_timeout(LONG).with_connection_timeout(LONG);
    soon(connector.connect(&server.endpoint())).await.unwrap()
}

async fn create(client: &Client, path: &str, data: &str, mode: CreateMode) {
    let options = mode.with_acls(Acls::anyone_all());
    soon(client.create(path, data.as_bytes(), &options)).await.unwrap();
}

async fn put(server: &Server, path: &str, data: &str) {
    create(&client(server).await, path, data, CreateMode::Persistent).await;
}

/// What a server knows, which need not be the newest.
async fn get(client: &Client, path: &str) -> String {
    String::from_utf8(soon(client.get_data(path)).await.unwrap().0).unwrap()
}

/// What a server knows once it has all that its leader knew when it was asked.
async fn get_newest(server: &Server, path: &str) -> String {
    let client = client(server).await;
    soon(client.sync("/")).await.unwrap();
    get(&client, path).await
}

#[tokio::test]
async fn one_server_serves_and_keeps_its_data_when_it_is_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let endpoints = zookeeper.endpoints();
    let server = &zookeeper.servers()[0];
    assert_eq!((server.mode().await, zookeeper.leader().await), (Ok(Some(Mode::Standalone)), Ok(0)));
    put(server, "/key", "value").await;
    server.kill();
    assert!(server.mode().await.is_err() && server.pause().is_err());
    server.start().await.unwrap();
    assert_eq!(get_newest(server, "/key").await, "value");
    zookeeper.restart().await.unwrap();
    assert_eq!(zookeeper.endpoints(), endpoints);
    assert_eq!(get_newest(server, "/key").await, "value");
}

#[tokio::test]
async fn sessions_last_as_long_as_they_ask_for_and_empty_containers_do_not() {
    let container_check = Duration::from_millis(50);
    let zookeeper =
        ZooKeeper::with(ZooKeeperOptions { container_check, ..Default::default() }).await.unwrap();
    let server = &zookeeper.servers()[0];
    for wanted in [Duration::from_millis(200), Duration::from_secs(60)] {
        let client = soon(async {
            // A server that is cold may be too slow for the shortest.
            loop {
                let connector = Client::connector().with_session_timeout(wanted);
                if let Ok(client) = connector.connect(&server.endpoint()).await {
                    return client;
                }
            }
        })
        .await;
        assert_eq!(client.session_timeout(), wanted);
    }
    let client = client(server).await;
    create(&client, "/container", "", CreateMode::Container).await;
    create(&client, "/container/child", "", CreateMode::Persistent).await;
    let (_, watcher) = soon(client.check_and_watch_stat("/container")).await.unwrap();
    soon(client.delete("/container/child", None)).await.unwrap();
    assert_eq!(soon(watcher.changed()).await.event_type, EventType::NodeDeleted);
}

#[tokio::test]
async fn another_server_leads_when_the_leader_is_paused_or_killed() {
    let zookeeper = ensemble(false).await;
    let first = zookeeper.leader().await.unwrap();
    zookeeper.servers()[first].pause().unwrap();
    let second = zookeeper.leader().await.unwrap();
    assert_ne!(first, second);
    zookeeper.servers()[first].resume().unwrap();
    zookeeper.ready().await.unwrap();

    let second = zookeeper.next_leader(first).await.unwrap();
    zookeeper.servers()[second].kill();
    let third = zookeeper.leader().await.unwrap();
    assert_ne!(second, third);
    put(&zookeeper.servers()[third], "/key", "value").await;
    let server = &zookeeper.servers()[second];
    server.start().await.unwrap();
    assert_eq!(server.mode().await, Ok(Some(Mode::Follower)));
    assert_eq!(get_newest(server, "/key").await, "value");
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_others_is_replaced_and_follows_when_it_is_back() {
    let options = ZooKeeperOptions { servers: 3, proxied: true, read_only: true, ..Default::default() };
    let zookeeper = ZooKeeper::with(options).await.unwrap();
    let first = zookeeper.leader().await.unwrap();
    let server = &zookeeper.servers()[first];
    zookeeper.isolate(first, Fault::Blackhole).unwrap();
    let second = zookeeper.next_leader(first).await.unwrap();
    put(&zookeeper.servers()[second], "/key", "meanwhile").await;
    soon(async {
        while server.mode().await != Ok(Some(Mode::ReadOnly)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    zookeeper.heal();
    zookeeper.ready().await.unwrap();
    assert_eq!(get_newest(server, "/key").await, "meanwhile");
}

#[tokio::test]
async fn a_follower_that_is_cut_off_from_its_leader_answers_with_what_it_has_while_nobody_misses_it() {
    // A minute.
    let sync_limit = 600;
    let options = ZooKeeperOptions { servers: 3, proxied: true, sync_limit, ..Default::default() };
    let zookeeper = ZooKeeper::with(options).await.unwrap();
    let leader = zookeeper.leader().await.unwrap();
    let [cut, other] = [(leader + 1) % 3, (leader + 2) % 3];
    let reader = client(&zookeeper.servers()[cut]).await;
    create(&reader, "/key", "before", CreateMode::Persistent).await;
    zookeeper.separate(cut, leader, Fault::Blackhole).unwrap();
    let writer = client(&zookeeper.servers()[other]).await;
    soon(writer.set_data("/key", b"after", None)).await.unwrap();
    assert_eq!(get(&writer, "/key").await, "after");
    assert_eq!(get(&reader, "/key").await, "before");
    assert_eq!(zookeeper.servers()[cut].mode().await, Ok(Some(Mode::Follower)));
    zookeeper.heal();
    soon(reader.sync("/")).await.unwrap();
    assert_eq!(get(&reader, "/key").await, "after");

    assert!(zookeeper.links(cut, cut).is_none() && zookeeper.separate(cut, 3, Fault::Pass).is_err());
    assert_eq!(zookeeper.links(cut, leader).unwrap().map(|link| link.fault()), [Fault::Pass; 2]);
}

#[tokio::test]
async fn a_follower_that_its_leader_misses_serves_nobody_until_it_is_back() {
    let zookeeper = ensemble(true).await;
    let leader = zookeeper.leader().await.unwrap();
    let cut = (leader + 1) % 3;
    zookeeper.isolate(cut, Fault::Reset).unwrap();
    soon(async {
        while zookeeper.servers()[cut].mode().await != Ok(None) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(zookeeper.leader().await, Ok(leader));
    zookeeper.heal();
    zookeeper.ready().await.unwrap();
}

#[tokio::test]
async fn a_client_proxy_stands_between_clients_and_a_server() {
    let options = ZooKeeperOptions { proxied: true, ..Default::default() };
    let zookeeper = ZooKeeper::with(options).await.unwrap();
    let server = &zookeeper.servers()[0];
    let proxy = server.client_proxy().unwrap();
    assert_eq!(zookeeper.endpoints(), [proxy.address().to_string()]);
    let connector = Client::connector().with_fail_eagerly();
    for fault in [Fault::Refuse, Fault::Reset] {
        proxy.set(fault);
        soon(connector.clone().connect(&server.endpoint())).await.unwrap_err();
        soon(connector.clone().connect(&server.direct_endpoint())).await.unwrap();
        zookeeper.ready().await.unwrap();
    }
    zookeeper.heal();
    soon(connector.connect(&server.endpoint())).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let lines = vec!["tickTime=often".to_owned()];
    let error = ZooKeeper::with(ZooKeeperOptions { lines, ..Default::default() }).await.unwrap_err();
    assert!(error.contains("has ended") && error.contains("often"), "{error}");
    let properties = vec!["zookeeper.serverCnxnFactory=no.such.class".to_owned()];
    let error = ZooKeeper::with(ZooKeeperOptions { properties, ..Default::default() }).await.unwrap_err();
    assert!(error.contains("has ended") && error.contains("no.such.class"), "{error}");
}

#[tokio::test]
async fn nothing_is_left_when_a_test_panics() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let (sender, endpoint) = tokio::sync::oneshot::channel();
    #[allow(clippy::disallowed_methods, reason = "its panic is awaited")]
    let test = tokio::spawn(async move {
        let options = ZooKeeperOptions { folder: Some(root.clone()), ..Default::default() };
        let zookeeper = ZooKeeper::with(options).await.unwrap();
        assert_eq!(root.read_dir().unwrap().count(), 1);
        sender.send(zookeeper.endpoints().concat()).unwrap();
        panic!("as a test does that fails");
    });
    assert!(soon(test).await.unwrap_err().is_panic());
    let refused = tokio::net::TcpStream::connect(endpoint.await.unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// A harness waits for servers on any thread.
#[test]
fn what_waits_for_servers_may_change_threads() {
    fn sends<T: Send>(_: impl FnOnce() -> T) {}
    fn any<T>() -> T {
        unreachable!("it is only compiled")
    }
    sends(ZooKeeper::start);
    sends(|| any::<&'static ZooKeeper>().restart());
    sends(|| any::<&'static ZooKeeper>().next_leader(0));
    sends(|| any::<&'static Server>().start());
}
