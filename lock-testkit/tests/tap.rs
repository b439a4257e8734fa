//! What passes between clients and a ZooKeeper is counted, and the very reply is lost that a test wants lost.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{future::Future, time::Duration};

use lock_testkit::server::zookeeper::{Server, Tap, ZooKeeper, ZooKeeperOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use zookeeper_client::{Acls, Client, CreateMode, Error};

/// For what must happen.
const LONG: Duration = Duration::from_secs(30);

#[allow(clippy::disallowed_methods, reason = "servers take real time")]
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.expect("nothing happens")
}

/// A session through the tap, and the server.
async fn tapped() -> (ZooKeeper, Client) {
    let options = ZooKeeperOptions { proxied: true, ..Default::default() };
    let zookeeper = ZooKeeper::with(options).await.unwrap();
    // Only a reset can end a connection so soon.
    let connector = Client::connector().with_session_timeout(LONG).with_connection_timeout(LONG);
    let client = soon(connector.connect(&zookeeper.endpoints().join(","))).await.unwrap();
    (zookeeper, client)
}

fn tap(zookeeper: &ZooKeeper) -> &Tap {
    zookeeper.servers().first().and_then(Server::tap).unwrap()
}

async fn create(client: &Client, path: &str, mode: CreateMode) -> Result<(), Error> {
    let options = mode.with_acls(Acls::anyone_all());
    soon(client.create(path, b"", &options)).await.map(drop)
}

/// A multi with nothing but one check.
async fn beat(client: &Client) {
    let mut multi = client.new_multi_writer();
    multi.add_check_version("/", -1).unwrap();
    soon(multi.commit()).await.unwrap();
}

/// Whether a connection ended before the reply came. One that was reset gives the system's own error.
fn is_lost<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::ConnectionLoss | Error::Custom(_)))
}

