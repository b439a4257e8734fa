//! Loopback ports that nobody else gets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::TcpSocket;

/// A free TCP port of 127.0.0.1, kept until this is dropped.
///
/// On Linux a bound socket that does not listen keeps the port: connections are refused, the system gives the
/// number to nobody, and who knows it may listen there as long as it sets `SO_REUSEADDR`, as servers do.
/// Elsewhere the port is free again at once, and somebody else may get it.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _keeper: Option<TcpSocket>,
}

impl Port {
    /// Finds a free port and keeps it.
    ///
    /// # Errors
    ///
    /// When there is no free port or no socket to be had.
    pub fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Ok(Self { address: socket.local_addr()?, _keeper: cfg!(target_os = "linux").then_some(socket) })
    }

    /// The port's number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.address.port()
    }

    /// The port with its host, 127.0.0.1.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_port_refuses_connections_until_somebody_listens_there() {
        let port = Port::reserve().unwrap();
        let refused = std::net::TcpStream::connect(port.address()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        for _ in 0..2 {
            let listener = std::net::TcpListener::bind(port.address()).unwrap();
            std::net::TcpStream::connect(port.address()).unwrap();
            drop(listener);
        }
    }
}
