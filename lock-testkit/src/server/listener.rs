//! A loopback port where somebody is at home.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use lock_core::runtime::{Runtime, TokioRuntime};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Listens on a free port, and ends with all its connections when it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    /// Ends everything when it is dropped.
    _open: watch::Sender<()>,
}

impl Listener {
    /// Serves each connection with what `serve` makes of it.
    pub(super) async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let runtime = TokioRuntime::current().map_err(io::Error::other)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (open, closed) = watch::channel(());
        let spawner = runtime.clone();
        let accept = async move {
            while let Some(accepted) = unless_closed(&closed, listener.accept()).await {
                let Ok((client, _)) = accepted else { continue };
                let (closed, served) = (closed.clone(), serve(client));
                spawner.spawn(Box::pin(async move {
                    unless_closed(&closed, served).await;
                }));
            }
        };
        runtime.spawn(Box::pin(accept));
        Ok(Self { address, _open: open })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What `future` gives; none when the listener is dropped before.
async fn unless_closed<T>(closed: &watch::Receiver<()>, future: impl Future<Output = T>) -> Option<T> {
    let mut closed = closed.clone();
    tokio::select! {
        _ = closed.changed() => None,
        value = future => Some(value),
    }
}