/// Waits until the session has a connection again.
async fn connected(client: &Client) {
    soon(async {
        while is_lost(&client.check_stat("/").await) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_and_renewals_are_not() {
    let (zookeeper, client) = tapped().await;
    assert_eq!(zookeeper.requests(), Ok(0));
    create(&client, "/one", CreateMode::Persistent).await.unwrap();
    beat(&client).await;
    let (_, _, watcher) = soon(client.get_and_watch_data("/one")).await.unwrap();
    // A multi with more than one check is no renewal.
    let mut multi = client.new_multi_writer();
    multi.add_check_version("/one", -1).unwrap();
    multi.add_check_version("/one", -1).unwrap();
    soon(multi.commit()).await.unwrap();
    soon(client.sync("/")).await.unwrap();
    assert_eq!(zookeeper.requests(), Ok(4));

    // A new connection brings the session back and its watches, which counts as nothing. The event counts
    // neither: nobody asked for it.
    zookeeper.restart().await.unwrap();
    connected(&client).await;
    soon(client.set_data("/one", b"new", None)).await.unwrap();
    let before = zookeeper.requests().unwrap();
    soon(watcher.changed()).await;
    beat(&client).await;
    assert_eq!(zookeeper.requests(), Ok(before));

    // What goes past the proxies is not counted.
    let direct = soon(Client::connect(&zookeeper.servers()[0].direct_endpoint())).await.unwrap();
    create(&direct, "/two", CreateMode::Persistent).await.unwrap();
    assert_eq!(zookeeper.requests(), Ok(before));
    assert!(ZooKeeper::start().await.unwrap().requests().is_err());
}

#[tokio::test]
async fn the_longest_packet_is_measured() {
    let (zookeeper, client) = tapped().await;
    let tap = tap(&zookeeper);
    create(&client, "/one", CreateMode::Persistent).await.unwrap();
    tap.take_longest();
    let data = [7; 3000];
    soon(client.set_data("/one", &data, None)).await.unwrap();
    let request = tap.take_longest();
    assert!((data.len()..data.len() + 100).contains(&request), "{request} bytes");
    soon(client.check_stat("/one")).await.unwrap();
    let short = tap.take_longest();
    assert!((1..200).contains(&short), "{short} bytes");
    soon(client.get_data("/one")).await.unwrap();
    let reply = tap.take_longest();
    assert!((data.len()..data.len() + 200).contains(&reply), "{reply} bytes");
    assert_eq!(tap.take_longest(), 0);
}

#[tokio::test]
async fn the_reply_of_the_very_create_is_lost_that_is_to_be_lost() {
    let (zookeeper, client) = tapped().await;
    let tap = tap(&zookeeper);
    create(&client, "/first", CreateMode::Persistent).await.unwrap();
    tap.lose_reply_of_create(3);
    create(&client, "/second", CreateMode::Container).await.unwrap();
    // Neither counts: the one creates nothing, the other is no create.
    assert_eq!(create(&client, "/second", CreateMode::Container).await, Err(Error::NodeExists));
    soon(client.get_data("/second")).await.unwrap();
    create(&client, "/second/n-", CreateMode::EphemeralSequential).await.unwrap();
    assert_eq!(tap.lost(), 0);

    let lost = create(&client, "/second/n-", CreateMode::EphemeralSequential).await;
    assert!(is_lost(&lost), "{lost:?}");
    assert_eq!(tap.lost(), 1);
    // It took effect, in a session that goes on.
    let third = "/second/n-0000000001";
    connected(&client).await;
    let stat = soon(client.check_stat(third)).await.unwrap().unwrap();
    assert_eq!(stat.ephemeral_owner, client.session_id().0);
    create(&client, "/third", CreateMode::Persistent).await.unwrap();
    assert_eq!(tap.lost(), 1);
}

#[tokio::test]
async fn a_reply_is_lost_after_so_many_others_and_every_time_again() {
    let (zookeeper, client) = tapped().await;
    let tap = tap(&zookeeper);
    for round in 0..20 {
        connected(&client).await;
        tap.lose_reply(2);
        for _ in 0..2 {
            soon(client.check_stat("/")).await.unwrap();
            beat(&client).await;
        }
        assert!(is_lost(&soon(client.check_stat("/")).await));
        soon(tap.has_lost(round + 1)).await;
        assert_eq!(tap.lost(), round + 1);
    }
    connected(&client).await;
    tap.lose_reply(0);
    tap.lose_nothing();
    soon(client.check_stat("/")).await.unwrap();
    assert_eq!(tap.lost(), 20);
}

#[tokio::test]
async fn only_the_connection_is_reset_whose_reply_is_lost() {
    let (zookeeper, client) = tapped().await;
    let other = soon(Client::connect(&zookeeper.endpoints().join(","))).await.unwrap();
    let proxy = zookeeper.servers()[0].client_proxy().unwrap();
    assert_eq!(proxy.connections(), 2);
    let (_, watcher) = soon(other.check_and_watch_stat("/lost")).await.unwrap();
    tap(&zookeeper).lose_reply_of_create(1);
    assert!(is_lost(&create(&client, "/lost", CreateMode::Persistent).await));
    soon(watcher.changed()).await;
    soon(other.check_stat("/lost")).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_tap_resets_who_speaks_otherwise_and_whom_it_cannot_lead_on() {
    let zookeeper = ZooKeeper::start().await.unwrap();
    let server: std::net::SocketAddr = zookeeper.endpoints()[0].parse().unwrap();
    let tap = Tap::start(server).await.unwrap();
    let mut stream = TcpStream::connect(tap.address()).await.unwrap();
    stream.write_all(b"ruok").await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err());
    zookeeper.stop();
    let mut stream = TcpStream::connect(tap.address()).await.unwrap();
    assert!(soon(stream.read_u8()).await.is_err());
    let mut stream = TcpStream::connect(tap.address()).await.unwrap();
    let address = tap.address();
    drop(tap);
    assert!(soon(stream.read_u8()).await.is_err());
    soon(async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
