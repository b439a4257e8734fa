//! A client that keeps its connection whatever happens, and judges by simple rules how long its session
//! lives.
//!
//! The library's client connects anew when it has stood still for long, and the leader hears of that. Not
//! every client does, and nothing in the rules may rest on it: so this one speaks ZooKeeper's protocol by
//! itself.

use std::{io, time::Duration};

use lock_core::Moment;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::now;

const CREATE: i32 = 1;
const PING: i32 = 11;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const EPHEMERAL: i32 = 1;
const ALL_RIGHTS: i32 = 31;

/// Somebody at a server who has a node.
pub(crate) struct Plain {
    connection: TcpStream,
    /// When the last ping that was answered was sent.
    pub(crate) ping: Moment,
    /// When the last write that was answered was sent.
    pub(crate) beat: Moment,
}

impl Plain {
    pub(crate) async fn start(server: &str, timeout: Duration, node: &str) -> io::Result<Self> {
        let mut plain = Self { connection: TcpStream::connect(server).await?, ping: now(), beat: now() };
        let timeout = i32::try_from(timeout.as_millis()).unwrap();
        plain.send(&[&[0; 12], &number(timeout), &[0; 8], &number(16), &[0; 16], &[0]]).await?;
        let opened = plain.receive().await?;
        assert_eq!(opened[4..8], number(timeout), "the servers grant another timeout");
        let rights = [&number(1)[..], &number(ALL_RIGHTS), &text("world"), &text("anyone")].concat();
        plain.request(1, CREATE, &[&text(node), &number(0), &rights, &number(EPHEMERAL)]).await?;
        Ok(plain)
    }

    /// Its server answers by itself.
    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        let sent = now();
        self.request(-2, PING, &[]).await?;
        self.ping = sent;
        Ok(())
    }

    /// Has the leader carry something out that changes nothing.
    pub(crate) async fn beat(&mut self) -> io::Result<()> {
        let sent = now();
        let header = |operation: i32, last: u8| [&number(operation)[..], &[last], &number(-1)].concat();
        let check = [header(CHECK, 0), text("/"), number(-1).into(), header(-1, 1)].concat();
        self.request(2, MULTI, &[&check]).await?;
        self.beat = sent;
        Ok(())
    }

    async fn request(&mut self, xid: i32, operation: i32, parts: &[&[u8]]) -> io::Result<()> {
        let body = parts.concat();
        self.send(&[&number(xid), &number(operation), &body]).await?;
        let reply = self.receive().await?;
        assert_eq!(reply[..4], number(xid), "a reply to something else");
        // Behind the transaction.
        if reply[12..16] == [0; 4] { Ok(()) } else { Err(io::Error::other("refused")) }
    }

    async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let body = parts.concat();
        let length = number(body.len().try_into().unwrap());
        self.connection.write_all(&[&length[..], &body].concat()).await
    }

    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; self.connection.read_u32().await?.try_into().unwrap()];
        self.connection.read_exact(&mut frame).await?;
        Ok(frame)
    }
}

const fn number(number: i32) -> [u8; 4] {
    number.to_be_bytes()
}

fn text(text: &str) -> Vec<u8> {
    [&number(text.len().try_into().unwrap())[..], text.as_bytes()].concat()
}
