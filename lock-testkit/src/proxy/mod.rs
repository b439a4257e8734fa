//! A TCP link between clients and a server, which breaks when a test wants it to.

mod connection;

use std::{
    fmt,
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use lock_core::runtime::{SharedRuntime, TokioRuntime};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::watch,
};

pub(crate) use self::connection::{Greeting, reset_when_dropped};
use crate::port::Port;

/// What is wrong with a link.
///
/// A fault applies to the connections that are open and to new ones. What it holds back is delivered, in
/// order, when the next fault lets it through: with [`Pass`](Self::Pass), as after a partition that heals.
/// The end of a connection is held back like its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is wrong.
    Pass,
    /// No byte goes either way. Connections stay open, new ones are accepted and stay silent.
    Blackhole,
    /// No byte goes this way; the other way passes.
    OneWay(Direction),
    /// Open connections are reset, and new ones as soon as they are accepted.
    Reset,
    /// Open connections are reset, and nobody listens: new ones are refused. The port is kept, and the next
    /// fault listens on it again.
    Refuse,
    /// Each byte is delivered this much after it came.
    Delay(Duration),
    /// So many more bytes go towards clients, over all connections. In place of the next one, the connection
    /// that it came on is reset, once; then everything passes.
    CutAfter(u64),
}

/// A way through a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the clients, who connect, to the server.
    ToServer,
    /// From the server to the clients.
    ToClient,
}

/// A link to one server: whoever connects to its address reaches the server, unless there is a fault.
///
/// Dropping it resets what is open and listens no more.
pub struct Proxy {
    shared: Arc<Shared>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({} to {}, {:?})", self.address(), self.shared.target, self.fault())
    }
}

struct Shared {
    target: SocketAddr,
    port: Port,
    runtime: SharedRuntime,
    tokio: Handle,
    /// Bytes are written under its lock, so that none passes once a fault is set.
    state: watch::Sender<State>,
    /// How many connections are open.
    open: watch::Sender<usize>,
    listener: Mutex<Option<TcpListener>>,
}

#[derive(Clone, Copy)]
struct State {
    /// What is wrong; none when the proxy is closed.
    fault: Option<Fault>,
    /// How often all connections have been reset: one that is older than the last time must go, even if it
    /// learns of it when the fault is over.
    resets: u64,
}

impl State {
    /// Whether connections are reset now.
    const fn resets_connections(self) -> bool {
        matches!(self.fault, None | Some(Fault::Reset | Fault::Refuse))
    }
}

impl Proxy {
    /// Listens on a free loopback port for connections to `target`, in the tokio runtime that it is called
    /// in. Whether somebody listens at `target` shows with the first connection, which is reset when nobody
    /// does.
    ///
    /// # Errors
    ///
    /// When it cannot listen, and outside a tokio runtime.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let runtime: SharedRuntime = Arc::new(TokioRuntime::current().map_err(io::Error::other)?);
        let shared = Arc::new(Shared {
            target,
            port: Port::reserve()?,
            runtime: Arc::clone(&runtime),
            tokio: Handle::current(),
            state: watch::Sender::new(State { fault: Some(Fault::Pass), resets: 0 }),
            open: watch::Sender::new(0),
            listener: Mutex::new(None),
        });
        shared.listen_or_not()?;
        runtime.spawn(Box::pin(accept(Arc::clone(&shared))));
        Ok(Self { shared })
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.port.address()
    }

    /// Breaks the link, or heals it. When this returns, no byte passes that the fault stops, and connects are
    /// refused or accepted; open connections are reset soon after.
    pub fn set(&self, fault: Fault) {
        self.shared.apply(Some(fault));
    }

    /// What is wrong now: [`Fault::CutAfter`] says how many bytes are left.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.shared.state.borrow().fault.unwrap_or(Fault::Pass)
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.shared.open.borrow()
    }

    /// Waits until exactly so many connections are open. Cancel-safe.
    pub async fn connected(&self, connections: usize) {
        // It fails when the sender is dropped, which lives in self.
        let _ = self.shared.open.subscribe().wait_for(|open| *open == connections).await;
    }
}

impl Proxy {
    /// A way in for connections that somebody else has accepted.
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(Arc::clone(&self.shared))
    }
}

/// A way into a proxy, for connections that it has not accepted itself.
pub(crate) struct Entrance(Arc<Shared>);

impl Entrance {
    /// Serves a client until its connection ends. Unlike one that comes over the proxy's port, it learns
    /// whether it reaches the server.
    pub(crate) async fn serve(&self, client: TcpStream, greeting: Greeting) {
        let since = self.0.state.borrow().resets;
        connection::serve(Open::new(&self.0), client, since, greeting).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.apply(None);
    }
}

impl Shared {
    fn apply(&self, fault: Option<Fault>) {
        self.state.send_modify(|state| {
            state.fault = fault;
            state.resets += u64::from(state.resets_connections());
        });
        // Where the port could not be kept and is taken, the task that accepts tries again.
        let _ = self.listen_or_not();
    }

    /// Listens, unless the fault is that nobody does.
    fn listen_or_not(&self) -> io::Result<()> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.state.borrow().fault, None | Some(Fault::Refuse)) {
            *listener = None;
        } else if listener.is_none() {
            let socket = std::net::TcpListener::bind(self.port.address())?;
            socket.set_nonblocking(true)?;
            let _inside = self.tokio.enter();
            *listener = Some(TcpListener::from_std(socket)?);
        }
        Ok(())
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        match &*self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(listener) => listener.poll_accept(context).map_ok(|(stream, _)| stream),
            None => Poll::Pending,
        }
    }

    async fn pause(&self) {
        self.runtime.sleep_until(self.runtime.now() + Duration::from_millis(10)).await;
    }
}

/// Accepts connections until the proxy is dropped.
async fn accept(shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    while state.borrow_and_update().fault.is_some() {
        let taken = shared.listen_or_not().is_err();
        tokio::select! {
            _ = state.changed() => {}
            () = shared.pause(), if taken => {}
            accepted = poll_fn(|context| shared.poll_accept(context)) => match accepted {
                Ok(client) => {
                    let since = state.borrow().resets;
                    let serve = connection::serve(Open::new(&shared), client, since, Greeting::default());
                    shared.runtime.spawn(Box::pin(serve));
                }
                Err(_) => shared.pause().await,
            }
        }
    }
}

/// One that is counted as open.
struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}
