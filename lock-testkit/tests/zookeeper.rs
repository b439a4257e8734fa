//! Real ZooKeepers start, serve, break as they are told to, and leave nothing behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use lock_testkit::{
    proxy::Fault,
    server::zookeeper::{Mode, ZooKeeper, ZooKeeperOptions},
};
use zookeeper_client::{Acls, Client, CreateMode};

/// For what must happen.
const LONG: Duration = Duration::from_secs(30);

async fn client(endpoints: &[String]) -> Client {
    let connector = Client::connector().with_session_timeout(LONG).with_connection_timeout(LONG);
    connector.connect(&endpoints.join(",")).await.unwrap()
}

async fn create(client: &Client, path: &str, data: &str) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    client.create(path, data.as_bytes(), &options).await.unwrap();
}

#[tokio::test]
async fn one_server_serves_and_keeps_its_data_when_it_is_killed() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let endpoints = zookeeper.endpoints();
    let server = &zookeeper.servers()[0];
    assert_eq!((server.mode().await, zookeeper.leader().await), (Ok(Some(Mode::Standalone)), Ok(0)));
    create(&client(&endpoints).await, "/key", "value").await;
    server.kill();
    assert!(server.mode().await.is_err() && server.pause().is_err());
    server.start().await.unwrap();
    assert_eq!(zookeeper.endpoints(), endpoints);
    let (data, _) = client(&endpoints).await.get_data("/key").await.unwrap();
    assert_eq!(data, b"value");
}

async fn ensemble(proxied: bool) -> ZooKeeper {
    ZooKeeper::with(ZooKeeperOptions { servers: 3, proxied, ..Default::default() }).await.unwrap()
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

    let second = zookeeper.leader().await.unwrap();
    zookeeper.servers()[second].kill();
    let third = zookeeper.leader().await.unwrap();
    assert_ne!(second, third);
    create(&client(&zookeeper.endpoints()).await, "/key", "value").await;
    let server = &zookeeper.servers()[second];
    server.start().await.unwrap();
    assert_eq!(server.mode().await, Ok(Some(Mode::Follower)));
    let client = client(&[server.endpoint()]).await;
    client.sync("/").await.unwrap();
    assert_eq!(client.get_data("/key").await.unwrap().0, b"value");
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_the_others_is_replaced_and_follows_when_it_is_back() {
    let zookeeper = ensemble(true).await;
    let first = zookeeper.leader().await.unwrap();
    zookeeper.isolate(first, Fault::Blackhole).unwrap();
    let second = zookeeper.next_leader(first).await.unwrap();
    create(&client(&[zookeeper.servers()[second].endpoint()]).await, "/key", "meanwhile").await;
    zookeeper.heal();
    zookeeper.ready().await.unwrap();
    let client = client(&[zookeeper.servers()[first].endpoint()]).await;
    client.sync("/").await.unwrap();
    assert_eq!(client.get_data("/key").await.unwrap().0, b"meanwhile");
}
