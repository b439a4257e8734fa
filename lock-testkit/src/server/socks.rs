//! A way out of a server that depends on where it goes.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::listener::Listener;
use crate::proxy::{Entrance, Greeting};

/// A SOCKS5 proxy that knows a route for some addresses, which need not exist, and refuses all others.
///
/// All members of a cluster must name a member by the same address. With one of these for each member, the
/// same address still leads each of them through a link of its own.
///
/// Who connects over one learns whether somebody listens, as without: a ZooKeeper that follows a new leader
/// tries again when that one does not listen yet, but votes again when its connection is reset.
#[derive(Debug)]
pub(super) struct Routes {
    listener: Listener,
}

impl Routes {
    pub(super) async fn start(routes: BTreeMap<SocketAddr, Entrance>) -> io::Result<Self> {
        let routes = Arc::new(routes);
        let lead = move |client| {
            let routes = Arc::clone(&routes);
            async move {
                let _ = lead(&routes, client).await;
            }
        };
        Ok(Self { listener: Listener::start(lead).await? })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const CONNECTED: [u8; 10] = [VERSION, 0, 0, IPV4, 0, 0, 0, 0, 0, 0];
const REFUSED: [u8; 10] = [VERSION, 5, 0, IPV4, 0, 0, 0, 0, 0, 0];

/// Serves one client (RFC 1928).
async fn lead(routes: &BTreeMap<SocketAddr, Entrance>, mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let [_version, methods] = read(&mut client).await?;
    client.read_exact(&mut vec![0; methods.into()]).await?;
    client.write_all(&[VERSION, NO_AUTHENTICATION]).await?;

    let [_version, command, _reserved, kind] = read(&mut client).await?;
    if (command, kind) != (CONNECT, IPV4) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let host = Ipv4Addr::from(read::<4>(&mut client).await?);
    let port = u16::from_be_bytes(read(&mut client).await?);
    match routes.get(&(host, port).into()) {
        Some(route) => route.serve(client, Greeting { connected: &CONNECTED, refused: &REFUSED }).await,
        None => client.write_all(&REFUSED).await?,
    }
    Ok(())
}

async fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::{
        port::Port,
        proxy::{Fault, Proxy},
    };

    /// A client that asks for the way to an address, and what it hears.
    async fn ask(routes: &Routes, to: SocketAddr) -> (TcpStream, io::Result<[u8; 10]>) {
        let mut client = TcpStream::connect(routes.address()).await.unwrap();
        client.write_all(&[VERSION, 2, NO_AUTHENTICATION, 2]).await.unwrap();
        assert_eq!(read(&mut client).await.unwrap(), [VERSION, NO_AUTHENTICATION]);
        let SocketAddr::V4(to) = to else { panic!("{to}") };
        let [host, port] = [&to.ip().octets()[..], &to.port().to_be_bytes()];
        client.write_all(&[&[VERSION, CONNECT, 0, IPV4], host, port].concat()).await.unwrap();
        let answer = read(&mut client).await;
        (client, answer)
    }

    #[tokio::test]
    async fn a_client_learns_whether_it_reaches_the_server_and_goes_through_the_link() {
        let known = (Ipv4Addr::new(192, 0, 2, 1), 80).into();
        let port = Port::reserve().unwrap();
        let link = Proxy::start(port.address()).await.unwrap();
        let routes = Routes::start([(known, link.entrance())].into()).await.unwrap();

        let (mut client, answer) = ask(&routes, known).await;
        assert_eq!(answer.unwrap(), REFUSED);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        // There is no way to an address by itself.
        assert_eq!(ask(&routes, port.address()).await.1.unwrap(), REFUSED);

        let server = TcpListener::from_std({
            let server = std::net::TcpListener::bind(port.address()).unwrap();
            server.set_nonblocking(true).unwrap();
            server
        })
        .unwrap();
        let (mut client, answer) = ask(&routes, known).await;
        assert_eq!(answer.unwrap(), CONNECTED);
        let (mut served, _) = server.accept().await.unwrap();
        client.write_all(b"question").await.unwrap();
        assert_eq!(read(&mut served).await.unwrap(), *b"question");
        served.write_all(b"answer").await.unwrap();
        assert_eq!(read(&mut client).await.unwrap(), *b"answer");
        assert_eq!(link.connections(), 1);
        link.set(Fault::Reset);
        assert_eq!(client.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(ask(&routes, known).await.1.is_err());
    }
}
