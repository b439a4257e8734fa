//! A build without TLS.

use std::io;

use async_net::TcpStream;
use lock_core::Result;
use lock_tls::Tls;
use zookeeper_client::Connector;

/// There is none.
pub(crate) enum Secure {}

impl Secure {
    pub(crate) fn read<'a>(_tls: &Tls, _hosts: impl Iterator<Item = &'a str>) -> Result<Self> {
        Err(lock_tls::left_out("ZooKeeper", "zookeeper-tls", "lock-zk"))
    }

    pub(crate) fn refresh(&self) {
        match *self {}
    }

    pub(crate) fn apply(&self, _connector: Connector) -> Connector {
        match *self {}
    }

    pub(crate) async fn shake_hands(&self, _host: &str, _stream: TcpStream) -> io::Result<TcpStream> {
        match *self {}
    }
}
