//! A way out of a server that depends on where it goes.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lock_core::runtime::{Runtime, TokioRuntime};
use rustix::net::sockopt::set_socket_linger;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A SOCKS5 proxy that knows a route for some addresses, which need not exist, and refuses all others.
///
/// All members of a cluster must name a member by the same address. With one of these for each member, the
/// same address still leads each of them through a link of its own.
#[derive(Debug)]
pub(super) struct Routes {
    address: SocketAddr,
    /// Ends everything when it is dropped.
    _open: watch::Sender<()>,
}

impl Routes {
    pub(super) async fn start(routes: BTreeMap<SocketAddr, SocketAddr>) -> io::Result<Self> {
        let runtime = TokioRuntime::current().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        let routes = Arc::new(routes);
        let task = {
            let runtime = runtime.clone();
            async move {
                while let Some(accepted) = unless_closed(&closed, listener.accept()).await {
                    let Ok((client, _)) = accepted else { continue };
                    let (closed, routes) = (closed.clone(), Arc::clone(&routes));
                    runtime.spawn(Box::pin(async move {
                        unless_closed(&closed, lead(&routes, client)).await;
                    }));
                }
            }
        };
        runtime.spawn(Box::pin(task));
        Ok(Self { address, _open: open })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What `future` gives; none when the proxy is dropped before.
async fn unless_closed<T>(closed: &watch::Receiver<()>, future: impl Future<Output = T>) -> Option<T> {
    let mut closed = closed.clone();
    tokio::select! {
        _ = closed.changed() => None,
        value = future => Some(value),
    }
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const CONNECTED: u8 = 0;
const REFUSED: u8 = 5;

/// Serves one client (RFC 1928).
async fn lead(routes: &BTreeMap<SocketAddr, SocketAddr>, mut client: TcpStream) -> io::Result<()> {
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
    let server = match routes.get(&(host, port).into()) {
        Some(route) => TcpStream::connect(*route).await,
        None => Err(io::ErrorKind::ConnectionRefused.into()),
    };
    let answer = if server.is_ok() { CONNECTED } else { REFUSED };
    client.write_all(&[VERSION, answer, 0, IPV4, 0, 0, 0, 0, 0, 0]).await?;

    let mut server = server?;
    server.set_nodelay(true)?;
    let copied = copy_bidirectional(&mut client, &mut server).await;
    if copied.is_err() {
        // What one side sees as a reset is one to the other.
        set_socket_linger(&client, Some(Duration::ZERO))?;
        set_socket_linger(&server, Some(Duration::ZERO))?;
    }
    copied.map(drop)
}

async fn read<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}
