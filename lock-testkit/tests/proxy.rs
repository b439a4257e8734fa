//! Each fault of the proxy, with a server that answers with what it hears.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::disallowed_methods, reason = "sockets take real time")]

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use lock_testkit::{
    port::Port,
    proxy::{Direction, Fault, Proxy},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// For what must happen.
const LONG: Duration = Duration::from_secs(30);
/// For what must not.
const SHORT: Duration = Duration::from_millis(50);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(LONG, future).await.expect("nothing happens")
}

/// A server on whose connections whatever comes goes back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// A connection through the proxy, both of whose ends the test holds: the client's and the server's.
async fn pair(proxy: &Proxy, server: &TcpListener) -> (TcpStream, TcpStream) {
    let client = soon(TcpStream::connect(proxy.address())).await.unwrap();
    (client, soon(server.accept()).await.unwrap().0)
}

async fn listening() -> (TcpListener, Proxy) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::start(server.local_addr().unwrap()).await.unwrap();
    (server, proxy)
}

async fn hear(stream: &mut TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    soon(stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, expected);
}

async fn say_and_hear(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    hear(stream, text).await;
}

async fn silent(stream: &mut TcpStream) {
    let heard = timeout(SHORT, stream.read_u8()).await;
    assert!(heard.is_err(), "{heard:?}");
}

async fn is_reset(stream: &mut TcpStream) {
    assert_eq!(soon(stream.read_u8()).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn pass_carries_bytes_and_ends_both_ways() {
    let (server, proxy) = listening().await;
    let (mut client, mut served) = pair(&proxy, &server).await;
    assert_eq!((proxy.connections(), proxy.fault()), (1, Fault::Pass));
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    hear(&mut served, b"question").await;
    assert_eq!(soon(served.read(&mut [0])).await.unwrap(), 0);
    // One side has ended; the other one still speaks, and is heard after it is gone and the proxy is through.
    let answer = vec![7; 512 << 10];
    soon(served.write_all(&answer)).await.unwrap();
    drop(served);
    soon(proxy.connected(0)).await;
    hear(&mut client, &answer).await;
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn pass_carries_more_than_fits_into_memory_at_once() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut from, mut to) = client.split();
    let sent: Vec<u8> = (0..32_u32 << 20).map(|i| (i % 251) as u8).collect();
    let mut heard = vec![0; sent.len()];
    let (written, read) =
        soon(async { tokio::join!(to.write_all(&sent), from.read_exact(&mut heard)) }).await;
    written.and(read).unwrap();
    assert!(sent == heard);
}

#[tokio::test]
async fn a_reset_of_either_side_is_one_to_the_other() {
    let (server, proxy) = listening().await;
    let (client, mut served) = pair(&proxy, &server).await;
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop(client);
    is_reset(&mut served).await;
    soon(proxy.connected(0)).await;
}

#[tokio::test]
async fn a_target_that_does_not_listen_is_a_reset() {
    let port = Port::reserve().unwrap();
    let proxy = Proxy::start(port.address()).await.unwrap();
    is_reset(&mut TcpStream::connect(proxy.address()).await.unwrap()).await;
}

#[tokio::test]
async fn blackhole_holds_what_is_said_until_it_ends() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut old = TcpStream::connect(proxy.address()).await.unwrap();
    say_and_hear(&mut old, b"before").await;
    proxy.set(Fault::Blackhole);
    old.write_all(b"one, ").await.unwrap();
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    soon(proxy.connected(2)).await;
    new.write_all(b"three").await.unwrap();
    silent(&mut old).await;
    silent(&mut new).await;
    old.write_all(b"two").await.unwrap();
    proxy.set(Fault::Pass);
    hear(&mut old, b"one, two").await;
    hear(&mut new, b"three").await;
}

