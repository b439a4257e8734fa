//! A link to a server that can be cut, delivers one event late, or holds back one request.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// The requests for a node's children.
const CHILDREN: [i32; 2] = [8, 12];
/// Of an event, in the place of a request's number.
const EVENT: i32 = -1;

/// Dropping it ends it.
pub(crate) struct Link {
    address: SocketAddr,
    rules: watch::Sender<Rules>,
    task: AbortHandle,
}

#[derive(Clone, Default)]
struct Rules {
    cut: bool,
    /// Events of this node come behind the others, right before the next answer.
    late: Option<String>,
    /// The next request for the children of this node waits, and all that come behind it.
    holds: Option<String>,
    /// Whether one does.
    holding: bool,
}

impl Link {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, rules) = (listener.local_addr().unwrap(), watch::Sender::default());
        let task = tokio::spawn(accept(listener, target, rules.clone())).abort_handle();
        Self { address, rules, task }
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends all connections, and lets nobody through.
    pub(crate) fn cut(&self) {
        self.rules.send_modify(|rules| rules.cut = true);
    }

    /// Lets everybody through again, and events of this node come late.
    pub(crate) fn heal(&self, late: &str) {
        self.rules.send_modify(|rules| *rules = Rules { late: Some(late.to_owned()), ..Rules::default() });
    }

    /// From now on holds back a request for the children of this node.
    pub(crate) fn hold(&self, path: &str) {
        self.rules.send_modify(|rules| rules.holds = Some(path.to_owned()));
    }

    /// Waits until it holds one.
    pub(crate) async fn holds(&self) {
        self.rules.subscribe().wait_for(|rules| rules.holding).await.unwrap();
    }

    pub(crate) fn let_go(&self) {
        self.rules.send_modify(|rules| *rules = Rules::default());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, rules: watch::Sender<Rules>) {
    while let Ok((client, _)) = listener.accept().await {
        let rules = rules.clone();
        tokio::spawn(async move {
            let mut cut = rules.subscribe();
            tokio::select! { biased;
                _ = cut.wait_for(|rules| rules.cut) => {}
                _ = carry(client, target, &rules) => {}
            }
        });
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, rules: &watch::Sender<Rules>) -> io::Result<()> {
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    tokio::try_join!(
        carry_requests(from_client, to_server, rules),
        carry_answers(from_server, to_client, rules)
    )?;
    Ok(())
}

async fn carry_requests(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    rules: &watch::Sender<Rules>,
) -> io::Result<()> {
    loop {
        let frame = read(&mut from).await?;
        let asks_children = integer(&frame, 4).is_some_and(|request| CHILDREN.contains(&request));
        let is_of = |path: &String| frame.get(12..).is_some_and(|rest| rest.starts_with(path.as_bytes()));
        rules.send_if_modified(|rules| {
            let waits = asks_children && rules.holds.as_ref().is_some_and(is_of);
            rules.holding |= waits;
            waits
        });
        let _ = rules.subscribe().wait_for(|rules| !rules.holding).await;
        write(&mut to, &frame).await?;
    }
}

async fn carry_answers(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    rules: &watch::Sender<Rules>,
) -> io::Result<()> {
    let mut late = None;
    loop {
        let frame = read(&mut from).await?;
        let number = integer(&frame, 0).unwrap_or_default();
        let is_late = |path: &String| number == EVENT && frame.ends_with(path.as_bytes());
        if rules.borrow().late.as_ref().is_some_and(is_late) {
            late = Some(frame);
            continue;
        }
        if number > 0
            && let Some(late) = late.take()
        {
            write(&mut to, &late).await?;
        }
        write(&mut to, &frame).await?;
    }
}

async fn read(from: &mut ReadHalf<'_>) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write(to: &mut WriteHalf<'_>, frame: &[u8]) -> io::Result<()> {
    to.write_u32(u32::try_from(frame.len()).map_err(io::Error::other)?).await?;
    to.write_all(frame).await
}

/// The number at this place of a frame.
fn integer(frame: &[u8], at: usize) -> Option<i32> {
    frame.get(at..)?.first_chunk().copied().map(i32::from_be_bytes)
}
