//! One connection through the proxy.

use std::{collections::VecDeque, io, os::fd::AsFd, time::Duration};

use lock_core::runtime::Moment;
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};
use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpSocket, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
};

use super::{Direction, Fault, Open, Shared, State};

/// Bytes that are held back in one direction; more of them stay with their sender.
const ROOM: usize = 4 << 20;

/// What a client hears before the server's first byte, when it asked for the way to the server.
#[derive(Clone, Copy, Default)]
pub(crate) struct Greeting {
    /// When the server is reached.
    pub(crate) connected: &'static [u8],
    /// When it is not; the connection is then ended. It is reset when there is nothing to say.
    pub(crate) refused: &'static [u8],
}

/// Serves a client, who came after so many resets, until either side ends it or a fault cuts it.
pub(super) async fn serve(open: Open, mut client: TcpStream, since: u64, greeting: Greeting) {
    let shared = &*open.0;
    let _ = reset_when_dropped(&client);
    let mut state = shared.state.subscribe();
    tokio::select! {
        biased;
        _ = state.wait_for(|state| state.resets != since || state.resets_connections()) => {}
        _ = relay(shared, &mut client, since, greeting) => {}
    }
}

/// From now on nothing but a clean end keeps this connection from being reset.
pub(crate) fn reset_when_dropped(socket: &impl AsFd) -> io::Result<()> {
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// Carries bytes both ways until both have ended.
async fn relay(shared: &Shared, client: &mut TcpStream, since: u64, greeting: Greeting) -> io::Result<()> {
    client.set_nodelay(true)?;
    // A client that cannot reach the server does not get there once its connection is through, either.
    let mut state = shared.state.subscribe();
    let _ = state.wait_for(|state| state.fault != Some(Fault::Blackhole)).await;
    let socket = if shared.target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    reset_when_dropped(&socket)?;
    let mut server = match socket.connect(shared.target).await {
        Ok(server) => server,
        Err(error) if greeting.refused.is_empty() => return Err(error),
        Err(_) => {
            client.write_all(greeting.refused).await?;
            return set_socket_linger(&*client, None).map_err(io::Error::from);
        }
    };
    server.set_nodelay(true)?;
    client.write_all(greeting.connected).await?;

    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::try_join!(
        carry(shared, from_client, to_server, Held::new(Direction::ToServer, since)),
        carry(shared, from_server, to_client, Held::new(Direction::ToClient, since)),
    )?;
    set_socket_linger(&*client, None)?;
    set_socket_linger(&server, None)?;
    Ok(())
}

/// Carries bytes one way until their end has been delivered.
async fn carry(shared: &Shared, from: ReadHalf<'_>, to: WriteHalf<'_>, mut held: Held) -> io::Result<()> {
    let mut state = shared.state.subscribe();
    loop {
        let now = shared.runtime.now();
        let due = held.due(*state.borrow_and_update());
        tokio::select! {
            _ = state.changed() => {}
            ready = from.readable(), if held.has_room() => {
                ready?;
                held.read(&from, shared.runtime.now());
            }
            () = shared.runtime.sleep_until(due.unwrap_or(now)), if due.is_some_and(|due| due > now) => {}
            ready = to.writable(), if due.is_some_and(|due| due <= now) => {
                ready?;
                if held.deliver(shared, &to)? {
                    return Ok(());
                }
            }
        }
    }
}

/// What has come and is not delivered yet.
struct Held {
    direction: Direction,
    /// After how many resets its connection came.
    since: u64,
    items: VecDeque<(Moment, Item)>,
    bytes: usize,
    /// Nothing more comes.
    complete: bool,
}

enum Item {
    /// At least one.
    Bytes(Vec<u8>),
    /// The sender has said everything.
    End,
    /// The sender is gone.
    Broken(io::ErrorKind),
}

impl Held {
    const fn new(direction: Direction, since: u64) -> Self {
        Self { direction, since, items: VecDeque::new(), bytes: 0, complete: false }
    }

    const fn has_room(&self) -> bool {
        !self.complete && self.bytes < ROOM
    }

    /// Takes what has come, if there is anything.
    fn read(&mut self, from: &ReadHalf<'_>, now: Moment) {
        let mut buffer = [0; 16 << 10];
        let item = match from.try_read(&mut buffer) {
            Ok(0) => Item::End,
            Ok(read) => Item::Bytes(buffer.get(..read).unwrap_or(&buffer).to_vec()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => Item::Broken(error.kind()),
        };
        match &item {
            Item::Bytes(bytes) => self.bytes += bytes.len(),
            Item::End | Item::Broken(_) => self.complete = true,
        }
        self.items.push_back((now, item));
    }

    /// When the next item is to be delivered; none when there is none, or when it is held back.
    fn due(&self, state: State) -> Option<Moment> {
        let (came, _) = self.items.front().filter(|_| state.resets == self.since)?;
        match state.fault? {
            Fault::Blackhole | Fault::Reset | Fault::Refuse => None,
            Fault::OneWay(held) if held == self.direction => None,
            Fault::Delay(by) => Some(*came + by),
            Fault::Pass | Fault::OneWay(_) | Fault::CutAfter(_) => Some(*came),
        }
    }

    /// Delivers of the next item what fits and what the state of this very moment lets through. True when it
    /// was the end; an error when the connection is to be reset.
    fn deliver(&mut self, shared: &Shared, to: &WriteHalf<'_>) -> io::Result<bool> {
        let mut outcome = Ok(false);
        shared.state.send_if_modified(|state| {
            if self.due(*state).is_none_or(|due| due > shared.runtime.now()) {
                return false;
            }
            let (Some(Fault::CutAfter(left)), Direction::ToClient) = (&mut state.fault, self.direction)
            else {
                outcome = self.write(to, u64::MAX).map(|written| written.is_none());
                return false;
            };
            if *left == 0 && matches!(self.items.front(), Some((_, Item::Bytes(_)))) {
                state.fault = Some(Fault::Pass);
                outcome = Err(io::ErrorKind::ConnectionReset.into());
                return true;
            }
            outcome = self.write(to, *left).map(|written| {
                *left = left.saturating_sub(written.unwrap_or_default());
                written.is_none()
            });
            false
        });
        outcome
    }

    /// Writes at most so many bytes of the next item, and says how many fitted; none when it was the end.
    fn write(&mut self, to: &WriteHalf<'_>, most: u64) -> io::Result<Option<u64>> {
        let bytes = match self.items.front_mut() {
            None => return Ok(Some(0)),
            Some((_, Item::End)) => {
                shutdown(to.as_ref(), Shutdown::Write)?;
                return Ok(None);
            }
            Some((_, Item::Broken(kind))) => return Err((*kind).into()),
            Some((_, Item::Bytes(bytes))) => bytes,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let written = match to.try_write(bytes.get(..most).unwrap_or(bytes)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            written => written?,
        };
        bytes.drain(..written);
        self.bytes -= written;
        if bytes.is_empty() {
            self.items.pop_front();
        }
        Ok(Some(u64::try_from(written).unwrap_or(u64::MAX)))
    }
}