#[tokio::test]
async fn blackhole_holds_the_end_of_a_connection_too() {
    let (server, proxy) = listening().await;
    let (mut client, mut served) = pair(&proxy, &server).await;
    proxy.set(Fault::Blackhole);
    client.write_all(b"last words").await.unwrap();
    drop(client);
    silent(&mut served).await;
    assert_eq!(proxy.connections(), 1);
    proxy.set(Fault::Pass);
    hear(&mut served, b"last words").await;
    assert_eq!(soon(served.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn one_way_holds_one_direction() {
    for held in [Direction::ToServer, Direction::ToClient] {
        let (server, proxy) = listening().await;
        let (mut client, mut served) = pair(&proxy, &server).await;
        let (deaf, heard) = match held {
            Direction::ToServer => (&mut served, &mut client),
            Direction::ToClient => (&mut client, &mut served),
        };
        proxy.set(Fault::OneWay(held));
        heard.write_all(b"held").await.unwrap();
        deaf.write_all(b"passes").await.unwrap();
        hear(heard, b"passes").await;
        silent(deaf).await;
        proxy.set(Fault::Pass);
        hear(deaf, b"held").await;
    }
}

#[tokio::test]
async fn reset_resets_open_and_new_connections() {
    let (server, proxy) = listening().await;
    let (mut client, mut served) = pair(&proxy, &server).await;
    proxy.set(Fault::Reset);
    is_reset(&mut client).await;
    is_reset(&mut served).await;
    // The reset may come before connect has returned.
    match soon(TcpStream::connect(proxy.address())).await {
        Ok(mut new) => is_reset(&mut new).await,
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
    proxy.set(Fault::Pass);
    drop(pair(&proxy, &server).await);
}

#[tokio::test]
async fn a_reset_that_is_over_at_once_resets_nevertheless() {
    let (server, proxy) = listening().await;
    for fault in [Fault::Reset, Fault::Refuse] {
        let (mut client, mut served) = pair(&proxy, &server).await;
        client.write_all(b"question").await.unwrap();
        hear(&mut served, b"question").await;
        proxy.set(fault);
        proxy.set(Fault::Pass);
        is_reset(&mut client).await;
        is_reset(&mut served).await;
    }
}

#[tokio::test]
async fn refuse_refuses_until_the_same_port_listens_again() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    for again in [Fault::Pass, Fault::Delay(Duration::ZERO)] {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        say_and_hear(&mut client, b"before").await;
        proxy.set(Fault::Refuse);
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        is_reset(&mut client).await;
        soon(proxy.connected(0)).await;
        proxy.set(again);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        say_and_hear(&mut client, b"after").await;
    }
}

#[tokio::test]
async fn delay_delivers_later_and_in_order() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    say_and_hear(&mut client, b"open").await;
    proxy.set(Fault::Delay(Duration::from_millis(60)));
    let start = Instant::now();
    client.write_all(b"one, ").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.write_all(b"two").await.unwrap();
    hear(&mut client, b"one, ").await;
    // There and back.
    assert!(start.elapsed() >= Duration::from_millis(120));
    hear(&mut client, b"two").await;
    assert!(start.elapsed() >= Duration::from_millis(140));
    // What is still on its way arrives when the link is fast again.
    proxy.set(Fault::Delay(Duration::from_hours(1)));
    client.write_all(b"three").await.unwrap();
    silent(&mut client).await;
    proxy.set(Fault::Pass);
    hear(&mut client, b"three").await;
}

#[tokio::test]
async fn cut_after_loses_exactly_the_rest_of_an_answer_and_passes_then() {
    let (server, proxy) = listening().await;
    for most in [0, 4] {
        let (mut client, mut served) = pair(&proxy, &server).await;
        proxy.set(Fault::CutAfter(most));
        client.write_all(b"question").await.unwrap();
        hear(&mut served, b"question").await;
        served.write_all(b"answer").await.unwrap();
        let mut heard = Vec::new();
        let cut = soon(client.read_to_end(&mut heard)).await.unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(heard, b"answer"[..usize::try_from(most).unwrap()]);
        is_reset(&mut served).await;
        assert_eq!(proxy.fault(), Fault::Pass);
        let (mut client, mut served) = pair(&proxy, &server).await;
        served.write_all(b"a long answer").await.unwrap();
        hear(&mut client, b"a long answer").await;
    }
    let (mut client, mut served) = pair(&proxy, &server).await;
    proxy.set(Fault::CutAfter(100));
    served.write_all(b"answer").await.unwrap();
    hear(&mut client, b"answer").await;
    assert_eq!(proxy.fault(), Fault::CutAfter(94));
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() {
    let (server, proxy) = listening().await;
    let address = proxy.address();
    let (mut client, mut served) = pair(&proxy, &server).await;
    drop(proxy);
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    is_reset(&mut client).await;
    is_reset(&mut served).await;
}
