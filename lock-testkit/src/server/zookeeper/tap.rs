//! A link between clients and a ZooKeeper that knows what it carries.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::net::sockopt::set_socket_linger;
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

use super::frames::{self, Kind};
use crate::{proxy::reset_when_dropped, server::listener::Listener};

/// A link to one server that counts requests and loses the very reply that a test wants lost.
///
/// It carries sessions and nothing else: who speaks otherwise, as in four letter words, is reset. It has no
/// other faults; put a [`Proxy`](crate::proxy::Proxy) before it. Dropping it resets what is open and listens
/// no more.
///
/// *Renewals* count nowhere: pings, watches that are set again, authentication, and a multi with nothing but
/// one check. Nor does the opening of a session.
pub struct Tap {
    shared: Arc<Shared>,
    listener: Listener,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({} to {}, {:?})", self.address(), self.shared.target, *self.shared.state.borrow())
    }
}

struct Shared {
    target: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    longest: usize,
    lost: u64,
    trap: Option<Trap>,
}

/// What is to be lost: the first reply that counts after so many others.
#[derive(Debug)]
enum Trap {
    Reply { after: u64 },
    Create { after: u64 },
}

impl Tap {
    /// Listens on a free loopback port for sessions with the server at `target`, in the tokio runtime that it
    /// is called in. Whether somebody listens at `target` shows with the first connection, which is reset
    /// when nobody does.
    ///
    /// # Errors
    ///
    /// When it cannot listen, and outside a tokio runtime.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared { target, state: watch::Sender::default() });
        let carried = Arc::clone(&shared);
        let serve = move |client| {
            let shared = Arc::clone(&carried);
            async move {
                let _ = carry(&shared, client).await;
            }
        };
        Ok(Self { shared, listener: Listener::start(serve).await? })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// How many requests clients have sent since the start, renewals aside.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.state.borrow().requests
    }

    /// How long the longest request, reply or event was since the start, or since this was asked last, in bytes;
    /// renewals are some, too.
    #[allow(clippy::must_use_candidate, reason = "who asks begins anew")]
    pub fn take_longest(&self) -> usize {
        let mut longest = 0;
        self.shared.state.send_if_modified(|state| {
            longest = std::mem::take(&mut state.longest);
            false
        });
        longest
    }

    /// From now on lets so many replies through, of whatever outcome, renewals aside; the next one never
    /// arrives, and its connection is reset on both sides. Everything passes then. What the tap was to lose
    /// before is replaced.
    pub fn lose_reply(&self, after: u64) {
        self.set(Some(Trap::Reply { after }));
    }

    /// As [`lose_reply`](Self::lose_reply), with the reply of the `k`-th node that is created from now on; 1
    /// is the next one. A create that fails does not count, nor does one within a multi.
    pub fn lose_reply_of_create(&self, k: u64) {
        self.set(Some(Trap::Create { after: k.saturating_sub(1) }));
    }

    /// Lets everything through.
    pub fn lose_nothing(&self) {
        self.set(None);
    }

    fn set(&self, trap: Option<Trap>) {
        self.shared.state.send_modify(|state| state.trap = trap);
    }

    /// How many replies have been lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.state.borrow().lost
    }

    /// Waits until so many replies have been lost since the start. Cancel-safe.
    pub async fn has_lost(&self, replies: u64) {
        // It fails when the sender is dropped, which lives in self.
        let _ = self.shared.state.subscribe().wait_for(|state| state.lost >= replies).await;
    }
}

/// Carries one connection until either side ends it or a reply of it is lost.
async fn carry(shared: &Shared, mut client: TcpStream) -> io::Result<()> {
    reset_when_dropped(&client)?;
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(shared.target).await?;
    reset_when_dropped(&server)?;
    server.set_nodelay(true)?;

    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let asked = Asked::default();
    tokio::try_join!(
        carry_frames(from_client, to_server, |frame| shared.asks(&asked, frame)),
        carry_frames(from_server, to_client, |frame| shared.answers(&asked, frame)),
    )?;
    set_socket_linger(&client, None)?;
    set_socket_linger(&server, None)?;
    Ok(())
}

/// The requests of a connection that count and have no reply yet, by their numbers.
type Asked = Mutex<BTreeMap<i32, Kind>>;

/// Carries frames one way until their sender has said everything. `look` sees each but the first, which opens
/// the session, before it goes on.
async fn carry_frames(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    look: impl Fn(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut opens = true;
    while let Some(frame) = frames::read(&mut from).await? {
        if !opens {
            look(&frame)?;
        }
        opens = false;
        to.write_all(&frame).await?;
    }
    to.shutdown().await
}

impl Shared {
    /// Counts a request.
    fn asks(&self, asked: &Asked, frame: &[u8]) -> io::Result<()> {
        self.measure(frame);
        let (number, kind) = frames::request(frame)?;
        if kind != Kind::Renewal {
            asked.lock().unwrap_or_else(PoisonError::into_inner).insert(number, kind);
            self.state.send_modify(|state| state.requests += 1);
        }
        Ok(())
    }

    /// An error when a reply is to be lost.
    fn answers(&self, asked: &Asked, frame: &[u8]) -> io::Result<()> {
        self.measure(frame);
        let (number, done) = frames::reply(frame)?;
        let kind = asked.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        match kind {
            Some(kind) if self.loses(done && kind == Kind::Create) => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            _ => Ok(()),
        }
    }

    fn measure(&self, frame: &[u8]) {
        self.state.send_if_modified(|state| {
            state.longest = state.longest.max(frame.len());
            false
        });
    }

    /// Whether a reply that counts is the one to lose.
    fn loses(&self, created: bool) -> bool {
        self.state.send_if_modified(|state| {
            let after = match &mut state.trap {
                Some(Trap::Reply { after }) => after,
                Some(Trap::Create { after }) if created => after,
                _ => return false,
            };
            if *after > 0 {
                *after -= 1;
                return false;
            }
            state.trap = None;
            state.lost += 1;
            true
        })
    }
}
